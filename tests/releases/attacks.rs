//! What somebody with rights in the account does to mislead or block releases: attacks that worked once, and their variants.

use crate::{
    fake::{BUCKET, Behavior, Call, Fake, PROFILE, State, job_arn, now},
    lookups::warnings,
    releases::{
        LAB, assert_nothing_created, assert_released_once, event, failure, lose_receipt, one, receipt, record, release,
        run, run_with, setting, sha256, sign, tag,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::future::join_all;
use ota_on_upload::{s3::record::JobRecord, settings::Settings, upload::Upload};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, time::Duration};

const IMAGE: &[u8] = b"\x7fELF a firmware image";
/// Of the same size.
const OTHER_IMAGE: &[u8] = b"\x7fELF evil firmware 66";
const UNVERIFIED: (&str, &str) = ("ALLOW_UNVERIFIED", "true");
const ROLE: &str = "arn:aws:iam::111122223333:role/ota";

fn upload(fake: &Fake, tags: &[(&str, &str)]) -> Upload {
    fake.upload("firmware/blinky.bin", IMAGE, tags)
}

fn signed_prefix(upload: &Upload) -> String {
    Settings::from_lookup(setting).expect("good settings").prefix_of(&upload)
}

/// Puts a delete marker over the record, as `s3:DeleteObject` does.
fn hide_record(fake: &Fake, upload: &Upload) {
    fake.delete(&format!("{}release.json", signed_prefix(upload)));
}

/// The claim of another attempt.
fn claim(upload: &Upload, job_id: &str) -> Value {
    let Upload { bucket, key, version_id, .. } = upload;
    json!({"bucket": bucket, "key": key, "versionId": version_id, "jobId": job_id, "nonce": "00".repeat(16), "tags": {}})
}

fn is(release: &Value, outcome: &str, reason: Option<&str>) {
    let reason = reason.map_or(Value::Null, Value::from);
    assert_eq!((&release["outcome"], &release["reason"]), (&json!(outcome), &reason), "{release}");
}

// A1: a delete marker over the record.

#[tokio::test]
async fn a_hidden_receipt_creates_no_deleted_job_again() {
    for times in 1..=3 {
        let fake = Fake::new();
        let upload = upload(&fake, &[LAB]);
        release(&fake, &upload).await;
        fake.state().jobs.clear();
        for _ in 0..times {
            hide_record(&fake, &upload);
            fake.state().calls.clear();
            is(&release(&fake, &upload).await, "skipped", Some("job-deleted"));
            assert_nothing_created(&fake);
        }
    }
}

#[tokio::test]
async fn a_hidden_record_keeps_its_job_id() {
    for has_receipt in [true, false] {
        let fake = Fake::new();
        let upload = upload(&fake, &[LAB, ("ota:job-id", "first")]);
        if has_receipt {
            release(&fake, &upload).await;
        } else {
            fake.instead_of("CreateStream", 400, "InvalidRequestException");
            failure(&fake, &upload).await;
        }
        hide_record(&fake, &upload);
        tag(&fake, &upload, &[LAB, ("ota:job-id", "second")]);
        let released = release(&fake, &upload).await;
        assert_eq!(released["jobId"], "AFR_OTA-first", "{released}");
        assert_released_once(&fake, &upload, IMAGE).await;
        hide_record(&fake, &upload);
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

/// What lies in the bucket by the time of the claim, though no list had shown it.
#[tokio::test]
async fn a_claim_that_s3_accepts_over_a_delete_marker_does_not_decide() {
    // The versions from the oldest to the newest, and the outcome. `None` is a delete marker.
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
        let fake = Fake::new();
        let upload = upload(&fake, &[LAB, ("ota:job-id", "third")]);
        let (key, of) = (format!("{}release.json", signed_prefix(&upload)), upload.clone());
        fake.before("PutObject", move |state| {
            for version in versions {
                let version = version.map(|(id, is_receipt)| {
                    let mut record = claim(&of, &format!("AFR_OTA-{id}"));
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
            "job-deleted" => is(&released, "skipped", Some("job-deleted")),
            _ => assert_eq!(released["jobId"], "AFR_OTA-third", "{versions:?}: {released}"),
        }
        let jobs = usize::from(outcome != "job-deleted");
        let copies = fake.calls("CopyObject").len();
        assert_eq!((fake.state().jobs.len(), copies), (jobs, jobs), "{versions:?}");
    }
}

#[tokio::test]
async fn a_record_that_s3_refuses_to_list_ends_the_attempt() {
    let fake = Fake::new();
    let upload = upload(&fake, &[LAB]);
    (0..2).for_each(|_| fake.instead_of("PutObject", 412, "PreconditionFailed"));
    assert!(failure(&fake, &upload).await.contains("release.json` is in the way of this attempt's own"));
    assert_eq!(fake.calls("PutObject").len(), 2);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
}

#[tokio::test(start_paused = true)]
async fn records_that_are_hidden_again_and_again_come_to_one_job() {
    for seed in 0..40 {
        let fake = Fake::new();
        fake.set(|behavior| behavior.jitter_ms = 500);
        fake.state().seed(seed);
        let upload = upload(&fake, &[LAB, ("ota:job-id", "first")]);
        let event = event(&upload);
        let attack = async {
            for at in 0..8 {
                tokio::time::sleep(Duration::from_millis(200 + seed * 37 % 300)).await;
                let has_record = fake
                    .state()
                    .objects
                    .contains_key(&(BUCKET.to_owned(), format!("{}release.json", signed_prefix(&upload))));
                if has_record {
                    hide_record(&fake, &upload);
                }
                tag(&fake, &upload, &[LAB, ("ota:job-id", &format!("other-{at}"))]);
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
async fn a_hidden_record_is_seen_by_copies_and_by_later_versions() {
    let fake = Fake::new();
    let first = upload(&fake, &[LAB]);
    release(&fake, &first).await;
    hide_record(&fake, &first);
    let copy = fake.copy_onto_itself(&first);
    let copied = json!({"Records": [record(&copy, "ObjectCreated:Copy")]});
    is(&run(&fake, &copied).await.expect("no failure")[0], "skipped", Some("unchanged"));
    // The record of the copy is hidden in turn, and that of another attempt at it.
    hide_record(&fake, &copy);
    is(&run(&fake, &copied).await.expect("no failure")[0], "skipped", Some("unchanged"));
    let newer = fake.upload(&first.key, OTHER_IMAGE, &[LAB]);
    let warned = warnings(async { assert_eq!(release(&fake, &newer).await["outcome"], "created") }).await;
    assert!(warned.contains(&format!("of the earlier version `{}` is SCHEDULED", first.version_id)), "{warned}");
}

// A3: a stream that was created in advance.

/// Creates the stream of an upload, as anyone may who has the right to create streams.
async fn create_stream(fake: &Fake, upload: &Upload, role: &str, files: &Value) {
    let stream = json!({"roleArn": role, "files": files});
    let request = http::Request::post(format!("/streams/{}", upload.stream_id()));
    let request = request.body(stream.to_string().into()).expect("a request");
    assert_eq!(fake.streams.answer(&request, async |_, _, _| Some(1)).await.status(), 200);
}

async fn delete_stream(fake: &Fake, upload: &Upload) {
    let request = http::Request::delete(format!("/streams/{}", upload.stream_id()));
    let request = request.body(bytes::Bytes::new()).expect("a request");
    assert_eq!(fake.streams.answer(&request, async |_, _, _| Some(1)).await.status(), 200);
}

/// Where a stream points that somebody creates in advance.
#[derive(Debug, Clone, Copy)]
enum Points {
    /// At a version with these bytes, below the upload's own prefix or elsewhere.
    At(&'static [u8], Place),
    /// At a version that is not there.
    AtNothing,
    /// At the current version, whichever that is.
    AtCurrent,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Own,
    OwnDeeper,
    Record,
    OtherFolder,
    OtherBucket,
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_created_in_advance_offers_devices_nothing_but_the_upload() {
    use Place::{OtherBucket, OtherFolder, Own, OwnDeeper, Record};
    const EVIL_ROLE: &str = "arn:aws:iam::111122223333:role/evil";
    let cases: [(&str, u8, Points, bool); 16] = [
        (ROLE, 0, Points::At(IMAGE, Own), true),
        (ROLE, 0, Points::At(OTHER_IMAGE, Own), false),
        (ROLE, 0, Points::At(b"", Own), false),
        (ROLE, 0, Points::At(b"short", Own), false),
        (ROLE, 0, Points::At(&[7; 10_000], Own), false),
        (ROLE, 0, Points::At(b"\x7fELF a firmware image ", Own), false),
        (ROLE, 0, Points::At(b"{\"rawPayloadSize\":21}", Record), false),
        (ROLE, 0, Points::At(IMAGE, OwnDeeper), false),
        (ROLE, 0, Points::At(IMAGE, OtherFolder), false),
        (ROLE, 0, Points::At(OTHER_IMAGE, OtherFolder), false),
        (ROLE, 0, Points::At(IMAGE, OtherBucket), false),
        (ROLE, 0, Points::AtNothing, false),
        (ROLE, 0, Points::AtCurrent, false),
        (ROLE, 1, Points::At(IMAGE, Own), false),
        (EVIL_ROLE, 0, Points::At(IMAGE, Own), false),
        (EVIL_ROLE, 0, Points::At(OTHER_IMAGE, Own), false),
    ];
    for verify in ["true", "false"] {
        for (role, file_id, points, is_good) in cases {
            let fake = Fake::new();
            let upload = upload(&fake, &[LAB]);
            let prefix = signed_prefix(&upload);
            let (bucket, key, bytes) = match points {
                Points::At(bytes, place) => match place {
                    Own => (BUCKET, format!("{prefix}x"), bytes),
                    OwnDeeper => (BUCKET, format!("{prefix}0/x"), bytes),
                    Record => (BUCKET, format!("{prefix}y"), bytes),
                    OtherFolder => (BUCKET, "SignedImage/other/x".to_owned(), bytes),
                    OtherBucket => ("evil", format!("{prefix}x"), bytes),
                },
                _ => (BUCKET, format!("{prefix}x"), IMAGE),
            };
            let version = fake.state().put(bucket, &key, Some(bytes.into()), Vec::new());
            let mut location = json!({"bucket": bucket, "key": key, "version": version});
            match points {
                Points::AtNothing => location["version"] = "gone".into(),
                Points::AtCurrent => drop(location.as_object_mut().expect("an object").remove("version")),
                Points::At(..) => {}
            }
            create_stream(&fake, &upload, role, &json!([{"fileId": file_id, "s3Location": location}])).await;
            let over = [("VERIFY_SIGNATURES", verify)];
            let done = run_with(&fake, &event(&upload), &over).await;
            if is_good {
                assert_eq!(done.expect("no failure")[0]["outcome"], "created", "{points:?}");
                assert_released_once(&fake, &upload, IMAGE).await;
                continue;
            }
            let failed = done.expect_err(&format!("{points:?}"));
            let id = upload.stream_id();
            assert!(failed.contains(&format!("conflict: the stream `{id}` exists")), "{failed}");
            assert!(failed.contains(&format!("`aws iot delete-stream --stream-id {id}` deletes it")), "{failed}");
            if role == ROLE && file_id == 0 {
                assert!(failed.contains(&format!("its file 0 points at s3://{bucket}/{key} ")), "{failed}");
            }
            assert!(fake.state().jobs.is_empty(), "{points:?}");
            delete_stream(&fake, &upload).await;
            assert_eq!(run_with(&fake, &event(&upload), &over).await.expect("no failure")[0]["outcome"], "created");
            assert_released_once(&fake, &upload, IMAGE).await;
        }
    }
}

/// The file IDs of a stream, each with the folder of its version, and whether that has the bytes of the file.
type Files = &'static [(u8, u8, bool)];

#[tokio::test(start_paused = true)]
async fn a_stream_of_other_files_than_those_of_a_manifest_is_not_adopted() {
    let app: &[u8] = b"\x7fELF an application";
    let cases: [(Files, bool); 8] = [
        (&[(0, 0, true)], false),
        (&[(7, 7, true)], false),
        (&[(0, 0, true), (3, 3, true)], false),
        (&[(0, 0, true), (3, 3, true), (7, 7, true)], false),
        (&[(0, 0, true), (7, 0, true)], false),
        (&[(0, 0, true), (7, 7, false)], false),
        (&[(0, 7, true), (7, 0, true)], false),
        (&[(7, 7, true), (0, 0, true)], true),
    ];
    for (files, is_own) in cases {
        let fake = Fake::new();
        let sources = ["firmware/app.bin", "firmware/radio.bin"].map(|key| fake.upload(key, app, &[]));
        let [app_file, radio] = sources.map(|file| json!({"key": file.key, "versionId": file.version_id}));
        let mut manifest = json!({"files": [app_file, radio]});
        manifest["files"][1]["fileId"] = json!(7);
        let upload = fake.upload("firmware/gateway.ota.json", manifest.to_string(), &[LAB]);
        let prefix = signed_prefix(&upload);
        let file = |(id, folder, is_same): &(u8, u8, bool)| {
            let (key, bytes) =
                (format!("{prefix}{folder}/x"), if *is_same { app } else { b"\x7fELF evil application" });
            let version = fake.state().put(BUCKET, &key, Some(bytes.into()), Vec::new());
            json!({"fileId": id, "s3Location": {"bucket": BUCKET, "key": key, "version": version}})
        };
        let files: Vec<_> = files.iter().map(file).collect();
        create_stream(&fake, &upload, ROLE, &json!(files)).await;
        if is_own {
            assert_eq!(release(&fake, &upload).await["outcome"], "created");
        } else {
            let failed = failure(&fake, &upload).await;
            assert!(failed.contains("conflict: the stream"), "{files:?} {failed}");
            assert!(fake.state().jobs.is_empty());
        }
    }
}

/// An attempt compares with its own copy where the upload is not read, and reads nothing where the stream is its own.
#[tokio::test(start_paused = true)]
async fn the_stream_of_an_earlier_attempt_costs_one_read() {
    let fake = Fake::new();
    let upload = upload(&fake, &[LAB]);
    (0..3).for_each(|_| fake.instead_of("CreateJob", 500, "InternalError"));
    failure(&fake, &upload).await;
    fake.state().calls.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let reads = fake.calls("GetObject");
    // The record, the signed object, and the copy of the earlier attempt.
    assert_eq!(reads.len(), 3, "{reads:?}");
    assert!(reads.iter().all(|read| read.query.contains("versionId=")), "{reads:?}");
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn a_place_in_a_stream_reaches_the_log_escaped() {
    let fake = Fake::new();
    let upload = upload(&fake, &[LAB]);
    let location = json!({"bucket": "b\u{1b}[2J", "key": "k\n\u{202e}", "version": "v\u{7}"});
    create_stream(&fake, &upload, ROLE, &json!([{"fileId": 0, "s3Location": location}])).await;
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("s3://b\\u{1b}[2J/k\\n\\u{202e} version v\\u{7}"), "{failed}");
}

// A4: signatures of profiles that are no longer good.

#[tokio::test(start_paused = true)]
async fn a_signature_that_is_no_longer_good_is_rejected() {
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
            let image = upload(&fake, &[]);
            let id = sign(&fake, &image, "SignedImage/by-hand/").await;
            fake.set(change);
            let (upload, name) = if is_manifest {
                let file = json!({"key": image.key, "versionId": image.version_id, "signingJob": id});
                let manifest = json!({"files": [file]}).to_string();
                (fake.upload("firmware/a.ota.json", manifest, &[LAB]), "`files[0].signingJob`")
            } else {
                tag(&fake, &image, &[LAB, ("ota:signing-job", &id)]);
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
async fn a_profile_that_cannot_be_looked_up_vouches_for_no_signature() {
    for (status, code) in
        [(429, "TooManyRequestsException"), (403, "AccessDeniedException"), (404, "ResourceNotFoundException")]
    {
        let fake = Fake::new();
        let upload = upload(&fake, &[]);
        let id = sign(&fake, &upload, "SignedImage/by-hand/").await;
        tag(&fake, &upload, &[LAB, ("ota:signing-job", &id)]);
        fake.set(|behavior| behavior.profile_status = "Canceled");
        (0..1000).for_each(|_| fake.instead_of("GetSigningProfile", status, code));
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains(&format!("looking up the signing profile `{PROFILE}`")) || status == 429, "{failed}");
        assert_nothing_created(&fake);
    }
}

/// The same holds for what this function signed itself in an earlier attempt.
#[tokio::test(start_paused = true)]
async fn a_signature_of_an_earlier_attempt_that_is_no_longer_good_is_made_again() {
    type Change = fn(&mut Value);
    let changes: [Change; 2] = [
        |job| job["revocationRecord"] = json!({"revokedAt": 1}),
        |job| job["signatureExpiresAt"] = now().as_second().into(),
    ];
    for change in changes {
        let fake = Fake::new();
        fake.set(|behavior| behavior.signing_completed_at = now().as_second() - 60);
        let upload = upload(&fake, &[LAB]);
        fake.instead_of("CopyObject", 403, "AccessDenied");
        failure(&fake, &upload).await;
        fake.state().signing_jobs.values_mut().for_each(change);
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_eq!(fake.state().signing_jobs.len(), 2);
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

/// Whether its key is found below the prefix or Signer answers its token: a signature that is there asks nobody else.
#[tokio::test(start_paused = true)]
async fn a_signature_of_an_earlier_attempt_needs_a_profile_that_is_still_good() {
    for is_listed in [true, false] {
        for status in ["Canceled", "Revoked"] {
            let fake = Fake::new();
            fake.set(|behavior| behavior.signing_completed_at = now().as_second() - 60);
            let upload = upload(&fake, &[LAB]);
            fake.instead_of("CopyObject", 403, "AccessDenied");
            failure(&fake, &upload).await;
            if !is_listed {
                // Signer has not written the signed object yet when the next attempt lists.
                let prefix = signed_prefix(&upload);
                let is_signed = move |key: &str| key.starts_with(&prefix) && !key.ends_with("release.json");
                let mut state = fake.state();
                let hidden: Vec<_> = state.objects.keys().filter(|(_, key)| is_signed(key)).cloned().collect();
                let objects: Vec<_> = hidden.iter().map(|at| (at.clone(), state.objects.remove(at))).collect();
                drop(state);
                fake.before("StartSigningJob", move |state| {
                    state.objects.extend(objects.into_iter().filter_map(|(at, versions)| Some((at, versions?))));
                });
            }
            fake.set(|behavior| behavior.profile_status = status);
            // The look before anything is created is throttled, three times by the SDK.
            (0..3).for_each(|_| fake.instead_of("GetSigningProfile", 429, "TooManyRequestsException"));
            let failed = failure(&fake, &upload).await;
            assert!(failed.contains(&format!("it is {status}, expected Active")), "{is_listed} {failed}");
            assert!(fake.state().jobs.is_empty(), "{is_listed} {status}");
        }
    }
}

// A5: the signature object is replaced.

fn signature(byte: u8) -> String {
    BASE64_STANDARD.encode([byte; 256])
}

fn put_signature(state: &mut State, upload: &Upload, byte: u8) -> String {
    let object =
        json!({"versionId": upload.version_id, "signature": signature(byte), "signatureAlgorithm": "SHA256withRSA"});
    state.put(BUCKET, &format!("{}.sig", upload.key), Some(object.to_string().into()), Vec::new())
}

fn offered(fake: &Fake) -> Value {
    let job = one(fake.calls("CreateJob")).json();
    serde_json::from_str::<Value>(job["document"].as_str().expect("text")).expect("JSON")["afr_ota"]["files"][0].clone()
}

/// An image with a signature object, or a manifest of it; the image, and what is released.
fn with_signature_object(fake: &Fake, is_manifest: bool) -> (Upload, Upload) {
    let tags = [LAB, ("ota:signature", ".sig"), ("ota:certificate", "cert.pem")];
    if !is_manifest {
        let image = upload(fake, &tags);
        return (image.clone(), image);
    }
    let image = upload(fake, &[]);
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
async fn a_signature_object_is_read_once_and_later_attempts_read_that_version() {
    for is_manifest in [false, true] {
        for is_deleted in [false, true] {
            let fake = Fake::new();
            let (image, upload) = with_signature_object(&fake, is_manifest);
            let first = put_signature(&mut fake.state(), &image, 1);
            // Replaced while the attempt is under way.
            let (of, key) = (image.clone(), format!("{}.sig", image.key));
            fake.before("PutObject", move |state| drop(put_signature(state, &of, 2)));
            fake.instead_of("CreateStream", 400, "InvalidRequestException");
            run_with(&fake, &event(&upload), &[UNVERIFIED]).await.expect_err("a failure");
            one(reads_of_signature(&fake));
            assert_eq!(receipt(&fake, &upload)["signatureVersions"], json!({&image.key: first}));
            // And between attempts.
            if is_deleted {
                fake.delete(&key);
            } else {
                put_signature(&mut fake.state(), &image, 3);
            }
            fake.state().calls.clear();
            let released = run_with(&fake, &event(&upload), &[UNVERIFIED]).await.expect("no failure");
            assert_eq!(released[0]["outcome"], "created");
            assert_eq!(offered(&fake)["sig-sha256-rsa"], signature(1));
            assert!(one(reads_of_signature(&fake)).query.contains(&format!("versionId={first}")));
            assert_eq!(receipt(&fake, &upload)["signatureVersions"], json!({&image.key: first}));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_signature_object_of_the_attempt_that_was_first_counts() {
    for is_hidden in [false, true] {
        let fake = Fake::new();
        let (image, upload) = with_signature_object(&fake, false);
        let first = put_signature(&mut fake.state(), &image, 1);
        put_signature(&mut fake.state(), &image, 2);
        let mut claim = claim(&upload, &upload.default_job_id());
        claim["signatureVersions"] = json!({&image.key: first});
        let key = format!("{}release.json", signed_prefix(&upload));
        fake.before("PutObject", move |state| {
            state.put(BUCKET, &key, Some(claim.to_string().into()), Vec::new());
            if is_hidden {
                state.put(BUCKET, &key, None, Vec::new());
            }
        });
        let released = run_with(&fake, &event(&upload), &[UNVERIFIED]).await.expect("no failure");
        assert_eq!(released[0]["outcome"], "created");
        assert_eq!(offered(&fake)["sig-sha256-rsa"], signature(1));
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_race_with_replaced_signature_objects_offer_what_the_record_names() {
    for seed in 0..15 {
        let fake = Fake::new();
        fake.set(|behavior| behavior.jitter_ms = 500);
        fake.state().seed(seed);
        let (image, upload) = with_signature_object(&fake, false);
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
        let signature = signature(u8::try_from(byte).expect("small"));
        assert!(job["document"].as_str().expect("text").contains(&signature), "{seed}");
    }
}

// B1: job IDs.

fn squat(state: &mut State, job_id: &str, document: &Value, description: Option<&str>) {
    let mut job = json!({"document": document.to_string(), "status": "SCHEDULED"});
    if let Some(description) = description {
        job["description"] = description.into();
    }
    state.jobs.insert(job_id.to_owned(), job);
}

/// Job documents of others, or that pretend to be of this upload.
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
async fn a_default_id_that_another_job_has_does_not_block_a_release() {
    for at in 0..4 {
        let fake = Fake::new();
        let upload = upload(&fake, &[LAB]);
        let default = upload.default_job_id();
        squat(
            &mut fake.state(),
            &default,
            &documents(&upload)[at].0,
            Some("s3://b/firmware/x.bin?versionId=v1 (release 0)"),
        );
        let dry = run_with(&fake, &event(&upload), &[("DRY_RUN", "true")]).await.expect("no failure").remove(0);
        assert_eq!(
            (&dry["outcome"], &dry["jobId"]),
            (&json!("dry-run"), &json!("AFR_OTA-blinky-bin-<from the record>"))
        );
        assert_nothing_created(&fake);

        fake.instead_of("CreateStream", 400, "InvalidRequestException");
        let warned = warnings(async { drop(failure(&fake, &upload).await) }).await;
        let other = receipt(&fake, &upload)["jobId"].as_str().expect("an ID").to_owned();
        assert!(
            other.starts_with("AFR_OTA-blinky-bin-") && other.len() == default.len() && other != default,
            "{other}"
        );
        let told = format!(
            "the job ID `{default}` is that of the upload `s3://b/firmware/x.bin?versionId=v1`; this release uses `{other}` instead"
        );
        assert!(warned.contains(&told), "{warned}");
        let released = release(&fake, &upload).await;
        assert_eq!((&released["outcome"], &released["jobId"]), (&json!("created"), &json!(other)), "{released}");
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
        fake.state().jobs.remove(&default);
        assert_released_once(&fake, &upload, IMAGE).await;
        // By its mark, where the receipt is lost.
        lose_receipt(&fake, &upload);
        let adopted = release(&fake, &upload).await;
        assert_eq!((&adopted["outcome"], &adopted["jobId"]), (&json!("adopted"), &json!(other)));
        fake.state().jobs.clear();
        is(&release(&fake, &upload).await, "skipped", Some("job-deleted"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_pretends_to_be_of_an_upload_is_neither_adopted_nor_joined_by_another() {
    for tags in [&[LAB][..], &[LAB, ("ota:job-id", "spring")]] {
        for at in 4..6 {
            for description in [None, Some("x"), Some("s3://b/k?versionId=v (release 0123456789abcdef)")] {
                let fake = Fake::new();
                let upload = upload(&fake, tags);
                let id = if tags.len() > 1 { "AFR_OTA-spring".to_owned() } else { upload.default_job_id() };
                squat(&mut fake.state(), &id, &documents(&upload)[at].0, description);
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

/// The job appears after the claim, which has fixed the ID: before this attempt looks for it, or right before CreateJob.
#[tokio::test(start_paused = true)]
async fn a_job_under_a_claimed_id_is_adopted_by_its_mark_alone() {
    for operation in ["CreateStream", "CreateJob"] {
        for (at, (_, names_upload)) in documents(&Upload::new("b".into(), "k".into(), "v".into())).iter().enumerate() {
            for is_marked in [false, true] {
                let fake = Fake::new();
                let upload = upload(&fake, &[LAB]);
                let (id, document) = (upload.default_job_id(), documents(&upload)[at].0.clone());
                let (squatted, key) = (id.clone(), format!("{}release.json", signed_prefix(&upload)));
                fake.before(operation, move |state| {
                    let record = state.objects[&(BUCKET.to_owned(), key)][0].bytes.clone().expect("a record");
                    let record: JobRecord = serde_json::from_slice(&record).expect("JSON");
                    let description = if is_marked { record.mark() } else { " (release 0123456789abcdef)".to_owned() };
                    squat(state, &squatted, &document, Some(&format!("x{description}")));
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
async fn a_job_that_has_the_id_of_a_deleted_one_is_not_adopted_by_its_receipt() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:job-id", "spring")];
    let first = upload(&fake, &tags);
    assert_eq!(release(&fake, &first).await["outcome"], "created");
    fake.state().jobs.clear();
    let other = fake.upload("firmware/other.bin", IMAGE, &tags);
    assert_eq!(release(&fake, &other).await["outcome"], "created");
    is(&release(&fake, &first).await, "skipped", Some("job-deleted"));
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_recorded_id_that_another_upload_has_taken_is_rejected_whatever_the_tag_is_now() {
    for now in [Some("summer"), None, Some("spring")] {
        let fake = Fake::new();
        let first = upload(&fake, &[LAB, ("ota:job-id", "spring")]);
        fake.instead_of("CreateJob", 403, "AccessDeniedException");
        failure(&fake, &first).await;
        let other = fake.upload("firmware/other.bin", IMAGE, &[LAB, ("ota:job-id", "spring")]);
        assert_eq!(release(&fake, &other).await["outcome"], "created");
        let tags = [LAB].into_iter().chain(now.map(|id| ("ota:job-id", id)));
        let tags = tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).collect();
        let place = (BUCKET.to_owned(), first.key.clone());
        fake.state().objects.get_mut(&place).expect("the object")[0].tags = tags;
        let rejected = release(&fake, &first).await;
        is(&rejected, "rejected", None);
        let reason = rejected["reasons"][0].as_str().expect("a reason");
        assert!(reason.contains("the job ID `AFR_OTA-spring`, which the upload `s3://"), "{now:?} {reason}");
        assert!(reason.contains("firmware/other.bin"), "{now:?} {reason}");
        assert_eq!(fake.state().jobs.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_record_of_an_earlier_version_of_the_function_goes_by_the_document() {
    let fake = Fake::new();
    let upload = upload(&fake, &[LAB]);
    let id = upload.default_job_id();
    let mut old = claim(&upload, &id);
    old.as_object_mut().expect("an object").remove("nonce");
    let key = format!("{}release.json", signed_prefix(&upload));
    fake.state().put(BUCKET, &key, Some(old.to_string().into()), Vec::new());
    (0..3).for_each(|_| fake.after("CreateJob", 500, "InternalError"));
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    let job = fake.state().jobs[&id].clone();
    assert_eq!(job["description"], format!("s3://{BUCKET}/firmware/blinky.bin?versionId={}", upload.version_id));
    let start = one(fake.calls("StartSigningJob")).json();
    assert_eq!(start["clientRequestToken"], public_token(&upload, &signed_prefix(&upload)));
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn an_explicit_id_that_is_taken_is_rejected_with_the_upload_that_has_it() {
    let long = format!("s3://b/k?versionId={}", "v".repeat(1000));
    let shown = format!("the upload `s3://b/k?versionId={}…`", "v".repeat(300 - 19));
    for (description, of) in [
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
            let fake = Fake::new();
            let upload = upload(&fake, &[LAB, ("ota:job-id", "spring")]);
            squat(&mut fake.state(), "AFR_OTA-spring", &documents(&upload)[at].0, description);
            let expected = format!(
                "tag `ota:job-id` asks for the job ID `AFR_OTA-spring`, which {of} has; choose another and upload again"
            );
            assert_eq!(release(&fake, &upload).await["reasons"], json!([expected]));
            assert_nothing_created(&fake);
        }
    }
}

#[tokio::test]
async fn no_upload_can_ask_for_the_default_id_of_another() {
    let fake = Fake::new();
    let victim = fake.upload("firmware/victim.bin", IMAGE, &[LAB]);
    let id = victim.default_job_id();
    let id = id.strip_prefix("AFR_OTA-").expect("the prefix");
    let attacker = fake.upload("firmware/attacker.bin", OTHER_IMAGE, &[LAB, ("ota:job-id", id)]);
    let rejected = release(&fake, &attacker).await;
    let expected = "1 to 55 letters, digits, `_` and `-`, not ending in 12 hex digits as default IDs do";
    assert_eq!(rejected["reasons"], json!([format!("tag `ota:job-id` is `{id}`, expected {expected}")]));
    assert_eq!(release(&fake, &victim).await["jobId"], victim.default_job_id());
}

/// The other attempt puts its record after this one has looked for it, and creates the job before this one looks for that.
#[tokio::test(start_paused = true)]
async fn a_job_of_an_attempt_that_was_faster_is_no_strangers() {
    let fake = Fake::new();
    let upload = upload(&fake, &[LAB]);
    let (key, of, id) = (format!("{}release.json", signed_prefix(&upload)), upload.clone(), upload.default_job_id());
    fake.before("DescribeJob", move |state| {
        let claim = claim(&of, &id);
        let record: JobRecord = serde_json::from_value(claim.clone()).expect("a record");
        state.put(BUCKET, &key, Some(claim.to_string().into()), Vec::new());
        let document = json!({"afr_ota": {"streamname": of.stream_id()}});
        squat(state, &id, &document, Some(&format!("x{}", record.mark())));
    });
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    assert_eq!(fake.state().jobs.len(), 1);
}

// B2: tokens of signing jobs.

/// The token that anyone can compute of an upload: from its version and every input of the signing job.
fn public_token(upload: &Upload, prefix: &str) -> String {
    fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let parts = parts.into_iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat());
        Sha256::digest(parts.collect::<Vec<_>>()).to_vec()
    }
    let version = hash([upload.bucket.as_bytes(), upload.key.as_bytes(), upload.version_id.as_bytes()]);
    let inputs = hash([PROFILE.as_bytes(), prefix.as_bytes(), b"0"]);
    let token = hash([&version[..], &inputs[..]]);
    token.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn start_signing_job(fake: &Fake, source: &Upload, prefix: &str, token: &str) {
    let source = json!({"bucketName": BUCKET, "key": source.key, "version": source.version_id});
    let request = json!({
        "source": {"s3": source}, "destination": {"s3": {"bucketName": BUCKET, "prefix": prefix}},
        "profileName": PROFILE, "clientRequestToken": token,
    });
    let request = http::Request::post("/signing-jobs").body(request.to_string().into()).expect("a request");
    assert_eq!(fake.answer(request).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn signing_jobs_under_the_tokens_of_an_upload_do_not_block_it() {
    let fake = Fake::new();
    let upload = upload(&fake, &[LAB]);
    let other = fake.upload("firmware/other.bin", OTHER_IMAGE, &[]);
    let token = public_token(&upload, &signed_prefix(&upload));
    start_signing_job(&fake, &other, "SignedImage/by-hand/", &token).await;
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_released_once(&fake, &upload, IMAGE).await;
}

/// Attempts at one release share a token, so that Signer signs once; no other release has it, nor the same one anew.
#[tokio::test(start_paused = true)]
async fn the_token_is_that_of_the_record() {
    let mut tokens = BTreeSet::new();
    for _ in 0..3 {
        let fake = Fake::new();
        let upload = upload(&fake, &[LAB]);
        for _ in 0..2 {
            (0..3).for_each(|_| fake.after("StartSigningJob", 500, "InternalError"));
            fake.before("DescribeSigningJob", |state| {
                state.instead_of("DescribeSigningJob", 400, "ValidationException");
            });
            failure(&fake, &upload).await;
            fake.state().objects.retain(|(_, key), _| !key.contains("00000000-"));
        }
        assert_eq!(fake.state().signing_jobs.len(), 1);
        tokens.extend(fake.calls("StartSigningJob").iter().map(|call| call.json()["clientRequestToken"].to_string()));
    }
    assert_eq!(tokens.len(), 3, "{tokens:?}");
}

// B3: what others put below the signed prefix.

#[tokio::test(start_paused = true)]
async fn no_more_than_three_signing_jobs_are_looked_up_before_a_fresh_one() {
    for (jobs, code) in [
        (1, "ResourceNotFoundException"),
        (500, "ResourceNotFoundException"),
        (500, "AccessDeniedException"),
        (2000, "ResourceNotFoundException"),
    ] {
        let fake = Fake::new();
        let upload = upload(&fake, &[LAB]);
        let prefix = signed_prefix(&upload);
        for number in 0..jobs {
            let key = format!("{prefix}ffffffff-0000-4000-8000-{number:012}");
            fake.state().put(BUCKET, &key, Some("{}".into()), Vec::new());
        }
        let looks = jobs.min(3);
        (0..looks).for_each(|_| fake.instead_of("DescribeSigningJob", 404, code));
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        // The last one is that of the fresh job.
        assert_eq!(fake.calls("DescribeSigningJob").len(), looks + 1, "{jobs}");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

/// Signing jobs of another image, into the prefix of this one.
#[tokio::test(start_paused = true)]
async fn signing_jobs_of_others_below_the_prefix_are_not_used() {
    let fake = Fake::new();
    let upload = upload(&fake, &[LAB]);
    let other = fake.upload("firmware/other.bin", OTHER_IMAGE, &[]);
    for number in 0..20 {
        start_signing_job(&fake, &other, &signed_prefix(&upload), &format!("{number}")).await;
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.calls("DescribeSigningJob").len(), 4);
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn keys_of_another_form_neither_stop_nor_delay_a_release() {
    let fake = Fake::new();
    let upload = upload(&fake, &[LAB]);
    let prefix = signed_prefix(&upload);
    let uuid = "ffffffff-0000-4000-8000-000000000000";
    for key in [
        "",
        "/",
        "//",
        ".",
        "..",
        "../x",
        "x",
        "image",
        "image/",
        "release.json/",
        "Release.json",
        "release.json.bak",
        "x/release.json",
        "\u{0}",
        "\u{1}",
        "\u{b}x",
        "\u{1b}[2J",
        "\n",
        "<&>\"'",
        "+ %20",
        "größe 🚀",
        "\u{feff}\u{202e}\u{ffff}",
        "ffffffff00004000800000000000000",
        "{ffffffff-0000-4000-8000-000000000000}",
        "a/b/c/d",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        format!("{uuid} "),
        format!("{uuid}x"),
        format!("{uuid}/"),
        format!("x/{uuid}"),
        format!("0/{uuid}"),
        "k".repeat(900),
    ]) {
        fake.state().put(BUCKET, &format!("{prefix}{key}"), Some("x".into()), Vec::new());
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    one(fake.calls("DescribeSigningJob"));
    assert_released_once(&fake, &upload, IMAGE).await;
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_goes_on_beyond_all_that_attempts_leave_is_a_failure() {
    for (pages, is_released) in [(9, true), (12, false), (300, false)] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.page = 5);
        let upload = upload(&fake, &[LAB]);
        let prefix = signed_prefix(&upload);
        for number in 0..pages * 5 {
            fake.state().put(BUCKET, &format!("{prefix}a{number:05}"), Some("x".into()), Vec::new());
        }
        if is_released {
            assert_eq!(release(&fake, &upload).await["outcome"], "created");
            continue;
        }
        let failed = failure(&fake, &upload).await;
        let expected =
            format!("more than 10 pages of object versions lie below `{prefix}`, where the function alone writes");
        assert!(failed.contains(&expected), "{failed}");
        assert_eq!(fake.calls("ListObjectVersions").len(), 10);
        assert_nothing_created(&fake);
    }
}

/// Keys of other uploads that XML cannot express, in the lists of the upload's own versions.
#[tokio::test(start_paused = true)]
async fn keys_that_xml_cannot_express_do_not_block_a_release_beside_them() {
    let fake = Fake::new();
    let first = upload(&fake, &[LAB]);
    fake.upload("firmware/blinky.bin\u{1}", OTHER_IMAGE, &[]);
    release(&fake, &first).await;
    let copy = fake.copy_onto_itself(&first);
    let copied = json!({"Records": [record(&copy, "ObjectCreated:Copy")]});
    is(&run(&fake, &copied).await.expect("no failure")[0], "skipped", Some("unchanged"));
}

#[test]
fn the_two_images_of_these_tests_differ_in_nothing_but_their_bytes() {
    assert_eq!(IMAGE.len(), OTHER_IMAGE.len());
    assert_ne!(sha256(IMAGE), sha256(OTHER_IMAGE));
}
