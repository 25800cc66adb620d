//! Events that result in no job, without an error.

use crate::support::{
    BUCKET, Fake, IMAGE, LAB, Storage, Upload, assert_nothing_created, assert_outcome, release, release_of,
    upload_image,
};
use serde_json::{Value, json};

#[tokio::test]
async fn events_that_start_no_release_are_skipped_with_a_reason() {
    let fake = Fake::new();
    let folder = fake.upload("firmware/dir/", "", &[]);
    let plain = fake.upload("firmware/readme.txt", "text", &[]);
    let signed = Upload::new(BUCKET.into(), "SignedImage/x/release.json".into(), "v1".into());
    let elsewhere = Upload::new(BUCKET.into(), "photos/cat.jpg".into(), "v1".into());
    let old = fake.upload("firmware/old.bin", IMAGE, &[LAB]);
    fake.upload("firmware/old.bin", "newer", &[]);
    let withdrawn = fake.upload("firmware/gone.bin", IMAGE, &[LAB]);
    fake.delete("firmware/gone.bin");
    let erased = Upload::new(BUCKET.into(), "firmware/erased.bin".into(), "v9".into());
    for (upload, reason) in [
        (folder, "folder"),
        (plain, "no-tags"),
        (signed, "signed-prefix"),
        (elsewhere, "other-event"),
        (old, "superseded"),
        (withdrawn, "withdrawn"),
        (erased, "withdrawn"),
    ] {
        let release = release(&fake, &upload).await;
        assert_eq!((&release["outcome"], &release["reason"]), (&json!("skipped"), &json!(reason)), "{upload}");
    }
    for event in [json!({"Event": "s3:TestEvent", "Bucket": BUCKET}), json!({"Records": []})] {
        assert_eq!(release_of(&fake, &event).await["reason"], "other-event");
    }
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_job_that_an_operator_deleted_is_not_created_again() {
    let (fake, upload) = upload_image(&[LAB]);
    release(&fake, &upload).await;
    fake.state().jobs.clear();
    fake.state().calls.clear();
    let again = release(&fake, &upload).await;
    assert_outcome(&again, "skipped", Some("job-deleted"));
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_version_superseded_or_withdrawn_during_its_release_gets_no_job() {
    for (newer, reason) in [(Some("newer".into()), "superseded"), (None, "withdrawn")] {
        let (fake, upload) = upload_image(&[LAB]);
        fake.before_next("CopyObject", move |state| {
            state.put(BUCKET, "firmware/blinky.bin", newer, Vec::new());
        });
        let release = release(&fake, &upload).await;
        assert_outcome(&release, "skipped", Some(reason));
        assert_eq!((&release["jobId"], &release["streamId"]), (&Value::Null, &Value::Null));
        assert_eq!(fake.calls("CreateJob").len(), 0);
        // The copy has the bytes of the signed version.
        assert_eq!(fake.streamed(&upload.stream_id()).await, IMAGE);
    }
}

#[tokio::test]
async fn a_version_deleted_before_its_copy_is_withdrawn() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.before_next("CopyObject", |state| state.objects.retain(|(_, key), _| key != "firmware/blinky.bin"));
    let skipped = release(&fake, &upload).await;
    assert_outcome(&skipped, "skipped", Some("withdrawn"));
    assert!(fake.calls("CreateStream").is_empty());
}

#[tokio::test]
async fn an_unreadable_object_without_release_tags_is_skipped() {
    for storage in [
        Storage { has_customer_key: true, ..Storage::default() },
        Storage { class: Some("GLACIER"), ..Storage::default() },
    ] {
        let (fake, upload) = upload_image(&[("team", "sensors")]);
        fake.set_storage(&upload, storage);
        assert_eq!(release(&fake, &upload).await["reason"], "no-tags");
    }
}

/// S3 responds to HeadObject of such a version with 400, and without a version ID.
#[tokio::test]
async fn a_newer_version_with_a_customer_provided_key_supersedes() {
    let (fake, upload) = upload_image(&[LAB]);
    let newer = fake.upload("firmware/blinky.bin", "newer", &[]);
    fake.upload("firmware/blinky.bin.old", "another key", &[]);
    fake.set_storage(&newer, Storage { has_customer_key: true, ..Storage::default() });
    assert_eq!(release(&fake, &upload).await["reason"], "superseded");
    assert_nothing_created(&fake);
}
