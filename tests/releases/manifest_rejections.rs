//! Manifests that are rejected.

use crate::support::{
    BUCKET, Fake, LAB, assert_nothing_created, extend, release, release_unverified, release_with, upload_manifest,
};
use serde_json::json;

#[tokio::test]
async fn a_manifest_is_rejected_with_every_reason_at_once() {
    let (fake, upload, _) = upload_manifest(&[("ota:retries", "lots"), ("ota:file-path", "/a")], |manifest| {
        manifest["files"][0]["fileType"] = json!(256);
        manifest["files"][1]["versionId"] = json!("gone");
        manifest["jobId"] = json!("mine");
    });
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!([
            "tag `ota:retries` is `lots`, expected retries after any failure, such as `3`, or by kind, such as \
             `timed-out:3`, `failed:2` or `timed-out:3 failed:2`; at most 10 in total",
            "tag `ota:file-path` is not allowed on a manifest, expected `filePath` in its `files`",
            "`jobId` is not allowed in a manifest, expected the tag `ota:job-id`",
            "`files[1]`: S3 has no version `gone` of `firmware/radio.bin`",
            "`files[0].fileType` is `256`, expected a number from 0 to 255",
        ])
    );
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn every_problem_of_every_file_is_reported() {
    let path = |at: usize| {
        format!("`files[{at}].filePath` is `/radio.bin`, which `firmware/radio.bin` also has, expected another path")
    };
    let kind = |at: usize| format!("`files[{at}].fileType` is `256`, expected a number from 0 to 255");
    // All files have an invalid option.
    let (fake, upload, _) = upload_manifest(&[], |manifest| {
        manifest["files"][0]["fileType"] = json!(256);
        manifest["files"][1]["fileType"] = json!(256);
        let mut twin = manifest["files"][1].clone();
        twin["fileId"] = json!(2);
        manifest["files"].as_array_mut().expect("files").push(twin);
    });
    assert_eq!(release(&fake, &upload).await["reasons"], json!([kind(0), kind(1), kind(2), path(2)]));
    // There are too many files.
    let (fake, upload, _) = upload_manifest(&[], |manifest| {
        let file = manifest["files"][1].clone();
        let files = manifest["files"].as_array_mut().expect("files");
        files.extend(
            (2..11).map(|at| json!({"key": file["key"], "versionId": file["versionId"], "filePath": format!("/{at}")})),
        );
        files[1]["fileId"] = json!(1);
        files[9]["fileType"] = json!(256);
        files[9]["filePath"] = json!("/radio.bin");
    });
    let expected = ["`files` has 11 members, expected 1 to 10".to_owned(), kind(9), path(9)];
    assert_eq!(release(&fake, &upload).await["reasons"], json!(expected));
}

#[tokio::test]
async fn the_length_of_rejection_reasons_is_limited() {
    let long = "x".repeat(6_000);
    for (member, prefix, tail) in [
        ("key", "firmware/", ""),
        ("key", "firmware/", ".sig"),
        ("key", "", ""),
        ("versionId", "", ""),
        ("filePath", "", ""),
        ("certificate", "", ""),
        ("signingProfile", "", ""),
    ] {
        let (fake, upload, _) = upload_manifest(&[], |manifest| {
            let file = manifest["files"][0].clone();
            let files = (0..10).map(|at| {
                let mut file = file.clone();
                file["filePath"] = json!(format!("/{at}"));
                file[member] = json!(format!("{prefix}{at}{long}{tail}"));
                file
            });
            manifest["files"] = files.collect();
        });
        let released = release(&fake, &upload).await;
        let reasons = released["reasons"].as_array().unwrap_or_else(|| panic!("{member}: {released}"));
        assert!(reasons.len() >= 10, "{member}: {reasons:?}");
        let longest = reasons.iter().map(|reason| reason.to_string().len()).max();
        assert!(longest < Some(500), "{member}: {reasons:?}");
    }
}

