//! One version of an uploaded object, and the IDs, names and tokens that are derived from it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::fmt::Write;

/// The prefix of every stream and job ID, which CreateOTAUpdate also uses.
pub const ID_PREFIX: &str = "AFR_OTA-";

/// The maximum length of a job's description without the release's mark. AWS IoT accepts 2028 characters, the mark has 27
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html>).
pub(crate) const MAX_DESCRIPTION: usize = 2028 - 27;

/// The version ID of an object in a bucket without versioning.
pub(crate) const NO_VERSION: &str = "null";

/// One version of an uploaded object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The bucket's name.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The version's ID.
    pub version_id: String,
    hash: [u8; 32],
}

impl fmt::Display for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} version {}", self.bucket, self.key, self.version_id)
    }
}

impl Upload {
    /// The version `version_id` of the object `key` in `bucket`.
    pub fn new(bucket: String, key: String, version_id: String) -> Self {
        let hash = hash_of([bucket.as_bytes(), key.as_bytes(), version_id.as_bytes()]);
        Self { bucket, key, version_id, hash }
    }

    /// Returns whether the object has a version ID. Without one, no request can be pinned to this upload.
    pub fn has_version(&self) -> bool {
        self.version_id != NO_VERSION
    }

    /// The part of the key after the last slash.
    pub fn file_name(&self) -> &str {
        file_name(&self.key)
    }

    /// The ID of this version's stream: 44 characters, the maximum of device libraries.
    pub fn stream_id(&self) -> String {
        format!("{ID_PREFIX}{}", uuid::Builder::from_custom_bytes(self.hash.as_chunks().0[0]).into_uuid())
    }

    /// The ID of this version's job if no tag sets an ID: the file name in the characters that AWS IoT accepts, and 12
    /// hexadecimal digits. The ID has at most 63 characters, because some devices store no more.
    pub fn default_job_id(&self) -> String {
        self.job_id_with(&hex(&self.hash[..6]))
    }

    /// The job ID with the file name and these digits.
    pub(crate) fn job_id_with(&self, digits: &str) -> String {
        let words = self.file_name().split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let slug = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
        let slug = slug[..slug.len().min(63 - ID_PREFIX.len() - 13)].trim_end_matches('-');
        let hyphen = if slug.is_empty() { "" } else { "-" };
        format!("{ID_PREFIX}{slug}{hyphen}{digits}")
    }

    /// The folder of this version below the signed prefix: 32 hexadecimal digits.
    pub(crate) fn folder_name(&self) -> String {
        hex(&self.hash[..16])
    }

    /// The client token of a request for this version, derived from the version and all inputs of the request.
    pub(crate) fn token(&self, inputs: &[&str]) -> String {
        let inputs = hash_of(inputs.iter().map(|input| input.as_bytes()));
        hex(&hash_of([&self.hash[..], &inputs[..]]))
    }

    /// The `CopySource` of this version: `bucket/key?versionId=…` in ASCII.
    pub(crate) fn copy_source(&self) -> String {
        format!("{}/{}?versionId={}", self.bucket, encoded(&self.key), encoded(&self.version_id))
    }

    /// The description of streams and jobs: the image's URL in at most [`MAX_DESCRIPTION`] characters, without control
    /// characters.
    pub(crate) fn description(&self) -> String {
        let mut description = format!("s3://{}", self.copy_source());
        description.truncate(MAX_DESCRIPTION);
        description
    }

    /// Returns the upload that the description of a stream or job names, with or without the release's mark. `None` if
    /// the description has another form, or may be truncated.
    pub fn from_description(description: &str) -> Option<Self> {
        let place = description.split(' ').next().filter(|place| place.len() < MAX_DESCRIPTION)?;
        let (path, version_id) = place.strip_prefix("s3://")?.split_once("?versionId=")?;
        let (bucket, key) = path.split_once('/')?;
        let decoded = |text| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
        let upload = Self::new(bucket.to_owned(), decoded(key)?, decoded(version_id)?);
        (upload.description() == place).then_some(upload)
    }
}

/// The part of a key after the last slash.
pub(crate) fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

/// Encodes a key as the SDKs write it into a URL of S3: percent-encoded except for `A-Za-z0-9/-_.~`.
pub fn encoded(key: &str) -> PercentEncode<'_> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(key, KEPT)
}

