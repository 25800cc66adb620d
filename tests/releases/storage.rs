//! Objects that S3 does not return at once: archived, or encrypted with a customer-provided key.

use crate::support::{
    Fake, IMAGE, LAB, Storage, UNVERIFIED, Upload, assert_nothing_created, failure, reasons_in_release_and_dry_run,
    release, upload_image,
};
use serde_json::json;

const RESTORED: Option<&str> = Some("ongoing-request=\"false\", expiry-date=\"Fri, 25 Dec 2026 00:00:00 GMT\"");
const RESTORING: Option<&str> = Some("ongoing-request=\"true\"");

type Text = Option<&'static str>;

/// Storage class, archive status and restore, and the problem if the object cannot be read.
const STORED: [(Text, Text, Text, Text); 16] = [
    (None, None, None, None),
    (Some("STANDARD"), None, None, None),
    (Some("REDUCED_REDUNDANCY"), None, None, None),
    (Some("STANDARD_IA"), None, None, None),
    (Some("ONEZONE_IA"), None, None, None),
    (Some("INTELLIGENT_TIERING"), None, None, None),
    (Some("GLACIER_IR"), None, None, None),
    (Some("A_CLASS_TO_COME"), None, None, None),
    (Some("GLACIER"), None, RESTORED, None),
    (Some("DEEP_ARCHIVE"), None, RESTORED, None),
    (Some("GLACIER"), None, None, Some("is archived (`GLACIER`)")),
    (Some("DEEP_ARCHIVE"), None, None, Some("is archived (`DEEP_ARCHIVE`)")),
    (Some("GLACIER"), None, RESTORING, Some("is archived (`GLACIER`) and its restore is not finished")),
    (Some("INTELLIGENT_TIERING"), Some("ARCHIVE_ACCESS"), None, Some("is archived (`ARCHIVE_ACCESS`)")),
    (Some("INTELLIGENT_TIERING"), Some("DEEP_ARCHIVE_ACCESS"), None, Some("is archived (`DEEP_ARCHIVE_ACCESS`)")),
    (
        Some("INTELLIGENT_TIERING"),
        Some("ARCHIVE_ACCESS"),
        RESTORING,
        Some("is archived (`ARCHIVE_ACCESS`) and its restore is not finished"),
    ),
];

const ARCHIVED: &str =
    "expected an object that S3 returns at once: restore it and put its tags again, or upload it again";

const CUSTOMER_KEY: &str = "is encrypted with a customer-provided key (SSE-C), expected encryption with a key that S3 \
                            has: upload it again with SSE-S3 or SSE-KMS";

/// Uploads an image and a manifest of it. Returns the manifest and the image.
fn manifest(fake: &Fake) -> (Upload, Upload) {
    let image = fake.upload("firmware/image.bin", IMAGE, &[]);
    let manifest = json!({"files": [{"key": image.key, "versionId": image.version_id}]});
    (fake.upload("firmware/blinky.ota.json", manifest.to_string(), &[LAB, ("ota:retries", "lots")]), image)
}

#[tokio::test]
async fn an_archived_object_is_rejected_until_it_is_restored() {
    for (class, archive_status, restore, problem) in STORED {
        let storage = Storage { class, archive_status, restore, has_customer_key: false };
        let (fake, upload) = upload_image(&[LAB]);
        fake.set_storage(&upload, storage);
        let Some(problem) = problem else {
            assert_eq!(release(&fake, &upload).await["outcome"], "created", "{storage:?}");
            continue;
        };
        assert_eq!(
            reasons_in_release_and_dry_run(&fake, &upload, &[]).await,
            json!([format!("the object {problem}, {ARCHIVED}")])
        );
        fake.set_storage(&upload, Storage { restore: RESTORED, archive_status: None, ..storage });
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{storage:?}");
        // The image of an existing job can be archived.
        fake.set_storage(&upload, storage);
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted", "{storage:?}");

        let fake = Fake::new();
        let (upload, image) = manifest(&fake);
        fake.set_storage(&image, storage);
        let reasons = reasons_in_release_and_dry_run(&fake, &upload, &[]).await;
        assert_eq!(reasons.as_array().map(Vec::len), Some(2), "{reasons}");
        assert_eq!(reasons[1], format!("`files[0]`: the object `firmware/image.bin` {problem}, {ARCHIVED}"));
    }
}

