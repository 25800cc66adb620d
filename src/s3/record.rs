//! The record of an upload's job, which all attempts at its release share.

use crate::error::{Failure, required};
use crate::s3::attempts::{record_key, record_versions};
use crate::s3::object::get;
use crate::scope::Scope;
use crate::tags::Tags;
use crate::upload::{Upload, hash_of, hex};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The placeholder in a dry run for values that depend on the record.
pub(crate) const FROM_RECORD: &str = "<from the record>";

/// The maximum number of versions of a record that are read at the same time.
const MAX_CONCURRENT_READS: usize = 10;

/// The record of an upload's job. A record without the job's ARN fixes the job's ID for all attempts. A record with
/// the ARN is the receipt: the job was created, and the function never creates it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// The bucket of the upload.
    pub bucket: String,
    /// The key of the upload.
    pub key: String,
    /// The version ID of the upload.
    pub version_id: String,
    /// The ID that the job has or will have.
    pub job_id: String,
    /// Random hexadecimal digits. The function derives values from them that nobody can compute in advance. `None` in
    /// records of earlier versions of the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The version IDs of the signature objects that the first attempt read, by the keys of their images.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signature_versions: BTreeMap<String, String>,
    /// The stream ID of the created job. `None` if the job has no stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// The ARN of the created job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_arn: Option<String>,
    /// The start of the created job, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// The end of the created job, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// `true` if the signature of the job was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// The SHA-256 of the uploaded bytes, in hexadecimal digits. `None` if they were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The version ID for which the job was created, if the upload is an unchanged copy of that version.
    #[serde(rename = "unchangedSince", default, skip_serializing_if = "Option::is_none")]
    pub original_version_id: Option<String>,
    /// The tags of the upload, as the attempt that wrote the record read them.
    pub tags: Tags,
    /// `true` if the record is in S3.
    #[serde(skip)]
    pub is_written: bool,
}

impl JobRecord {
    /// Makes the record of a job that is not created yet.
    ///
    /// # Errors
    /// Fails if the system has no random bytes.
    pub fn new(upload: &Upload, job_id: String, tags: Tags) -> Result<Self, Failure> {
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Failure::Other("the system has no random bytes".to_owned()))?;
        Ok(Self {
            bucket: upload.bucket.clone(),
            key: upload.key.clone(),
            version_id: upload.version_id.clone(),
            job_id,
            nonce: Some(hex(&nonce)),
            tags,
            ..Self::default()
        })
    }

    /// Derives hexadecimal digits from the nonce for one purpose. `None` if the record has no nonce.
    fn derived_digits(&self, purpose: &str) -> Option<String> {
        Some(hex(&hash_of([purpose.as_bytes(), self.nonce.as_ref()?.as_bytes()])))
    }

    /// The mark at the end of the description of the release's own job. Nobody can compute it before the record exists.
    pub fn mark(&self) -> String {
        self.derived_digits("description").map(|digits| mark(&digits[..16])).unwrap_or_default()
    }

    /// The job ID of a release whose default ID belongs to another job.
    pub(crate) fn fallback_job_id(&self, upload: &Upload) -> String {
        let digits = self.derived_digits("job ID").unwrap_or_default();
        upload.job_id_with(digits.get(..12).unwrap_or_default())
    }

    /// Finds the record of the upload. `None` if there is no record.
    ///
    /// # Errors
    /// Fails if the record cannot be listed or read.
    pub(crate) async fn find(scope: Scope<'_>) -> Result<Option<Self>, Failure> {
        Self::read(scope, &record_versions(scope).await?).await
    }

    /// Reads the record from its versions, the newest first. `None` if there are no versions.
    ///
    /// The newest version with the job's ARN is the record: the job was created, and must not be created again. If no
    /// version has the ARN, the oldest version is the record, because the first claim holds. With `If-None-Match`, S3
    /// accepts a later claim only while a delete marker hides the first one.
    ///
    /// # Errors
    /// Fails if a version cannot be read.
    pub(crate) async fn read(scope: Scope<'_>, versions: &[String]) -> Result<Option<Self>, Failure> {
        let Some((newest, older)) = versions.split_first() else { return Ok(None) };
        let newest = Self::read_version(scope, newest).await?;
        if newest.job_arn.is_some() || older.is_empty() {
            return Ok(Some(newest));
        }
        let older = stream::iter(older).map(|version| Self::read_version(scope, version));
        let mut older: Vec<_> = older.buffered(MAX_CONCURRENT_READS).try_collect().await?;
        let receipt = older.iter().position(|record| record.job_arn.is_some());
        Ok(receipt.map(|index| older.swap_remove(index)).or_else(|| older.pop()))
    }

    async fn read_version(scope: Scope<'_>, version: &str) -> Result<Self, Failure> {
        let key = record_key(&scope.prefix());
        let purpose = || format!("reading the record `{key}`");
        let response = get(scope, &key, Some(version)).send().await;
        let body = response.map_err(|error| Failure::request(purpose(), error))?.body;
        let body = body.collect().await.map_err(|error| Failure::request(purpose(), error))?.into_bytes();
        let record: Self = serde_json::from_slice(&body).map_err(|error| Failure::request(purpose(), error))?;
        Ok(Self { is_written: true, ..record })
    }

    /// Writes this record if S3 has none. Returns the version ID of the record, which is this attempt's claim to decide
    /// the job ID. S3 also accepts a claim if a delete marker hides an earlier one, so [`Self::claim_holds`] must check
    /// the claim.
    ///
    /// # Errors
    /// [`Failure::Overtaken`] if there is a record. Fails if the record cannot be written.
    pub(crate) async fn claim(&self, scope: Scope<'_>) -> Result<String, Failure> {
        let mut put = self.put(scope, Some("*")).await;
        // Another conditional PutObject of the same key was under way.
        if put.as_ref().is_err_and(|error| error.code() == Some("ConditionalRequestConflict")) {
            put = self.put(scope, Some("*")).await;
        }
        match put {
            Ok(version) => required(version, "x-amz-version-id"),
            Err(error) if error.code() == Some("PreconditionFailed") => Err(overtaken(scope)),
            Err(error) => Err(write_failure(scope, error)),
        }
    }

    /// Returns whether a claim holds: it must be the only version of the record.
    ///
    /// # Errors
    /// Fails if the record cannot be listed.
    pub(crate) async fn claim_holds(scope: Scope<'_>, claim: &str) -> Result<bool, Failure> {
        Ok(record_versions(scope).await? == [claim])
    }

    /// Overwrites the record in S3 with this one.
    pub(crate) async fn write(&self, scope: Scope<'_>) -> Result<(), Failure> {
        self.put(scope, None).await.map(drop).map_err(|error| write_failure(scope, error))
    }

    async fn put(
        &self,
        scope: Scope<'_>,
        if_none_match: Option<&str>,
    ) -> Result<Option<String>, SdkError<PutObjectError>> {
        let json = serde_json::to_vec_pretty(self).map_err(SdkError::construction_failure)?;
        let call = scope.aws.s3.put_object().bucket(&scope.upload.bucket).key(record_key(&scope.prefix()));
        let call = call.set_if_none_match(if_none_match.map(str::to_owned)).content_type("application/json");
        Ok(call.expected_bucket_owner(scope.account()).body(ByteStream::from(json)).send().await?.version_id)
    }
}

