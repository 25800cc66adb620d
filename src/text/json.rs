//! Reads JSON objects member by member, and reports every problem with the path of its member.

use crate::text::spelling::{nearest, one_of, suggestion};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use std::fmt;

/// The maximum number of characters that a message quotes from a document.
const MAX_QUOTED: usize = 64;

/// The problems of a document, each a sentence that begins with the path of a member.
pub(crate) type Problems = Vec<String>;

/// A value, and its path from the root of the document.
pub(crate) struct Node<'a> {
    pub path: String,
    json: &'a RawValue,
}

/// Reads a document that is an object.
///
/// # Errors
/// Fails if the text is not JSON, or not an object.
pub(crate) fn document<T>(
    json: &str,
    problems: &mut Problems,
    read: impl FnOnce(&mut Object<'_, '_>) -> T,
) -> Result<T, String> {
    let root = Node { path: String::new(), json: serde_json::from_str(json).map_err(|error| error.to_string())? };
    if !root.json.get().starts_with('{') {
        return Err(format!("it is {}", root.shown()));
    }
    Ok(root.object(problems, read))
}

/// The beginning of a text, for a message of one line.
pub(crate) fn quoted(text: &str) -> String {
    truncated(text, MAX_QUOTED).replace(char::is_control, " ")
}

/// A text of at most `max` characters, or the first `max` of them and an ellipsis.
pub(crate) fn truncated(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl<'a> Node<'a> {
    /// Returns the JSON of a number, a boolean or `null`, and the type of other values. Strings are not shown, because
    /// they may be signatures.
    fn shown(&self) -> String {
        let json = self.json.get();
        match json.as_bytes().first() {
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "a list".to_owned(),
            Some(b'"') => "a string".to_owned(),
            _ => quoted(json),
        }
    }

    /// Reports a problem with this value.
    pub fn problem(&self, problems: &mut Problems, problem: &str) {
        problems.push(format!("`{}` {problem}", self.path));
    }

    /// Reports that this value is not the expected one.
    fn is_not<T>(&self, expected: &str, problems: &mut Problems) -> Option<T> {
        self.problem(problems, &format!("is {}, expected {expected}", self.shown()));
        None
    }

    /// Parses the value, if its JSON begins with `start`. `None`, with a problem, if it cannot be parsed.
    fn parse<T: Deserialize<'a>>(&self, start: char, expected: &str, problems: &mut Problems) -> Option<T> {
        if !self.json.get().starts_with(start) {
            return self.is_not(expected, problems);
        }
        let value = serde_json::from_str(self.json.get());
        value.map_err(|error| self.problem(problems, &format!("cannot be read: {error}"))).ok()
    }

    /// Reads an object. A value that is not an object is one problem: `read` then finds no members, but does not report
    /// them as missing.
    pub fn object<T>(&self, problems: &mut Problems, read: impl FnOnce(&mut Object<'a, '_>) -> T) -> T {
        let members = self.parse('{', "an object", problems).map(|Members(members)| members);
        let mut object = Object { path: self.path.clone(), members, known: Vec::new(), problems };
        let value = read(&mut object);
        object.reject_others();
        value
    }
}

/// Reads a string.
pub(crate) fn text(node: &Node<'_>, problems: &mut Problems) -> Option<String> {
    node.parse('"', "a string", problems)
}

/// Reads one of these strings.
pub(crate) fn word<'w>(words: &'w [&'w str]) -> impl Fn(&Node<'_>, &mut Problems) -> Option<&'w str> {
    move |node, problems| {
        let value: String = node.parse('"', &one_of(words), problems)?;
        let word = words.iter().find(|word| **word == value);
        if word.is_none() {
            node.problem(problems, &format!("is `{}`, expected {}", quoted(&value), one_of(words)));
        }
        word.copied()
    }
}

/// Reads a number.
pub(crate) fn number(node: &Node<'_>, problems: &mut Problems) -> Option<f64> {
    let number: Option<Number> = serde_json::from_str(node.json.get()).ok();
    number.and_then(|number| number.as_f64()).or_else(|| node.is_not("a number", problems))
}

/// Reads a whole number, which may be written `10.0` or `1e1`.
pub(crate) fn whole_number(node: &Node<'_>, problems: &mut Problems) -> Option<i64> {
    // Up to this number, `f64` represents every whole number exactly.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    let number: Option<Number> = serde_json::from_str(node.json.get()).ok();
    #[allow(clippy::cast_possible_truncation, reason = "it is whole, and not too large")]
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() <= MAX_EXACT).then_some(number as i64);
    let number = number.and_then(|number| number.as_i64().or_else(|| whole(number.as_f64()?)));
    number.or_else(|| node.is_not("a whole number", problems))
}

/// Reads a whole number of 32 bits, the range of AWS IoT's integers.
pub(crate) fn whole_number_32(node: &Node<'_>, problems: &mut Problems) -> Option<i32> {
    let number = whole_number(node, problems)?;
    let expected = format!("a whole number from {} to {}", i32::MIN, i32::MAX);
    i32::try_from(number).ok().or_else(|| node.is_not(&expected, problems))
}

/// Reads a list, without the items that `each` cannot read.
pub(crate) fn list<'a, T>(
    mut each: impl FnMut(&Node<'a>, &mut Problems) -> Option<T>,
) -> impl FnOnce(&Node<'a>, &mut Problems) -> Option<Vec<T>> {
    move |node, problems| {
        let items: Vec<&RawValue> = node.parse('[', "a list", problems)?;
        let nodes = items.into_iter().enumerate();
        let nodes = nodes.map(|(index, json)| Node { path: format!("{}[{index}]", node.path), json });
        Some(nodes.filter_map(|node| each(&node, problems)).collect())
    }
}

