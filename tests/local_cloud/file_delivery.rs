//! MQTT-based file delivery: the responses of AWS IoT to a device that describes a stream, or gets blocks of its files.
//!
//! Pure functions of a request and a stream. The formats and limits are from the AWS IoT Developer Guide, "Using AWS IoT
//! MQTT-based file delivery in devices". CBOR responses are maps of indefinite length, as in AWS's samples.

#[path = "file_delivery/body.rs"]
mod body;
#[path = "file_delivery/request.rs"]
mod request;

use std::fmt::Display;
use std::ops::RangeInclusive;

use bytes::Bytes;
use serde::Deserialize;

use body::{Body, Value};
use request::Bitmap;

const MAX_TOKEN_BYTES: usize = 64;
const MIN_BLOCK: u64 = 256;
/// The maximum size of a block, and of all blocks in the response to one request.
const MAX_BLOCK: u64 = 128 * 1024;
const MAX_BLOCKS: u64 = 98_304;
/// A bitmap has fewer bytes.
const MAX_BITMAP_BYTES: usize = 12_288;
/// The maximum length of an error message. Messages of parsers quote the request.
const MAX_MESSAGE: usize = 256;

/// A stream, as a device sees it.
pub struct Content {
    pub version: u16,
    pub description: Option<String>,
    pub files: Vec<File>,
}

/// A file of a stream. `bytes` is `None` if the role of the stream cannot read the S3 object.
pub struct File {
    pub id: u8,
    pub bytes: Option<Bytes>,
}

/// The topic of a request: `$aws/things/THING/streams/STREAM/OPERATION/ENCODING`.
pub struct Topic<'a> {
    pub thing: &'a str,
    pub stream: &'a str,
    operation: Operation,
    encoding: Option<Encoding>,
}

enum Operation {
    Describe,
    Get,
}

#[derive(Clone, Copy)]
enum Encoding {
    Json,
    Cbor,
}

/// A message to the device.
#[derive(Debug)]
pub struct Message {
    pub topic: String,
    pub payload: Bytes,
}

struct Rejection {
    code: &'static str,
    message: String,
    token: Option<String>,
}

type Token = Option<String>;

impl<'a> Topic<'a> {
    /// Parses the topic of a request. `None` if the topic is not one of file delivery.
    pub fn parse(topic: &'a str) -> Option<Self> {
        let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once('/')?;
        let (stream, rest) = rest.strip_prefix("streams/")?.split_once('/')?;
        let (operation, encoding) = rest.split_once('/')?;
        let operation = match operation {
            "describe" => Operation::Describe,
            "get" => Operation::Get,
            _ => return None,
        };
        let encoding = match encoding {
            "json" => Some(Encoding::Json),
            "cbor" => Some(Encoding::Cbor),
            _ => None,
        };
        Some(Self { thing, stream, operation, encoding })
    }

    /// Returns the messages that answer a request to this topic. `None` means that the stream does not exist.
    pub fn answer(&self, payload: &[u8], stream: Option<&Content>) -> Vec<Message> {
        let Some(encoding) = self.encoding else {
            let message = "the encoding is unknown, expected json or cbor".to_owned();
            return vec![self.reject(Encoding::Json, Rejection { code: "InvalidTopic", message, token: None })];
        };
        let messages = match self.operation {
            Operation::Describe => encoding.parse(payload).and_then(|request| {
                describe(&request, stream).map(|description| vec![self.message("description", encoding, &description)])
            }),
            Operation::Get => encoding.parse(payload).and_then(|request| {
                let blocks = get(&request, stream)?;
                Ok(blocks.iter().map(|block| self.message("data", encoding, block)).collect())
            }),
        };
        messages.unwrap_or_else(|rejection| vec![self.reject(encoding, rejection)])
    }

    fn reject(&self, encoding: Encoding, Rejection { code, message, token }: Rejection) -> Message {
        let members = [("o", Value::Text(code.to_owned())), ("m", Value::Text(message))];
        self.message("rejected", encoding, &Body::new(token, members))
    }

    fn message(&self, kind: &str, encoding: Encoding, body: &Body) -> Message {
        let Self { thing, stream, .. } = self;
        let (name, payload) = match encoding {
            Encoding::Json => ("json", serde_json::to_vec(body).unwrap_or_default()),
            Encoding::Cbor => {
                let mut payload = Vec::new();
                // Writing to a vector cannot fail.
                let _ = ciborium::into_writer(body, &mut payload);
                ("cbor", payload)
            }
        };
        Message { topic: format!("$aws/things/{thing}/streams/{stream}/{kind}/{name}"), payload: payload.into() }
    }
}

#[derive(Deserialize)]
struct DescribeRequest {
    c: Token,
}

