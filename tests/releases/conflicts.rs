//! Attempts and uploads that compete for a record, a job or a job ID.

use crate::support::{
    BUCKET, Fake, IMAGE, LAB, assert_nothing_created, assert_released_once, event, failure, job_arn, receipt,
    record_key, release, run, upload_image,
};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn concurrent_deliveries_result_in_one_job() {
    for latency in [0, 10] {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.latency = Duration::from_millis(latency));
        let event = event(&upload);
        let releases = futures::future::join_all((0..8).map(|_| run(&fake, &event))).await;
        let outcomes: Vec<_> = releases.iter().map(|r| r.as_ref().expect("no failure")[0]["outcome"].clone()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "created").count(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|outcome| outcome == "created" || outcome == "adopted"), "{outcomes:?}");
        assert!(
            releases.iter().all(|r| r.as_ref().expect("no failure")[0]["endTime"] == "2026-11-23T23:41"),
            "{releases:?}"
        );
        assert_eq!(receipt(&fake, &upload)["startTime"], "2026-11-23T22:41");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn a_conflicting_write_of_the_record_is_retried() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.fail_next("PutObject", 409, "ConditionalRequestConflict");
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
}

#[tokio::test]
async fn the_job_id_of_the_first_attempt_is_kept() {
    let (fake, upload) = upload_image(&[LAB, ("ota:job-id", "first")]);
    fake.fail_next("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.set_tags(&upload, &[LAB, ("ota:job-id", "second")]);
    assert_eq!(release(&fake, &upload).await["jobId"], "AFR_OTA-first");
}

#[tokio::test]
async fn the_record_of_a_faster_attempt_is_used() {
    for finished in [false, true] {
        let (fake, upload) = upload_image(&[LAB]);
        let key = record_key(&upload);
        let mut record = json!({"bucket": BUCKET, "key": upload.key, "versionId": upload.version_id, "tags": {},
                                "jobId": "AFR_OTA-first", "streamId": upload.stream_id()});
        if finished {
            record["jobArn"] = job_arn("AFR_OTA-first").into();
        }
        // Another attempt writes its record, and maybe creates its job, right before this attempt writes its own.
        fake.before_next("PutObject", move |state| {
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
async fn a_job_id_of_another_release_is_rejected_before_signing() {
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
            "tag `ota:job-id` requests the job ID `AFR_OTA-spring`, which the upload `s3://{BUCKET}/firmware/a.bin?versionId={}` has; choose another and upload again",
            first.version_id
        )])
    );
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_job_with_the_url_of_another_upload_is_not_adopted() {
    let fake = Fake::new();
    let http = ("ota:protocols", "http");
    let first = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, http]);
    release(&fake, &first).await;
    let second = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, http]);
    let job = fake.state().jobs[&first.default_job_id()].clone();
    fake.state().jobs.insert(second.default_job_id(), job);
    let released = release(&fake, &second).await;
    assert_eq!(released["outcome"], "created");
    assert_ne!(released["jobId"], second.default_job_id());
}
