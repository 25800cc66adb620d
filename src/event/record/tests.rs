use super::*;
use crate::event::samples::{event_bridge, is_skipped, problem, read, record, upload};
use aws_sdk_s3::types::Event;
use serde_json::{Value, json};

/// The list is the SDK's, not that of this file.
#[test]
fn every_event_type_of_the_s3_api_is_released_or_skipped() {
    let types: Vec<_> = Event::values().iter().map(|name| name.strip_prefix("s3:").unwrap()).collect();
    assert!(types.len() >= 31, "{types:?}");
    for name in types {
        let is_upload = name.starts_with("ObjectCreated:") || name == "ObjectTagging:Put";
        if name == "ObjectTagging:*" {
            continue; // S3 writes the type itself into records.
        }
        for prefix in ["", "s3:"] {
            let mut record = record("a");
            record["eventName"] = format!("{prefix}{name}").into();
            let read = read(&json!({"Records": [record]}));
            assert_eq!((read.upload.is_ok(), is_skipped(&read)), (is_upload, !is_upload), "{prefix}{name}");
        }
    }
}

#[test]
fn a_name_that_only_resembles_an_event_type_fails() {
    for name in [
        "",
        "s3:",
        "ObjectCreated",
        "ObjectCreatedX:Put",
        "objectcreated:Put",
        " ObjectCreated:Put",
        "s3:s3:ObjectCreated:Put",
        "ObjectTagging",
        "ObjectTagging:Copy",
        "ObjectTagging:Put2",
        "ObjectRemoved",
        "ObjectRemovedX:Delete",
        "LifecycleTransitionX",
        "TestEvent",
        "Object Created",
    ] {
        let mut record = record("a");
        record["eventName"] = name.into();
        assert!(problem(read(&record)).starts_with("its `eventName` is `"), "{name}");
    }
    for name in [json!(null), json!(5), json!(["ObjectCreated:Put"])] {
        let mut record = record("a");
        record["eventName"] = name;
        assert_eq!(problem(read(&record)), "its `eventName` is ``, expected an event type of S3");
    }
}

#[test]
fn every_detail_type_of_s3_is_released_or_skipped() {
    for (detail_type, reason) in [
        ("Object Created", Some("PutObject")),
        ("Object Created", Some("POST Object")),
        ("Object Created", Some("CopyObject")),
        ("Object Created", Some("CompleteMultipartUpload")),
        ("Object Created", None),
        ("Object Tags Added", None),
    ] {
        assert_eq!(read(&event_bridge(detail_type, reason)).upload.unwrap(), upload("a b"), "{detail_type} {reason:?}");
    }
    for detail_type in OTHER_DETAIL_TYPES {
        assert!(is_skipped(&read(&event_bridge(detail_type, None))), "{detail_type}");
    }
    for detail_type in ["", "object created", "Object Created ", "AWS API Call via CloudTrail", "Object Annotated"] {
        let problem = problem(read(&event_bridge(detail_type, Some("PutObject"))));
        assert_eq!(problem, format!("its `detail-type` is `{detail_type}`, expected one of S3"));
    }
    let mut event = event_bridge("Object Created", Some("PutObject"));
    event["source"] = "aws.events".into();
    assert!(problem(read(&event)).starts_with("it is an object with the members `account`, `detail`, `detail-type`, "));
}

/// Collects the paths of a record's members that no release needs.
fn unneeded(value: &Value, path: &str, found: &mut Vec<String>) {
    const NEEDED: [&str; 6] =
        ["/eventVersion", "/eventSource", "/eventName", "/s3/bucket/name", "/s3/object/key", "/s3/object/versionId"];
    for (name, member) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        unneeded(member, &path, found);
        if !NEEDED.iter().any(|needed| needed.starts_with(&path)) {
            found.push(path);
        }
    }
}

#[test]
fn members_that_no_release_needs_are_ignored() {
    let mut paths = Vec::new();
    unneeded(&record("a"), "", &mut paths);
    assert!(paths.len() >= 14, "{paths:?}");
    for path in paths {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let mut without = record("a");
        without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        assert_eq!(read(&without).upload.unwrap(), upload("a"), "without {path}");
        for junk in [json!(null), json!(5), json!("x"), json!([[]]), json!({"a": {}}), json!(1e300), json!(false)] {
            let mut record = record("a");
            *record.pointer_mut(&path).unwrap() = junk;
            assert_eq!(read(&record).upload.unwrap(), upload("a"), "{record}");
        }
    }
}