#[tokio::test]
async fn a_problem_of_a_file_is_reported_with_its_index() {
    let (fake, upload, _) = upload_manifest(&[], |_| ());
    let settings = [("MAX_IMAGE_BYTES", "20")];
    let released = release_with(&fake, &upload, &settings).await;
    assert_eq!(released["reasons"], json!(["`files[1]`: the object has 23 bytes, expected at most 20"]));

    let unknown = "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01";
    let (fake, upload, _) = upload_manifest(&[], |manifest| {
        manifest["files"][0]["signingJob"] = json!(unknown);
        extend(&mut manifest["files"][1], json!({"signature": ".sig", "certificate": "/radio.pem"}));
    });
    let released = release_unverified(&fake, &upload).await;
    assert_eq!(
        released["reasons"],
        json!([
            format!(
                "`files[0].signingJob` is `{unknown}`, expected a finished signing job over this very object version: AWS \
                 Signer knows no such job"
            ),
            "`files[1].signature` is `.sig`, but the object `firmware/radio.bin.sig` cannot be used: it does not exist; \
             upload it first",
        ])
    );
    assert_nothing_created(&fake);

    let fake = Fake::new();
    let upload = fake.upload("firmware/large.ota.json", vec![b' '; 65_537], &[LAB]);
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["the manifest has 65537 bytes, expected at most 65536"])
    );
    assert!(!fake.operations().contains(&"GetUpload"));
}

/// S3 responds with 405 to the version ID of a delete marker.
#[tokio::test]
async fn a_version_that_s3_does_not_have_is_rejected() {
    for status in [404, 405] {
        let (fake, upload, [app, _]) = upload_manifest(&[], |_| ());
        fake.fail_head(&app.key, status);
        assert_eq!(
            release(&fake, &upload).await["reasons"],
            json!([format!("`files[0]`: S3 has no version `{}` of `{}`", app.version_id, app.key)]),
            "{status}"
        );
    }
    // A key outside `firmware/` is not requested.
    let (fake, upload, _) = upload_manifest(&[], |manifest| manifest["files"][0]["key"] = json!("elsewhere/a.bin"));
    fake.fail_head("elsewhere/a.bin", 403);
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["`files[0].key` is `elsewhere/a.bin`, expected the key of a firmware image below `firmware/`"])
    );
}

#[tokio::test]
async fn a_file_deleted_during_the_release_is_reported() {
    let (fake, upload, [app, _]) = upload_manifest(&[], |_| ());
    let key = (BUCKET.to_owned(), app.key.clone());
    fake.before_next("CopyObject", move |state| drop(state.objects.remove(&key)));
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!([
            "`files[0]`: the object `firmware/app 1.bin` no longer exists, expected the version that the manifest names"
        ])
    );
    assert!(fake.state().jobs.is_empty());
}

#[tokio::test]
async fn an_expiry_without_a_presigned_url_is_rejected() {
    let (fake, upload, _) =
        upload_manifest(&[], |manifest| manifest["presignedUrlConfig"] = json!({"expiresInSec": 600}));
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["`presignedUrlConfig` requires HTTP, expected `http` in the tag `ota:protocols`"])
    );
}

#[tokio::test]
async fn each_file_too_large_for_the_signing_platform_is_reported() {
    let (fake, upload, _) = upload_manifest(&[], |_| ());
    fake.set(|behavior| behavior.platform = "AmazonFreeRTOS-Default");
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let large = vec![7; 16 * 1024 * 1024 + 1];
    let [one, other] = ["firmware/a.bin", "firmware/b.bin"].map(|key| fake.upload(key, large.clone(), &[]));
    let files = [&one, &other].map(|file| json!({"key": file.key, "versionId": file.version_id}));
    let upload = fake.upload("firmware/large.ota.json", json!({"files": files}).to_string(), &[LAB]);
    let expected = "has 16777217 bytes, expected at most 16777216, the maximum of the signing platform \
                    `AmazonFreeRTOS-Default`";
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!([
            format!("`files[0]`: the object `firmware/a.bin` {expected}"),
            format!("`files[1]`: the object `firmware/b.bin` {expected}"),
        ])
    );
}
