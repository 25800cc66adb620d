//! The tags of a release, and how they are read: each that is bad is told, and reading goes on.

use crate::{
    error::Expected,
    text::json::quoted,
    text::spelling::{folded, nearest, suggestion, without_blanks},
};
use aws_sdk_s3::types::Tag;
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, collections::BTreeMap, str::FromStr};

/// What every tag of a release begins with.
const TAG_PREFIX: &str = "ota:";
/// The same without its colon.
const PREFIX: &str = "ota";

pub(crate) const THING_GROUP: &str = "ota:thing-group";
pub(crate) const THING: &str = "ota:thing";
pub(crate) const START: &str = "ota:start";
pub(crate) const END: &str = "ota:end";
pub(crate) const END_BEHAVIOR: &str = "ota:end-behavior";
pub(crate) const TIMEZONE: &str = "ota:timezone";
pub(crate) const WINDOW: &str = "ota:window";
pub(crate) const TARGET_SELECTION: &str = "ota:target-selection";
pub(crate) const RETRIES: &str = "ota:retries";
pub(crate) const TIMEOUT: &str = "ota:timeout";
pub(crate) const JOB_TEMPLATE: &str = "ota:job-template";
pub(crate) const PROTOCOLS: &str = "ota:protocols";
pub(crate) const SIGNING_PROFILE: &str = "ota:signing-profile";
pub(crate) const SIGNING_JOB: &str = "ota:signing-job";
pub(crate) const SIGNATURE: &str = "ota:signature";
pub(crate) const SIGNATURE_ALGORITHM: &str = "ota:signature-algorithm";
pub(crate) const CERTIFICATE: &str = "ota:certificate";
pub(crate) const JOB_ID: &str = "ota:job-id";
pub(crate) const PACKAGE_VERSION: &str = "ota:package-version";
pub(crate) const FILE_PATH: &str = "ota:file-path";
pub(crate) const FILE_TYPE: &str = "ota:file-type";

/// Every tag that a release may carry.
pub const VOCABULARY: [&str; 21] = [
    THING_GROUP,
    THING,
    START,
    END,
    END_BEHAVIOR,
    TIMEZONE,
    WINDOW,
    TARGET_SELECTION,
    RETRIES,
    TIMEOUT,
    JOB_TEMPLATE,
    PACKAGE_VERSION,
    PROTOCOLS,
    SIGNING_PROFILE,
    SIGNING_JOB,
    SIGNATURE,
    SIGNATURE_ALGORITHM,
    CERTIFICATE,
    JOB_ID,
    FILE_PATH,
    FILE_TYPE,
];

/// The tags that a manifest does not take, as its files say the same one by one.
pub(crate) const OF_FILES: [&str; 6] = [SIGNING_JOB, SIGNATURE, SIGNATURE_ALGORITHM, CERTIFICATE, FILE_PATH, FILE_TYPE];

/// The most tags of an object. This limit of S3 and the next two are those of
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>.
const MAX_TAGS: usize = 10;
/// The most characters of a tag's key, in units of UTF-16.
const MAX_KEY: usize = 128;
/// The most characters of a tag's value, in units of UTF-16.
const MAX_VALUE: usize = 256;

/// The object tags of a release by their keys, sorted, and those that misspell one. Other tags are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl FromIterator<(String, String)> for Tags {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(tags: I) -> Self {
        Self(tags.into_iter().filter(|(key, _)| is_of_release(key)).collect())
    }
}

impl From<Vec<Tag>> for Tags {
    fn from(tags: Vec<Tag>) -> Self {
        tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }
}

/// Whether a key is one of a release, or misspells one: it is `ota` or begins with `ota:`, in any case and with blanks
/// anywhere; it equals a known one but for case, blanks, lookalikes and `: - . _ / = + @`; or it is a known one after a
/// prefix that is one slip away from `ota`.
fn is_of_release(key: &str) -> bool {
    let plain = without_blanks(key);
    plain == PREFIX
        || plain.starts_with(TAG_PREFIX)
        || VOCABULARY.iter().any(|known| folded(known) == folded(key))
        || after_slip(&plain).is_some()
}

/// What follows the prefix of a key, if that is at most one slip away from `ota` and a known tag has the rest.
fn after_slip(key: &str) -> Option<&str> {
    let (prefix, words) = key.split_once(':')?;
    let is_known = VOCABULARY.iter().any(|known| folded(&known[TAG_PREFIX.len()..]) == folded(words));
    (is_known && strsim::osa_distance(prefix, PREFIX) <= 1).then_some(words)
}

