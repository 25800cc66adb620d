//! Responses that lack a header or a member: they fail the release, which Lambda retries, and decide nothing.

use crate::support::{
    Fake, Fault, IMAGE, LAB, UNVERIFIED, Upload, assert_released_once, event, failure_with, release, run, upload_image,
};
use serde_json::json;
use std::sync::Arc;

async fn assert_fails_then_released(fake: &Arc<Fake>, upload: &Upload, operation: &'static str, member: &'static str) {
    fake.state().omitted = Some((operation, member));
    let outcome = run(fake, &event(upload)).await;
    let failed = outcome.expect_err(&format!("{operation} without {member}"));
    let is_named = failed.contains("a response of AWS lacks `") || failed.contains("the response is incomplete");
    assert!(is_named, "{operation} without {member}: {failed}");
    fake.state().omitted = None;
    let releases = run(fake, &event(upload)).await.expect("no failure");
    assert!(releases[0]["outcome"] == "created" || releases[0]["outcome"] == "adopted", "{operation} {member}");
    assert_released_once(fake, upload, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_member_fails_the_attempt_and_the_next_one_succeeds() {
    for (operation, member) in [
        ("GetObjectTagging", "TagSet"),
        ("GetObjectTagging", "Key"),
        ("GetObjectTagging", "Value"),
        ("HeadObject", "x-amz-version-id"),
        ("HeadObject", "content-length"),
        ("HeadObject", "etag"),
        ("ListObjectVersions", "IsTruncated"),
        ("GetSigningProfile", "status"),
        ("GetSigningProfile", "platformId"),
        ("StartSigningJob", "jobId"),
        ("DescribeSigningJob", "status"),
        ("DescribeSigningJob", "source"),
        ("DescribeSigningJob", "bucketName"),
        ("DescribeSigningJob", "version"),
        ("DescribeSigningJob", "key"),
        ("DescribeSigningJob", "signedObject"),
        ("DescribeSigningJob", "profileName"),
        ("DescribeSigningJob", "signingMaterial"),
        ("DescribeSigningJob", "certificateArn"),
        ("GetObject", "content-length"),
        ("GetCertificate", "Certificate"),
        ("PutObject", "x-amz-version-id"),
        ("CopyObject", "x-amz-version-id"),
        ("CopyObject", "x-amz-copy-source-version-id"),
    ] {
        let (fake, upload) = upload_image(&[LAB]);
        assert_fails_then_released(&fake, &upload, operation, member).await;
    }
}

/// The next attempt fails at the incomplete response, and a later one adopts the work of the first.
#[tokio::test(start_paused = true)]
async fn a_missing_member_is_not_mistaken_for_missing_work_of_an_earlier_attempt() {
    for (failed_at, operation, member) in [
        ("CreateJob", "ListObjectVersions", "IsTruncated"),
        ("CreateJob", "ListObjectVersions", "NextKeyMarker"),
        ("CreateJob", "ListObjectVersions", "NextVersionIdMarker"),
        ("CreateJob", "ListObjectVersions", "Key"),
        ("CreateJob", "ListObjectVersions", "VersionId"),
        ("CreateJob", "ListObjectVersions", "LastModified"),
        ("CreateJob", "DescribeSigningJob", "status"),
        ("CreateJob", "DescribeSigningJob", "source"),
        ("CreateJob", "DescribeSigningJob", "profileName"),
        ("CreateJob", "DescribeStream", "streamInfo"),
        ("CreateJob", "DescribeStream", "files"),
        ("CreateJob", "DescribeStream", "fileId"),
        ("CreateJob", "DescribeStream", "s3Location"),
        ("CreateJob", "DescribeStream", "bucket"),
        ("CreateJob", "DescribeStream", "key"),
        ("CreateJob", "DescribeStream", "roleArn"),
        ("the receipt", "DescribeJob", "job"),
        ("the receipt", "DescribeJob", "jobArn"),
        ("the receipt", "DescribeJob", "status"),
        ("the receipt", "GetJobDocument", "document"),
    ] {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.page = 1);
        // The second PutObject of a release writes the receipt.
        let first = if failed_at == "CreateJob" { ("CreateJob", 0) } else { ("PutObject", 1) };
        let every_try = (0..3).map(|more| ((first.0, first.1 + more), Fault::ErrorBefore));
        fake.state().faults = every_try.collect();
        run(&fake, &event(&upload)).await.expect_err("a failure");
        assert_fails_then_released(&fake, &upload, operation, member).await;
        assert_eq!(fake.calls("StartSigningJob").len(), 1, "{operation} without {member}: signed again");
    }
}

/// Deletes everything of a release except its signing job, and adds a signature object. The new tags name the job or
/// the object.
fn provide_signature(fake: &Fake, upload: &Upload, tag: &str) {
    let mut state = fake.state();
    let job = state.signing_jobs.keys().next().expect("a signing job").clone();
    state.jobs.clear();
    state.objects.retain(|(_, key), _| !key.ends_with("release.json"));
    drop(state);
    match tag {
        "ota:signature" => fake.set_tags(upload, &[LAB, (tag, ".sig"), ("ota:certificate", "/certs/ota.pem")]),
        _ => fake.set_tags(upload, &[LAB, (tag, &job)]),
    }
    let signature_object =
        json!({"versionId": upload.version_id, "signature": "x", "signatureAlgorithm": "SHA256withECDSA"});
    fake.upload("firmware/blinky.bin.sig", signature_object.to_string(), &[]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_member_never_rejects_a_provided_signature() {
    for (tag, operation, member) in [
        ("ota:signing-job", "DescribeSigningJob", "status"),
        ("ota:signing-job", "DescribeSigningJob", "source"),
        ("ota:signing-job", "DescribeSigningJob", "version"),
        ("ota:signing-job", "DescribeSigningJob", "profileName"),
        ("ota:signing-job", "DescribeSigningJob", "signedObject"),
        ("ota:signing-job", "DescribeSigningJob", "signingMaterial"),
        ("ota:signing-job", "DescribeSigningJob", "certificateArn"),
        ("ota:signing-job", "DescribeSigningJob", "jobOwner"),
        ("ota:signing-job", "GetSigningProfile", "status"),
        ("ota:signing-job", "GetObject", "content-length"),
        ("ota:signature", "GetUpload", "content-length"),
        ("ota:signature", "GetUpload", "x-amz-version-id"),
    ] {
        let (fake, upload) = upload_image(&[LAB]);
        run(&fake, &event(&upload)).await.expect("no failure");
        provide_signature(&fake, &upload, tag);
        fake.state().omitted = Some((operation, member));
        let failed = failure_with(&fake, &upload, &[UNVERIFIED]).await;
        assert!(failed.contains("a response of AWS lacks `"), "{operation} without {member}: {failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_without_headers_fails_the_attempt() {
    // The first HeadObject is for the version, the second and third for the key.
    for nth in 0..3 {
        let (fake, upload) = upload_image(&[LAB]);
        fake.state().faults = vec![(("HeadObject", nth), Fault::HeadersLost)];
        let failed = run(&fake, &event(&upload)).await.expect_err("a failure");
        assert!(failed.contains("a response of AWS lacks `"), "{failed}");
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_without_an_arn_is_looked_up_and_adopted() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.state().omitted = Some(("CreateJob", "jobArn"));
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    assert_released_once(&fake, &upload, IMAGE).await;
}
