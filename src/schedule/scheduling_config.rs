//! The times of a job, and the `SchedulingConfig` of CreateJob.

use crate::{
    schedule::date_time::utc, schedule::iot_cron::Cron, schedule::time_zone::Zone, schedule::times::EndBehavior,
};
use aws_sdk_iot::{
    error::BuildError,
    types::{JobEndBehavior, MaintenanceWindow, SchedulingConfig},
};
use jiff::{Timestamp, tz::Offset};

/// The times of a job, in whole minutes of UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
    pub(crate) end_behavior: EndBehavior,
    pub(crate) zone: Zone,
    pub(crate) openings: Option<Openings>,
}

/// When maintenance windows open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Openings {
    pub(crate) crons: Vec<String>,
    pub(crate) minutes: i32,
    /// The offset from UTC that `crons` assume.
    pub(crate) offset: Offset,
    pub(crate) first: Timestamp,
}

impl Schedule {
    /// When the rollout begins, as AWS IoT takes it; nothing where it begins at once.
    pub fn start_time(&self) -> Option<String> {
        self.start.map(as_sent)
    }

    /// Whether one of these windows opens before the end, where the job has them for lack of windows of its own. What
    /// cannot be read is taken to.
    pub(crate) fn opens(&self, windows: &[MaintenanceWindow], now: Timestamp) -> bool {
        if self.openings.is_some() || windows.is_empty() {
            return true;
        }
        let from = self.start.unwrap_or(now);
        let opens = |window: &MaintenanceWindow| match window.start_time.parse::<Cron>() {
            Ok(cron) => cron.next(from).is_some_and(|first| self.end.is_none_or(|end| first < end)),
            Err(_) => true,
        };
        windows.iter().any(opens)
    }

    /// When the rollout ends, as AWS IoT takes it; nothing where it does not.
    pub fn end_time(&self) -> Option<String> {
        self.end.map(as_sent)
    }

    /// The time between start and end, in minutes; nothing where there is no end.
    pub fn length(&self, now: Timestamp) -> Option<i64> {
        self.end.map(|end| end.duration_since(self.start.unwrap_or(now)).as_mins())
    }

    /// Whether there is something of the rollout left to do after that time: its end, or at least its first window or
    /// its start.
    pub fn goes_on_after(&self, time: Timestamp) -> bool {
        let first = self.openings.as_ref().map(|openings| openings.first);
        self.end.or(first).or(self.start).is_some_and(|last| last > time)
    }

    /// The `schedulingConfig` of CreateJob, with the windows of a job template where it has none of its own; nothing
    /// where the job starts at once, has no end and no windows. Without an end, an end behavior does not apply and is not
    /// sent.
    pub(crate) fn to_config(&self, others: &[MaintenanceWindow]) -> Result<Option<SchedulingConfig>, BuildError> {
        let behavior = match self.end_behavior {
            EndBehavior::StopRollout => JobEndBehavior::StopRollout,
            EndBehavior::Cancel => JobEndBehavior::Cancel,
            EndBehavior::ForceCancel => JobEndBehavior::ForceCancel,
        };
        let windows = self.openings.as_ref().map(|Openings { crons, minutes, .. }| {
            let window = |cron| MaintenanceWindow::builder().start_time(cron).duration_in_minutes(*minutes).build();
            crons.iter().map(window).collect::<Result<_, _>>()
        });
        let windows = windows.unwrap_or_else(|| Ok(others.to_vec()))?;
        if self.start.is_none() && self.end.is_none() && windows.is_empty() {
            return Ok(None);
        }
        Ok(Some(
            SchedulingConfig::builder()
                .set_start_time(self.start_time())
                .set_end_time(self.end_time())
                .set_end_behavior(self.end.map(|_| behavior))
                .set_maintenance_windows((!windows.is_empty()).then_some(windows))
                .build(),
        ))
    }

    /// Tells the times both in UTC and by the clocks of the zone, where they differ, and the windows.
    pub(crate) fn log(&self, job_id: &str) {
        if self.zone.is_utc() && self.openings.is_none() {
            return;
        }
        let local = |time| self.zone.local(time);
        let first = self.openings.as_ref().map(|openings| openings.first);
        tracing::info!(
            jobId = job_id,
            timezone = self.zone.name(),
            startTime = self.start.map(utc),
            localStartTime = self.start.map(local),
            endTime = self.end.map(utc),
            localEndTime = self.end.map(local),
            maintenanceWindows = self.openings.as_ref().map(|openings| openings.crons.join("; ")),
            firstWindow = first.map(utc),
            localFirstWindow = first.map(local),
            "the schedule of the job"
        );
    }
}

pub(crate) fn as_sent(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M").to_string()
}
