//! Reads one record of an event: the upload, or the reason why the record has no upload.

use crate::error::Failure;
use crate::event::json::{Members, quoted_beginning};
use crate::not_released::{NotReleased, RejectionKind, SkipReason};
use crate::upload::{NO_VERSION, Upload};
use aws_lambda_events::s3::S3Entity;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The event types of S3 that are not uploads. An item that ends in a colon is the prefix of several types
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

/// The detail types of S3 in EventBridge that are not uploads
/// (<https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-s3.html>).
pub(crate) const OTHER_DETAIL_TYPES: [&str; 9] = [
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

/// The values of `reason` in `Object Created` (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html>).
pub(crate) const CREATING_REASONS: [&str; 4] = ["PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"];

/// One record of an event: an upload, or the reason why the record has no upload.
#[derive(Debug)]
pub struct Record {
    /// The bucket's name, if the record has one.
    pub bucket: Option<String>,
    /// The object's key. The key of an upload is decoded, if possible.
    pub key: Option<String>,
    /// The object's size in bytes, for a dry run without AWS. Records about tags have none.
    pub size: Option<u64>,
    /// `true` if CopyObject wrote the object.
    pub is_copy: bool,
    /// The upload, or the reason why the record has no upload.
    pub upload: Result<Upload, NotReleased>,
    /// The beginning of a consumed message; empty if an earlier record of the message has it. `None` if the message is
    /// not consumed. The function consumes unreadable messages of the stack's failure queue, because they would
    /// otherwise return forever.
    pub consumed: Option<String>,
}

impl Record {
    pub(crate) fn without_upload(reason: NotReleased) -> Self {
        Self { bucket: None, key: None, size: None, is_copy: false, upload: Err(reason), consumed: None }
    }

    /// A record of a known event that is not about an upload.
    pub(crate) fn other_event() -> Self {
        Self::without_upload(NotReleased::Skipped(SkipReason::OtherEvent))
    }

    /// A record that is not understood.
    pub(crate) fn unreadable(problem: String) -> Self {
        Self::without_upload(unreadable(problem))
    }

    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self.upload, Err(NotReleased::Failed(Failure::Event { .. })))
    }

    /// Reads an event of EventBridge.
    pub(crate) fn from_event_bridge(event: &Members<'_>) -> Self {
        let (detail, detail_type) = (event.object("detail"), event.text("detail-type").unwrap_or_default());
        let reason = match detail_type.as_str() {
            "Object Created" | "Object Tags Added" => return Self::from_detail(&detail),
            other if OTHER_DETAIL_TYPES.contains(&other) => NotReleased::Skipped(SkipReason::OtherEvent),
            other => {
                unreadable(format!("its `detail-type` is {}, expected a detail type of S3", quoted_beginning(other)))
            }
        };
        Self::from_place(&detail, Err(reason))
    }

    /// Reads the detail of an event of EventBridge about an upload.
    pub(crate) fn from_detail(detail: &Members<'_>) -> Self {
        let is_copy = detail.text("reason").as_deref() == Some("CopyObject");
        Self { is_copy, ..Self::from_place(detail, upload(detail, |key| Ok(key.to_owned()))) }
    }

    /// Reads a notification of S3.
    pub(crate) fn from_notification(record: &Members<'_>) -> Self {
        let place = record.object("s3");
        let name = record.text("eventName").unwrap_or_default();
        let name = name.strip_prefix("s3:").unwrap_or(&name);
        let upload = check_event_type(name)
            .and_then(|()| check_version(record.get("eventVersion").unwrap_or_default()))
            .and_then(|()| upload(&place, form_decoded));
        Self { is_copy: name == "ObjectCreated:Copy", ..Self::from_place(&place, upload) }
    }

    /// A record with the bucket and key of the upload or, without an upload, those of `place`.
    fn from_place(place: &Members<'_>, upload: Result<Upload, NotReleased>) -> Self {
        let (bucket, key) = match &upload {
            Ok(upload) => (Some(upload.bucket.clone()), Some(upload.key.clone())),
            Err(_) => (place.object("bucket").text("name"), place.object("object").text("key")),
        };
        let size = place.object("object").get("size").and_then(|size| size.parse().ok());
        Self { bucket, key, size, is_copy: false, upload, consumed: None }
    }
}

fn unreadable(problem: String) -> NotReleased {
    Failure::Event { problem }.into()
}

fn check_event_type(name: &str) -> Result<(), NotReleased> {
    let is_known = |known: &&str| if known.ends_with(':') { name.starts_with(known) } else { name == *known };
    if OTHER_EVENT_NAMES.iter().any(is_known) {
        Err(NotReleased::Skipped(SkipReason::OtherEvent))
    } else if name.starts_with("ObjectCreated:") || name == "ObjectTagging:Put" {
        Ok(())
    } else {
        Err(unreadable(format!("its `eventName` is {}, expected an event type of S3", quoted_beginning(name))))
    }
}

/// Checks the version of a notification's format: S3 sends a string, some tools write a number.
fn check_version(json: &str) -> Result<(), NotReleased> {
    let version = json.trim_matches('"');
    // AWS: "check the major version for equality" in
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    if version.starts_with("2.") {
        return Ok(());
    }
    let problem = format!("its `eventVersion` is {}, expected `2.x`", quoted_beginning(version));
    let is_other = version.split_once('.').is_some_and(|(major, _)| major.parse::<u32>().is_ok());
    Err(if is_other { Failure::Unsupported { problem }.into() } else { unreadable(problem) })
}

/// Reads the upload at a place, an object with the members `bucket` and `object`. `decode` decodes its key.
fn upload(
    place: &Members<'_>,
    decode: impl FnOnce(&str) -> Result<String, NotReleased>,
) -> Result<Upload, NotReleased> {
    let S3Entity { bucket, object, .. } =
        entity(place).map_err(|error| unreadable(format!("its bucket, key or version cannot be read: {error}")))?;
    let (Some(bucket), Some(key)) = (bucket.name, object.key) else {
        return Err(unreadable("its bucket or key is missing".to_owned()));
    };
    let version_id = object.version_id.filter(|version| !version.is_empty()).unwrap_or_else(|| NO_VERSION.to_owned());
    Ok(Upload::new(bucket, decode(&key)?, version_id))
}

/// Decodes a key of a notification, which S3 form-encodes: a space is a `+`, and other special characters are
/// percent-encoded UTF-8. Keys in EventBridge are not encoded
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>).
fn form_decoded(key: &str) -> Result<String, NotReleased> {
    let decoded = percent_decode_str(&key.replace('+', " ")).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| {
        let problem = format!("the key `{key}` is not percent-encoded UTF-8; rename the object");
        NotReleased::Rejected(RejectionKind::Place, vec![problem])
    })
}

/// Parses bucket, key and version with AWS's types, and ignores all other members. The version is `versionId` as in
/// notifications, or `version-id` as in EventBridge, because tools that convert events use either name.
fn entity(place: &Members<'_>) -> serde_json::Result<S3Entity> {
    let (bucket, object) = (place.object("bucket"), place.object("object"));
    let version_id = object.0.get("versionId").or_else(|| object.0.get("version-id"));
    let json = BTreeMap::from([
        ("bucket", BTreeMap::from([("name", bucket.0.get("name"))])),
        ("object", BTreeMap::from([("key", object.0.get("key")), ("versionId", version_id)])),
    ]);
    serde_json::from_str(&serde_json::to_string(&json)?)
}

#[cfg(test)]
mod tests;
