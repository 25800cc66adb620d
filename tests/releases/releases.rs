//! Releases against the fake: what is asked of AWS, in which order, and what comes of it.

use crate::fake::{ACCOUNT, BUCKET, Behavior, Call, Embedded, Fake, NOW, PROFILE, REGION, Version, job_arn, now};
use base64::{Engine, prelude::BASE64_STANDARD};
use ota_on_upload::{handler::Function, s3::record::JobRecord, settings::Settings, upload::Upload};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    cell::Cell,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

const IMAGE: &[u8] = b"\x7fELF a firmware image";
pub const LAB: (&str, &str) = ("ota:thing-group", "lab");

type Corrupt = fn(&mut Value);

/// What creates something that lasts.
const CREATING: [&str; 5] = ["PutObject", "StartSigningJob", "CopyObject", "CreateStream", "CreateJob"];

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

pub fn record(upload: &Upload, event_name: &str) -> Value {
    let key = utf8_percent_encode(&upload.key, NON_ALPHANUMERIC).to_string();
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventTime": NOW, "eventName": event_name,
        "userIdentity": {"principalId": "AWS:TEAM"}, "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "s3": {"bucket": {"name": upload.bucket}, "object": {"key": key, "versionId": upload.version_id}},
    })
}

pub fn event(upload: &Upload) -> Value {
    json!({"Records": [record(upload, "ObjectCreated:Put")]})
}

pub async fn run(fake: &Arc<Fake>, event: &Value) -> Result<Vec<Value>, String> {
    run_with(fake, event, &[]).await
}

/// With these settings over the usual ones.
pub async fn run_with(fake: &Arc<Fake>, event: &Value, over: &[(&str, &str)]) -> Result<Vec<Value>, String> {
    let lookup = |name: &str| {
        let over = over.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        over.or_else(|| setting(name))
    };
    let settings = Settings::from_lookup(lookup).expect("good settings");
    let function = Function::new(settings, fake.clients()).with_clock(now);
    let deadline = SystemTime::now() + Duration::from_mins(2);
    let releases = function.handle(&event.to_string(), deadline).await.map_err(|failed| failed.to_string())?;
    let releases = serde_json::to_value(releases).expect("JSON");
    Ok(releases["releases"].as_array().expect("a list").clone())
}

/// A request as a dry run words it: what is derived from the record's nonce is marked.
pub fn without_nonce(mut request: Value) -> Value {
    if let Some(description) = request["description"].as_str() {
        let (before, digits) = description.split_once(" (release ").expect("a mark");
        let digits = digits.strip_suffix(')').expect("its end");
        assert!(digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{description}");
        request["description"] = format!("{before} (release <from the record>)").into();
    }
    if let Some(token) = request["clientRequestToken"].as_str() {
        assert_eq!(token.len(), 64);
        request["clientRequestToken"] = "<from the record>".into();
    }
    request
}

/// The one release of an upload.
pub async fn release(fake: &Arc<Fake>, upload: &Upload) -> Value {
    run(fake, &event(upload)).await.expect("no failure").remove(0)
}

pub async fn failure(fake: &Arc<Fake>, upload: &Upload) -> String {
    run(fake, &event(upload)).await.expect_err("a failure")
}

pub fn one(mut calls: Vec<Call>) -> Call {
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

pub fn assert_nothing_created(fake: &Fake) {
    let operations = fake.operations();
    assert!(!operations.iter().any(|operation| CREATING.contains(operation)), "{operations:?}");
}

/// One job and one stream, whose bytes are the upload's and whose signature is over them.
pub async fn assert_released_once(fake: &Fake, upload: &Upload, image: &[u8]) {
    let jobs = fake.state().jobs.clone();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let document: Value =
        serde_json::from_str(jobs.values().next().expect("it")["document"].as_str().expect("text")).expect("JSON");
    let file = &document["afr_ota"]["files"][0];
    let protocols: Vec<_> = document["afr_ota"]["protocols"].as_array().expect("a list").iter().collect();
    let has = |protocol| protocols.contains(&&json!(protocol));
    assert!(!protocols.is_empty(), "{document}");
    if has("MQTT") {
        assert_eq!((protocols[0], &document["afr_ota"]["streamname"]), (&json!("MQTT"), &json!(upload.stream_id())));
        assert_eq!(fake.streamed(&upload.stream_id()).await, image);
    } else {
        assert_eq!(document["afr_ota"].get("streamname"), None);
        assert_eq!(fake.stream(&upload.stream_id()).await, Value::Null);
    }
    assert_eq!(file.get("auth_scheme"), has("HTTP").then(|| json!("aws.s3.presigned")).as_ref());
    assert_eq!(file.get("update_data_url").is_some(), has("HTTP"));
    if has("HTTP") {
        assert_eq!(presigned(fake, file["update_data_url"].as_str().expect("a URL")), image);
    }
    assert_eq!(file["filesize"], image.len());
    assert!(fake.verifies(file["sig-sha256-ecdsa"].as_str().expect("a signature"), image));
}

/// The bytes that AWS IoT would presign a URL of.
pub fn presigned(fake: &Fake, placeholder: &str) -> Vec<u8> {
    let place = placeholder.strip_prefix("${aws:iot:s3-presigned-url-v2:https://s3.us-east-1.amazonaws.com/");
    let place = place.and_then(|place| place.strip_suffix('}')).expect("a placeholder");
    assert!(!place.contains(['?', '=', '+', ' ', '}', '<']), "{place}");
    let decoded = percent_decode_str(place).decode_utf8().expect("UTF-8").into_owned();
    let (bucket, key) = decoded.split_once('/').expect("a key");
    let (key, version) = key.split_once("?versionId=").expect("a version");
    assert!(key.starts_with("SignedImage/"), "{key}");
    let state = fake.state();
    let versions = &state.objects[&(bucket.to_owned(), key.to_owned())];
    let version = versions.iter().find(|known| known.id == version).expect("the version");
    version.bytes.clone().expect("an object").to_vec()
}

#[tokio::test]
async fn an_upload_becomes_a_signed_streamed_scheduled_retrying_job() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("team", "sensors")]);
    let release = release(&fake, &upload).await;

    let (job_id, stream_id) = (upload.default_job_id(), upload.stream_id());
    assert_eq!(
        release,
        json!({
            "outcome": "created", "bucket": BUCKET, "key": "firmware/blinky.bin", "versionId": upload.version_id,
            "jobId": job_id, "jobArn": job_arn(&job_id), "streamId": stream_id,
            "startTime": "2026-11-23T22:41", "endTime": "2026-11-23T23:41",
        })
    );
    let settings = Settings::from_lookup(setting).expect("good settings");
    let prefix = settings.prefix_of(&upload);
    let start = one(fake.calls("StartSigningJob")).json();
    assert_eq!(start["source"]["s3"], json!({"bucketName": BUCKET, "key": upload.key, "version": upload.version_id}));
    assert_eq!(start["destination"]["s3"], json!({"bucketName": BUCKET, "prefix": prefix}));
    assert_eq!(start["profileName"], PROFILE);

    let stream = one(fake.calls("CreateStream"));
    assert_eq!(stream.path, format!("/streams/{stream_id}"));
    assert_eq!(stream.json()["roleArn"], format!("arn:aws:iam::{ACCOUNT}:role/ota"));
    assert_eq!(stream.json()["files"][0]["fileId"], 0);
    assert_released_once(&fake, &upload, IMAGE).await;

    let create = one(fake.calls("CreateJob"));
    assert_eq!(create.path, format!("/jobs/{job_id}"));
    let mut job = create.json();
    let document = job.as_object_mut().expect("an object").remove("document").expect("a document");
    assert_eq!(
        without_nonce(job),
        json!({
            "targets": [format!("arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/lab")],
            "description": format!(
                "s3://{BUCKET}/firmware/blinky.bin?versionId={} (release <from the record>)", upload.version_id
            ),
            "targetSelection": "SNAPSHOT",
            "timeoutConfig": {"inProgressTimeoutInMinutes": 10},
            "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "TIMED_OUT", "numberOfRetries": 3}]},
            "schedulingConfig": {"startTime": "2026-11-23T22:41", "endTime": "2026-11-23T23:41", "endBehavior": "CANCEL"},
        })
    );
    let document = document.as_str().expect("text");
    let start = format!(
        "{{\"afr_ota\":{{\"protocols\":[\"MQTT\"],\"streamname\":\"{stream_id}\",\"files\":[{{\"filepath\":\"blinky.bin\",\
         \"filesize\":{},\"fileid\":0,\"certfile\":\"/certs/ota.pem\",\"fileType\":0,\"sig-sha256-ecdsa\":\"",
        IMAGE.len()
    );
    assert!(document.starts_with(&start), "{document}");
}

#[tokio::test]
async fn the_tags_reach_the_job() {
    let fake = Fake::new();
    let tags = [
        ("ota:thing-group", "lab eu-west"),
        ("ota:thing", "bench-1"),
        ("ota:start", "2026-12-01 02:00"),
        ("ota:end", "2d"),
        ("ota:end-behavior", "force-cancel"),
        ("ota:retries", "failed:2 timed-out:1"),
        ("ota:timeout", "1h"),
        ("ota:signing-profile", "OtherProfile"),
        ("ota:job-id", "spring"),
    ];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    assert_eq!(release(&fake, &upload).await["jobId"], "AFR_OTA-spring");
    let job = one(fake.calls("CreateJob")).json();
    let arn = |resource| format!("arn:aws:iot:{REGION}:{ACCOUNT}:{resource}");
    assert_eq!(job["targets"], json!([arn("thinggroup/lab"), arn("thinggroup/eu-west"), arn("thing/bench-1")]));
    assert_eq!(
        job["schedulingConfig"],
        json!({"startTime": "2026-12-01T02:00", "endTime": "2026-12-03T02:00", "endBehavior": "FORCE_CANCEL"})
    );
    assert_eq!(
        job["jobExecutionsRetryConfig"]["criteriaList"],
        json!([{"failureType": "FAILED", "numberOfRetries": 2}, {"failureType": "TIMED_OUT", "numberOfRetries": 1}])
    );
    assert_eq!(job["timeoutConfig"]["inProgressTimeoutInMinutes"], 60);
    assert_eq!(one(fake.calls("StartSigningJob")).json()["profileName"], "OtherProfile");
}

