//! Objects copied onto themselves: skipped if bytes and tags are those of the last release, and released otherwise.

use crate::support::{
    BUCKET, DRY_RUN, Fake, Fault, IMAGE, LAB, Upload, assert_nothing_created, assert_unchanged, deliver, event,
    every_fault, named_event, receipt, record_key, release, release_of, release_of_with, release_with, run, run_with,
    sha256, upload_image, warnings, with_paused_clock,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The event of a copy, in S3's own format.
fn copy_event(upload: &Upload) -> Value {
    named_event(upload, "ObjectCreated:Copy")
}

/// The event of a copy, in the format of EventBridge.
fn copy_event_of_event_bridge(upload: &Upload, reason: &str) -> Value {
    json!({
        "source": "aws.s3", "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": upload.bucket}, "object": {"key": upload.key, "version-id": upload.version_id},
            "reason": reason,
        },
    })
}

/// An upload with a completed release.
async fn released_upload(tags: &[(&str, &str)]) -> (Arc<Fake>, Upload) {
    let (fake, upload) = upload_image(tags);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    (fake, upload)
}

/// Replaces an upload's record by a changed receipt. The function never does this.
fn change_receipt(fake: &Fake, upload: &Upload, change: impl FnOnce(&mut Value)) {
    let mut changed = receipt(fake, upload);
    change(&mut changed);
    let key = record_key(upload);
    let mut state = fake.state();
    state.objects.remove(&(BUCKET.to_owned(), key.clone()));
    state.put(BUCKET, &key, Some(changed.to_string().into()), Vec::new());
}

#[tokio::test]
async fn a_copy_onto_itself_is_skipped_even_if_the_job_was_deleted() {
    for is_deleted in [false, true] {
        let (fake, upload) = released_upload(&[LAB, ("team", "sensors")]).await;
        if is_deleted {
            fake.state().jobs.clear();
        }
        let jobs = fake.state().jobs.len();
        let copy = fake.copy_onto_itself(&upload);
        for event in
            [copy_event(&copy), copy_event(&copy), copy_event_of_event_bridge(&copy, "CopyObject"), event(&copy)]
        {
            fake.state().calls.clear();
            assert_unchanged(&release_of(&fake, &event).await);
            for operation in ["StartSigningJob", "CopyObject", "CreateStream", "CreateJob"] {
                assert_eq!(fake.calls(operation).len(), 0, "{operation}");
            }
        }
        assert_eq!(fake.state().jobs.len(), jobs);
        let (original, copied) = (receipt(&fake, &upload), receipt(&fake, &copy));
        assert_eq!((&copied["jobArn"], &copied["tags"]), (&original["jobArn"], &original["tags"]));
        assert_eq!(
            (&copied["versionId"], &copied["unchangedSince"]),
            (&json!(copy.version_id), &json!(upload.version_id))
        );
    }
}

/// The events arrive in the order of the copies: each before the next copy is made, or all after the last copy.
#[tokio::test]
async fn a_copy_of_a_copy_is_skipped() {
    for is_late in [false, true] {
        let (fake, upload) = released_upload(&[LAB]).await;
        let mut copies = Vec::new();
        for _ in 0..3 {
            let copy = fake.copy_onto_itself(copies.last().unwrap_or(&upload));
            if !is_late {
                assert_unchanged(&release_of(&fake, &copy_event(&copy)).await);
            }
            copies.push(copy);
        }
        for copy in &copies {
            assert_unchanged(&release_of(&fake, &copy_event(copy)).await);
            assert_eq!(receipt(&fake, copy)["unchangedSince"], upload.version_id);
        }
        assert_eq!(fake.state().jobs.len(), 1);
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
        // A new upload of the same bytes is released.
        let again = fake.upload(&upload.key, IMAGE, &[LAB]);
        assert_eq!(release(&fake, &again).await["outcome"], "created");
    }
}

/// A change between the release and the copy of it.
type Change = fn(&Fake, &Upload) -> Upload;

