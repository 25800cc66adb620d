//! Properties of the parsers that must hold for any input. The fuzzer checks them, and `cargo test` replays its corpus.

use crate::file_delivery::{Content, File, Message, Topic};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ota_on_upload::event::envelope;
use ota_on_upload::not_released::NotReleased;
use ota_on_upload::options::signature::{CustomSignature, CustomSigning, SignatureAlgorithm, check_form};
use ota_on_upload::request::file::SignedBy;
use ota_on_upload::request::manifest::Manifest;
use ota_on_upload::request::release_request::{Inputs, ReleaseRequest};
use ota_on_upload::s3::object::Image;
use ota_on_upload::schedule::date_time::DateAndTime;
use ota_on_upload::schedule::duration::Minutes;
use ota_on_upload::schedule::requested::RequestedSchedule;
use ota_on_upload::schedule::time_zone::Zone;
use ota_on_upload::schedule::times::{End, EndBehavior, Start};
use ota_on_upload::schedule::timing_rules::LeadTime;
use ota_on_upload::settings::Settings;
use ota_on_upload::signing::signed_object::SignedObject;
use ota_on_upload::tags::{TagHeader, Tags, VOCABULARY};
use ota_on_upload::upload::Upload;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Read;
use std::str;
use std::sync::LazyLock;

/// A check of a parser with one input. Panics if a property does not hold.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 7] = [
    ("event", event),
    ("key", key),
    ("tags", tags),
    ("schedule", schedule),
    ("manifest", manifest),
    ("signed-object", signed_object),
    ("file-delivery", file_delivery),
];

/// Any text results in at least one record. An envelope does not change the records.
fn event(data: &[u8]) {
    let Ok(event) = str::from_utf8(data) else { return };
    let records = envelope::records(event, None);
    assert!(!records.is_empty());
    for record in &records {
        assert!(record.consumed.is_none());
        if let Ok(upload) = &record.upload {
            assert_eq!((record.bucket.as_ref(), record.key.as_ref()), (Some(&upload.bucket), Some(&upload.key)));
            check_ids(upload);
        }
    }
    if serde_json::from_str::<&RawValue>(event).is_ok() && event.trim() != "null" {
        let enveloped = format!("{:?}", envelope::records(&format!("{{\"requestPayload\":{event}}}"), None));
        assert!(enveloped == format!("{records:?}") || enveloped.contains("it is in more than"));
    }
}

/// Asserts that AWS IoT and devices accept the IDs of an upload.
fn check_ids(upload: &Upload) {
    let is_valid = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let (stream, job) = (upload.stream_id(), upload.default_job_id());
    assert!(is_valid(&stream) && stream.len() == 44, "{stream}");
    assert!(is_valid(&job) && job.len() <= 63 && job.starts_with("AFR_OTA-"), "{job}");
}

