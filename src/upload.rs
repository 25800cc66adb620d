//! One object version from an event record, what S3 knows of it, and the names it implies.

use crate::{
    clients::Clients,
    error::{Failure, Kind, Skip, Stop},
    settings::Settings,
    tags::Tags,
};
use aws_lambda_events::s3::S3EventRecord;
use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    operation::head_object::{HeadObjectError, HeadObjectOutput},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{fmt, fmt::Write};

/// What every stream and job ID begins with, as those of CreateOTAUpdate do.
pub(crate) const ID_PREFIX: &str = "AFR_OTA-";

/// The version ID of an object in a bucket without versioning.
const NO_VERSION: &str = "null";

/// One record of an event: an upload, or why it is none.
#[derive(Debug)]
pub struct Record {
    /// The bucket's name, where there is one.
    pub bucket: Option<String>,
    /// The object's key, decoded where it is that of an upload and can be decoded.
    pub key: Option<String>,
    /// The object's size in bytes, where it is told: an event about tags does not tell it.
    pub size: Option<u64>,
    /// Whether CopyObject wrote the object.
    pub is_copy: bool,
    /// The upload, where the record speaks of one.
    pub upload: Result<Upload, Stop>,
}

/// How many envelopes an event may lie in: that of the failure queue around one of SQS around one of SNS, and some more.
const MOST_ENVELOPES: u32 = 6;

/// The records of an event, whatever it is: an S3 notification, or an event of EventBridge, as it is or in the envelopes
/// of SQS, SNS and Lambda's failure destination
/// (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>). One that is nothing of these
/// (`s3:TestEvent`, say) comes to one record that is skipped.
pub fn records(event: &Value) -> Vec<Record> {
    unwrap(event, MOST_ENVELOPES)
}

fn unwrap(event: &Value, envelopes: u32) -> Vec<Record> {
    let text = |place| event.pointer(place).and_then(Value::as_str);
    let is_notice = text("/Type") == Some("Notification");
    if let Some(payload) = event.get("requestPayload") {
        open(Ok(payload.clone()), envelopes)
    } else if let Some(message) = text("/Message").filter(|_| is_notice) {
        open(serde_json::from_str(message), envelopes)
    } else if text("/source") == Some("aws.s3") {
        vec![Record::of_event_bridge(event)]
    } else {
        match event.get("Records").and_then(Value::as_array) {
            Some(records) if !records.is_empty() => {
                records.iter().flat_map(|record| unwrap_record(record, envelopes)).collect()
            }
            _ => vec![Record {
                bucket: text("/Bucket").map(str::to_owned),
                ..Record::stopped(Stop::Skipped(Skip::OtherEvent))
            }],
        }
    }
}

fn unwrap_record(record: &Value, envelopes: u32) -> Vec<Record> {
    let text = |place| record.pointer(place).and_then(Value::as_str);
    let message = match text("/eventSource").or(text("/EventSource")) {
        Some("aws:sqs") => text("/body"),
        Some("aws:sns") => text("/Sns/Message"),
        _ => return vec![Record::read(record)],
    };
    open(serde_json::from_str(message.unwrap_or_default()), envelopes)
}

fn open(content: serde_json::Result<Value>, envelopes: u32) -> Vec<Record> {
    let problem = match content {
        Ok(event) if envelopes > 0 => return unwrap(&event, envelopes - 1),
        Ok(_) => "it lies in too many envelopes".to_owned(),
        Err(error) => format!("its envelope holds no JSON: {error}"),
    };
    vec![Record::stopped(Failure::Event { problem }.into())]
}

/// The upload that a record names, of no version where it tells none.
fn named(bucket: Option<String>, key: Option<String>, version_id: Option<String>) -> Result<Upload, Stop> {
    let (Some(bucket), Some(key)) = (bucket, key) else {
        return Err(Failure::Event { problem: "it names no bucket or no key".to_owned() }.into());
    };
    let version_id = version_id.filter(|version| !version.is_empty()).unwrap_or_else(|| NO_VERSION.to_owned());
    Ok(Upload::new(bucket, key, version_id))
}

impl Record {
    fn stopped(stop: Stop) -> Self {
        Self { bucket: None, key: None, size: None, is_copy: false, upload: Err(stop) }
    }