#[tokio::test]
async fn local_times_and_windows_reach_the_job_in_utc() {
    let fake = Fake::new();
    let tags = [
        LAB,
        ("ota:timezone", "Europe/Berlin"),
        ("ota:start", "2026-12-01 02:00"),
        ("ota:end", "2027-01-01T00:00Z"),
        ("ota:end-behavior", "stop-rollout"),
        ("ota:window", "sat/sun 00:30 90m"),
        ("ota:package-version", "blinky:1.2.0 radio:2.0"),
    ];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    let created = release(&fake, &upload).await;
    assert_eq!((&created["startTime"], &created["endTime"]), (&json!("2026-12-01T01:00"), &json!("2027-01-01T00:00")));
    let job = one(fake.calls("CreateJob")).json();
    assert_eq!(job["targetSelection"], "CONTINUOUS");
    assert_eq!(
        job["schedulingConfig"],
        json!({
            "startTime": "2026-12-01T01:00", "endTime": "2027-01-01T00:00", "endBehavior": "STOP_ROLLOUT",
            "maintenanceWindows": [{"startTime": "cron(30 23 ? * FRI,SAT *)", "durationInMinutes": 90}],
        })
    );
    let arn = |resource| format!("arn:aws:iot:{REGION}:{ACCOUNT}:{resource}");
    assert_eq!(
        job["destinationPackageVersions"],
        json!([arn("package/blinky/version/1.2.0"), arn("package/radio/version/2.0")])
    );
}

#[tokio::test]
async fn a_continuous_job_goes_on_without_an_end() {
    let schedules = [
        (vec![("ota:target-selection", "continuous")], json!({"startTime": "2026-11-23T22:41"})),
        (vec![("ota:target-selection", "continuous"), ("ota:start", "now")], Value::Null),
        (
            vec![("ota:window", "daily 02:00 2h"), ("ota:start", "now")],
            json!({"maintenanceWindows": [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 120}]}),
        ),
        (
            // What one expression cannot say.
            vec![("ota:window", "day-30 22:00 2h"), ("ota:timezone", "America/New_York")],
            json!({
                "startTime": "2026-11-23T22:41",
                "maintenanceWindows": [
                    {"startTime": "cron(0 3 31 * ? *)", "durationInMinutes": 120},
                    {"startTime": "cron(0 3 1 5,7,10,12 ? *)", "durationInMinutes": 120},
                ],
            }),
        ),
    ];
    for (mut tags, schedule) in schedules {
        let fake = Fake::new();
        tags.push(LAB);
        let created = release(&fake, &fake.upload("firmware/blinky.bin", IMAGE, &tags)).await;
        assert_eq!((&created["outcome"], &created["endTime"]), (&json!("created"), &Value::Null));
        let job = one(fake.calls("CreateJob")).json();
        assert_eq!((&job["targetSelection"], &job["schedulingConfig"]), (&json!("CONTINUOUS"), &schedule), "{tags:?}");
    }
}

#[tokio::test]
async fn devices_fetch_the_image_by_the_protocols_of_the_tag() {
    for (protocols, streams, has_url) in [("mqtt", 1, false), ("http", 0, true), ("http mqtt", 1, true)] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky ü.bin", IMAGE, &[LAB, ("ota:protocols", protocols)]);
        let over = [("URL_EXPIRY_SECONDS", "600")];
        let created = run_with(&fake, &event(&upload), &over).await.expect("no failure").remove(0);
        let stream_id = if streams == 1 { json!(upload.stream_id()) } else { Value::Null };
        assert_eq!((&created["outcome"], &created["streamId"]), (&json!("created"), &stream_id));
        assert_eq!(fake.calls("CreateStream").len(), streams, "{protocols}");
        assert_released_once(&fake, &upload, IMAGE).await;
        let config = json!({"roleArn": format!("arn:aws:iam::{ACCOUNT}:role/ota"), "expiresInSec": 600});
        let config = if has_url { config } else { Value::Null };
        assert_eq!(one(fake.calls("CreateJob")).json()["presignedUrlConfig"], config);
        assert_eq!(receipt(&fake, &upload)["streamId"], stream_id);

        // By its receipt, and without one by its document and its mark.
        for has_receipt in [true, false] {
            if !has_receipt {
                lose_receipt(&fake, &upload);
            }
            let again = release(&fake, &upload).await;
            assert_eq!((&again["outcome"], &again["streamId"]), (&json!("adopted"), &stream_id), "{protocols}");
        }
        assert_released_once(&fake, &upload, IMAGE).await;
        assert_eq!(receipt(&fake, &upload)["streamId"], stream_id);
    }
}

/// Signs an upload before its release, as an operator does; the signing job's ID.
pub async fn sign(fake: &Fake, upload: &Upload, prefix: &str) -> String {
    let source = json!({"bucketName": BUCKET, "key": upload.key, "version": upload.version_id});
    let request = json!({
        "source": {"s3": source}, "destination": {"s3": {"bucketName": BUCKET, "prefix": prefix}},
        "profileName": PROFILE, "clientRequestToken": prefix,
    });
    let request = http::Request::post("/signing-jobs").body(request.to_string().into()).expect("a request");
    let answer: Value = serde_json::from_slice(fake.answer(request).await.body()).expect("JSON");
    fake.state().calls.clear();
    answer["jobId"].as_str().expect("an ID").to_owned()
}

pub fn tag(fake: &Fake, upload: &Upload, tags: &[(&str, &str)]) {
    let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
    fake.state().objects.get_mut(&(BUCKET.to_owned(), upload.key.clone())).expect("it")[0].tags = tags;
}

#[tokio::test]
async fn what_a_signing_job_has_signed_is_not_signed_again() {
    let prefix = |upload: &Upload| Settings::from_lookup(setting).expect("good settings").prefix_of(&upload);
    for (is_own, is_copied_over) in [(false, false), (false, true), (true, false), (true, true)] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[]);
        let place = if is_own { prefix(&upload) } else { "SignedImage/by-hand/".to_owned() };
        let signing_job = sign(&fake, &upload, &place).await;
        if is_copied_over {
            fake.state().put(BUCKET, &format!("{place}{signing_job}"), Some(IMAGE.into()), Vec::new());
        }
        tag(&fake, &upload, &[LAB, ("ota:signing-job", &signing_job)]);
        let dry = run_with(&fake, &event(&upload), &[("DRY_RUN", "true")]).await.expect("no failure").remove(0);
        assert_nothing_created(&fake);
        assert_eq!(dry.get("startSigningJob"), None);
        fake.state().calls.clear();

        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_eq!(fake.calls("StartSigningJob").len(), 0);
        assert_released_once(&fake, &upload, IMAGE).await;
        assert_eq!(receipt(&fake, &upload)["verified"], true);
        let key = fake.stream(&upload.stream_id()).await["files"][0]["s3Location"]["key"].clone();
        assert_eq!(key, format!("{}image", prefix(&upload)));
        let mut job = without_nonce(one(fake.calls("CreateJob")).json());
        job["jobId"] = dry["jobId"].clone();
        assert_eq!(dry["createJob"], job);
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    }
}

#[tokio::test]
async fn a_copy_of_an_image_that_was_signed_already_is_taken_for_no_signed_object() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[]);
    let signing_job = sign(&fake, &upload, "SignedImage/by-hand/").await;
    tag(&fake, &upload, &[LAB, ("ota:signing-job", &signing_job)]);
    fake.instead_of("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    tag(&fake, &upload, &[LAB]);
    fake.state().calls.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    one(fake.calls("StartSigningJob"));
    one(fake.calls("DescribeSigningJob"));
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn a_signing_job_that_is_of_no_use_is_rejected_before_anything_is_created() {
    let cases: [(Corrupt, &str); 11] = [
        (|job| job["status"] = "InProgress".into(), "its status is `InProgress`"),
        (
            |job| (job["status"], job["statusReason"]) = ("Failed".into(), "no key".into()),
            "its status is `Failed` (no key)",
        ),
        (|job| job["revocationRecord"] = json!({"reason": "lost", "revokedAt": 1, "revokedBy": "x"}), "it is revoked"),
        (
            |job| job["source"]["s3"]["version"] = "v9".into(),
            "its source is s3://ota-firmware-111122223333/firmware/blinky.bin version v9, this is UPLOAD",
        ),
        (
            |job| job["source"]["s3"]["key"] = "firmware/x".into(),
            "its source is s3://ota-firmware-111122223333/firmware/x version VERSION, this is UPLOAD",
        ),
        (
            |job| job["profileName"] = "Nobody".into(),
            "its profile is `Nobody`, expected one of `OtaSigning`, `OtherProfile` (signing profiles that this deployment allows)",
        ),
        (
            |job| job["signedObject"]["s3"] = json!({"bucketName": "other", "key": "SignedImage/a"}),
            "its signed object is s3://other/SignedImage/a, which does not lie below \
             s3://ota-firmware-111122223333/SignedImage/by-hand/",
        ),
        (
            |job| job["signedObject"]["s3"]["key"] = "firmware/a".into(),
            "its signed object is s3://ota-firmware-111122223333/firmware/a, which does not lie below \
             s3://ota-firmware-111122223333/SignedImage/by-hand/",
        ),
        (
            |job| job["signedObject"]["s3"]["key"] = "SignedImage/x".into(),
            "its signed object is s3://ota-firmware-111122223333/SignedImage/x, which does not lie below \
             s3://ota-firmware-111122223333/SignedImage/by-hand/",
        ),
        (|job| job["signedObject"]["s3"]["key"] = "SignedImage/by-hand/gone".into(), "its signed object: it is gone"),
        (without_certname, "the signing parameter `certname` is missing, the path of the certificate on the device"),
    ];
    for (corrupt, problem) in cases {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[]);
        let id = sign(&fake, &upload, "SignedImage/by-hand/").await;
        tag(&fake, &upload, &[LAB, ("ota:signing-job", &id)]);
        fake.set(|behavior| behavior.corrupt_signing_job = corrupt);
        let rejected = release(&fake, &upload).await;
        let problem = problem.replace("UPLOAD", &upload.to_string()).replace("VERSION", &upload.version_id);
        assert_eq!(rejected["outcome"], "rejected", "{rejected}");
        assert_eq!(
            rejected["reasons"],
            json!([format!(
                "tag `ota:signing-job` is `{id}`, expected a finished signing job over this very object version: {problem}"
            )])
        );
        assert_nothing_created(&fake);
    }
    let fake = Fake::new();
    let unknown = ("ota:signing-job", "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01");
    let rejected = release(&fake, &fake.upload("firmware/blinky.bin", IMAGE, &[LAB, unknown])).await;
    let reason = rejected["reasons"][0].as_str().expect("a reason");
    assert!(reason.ends_with("object version: AWS Signer knows no such job"), "{reason}");
    assert_nothing_created(&fake);
}

