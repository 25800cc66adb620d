//! Uploads that are rejected, with every problem, before anything is created.

use crate::support::{
    BUCKET, Fake, IMAGE, LAB, Upload, Version, assert_nothing_created, event, rejection_reasons, release, release_of,
    release_slowly, upload_image,
};
use serde_json::{Value, json};

#[tokio::test]
async fn every_problem_is_reported_before_anything_is_created() {
    let fake = Fake::new();
    let tags = [("ota:thing-group", "lab prod"), ("ota:retries", "lots"), ("ota:start", "10m"), ("ota:tmeout", "1h")];
    let upload = fake.upload("firmware/blinky.bin", "", &tags);
    let release = release(&fake, &upload).await;
    assert_eq!(release["outcome"], "rejected");
    let reasons: Vec<_> = release["reasons"].as_array().expect("reasons").iter().filter_map(Value::as_str).collect();
    assert_eq!(
        reasons,
        [
            "tag `ota:tmeout` is not known, did you mean `ota:timeout`?",
            "tag `ota:thing-group` is `prod`, expected one of `lab`, `eu-*` (thing groups that this deployment allows)",
            "tag `ota:start` is `10m`, which is 10m ahead, expected `now` or at least 31 minutes ahead",
            "tag `ota:retries` is `lots`, expected retries after any failure, such as `3`, or by kind, such as \
             `timed-out:3`, `failed:2` or `timed-out:3 failed:2`; at most 10 in total",
            "the object is empty, expected a firmware image",
        ]
    );
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn an_unknown_tag_is_rejected_with_a_suggestion() {
    let missing = "tag `ota:thing-group` is missing, expected the thing groups that get the update";
    for tag in ["OTA:Thing-Group", " ota:thing-group", "ota-thing-group", "ota.thing.group", "OTAThingGroup"] {
        let (fake, upload) = upload_image(&[(tag, "lab"), ("team", "x")]);
        let unknown = format!("tag `{tag}` is not known, did you mean `ota:thing-group`?");
        assert_eq!(rejection_reasons(&fake, &release(&fake, &upload).await), [unknown, missing.to_owned()]);
    }
    let (fake, upload) = upload_image(&[("Ota:Foo", "x"), LAB]);
    let reasons = rejection_reasons(&fake, &release(&fake, &upload).await);
    assert!(
        reasons[0].starts_with("tag `Ota:Foo` is not known, expected one of ") && reasons.len() == 1,
        "{reasons:?}"
    );
    let others =
        [("team", "x"), ("start", "now"), ("thing-group", "lab"), ("iota:color", "red"), ("quota:start", "1h")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &others);
    assert_eq!(release(&fake, &upload).await["reason"], "no-tags");
}

#[tokio::test]
async fn a_helper_file_with_release_tags_is_rejected() {
    let fake = Fake::new();
    for (key, problem) in [
        ("firmware/app.bin.sig", "is a signature, not firmware; put the tags on the image `firmware/app.bin`"),
        ("firmware/APP.BIN.SIG", "is a signature, not firmware; put the tags on the image `firmware/APP.BIN`"),
        ("firmware/a.ota.json.txt", "looks like a manifest; expected a name that ends in `.ota.json`"),
        (
            "firmware/gw.ota.json.sig",
            "is a signature, not firmware; put the tags on the manifest `firmware/gw.ota.json`, which needs no signature",
        ),
        ("firmware/app.bin.sig.txt", "is a signature, not firmware; put the tags on the image `firmware/app.bin`"),
        ("firmware/gw.ota (1).json", "looks like a manifest; expected a name that ends in `.ota.json`"),
        ("firmware/a.OTA.JSON ", "looks like a manifest; expected a name that ends in `.ota.json`"),
    ] {
        let upload = fake.upload(key, IMAGE, &[LAB, ("ota:retries", "lots")]);
        let reasons = rejection_reasons(&fake, &release(&fake, &upload).await);
        assert_eq!(reasons[1..], [format!("the object {problem}")]);
        // Without release tags, the function ignores the object.
        let upload = fake.upload(key, IMAGE, &[("team", "x")]);
        assert_eq!(release(&fake, &upload).await["reason"], "no-tags");
    }
}

#[tokio::test]
async fn an_image_larger_than_24_mb_is_rejected() {
    let fake = Fake::new();
    let largest = vec![0; 24 * 1024 * 1024];
    let upload = fake.upload("firmware/most.bin", largest.clone(), &[LAB]);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let upload = fake.upload("firmware/more.bin", [largest, vec![0]].concat(), &[LAB]);
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["the object has 25165825 bytes, expected at most 25165824"])
    );
}

