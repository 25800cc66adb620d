//! Finds a release by its job ID, job ARN, stream ID, or the key of its upload, and decides whether it is the stack's.

use crate::aws::Aws;
use crate::jobs::DescribedJob;
use crate::objects;
use crate::problem::Problem;
use crate::stack::Stack;
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::settings::Settings;
use ota_on_upload::upload::{ID_PREFIX, Upload, encoded};
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
                "the job `{}` {}: `ota show` has its record",
                self.job_id,
                self.state_without_job()
            ))
        })
    }

    /// The state of a job that does not exist. The receipt proves that it existed.
    pub fn state_without_job(&self) -> &'static str {
        let has_receipt = self.record.as_ref().is_some_and(|record| record.job_arn.is_some());
        if has_receipt { "was deleted" } else { "is not created yet" }
    }
}

/// The forms in which a user can name a release.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    JobId(&'a str),
    StreamId(&'a str),
    Url { bucket: &'a str, key: Key<'a> },
    IdOrKey(&'a str),
}

/// A key, or one version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key<'a> {
    key: &'a str,
    version_id: Option<&'a str>,
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(text: &'a str) -> Self {
        let (key, version_id) = text.rsplit_once("?versionId=").map_or((text, None), |(key, id)| (key, Some(id)));
        Self { key, version_id }
    }
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if let Some(location) = text.strip_prefix("s3://") {
            let (bucket, key) = location.split_once('/')?;
            return (!bucket.is_empty() && !key.is_empty()).then(|| Self::Url { bucket, key: key.into() });
        }
        if text.starts_with("arn:") {
            return match text.splitn(6, ':').nth(5)?.split_once('/')? {
                ("job", id) => Some(Self::JobId(id)),
                ("stream", id) => Some(Self::StreamId(id)),
                _ => None,
            };
        }
        (!text.is_empty()).then_some(Self::IdOrKey(text))
    }
}