#[tokio::test]
async fn an_object_with_a_customer_provided_key_is_rejected() {
    let storage = Storage { has_customer_key: true, ..Storage::default() };
    let (fake, upload) = upload_image(&[LAB, ("ota:retries", "lots")]);
    fake.set_storage(&upload, storage);
    let reasons = reasons_in_release_and_dry_run(&fake, &upload, &[]).await;
    assert!(reasons[0].as_str().expect("text").starts_with("tag `ota:retries` is `lots`"), "{reasons}");
    assert_eq!(reasons[1], format!("the object {CUSTOMER_KEY}"));
    for read in fake.calls("GetUpload") {
        assert_eq!(read.header("range"), Some("bytes=0-0"));
    }

    let fake = Fake::new();
    let (upload, image) = manifest(&fake);
    fake.set_storage(&image, storage);
    let reasons = reasons_in_release_and_dry_run(&fake, &upload, &[]).await;
    assert_eq!(reasons[1], format!("`files[0]`: the object `firmware/image.bin` {CUSTOMER_KEY}"));
    fake.set_storage(&upload, storage);
    let reasons = reasons_in_release_and_dry_run(&fake, &upload, &[]).await;
    assert_eq!(reasons[1], format!("the object {CUSTOMER_KEY}"), "the manifest itself");
    assert_eq!(reasons.as_array().map(Vec::len), Some(2), "{reasons}");
}

#[tokio::test]
async fn get_object_explains_a_head_with_status_400() {
    // An invalid version ID.
    let fake = Fake::new();
    let image = fake.upload("firmware/image.bin", IMAGE, &[]);
    let manifest = json!({"files": [{"key": image.key, "versionId": "no version"}]});
    let upload = fake.upload("firmware/blinky.ota.json", manifest.to_string(), &[LAB]);
    assert_eq!(
        reasons_in_release_and_dry_run(&fake, &upload, &[]).await,
        json!(["`files[0]`: S3 has no version `no version` of `firmware/image.bin`"])
    );
    // Any other error fails the release.
    for (code, message) in
        [(None, "HTTP status 400"), (Some("AuthorizationHeaderMalformed"), "AuthorizationHeaderMalformed")]
    {
        let (fake, upload) = upload_image(&[LAB]);
        fake.fail_head(&upload.key, 400);
        if let Some(code) = code {
            fake.fail_next("GetUpload", 400, code);
        }
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains(message), "{failed}");
        assert_nothing_created(&fake);
    }
}

#[tokio::test]
async fn an_unreadable_signature_object_is_rejected() {
    let tags = [LAB, ("ota:signature", ".sig"), ("ota:certificate", "cert.pem")];
    for (storage, problem) in [
        (
            Storage { class: Some("GLACIER"), ..Storage::default() },
            "it is archived, expected an object that S3 returns at once: restore it, or upload it again".to_owned(),
        ),
        (Storage { has_customer_key: true, ..Storage::default() }, format!("it {CUSTOMER_KEY}")),
    ] {
        let (fake, upload) = upload_image(&tags);
        let signature_object = fake.upload("firmware/blinky.bin.sig", "{}", &[]);
        fake.set_storage(&signature_object, storage);
        let expected = format!(
            "tag `ota:signature` is `.sig`, but the object `firmware/blinky.bin.sig` cannot be used: {problem}"
        );
        assert_eq!(reasons_in_release_and_dry_run(&fake, &upload, &[UNVERIFIED]).await, json!([expected]));
    }
}
