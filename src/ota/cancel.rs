//! `ota cancel`: cancels the job of a release.

use crate::args::CancelArguments;
use crate::aws::Aws;
use crate::counts::Counts;
use crate::find::find;
use crate::job_text::targets;
use crate::jobs::{DescribedJob, with_upload};
use crate::output::{confirm, report, say, warn, write_json};
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use crate::text::counted;
use aws_sdk_iot::types::JobStatus;
use std::io::Write;

/// Runs the command. Canceling a canceled job succeeds.
///
/// # Errors
/// Fails if the release is not found, its job is completed, the user does not agree, or a request fails.
pub async fn run(
    (aws, stack): (&Aws, &Stack),
    arguments: &CancelArguments,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Problem> {
    let release = find(aws, stack, &arguments.release.release).await?;
    let job = release.existing_job()?;
    let done = match job.status() {
        JobStatus::Canceled => {
            report(format_args!("`{}` is canceled already", job.id));
            let at_work = Counts::from(job).in_progress;
            if arguments.force && at_work > 0 {
                let devices = counted(at_work, "device");
                warn(format_args!("{devices} at work: AWS IoT cancels no executions of a canceled job, wait for them"));
            }
            job.clone()
        }
        _ if job.is_being_deleted() => {
            return Err(Problem::not_done(format!("AWS IoT is deleting `{}` already", job.id)));
        }
        status if job.is_over() => {
            return Err(Problem::not_done(format!("`{}` is {status}: there is nothing to cancel", job.id)));
        }
        _ => {
            plan(job, arguments.force).iter().for_each(say);
            confirm("Cancel the job?", arguments.yes)?;
            let canceled = aws.jobs.cancel(&job.id, &arguments.comment, arguments.force).await;
            let job = aws.jobs.describe(&job.id).await?.unwrap_or_else(|| job.clone());
            // Someone else can have canceled the job meanwhile.
            if job.status() != JobStatus::Canceled {
                canceled?;
            }
            report(format_args!("canceled `{}`", job.id));
            job
        }
    };
    if is_json {
        write_json(out, &with_upload(done.json, &release.upload))?;
    } else {
        writeln!(out, "{} {}: {}", done.id, done.status(), Counts::from(&done).text())?;
    }
    Ok(Exit::Done)
}

/// Lines that say what the command will do, and to how many devices.
fn plan(job: &DescribedJob, is_forced: bool) -> Vec<String> {
    let counts = Counts::from(job);
    let (waiting, at_work) = (counted(counts.queued, "device"), counted(counts.in_progress, "device"));
    let mut lines = vec![format!("cancels `{}` for {}", job.id, targets(&job.job))];
    lines.push(match job.status() {
        JobStatus::Scheduled if counts.total() == 0 => "  the rollout has not begun: no device gets the job".to_owned(),
        _ => format!("  {waiting} queued: will not get the job"),
    });
    if !job.is_rolled_out() {
        lines.push("  the devices to which AWS IoT has not rolled out the job yet will not get it".to_owned());
    }
    if counts.in_progress == 0 {
        return lines;
    }
    lines.push(if is_forced {
        format!(
            "  {at_work} at work: AWS IoT cancels the executions (--force); these devices can no longer report the result, \
             and may have stopped anywhere in the update"
        )
    } else {
        format!("  {at_work} at work: may finish; `--force` cancels these executions, too, so that no result can be reported")
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::types::{Job, JobProcessDetails};
    use serde_json::Value;

    #[test]
    fn the_plan_has_the_devices_that_wait_and_that_are_at_work() {
        let plan = |queued: i32, at_work: i32, is_forced: bool| {
            let details =
                JobProcessDetails::builder().number_of_queued_things(queued).number_of_in_progress_things(at_work);
            let job = Job::builder().status(JobStatus::InProgress).job_process_details(details.build());
            let job = job.targets("arn:aws:iot:us-east-1:1:thinggroup/lab").build();
            super::plan(&DescribedJob { id: "AFR_OTA-a".to_owned(), job, json: Value::Null }, is_forced).join("\n")
        };
        assert_eq!(plan(1, 0, true), "cancels `AFR_OTA-a` for lab\n  1 device queued: will not get the job");
        assert!(
            plan(5, 2, false).contains("\n  5 devices queued: will not get the job\n  2 devices at work: may finish; ")
        );
        assert!(plan(0, 1, true).contains("\n  1 device at work: AWS IoT cancels the executions (--force); "));
    }
}