    /// Keys are not encoded in events of EventBridge
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>).
    fn of_event_bridge(event: &Value) -> Self {
        let text = |place| event.pointer(place).and_then(Value::as_str).map(str::to_owned);
        let (bucket, key) = (text("/detail/bucket/name"), text("/detail/object/key"));
        let is_upload = matches!(text("/detail-type").as_deref(), Some("Object Created" | "Object Tags Added"));
        let upload = if is_upload {
            named(bucket.clone(), key.clone(), text("/detail/object/version-id"))
        } else {
            Err(Stop::Skipped(Skip::OtherEvent))
        };
        let is_copy = text("/detail/reason").as_deref() == Some("CopyObject");
        Self { bucket, key, size: event.pointer("/detail/object/size").and_then(Value::as_u64), is_copy, upload }
    }

    fn read(record: &Value) -> Self {
        let text = |place| record.pointer(place).and_then(Value::as_str);
        let stopped = |stop| {
            let [bucket, key] = ["/s3/bucket/name", "/s3/object/key"].map(|place| text(place).map(str::to_owned));
            Self { bucket, key, ..Self::stopped(stop) }
        };
        let event_name = text("/eventName").unwrap_or_default();
        let is_upload = event_name.starts_with("ObjectCreated:") || event_name == "ObjectTagging:Put";
        if text("/eventSource") != Some("aws:s3") || !is_upload {
            return stopped(Stop::Skipped(Skip::OtherEvent));
        }
        match serde_json::from_value::<S3EventRecord>(record.clone()) {
            Ok(record) => Self::of(record),
            Err(error) => stopped(Failure::Event { problem: error.to_string() }.into()),
        }
    }

    /// S3 form-encodes the keys of notifications: a space is a `+`, all else is percent-encoded UTF-8.
    fn of(record: S3EventRecord) -> Self {
        let (bucket, object) = (record.s3.bucket.name, record.s3.object);
        let encoded = object.key.as_deref().map(|key| key.replace('+', " "));
        let decoded = encoded.as_deref().map(|key| percent_decode_str(key).decode_utf8());
        let key = decoded.clone().and_then(Result::ok).map(String::from);
        let event_version = record.event_version.unwrap_or_default();
        let upload = match (bucket.clone(), decoded) {
            // AWS: "check the major version for equality" in
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
            _ if !event_version.starts_with("2.") => {
                Err(Failure::Event { problem: format!("its version is `{event_version}`, expected `2.x`") }.into())
            }
            (bucket, None) => named(bucket, None, None),
            (bucket, Some(Ok(key))) => named(bucket, Some(key.into_owned()), object.version_id),
            (_, Some(Err(_))) => Err(Stop::Rejected(
                Kind::Place,
                vec![format!(
                    "the key `{}` is not percent-encoded UTF-8; rename the object",
                    object.key.as_deref().unwrap_or_default()
                )],
            )),
        };
        let size = object.size.and_then(|size| u64::try_from(size).ok());
        let is_copy = record.event_name.as_deref().is_some_and(|name| name.ends_with("ObjectCreated:Copy"));
        Self { bucket, key: key.or(object.key), size, is_copy, upload }
    }
}

/// One version of an uploaded object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The bucket's name.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The version's ID.
    pub version_id: String,
    hash: [u8; 32],
}

impl fmt::Display for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} version {}", self.bucket, self.key, self.version_id)
    }
}

impl Upload {
    /// This version of the object `key` in `bucket`.
    pub fn new(bucket: String, key: String, version_id: String) -> Self {
        let hash = hash_of([bucket.as_bytes(), key.as_bytes(), version_id.as_bytes()]);
        Self { bucket, key, version_id, hash }
    }

    /// Whether the bucket keeps versions: without, no call can be pinned to what was uploaded.
    pub fn has_version(&self) -> bool {
        self.version_id != NO_VERSION
    }

