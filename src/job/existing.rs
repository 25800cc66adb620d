//! Looks up the job with the ID of a release, and decides whether it is the release's own job.

use crate::delivery::presigned_url::PresignedUrl;
use crate::error::{Failure, required};
use crate::not_released::{NotReleased, RejectionKind};
use crate::progress::JobReport;
use crate::request::release_request::ReleaseRequest;
use crate::s3::attempts::record_versions;
use crate::s3::record::{JobRecord, overtaken};
use crate::scope::Scope;
use crate::settings::Settings;
use crate::upload::Upload;
use aws_sdk_iot::error::ProvideErrorMetadata;
use aws_sdk_iot::types::JobStatus;

/// A job that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub arn: String,
    pub status: Option<JobStatus>,
    pub description: Option<String>,
    /// The stream in the job's document. `None` if there is no stream, or the document was not read.
    pub stream_id: Option<String>,
    pub start_time: Option<String>,
    pub end_time: Option<String>,
}

impl Job {
    /// Adds the ARN, stream and times of this job to a report.
    pub fn add_to(&self, report: &mut JobReport) {
        report.job_arn = Some(self.arn.clone());
        report.stream_id.clone_from(&self.stream_id);
        report.start_time.clone_from(&self.start_time);
        report.end_time.clone_from(&self.end_time);
    }

    /// Makes the receipt for this job from the record that fixed its ID.
    pub fn receipt(&self, record: JobRecord) -> JobRecord {
        let (job_arn, stream_id) = (Some(self.arn.clone()), self.stream_id.clone());
        let (start_time, end_time) = (self.start_time.clone(), self.end_time.clone());
        JobRecord { stream_id, job_arn, start_time, end_time, ..record }
    }
}

/// The job with the ID of a release.
#[derive(Debug)]
pub(crate) enum JobWithId {
    /// The release's own.
    Own(Job),
    Other(OtherJob),
}

/// A job that no attempt at the release has created.
#[derive(Debug)]
pub(crate) struct OtherJob {
    job_id: String,
    /// `true` if the job's document nevertheless names the stream or the files of the upload.
    names_upload: bool,
    /// `true` if the function made the ID. `false` if a tag requests it.
    has_default_id: bool,
    /// The mark at the end of the description of the release's own job.
    mark: String,
    /// A phrase that names the upload in the job's description, or `another job`.
    owner: String,
}

impl OtherJob {
    /// Rejects or fails a release whose job would have the ID of this job. Rejects it if the uploader can choose or get
    /// another ID.
    pub fn into_error(self, request: &ReleaseRequest) -> NotReleased {
        let Self { job_id, names_upload, has_default_id, mark, owner } = self;
        let is_requested = request.job_id.as_ref().is_some_and(|requested| requested.to_string() == job_id);
        if !names_upload && (is_requested || !has_default_id) {
            let problem = if is_requested {
                format!(
                    "tag `ota:job-id` requests the job ID `{job_id}`, which {owner} has; choose another and upload again"
                )
            } else {
                format!("the record of this release has the job ID `{job_id}`, which {owner} has; upload again")
            };
            return NotReleased::Rejected(RejectionKind::JobId, vec![problem]);
        }
        let problem = if names_upload {
            format!(
                "it names the stream or files of this upload, but its description does not end in `{mark}`: another \
                 principal created it, or changed its description"
            )
        } else {
            format!("it belongs to {owner}")
        };
        let remedy = format!(
            "Find out who created or changed it (`aws iot describe-job --job-id {job_id}`); if no release needs the \
             job, `aws iot delete-job --force --job-id {job_id}` deletes it"
        );
        NotReleased::Failed(Failure::Conflict { what: format!("the job `{job_id}`"), problem, remedy })
    }
}

/// The state of a release's job ID, before anything is created.
#[derive(Debug)]
pub(crate) enum JobIdState {
    /// No job has the ID.
    Free,
    /// The release's own job has the ID.
    Own(Job),
    /// Another job has the default ID. The text names the upload of that job.
    InUse(String),
}