#[test]
fn a_wrong_member_that_a_release_needs_fails() {
    let junk = [json!(5), json!([]), json!({}), json!(true)];
    for path in ["/s3", "/s3/bucket", "/s3/object", "/s3/bucket/name", "/s3/object/key"] {
        for value in junk.iter().chain([&json!(null), &json!("x")]) {
            if value == "x" && (path.ends_with("name") || path.ends_with("key")) {
                continue;
            }
            let mut record = record("a");
            *record.pointer_mut(path).unwrap() = value.clone();
            problem(read(&record));
        }
    }
    for value in &junk {
        let mut notification = record("a");
        notification["s3"]["object"]["versionId"] = value.clone();
        assert!(problem(read(&notification)).contains("expected a string"), "{notification}");
        let mut event = event_bridge("Object Created", None);
        event["detail"]["object"]["version-id"] = value.clone();
        assert!(problem(read(&event)).contains("expected a string"), "{event}");
    }
    for version in [json!("3.0"), json!("20.1"), json!(""), json!(null), json!(3.1), json!({})] {
        let mut record = record("a");
        record["eventVersion"] = version;
        let problem = problem(read(&record));
        assert!(problem.starts_with("its `eventVersion` is `") && problem.ends_with("expected `2.x`"), "{problem}");
    }
}

#[test]
fn a_version_id_has_either_name_and_an_event_version_is_a_string_or_a_number() {
    for (from, to) in [("versionId", "version-id"), ("versionId", "versionId")] {
        let mut record = record("a");
        let object = record["s3"]["object"].as_object_mut().unwrap();
        let version = object.remove(from).unwrap();
        object.insert(to.to_owned(), version);
        record["eventVersion"] = json!(2.1);
        assert_eq!(read(&record).upload.unwrap().version_id, "v1", "{record}");
    }
    let mut event = event_bridge("Object Created", Some("PutObject"));
    let object = event["detail"]["object"].as_object_mut().unwrap();
    let version = object.remove("version-id").unwrap();
    object.insert("versionId".to_owned(), version);
    assert_eq!(read(&event).upload.unwrap().version_id, "v1");
}

#[test]
fn an_empty_or_null_version_id_is_no_version() {
    for version in [json!(null), json!(""), json!("null")] {
        let mut record = record("firmware/a.bin");
        record["s3"]["object"]["versionId"] = version;
        assert!(!read(&record).upload.unwrap().has_version());
    }
    assert!(read(&record("firmware/a.bin")).upload.unwrap().has_version());
}

#[test]
fn every_record_reports_its_bucket_key_and_size() {
    let named = |record: &Record| (record.bucket.clone(), record.key.clone(), record.size);
    let expected = |key: &str, size| (Some("firmware-bucket".to_owned()), Some(key.to_owned()), size);
    assert_eq!(named(&read(&record("a+b"))), expected("a b", Some(5)));
    for size in [json!(-5), json!("5"), json!(5.5), json!(null), json!([])] {
        let mut record = record("a+b");
        record["s3"]["object"]["size"] = size;
        assert_eq!(named(&read(&record)), expected("a b", None));
    }
    // The keys of other records stay encoded.
    for name in ["ObjectRemoved:Delete", "Other"] {
        let mut other = record("a+b");
        other["eventName"] = name.into();
        assert_eq!(named(&read(&other)), expected("a+b", Some(5)), "{name}");
    }
    for detail_type in ["Object Created", "Object Deleted", "Other"] {
        assert_eq!(named(&read(&event_bridge(detail_type, None))), expected("a b", Some(5)), "{detail_type}");
    }
}

#[test]
fn keys_of_notifications_are_decoded_once() {
    for (encoded, key) in [("a+b", "a b"), ("a%2Bb", "a+b"), ("%2541", "%41"), ("%C3%BC.bin", "ü.bin")] {
        assert_eq!(read(&record(encoded)).key.as_deref(), Some(key));
    }
}

#[test]
fn a_key_that_is_not_utf_8_is_rejected_and_reported_undecoded() {
    let record = read(&record("firmware/%FF"));
    assert_eq!(record.key.as_deref(), Some("firmware/%FF"));
    let Err(NotReleased::Rejected(RejectionKind::Place, reasons)) = record.upload else { panic!("{record:?}") };
    assert_eq!(reasons, ["the key `firmware/%FF` is not percent-encoded UTF-8; rename the object"]);
}
