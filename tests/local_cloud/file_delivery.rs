//! MQTT-based file delivery: the responses of AWS IoT to a device that describes a stream, or gets blocks of its files.
//!
//! Pure functions of a request and a stream. The formats and limits are from the AWS IoT Developer Guide, "Using AWS IoT
//! MQTT-based file delivery in devices". CBOR responses are maps of indefinite length, as in AWS's samples.

#[path = "file_delivery/body.rs"]
mod body;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer};

use body::{Body, Value};

const MAX_TOKEN_BYTES: usize = 64;
const MIN_BLOCK: u64 = 256;
/// The maximum size of a block, and of all blocks in the response to one request.
const MAX_BLOCK: u64 = 128 * 1024;
const MAX_BLOCKS: u64 = 98_304;
const MAX_BITMAP_BYTES: usize = 12_288;

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

impl Encoding {
    fn parse<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, Rejection> {
        let invalid = |message: String| reject("InvalidRequest", &None, message);
        match self {
            Self::Json => {
                let value: serde_json::Value =
                    serde_json::from_slice(payload).map_err(|error| reject("InvalidJson", &None, error.to_string()))?;
                T::deserialize(value).map_err(|error| invalid(error.to_string()))
            }
            Self::Cbor => {
                let value: ciborium::Value =
                    ciborium::from_reader(payload).map_err(|error| reject("InvalidCbor", &None, error.to_string()))?;
                value.deserialized().map_err(|error| invalid(error.to_string()))
            }
        }
    }
}

#[derive(Deserialize)]
struct DescribeRequest {
    c: Token,
}

#[derive(Deserialize)]
struct GetRequest {
    c: Token,
    s: Option<u64>,
    f: u8,
    l: u64,
    o: Option<u64>,
    n: Option<u64>,
    b: Option<Bitmap>,
}

/// The requested blocks, from the offset on: bit 0 of byte 0 is the first of them.
struct Bitmap(Vec<u8>);

impl Bitmap {
    fn has(&self, block: u64) -> bool {
        let byte = usize::try_from(block / 8).ok().and_then(|at| self.0.get(at));
        byte.is_some_and(|byte| byte >> (block % 8) & 1 == 1)
    }
}

impl<'de> Deserialize<'de> for Bitmap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Bitmap;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a bitmap: `0x` with hexadecimal digits in JSON, bytes in CBOR")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bitmap, E> {
                let digits = text.strip_prefix("0x").ok_or_else(|| E::custom("the bitmap does not begin with 0x"))?;
                let nibbles: Option<Vec<_>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
                let nibbles = nibbles.filter(|nibbles| nibbles.len().is_multiple_of(2));
                let nibbles = nibbles.ok_or_else(|| E::custom("the bitmap is not hexadecimal"))?;
                let bytes = nibbles.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap_or_default());
                Ok(Bitmap(bytes.collect()))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bitmap, E> {
                Ok(Bitmap(bytes.to_owned()))
            }
        }
        deserializer.deserialize_any(Bytes)
    }
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
    let rejected = |code, message: String| Err(reject(code, c, message));
    check_token(c)?;
    if !(MIN_BLOCK..=MAX_BLOCK).contains(l) {
        return rejected("BlockSizeOutOfBounds", format!("l is {l}, expected {MIN_BLOCK} to {MAX_BLOCK}"));
    }
    let (offset, count) = (o.unwrap_or(0), n.unwrap_or(MAX_BLOCK / l));
    if offset > MAX_BLOCKS {
        return rejected("OffsetOutOfBounds", format!("o is {offset}, expected at most {MAX_BLOCKS}"));
    }
    if count > MAX_BLOCKS || count * l > MAX_BLOCK {
        return rejected("BlockCountLimitExceeded", format!("{count} blocks of {l} bytes exceed {MAX_BLOCK} bytes"));
    }
    if let Some(bitmap) = b
        && bitmap.0.len() >= MAX_BITMAP_BYTES
    {
        return rejected("BlockBitmapLimitExceeded", format!("b has {} bytes", bitmap.0.len()));
    }
    let stream = stream.ok_or_else(|| no_stream(c))?;
    if s.is_some_and(|version| version != u64::from(stream.version)) {
        return rejected("VersionMismatch", format!("the stream has version {}", stream.version));
    }
    let file = stream.files.iter().find(|file| file.id == *f);
    let file = file.ok_or_else(|| reject("ResourceNotFound", c, format!("the stream has no file {f}")))?;
    let image = file.bytes.as_ref().ok_or_else(|| unauthorized(c))?;
    let blocks = (image.len() as u64).div_ceil(*l);
    if offset >= blocks {
        return rejected("OffsetOutOfBounds", format!("o is {offset}, expected fewer than {blocks}"));
    }
    let is_requested = |block: &u64| b.as_ref().is_none_or(|bitmap| bitmap.has(block - offset));
    let requested = (offset..blocks).filter(is_requested).take(usize::try_from(count).unwrap_or_default());
    let block = |i: u64| {
        let start = usize::try_from(i * l).ok()?;
        let end = image.len().min(usize::try_from((i + 1) * l).ok()?);
        let payload = image.slice(start..end);
        let size = Value::Number(payload.len() as u64);
        let file = Value::Number((*f).into());
        Some(Body::new(c.clone(), [("f", file), ("i", Value::Number(i)), ("l", size), ("p", Value::Bytes(payload))]))
    };
    Ok(requested.filter_map(block).collect())
}

fn check_token(token: &Token) -> Result<(), Rejection> {
    match token {
        Some(text) if text.len() > MAX_TOKEN_BYTES => {
            Err(reject("InvalidRequest", &None, format!("c has more than {MAX_TOKEN_BYTES} bytes")))
        }
        _ => Ok(()),
    }
}

fn reject(code: &'static str, token: &Token, message: String) -> Rejection {
    Rejection { code, message, token: token.clone() }
}

fn no_stream(token: &Token) -> Rejection {
    reject("ResourceNotFound", token, "the stream does not exist".to_owned())
}

fn unauthorized(token: &Token) -> Rejection {
    reject("Unauthorized", token, "the role of the stream cannot read its S3 object".to_owned())
}

#[cfg(test)]
#[path = "file_delivery/tests.rs"]
mod tests;
