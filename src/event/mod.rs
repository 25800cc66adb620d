//! Reads an event down to the object versions that it names, whatever envelopes it arrives in.
//!
//! JSON is read as text, and only the members that are needed: a tree of values would take a hundred times the memory.

use crate::{
    error::Failure,
    not_released::{NotReleased, RejectionKind, SkipReason},
    upload::{NO_VERSION, Upload},
};
use aws_lambda_events::s3::S3Entity;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The most envelopes around an event. A redriven SNS notification of a queue is in six: SQS, the failure destination, SQS,
/// SNS, and perhaps an array and JSON in JSON.
const MAX_ENVELOPES: u32 = 8;

/// The most records of an event. A notification of S3 has one, a batch of SQS at most 10,000 messages
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>).
const MAX_RECORDS: usize = 1000;

/// How much of a consumed message is logged, in bytes.
const MAX_LOGGED: usize = 4096;

/// The member names, and the characters of each, that a message about an event contains.
const MAX_NAMES: usize = 10;
const MAX_CHARACTERS: usize = 40;

const EXPECTED: &str = "a notification of S3, an S3 event of EventBridge, or one of these in the envelope of SQS, SNS or a \
                        Lambda failure destination";

/// The event types of S3 that are no uploads, or the beginning of their names
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html>,
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_QueueConfiguration.html>).
const OTHER_EVENT_NAMES: [&str; 11] = [
    "IntelligentTiering",
    "LifecycleExpiration:",
    "LifecycleTransition",
    "ObjectAcl:",
    "ObjectAnnotation:",
    "ObjectRemoved:",
    "ObjectRestore:",
    "ObjectRetention:",
    "ObjectTagging:Delete",
    "ReducedRedundancyLostObject",
    "Replication:",
];

/// The detail types of S3 in EventBridge that are no uploads
/// (<https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-s3.html>).
const OTHER_DETAIL_TYPES: [&str; 9] = [
    "Async Copy Completion",
    "Object ACL Updated",
    "Object Access Tier Changed",
    "Object Deleted",
    "Object Restore Completed",
    "Object Restore Expired",
    "Object Restore Initiated",
    "Object Storage Class Changed",
    "Object Tags Deleted",
];

/// The `reason` of `Object Created` (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html>).
const CREATING_REASONS: [&str; 4] = ["PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"];

/// One record of an event: an upload, or why it is none.
#[derive(Debug)]
pub struct Record {
    /// The bucket's name, if the record has one.
    pub bucket: Option<String>,
    /// The object's key, decoded if it is that of an upload and can be decoded.
    pub key: Option<String>,
    /// The object's size in bytes. Records about tags have none.
    pub size: Option<u64>,
    /// Whether CopyObject wrote the object.
    pub is_copy: bool,
    /// The upload, if the record names one.
    pub upload: Result<Upload, NotReleased>,
    /// If the record is consumed although it is not understood, the beginning of its message, or nothing after the first such
    /// record of a message. The message came from the stack's own failure queue, and would return there for ever.
    pub consumed: Option<String>,
}

/// The records of an event. An event that is not understood is one record that failed; there is always at least one.
///
/// Only a known non-upload is skipped. Messages of the queue with the ARN `failure_queue` that are not understood are
/// consumed.
pub fn records(event: &str, failure_queue: Option<&str>) -> Vec<Record> {
    Reader { failure_queue }.open(event, MAX_ENVELOPES + 1)
}

/// An event of the stack's own schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheduled {
    /// Count the streams of the account.
    CountStreams,
    /// Check the configuration of the bucket, whose policy has statements with these IDs.
    CheckBucket(Vec<String>),
}

impl Scheduled {
    /// `None` if the event is another one.
    pub(crate) fn of(event: &str) -> Option<Self> {
        Members::of(event)?.scheduled()
    }
}

struct Reader<'a> {
    failure_queue: Option<&'a str>,
}

