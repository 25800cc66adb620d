//! The names that misspelt ones stand for, and lists of names for messages.

use std::fmt::Display;

/// The likeness from which on a name is suggested: 0 for nothing in common, 1 for the same.
const LIKE: f64 = 0.75;

/// The most names of a list in a message.
const MAX_LISTED: usize = 20;

/// A name as it is compared with others: in lower case, without blanks and `: - . _ /`.
pub(crate) fn folded(name: &str) -> String {
    let letters = name.chars().filter(|letter| !letter.is_whitespace() && !":-._/".contains(*letter));
    letters.flat_map(char::to_lowercase).collect()
}

/// The known name that is most like the given one. `None` if no name is like it.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = folded(given);
    let names = known.into_iter().map(|name| (strsim::jaro_winkler(&folded(name), &given), name));
    let (likeness, name) = names.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (likeness > LIKE).then_some(name)
}

/// The end of a sentence on a name that is not known: the suggestion, if there is one.
pub(crate) fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

/// The names that are allowed, the first 20 of them: `` one of `a`, `b` and 3 more ``.
pub(crate) fn one_of(names: impl IntoIterator<Item = impl Display>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(MAX_LISTED);
    match names.as_slice() {
        [name] => name.clone(),
        names if more == 0 => format!("one of {}", names.join(", ")),
        names => format!("one of {} and {more} more", names[..MAX_LISTED].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_blanks_and_separators() {
        for name in
            ["OTA:Thing-Group", " ota:thing-group", "ota.thing.group", "ota/thing_group", "Ota Thing\u{a0}Group"]
        {
            assert_eq!(folded(name), "otathinggroup", "{name}");
        }
        assert_ne!(folded("ota+thing@group"), "otathinggroup");
    }

    #[test]
    fn the_most_similar_name_is_suggested() {
        let known = ["files", "description", "tags"];
        for (given, expected) in
            [("Files", Some("files")), ("file", Some("files")), ("DESCRIPTON", Some("description")), ("x", None)]
        {
            assert_eq!(nearest(given, known), expected, "{given}");
        }
        assert_eq!(nearest("files", []), None);
    }

    #[test]
    fn a_list_of_names_is_bounded() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b"]), "one of `a`, `b`");
        let [twenty, most] = [20, 23].map(|count| one_of(0..count));
        assert!(twenty.ends_with("`18`, `19`") && most.ends_with("`18`, `19` and 3 more"), "{most}");
    }
}
