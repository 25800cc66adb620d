use super::*;
use aws_sdk_s3::types::Event;
use serde_json::{Value, json};

pub(super) const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:failures";

fn upload(key: &str) -> Upload {
    Upload::new("firmware-bucket".into(), key.into(), "v1".into())
}

/// A record with all that S3 writes (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>).
pub(super) fn record(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2026-11-23T21:40:00.000Z",
        "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "AWS:TEAM"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"}, "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "uploads",
            "bucket": {"name": "firmware-bucket", "ownerIdentity": {"principalId": "A3NL1KOZZKExample"}, "arn": "arn:aws:s3:::b"},
            "object": {"key": key, "size": 5, "eTag": "d41d8cd9", "versionId": "v1", "sequencer": "0055AED6DCD90281E5"},
        },
    })
}

/// An event of EventBridge (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>).
pub(super) fn event_bridge(detail_type: &str, reason: Option<&str>) -> Value {
    let mut event = json!({
        "version": "0", "id": "17793124", "detail-type": detail_type, "source": "aws.s3", "account": "111122223333",
        "time": "2026-11-23T21:40:00Z", "region": "us-east-1", "resources": ["arn:aws:s3:::firmware-bucket"],
        "detail": {
            "version": "0", "bucket": {"name": "firmware-bucket"}, "request-id": "N4N7GDK58NMKJ12R", "requester": "111122223333",
            "object": {"key": "a b", "size": 5, "etag": "b1946ac9", "version-id": "v1", "sequencer": "00617F08299329D189"},
        },
    });
    if let Some(reason) = reason {
        event["detail"]["reason"] = reason.into();
    }
    event
}

/// The invocation of S3 Batch Operations (<https://docs.aws.amazon.com/lambda/latest/dg/services-s3-batch.html>).
pub(super) fn batch_operations() -> Value {
    json!({
        "invocationSchemaVersion": "1.0", "invocationId": "YXNkbGZqYWRmaiBhc2RmdW9hZHNmZGpmaGFzbGtkaGZza2RmaAo",
        "job": {"id": "f3cc4f60-61f6-4a2b-8a21-d07600c373ce"},
        "tasks": [{"taskId": "dGFza2lkZ29lc2hlcmUK", "s3Key": "a", "s3VersionId": "1", "s3BucketArn": "arn:aws:s3:::b"}],
    })
}

