//! Finds a release by its job ID, job ARN, stream ID, or the key of its upload, and decides whether it is the stack's.

use crate::aws::Aws;
use crate::jobs::DescribedJob;
use crate::objects::{self, upload_of};
use crate::problem::Problem;
use crate::stack::Stack;
use ota_on_upload::job::existing::names_upload;
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::settings::Settings;
use ota_on_upload::upload::{ID_PREFIX, Upload, encoded};
use serde_json::Value;

/// A release of the stack.
#[derive(Debug)]
pub struct Release {
    /// The upload.
    pub upload: Upload,
    /// The job. `None` if it was deleted, or was not created yet.
    pub job: Option<DescribedJob>,
    /// The record, which proves that the job is the stack's.
    pub record: JobRecord,
}

impl Release {
    /// Returns the job.
    ///
    /// # Errors
    /// Fails if it does not exist.
    pub fn existing_job(&self) -> Result<&DescribedJob, Problem> {
        self.job.as_ref().ok_or_else(|| {
            let (id, state) = (&self.record.job_id, self.state_without_job());
            Problem::not_done(format!("the job `{id}` {state}: `ota show` has its record"))
        })
    }

    /// The state of a job that does not exist. The receipt proves that it existed.
    pub fn state_without_job(&self) -> &'static str {
        if self.record.job_arn.is_some() { "was deleted" } else { "is not created yet" }
    }
}

/// The forms in which a user can name a release.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    JobId(&'a str),
    StreamId(&'a str),
    Url { bucket: &'a str, key: &'a str },
    IdOrKey(&'a str),
}

/// A key, or one version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    key: String,
    version_id: Option<String>,
}

