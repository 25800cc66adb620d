//! Objects that are copied onto themselves: skipped while bytes and tags are those of the release before, and releases
//! otherwise.

use crate::{
    fake::{BUCKET, Fake, Trouble},
    faults::{all, deliver, on_a_clock_of_its_own},
    lookups::warnings,
    releases::{LAB, assert_nothing_created, event, receipt, record, release, run, run_with, setting, sha256},
};
use ota_on_upload::{settings::Settings, upload::Upload};
use serde_json::{Value, json};
use std::sync::Arc;

const IMAGE: &[u8] = b"\x7fELF a firmware image";

/// The event of a copy, as S3 notifies of it.
fn copied(upload: &Upload) -> Value {
    json!({"Records": [record(upload, "ObjectCreated:Copy")]})
}

/// The event of a copy, as EventBridge has it.
fn copied_by_event_bridge(upload: &Upload, reason: &str) -> Value {
    json!({
        "source": "aws.s3", "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": upload.bucket}, "object": {"key": upload.key, "version-id": upload.version_id},
            "reason": reason,
        },
    })
}

async fn work(fake: &Arc<Fake>, event: &Value) -> Value {
    run(fake, event).await.expect("no failure").remove(0)
}

#[track_caller]
fn assert_unchanged(release: &Value) {
    assert_eq!((&release["outcome"], &release["reason"]), (&json!("skipped"), &json!("unchanged")), "{release}");
    assert_eq!((release.get("jobId"), release.get("jobArn")), (None, None));
}

/// An upload that was released.
async fn released(tags: &[(&str, &str)]) -> (Arc<Fake>, Upload) {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, tags);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    (fake, upload)
}

fn signed_prefix(upload: &Upload) -> String {
    Settings::from_lookup(setting).expect("good settings").prefix_of(&upload)
}

/// Puts a changed receipt in place of an upload's record, as no attempt would.
fn change_receipt(fake: &Fake, upload: &Upload, change: impl FnOnce(&mut Value)) {
    let mut changed = receipt(fake, upload);
    change(&mut changed);
    let key = format!("{}release.json", signed_prefix(upload));
    let mut state = fake.state();
    state.objects.remove(&(BUCKET.to_owned(), key.clone()));
    state.put(BUCKET, &key, Some(changed.to_string().into()), Vec::new());
}

