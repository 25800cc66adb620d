//! Reads the signed object of AWS Signer in constant memory, and compares it with the upload.

use crate::options::signature::SignatureAlgorithm;
use crate::s3::object::Image;
use crate::upload::Upload;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::cell::Cell;
use std::io::{Error, ErrorKind, Read};
use struson::reader::{JsonReader, JsonStreamReader, ReaderError, ValueType};

/// The maximum length of a string in a signed object. An RSA signature with 4096 bits has 684 characters in base64.
const MAX_STRING_BYTES: u64 = 1024;

/// The size, without the embedded payload, from which a signed object is too long. Signer writes far fewer bytes.
const MAX_BYTES: usize = 64 * 1024;

/// The JSON that Signer writes, with the image embedded in base64 (`payload`) or located elsewhere (`payloadLocation`).
#[derive(Debug, PartialEq, Eq)]
pub struct SignedObject {
    raw_payload_size: u64,
    signature: String,
    signature_algorithm: String,
    payload: Payload,
}

#[derive(Debug, PartialEq, Eq)]
enum Payload {
    Embedded,
    Located(Location),
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Location {
    s3: S3Location,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Location {
    bucket_name: String,
    key: String,
    version: String,
}

/// The error of reading a signed object.
#[derive(Debug)]
pub enum ReadError {
    /// The object could not be read to its end.
    Io(Error),
    /// The object is not a signed object, for this reason.
    Invalid(String),
}

impl From<ReaderError> for ReadError {
    fn from(error: ReaderError) -> Self {
        Self::Invalid(format!("it is not a signed object's JSON: {error}"))
    }
}

/// The state of a [`LimitedReader`] while the JSON reader owns it.
struct ReaderState {
    /// The bytes that may still be read. `None` while a payload is skipped.
    bytes_left: Cell<Option<usize>>,
    /// The error of the source. The JSON reader does not distinguish I/O errors from syntax errors.
    error: Cell<Option<Error>>,
}

/// Reads from a source until the limit.
struct LimitedReader<'a, R> {
    inner: R,
    state: &'a ReaderState,
}

impl<R: Read> Read for LimitedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes_left = self.state.bytes_left.get();
        if bytes_left == Some(0) {
            let problem = format!("it is too long: it has {MAX_BYTES} bytes or more without its payload");
            return Err(Error::new(ErrorKind::FileTooLarge, problem));
        }
        let end = bytes_left.map_or(buffer.len(), |bytes_left| bytes_left.min(buffer.len()));
        match self.inner.read(&mut buffer[..end]) {
            Ok(read) => {
                self.state.bytes_left.set(bytes_left.map(|bytes_left| bytes_left - read));
                Ok(read)
            }
            Err(error) => {
                let kind = error.kind();
                // An interrupted read is retried.
                if kind != ErrorKind::Interrupted {
                    self.state.error.set(Some(error));
                }
                Err(kind.into())
            }
        }
    }
}

impl SignedObject {
    /// Reads a signed object in constant memory. Its members may have any order. An embedded payload is skipped, or not
    /// even fetched if all other required members come before it. Without the payload, the object must have less than
    /// 64 KiB.
    ///
    /// # Errors
    /// Fails if the object cannot be read, is not the JSON of a signed object, or is too long for one.
    pub fn read(inner: impl Read) -> Result<Self, ReadError> {
        let state = ReaderState { bytes_left: Cell::new(Some(MAX_BYTES)), error: Cell::new(None) };
        let object = Self::parse(JsonStreamReader::new(LimitedReader { inner, state: &state }), &state.bytes_left);
        state.error.take().map_or(object, |error| Err(ReadError::Io(error)))
    }

