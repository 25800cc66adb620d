//! The requests of a release to AWS, and the errors that are reported if one fails.

use crate::support::{ACCOUNT, BUCKET, Fake, IMAGE, LAB, event, failure, function, release, single, upload_image};
use serde_json::json;
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn every_s3_request_names_the_version_and_the_bucket_owner() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky ü+%.bin", IMAGE, &[LAB]);
    release(&fake, &upload).await;
    let pinned = format!("versionId={}", upload.version_id);
    assert!(single(fake.calls("GetObjectTagging")).query.contains(&pinned));
    let heads = fake.calls("HeadObject");
    // One request is for the version. Two are for the key: the version must be current at first and before CreateJob.
    assert_eq!(heads.iter().map(|head| head.query.contains(&pinned)).collect::<Vec<_>>(), [true, false, false]);
    let copy = single(fake.calls("CopyObject"));
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
    // Each response takes one second. Only waiting advances the paused clock.
    assert_eq!(single(fake.calls("CreateJob")).responded_at.as_secs(), 9, "{:?}", fake.operations());
}

#[tokio::test]
async fn an_error_of_aws_is_reported_with_its_code_and_message() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.fail_next("StartSigningJob", 403, "AccessDeniedException");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("with the signing profile `OtaSigning`"), "{failed}");
    assert!(failed.contains("AccessDeniedException") && failed.contains("injected"), "{failed}");
}

#[tokio::test]
async fn a_denied_head_is_reported_with_its_status() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.fail_next("HeadObject", 403, "AccessDenied");
    assert!(failure(&fake, &upload).await.contains("HTTP status 403"));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_invocation_ends_itself_and_names_the_step() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.latency = Duration::from_secs(9));
    fake.set(|behavior| behavior.signing_time = Duration::from_millis(1));
    let started = tokio::time::Instant::now();
    let deadline = SystemTime::now() + Duration::from_secs(30);
    let failed = function(&fake).handle(&event(&upload).to_string(), deadline).await.expect_err("no time").to_string();
    assert!(failed.contains("the invocation's time ended while signing"), "{failed}");
    assert!(started.elapsed() <= Duration::from_secs(28), "{:?}", started.elapsed());
}
