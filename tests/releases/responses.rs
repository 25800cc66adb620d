//! Responses that lack a header or a member: they fail the release, which Lambda retries, and decide nothing.

use crate::{
    fake::{BUCKET, Fake, Trouble},
    releases::{LAB, assert_released_once, event, run, run_with},
};
use ota_on_upload::upload::Upload;
use serde_json::json;
use std::sync::Arc;

const IMAGE: &[u8] = b"\x7fELF a firmware image";

async fn assert_fails_then_released(fake: &Arc<Fake>, upload: &Upload, operation: &'static str, member: &'static str) {
    fake.state().lacking = Some((operation, member));
    let outcome = run(fake, &event(upload)).await;
    let failed = outcome.expect_err(&format!("{operation} without {member}"));
    let is_named = failed.contains("a response of AWS lacks `") || failed.contains("the response is incomplete");
    assert!(is_named, "{operation} without {member}: {failed}");
    fake.state().lacking = None;
    let releases = run(fake, &event(upload)).await.expect("no failure");
    assert!(releases[0]["outcome"] == "created" || releases[0]["outcome"] == "adopted", "{operation} {member}");
    assert_released_once(fake, upload, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn an_absent_member_of_a_response_fails_a_release_that_the_next_attempt_makes() {
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
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        assert_fails_then_released(&fake, &upload, operation, member).await;
    }
}

/// What an attempt that died has left is adopted, or not, by responses that are whole.
#[tokio::test(start_paused = true)]
async fn an_absent_member_never_decides_about_what_an_earlier_attempt_left() {
    for (died_at, operation, member) in [
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
        let fake = Fake::new();
        fake.set(|behavior| behavior.page = 1);
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        // The second PutObject of a release is the receipt.
        let site = if died_at == "CreateJob" { ("CreateJob", 0) } else { ("PutObject", 1) };
        let every_try = (0..3).map(|more| ((site.0, site.1 + more), Trouble::ErrorBefore));
        fake.state().troubles = every_try.collect();
        run(&fake, &event(&upload)).await.expect_err("a failure");
        assert_fails_then_released(&fake, &upload, operation, member).await;
        assert_eq!(fake.calls("StartSigningJob").len(), 1, "{operation} without {member}: signed anew");
    }
}

/// Leaves of a release only its signing job and a signature beside the upload, and names one of them in the tags.
fn provide_signature(fake: &Fake, upload: &Upload, tag: &str) {
    let mut state = fake.state();
    let job = state.signing_jobs.keys().next().expect("a signing job").clone();
    state.jobs.clear();
    state.objects.retain(|(_, key), _| !key.ends_with("release.json"));
    let tags = match tag {
        "ota:signature" => vec![LAB, (tag, ".sig"), ("ota:certificate", "/certs/ota.pem")],
        _ => vec![LAB, (tag, &job)],
    };
    let place = (BUCKET.to_owned(), upload.key.clone());
    state.objects.get_mut(&place).expect("the object")[0].tags =
        tags.into_iter().map(|(tag, value)| (tag.to_owned(), value.to_owned())).collect();
    let beside = json!({"versionId": upload.version_id, "signature": "x", "signatureAlgorithm": "SHA256withECDSA"});
    state.put(BUCKET, "firmware/blinky.bin.sig", Some(beside.to_string().into()), Vec::new());
}

#[tokio::test(start_paused = true)]
async fn an_absent_member_never_rejects_a_signature_that_the_uploader_provides() {
    let unverified = [("ALLOW_UNVERIFIED", "true")];
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
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        run(&fake, &event(&upload)).await.expect("no failure");
        provide_signature(&fake, &upload, tag);
        fake.state().lacking = Some((operation, member));
        let failed = run_with(&fake, &event(&upload), &unverified).await.expect_err("a failure");
        assert!(failed.contains("a response of AWS lacks `"), "{operation} without {member}: {failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_without_headers_supersedes_nothing() {
    // The first HEAD is of the version, the second of the key, the third of the key again.
    for nth in 0..3 {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        fake.state().troubles = vec![(("HeadObject", nth), Trouble::HeadersLost)];
        let failed = run(&fake, &event(&upload)).await.expect_err("a failure");
        assert!(failed.contains("a response of AWS lacks `"), "{failed}");
        assert_eq!(run(&fake, &event(&upload)).await.expect("no failure")[0]["outcome"], "created");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_arn_is_absent_is_looked_up_and_adopted() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.state().lacking = Some(("CreateJob", "jobArn"));
    assert_eq!(run(&fake, &event(&upload)).await.expect("no failure")[0]["outcome"], "adopted");
    assert_released_once(&fake, &upload, IMAGE).await;
}
