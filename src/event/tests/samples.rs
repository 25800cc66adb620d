//! Sample events for the tests of this folder.

use crate::error::Failure;
use crate::event::envelope::records;
use crate::event::record::Record;
use crate::not_released::{NotReleased, SkipReason};
use crate::upload::Upload;
use serde_json::{Value, json};

pub(crate) const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:failures";

pub(crate) fn upload(key: &str) -> Upload {
    Upload::new("firmware-bucket".into(), key.into(), "v1".into())
}

/// A record with all members that S3 writes (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>).
pub(crate) fn record(key: &str) -> Value {
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
pub(crate) fn event_bridge(detail_type: &str, reason: Option<&str>) -> Value {
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
pub(crate) fn batch_operations() -> Value {
    json!({
        "invocationSchemaVersion": "1.0", "invocationId": "YXNkbGZqYWRmaiBhc2RmdW9hZHNmZGpmaGFzbGtkaGZza2RmaAo",
        "job": {"id": "f3cc4f60-61f6-4a2b-8a21-d07600c373ce"},
        "tasks": [{"taskId": "dGFza2lkZ29lc2hlcmUK", "s3Key": "a", "s3VersionId": "1", "s3BucketArn": "arn:aws:s3:::b"}],
    })
}

pub(crate) fn sqs(body: &str) -> Value {
    json!({"messageId": "1", "body": body, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:uploads"})
}

pub(crate) fn read_all(event: &Value) -> Vec<Record> {
    records(&event.to_string(), None)
}

/// The one record of an event.
pub(crate) fn read(event: &Value) -> Record {
    let mut records = read_all(event);
    assert_eq!(records.len(), 1, "{event}");
    records.remove(0)
}

pub(crate) fn problem(record: Record) -> String {
    match record.upload {
        Err(NotReleased::Failed(Failure::Event { problem } | Failure::Unsupported { problem })) => problem,
        upload => panic!("{upload:?}"),
    }
}

pub(crate) fn is_skipped(record: &Record) -> bool {
    matches!(record.upload, Err(NotReleased::Skipped(SkipReason::OtherEvent)))
}

pub(crate) type Envelope = fn(&Value) -> Value;

/// Every envelope that is opened.
pub(crate) const ENVELOPES: [(&str, Envelope); 8] = [
    ("SQS", |event| json!({"Records": [sqs(&event.to_string())]})),
    ("SNS", |event| json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": event.to_string()}}]})),
    ("an SNS notification", |event| json!({"Type": "Notification", "Message": event.to_string()})),
    ("a failure destination", |event| json!({"version": "1.0", "requestPayload": event, "responsePayload": null})),
    ("an array", |event| json!([event])),
    ("JSON in JSON", |event| event.to_string().into()),
    ("a pipe of SQS", |event| json!([sqs(&event.to_string())])),
    ("a bare message", |event| sqs(&event.to_string())),
];
