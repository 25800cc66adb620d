//! Things and thing groups: their names, and the rules on which of them uploads may target.

use crate::error::Expected;
use std::{fmt, str::FromStr};

/// A thing group or a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// All things in the group.
    ThingGroup(String),
    /// One thing.
    Thing(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThingGroup(name) => write!(f, "thinggroup/{name}"),
            Self::Thing(name) => write!(f, "thing/{name}"),
        }
    }
}

/// Whether AWS IoT takes the name for a thing or a thing group: 1–128 of `[a-zA-Z0-9:_-]`
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThingGroup.html>).
pub(crate) fn is_target_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-'))
}

/// Names of things or thing groups, none twice.
pub(crate) struct Names(pub Vec<String>);

impl FromStr for Names {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let names: Vec<_> = value.split(' ').map(str::to_owned).collect();
        let once = |(at, name): (usize, &String)| !names[..at].contains(name);
        let are_names = names.iter().all(|name| is_target_name(name)) && names.iter().enumerate().all(once);
        are_names.then_some(Self(names)).ok_or(Expected(
            "names with one space between, none twice, each of letters, digits, `:`, `_` and `-`, such as `lab eu-west`"
                .into(),
        ))
    }
}

/// A thing (group) name, or the beginning of one followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl FromStr for NamePattern {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let fixed = value.strip_suffix('*').unwrap_or(value);
        let is_pattern = is_target_name(fixed) || value == "*";
        is_pattern.then(|| Self(value.to_owned())).ok_or(Expected(
            "names with commas between, each of letters, digits, `:`, `_` and `-`, or the beginning of one and `*`, \
             such as `lab,eu-*`"
                .into(),
        ))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl NamePattern {
    fn matches(&self, name: &str) -> bool {
        self.0.strip_suffix('*').map_or(self.0 == name, |beginning| name.starts_with(beginning))
    }
}

/// Values with commas between; spaces around them do not count. Empty text is an empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommaSeparated<T>(pub Vec<T>);

impl<T: FromStr<Err = Expected>> FromStr for CommaSeparated<T> {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        if value.is_empty() {
            return Ok(Self(Vec::new()));
        }
        value.split(',').map(|item| item.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl CommaSeparated<TargetRule> {
    /// The names that uploads to this folder ([`Settings::folder`]) may reach.
    pub fn patterns(&self, folder: &str) -> impl Iterator<Item = &NamePattern> {
        self.0.iter().filter(move |fence| fence.prefix == folder).map(|fence| &fence.pattern)
    }

    /// Whether uploads to this folder may reach this name.
    pub fn allows(&self, folder: &str, name: &str) -> bool {
        self.patterns(folder).any(|pattern| pattern.matches(name))
    }
}

/// Which things or thing groups uploads may reach: those that match the pattern, for all uploads or, as in `lab/=lab-*`, for
/// those below a prefix that comes after the upload prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRule {
    /// Empty for all uploads.
    pub(crate) prefix: String,
    pattern: NamePattern,
}

impl FromStr for TargetRule {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let Some((prefix, pattern)) = value.split_once('=') else {
            return Ok(Self { prefix: String::new(), pattern: value.parse()? });
        };
        let takes = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
        let is_prefix = prefix.len() > 1 && !prefix.starts_with('/') && prefix.ends_with('/');
        if !is_prefix || !prefix.bytes().all(takes) {
            return Err(Expected(
                "before each `=` a key prefix below the upload prefix, of letters, digits, `.`, `_`, `-` and `/`, that ends \
                 in `/`, such as `lab/=lab-*`"
                    .into(),
            ));
        }
        Ok(Self { prefix: prefix.to_owned(), pattern: pattern.parse()? })
    }
}