/// By OpenSSL with a P-256 key, over something else: nothing here looks at more than its form.
const ELSEWHERE: &str =
    "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";
const UNVERIFIED: (&str, &str) = ("ALLOW_UNVERIFIED", "true");

async fn release_unverified(fake: &Arc<Fake>, upload: &Upload) -> Value {
    run_with(fake, &event(upload), &[UNVERIFIED]).await.expect("no failure").remove(0)
}

/// The one file of the one job's document.
fn offered(fake: &Fake) -> Value {
    let job = one(fake.calls("CreateJob")).json();
    serde_json::from_str::<Value>(job["document"].as_str().expect("text")).expect("JSON")["afr_ota"]["files"][0].clone()
}

#[tokio::test]
async fn a_signature_that_was_made_elsewhere_is_offered_as_it_is() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:signature", ELSEWHERE), ("ota:certificate", "Code Verify Key")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    let offline = format!(
        "ota:thing-group=lab&ota:signature={}&ota:certificate=Code+Verify+Key",
        ELSEWHERE.replace('+', "%2B").replace('=', "%3D")
    );
    let mut event = event(&upload);
    event["Records"][0]["s3"]["object"]["size"] = IMAGE.len().into();
    let dry = [("DRY_RUN", "true"), UNVERIFIED, ("DRY_RUN_TAGS", offline.as_str())];
    let offline = run_with(&fake, &event, &dry).await.expect("no failure").remove(0);
    let online = run_with(&fake, &event, &dry[..2]).await.expect("no failure").remove(0);
    assert_eq!(offline, online);
    assert_nothing_created(&fake);
    fake.state().calls.clear();

    let created = release_unverified(&fake, &upload).await;
    assert_eq!(created["outcome"], "created", "{created}");
    let file = offered(&fake);
    assert_eq!((&file["sig-sha256-ecdsa"], &file["certfile"]), (&json!(ELSEWHERE), &json!("Code Verify Key")));
    assert_eq!(fake.streamed(&upload.stream_id()).await, IMAGE);
    assert_eq!(receipt(&fake, &upload)["verified"], false);
    let operations = fake.operations();
    for operation in ["StartSigningJob", "DescribeSigningJob", "GetSigningProfile", "GetCertificate"] {
        assert!(!operations.contains(&operation), "{operations:?}");
    }
    let mut job = without_nonce(one(fake.calls("CreateJob")).json());
    job["jobId"] = offline["jobId"].clone();
    assert_eq!((offline["createJob"].clone(), offline.get("startSigningJob")), (job.clone(), None));
    assert_eq!(release_unverified(&fake, &upload).await["outcome"], "adopted");

    let document = job["document"].as_str().and_then(|text| text.strip_prefix("{\"afr_ota\":")?.strip_suffix('}'));
    let (job, _) = serde_json_core::from_str::<rustot::ota::encoding::json::OtaJob>(document.expect("its frame"))
        .expect("a device takes it");
    assert_eq!((job.files[0].certfile, job.files[0].sha256_ecdsa), ("Code Verify Key", Some(ELSEWHERE)));
}

#[tokio::test]
async fn a_signature_made_elsewhere_is_rejected_where_the_deployment_does_not_allow_it() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:signature", ELSEWHERE), ("ota:certificate", "cert.pem")];
    let rejected = release(&fake, &fake.upload("firmware/blinky.bin", IMAGE, &tags)).await;
    let reasons = rejected["reasons"].to_string();
    assert!(reasons.contains("`ALLOW_UNVERIFIED=true` (parameter `AllowUnverified`)"), "{reasons}");
    assert!(!reasons.contains(ELSEWHERE), "{reasons}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_signature_that_fits_no_tag_lies_beside_the_image() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[]);
    tag(&fake, &upload, &[LAB, ("ota:signature", ".sig"), ("ota:certificate", "cert.pem")]);
    let rsa = BASE64_STANDARD.encode([7; 256]);
    let good = json!({"versionId": upload.version_id, "signature": rsa, "signatureAlgorithm": "SHA256withRSA"});
    let told = "tag `ota:signature` is `.sig`, but the object `firmware/blinky.bin.sig` cannot be used: ";

    let rejected = release_unverified(&fake, &upload).await;
    let absent = "it is not there, upload it first";
    assert_eq!(rejected["reasons"], json!([format!("{told}{absent}")]));
    let mut of_another = good.clone();
    of_another["versionId"] = "v9".into();
    let another = format!("`versionId` is `v9`, expected `{}`, that of the image", upload.version_id);
    let padded = format!("{}{good}", " ".repeat(4096));
    let too_long = format!("it has {} bytes, expected at most 4096", padded.len());
    for (object, problem) in [(of_another.to_string(), another), (padded, too_long)] {
        let beside = fake.upload("firmware/blinky.bin.sig", object, &[]);
        assert_eq!(release_unverified(&fake, &beside).await["reason"], "no-tags");
        let rejected = release_unverified(&fake, &upload).await;
        assert_eq!(rejected["reasons"], json!([format!("{told}{problem}")]));
    }
    assert_nothing_created(&fake);

    fake.upload("firmware/blinky.bin.sig", good.to_string(), &[]);
    assert_eq!(release_unverified(&fake, &upload).await["outcome"], "created");
    let file = offered(&fake);
    assert_eq!((&file["sig-sha256-rsa"], &file["certfile"]), (&json!(rsa), &json!("cert.pem")));
    assert_eq!(fake.streamed(&upload.stream_id()).await, IMAGE);
    assert_eq!(receipt(&fake, &upload)["verified"], false);
}

#[tokio::test(start_paused = true)]
async fn a_signature_beside_the_image_that_cannot_be_read_is_a_failure() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:signature", ".sig"), ("ota:certificate", "cert.pem")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    fake.instead_of("GetUpload", 403, "AccessDenied");
    let told = run_with(&fake, &event(&upload), &[UNVERIFIED]).await.expect_err("a failure");
    assert!(told.contains("firmware/blinky.bin.sig`") && told.contains("AccessDenied"), "{told}");
    assert_nothing_created(&fake);
}

#[tokio::test(start_paused = true)]
async fn a_given_signature_that_does_not_verify_is_never_offered_to_devices() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.corrupt_signed_object = sign_something_else);
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[]);
    let id = sign(&fake, &upload, "SignedImage/by-hand/").await;
    tag(&fake, &upload, &[LAB, ("ota:signing-job", &id)]);
    let told = failure(&fake, &upload).await;
    assert!(told.contains("does not verify with the certificate"), "{told}");
    assert_eq!((fake.calls("CopyObject").len(), fake.calls("CreateJob").len()), (0, 0));
}

#[tokio::test]
async fn a_job_with_the_url_of_another_upload_is_somebody_elses() {
    let fake = Fake::new();
    let http = ("ota:protocols", "http");
    let first = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, http]);
    release(&fake, &first).await;
    let second = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, http]);
    let job = fake.state().jobs[&first.default_job_id()].clone();
    fake.state().jobs.insert(second.default_job_id(), job);
    let released = self::release(&fake, &second).await;
    assert_eq!(released["outcome"], "created");
    assert_ne!(released["jobId"], second.default_job_id());
}

