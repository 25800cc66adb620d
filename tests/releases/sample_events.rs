//! The sample events in `events/`.

use crate::support::{
    APP, BUCKET, DRY_RUN, Fake, LAB, Version, document, release, release_of, release_with, run, run_with, single,
    without_nonce,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A dry run of every event in `events/`, with the settings in `events/env/dry-run.json`, has the result in the file
/// next to it. A release creates a job if the dry run reports requests. `UPDATE_RESULTS=1` rewrites the results.
#[tokio::test]
async fn every_sample_event_has_the_result_next_to_it() {
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
        let dry_run = result(run_with(&fake, &event, &dry).await);
        assert_eq!(fake.operations(), Vec::<&str>::new());
        let result_file = with_ending(&file, "result.json");
        if env::var_os("UPDATE_RESULTS").is_some() {
            let text = serde_json::to_string_pretty(&dry_run).expect("JSON");
            fs::write(&result_file, text + "\n").expect("a written file");
        }
        let expected = fs::read(&result_file).unwrap_or_else(|_| panic!("{} is missing", result_file.display()));
        let expected: Value = serde_json::from_slice(&expected).expect("JSON");
        assert_eq!(dry_run, expected, "{}", file.display());

        // The events in envelopes are for an ordinary image.
        let releases = dry_run["releases"].as_array().into_iter().flatten();
        for release in releases.clone().filter(|release| release["outcome"] == "dry-run") {
            put_version(&fake, release["key"].as_str().expect("a key"), 1000, &release["versionId"]);
        }
        for record in event["Records"].as_array().into_iter().flatten().filter(|record| record["s3"].is_object()) {
            put_sample(&fake, &record["s3"]["object"]);
        }
        let queue = dry.iter().filter(|(name, _)| *name == "FAILURE_QUEUE_ARN").copied().collect::<Vec<_>>();
        let actual = result(run_with(&fake, &event, &queue).await);
        assert_eq!(actual["errorMessage"], dry_run["errorMessage"], "{}", file.display());
        assert_eq!(actual["releases"].as_array().map(Vec::len), dry_run["releases"].as_array().map(Vec::len));
        for (actual, predicted) in actual["releases"].as_array().into_iter().flatten().zip(releases) {
            let (actual, predicted) = (&actual["outcome"], &predicted["outcome"]);
            let is_job = *predicted == "dry-run" && (*actual == "created" || *actual == "adopted");
            assert!(is_job || actual == predicted, "{}: {actual}, predicted {predicted}", file.display());
        }
    }
}

/// The result of an invocation, as Lambda returns it.
fn result(invoked: Result<Vec<Value>, String>) -> Value {
    match invoked {
        Ok(releases) => json!({"releases": releases}),
        Err(message) => json!({"errorType": "ReleaseFailed", "errorMessage": message}),
    }
}

#[tokio::test]
async fn every_envelope_of_an_event_has_the_same_result() {
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

    // All these events result in the same job.
    let fake = Fake::new();
    put_sample(&fake, &read("put.json")["Records"][0]["s3"]["object"]);
    let created = release_of(&fake, &read("failure-queue.json")).await;
    assert_eq!(created["outcome"], "created");
    for name in ["put", "sqs-sns-notification", "eventbridge-created", "failure-message"] {
        let again = run(&fake, &read(&format!("{name}.json"))).await.expect("no failure").remove(0);
        assert_eq!((&again["outcome"], &again["jobArn"]), (&json!("adopted"), &created["jobArn"]), "{name}");
    }
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    file.with_file_name(format!("{}.{ending}", name.split('.').next().expect("a first part")))
}

/// Puts the object of an event record, tagged for the thing group `lab`.
fn put_sample(fake: &Fake, object: &Value) {
    let key = object["key"].as_str().expect("a key").replace('+', " ");
    let key = percent_encoding::percent_decode_str(&key).decode_utf8().expect("UTF-8").into_owned();
    let size = object["size"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(1000);
    put_version(fake, &key, size, &object["versionId"]);
}

/// Puts an object version. If it is a manifest, puts its files too.
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

/// The sample manifest, with the settings and tags of the sample events.
#[tokio::test]
async fn the_dry_run_of_the_sample_manifest_matches_its_release() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(root.join("events").join(name)).expect("a file")).expect("JSON")
    };
    let mut manifest = read("manifests/gateway.ota.json");
    let in_settings = read("env/dry-run.json")["Function"]["DRY_RUN_MANIFEST"].clone();
    assert_eq!(serde_json::from_str::<Value>(in_settings.as_str().expect("text")).expect("JSON"), manifest);
    let fake = Fake::new();
    for file in manifest["files"].as_array_mut().expect("files") {
        let key = file["key"].as_str().expect("a key").to_owned();
        file["versionId"] = json!(fake.upload(&key, APP, &[]).version_id);
    }
    let json = manifest.to_string();
    let upload = fake.upload("firmware/gateway-2.1.0.ota.json", json.clone(), &[LAB]);
    let offline = [DRY_RUN, ("DRY_RUN_TAGS", "ota:thing-group=lab"), ("DRY_RUN_MANIFEST", &json)];
    let before = fake.operations().len();
    let dry_run = release_with(&fake, &upload, &offline).await;
    assert_eq!((fake.operations().len(), &dry_run["outcome"]), (before, &json!("dry-run")), "{dry_run}");
    assert_eq!(release(&fake, &upload).await["outcome"], "created");

    let signed = fake.calls("StartSigningJob");
    let signed: Vec<_> = signed.iter().map(|call| without_nonce(call.json())).collect();
    assert_eq!(dry_run["startSigningJobs"], json!(signed));
    assert_eq!(dry_run.get("startSigningJob"), None);
    let mut job = without_nonce(single(fake.calls("CreateJob")).json());
    let mut predicted = dry_run["createJob"].clone();
    let (sent, planned) = (document(&job), document(&predicted));
    let files = |document: &Value| document["afr_ota"]["files"].as_array().expect("files").clone();
    assert_eq!((files(&sent).len(), files(&planned).len()), (2, 2));
    for (sent, planned) in files(&sent).iter().zip(files(&planned)) {
        for member in ["filepath", "fileid", "fileType"] {
            assert_eq!(sent[member], planned[member]);
        }
        assert_eq!((&planned["filesize"], &planned["certfile"]), (&json!("<from S3>"), &json!("<from Signer>")));
    }
    for job in [&mut job, &mut predicted] {
        job["document"].take();
        job["jobId"].take();
    }
    assert_eq!(predicted, job);
}
