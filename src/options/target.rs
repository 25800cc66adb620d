//! The names of things and thing groups, and the rules for the targets that an upload may name.

use crate::error::Expected;
use crate::options::name::{is_name, validated};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

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

/// Returns whether AWS IoT accepts the name of a thing or a thing group: 1–128 of `[a-zA-Z0-9:_-]`
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThingGroup.html>).
pub(crate) fn is_target_name(name: &str) -> bool {
    is_name(name, 1..=128, ":_-")
}

/// Distinct names of things or thing groups.
pub(crate) struct Names(pub Vec<String>);

impl FromStr for Names {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let mut names = BTreeSet::new();
        let are_names = value.split(' ').all(|name| is_target_name(name) && names.insert(name));
        are_names.then(|| Self(value.split(' ').map(str::to_owned).collect())).ok_or(Expected(
            "distinct names of letters, digits, `:`, `_` and `-` with one space between, such as `lab eu-west`".into(),
        ))
    }
}

/// The name of a thing or thing group, or the beginning of a name followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl FromStr for NamePattern {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let fixed = value.strip_suffix('*').unwrap_or(value);
        let is_pattern = is_target_name(fixed) || value == "*";
        let expected = "names of letters, digits, `:`, `_` and `-`, or beginnings of names followed by `*`, with commas \
                        between, such as `lab,eu-*`";
        validated(value, is_pattern, expected).map(Self)
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

/// Comma-separated values. Spaces around a value are ignored. An empty text is an empty list.
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
    /// Returns the patterns of the names that uploads to this folder may target. The folder is the prefix of a rule, or
    /// empty.
    pub fn patterns(&self, folder: &str) -> impl Iterator<Item = &NamePattern> {
        self.0.iter().filter(move |rule| rule.prefix == folder).map(|rule| &rule.pattern)
    }

    /// Returns whether uploads to this folder may target this name.
    pub fn allows(&self, folder: &str, name: &str) -> bool {
        self.patterns(folder).any(|pattern| pattern.matches(name))
    }
}

/// A rule that allows uploads to target the things or thing groups that match its pattern. The rule `lab/=lab-*`
/// applies only to uploads below `lab/` within the upload prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRule {
    /// The folder below the upload prefix. Empty if the rule has none.
    pub prefix: String,
    pattern: NamePattern,
}

impl FromStr for TargetRule {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let Some((prefix, pattern)) = value.split_once('=') else {
            return Ok(Self { prefix: String::new(), pattern: value.parse()? });
        };
        if !is_name(prefix, 2..=usize::MAX, "._-/") || prefix.starts_with('/') || !prefix.ends_with('/') {
            return Err(Expected(
                "before each `=` a key prefix below the upload prefix, of letters, digits, `.`, `_`, `-` and `/`, that ends \
                 in `/`, such as `lab/=lab-*`"
                    .into(),
            ));
        }
        Ok(Self { prefix: prefix.to_owned(), pattern: pattern.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::name::tests::assert_grammar;

    #[test]
    fn names_are_distinct_and_have_only_characters_that_aws_iot_allows() {
        assert_grammar::<Names>(
            &["lab", "lab eu-west eu-", "thing-1 thing-a:b_c", &"x".repeat(128)],
            &["", "lab ", "lab lab", "lab/x", "lаb", "../lab", "thing-1  thing-2", &"x".repeat(129)],
            "distinct names of letters, digits, ",
        );
        let Names(names) = "b a c".parse().ok().unwrap();
        assert_eq!(names, ["b", "a", "c"]);
    }

    #[test]
    fn a_pattern_is_a_name_or_its_beginning() {
        assert_grammar::<CommaSeparated<TargetRule>>(
            &["", "*", "lab", "a:b , c*", "bench/=bench-*", "a/b.c_d-e/=*"],
            &["lab,", "l*b", "**", "lab/="],
            "names of letters, digits, ",
        );
        assert_grammar::<CommaSeparated<TargetRule>>(
            &[],
            &["lab=lab-*", "/=lab-*", "/lab/=lab-*", "lab*/=lab-*", "ü/=lab-*"],
            "before each `=` a key prefix below the upload prefix, ",
        );
    }

    #[test]
    fn a_rule_allows_names_only_for_its_folder() {
        let rules: CommaSeparated<TargetRule> = "lab,eu-*,lab/=lab-*".parse().unwrap();
        for (folder, name, allowed) in [
            ("", "lab", true),
            ("", "lab-2", false),
            ("", "eu-", true),
            ("", "eu-west", true),
            ("", "us", false),
            ("lab/", "lab-2", true),
            ("lab/", "lab", false),
        ] {
            assert_eq!(rules.allows(folder, name), allowed, "{folder} {name}");
        }
    }
}