/// A key that S3 has encoded is decoded. A key that S3 cannot have encoded is rejected, and reported unchanged.
fn key(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let decoded = |encoded: &str| {
        let record = json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventTime": "2026-11-23T21:40:00.000Z",
            "eventName": "ObjectCreated:Put", "userIdentity": {}, "requestParameters": {},
            "s3": {"bucket": {"name": "b"}, "object": {"key": encoded, "versionId": "v1"}}});
        envelope::records(&json!({"Records": [record]}).to_string(), None).remove(0)
    };
    for key in [decoded(&form_encoded(text)), envelope::records(&event_bridge(text).to_string(), None).remove(0)] {
        assert_eq!(key.upload.expect("an upload").key, text);
    }
    let record = decoded(text);
    match record.upload {
        Ok(upload) => check_ids(&upload),
        Err(NotReleased::Rejected(_, reasons)) => {
            assert_eq!(record.key.as_deref(), Some(text));
            assert!(reasons[0].contains(text), "{reasons:?}");
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn event_bridge(key: &str) -> Value {
    json!({"source": "aws.s3", "detail-type": "Object Created",
        "detail": {"bucket": {"name": "b"}, "object": {"key": key, "version-id": "v1"}}})
}

/// Encodes text as S3 does for keys in notifications, and as clients do for tags in a header.
fn form_encoded(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'*');
    utf8_percent_encode(text, KEPT).to_string().replace("%20", "+")
}

/// A deployment that allows every target.
static OPEN: LazyLock<Settings> = LazyLock::new(|| {
    let settings = Settings::from_lookup(|name| {
        let value = match name {
            "SIGNING_PROFILE" => "OtaSigning",
            "ALLOWED_SIGNING_PROFILES" => "Other_2",
            "OTA_ROLE_ARN" => "arn:aws:iam::111122223333:role/ota",
            "AWS_REGION" => "us-east-1",
            "UPLOAD_BUCKET" => "firmware-bucket",
            "ALLOWED_THING_GROUPS" | "ALLOWED_THINGS" => "*",
            "ALLOW_UNVERIFIED" => "true",
            _ => return None,
        };
        Some(value.to_owned())
    });
    settings.expect("good settings")
});

static NOW: LazyLock<Timestamp> = LazyLock::new(|| "2026-11-23T21:40:30Z".parse().expect("a time"));

/// Accepted tags result only in values that AWS IoT accepts. No name of a target changes the rest of its ARN.
fn tags(data: &[u8]) {
    let Ok(header) = str::from_utf8(data) else { return };
    let TagHeader { tags, problems } = TagHeader::from(header);
    if problems.is_empty() {
        let fits = |text: &str, max: usize| text.encode_utf16().count() <= max && !text.contains(char::is_control);
        assert!(tags.0.len() <= 10 && tags.0.iter().all(|(key, value)| fits(key, 128) && fits(value, 256)), "{tags:?}");
    }
    let pairs = tags.0.iter().map(|(tag, value)| format!("{}={}", form_encoded(tag), form_encoded(value)));
    assert_eq!(TagHeader::from(pairs.collect::<Vec<_>>().join("&").as_str()).tags, tags);
    // An unknown zone is compared with six hundred zones, which is a hundred times as slow as everything else.
    if tags.0.get("ota:timezone").is_some_and(|zone| zone.len() > 1 && !ZONES.iter().any(|known| known.name() == zone))
    {
        return;
    }
    let upload = Upload::new("b".into(), "firmware/a.bin".into(), "v1".into());
    let inputs = Inputs { upload: &upload, tags: &tags, manifest: None, template: None };
    let request = match ReleaseRequest::check(inputs, &OPEN, *NOW) {
        Ok(request) => request,
        Err(problems) => return assert!(!problems.is_empty()),
    };
    assert!(tags.0.keys().all(|tag| VOCABULARY.contains(&tag.as_str())), "{tags:?}");
    assert!((1..=100).contains(&request.targets.len()));
    for target in &request.targets {
        let arn = OPEN.iot_arn(target);
        let resource = arn.strip_prefix("arn:aws:iot:us-east-1:111122223333:").expect("an ARN of this deployment");
        let (kind, name) = resource.split_once('/').expect("a kind and a name");
        assert!(matches!(kind, "thinggroup" | "thing") && (1..=128).contains(&name.len()), "{arn}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte)), "{arn}");
    }
    match &request.files[0].signed_by {
        SignedBy::Profile(profile) => assert!(["OtaSigning", "Other_2"].contains(&&*profile.0)),
        SignedBy::SigningJob(id) => {
            assert!(id.0.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') && id.0.len() == 36);
        }
        SignedBy::Custom(CustomSigning { signature, cert_file }) => {
            assert!((1..=64).contains(&cert_file.0.len()) && !cert_file.0.contains(['"', '\\', '$']), "{cert_file:?}");
            if let CustomSignature::Inline(signature, algorithm) = signature {
                assert_eq!(check_form(signature, *algorithm), Ok(()));
                assert!(signature.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)));
            }
        }
    }
    let job_id = request.job_id.map(|id| id.to_string()).unwrap_or_default();
    assert!(job_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) && job_id.len() <= 63);
    assert!(request.schedule.at(*NOW, LeadTime::WhenChecked).is_ok());
    check_plan(&request.schedule, *NOW);
}

/// An accepted manifest names only files that may be signed. Each file has its own prefix, ID and path.
fn manifest(data: &[u8]) {
    let upload = Upload::new("b".into(), "firmware/a.ota.json".into(), "v1".into());
    let manifest = Manifest::read(data, &upload, &OPEN);
    let tags = Tags([("ota:thing-group".to_owned(), "lab".to_owned())].into());
    let inputs = Inputs { upload: &upload, tags: &tags, manifest: Some(&manifest), template: None };
    let files = match ReleaseRequest::check(inputs, &OPEN, *NOW) {
        Ok(request) => request.files,
        Err(problems) => return assert!(!problems.is_empty()),
    };
    assert!((1..=10).contains(&files.len()));
    for (at, file) in files.iter().enumerate() {
        assert!(file.source.key.starts_with("firmware/") && file.source.has_version() && file.source.bucket == "b");
        assert!(file.signed_prefix.starts_with(&OPEN.prefix_of(&upload)) && file.signed_prefix.ends_with('/'));
        let path = &file.path.0;
        assert!((1..=64).contains(&path.len()) && !path.contains(['"', '\\', '$']), "{path}");
        for other in &files[..at] {
            assert!(file.id != other.id && file.path != other.path && file.signed_prefix != other.signed_prefix);
        }
    }
}

