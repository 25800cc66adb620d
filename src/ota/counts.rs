//! The numbers of devices of a job, by the status of their executions.

use crate::jobs::DescribedJob;
use crate::problem::Exit;
use aws_sdk_iot::types::JobStatus;
use std::str::FromStr;

/// The meaning of each count, for the help.
pub const DEFINITIONS: &str = "\
Counts of devices, by the status of their executions of the job:
  queued       the device has not received the job yet
  in progress  the device reported that it works on the job
  succeeded    the device reported success
  failed       the device reported a failure
  rejected     the device refused the job
  timed out    the device reported no result before the time-out
  canceled     the execution was canceled, with the job or for this device
  removed      the device left the thing group, or was deleted
AWS IoT counts executions: a device that left its thing group and joined again can count twice.
The total does not include removed devices.";

/// The numbers of devices of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of AWS IoT")]
pub struct Counts {
    pub queued: i64,
    pub in_progress: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub rejected: i64,
    pub timed_out: i64,
    pub canceled: i64,
    pub removed: i64,
}

impl From<&DescribedJob> for Counts {
    fn from(job: &DescribedJob) -> Self {
        let Some(details) = job.job.job_process_details() else { return Self::default() };
        let number = |count: Option<i32>| i64::from(count.unwrap_or_default());
        Self {
            queued: number(details.number_of_queued_things),
            in_progress: number(details.number_of_in_progress_things),
            succeeded: number(details.number_of_succeeded_things),
            failed: number(details.number_of_failed_things),
            rejected: number(details.number_of_rejected_things),
            timed_out: number(details.number_of_timed_out_things),
            canceled: number(details.number_of_canceled_things),
            removed: number(details.number_of_removed_things),
        }
    }
}

impl Counts {
    /// The number of devices that failed, rejected the job, or timed out.
    pub fn not_succeeded(&self) -> i64 {
        self.failed + self.rejected + self.timed_out
    }

    /// The number of devices that may still install the update of a job that is over. The end behavior STOP_ROLLOUT leaves
    /// queued executions.
    pub fn unfinished(&self, status: &JobStatus) -> i64 {
        self.in_progress + if *status == JobStatus::Completed { self.queued } else { 0 }
    }

    /// The number of devices.
    pub fn total(&self) -> i64 {
        self.queued + self.in_progress + self.succeeded + self.not_succeeded() + self.canceled
    }

    /// The counts that are not zero, as a text.
    pub fn text(&self) -> String {
        let counts = [
            (self.succeeded, "succeeded"),
            (self.in_progress, "in progress"),
            (self.queued, "queued"),
            (self.failed, "failed"),
            (self.rejected, "rejected"),
            (self.timed_out, "timed out"),
            (self.canceled, "canceled"),
            (self.removed, "removed"),
        ];
        let shown: Vec<_> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
        if shown.is_empty() { "no devices".to_owned() } else { shown.join(", ") }
    }

    /// The exit code of a rollout that is over. A completed job without devices, or with devices that failed, is not a
    /// success.
    pub fn exit(&self, status: &JobStatus) -> Exit {
        if self.not_succeeded() > 0 {
            Exit::DevicesFailed
        } else if self.canceled > 0 || *status != JobStatus::Completed {
            Exit::Canceled
        } else if self.succeeded == 0 {
            Exit::NotDone
        } else {
            Exit::Done
        }
    }
}

/// A number of devices that must have succeeded: `succeeded=95%` or `succeeded=100`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Until {
    /// A share of the total, in percent.
    Percent(f64),
    /// A number of devices.
    Devices(i64),
}

impl FromStr for Until {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a share or a number of devices, such as `succeeded=95%` or `succeeded=100`";
        let value = text.strip_prefix("succeeded=").ok_or(expected)?;
        let until = match value.strip_suffix('%') {
            Some(share) => share.parse().ok().filter(|share| *share > 0.0 && *share <= 100.0).map(Self::Percent),
            None => value.parse().ok().filter(|number| *number > 0).map(Self::Devices),
        };
        until.ok_or_else(|| expected.to_owned())
    }
}

