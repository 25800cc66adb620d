//! Reads single members of JSON as text: a tree of values would take a hundred times the memory.

use crate::text::json::truncated;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The maximum number of member names, and the maximum length of each, in a message.
const MAX_NAMES: usize = 10;
const MAX_CHARACTERS: usize = 40;

/// The elements of a JSON array, unread.
pub(crate) fn elements(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

/// The members of a JSON object, unread.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Members<'a>(#[serde(borrow)] pub BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// `None` if the JSON is not an object.
    pub fn of(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// A member's JSON. `null` counts as absent.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|member| member.get()).filter(|json| *json != "null")
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// The members of a member that is an object. No members if it is absent or not an object.
    pub fn object(&self, name: &str) -> Self {
        self.get(name).and_then(Self::of).unwrap_or_default()
    }
}

/// The type of a JSON value, and the names of an object's members, in bounded length: the sender chooses the names.
pub(crate) fn describe(json: &str) -> String {
    match json.bytes().next() {
        Some(b'{') => {
            let Members(members) = Members::of(json).unwrap_or_default();
            let names: Vec<_> = members.keys().take(MAX_NAMES).map(|name| escaped(name)).collect();
            match members.len() {
                0 => "an empty object".to_owned(),
                count if count > MAX_NAMES => format!("an object with {count} members ({}, …)", names.join(", ")),
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

/// The beginning of a text in backticks, with control characters and quotation marks escaped.
pub(crate) fn escaped(text: &str) -> String {
    let text: String = truncated(text, MAX_CHARACTERS).chars().flat_map(char::escape_debug).collect();
    format!("`{text}`")
}
