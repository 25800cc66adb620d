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
    let name = &arguments.release.release;
    let Some(release) = find(aws, stack, name).await? else {
        report(format_args!("no job or stream of this stack is named `{name}`: there is nothing to delete"));
        return write(out, is_json, (name, false), (None, false));
    };
    refuse(&release)?;
    let stream_id = stream_id(&release);
    let stream = aws.jobs.stream(&stream_id).await?;
    let is_ending = release.job.as_ref().is_some_and(DescribedJob::is_being_deleted);
    if (release.job.is_none() || is_ending) && stream.is_none() {
        let state = if is_ending { "being deleted" } else { "deleted" };
        report(format_args!("the job `{}` and its stream are {state} already", release.job_id));
        return write(out, is_json, (&release.job_id, false), (Some(&stream_id), false));
    }
    let has_job = release.job.is_some() && !is_ending;
    for (kind, id, exists) in [("stream", &stream_id, stream.is_some()), ("job", &release.job_id, has_job)] {
        if exists {
            say(format_args!("deletes the {kind} `{id}`"));
        }
    }
    confirm("Delete them?", arguments.yes)?;
    let is_stream_deleted = stream.is_some() && aws.jobs.delete_stream(&stream_id).await?;
    let is_job_deleted = has_job && aws.jobs.delete(&release.job_id).await?;
    report(format_args!(
        "AWS IoT deletes `{}`, which can take minutes; the upload and its receipt stay in the bucket",
        release.job_id
    ));
    write(out, is_json, (&release.job_id, is_job_deleted), (Some(&stream_id), is_stream_deleted))
}

/// The ID of the stream, of which records of earlier versions of the function have none. An unchanged copy of an upload
/// has the stream of the original.
fn stream_id(release: &Release) -> String {
    let recorded = release.record.as_ref().and_then(|record| record.stream_id.clone());
    recorded.unwrap_or_else(|| release.upload.stream_id())
}

/// Refuses to delete a release that devices still use, or that the function would release again.
fn refuse(release: &Release) -> Result<(), Problem> {
    let id = &release.job_id;
    if let Some(job) = &release.job {
        let counts = Counts::from(job);
        if !job.is_over() {
            let (status, devices) = (job.status(), counts.text());
            let remedy = format!("wait with `ota watch {id}`, or run `ota cancel {id}` first");
            return Err(Problem::not_done(format!("`{id}` is {status} ({devices}): {remedy}")));
        }
        if counts.in_progress > 0 {
            let devices = counted(counts.in_progress, "device");
            return Err(Problem::not_done(format!(
                "`{id}` has {devices} at work, which may still fetch the image from the stream: wait with `ota watch {id}`"
            )));
        }
    }
    match &release.record {
        Some(record) if record.job_arn.is_some() => Ok(()),
        _ => Err(Problem::not_done(format!(
            "the receipt of `{id}` is missing: without it, the function could create the job again; replay the event of {} \
             to write the receipt",
            release.upload
        ))),
    }
}

fn write(
    out: &mut dyn Write,
    is_json: bool,
    (job_id, is_job_deleted): (&str, bool),
    (stream_id, is_stream_deleted): (Option<&str>, bool),
) -> Result<Exit, Problem> {
    if is_json {
        let json = json!({
            "jobId": job_id,
            "jobDeleted": is_job_deleted,
            "streamId": stream_id,
            "streamDeleted": is_stream_deleted,
        });
        write_json(out, &json)?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::types::{Job, JobProcessDetails, JobStatus};
    use ota_on_upload::s3::record::JobRecord;
    use ota_on_upload::upload::Upload;
    use serde_json::Value;

    const ID: &str = "AFR_OTA-a";

    fn refusal(status: JobStatus, at_work: i32, record: Option<JobRecord>) -> Option<String> {
        let details = JobProcessDetails::builder().number_of_in_progress_things(at_work).build();
        let job = Job::builder().status(status).job_process_details(details).build();
        let job = Some(DescribedJob { id: ID.to_owned(), job, json: Value::Null });
        let upload = Upload::new("b".into(), "k".into(), "v".into());
        let release = Release { upload, job_id: ID.to_owned(), job, record };
        refuse(&release).err().map(|problem| problem.messages[0].clone())
    }

    #[test]
    fn only_a_release_that_is_over_and_has_its_receipt_is_deleted() {
        let receipt = || JobRecord { job_id: ID.into(), job_arn: Some("arn".into()), ..JobRecord::default() };
        let claim = || JobRecord { job_id: ID.into(), ..JobRecord::default() };
        assert_eq!(refusal(JobStatus::Completed, 0, Some(receipt())), None);
        assert_eq!(refusal(JobStatus::Canceled, 0, Some(receipt())), None);
        assert_eq!(refusal(JobStatus::DeletionInProgress, 0, Some(receipt())), None);
        for (status, at_work, record, message) in [
            (JobStatus::InProgress, 1, Some(receipt()), "`AFR_OTA-a` is IN_PROGRESS (1 in progress): "),
            (JobStatus::Scheduled, 0, Some(receipt()), "`AFR_OTA-a` is SCHEDULED (no devices): "),
            (JobStatus::Canceled, 2, Some(receipt()), "`AFR_OTA-a` has 2 devices at work, "),
            (JobStatus::Completed, 0, None, "the receipt of `AFR_OTA-a` is missing"),
            (JobStatus::Completed, 0, Some(claim()), "the receipt of `AFR_OTA-a` is missing"),
        ] {
            let refusal = refusal(status, at_work, record).unwrap();
            assert!(refusal.starts_with(message), "{refusal}");
        }
    }
}
