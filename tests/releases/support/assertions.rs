//! Assertions on the result of a release, and on the state of the fake after the release.

use super::{Call, Fake, Upload};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// The operations that create something lasting.
const CREATING: [&str; 5] = ["PutObject", "StartSigningJob", "CopyObject", "CreateStream", "CreateJob"];

pub fn single(mut calls: Vec<Call>) -> Call {
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

#[track_caller]
pub fn assert_outcome(release: &Value, outcome: &str, reason: Option<&str>) {
    let reason = reason.map_or(Value::Null, Value::from);
    assert_eq!((&release["outcome"], &release["reason"]), (&json!(outcome), &reason), "{release}");
}

#[track_caller]
pub fn assert_unchanged(release: &Value) {
    assert_outcome(release, "skipped", Some("unchanged"));
    assert_eq!((release.get("jobId"), release.get("jobArn")), (None, None));
}

pub fn assert_nothing_created(fake: &Fake) {
    let operations = fake.operations();
    assert!(!operations.iter().any(|operation| CREATING.contains(operation)), "{operations:?}");
}

/// Returns the reasons of a rejected release. Asserts that nothing was created.
pub fn rejection_reasons(fake: &Fake, release: &Value) -> Vec<String> {
    assert_eq!(release["outcome"], "rejected", "{release}");
    assert_nothing_created(fake);
    serde_json::from_value(release["reasons"].clone()).expect("reasons")
}

/// The document of a CreateJob request.
pub fn document(job: &Value) -> Value {
    serde_json::from_str(job["document"].as_str().expect("a document")).expect("JSON")
}

/// The first file in the document of the only job.
pub fn first_file(fake: &Fake) -> Value {
    document(&single(fake.calls("CreateJob")).json())["afr_ota"]["files"][0].clone()
}

/// Asserts one job and one stream, with the bytes of the upload and a signature of them.
pub async fn assert_released_once(fake: &Fake, upload: &Upload, image: &[u8]) {
    let jobs = fake.state().jobs.clone();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let document = document(jobs.values().next().expect("a job"));
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
        assert_eq!(presigned_bytes(fake, file["update_data_url"].as_str().expect("a URL")), image);
    }
    assert_eq!(file["filesize"], image.len());
    assert!(fake.verifies(file["sig-sha256-ecdsa"].as_str().expect("a signature"), image));
}

/// The bytes for which AWS IoT would presign a URL.
pub fn presigned_bytes(fake: &Fake, placeholder: &str) -> Vec<u8> {
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

/// Replaces the values that derive from the record's nonce by placeholders, as a dry run does.
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