#[tokio::test]
async fn every_call_is_pinned_to_the_version_and_to_the_buckets_owner() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky ü+%.bin", IMAGE, &[LAB]);
    release(&fake, &upload).await;
    let pinned = format!("versionId={}", upload.version_id);
    assert!(one(fake.calls("GetObjectTagging")).query.contains(&pinned));
    let heads = fake.calls("HeadObject");
    // One of the version; of the key, to know whether it is current, before the work and before CreateJob.
    assert_eq!(heads.iter().map(|head| head.query.contains(&pinned)).collect::<Vec<_>>(), [true, false, false]);
    let copy = one(fake.calls("CopyObject"));
    let source = format!("{BUCKET}/firmware/blinky%20%C3%BC%2B%25.bin?versionId={}", upload.version_id);
    assert_eq!(copy.header("x-amz-copy-source"), Some(source.as_str()));
    assert!(copy.header("x-amz-copy-source-if-match").is_some());
    assert_eq!(copy.header("x-amz-tagging-directive"), Some("REPLACE"));
    assert_eq!(copy.header("x-amz-tagging"), None);
    assert_eq!(copy.header("x-amz-source-expected-bucket-owner"), Some(ACCOUNT));
    let operations = ["GetObjectTagging", "HeadObject", "ListObjectVersions", "GetObject", "PutObject", "CopyObject"];
    for call in operations.iter().flat_map(|operation| fake.calls(operation)) {
        assert_eq!(call.header("x-amz-expected-bucket-owner"), Some(ACCOUNT), "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_takes_nine_dependent_round_trips() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.latency = Duration::from_secs(1));
    fake.state().job_templates.insert("canary".to_owned(), json!({}));
    let tags = [LAB, ("ota:thing", "bench-1"), ("ota:job-template", "canary")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    release(&fake, &upload).await;
    assert_eq!(fake.calls("DescribeJobTemplate").len(), 1);
    // Every answer takes one second of a clock that only waiting moves on.
    assert_eq!(one(fake.calls("CreateJob")).answered_at.as_secs(), 9, "{:?}", fake.operations());
}

#[tokio::test]
async fn a_redelivered_event_adopts_the_job_and_creates_nothing() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let first = release(&fake, &upload).await;
    fake.state().calls.clear();
    let again = release(&fake, &upload).await;
    let mut expected = first.clone();
    expected["outcome"] = "adopted".into();
    assert_eq!(again, expected);
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn an_adopted_job_tells_that_the_tags_have_changed_since() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    release(&fake, &upload).await;
    fake.state().objects.get_mut(&(BUCKET.into(), upload.key.clone())).expect("it")[0].tags =
        vec![("ota:thing-group".into(), "eu-west".into())];
    let again = run(&fake, &json!({"Records": [record(&upload, "ObjectTagging:Put")]})).await.expect("no failure");
    assert_eq!(again[0]["outcome"], "adopted");
    assert!(again[0]["reason"].as_str().expect("a reason").starts_with("the tags have changed since"), "{again:?}");
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test]
async fn a_job_that_an_operator_deleted_is_not_made_again() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    release(&fake, &upload).await;
    fake.state().jobs.clear();
    fake.state().calls.clear();
    let again = release(&fake, &upload).await;
    assert_eq!((&again["outcome"], &again["reason"]), (&json!("skipped"), &json!("job-deleted")));
    assert_nothing_created(&fake);
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Leaves no more of an upload's record than the claim.
pub fn lose_receipt(fake: &Fake, upload: &Upload) {
    let key = format!("{}release.json", Settings::from_lookup(setting).expect("good settings").prefix_of(&upload));
    let mut state = fake.state();
    let versions = state.objects.get_mut(&(BUCKET.to_owned(), key)).expect("a record");
    versions.drain(..versions.len() - 1);
}

/// The receipt of an upload, as it lies in the bucket.
pub fn receipt(fake: &Fake, upload: &Upload) -> Value {
    let key = format!("{}release.json", Settings::from_lookup(setting).expect("good settings").prefix_of(&upload));
    let bytes = fake.state().objects[&(BUCKET.to_owned(), key)][0].bytes.clone().expect("a record");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_receipt_was_lost_is_adopted_whatever_has_come_since() {
    for newer in [false, true] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:start", "2026-11-23T22:12")]);
        fake.before("CreateJob", |state| (0..3).for_each(|_| state.instead_of("PutObject", 500, "InternalError")));
        assert!(failure(&fake, &upload).await.contains("writing the record"));
        if newer {
            fake.upload("firmware/blinky.bin", "newer", &[]);
        }
        // By now the start is too near to be accepted.
        let settings = Settings::from_lookup(setting).expect("good settings");
        let later = || now() + jiff::SignedDuration::from_mins(5);
        let function = Function::new(settings, fake.clients()).with_clock(later);
        let deadline = SystemTime::now() + Duration::from_mins(2);
        let releases = function.handle(&event(&upload).to_string(), deadline).await.expect("no failure").releases;
        let release = serde_json::to_value(&releases[0]).expect("JSON");
        assert_eq!((&release["outcome"], &release["startTime"]), (&json!("adopted"), &json!("2026-11-23T22:12")));
        assert_eq!(receipt(&fake, &upload)["jobArn"], release["jobArn"]);
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn a_job_whose_record_lies_behind_a_delete_marker_is_adopted() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let first = release(&fake, &upload).await;
    let key = format!("{}release.json", Settings::from_lookup(setting).expect("good settings").prefix_of(&upload));
    fake.delete(&key);
    let second = release(&fake, &upload).await;
    assert_eq!((&second["outcome"], &second["jobArn"]), (&json!("adopted"), &first["jobArn"]));
}

#[tokio::test]
async fn the_receipt_tells_the_job_and_the_tags_that_it_was_made_by() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.state().objects.get_mut(&(BUCKET.into(), upload.key.clone())).expect("it")[0].tags[0].1 = "eu-west".into();
    let created = release(&fake, &upload).await;
    let mut told = receipt(&fake, &upload);
    let nonce = told.as_object_mut().expect("it").remove("nonce").expect("a nonce");
    assert_eq!(nonce.as_str().map(str::len), Some(32));
    assert_eq!(
        told,
        json!({
            "bucket": BUCKET, "key": upload.key, "versionId": upload.version_id, "verified": true, "tags": {"ota:thing-group": "eu-west"},
            "sha256": sha256(IMAGE),
            "jobId": created["jobId"], "jobArn": created["jobArn"], "streamId": created["streamId"],
            "startTime": created["startTime"], "endTime": created["endTime"],
        })
    );
    let again = release(&fake, &upload).await;
    assert_eq!((&again["outcome"], &again["reason"]), (&json!("adopted"), &Value::Null));
}

#[tokio::test]
async fn tags_that_come_after_the_upload_start_the_release() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[("team", "sensors")]);
    let first = release(&fake, &upload).await;
    assert_eq!((&first["outcome"], &first["reason"]), (&json!("skipped"), &json!("no-tags")));
    assert_nothing_created(&fake);
    fake.state().objects.get_mut(&(BUCKET.into(), upload.key.clone())).expect("it")[0].tags =
        vec![("ota:thing-group".into(), "lab".into())];
    let then = run(&fake, &json!({"Records": [record(&upload, "ObjectTagging:Put")]})).await.expect("no failure");
    assert_eq!(then[0]["outcome"], "created");
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn what_is_no_release_is_skipped_with_its_reason() {
    let fake = Fake::new();
    let folder = fake.upload("firmware/dir/", "", &[]);
    let plain = fake.upload("firmware/readme.txt", "text", &[]);
    let signed = Upload::new(BUCKET.into(), "SignedImage/x/release.json".into(), "v1".into());
    let elsewhere = Upload::new(BUCKET.into(), "photos/cat.jpg".into(), "v1".into());
    let old = fake.upload("firmware/old.bin", IMAGE, &[LAB]);
    fake.upload("firmware/old.bin", "newer", &[]);
    let withdrawn = fake.upload("firmware/gone.bin", IMAGE, &[LAB]);
    fake.delete("firmware/gone.bin");
    let erased = Upload::new(BUCKET.into(), "firmware/erased.bin".into(), "v9".into());
    for (upload, reason) in [
        (folder, "folder"),
        (plain, "no-tags"),
        (signed, "signed-prefix"),
        (elsewhere, "other-event"),
        (old, "superseded"),
        (withdrawn, "withdrawn"),
        (erased, "withdrawn"),
    ] {
        let release = release(&fake, &upload).await;
        assert_eq!((&release["outcome"], &release["reason"]), (&json!("skipped"), &json!(reason)), "{upload}");
    }
    for event in [json!({"Event": "s3:TestEvent", "Bucket": BUCKET}), json!({"Records": []})] {
        assert_eq!(run(&fake, &event).await.expect("no failure")[0]["reason"], "other-event");
    }
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_version_that_ceases_to_be_current_in_mid_flight_gets_no_job() {
    for (newer, reason) in [(Some("newer".into()), "superseded"), (None, "withdrawn")] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        fake.before("CopyObject", move |state| {
            state.put(BUCKET, "firmware/blinky.bin", newer, Vec::new());
        });
        let release = release(&fake, &upload).await;
        assert_eq!((&release["outcome"], &release["reason"]), (&json!("skipped"), &json!(reason)));
        assert_eq!((&release["jobId"], &release["streamId"]), (&Value::Null, &Value::Null));
        assert_eq!(fake.calls("CreateJob").len(), 0);
        // The copy is of the version that was signed all the same.
        assert_eq!(fake.streamed(&upload.stream_id()).await, IMAGE);
    }
}

#[tokio::test]
async fn a_bad_release_is_rejected_with_every_problem_before_anything_is_created() {
    let fake = Fake::new();
    let tags = [("ota:thing-group", "lab prod"), ("ota:retries", "lots"), ("ota:start", "10m"), ("ota:tmeout", "1h")];
    let upload = fake.upload("firmware/blinky.bin", "", &tags);
    let release = release(&fake, &upload).await;
    assert_eq!(release["outcome"], "rejected");
    let reasons: Vec<_> = release["reasons"].as_array().expect("reasons").iter().filter_map(Value::as_str).collect();
    assert_eq!(
        reasons,
        [
            "tag `ota:tmeout` is not known, did you mean `ota:timeout`?",
            "tag `ota:thing-group` is `prod`, expected one of `lab`, `eu-*` (thing groups that this deployment allows)",
            "tag `ota:start` is `10m`, which is 10m ahead, expected `now` or at least 31 minutes ahead",
            "tag `ota:retries` is `lots`, expected a number such as `3` (after all failures), or `timed-out:3`, `failed:2` \
             or both with a space between, 10 in all at most",
            "the object is empty, expected a firmware image",
        ]
    );
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn an_image_of_24_mb_is_the_largest() {
    let fake = Fake::new();
    let most = vec![0; 24 * 1024 * 1024];
    let upload = fake.upload("firmware/most.bin", most.clone(), &[LAB]);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let upload = fake.upload("firmware/more.bin", [most, vec![0]].concat(), &[LAB]);
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["the object has 25165825 bytes, expected at most 25165824"])
    );
}

#[tokio::test]
async fn an_upload_without_a_version_is_rejected_if_it_is_a_release() {
    for (tags, outcome) in [(&[LAB][..], "rejected"), (&[], "skipped")] {
        let fake = Fake::new();
        let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
        let version = Version { id: "null".into(), bytes: Some(IMAGE.into()), tags, ..Version::default() };
        fake.state().objects.insert((BUCKET.into(), "firmware/blinky.bin".into()), vec![version]);
        let upload = Upload::new(BUCKET.into(), "firmware/blinky.bin".into(), "null".into());
        let mut event = event(&upload);
        event["Records"][0]["s3"]["object"].as_object_mut().expect("it").remove("versionId");
        let releases = run(&fake, &event).await.expect("no failure");
        assert_eq!(releases[0]["outcome"], outcome);
        if outcome == "rejected" {
            let reason = releases[0]["reasons"][0].as_str().expect("a reason");
            assert!(reason.starts_with("the event has no version ID, expected"), "{reason}");
        }
        assert_nothing_created(&fake);
    }
}