impl Until {
    /// Returns whether enough devices have succeeded. A share is known only once the job is rolled out, because the total
    /// grows until then.
    #[allow(clippy::cast_precision_loss, reason = "the numbers of devices are far below 2^52")]
    pub fn is_reached(self, counts: &Counts, is_rolled_out: bool) -> bool {
        match self {
            Self::Percent(share) => {
                let succeeded = counts.succeeded as f64;
                is_rolled_out && counts.total() > 0 && succeeded * 100.0 >= counts.total() as f64 * share
            }
            Self::Devices(number) => counts.succeeded >= number,
        }
    }

    /// Returns whether enough devices can still succeed. Unless all devices have the job, more can get it and succeed, so only
    /// a share of 100 % is out of reach.
    #[allow(clippy::cast_precision_loss, reason = "the numbers of devices are far below 2^52")]
    pub fn is_reachable(self, counts: &Counts, final_failures: i64, have_all: bool) -> bool {
        let possible = counts.total() - counts.canceled - final_failures;
        match self {
            Self::Percent(share) if have_all => possible as f64 * 100.0 >= counts.total() as f64 * share,
            Self::Percent(share) => share < 100.0 || final_failures + counts.canceled == 0,
            Self::Devices(number) => !have_all || possible >= number,
        }
    }
}

/// The counts of AWS IoT, for tests.
#[cfg(test)]
pub fn details(succeeded: i32, failed: i32, canceled: i32) -> aws_sdk_iot::types::JobProcessDetails {
    let details = aws_sdk_iot::types::JobProcessDetails::builder();
    let details = details.number_of_succeeded_things(succeeded).number_of_failed_things(failed);
    details.number_of_canceled_things(canceled).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::types::Job;
    use serde_json::Value;

    fn counts(succeeded: i32, failed: i32, canceled: i32) -> Counts {
        let job = Job::builder().job_process_details(details(succeeded, failed, canceled)).build();
        Counts::from(&DescribedJob { id: "AFR_OTA-a".to_owned(), job, json: Value::Null })
    }

    #[test]
    fn only_a_completed_job_whose_devices_all_succeeded_is_a_success() {
        for (counts, status, exit) in [
            (counts(2, 0, 0), JobStatus::Completed, Exit::Done),
            (counts(0, 0, 0), JobStatus::Completed, Exit::NotDone),
            (counts(0, 0, 0), JobStatus::DeletionInProgress, Exit::Canceled),
            (counts(1, 1, 0), JobStatus::Completed, Exit::DevicesFailed),
            (counts(1, 1, 1), JobStatus::Canceled, Exit::DevicesFailed),
            (counts(1, 0, 1), JobStatus::Completed, Exit::Canceled),
            (counts(1, 0, 0), JobStatus::Canceled, Exit::Canceled),
        ] {
            assert_eq!(counts.exit(&status), exit, "{counts:?} {status}");
        }
    }

    #[test]
    fn the_condition_is_a_share_or_a_number() {
        for (text, succeeded, failed, expected) in [
            ("succeeded=95%", 95, 5, true),
            ("succeeded=95%", 94, 5, false),
            ("succeeded=0.5%", 0, 0, false),
            ("succeeded=2", 2, 9, true),
            ("succeeded=3", 2, 0, false),
        ] {
            let (until, counts) = (text.parse::<Until>().unwrap(), counts(succeeded, failed, 0));
            assert_eq!(until.is_reached(&counts, true), expected, "{text}");
            // The first wave says nothing about the share, but a number of devices is a number of devices.
            assert_eq!(until.is_reached(&counts, false), expected && !text.ends_with('%'), "{text}");
        }
        for text in ["95%", "succeeded", "succeeded=", "succeeded=0", "succeeded=101%", "succeeded=-1", "failed=1"] {
            assert!(text.parse::<Until>().unwrap_err().starts_with("expected a share"), "{text}");
        }
    }

    #[test]
    fn only_counts_that_are_not_zero_are_shown() {
        assert_eq!(counts(2, 1, 0).text(), "2 succeeded, 1 failed");
        assert_eq!(Counts::default().text(), "no devices");
    }
}