#[derive(Deserialize)]
struct GetRequest {
    c: Token,
    s: Option<i128>,
    f: i128,
    l: i128,
    o: Option<i128>,
    n: Option<i128>,
    b: Option<Bitmap>,
}

fn describe(DescribeRequest { c }: &DescribeRequest, stream: Option<&Content>) -> Result<Body, Rejection> {
    check_token(c)?;
    let stream = stream.ok_or_else(|| no_stream(c))?;
    let file = |file: &File| {
        let size = file.bytes.as_ref()?.len() as u64;
        Some(Body(vec![("f", Value::Number(file.id.into())), ("z", Value::Number(size))]))
    };
    let files = stream.files.iter().map(file).collect::<Option<_>>().ok_or_else(|| unauthorized(c))?;
    let description = Value::Text(stream.description.clone().unwrap_or_default());
    let members = [("s", Value::Number(stream.version.into())), ("d", description), ("r", Value::List(files))];
    Ok(Body::new(c.clone(), members))
}

/// Returns the requested blocks that the file has, at most 128 KiB of them.
fn get(request: &GetRequest, stream: Option<&Content>) -> Result<Vec<Body>, Rejection> {
    let GetRequest { c, s, f, l, o, n, b } = request;
    let rejected = |code, message: String| reject(code, c, &message);
    let in_range = |name, code, value: i128, range: RangeInclusive<u64>| {
        let number = u64::try_from(value).ok().filter(|number| range.contains(number));
        number
            .ok_or_else(|| rejected(code, format!("{name} is {value}, expected {} to {}", range.start(), range.end())))
    };
    check_token(c)?;
    let size = in_range("l", "BlockSizeOutOfBounds", *l, MIN_BLOCK..=MAX_BLOCK)?;
    let offset = in_range("o", "OffsetOutOfBounds", o.unwrap_or(0), 0..=MAX_BLOCKS)?;
    let max_count = MAX_BLOCK / size;
    let count = n.map_or(Ok(max_count), |n| in_range("n", "BlockCountLimitExceeded", n, 0..=MAX_BLOCKS))?;
    // A request for more than 128 KiB gets the first of its blocks.
    let count = count.min(max_count);
    if let Some(Bitmap(bytes)) = b
        && bytes.len() >= MAX_BITMAP_BYTES
    {
        return Err(rejected("BlockBitmapLimitExceeded", format!("b has {} bytes", bytes.len())));
    }
    let stream = stream.ok_or_else(|| no_stream(c))?;
    if s.is_some_and(|version| version != i128::from(stream.version)) {
        return Err(rejected("VersionMismatch", format!("the stream has version {}", stream.version)));
    }
    let file = stream.files.iter().find(|file| i128::from(file.id) == *f);
    let file = file.ok_or_else(|| rejected("ResourceNotFound", format!("the stream has no file {f}")))?;
    let image = file.bytes.as_ref().ok_or_else(|| unauthorized(c))?;
    let blocks = (image.len() as u64).div_ceil(size);
    let is_requested = |block: &u64| b.as_ref().is_none_or(|bitmap| bitmap.has(block - offset));
    let found = (offset..blocks).filter(is_requested).take(usize::try_from(count).unwrap_or_default());
    let block = |i: u64| {
        let start = usize::try_from(i * size).ok()?;
        let end = image.len().min(usize::try_from((i + 1) * size).ok()?);
        let payload = image.slice(start..end);
        let length = Value::Number(payload.len() as u64);
        let file = Value::Number(file.id.into());
        Some(Body::new(c.clone(), [("f", file), ("i", Value::Number(i)), ("l", length), ("p", Value::Bytes(payload))]))
    };
    let found: Vec<_> = found.filter_map(block).collect();
    if found.is_empty() && count > 0 && b.as_ref().is_none_or(Bitmap::has_any) {
        return Err(rejected(
            "ResourceNotFound",
            format!("the file has {blocks} blocks, and none of the requested ones"),
        ));
    }
    Ok(found)
}

fn check_token(token: &Token) -> Result<(), Rejection> {
    match token {
        Some(text) if text.len() > MAX_TOKEN_BYTES => {
            Err(reject("InvalidRequest", &None, &format!("c has more than {MAX_TOKEN_BYTES} bytes")))
        }
        _ => Ok(()),
    }
}

fn reject(code: &'static str, token: &Token, message: &dyn Display) -> Rejection {
    let message = message.to_string().chars().take(MAX_MESSAGE).collect();
    Rejection { code, message, token: token.clone() }
}

fn no_stream(token: &Token) -> Rejection {
    reject("ResourceNotFound", token, &"the stream does not exist")
}

fn unauthorized(token: &Token) -> Rejection {
    reject("Unauthorized", token, &"the role of the stream cannot read its S3 object")
}

#[cfg(test)]
#[path = "file_delivery/tests.rs"]
mod tests;
