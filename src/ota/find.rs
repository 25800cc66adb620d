//! Finds a release by its job ID, job ARN, stream ID, or the key of its upload, and decides whether it is the stack's.

use crate::aws::Aws;
use crate::jobs::DescribedJob;
use crate::objects;
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::settings::Settings;
use ota_on_upload::upload::{ID_PREFIX, Upload};
use serde_json::Value;

/// A release of the stack.
#[derive(Debug)]
pub struct Release {
    /// The upload.
    pub upload: Upload,
    /// The ID that the job has or had.
    pub job_id: String,
    /// The job. `None` if it was deleted, or was not created yet.
    pub job: Option<DescribedJob>,
    /// The record of the job. `None` if it is missing.
    pub record: Option<JobRecord>,
}

impl Release {
    /// Returns the job.
    ///
    /// # Errors
    /// Fails if it does not exist.
    pub fn existing_job(&self) -> Result<&DescribedJob, Problem> {
        self.job.as_ref().ok_or_else(|| {
            Problem::not_done(format!(
                "the job `{}` does not exist: it was deleted, or is not created yet",
                self.job_id
            ))
        })
    }
}

/// The forms in which a user can name a release.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    JobId(&'a str),
    StreamId(&'a str),
    Key { bucket: Option<&'a str>, key: &'a str, version_id: Option<&'a str> },
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let is_id = |id: &str| {
            (1..=128).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if let Some(location) = text.strip_prefix("s3://") {
            let (bucket, key) =
                location.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())?;
            let (key, version_id) = split_version(key);
            return Some(Self::Key { bucket: Some(bucket), key, version_id });
        }
        if text.starts_with("arn:") {
            let (kind, id) = text.splitn(6, ':').nth(5)?.split_once('/').filter(|(_, id)| is_id(id))?;
            return match kind {
                "job" => Some(Self::JobId(id)),
                "stream" => Some(Self::StreamId(id)),
                _ => None,
            };
        }
        if is_id(text) {
            return Some(Self::JobId(text));
        }
        let (key, version_id) = split_version(text);
        (!key.is_empty()).then_some(Self::Key { bucket: None, key, version_id })
    }
}

fn split_version(key: &str) -> (&str, Option<&str>) {
    key.rsplit_once("?versionId=").map_or((key, None), |(key, version)| (key, Some(version)))
}

/// Finds the release that a user names. `None` if a job ID has neither a job nor a record.
///
/// # Errors
/// Fails if the name has no known form, is ambiguous, or is that of another stack's release.
pub async fn find(aws: &Aws, stack: &Stack, name: &str) -> Result<Option<Release>, Problem> {
    let own = stack.settings.iot_arn("");
    if name.starts_with("arn:") && !name.starts_with(&own) {
        return Err(Problem::not_done(format!(
            "`{name}` is in another account or Region, expected an ARN like `{own}job/…`"
        )));
    }
    match Name::parse(name) {
        Some(Name::JobId(id)) => find_by_id(aws, stack, id).await,
        Some(Name::StreamId(id)) => find_by_stream(aws, stack, id).await,
        Some(Name::Key { bucket, key, version_id }) => {
            let own = &stack.settings.upload_bucket;
            if let Some(bucket) = bucket.filter(|bucket| bucket != own) {
                return Err(Problem::not_done(format!("`{bucket}` is not the bucket of the stack, expected `{own}`")));
            }
            find_by_key(aws, stack, key, version_id).await.map(Some)
        }
        None => Err(Problem::usage(format!(
            "`{name}` is no release, expected a job ID or ARN, a stream ID, or `s3://bucket/key`, also with `?versionId=…`"
        ))),
    }
}