/// Looks up the job with the ID of a record.
///
/// # Errors
/// [`Failure::Overtaken`] if another attempt has written the record meanwhile. Rejects the release, or fails, if
/// another job has the ID and the release cannot use another ID.
pub(crate) async fn check_job_id(
    scope: Scope<'_>,
    request: &ReleaseRequest,
    record: &JobRecord,
) -> Result<JobIdState, NotReleased> {
    let other = match find_by_id(scope, record).await? {
        None => return Ok(JobIdState::Free),
        Some(JobWithId::Own(job)) => return Ok(JobIdState::Own(job)),
        Some(JobWithId::Other(other)) => other,
    };
    // The job may be that of another attempt, which writes the record before it creates the job.
    if !record.is_written && !record_versions(scope).await?.is_empty() {
        return Err(overtaken(scope).into());
    }
    if record.is_written || other.names_upload || request.job_id.is_some() {
        return Err(other.into_error(request));
    }
    Ok(JobIdState::InUse(other.owner))
}

/// Finds the job of a receipt, if it exists and is the release's own. After the job was deleted, another job may have
/// its ID.
pub(crate) async fn find_by_receipt(scope: Scope<'_>, receipt: &JobRecord) -> Result<Option<Job>, Failure> {
    if receipt.nonce.is_none() {
        return describe(scope, &receipt.job_id).await;
    }
    let original = receipt.original_version_id.as_ref();
    let original =
        original.map(|version| Upload::new(scope.upload.bucket.clone(), scope.upload.key.clone(), version.clone()));
    find_own(scope.with_upload(original.as_ref().unwrap_or(scope.upload)), receipt).await
}

/// Finds the job with the ID of a record, if it exists and is the release's own.
pub(crate) async fn find_own(scope: Scope<'_>, record: &JobRecord) -> Result<Option<Job>, Failure> {
    match find_by_id(scope, record).await? {
        Some(JobWithId::Own(job)) => Ok(Some(job)),
        _ => Ok(None),
    }
}

/// Finds the job with the ID of a record. The job is the release's own if its document names the upload, and its
/// description ends in the mark of the record.
///
/// The document names the stream of the upload, or a URL of the upload if the job has no stream. Anyone can compute
/// the IDs of jobs and streams, but not the mark.
pub(crate) async fn find_by_id(scope: Scope<'_>, record: &JobRecord) -> Result<Option<JobWithId>, Failure> {
    let (job_id, upload) = (record.job_id.as_str(), scope.upload);
    let Some(job) = describe(scope, job_id).await? else { return Ok(None) };
    let response = scope.aws.iot.get_job_document().job_id(job_id).send().await;
    let response = response.map_err(|error| Failure::request(looking_up(job_id), error))?;
    let document = required(response.document, "document")?;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap_or_default();
    let stream_id = document["afr_ota"]["streamname"].as_str().map(str::to_owned);
    let names_upload = names_upload(&document, scope.settings, upload);
    let description = job.description.as_deref().unwrap_or_default();
    if names_upload && description.ends_with(&record.mark()) {
        return Ok(Some(JobWithId::Own(Job { stream_id, ..job })));
    }
    let owner = upload_of(description).unwrap_or_else(|| "another job".to_owned());
    let has_default_id = [upload.default_job_id(), record.fallback_job_id(upload)].iter().any(|id| id == job_id);
    let (job_id, mark) = (job_id.to_owned(), record.mark());
    Ok(Some(JobWithId::Other(OtherJob { job_id, names_upload, has_default_id, mark, owner })))
}

/// Returns whether a job document names an upload: its stream, or a URL of its raw copy if the job has no stream.
pub fn names_upload(document: &serde_json::Value, settings: &Settings, upload: &Upload) -> bool {
    let ota = &document["afr_ota"];
    if let Some(stream_id) = ota["streamname"].as_str() {
        return stream_id == upload.stream_id();
    }
    let url = ota["files"][0]["update_data_url"].as_str();
    url.is_some_and(|url| PresignedUrl::is_for(url, settings, upload))
}

