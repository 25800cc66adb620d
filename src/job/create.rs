//! Creates the AWS IoT job, or finds the one that an earlier attempt created.

use crate::error::Failure;
use crate::job::document::Document;
use crate::job::existing;
use crate::job::existing::{Job, JobWithId};
use crate::not_released::{NotReleased, RejectionKind};
use crate::request::release_request::ReleaseRequest;
use crate::s3::record::JobRecord;
use crate::schedule::requested::SchedulePart;
use crate::schedule::scheduling_config::Schedule;
use crate::schedule::timing_rules::LeadTime;
use crate::scope::Scope;
use aws_sdk_iot::operation::create_job::builders::CreateJobFluentBuilder;
use aws_sdk_iot::operation::create_job::{CreateJobError, CreateJobOutput};
use aws_sdk_iot::types::PresignedUrlConfig;

/// Builds CreateJob for a release, and resolves the times of its job from the current time. The description of the job
/// ends in the mark.
///
/// # Errors
/// Rejects the release if its start, end or window has come too near since the tags were checked.
pub(crate) fn request(
    scope: Scope<'_>,
    request: &ReleaseRequest,
    (job_id, mark, document): (&str, &str, &str),
) -> Result<(Schedule, CreateJobFluentBuilder), NotReleased> {
    let Scope { settings, upload, .. } = scope;
    let now = scope.now();
    let schedule = request.schedule.at(now, LeadTime::WhenCreated).map_err(|problems| {
        let too_late = |(part, problem)| match part {
            SchedulePart::Window => format!("the {part} has passed while the image was signed: it is {problem}"),
            _ => format!("the {part} has come too near while the image was signed: it is {problem}"),
        };
        NotReleased::Rejected(RejectionKind::TooLate, problems.into_iter().map(too_late).collect())
    })?;
    let config = &request.config;
    if !schedule.opens(&config.windows, now) {
        let passed = "the last maintenance window has passed while the image was signed: none opens before the end";
        return Err(NotReleased::Rejected(RejectionKind::TooLate, vec![passed.to_owned()]));
    }
    schedule.log(job_id);
    let retries = request.retries.to_config().map_err(|error| Failure::request(creating(job_id), error))?;
    let scheduling = schedule.to_config(&config.windows).map_err(|error| Failure::request(creating(job_id), error))?;
    let call = scope
        .aws
        .iot
        .create_job()
        .job_id(job_id)
        .set_targets(Some(request.targets.iter().map(|target| settings.iot_arn(target)).collect()))
        .document(document)
        .description(request.description.clone().unwrap_or_else(|| upload.description()) + mark)
        .set_presigned_url_config(request.protocols.has_http().then(|| {
            let config = PresignedUrlConfig::builder().role_arn(&settings.ota_role.arn);
            config.expires_in_sec(request.url_expiry.0).build()
        }))
        .target_selection(request.target_selection.0.clone())
        .timeout_config(request.timeout.to_config())
        .job_executions_retry_config(retries)
        .set_scheduling_config(scheduling)
        .set_job_executions_rollout_config(config.rollout.clone())
        .set_abort_config(config.abort.clone())
        .set_destination_package_versions(request.package_arns(settings))
        .set_tags((!request.job_tags.is_empty()).then(|| request.job_tags.clone()));
    Ok((schedule, call))
}

fn creating(job_id: &str) -> String {
    format!("creating the job `{job_id}`")
}

/// A job of this release.
#[derive(Debug)]
pub(crate) enum Created {
    New(Job),
    /// An earlier attempt created it.
    ByEarlierAttempt(Job),
}

/// Creates the job, or finds the one that an earlier attempt created. CreateJob can create the job and still return an
/// error, so the job is looked up after any error.
///
/// # Errors
/// Rejects the release, or fails, if another job has the ID. Fails if a request fails.
pub(crate) async fn create(
    scope: Scope<'_>,
    release: &ReleaseRequest,
    (record, document): (&JobRecord, Document),
) -> Result<Created, NotReleased> {
    let job_id = record.job_id.as_str();
    let (schedule, call) = match request(scope, release, (job_id, &record.mark(), &document.text)) {
        Ok(request) => request,
        // Another attempt may have created the job in time.
        Err(error) => {
            return existing::find_own(scope, record).await?.map(Created::ByEarlierAttempt).ok_or(error);
        }
    };
    let (exists, failure) = match call.send().await {
        Ok(CreateJobOutput { job_arn: Some(arn), .. }) => {
            let (start_time, end_time) = (schedule.start_time(), schedule.end_time());
            let (status, description, stream_id) = (None, None, document.stream_id);
            return Ok(Created::New(Job { arn, status, description, stream_id, start_time, end_time }));
        }
        Ok(_) => (true, Failure::Incomplete { member: "jobArn" }),
        Err(error) => {
            let exists = error.as_service_error().is_some_and(CreateJobError::is_resource_already_exists_exception);
            (exists, Failure::request(creating(job_id), error))
        }
    };
    match existing::find_by_id(scope, record).await {
        Ok(Some(JobWithId::Own(job))) => Ok(Created::ByEarlierAttempt(job)),
        Ok(Some(JobWithId::Other(other))) => Err(other.into_error(release)),
        Err(lookup_failure) if exists => Err(lookup_failure.into()),
        _ => Err(failure.into()),
    }
}