fn sqs(body: &str) -> Value {
    json!({"messageId": "1", "body": body, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:uploads"})
}

fn read_all(event: &Value) -> Vec<Record> {
    records(&event.to_string(), None)
}

/// The one record of an event.
pub(super) fn read(event: &Value) -> Record {
    let mut records = read_all(event);
    assert_eq!(records.len(), 1, "{event}");
    records.remove(0)
}

fn problem(record: Record) -> String {
    match record.upload {
        Err(NotReleased::Failed(Failure::Event { problem } | Failure::Unsupported { problem })) => problem,
        upload => panic!("{upload:?}"),
    }
}

fn is_skipped(record: &Record) -> bool {
    matches!(record.upload, Err(NotReleased::Skipped(SkipReason::OtherEvent)))
}

pub(super) type Envelope = fn(&Value) -> Value;

/// Every envelope that is opened.
pub(super) const ENVELOPES: [(&str, Envelope); 8] = [
    ("SQS", |event| json!({"Records": [sqs(&event.to_string())]})),
    ("SNS", |event| json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": event.to_string()}}]})),
    ("an SNS notification", |event| json!({"Type": "Notification", "Message": event.to_string()})),
    ("a failure destination", |event| json!({"version": "1.0", "requestPayload": event, "responsePayload": null})),
    ("an array", |event| json!([event])),
    ("JSON in JSON", |event| event.to_string().into()),
    ("a pipe of SQS", |event| json!([sqs(&event.to_string())])),
    ("a bare message", |event| sqs(&event.to_string())),
];

#[test]
fn every_envelope_holds_the_event_as_it_is() {
    let events = [
        json!({"Records": [record("a+b")]}),
        record("a+b"),
        json!([record("a+b")]),
        event_bridge("Object Created", Some("PutObject")),
        event_bridge("Object Created", Some("CopyObject"))["detail"].clone(),
    ];
    for event in &events {
        assert_eq!(read(event).upload.unwrap(), upload("a b"), "{event}");
        for (outer, envelop) in ENVELOPES {
            assert_eq!(read(&envelop(event)).upload.unwrap(), upload("a b"), "{outer} around {event}");
            for (inner, also) in ENVELOPES {
                let event = envelop(&also(event));
                assert_eq!(read(&event).upload.unwrap(), upload("a b"), "{outer} around {inner}: {event}");
            }
        }
    }
    for (envelope, envelop) in ENVELOPES {
        assert!(is_skipped(&read(&envelop(&json!({"Records": []})))), "{envelope}");
        let problem = problem(read(&envelop(&batch_operations())));
        assert!(problem.contains("`invocationSchemaVersion`"), "{envelope}: {problem}");
    }
    // A message of a sender's own that has a `Message` is no notification.
    let other = json!({"Type": "Other", "Message": events[0].to_string()});
    assert!(problem(read(&other)).starts_with("it is an object with the members `Message`, `Type`, expected"));
}

#[test]
fn an_envelope_that_cannot_be_opened_is_a_failure() {
    for body in [json!("no JSON"), json!(""), Value::Null, json!("{\"Records\": ["), json!(5), json!({})] {
        let event = json!({"Records": [{"eventSource": "aws:sqs", "body": body}]});
        assert!(problem(read(&event)).starts_with("it is no JSON ("), "{event}");
        let event = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": body}}]});
        assert!(problem(read(&event)).starts_with("it is no JSON ("), "{event}");
    }
    let mut event = json!({"Event": "s3:TestEvent"});
    for _ in 0..MAX_ENVELOPES {
        event = json!({"requestPayload": event});
    }
    assert!(is_skipped(&read(&event)));
    assert_eq!(problem(read(&json!({"requestPayload": event}))), "it is in more than 8 envelopes");
}

/// The list is that of the S3 API, not of this module.
#[test]
fn every_event_type_of_the_s3_api_is_a_release_or_a_known_other() {
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
fn a_name_that_only_resembles_an_event_type_is_a_failure() {
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
fn every_detail_type_of_s3_is_a_release_or_a_known_other() {
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

#[test]
fn a_bare_detail_is_a_release_only_with_a_creating_reason() {
    let detail = |reason| event_bridge("Object Created", reason)["detail"].clone();
    for reason in CREATING_REASONS {
        assert_eq!(read(&detail(Some(reason))).upload.unwrap(), upload("a b"), "{reason}");
    }
    for reason in [None, Some("DeleteObject"), Some("Lifecycle Expiration"), Some("putobject"), Some("")] {
        assert!(
            problem(read(&detail(reason))).starts_with("it is an object with the members `bucket`, "),
            "{reason:?}"
        );
    }
    assert_eq!(problem(read(&json!({"reason": "PutObject"}))), "it names no bucket or no key");
}

#[test]
fn what_is_not_understood_fails_with_what_it_looks_like_and_what_is_expected() {
    let long = "x".repeat(1000);
    let many: Value = (0..50).map(|at| (format!("{long}{at}"), json!(at))).collect::<serde_json::Map<_, _>>().into();
    for (event, looks) in [
        (json!({}), "an empty object"),
        (json!(null), "`null`"),
        (json!(5), "a number"),
        (json!(-0.5e3), "a number"),
        (json!(true), "a boolean"),
        (json!([]), "an array"),
        (json!([[]]), "an array"),
        (json!([null]), "`null`"),
        (json!({"Records": null}), "an object with the members `Records`"),
        (json!({"Records": {}}), "an object with the members `Records`"),
        (json!({"records": []}), "an object with the members `records`"),
        (json!({"requestPayload": null}), "an object with the members `requestPayload`"),
        (json!({"count": "streams", "of": 1}), "an object with the members `count`, `of`"),
        (json!({"count": "jobs"}), "an object with the members `count`"),
        (json!({"Event": "s3:OtherEvent", "Service": "Amazon S3"}), "an object with the members `Event`, `Service`"),
        (json!({"s3": record("a")["s3"]}), "an object with the members `s3`"),
        (json!({"a\u{1b}[31m`\n": 1}), "an object with the members `a\\u{1b}[31m`\\n`"),
        (batch_operations(), "an object with the members `invocationId`, `invocationSchemaVersion`, `job`, `tasks`"),
        (many, "an object with 50 members (`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`, "),
    ] {
        let problem = problem(read(&event));
        assert!(problem.starts_with(&format!("it is {looks}")), "{event}: {problem}");
        assert!(
            problem.ends_with("or one of these in the envelope of SQS, SNS or a Lambda failure destination"),
            "{problem}"
        );
        assert!(problem.len() < 1000, "{problem}");
    }
    for (record, expected) in [
        (json!({}), "its record is an empty object, expected a notification of S3"),
        (json!("{}"), "its record is a string, expected a notification of S3"),
        (json!({"eventSource": "aws:kinesis"}), "the `eventSource` of its record is `aws:kinesis`, expected `aws:s3`"),
        (
            json!({"eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put"}),
            "the `eventSource` of its record is ",
        ),
    ] {
        assert!(problem(read(&json!({"Records": [record]}))).starts_with(expected), "{record}");
    }
}

#[test]
fn known_non_uploads_are_skipped() {
    let test = json!({
        "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-23T21:40:00.000Z", "Bucket": "firmware-bucket",
        "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
    });
    let skipped = read(&test);
    assert_eq!((is_skipped(&skipped), skipped.bucket.as_deref()), (true, Some("firmware-bucket")));
    let check = json!({"check": "bucket", "statements": ["a"]});
    for event in [json!({"Records": []}), json!({"count": "streams"}), check] {
        assert!(is_skipped(&read(&event)), "{event}");
    }
    let bucket = |statements: &[&str]| {
        Some(Scheduled::CheckBucket(statements.iter().map(|statement| (*statement).to_owned()).collect()))
    };
    for (event, expected) in [
        (" {\"count\": \"streams\"}", Some(Scheduled::CountStreams)),
        ("{\"check\":\"bucket\",\"statements\":[\"a\",\"b\"]}", bucket(&["a", "b"])),
        ("{\"check\":\"bucket\",\"statements\":[]}", bucket(&[])),
        ("{\"check\":\"bucket\",\"statements\":[1]}", None),
        ("{\"check\":\"bucket\"}", None),
        ("{\"check\":\"bucket\",\"statements\":[],\"more\":1}", None),
        ("{\"check\":\"buckets\",\"statements\":[]}", None),
        ("{\"count\":\"streams\",\"count2\":1}", None),
        ("{\"count\":[\"streams\"]}", None),
        ("\"streams\"", None),
        ("{}", None),
        ("", None),
    ] {
        assert_eq!(Scheduled::of(event), expected, "{event}");
    }
}

/// Each member of a record, by its path, that no release needs.
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
fn a_member_that_no_release_needs_never_matters() {
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
fn a_member_that_is_needed_and_wrong_is_a_failure() {
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
fn a_version_is_read_by_either_name_and_an_event_version_as_text_or_number() {
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
fn a_record_without_a_version_has_none() {
    for version in [json!(null), json!(""), json!("null")] {
        let mut record = record("firmware/a.bin");
        record["s3"]["object"]["versionId"] = version;
        assert!(!read(&record).upload.unwrap().has_version());
    }
    assert!(read(&record("firmware/a.bin")).upload.unwrap().has_version());
}

#[test]
fn a_record_reports_what_it_names_whatever_becomes_of_it() {
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
fn keys_are_decoded_once() {
    for (encoded, key) in [("a+b", "a b"), ("a%2Bb", "a+b"), ("%2541", "%41"), ("%C3%BC.bin", "ü.bin")] {
        assert_eq!(read(&record(encoded)).key.as_deref(), Some(key));
    }
}

#[test]
fn a_key_that_is_not_utf_8_is_rejected_as_it_came() {
    let record = read(&record("firmware/%FF"));
    assert_eq!(record.key.as_deref(), Some("firmware/%FF"));
    let Err(NotReleased::Rejected(RejectionKind::Place, reasons)) = record.upload else { panic!("{record:?}") };
    assert_eq!(reasons, ["the key `firmware/%FF` is not percent-encoded UTF-8; rename the object"]);
}

#[test]
fn an_event_has_at_most_a_thousand_records() {
    let event = |count| json!({"Records": vec![record("a"); count]});
    assert!(read_all(&event(1000)).iter().all(|record| record.upload.is_ok()));
    assert_eq!(read_all(&event(1000)).len(), 1000);
    let expected = "it has more than 1000 records; nothing of it is released, send it in parts";
    assert_eq!(problem(read(&event(1001))), expected);
    // However they are spread.
    let bodies = json!({"Records": vec![sqs(&event(10).to_string()); 101]});
    assert_eq!(problem(read(&bodies)), expected);
    assert_eq!(problem(read(&Value::from(vec![record("a"); 1001]))), expected);
    assert_eq!(problem(read(&json!({"Records": vec![json!({}); 100_000]}))), expected);
}

#[test]
fn only_what_the_failure_queue_sent_and_nobody_understands_is_consumed() {
    let from = |queue: &str, bodies: &[&str]| {
        let messages =
            bodies.iter().map(|body| json!({"eventSource": "aws:sqs", "body": body, "eventSourceARN": queue}));
        json!({"Records": messages.collect::<Vec<_>>()})
    };
    let consumed = |event: &Value| {
        let records = records(&event.to_string(), Some(QUEUE)).into_iter();
        records.map(|record| (record.upload.is_ok(), record.consumed)).collect::<Vec<_>>()
    };
    let (batch, good) =
        (batch_operations().to_string(), json!({"requestPayload": {"Records": [record("a")]}}).to_string());
    let unreadable = [batch.as_str(), "no JSON", "", "{}", "null", "[1, 2]", "{\"Records\": [{}, {}]}"];
    for body in unreadable {
        let read = consumed(&from(QUEUE, &[body]));
        assert_eq!(read[0], (false, Some(body.to_owned())), "{body}");
        assert!(read[1..].iter().all(|read| *read == (false, Some(String::new()))), "{body}");
        assert!(
            consumed(&from("arn:aws:sqs:us-east-1:111122223333:other", &[body])).iter().all(|(_, read)| read.is_none())
        );
        let event = from(QUEUE, &[body]).to_string();
        assert!(records(&event, None).iter().all(|record| record.consumed.is_none()), "without the setting: {body}");
    }
    // What is understood goes its way, in a batch and in one message.
    assert_eq!(consumed(&from(QUEUE, &[&good])), [(true, None)]);
    let mixed = consumed(&from(QUEUE, &["no JSON", &good, "{}"]));
    let expected = [(false, Some("no JSON".to_owned())), (true, None), (false, Some("{}".to_owned()))];
    assert_eq!(mixed, expected);
    let both = json!({"Records": [record("a"), {}]}).to_string();
    assert_eq!(consumed(&from(QUEUE, &[&both])), [(true, None), (false, Some(both.clone()))]);
    let skipped = consumed(&from(QUEUE, &["{\"Records\": []}", "{\"count\": \"streams\"}"]));
    assert_eq!(skipped, [(false, None), (false, None)]);
    // A rejected upload is understood.
    let rejected = json!({"Records": [record("%FF")]}).to_string();
    assert_eq!(consumed(&from(QUEUE, &[&rejected])), [(false, None)]);
    // Nobody else can claim to be the queue: its name counts where Lambda writes it.
    for (envelope, envelop) in ENVELOPES {
        let claimed = consumed(&envelop(&from(QUEUE, &["no JSON"])));
        assert_eq!(claimed, [(false, None)], "{envelope}");
    }
    // An upload that is understood and not supported stays in the queue.
    let many = json!({"Records": vec![record("a"); 1001]}).to_string();
    assert_eq!(consumed(&from(QUEUE, &[&many])), [(false, None)]);
    let nothing = json!(vec![0; 1001]).to_string();
    assert_eq!(consumed(&from(QUEUE, &[&nothing])), [(false, Some(nothing.clone()))]);
    let mut newer = record("a");
    newer["eventVersion"] = "3.0".into();
    assert_eq!(consumed(&from(QUEUE, &[&json!({"Records": [newer]}).to_string()])), [(false, None)]);
    // Each record that is consumed is counted; the first has the beginning of the message.
    let mut bad = record("firmware/lost.bin");
    bad["eventName"] = "ObjectCreated".into();
    let two = json!({"Records": [bad, record("a"), bad]}).to_string();
    let read = records(&from(QUEUE, &[&two]).to_string(), Some(QUEUE));
    let keys: Vec<_> = read.iter().map(|record| (record.key.as_deref(), record.consumed.as_deref())).collect();
    let lost = Some("firmware/lost.bin");
    assert_eq!(keys, [(lost, Some(two.as_str())), (Some("a"), None), (lost, Some(""))]);
    let long = format!("[{}", "1".repeat(5000));
    let beginning = consumed(&from(QUEUE, &[&long]))[0].1.clone().unwrap();
    assert_eq!((beginning.len(), long.starts_with(&beginning)), (4096, true));
    let letters = "ü".repeat(4000);
    assert_eq!(consumed(&from(QUEUE, &[&format!("x{letters}")]))[0].1.as_ref().unwrap().len(), 4095);
}

#[test]
fn depth_and_size_do_no_harm() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"requestPayload\":", "}"), ("{\"Records\":[", "]}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(records(&deep, None).len(), 1, "{open}");
        let key = format!("{{\"eventSource\":\"aws:s3\",\"eventName\":\"ObjectCreated:Put\",\"s3\":{deep}}}");
        assert_eq!(records(&key, None).len(), 1, "{open}");
    }
    let wide = format!("[{}1]", "1,".repeat(500_000));
    assert_eq!(records(&wide, None).len(), 1);
}
