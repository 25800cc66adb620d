//! Releases that find a job or other work of an earlier attempt.

use crate::support::{
    IMAGE, LAB, assert_nothing_created, assert_released_once, event, failure, function, hide_record, invoke, mark_at,
    named_event, now, receipt, record_key, release, release_slowly, run, upload_image,
};
use bytes::Bytes;
use serde_json::json;

#[tokio::test]
async fn a_redelivered_event_adopts_the_job() {
    let (fake, upload) = upload_image(&[LAB]);
    let first = release(&fake, &upload).await;
    fake.state().calls.clear();
    let again = release(&fake, &upload).await;
    let mut expected = first.clone();
    expected["outcome"] = "adopted".into();
    assert_eq!(again, expected);
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn adoption_reports_tags_that_changed_since_the_release() {
    let (fake, upload) = upload_image(&[LAB]);
    release(&fake, &upload).await;
    fake.set_tags(&upload, &[("ota:thing-group", "eu-west")]);
    let again = run(&fake, &named_event(&upload, "ObjectTagging:Put")).await.expect("no failure");
    assert_eq!(again[0]["outcome"], "adopted");
    assert!(again[0]["reason"].as_str().expect("a reason").starts_with("the tags have changed since"), "{again:?}");
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test]
async fn a_job_is_adopted_although_its_start_is_now_too_near() {
    let (fake, upload) = upload_image(&[LAB, ("ota:start", "2026-11-23T22:12")]);
    let (job_id, document) =
        (upload.default_job_id(), json!({"afr_ota": {"streamname": upload.stream_id()}}).to_string());
    // The other attempt uses the record of this attempt.
    let key = record_key(&upload);
    fake.before_next("CreateStream", move |state| {
        let description = format!("x{}", mark_at(state, &key));
        state.jobs.insert(job_id, json!({"document": document, "status": "SCHEDULED", "description": description}));
    });
    let adopted = release_slowly(&fake, &upload).await;
    assert_eq!(adopted["outcome"], "adopted", "{adopted}");
    assert!(fake.calls("CreateJob").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_receipt_is_adopted_although_a_newer_version_exists() {
    for newer in [false, true] {
        let (fake, upload) = upload_image(&[LAB, ("ota:start", "2026-11-23T22:12")]);
        fake.before_next("CreateJob", |state| (0..3).for_each(|_| state.fail_next("PutObject", 500, "InternalError")));
        assert!(failure(&fake, &upload).await.contains("writing the record"));
        if newer {
            fake.upload("firmware/blinky.bin", "newer", &[]);
        }
        // By now the start is too near for a new job.
        let function = function(&fake).with_clock(|| now() + jiff::SignedDuration::from_mins(5));
        let release = invoke(&function, &event(&upload)).await.expect("no failure").remove(0);
        assert_eq!((&release["outcome"], &release["startTime"]), (&json!("adopted"), &json!("2026-11-23T22:12")));
        assert_eq!(receipt(&fake, &upload)["jobArn"], release["jobArn"]);
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn a_job_is_adopted_although_its_targets_were_deleted() {
    let (fake, upload) = upload_image(&[LAB, ("ota:package-version", "blinky:1.2.0")]);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    hide_record(&fake, &upload);
    fake.set(|behavior| behavior.targets.clear());
    let request = http::Request::delete("/packages/blinky/versions/1.2.0").body(Bytes::new()).expect("a request");
    assert_eq!(fake.packages.answer(&request).status(), 200);
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
}

#[tokio::test]
async fn all_pages_of_an_earlier_attempts_objects_are_read() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.page = 1);
    fake.fail_next("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.state().calls.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let listings = fake.calls("ListObjectVersions");
    assert_eq!(listings.iter().filter(|call| call.query.contains("prefix=SignedImage")).count(), 3);
    assert!(fake.calls("StartSigningJob").is_empty());
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
}

/// Each operation fails once without its effect, and once with it. The next delivery completes the release.
#[tokio::test(start_paused = true)]
async fn the_delivery_after_a_failed_operation_results_in_one_job() {
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
            let (fake, upload) = upload_image(&[LAB]);
            // The SDK tries each request three times. Two HeadObject requests run at the same time.
            for _ in 0..if operation == "HeadObject" { 6 } else { 3 } {
                if has_effect {
                    fake.fail_after_next(operation, 500, "InternalError");
                } else {
                    fake.fail_next(operation, 500, "InternalError");
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
    // If CreateStream or CreateJob has its effect and fails, the same attempt adopts the stream or the job.
    assert_eq!(recovered_at_once, 2);
}
