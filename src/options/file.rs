//! The path and the type of a file on the device.

use crate::error::Expected;
use crate::options::name::{is_name, is_name_character, validated};
use std::str::FromStr;

/// The maximum length of a path that every device parser accepts.
const MAX_PATH: usize = 64;

/// The punctuation of a path that every device parser accepts.
const PUNCTUATION: &str = "._/-";

/// The path of the file on the device: 1–64 of `[A-Za-z0-9._/-]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(pub String);

impl FromStr for FilePath {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let expected = "1 to 64 letters, digits, `.`, `_`, `/` and `-`, such as `/app/blinky.bin`";
        validated(value, is_name(value, 1..=MAX_PATH, PUNCTUATION), expected).map(Self)
    }
}

impl FilePath {
    /// Returns the default path: the file name, with `_` for each character that some devices reject.
    pub(crate) fn from_file_name(name: &str) -> Self {
        let letter = |letter: char| if is_name_character(letter, PUNCTUATION) { letter } else { '_' };
        Self(name.chars().map(letter).take(MAX_PATH).collect())
    }
}

/// The type of the file for devices; 0 is firmware by the convention of FreeRTOS
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_OTAUpdateFile.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileType(pub u8);

impl FromStr for FileType {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| value.parse().ok()).flatten().map(Self).ok_or(Expected("a number from 0 to 255".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::name::tests::assert_grammar;

    #[test]
    fn paths_and_types_that_some_devices_reject_are_invalid() {
        assert_grammar::<FileType>(&["0", "255"], &["", "256", "-1", "+1"], "a number from 0 to 255");
        assert_grammar::<FilePath>(
            &["/", "/app/a-b_c.bin", &"x".repeat(64)],
            &["", "a b", "größe", &"x".repeat(65)],
            "1 to 64 letters, digits, ",
        );
        for (name, path) in [("größe 1.bin", "gr__e_1.bin"), (&"x".repeat(65), &"x".repeat(64))] {
            assert_eq!(FilePath::from_file_name(name).0, path);
        }
    }
}
