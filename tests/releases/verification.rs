//! Signatures and copies are verified before devices are offered anything.

use crate::support::{
    BUCKET, Behavior, Embedded, Fake, IMAGE, LAB, assert_released_once, failure, receipt, release, release_with,
    replace_signature, upload_image,
};

#[tokio::test]
async fn a_signature_that_does_not_verify_is_never_offered_to_devices() {
    let other_bytes: fn(&mut Behavior) = |behavior| behavior.corrupt_signed_object = replace_signature;
    let other_key: fn(&mut Behavior) = |behavior| behavior.certificate = include_str!("../certificates/p384.pem");
    for change in [other_bytes, other_key] {
        for embedded in [Embedded::No, Embedded::PayloadFirst] {
            let fake = Fake::new();
            fake.set(change);
            fake.set(|behavior| behavior.embedded = embedded);
            let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
            for _ in 0..2 {
                let failed = failure(&fake, &upload).await;
                assert!(failed.contains("does not verify with the certificate `arn:aws:acm:"), "{failed}");
                assert!(failed.contains("it is over other bytes, or by another key"), "{failed}");
            }
            for operation in ["CopyObject", "CreateStream", "CreateJob"] {
                assert!(fake.calls(operation).is_empty(), "{operation}");
            }
        }
    }
}

#[tokio::test]
async fn an_old_signature_that_does_not_verify_is_replaced() {
    let fake = Fake::new();
    fake.set(|behavior| {
        behavior.corrupt_signed_object = replace_signature;
        behavior.signing_completed_at = 0;
    });
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.fail_next("GetCertificate", 400, "AccessDeniedException");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("reading the certificate `arn:aws:acm:") && failed.contains("AccessDenied"), "{failed}");
    fake.set(|behavior| behavior.corrupt_signed_object = |_| ());
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.state().signing_jobs.len(), 2);
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test]
async fn without_verification_neither_certificate_nor_upload_is_read() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.corrupt_signed_object = replace_signature);
    assert_eq!(release_with(&fake, &upload, &[("VERIFY_SIGNATURES", "false")]).await["outcome"], "created");
    assert_eq!(fake.calls("GetCertificate").len() + fake.calls("GetUpload").len(), 0);
    assert_eq!(receipt(&fake, &upload)["verified"], false);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_parsed_fails_the_release() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.certificate = "none");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("reading the certificate") && failed.contains("it is not X.509"), "{failed}");
    assert!(fake.calls("CreateStream").is_empty());
}

#[tokio::test]
async fn an_incomplete_read_of_the_upload_is_not_verified() {
    let (fake, upload) = upload_image(&[LAB]);
    let place = (BUCKET.to_owned(), upload.key.clone());
    fake.before_next("GetUpload", move |state| {
        state.objects.get_mut(&place).expect("the object")[0].bytes = Some(IMAGE[1..].into());
    });
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("bytes were returned, expected"), "{failed}");
    assert!(fake.calls("CopyObject").is_empty());
}

#[tokio::test]
async fn a_copy_of_other_bytes_is_never_streamed() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.copied_checksum = Some("AAAA"));
    for _ in 0..3 {
        assert!(failure(&fake, &upload).await.contains("the copy's SHA-256 is `AAAA`, expected `"));
    }
    assert!(fake.calls("CreateStream").is_empty());
}

#[tokio::test]
async fn a_copy_of_another_version_is_never_streamed() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.set(|behavior| behavior.copies_another_version = true);
    for _ in 0..3 {
        assert!(failure(&fake, &upload).await.contains("S3 copied version `other`, expected `"));
    }
    assert!(fake.calls("CreateStream").is_empty());
}