#[tokio::test]
async fn an_image_too_large_for_the_signing_platform_is_rejected() {
    const MAX_IMAGE_BYTES: usize = 16 * 1024 * 1024;
    for (platform, size, outcome) in [
        ("AmazonFreeRTOS-Default", MAX_IMAGE_BYTES, "created"),
        ("AmazonFreeRTOS-Default", MAX_IMAGE_BYTES + 1, "rejected"),
        ("AmazonFreeRTOS-TI-CC3220SF", MAX_IMAGE_BYTES + 1, "rejected"),
        ("AWSIoTDeviceManagement-SHA256-ECDSA", MAX_IMAGE_BYTES + 1, "created"),
    ] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.platform = platform);
        let upload = fake.upload("firmware/blinky.bin", vec![7; size], &[LAB]);
        let released = release(&fake, &upload).await;
        assert_eq!(released["outcome"], outcome, "{platform} {size}: {released}");
        if outcome == "rejected" {
            let expected = format!(
                "the object has {size} bytes, expected at most {MAX_IMAGE_BYTES}, the maximum of the signing platform `{platform}`"
            );
            assert_eq!(released["reasons"], json!([expected]));
            assert_nothing_created(&fake);
        }
    }
}

#[tokio::test]
async fn an_upload_without_a_version_id_is_rejected_if_it_has_release_tags() {
    for (tags, outcome) in [(&[LAB][..], "rejected"), (&[], "skipped")] {
        let fake = Fake::new();
        let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
        let version = Version { id: "null".into(), bytes: Some(IMAGE.into()), tags, ..Version::default() };
        fake.state().objects.insert((BUCKET.into(), "firmware/blinky.bin".into()), vec![version]);
        let upload = Upload::new(BUCKET.into(), "firmware/blinky.bin".into(), "null".into());
        let mut event = event(&upload);
        event["Records"][0]["s3"]["object"].as_object_mut().expect("an object").remove("versionId");
        let released = release_of(&fake, &event).await;
        assert_eq!(released["outcome"], outcome);
        if outcome == "rejected" {
            let reason = released["reasons"][0].as_str().expect("a reason");
            assert!(reason.starts_with("the event has no version ID, expected"), "{reason}");
        }
        assert_nothing_created(&fake);
    }
}

#[tokio::test]
async fn a_key_without_a_file_name_is_rejected() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/dir/", IMAGE, &[LAB]);
    let release = release(&fake, &upload).await;
    assert_eq!(release["reasons"], json!(["the key ends in `/`, expected a file name"]));
    assert_eq!((&release["jobId"], &release["streamId"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn another_bucket_is_rejected_without_a_request() {
    let fake = Fake::new();
    let release = release(&fake, &Upload::new("foreign".into(), "firmware/a.bin".into(), "v1".into())).await;
    assert_eq!(release["outcome"], "rejected");
    assert_eq!(fake.operations(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_start_that_became_too_near_during_signing_is_rejected() {
    let (fake, upload) = upload_image(&[LAB, ("ota:start", "2026-11-23T22:12")]);
    let rejected = release_slowly(&fake, &upload).await;
    assert_eq!(
        rejected["reasons"],
        json!([
            "the start has come too near while the image was signed: it is 29m ahead, expected `now` or at least 30 minutes \
          ahead"
        ])
    );
    assert_eq!((&rejected["jobId"], &rejected["streamId"]), (&Value::Null, &Value::Null));
    assert!(fake.calls("CreateJob").is_empty());
}