#[tokio::test]
async fn every_record_of_an_event_is_worked_on() {
    let fake = Fake::new();
    let bad = fake.upload("firmware/bad.bin", IMAGE, &[("ota:thing-group", "prod")]);
    let denied = fake.upload("firmware/denied.bin", IMAGE, &[LAB]);
    fake.refuse_head(&denied.key, 403);
    let good = fake.upload("firmware/good.bin", IMAGE, &[LAB]);
    let records = [&bad, &denied, &good].map(|upload| record(upload, "ObjectCreated:CompleteMultipartUpload"));
    let failed = run(&fake, &json!({"Records": records})).await.expect_err("a failure");
    assert!(failed.starts_with("`firmware/denied.bin`: reading the head of "), "{failed}");
    assert!(!failed.contains("bad.bin"), "{failed}");
    assert_released_once(&fake, &good, IMAGE).await;

    let [bad, _, good] = records;
    let releases = run(&fake, &json!({"Records": [bad, good]})).await.expect("no failure");
    let outcomes: Vec<_> = releases.iter().map(|release| release["outcome"].clone()).collect();
    assert_eq!(outcomes, ["rejected", "adopted"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_takes_long_takes_no_time_from_the_others() {
    let fake = Fake::new();
    fake.set(|behavior| {
        behavior.corrupt_signing_job = |job| {
            if job["source"]["s3"]["key"] == "firmware/slow.bin" {
                job["status"] = "InProgress".into();
            }
        };
    });
    let records = ["firmware/slow.bin", "firmware/good.bin"]
        .map(|key| record(&fake.upload(key, IMAGE, &[LAB]), "ObjectCreated:Put"));
    let failed = run(&fake, &json!({"Records": records})).await.expect_err("a failure");
    assert!(failed.contains("slow.bin") && !failed.contains("good.bin"), "{failed}");
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test]
async fn a_key_without_a_file_name_is_rejected() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/dir/", IMAGE, &[LAB]);
    let release = release(&fake, &upload).await;
    assert_eq!(release["reasons"], json!(["the key ends in `/`, expected a file name"]));
    assert_eq!((&release["jobId"], &release["streamId"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_head_that_is_denied_is_told_with_its_status() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("HeadObject", 403, "AccessDenied");
    assert!(failure(&fake, &upload).await.contains("HTTP status 403"));
}

#[tokio::test]
async fn a_foreign_bucket_is_rejected_without_a_call() {
    let fake = Fake::new();
    let release = release(&fake, &Upload::new("foreign".into(), "firmware/a.bin".into(), "v1".into())).await;
    assert_eq!(release["outcome"], "rejected");
    assert_eq!(fake.operations(), Vec::<&str>::new());
}

#[tokio::test]
async fn both_forms_of_the_signed_object_are_read() {
    for embedded in [Embedded::No, Embedded::PayloadFirst, Embedded::PayloadLast] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.embedded = embedded);
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{embedded:?}");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn a_signed_object_of_something_else_is_never_streamed() {
    let corruptions: [(Corrupt, &str); 8] = [
        (|object| object["rawPayloadSize"] = json!(1), "its `rawPayloadSize` is 1, expected 21"),
        (|object| object["payloadLocation"]["s3"]["version"] = json!("v0"), "its `payloadLocation` is"),
        (|object| object["payloadLocation"]["s3"]["key"] = json!("firmware/other.bin"), "its `payloadLocation` is"),
        (|object| object["payloadLocation"] = json!({}), "its `payloadLocation` cannot be read"),
        (|object| object["signatureAlgorithm"] = json!("MD5withRSA"), "for which devices know no key"),
        (|object| object["signature"] = json!("?"), "its `signature` is not base64"),
        (|object| object["signature"] = json!(""), "its `signature` is not base64"),
        (|object| *object = json!({"signature": "AAAA"}), "it has no `rawPayloadSize`"),
    ];
    for (corrupt, problem) in corruptions {
        let fake = Fake::new();
        fake.set(|behavior| behavior.corrupt_signed_object = corrupt);
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains("is not one of this upload") && failed.contains(problem), "{failed}");
        assert!(fake.calls("CopyObject").is_empty() && fake.calls("CreateStream").is_empty());
    }
}

#[tokio::test]
async fn a_signing_job_of_something_else_is_never_used() {
    let corruptions: [(Corrupt, &str); 5] = [
        (|job| job["source"]["s3"]["version"] = json!("v0"), "its source is"),
        (|job| job["signedObject"]["s3"]["bucketName"] = json!("foreign"), "its signed object is"),
        (|job| job["signedObject"]["s3"]["key"] = json!("SignedImage/other"), "its signed object is"),
        (|job| job["profileName"] = json!("OtherProfile"), "its profile is"),
        (|job| job["status"] = json!("Unheard"), "its status is"),
    ];
    for (corrupt, problem) in corruptions {
        let fake = Fake::new();
        fake.set(|behavior| behavior.corrupt_signing_job = corrupt);
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains("is not what was asked for") && failed.contains(problem), "{failed}");
        assert!(fake.calls("CopyObject").is_empty());
    }
}

#[tokio::test]
async fn a_signed_object_that_another_attempt_copied_over_is_read_by_its_own_version() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.before("GetObject", |state| {
        let signed = state.objects.keys().find(|(_, key)| key.contains("00000000-")).expect("it").1.clone();
        state.put(BUCKET, &signed, Some(IMAGE.into()), Vec::new());
    });
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_released_once(&fake, &upload, IMAGE).await;
    let reads = fake.calls("GetObject");
    assert!(!reads[0].query.contains("versionId") && reads[1].query.contains("versionId="), "{reads:?}");
}

#[tokio::test(start_paused = true)]
async fn a_signing_job_in_progress_is_waited_for_with_growing_pauses() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.looks_in_progress = 5);
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let looks: Vec<_> = fake.calls("DescribeSigningJob").iter().map(|call| call.answered_at.as_millis()).collect();
    let pauses: Vec<_> = looks.windows(2).map(|pair| (pair[1] - pair[0]).next_multiple_of(250)).collect();
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000]);
}

#[tokio::test(start_paused = true)]
async fn waiting_stops_before_the_invocation_does_and_the_next_attempt_goes_on_with_the_signing_job() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.looks_in_progress = usize::MAX);
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let started = tokio::time::Instant::now();
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("is still in progress and the invocation's time is up"), "{failed}");
    assert!((100..=118).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    fake.set(|behavior| behavior.looks_in_progress = 0);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.state().signing_jobs.len(), 1);
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_hangs_ends_itself_and_says_where() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.latency = Duration::from_secs(9));
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.set(|behavior| behavior.looks_in_progress = 1);
    let started = tokio::time::Instant::now();
    let settings = Settings::from_lookup(setting).expect("good settings");
    let function = Function::new(settings, fake.clients()).with_clock(now);
    let deadline = SystemTime::now() + Duration::from_secs(30);
    let failed = function.handle(&event(&upload).to_string(), deadline).await.expect_err("no time").to_string();
    assert!(failed.contains("the invocation's time was up while signing"), "{failed}");
    assert!(started.elapsed() <= Duration::from_secs(28), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_failed_signing_job_is_told_with_signers_reason_and_followed_by_another() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.signing_fails = Some("can't identify EC private key."));
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("failed: can't identify EC private key."), "{failed}");
    assert_eq!(fake.state().signing_jobs.len(), 1);
    // A minute later the operator has mended it: the token of the job that failed would find that job for ever.
    for job in fake.state().signing_jobs.values_mut() {
        job["completedAt"] = (now().as_second() - 60).into();
    }
    fake.set(|behavior| behavior.signing_fails = None);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.state().signing_jobs.len(), 2);
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn a_signing_job_that_is_looked_at_too_often_is_waited_for() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    for code in ["ThrottlingException", "TooManyRequestsException"] {
        (0..6).for_each(|_| fake.instead_of("DescribeSigningJob", 429, code));
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
}