/// Looks up a job. `None` if it does not exist.
async fn describe(scope: Scope<'_>, job_id: &str) -> Result<Option<Job>, Failure> {
    match scope.aws.iot.describe_job().job_id(job_id).send().await {
        Ok(response) => {
            let job = required(response.job, "job")?;
            let status = required(job.status, "job.status")?;
            tracing::info!(jobId = job_id, status = status.as_str(), "the job exists");
            let schedule = job.scheduling_config;
            Ok(Some(Job {
                arn: required(job.job_arn, "job.jobArn")?,
                status: Some(status),
                description: job.description,
                stream_id: None,
                start_time: schedule.as_ref().and_then(|schedule| schedule.start_time.clone()),
                end_time: schedule.and_then(|schedule| schedule.end_time),
            }))
        }
        Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
        Err(error) => Err(Failure::request(looking_up(job_id), error)),
    }
}

fn looking_up(job_id: &str) -> String {
    format!("looking up the job `{job_id}`")
}

/// The maximum number of characters of an upload in a message.
const MAX_SHOWN: usize = 300;

/// The upload that a job's description names. `None` if the description has another form than those of releases,
/// because anyone who creates a job can write any description.
fn upload_of(description: &str) -> Option<String> {
    let place = description.split(' ').next()?;
    let is_encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~%:?=".contains(&byte);
    let is_upload = place.starts_with("s3://") && place.contains("?versionId=") && place.bytes().all(is_encoded);
    let end = if place.len() > MAX_SHOWN { "…" } else { "" };
    is_upload.then(|| format!("the upload `{}{end}`", &place[..place.len().min(MAX_SHOWN)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::record::mark;

    #[test]
    fn the_receipt_and_the_report_have_the_jobs_arn_stream_and_times() {
        let [arn, stream, start, end] = ["arn:aws:iot:job", "AFR_OTA-b", "2026-11-23T22:41", "2026-11-23T23:41"];
        let [job_arn, stream_id, start_time, end_time] = [arn, stream, start, end].map(|text| Some(text.to_owned()));
        let expected = JobReport { job_arn, stream_id, start_time, end_time, ..JobReport::default() };
        let JobReport { stream_id, start_time, end_time, .. } = expected.clone();
        let job = Job { arn: arn.into(), status: None, description: None, stream_id, start_time, end_time };
        let mut report = JobReport::default();
        job.add_to(&mut report);
        assert_eq!(report, expected);
        let JobRecord { job_arn, stream_id, start_time, end_time, .. } = job.receipt(JobRecord::default());
        assert_eq!(JobReport { job_arn, stream_id, start_time, end_time, ..JobReport::default() }, expected);
    }

    #[test]
    fn only_descriptions_in_the_form_of_releases_are_shown() {
        let upload = Upload::new("firmware-bucket".into(), "firmware/größe 1.bin".into(), "v_1.a-b".into());
        let place = "s3://firmware-bucket/firmware/gr%C3%B6%C3%9Fe%201.bin?versionId=v_1.a-b";
        for description in [upload.description(), format!("{}{}", upload.description(), mark("0123456789abcdef"))] {
            assert_eq!(upload_of(&description), Some(format!("the upload `{place}`")));
        }
        let others = "|my job|s3://b/k|s3://b/k?versionId=`; rm -rf|s3://b/\u{1b}[2J?versionId=v|\
                      s3://b/k?versionId=v\u{202e}| s3://b/k?versionId=v|S3://b/k?versionId=v";
        for other in others.split('|') {
            assert_eq!(upload_of(other), None, "{other}");
        }
        let long = format!("s3://b/k?versionId={}", "v".repeat(1900));
        assert_eq!(upload_of(&long).map(|shown| shown.chars().count()), Some(MAX_SHOWN + 14));
    }
}
