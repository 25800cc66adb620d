//! The values of single tags about a file on the device: its path and its type.

use crate::error::Expected;
use std::str::FromStr;

/// The longest path that every device parser takes.
const LONGEST_PATH: usize = 64;

/// Whether every device parser takes the letter in a path.
fn is_of_path(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '/' | '-')
}

/// Where devices put the file: 1–64 of `[A-Za-z0-9._/-]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(pub String);

impl FromStr for FilePath {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let is_path = (1..=LONGEST_PATH).contains(&value.len()) && value.chars().all(is_of_path);
        is_path
            .then(|| Self(value.to_owned()))
            .ok_or(Expected("1 to 64 letters, digits, `.`, `_`, `/` and `-`, such as `/app/blinky.bin`".into()))
    }
}

impl FilePath {
    /// That of a file name, letters that some devices do not take turned to `_`.
    pub(crate) fn of_name(name: &str) -> Self {
        Self(name.chars().map(|letter| if is_of_path(letter) { letter } else { '_' }).take(LONGEST_PATH).collect())
    }
}

/// What devices take the file for; 0 is firmware by the convention of FreeRTOS
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