/// Tags in the form of the `x-amz-tagging` header: `key=value&key=value`, form-encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagHeader {
    /// The tags of the release. The last counts, if a key is there twice.
    pub tags: Tags,
    /// Why S3 would refuse the header: all its tags count, not only those of the release. No value is quoted.
    pub problems: Vec<String>,
}

impl From<&str> for TagHeader {
    fn from(header: &str) -> Self {
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = header.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let tags: Vec<_> = pairs.map(|(key, value)| (decoded(key), decoded(value))).collect();
        let mut problems = Vec::new();
        if tags.len() > MAX_TAGS {
            problems
                .push(format!("the object has {} tags, expected at most {MAX_TAGS}, as S3 allows no more", tags.len()));
        }
        for (at, (given, value)) in tags.iter().enumerate() {
            let key = quoted(given);
            if tags[..at].iter().filter(|(earlier, _)| earlier == given).count() == 1 {
                problems.push(format!("tag `{key}` is there more than once, expected each key once"));
            }
            if given.to_lowercase().starts_with("aws:") {
                problems.push(format!("tag `{key}` begins with `aws:`, which S3 does not allow"));
            }
            for (what, text, least, most) in [("key", given, 1, MAX_KEY), ("value", value, 0, MAX_VALUE)] {
                let length = text.encode_utf16().count();
                if !(least..=most).contains(&length) {
                    let expected = format!("expected {least} to {most}, which S3 allows");
                    problems.push(format!("tag `{key}` has {length} characters in its {what}, {expected}"));
                }
                if let Some(letter) = text.chars().find(|letter| !is_tag_letter(*letter)) {
                    let expected = "expected letters, digits, spaces and `+ - = . _ : / @`, which S3 allows";
                    problems.push(format!("tag `{key}` has {letter:?} in its {what}, {expected}"));
                }
            }
        }
        Self { tags: tags.into_iter().collect(), problems }
    }
}

/// Whether S3 allows the letter in a tag.
fn is_tag_letter(letter: char) -> bool {
    letter.is_alphanumeric() || (letter.is_whitespace() && !letter.is_control()) || "+-=._:/@".contains(letter)
}

/// Where a release says something of a file: in a tag, or in a file of its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Tags,
    File(usize),
}

impl Place {
    pub fn name(self, tag: &str) -> String {
        match self {
            Self::Tags => format!("tag `{tag}`"),
            Self::File(at) => format!("`files[{at}].{}`", member(tag)),
        }
    }

    /// The same beside others of its kind.
    pub fn short(self, tag: &str) -> String {
        match self {
            Self::Tags => format!("`{tag}`"),
            Self::File(_) => format!("`{}`", member(tag)),
        }
    }

    /// A value for a message. S3 bounds that of a tag, and nothing that of a member.
    fn quoted(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Tags => value.into(),
            Self::File(_) => quoted(value).into(),
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Self::Tags => "tag",
            Self::File(_) => "member",
        }
    }
}

/// The member of a manifest's file that says the same as a tag.
pub(crate) fn member(tag: &str) -> String {
    let mut words = tag.trim_start_matches(TAG_PREFIX).split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_uppercase() + rest
    })
}

/// Reads tags, or what a manifest says of a file by the names of the tags, and goes on after a bad one.
pub(crate) struct Reader<'a> {
    pub place: Place,
    pub tags: &'a BTreeMap<String, String>,
    pub problems: Vec<String>,
}

/// A tag had a problem, which has been told.
pub(crate) struct Reported;

