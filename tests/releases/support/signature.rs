//! Signatures that exist before a release, and signatures that are wrong.

use super::{BUCKET, Fake, PROFILE, Upload};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

pub type Corrupt = fn(&mut Value);

/// A signature by OpenSSL with a P-256 key, of other bytes than any image here. Only its form is checked.
pub const EXTERNAL_SIGNATURE: &str =
    "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";

/// Replaces the signature in a signed object by one of other bytes.
pub fn replace_signature(object: &mut Value) {
    object["signature"] = EXTERNAL_SIGNATURE.into();
}

pub fn remove_certname(job: &mut Value) {
    job.as_object_mut().expect("an object").remove("signingParameters");
}

/// Starts a signing job for an upload, as an operator can.
pub async fn start_signing_job(fake: &Fake, source: &Upload, prefix: &str, token: &str) -> Response<Bytes> {
    let source = json!({"bucketName": BUCKET, "key": source.key, "version": source.version_id});
    let request = json!({
        "source": {"s3": source}, "destination": {"s3": {"bucketName": BUCKET, "prefix": prefix}},
        "profileName": PROFILE, "clientRequestToken": token,
    });
    let request = Request::post("/signing-jobs").body(request.to_string().into()).expect("a request");
    let response = fake.answer(request).await;
    assert_eq!(response.status(), 200);
    response
}

/// Signs an upload before its release, as an operator does. Returns the signing job's ID.
pub async fn sign_in_advance(fake: &Fake, upload: &Upload, prefix: &str) -> String {
    let response = start_signing_job(fake, upload, prefix, prefix).await;
    let response: Value = serde_json::from_slice(response.body()).expect("JSON");
    fake.state().calls.clear();
    response["jobId"].as_str().expect("an ID").to_owned()
}
