//! Properties of all events, tested with any combination of the members and strings of known events.

use super::samples::{ENVELOPES, QUEUE, batch_operations, event_bridge, read, record};
use crate::error::Failure;
use crate::event::envelope::records;
use crate::event::record::{CREATING_REASONS, OTHER_DETAIL_TYPES};
use crate::not_released::{NotReleased, RejectionKind, SkipReason};
use aws_sdk_s3::types::Event;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// A key in the encoding of notifications: `application/x-www-form-urlencoded` except for slashes.
fn form_encoded(key: &str) -> String {
    let encoded = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'/' | b'.' | b'-' | b'_' | b'*' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(encoded).collect()
}

/// Returns whether the event, or a part of it at any depth, meets the condition.
fn contains(event: &Value, condition: fn(&Value) -> bool) -> bool {
    condition(event)
        || match event {
            Value::Array(elements) => elements.iter().any(|element| contains(element, condition)),
            Value::Object(members) => members.values().any(|member| contains(member, condition)),
            Value::String(text) => {
                serde_json::from_str::<Value>(text).is_ok_and(|content| contains(&content, condition))
            }
            _ => false,
        }
}

fn is_release(event: &Value) -> bool {
    let name = event["eventName"].as_str().map(|name| name.strip_prefix("s3:").unwrap_or(name));
    name.is_some_and(|name| name.starts_with("ObjectCreated:") || name == "ObjectTagging:Put")
        || matches!(event["detail-type"].as_str(), Some("Object Created" | "Object Tags Added"))
        || event["reason"].as_str().is_some_and(|reason| CREATING_REASONS.contains(&reason))
}

fn is_known_non_upload(event: &Value) -> bool {
    let name = event["eventName"].as_str().map(|name| name.strip_prefix("s3:").unwrap_or(name));
    let is_type = |name: &str| Event::values().iter().any(|known| known[3..] == *name);
    name.is_some_and(|name| is_type(name) && !is_release(event))
        || event["detail-type"].as_str().is_some_and(|detail_type| OTHER_DETAIL_TYPES.contains(&detail_type))
        || event["Event"] == "s3:TestEvent"
        || event["Records"] == json!([])
        || *event == json!({"count": "streams"})
}

const NAMES: &str = "Records|eventSource|EventSource|eventName|eventVersion|eventSourceARN|s3|bucket|name|object|key|\
                     versionId|version-id|size|source|detail-type|detail|reason|Type|Message|Sns|body|requestPayload|\
                     Event|count|tasks|Bucket";
const TEXTS: &str = "aws:s3|aws:sqs|aws:sns|aws.s3|aws.events|Notification|ObjectCreated:Put|s3:ObjectCreated:Copy|\
                     ObjectTagging:Put|ObjectTagging:Delete|ObjectRemoved:Delete|ObjectCreated|\
                     Replication:OperationNotTracked|Object Created|Object Deleted|Object Tags Added|Object|PutObject|\
                     POST Object|DeleteObject|s3:TestEvent|streams|2.1|3.0|firmware/a|%FF|a+b|null||firmware-bucket";

fn one_of(words: &'static str) -> impl Strategy<Value = &'static str> + Clone {
    select(words.split('|').collect::<Vec<_>>())
}

/// JSON of members and texts that events have, in any order.
fn near_misses() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => one_of(TEXTS).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => "\\PC{0,8}".prop_map(Value::from),
        2 => select(vec![record("a+b"), record("%FF"), batch_operations(), event_bridge("Object Created", Some("PutObject"))]),
        1 => select(vec![json!({"Records": []}), json!({"count": "streams"}), event_bridge("Object Deleted", None)]),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            5 => prop::collection::hash_map(one_of(NAMES), inner.clone(), 0..6).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
            }),
            // A whole shape, with one member replaced.
            3 => (select(vec![record("a"), event_bridge("Object Created", None), event_bridge("x", None)["detail"].clone()]),
                  one_of(NAMES), inner.clone()).prop_map(|(mut whole, name, value)| { whole[name] = value; whole }),
            3 => (select(&ENVELOPES[..]), inner.clone()).prop_map(|((_, envelop), event)| envelop(&event)),
            1 => inner.prop_map(|event| event.to_string().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_result_without_a_release_is_a_known_non_upload_or_a_failure(event in near_misses()) {
        let read = records(&event.to_string(), Some(QUEUE));
        prop_assert!(!read.is_empty());
        for record in &read {
            match &record.upload {
                Ok(upload) => {
                    prop_assert!(contains(&event, is_release), "{}", event);
                    prop_assert_eq!((record.bucket.as_ref(), record.key.as_ref()), (Some(&upload.bucket), Some(&upload.key)));
                }
                Err(NotReleased::Skipped(SkipReason::OtherEvent)) => prop_assert!(contains(&event, is_known_non_upload), "{}", event),
                Err(NotReleased::Rejected(RejectionKind::Place, _)) => prop_assert!(contains(&event, is_release), "{}", event),
                Err(NotReleased::Failed(Failure::Unsupported { .. })) => prop_assert!(contains(&event, is_release), "{}", event),
                Err(NotReleased::Failed(Failure::Event { problem })) => prop_assert!(problem.len() < 1000, "{}", problem),
                Err(reason) => prop_assert!(false, "{:?} of {}", reason, event),
            }
            let is_failed = matches!(record.upload, Err(NotReleased::Failed(_)));
            prop_assert!(record.consumed.is_none() || is_failed, "{}", event);
        }
    }

    #[test]
    fn any_text_is_read(event in "\\PC{0,80}") {
        prop_assert!(!records(&event, None).is_empty());
    }

    #[test]
    fn any_key_survives_encoding_and_decoding(key in any::<String>()) {
        prop_assert_eq!(read(&record(&form_encoded(&key))).upload.unwrap().key, key);
    }
}