#[tokio::test(start_paused = true)]
async fn a_signing_job_that_cannot_be_started_yet_is_waited_for_while_the_invocation_lasts() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    for code in ["ThrottlingException", "TooManyRequestsException"] {
        (0..15).for_each(|_| fake.instead_of("StartSigningJob", 429, code));
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.calls("StartSigningJob").len(), 31);
    assert_released_once(&fake, &upload, IMAGE).await;

    let upload = fake.upload("firmware/later.bin", IMAGE, &[LAB]);
    (0..1000).for_each(|_| fake.instead_of("StartSigningJob", 429, "ThrottlingException"));
    let reason = failure(&fake, &upload).await;
    assert!(reason.contains("starting a signing job") || reason.contains("time was up while signing"), "{reason}");
    assert!(fake.calls("StartSigningJob").len() > 60);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_throttled_at_any_step_goes_on_while_the_invocation_lasts() {
    for operation in
        ["GetObjectTagging", "DescribeThingGroup", "CopyObject", "CreateStream", "DescribeJob", "CreateJob"]
    {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        let (status, code) =
            if operation.contains("Object") { (503, "SlowDown") } else { (429, "ThrottlingException") };
        (0..15).for_each(|_| fake.instead_of(operation, status, code));
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{operation}");
        assert_released_once(&fake, &upload, IMAGE).await;

        let upload = fake.upload("firmware/later.bin", IMAGE, &[LAB]);
        (0..1000).for_each(|_| fake.instead_of(operation, status, code));
        let reason = failure(&fake, &upload).await;
        assert!(reason.contains(code) || reason.contains("the invocation's time was up"), "{operation}: {reason}");
        assert!(fake.calls(operation).len() > 40, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_signing_job_of_an_earlier_attempt_is_looked_at_until_signer_has_time() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("CopyObject", 403, "AccessDenied");
    failure(&fake, &upload).await;
    (0..15).for_each(|_| fake.instead_of("DescribeSigningJob", 429, "ThrottlingException"));
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.state().signing_jobs.len(), 1);
}

#[tokio::test]
async fn a_failed_signing_job_without_a_time_is_told() {
    let fake = Fake::new();
    fake.set(|behavior| {
        behavior.signing_fails = Some("expired");
        behavior.corrupt_signing_job = |job| drop(job.as_object_mut().expect("it").remove("completedAt"));
    });
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    assert!(failure(&fake, &upload).await.contains("failed: expired"));
    assert_eq!(fake.state().signing_jobs.len(), 1);
}

fn without_certname(job: &mut Value) {
    job.as_object_mut().expect("it").remove("signingParameters");
}

#[tokio::test]
async fn a_signature_that_is_of_no_use_any_more_is_made_again() {
    // The profile had lost its `certname`, which the operator has mended; or the signed object is gone.
    for is_gone in [false, true] {
        let fake = Fake::new();
        if !is_gone {
            fake.set(|behavior| behavior.corrupt_signing_job = without_certname);
        }
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        if is_gone {
            fake.instead_of("CopyObject", 403, "AccessDenied");
        }
        failure(&fake, &upload).await;
        for job in fake.state().signing_jobs.values_mut() {
            job["completedAt"] = (now().as_second() - 60).into();
        }
        if is_gone {
            fake.state().objects.retain(|(_, key), _| !key.contains("00000000-"));
        }
        fake.set(|behavior| {
            behavior.corrupt_signing_job = |job| {
                if job["completedAt"].as_i64() < Some(now().as_second() - 30) {
                    without_certname(job);
                }
            };
        });
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{is_gone}");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn a_put_of_the_record_that_meets_another_is_made_again() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("PutObject", 409, "ConditionalRequestConflict");
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
}

/// A signature over other bytes, by the very key.
fn sign_something_else(object: &mut Value) {
    let signature = "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";
    object["signature"] = signature.into();
}

#[tokio::test]
async fn a_signature_that_does_not_verify_is_never_offered_to_devices() {
    let other_bytes: fn(&mut Behavior) = |behavior| behavior.corrupt_signed_object = sign_something_else;
    let other_key: fn(&mut Behavior) = |behavior| behavior.certificate = include_str!("../certificates/p384.pem");
    for change in [other_bytes, other_key] {
        for embedded in [Embedded::No, Embedded::PayloadFirst] {
            let fake = Fake::new();
            fake.set(change);
            fake.set(|behavior| behavior.embedded = embedded);
            let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
            for _ in 0..2 {
                let failed = failure(&fake, &upload).await;
                assert!(failed.contains("does not verify with the certificate `arn:aws:acm:"), "{failed}");
                assert!(failed.contains("it is of other bytes, or by another key"), "{failed}");
            }
            for operation in ["CopyObject", "CreateStream", "CreateJob"] {
                assert!(fake.calls(operation).is_empty(), "{operation}");
            }
        }
    }
}

#[tokio::test]
async fn an_old_signature_that_does_not_verify_is_followed_by_another() {
    let fake = Fake::new();
    fake.set(|behavior| {
        behavior.corrupt_signed_object = sign_something_else;
        behavior.signing_completed_at = 0;
    });
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("GetCertificate", 400, "AccessDeniedException");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("reading the certificate `arn:aws:acm:") && failed.contains("AccessDenied"), "{failed}");
    fake.set(|behavior| behavior.corrupt_signed_object = |_| ());
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.state().signing_jobs.len(), 2);
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn without_verification_neither_certificate_nor_upload_is_read() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.corrupt_signed_object = sign_something_else);
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let released = run_with(&fake, &event(&upload), &[("VERIFY_SIGNATURES", "false")]).await.expect("no failure");
    assert_eq!(released[0]["outcome"], "created");
    assert_eq!(fake.calls("GetCertificate").len() + fake.calls("GetUpload").len(), 0);
    assert_eq!(receipt(&fake, &upload)["verified"], false);
}

#[tokio::test]
async fn a_certificate_that_is_none_is_a_failure() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.certificate = "none");
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("reading the certificate") && failed.contains("it is no X.509"), "{failed}");
    assert!(fake.calls("CreateStream").is_empty());
}

#[tokio::test]
async fn an_upload_that_does_not_come_whole_is_not_verified() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let place = (BUCKET.to_owned(), upload.key.clone());
    fake.before("GetUpload", move |state| {
        state.objects.get_mut(&place).expect("it")[0].bytes = Some(IMAGE[1..].into());
    });
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("bytes came, expected"), "{failed}");
    assert!(fake.calls("CopyObject").is_empty());
}

#[tokio::test]
async fn a_copy_of_other_bytes_is_never_streamed() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.copied_checksum = Some("AAAA"));
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    for _ in 0..3 {
        assert!(failure(&fake, &upload).await.contains("the copy's SHA-256 is `AAAA`, expected `"));
    }
    assert!(fake.calls("CreateStream").is_empty());
}

#[tokio::test]
async fn a_version_that_is_deleted_for_good_before_it_is_copied_is_withdrawn() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.before("CopyObject", |state| state.objects.retain(|(_, key), _| key != "firmware/blinky.bin"));
    let told = release(&fake, &upload).await;
    assert_eq!((&told["outcome"], &told["reason"]), (&json!("skipped"), &json!("withdrawn")), "{told}");
    assert!(fake.calls("CreateStream").is_empty());
}

#[tokio::test]
async fn a_copy_of_another_version_is_never_streamed() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.copies_another_version = true);
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    for _ in 0..3 {
        assert!(failure(&fake, &upload).await.contains("S3 copied the version `other`"));
    }
    assert!(fake.calls("CreateStream").is_empty());
}

#[tokio::test]
async fn all_pages_of_earlier_work_are_seen() {
    let fake = Fake::new();
    fake.set(|behavior| behavior.page = 1);
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.state().calls.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let listings = fake.calls("ListObjectVersions");
    assert_eq!(listings.iter().filter(|call| call.query.contains("prefix=SignedImage")).count(), 3);
    assert!(fake.calls("StartSigningJob").is_empty());
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
}

#[tokio::test]
async fn a_profile_whose_certname_devices_cannot_read_fails_before_anything_is_created() {
    for certname in [None, Some(""), Some("a\"b"), Some("a\\b"), Some("${x}"), Some("a\nb")] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.certname = certname);
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains("`certname`"), "{failed}");
        assert_nothing_created(&fake);
    }
}

#[tokio::test]
async fn a_profile_that_is_gone_or_not_active_fails_before_anything_is_created() {
    for status in ["Canceled", "Revoked"] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.profile_status = status);
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        let expected = format!("the signing profile `{PROFILE}` is of no use: it is {status}, expected Active");
        assert!(failure(&fake, &upload).await.contains(&expected));
        assert_nothing_created(&fake);
    }
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:signing-profile", "Gone")]);
    let failed = run_with(&fake, &event(&upload), &[("ALLOWED_SIGNING_PROFILES", "Gone")]).await;
    assert!(failed.expect_err("a failure").contains("looking up the signing profile `Gone`"));
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn an_image_larger_than_the_signing_platform_takes_is_rejected_before_anything_is_created() {
    const MOST: usize = 16 * 1024 * 1024;
    for (platform, size, outcome) in [
        ("AmazonFreeRTOS-Default", MOST, "created"),
        ("AmazonFreeRTOS-Default", MOST + 1, "rejected"),
        ("AmazonFreeRTOS-TI-CC3220SF", MOST + 1, "rejected"),
        ("AWSIoTDeviceManagement-SHA256-ECDSA", MOST + 1, "created"),
    ] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.platform = platform);
        let upload = fake.upload("firmware/blinky.bin", vec![7; size], &[LAB]);
        let told = release(&fake, &upload).await;
        assert_eq!(told["outcome"], outcome, "{platform} {size}: {told}");
        if outcome == "rejected" {
            let expected = format!(
                "the object has {size} bytes, expected at most {MOST}, the most that the signing platform `{platform}` \
                 takes"
            );
            assert_eq!(told["reasons"], json!([expected]));
            assert_nothing_created(&fake);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_at_the_profile_that_is_throttled_does_not_keep_a_release_up() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    for _ in 0..3 {
        fake.instead_of("GetSigningProfile", 429, "TooManyRequestsException");
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.calls("GetSigningProfile").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_is_not_asked_again_at_once() {
    for (operation, calls) in [("CreateStream", 1), ("CreateJob", 1)] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        for _ in 0..3 {
            fake.instead_of(operation, 410, "LimitExceededException");
        }
        assert!(failure(&fake, &upload).await.contains("LimitExceededException"));
        assert_eq!(fake.calls(operation).len(), calls, "{operation}");
    }
}

/// A fault at every call, first without, then with its effect: the next delivery finishes what was begun.
#[tokio::test(start_paused = true)]
async fn after_any_failed_call_the_next_delivery_comes_to_one_job() {
    let operations = [
        "GetObjectTagging",
        "HeadObject",
        "ListObjectVersions",
        "DescribeThingGroup",
        "DescribeJob",
        "PutObject",
        "StartSigningJob",
        "DescribeSigningJob",
        "GetObject",
        "GetUpload",
        "GetCertificate",
        "CopyObject",
        "CreateStream",
        "CreateJob",
    ];
    let mut recovered_at_once = 0;
    for operation in operations {
        for has_effect in [false, true] {
            let fake = Fake::new();
            let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
            // As often as the client tries; the two heads are asked for at the same time.
            for _ in 0..if operation == "HeadObject" { 6 } else { 3 } {
                if has_effect {
                    fake.after(operation, 500, "InternalError");
                } else {
                    fake.instead_of(operation, 500, "InternalError");
                }
            }
            match run(&fake, &event(&upload)).await {
                Err(failed) => assert!(failed.starts_with("`firmware/blinky.bin`: "), "{failed}"),
                Ok(_) => recovered_at_once += 1,
            }
            let second = release(&fake, &upload).await;
            let outcome = second["outcome"].as_str().expect("an outcome");
            assert!(matches!(outcome, "created" | "adopted"), "{operation} {has_effect}: {second}");
            assert_released_once(&fake, &upload, IMAGE).await;
            assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
        }
    }
    // CreateStream and CreateJob that had their effect are looked up and adopted, whatever they answered.
    assert_eq!(recovered_at_once, 2);
}

#[tokio::test]
async fn an_earlier_attempts_signature_is_used_again() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.state().calls.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert!(fake.calls("StartSigningJob").is_empty());
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn an_earlier_signature_of_another_profile_is_not_used() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.state().objects.get_mut(&(BUCKET.into(), upload.key.clone())).expect("it")[0]
        .tags
        .push(("ota:signing-profile".into(), "OtherProfile".into()));
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let profiles: Vec<_> =
        fake.calls("StartSigningJob").iter().map(|call| call.json()["profileName"].clone()).collect();
    assert_eq!(profiles, [PROFILE, "OtherProfile"]);
}

