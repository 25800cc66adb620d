//! Streams that were created in advance.

use crate::support::{
    BUCKET, Fake, IMAGE, LAB, OTHER_IMAGE, Upload, assert_released_once, event, failure, release, release_with,
    run_with, signed_prefix, upload_image,
};
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::111122223333:role/ota";

/// Creates the stream of an upload, as any principal with `iot:CreateStream` can.
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

/// The target of a stream that was created in advance.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// An object version with these bytes.
    Version(&'static [u8], Place),
    /// A version that does not exist.
    MissingVersion,
    /// The current version.
    CurrentVersion,
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
async fn a_stream_created_in_advance_never_offers_devices_other_bytes() {
    use Place::{OtherBucket, OtherFolder, Own, OwnDeeper, Record};
    const EVIL_ROLE: &str = "arn:aws:iam::111122223333:role/evil";
    let cases: [(&str, u8, Target, bool); 16] = [
        (ROLE, 0, Target::Version(IMAGE, Own), true),
        (ROLE, 0, Target::Version(OTHER_IMAGE, Own), false),
        (ROLE, 0, Target::Version(b"", Own), false),
        (ROLE, 0, Target::Version(b"short", Own), false),
        (ROLE, 0, Target::Version(&[7; 10_000], Own), false),
        (ROLE, 0, Target::Version(b"\x7fELF a firmware image ", Own), false),
        (ROLE, 0, Target::Version(b"{\"rawPayloadSize\":21}", Record), false),
        (ROLE, 0, Target::Version(IMAGE, OwnDeeper), false),
        (ROLE, 0, Target::Version(IMAGE, OtherFolder), false),
        (ROLE, 0, Target::Version(OTHER_IMAGE, OtherFolder), false),
        (ROLE, 0, Target::Version(IMAGE, OtherBucket), false),
        (ROLE, 0, Target::MissingVersion, false),
        (ROLE, 0, Target::CurrentVersion, false),
        (ROLE, 1, Target::Version(IMAGE, Own), false),
        (EVIL_ROLE, 0, Target::Version(IMAGE, Own), false),
        (EVIL_ROLE, 0, Target::Version(OTHER_IMAGE, Own), false),
    ];
    for verify in ["true", "false"] {
        for (role, file_id, target, is_good) in cases {
            let (fake, upload) = upload_image(&[LAB]);
            let prefix = signed_prefix(&upload);
            let (bucket, key, bytes) = match target {
                Target::Version(bytes, place) => match place {
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
            match target {
                Target::MissingVersion => location["version"] = "gone".into(),
                Target::CurrentVersion => drop(location.as_object_mut().expect("an object").remove("version")),
                Target::Version(..) => {}
            }
            create_stream(&fake, &upload, role, &json!([{"fileId": file_id, "s3Location": location}])).await;
            let settings = [("VERIFY_SIGNATURES", verify)];
            let result = run_with(&fake, &event(&upload), &settings).await;
            if is_good {
                assert_eq!(result.expect("no failure")[0]["outcome"], "created", "{target:?}");
                assert_released_once(&fake, &upload, IMAGE).await;
                continue;
            }
            let failed = result.expect_err(&format!("{target:?}"));
            let id = upload.stream_id();
            assert!(failed.contains(&format!("conflict: the stream `{id}` exists")), "{failed}");
            assert!(failed.contains(&format!("`aws iot delete-stream --stream-id {id}` deletes it")), "{failed}");
            if role == ROLE && file_id == 0 {
                assert!(failed.contains(&format!("its file 0 points at s3://{bucket}/{key} ")), "{failed}");
            }
            assert!(fake.state().jobs.is_empty(), "{target:?}");
            delete_stream(&fake, &upload).await;
            assert_eq!(release_with(&fake, &upload, &settings).await["outcome"], "created");
            assert_released_once(&fake, &upload, IMAGE).await;
        }
    }
}

/// The files of a stream: file ID, folder of the object, and whether it has the uploaded bytes.
type Files = &'static [(u8, u8, bool)];

#[tokio::test(start_paused = true)]
async fn a_stream_without_exactly_the_files_of_the_manifest_is_not_adopted() {
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
    for (files, is_adopted) in cases {
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
        if is_adopted {
            assert_eq!(release(&fake, &upload).await["outcome"], "created");
        } else {
            let failed = failure(&fake, &upload).await;
            assert!(failed.contains("conflict: the stream"), "{files:?} {failed}");
            assert!(fake.state().jobs.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn adopting_the_stream_of_an_earlier_attempt_reads_its_copy_once() {
    let (fake, upload) = upload_image(&[LAB]);
    (0..3).for_each(|_| fake.fail_next("CreateJob", 500, "InternalError"));
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
async fn the_s3_location_of_a_stream_is_escaped_in_messages() {
    let (fake, upload) = upload_image(&[LAB]);
    let location = json!({"bucket": "b\u{1b}[2J", "key": "k\n\u{202e}", "version": "v\u{7}"});
    create_stream(&fake, &upload, ROLE, &json!([{"fileId": 0, "s3Location": location}])).await;
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("s3://b\\u{1b}[2J/k\\n\\u{202e} version v\\u{7}"), "{failed}");
}
