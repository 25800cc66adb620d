use super::*;
use crate::event::tests::samples::{
    ENVELOPES, QUEUE, batch_operations, event_bridge, is_skipped, problem, read, read_all, record, sqs, upload,
};
use serde_json::{Value, json};

#[test]
fn an_event_in_any_envelope_is_read_like_the_event_itself() {
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
            for (inner, envelop_first) in ENVELOPES {
                let event = envelop(&envelop_first(event));
                assert_eq!(read(&event).upload.unwrap(), upload("a b"), "{outer} around {inner}: {event}");
            }
        }
    }
    for (envelope, envelop) in ENVELOPES {
        assert!(is_skipped(&read(&envelop(&json!({"Records": []})))), "{envelope}");
        let problem = problem(read(&envelop(&batch_operations())));
        assert!(problem.contains("`invocationSchemaVersion`"), "{envelope}: {problem}");
    }
    // A `Message` is opened only if the `Type` is `Notification`.
    let other = json!({"Type": "Other", "Message": events[0].to_string()});
    assert!(problem(read(&other)).starts_with("it is an object with the members `Message`, `Type`, expected"));
}

#[test]
fn an_envelope_without_an_event_fails() {
    for body in [json!("no JSON"), json!(""), Value::Null, json!("{\"Records\": ["), json!(5), json!({})] {
        let event = json!({"Records": [{"eventSource": "aws:sqs", "body": body}]});
        assert!(problem(read(&event)).starts_with("it is not JSON ("), "{event}");
        let event = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": body}}]});
        assert!(problem(read(&event)).starts_with("it is not JSON ("), "{event}");
    }
}

#[test]
fn an_event_is_read_in_at_most_eight_envelopes() {
    let mut event = json!({"Event": "s3:TestEvent"});
    for _ in 0..MAX_ENVELOPES {
        event = json!({"requestPayload": event});
    }
    assert!(is_skipped(&read(&event)));
    assert_eq!(problem(read(&json!({"requestPayload": event}))), "it is in more than 8 envelopes");
}

#[test]
fn known_non_uploads_are_skipped() {
    let test = read(&json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "firmware-bucket"}));
    assert_eq!((is_skipped(&test), test.bucket.as_deref()), (true, Some("firmware-bucket")));
    let check = json!({"check": "bucket", "statements": ["a"]});
    for event in [json!({"Records": []}), json!({"count": "streams"}), check] {
        assert!(is_skipped(&read(&event)), "{event}");
    }
}

#[test]
fn a_bare_detail_is_released_only_with_the_reason_of_an_upload() {
    let detail = |reason| event_bridge("Object Created", reason)["detail"].clone();
    for reason in CREATING_REASONS {
        assert_eq!(read(&detail(Some(reason))).upload.unwrap(), upload("a b"), "{reason}");
    }
    for reason in [None, Some("DeleteObject"), Some("Lifecycle Expiration"), Some("putobject"), Some("")] {
        let problem = problem(read(&detail(reason)));
        assert!(problem.starts_with("it is an object with the members `bucket`, "), "{reason:?}: {problem}");
    }
    assert_eq!(problem(read(&json!({"reason": "PutObject"}))), "its bucket or key is missing");
}

#[test]
fn an_unknown_event_fails_with_its_type_and_the_expected_ones() {
    for (event, description) in [
        (json!({}), "an empty object"),
        (json!(5), "a number"),
        (json!([]), "an array"),
        (json!([[]]), "an array"),
        (json!([null]), "`null`"),
        (json!({"Records": null}), "an object with the members `Records`"),
        (json!({"records": []}), "an object with the members `records`"),
        (json!({"requestPayload": null}), "an object with the members `requestPayload`"),
        (json!({"count": "streams", "of": 1}), "an object with the members `count`, `of`"),
        (json!({"Event": "s3:OtherEvent", "Service": "Amazon S3"}), "an object with the members `Event`, `Service`"),
        (json!({"s3": record("a")["s3"]}), "an object with the members `s3`"),
        (batch_operations(), "an object with the members `invocationId`, `invocationSchemaVersion`, `job`, `tasks`"),
    ] {
        let problem = problem(read(&event));
        assert_eq!(problem, format!("it is {description}, expected {EXPECTED}"), "{event}");
    }
    for (record, expected) in [
        (json!({}), "its record is an empty object, expected a notification of S3"),
        (json!("{}"), "its record is a string, expected a notification of S3"),
        (json!({"eventSource": "aws:kinesis"}), "the `eventSource` of its record is `aws:kinesis`, expected `aws:s3`"),
    ] {
        assert!(problem(read(&json!({"Records": [record]}))).starts_with(expected), "{record}");
    }
}

#[test]
fn an_event_has_at_most_a_thousand_records() {
    let event = |count| json!({"Records": vec![record("a"); count]});
    assert!(read_all(&event(1000)).iter().all(|record| record.upload.is_ok()));
    assert_eq!(read_all(&event(1000)).len(), 1000);
    let expected = "it has more than 1000 records, and none is released; send it in parts";
    assert_eq!(problem(read(&event(1001))), expected);
    // The limit applies to records in any structure.
    let bodies = json!({"Records": vec![sqs(&event(10).to_string()); 101]});
    assert_eq!(problem(read(&bodies)), expected);
    assert_eq!(problem(read(&Value::from(vec![record("a"); 1001]))), expected);
    assert_eq!(problem(read(&json!({"Records": vec![json!({}); 100_000]}))), expected);
}

