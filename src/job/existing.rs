//! The job that has the ID of a release already: the release's own, which an earlier attempt created, or another.

use crate::{
    clients::Clients,
    delivery::presigned_url::PresignedUrl,
    error::{Failure, required},
    not_released::{NotReleased, RejectionKind},
    request::release_request::ReleaseRequest,
    s3::attempts::EarlierAttempts,
    s3::record::JobRecord,
    settings::Settings,
    upload::Upload,
};
use aws_sdk_iot::{error::ProvideErrorMetadata, types::JobStatus};
use futures::TryFutureExt;

/// A job that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub arn: String,
    pub status: Option<JobStatus>,
    pub description: Option<String>,
    /// The stream that devices may fetch the image from, where its document was written or read here.
    pub stream_id: Option<String>,
    pub start_time: Option<String>,
    pub end_time: Option<String>,
}

impl Job {
    /// The receipt for this job, in place of the record that only fixed its ID.
    pub fn receipt(&self, record: JobRecord) -> JobRecord {
        let (job_arn, stream_id) = (Some(self.arn.clone()), self.stream_id.clone());
        let (start_time, end_time) = (self.start_time.clone(), self.end_time.clone());
        JobRecord { stream_id, job_arn, start_time, end_time, ..record }
    }
}

/// The job with an ID.
#[derive(Debug)]
pub(crate) enum Holder {
    /// The release's own.
    Own(Job),
    Other(Stranger),
}

/// A job that no attempt at the release has created.
#[derive(Debug)]
pub(crate) struct Stranger {
    job_id: String,
    /// Whether its document names the upload's stream or its files all the same.
    names_upload: bool,
    /// Whether the release has this ID although no tag asked for it.
    is_default: bool,
    /// What the description of the release's own job ends in.
    mark: String,
    /// The upload that it is of, as far as its description says so.
    pub of: String,
}

impl Stranger {
    /// How a release ends whose job would have this ID: rejected if a tag asks for the ID.
    pub fn stop(self, request: &ReleaseRequest) -> NotReleased {
        let Self { job_id, names_upload, is_default, mark, of } = self;
        let is_asked = request.job_id.as_ref().is_some_and(|asked| asked.to_string() == job_id);
        if !names_upload && (is_asked || !is_default) {
            let problem = if is_asked {
                format!(
                    "tag `ota:job-id` asks for the job ID `{job_id}`, which {of} has; choose another and upload again"
                )
            } else {
                format!("the record of this release has the job ID `{job_id}`, which {of} has; upload again")
            };
            return NotReleased::Rejected(RejectionKind::JobId, vec![problem]);
        }
        let problem = if names_upload {
            format!(
                "it names the stream or files of this upload, but its description does not end in `{mark}`: another \
                 created it, or changed its description"
            )
        } else {
            format!("it belongs to {of}")
        };
        let remedy = format!(
            "Find out who did so (`aws iot describe-job --job-id {job_id}`); if no release needs it, `aws iot delete-job \
             --force --job-id {job_id}` deletes it"
        );
        NotReleased::Failed(Failure::Conflict { what: format!("the job `{job_id}`"), problem, remedy })
    }
}

/// The job ID of a release, before anything is created.
#[derive(Debug)]
pub(crate) enum JobId {
    /// No job has it.
    Free,
    /// The release's own job has it.
    Own(Job),
    /// Another job has the default ID: what that job is of.
    Taken(String),
    /// Another attempt has put a record meanwhile.
    Overtaken,
}

/// Looks up the job with the ID that a record has, which is only claimed yet if `is_recorded`.
///
/// # Errors
/// Another job has the ID, and the release cannot have another one.
pub(crate) async fn preflight(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    request: &ReleaseRequest,
    (record, is_recorded): (&JobRecord, bool),
) -> Result<JobId, NotReleased> {
    let stranger = match holder(aws, settings, upload, record).await? {
        None => return Ok(JobId::Free),
        Some(Holder::Own(job)) => return Ok(JobId::Own(job)),
        Some(Holder::Other(stranger)) => stranger,
    };
    // An attempt puts the record before it creates the job: was another one faster than this?
    if !is_recorded && !EarlierAttempts::record(aws, settings, upload).await?.is_empty() {
        return Ok(JobId::Overtaken);
    }
    if is_recorded || stranger.names_upload || request.job_id.is_some() {
        return Err(stranger.stop(request));
    }
    Ok(JobId::Taken(stranger.of))
}