#[tokio::test]
async fn a_copy_onto_itself_is_skipped_whatever_became_of_the_job() {
    for is_deleted in [false, true] {
        let (fake, upload) = released(&[LAB, ("team", "sensors")]).await;
        if is_deleted {
            fake.state().jobs.clear();
        }
        let jobs = fake.state().jobs.len();
        let copy = fake.copy_onto_itself(&upload);
        for event in [copied(&copy), copied(&copy), copied_by_event_bridge(&copy, "CopyObject"), self::event(&copy)] {
            fake.state().calls.clear();
            assert_unchanged(&work(&fake, &event).await);
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

/// In whatever order their events come, as long as that of each is worked on before that of the next.
#[tokio::test]
async fn a_copy_of_a_copy_is_skipped() {
    for is_late in [false, true] {
        let (fake, upload) = released(&[LAB]).await;
        let mut copies = Vec::new();
        for _ in 0..3 {
            let copy = fake.copy_onto_itself(copies.last().unwrap_or(&upload));
            if !is_late {
                assert_unchanged(&work(&fake, &copied(&copy)).await);
            }
            copies.push(copy);
        }
        for copy in &copies {
            assert_unchanged(&work(&fake, &copied(copy)).await);
            assert_eq!(receipt(&fake, copy)["unchangedSince"], upload.version_id);
        }
        assert_eq!(fake.state().jobs.len(), 1);
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
        // A new upload of the same bytes is a release.
        let again = fake.upload(&upload.key, IMAGE, &[LAB]);
        assert_eq!(release(&fake, &again).await["outcome"], "created");
    }
}

/// A change between the release and the copy of it.
type Change = fn(&Fake, &Upload) -> Upload;

#[tokio::test]
async fn what_differs_in_anything_is_released() {
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
    for (what, change) in changes {
        let (fake, upload) = released(&[LAB]).await;
        let copy = change(&fake, &upload);
        assert_eq!(work(&fake, &copied(&copy)).await["outcome"], "created", "{what}");
        assert_eq!(fake.state().jobs.len(), 2, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_a_later_attempt_wrote_knows_the_bytes_as_well() {
    for attempts in 1..3 {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        // The claim is the first; the SDK tries each receipt three times.
        let receipts = 1..=3 * attempts;
        fake.state().troubles = receipts.map(|nth| (("PutObject", nth), Trouble::ErrorBefore)).collect();
        assert_eq!(deliver(&fake, &upload, &attempts).await, attempts + 1);
        let copy = fake.copy_onto_itself(&upload);
        let skipped = work(&fake, &copied(&copy)).await;
        assert_eq!((&skipped["outcome"], &skipped["reason"]), (&json!("skipped"), &json!("unchanged")), "{attempts}");
        assert_eq!(fake.state().jobs.len(), 1, "{attempts}");
    }
}

#[tokio::test]
async fn tags_that_came_after_the_job_of_the_previous_version_do_not_release_its_copy() {
    let (fake, upload) = released(&[LAB]).await;
    let place = (BUCKET.to_owned(), upload.key.clone());
    let tags = vec![("ota:thing-group".to_owned(), "eu-west".to_owned())];
    fake.state().objects.get_mut(&place).expect("it")[0].tags = tags;
    let copy = fake.copy_onto_itself(&upload);
    for delivery in 0..2 {
        let skipped = work(&fake, &copied(&copy)).await;
        assert_eq!((&skipped["outcome"], &skipped["reason"]), (&json!("skipped"), &json!("unchanged")), "{delivery}");
    }
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test]
async fn a_listing_that_lacks_a_version_id_releases_no_copy() {
    let (fake, upload) = released(&[LAB]).await;
    let copy = fake.copy_onto_itself(&upload);
    for member in ["VersionId", "Key"] {
        fake.state().lacking = Some(("ListObjectVersions", member));
        let failed = run(&fake, &copied(&copy)).await.expect_err("a failure");
        assert!(failed.contains(&format!("a response of AWS lacks `{member}`")), "{failed}");
    }
    fake.state().lacking = None;
    assert_eq!(work(&fake, &copied(&copy)).await["reason"], "unchanged");
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test]
async fn only_a_copy_can_be_unchanged() {
    for name in ["ObjectCreated:Put", "ObjectCreated:Post", "ObjectCreated:CompleteMultipartUpload"] {
        let (fake, upload) = released(&[LAB]).await;
        let copy = fake.copy_onto_itself(&upload);
        let event = json!({"Records": [record(&copy, name)]});
        assert_eq!(work(&fake, &event).await["outcome"], "created", "{name}");
    }
    for reason in ["PutObject", "POST Object", "CompleteMultipartUpload", "copyobject"] {
        let (fake, upload) = released(&[LAB]).await;
        let copy = fake.copy_onto_itself(&upload);
        assert_eq!(work(&fake, &copied_by_event_bridge(&copy, reason)).await["outcome"], "created", "{reason}");
    }
}

#[tokio::test]
async fn without_a_receipt_that_has_the_digest_a_copy_is_a_release() {
    let changes: [fn(&Fake, &Upload); 4] = [
        |fake, upload| {
            let key = format!("{}release.json", signed_prefix(upload));
            fake.state().objects.remove(&(BUCKET.to_owned(), key));
        },
        |fake, upload| {
            change_receipt(fake, upload, |receipt| drop(receipt.as_object_mut().expect("it").remove("sha256")));
        },
        |fake, upload| {
            change_receipt(fake, upload, |receipt| drop(receipt.as_object_mut().expect("it").remove("jobArn")));
        },
        |fake, upload| change_receipt(fake, upload, |receipt| receipt["sha256"] = json!(sha256(b"other"))),
    ];
    for change in changes {
        let (fake, upload) = released(&[LAB]).await;
        change(&fake, &upload);
        let copy = fake.copy_onto_itself(&upload);
        assert_eq!(work(&fake, &copied(&copy)).await["outcome"], "created");
    }
    // Nothing is read without verification.
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let over = [("VERIFY_SIGNATURES", "false")];
    run_with(&fake, &event(&upload), &over).await.expect("no failure");
    assert_eq!(receipt(&fake, &upload).get("sha256"), None);
    let copy = fake.copy_onto_itself(&upload);
    assert_eq!(run_with(&fake, &copied(&copy), &over).await.expect("no failure")[0]["outcome"], "created");
    assert_eq!(fake.calls("GetUpload").len(), 0);
}

#[tokio::test]
async fn a_copy_to_a_new_key_costs_one_more_list() {
    let (fake, upload) = released(&[LAB]).await;
    let put = fake.operations().len();
    let fake = Fake::new();
    let copy = fake.upload(&upload.key, IMAGE, &[LAB]);
    assert_eq!(work(&fake, &copied(&copy)).await["outcome"], "created");
    assert_eq!((fake.operations().len(), fake.calls("ListObjectVersions").len()), (put + 1, 4));
}

#[tokio::test]
async fn a_manifest_that_is_copied_onto_itself_is_skipped() {
    for verify in ["true", "false"] {
        let over = [("VERIFY_SIGNATURES", verify)];
        let fake = Fake::new();
        let image = fake.upload("firmware/image.bin", IMAGE, &[]);
        let manifest = json!({"files": [{"key": image.key, "versionId": image.version_id}]}).to_string();
        let upload = fake.upload("firmware/blinky.ota.json", manifest.clone(), &[LAB]);
        assert_eq!(run_with(&fake, &event(&upload), &over).await.expect("no failure")[0]["outcome"], "created");
        assert_eq!(receipt(&fake, &upload)["sha256"], sha256(manifest.as_bytes()));
        let copy = fake.copy_onto_itself(&upload);
        assert_unchanged(&run_with(&fake, &copied(&copy), &over).await.expect("no failure")[0]);
        // The same update in other words.
        let other = fake.upload("firmware/blinky.ota.json", format!("{manifest}\n"), &[LAB]);
        assert_eq!(run_with(&fake, &copied(&other), &over).await.expect("no failure")[0]["outcome"], "created");
    }
}

#[tokio::test]
async fn a_dry_run_says_that_a_copy_is_unchanged_and_keeps_no_record_of_it() {
    let (fake, upload) = released(&[LAB]).await;
    let copy = fake.copy_onto_itself(&upload);
    fake.state().calls.clear();
    let dry = [("DRY_RUN", "true")];
    assert_unchanged(&run_with(&fake, &copied(&copy), &dry).await.expect("no failure")[0]);
    assert_nothing_created(&fake);
    let newer = fake.upload(&upload.key, "newer", &[LAB]);
    let release = run_with(&fake, &copied(&newer), &dry).await.expect("no failure").remove(0);
    assert_eq!(release["outcome"], "dry-run");
}

#[tokio::test]
async fn a_job_that_goes_on_is_warned_of_once_however_often_its_upload_was_copied() {
    let (fake, upload) = released(&[LAB]).await;
    for _ in 0..3 {
        let copy = fake.copy_onto_itself(&upload);
        assert_unchanged(&work(&fake, &copied(&copy)).await);
    }
    let newer = fake.upload(&upload.key, "newer", &[LAB]);
    let warned = warnings(async { assert_eq!(release(&fake, &newer).await["outcome"], "created") }).await;
    let told = format!("of the earlier version `{}` is SCHEDULED", upload.version_id);
    assert_eq!(warned.matches(&told).count(), 1, "{warned}");
    assert_eq!(warned.matches("earlier version").count(), 1, "{warned}");
}

/// As with the version that it is a copy of.
#[tokio::test]
async fn tags_that_come_after_a_copy_do_not_start_another_release() {
    let (fake, upload) = released(&[LAB]).await;
    let copy = fake.copy_onto_itself(&upload);
    assert_unchanged(&work(&fake, &copied(&copy)).await);
    fake.state().objects.get_mut(&(BUCKET.to_owned(), copy.key.clone())).expect("it")[0].tags =
        vec![("ota:thing-group".into(), "eu-west".into())];
    let tagged = json!({"Records": [record(&copy, "ObjectTagging:Put")]});
    let adopted = work(&fake, &tagged).await;
    assert_eq!(adopted["outcome"], "adopted");
    assert!(adopted["reason"].as_str().expect("a reason").starts_with("the tags have changed"), "{adopted}");
    assert_eq!(adopted["jobArn"], receipt(&fake, &upload)["jobArn"]);
    fake.state().jobs.clear();
    assert_eq!(work(&fake, &tagged).await["reason"], "job-deleted");
}

/// The event of tags that were put on a copy may be worked on at the same time as that of the copy.
#[tokio::test]
async fn a_release_that_was_first_is_adopted() {
    let (fake, upload) = released(&[LAB]).await;
    let copy = fake.copy_onto_itself(&upload);
    let key = format!("{}release.json", signed_prefix(&copy));
    let record = json!({
        "bucket": BUCKET, "key": copy.key, "versionId": copy.version_id, "jobId": "AFR_OTA-first", "tags": {},
    });
    fake.before("PutObject", move |state| {
        state.put(BUCKET, &key, Some(record.to_string().into()), Vec::new());
    });
    let release = work(&fake, &copied(&copy)).await;
    assert_eq!((&release["outcome"], &release["jobId"]), (&json!("created"), &json!("AFR_OTA-first")));
    assert_eq!(work(&fake, &copied(&copy)).await["outcome"], "adopted");
}

#[test]
fn one_fault_at_any_call_for_a_copy_comes_to_no_job() {
    on_a_clock_of_its_own(async {
        let world = async || {
            let (fake, upload) = released(&[LAB]).await;
            let copy = fake.copy_onto_itself(&upload);
            (fake, copy)
        };
        let (fake, copy) = world().await;
        let before = fake.state().sites.len();
        assert_unchanged(&work(&fake, &copied(&copy)).await);
        let sites = fake.state().sites[before..].to_vec();
        assert!(sites.len() >= 8, "{sites:?}");
        for trouble in all(&sites) {
            let (fake, copy) = world().await;
            fake.state().troubles = vec![trouble];
            let mut attempts = 0;
            let release = loop {
                attempts += 1;
                assert!(attempts <= 3, "{trouble:?}");
                if let Ok(mut releases) = run(&fake, &copied(&copy)).await {
                    break releases.remove(0);
                }
            };
            assert_unchanged(&release);
            assert_unchanged(&work(&fake, &copied(&copy)).await);
            assert_eq!(fake.state().jobs.len(), 1, "{trouble:?}");
        }
    });
}
