//! The bodies of messages, in JSON and CBOR.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// The members of a message, in order.
pub struct Body(pub Vec<(&'static str, Value)>);

/// The value of a member.
pub enum Value {
    Number(u64),
    Text(String),
    /// In base64 in JSON.
    Bytes(Bytes),
    List(Vec<Body>),
}

impl Body {
    /// A body that begins with the client token of the request, if any.
    pub fn new(token: Option<String>, members: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self(token.map(|token| ("c", Value::Text(token))).into_iter().chain(members).collect())
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Without a length, CBOR maps are indefinite.
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) if serializer.is_human_readable() => serializer.serialize_str(&STANDARD.encode(bytes)),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(bodies) => serializer.collect_seq(bodies),
        }
    }
}
