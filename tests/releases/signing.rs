//! Signing jobs and signed objects: used only if they belong to the upload, and reused by later attempts.

use crate::support::{
    BUCKET, Corrupt, Embedded, Fake, IMAGE, LAB, PROFILE, assert_nothing_created, assert_released_once, event, failure,
    now, release, remove_certname, run_with, upload_image,
};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn signed_objects_with_and_without_payload_are_read() {
    for embedded in [Embedded::No, Embedded::PayloadFirst, Embedded::PayloadLast] {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.embedded = embedded);
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{embedded:?}");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn a_signed_object_that_does_not_match_is_never_streamed() {
    let corruptions: [(Corrupt, &str); 8] = [
        (|object| object["rawPayloadSize"] = json!(1), "its `rawPayloadSize` is 1, expected 21"),
        (|object| object["payloadLocation"]["s3"]["version"] = json!("v0"), "its `payloadLocation` is"),
        (|object| object["payloadLocation"]["s3"]["key"] = json!("firmware/other.bin"), "its `payloadLocation` is"),
        (|object| object["payloadLocation"] = json!({}), "its `payloadLocation` cannot be read"),
        (|object| object["signatureAlgorithm"] = json!("MD5withRSA"), "which devices do not support"),
        (|object| object["signature"] = json!("?"), "its `signature` is not base64"),
        (|object| object["signature"] = json!(""), "its `signature` is not base64"),
        (|object| *object = json!({"signature": "AAAA"}), "it has no `rawPayloadSize`"),
    ];
    for (corrupt, problem) in corruptions {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.corrupt_signed_object = corrupt);
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains("is not one of this upload") && failed.contains(problem), "{failed}");
        assert!(fake.calls("CopyObject").is_empty() && fake.calls("CreateStream").is_empty());
    }
}

#[tokio::test]
async fn a_signing_job_that_does_not_match_is_never_used() {
    let corruptions: [(Corrupt, &str); 5] = [
        (|job| job["source"]["s3"]["version"] = json!("v0"), "its source is"),
        (|job| job["signedObject"]["s3"]["bucketName"] = json!("foreign"), "its signed object is"),
        (|job| job["signedObject"]["s3"]["key"] = json!("SignedImage/other"), "its signed object is"),
        (|job| job["profileName"] = json!("OtherProfile"), "its profile is"),
        (|job| job["status"] = json!("Unheard"), "its status is"),
    ];
    for (corrupt, problem) in corruptions {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.corrupt_signing_job = corrupt);
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains("does not match this release") && failed.contains(problem), "{failed}");
        assert!(fake.calls("CopyObject").is_empty());
    }
}

#[tokio::test]
async fn an_overwritten_signed_object_is_read_by_its_version() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.before_next("GetObject", |state| {
        let signed =
            state.objects.keys().find(|(_, key)| key.contains("00000000-")).expect("a signed object").1.clone();
        state.put(BUCKET, &signed, Some(IMAGE.into()), Vec::new());
    });
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_released_once(&fake, &upload, IMAGE).await;
    let reads = fake.calls("GetObject");
    assert!(!reads[0].query.contains("versionId") && reads[1].query.contains("versionId="), "{reads:?}");
}

