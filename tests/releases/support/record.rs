//! The record of a release: the claims and receipts in `release.json`.

use super::{BUCKET, Fake, JobRecord, Settings, State, Upload, setting};
use serde_json::{Value, json};

/// The prefix below which the function writes for an upload.
pub fn signed_prefix(upload: &Upload) -> String {
    Settings::from_lookup(setting).expect("good settings").prefix_of(upload)
}

pub fn record_key(upload: &Upload) -> String {
    format!("{}release.json", signed_prefix(upload))
}

/// The latest version of an upload's record.
pub fn receipt(fake: &Fake, upload: &Upload) -> Value {
    let bytes = fake.state().objects[&(BUCKET.to_owned(), record_key(upload))][0].bytes.clone().expect("a record");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Deletes all versions of an upload's record but the first claim.
pub fn delete_receipt(fake: &Fake, upload: &Upload) {
    let mut state = fake.state();
    let versions = state.objects.get_mut(&(BUCKET.to_owned(), record_key(upload))).expect("a record");
    versions.drain(..versions.len() - 1);
}

/// Puts a delete marker over the record, as `s3:DeleteObject` does.
pub fn hide_record(fake: &Fake, upload: &Upload) {
    fake.delete(&record_key(upload));
}

/// The claim of another attempt.
pub fn claim(upload: &Upload, job_id: &str) -> Value {
    let Upload { bucket, key, version_id, .. } = upload;
    json!({"bucket": bucket, "key": key, "versionId": version_id, "jobId": job_id, "nonce": "00".repeat(16), "tags": {}})
}

/// The mark that a record puts on the description of its job.
pub fn mark(record: &Value) -> String {
    serde_json::from_value::<JobRecord>(record.clone()).expect("a record").mark()
}

/// The mark of the record with this key.
pub fn mark_at(state: &State, key: &str) -> String {
    let record = state.objects[&(BUCKET.to_owned(), key.to_owned())][0].bytes.clone().expect("a record");
    mark(&serde_json::from_slice(&record).expect("JSON"))
}
