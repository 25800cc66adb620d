//! The form of names, IDs and paths: their length and their characters.

use crate::error::Expected;
use std::ops::RangeInclusive;

/// Returns whether the character is an ASCII letter, a digit or in this punctuation.
pub(crate) fn is_name_character(letter: char, punctuation: &str) -> bool {
    letter.is_ascii_alphanumeric() || punctuation.contains(letter)
}

/// Returns whether a text has an allowed length, and consists of ASCII letters, digits and this punctuation.
pub(crate) fn is_name(text: &str, lengths: RangeInclusive<usize>, punctuation: &str) -> bool {
    lengths.contains(&text.len()) && text.chars().all(|letter| is_name_character(letter, punctuation))
}

/// Returns the value if it is valid.
///
/// # Errors
/// Fails with the expected form if the value is invalid.
pub(crate) fn validated(value: &str, is_valid: bool, expected: &'static str) -> Result<String, Expected> {
    if is_valid { Ok(value.to_owned()) } else { Err(Expected(expected.into())) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::str::FromStr;

    /// Checks which values an option accepts, and how its description of the expected form begins.
    pub(crate) fn assert_grammar<T: FromStr<Err = Expected>>(good: &[&str], bad: &[&str], expected: &str) {
        for value in good {
            assert!(value.parse::<T>().is_ok(), "{value}");
        }
        for value in bad {
            assert!(value.parse::<T>().is_err_and(|Expected(form)| form.starts_with(expected)), "{value}");
        }
    }

    #[test]
    fn a_name_has_ascii_letters_digits_and_its_own_punctuation() {
        for (text, is_good) in
            [("aZ09_-", true), ("a", true), ("", false), ("aaaaaaa", false), ("a.b", false), ("ä", false), ("а", false)]
        {
            assert_eq!(is_name(text, 1..=6, "_-"), is_good, "{text}");
        }
    }
}
