//! The AWS IoT job: its document, and CreateJob, or the job that an earlier attempt created.

use crate::{
    clients::Clients,
    error::{Cause, Failure},
    job::document::Document,
    job::existing::{self, Holder, Job},
    not_released::{NotReleased, RejectionKind},
    request::release_request::ReleaseRequest,
    s3::record::JobRecord,
    schedule::requested::{LeadTime, SchedulePart},
    schedule::scheduling_config::Schedule,
    settings::Settings,
    upload::Upload,
};
use aws_sdk_iot::{
    operation::create_job::{CreateJobError, CreateJobOutput, builders::CreateJobFluentBuilder},
    types::PresignedUrlConfig,
};
use jiff::Timestamp;

/// CreateJob of a release at `now`, and the times that the job would have. Its description ends in the mark.
pub(crate) fn request(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    request: &ReleaseRequest,
    (job_id, mark, document): (&str, &str, &str),
    now: Timestamp,
) -> Result<(Schedule, CreateJobFluentBuilder), NotReleased> {
    // The start or end may have come too near since the tags were checked.
    let schedule = request.plan.at(now, LeadTime::WhenCreated).map_err(|broken| {
        let too_late = |(part, problem)| match part {
            SchedulePart::Window => format!("the {part} has passed while the image was signed: it is {problem}"),
            _ => format!("the {part} has come too near while the image was signed: it is {problem}"),
        };
        NotReleased::Rejected(RejectionKind::TooLate, broken.into_iter().map(too_late).collect())
    })?;
    if !schedule.opens(&request.config.windows, now) {
        let passed = "the last maintenance window has passed while the image was signed: none opens before the end";
        return Err(NotReleased::Rejected(RejectionKind::TooLate, vec![passed.to_owned()]));
    }
    schedule.log(job_id);
    let retries = request.retries.to_config().map_err(|error| failed(job_id, error.into()))?;
    let config = &request.config;
    let scheduling = schedule.to_config(&config.windows).map_err(|error| failed(job_id, error.into()))?;
    let call = aws
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

fn failed(job_id: &str, source: Cause) -> Failure {
    Failure::CreateJob { job_id: job_id.to_owned(), source }
}

/// Creates the job (`true`), or adopts the one that an earlier attempt created (`false`): whatever CreateJob answers, a
/// job of this upload that is there is the one that was wanted.
pub(crate) async fn ensure(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    release: &ReleaseRequest,
    (record, document): (&JobRecord, Document),
    now: Timestamp,
) -> Result<(Job, bool), NotReleased> {
    let job_id = record.job_id.as_str();
    let request = request(aws, settings, upload, release, (job_id, &record.mark(), &document.text), now);
    let (schedule, call) = match request {
        Ok(request) => request,
        // Another attempt may have been in time.
        Err(stop) => {
            let job = existing::find_own_job(aws, settings, upload, record).await?;
            return job.map(|job| (job, false)).ok_or(stop);
        }
    };
    let (exists, failure) = match call.send().await {
        Ok(CreateJobOutput { job_arn: Some(arn), .. }) => {
            let (start_time, end_time) = (schedule.start_time(), schedule.end_time());
            let (status, description, stream_id) = (None, None, document.stream_id);
            return Ok((Job { arn, status, description, stream_id, start_time, end_time }, true));
        }
        Ok(_) => (true, Failure::Incomplete { member: "jobArn" }),
        Err(error) => {
            let exists = error.as_service_error().is_some_and(CreateJobError::is_resource_already_exists_exception);
            (exists, failed(job_id, error.into()))
        }
    };
    match existing::holder(aws, settings, upload, record).await {
        Ok(Some(Holder::Own(job))) => Ok((job, false)),
        Ok(Some(Holder::Other(stranger))) => Err(stranger.stop(release)),
        Err(unclear) if exists => Err(unclear.into()),
        _ => Err(failure.into()),
    }
}