/// A planned schedule is one that AWS IoT accepts. The input has up to five lines: the time of job creation, the start,
/// the end, the time zone, and a maintenance window.
fn schedule(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.splitn(5, '\n');
    let [now, start, end, zone, window] = [(); 5].map(|()| lines.next().unwrap_or_default());
    for text in [start, end] {
        if let Ok(minutes) = text.parse::<Minutes>() {
            assert_eq!(minutes.to_string().parse(), Ok(minutes));
        }
    }
    let (Ok(start), Ok(end)) = (start.parse(), end.parse()) else { return };
    let is_supported = |now: &Timestamp| (0..7_258_118_400).contains(&now.as_second());
    let now = now.parse().ok().filter(is_supported).unwrap_or(*NOW);
    let zone = ZONES.iter().find(|known| known.name() == zone).unwrap_or(&ZONES[0]).clone();
    check_plan(
        &RequestedSchedule { start, end, end_behavior: EndBehavior::Cancel, zone, window: window.parse().ok() },
        now,
    );
}

/// Time zones with every kind of offset and clock change.
static ZONES: LazyLock<[Zone; 6]> = LazyLock::new(|| {
    ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Kiritimati"]
        .map(|name| name.parse().expect("a zone"))
});

/// Asserts the rules of <https://docs.aws.amazon.com/iot/latest/apireference/API_SchedulingConfig.html> for the text
/// that is sent.
fn check_plan(plan: &RequestedSchedule, now: Timestamp) {
    let minutes = SignedDuration::from_mins;
    let day = minutes(24 * 60);
    for lead in [LeadTime::WhenChecked, LeadTime::WhenCreated] {
        let schedule = match plan.at(now, lead) {
            Ok(schedule) => schedule,
            Err(broken) => {
                assert!(!broken.is_empty());
                continue;
            }
        };
        assert!(plan.at(now, LeadTime::WhenCreated).is_ok());
        let [start, end] = [schedule.start_time(), schedule.end_time()].map(|text| text.map(|text| parse_sent(&text)));
        assert_eq!((start.is_none(), end.is_none()), (plan.start == Start::Now, plan.end == End::Never));
        let min_lead = minutes(lead as i64);
        if let Some(start) = start {
            assert!((min_lead..=day * 365).contains(&start.duration_since(now)));
        }
        if let Some(end) = end {
            assert!((min_lead..=day * 730).contains(&end.duration_since(now)));
            assert!(end.duration_since(start.unwrap_or(now)) >= minutes(30));
        }
    }
}

/// Parses a time as AWS IoT does.
fn parse_sent(text: &str) -> Timestamp {
    assert_eq!(text.len(), 16, "{text}");
    let time = format!("{text}:00Z").parse().expect("a date and a time");
    assert_eq!(DateAndTime::parse(text).expect("a date and a time").in_zone(&ZONES[0]), Ok(time));
    time
}

/// A signed object, as another parser reads it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParsedObject {
    raw_payload_size: u64,
    signature: String,
    signature_algorithm: String,
    payload: Option<String>,
    payload_location: Option<Value>,
}

/// An accepted signed object matches the upload. The result does not depend on the sizes of the reads.
fn signed_object(data: &[u8]) {
    let object = SignedObject::read(data);
    assert_eq!(SignedObject::read(Trickle(data)).ok().as_ref(), object.as_ref().ok());
    let Ok(object) = object else { return };
    let upload = Upload::new("b".into(), "firmware/a.bin".into(), "v1".into());
    let image = Image { size: 5, e_tag: "e".into() };
    let Ok((signature, algorithm)) = object.check(&upload, &image, data.len() as u64) else { return };
    assert!(!signature.is_empty() && signature.len() <= 1024);
    // If the members before the payload suffice, the object is not read further, and the rest can be invalid JSON.
    let Ok(expected) = serde_json::from_slice::<ParsedObject>(data) else { return };
    assert_eq!((expected.raw_payload_size, expected.signature), (5, signature));
    let name = match algorithm {
        SignatureAlgorithm::Sha256WithEcdsa => "SHA256withECDSA",
        SignatureAlgorithm::Sha256WithRsa => "SHA256withRSA",
        SignatureAlgorithm::Sha1WithEcdsa => "SHA1withECDSA",
        SignatureAlgorithm::Sha1WithRsa => "SHA1withRSA",
    };
    assert_eq!(expected.signature_algorithm, name);
    if expected.payload.is_none() {
        let location = &expected.payload_location.expect("a payload")["s3"];
        let [bucket, key, version] = ["bucketName", "key", "version"].map(|member| location[member].as_str());
        assert_eq!((bucket, key, version), (Some("b"), Some("firmware/a.bin"), Some("v1")));
    }
}