#[tokio::test]
async fn concurrent_deliveries_come_to_one_job() {
    for latency in [0, 10] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.latency = Duration::from_millis(latency));
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        let event = event(&upload);
        let releases = futures::future::join_all((0..8).map(|_| run(&fake, &event))).await;
        let outcomes: Vec<_> = releases.iter().map(|r| r.as_ref().expect("no failure")[0]["outcome"].clone()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "created").count(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|outcome| outcome == "created" || outcome == "adopted"), "{outcomes:?}");
        assert!(releases.iter().all(|r| r.as_ref().expect("it")[0]["endTime"] == "2026-11-23T23:41"), "{releases:?}");
        assert_eq!(receipt(&fake, &upload)["startTime"], "2026-11-23T22:41");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn the_job_id_of_the_first_attempt_counts() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:job-id", "first")]);
    fake.instead_of("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.state().objects.get_mut(&(BUCKET.into(), upload.key.clone())).expect("it")[0].tags[1].1 = "second".into();
    assert_eq!(release(&fake, &upload).await["jobId"], "AFR_OTA-first");
}

#[tokio::test]
async fn the_record_of_an_attempt_that_was_first_counts() {
    for finished in [false, true] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        let settings = Settings::from_lookup(setting).expect("good settings");
        let key = format!("{}release.json", settings.prefix_of(&upload));
        let mut record = json!({"bucket": BUCKET, "key": upload.key, "versionId": upload.version_id, "tags": {},
                                "jobId": "AFR_OTA-first", "streamId": upload.stream_id()});
        if finished {
            record["jobArn"] = job_arn("AFR_OTA-first").into();
        }
        // Another attempt puts its record, and in the second case creates its job, between the look and the put.
        fake.before("PutObject", move |state| {
            state.put(BUCKET, &key, Some(record.to_string().into()), Vec::new());
            if finished {
                state.jobs.insert("AFR_OTA-first".into(), json!({"document": "{}", "status": "SCHEDULED"}));
            }
        });
        let release = release(&fake, &upload).await;
        assert_eq!(release["jobId"], "AFR_OTA-first");
        assert_eq!(release["outcome"], if finished { "adopted" } else { "created" });
        assert_eq!(fake.calls("CreateJob").len(), usize::from(!finished));
    }
}

#[tokio::test]
async fn a_job_id_that_another_release_has_is_rejected_before_signing() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:job-id", "spring")];
    let first = fake.upload("firmware/a.bin", IMAGE, &tags);
    release(&fake, &first).await;
    fake.state().calls.clear();
    let second = fake.upload("firmware/b.bin", IMAGE, &tags);
    let release = release(&fake, &second).await;
    assert_eq!(
        release["reasons"],
        json!([format!(
            "tag `ota:job-id` asks for the job ID `AFR_OTA-spring`, which the upload `s3://{BUCKET}/firmware/a.bin?versionId={}` has; choose another and upload again",
            first.version_id
        )])
    );
    assert_nothing_created(&fake);
}

/// Two minutes pass between the check and CreateJob.
async fn release_slowly(fake: &Arc<Fake>, upload: &Upload) -> Value {
    thread_local! {
        static LOOKS: Cell<u32> = const { Cell::new(0) };
    }
    LOOKS.set(0);
    let clock = || {
        let passed = if LOOKS.replace(LOOKS.get() + 1) < 2 { 0 } else { 120 };
        now() + jiff::SignedDuration::from_secs(passed)
    };
    let settings = Settings::from_lookup(setting).expect("good settings");
    let function = Function::new(settings, fake.clients()).with_clock(clock);
    let deadline = SystemTime::now() + Duration::from_mins(2);
    let releases = function.handle(&event(upload).to_string(), deadline).await.expect("no failure");
    serde_json::to_value(&releases.releases[0]).expect("JSON")
}

#[tokio::test]
async fn a_job_that_another_attempt_created_in_time_is_adopted_by_one_that_comes_too_late() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:start", "2026-11-23T22:12")]);
    let (job_id, document) =
        (upload.default_job_id(), json!({"afr_ota": {"streamname": upload.stream_id()}}).to_string());
    // By the record of this attempt, as it was first.
    let settings = Settings::from_lookup(setting).expect("good settings");
    let key = format!("{}release.json", settings.prefix_of(&upload));
    fake.before("CreateStream", move |state| {
        let record = state.objects[&(BUCKET.to_owned(), key)][0].bytes.clone().expect("a record");
        let record: JobRecord = serde_json::from_slice(&record).expect("JSON");
        let description = format!("x{}", record.mark());
        state.jobs.insert(job_id, json!({"document": document, "status": "SCHEDULED", "description": description}));
    });
    let release = release_slowly(&fake, &upload).await;
    assert_eq!(release["outcome"], "adopted", "{release}");
    assert!(fake.calls("CreateJob").is_empty());
}

#[tokio::test]
async fn a_schedule_that_is_too_near_when_the_job_is_created_is_rejected() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:start", "2026-11-23T22:12")]);
    let release = release_slowly(&fake, &upload).await;
    assert_eq!(
        release["reasons"],
        json!([
            "the start has come too near while the image was signed: it is 29m ahead, expected `now` or at least 30 minutes \
          ahead"
        ])
    );
    assert_eq!((release.get("jobId"), release.get("streamId")), (None, None));
    assert!(fake.calls("CreateJob").is_empty());
}

#[tokio::test]
async fn a_refusal_of_aws_is_told_with_its_own_words() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.instead_of("StartSigningJob", 403, "AccessDeniedException");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("with the signing profile `OtaSigning`"), "{failed}");
    assert!(failed.contains("AccessDeniedException") && failed.contains("injected"), "{failed}");
}

#[tokio::test]
async fn a_device_takes_the_job_document() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/größe \"2\" \\ 🚀.bin", IMAGE, &[LAB]);
    release(&fake, &upload).await;
    let job = one(fake.calls("CreateJob")).json();
    let document = job["document"].as_str().expect("text");
    assert!(!document.contains('\\') && !document.contains("null") && !document.contains("${"), "{document}");
    let afr_ota = document.strip_prefix("{\"afr_ota\":").and_then(|rest| rest.strip_suffix('}')).expect("its frame");
    let (job, _) =
        serde_json_core::from_str::<rustot::ota::encoding::json::OtaJob>(afr_ota).expect("a device takes it");
    assert_eq!(job.streamname, upload.stream_id());
    assert_eq!((job.files[0].filepath, job.files[0].filesize), ("gr__e__2_____.bin", IMAGE.len()));
    assert_eq!((job.files[0].certfile, job.files[0].file_type), ("/certs/ota.pem", Some(0)));
    assert!(fake.verifies(job.files[0].sha256_ecdsa.expect("a signature"), IMAGE));

    let tags =
        [LAB, ("ota:file-path", "/app/blinky_1.2-0.bin"), ("ota:file-type", "203"), ("ota:protocols", "mqtt http")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    release(&fake, &upload).await;
    let job = fake.calls("CreateJob").remove(1).json();
    let document = job["document"].as_str().and_then(|text| text.strip_prefix("{\"afr_ota\":")?.strip_suffix('}'));
    let (job, _) = serde_json_core::from_str::<rustot::ota::encoding::json::OtaJob>(document.expect("its frame"))
        .expect("a device takes it");
    assert_eq!((job.files[0].filepath, job.files[0].file_type), ("/app/blinky_1.2-0.bin", Some(203)));
    assert_eq!((job.protocols.len(), job.files[0].auth_scheme), (2, Some("aws.s3.presigned")));
    assert_eq!(presigned(&fake, job.files[0].update_data_url.expect("a URL")), IMAGE);
}

/// A request as a dry run words it: what only Signer and S3 know is marked.
fn marked(mut request: Value) -> Value {
    if let Some(document) = request["document"].as_str() {
        let mut document: Value = serde_json::from_str(document).expect("JSON");
        let file = &mut document["afr_ota"]["files"][0];
        (file["certfile"], file["sig-sha256-ecdsa"]) = ("<from Signer>".into(), "<from Signer>".into());
        if let Some((place, _)) = file["update_data_url"].as_str().and_then(|url| url.rsplit_once('/')) {
            file["update_data_url"] = format!("{place}/<from Signer>%3FversionId%3D<from S3>}}").into();
        }
        request["document"] = document;
    }
    if let Some(Value::Object(location)) = request.pointer_mut("/files/0/s3Location") {
        let key = location["key"].as_str().expect("a key").rsplit_once('/').expect("a prefix").0.to_owned();
        location.insert("key".into(), format!("{key}/<from Signer>").into());
        location.insert("version".into(), "<from S3>".into());
    }
    request
}

