//! What attempts leave below a version's own signed prefix, for the next attempt: its objects, and the record of its job.

use crate::{
    clients::Clients,
    error::{Failure, required},
    settings::Settings,
    tags::Tags,
    upload::{Upload, is_gone},
};
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    operation::put_object::PutObjectError,
    primitives::ByteStream,
    types::ObjectVersion,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The object versions below an upload's signed prefix.
#[derive(Debug, Default)]
pub struct Traces {
    /// Whether there is a record.
    pub has_record: bool,
    /// By key (which ends in a signing job's ID): the version ID of the signed object. Raw copies were put over it. Those of
    /// a manifest's files lie each below a prefix of its own.
    pub signed: BTreeMap<String, String>,
}

impl Traces {
    /// Lists them; nothing but the record's presence is read.
    pub(crate) async fn list(aws: &Clients, settings: &Settings, upload: &Upload) -> Result<Self, Failure> {
        Self::below(aws, settings, upload, &upload.signed_prefix(settings)).await
    }

    /// The version ID of the signed object of a key, which is its oldest version.
    pub(crate) async fn oldest(
        aws: &Clients,
        settings: &Settings,
        upload: &Upload,
        key: &str,
    ) -> Result<Option<String>, Failure> {
        Ok(Self::below(aws, settings, upload, key).await?.signed.remove(key))
    }

    async fn below(aws: &Clients, settings: &Settings, upload: &Upload, prefix: &str) -> Result<Self, Failure> {
        let mut traces = Self::default();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let call = aws.s3.list_object_versions().bucket(&upload.bucket).prefix(prefix);
            let call = call.set_key_marker(key_marker).set_version_id_marker(version_marker);
            let page = call.expected_bucket_owner(&settings.ota_role.account).send().await;
            let page =
                page.map_err(|error| Failure::ListObjectVersions { prefix: prefix.to_owned(), source: error.into() })?;
            for version in page.versions.unwrap_or_default() {
                traces.add(prefix, version)?;
            }
            if !required(page.is_truncated, "IsTruncated")? {
                break;
            }
            key_marker = Some(required(page.next_key_marker, "NextKeyMarker")?);
            version_marker = Some(required(page.next_version_id_marker, "NextVersionIdMarker")?);
        }
        Ok(traces)
    }

    fn add(&mut self, prefix: &str, version: ObjectVersion) -> Result<(), Failure> {
        let (key, id) = (required(version.key, "Key")?, required(version.version_id, "VersionId")?);
        if key == record_key(prefix) {
            self.has_record |= required(version.is_latest, "IsLatest")?;
        } else if !key.ends_with(&image_key("/")) {
            // S3 lists the versions of a key from the newest to the oldest, which is the signed object.
            self.signed.insert(key, id);
        }
        Ok(())
    }
}

/// What is known of an upload's job. Without the job's ARN it fixes the job's ID for all attempts; with it, it is the
/// receipt: the job was made, and is never made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The ID of the stream of the job that was made, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// The ARN of the job that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_arn: Option<String>,
    /// The start of the job that was made, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// The end of the job that was made, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Whether the signature of the job that was made was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// The SHA-256 of the uploaded bytes, in hexadecimal digits. `None` if they were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The version ID that the job was made for, if this version is an unchanged copy of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged_since: Option<String>,
    /// The tags as they were read.
    pub tags: Tags,
}

impl JobRecord {
    /// The record of a job that is to be made.
    pub fn new(upload: &Upload, job_id: String, tags: Tags) -> Self {
        Self {
            bucket: upload.bucket.clone(),
            key: upload.key.clone(),
            version_id: upload.version_id.clone(),
            job_id,
            stream_id: None,
            job_arn: None,
            start_time: None,
            end_time: None,
            verified: None,
            sha256: None,
            unchanged_since: None,
            tags,
        }
    }

    /// The record of an upload. Fails if there is none.
    pub(crate) async fn read(aws: &Clients, settings: &Settings, upload: &Upload) -> Result<Self, Failure> {
        let missing =
            || Failure::ReadRecord { key: record_key(&upload.signed_prefix(settings)), source: "it is gone".into() };
        Self::find(aws, settings, upload).await?.ok_or_else(missing)
    }

    /// The record of an upload; `None` if there is none.
    pub(crate) async fn find(aws: &Clients, settings: &Settings, upload: &Upload) -> Result<Option<Self>, Failure> {
        let key = record_key(&upload.signed_prefix(settings));
        let failure = |source| Failure::ReadRecord { key: key.clone(), source };
        let call = aws.s3.get_object().bucket(&upload.bucket).key(&key);
        let answer = match call.expected_bucket_owner(&settings.ota_role.account).send().await {
            Ok(answer) => answer,
            Err(error) if is_gone(error.code()) => return Ok(None),
            Err(error) => return Err(failure(error.into())),
        };
        let body = answer.body.collect().await.map_err(|error| failure(error.into()))?;
        serde_json::from_slice(&body.into_bytes()).map(Some).map_err(|error| failure(error.into()))
    }

    /// Puts this record where there is none. Where another attempt was first, its record is the one that counts.
    pub(crate) async fn claim(self, aws: &Clients, settings: &Settings, upload: &Upload) -> Result<Self, Failure> {
        let mut put = self.put(aws, settings, upload, Some("*")).await;
        // S3: another such put was under way, try again.
        if put.as_ref().is_err_and(|error| error.code() == Some("ConditionalRequestConflict")) {
            put = self.put(aws, settings, upload, Some("*")).await;
        }
        match put {
            Ok(()) => Ok(self),
            Err(error) if error.code() == Some("PreconditionFailed") => Self::read(aws, settings, upload).await,
            Err(error) => Err(write_failure(settings, upload, error)),
        }
    }

    /// Puts this record over the one that is there.
    pub(crate) async fn confirm(&self, aws: &Clients, settings: &Settings, upload: &Upload) -> Result<(), Failure> {
        let put = self.put(aws, settings, upload, None).await;
        put.map_err(|error| write_failure(settings, upload, error))
    }

    async fn put(
        &self,
        aws: &Clients,
        settings: &Settings,
        upload: &Upload,
        if_none_match: Option<&str>,
    ) -> Result<(), SdkError<PutObjectError>> {
        let key = record_key(&upload.signed_prefix(settings));
        let json = serde_json::to_vec_pretty(self).map_err(SdkError::construction_failure);
        let call =
            aws.s3.put_object().bucket(&upload.bucket).key(key).set_if_none_match(if_none_match.map(str::to_owned));
        let call = call.content_type("application/json").expected_bucket_owner(&settings.ota_role.account);
        call.body(ByteStream::from(json?)).send().await?;
        Ok(())
    }
}

fn write_failure(settings: &Settings, upload: &Upload, error: SdkError<PutObjectError>) -> Failure {
    Failure::WriteRecord { key: record_key(&upload.signed_prefix(settings)), source: error.into() }
}

/// Where the raw copy goes of an image whose signed object is not there to be copied over.
pub(crate) fn image_key(prefix: &str) -> String {
    format!("{prefix}image")
}

fn record_key(prefix: &str) -> String {
    format!("{prefix}release.json")
}