fn write_failure(scope: Scope<'_>, error: SdkError<PutObjectError>) -> Failure {
    Failure::request(format!("writing the record `{}`", record_key(&scope.prefix())), error)
}

/// The failure of an attempt if another attempt wrote the record first.
pub(crate) fn overtaken(scope: Scope<'_>) -> Failure {
    Failure::Overtaken { key: record_key(&scope.prefix()) }
}

/// The mark at the end of a job's description.
pub(crate) fn mark(digits: &str) -> String {
    format!(" (release {digits})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::MAX_DESCRIPTION;

    fn upload() -> Upload {
        Upload::new("b".into(), "firmware/a.bin".into(), "v1".into())
    }

    #[test]
    fn each_record_has_its_own_mark_and_fallback_job_id() {
        let record = || JobRecord::new(&upload(), "AFR_OTA-a".into(), Tags::default()).unwrap();
        let (one, other) = (record(), record());
        assert_eq!(one.nonce.as_ref().map(String::len), Some(32));
        assert_ne!(one.mark(), other.mark());
        assert_ne!(one.fallback_job_id(&upload()), other.fallback_job_id(&upload()));
        let [mark, id] = [one.mark(), one.fallback_job_id(&upload())];
        assert_eq!(mark.len() + MAX_DESCRIPTION, 2028);
        assert!(mark.starts_with(" (release ") && mark.ends_with(')'), "{mark}");
        assert!(id.starts_with("AFR_OTA-a-bin-") && id.len() == upload().default_job_id().len(), "{id}");
        assert_ne!(id, upload().default_job_id());
        assert!(!mark.contains(&id[id.len() - 12..]));
    }

    #[test]
    fn a_record_of_an_earlier_version_of_the_function_has_no_mark() {
        let json = r#"{"bucket":"b","key":"firmware/a.bin","versionId":"v1","jobId":"AFR_OTA-a","tags":{}}"#;
        let record: JobRecord = serde_json::from_str(json).unwrap();
        assert_eq!((record.nonce.clone(), record.mark()), (None, String::new()));
    }
}