    /// Stops what is not this deployment's to release.
    pub(crate) fn check_place(&self, settings: &Settings) -> Result<(), Stop> {
        if self.bucket != settings.upload_bucket.0 {
            let (given, ours) = (&self.bucket, &settings.upload_bucket.0);
            return Err(Stop::Rejected(
                Kind::Place,
                vec![format!("the bucket is `{given}`, expected the upload bucket `{ours}`")],
            ));
        }
        if self.key.starts_with(&settings.signed_prefix.0) {
            return Err(Stop::Skipped(Skip::SignedPrefix));
        }
        if !self.key.starts_with(&settings.upload_prefix.0) {
            return Err(Stop::Skipped(Skip::OtherEvent));
        }
        Ok(())
    }

    /// The last part of the key.
    pub fn file_name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// The ID of this version's stream: 44 characters, the most that device libraries take.
    pub fn stream_id(&self) -> String {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.hash[..16]);
        format!("{ID_PREFIX}{}", uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The ID of this version's job where the tags name none: the file name, in the letters that AWS IoT takes, and 12
    /// hex digits; at most 63 characters, as some devices keep no more.
    pub fn default_job_id(&self) -> String {
        let words = self.file_name().split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let slug = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
        let slug = slug[..slug.len().min(63 - ID_PREFIX.len() - 13)].trim_end_matches('-');
        let hyphen = if slug.is_empty() { "" } else { "-" };
        format!("{ID_PREFIX}{slug}{hyphen}{}", hex(&self.hash[..6]))
    }

    /// The prefix of all that is made of this version: its signed object, the raw copy and the record.
    pub fn signed_prefix(&self, settings: &Settings) -> String {
        format!("{}{}/", settings.signed_prefix.0, hex(&self.hash[..16]))
    }

    /// A token for one way to use this version: from the version and every input of the use.
    pub(crate) fn token<const N: usize>(&self, inputs: [&str; N]) -> String {
        let inputs = hash_of(inputs.map(str::as_bytes));
        hex(&hash_of([&self.hash[..], &inputs[..]]))
    }

    /// `bucket/key?versionId=…` in ASCII: the `CopySource` of this very version.
    pub(crate) fn copy_source(&self) -> String {
        format!("{}/{}?versionId={}", self.bucket, encoded(&self.key), encoded(&self.version_id))
    }

    /// What streams and jobs are described with: where the image comes from, in at most 2028 characters, none of them a
    /// control character (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html>).
    pub(crate) fn description(&self) -> String {
        let mut description = format!("s3://{}", self.copy_source());
        description.truncate(2028);
        description
    }

    /// The tags of this version; nothing where the version is gone.
    pub(crate) async fn tags(&self, aws: &Clients, settings: &Settings) -> Result<Option<Tags>, Failure> {
        let call = aws.s3.get_object_tagging().bucket(&self.bucket).key(&self.key).version_id(&self.version_id);
        match call.expected_bucket_owner(&settings.ota_role.account).send().await {
            Ok(answer) => Ok(Some(Tags::from(answer.tag_set))),
            Err(error) if is_gone(error.code()) => Ok(None),
            Err(error) => Err(Failure::GetObjectTagging { object: self.to_string(), source: error.into() }),
        }
    }

    /// Stops a version that is not, or no longer, the current one of its key.
    pub(crate) async fn check_current(&self, aws: &Clients, settings: &Settings) -> Result<(), Stop> {
        match self.head(aws, settings, None).await {
            Ok(Some(head)) if head.version_id.as_ref() == Some(&self.version_id) => Ok(()),
            Ok(Some(_)) => Err(Stop::Skipped(Skip::Superseded)),
            Ok(None) => Err(Stop::Skipped(Skip::Withdrawn)),
            Err(head @ Failure::HeadObject { status: 400, .. }) => self.check_listed_current(aws, settings, head).await,
            Err(failure) => Err(failure.into()),
        }
    }

    /// The versions of the same object before this one, the newest first, `most` at most.
    pub(crate) async fn earlier(&self, aws: &Clients, settings: &Settings, most: usize) -> Result<Vec<Self>, Failure> {
        let call = aws.s3.list_object_versions().bucket(&self.bucket).prefix(&self.key);
        let call = call.key_marker(&self.key).version_id_marker(&self.version_id);
        let call = call.max_keys(i32::try_from(most).unwrap_or(i32::MAX));
        let page = call.expected_bucket_owner(&settings.ota_role.account).send().await;
        let page =
            page.map_err(|error| Failure::ListObjectVersions { prefix: self.key.clone(), source: error.into() })?;
        let versions = page.versions.unwrap_or_default().into_iter();
        let versions = versions.filter(|version| version.key.as_ref() == Some(&self.key));
        let versions = versions.filter_map(|version| version.version_id);
        Ok(versions.map(|version| Self::new(self.bucket.clone(), self.key.clone(), version)).collect())
    }

    /// The head of a version, or else of the key; nothing where there is none.
    pub(crate) async fn head(
        &self,
        aws: &Clients,
        settings: &Settings,
        version: Option<&String>,
    ) -> Result<Option<HeadObjectOutput>, Failure> {
        let call = aws.s3.head_object().bucket(&self.bucket).key(&self.key).set_version_id(version.cloned());
        match call.expected_bucket_owner(&settings.ota_role.account).send().await {
            Ok(head) => Ok(Some(head)),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
            Err(error) => {
                let status = error.raw_response().map(|answer| answer.status().as_u16()).unwrap_or_default();
                Err(Failure::HeadObject { object: self.to_string(), status, source: error.into() })
            }
        }
    }
}

/// A key as the SDKs write it into a URL of S3: percent-encoded but for `A-Za-z0-9/-_.~`.
pub(crate) fn encoded(key: &str) -> PercentEncode<'_> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(key, KEPT)
}

