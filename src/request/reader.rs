//! Reads options by the names of their tags, from tags or a file of a manifest.

use crate::error::Expected;
use crate::tags::{TAG_PREFIX, VOCABULARY, nearest_tag};
use crate::text::json::quoted;
use crate::text::spelling::suggestion;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The location of options: the tags of an upload, or a file in its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Location {
    Tags,
    /// The file at this index of `files`.
    File(usize),
}

impl Location {
    /// The name of an option, as the subject of a sentence.
    pub fn option_name(self, tag: &str) -> String {
        match self {
            Self::Tags => format!("tag `{tag}`"),
            Self::File(index) => format!("`files[{index}].{}`", member_name(tag)),
        }
    }

    /// The name of an option within a sentence on another option of this location.
    pub fn short_name(self, tag: &str) -> String {
        match self {
            Self::Tags => format!("`{tag}`"),
            Self::File(_) => format!("`{}`", member_name(tag)),
        }
    }

    pub fn option_kind(self) -> &'static str {
        match self {
            Self::Tags => "tag",
            Self::File(_) => "member",
        }
    }

    /// The value in a message. S3 limits the length of a tag's value, but a member can have any length.
    fn quoted(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Tags => value.into(),
            Self::File(_) => quoted(value).into(),
        }
    }
}

/// The member of a manifest's file that has the meaning of a tag: `filePath` for `ota:file-path`.
pub(crate) fn member_name(tag: &str) -> String {
    let mut words = tag.trim_start_matches(TAG_PREFIX).split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_uppercase() + rest
    })
}

/// Reads options, and continues after an invalid one.
pub(crate) struct Reader<'a> {
    pub location: Location,
    /// The values by tag, even if they are members of a file.
    pub options: &'a BTreeMap<String, String>,
    pub problems: Vec<String>,
}

/// The error of an option whose invalid value is already reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Invalid;

impl<'a> Reader<'a> {
    pub fn new(location: Location, options: &'a BTreeMap<String, String>) -> Self {
        Self { location, options, problems: Vec::new() }
    }

    pub fn has(&self, tag: &str) -> bool {
        self.options.contains_key(tag)
    }

    /// Reports an invalid value.
    pub fn report(&mut self, tag: &str, value: &str, expected: &str) {
        let value = self.location.quoted(value);
        self.problems.push(format!("{} is `{value}`, expected {expected}", self.location.option_name(tag)));
    }

    /// Reads an option. `None` if it is not set.
    pub fn read<T: FromStr<Err = Expected>>(&mut self, tag: &str) -> Result<Option<T>, Invalid> {
        let Some(value) = self.options.get(tag) else { return Ok(None) };
        value.parse().map(Some).map_err(|Expected(expected)| {
            self.report(tag, value, &expected);
            Invalid
        })
    }

    /// Reads an option that has a default. `None` if its value is invalid.
    pub fn read_or<T: FromStr<Err = Expected> + Clone>(&mut self, tag: &str, default: &T) -> Option<T> {
        self.read(tag).ok().map(|value| value.unwrap_or_else(|| default.clone()))
    }

    /// Reports an option that is set, but must not be. In the message, `reason` directly follows "expected no such
    /// tag".
    pub fn reject(&mut self, tag: &str, reason: &str) {
        if let Some(value) = self.options.get(tag) {
            self.report(tag, value, &format!("no such {}{reason}", self.location.option_kind()));
        }
    }

    /// Reports an option that is set together with another option that excludes it.
    pub fn reject_together(&mut self, tag: &str, other: &str) {
        if self.has(other) {
            self.reject(tag, &format!(" together with {}", self.location.short_name(other)));
        }
    }

    /// Reports every unknown tag with the most similar known tag. The first unknown tag without a similar one is reported
    /// with the list of all tags.
    pub fn report_unknown(&mut self) {
        let mut all = format!(", expected one of `{}`", VOCABULARY.join("`, `"));
        for tag in self.options.keys().filter(|tag| !VOCABULARY.contains(&tag.as_str())) {
            let hint = nearest_tag(tag).map_or_else(|| std::mem::take(&mut all), |nearest| suggestion(Some(&nearest)));
            self.problems.push(format!("tag `{}` is not known{hint}", quoted(tag)));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::options::file::FileType;
    use crate::tags::{FILE_PATH, FILE_TYPE};

    /// Reads these options. Fails with all problems if there are any.
    pub(crate) fn read<T>(
        location: Location,
        options: &[(&str, &str)],
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> Result<T, Vec<String>> {
        let options = options.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(location, &options);
        let value = read(&mut reader);
        if reader.problems.is_empty() { Ok(value) } else { Err(reader.problems) }
    }

    fn unknown(tags: &[&str]) -> Vec<String> {
        let tags: Vec<_> = tags.iter().map(|tag| (*tag, "x")).collect();
        let read = read(Location::Tags, &tags, |reader| {
            reader.report_unknown();
        });
        read.unwrap_err()
    }

    #[test]
    fn an_unknown_tag_is_reported_with_the_nearest_one() {
        for known in VOCABULARY.into_iter().filter(|tag| tag.contains('-')) {
            let tag = format!("{TAG_PREFIX}{}", member_name(known));
            assert_eq!(unknown(&[&tag]), [format!("tag `{tag}` is not known, did you mean `{known}`?")]);
        }
    }

    #[test]
    fn all_tags_are_listed_once_if_none_is_near() {
        let [first, second] = unknown(&["ota:x", "ota:y"]).try_into().unwrap();
        let start = "tag `ota:x` is not known, expected one of `ota:thing-group`, `ota:thing`, ";
        assert!(first.starts_with(start) && first.ends_with(", `ota:file-type`") && first.len() < 600, "{first}");
        assert_eq!(second, "tag `ota:y` is not known");
    }

    #[test]
    fn an_option_is_named_by_its_location() {
        let long = "x".repeat(65);
        let problems = |location: Location| {
            let options = [(FILE_TYPE, &*long), (FILE_PATH, "a")];
            let read = read(location, &options, |reader| {
                assert!(reader.read::<FileType>(FILE_TYPE).is_err());
                reader.reject_together(FILE_PATH, FILE_TYPE);
            });
            read.unwrap_err().join("; ")
        };
        assert_eq!(
            problems(Location::Tags),
            format!(
                "tag `ota:file-type` is `{long}`, expected a number from 0 to 255; tag `ota:file-path` is `a`, expected no \
                 such tag together with `ota:file-type`"
            )
        );
        assert_eq!(
            problems(Location::File(2)),
            format!(
                "`files[2].fileType` is `{}…`, expected a number from 0 to 255; `files[2].filePath` is `a`, expected no such \
                 member together with `fileType`",
                &long[1..]
            )
        );
    }
}
