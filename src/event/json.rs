//! Reads individual members of JSON without parsing the whole document into a tree.
//!
//! A tree would need a hundred times the memory.

use crate::text::json::truncated;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The maximum number of member names, and the maximum length of each, in a message.
const MAX_NAMES: usize = 10;
const MAX_CHARACTERS: usize = 40;

/// The elements of a JSON array, unparsed. `None` if the JSON is not an array.
pub(crate) fn elements(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

/// The members of a JSON object, unparsed.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Members<'a>(#[serde(borrow)] pub BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// Parses an object. `None` if the JSON is not an object.
    pub fn parse(json: &'a str) -> Option<Self> {
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
        self.get(name).and_then(Self::parse).unwrap_or_default()
    }
}

/// Describes a JSON value by its type and, for an object, by the names of its members. The length is bounded, because
/// the sender chooses the names.
pub(crate) fn describe(json: &str) -> String {
    match json.bytes().next() {
        Some(b'{') => {
            let Members(members) = Members::parse(json).unwrap_or_default();
            let names: Vec<_> = members.keys().take(MAX_NAMES).map(|name| quoted_beginning(name)).collect();
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
pub(crate) fn quoted_beginning(text: &str) -> String {
    let text: String = truncated(text, MAX_CHARACTERS).chars().flat_map(char::escape_debug).collect();
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_described_by_its_type_and_the_names_of_its_members() {
        for (json, expected) in [
            ("{}", "an empty object"),
            ("{\"b\": {\"c\": 1}, \"a\": null}", "an object with the members `a`, `b`"),
            ("{\"a\\u001b[31m`\\n\": 1}", "an object with the members `a\\u{1b}[31m`\\n`"),
            ("[1]", "an array"),
            ("\"x\"", "a string"),
            ("null", "`null`"),
            ("true", "a boolean"),
            ("false", "a boolean"),
            ("5", "a number"),
            ("-0.5e3", "a number"),
        ] {
            assert_eq!(describe(json), expected, "{json}");
        }
    }

    #[test]
    fn a_description_is_bounded() {
        let object = |count| {
            let names = (0..count).map(|index| (format!("{index}{}", "x".repeat(1000)), index));
            serde_json::to_string(&names.collect::<BTreeMap<_, _>>()).unwrap()
        };
        let (ten, fifty) = (describe(&object(10)), describe(&object(50)));
        assert!(
            ten.starts_with("an object with the members `0xxx") && ten.ends_with("x…`") && ten.len() < 500,
            "{ten}"
        );
        assert!(fifty.starts_with("an object with 50 members (`0xxx") && fifty.ends_with("x…`, …)"), "{fifty}");
        assert_eq!(fifty.matches("xxx…`").count(), 10, "{fifty}");
    }

    #[test]
    fn null_and_members_of_other_types_are_absent() {
        let members = Members::parse("{\"a\": null, \"b\": 1, \"c\": \"x\", \"d\": {\"e\": 2}}").unwrap();
        assert_eq!((members.get("a"), members.get("b"), members.get("f")), (None, Some("1"), None));
        assert_eq!((members.text("a"), members.text("b"), members.text("c").as_deref()), (None, None, Some("x")));
        assert_eq!((members.object("d").get("e"), members.object("b").0.len()), (Some("2"), 0));
        assert!(Members::parse("[]").is_none() && elements("{}").is_none());
    }
}
