//! Delete markers that hide the record.

use crate::support::{
    BUCKET, Fake, IMAGE, LAB, OTHER_IMAGE, assert_nothing_created, assert_outcome, assert_released_once, claim, event,
    failure, hide_record, job_arn, named_event, record_key, release, release_of, run, upload_image, warnings,
};
use futures::future::join_all;
use std::time::Duration;

#[tokio::test]
async fn a_deleted_job_is_not_created_again_although_its_receipt_is_hidden() {
    for times in 1..=3 {
        let (fake, upload) = upload_image(&[LAB]);
        release(&fake, &upload).await;
        fake.state().jobs.clear();
        for _ in 0..times {
            hide_record(&fake, &upload);
            fake.state().calls.clear();
            assert_outcome(&release(&fake, &upload).await, "skipped", Some("job-deleted"));
            assert_nothing_created(&fake);
        }
    }
}

#[tokio::test]
async fn a_hidden_record_keeps_its_job_id() {
    for has_receipt in [true, false] {
        let (fake, upload) = upload_image(&[LAB, ("ota:job-id", "first")]);
        if has_receipt {
            release(&fake, &upload).await;
        } else {
            fake.fail_next("CreateStream", 400, "InvalidRequestException");
            failure(&fake, &upload).await;
        }
        hide_record(&fake, &upload);
        fake.set_tags(&upload, &[LAB, ("ota:job-id", "second")]);
        let released = release(&fake, &upload).await;
        assert_eq!(released["jobId"], "AFR_OTA-first", "{released}");
        assert_released_once(&fake, &upload, IMAGE).await;
        hide_record(&fake, &upload);
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

/// The versions of the record appear after this attempt's listing, right before its claim.
#[tokio::test]
async fn a_claim_over_a_delete_marker_does_not_replace_earlier_records() {
    // The versions, the oldest first, and the outcome. A version is a job ID, with `true` for a receipt; `None` is a
    // delete marker.
    type Versions = &'static [Option<(&'static str, bool)>];
    let cases: [(Versions, &str); 6] = [
        (&[Some(("first", false)), None], "created"),
        (&[Some(("first", false)), None, Some(("second", false)), None], "created"),
        (&[Some(("first", false)), Some(("first", true)), None], "job-deleted"),
        (&[Some(("first", false)), Some(("first", true)), None, Some(("second", false)), None], "job-deleted"),
        (&[Some(("first", false)), None, Some(("first", true)), None, None], "job-deleted"),
        (&[None], "created by this attempt"),
    ];
    for (versions, outcome) in cases {
        let (fake, upload) = upload_image(&[LAB, ("ota:job-id", "third")]);
        let (key, claimed) = (record_key(&upload), upload.clone());
        fake.before_next("PutObject", move |state| {
            for version in versions {
                let version = version.map(|(id, is_receipt)| {
                    let mut record = claim(&claimed, &format!("AFR_OTA-{id}"));
                    if is_receipt {
                        record["jobArn"] = job_arn(&format!("AFR_OTA-{id}")).into();
                    }
                    record.to_string().into()
                });
                state.put(BUCKET, &key, version, Vec::new());
            }
        });
        let released = release(&fake, &upload).await;
        match outcome {
            "created" => assert_eq!(released["jobId"], "AFR_OTA-first", "{versions:?}: {released}"),
            "job-deleted" => assert_outcome(&released, "skipped", Some("job-deleted")),
            _ => assert_eq!(released["jobId"], "AFR_OTA-third", "{versions:?}: {released}"),
        }
        let jobs = usize::from(outcome != "job-deleted");
        let copies = fake.calls("CopyObject").len();
        assert_eq!((fake.state().jobs.len(), copies), (jobs, jobs), "{versions:?}");
    }
}

#[tokio::test]
async fn a_record_that_exists_but_is_not_listed_ends_the_attempt() {
    let (fake, upload) = upload_image(&[LAB]);
    (0..2).for_each(|_| fake.fail_next("PutObject", 412, "PreconditionFailed"));
    assert!(failure(&fake, &upload).await.contains("release.json`, but S3 does not list it"));
    assert_eq!(fake.calls("PutObject").len(), 2);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
}

#[tokio::test(start_paused = true)]
async fn repeatedly_hidden_records_result_in_one_job() {
    for seed in 0..40 {
        let (fake, upload) = upload_image(&[LAB, ("ota:job-id", "first")]);
        fake.set(|behavior| behavior.jitter_ms = 500);
        fake.state().seed(seed);
        let event = event(&upload);
        let attack = async {
            for at in 0..8 {
                tokio::time::sleep(Duration::from_millis(200 + seed * 37 % 300)).await;
                let has_record = fake.state().objects.contains_key(&(BUCKET.to_owned(), record_key(&upload)));
                if has_record {
                    hide_record(&fake, &upload);
                }
                fake.set_tags(&upload, &[LAB, ("ota:job-id", &format!("other-{at}"))]);
            }
        };
        let late = async {
            tokio::time::sleep(Duration::from_millis(seed * 61 % 4000)).await;
            run(&fake, &event).await
        };
        let deliveries = join_all([run(&fake, &event), run(&fake, &event)]);
        let (deliveries, late, ()) = futures::join!(deliveries, late, attack);
        for releases in deliveries.into_iter().chain([late]) {
            let releases = releases.expect("no failure");
            assert!(releases[0]["outcome"] == "created" || releases[0]["outcome"] == "adopted", "{seed} {releases:?}");
        }
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn copies_and_later_versions_read_a_hidden_record() {
    let fake = Fake::new();
    let first = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    release(&fake, &first).await;
    hide_record(&fake, &first);
    let copy = fake.copy_onto_itself(&first);
    let copied = named_event(&copy, "ObjectCreated:Copy");
    assert_outcome(&release_of(&fake, &copied).await, "skipped", Some("unchanged"));
    // The record of the copy is hidden too.
    hide_record(&fake, &copy);
    assert_outcome(&release_of(&fake, &copied).await, "skipped", Some("unchanged"));
    let newer = fake.upload(&first.key, OTHER_IMAGE, &[LAB]);
    let warned = warnings(async { assert_eq!(release(&fake, &newer).await["outcome"], "created") }).await;
    assert!(warned.contains(&format!("of the earlier version `{}` is SCHEDULED", first.version_id)), "{warned}");
}