/// SHA-256 over parts, each preceded by its length in bytes as an unsigned 64-bit big-endian number. Different lists of
/// parts are therefore hashed as different bytes.
pub(crate) fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Formats bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn upload(key: &str) -> Upload {
        Upload::new("firmware-bucket".into(), key.into(), "v1".into())
    }

    proptest! {
        #[test]
        fn aws_iot_and_devices_accept_every_id(key in any::<String>(), version in any::<String>()) {
            let upload = Upload::new("b".into(), key, version);
            let is_accepted = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
            let (stream, job) = (upload.stream_id(), upload.default_job_id());
            prop_assert!(is_accepted(&stream) && stream.len() == 44, "{}", stream);
            prop_assert!(is_accepted(&job) && job.len() <= 63 && job.starts_with("AFR_OTA-"), "{}", job);
        }

        #[test]
        fn a_copy_source_is_ascii_and_decodes_to_the_key(key in any::<String>()) {
            let source = upload(&key).copy_source();
            prop_assert!(source.is_ascii());
            let path = source.strip_prefix("firmware-bucket/").unwrap().strip_suffix("?versionId=v1").unwrap();
            prop_assert!(!path.contains(['?', '+', ' ']));
            prop_assert_eq!(percent_decode_str(path).decode_utf8().unwrap(), key);
        }
    }

    /// The values were computed with Python's `hashlib` from the design.
    #[test]
    fn ids_and_names_are_derived_as_the_design_describes() {
        let upload = Upload::new("firmware-bucket".into(), "firmware/blinky 1.2.bin".into(), "v1".into());
        assert_eq!(upload.stream_id(), "AFR_OTA-b1ed762f-38b1-862d-812a-704628fad179");
        assert_eq!(upload.default_job_id(), "AFR_OTA-blinky-1-2-bin-b1ed762f38b1");
        assert_eq!(upload.folder_name(), "b1ed762f38b1162d412a704628fad179");
    }

    #[test]
    fn the_description_is_the_url_and_is_bounded() {
        assert_eq!(upload("firmware/a b.bin").to_string(), "s3://firmware-bucket/firmware/a b.bin version v1");
        let description = upload("firmware/a b.bin").description();
        assert_eq!(description, "s3://firmware-bucket/firmware/a%20b.bin?versionId=v1");
        let longest = upload(&"ü".repeat(512)).description();
        assert_eq!((longest.len(), &longest[..24]), (MAX_DESCRIPTION, "s3://firmware-bucket/%C3"));
    }

    #[test]
    fn a_description_names_its_upload() {
        for (key, version) in [("firmware/größe 1.bin", "v_1.a-b"), ("a?versionId=b%", "v"), ("a/", "null")] {
            let upload = Upload::new("firmware-bucket".into(), key.into(), version.into());
            let description = upload.description();
            assert_eq!(Upload::from_description(&description).as_ref(), Some(&upload));
            assert_eq!(Upload::from_description(&format!("{description} (release 0123456789abcdef)")), Some(upload));
        }
        let longest = upload(&"ü".repeat(512)).description();
        for other in
            ["", "my job", "s3://b/k", "s3://b?versionId=v", "s3://b/a b?versionId=v", "S3://b/k?versionId=v", &longest]
        {
            assert_eq!(Upload::from_description(other), None, "{other}");
        }
    }

    #[test]
    fn a_token_depends_on_the_version_and_every_input() {
        let all: [(_, &[&str]); 5] = [
            ("a", &["b", "c"]),
            ("a", &["bc", ""]),
            ("a", &["b", "d"]),
            ("b", &["b", "c"]),
            ("a", &["b", "c", "nonce"]),
        ];
        let tokens = all.map(|(key, inputs)| upload(key).token(inputs));
        assert!(tokens.iter().enumerate().all(|(index, token)| !tokens[..index].contains(token)), "{tokens:?}");
        assert_eq!(upload("a").token(&["b", "c"]), tokens[0]);
        assert!(tokens.iter().all(|token| token.len() == 64));
    }

    #[test]
    fn the_default_job_id_starts_with_a_slug_of_the_file_name() {
        let slug = |key: &str| {
            let id = upload(key).default_job_id();
            id.strip_prefix("AFR_OTA-").unwrap()[..id.len() - 8 - 12].to_owned()
        };
        let long = format!("{}-", "a".repeat(42));
        for (key, expected) in [
            ("firmware/blinky-1.2.0.bin", "blinky-1-2-0-bin-"),
            ("firmware/größe.bin", "gr-e-bin-"),
            ("firmware/🚀", ""),
            ("plain_name", "plain_name-"),
            ("x/a  b", "a-b-"),
            (&format!("x/{}", "a".repeat(100)), &long),
        ] {
            assert_eq!(slug(key), expected, "{key}");
        }
    }

    #[test]
    fn different_versions_have_different_stream_ids() {
        let names = [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("ab", "cd", "")]
            .map(|(bucket, key, version)| Upload::new(bucket.into(), key.into(), version.into()).stream_id());
        assert!(names.iter().enumerate().all(|(index, name)| !names[..index].contains(name)), "{names:?}");
    }
}