impl Reader<'_> {
    /// The records of an event that is the content of one more envelope.
    fn open(&self, json: &str, envelopes: u32) -> Vec<Record> {
        match serde_json::from_str::<&RawValue>(json) {
            Ok(_) if envelopes == 0 => vec![Record::failed(format!("it is in more than {MAX_ENVELOPES} envelopes"))],
            Ok(event) => self.event(event.get(), envelopes - 1),
            Err(error) => vec![Record::failed(format!("it is no JSON ({error}), expected {EXPECTED}"))],
        }
    }

    fn event(&self, json: &str, envelopes: u32) -> Vec<Record> {
        if let Ok(text) = serde_json::from_str::<String>(json) {
            return self.open(&text, envelopes);
        }
        if let Some(events) = elements(json).filter(|events| !events.is_empty()) {
            return read_all(&events, |event| self.open(event, envelopes));
        }
        let not_understood = || vec![Record::failed(format!("it is {}, expected {EXPECTED}", describe(json)))];
        let Some(members) = Members::of(json) else { return not_understood() };
        let text = |name| members.text(name);
        let is_notification = text("Type").as_deref() == Some("Notification");
        if let Some(payload) = members.get("requestPayload") {
            self.open(payload, envelopes)
        } else if let Some(message) = text("Message").filter(|_| is_notification) {
            self.open(&message, envelopes)
        } else if text("source").as_deref() == Some("aws.s3") {
            vec![Record::of_event_bridge(&members)]
        } else if let Some(records) = members.get("Records").and_then(elements) {
            if records.is_empty() {
                return vec![Record::stopped(NotReleased::Skipped(SkipReason::OtherEvent))];
            }
            read_all(&records, |record| match Members::of(record) {
                Some(members) => self.record(record, &members, envelopes),
                None => vec![Record::failed(format!("its record is {}, expected {EXPECTED}", describe(record)))],
            })
        } else if members.event_source().is_some() {
            self.record(json, &members, envelopes)
        } else if text("Event").as_deref() == Some("s3:TestEvent") {
            vec![Record { bucket: text("Bucket"), ..Record::stopped(NotReleased::Skipped(SkipReason::OtherEvent)) }]
        } else if members.scheduled().is_some() {
            vec![Record::stopped(NotReleased::Skipped(SkipReason::OtherEvent))]
        } else if text("reason").is_some_and(|reason| CREATING_REASONS.contains(&reason.as_str())) {
            // Details of added and of deleted tags look alike: without such a reason a detail is not understood.
            vec![Record::of_detail(&members)]
        } else {
            not_understood()
        }
    }

    fn record(&self, json: &str, members: &Members<'_>, envelopes: u32) -> Vec<Record> {
        let source = members.event_source();
        match source.as_deref() {
            Some("aws:s3") => vec![Record::of_notification(members)],
            Some("aws:sns") => {
                let message = members.object("Sns").text("Message");
                self.open(&message.unwrap_or_default(), envelopes)
            }
            Some("aws:sqs") => {
                let body = members.text("body").unwrap_or_default();
                let records = self.open(&body, envelopes);
                // Lambda's own polling names the queue only in the outermost envelope; deeper ones were written by a sender.
                let is_outermost = envelopes == MAX_ENVELOPES;
                match self.failure_queue {
                    Some(queue) if is_outermost && members.text("eventSourceARN").as_deref() == Some(queue) => {
                        consume(records, &body)
                    }
                    _ => records,
                }
            }
            Some(other) => {
                let (other, expected) = (quoted(other), "expected `aws:s3`, `aws:sqs` or `aws:sns`");
                vec![Record::failed(format!("the `eventSource` of its record is {other}, {expected}"))]
            }
            None => vec![Record::failed(format!("its record is {}, expected {EXPECTED}", describe(json)))],
        }
    }
}

/// The records of all elements, if they are not too many.
fn read_all(elements: &[&RawValue], read: impl Fn(&str) -> Vec<Record>) -> Vec<Record> {
    let mut records = Vec::new();
    for element in elements {
        records.extend(read(element.get()));
        if records.len() > MAX_RECORDS {
            let problem =
                format!("it has more than {MAX_RECORDS} records; nothing of it is released, send it in parts");
            // Nothing of it could be released in any case.
            let is_unreadable = records.iter().all(Record::is_unreadable);
            let failure = if is_unreadable { Failure::Event { problem } } else { Failure::Unsupported { problem } };
            return vec![Record::stopped(failure.into())];
        }
    }
    records
}