/// The job with this ID, if there is one.
pub(crate) async fn find(aws: &Clients, job_id: &str) -> Result<Option<Job>, Failure> {
    match aws.iot.describe_job().job_id(job_id).send().await {
        Ok(answer) => {
            let job = required(answer.job, "job")?;
            let status = required(job.status, "job.status")?;
            tracing::info!(jobId = job_id, status = status.as_str(), "the job is there");
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
        Err(error) => Err(Failure::DescribeJob { job_id: job_id.to_owned(), source: error.into() }),
    }
}

/// The job of a receipt, if it exists and is still the release's own: once it is deleted, another may take its ID.
pub(crate) async fn of_receipt(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    receipt: &JobRecord,
) -> Result<Option<Job>, Failure> {
    if receipt.nonce.is_none() {
        return find(aws, &receipt.job_id).await;
    }
    let original = receipt.unchanged_since.as_ref();
    let original = original.map(|version| Upload::new(upload.bucket.clone(), upload.key.clone(), version.clone()));
    find_own_job(aws, settings, original.as_ref().unwrap_or(upload), receipt).await
}

/// The job with the ID of a record, if it is there and the release's own.
pub(crate) async fn find_own_job(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    record: &JobRecord,
) -> Result<Option<Job>, Failure> {
    match holder(aws, settings, upload, record).await? {
        Some(Holder::Own(job)) => Ok(Some(job)),
        _ => Ok(None),
    }
}

/// The job with the ID of a record. It is the release's own if its document names the upload's stream, or without one a URL
/// of the upload, and its description has the record's mark: IDs of jobs and streams are computable, the mark is not.
pub(crate) async fn holder(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    record: &JobRecord,
) -> Result<Option<Holder>, Failure> {
    let job_id = record.job_id.as_str();
    let Some(job) = find(aws, job_id).await? else { return Ok(None) };
    let call = aws.iot.get_job_document().job_id(job_id).send();
    let answer = call.map_err(|error| Failure::DescribeJob { job_id: job_id.to_owned(), source: error.into() }).await?;
    let document = required(answer.document, "document")?;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap_or_default();
    let ota = &document["afr_ota"];
    let stream_id = ota["streamname"].as_str().map(str::to_owned);
    let names_upload = if let Some(stream_id) = &stream_id {
        *stream_id == upload.stream_id()
    } else {
        let url = ota["files"][0]["update_data_url"].as_str();
        url.is_some_and(|url| PresignedUrl::is_of(url, settings, upload))
    };
    let description = job.description.as_deref().unwrap_or_default();
    if names_upload && description.ends_with(&record.mark()) {
        return Ok(Some(Holder::Own(Job { stream_id, ..job })));
    }
    let of = upload_of(description).unwrap_or_else(|| "another job".to_owned());
    let is_default = [upload.default_job_id(), record.other_job_id(upload)].iter().any(|id| id == job_id);
    let (job_id, mark) = (job_id.to_owned(), record.mark());
    Ok(Some(Holder::Other(Stranger { job_id, names_upload, is_default, mark, of })))
}

/// The most characters of an upload that are shown.
const MAX_SHOWN: usize = 300;

/// The upload that a job's description names. Anyone who creates a job writes its description, so nothing but the form that
/// releases give it is shown.
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
    use crate::{s3::record::mark, tags::Tags};

    #[test]
    fn the_receipt_has_the_jobs_arn_and_times() {
        let [arn, start, end] = ["arn:aws:iot:job", "2026-11-23T22:41", "2026-11-23T23:41"].map(str::to_owned);
        let (start_time, end_time) = (Some(start), Some(end));
        let stream_id = Some("AFR_OTA-b".to_owned());
        let job = Job {
            arn,
            status: None,
            description: None,
            stream_id: stream_id.clone(),
            start_time: start_time.clone(),
            end_time: end_time.clone(),
        };
        let upload = Upload::new("b".into(), "a".into(), "v1".into());
        let record = JobRecord::new(&upload, "AFR_OTA-a".into(), Tags::default()).unwrap();
        let receipt = job.receipt(record);
        assert_eq!((receipt.job_arn, receipt.stream_id), (Some(job.arn), stream_id));
        assert_eq!((receipt.start_time, receipt.end_time), (start_time, end_time));
    }

    #[test]
    fn a_description_is_shown_in_the_form_that_releases_give_it_and_in_no_other() {
        let upload = Upload::new("firmware-bucket".into(), "firmware/größe 1.bin".into(), "v_1.a-b".into());
        let place = "s3://firmware-bucket/firmware/gr%C3%B6%C3%9Fe%201.bin?versionId=v_1.a-b";
        for description in [upload.description(), format!("{}{}", upload.description(), mark("0123456789abcdef"))] {
            assert_eq!(upload_of(&description), Some(format!("the upload `{place}`")));
        }
        for other in [
            "",
            "my job",
            "s3://b/k",
            "s3://b/k?versionId=`; rm -rf",
            "s3://b/\u{1b}[2J?versionId=v",
            "s3://b/k?versionId=v\u{202e}",
            " s3://b/k?versionId=v",
            "S3://b/k?versionId=v",
        ] {
            assert_eq!(upload_of(other), None, "{other}");
        }
        let long = format!("s3://b/k?versionId={}", "v".repeat(1900));
        assert_eq!(upload_of(&long).map(|shown| shown.chars().count()), Some(MAX_SHOWN + 14));
    }
}