/// Whether S3 says that a version is not there (a delete marker "does not allow" to read its tags).
pub(crate) fn is_gone(code: Option<&str>) -> bool {
    matches!(code, Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed"))
}

/// What was uploaded, as its head tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag, with quotes, as S3 writes it.
    pub e_tag: String,
}

impl Image {
    /// What the head of a version says.
    pub(crate) fn of(head: HeadObjectOutput) -> Result<Self, Failure> {
        let size = head.content_length.and_then(|length| u64::try_from(length).ok());
        let size = size.ok_or(Failure::Incomplete { member: "Content-Length" })?;
        Ok(Self { size, e_tag: head.e_tag.ok_or(Failure::Incomplete { member: "ETag" })? })
    }
}

/// SHA-256 over parts, each preceded by its byte length as an unsigned 64-bit big-endian number, so that no two lists
/// of parts look alike.
fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Bytes in lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;
    use proptest::prelude::*;
    use serde_json::json;

    fn upload(key: &str) -> Upload {
        Upload::new("firmware-bucket".into(), key.into(), "v1".into())
    }

    fn record(key: &str) -> Value {
        json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventTime": "2026-11-23T21:40:00.000Z",
               "eventName": "ObjectCreated:Put", "userIdentity": {}, "requestParameters": {},
               "s3": {"bucket": {"name": "firmware-bucket"}, "object": {"key": key, "versionId": "v1"}}})
    }

    fn read(record: &Value) -> Result<Upload, Stop> {
        records(&json!({"Records": [record]})).pop().unwrap().upload
    }

    /// As S3 encodes keys in notifications: `application/x-www-form-urlencoded`, slashes kept.
    fn form_encoded(key: &str) -> String {
        key.bytes().fold(String::new(), |mut text, byte| {
            match byte {
                b' ' => text.push('+'),
                b'/' | b'.' | b'-' | b'_' | b'*' => text.push(char::from(byte)),
                _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
                _ => write!(text, "%{byte:02X}").unwrap(),
            }
            text
        })
    }

    #[test]
    fn an_envelope_holds_the_event_as_it_is() {
        let event = json!({"Records": [record("firmware/a.bin")]});
        let notice = json!({"Type": "Notification", "Message": event.to_string()});
        let sns =
            |subject: &Value| json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": subject.to_string()}}]});
        let sqs = |body: &Value| json!({"Records": [{"eventSource": "aws:sqs", "body": body.to_string()}]});
        for enveloped in
            [sqs(&event), sns(&event), notice.clone(), sqs(&notice), json!({"requestPayload": sqs(&notice)})]
        {
            let records = records(&enveloped);
            assert_eq!(records.len(), 1, "{enveloped}");
            assert_eq!(records[0].upload.as_ref().unwrap(), &upload("firmware/a.bin"), "{enveloped}");
        }
        // Somebody's own message that has a `Message` is none.
        let other = json!({"Type": "Other", "Message": event.to_string()});
        assert!(matches!(records(&other)[0].upload, Err(Stop::Skipped(Skip::OtherEvent))));
    }

    #[test]
    fn an_envelope_that_cannot_be_opened_is_a_failure() {
        let problem = |event: &Value| match records(event).remove(0).upload {
            Err(Stop::Failed(Failure::Event { problem })) => problem,
            upload => panic!("{upload:?}"),
        };
        for body in [json!("no JSON"), json!(""), Value::Null] {
            let event = json!({"Records": [{"eventSource": "aws:sqs", "body": body}]});
            assert!(problem(&event).starts_with("its envelope holds no JSON: "), "{event}");
        }
        let mut event = json!({"Event": "s3:TestEvent"});
        for _ in 0..MOST_ENVELOPES {
            event = json!({"requestPayload": event});
        }
        assert!(matches!(records(&event).remove(0).upload, Err(Stop::Skipped(Skip::OtherEvent))));
        assert_eq!(problem(&json!({"requestPayload": event})), "it lies in too many envelopes");
    }

    #[test]
    fn an_event_of_event_bridge_without_a_key_is_a_failure() {
        let event = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": "b"}}});
        assert!(matches!(records(&event).remove(0).upload, Err(Stop::Failed(Failure::Event { .. }))));
    }

    proptest! {
        #[test]
        fn any_key_survives_encoding_and_decoding(key in any::<String>()) {
            prop_assert_eq!(read(&record(&form_encoded(&key))).unwrap().key, key);
        }

        #[test]
        fn no_record_makes_the_reader_panic(key in "\\PC*", name in "\\PC*", version in "\\PC*") {
            let mut record = record(&key);
            record["eventName"] = name.into();
            record["eventVersion"] = version.into();
            let _ = read(&record);
        }

        #[test]
        fn every_id_is_one_that_aws_iot_and_devices_take(key in any::<String>(), version in any::<String>()) {
            let upload = Upload::new("b".into(), key, version);
            let takes = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            let (stream, job) = (upload.stream_id(), upload.default_job_id());
            prop_assert!(takes(&stream) && stream.len() == 44, "{}", stream);
            prop_assert!(takes(&job) && job.len() <= 63 && job.starts_with("AFR_OTA-"), "{}", job);
        }

        #[test]
        fn a_copy_source_is_ascii_and_decodes_to_the_key(key in any::<String>()) {
            let source = upload(&key).copy_source();
            prop_assert!(source.is_ascii());
            let path = source.strip_prefix("firmware-bucket/").unwrap().strip_suffix("?versionId=v1").unwrap();
            prop_assert!(!path.contains(['?', '+', ' ']));
            prop_assert_eq!(percent_decode_str(path).decode_utf8().unwrap(), key);
        }
    }

    #[test]
    fn keys_are_decoded_once() {
        for (encoded, key) in [("a+b", "a b"), ("a%2Bb", "a+b"), ("%2541", "%41"), ("%C3%BC.bin", "ü.bin")] {
            assert_eq!(read(&record(encoded)).unwrap().key, key);
        }
    }

    #[test]
    fn a_key_that_is_not_utf_8_is_rejected_as_it_came() {
        let record = records(&json!({"Records": [record("firmware/%FF")]})).pop().unwrap();
        assert_eq!(record.key.as_deref(), Some("firmware/%FF"));
        let Err(Stop::Rejected(Kind::Place, reasons)) = record.upload else { panic!("{record:?}") };
        assert_eq!(reasons, ["the key `firmware/%FF` is not percent-encoded UTF-8; rename the object"]);
    }

    #[test]
    fn a_record_tells_what_it_names_whatever_it_comes_to() {
        let told = |record: &Record| (record.bucket.clone(), record.key.clone(), record.size);
        let named = |size| (Some("firmware-bucket".to_owned()), Some("a b".to_owned()), size);
        let mut put = record("a+b");
        put["s3"]["object"]["size"] = 5.into();
        assert_eq!(told(&Record::read(&put)), named(Some(5)));
        put["s3"]["object"]["size"] = (-5).into();
        assert_eq!(told(&Record::read(&put)), named(None));
        // Keys are left as they are where they do not matter.
        let mut other = record("a b");
        other["eventName"] = "ObjectRemoved:Delete".into();
        assert_eq!(told(&Record::read(&other)), named(None));
        let mut foreign = record("a b");
        foreign["eventSource"] = "aws:other".into();
        assert!(matches!(Record::read(&foreign).upload, Err(Stop::Skipped(Skip::OtherEvent))));
        let object = json!({"key": "a b", "size": 5, "version-id": "v1"});
        let mut event = json!({"source": "aws.s3", "detail-type": "Object Created",
                               "detail": {"bucket": {"name": "firmware-bucket"}, "object": object}});
        let [record] = &records(&event)[..] else { panic!() };
        assert_eq!(told(record), named(Some(5)));
        assert_eq!(record.upload.as_ref().unwrap(), &upload("a b"));
        event["detail-type"] = "Object Deleted".into();
        let [record] = &records(&event)[..] else { panic!() };
        assert_eq!(told(record), named(Some(5)));
        assert!(matches!(record.upload, Err(Stop::Skipped(Skip::OtherEvent))));
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "firmware-bucket"});
        assert_eq!(told(&records(&test)[0]), (Some("firmware-bucket".to_owned()), None, None));
    }

    #[test]
    fn only_uploads_and_later_tags_are_releases() {
        let names = [
            ("ObjectCreated:Put", true),
            ("ObjectCreated:Post", true),
            ("ObjectCreated:Copy", true),
            ("ObjectCreated:CompleteMultipartUpload", true),
            ("ObjectTagging:Put", true),
            ("ObjectTagging:Delete", false),
            ("ObjectRemoved:Delete", false),
            ("ObjectRestore:Completed", false),
            ("ObjectCreatedX:Put", false),
            ("", false),
        ];
        for (name, is_upload) in names {
            let mut record = record("firmware/a.bin");
            record["eventName"] = name.into();
            match read(&record) {
                Ok(_) => assert!(is_upload, "{name}"),
                Err(Stop::Skipped(Skip::OtherEvent)) => assert!(!is_upload, "{name}"),
                Err(stop) => panic!("{name}: {stop:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_a_notification_of_s3_is_skipped() {
        let events = [
            json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}),
            json!({"Records": []}),
            json!({}),
            json!(null),
            json!("text"),
            json!({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}),
        ];
        for event in events {
            let [record] = &records(&event)[..] else { panic!("{event}") };
            assert!(matches!(record.upload, Err(Stop::Skipped(Skip::OtherEvent))), "{event}");
        }
    }

    #[test]
    fn a_record_that_cannot_be_understood_is_kept_for_the_operator() {
        let mut newer = record("a");
        newer["eventVersion"] = "3.0".into();
        let mut nameless = record("a");
        nameless["s3"]["bucket"] = json!({});
        let bare = json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"});
        for record in [newer, nameless, bare] {
            assert!(matches!(read(&record), Err(Stop::Failed(Failure::Event { .. }))), "{record}");
        }
    }

    #[test]
    fn a_record_without_a_version_has_none() {
        for version in [json!(null), json!(""), json!("null")] {
            let mut record = record("firmware/a.bin");
            record["s3"]["object"]["versionId"] = version;
            assert!(!read(&record).unwrap().has_version());
        }
        assert!(read(&record("firmware/a.bin")).unwrap().has_version());
    }

    #[test]
    fn what_lies_elsewhere_is_not_released() {
        let settings = settings(&[]).unwrap();
        let check =
            |bucket: &str, key: &str| Upload::new(bucket.into(), key.into(), "v1".into()).check_place(&settings);
        assert!(check("firmware-bucket", "firmware/a.bin").is_ok());
        assert!(matches!(check("firmware-bucket", "SignedImage/a"), Err(Stop::Skipped(Skip::SignedPrefix))));
        assert!(matches!(check("firmware-bucket", "other/a"), Err(Stop::Skipped(Skip::OtherEvent))));
        let Err(Stop::Rejected(Kind::Place, reasons)) = check("foreign", "firmware/a.bin") else { panic!() };
        assert_eq!(reasons, ["the bucket is `foreign`, expected the upload bucket `firmware-bucket`"]);
    }

    /// The values were computed with Python's `hashlib`, from the words of the design alone.
    #[test]
    fn the_names_are_those_that_the_design_describes() {
        let upload = Upload::new("firmware-bucket".into(), "firmware/blinky 1.2.bin".into(), "v1".into());
        assert_eq!(upload.stream_id(), "AFR_OTA-b1ed762f-38b1-862d-812a-704628fad179");
        assert_eq!(upload.default_job_id(), "AFR_OTA-blinky-1-2-bin-b1ed762f38b1");
        assert_eq!(upload.signed_prefix(&settings(&[]).unwrap()), "SignedImage/b1ed762f38b1162d412a704628fad179/");
    }

    #[test]
    fn an_upload_is_described_by_where_it_lies() {
        assert_eq!(upload("firmware/a b.bin").to_string(), "s3://firmware-bucket/firmware/a b.bin version v1");
        let description = upload("firmware/a b.bin").description();
        assert_eq!(description, "s3://firmware-bucket/firmware/a%20b.bin?versionId=v1");
        let longest = upload(&"ü".repeat(512)).description();
        assert_eq!((longest.len(), &longest[..24]), (2028, "s3://firmware-bucket/%C3"));
    }

    #[test]
    fn a_token_is_of_the_version_and_every_input() {
        let token = |key: &str, inputs| upload(key).token(inputs);
        let tokens = [token("a", ["b", "c"]), token("a", ["bc", ""]), token("a", ["b", "d"]), token("b", ["b", "c"])];
        assert!(tokens.iter().enumerate().all(|(at, token)| !tokens[..at].contains(token)), "{tokens:?}");
        assert_eq!(token("a", ["b", "c"]), tokens[0]);
        assert!(tokens.iter().all(|token| token.len() == 64));
    }

    #[test]
    fn a_head_without_size_or_entity_tag_is_incomplete() {
        let head = |length: Option<i64>, e_tag: Option<&str>| {
            let head = HeadObjectOutput::builder().set_content_length(length);
            Image::of(head.set_e_tag(e_tag.map(str::to_owned)).build())
        };
        assert_eq!(head(Some(7), Some("e")).unwrap(), Image { size: 7, e_tag: "e".to_owned() });
        for (head, member) in [
            (head(None, Some("e")), "Content-Length"),
            (head(Some(-1), Some("e")), "Content-Length"),
            (head(Some(7), None), "ETag"),
        ] {
            assert!(matches!(head, Err(Failure::Incomplete { member: missing }) if missing == member), "{member}");
        }
    }

    #[test]
    fn a_version_is_gone_where_s3_says_so() {
        for (code, gone) in [
            (Some("NoSuchKey"), true),
            (Some("NoSuchVersion"), true),
            (Some("MethodNotAllowed"), true),
            (Some("AccessDenied"), false),
            (None, false),
        ] {
            assert_eq!(is_gone(code), gone, "{code:?}");
        }
    }

    #[test]
    fn the_job_id_is_a_slug_of_the_file_name() {
        let slug = |key: &str| {
            let id = upload(key).default_job_id();
            id.strip_prefix("AFR_OTA-").unwrap()[..id.len() - 8 - 12].to_owned()
        };
        let long = format!("{}-", "a".repeat(42));
        let cases = [
            ("firmware/blinky-1.2.0.bin", "blinky-1-2-0-bin-"),
            ("firmware/größe.bin", "gr-e-bin-"),
            ("firmware/🚀", ""),
            ("plain_name", "plain_name-"),
            ("x/a  b", "a-b-"),
            (&format!("x/{}", "a".repeat(100)), &long),
        ];
        for (key, expected) in cases {
            assert_eq!(slug(key), expected, "{key}");
        }
    }

    #[test]
    fn no_two_versions_share_a_name() {
        let names = [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("ab", "cd", "")]
            .map(|(bucket, key, version)| Upload::new(bucket.into(), key.into(), version.into()).stream_id());
        assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "{names:?}");
    }
}