/// The records of a message of the failure queue. Those that are not understood are consumed; the first of them has the
/// beginning of the message.
fn consume(mut records: Vec<Record>, message: &str) -> Vec<Record> {
    let mut beginning = &message[..message.floor_char_boundary(MAX_LOGGED)];
    for record in records.iter_mut().filter(|record| record.is_unreadable()) {
        record.consumed = Some(std::mem::take(&mut beginning).to_owned());
    }
    records
}

/// The elements of a JSON array, unread.
fn elements(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

/// The members of a JSON object, unread.
#[derive(Debug, Default, Deserialize)]
struct Members<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    fn of(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// A member's JSON. `null` counts as absent.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|member| member.get()).filter(|json| *json != "null")
    }

    /// A member that is a string.
    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// The members of a member that is an object; no members if it is none.
    fn object(&self, name: &str) -> Self {
        self.get(name).and_then(Self::of).unwrap_or_default()
    }

    fn event_source(&self) -> Option<String> {
        self.text("eventSource").or_else(|| self.text("EventSource"))
    }

    fn scheduled(&self) -> Option<Scheduled> {
        if self.0.len() == 1 && self.text("count").as_deref() == Some("streams") {
            Some(Scheduled::CountStreams)
        } else if self.0.len() == 2 && self.text("check").as_deref() == Some("bucket") {
            serde_json::from_str(self.get("statements")?).map(Scheduled::CheckBucket).ok()
        } else {
            None
        }
    }
}

