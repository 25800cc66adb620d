//! Lists the object versions that earlier attempts at a release left.

use crate::error::{Failure, required};
use crate::options::signature::SigningJobId;
use crate::s3::listing;
use crate::scope::Scope;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::ObjectVersion;
use std::cmp::Reverse;

/// The maximum number of pages, of 1000 versions each, in a list of object versions below one prefix. Only the function
/// writes there, and each attempt writes two versions for each file, so a release never has more pages.
const MAX_PAGES: usize = 10;

/// The maximum number of earlier signing jobs that are looked up for one file.
const MAX_SIGNING_JOBS: usize = 3;

/// The object versions that earlier attempts left.
#[derive(Debug, Default)]
pub struct EarlierAttempts {
    /// The version IDs of the record, the newest first, including versions under a delete marker.
    pub record_versions: Vec<String>,
    signed_objects: Vec<SignedObjectVersion>,
}

/// The signed object of a signing job: the oldest version of its key, because raw copies overwrite it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedObjectVersion {
    pub signing_job: String,
    pub key: String,
    pub version_id: String,
    written: DateTime,
}

impl EarlierAttempts {
    /// Lists the versions of the record and of signed objects. Ignores all other keys.
    ///
    /// # Errors
    /// Fails if a request fails, or the list has more pages than attempts can leave.
    pub(crate) async fn list(scope: Scope<'_>) -> Result<Self, Failure> {
        let prefix = scope.prefix();
        let mut attempts = Self::default();
        for version in versions(scope, &prefix, |_| true).await? {
            attempts.add(&prefix, version)?;
        }
        Ok(attempts)
    }

    fn add(&mut self, prefix: &str, version: ObjectVersion) -> Result<(), Failure> {
        let key = required(version.key, "Key")?;
        if key == record_key(prefix) {
            self.record_versions.push(required(version.version_id, "VersionId")?);
            return Ok(());
        }
        let Some((_, signing_job)) = key.rsplit_once('/').filter(|(_, last)| last.parse::<SigningJobId>().is_ok())
        else {
            return Ok(());
        };
        let signed = SignedObjectVersion {
            signing_job: signing_job.to_owned(),
            version_id: required(version.version_id, "VersionId")?,
            written: required(version.last_modified, "LastModified")?,
            key,
        };
        // S3 lists the versions of a key from the newest to the oldest.
        match self.signed_objects.last_mut().filter(|newer| newer.key == signed.key) {
            Some(newer) => *newer = signed,
            None => self.signed_objects.push(signed),
        }
        Ok(())
    }

    /// The newest signed objects directly below a file's prefix, the newest first.
    pub(crate) fn signed_objects(&self, prefix: &str) -> Vec<&SignedObjectVersion> {
        let is_below = |signed: &&SignedObjectVersion| signed.key.strip_prefix(prefix) == Some(&signed.signing_job);
        let mut signed: Vec<_> = self.signed_objects.iter().filter(is_below).collect();
        signed.sort_by_key(|signed| Reverse(signed.written));
        signed.truncate(MAX_SIGNING_JOBS);
        signed
    }
}

/// The version IDs of the upload's record, the newest first.
pub(crate) async fn record_versions(scope: Scope<'_>) -> Result<Vec<String>, Failure> {
    versions_of(scope, &record_key(&scope.prefix())).await
}

/// The version IDs of a key, the newest first.
pub(crate) async fn versions_of(scope: Scope<'_>, key: &str) -> Result<Vec<String>, Failure> {
    // S3 lists keys in lexicographic order: longer keys that begin with this key come after it.
    let versions = versions(scope, key, |listed| listed == key).await?;
    versions.into_iter().map(|version| required(version.version_id, "VersionId")).collect()
}

