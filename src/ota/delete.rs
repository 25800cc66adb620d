//! `ota delete`: deletes the stream and the job of a release that is over.

use crate::args::DeleteArguments;
use crate::aws::Aws;
use crate::counts::Counts;
use crate::find::{Release, find};
use crate::jobs::DescribedJob;
use crate::output::{confirm, report, say, write_json};
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use crate::text::counted;
use serde_json::json;
use std::io::Write;

/// Runs the command. Deleting what is gone succeeds.
///
/// The stream goes first: if the command stops between both, the job still leads to the stream.
///
/// # Errors
/// Fails if devices are at work, the receipt is missing, the user does not agree, or a request fails.
pub async fn run(
    (aws, stack): (&Aws, &Stack),
    arguments: &DeleteArguments,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Problem> {
    let release = find(aws, stack, &arguments.release.release).await?;
    refuse(&release)?;
    let job_id = &release.record.job_id;
    let is_ending = release.job.as_ref().is_some_and(DescribedJob::is_being_deleted);
    let has_job = release.job.is_some() && !is_ending;
    // Records of earlier versions of the function have no stream ID.
    let stream_id = release.record.stream_id.clone().unwrap_or_else(|| release.upload.stream_id());
    let has_stream = aws.jobs.stream(&stream_id).await?.is_some();
    if has_stream {
        say(format_args!("deletes the stream `{stream_id}`"));
    }
    if let Some(job) = release.job.as_ref().filter(|_| has_job) {
        let devices = counted(Counts::from(job).total(), "device");
        say(format_args!("deletes the job `{job_id}`"));
        say(format_args!("  the results of {devices} are lost: `ota devices {job_id} --json` shows them until then"));
    }
    if has_stream || has_job {
        confirm("Delete them?", arguments.yes)?;
    } else {
        let state = if is_ending { "being deleted" } else { "deleted" };
        report(format_args!("the job `{job_id}` is {state} already, and has no stream"));
    }
    if has_stream {
        aws.jobs.delete_stream(&stream_id).await?;
        report(format_args!("deleted the stream"));
    }
    if has_job {
        aws.jobs.delete(job_id).await?;
        report(format_args!(
            "AWS IoT deletes the job, which can take minutes; the upload and its receipt stay in the bucket"
        ));
    }
    if is_json {
        let stream = (has_stream || release.record.stream_id.is_some()).then_some(&stream_id);
        let json = json!({"jobId": job_id, "jobDeleted": has_job, "streamId": stream, "streamDeleted": has_stream});
        write_json(out, &json)?;
    }
    Ok(Exit::Done)
}

/// Refuses to delete a release that devices still use, or that the function would release again.
fn refuse(release: &Release) -> Result<(), Problem> {
    let id = &release.record.job_id;
    if release.record.job_arn.is_none() {
        return Err(Problem::not_done(format!(
            "the receipt of `{id}` is missing: without it, the function could create the job again; replay the event of {} \
             to write the receipt",
            release.upload
        )));
    }
    let Some(job) = release.job.as_ref().filter(|job| !job.is_being_deleted()) else { return Ok(()) };
    let counts = Counts::from(job);
    if !job.is_over() {
        return Err(Problem::not_done(format!(
            "`{id}` is {} ({}): wait with `ota watch {id}`, or run `ota cancel {id}` first",
            job.status(),
            counts.text()
        )));
    }
    if counts.unfinished(&job.status()) > 0 {
        return Err(Problem::not_done(format!(
            "`{id}` has {} that may still fetch the image from the stream: wait with `ota watch {id}`",
            counted(counts.unfinished(&job.status()), "device")
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::types::{Job, JobProcessDetails, JobStatus};
    use ota_on_upload::s3::record::JobRecord;
    use ota_on_upload::upload::Upload;
    use serde_json::Value;

    const ID: &str = "AFR_OTA-a";

    fn refusal(status: JobStatus, (queued, at_work): (i32, i32), record: JobRecord) -> Option<String> {
        let details = JobProcessDetails::builder().number_of_in_progress_things(at_work);
        let details = details.number_of_queued_things(queued).build();
        let job = Job::builder().status(status).job_process_details(details).build();
        let job = Some(DescribedJob { id: ID.to_owned(), job, json: Value::Null });
        let upload = Upload::new("b".into(), "k".into(), "v".into());
        let release = Release { upload, job, record };
        refuse(&release).err().map(|problem| problem.messages[0].clone())
    }

    #[test]
    fn only_a_release_that_is_over_and_has_its_receipt_is_deleted() {
        let receipt = || JobRecord { job_id: ID.into(), job_arn: Some("arn".into()), ..JobRecord::default() };
        let claim = || JobRecord { job_id: ID.into(), ..JobRecord::default() };
        assert_eq!(refusal(JobStatus::Completed, (0, 0), receipt()), None);
        assert_eq!(refusal(JobStatus::Canceled, (0, 0), receipt()), None);
        assert_eq!(refusal(JobStatus::DeletionInProgress, (0, 1), receipt()), None);
        for (status, devices, record, message) in [
            (JobStatus::InProgress, (0, 1), receipt(), "`AFR_OTA-a` is IN_PROGRESS (1 in progress): "),
            (JobStatus::Scheduled, (0, 0), receipt(), "`AFR_OTA-a` is SCHEDULED (no devices): "),
            (JobStatus::Canceled, (0, 2), receipt(), "`AFR_OTA-a` has 2 devices that may still fetch "),
            // The end behavior STOP_ROLLOUT leaves queued executions.
            (JobStatus::Completed, (1, 0), receipt(), "`AFR_OTA-a` has 1 device that may still fetch "),
            (JobStatus::Completed, (0, 0), claim(), "the receipt of `AFR_OTA-a` is missing"),
        ] {
            let refusal = refusal(status, devices, record).unwrap();
            assert!(refusal.starts_with(message), "{refusal}");
        }
    }
}
