//! Jobs of other principals with the ID of a release.

use super::public_token;
use crate::support::{
    BUCKET, Fake, IMAGE, LAB, OTHER_IMAGE, State, Upload, assert_nothing_created, assert_outcome, assert_released_once,
    claim, delete_receipt, dry_run, failure, mark, mark_at, receipt, record_key, release, signed_prefix, single,
    upload_image, warnings,
};
use serde_json::{Value, json};

fn insert_job(state: &mut State, job_id: &str, document: &Value, description: Option<&str>) {
    let mut job = json!({"document": document.to_string(), "status": "SCHEDULED"});
    if let Some(description) = description {
        job["description"] = description.into();
    }
    state.jobs.insert(job_id.to_owned(), job);
}

/// Job documents, each with `true` if the document names the stream or files of this upload.
fn documents(upload: &Upload) -> [(Value, bool); 6] {
    let url = |prefix: &str| {
        format!("${{aws:iot:s3-presigned-url-v2:https://s3.us-east-1.amazonaws.com/{BUCKET}/{prefix}x}}")
    };
    [
        (json!({}), false),
        (json!({"operation": "reboot"}), false),
        (json!({"afr_ota": {"streamname": "AFR_OTA-another"}}), false),
        (json!({"afr_ota": {"files": [{"update_data_url": url("SignedImage/other/")}]}}), false),
        (json!({"afr_ota": {"streamname": upload.stream_id()}}), true),
        (json!({"afr_ota": {"files": [{"update_data_url": url(&signed_prefix(upload))}]}}), true),
    ]
}

