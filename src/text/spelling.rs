//! Suggests known names for misspelt ones, and lists names in messages.

use std::fmt::Display;

/// The minimum Jaro-Winkler similarity of a suggested name. The similarity of equal names is 1, and a common beginning
/// increases it.
const MIN_SIMILARITY: f64 = 0.75;

/// The minimum share of letters that a suggested name has in common with the misspelt one.
const MIN_IN_COMMON: f64 = 0.56;

/// The minimum length of a beginning or end that suggests the whole name.
const MIN_PART: usize = 3;

/// The maximum number of names of a list in a message.
const MAX_LISTED: usize = 20;

/// Pairs of a lower-case letter of another script and the ASCII letter that it looks like.
const LOOKALIKES: &str = "аaвbсcԁdеeһhіiјjкkмmоoрpѕsтtуyхxԝwαaεeιiκkνvοoρpτtυu";

/// Converts a letter to lower case, and a full-width letter or a lookalike to its ASCII letter.
fn plain(letter: char) -> impl Iterator<Item = char> {
    let half = |letter: char| match u32::from(letter) {
        code @ 0xff01..=0xff5e => char::from_u32(code - 0xfee0).unwrap_or(letter),
        _ => letter,
    };
    let ascii = |letter: char| {
        let mut others = LOOKALIKES.chars().skip_while(move |other| *other != letter);
        if letter.is_ascii() { letter } else { others.nth(1).unwrap_or(letter) }
    };
    half(letter).to_lowercase().map(ascii)
}

/// Converts a name to lower case, removes blanks, and replaces lookalikes by ASCII letters.
pub(crate) fn without_blanks(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_whitespace()).flat_map(plain).collect()
}

/// Converts a name to the form in which names are compared: in lower case, without blanks and `: - . _ / = + @`.
pub(crate) fn folded(name: &str) -> String {
    let mut name = without_blanks(name);
    name.retain(|letter| !":-._/=+@".contains(letter));
    name
}

/// Returns the only known name that begins or ends with `name`, or else the most similar one. `None` if no known name
/// is similar.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let unknown = folded(name);
    let names: Vec<_> = known.into_iter().map(|name| (folded(name), name)).collect();
    let is_part = |name: &str| unknown.len() >= MIN_PART && (name.starts_with(&unknown) || name.ends_with(&unknown));
    let is_exact = names.iter().any(|(name, _)| *name == unknown);
    let parts: Vec<_> = names.iter().filter(|(name, _)| !is_exact && is_part(name)).collect();
    if let [(_, name)] = parts[..] {
        return Some(name);
    }
    let similarities = names.iter().map(|(folded, name)| (strsim::jaro_winkler(folded, &unknown), folded, name));
    let (similarity, folded, name) = similarities.max_by(|(one, ..), (other, ..)| one.total_cmp(other))?;
    let in_common = strsim::normalized_damerau_levenshtein(folded, &unknown);
    let minimum = if parts.is_empty() { MIN_IN_COMMON } else { MIN_SIMILARITY };
    (similarity > MIN_SIMILARITY && in_common > minimum).then_some(name)
}

/// Formats a suggestion for the end of a sentence about an unknown name; empty without a suggestion.
pub(crate) fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

/// Formats the allowed names, at most 20 of them: `` one of `a`, `b` and 3 more ``.
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
        let names = "OTA:Thing-Group| ota:thing-group|ota.thing.group|ota/thing_group|Ota Thing\u{a0}Group|\
                     ota=thing+group|ota@thing-group|ＯＴＡ：ｔｈｉｎｇ－ｇｒｏｕｐ|оtа:tһing-grоuр|ОТА:ΤHING-GRΟUP";
        for name in names.split('|') {
            assert_eq!(folded(name), "otathinggroup", "{name}");
        }
        for name in ["ota:thing-gröup", "ota:thing*group", "ota:thing,group"] {
            assert_ne!(folded(name), "otathinggroup", "{name}");
        }
        let pairs: Vec<_> = LOOKALIKES.chars().collect();
        assert!(pairs.as_chunks::<2>().0.iter().all(|[other, ascii]| !other.is_ascii() && ascii.is_ascii_lowercase()));
    }

    #[test]
    fn the_most_similar_name_is_suggested() {
        let known = ["files", "description", "tags"];
        for (name, expected) in
            [("Files", "files"), ("file", "files"), ("DESCRIPTON", "description"), ("x", ""), ("es", "")]
        {
            assert_eq!(nearest(name, known).unwrap_or_default(), expected, "{name}");
        }
        assert_eq!(nearest("files", []), None);
        // The beginning or end of several names suggests a name only if it is similar to that name.
        let known = ["job-id", "job-template", "end", "end-behavior"];
        for (name, expected) in [("job", ""), ("end", "end"), ("ends", "end"), ("behavior", "end-behavior")] {
            assert_eq!(nearest(name, known).unwrap_or_default(), expected, "{name}");
        }
    }

    #[test]
    fn a_list_of_names_is_bounded() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b"]), "one of `a`, `b`");
        let [twenty, most] = [20, 23].map(|count| one_of(0..count));
        assert!(twenty.ends_with("`18`, `19`") && most.ends_with("`18`, `19` and 3 more"), "{most}");
    }
}