/// Lists the object versions below a prefix, up to the first key that is not wanted.
async fn versions(
    scope: Scope<'_>,
    prefix: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<ObjectVersion>, Failure> {
    let mut versions = Vec::new();
    let (mut key_marker, mut version_marker) = (None, None);
    for _ in 0..MAX_PAGES {
        let call = scope.aws.s3.list_object_versions();
        let call = call.set_key_marker(key_marker).set_version_id_marker(version_marker);
        let page = listing::page(scope, prefix, call).await?;
        for version in page.versions.unwrap_or_default() {
            if !is_wanted(required(version.key(), "Key")?) {
                return Ok(versions);
            }
            versions.push(version);
        }
        if !required(page.is_truncated, "IsTruncated")? {
            return Ok(versions);
        }
        key_marker = Some(required(page.next_key_marker, "NextKeyMarker")?);
        version_marker = Some(required(page.next_version_id_marker, "NextVersionIdMarker")?);
    }
    Err(Failure::Other(format!(
        "more than {MAX_PAGES} pages of object versions are below `{prefix}`, where only the function writes, expected \
         those of a few attempts; find out who wrote them"
    )))
}

/// The key of the record of the upload with this prefix.
pub fn record_key(prefix: &str) -> String {
    format!("{prefix}release.json")
}

/// The key of the raw copy of an image whose signature the uploader provides.
pub(crate) fn image_key(prefix: &str) -> String {
    format!("{prefix}image")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "SignedImage/b1ed762f38b1162d412a704628fad179/";

    fn attempts(versions: &[(&str, &str, i64)]) -> EarlierAttempts {
        let mut attempts = EarlierAttempts::default();
        for (key, id, written) in versions {
            let version = ObjectVersion::builder().key(format!("{PREFIX}{key}")).version_id(*id);
            attempts.add(PREFIX, version.last_modified(DateTime::from_secs(*written)).build()).unwrap();
        }
        attempts
    }

    fn id(number: u8) -> String {
        format!("00000000-0000-4000-8000-{number:012}")
    }

    #[test]
    fn only_the_newest_signing_jobs_of_a_file_are_looked_up() {
        let keys: Vec<_> = (0..6).map(|number| (id(number), i64::from(number * 7 % 6))).collect();
        let versions: Vec<_> = keys.iter().map(|(key, written)| (key.as_str(), "v", *written)).collect();
        let found = attempts(&versions);
        let found: Vec<_> = found.signed_objects(PREFIX).iter().map(|signed| signed.signing_job.clone()).collect();
        assert_eq!(found, [id(5), id(4), id(3)]);
    }

    #[test]
    fn the_signed_object_is_the_oldest_version_of_its_key() {
        let key = id(1);
        let found = attempts(&[(&key, "copy 2", 9), (&key, "copy 1", 8), (&key, "signed", 7)]);
        let [signed] = found.signed_objects(PREFIX)[..] else { panic!("{found:?}") };
        assert_eq!((signed.version_id.as_str(), signed.written), ("signed", DateTime::from_secs(7)));
    }

    #[test]
    fn keys_of_any_other_form_are_ignored() {
        let (own, of_file, foreign) = (id(1), format!("7/{}", id(2)), format!("7/x/{}", id(3)));
        let no_ids = [own.replace('-', ""), format!("{{{own}}}"), format!("{own} "), format!("{own}{own}")];
        let others =
            ["", "/", "image", "release.json/", "x/release.json", "\u{1}\u{202e}", "..", &own, &of_file, &foreign];
        let keys = others.into_iter().chain(no_ids.iter().map(String::as_str)).map(|key| (key, "v", 1));
        let record = [("release.json", "new", 1), ("release.json", "old", 1)];
        let found = attempts(&record.into_iter().chain(keys).collect::<Vec<_>>());
        assert_eq!(found.record_versions, ["new", "old"]);
        let below =
            |prefix: &str| -> Vec<_> { found.signed_objects(prefix).iter().map(|signed| signed.key.clone()).collect() };
        assert_eq!(below(PREFIX), [format!("{PREFIX}{own}")]);
        assert_eq!(below(&format!("{PREFIX}7/")), [format!("{PREFIX}{of_file}")]);
    }
}
