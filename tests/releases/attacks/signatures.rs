//! Revoked and expired signatures, and replaced signature objects.

use crate::support::{
    BUCKET, Behavior, Call, Fake, IMAGE, LAB, PROFILE, State, UNVERIFIED, Upload, assert_nothing_created,
    assert_released_once, claim, event, failure, failure_with, first_file, now, receipt, record_key, release,
    release_unverified, run_with, sign_in_advance, signed_prefix, single, upload_image,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_revoked_or_expired_signature_is_rejected() {
    fn at(seconds: i64) -> Value {
        (now().as_second() + seconds).into()
    }
    type Change = fn(&mut Behavior);
    let cases: [(Change, Option<&str>); 12] = [
        (
            |behavior| behavior.profile_status = "Canceled",
            Some("its profile `OtaSigning`: it is Canceled, expected Active"),
        ),
        (
            |behavior| behavior.profile_status = "Revoked",
            Some("its profile `OtaSigning`: it is Revoked, expected Active"),
        ),
        (
            |behavior| behavior.profile_status = "Unheard",
            Some("its profile `OtaSigning`: it is Unheard, expected Active"),
        ),
        (
            |behavior| {
                behavior.corrupt_signing_profile =
                    |profile| profile["revocationRecord"] = json!({"revocationEffectiveFrom": at(0)});
            },
            Some("its profile `OtaSigning`: it is revoked, expected Active"),
        ),
        (
            |behavior| {
                behavior.corrupt_signing_profile =
                    |profile| profile["revocationRecord"] = json!({"revocationEffectiveFrom": at(60)});
            },
            None,
        ),
        (
            |behavior| {
                behavior.corrupt_signing_job = |job| job["revocationRecord"] = json!({"revokedAt": 1});
            },
            Some("it is revoked"),
        ),
        (
            |behavior| behavior.corrupt_signing_job = |job| job["signatureExpiresAt"] = at(-1),
            Some("its signature expired at 2026-11-23T21:40:29Z"),
        ),
        (
            |behavior| behavior.corrupt_signing_job = |job| job["signatureExpiresAt"] = at(0),
            Some("its signature expired at 2026-11-23T21:40:30Z"),
        ),
        (|behavior| behavior.corrupt_signing_job = |job| job["signatureExpiresAt"] = at(1), None),
        (|behavior| behavior.corrupt_signing_job = |job| job["signatureExpiresAt"] = Value::Null, None),
        (
            |behavior| behavior.corrupt_signing_job = |job| job["jobOwner"] = "999999999999".into(),
            Some("its owner is the account `999999999999`, expected `111122223333`"),
        ),
        (|_| {}, None),
    ];
    for is_manifest in [false, true] {
        for (change, problem) in cases {
            let fake = Fake::new();
            let image = fake.upload("firmware/blinky.bin", IMAGE, &[]);
            let id = sign_in_advance(&fake, &image, "SignedImage/by-hand/").await;
            fake.set(change);
            let (upload, name) = if is_manifest {
                let file = json!({"key": image.key, "versionId": image.version_id, "signingJob": id});
                let manifest = json!({"files": [file]}).to_string();
                (fake.upload("firmware/a.ota.json", manifest, &[LAB]), "`files[0].signingJob`")
            } else {
                fake.set_tags(&image, &[LAB, ("ota:signing-job", &id)]);
                (image, "tag `ota:signing-job`")
            };
            let released = release(&fake, &upload).await;
            let Some(problem) = problem else {
                assert_eq!(released["outcome"], "created", "{released}");
                continue;
            };
            let expected = "expected a finished signing job over this very object version";
            assert_eq!(released["reasons"], json!([format!("{name} is `{id}`, {expected}: {problem}")]));
            assert_nothing_created(&fake);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provided_signature_requires_a_lookup_of_its_profile() {
    for (status, code) in
        [(429, "TooManyRequestsException"), (403, "AccessDeniedException"), (404, "ResourceNotFoundException")]
    {
        let (fake, upload) = upload_image(&[]);
        let id = sign_in_advance(&fake, &upload, "SignedImage/by-hand/").await;
        fake.set_tags(&upload, &[LAB, ("ota:signing-job", &id)]);
        fake.set(|behavior| behavior.profile_status = "Canceled");
        (0..1000).for_each(|_| fake.fail_next("GetSigningProfile", status, code));
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains(&format!("looking up the signing profile `{PROFILE}`")) || status == 429, "{failed}");
        assert_nothing_created(&fake);
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_or_expired_signature_of_an_earlier_attempt_is_replaced() {
    type Change = fn(&mut Value);
    let changes: [Change; 2] = [
        |job| job["revocationRecord"] = json!({"revokedAt": 1}),
        |job| job["signatureExpiresAt"] = now().as_second().into(),
    ];
    for change in changes {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.signing_completed_at = now().as_second() - 60);
        fake.fail_next("CopyObject", 403, "AccessDenied");
        failure(&fake, &upload).await;
        fake.state().signing_jobs.values_mut().for_each(change);
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_eq!(fake.state().signing_jobs.len(), 2);
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

/// The signature is found by its key below the prefix, or returned by Signer for the same token.
#[tokio::test(start_paused = true)]
async fn reusing_a_signature_requires_an_active_profile() {
    for is_listed in [true, false] {
        for status in ["Canceled", "Revoked"] {
            let (fake, upload) = upload_image(&[LAB]);
            fake.set(|behavior| behavior.signing_completed_at = now().as_second() - 60);
            fake.fail_next("CopyObject", 403, "AccessDenied");
            failure(&fake, &upload).await;
            if !is_listed {
                // Signer writes the signed object after the listing of the next attempt.
                let prefix = signed_prefix(&upload);
                let is_signed = move |key: &str| key.starts_with(&prefix) && !key.ends_with("release.json");
                let mut state = fake.state();
                let hidden: Vec<_> = state.objects.keys().filter(|(_, key)| is_signed(key)).cloned().collect();
                let objects: Vec<_> = hidden.iter().map(|at| (at.clone(), state.objects.remove(at))).collect();
                drop(state);
                fake.before_next("StartSigningJob", move |state| {
                    state.objects.extend(objects.into_iter().filter_map(|(at, versions)| Some((at, versions?))));
                });
            }
            fake.set(|behavior| behavior.profile_status = status);
            // The first lookup of the profile is throttled, in all three tries of the SDK.
            (0..3).for_each(|_| fake.fail_next("GetSigningProfile", 429, "TooManyRequestsException"));
            let failed = failure(&fake, &upload).await;
            assert!(failed.contains(&format!("it is {status}, expected Active")), "{is_listed} {failed}");
            assert!(fake.state().jobs.is_empty(), "{is_listed} {status}");
        }
    }
}

fn rsa_signature(byte: u8) -> String {
    BASE64_STANDARD.encode([byte; 256])
}

fn put_signature(state: &mut State, upload: &Upload, byte: u8) -> String {
    let signature = rsa_signature(byte);
    let object = json!({"versionId": upload.version_id, "signature": signature, "signatureAlgorithm": "SHA256withRSA"});
    state.put(BUCKET, &format!("{}.sig", upload.key), Some(object.to_string().into()), Vec::new())
}

/// Uploads an image whose tags or whose manifest names its signature object. Returns the image and the released upload.
fn upload_with_signature_object(fake: &Fake, is_manifest: bool) -> (Upload, Upload) {
    let tags = [LAB, ("ota:signature", ".sig"), ("ota:certificate", "cert.pem")];
    if !is_manifest {
        let image = fake.upload("firmware/blinky.bin", IMAGE, &tags);
        return (image.clone(), image);
    }
    let image = fake.upload("firmware/blinky.bin", IMAGE, &[]);
    let file = json!({
        "key": image.key, "versionId": image.version_id, "signature": ".sig", "certificate": "cert.pem",
    });
    let manifest = fake.upload("firmware/a.ota.json", json!({"files": [file]}).to_string(), &[LAB]);
    (image, manifest)
}

fn reads_of_signature(fake: &Fake) -> Vec<Call> {
    fake.calls("GetUpload").into_iter().filter(|call| call.path.contains(".sig")).collect()
}

#[tokio::test(start_paused = true)]
async fn later_attempts_read_the_same_version_of_the_signature_object() {
    for is_manifest in [false, true] {
        for is_deleted in [false, true] {
            let fake = Fake::new();
            let (image, upload) = upload_with_signature_object(&fake, is_manifest);
            let first = put_signature(&mut fake.state(), &image, 1);
            // The object is replaced during the attempt.
            let (signed, key) = (image.clone(), format!("{}.sig", image.key));
            fake.before_next("PutObject", move |state| drop(put_signature(state, &signed, 2)));
            fake.fail_next("CreateStream", 400, "InvalidRequestException");
            failure_with(&fake, &upload, &[UNVERIFIED]).await;
            single(reads_of_signature(&fake));
            assert_eq!(receipt(&fake, &upload)["signatureVersions"], json!({&image.key: first}));
            // The object is replaced or deleted between attempts.
            if is_deleted {
                fake.delete(&key);
            } else {
                put_signature(&mut fake.state(), &image, 3);
            }
            fake.state().calls.clear();
            assert_eq!(release_unverified(&fake, &upload).await["outcome"], "created");
            assert_eq!(first_file(&fake)["sig-sha256-rsa"], rsa_signature(1));
            assert!(single(reads_of_signature(&fake)).query.contains(&format!("versionId={first}")));
            assert_eq!(receipt(&fake, &upload)["signatureVersions"], json!({&image.key: first}));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_signature_object_of_a_faster_attempt_is_used() {
    for is_hidden in [false, true] {
        let fake = Fake::new();
        let (image, upload) = upload_with_signature_object(&fake, false);
        let first = put_signature(&mut fake.state(), &image, 1);
        put_signature(&mut fake.state(), &image, 2);
        let mut claim = claim(&upload, &upload.default_job_id());
        claim["signatureVersions"] = json!({&image.key: first});
        let key = record_key(&upload);
        fake.before_next("PutObject", move |state| {
            state.put(BUCKET, &key, Some(claim.to_string().into()), Vec::new());
            if is_hidden {
                state.put(BUCKET, &key, None, Vec::new());
            }
        });
        assert_eq!(release_unverified(&fake, &upload).await["outcome"], "created");
        assert_eq!(first_file(&fake)["sig-sha256-rsa"], rsa_signature(1));
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_deliveries_offer_the_signature_object_in_the_record() {
    for seed in 0..15 {
        let fake = Fake::new();
        fake.set(|behavior| behavior.jitter_ms = 500);
        fake.state().seed(seed);
        let (image, upload) = upload_with_signature_object(&fake, false);
        let mut versions = vec![put_signature(&mut fake.state(), &image, 0)];
        let event = event(&upload);
        let replace = async {
            for byte in 1..20 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                versions.push(put_signature(&mut fake.state(), &image, byte));
            }
        };
        let deliveries = join_all((0..4).map(|_| run_with(&fake, &event, &[UNVERIFIED])));
        let (deliveries, ()) = futures::join!(deliveries, replace);
        assert!(deliveries.iter().all(Result::is_ok), "{deliveries:?}");
        let named = receipt(&fake, &upload)["signatureVersions"][&image.key].as_str().expect("a version").to_owned();
        let byte = versions.iter().position(|version| *version == named).expect("one of them");
        let jobs: Vec<Value> = fake.state().jobs.values().cloned().collect();
        let [job] = &jobs[..] else { panic!("{jobs:?}") };
        let signature = rsa_signature(u8::try_from(byte).expect("small"));
        assert!(job["document"].as_str().expect("text").contains(&signature), "{seed}");
    }
}