/// Finds the release that a user names.
///
/// # Errors
/// Fails as [`find`], and if there is no such release.
pub async fn find_existing(aws: &Aws, stack: &Stack, name: &str) -> Result<Release, Problem> {
    find(aws, stack, name).await?.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Problem {
    Problem::not_done(format!(
        "`{name}` is not known: no job or stream of this stack has this ID; `ota list` shows all"
    ))
}

/// Finds a release by an ID, which can be that of a stream, too.
async fn find_by_id(aws: &Aws, stack: &Stack, id: &str) -> Result<Option<Release>, Problem> {
    if let Some(job) = aws.jobs.describe(id).await? {
        let Some((upload, record)) = upload_of(aws, stack, &job).await? else {
            return Err(Problem::new(
                Exit::NotDone,
                format!("the job `{id}` is not this stack's: its description names no upload of the stack"),
            ));
        };
        let record = match record {
            Some(record) => Some(record),
            None => objects::record(aws, &stack.settings, &upload).await?,
        };
        if let Some(record) = record.as_ref().filter(|record| !is_job_of(record, &job)) {
            return Err(Problem::not_done(format!(
                "the job `{id}` is not this stack's: its description names {upload}, whose job is `{}`",
                record.job_id
            )));
        }
        return Ok(Some(Release { upload, job_id: id.to_owned(), job: Some(job), record }));
    }
    find_by_stream(aws, stack, id).await
}

/// Finds a release without its job: by the digits in the default ID of its job, or in the ID of its stream.
async fn find_by_stream(aws: &Aws, stack: &Stack, id: &str) -> Result<Option<Release>, Problem> {
    let Some(digits) = digits(id) else { return Ok(None) };
    for record in objects::records_beginning(aws, &stack.settings, &digits).await? {
        let upload = Upload::new(record.bucket.clone(), record.key.clone(), record.version_id.clone());
        if record.job_id == id || upload.stream_id() == id {
            return with_job(aws, upload, record).await.map(Some);
        }
    }
    Ok(None)
}

/// Returns a release with the job of its record, if that exists and is the release's own.
async fn with_job(aws: &Aws, upload: Upload, record: JobRecord) -> Result<Release, Problem> {
    let job = aws.jobs.describe(&record.job_id).await?.filter(|job| is_job_of(&record, job));
    Ok(Release { upload, job_id: record.job_id.clone(), job, record: Some(record) })
}

/// Returns whether a job is that of a record. Anyone who creates jobs can copy a description, but not the mark at its
/// end before the job exists.
fn is_job_of(record: &JobRecord, job: &DescribedJob) -> bool {
    let description = job.job.description().unwrap_or_default();
    record.job_id == job.id && description.ends_with(&record.mark())
}

/// The first 12 hexadecimal digits of an upload's hash, in the default ID of its job or in the ID of its stream.
fn digits(id: &str) -> Option<String> {
    let id = id.strip_prefix(ID_PREFIX)?;
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let last = id.rsplit('-').next()?;
    let digits = match id.split('-').collect::<Vec<_>>()[..] {
        [one, two, three, four, five] if [8, 4, 4, 4, 12] == [one, two, three, four, five].map(str::len) => {
            format!("{one}{two}")
        }
        _ => last.to_owned(),
    };
    (digits.len() == 12 && is_hex(&digits)).then_some(digits)
}

/// Finds the release of a version of a key, or of the newest released version.
async fn find_by_key(aws: &Aws, stack: &Stack, key: &str, version: Option<&str>) -> Result<Release, Problem> {
    let settings = &stack.settings;
    let prefix = &settings.upload_prefix.0;
    let mut found = Vec::new();
    for key in [key.to_owned(), format!("{prefix}{key}")].into_iter().filter(|key| key.starts_with(prefix)) {
        found.extend(find_version(aws, settings, &key, version).await?);
    }
    match found.len() {
        0 => Err(Problem::not_done(format!(
            "no version of `{key}` is released, of the newest {}: `ota list --key {key}` shows the keys that contain this \
             text",
            objects::MAX_VERSIONS
        ))),
        1 => {
            let (upload, record) = found.remove(0);
            with_job(aws, upload, record).await
        }
        _ => {
            let keys: Vec<_> =
                found.iter().map(|(upload, _)| format!("`s3://{}/{}`", upload.bucket, upload.key)).collect();
            Err(Problem::usage(format!("`{key}` is ambiguous, expected {}", keys.join(" or "))))
        }
    }
}

async fn find_version(
    aws: &Aws,
    settings: &Settings,
    key: &str,
    version: Option<&str>,
) -> Result<Option<(Upload, JobRecord)>, Problem> {
    let versions = if let Some(version) = version {
        vec![version.to_owned()]
    } else {
        let versions = objects::versions(aws, settings, key).await?;
        versions.into_iter().filter_map(|version| version.version_id).collect()
    };
    for id in versions {
        let upload = Upload::new(settings.upload_bucket.clone(), key.to_owned(), id);
        let record = objects::record(aws, settings, &upload).await?;
        // Without the ARN, the record only reserves the job's ID.
        if let Some(record) = record.filter(|record| record.job_arn.is_some() || version.is_some()) {
            return Ok(Some((upload, record)));
        }
    }
    Ok(None)
}

/// Returns the upload of a job of the stack, and its record if that was read. `None` if the job is not the stack's.
///
/// The description names the upload, except if a manifest has another description, or the key is very long. Then the
/// files of the job's document are next to the record.
///
/// # Errors
/// Fails if a request fails.
pub async fn upload_of(
    aws: &Aws,
    stack: &Stack,
    job: &DescribedJob,
) -> Result<Option<(Upload, Option<JobRecord>)>, Problem> {
    let settings = &stack.settings;
    let description = job.job.description().unwrap_or_default();
    if let Some(upload) = Upload::from_description(description) {
        return Ok(is_own(settings, &upload).then_some((upload, None)));
    }
    if !description.contains(" (release ") {
        return Ok(None);
    }
    let document: Value = serde_json::from_str(&aws.jobs.document(&job.id).await?).unwrap_or_default();
    let ota = &document["afr_ota"];
    let Some(key) = signed_key(aws, settings, ota).await? else { return Ok(None) };
    let record = objects::record_next_to(aws, settings, &key).await?;
    Ok(record.filter(|record| is_job_of(record, job)).map(|record| {
        (Upload::new(record.bucket.clone(), record.key.clone(), record.version_id.clone()), Some(record))
    }))
}

/// Returns whether an upload is below the upload prefix of the stack's bucket.
fn is_own(settings: &Settings, upload: &Upload) -> bool {
    upload.bucket == settings.upload_bucket && upload.key.starts_with(&settings.upload_prefix.0)
}

/// The key of the first signed image of a job's document, if it is in the bucket of the stack.
async fn signed_key(aws: &Aws, settings: &Settings, ota: &Value) -> Result<Option<String>, Problem> {
    if let Some(stream) = ota["streamname"].as_str() {
        let Some((stream, _)) = aws.jobs.stream(stream).await? else { return Ok(None) };
        let location = stream.files.unwrap_or_default().into_iter().next().and_then(|file| file.s3_location);
        let location = location.filter(|location| location.bucket() == Some(&settings.upload_bucket));
        return Ok(location.and_then(|location| location.key));
    }
    let url = ota["files"][0]["update_data_url"].as_str().unwrap_or_default();
    let beginning = format!("/{}/{}", settings.upload_bucket, settings.signed_prefix.0);
    let rest = url.split_once(&beginning).map(|(_, rest)| rest);
    Ok(rest.map(|rest| format!("{}{rest}", settings.signed_prefix.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_many_names() {
        let key = |bucket, key, version_id| Some(Name::Key { bucket, key, version_id });
        for (text, expected) in [
            ("AFR_OTA-blinky-1_2", Some(Name::JobId("AFR_OTA-blinky-1_2"))),
            ("arn:aws:iot:eu-west-1:111122223333:job/AFR_OTA-a", Some(Name::JobId("AFR_OTA-a"))),
            ("arn:aws:iot:eu-west-1:111122223333:stream/AFR_OTA-a", Some(Name::StreamId("AFR_OTA-a"))),
            ("s3://b/firmware/a.bin", key(Some("b"), "firmware/a.bin", None)),
            ("s3://b/firmware/a.bin?versionId=v1", key(Some("b"), "firmware/a.bin", Some("v1"))),
            ("firmware/a.bin", key(None, "firmware/a.bin", None)),
            ("a.bin?versionId=v1", key(None, "a.bin", Some("v1"))),
            ("", None),
            ("s3://b", None),
            ("s3:///k", None),
            ("arn:aws:iot:eu-west-1:111122223333:thing/a", None),
            ("arn:aws:iot", None),
        ] {
            assert_eq!(Name::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_ids_of_a_release_have_the_digits_of_its_record() {
        let upload = Upload::new("firmware-bucket".into(), "firmware/blinky 1.2.bin".into(), "v1".into());
        for id in [upload.stream_id(), upload.default_job_id()] {
            assert_eq!(digits(&id).as_deref(), Some("b1ed762f38b1"), "{id}");
        }
        for id in ["AFR_OTA-blinky", "b1ed762f38b1", "AFR_OTA-x-b1ed762f38bx", "AFR_OTA-B1ED762F38B1"] {
            assert_eq!(digits(id), None, "{id}");
        }
    }
}
