//! Signatures that the uploader provides: a signing job, or a signature made elsewhere.

use crate::support::{
    BUCKET, Corrupt, DRY_RUN, EXTERNAL_SIGNATURE, Fake, IMAGE, LAB, UNVERIFIED, Upload, assert_nothing_created,
    assert_released_once, dry_run, event, failure, failure_with, first_file, manifest_of_one, receipt,
    rejection_reasons, release, release_of_with, release_unverified, release_with, remove_certname, replace_signature,
    run_with, sign_in_advance, signed_prefix, single, upload_image, utf_16, without_nonce,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

#[tokio::test]
async fn an_image_with_a_signing_job_is_not_signed_again() {
    for (is_below_prefix, is_copied_over) in [(false, false), (false, true), (true, false), (true, true)] {
        let (fake, upload) = upload_image(&[]);
        let place = if is_below_prefix { signed_prefix(&upload) } else { "SignedImage/by-hand/".to_owned() };
        let signing_job = sign_in_advance(&fake, &upload, &place).await;
        if is_copied_over {
            fake.state().put(BUCKET, &format!("{place}{signing_job}"), Some(IMAGE.into()), Vec::new());
        }
        fake.set_tags(&upload, &[LAB, ("ota:signing-job", &signing_job)]);
        let dry = dry_run(&fake, &upload).await;
        assert_nothing_created(&fake);
        assert_eq!(dry.get("startSigningJob"), None);
        fake.state().calls.clear();

        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_eq!(fake.calls("StartSigningJob").len(), 0);
        assert_released_once(&fake, &upload, IMAGE).await;
        assert_eq!(receipt(&fake, &upload)["verified"], true);
        let key = fake.stream(&upload.stream_id()).await["files"][0]["s3Location"]["key"].clone();
        assert_eq!(key, format!("{}image", signed_prefix(&upload)));
        let mut job = without_nonce(single(fake.calls("CreateJob")).json());
        job["jobId"] = dry["jobId"].clone();
        assert_eq!(dry["createJob"], job);
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    }
}

#[tokio::test]
async fn the_copy_of_a_signed_image_is_not_used_as_a_signed_object() {
    let (fake, upload) = upload_image(&[]);
    let signing_job = sign_in_advance(&fake, &upload, "SignedImage/by-hand/").await;
    fake.set_tags(&upload, &[LAB, ("ota:signing-job", &signing_job)]);
    fake.fail_next("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.set_tags(&upload, &[LAB]);
    fake.state().calls.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    single(fake.calls("StartSigningJob"));
    single(fake.calls("DescribeSigningJob"));
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn a_signing_job_that_cannot_be_used_is_rejected() {
    let cases: [(Corrupt, &str); 11] = [
        (|job| job["status"] = "InProgress".into(), "its status is `InProgress`"),
        (
            |job| (job["status"], job["statusReason"]) = ("Failed".into(), "no key".into()),
            "its status is `Failed` (no key)",
        ),
        (|job| job["revocationRecord"] = json!({"reason": "lost", "revokedAt": 1, "revokedBy": "x"}), "it is revoked"),
        (
            |job| job["source"]["s3"]["version"] = "v9".into(),
            "its source is `s3://ota-firmware-111122223333/firmware/blinky.bin version v9`, expected `UPLOAD`",
        ),
        (
            |job| job["source"]["s3"]["key"] = "firmware/x".into(),
            "its source is `s3://ota-firmware-111122223333/firmware/x version VERSION`, expected `UPLOAD`",
        ),
        (
            |job| job["profileName"] = "Nobody".into(),
            "its profile is `Nobody`, expected one of `OtaSigning`, `OtherProfile` (signing profiles that this deployment allows)",
        ),
        (
            |job| job["signedObject"]["s3"] = json!({"bucketName": "other", "key": "SignedImage/a"}),
            "its signed object is s3://other/SignedImage/a, which does not lie below \
             s3://ota-firmware-111122223333/SignedImage/by-hand/",
        ),
        (
            |job| job["signedObject"]["s3"]["key"] = "firmware/a".into(),
            "its signed object is s3://ota-firmware-111122223333/firmware/a, which does not lie below \
             s3://ota-firmware-111122223333/SignedImage/by-hand/",
        ),
        (
            |job| job["signedObject"]["s3"]["key"] = "SignedImage/x".into(),
            "its signed object is s3://ota-firmware-111122223333/SignedImage/x, which does not lie below \
             s3://ota-firmware-111122223333/SignedImage/by-hand/",
        ),
        (|job| job["signedObject"]["s3"]["key"] = "SignedImage/by-hand/gone".into(), "its signed object: it is gone"),
        (remove_certname, "the signing parameter `certname`, the path of the certificate on the device, is missing"),
    ];
    for (corrupt, problem) in cases {
        let (fake, upload) = upload_image(&[]);
        let id = sign_in_advance(&fake, &upload, "SignedImage/by-hand/").await;
        fake.set_tags(&upload, &[LAB, ("ota:signing-job", &id)]);
        fake.set(|behavior| behavior.corrupt_signing_job = corrupt);
        let rejected = release(&fake, &upload).await;
        let problem = problem.replace("UPLOAD", &upload.to_string()).replace("VERSION", &upload.version_id);
        assert_eq!(rejected["outcome"], "rejected", "{rejected}");
        assert_eq!(
            rejected["reasons"],
            json!([format!(
                "tag `ota:signing-job` is `{id}`, expected a finished signing job over this very object version: {problem}"
            )])
        );
        assert_nothing_created(&fake);
    }
    let fake = Fake::new();
    let unknown = ("ota:signing-job", "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01");
    let rejected = release(&fake, &fake.upload("firmware/blinky.bin", IMAGE, &[LAB, unknown])).await;
    let reason = rejected["reasons"][0].as_str().expect("a reason");
    assert!(reason.ends_with("object version: AWS Signer knows no such job"), "{reason}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_signing_job_needs_no_certificate_without_verification() {
    let (fake, upload) = upload_image(&[]);
    let id = sign_in_advance(&fake, &upload, "SignedImage/by-hand/").await;
    let upload = Upload::new(upload.bucket, upload.key, upload.version_id);
    fake.set_tags(&upload, &[LAB, ("ota:signing-job", &id)]);
    fake.set(|behavior| {
        behavior.corrupt_signing_job = |job| drop(job.as_object_mut().expect("an object").remove("signingMaterial"));
    });
    let released = run_with(&fake, &event(&upload), &[("VERIFY_SIGNATURES", "false")]).await.expect("no failure");
    assert_eq!(released[0]["outcome"], "created", "{released:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provided_signature_that_does_not_verify_is_never_offered_to_devices() {
    let (fake, upload) = upload_image(&[]);
    fake.set(|behavior| behavior.corrupt_signed_object = replace_signature);
    let id = sign_in_advance(&fake, &upload, "SignedImage/by-hand/").await;
    fake.set_tags(&upload, &[LAB, ("ota:signing-job", &id)]);
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("does not verify with the certificate"), "{failed}");
    assert_eq!((fake.calls("CopyObject").len(), fake.calls("CreateJob").len()), (0, 0));
}

#[tokio::test]
async fn a_signature_made_elsewhere_is_offered_unchanged() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:signature", EXTERNAL_SIGNATURE), ("ota:certificate", "Code Verify Key")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    let offline = format!(
        "ota:thing-group=lab&ota:signature={}&ota:certificate=Code+Verify+Key",
        EXTERNAL_SIGNATURE.replace('+', "%2B").replace('=', "%3D")
    );
    let mut event = event(&upload);
    event["Records"][0]["s3"]["object"]["size"] = IMAGE.len().into();
    let dry = [DRY_RUN, UNVERIFIED, ("DRY_RUN_TAGS", offline.as_str())];
    let offline = release_of_with(&fake, &event, &dry).await;
    let online = release_of_with(&fake, &event, &dry[..2]).await;
    assert_eq!(offline, online);
    assert_nothing_created(&fake);
    fake.state().calls.clear();

    let created = release_unverified(&fake, &upload).await;
    assert_eq!(created["outcome"], "created", "{created}");
    let file = first_file(&fake);
    assert_eq!((&file["sig-sha256-ecdsa"], &file["certfile"]), (&json!(EXTERNAL_SIGNATURE), &json!("Code Verify Key")));
    assert_eq!(fake.streamed(&upload.stream_id()).await, IMAGE);
    assert_eq!(receipt(&fake, &upload)["verified"], false);
    let operations = fake.operations();
    for operation in ["StartSigningJob", "DescribeSigningJob", "GetSigningProfile", "GetCertificate"] {
        assert!(!operations.contains(&operation), "{operations:?}");
    }
    let mut job = without_nonce(single(fake.calls("CreateJob")).json());
    job["jobId"] = offline["jobId"].clone();
    assert_eq!((offline["createJob"].clone(), offline.get("startSigningJob")), (job.clone(), None));
    assert_eq!(release_unverified(&fake, &upload).await["outcome"], "adopted");

    let document = job["document"].as_str().and_then(|text| text.strip_prefix("{\"afr_ota\":")?.strip_suffix('}'));
    let (job, _) =
        serde_json_core::from_str::<rustot::ota::encoding::json::OtaJob>(document.expect("the outer object"))
            .expect("a valid document");
    assert_eq!((job.files[0].certfile, job.files[0].sha256_ecdsa), ("Code Verify Key", Some(EXTERNAL_SIGNATURE)));
}

#[tokio::test]
async fn a_signature_made_elsewhere_is_rejected_unless_the_deployment_allows_it() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:signature", EXTERNAL_SIGNATURE), ("ota:certificate", "cert.pem")];
    let rejected = release(&fake, &fake.upload("firmware/blinky.bin", IMAGE, &tags)).await;
    let reasons = rejected["reasons"].to_string();
    assert!(reasons.contains("`ALLOW_UNVERIFIED=true` (parameter `AllowUnverified`)"), "{reasons}");
    assert!(!reasons.contains(EXTERNAL_SIGNATURE), "{reasons}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_signature_can_be_in_an_object_next_to_the_image() {
    let (fake, upload) = upload_image(&[]);
    fake.set_tags(&upload, &[LAB, ("ota:signature", ".sig"), ("ota:certificate", "cert.pem")]);
    let rsa = BASE64_STANDARD.encode([7; 256]);
    let good = json!({"versionId": upload.version_id, "signature": rsa, "signatureAlgorithm": "SHA256withRSA"});
    let start = "tag `ota:signature` is `.sig`, but the object `firmware/blinky.bin.sig` cannot be used: ";

    let rejected = release_unverified(&fake, &upload).await;
    let absent = "it does not exist; upload it first";
    assert_eq!(rejected["reasons"], json!([format!("{start}{absent}")]));
    let mut other_version = good.clone();
    other_version["versionId"] = "v9".into();
    let another = format!("`versionId` is `v9`, expected `{}`, that of the image", upload.version_id);
    let padded = format!("{}{good}", " ".repeat(4096));
    let too_long = format!("it has {} bytes, expected at most 4096", padded.len());
    for (object, problem) in [(other_version.to_string(), another), (padded, too_long)] {
        let signature_object = fake.upload("firmware/blinky.bin.sig", object, &[]);
        assert_eq!(release_unverified(&fake, &signature_object).await["reason"], "no-tags");
        let rejected = release_unverified(&fake, &upload).await;
        assert_eq!(rejected["reasons"], json!([format!("{start}{problem}")]));
    }
    assert_nothing_created(&fake);

    fake.upload("firmware/blinky.bin.sig", good.to_string(), &[]);
    assert_eq!(release_unverified(&fake, &upload).await["outcome"], "created");
    let file = first_file(&fake);
    assert_eq!((&file["sig-sha256-rsa"], &file["certfile"]), (&json!(rsa), &json!("cert.pem")));
    assert_eq!(fake.streamed(&upload.stream_id()).await, IMAGE);
    assert_eq!(receipt(&fake, &upload)["verified"], false);
}

#[tokio::test(start_paused = true)]
async fn a_denied_read_of_the_signature_object_fails_the_release() {
    let fake = Fake::new();
    let tags = [LAB, ("ota:signature", ".sig"), ("ota:certificate", "cert.pem")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    fake.fail_next("GetUpload", 403, "AccessDenied");
    let failed = failure_with(&fake, &upload, &[UNVERIFIED]).await;
    assert!(failed.contains("firmware/blinky.bin.sig`") && failed.contains("AccessDenied"), "{failed}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn line_breaks_are_removed_from_a_signature() {
    let (head, tail) = EXTERNAL_SIGNATURE.split_at(64);
    let broken = format!("{head}\r\n{tail}\n");
    let unverified = [UNVERIFIED];

    let fake = Fake::new();
    let json = manifest_of_one(&fake, json!({"signature": broken, "certificate": "/app.pem"}));
    let upload = fake.upload("firmware/a.ota.json", utf_16(&json.to_string()), &[LAB]);
    let created = release_with(&fake, &upload, &unverified).await;
    assert_eq!(created["outcome"], "created", "{created}");
    assert_eq!(first_file(&fake)["sig-sha256-ecdsa"], EXTERNAL_SIGNATURE);

    let fake = Fake::new();
    let tags = [LAB, ("ota:signature", ".sig"), ("ota:certificate", "/app.pem")];
    let upload = fake.upload("firmware/app.bin", IMAGE, &tags);
    let object =
        |version: &str| json!({"versionId": version, "signature": broken, "signatureAlgorithm": "SHA256withECDSA"});
    let mut bad = object("v9");
    bad["signatureAlgoritm"] = bad["signatureAlgorithm"].take();
    bad.as_object_mut().expect("an object").remove("signatureAlgorithm");
    fake.upload("firmware/app.bin.sig", bad.to_string(), &[]);
    let reasons = rejection_reasons(&fake, &release_with(&fake, &upload, &unverified).await);
    let head = "tag `ota:signature` is `.sig`, but the object `firmware/app.bin.sig` cannot be used:";
    assert_eq!(
        reasons,
        [
            format!("{head} `signatureAlgorithm` is missing"),
            format!("{head} `versionId` is `v9`, expected `{}`, that of the image", upload.version_id),
            format!("{head} `signatureAlgoritm` is not known, did you mean `signatureAlgorithm`?"),
        ]
    );
    fake.upload("firmware/app.bin.sig", utf_16(&object(&upload.version_id).to_string()), &[]);
    let created = release_with(&fake, &upload, &unverified).await;
    assert_eq!(
        (&created["outcome"], &first_file(&fake)["sig-sha256-ecdsa"]),
        (&json!("created"), &json!(EXTERNAL_SIGNATURE))
    );
}
