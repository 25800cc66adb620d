use super::*;
use crate::event::tests::samples::{event_bridge, is_skipped, problem, read, record, upload};
use aws_sdk_s3::types::Event;
use serde_json::{Value, json};

/// A notification of the key `a`, with this value of a member.
fn with(path: &str, value: impl Into<Value>) -> Value {
    let mut record = record("a");
    *record.pointer_mut(path).unwrap() = value.into();
    record
}

/// The list of event types comes from the SDK, not from this crate.
#[test]
fn every_event_type_of_the_s3_api_is_released_or_skipped() {
    let types: Vec<_> = Event::values().iter().map(|name| name.strip_prefix("s3:").unwrap()).collect();
    assert!(types.len() >= 31, "{types:?}");
    for name in types {
        let is_upload = name.starts_with("ObjectCreated:") || name == "ObjectTagging:Put";
        if name == "ObjectTagging:*" {
            continue; // Records have a specific type, never this wildcard.
        }
        for prefix in ["", "s3:"] {
            let read = read(&with("/eventName", format!("{prefix}{name}")));
            assert_eq!((read.upload.is_ok(), is_skipped(&read)), (is_upload, !is_upload), "{prefix}{name}");
        }
    }
}

#[test]
fn a_name_that_only_resembles_an_event_type_fails() {
    let names = "|s3:|ObjectCreated|ObjectCreatedX:Put|objectcreated:Put| ObjectCreated:Put|s3:s3:ObjectCreated:Put|\
                 ObjectTagging|ObjectTagging:Copy|ObjectTagging:Put2|ObjectRemoved|ObjectRemovedX:Delete|\
                 LifecycleTransitionX|TestEvent|Object Created";
    for name in names.split('|') {
        let read = read(&with("/eventName", name));
        assert!(problem(read).starts_with("its `eventName` is `"), "{name}");
    }
    for name in [json!(null), json!(5), json!(["ObjectCreated:Put"])] {
        let read = read(&with("/eventName", name));
        assert_eq!(problem(read), "its `eventName` is ``, expected an event type of S3");
    }
}

#[test]
fn every_detail_type_of_s3_is_released_or_skipped() {
    for reason in CREATING_REASONS.map(Some).into_iter().chain([None]) {
        assert_eq!(read(&event_bridge("Object Created", reason)).upload.unwrap(), upload("a b"), "{reason:?}");
    }
    assert_eq!(read(&event_bridge("Object Tags Added", None)).upload.unwrap(), upload("a b"));
    for detail_type in OTHER_DETAIL_TYPES {
        assert!(is_skipped(&read(&event_bridge(detail_type, None))), "{detail_type}");
    }
    for detail_type in ["", "object created", "Object Created ", "AWS API Call via CloudTrail", "Object Annotated"] {
        let problem = problem(read(&event_bridge(detail_type, Some("PutObject"))));
        assert_eq!(problem, format!("its `detail-type` is `{detail_type}`, expected a detail type of S3"));
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
            let record = with(&path, junk);
            assert_eq!(read(&record).upload.unwrap(), upload("a"), "{record}");
        }
    }
}

#[test]
fn a_member_of_the_wrong_type_that_a_release_needs_fails() {
    let junk = [json!(5), json!([]), json!({}), json!(true)];
    for path in ["/s3", "/s3/bucket", "/s3/object", "/s3/bucket/name", "/s3/object/key"] {
        for value in junk.iter().chain([&json!(null), &json!("x")]) {
            if value == "x" && (path.ends_with("name") || path.ends_with("key")) {
                continue;
            }
            problem(read(&with(path, value.clone())));
        }
    }
    for value in &junk {
        let notification = with("/s3/object/versionId", value.clone());
        assert!(problem(read(&notification)).contains("expected a string"), "{notification}");
        let mut event = event_bridge("Object Created", None);
        event["detail"]["object"]["version-id"] = value.clone();
        assert!(problem(read(&event)).contains("expected a string"), "{event}");
    }
    for version in [json!("3.0"), json!("20.1"), json!(""), json!(null), json!(3.1), json!({})] {
        let problem = problem(read(&with("/eventVersion", version)));
        assert!(problem.starts_with("its `eventVersion` is `") && problem.ends_with("expected `2.x`"), "{problem}");
    }
}

#[test]
fn a_version_id_has_either_name_and_an_event_version_is_a_string_or_a_number() {
    let [record, event] = [with("/eventVersion", 2.1), event_bridge("Object Created", None)];
    for (event, from, to) in [(record, "versionId", "version-id"), (event, "version-id", "versionId")] {
        let other = event.to_string().replace(from, to);
        assert_eq!(read(&event).upload.unwrap().version_id, "v1", "{event}");
        assert_eq!(read(&serde_json::from_str(&other).unwrap()).upload.unwrap().version_id, "v1", "{other}");
    }
}

#[test]
fn an_empty_or_null_version_id_is_no_version() {
    for version in [json!(null), json!(""), json!("null")] {
        assert!(!read(&with("/s3/object/versionId", version)).upload.unwrap().has_version());
    }
    assert!(read(&record("a")).upload.unwrap().has_version());
}

#[test]
fn every_record_reports_its_bucket_key_and_size() {
    let parts = |record: &Record| (record.bucket.clone(), record.key.clone(), record.size);
    let expected = |key: &str, size| (Some("firmware-bucket".to_owned()), Some(key.to_owned()), size);
    assert_eq!(parts(&read(&record("a+b"))), expected("a b", Some(5)));
    for size in [json!(-5), json!("5"), json!(5.5), json!(null), json!([])] {
        assert_eq!(parts(&read(&with("/s3/object/size", size))), expected("a", None));
    }
    // The keys of other records stay encoded.
    for name in ["ObjectRemoved:Delete", "Other"] {
        let mut other = record("a+b");
        other["eventName"] = name.into();
        assert_eq!(parts(&read(&other)), expected("a+b", Some(5)), "{name}");
    }
    for detail_type in ["Object Created", "Object Deleted", "Other"] {
        assert_eq!(parts(&read(&event_bridge(detail_type, None))), expected("a b", Some(5)), "{detail_type}");
    }
}

#[test]
fn an_upload_by_copy_object_is_known_as_a_copy() {
    for name in ["ObjectCreated:Copy", "s3:ObjectCreated:Copy", "ObjectCreated:Put", "ObjectTagging:Put"] {
        assert_eq!(read(&with("/eventName", name)).is_copy, name.ends_with("Copy"), "{name}");
    }
    for reason in CREATING_REASONS.map(Some).into_iter().chain([None]) {
        let event = event_bridge("Object Created", reason);
        assert_eq!(read(&event).is_copy, reason == Some("CopyObject"), "{reason:?}");
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