#[tokio::test(start_paused = true)]
async fn another_job_with_the_default_id_does_not_block_the_release() {
    for at in 0..4 {
        let (fake, upload) = upload_image(&[LAB]);
        let default = upload.default_job_id();
        insert_job(
            &mut fake.state(),
            &default,
            &documents(&upload)[at].0,
            Some("s3://b/firmware/x.bin?versionId=v1 (release 0)"),
        );
        let dry = dry_run(&fake, &upload).await;
        assert_eq!(
            (&dry["outcome"], &dry["jobId"]),
            (&json!("dry-run"), &json!("AFR_OTA-blinky-bin-<from the record>"))
        );
        assert_nothing_created(&fake);

        fake.fail_next("CreateStream", 400, "InvalidRequestException");
        let warned = warnings(async { drop(failure(&fake, &upload).await) }).await;
        let other = receipt(&fake, &upload)["jobId"].as_str().expect("an ID").to_owned();
        assert!(
            other.starts_with("AFR_OTA-blinky-bin-") && other.len() == default.len() && other != default,
            "{other}"
        );
        let expected = format!(
            "the job ID `{default}` is that of the upload `s3://b/firmware/x.bin?versionId=v1`; this release uses `{other}` instead"
        );
        assert!(warned.contains(&expected), "{warned}");
        let released = release(&fake, &upload).await;
        assert_eq!((&released["outcome"], &released["jobId"]), (&json!("created"), &json!(other)), "{released}");
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
        fake.state().jobs.remove(&default);
        assert_released_once(&fake, &upload, IMAGE).await;
        // Without a receipt, the job is adopted by its mark.
        delete_receipt(&fake, &upload);
        let adopted = release(&fake, &upload).await;
        assert_eq!((&adopted["outcome"], &adopted["jobId"]), (&json!("adopted"), &json!(other)));
        fake.state().jobs.clear();
        assert_outcome(&release(&fake, &upload).await, "skipped", Some("job-deleted"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_names_the_stream_without_the_mark_is_a_conflict() {
    for tags in [&[LAB][..], &[LAB, ("ota:job-id", "spring")]] {
        for at in 4..6 {
            for description in [None, Some("x"), Some("s3://b/k?versionId=v (release 0123456789abcdef)")] {
                let (fake, upload) = upload_image(tags);
                let id = if tags.len() > 1 { "AFR_OTA-spring".to_owned() } else { upload.default_job_id() };
                insert_job(&mut fake.state(), &id, &documents(&upload)[at].0, description);
                for _ in 0..2 {
                    let failed = failure(&fake, &upload).await;
                    assert!(
                        failed.contains(&format!("conflict: the job `{id}` exists: it names the stream or files")),
                        "{failed}"
                    );
                    assert!(
                        failed.contains(&format!("`aws iot delete-job --force --job-id {id}` deletes it")),
                        "{failed}"
                    );
                    assert_nothing_created(&fake);
                }
                fake.state().jobs.clear();
                let released = release(&fake, &upload).await;
                assert_eq!((&released["outcome"], &released["jobId"]), (&json!("created"), &json!(id)));
            }
        }
    }
}

/// The job appears after the claim that fixes its ID.
#[tokio::test(start_paused = true)]
async fn a_job_with_a_claimed_id_is_adopted_only_with_the_mark() {
    for operation in ["CreateStream", "CreateJob"] {
        for (at, (_, names_upload)) in documents(&Upload::new("b".into(), "k".into(), "v".into())).iter().enumerate() {
            for is_marked in [false, true] {
                let (fake, upload) = upload_image(&[LAB]);
                let (id, document) = (upload.default_job_id(), documents(&upload)[at].0.clone());
                let (inserted, key) = (id.clone(), record_key(&upload));
                fake.before_next(operation, move |state| {
                    let mark = mark_at(state, &key);
                    let description = if is_marked { mark } else { " (release 0123456789abcdef)".to_owned() };
                    insert_job(state, &inserted, &document, Some(&format!("x{description}")));
                });
                if is_marked && *names_upload {
                    assert_eq!(release(&fake, &upload).await["outcome"], "adopted", "{at}");
                    continue;
                }
                for _ in 0..2 {
                    let failed = failure(&fake, &upload).await;
                    assert!(failed.contains(&format!("conflict: the job `{id}` exists")), "{failed}");
                    assert!(failed.contains("aws iot delete-job"), "{failed}");
                }
                assert_eq!(fake.state().jobs.len(), 1);
                fake.state().jobs.clear();
                assert_eq!(release(&fake, &upload).await["outcome"], "created");
                assert_released_once(&fake, &upload, IMAGE).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_job_with_the_id_of_a_deleted_job_is_not_adopted() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:job-id", "spring")];
    let first = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    assert_eq!(release(&fake, &first).await["outcome"], "created");
    fake.state().jobs.clear();
    let other = fake.upload("firmware/other.bin", IMAGE, &tags);
    assert_eq!(release(&fake, &other).await["outcome"], "created");
    assert_outcome(&release(&fake, &first).await, "skipped", Some("job-deleted"));
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_recorded_id_used_by_another_upload_is_rejected() {
    for later_id in [Some("summer"), None, Some("spring")] {
        let fake = Fake::new();
        let first = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:job-id", "spring")]);
        fake.fail_next("CreateJob", 403, "AccessDeniedException");
        failure(&fake, &first).await;
        let other = fake.upload("firmware/other.bin", IMAGE, &[LAB, ("ota:job-id", "spring")]);
        assert_eq!(release(&fake, &other).await["outcome"], "created");
        let tags: Vec<_> = [LAB].into_iter().chain(later_id.map(|id| ("ota:job-id", id))).collect();
        fake.set_tags(&first, &tags);
        let rejected = release(&fake, &first).await;
        assert_outcome(&rejected, "rejected", None);
        let reason = rejected["reasons"][0].as_str().expect("a reason");
        assert!(reason.contains("the job ID `AFR_OTA-spring`, which the upload `s3://"), "{later_id:?} {reason}");
        assert!(reason.contains("firmware/other.bin"), "{later_id:?} {reason}");
        assert_eq!(fake.state().jobs.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_without_a_nonce_adopts_a_job_by_its_document() {
    let (fake, upload) = upload_image(&[LAB]);
    let id = upload.default_job_id();
    let mut old = claim(&upload, &id);
    old.as_object_mut().expect("an object").remove("nonce");
    let key = record_key(&upload);
    fake.state().put(BUCKET, &key, Some(old.to_string().into()), Vec::new());
    (0..3).for_each(|_| fake.fail_after_next("CreateJob", 500, "InternalError"));
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    let job = fake.state().jobs[&id].clone();
    assert_eq!(job["description"], format!("s3://{BUCKET}/firmware/blinky.bin?versionId={}", upload.version_id));
    let start = single(fake.calls("StartSigningJob")).json();
    assert_eq!(start["clientRequestToken"], public_token(&upload, &signed_prefix(&upload)));
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn an_explicit_id_that_is_in_use_is_rejected_with_the_upload_that_uses_it() {
    let long = format!("s3://b/k?versionId={}", "v".repeat(1000));
    let shown = format!("the upload `s3://b/k?versionId={}…`", "v".repeat(300 - 19));
    for (description, owner) in [
        (None, "another job"),
        (Some("spring release"), "another job"),
        (Some("s3://b/k?versionId=v"), "the upload `s3://b/k?versionId=v`"),
        (
            Some("s3://b/k%20%C3%BC?versionId=v (release 0123456789abcdef)"),
            "the upload `s3://b/k%20%C3%BC?versionId=v`",
        ),
        (Some("s3://b/k\u{1b}[2J?versionId=v"), "another job"),
        (Some("s3://b/`rm`?versionId=v"), "another job"),
        (Some(long.as_str()), shown.as_str()),
    ] {
        for at in 0..4 {
            let (fake, upload) = upload_image(&[LAB, ("ota:job-id", "spring")]);
            insert_job(&mut fake.state(), "AFR_OTA-spring", &documents(&upload)[at].0, description);
            let expected = format!(
                "tag `ota:job-id` requests the job ID `AFR_OTA-spring`, which {owner} has; choose another and upload again"
            );
            assert_eq!(release(&fake, &upload).await["reasons"], json!([expected]));
            assert_nothing_created(&fake);
        }
    }
}

#[tokio::test]
async fn an_explicit_id_cannot_be_the_default_id_of_another_upload() {
    let fake = Fake::new();
    let victim = fake.upload("firmware/victim.bin", IMAGE, &[LAB]);
    let id = victim.default_job_id();
    let id = id.strip_prefix("AFR_OTA-").expect("the prefix");
    let attacker = fake.upload("firmware/attacker.bin", OTHER_IMAGE, &[LAB, ("ota:job-id", id)]);
    let rejected = release(&fake, &attacker).await;
    let expected = "1 to 55 letters, digits, `_` and `-`; the ID or its part after the last `-` must not be 12 lower-case \
                    hex digits, as in default IDs";
    assert_eq!(rejected["reasons"], json!([format!("tag `ota:job-id` is `{id}`, expected {expected}")]));
    assert_eq!(release(&fake, &victim).await["jobId"], victim.default_job_id());
}

/// Another attempt writes its record and creates its job between this attempt's listing and its DescribeJob.
#[tokio::test(start_paused = true)]
async fn a_job_of_a_faster_attempt_is_adopted() {
    let (fake, upload) = upload_image(&[LAB]);
    let (key, claimed, id) = (record_key(&upload), upload.clone(), upload.default_job_id());
    fake.before_next("DescribeJob", move |state| {
        let claim = claim(&claimed, &id);
        let description = format!("x{}", mark(&claim));
        state.put(BUCKET, &key, Some(claim.to_string().into()), Vec::new());
        let document = json!({"afr_ota": {"streamname": claimed.stream_id()}});
        insert_job(state, &id, &document, Some(&description));
    });
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    assert_eq!(fake.state().jobs.len(), 1);
}