#[tokio::test]
async fn a_copy_that_differs_is_released() {
    let changes: [(&str, Change); 7] = [
        ("other bytes", |fake, upload| fake.upload(&upload.key, "other", &[LAB])),
        ("other tags", |fake, upload| fake.upload(&upload.key, IMAGE, &[LAB, ("ota:retries", "1")])),
        ("fewer tags", |fake, upload| fake.upload(&upload.key, IMAGE, &[("ota:thing-group", "eu-west")])),
        ("another key", |fake, _| fake.upload("firmware/other.bin", IMAGE, &[LAB])),
        ("a key that begins the same", |fake, _| fake.upload("firmware/blinky.bin.2", IMAGE, &[LAB])),
        ("a version in between", |fake, upload| {
            fake.upload(&upload.key, "no release", &[]);
            fake.copy_onto_itself(upload)
        }),
        ("a delete marker in between", |fake, upload| {
            fake.delete(&upload.key);
            fake.copy_onto_itself(upload)
        }),
    ];
    for (case, change) in changes {
        let (fake, upload) = released_upload(&[LAB]).await;
        let copy = change(&fake, &upload);
        assert_eq!(release_of(&fake, &copy_event(&copy)).await["outcome"], "created", "{case}");
        assert_eq!(fake.state().jobs.len(), 2, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_receipt_of_a_later_attempt_has_the_digest_too() {
    for attempts in 1..3 {
        let (fake, upload) = upload_image(&[LAB]);
        // The first PutObject writes the claim. The SDK tries to write each receipt three times.
        let receipts = 1..=3 * attempts;
        fake.state().faults = receipts.map(|nth| (("PutObject", nth), Fault::ErrorBefore)).collect();
        assert_eq!(deliver(&fake, &upload, &attempts).await, attempts + 1);
        let copy = fake.copy_onto_itself(&upload);
        let skipped = release_of(&fake, &copy_event(&copy)).await;
        assert_eq!((&skipped["outcome"], &skipped["reason"]), (&json!("skipped"), &json!("unchanged")), "{attempts}");
        assert_eq!(fake.state().jobs.len(), 1, "{attempts}");
    }
}

#[tokio::test]
async fn tags_changed_after_the_release_do_not_release_its_copy() {
    let (fake, upload) = released_upload(&[LAB]).await;
    fake.set_tags(&upload, &[("ota:thing-group", "eu-west")]);
    let copy = fake.copy_onto_itself(&upload);
    for delivery in 0..2 {
        let skipped = release_of(&fake, &copy_event(&copy)).await;
        assert_eq!((&skipped["outcome"], &skipped["reason"]), (&json!("skipped"), &json!("unchanged")), "{delivery}");
    }
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test]
async fn a_copy_is_not_released_if_its_listing_is_incomplete() {
    let (fake, upload) = released_upload(&[LAB]).await;
    let copy = fake.copy_onto_itself(&upload);
    for member in ["VersionId", "Key"] {
        fake.state().omitted = Some(("ListObjectVersions", member));
        let failed = run(&fake, &copy_event(&copy)).await.expect_err("a failure");
        assert!(failed.contains(&format!("a response of AWS lacks `{member}`")), "{failed}");
    }
    fake.state().omitted = None;
    assert_eq!(release_of(&fake, &copy_event(&copy)).await["reason"], "unchanged");
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test]
async fn only_a_copy_can_be_unchanged() {
    for name in ["ObjectCreated:Put", "ObjectCreated:Post", "ObjectCreated:CompleteMultipartUpload"] {
        let (fake, upload) = released_upload(&[LAB]).await;
        let copy = fake.copy_onto_itself(&upload);
        let event = named_event(&copy, name);
        assert_eq!(release_of(&fake, &event).await["outcome"], "created", "{name}");
    }
    for reason in ["PutObject", "POST Object", "CompleteMultipartUpload", "copyobject"] {
        let (fake, upload) = released_upload(&[LAB]).await;
        let copy = fake.copy_onto_itself(&upload);
        assert_eq!(
            release_of(&fake, &copy_event_of_event_bridge(&copy, reason)).await["outcome"],
            "created",
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_copy_is_released_if_no_receipt_has_its_digest() {
    let changes: [fn(&Fake, &Upload); 4] = [
        |fake, upload| {
            let key = record_key(upload);
            fake.state().objects.remove(&(BUCKET.to_owned(), key));
        },
        |fake, upload| {
            change_receipt(fake, upload, |receipt| drop(receipt.as_object_mut().expect("an object").remove("sha256")));
        },
        |fake, upload| {
            change_receipt(fake, upload, |receipt| drop(receipt.as_object_mut().expect("an object").remove("jobArn")));
        },
        |fake, upload| change_receipt(fake, upload, |receipt| receipt["sha256"] = json!(sha256(b"other"))),
    ];
    for change in changes {
        let (fake, upload) = released_upload(&[LAB]).await;
        change(&fake, &upload);
        let copy = fake.copy_onto_itself(&upload);
        assert_eq!(release_of(&fake, &copy_event(&copy)).await["outcome"], "created");
    }
    // Without verification, the upload is not read.
    let (fake, upload) = upload_image(&[LAB]);
    let settings = [("VERIFY_SIGNATURES", "false")];
    run_with(&fake, &event(&upload), &settings).await.expect("no failure");
    assert_eq!(receipt(&fake, &upload).get("sha256"), None);
    let copy = fake.copy_onto_itself(&upload);
    assert_eq!(release_of_with(&fake, &copy_event(&copy), &settings).await["outcome"], "created");
    assert_eq!(fake.calls("GetUpload").len(), 0);
}

#[tokio::test]
async fn a_copy_to_a_new_key_needs_one_more_list_request() {
    let (fake, upload) = released_upload(&[LAB]).await;
    let requests = fake.operations().len();
    let fake = Fake::new();
    let copy = fake.upload(&upload.key, IMAGE, &[LAB]);
    assert_eq!(release_of(&fake, &copy_event(&copy)).await["outcome"], "created");
    assert_eq!((fake.operations().len(), fake.calls("ListObjectVersions").len()), (requests + 1, 4));
}

#[tokio::test]
async fn a_manifest_copied_onto_itself_is_skipped() {
    for verify in ["true", "false"] {
        let settings = [("VERIFY_SIGNATURES", verify)];
        let fake = Fake::new();
        let image = fake.upload("firmware/image.bin", IMAGE, &[]);
        let manifest = json!({"files": [{"key": image.key, "versionId": image.version_id}]}).to_string();
        let upload = fake.upload("firmware/blinky.ota.json", manifest.clone(), &[LAB]);
        assert_eq!(release_with(&fake, &upload, &settings).await["outcome"], "created");
        assert_eq!(receipt(&fake, &upload)["sha256"], sha256(manifest.as_bytes()));
        let copy = fake.copy_onto_itself(&upload);
        assert_unchanged(&release_of_with(&fake, &copy_event(&copy), &settings).await);
        // The same JSON with other bytes is not an unchanged copy.
        let other = fake.upload("firmware/blinky.ota.json", format!("{manifest}\n"), &[LAB]);
        assert_eq!(release_of_with(&fake, &copy_event(&other), &settings).await["outcome"], "created");
    }
}

#[tokio::test]
async fn a_dry_run_reports_an_unchanged_copy_and_writes_no_record() {
    let (fake, upload) = released_upload(&[LAB]).await;
    let copy = fake.copy_onto_itself(&upload);
    fake.state().calls.clear();
    let dry = [DRY_RUN];
    assert_unchanged(&release_of_with(&fake, &copy_event(&copy), &dry).await);
    assert_nothing_created(&fake);
    let newer = fake.upload(&upload.key, "newer", &[LAB]);
    let release = release_of_with(&fake, &copy_event(&newer), &dry).await;
    assert_eq!(release["outcome"], "dry-run");
}

#[tokio::test]
async fn the_warning_of_an_active_job_appears_once_for_all_copies() {
    let (fake, upload) = released_upload(&[LAB]).await;
    for _ in 0..3 {
        let copy = fake.copy_onto_itself(&upload);
        assert_unchanged(&release_of(&fake, &copy_event(&copy)).await);
    }
    let newer = fake.upload(&upload.key, "newer", &[LAB]);
    let warned = warnings(async { assert_eq!(release(&fake, &newer).await["outcome"], "created") }).await;
    let expected = format!("of the earlier version `{}` is SCHEDULED", upload.version_id);
    assert_eq!(warned.matches(&expected).count(), 1, "{warned}");
    assert_eq!(warned.matches("earlier version").count(), 1, "{warned}");
}

#[tokio::test]
async fn tags_changed_after_a_copy_start_no_other_release() {
    let (fake, upload) = released_upload(&[LAB]).await;
    let copy = fake.copy_onto_itself(&upload);
    assert_unchanged(&release_of(&fake, &copy_event(&copy)).await);
    fake.set_tags(&copy, &[("ota:thing-group", "eu-west")]);
    let tagged = named_event(&copy, "ObjectTagging:Put");
    let adopted = release_of(&fake, &tagged).await;
    assert_eq!(adopted["outcome"], "adopted");
    assert!(adopted["reason"].as_str().expect("a reason").starts_with("the tags have changed"), "{adopted}");
    assert_eq!(adopted["jobArn"], receipt(&fake, &upload)["jobArn"]);
    fake.state().jobs.clear();
    assert_eq!(release_of(&fake, &tagged).await["reason"], "job-deleted");
}

/// The event of a copy, and the event of tags that are set on the copy, can be processed at the same time.
#[tokio::test]
async fn a_release_of_the_copy_that_was_faster_is_completed() {
    let (fake, upload) = released_upload(&[LAB]).await;
    let copy = fake.copy_onto_itself(&upload);
    let key = record_key(&copy);
    let record = json!({
        "bucket": BUCKET, "key": copy.key, "versionId": copy.version_id, "jobId": "AFR_OTA-first", "tags": {},
    });
    fake.before_next("PutObject", move |state| {
        state.put(BUCKET, &key, Some(record.to_string().into()), Vec::new());
    });
    let release = release_of(&fake, &copy_event(&copy)).await;
    assert_eq!((&release["outcome"], &release["jobId"]), (&json!("created"), &json!("AFR_OTA-first")));
    assert_eq!(release_of(&fake, &copy_event(&copy)).await["outcome"], "adopted");
}

#[test]
fn one_fault_at_any_call_for_a_copy_results_in_no_job() {
    with_paused_clock(async {
        let new_copy = async || {
            let (fake, upload) = released_upload(&[LAB]).await;
            let copy = fake.copy_onto_itself(&upload);
            (fake, copy)
        };
        let (fake, copy) = new_copy().await;
        let before = fake.state().call_indices.len();
        assert_unchanged(&release_of(&fake, &copy_event(&copy)).await);
        let calls = fake.state().call_indices[before..].to_vec();
        assert!(calls.len() >= 8, "{calls:?}");
        for fault in every_fault(&calls) {
            let (fake, copy) = new_copy().await;
            fake.state().faults = vec![fault];
            let mut attempts = 0;
            let release = loop {
                attempts += 1;
                assert!(attempts <= 3, "{fault:?}");
                if let Ok(mut releases) = run(&fake, &copy_event(&copy)).await {
                    break releases.remove(0);
                }
            };
            assert_unchanged(&release);
            assert_unchanged(&release_of(&fake, &copy_event(&copy)).await);
            assert_eq!(fake.state().jobs.len(), 1, "{fault:?}");
        }
    });
}