    fn parse(mut json: impl JsonReader, bytes_left: &Cell<Option<usize>>) -> Result<Self, ReadError> {
        let (mut size, mut signature, mut algorithm, mut payload) = (None, None, None, None);
        json.begin_object()?;
        let mut is_complete = false;
        while !is_complete && json.has_next()? {
            let name = json.next_name_owned()?;
            let is_duplicate = match name.as_str() {
                "rawPayloadSize" => size.replace(whole_number(&mut json)?).is_some(),
                "signature" => signature.replace(short_string(&mut json)?).is_some(),
                "signatureAlgorithm" => algorithm.replace(short_string(&mut json)?).is_some(),
                "payloadLocation" => {
                    let location = json.deserialize_next().map_err(|error| {
                        ReadError::Invalid(format!("its `payloadLocation` cannot be read: {error}"))
                    })?;
                    payload.replace(Payload::Located(location)).is_some()
                }
                "payload" => {
                    if json.peek()? != ValueType::String {
                        return Err(ReadError::Invalid("its `payload` is not a string".to_owned()));
                    }
                    is_complete = size.is_some() && signature.is_some() && algorithm.is_some();
                    if !is_complete {
                        let rest = bytes_left.take();
                        json.skip_value()?;
                        bytes_left.set(rest);
                    }
                    payload.replace(Payload::Embedded).is_some()
                }
                _ => {
                    json.skip_value()?;
                    false
                }
            };
            if is_duplicate {
                return Err(ReadError::Invalid(format!("it has `{name}` twice, or two payloads")));
            }
        }
        if !is_complete {
            json.end_object()?;
            json.consume_trailing_whitespace()?;
        }
        let missing = |name| ReadError::Invalid(format!("it has no `{name}`"));
        Ok(Self {
            raw_payload_size: size.ok_or_else(|| missing("rawPayloadSize"))?,
            signature: signature.ok_or_else(|| missing("signature"))?,
            signature_algorithm: algorithm.ok_or_else(|| missing("signatureAlgorithm"))?,
            payload: payload.ok_or_else(|| missing("payload"))?,
        })
    }

    /// Checks that this signed object, of `length` bytes in S3, is one of this upload. Returns its signature, in
    /// base64, and the algorithm.
    ///
    /// # Errors
    /// Fails with the first difference from the upload, or with an algorithm that devices do not support.
    pub fn check(self, upload: &Upload, image: &Image, length: u64) -> Result<(String, SignatureAlgorithm), String> {
        if self.raw_payload_size != image.size {
            return Err(format!("its `rawPayloadSize` is {}, expected {}", self.raw_payload_size, image.size));
        }
        match self.payload {
            Payload::Located(Location { s3 }) => {
                if (&s3.bucket_name, &s3.key, &s3.version) != (&upload.bucket, &upload.key, &upload.version_id) {
                    return Err(format!("its `payloadLocation` is {s3:?}, expected `{upload}`"));
                }
            }
            Payload::Embedded => {
                let in_base64 = image.size.div_ceil(3) * 4;
                if length < in_base64 {
                    return Err(format!("it has {length} bytes, too few for a `payload` of {in_base64}"));
                }
            }
        }
        let algorithm = self.signature_algorithm.parse().map_err(|_| {
            format!("its `signatureAlgorithm` is `{}`, which devices do not support", self.signature_algorithm)
        })?;
        match BASE64_STANDARD.decode(&self.signature) {
            Ok(bytes) if !bytes.is_empty() => Ok((self.signature, algorithm)),
            _ => Err("its `signature` is not base64".to_owned()),
        }
    }
}

fn whole_number(json: &mut impl JsonReader) -> Result<u64, ReadError> {
    let number = json.next_number_as_string()?;
    number.parse().map_err(|_| ReadError::Invalid(format!("its `rawPayloadSize` is `{number}`, not a whole number")))
}

