use super::*;
use crate::settings::tests::settings;
use crate::text::json::document;
use serde_json::{Value, json};

/// Reads the files of a manifest with this key.
fn read(manifest_key: &str, files_json: &Value, variables: &[(&str, &str)]) -> (Vec<ManifestFile>, Vec<String>) {
    let upload = Upload::new("b".into(), manifest_key.into(), "v1".into());
    let settings = settings(variables).unwrap();
    let mut problems = Vec::new();
    let json = json!({"files": files_json}).to_string();
    let read = document(&json, &mut problems, |object| {
        object.required("files", |node, problems| files(node, problems, &upload, &settings))
    });
    (read.unwrap().unwrap_or_default(), problems)
}

/// The problems of a file that is valid except for these members.
fn problems_with(members: Value) -> Vec<String> {
    let mut file = json!({"key": "firmware/a.bin", "versionId": "v1"});
    let Value::Object(members) = members else { panic!("{members}") };
    file.as_object_mut().unwrap().extend(members);
    read("firmware/a.ota.json", &json!([file]), &[]).1
}

#[test]
fn the_members_of_a_file_are_read() {
    let file = json!({"key": "firmware/a.bin", "versionId": "v1", "fileId": 3, "fileType": 1, "filePath": "/a"});
    let (files, problems) = read("firmware/a.ota.json", &json!([file]), &[]);
    let file = &files[0];
    assert!(problems.is_empty() && file.has_valid_source, "{problems:?}");
    assert_eq!((file.index, file.id, file.source.to_string()), (0, 3, "s3://b/firmware/a.bin version v1".to_owned()));
    let options = [(FILE_TYPE, "1"), ("ota:file-path", "/a")].map(|(tag, value)| (tag.to_owned(), value.to_owned()));
    assert_eq!(file.options, options.into());
}

#[test]
fn a_bad_member_of_a_file_is_reported_with_its_path() {
    assert_eq!(problems_with(json!({})), Vec::<String>::new());
    let key = "expected the key of a firmware image below `firmware/`";
    let version = "expected the version ID that S3 returned when the file was uploaded";
    let long = format!("firmware/{}", "x".repeat(1016));
    let long_key = quoted(&long);
    for (members, member, problem) in [
        (json!({"key": "other/a.bin"}), "key", format!("is `other/a.bin`, {key}")),
        (json!({"key": "firmware/"}), "key", format!("is `firmware/`, {key}")),
        (json!({"key": "firmware/b.OTA.json"}), "key", format!("is `firmware/b.OTA.json`, which is a manifest, {key}")),
        (json!({"key": "firmware/b.Sig"}), "key", format!("is `firmware/b.Sig`, which is a signature, {key}")),
        (json!({"key": long}), "key", format!("is `{long_key}`, which has 1025 bytes (S3 allows 1024), {key}")),
        (json!({"versionId": "null"}), "versionId", format!("is `null`, {version}")),
        (json!({"versionId": ""}), "versionId", format!("is ``, {version}")),
        (json!({"versionId": long}), "versionId", format!("is `{long_key}`, {version}")),
        (json!({"fileType": "0"}), "fileType", "is a string, expected a whole number".to_owned()),
    ] {
        assert_eq!(problems_with(members), [format!("`files[0].{member}` {problem}")]);
    }
    let (files, problems) = read("firmware/a.ota.json", &json!([{"key": "firmware/a.bin"}]), &[]);
    assert_eq!(problems, ["`files[0].versionId` is missing"]);
    assert!(!files[0].has_valid_source);
}

#[test]
fn every_bad_member_of_every_file_is_reported() {
    assert_eq!(
        problems_with(json!({"versionid": "v1", "fileID": 1, "filePath": 7, "fileType": 1.5, "fileId": 256})),
        [
            "`files[0].fileId` is 256, expected 0 to 255",
            "`files[0].filePath` is 7, expected a string",
            "`files[0].fileType` is 1.5, expected a whole number",
            "`files[0].fileID` is not known, did you mean `fileId`?",
            "`files[0].versionid` is not known, did you mean `versionId`?",
        ]
    );
    let without_version = (0..12).map(|index| json!({"key": format!("firmware/{index}.bin")})).collect();
    let (files, problems) = read("firmware/a.ota.json", &without_version, &[]);
    assert_eq!((files.len(), problems.len()), (10, 13), "{problems:?}");
    assert!(problems.contains(&"`files[11].versionId` is missing".to_owned()), "{problems:?}");
}

#[test]
fn a_manifest_has_one_to_ten_files_with_distinct_ids() {
    let files = |count: usize| -> Value {
        (0..count).map(|index| json!({"key": format!("firmware/{index}.bin"), "versionId": "v1"})).collect()
    };
    let read = |files: &Value| read("firmware/a.ota.json", files, &[]);
    let (ten, problems) = read(&files(10));
    assert_eq!(problems, Vec::<String>::new());
    assert!(ten.iter().map(|file| file.id).eq(0..10));
    for count in [0, 11] {
        assert_eq!(read(&files(count)).1, [format!("`files` has {count} members, expected 1 to 10")]);
    }
    assert_eq!(read(&json!({})).1, ["`files` is an object, expected a list"]);
    let mut duplicate = files(3);
    duplicate[0]["fileId"] = json!(2);
    assert_eq!(
        read(&duplicate).1,
        ["`files[2].fileId` is 2, which `files[0]` also has, expected another ID (default: the index)"]
    );
}

#[test]
fn a_manifest_names_only_files_of_its_own_folder() {
    let rules = [("ALLOWED_THING_GROUPS", "lab/=lab-*,prod/=prod")];
    let problems = |manifest: &str, key: &str| read(manifest, &json!([{"key": key, "versionId": "v1"}]), &rules).1;
    assert_eq!(problems("firmware/lab/a.ota.json", "firmware/lab/deep/a.bin"), Vec::<String>::new());
    assert_eq!(problems("firmware/a.ota.json", "firmware/b/a.bin"), Vec::<String>::new());
    let elsewhere = "`firmware/`, outside folders with their own groups or things";
    for (manifest, key, below) in [
        ("firmware/lab/a.ota.json", "firmware/prod/a.bin", "`firmware/lab/`"),
        ("firmware/lab/a.ota.json", "firmware/a.bin", "`firmware/lab/`"),
        ("firmware/a.ota.json", "firmware/prod/a.bin", elsewhere),
    ] {
        let problem = format!("`files[0].key` is `{key}`, expected the key of a firmware image below {below}");
        assert_eq!(problems(manifest, key), [problem]);
    }
}
