//! `ota watch`: waits until the rollout of a release is over.

use crate::args::WatchArguments;
use crate::aws::Aws;
use crate::counts::{Counts, Until};
use crate::find::find;
use crate::jobs::{DescribedJob, with_upload};
use crate::output::{bar, complain, report, say, warn, write_json};
use crate::patience::Patience;
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use crate::text::counted;
use aws_sdk_iot::types::{JobExecutionsRetryConfig, JobStatus, RetryableFailureType, TargetSelection};
use indicatif::ProgressBar;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

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
    let release = find(aws, stack, &arguments.release.release).await?;
    let job = release.existing_job()?.clone();
    let is_continuous = job.job.target_selection() == Some(&TargetSelection::Continuous);
    if is_continuous && !job.is_over() && arguments.until.is_none() && arguments.timeout.is_none() {
        return Err(Problem::usage("a continuous job may never end: add `--until succeeded=95%` or `--timeout 2h`"));
    }
    let (job, ending) = watch(aws, job, arguments).await?;
    let counts = Counts::from(&job);
    let line = format!("{} {}: {}", job.id, job.status(), counts.text());
    if is_json {
        write_json(out, &with_upload(job.json, &release.upload))?;
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
        if job.is_being_deleted() {
            return Some(Self::new(Exit::Canceled, "the job is being deleted"));
        }
        let is_reached = until.is_some_and(|until| until.is_reached(&counts, job.is_rolled_out()));
        if is_reached && status != JobStatus::Canceled {
            let devices = counted(counts.succeeded, "device");
            return Some(Self::new(Exit::Done, format!("{devices} of {} succeeded", counts.total())));
        }
        if !job.is_over() || counts.unfinished(&status) > 0 {
            let failures = if status == JobStatus::InProgress { final_failures(job) } else { 0 };
            // Devices can join the targets of a continuous job at any time.
            let has_all = job.is_rolled_out() && job.job.target_selection() != Some(&TargetSelection::Continuous);
            let lost = until.filter(|until| failures > 0 && !until.is_reachable(&counts, failures, has_all));
            return lost.map(|_| {
                let (devices, id) = (counted(counts.not_succeeded(), "device"), &job.id);
                let text = "the number of `--until` cannot be reached any more";
                Self::new(
                    Exit::DevicesFailed,
                    format!("{devices} did not succeed: {text}; `ota cancel {id}` stops the rollout"),
                )
            });
        }
        let exit = match counts.exit(&status) {
            Exit::Done if until.is_some() || !job.is_rolled_out() => Exit::NotDone,
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
                _ if !job.is_rolled_out() => "the rollout ended before all devices got the job".to_owned(),
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

/// The number of executions that failed and will not be retried.
fn final_failures(job: &DescribedJob) -> i64 {
    let counts = Counts::from(job);
    let criteria =
        job.job.job_executions_retry_config().map(JobExecutionsRetryConfig::criteria_list).unwrap_or_default();
    let is_final = |kind: &RetryableFailureType| {
        criteria.iter().all(|criterion| {
            criterion.number_of_retries == 0 || ![kind, &RetryableFailureType::All].contains(&&criterion.failure_type)
        })
    };
    let failed = if is_final(&RetryableFailureType::Failed) { counts.failed } else { 0 };
    let timed_out = if is_final(&RetryableFailureType::TimedOut) { counts.timed_out } else { 0 };
    failed + timed_out + counts.rejected
}

async fn watch(
    aws: &Aws,
    mut job: DescribedJob,
    arguments: &WatchArguments,
) -> Result<(DescribedJob, Ending), Problem> {
    let mut patience = Patience::new(arguments.timeout);
    let progress = Progress::new();
    let mut last = String::new();
    let mut has_failed = false;
    let ending = loop {
        let counts = Counts::from(&job);
        progress.show(&job, &counts, &mut last);
        if !has_failed && counts.not_succeeded() > 0 && !job.is_over() {
            has_failed = true;
            progress.suspend(|| {
                let id = &job.id;
                warn(format_args!(
                    "devices do not succeed: `ota devices {id}` shows why, `ota cancel {id}` stops the rollout"
                ));
            });
        }
        if let Some(ending) = Ending::of(&job, arguments.until) {
            break ending;
        }
        if patience.is_over() {
            break Ending::new(Exit::TimedOut, "the time to wait is over, and the rollout goes on");
        }
        patience.sleep(PAUSE).await;
        match patience.ask(aws.jobs.describe(&job.id)).await? {
            Some(Some(new)) => job = new,
            Some(None) => break Ending::new(Exit::Canceled, "the job was deleted"),
            None => {}
        }
    };
    progress.end();
    Ok((job, ending))
}

/// The progress of a rollout on standard error: a bar on a terminal, otherwise a line after each change.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new() -> Self {
        Self(stderr().is_terminal().then(|| bar(1, "  {bar:30} {msg}")))
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

    fn suspend(&self, report: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(report),
            None => report(),
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
    use aws_sdk_iot::types::{Job, JobProcessDetails, RetryCriteria};
    use serde_json::Value;

    #[test]
    fn each_ending_has_its_exit_code() {
        for (status, counts, until, expected) in [
            (JobStatus::InProgress, (1, 1, 0), None, None),
            (JobStatus::Scheduled, (0, 0, 0), None, None),
            (JobStatus::InProgress, (3, 1, 0), Some("succeeded=75%"), Some(Exit::Done)),
            (JobStatus::Completed, (0, 0, 0), None, Some(Exit::NotDone)),
            (JobStatus::DeletionInProgress, (3, 0, 0), None, Some(Exit::Canceled)),
            (JobStatus::InProgress, (3, 1, 0), Some("succeeded=4"), Some(Exit::DevicesFailed)),
            (JobStatus::InProgress, (3, 0, 0), Some("succeeded=3"), Some(Exit::Done)),
            (JobStatus::Completed, (3, 1, 0), Some("succeeded=4"), Some(Exit::DevicesFailed)),
            (JobStatus::Completed, (3, 0, 0), Some("succeeded=4"), Some(Exit::NotDone)),
            (JobStatus::Completed, (3, 0, 0), None, Some(Exit::Done)),
            (JobStatus::Completed, (3, 1, 0), None, Some(Exit::DevicesFailed)),
            (JobStatus::Canceled, (3, 0, 1), None, Some(Exit::Canceled)),
            (JobStatus::Canceled, (3, 0, 0), Some("succeeded=100%"), Some(Exit::Canceled)),
        ] {
            let (succeeded, failed, canceled) = counts;
            let exit = exit_of(status.clone(), details(succeeded, failed, canceled), until);
            assert_eq!(exit, expected, "{status} {counts:?} {until:?}");
        }
    }

    #[test]
    fn a_job_is_over_once_no_device_is_at_work() {
        for status in [JobStatus::Canceled, JobStatus::Completed] {
            let details = JobProcessDetails::builder().number_of_in_progress_things(1).build();
            assert_eq!(exit_of(status, details, None), None);
        }
        // The end behavior STOP_ROLLOUT leaves queued executions.
        let details = JobProcessDetails::builder().number_of_succeeded_things(1).number_of_queued_things(1).build();
        assert_eq!(exit_of(JobStatus::Completed, details, None), None);
    }

    fn exit_of(status: JobStatus, details: JobProcessDetails, until: Option<&str>) -> Option<Exit> {
        let job = Job::builder().status(status).job_process_details(details).build();
        let job = DescribedJob { id: String::new(), job, json: Value::Null };
        Ending::of(&job, until.map(|until| until.parse().unwrap())).map(|ending| ending.exit)
    }

    #[test]
    fn a_number_that_cannot_be_reached_ends_the_command() {
        let retry = |kind: RetryableFailureType| {
            RetryCriteria::builder().failure_type(kind).number_of_retries(2).build().unwrap()
        };
        for (until, failure, retried, waiting, expected) in [
            ("succeeded=100%", "failed", None, None, Some(Exit::DevicesFailed)),
            ("succeeded=90%", "failed", None, None, None),
            ("succeeded=10", "failed", None, None, Some(Exit::DevicesFailed)),
            ("succeeded=9", "failed", None, None, None),
            // More devices can get the job.
            ("succeeded=10", "failed", None, Some("lab"), None),
            ("succeeded=100%", "failed", None, Some("lab"), Some(Exit::DevicesFailed)),
            ("succeeded=100%", "failed", Some(RetryableFailureType::TimedOut), None, Some(Exit::DevicesFailed)),
            ("succeeded=100%", "failed", Some(RetryableFailureType::Failed), None, None),
            ("succeeded=100%", "failed", Some(RetryableFailureType::All), None, None),
            ("succeeded=100%", "timed out", Some(RetryableFailureType::Failed), None, Some(Exit::DevicesFailed)),
            ("succeeded=100%", "timed out", Some(RetryableFailureType::TimedOut), None, None),
            ("succeeded=100%", "rejected", Some(RetryableFailureType::All), None, Some(Exit::DevicesFailed)),
        ] {
            let details = JobProcessDetails::builder().number_of_succeeded_things(5).number_of_queued_things(4);
            let details = match failure {
                "failed" => details.number_of_failed_things(1),
                "timed out" => details.number_of_timed_out_things(1),
                _ => details.number_of_rejected_things(1),
            };
            let details = details.set_processing_targets(waiting.map(|group: &str| vec![group.to_owned()])).build();
            let retries = JobExecutionsRetryConfig::builder();
            let retries =
                retries.set_criteria_list(Some(retried.iter().cloned().map(retry).collect())).build().unwrap();
            let job = Job::builder().status(JobStatus::InProgress).job_executions_retry_config(retries);
            let job = job.job_process_details(details).build();
            let job = DescribedJob { id: String::new(), job, json: Value::Null };
            let exit = Ending::of(&job, Some(until.parse().unwrap())).map(|ending| ending.exit);
            assert_eq!(exit, expected, "{until} {failure} {retried:?} {waiting:?}");
        }
    }

    #[test]
    fn a_healthy_rollout_never_ends_early() {
        let all = |status: JobStatus, selection, (queued, failed): (i32, i32), until: &str| {
            let details = JobProcessDetails::builder().number_of_queued_things(queued).number_of_failed_things(failed);
            let job = Job::builder().status(status).target_selection(selection).job_process_details(details.build());
            let job = DescribedJob { id: String::new(), job: job.build(), json: Value::Null };
            Ending::of(&job, Some(until.parse().unwrap())).map(|ending| ending.exit)
        };
        let (snapshot, continuous) = (TargetSelection::Snapshot, TargetSelection::Continuous);
        assert_eq!(all(JobStatus::Scheduled, snapshot.clone(), (0, 0), "succeeded=3"), None);
        assert_eq!(all(JobStatus::InProgress, snapshot.clone(), (2, 0), "succeeded=3"), None);
        assert_eq!(all(JobStatus::InProgress, continuous.clone(), (2, 0), "succeeded=3"), None);
        assert_eq!(all(JobStatus::InProgress, continuous.clone(), (2, 1), "succeeded=90%"), None);
        assert_eq!(all(JobStatus::InProgress, continuous, (2, 1), "succeeded=100%"), Some(Exit::DevicesFailed));
        assert_eq!(all(JobStatus::InProgress, snapshot, (2, 1), "succeeded=90%"), Some(Exit::DevicesFailed));
    }

    #[test]
    fn a_rollout_is_a_success_only_once_the_job_is_rolled_out() {
        for (status, until, waiting, expected) in [
            (JobStatus::InProgress, Some("succeeded=90%"), None, Some(Exit::Done)),
            (JobStatus::InProgress, Some("succeeded=90%"), Some("lab"), None),
            (JobStatus::InProgress, Some("succeeded=1"), Some("lab"), Some(Exit::Done)),
            (JobStatus::Completed, None, Some("lab"), Some(Exit::NotDone)),
        ] {
            let waiting = waiting.map(|group| vec![group.to_owned()]);
            let details = JobProcessDetails::builder().number_of_succeeded_things(1).set_processing_targets(waiting);
            assert_eq!(exit_of(status.clone(), details.build(), until), expected, "{status} {until:?}");
        }
    }
}
