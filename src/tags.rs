//! The tags of a release, and how they are read: each that is bad is told, and reading goes on.

use crate::{error::Expected, upload::TAG_PREFIX};
use std::{collections::BTreeMap, str::FromStr};

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
pub(crate) struct Told;

impl Reader<'_> {
    pub fn problem(&mut self, tag: &str, value: &str, expected: &str) {
        self.problems.push(format!("{} is `{value}`, expected {expected}", self.place.name(tag)));
    }

    pub fn tag<T: FromStr<Err = Expected>>(&mut self, tag: &str) -> Result<Option<T>, Told> {
        let Some(value) = self.tags.get(tag) else { return Ok(None) };
        value.parse().map(Some).map_err(|Expected(expected)| {
            self.problem(tag, value, &expected);
            Told
        })
    }

    pub fn tag_or<T: FromStr<Err = Expected> + Clone>(&mut self, tag: &str, default: &T) -> Option<T> {
        self.tag(tag).ok().map(|value| value.unwrap_or_else(|| default.clone()))
    }

    pub fn refuse_unknown(&mut self) {
        for tag in self.tags.keys().filter(|tag| !VOCABULARY.contains(&tag.as_str())) {
            let given = tag.to_lowercase();
            let likeness = |known: &str| strsim::jaro_winkler(&known[TAG_PREFIX.len()..], &given[TAG_PREFIX.len()..]);
            let nearest = VOCABULARY.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
            let nearest = nearest.filter(|known| likeness(known) > 0.7);
            let hint = nearest.map(|known| format!(", did you mean `{known}`?")).unwrap_or_default();
            self.problems.push(format!("tag `{tag}` is not known{hint}"));
        }
    }

    /// Where the one tag is, the other must not be.
    pub fn excludes(&mut self, tag: &str, other: &str) {
        if let (true, Some(value)) = (self.tags.contains_key(tag), self.tags.get(other)) {
            self.problem(other, value, &format!("no such {} beside {}", self.place.kind(), self.place.short(tag)));
        }
    }
}