impl Reader<'_> {
    pub fn problem(&mut self, tag: &str, value: &str, expected: &str) {
        let value = self.place.quoted(value);
        self.problems.push(format!("{} is `{value}`, expected {expected}", self.place.name(tag)));
    }

    pub fn tag<T: FromStr<Err = Expected>>(&mut self, tag: &str) -> Result<Option<T>, Reported> {
        let Some(value) = self.tags.get(tag) else { return Ok(None) };
        value.parse().map(Some).map_err(|Expected(expected)| {
            self.problem(tag, value, &expected);
            Reported
        })
    }

    pub fn tag_or<T: FromStr<Err = Expected> + Clone>(&mut self, tag: &str, default: &T) -> Option<T> {
        self.tag(tag).ok().map(|value| value.unwrap_or_else(|| default.clone()))
    }

    /// Reports every tag that is not known, with the one that was perhaps meant. The first without one has the list of all.
    pub fn report_unknown(&mut self) {
        let words = |tag: &'static str| &tag[TAG_PREFIX.len()..];
        let mut all = format!(", expected one of `{}`", VOCABULARY.join("`, `"));
        for tag in self.tags.keys().filter(|tag| !VOCABULARY.contains(&tag.as_str())) {
            let (plain, folded) = (without_blanks(tag), folded(tag));
            let given = after_slip(&plain).unwrap_or_else(|| folded.strip_prefix(PREFIX).unwrap_or(&folded));
            let nearest = nearest(given, VOCABULARY.map(words)).map(|words| format!("{TAG_PREFIX}{words}"));
            let instead = nearest.map_or_else(|| std::mem::take(&mut all), |nearest| suggestion(Some(&nearest)));
            self.problems.push(format!("tag `{}` is not known{instead}", quoted(tag)));
        }
    }

    /// Where the one tag is, the other must not be.
    pub fn excludes(&mut self, tag: &str, other: &str) {
        if let (true, Some(value)) = (self.tags.contains_key(tag), self.tags.get(other)) {
            self.problem(other, value, &format!("no such {} beside {}", self.place.kind(), self.place.short(tag)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    fn unknown(tag: &str) -> Vec<String> {
        let tags = [(tag.to_owned(), "x".to_owned())].into();
        let mut reader = Reader { place: Place::Tags, tags: &tags, problems: Vec::new() };
        reader.report_unknown();
        reader.problems
    }

    #[test]
    fn a_misspelt_tag_is_one_of_the_release_and_answered_with_the_right_spelling() {
        for known in VOCABULARY {
            let words = &known[TAG_PREFIX.len()..];
            for tag in [
                known.to_uppercase(),
                format!(" {known}"),
                format!("{known} "),
                known.replace(':', ": "),
                known.replace(':', "-"),
                known.replace(':', "/"),
                known.replace(':', ""),
                known.replace([':', '-'], "."),
                format!("{TAG_PREFIX}{}", words.replace('-', "_")),
                format!("OTA{}{}", words[..1].to_uppercase(), words[1..].replace('-', "")),
                format!("{TAG_PREFIX}{}", member(known)),
                known.replace(':', "="),
                known.replace(':', "+").replace('-', "@"),
                known.replace(':', "："),
                known.replace('o', "о"),
                known.replace("ota", "ｏｔａ").replace('t', "т"),
                known.replace("ota", "ot"),
                known.replace("ota", "oat"),
                known.replace("ota", "0ta"),
                known.replace("ota", "otas"),
                known.replace("ota", "Iota").replace('-', ""),
                format!("\u{feff}{known}"),
            ] {
                if tag == known {
                    continue;
                }
                let tags: Tags = [(tag.clone(), "x".to_owned())].into_iter().collect();
                assert_eq!(tags.0.len(), 1, "{tag}");
                assert_eq!(unknown(&tag), [format!("tag `{tag}` is not known, did you mean `{known}`?")]);
            }
        }
    }

    #[test]
    fn a_tag_is_suggested_by_a_part_of_its_name_and_all_are_listed_once_without_one() {
        for (tag, nearest) in [
            ("ota:group", THING_GROUP),
            ("ota:path", FILE_PATH),
            ("ota:zone", TIMEZONE),
            ("ota:version", PACKAGE_VERSION),
            ("ota:profile", SIGNING_PROFILE),
            ("ota:behavior", END_BEHAVIOR),
            ("ota:cert", CERTIFICATE),
            ("ota:package", PACKAGE_VERSION),
            ("ota:selection", TARGET_SELECTION),
        ] {
            assert_eq!(unknown(tag), [format!("tag `{tag}` is not known, did you mean `{nearest}`?")]);
        }
        for tag in ["ota:thing-type", "ota:x", "ota:", "ota", "ota:job", "ota:color", "ota:comment", "ota:owner"] {
            let [problem] = unknown(tag).try_into().unwrap();
            let start = format!("tag `{tag}` is not known, expected one of `ota:thing-group`, `ota:thing`, ");
            assert!(problem.starts_with(&start) && problem.ends_with(", `ota:file-type`"), "{problem}");
            assert!(problem.len() < 600);
        }
        let tags = ["ota:x", "ota:y"].map(|tag| (tag.to_owned(), "x".to_owned())).into();
        let mut reader = Reader { place: Place::Tags, tags: &tags, problems: Vec::new() };
        reader.report_unknown();
        assert!(reader.problems[0].len() > 100 && reader.problems[1] == "tag `ota:y` is not known");
    }

    #[test]
    fn tags_of_others_are_left_out() {
        let tag = |key: &str| Tag::builder().key(key).value("x").build().unwrap();
        let others = [
            "team",
            "start",
            "thing-group",
            "otastarts",
            "quota:start",
            "ota-x",
            "",
            "iota:color",
            "team:start",
            ":start",
            "ot:x",
            "team:ota",
            "data:start",
        ];
        let ours = ["ota:start", "OTA:x", " o ta : ", "ota:", "ota", " OTA", "оtа", "iota:start"];
        let tags = Tags::from(others.iter().chain(&ours).map(|key| tag(key)).collect::<Vec<_>>());
        assert_eq!(tags, Tags(ours.map(|key| (key.to_owned(), "x".to_owned())).into()));
    }

    #[test]
    fn a_header_that_s3_refuses_is_a_problem() {
        let problems = |header: &str| TagHeader::from(header).problems;
        let many = |count: usize| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join("&");
        let (long_key, long_value) = (format!("{}=", "k".repeat(128)), format!("k={}", "v".repeat(256)));
        let astral = format!("k={}", "𝔸".repeat(128));
        for good in ["", "a=b&", "ota:thing-group=lab+eu-1&größe=%C3%BC", &many(10), &long_key, &long_value, &astral]
        {
            assert_eq!(problems(good), Vec::<String>::new(), "{good}");
        }
        let letters = "expected letters, digits, spaces and `+ - = . _ : / @`, which S3 allows";
        for (bad, expected) in [
            (many(11), vec!["the object has 11 tags, expected at most 10, as S3 allows no more".to_owned()]),
            ("a=1&b=2&a=1".to_owned(), vec!["tag `a` is there more than once, expected each key once".to_owned()]),
            ("a&a&a".to_owned(), vec!["tag `a` is there more than once, expected each key once".to_owned()]),
            (
                format!("k{long_key}"),
                vec![format!(
                    "tag `{}` has 129 characters in its key, expected 1 to 128, which S3 allows",
                    "k".repeat(64) + "…"
                )],
            ),
            (
                format!("{long_value}v"),
                vec!["tag `k` has 257 characters in its value, expected 0 to 256, which S3 allows".to_owned()],
            ),
            (
                format!("{astral}v"),
                vec!["tag `k` has 257 characters in its value, expected 0 to 256, which S3 allows".to_owned()],
            ),
            (
                "=v".to_owned(),
                vec!["tag `` has 0 characters in its key, expected 1 to 128, which S3 allows".to_owned()],
            ),
            ("AWS:a=v".to_owned(), vec!["tag `AWS:a` begins with `aws:`, which S3 does not allow".to_owned()]),
            ("a=lab,b".to_owned(), vec![format!("tag `a` has ',' in its value, {letters}")]),
            ("a=x%0A".to_owned(), vec![format!("tag `a` has '\\n' in its value, {letters}")]),
            ("a=%FF".to_owned(), vec![format!("tag `a` has '\u{fffd}' in its value, {letters}")]),
            (
                "a*=?".to_owned(),
                ["key", "value"]
                    .map(|what| {
                        format!("tag `a*` has '{}' in its {what}, {letters}", if what == "key" { '*' } else { '?' })
                    })
                    .to_vec(),
            ),
        ] {
            assert_eq!(problems(&bad), expected, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_header_is_decoded_as_s3_decodes_it(tags: BTreeMap<String, String>) {
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let pairs = tags.iter().map(|(key, value)| format!("ota%3A{}={}", encoded(key), encoded(value)));
            let header = TagHeader::from(pairs.collect::<Vec<_>>().join("&").as_str());
            let expected = tags.into_iter().map(|(key, value)| (format!("ota:{key}"), value));
            prop_assert_eq!(header.tags, expected.collect());
        }

        #[test]
        fn no_header_makes_the_reader_panic(header in "\\PC*") {
            let _ = TagHeader::from(header.as_str());
        }
    }
}