#[test]
fn deep_and_wide_events_are_read() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"requestPayload\":", "}"), ("{\"Records\":[", "]}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(records(&deep, None).len(), 1, "{open}");
        let key = format!("{{\"eventSource\":\"aws:s3\",\"eventName\":\"ObjectCreated:Put\",\"s3\":{deep}}}");
        assert_eq!(records(&key, None).len(), 1, "{open}");
    }
    let wide = format!("[{}1]", "1,".repeat(500_000));
    assert_eq!(records(&wide, None).len(), 1);
}

/// A batch of SQS messages.
fn batch(queue: &str, bodies: &[&str]) -> Value {
    let messages = bodies.iter().map(|body| json!({"eventSource": "aws:sqs", "body": body, "eventSourceARN": queue}));
    json!({"Records": messages.collect::<Vec<_>>()})
}

/// Returns for each record whether it has an upload, and its consumed message.
fn consumed(event: &Value) -> Vec<(bool, Option<String>)> {
    let records = records(&event.to_string(), Some(QUEUE)).into_iter();
    records.map(|record| (record.upload.is_ok(), record.consumed)).collect()
}

#[test]
fn unreadable_messages_of_the_failure_queue_are_consumed() {
    let batch_operations = batch_operations().to_string();
    let unreadable = [batch_operations.as_str(), "no JSON", "", "{}", "null", "[1, 2]", "{\"Records\": [{}, {}]}"];
    for body in unreadable {
        let read = consumed(&batch(QUEUE, &[body]));
        assert_eq!(read[0], (false, Some(body.to_owned())), "{body}");
        assert!(read[1..].iter().all(|read| *read == (false, Some(String::new()))), "{body}");
        let of_other_queue = consumed(&batch("arn:aws:sqs:us-east-1:111122223333:other", &[body]));
        assert!(of_other_queue.iter().all(|(_, read)| read.is_none()), "{body}");
        let event = batch(QUEUE, &[body]).to_string();
        assert!(records(&event, None).iter().all(|record| record.consumed.is_none()), "without the setting: {body}");
    }
}

#[test]
fn messages_of_the_failure_queue_that_are_understood_are_not_consumed() {
    let good = json!({"requestPayload": {"Records": [record("a")]}}).to_string();
    assert_eq!(consumed(&batch(QUEUE, &[&good])), [(true, None)]);
    let mixed = consumed(&batch(QUEUE, &["no JSON", &good, "{}"]));
    let expected = [(false, Some("no JSON".to_owned())), (true, None), (false, Some("{}".to_owned()))];
    assert_eq!(mixed, expected);
    let both = json!({"Records": [record("a"), {}]}).to_string();
    assert_eq!(consumed(&batch(QUEUE, &[&both])), [(true, None), (false, Some(both.clone()))]);
    let skipped = consumed(&batch(QUEUE, &["{\"Records\": []}", "{\"count\": \"streams\"}"]));
    assert_eq!(skipped, [(false, None), (false, None)]);
    // A rejected upload is understood.
    let rejected = json!({"Records": [record("%FF")]}).to_string();
    assert_eq!(consumed(&batch(QUEUE, &[&rejected])), [(false, None)]);
}

#[test]
fn an_inner_envelope_cannot_name_the_failure_queue() {
    for (envelope, envelop) in ENVELOPES {
        let claimed = consumed(&envelop(&batch(QUEUE, &["no JSON"])));
        assert_eq!(claimed, [(false, None)], "{envelope}");
    }
}

#[test]
fn unsupported_messages_stay_in_the_failure_queue() {
    let many = json!({"Records": vec![record("a"); 1001]}).to_string();
    assert_eq!(consumed(&batch(QUEUE, &[&many])), [(false, None)]);
    let nothing = json!(vec![0; 1001]).to_string();
    assert_eq!(consumed(&batch(QUEUE, &[&nothing])), [(false, Some(nothing.clone()))]);
    let mut newer = record("a");
    newer["eventVersion"] = "3.0".into();
    assert_eq!(consumed(&batch(QUEUE, &[&json!({"Records": [newer]}).to_string()])), [(false, None)]);
}

#[test]
fn the_first_consumed_record_has_the_beginning_of_the_message() {
    let mut bad = record("firmware/lost.bin");
    bad["eventName"] = "ObjectCreated".into();
    let two = json!({"Records": [bad, record("a"), bad]}).to_string();
    let read = records(&batch(QUEUE, &[&two]).to_string(), Some(QUEUE));
    let keys: Vec<_> = read.iter().map(|record| (record.key.as_deref(), record.consumed.as_deref())).collect();
    let lost = Some("firmware/lost.bin");
    assert_eq!(keys, [(lost, Some(two.as_str())), (Some("a"), None), (lost, Some(""))]);
    let long = format!("[{}", "1".repeat(5000));
    let beginning = consumed(&batch(QUEUE, &[&long]))[0].1.clone().unwrap();
    assert_eq!((beginning.len(), long.starts_with(&beginning)), (4096, true));
    let letters = "ü".repeat(4000);
    assert_eq!(consumed(&batch(QUEUE, &[&format!("x{letters}")]))[0].1.as_ref().unwrap().len(), 4095);
}