impl Key {
    /// The keys and versions that a text can mean. A key can contain `?versionId=`, too.
    fn all(text: &str) -> Vec<Self> {
        let whole = Self { key: text.to_owned(), version_id: None };
        let version = text.rsplit_once("?versionId=");
        let version = version.map(|(key, id)| Self { key: key.to_owned(), version_id: Some(id.to_owned()) });
        version.into_iter().chain([whole]).collect()
    }
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if let Some(location) = text.strip_prefix("s3://") {
            let (bucket, key) = location.split_once('/')?;
            return (!bucket.is_empty() && !key.is_empty()).then_some(Self::Url { bucket, key });
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

/// Finds the release that a user names.
///
/// # Errors
/// Fails if the name has no known form, is unknown or ambiguous, or is that of a job that is not the stack's.
pub async fn find(aws: &Aws, stack: &Stack, name: &str) -> Result<Release, Problem> {
    let settings = &stack.settings;
    let (own, prefix) = (settings.iot_arn(""), &settings.upload_prefix.0);
    if name.starts_with("arn:") && !name.starts_with(&own) {
        return Err(Problem::not_done(format!(
            "`{name}` is in another account or Region, expected an ARN like `{own}job/…`"
        )));
    }
    match Name::parse(name) {
        Some(Name::JobId(id) | Name::StreamId(id)) if !is_release_id(id) => Err(Problem::not_done(format!(
            "`{name}` is not this stack's: the IDs of its jobs and streams begin with `{ID_PREFIX}`"
        ))),
        Some(Name::JobId(id)) => find_by_id(aws, settings, id).await?.ok_or_else(|| unknown(id)),
        Some(Name::StreamId(id)) => find_by_digits(aws, settings, id).await?.ok_or_else(|| unknown(id)),
        Some(Name::Url { bucket, .. }) if bucket != settings.upload_bucket => Err(Problem::not_done(format!(
            "`{bucket}` is not the bucket of the stack, expected `{}`",
            settings.upload_bucket
        ))),
        Some(Name::Url { key, .. }) if !key.starts_with(prefix) => {
            Err(Problem::not_done(format!("`{key}` is not below `{prefix}`, the upload prefix of the stack")))
        }
        Some(Name::Url { key, .. }) => {
            find_by_key(aws, settings, key, Key::all(key)).await?.ok_or_else(|| no_version(key))
        }
        Some(Name::IdOrKey(text)) => {
            let by_id = if is_release_id(text) { find_by_id(aws, settings, text).await? } else { None };
            if let Some(release) = by_id {
                return Ok(release);
            }
            let keys = [text.to_owned(), format!("{prefix}{text}")];
            let keys = keys.iter().filter(|key| key.starts_with(prefix)).flat_map(|key| Key::all(key)).collect();
            let problem = if is_release_id(text) { unknown } else { no_version };
            find_by_key(aws, settings, text, keys).await?.ok_or_else(|| problem(text))
        }
        None => Err(Problem::usage(format!(
            "`{name}` names no release, expected a job ID or ARN, a stream ID, or `s3://bucket/key`, also with \
             `?versionId=…`"
        ))),
    }
}

fn unknown(id: &str) -> Problem {
    Problem::not_done(format!(
        "`{id}` is not known: no job or stream of this stack has this ID. `ota list` shows all jobs; if the job was deleted, \
         name the key of its upload"
    ))
}

/// Finds a release by an ID, which can be that of a stream, too.
async fn find_by_id(aws: &Aws, settings: &Settings, id: &str) -> Result<Option<Release>, Problem> {
    let Some(job) = aws.jobs.describe(id).await? else { return find_by_digits(aws, settings, id).await };
    match record_of(aws, settings, &job).await? {
        Some(record) => proven(aws, settings, record, job).await.map(Some),
        None => Err(foreign(settings, id)),
    }
}

/// Finds a release without its job: by the digits in the default ID of its job, or in the ID of its stream.
async fn find_by_digits(aws: &Aws, settings: &Settings, id: &str) -> Result<Option<Release>, Problem> {
    match record_with_digits(aws, settings, id).await? {
        Some(record) => with_job(aws, settings, record).await.map(Some),
        None => Ok(None),
    }
}

async fn record_with_digits(aws: &Aws, settings: &Settings, id: &str) -> Result<Option<JobRecord>, Problem> {
    let Some(digits) = digits(id) else { return Ok(None) };
    let records = objects::records_beginning(aws, settings, &digits).await?;
    Ok(records.into_iter().find(|record| record.job_id == id || upload_of(record).stream_id() == id))
}

/// Returns the release of a record, with its job if that exists.
///
/// # Errors
/// Fails if the receipt names a job that is not as the function created it.
async fn with_job(aws: &Aws, settings: &Settings, record: JobRecord) -> Result<Release, Problem> {
    match aws.jobs.describe(&record.job_id).await? {
        Some(job) if is_job_of(&record, &job) => proven(aws, settings, record, job).await,
        // Another release of the stack can have a job with the same ID, because the job of this one was deleted.
        Some(job) if record.job_arn.is_some() && record_of(aws, settings, &job).await?.is_none() => {
            Err(foreign(settings, &job.id))
        }
        // Without a receipt, another job has the ID, and the function will choose another ID.
        _ => Ok(Release { upload: upload_of(&record), job: None, record }),
    }
}

/// Returns the release of a record and its job.
///
/// # Errors
/// Fails if the document of the job does not name the upload: the job was created again, by others.
async fn proven(aws: &Aws, settings: &Settings, record: JobRecord, job: DescribedJob) -> Result<Release, Problem> {
    let upload = upload_of(&record);
    // An unchanged copy has the job of its original.
    let original = record.original_version_id.clone().unwrap_or_else(|| record.version_id.clone());
    let original = Upload::new(record.bucket.clone(), record.key.clone(), original);
    match aws.jobs.document(&job.id).await? {
        Some(document) if !names_upload(&json_of(&document), settings, &original) => Err(foreign(settings, &job.id)),
        _ => Ok(Release { upload, job: Some(job), record }),
    }
}

fn json_of(document: &str) -> Value {
    serde_json::from_str(document).unwrap_or_default()
}

/// The problem of a job that exists, and must not be touched.
fn foreign(settings: &Settings, id: &str) -> Problem {
    Problem::not_done(format!(
        "the job `{id}` is not this stack's: no record in the bucket `{}` proves that the function created it as it is now; \
         if you know it, use `aws iot` with `--job-id {id}`",
        settings.upload_bucket
    ))
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

fn no_version(name: &str) -> Problem {
    Problem::not_done(format!(
        "no version of `{name}` has a job: it does not exist, is not released yet, or was rejected or skipped; `ota list --key \
         TEXT` shows the jobs of keys with a text"
    ))
}

/// Finds the release of the only one of these keys that has one.
async fn find_by_key(aws: &Aws, settings: &Settings, name: &str, keys: Vec<Key>) -> Result<Option<Release>, Problem> {
    let mut found = Vec::new();
    for key in &keys {
        found.extend(find_version(aws, settings, key).await?);
    }
    if found.len() > 1 {
        let urls = found.iter().map(|record| format!("`s3://{}/{}`", record.bucket, record.key)).collect::<Vec<_>>();
        return Err(Problem::usage(format!("`{name}` is ambiguous, expected {}", urls.join(" or "))));
    }
    match found.pop() {
        Some(record) => with_job(aws, settings, record).await.map(Some),
        None => Ok(None),
    }
}

/// Finds the record of a version of a key, or of the newest version.
///
/// # Errors
/// Fails if the newest version has no record, and an older version has a job: the user can mean either.
async fn find_version(
    aws: &Aws,
    settings: &Settings,
    Key { key, version_id }: &Key,
) -> Result<Option<JobRecord>, Problem> {
    let record = async |id: &str| {
        let upload = Upload::new(settings.upload_bucket.clone(), key.clone(), id.to_owned());
        objects::record(aws, settings, &upload).await
    };
    if let Some(version) = version_id {
        return record(version).await;
    }
    let versions = objects::versions(aws, settings, key).await?;
    let mut ids = versions.iter().filter_map(|version| version.version_id());
    let Some(newest) = ids.next() else { return Ok(None) };
    if let Some(record) = record(newest).await? {
        return Ok(Some(record));
    }
    for older in ids {
        if record(older).await?.is_some_and(|record| record.job_arn.is_some()) {
            let url = format!("s3://{}/{key}?versionId={older}", settings.upload_bucket);
            return Err(Problem::usage(format!(
                "the newest version of `{key}` has no job, at least not yet: to name the release before, use `{url}`"
            )));
        }
    }
    Ok(None)
}

/// Returns the record of a job of the stack. `None` if the job is not the stack's.
///
/// The description names the upload, except if a manifest has another description, or the key is very long. Then the
/// stream in the job's document has the digits of the record, or the image is next to it.
///
/// # Errors
/// Fails if a request fails.
pub async fn record_of(aws: &Aws, settings: &Settings, job: &DescribedJob) -> Result<Option<JobRecord>, Problem> {
    let description = job.job.description().unwrap_or_default();
    let record = match Upload::from_description(description) {
        Some(upload) if is_own(settings, &upload) => objects::record(aws, settings, &upload).await?,
        Some(_) => None,
        None => record_of_document(aws, settings, job).await?,
    };
    Ok(record.filter(|record| is_job_of(record, job)))
}

/// Returns the record to which a job's document leads. `None` if the job or the record does not exist.
async fn record_of_document(aws: &Aws, settings: &Settings, job: &DescribedJob) -> Result<Option<JobRecord>, Problem> {
    let Some(document) = aws.jobs.document(&job.id).await? else { return Ok(None) };
    let ota = &json_of(&document)["afr_ota"];
    if let Some(stream) = ota["streamname"].as_str() {
        return record_with_digits(aws, settings, stream).await;
    }
    let prefix = &settings.signed_prefix.0;
    let beginning = format!("/{}/{}", settings.upload_bucket, encoded(prefix));
    match ota["files"][0]["update_data_url"].as_str().and_then(|url| url.split_once(&beginning)) {
        Some((_, rest)) => objects::record_next_to(aws, settings, &format!("{prefix}{rest}")).await,
        None => Ok(None),
    }
}

/// Returns whether an upload is below the upload prefix of the stack's bucket.
fn is_own(settings: &Settings, upload: &Upload) -> bool {
    upload.bucket == settings.upload_bucket && upload.key.starts_with(&settings.upload_prefix.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_many_names() {
        let url = |bucket, key| Some(Name::Url { bucket, key });
        for (text, expected) in [
            ("AFR_OTA-blinky-1_2", Some(Name::IdOrKey("AFR_OTA-blinky-1_2"))),
            ("arn:aws:iot:eu-west-1:111122223333:job/AFR_OTA-a", Some(Name::JobId("AFR_OTA-a"))),
            ("arn:aws:iot:eu-west-1:111122223333:stream/AFR_OTA-a", Some(Name::StreamId("AFR_OTA-a"))),
            ("s3://b/firmware/a.bin", url("b", "firmware/a.bin")),
            ("s3://b/firmware/a.bin?versionId=v1", url("b", "firmware/a.bin?versionId=v1")),
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
        let key = |key: &str, id: Option<&str>| Key { key: key.to_owned(), version_id: id.map(str::to_owned) };
        assert_eq!(Key::all("a.bin"), [key("a.bin", None)]);
        let text = "a.bin?versionId=v1";
        assert_eq!(Key::all(text), [key("a.bin", Some("v1")), key(text, None)]);
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
