//! The bodies of requests, in JSON and CBOR.
//!
//! A request is parsed twice: first as any document, so that an invalid document is not reported as an invalid request.
//! Neither parser builds a tree of the request, so small requests take little memory.

use std::fmt;
use std::marker::PhantomData;
use std::str;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{DescribeRequest, Encoding, Rejection, check_token, reject};

impl Encoding {
    /// Parses the members of a request, in any order. Unknown members are ignored.
    ///
    /// # Errors
    ///
    /// Fails if the payload is not one document, and if the document is not a request. The rejection has the client
    /// token if the request has a valid one.
    pub fn parse<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, Rejection> {
        match self {
            Self::Json => {
                let text = str::from_utf8(payload).map_err(|error| reject("InvalidJson", &None, &error))?;
                let _: IgnoredAny = serde_json::from_str(text).map_err(|error| reject("InvalidJson", &None, &error))?;
            }
            Self::Cbor => {
                let mut rest = payload;
                let _: IgnoredAny =
                    ciborium::from_reader(&mut rest).map_err(|error| reject("InvalidCbor", &None, &error))?;
                if !rest.is_empty() {
                    return Err(reject("InvalidCbor", &None, &format!("{} bytes follow the document", rest.len())));
                }
            }
        }
        self.members(payload).map_err(|message| {
            let token = self.members(payload).ok().map(|DescribeRequest { c }| c);
            let token = token.filter(|token| check_token(token).is_ok()).flatten();
            reject("InvalidRequest", &token, &message)
        })
    }

    fn members<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, String> {
        match self {
            Self::Json => serde_json::from_slice(payload).map_err(|error| error.to_string()),
            Self::Cbor => ciborium::from_reader(payload).map_err(|error| match error {
                ciborium::de::Error::Semantic(_, message) => message,
                error => error.to_string(),
            }),
        }
        .map(|Members(request)| request)
    }
}

/// A request that is a map with text keys. Derived implementations also accept lists, and numbers as keys.
struct Members<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(TextKeys(map)))
            }
        }
        deserializer.deserialize_map(Map(PhantomData)).map(Self)
    }
}

/// A map whose keys are texts.
struct TextKeys<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for TextKeys<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let key: Option<String> = self.0.next_key()?;
        key.map(|key| seed.deserialize(key.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// The requested blocks, from the offset on: bit 0 of byte 0 is the first of them.
pub struct Bitmap(pub Vec<u8>);

impl Bitmap {
    /// Returns whether a block is requested, counted from the offset.
    pub fn has(&self, block: u64) -> bool {
        let byte = usize::try_from(block / 8).ok().and_then(|at| self.0.get(at));
        byte.is_some_and(|byte| byte >> (block % 8) & 1 == 1)
    }

    /// Returns whether any block is requested.
    pub fn has_any(&self) -> bool {
        self.0.iter().any(|byte| *byte != 0)
    }
}

impl<'de> Deserialize<'de> for Bitmap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Bitmap;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a bitmap: `0x` with hexadecimal digits in JSON, bytes in CBOR")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bitmap, E> {
                let digits = text.strip_prefix("0x").ok_or_else(|| E::custom("the bitmap does not begin with 0x"))?;
                let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (pairs, rest) = digits.as_bytes().as_chunks();
                let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
                let bytes = bytes.collect::<Option<_>>().filter(|_| rest.is_empty());
                bytes.map(Bitmap).ok_or_else(|| E::custom("the bitmap is not hexadecimal"))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bitmap, E> {
                Ok(Bitmap(bytes.to_owned()))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Bytes)
        } else {
            deserializer.deserialize_byte_buf(Bytes)
        }
    }
}