/// What JSON is, in bounded length: its sender chooses the names.
fn describe(json: &str) -> String {
    match json.bytes().next() {
        Some(b'{') => {
            let Members(members) = Members::of(json).unwrap_or_default();
            let names: Vec<_> = members.keys().take(MAX_NAMES).map(|name| quoted(name)).collect();
            match members.len() {
                0 => "an empty object".to_owned(),
                count if count > MAX_NAMES => {
                    format!("an object with {count} members ({}, …)", names.join(", "))
                }
                _ => format!("an object with the members {}", names.join(", ")),
            }
        }
        Some(b'[') => "an array".to_owned(),
        Some(b'"') => "a string".to_owned(),
        Some(b'n') => "`null`".to_owned(),
        Some(b't' | b'f') => "a boolean".to_owned(),
        _ => "a number".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    let beginning: String = text.chars().take(MAX_CHARACTERS).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(MAX_CHARACTERS).is_some() { "…" } else { "" };
    format!("`{beginning}{more}`")
}

impl Record {
    fn stopped(stop: NotReleased) -> Self {
        Self { bucket: None, key: None, size: None, is_copy: false, upload: Err(stop), consumed: None }
    }

    fn is_unreadable(&self) -> bool {
        matches!(self.upload, Err(NotReleased::Failed(Failure::Event { .. })))
    }

    fn failed(problem: String) -> Self {
        Self::stopped(Failure::Event { problem }.into())
    }

    /// A record that is no upload, with what it names.
    fn other(place: &Members<'_>, stop: NotReleased) -> Self {
        let (bucket, key) = (place.object("bucket").text("name"), place.object("object").text("key"));
        Self { bucket, key, size: size(place), ..Self::stopped(stop) }
    }

    fn of_event_bridge(event: &Members<'_>) -> Self {
        let (detail, detail_type) = (event.object("detail"), event.text("detail-type").unwrap_or_default());
        match detail_type.as_str() {
            "Object Created" | "Object Tags Added" => Self::of_detail(&detail),
            other if OTHER_DETAIL_TYPES.contains(&other) => {
                Self::other(&detail, NotReleased::Skipped(SkipReason::OtherEvent))
            }
            other => {
                let problem = format!("its `detail-type` is {}, expected one of S3", quoted(other));
                Self::other(&detail, Failure::Event { problem }.into())
            }
        }
    }

    fn of_detail(detail: &Members<'_>) -> Self {
        let is_copy = detail.text("reason").as_deref() == Some("CopyObject");
        Self { is_copy, ..Self::upload(detail, false) }
    }

    fn of_notification(record: &Members<'_>) -> Self {
        let place = record.object("s3");
        let name = record.text("eventName").unwrap_or_default();
        // S3 sends a string; some tools write a number.
        let version = record.get("eventVersion").unwrap_or_default().trim_matches('"');
        let name = name.strip_prefix("s3:").unwrap_or(&name);
        let is_other = OTHER_EVENT_NAMES
            .iter()
            .any(|other| if other.ends_with(':') { name.starts_with(other) } else { name == *other });
        let failure = if is_other {
            return Self::other(&place, NotReleased::Skipped(SkipReason::OtherEvent));
        } else if !name.starts_with("ObjectCreated:") && name != "ObjectTagging:Put" {
            let problem = format!("its `eventName` is {}, expected an event type of S3", quoted(name));
            Failure::Event { problem }
        } else if !version.starts_with("2.") {
            // AWS: "check the major version for equality" in
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
            let problem = format!("its `eventVersion` is {}, expected `2.x`", quoted(version));
            let is_other = version.split_once('.').is_some_and(|(major, _)| major.parse::<u32>().is_ok());
            if is_other { Failure::Unsupported { problem } } else { Failure::Event { problem } }
        } else {
            return Self { is_copy: name == "ObjectCreated:Copy", ..Self::upload(&place, true) };
        };
        Self::other(&place, failure.into())
    }

    /// The upload at a place. S3 form-encodes the keys of notifications: a space is a `+`, all else is percent-encoded UTF-8.
    /// EventBridge does not (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>).
    fn upload(place: &Members<'_>, is_encoded: bool) -> Self {
        let named = match needed(place) {
            Ok(S3Entity { bucket, object, .. }) => bucket.name.zip(object.key).map(|named| (named, object.version_id)),
            Err(error) => {
                return Self::other(
                    place,
                    Failure::Event { problem: format!("its bucket, key or version: {error}") }.into(),
                );
            }
        };
        let Some(((bucket, key), version_id)) = named else {
            return Self::other(place, Failure::Event { problem: "it names no bucket or no key".to_owned() }.into());
        };
        let spaced = if is_encoded { key.replace('+', " ") } else { String::new() };
        let decoded =
            if is_encoded { percent_decode_str(&spaced).decode_utf8().ok() } else { Some(key.as_str().into()) };
        let Some(decoded) = decoded.map(String::from) else {
            let problem = format!("the key `{key}` is not percent-encoded UTF-8; rename the object");
            return Self::other(place, NotReleased::Rejected(RejectionKind::Place, vec![problem]));
        };
        let version_id = version_id.filter(|version| !version.is_empty()).unwrap_or_else(|| NO_VERSION.to_owned());
        let upload = Upload::new(bucket, decoded, version_id);
        let (bucket, key) = (Some(upload.bucket.clone()), Some(upload.key.clone()));
        Self { bucket, key, size: size(place), is_copy: false, upload: Ok(upload), consumed: None }
    }
}

/// Bucket, key and version: the types are AWS's, and no other member is read. Tools that convert events of EventBridge and
/// notifications keep either name of the version.
fn needed(place: &Members<'_>) -> serde_json::Result<S3Entity> {
    let (bucket, object) = (place.object("bucket"), place.object("object"));
    let version_id = object.0.get("versionId").or_else(|| object.0.get("version-id"));
    let json = BTreeMap::from([
        ("bucket", BTreeMap::from([("name", bucket.0.get("name"))])),
        ("object", BTreeMap::from([("key", object.0.get("key")), ("versionId", version_id)])),
    ]);
    serde_json::from_str(&serde_json::to_string(&json)?)
}

/// The size is only for a dry run without AWS; any other run reads it from S3.
fn size(place: &Members<'_>) -> Option<u64> {
    place.object("object").get("size")?.parse().ok()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