fn short_string(json: &mut impl JsonReader) -> Result<String, ReadError> {
    let mut text = String::new();
    let read = json.next_string_reader()?.take(MAX_STRING_BYTES + 1).read_to_string(&mut text);
    match read {
        Ok(_) if text.len() as u64 <= MAX_STRING_BYTES => Ok(text),
        Ok(_) => Err(ReadError::Invalid("its `signature` or `signatureAlgorithm` is too long".to_owned())),
        Err(error) => Err(ReadError::Invalid(format!("it is not a signed object's JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const OTHER_MEMBERS: &str =
        "\"rawPayloadSize\":5,\"signature\":\"MEUC\",\"signatureAlgorithm\":\"SHA256withECDSA\"";

    fn located() -> Value {
        json!({"rawPayloadSize": 5, "signature": "MEUC", "signatureAlgorithm": "SHA256withECDSA",
               "payloadLocation": {"s3": {"bucketName": "b", "key": "firmware/a.bin", "version": "v1"}}})
    }

    fn embedded() -> Value {
        json!({"rawPayloadSize": 5, "signature": "MEUC", "signatureAlgorithm": "SHA256withECDSA", "payload": "aGVsbG8="})
    }

    fn check(json: &str) -> Result<(String, SignatureAlgorithm), String> {
        check_length(json, json.len() as u64)
    }

    fn check_length(json: &str, length: u64) -> Result<(String, SignatureAlgorithm), String> {
        let upload = Upload::new("b".into(), "firmware/a.bin".into(), "v1".into());
        let object = SignedObject::read(json.as_bytes()).map_err(|error| format!("{error:?}"))?;
        object.check(&upload, &Image { size: 5, e_tag: "e".into() }, length)
    }

    fn with(member: &str, value: impl Into<Value>) -> String {
        let mut object = located();
        object[member] = value.into();
        object.to_string()
    }

    #[test]
    fn both_forms_and_all_known_algorithms_are_accepted() {
        let signature = |algorithm| Ok(("MEUC".to_owned(), algorithm));
        assert_eq!(check(&embedded().to_string()), signature(SignatureAlgorithm::Sha256WithEcdsa));
        for (name, algorithm) in [
            ("SHA256withECDSA", SignatureAlgorithm::Sha256WithEcdsa),
            ("SHA256withRSA", SignatureAlgorithm::Sha256WithRsa),
            ("SHA1withECDSA", SignatureAlgorithm::Sha1WithEcdsa),
            ("SHA1withRSA", SignatureAlgorithm::Sha1WithRsa),
        ] {
            assert_eq!(check(&with("signatureAlgorithm", name)), signature(algorithm));
        }
        assert_eq!(check(&with("signature", "M".repeat(1024))).unwrap().0.len(), 1024);
    }

    #[test]
    fn members_may_have_any_order_and_unknown_ones_are_ignored() {
        let members = [
            "\"payload\":\"aGVsbG8=\"",
            "\"signature\":\"MEUC\"",
            "\"rawPayloadSize\":5",
            "\"signatureAlgorithm\":\"SHA256withECDSA\"",
            "\"more\":{\"a\":[1,null]}",
        ];
        for turn in 0..members.len() {
            let mut turned = members;
            turned.rotate_left(turn);
            let json = format!(" {{ {} }} ", turned.join(" , "));
            assert!(check(&json).is_ok(), "{json}");
        }
    }

    #[test]
    fn anything_but_a_signed_object_of_the_upload_is_rejected() {
        let place = |bucket: &str| json!({"s3": {"bucketName": bucket, "key": "firmware/a.bin", "version": "v1"}});
        let whole = located().to_string();
        for (json, problem) in [
            (String::new(), "not a signed object"),
            ("[]".into(), "not a signed object"),
            ("\u{7f}ELF".into(), "not a signed object"),
            ("{}".into(), "no `rawPayloadSize`"),
            (whole.clone() + "x", "not a signed object"),
            (whole[..whole.len() - 1].into(), "not a signed object"),
            (with("rawPayloadSize", "5"), "not a signed object"),
            (with("rawPayloadSize", 5.0), "`5.0`"),
            (with("rawPayloadSize", -5), "`-5`"),
            (with("rawPayloadSize", 6), "is 6, expected 5"),
            (with("signature", Value::Null), "not a signed object"),
            (with("signature", "M".repeat(1025)), "too long"),
            (with("signature", "ME C"), "not base64"),
            (with("signature", ""), "not base64"),
            (with("signatureAlgorithm", "sha256withecdsa"), "devices do not support"),
            (with("payload", "aGVsbG8="), "twice"),
            (with("payload", 5), "is not a string"),
            (with("payloadLocation", json!({"s3": {"bucketName": "b"}})), "payloadLocation"),
            (with("payloadLocation", place("x")), "payloadLocation"),
            ("{\"signature\":\"A\",\"signature\":\"A\"}".into(), "twice"),
        ] {
            let reported = check(&json).unwrap_err();
            assert!(reported.contains(problem), "{json}: {reported}");
        }
    }

    #[test]
    fn an_object_too_short_for_its_payload_is_rejected() {
        let check = |length| check_length(&embedded().to_string(), length);
        assert!(check(8).is_ok());
        assert_eq!(check(7).unwrap_err(), "it has 7 bytes, too few for a `payload` of 8");
    }

    /// A lost connection.
    struct CutOff;

    impl Read for CutOff {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn a_lost_connection_is_distinguished_from_other_content() {
        for raw_image in [&b"{\"\xff"[..], b"{\"signature\":\"\xff\xfe\"}", b"{\"signature\":\"cut off"] {
            assert!(matches!(SignedObject::read(raw_image), Err(ReadError::Invalid(_))), "{raw_image:?}");
        }
        for beginning in ["", "{", "{\"signature\":\"ME"] {
            let object = SignedObject::read(beginning.as_bytes().chain(CutOff));
            assert!(matches!(object, Err(ReadError::Io(_))), "{beginning}");
        }
    }

    /// Counts the bytes that are read.
    struct Counted<'a, R>(R, &'a Cell<usize>);

    impl<R: Read> Read for Counted<'_, R> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1.set(self.1.get() + read);
            Ok(read)
        }
    }

    #[test]
    fn an_embedded_payload_that_comes_last_is_not_fetched() {
        let json = format!("{{{OTHER_MEMBERS},\"payload\":\"{}\"}}", "A".repeat(1 << 20));
        let read = Cell::new(0);
        SignedObject::read(Counted(json.as_bytes(), &read)).unwrap();
        assert!(read.get() < 16 * 1024, "{}", read.get());
    }

    /// Reads a beginning that is followed by the same letter a million times. Returns the problem, and the number of
    /// bytes read.
    fn read_endless(beginning: &str, letter: u8) -> (String, usize) {
        let read = Cell::new(0);
        let endless = beginning.as_bytes().chain(std::io::repeat(letter).take(1 << 20));
        match SignedObject::read(Counted(endless, &read)) {
            Err(ReadError::Invalid(problem)) => (problem, read.get()),
            object => panic!("{object:?}"),
        }
    }

    #[test]
    fn endless_json_is_rejected_before_it_fills_the_memory() {
        let location = "{\"payloadLocation\":{\"s3\":{\"bucketName\":\"";
        let number = "{\"rawPayloadSize\":1";
        for (beginning, letter) in
            [("", b' '), ("{\"", b'A'), ("{\"more\":\"", b'A'), (location, b'A'), (number, b'0'), (number, b' ')]
        {
            let (problem, read) = read_endless(beginning, letter);
            let expected = "it is too long: it has 65536 bytes or more without its payload";
            assert!(problem.contains(expected) && read == MAX_BYTES, "{beginning}: {read} {problem}");
        }
        assert!(read_endless("{\"signature\":\"", b'A').1 <= 4096);
    }

    #[test]
    fn the_size_is_bounded_except_for_the_payload() {
        let around = |before: usize, after: usize| {
            let payload = "A".repeat(4 * MAX_BYTES);
            let (before, after) = (" ".repeat(before), " ".repeat(after));
            SignedObject::read(format!("{{{before}\"payload\":\"{payload}\",{after}{OTHER_MEMBERS}}}").as_bytes())
        };
        let half = MAX_BYTES / 2;
        assert!(around(half - 2048, half - 2048).is_ok());
        let Err(ReadError::Invalid(problem)) = around(half + 1024, half + 1024) else { panic!() };
        assert!(problem.contains("it is too long"), "{problem}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = SignedObject::read(&bytes[..]);
        }

        #[test]
        fn no_damage_makes_the_reader_panic(at in 0_usize..150, byte: u8) {
            let mut bytes = located().to_string().into_bytes();
            let end = bytes.len();
            bytes[at % end] = byte;
            let _ = SignedObject::read(&bytes[..]);
        }
    }
}