/// Returns the times of the lookups of a signing job that takes this time, in milliseconds since the first lookup.
async fn lookups_of_a_signing_job(signing_time: u64) -> Vec<u128> {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.signing_time = Duration::from_millis(signing_time));
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let times: Vec<_> = fake.calls("DescribeSigningJob").iter().map(|call| call.responded_at.as_millis()).collect();
    times.iter().map(|time| time - times[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn waiting_adds_at_most_half_a_second_to_a_signing_job_of_up_to_three_seconds() {
    for signing_time in (50..=3000).step_by(50) {
        let lookups = lookups_of_a_signing_job(signing_time).await;
        let added = lookups.last().expect("a lookup") - u128::from(signing_time);
        assert!(added <= 500, "{signing_time} ms: {lookups:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_longer_signing_job_is_looked_up_with_growing_pauses() {
    let lookups = lookups_of_a_signing_job(60_000).await;
    let pauses: Vec<_> = lookups.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[..8].iter().all(|pause| (450..=452).contains(pause)), "{pauses:?}");
    assert!(pauses[8..].is_sorted() && pauses[29] > 3500, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn polling_ends_before_the_time_out_and_the_next_attempt_resumes_it() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.signing_time = Duration::MAX);
    let started = tokio::time::Instant::now();
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("is still in progress when the invocation's time ends"), "{failed}");
    assert!((100..=118).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    fake.set(|behavior| behavior.signing_time = Duration::ZERO);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.state().signing_jobs.len(), 1);
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn a_failed_signing_job_is_reported_and_replaced() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.signing_failure = Some("can't identify EC private key."));
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("failed: can't identify EC private key."), "{failed}");
    assert_eq!(fake.state().signing_jobs.len(), 1);
    // A minute later, the operator has fixed the cause. For the same token, Signer would return the failed job again.
    for job in fake.state().signing_jobs.values_mut() {
        job["completedAt"] = (now().as_second() - 60).into();
    }
    fake.set(|behavior| behavior.signing_failure = None);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.state().signing_jobs.len(), 2);
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn a_failed_signing_job_without_a_completion_time_is_reported() {
    let fake = Fake::new();
    fake.set(|behavior| {
        behavior.signing_failure = Some("expired");
        behavior.corrupt_signing_job = |job| drop(job.as_object_mut().expect("an object").remove("completedAt"));
    });
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    assert!(failure(&fake, &upload).await.contains("failed: expired"));
    assert_eq!(fake.state().signing_jobs.len(), 1);
}

#[tokio::test]
async fn the_signature_of_an_earlier_attempt_is_reused() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.fail_next("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.state().calls.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert!(fake.calls("StartSigningJob").is_empty());
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn a_signature_by_another_profile_is_not_reused() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.fail_next("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.set_tags(&upload, &[LAB, ("ota:signing-profile", "OtherProfile")]);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let profiles: Vec<_> =
        fake.calls("StartSigningJob").iter().map(|call| call.json()["profileName"].clone()).collect();
    assert_eq!(profiles, [PROFILE, "OtherProfile"]);
}

#[tokio::test]
async fn a_signature_that_can_no_longer_be_used_is_created_again() {
    // The profile had no `certname` at first, or the signed object was deleted.
    for is_gone in [false, true] {
        let fake = Fake::new();
        if !is_gone {
            fake.set(|behavior| behavior.corrupt_signing_job = remove_certname);
        }
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        if is_gone {
            fake.fail_next("CopyObject", 403, "AccessDenied");
        }
        failure(&fake, &upload).await;
        for job in fake.state().signing_jobs.values_mut() {
            job["completedAt"] = (now().as_second() - 60).into();
        }
        if is_gone {
            fake.state().objects.retain(|(_, key), _| !key.contains("00000000-"));
        }
        fake.set(|behavior| {
            behavior.corrupt_signing_job = |job| {
                if job["completedAt"].as_i64() < Some(now().as_second() - 30) {
                    remove_certname(job);
                }
            };
        });
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{is_gone}");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test]
async fn a_certname_that_devices_cannot_read_fails_the_release() {
    for certname in [None, Some(""), Some("a\"b"), Some("a\\b"), Some("${x}"), Some("a\nb")] {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.certname = certname);
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains("`certname`"), "{failed}");
        assert_nothing_created(&fake);
    }
}

#[tokio::test]
async fn a_missing_or_inactive_profile_fails_the_release() {
    for status in ["Canceled", "Revoked"] {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.profile_status = status);
        let expected = format!("the signing profile `{PROFILE}` cannot be used: it is {status}, expected Active");
        assert!(failure(&fake, &upload).await.contains(&expected));
        assert_nothing_created(&fake);
    }
    let (fake, upload) = upload_image(&[LAB, ("ota:signing-profile", "Gone")]);
    let failed = run_with(&fake, &event(&upload), &[("ALLOWED_SIGNING_PROFILES", "Gone")]).await;
    assert!(failed.expect_err("a failure").contains("looking up the signing profile `Gone`"));
    assert_nothing_created(&fake);
}