/// An object whose members are read by their names. After the last read, the remaining members are reported.
pub(crate) struct Object<'a, 'p> {
    path: String,
    members: Option<Vec<(String, &'a RawValue)>>,
    known: Vec<String>,
    problems: &'p mut Problems,
}

impl<'a> Object<'a, '_> {
    /// The path of a member.
    fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn take(&mut self, name: &str) -> Option<Node<'a>> {
        self.known.push(name.to_owned());
        let members = self.members.as_mut()?;
        let index = members.iter().position(|(known, _)| known == name)?;
        let (_, json) = members.remove(index);
        Some(Node { path: self.path(name), json })
    }

    /// Reads a member. `None` if it is missing or cannot be read.
    pub fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&Node<'a>, &mut Problems) -> Option<T>) -> Option<T> {
        let node = self.take(name)?;
        parse(&node, self.problems)
    }

    /// Reads a member. `None`, with a problem, if it is missing or cannot be read.
    pub fn required<T>(&mut self, name: &str, parse: impl FnOnce(&Node<'a>, &mut Problems) -> Option<T>) -> Option<T> {
        let Some(node) = self.take(name) else {
            if self.is_object() {
                self.problem(name, "is missing");
            }
            return None;
        };
        parse(&node, self.problems)
    }

    /// Returns whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.members.is_some()
    }

    /// Reports a problem with a member.
    pub fn problem(&mut self, name: &str, problem: &str) {
        self.problems.push(format!("`{}` {problem}", self.path(name)));
    }

    /// Reports a member that is not allowed here, if it is present.
    pub fn refuse(&mut self, name: &str, problem: &str) {
        if self.take(name).is_some() {
            self.problem(name, problem);
        }
    }

    fn reject_others(&mut self) {
        for (name, _) in self.members.take().unwrap_or_default() {
            let problem = if self.known.contains(&name) {
                "occurs twice".to_owned()
            } else {
                let nearest = nearest(&name, self.known.iter().map(String::as_str));
                format!("is not known{}", suggestion(nearest))
            };
            self.problem(&quoted(&name), &problem);
        }
    }
}

/// The members of an object in their order. A name may occur twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(Map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NAMES: [&str; 6] = ["text", "word", "number", "whole", "short", "list"];

    /// Reads each member of an object with a different reader. All members except `list` are required.
    fn problems(json: &str) -> Result<Vec<String>, String> {
        let mut problems = Vec::new();
        document(json, &mut problems, |from| {
            from.required("text", text);
            from.required("word", word(&["a", "b"]));
            from.required("number", number);
            from.required("whole", whole_number);
            from.required("short", whole_number_32);
            from.optional("list", list(text));
            from.refuse("refused", "has no place here");
        })?;
        Ok(problems)
    }

    fn good() -> Value {
        json!({"text": "", "word": "a", "number": 1.5, "whole": 10.0, "short": 7, "list": ["x"]})
    }

    #[test]
    fn every_problem_of_an_object_is_reported() {
        assert_eq!(problems(&good().to_string()), Ok(Vec::new()));
        let bad = r#"{"word": "c", "number": "1", "wohle": 1, "whole": 1.5, "short": 2147483648, "list": [1, "x", null],
                      "refused": {}, "word": "a", "x\ny": 1}"#;
        assert_eq!(
            problems(bad).unwrap(),
            [
                "`text` is missing",
                "`word` is `c`, expected one of `a`, `b`",
                "`number` is a string, expected a number",
                "`whole` is 1.5, expected a whole number",
                "`short` is 2147483648, expected a whole number from -2147483648 to 2147483647",
                "`list[0]` is 1, expected a string",
                "`list[2]` is null, expected a string",
                "`refused` has no place here",
                "`wohle` is not known, did you mean `whole`?",
                "`word` occurs twice",
                "`x y` is not known",
            ]
        );
    }

    #[test]
    fn a_document_that_is_not_an_object_is_rejected() {
        for (json, problem) in [("[]", "it is a list"), ("\"x\"", "it is a string"), (" null ", "it is null")] {
            assert_eq!(problems(json), Err(problem.to_owned()));
        }
        assert!(problems("{").is_err() && problems("{} x").is_err() && problems("").is_err());
    }

    #[test]
    fn an_unexpected_string_is_not_quoted_and_a_long_name_is_truncated() {
        let secret = "s3cr3t".repeat(20);
        let json = json!({secret.as_str(): 1, "number": secret, "whole": [secret], "text": {"x": secret}});
        let problems = problems(&json.to_string()).unwrap().join("; ");
        assert!(!problems.contains(&secret[..65]) && problems.contains(&secret[..64]), "{problems}");
    }

    #[test]
    fn quoted_text_is_one_line_and_bounded() {
        let long = "ü".repeat(MAX_QUOTED);
        assert_eq!(quoted("a\n\u{1b}b"), "a  b");
        assert_eq!(quoted(&long), long);
        assert_eq!(quoted(&format!("{long}x")), format!("{long}…"));
    }

    proptest! {
        /// Each member that is missing, replaced or unknown is one problem.
        #[test]
        fn no_problem_hides_another(changes in prop::collection::vec(0..4, NAMES.len())) {
            let mut object = good();
            let members = object.as_object_mut().unwrap();
            let mut expected = 0;
            for (name, change) in NAMES.into_iter().zip(changes) {
                match change {
                    1 if name != "list" => drop(members.remove(name)),
                    2 => drop(members.insert(name.to_owned(), json!(null))),
                    3 => drop(members.insert(format!("{name}?"), json!(1))),
                    _ => continue,
                }
                expected += 1;
            }
            let problems = problems(&object.to_string()).unwrap();
            prop_assert_eq!(problems.len(), expected, "{:?}", problems);
        }
    }
}