#[tokio::test]
async fn a_dry_run_tells_the_very_requests_of_the_release_and_makes_none() {
    let tags = [
        LAB,
        ("ota:start", "2h"),
        ("ota:end", "2d"),
        ("ota:retries", "failed:2 timed-out:1"),
        ("ota:job-id", "spring"),
        ("ota:timezone", "Etc/GMT+5"),
        ("ota:window", "daily 22:00 2h"),
        ("ota:package-version", "blinky:1.2.0"),
        ("ota:file-path", "/app/blinky.bin"),
        ("ota:file-type", "1"),
    ];
    let header = "ota:thing-group=lab&ota%3Astart=2h&ota:end=2d&ota:retries=failed:2+timed-out%3A1&ota:job-id=spring\
                  &ota:timezone=Etc/GMT%2B5&ota:window=daily+22:00+2h&ota:package-version=blinky:1.2.0\
                  &ota:file-path=/app/blinky.bin&ota:file-type=1";
    let fake = Fake::new();
    let upload = fake.upload("firmware/größe 1.bin", IMAGE, &tags);
    let mut event = event(&upload);
    event["Records"][0]["s3"]["object"]["size"] = IMAGE.len().into();

    let offline = [("DRY_RUN", "true"), ("DRY_RUN_TAGS", header)];
    let offline = run_with(&fake, &event, &offline).await.expect("no failure").remove(0);
    assert_eq!(fake.operations(), Vec::<&str>::new());
    let online = run_with(&fake, &event, &[("DRY_RUN", "true")]).await.expect("no failure").remove(0);
    assert_nothing_created(&fake);
    assert_eq!(offline, online);

    let real = release(&fake, &upload).await;
    assert_eq!(real["outcome"], "created");
    for member in ["bucket", "key", "versionId", "jobId", "streamId", "startTime", "endTime"] {
        assert_eq!(offline[member], real[member], "{member}");
    }
    assert_eq!(offline["startSigningJob"], without_nonce(one(fake.calls("StartSigningJob")).json()));
    let mut stream = marked(one(fake.calls("CreateStream")).json());
    stream["streamId"] = real["streamId"].clone();
    assert_eq!(offline["createStream"], stream);
    let mut job = marked(without_nonce(one(fake.calls("CreateJob")).json()));
    job["jobId"] = real["jobId"].clone();
    assert_eq!(marked(offline["createJob"].clone()), job);
    assert!(offline["createJob"]["document"].as_str().expect("text").contains("\"certfile\":\"<from Signer>\""));
}

#[tokio::test]
async fn a_dry_run_tells_no_more_requests_than_the_protocols_need() {
    for (protocols, has_stream) in [("http", false), ("mqtt http", true)] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:protocols", protocols)]);
        let dry = run_with(&fake, &event(&upload), &[("DRY_RUN", "true")]).await.expect("no failure").remove(0);
        assert_nothing_created(&fake);
        assert_eq!((dry["createStream"].is_object(), dry["streamId"].is_string()), (has_stream, has_stream));
        let real = release(&fake, &upload).await;
        assert_eq!(dry["streamId"], real["streamId"]);
        let mut job = marked(without_nonce(one(fake.calls("CreateJob")).json()));
        job["jobId"] = real["jobId"].clone();
        assert_eq!(marked(dry["createJob"].clone()), job);
        assert!(job["presignedUrlConfig"].is_object());
    }
}

#[tokio::test]
async fn a_dry_run_checks_what_a_release_does() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", "", &[("ota:thing-group", "eu-missing")]);
    let mut event = event(&upload);
    event["Records"][0]["s3"]["object"]["size"] = 0.into();
    let bad = [("DRY_RUN", "true"), ("DRY_RUN_TAGS", "ota:thing-group=prod&ota:retries=lots")];
    let bad = run_with(&fake, &event, &bad).await.expect("no failure").remove(0);
    assert_eq!((&bad["outcome"], bad["reasons"].as_array().map(Vec::len)), (&json!("rejected"), Some(3)), "{bad}");
    assert_eq!(fake.operations(), Vec::<&str>::new());

    // What only AWS knows, the dry run of the deployed function finds.
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[("ota:thing-group", "eu-missing")]);
    let missing = run_with(&fake, &self::event(&upload), &[("DRY_RUN", "true")]).await.expect("no failure").remove(0);
    assert_eq!(missing["outcome"], "rejected", "{missing}");

    // A job that is there is told; not even its receipt is put.
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    release(&fake, &upload).await;
    lose_receipt(&fake, &upload);
    fake.state().calls.clear();
    let adopted = run_with(&fake, &self::event(&upload), &[("DRY_RUN", "true")]).await.expect("no failure").remove(0);
    assert_eq!(adopted["outcome"], "adopted");
    assert_nothing_created(&fake);
}

/// Every event in `events/` comes to the result beside it, in a dry run with the settings in `events/env/dry-run.json`; and
/// the release itself comes to a job where the dry run tells the requests. `UPDATE_RESULTS=1` writes the results anew.
#[tokio::test]
async fn every_sample_event_comes_to_the_result_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let dry = fs::read(folder.join("env/dry-run.json")).expect("a file");
    let dry: Value = serde_json::from_slice(&dry).expect("JSON");
    let dry = dry["Function"].as_object().expect("settings").iter();
    let dry: Vec<_> = dry.map(|(name, value)| (name.as_str(), value.as_str().expect("text"))).collect();
    let files = fs::read_dir(&folder).expect("events").map(|entry| entry.expect("a file").path());
    let files = files.filter(|path| path.is_file());
    let is_result = |file: &PathBuf| file.to_string_lossy().ends_with(".result.json");
    let (results, events): (Vec<_>, Vec<_>) = files.partition(is_result);
    assert!(events.len() >= 36, "{events:?}");
    assert!(results.iter().all(|result| events.contains(&with_ending(result, "json"))), "a result of no event");
    for file in events {
        let event: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
        let fake = Fake::new();
        let told = result(run_with(&fake, &event, &dry).await);
        assert_eq!(fake.operations(), Vec::<&str>::new());
        let beside = with_ending(&file, "result.json");
        if env::var_os("UPDATE_RESULTS").is_some() {
            let text = serde_json::to_string_pretty(&told).expect("JSON");
            fs::write(&beside, text + "\n").expect("a written file");
        }
        let expected = fs::read(&beside).unwrap_or_else(|_| panic!("{} is missing", beside.display()));
        let expected: Value = serde_json::from_slice(&expected).expect("JSON");
        assert_eq!(told, expected, "{}", file.display());

        // Events in envelopes tell of an image that is nothing special.
        let releases = told["releases"].as_array().into_iter().flatten();
        for release in releases.clone().filter(|release| release["outcome"] == "dry-run") {
            put_version(&fake, release["key"].as_str().expect("a key"), 1000, &release["versionId"]);
        }
        for record in event["Records"].as_array().into_iter().flatten().filter(|record| record["s3"].is_object()) {
            put_sample(&fake, &record["s3"]["object"]);
        }
        let queue = dry.iter().filter(|(name, _)| *name == "FAILURE_QUEUE_ARN").copied().collect::<Vec<_>>();
        let made = result(run_with(&fake, &event, &queue).await);
        assert_eq!(made["errorMessage"], told["errorMessage"], "{}", file.display());
        assert_eq!(made["releases"].as_array().map(Vec::len), told["releases"].as_array().map(Vec::len));
        for (made, told) in made["releases"].as_array().into_iter().flatten().zip(releases) {
            let (made, told) = (&made["outcome"], &told["outcome"]);
            let is_job = *told == "dry-run" && (*made == "created" || *made == "adopted");
            assert!(is_job || made == told, "{}: {made}, told {told}", file.display());
        }
    }
}

/// The result of an invocation, as Lambda returns it.
fn result(done: Result<Vec<Value>, String>) -> Value {
    match done {
        Ok(releases) => json!({"releases": releases}),
        Err(message) => json!({"errorType": "ReleaseFailed", "errorMessage": message}),
    }
}

/// An upload comes to the same, however its event is wrapped up.
#[tokio::test]
async fn every_envelope_of_an_event_comes_to_what_the_event_comes_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(folder.join(name)).expect("a file")).expect("JSON") };
    let put = read("put.result.json");
    for name in [
        "array",
        "bare-record",
        "eventbridge-created",
        "eventbridge-detail",
        "failure-message",
        "failure-queue",
        "prefixed-event-name",
        "sns-eventbridge",
        "sns-notification",
        "sqs-encoded-twice",
        "sqs-eventbridge",
        "sqs-notification",
        "sqs-sns-notification",
    ] {
        assert_eq!(read(&format!("{name}.result.json")), put, "{name}");
    }
    assert_eq!(read("eventbridge-encoded-key.result.json"), read("encoded-key.result.json"));
    assert_eq!(read("eventbridge-tags-added.result.json"), read("tagged-later.result.json"));

    // And so when it is released: one job of all of them.
    let fake = Fake::new();
    put_sample(&fake, &read("put.json")["Records"][0]["s3"]["object"]);
    let created = run(&fake, &read("failure-queue.json")).await.expect("no failure").remove(0);
    assert_eq!(created["outcome"], "created");
    for name in ["put", "sqs-sns-notification", "eventbridge-created", "failure-message"] {
        let again = run(&fake, &read(&format!("{name}.json"))).await.expect("no failure").remove(0);
        assert_eq!((&again["outcome"], &again["jobArn"]), (&json!("adopted"), &created["jobArn"]), "{name}");
    }
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    file.with_file_name(format!("{}.{ending}", name.split('.').next().expect("its beginning")))
}

/// Puts the object that an event tells of, for the thing group `lab`.
fn put_sample(fake: &Fake, object: &Value) {
    let key = object["key"].as_str().expect("a key").replace('+', " ");
    let key = percent_encoding::percent_decode_str(&key).decode_utf8().expect("UTF-8").into_owned();
    let size = object["size"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(1000);
    put_version(fake, &key, size, &object["versionId"]);
}

/// With the files that it names, where it is a manifest.
fn put_version(fake: &Fake, key: &str, size: usize, id: &Value) {
    let mut bytes = vec![7; size];
    if key.ends_with(".ota.json") {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("events/manifests/gateway.ota.json");
        bytes = fs::read(sample).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
        for file in manifest["files"].as_array().expect("files") {
            put_version(fake, file["key"].as_str().expect("a key"), 1000, &file["versionId"]);
        }
    }
    let version = Version {
        id: id.as_str().unwrap_or("null").to_owned(),
        bytes: Some(bytes.into()),
        tags: vec![("ota:thing-group".into(), "lab".into())],
        ..Version::default()
    };
    fake.state().objects.insert((BUCKET.into(), key.to_owned()), vec![version]);
}
