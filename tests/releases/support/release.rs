//! Runs the real handler with the clients of the fake.

use super::{ACCOUNT, BUCKET, Fake, Function, NOW, PROFILE, REGION, Settings, Upload, assert_nothing_created, now};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub const IMAGE: &[u8] = b"\x7fELF a firmware image";
/// Other bytes of the same size as `IMAGE`.
pub const OTHER_IMAGE: &[u8] = b"\x7fELF evil firmware 66";
const _: () = assert!(IMAGE.len() == OTHER_IMAGE.len());

pub const LAB: (&str, &str) = ("ota:thing-group", "lab");
pub const DRY_RUN: (&str, &str) = ("DRY_RUN", "true");
pub const UNVERIFIED: (&str, &str) = ("ALLOW_UNVERIFIED", "true");

/// The settings of the tests, by the names of their environment variables.
pub fn setting(name: &str) -> Option<String> {
    let value = match name {
        "SIGNING_PROFILE" => PROFILE.to_owned(),
        "ALLOWED_SIGNING_PROFILES" => "OtherProfile".to_owned(),
        "OTA_ROLE_ARN" => format!("arn:aws:iam::{ACCOUNT}:role/ota"),
        "AWS_REGION" => REGION.to_owned(),
        "UPLOAD_BUCKET" => BUCKET.to_owned(),
        "ALLOWED_THING_GROUPS" => "lab,eu-*".to_owned(),
        "ALLOWED_THINGS" => "bench-*".to_owned(),
        _ => return None,
    };
    Some(value)
}

/// A new fake, and an upload of `IMAGE` with these tags.
pub fn upload_image(tags: &[(&str, &str)]) -> (Arc<Fake>, Upload) {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, tags);
    (fake, upload)
}

/// An event record of S3.
pub fn event_record(upload: &Upload, name: &str) -> Value {
    let key = utf8_percent_encode(&upload.key, NON_ALPHANUMERIC).to_string();
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventTime": NOW, "eventName": name,
        "userIdentity": {"principalId": "AWS:TEAM"}, "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "s3": {"bucket": {"name": upload.bucket}, "object": {"key": key, "versionId": upload.version_id}},
    })
}

/// The event of an upload.
pub fn event(upload: &Upload) -> Value {
    named_event(upload, "ObjectCreated:Put")
}

pub fn named_event(upload: &Upload, name: &str) -> Value {
    json!({"Records": [event_record(upload, name)]})
}

/// The function with the settings of the tests.
pub fn function(fake: &Fake) -> Function {
    function_with(fake, &[])
}

/// The function with the settings of the tests, overridden by these settings.
pub fn function_with(fake: &Fake, settings: &[(&str, &str)]) -> Function {
    let lookup = |name: &str| {
        let value = settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        value.or_else(|| setting(name))
    };
    Function::new(Settings::from_lookup(lookup).expect("good settings"), fake.clients()).with_clock(now)
}

/// Returns the releases of an event, or the message of its failure.
pub async fn run(fake: &Fake, event: &Value) -> Result<Vec<Value>, String> {
    run_with(fake, event, &[]).await
}

/// Like `run`, with these settings.
pub async fn run_with(fake: &Fake, event: &Value, settings: &[(&str, &str)]) -> Result<Vec<Value>, String> {
    invoke(&function_with(fake, settings), event).await
}

/// Invokes a function with two minutes left.
pub async fn invoke(function: &Function, event: &Value) -> Result<Vec<Value>, String> {
    let deadline = SystemTime::now() + Duration::from_mins(2);
    let releases = function.handle(&event.to_string(), deadline).await.map_err(|failed| failed.to_string())?;
    let releases = serde_json::to_value(releases).expect("JSON");
    Ok(releases["releases"].as_array().expect("a list").clone())
}

/// The only release of an event.
pub async fn release_of(fake: &Fake, event: &Value) -> Value {
    release_of_with(fake, event, &[]).await
}

/// Like `release_of`, with these settings.
pub async fn release_of_with(fake: &Fake, event: &Value, settings: &[(&str, &str)]) -> Value {
    let mut releases = run_with(fake, event, settings).await.expect("no failure");
    assert_eq!(releases.len(), 1, "{releases:?}");
    releases.remove(0)
}

/// The only release of an upload's event.
pub async fn release(fake: &Fake, upload: &Upload) -> Value {
    release_with(fake, upload, &[]).await
}

/// Like `release`, with these settings.
pub async fn release_with(fake: &Fake, upload: &Upload, settings: &[(&str, &str)]) -> Value {
    release_of_with(fake, &event(upload), settings).await
}

pub async fn release_unverified(fake: &Fake, upload: &Upload) -> Value {
    release_with(fake, upload, &[UNVERIFIED]).await
}

pub async fn dry_run(fake: &Fake, upload: &Upload) -> Value {
    release_with(fake, upload, &[DRY_RUN]).await
}

/// Releases an upload while two minutes pass between the checks and CreateJob.
pub async fn release_slowly(fake: &Fake, upload: &Upload) -> Value {
    thread_local! {
        static CLOCK_READS: Cell<u32> = const { Cell::new(0) };
    }
    CLOCK_READS.set(0);
    let clock = || {
        let passed = if CLOCK_READS.replace(CLOCK_READS.get() + 1) < 2 { 0 } else { 120 };
        now() + jiff::SignedDuration::from_secs(passed)
    };
    let function = function(fake).with_clock(clock);
    invoke(&function, &event(upload)).await.expect("no failure").remove(0)
}

/// The message of a release that fails.
pub async fn failure(fake: &Fake, upload: &Upload) -> String {
    failure_with(fake, upload, &[]).await
}

/// Like `failure`, with these settings.
pub async fn failure_with(fake: &Fake, upload: &Upload, settings: &[(&str, &str)]) -> String {
    run_with(fake, &event(upload), settings).await.expect_err("a failure")
}

/// Returns the reasons of a rejection. Asserts that a release and a dry run report the same reasons.
pub async fn reasons_in_release_and_dry_run(fake: &Fake, upload: &Upload, settings: &[(&str, &str)]) -> Value {
    let mut reasons = Vec::new();
    for settings in [settings.to_vec(), [settings, &[DRY_RUN]].concat()] {
        let release = release_with(fake, upload, &settings).await;
        assert_eq!(release["outcome"], "rejected", "{release}");
        assert_nothing_created(fake);
        reasons.push(release["reasons"].clone());
    }
    assert_eq!(reasons[0], reasons[1]);
    reasons.remove(0)
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