/// Returns whether a release can have this ID of a job or stream. A job ID has at most 64 characters
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html>).
fn is_release_id(id: &str) -> bool {
    id.starts_with(ID_PREFIX)
        && id.len() <= 64
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Finds the release that a user names. `None` if the name is an ID that releases can have, without a job, a record or
/// a key.
///
/// # Errors
/// Fails if the name has no known form, is unknown or ambiguous, or is that of another stack's release.
pub async fn find(aws: &Aws, stack: &Stack, name: &str) -> Result<Option<Release>, Problem> {
    let settings = &stack.settings;
    let own = settings.iot_arn("");
    if name.starts_with("arn:") && !name.starts_with(&own) {
        return Err(Problem::not_done(format!(
            "`{name}` is in another account or Region, expected an ARN like `{own}job/…`"
        )));
    }
    match Name::parse(name) {
        Some(Name::JobId(id) | Name::StreamId(id)) if !is_release_id(id) => Err(Problem::not_done(format!(
            "`{name}` is not this stack's: the IDs of its jobs and streams begin with `{ID_PREFIX}`"
        ))),
        Some(Name::JobId(id)) => find_by_id(aws, stack, id).await,
        Some(Name::StreamId(id)) => find_by_stream(aws, stack, id).await,
        Some(Name::Url { bucket, .. }) if bucket != settings.upload_bucket => Err(Problem::not_done(format!(
            "`{bucket}` is not the bucket of the stack, expected `{}`",
            settings.upload_bucket
        ))),
        Some(Name::Url { key, .. }) => match find_version(aws, settings, key).await? {
            Some(record) => with_job(aws, record).await.map(Some),
            None => Err(no_version(key)),
        },
        Some(Name::IdOrKey(text)) => {
            if is_release_id(text)
                && let Some(release) = find_by_id(aws, stack, text).await?
            {
                return Ok(Some(release));
            }
            match find_by_key(aws, settings, text.into()).await? {
                Some(record) => with_job(aws, record).await.map(Some),
                None if is_release_id(text) => Ok(None),
                None => Err(no_version(text.into())),
            }
        }
        None => Err(Problem::usage(format!(
            "`{name}` names no release, expected a job ID or ARN, a stream ID, or `s3://bucket/key`, also with \
             `?versionId=…`"
        ))),
    }
}

/// Finds the release that a user names.
///
/// # Errors
/// Fails as [`find`], and if there is no such release.
pub async fn find_existing(aws: &Aws, stack: &Stack, name: &str) -> Result<Release, Problem> {
    find(aws, stack, name).await?.ok_or_else(|| {
        Problem::not_done(format!(
            "`{name}` is not known: no job or stream of this stack has this ID; `ota list` shows all"
        ))
    })
}

/// Finds a release by an ID, which can be that of a stream, too.
async fn find_by_id(aws: &Aws, stack: &Stack, id: &str) -> Result<Option<Release>, Problem> {
    let Some(job) = aws.jobs.describe(id).await? else { return find_by_stream(aws, stack, id).await };
    match upload_of(aws, stack, &job).await? {
        Some((upload, record)) => Ok(Some(Release { upload, job_id: id.to_owned(), job: Some(job), record })),
        None => Err(Problem::not_done(format!(
            "the job `{id}` is not this stack's: it is not the job of the upload that its description names"
        ))),
    }
}

/// Finds a release without its job: by the digits in the default ID of its job, or in the ID of its stream.
async fn find_by_stream(aws: &Aws, stack: &Stack, id: &str) -> Result<Option<Release>, Problem> {
    let Some(digits) = digits(id) else { return Ok(None) };
    let records = objects::records_beginning(aws, &stack.settings, &digits).await?;
    match records.into_iter().find(|record| record.job_id == id || upload(record).stream_id() == id) {
        Some(record) => with_job(aws, record).await.map(Some),
        None => Ok(None),
    }
}

/// Returns a release with the job of its record, if that exists and is the release's own.
async fn with_job(aws: &Aws, record: JobRecord) -> Result<Release, Problem> {
    let job = aws.jobs.describe(&record.job_id).await?.filter(|job| is_job_of(&record, job));
    Ok(Release { upload: upload(&record), job_id: record.job_id.clone(), job, record: Some(record) })
}

/// The upload of a record.
fn upload(record: &JobRecord) -> Upload {
    Upload::new(record.bucket.clone(), record.key.clone(), record.version_id.clone())
}

/// Returns whether a job is that of a record. Anyone who creates jobs can copy a description, but not the mark at its
/// end before the job exists. Records of earlier versions of the function have no mark, but the ARN of the created job.
fn is_job_of(record: &JobRecord, job: &DescribedJob) -> bool {
    let description = job.job.description().unwrap_or_default();
    let is_created = record.job_arn.is_some() && record.job_arn.as_deref() == job.job.job_arn();
    let is_marked = description.ends_with(&record.mark());
    record.job_id == job.id && is_marked && (record.nonce.is_some() || is_created)
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

/// Finds the record of a key with or without the upload prefix.
async fn find_by_key(aws: &Aws, settings: &Settings, key: Key<'_>) -> Result<Option<JobRecord>, Problem> {
    let prefix = &settings.upload_prefix.0;
    let mut found = Vec::new();
    for full in [key.key.to_owned(), format!("{prefix}{}", key.key)].iter().filter(|full| full.starts_with(prefix)) {
        found.extend(find_version(aws, settings, Key { key: full, ..key }).await?);
    }
    if found.len() > 1 {
        let urls = found.iter().map(|record| format!("`s3://{}/{}`", record.bucket, record.key)).collect::<Vec<_>>();
        return Err(Problem::usage(format!("`{}` is ambiguous, expected {}", key.key, urls.join(" or "))));
    }
    Ok(found.pop())
}

/// Finds the record of a version of a key, or of the newest version that has a job.
async fn find_version(aws: &Aws, settings: &Settings, key: Key<'_>) -> Result<Option<JobRecord>, Problem> {
    let versions = if let Some(version) = key.version_id {
        vec![version.to_owned()]
    } else {
        let versions = objects::versions(aws, settings, key.key).await?;
        versions.into_iter().filter_map(|version| version.version_id).collect()
    };
    for id in versions {
        let upload = Upload::new(settings.upload_bucket.clone(), key.key.to_owned(), id);
        let record = objects::record(aws, settings, &upload).await?;
        // Without the ARN, the record only reserves the job's ID.
        if let Some(record) = record.filter(|record| record.job_arn.is_some() || key.version_id.is_some()) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn no_version(Key { key, version_id }: Key<'_>) -> Problem {
    Problem::not_done(match version_id {
        Some(version) => {
            format!("the version `{version}` of `{key}` has no job: `ota list --key {key}` shows the others")
        }
        None => format!(
            "no version of `{key}` has a job, of the newest {}: `ota list` shows all releases, `ota list --key TEXT` those \
             whose key contains a text",
            objects::MAX_VERSIONS
        ),
    })
}

/// Returns the upload of a job of the stack, and its record. `None` if the job is not the stack's.
///
/// The description names the upload, except if a manifest has another description, or the key is very long. Then the
/// files of the job's document are next to the record. Anyone who creates jobs can copy a description. A job without a
/// record can therefore be shown, but must not be changed.
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
    let named = Upload::from_description(description);
    let record = match &named {
        Some(upload) if is_own(settings, upload) => objects::record(aws, settings, upload).await?,
        None if description.contains(" (release ") => record_of_document(aws, settings, job).await?,
        _ => return Ok(None),
    };
    Ok(match record {
        Some(record) => is_job_of(&record, job).then(|| (upload(&record), Some(record))),
        None => named.map(|upload| (upload, None)),
    })
}

/// Returns the record next to the first signed image of a job's document. `None` if the job, the image or the record
/// does not exist.
async fn record_of_document(aws: &Aws, settings: &Settings, job: &DescribedJob) -> Result<Option<JobRecord>, Problem> {
    let Some(document) = aws.jobs.document(&job.id).await? else { return Ok(None) };
    let document: Value = serde_json::from_str(&document).unwrap_or_default();
    match signed_key(aws, settings, &document["afr_ota"]).await? {
        Some(key) => objects::record_next_to(aws, settings, &key).await,
        None => Ok(None),
    }
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
    let prefix = &settings.signed_prefix.0;
    let beginning = format!("/{}/{}", settings.upload_bucket, encoded(prefix));
    Ok(url.split_once(&beginning).map(|(_, rest)| format!("{prefix}{rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_many_names() {
        let url = |bucket, key, version_id| Some(Name::Url { bucket, key: Key { key, version_id } });
        for (text, expected) in [
            ("AFR_OTA-blinky-1_2", Some(Name::IdOrKey("AFR_OTA-blinky-1_2"))),
            ("arn:aws:iot:eu-west-1:111122223333:job/AFR_OTA-a", Some(Name::JobId("AFR_OTA-a"))),
            ("arn:aws:iot:eu-west-1:111122223333:stream/AFR_OTA-a", Some(Name::StreamId("AFR_OTA-a"))),
            ("s3://b/firmware/a.bin", url("b", "firmware/a.bin", None)),
            ("s3://b/firmware/a.bin?versionId=v1", url("b", "firmware/a.bin", Some("v1"))),
            ("firmware/a.bin", Some(Name::IdOrKey("firmware/a.bin"))),
            ("", None),
            ("s3://b", None),
            ("s3:///k", None),
            ("s3://b/", None),
            ("arn:aws:iot:eu-west-1:111122223333:thing/a", None),
            ("arn:aws:iot", None),
        ] {
            assert_eq!(Name::parse(text), expected, "{text}");
        }
        assert_eq!(Key::from("a.bin?versionId=v1"), Key { key: "a.bin", version_id: Some("v1") });
    }

    #[test]
    fn only_ids_with_the_prefix_are_those_of_releases() {
        let longest = format!("{ID_PREFIX}{}", "a".repeat(64 - ID_PREFIX.len()));
        for (id, expected) in [
            ("AFR_OTA-blinky-1_2", true),
            (&longest, true),
            (&format!("{longest}a"), false),
            ("blinky", false),
            ("AFR_OTA-blinky.bin", false),
        ] {
            assert_eq!(is_release_id(id), expected, "{id}");
        }
    }

    #[test]
    fn only_the_job_with_the_mark_or_the_arn_of_a_record_is_its_own() {
        let record = |nonce: Option<&str>, arn: Option<&str>| JobRecord {
            job_id: "AFR_OTA-a".to_owned(),
            nonce: nonce.map(str::to_owned),
            job_arn: arn.map(str::to_owned),
            ..JobRecord::default()
        };
        let is_own = |record: &JobRecord, id: &str, description: &str| {
            let job = aws_sdk_iot::types::Job::builder().job_arn("arn").description(description).build();
            is_job_of(record, &DescribedJob { id: id.to_owned(), job, json: Value::Null })
        };
        let marked = record(Some("0123"), None);
        let description = format!("s3://b/k?versionId=v{}", marked.mark());
        assert!(is_own(&marked, "AFR_OTA-a", &description));
        assert!(!is_own(&marked, "AFR_OTA-b", &description));
        assert!(!is_own(&marked, "AFR_OTA-a", "s3://b/k?versionId=v"));
        assert!(!is_own(&record(Some("4567"), Some("arn")), "AFR_OTA-a", &description));
        // Records of earlier versions of the function.
        for (arn, expected) in [(Some("arn"), true), (Some("other"), false), (None, false)] {
            assert_eq!(is_own(&record(None, arn), "AFR_OTA-a", "s3://b/k?versionId=v"), expected, "{arn:?}");
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
