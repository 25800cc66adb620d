//! The names of release tags, and S3's limits on tags.

use crate::text::json::quoted;
use crate::text::spelling::{folded, nearest, without_blanks};
use aws_sdk_s3::types::Tag;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// The prefix of every release tag.
pub(crate) const TAG_PREFIX: &str = "ota:";
/// The prefix without its colon.
const BARE_PREFIX: &str = "ota";

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

/// Every tag that a release may have.
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

/// The tags that a manifest cannot have. They describe one file; each file of a manifest has members instead.
pub(crate) const FILE_TAGS: [&str; 6] =
    [SIGNING_JOB, SIGNATURE, SIGNATURE_ALGORITHM, CERTIFICATE, FILE_PATH, FILE_TYPE];

/// The maximum number of tags on an object. S3 documents this limit and the next two at
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>.
const MAX_TAGS: usize = 10;
/// The maximum length of a tag's key, in UTF-16 code units.
const MAX_KEY: usize = 128;
/// The maximum length of a tag's value, in UTF-16 code units.
const MAX_VALUE: usize = 256;

/// The release tags of an object by key, including misspelt ones. Other tags of the object are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl FromIterator<(String, String)> for Tags {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(tags: I) -> Self {
        Self(tags.into_iter().filter(|(key, _)| is_release_tag(key)).collect())
    }
}

impl From<Vec<Tag>> for Tags {
    fn from(tags: Vec<Tag>) -> Self {
        tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }
}

/// Returns whether a key is a release tag, or misspells one:
/// - It is `ota` or begins with `ota:`, in upper or lower case and with blanks anywhere.
/// - It equals a known tag except for case, blanks, lookalikes and `: - . _ / = + @`.
/// - It is the name of a known tag after a prefix that is at most one typing error away from `ota`.
fn is_release_tag(key: &str) -> bool {
    let plain = without_blanks(key);
    plain == BARE_PREFIX
        || plain.starts_with(TAG_PREFIX)
        || VOCABULARY.iter().any(|known| folded(known) == folded(key))
        || after_misspelt_prefix(&plain).is_some()
}

/// Returns the known tag that an unknown one most likely means, if one is near enough.
pub(crate) fn nearest_tag(tag: &str) -> Option<String> {
    let (plain, folded) = (without_blanks(tag), folded(tag));
    let name = after_misspelt_prefix(&plain).or_else(|| folded.strip_prefix(BARE_PREFIX)).unwrap_or(&folded);
    nearest(name, VOCABULARY.map(without_prefix)).map(|name| format!("{TAG_PREFIX}{name}"))
}

/// Returns the part of a key after its prefix, if this part names a known tag. The prefix may be at most one typing
/// error away from `ota`.
fn after_misspelt_prefix(key: &str) -> Option<&str> {
    let (prefix, name) = key.split_once(':')?;
    let is_known = VOCABULARY.iter().any(|known| folded(without_prefix(known)) == folded(name));
    (is_known && strsim::osa_distance(prefix, BARE_PREFIX) <= 1).then_some(name)
}

fn without_prefix(tag: &str) -> &str {
    &tag[TAG_PREFIX.len()..]
}

/// Tags in the form of the `x-amz-tagging` header: `key=value&key=value`, form-encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagHeader {
    /// The release tags. If a key occurs twice, the last value applies.
    pub tags: Tags,
    /// Every reason why S3 would reject the header, including reasons in tags that are not release tags. Values are not
    /// quoted.
    pub problems: Vec<String>,
}

impl From<&str> for TagHeader {
    fn from(header: &str) -> Self {
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = header.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let tags: Vec<_> = pairs.map(|(key, value)| (decoded(key), decoded(value))).collect();
        let problems = header_problems(&tags);
        Self { tags: tags.into_iter().collect(), problems }
    }
}

fn header_problems(tags: &[(String, String)]) -> Vec<String> {
    let mut problems = Vec::new();
    if tags.len() > MAX_TAGS {
        problems.push(format!("the object has {} tags, expected at most {MAX_TAGS}, as S3 allows no more", tags.len()));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        let shown = quoted(key);
        // Reports a repeated key once, at its second occurrence.
        if tags[..index].iter().filter(|(earlier, _)| earlier == key).count() == 1 {
            problems.push(format!("tag `{shown}` occurs more than once, expected each key once"));
        }
        if key.to_lowercase().starts_with("aws:") {
            problems.push(format!("tag `{shown}` begins with `aws:`, which S3 does not allow"));
        }
        for (part, text, min, max) in [("key", key, 1, MAX_KEY), ("value", value, 0, MAX_VALUE)] {
            let length = text.encode_utf16().count();
            if !(min..=max).contains(&length) {
                let expected = format!("expected {min} to {max}, which S3 allows");
                problems.push(format!("tag `{shown}` has {length} characters in its {part}, {expected}"));
            }
            if let Some(letter) = text.chars().find(|letter| !is_allowed_by_s3(*letter)) {
                let expected = "expected letters, digits, spaces and `+ - = . _ : / @`, which S3 allows";
                problems.push(format!("tag `{shown}` has {letter:?} in its {part}, {expected}"));
            }
        }
    }
    problems
}

/// Returns whether S3 allows the character in a tag.
fn is_allowed_by_s3(letter: char) -> bool {
    letter.is_alphanumeric() || (letter.is_whitespace() && !letter.is_control()) || "+-=._:/@".contains(letter)
}

#[cfg(test)]
mod tests;