/// Returns one byte per read.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

/// A stream whose files have other bytes in every block.
static STREAM: LazyLock<Content> = LazyLock::new(|| {
    let file = |id, size| File { id, bytes: Some((0..u32::MAX).flat_map(u32::to_be_bytes).take(size).collect()) };
    let files = vec![file(0, 1000), file(7, 140_000), file(8, 0)];
    Content { version: 3, description: Some("demo".to_owned()), files }
});

/// The message of a response, as another parser reads it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Response {
    Block(Block),
    Description { s: u16, r: Vec<Value> },
    Rejection { c: Option<String>, o: String, m: String },
}

#[derive(Deserialize)]
struct Block {
    c: Option<String>,
    f: u8,
    i: usize,
    l: usize,
    p: ciborium::Value,
}

/// The errors of <https://docs.aws.amazon.com/iot/latest/developerguide/mqtt-based-file-delivery-in-devices.html> that
/// a request to a readable stream can cause.
const ERRORS: [&str; 9] = [
    "InvalidJson",
    "InvalidCbor",
    "InvalidRequest",
    "BlockSizeOutOfBounds",
    "OffsetOutOfBounds",
    "BlockCountLimitExceeded",
    "BlockBitmapLimitExceeded",
    "ResourceNotFound",
    "VersionMismatch",
];

/// Any request gets one rejection, one description, or blocks of one file. Responses keep the limits of AWS IoT.
fn file_delivery(data: &[u8]) {
    for encoding in ["json", "cbor"] {
        for (operation, response) in [("describe", "description"), ("get", "data")] {
            let topic = format!("$aws/things/lab-1/streams/s/{operation}/{encoding}");
            let topic = Topic::parse(&topic).expect("the topic of a request");
            check_responses(&topic.answer(data, Some(&STREAM)), response, encoding);
            let messages = topic.answer(data, None);
            assert!(messages.len() == 1 && messages[0].topic.contains("/rejected/"), "{messages:?}");
        }
    }
}

fn check_responses(messages: &[Message], response: &str, encoding: &str) {
    let kind = |kind: &str| format!("$aws/things/lab-1/streams/s/{kind}/{encoding}");
    let mut blocks: Vec<Block> = Vec::new();
    for Message { topic, payload } in messages {
        let body = match encoding {
            "json" => serde_json::from_slice(payload).expect("JSON"),
            _ => ciborium::from_reader::<Response, _>(&payload[..]).expect("CBOR"),
        };
        match body {
            Response::Block(block) => {
                assert_eq!(*topic, kind("data"));
                blocks.push(block);
            }
            Response::Description { s, r } => {
                assert_eq!((messages.len(), topic, s, r.len()), (1, &kind("description"), 3, 3));
            }
            Response::Rejection { c, o, m } => {
                assert_eq!((messages.len(), topic), (1, &kind("rejected")));
                assert!(ERRORS.contains(&&*o), "{o}");
                assert!(c.is_none_or(|token| token.len() <= 64) && m.len() <= 1024, "{m}");
            }
        }
    }
    assert!(blocks.is_empty() || response == "data");
    assert!(blocks.iter().map(|block| block.l).sum::<usize>() <= 128 * 1024);
    assert!(blocks.is_sorted_by(|one, next| one.f == next.f && one.i < next.i && one.l >= next.l));
    let size = blocks.first().map_or(0, |block| block.l);
    let is_only = blocks.len() == 1;
    for Block { c, f, i, l, p } in blocks {
        let file = STREAM.files.iter().find(|file| file.id == f).and_then(|file| file.bytes.as_ref()).expect("a file");
        let bytes = match p {
            ciborium::Value::Text(text) if encoding == "json" => STANDARD.decode(text).expect("base64"),
            ciborium::Value::Bytes(bytes) if encoding == "cbor" => bytes,
            other => panic!("{other:?}"),
        };
        // A block is as long as its request says, except for the last one of the file. If it is the only one, its request can
        // have any size that leads to this index.
        let is_last = file.ends_with(&bytes) && (i == 0 || (file.len() - l) % i == 0);
        let end = file.len().min((i + 1) * size);
        assert!(bytes.len() == l && (file.get(i * size..end) == Some(&bytes) || is_only && is_last), "block {i}");
        assert!((1..=128 * 1024).contains(&l) && c.is_none_or(|token| token.len() <= 64));
    }
}
