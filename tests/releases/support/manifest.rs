//! A manifest of two images, and checks of its release.

use super::{Fake, IMAGE, LAB, Upload, document, presigned_bytes};
use serde_json::{Value, json};
use std::sync::Arc;

pub const APP: &[u8] = b"\x7fELF an application";
pub const RADIO: &[u8] = b"\x7fELF a radio's firmware";

/// Uploads two images without tags, and their manifest with these tags, after `change` has changed the manifest.
pub fn upload_manifest(tags: &[(&str, &str)], change: impl FnOnce(&mut Value)) -> (Arc<Fake>, Upload, [Upload; 2]) {
    let fake = Fake::new();
    let files =
        [("firmware/app 1.bin", APP), ("firmware/radio.bin", RADIO)].map(|(key, bytes)| fake.upload(key, bytes, &[]));
    let [app, radio] = &files;
    let mut manifest = json!({"files": [
        {"key": app.key, "versionId": app.version_id},
        {"key": radio.key, "versionId": radio.version_id, "filePath": "/radio.bin", "fileId": 7, "fileType": 203},
    ]});
    change(&mut manifest);
    let upload = fake.upload("firmware/gateway.ota.json", manifest.to_string(), &[&[LAB], tags].concat());
    (fake, upload, files)
}

/// Uploads an image. Returns a manifest of it, with these members of its file.
pub fn manifest_of_one(fake: &Fake, members: Value) -> Value {
    let image = fake.upload("firmware/app.bin", IMAGE, &[]);
    let mut file = json!({"key": image.key, "versionId": image.version_id});
    extend(&mut file, members);
    json!({"files": [file]})
}

/// A text in UTF-16 with a byte order mark, as Windows writes it.
pub fn utf_16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Adds members to a JSON object.
pub fn extend(object: &mut Value, members: Value) {
    let Value::Object(members) = members else { panic!("{members}") };
    object.as_object_mut().expect("an object").extend(members);
}

/// Asserts one job, whose document and stream have both files as uploaded, each with its signature.
pub async fn assert_both_released_once(fake: &Fake, upload: &Upload) {
    let jobs = fake.state().jobs.clone();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let document = document(jobs.values().next().expect("a job"));
    let files = document["afr_ota"]["files"].as_array().expect("files");
    let listed: Vec<_> = files.iter().map(|file| (&file["fileid"], &file["filepath"], &file["fileType"])).collect();
    assert_eq!(listed, [(&json!(0), &json!("app_1.bin"), &json!(0)), (&json!(7), &json!("/radio.bin"), &json!(203))]);
    for (file, image) in files.iter().zip([APP, RADIO]) {
        assert_eq!(file["filesize"], image.len());
        assert!(fake.verifies(file["sig-sha256-ecdsa"].as_str().expect("a signature"), image));
        if let Some(url) = file.get("update_data_url") {
            assert_eq!(presigned_bytes(fake, url.as_str().expect("a URL")), image);
        }
    }
    let stream = fake.stream(&upload.stream_id()).await;
    if document["afr_ota"].get("streamname").is_none() {
        return assert_eq!(stream, Value::Null);
    }
    assert_eq!(document["afr_ota"]["streamname"], upload.stream_id());
    let streamed = stream["files"].as_array().expect("files");
    assert_eq!(streamed.iter().map(|file| &file["fileId"]).collect::<Vec<_>>(), [0, 7]);
    for (at, image) in [APP, RADIO].into_iter().enumerate() {
        assert_eq!(fake.streamed_file(&upload.stream_id(), at).await, image);
    }
}
