//! `ota watch`: waits until the rollout of a release is over.

use crate::args::WatchArguments;
use crate::aws::Aws;
use crate::counts::{Counts, Until};
use crate::find::{Release, find_existing};
use crate::jobs::{DescribedJob, with_upload};
use crate::output::{complain, report, say, write_json};
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use crate::text::counted;
use aws_sdk_iot::types::TargetSelection;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The pause between two looks at the job.
const PAUSE: Duration = Duration::from_secs(3);

/// Runs the command.
///
/// # Errors
/// Fails if the release is not found, a request fails, or the time is over.
pub async fn run(
    (aws, stack): (&Aws, &Stack),
    arguments: &WatchArguments,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Problem> {
    let release = find_existing(aws, stack, &arguments.release.release).await?;
    let job = release.existing_job()?.clone();
    let is_continuous = job.job.target_selection() == Some(&TargetSelection::Continuous);
    if is_continuous && !job.is_over() && arguments.until.is_none() && arguments.timeout.is_none() {
        return Err(Problem::usage("a continuous job may never end: add `--until succeeded=95%` or `--timeout 2h`"));
    }
    let (job, ending) = watch(aws, job, arguments).await?;
    let counts = Counts::from(&job);
    let line = format!("{} {}: {}", job.id, job.status(), counts.text());
    if is_json {
        let Release { upload, .. } = &release;
        write_json(out, &with_upload(job.json, &upload.bucket, &upload.key, &upload.version_id))?;
    } else {
        writeln!(out, "{line}")?;
    }
    Ok(ending.report())
}

/// Why the program waits no longer.
#[derive(Debug, PartialEq, Eq)]
struct Ending {
    exit: Exit,
    message: String,
}

impl Ending {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Returns the ending of a rollout, or `None` if it goes on.
    fn of(job: &DescribedJob, until: Option<Until>) -> Option<Self> {
        let (counts, status) = (Counts::from(job), job.status());
        // The targets of a continuous job are never all known: its share is that of the devices with the job so far.
        let is_continuous = job.job.target_selection() == Some(&TargetSelection::Continuous);
        if until.is_some_and(|until| until.is_reached(&counts, is_continuous || job.is_rolled_out())) {
            let devices = counted(counts.succeeded, "device");
            return Some(Self::new(Exit::Done, format!("{devices} of {} succeeded", counts.total())));
        }
        if job.is_being_deleted() {
            return Some(Self::new(Exit::Canceled, "the job is being deleted"));
        }
        if !job.is_over() || counts.in_progress > 0 {
            return None;
        }
        let exit = match counts.exit(&status) {
            Exit::Done if until.is_some() => Exit::NotDone,
            exit => exit,
        };
        Some(Self::new(
            exit,
            match exit {
                Exit::Done => "the rollout is over, and all devices succeeded".to_owned(),
                Exit::DevicesFailed => {
                    let devices = counted(counts.not_succeeded(), "device");
                    format!("the rollout is over, and {devices} did not succeed: `ota devices {}` shows why", job.id)
                }
                Exit::Canceled => {
                    let comment = job.job.comment().map(|comment| format!(": {comment}")).unwrap_or_default();
                    format!("the job was canceled, or canceled for {}{comment}", counted(counts.canceled, "device"))
                }
                _ if counts.queued > 0 => {
                    format!("the rollout is over, and {} never got the job", counted(counts.queued, "device"))
                }
                _ if counts.succeeded == 0 => "the rollout is over, and no device got the job".to_owned(),
                _ => "the rollout is over, and fewer devices succeeded than `--until` requires".to_owned(),
            },
        ))
    }

    fn report(self) -> Exit {
        if self.exit == Exit::Done {
            report(self.message);
        } else {
            complain(&Problem::new(self.exit, self.message));
        }
        self.exit
    }
}

async fn watch(
    aws: &Aws,
    mut job: DescribedJob,
    arguments: &WatchArguments,
) -> Result<(DescribedJob, Ending), Problem> {
    let deadline = arguments.timeout.map(|timeout| Instant::now() + timeout);
    let progress = Progress::new();
    let mut last = String::new();
    loop {
        let counts = Counts::from(&job);
        progress.show(&job, &counts, &mut last);
        if let Some(ending) = Ending::of(&job, arguments.until) {
            progress.end();
            return Ok((job, ending));
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            progress.end();
            return Ok((job, Ending::new(Exit::TimedOut, "the time to wait is over, and the rollout goes on")));
        }
        let next = Instant::now() + PAUSE;
        sleep_until(deadline.map_or(next, |deadline| deadline.min(next))).await;
        let Some(new) = aws.jobs.describe(&job.id).await? else {
            progress.end();
            return Ok((job, Ending::new(Exit::Canceled, "the job was deleted")));
        };
        job = new;
    }
}

/// The progress of a rollout on standard error: a bar on a terminal, otherwise a line after each change.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new() -> Self {
        Self(stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("  {bar:30} {msg}");
            style.map_or(bar.clone(), |style| bar.with_style(style))
        }))
    }

    fn show(&self, job: &DescribedJob, counts: &Counts, last: &mut String) {
        let line = format!("{}: {}", job.status(), counts.text());
        if let Some(bar) = &self.0 {
            let done = counts.succeeded + counts.not_succeeded() + counts.canceled;
            bar.set_length(counts.total().max(1).unsigned_abs());
            bar.set_position(done.unsigned_abs());
            bar.set_message(line);
        } else if *last != line {
            say(format_args!("{}  {line}", jiff::Timestamp::now().strftime("%H:%M:%SZ")));
            *last = line;
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::details;
    use aws_sdk_iot::types::{Job, JobProcessDetails, JobStatus};
    use serde_json::Value;

    fn ending(status: JobStatus, (succeeded, failed, canceled): (i32, i32, i32), until: Option<&str>) -> Option<Exit> {
        let job = Job::builder().status(status).job_process_details(details(succeeded, failed, canceled)).build();
        let job = DescribedJob { id: "AFR_OTA-a".to_owned(), job, json: Value::Null };
        Ending::of(&job, until.map(|until| until.parse().unwrap())).map(|ending| ending.exit)
    }

    #[test]
    fn each_ending_has_its_exit_code() {
        for (status, counts, until, expected) in [
            (JobStatus::InProgress, (1, 1, 0), None, None),
            (JobStatus::Scheduled, (0, 0, 0), None, None),
            (JobStatus::InProgress, (3, 1, 0), Some("succeeded=75%"), Some(Exit::Done)),
            (JobStatus::Completed, (0, 0, 0), None, Some(Exit::NotDone)),
            (JobStatus::DeletionInProgress, (3, 0, 0), None, Some(Exit::Canceled)),
            (JobStatus::InProgress, (3, 1, 0), Some("succeeded=4"), None),
            (JobStatus::Completed, (3, 1, 0), Some("succeeded=4"), Some(Exit::DevicesFailed)),
            (JobStatus::Completed, (3, 0, 0), Some("succeeded=4"), Some(Exit::NotDone)),
            (JobStatus::Completed, (3, 0, 0), None, Some(Exit::Done)),
            (JobStatus::Completed, (3, 1, 0), None, Some(Exit::DevicesFailed)),
            (JobStatus::Canceled, (3, 0, 1), None, Some(Exit::Canceled)),
        ] {
            assert_eq!(ending(status.clone(), counts, until), expected, "{status} {counts:?} {until:?}");
        }
    }

    #[test]
    fn a_job_is_over_once_no_device_is_at_work() {
        for status in [JobStatus::Canceled, JobStatus::Completed] {
            let details = JobProcessDetails::builder().number_of_in_progress_things(1).build();
            let job = Job::builder().status(status).job_process_details(details).build();
            assert_eq!(Ending::of(&DescribedJob { id: String::new(), job, json: Value::Null }, None), None);
        }
    }

    #[test]
    fn the_share_of_a_snapshot_is_known_once_the_job_is_rolled_out() {
        let until = "succeeded=90%".parse().unwrap();
        for (selection, waiting, expected) in [
            (TargetSelection::Snapshot, None, Some(Exit::Done)),
            (TargetSelection::Snapshot, Some(vec!["lab".to_owned()]), None),
            (TargetSelection::Continuous, Some(vec!["lab".to_owned()]), Some(Exit::Done)),
        ] {
            let details = JobProcessDetails::builder().number_of_succeeded_things(1).set_processing_targets(waiting);
            let job = Job::builder().status(JobStatus::InProgress).target_selection(selection.clone());
            let job = job.job_process_details(details.build()).build();
            let job = DescribedJob { id: String::new(), job, json: Value::Null };
            assert_eq!(Ending::of(&job, Some(until)).map(|ending| ending.exit), expected, "{selection}");
        }
    }
}
