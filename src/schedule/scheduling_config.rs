//! The times of a job, and the `SchedulingConfig` of CreateJob.

use crate::schedule::date_time::utc;
use crate::schedule::iot_cron::Cron;
use crate::schedule::time_zone::Zone;
use crate::schedule::times::EndBehavior;
use aws_sdk_iot::error::BuildError;
use aws_sdk_iot::types::{JobEndBehavior, MaintenanceWindow, SchedulingConfig};
use jiff::Timestamp;
use jiff::tz::Offset;

/// The times of a job, in whole minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) end_behavior: EndBehavior,
    pub(super) zone: Zone,
    pub(super) openings: Option<Openings>,
}

/// The openings of a maintenance window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Openings {
    pub(super) crons: Vec<String>,
    pub(super) minutes: i32,
    /// The offset from UTC that `crons` assume.
    pub(super) offset: Offset,
    pub(super) first: Timestamp,
}

impl Schedule {
    /// The start of the rollout as AWS IoT accepts it. `None` if the rollout starts at once.
    pub fn start_time(&self) -> Option<String> {
        self.start.map(iot_time)
    }

    /// The end of the rollout as AWS IoT accepts it. `None` if the rollout has no end.
    pub fn end_time(&self) -> Option<String> {
        self.end.map(iot_time)
    }

    /// The time between start and end, in minutes. `None` if the job has no end.
    pub fn length(&self, now: Timestamp) -> Option<i64> {
        self.end.map(|end| end.duration_since(self.start.unwrap_or(now)).as_mins())
    }

    /// Returns whether the rollout continues after a time. A rollout without an end is assumed to last until its first
    /// window or, without windows, until its start.
    pub fn continues_after(&self, time: Timestamp) -> bool {
        let first = self.openings.as_ref().map(|openings| openings.first);
        self.end.or(first).or(self.start).is_some_and(|last| last > time)
    }

    /// Returns whether one of these windows of the manifest or the job template opens between start and end. Also
    /// `true` if `windows` is empty, or if the job has its own window. A window that cannot be parsed is assumed to
    /// open.
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

    /// The `schedulingConfig` of CreateJob. It has the job's own window or, if the job has none, `windows` of the
    /// manifest or the job template. `None` if the job starts at once and has neither an end nor windows. An end
    /// behavior is sent only with an end.
    pub(crate) fn to_config(&self, windows: &[MaintenanceWindow]) -> Result<Option<SchedulingConfig>, BuildError> {
        let behavior = match self.end_behavior {
            EndBehavior::StopRollout => JobEndBehavior::StopRollout,
            EndBehavior::Cancel => JobEndBehavior::Cancel,
            EndBehavior::ForceCancel => JobEndBehavior::ForceCancel,
        };
        let windows = match &self.openings {
            None => windows.to_vec(),
            Some(Openings { crons, minutes, .. }) => {
                let window = |cron| MaintenanceWindow::builder().start_time(cron).duration_in_minutes(*minutes).build();
                crons.iter().map(window).collect::<Result<_, _>>()?
            }
        };
        if self.start.is_none() && self.end.is_none() && windows.is_empty() {
            return Ok(None);
        }
        let config = SchedulingConfig::builder()
            .set_start_time(self.start_time())
            .set_end_time(self.end_time())
            .set_end_behavior(self.end.map(|_| behavior))
            .set_maintenance_windows((!windows.is_empty()).then_some(windows));
        Ok(Some(config.build()))
    }

    /// Logs the windows, and the times in UTC and in the zone. Logs nothing for a schedule in UTC without windows.
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

/// Formats a time as AWS IoT accepts it.
fn iot_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule(start: Option<&str>, end: Option<&str>) -> Schedule {
        let (start, end, zone) = (start.map(time), end.map(time), "UTC".parse().unwrap());
        Schedule { start, end, end_behavior: EndBehavior::Cancel, zone, openings: None }
    }

    fn with_window(schedule: Schedule) -> Schedule {
        let crons = ["cron(0 2 1 * ? *)", "cron(0 2 L * ? *)"].map(str::to_owned).to_vec();
        let openings = Openings { crons, minutes: 90, offset: Offset::UTC, first: time("2026-12-01T02:00:00Z") };
        Schedule { openings: Some(openings), ..schedule }
    }

    fn maintenance_window(cron: &str, minutes: i32) -> MaintenanceWindow {
        MaintenanceWindow::builder().start_time(cron).duration_in_minutes(minutes).build().unwrap()
    }

    fn template_window(cron: &str) -> MaintenanceWindow {
        maintenance_window(cron, 60)
    }

    const NOW: &str = "2026-11-23T21:40:00Z";
    const START: Option<&str> = Some("2026-11-24T00:00:00Z");
    const END: Option<&str> = Some("2026-11-25T00:00:00Z");

    #[test]
    fn only_times_and_windows_that_are_set_are_sent() {
        let config = SchedulingConfig::builder;
        let from_start = config().start_time("2026-11-24T00:00").build();
        let to_end = config().end_time("2026-11-25T00:00").end_behavior(JobEndBehavior::Cancel).build();
        let windows = ["cron(0 2 1 * ? *)", "cron(0 2 L * ? *)"].map(|cron| maintenance_window(cron, 90));
        let in_windows = config().set_maintenance_windows(Some(windows.into())).build();
        for (schedule, expected) in [
            (schedule(None, None), None),
            (schedule(START, None), Some(from_start)),
            (schedule(None, END), Some(to_end)),
            (with_window(schedule(None, None)), Some(in_windows)),
        ] {
            assert_eq!(schedule.to_config(&[]).unwrap(), expected);
        }
    }

    #[test]
    fn every_end_behavior_is_sent() {
        for (end_behavior, expected) in [
            (EndBehavior::StopRollout, JobEndBehavior::StopRollout),
            (EndBehavior::Cancel, JobEndBehavior::Cancel),
            (EndBehavior::ForceCancel, JobEndBehavior::ForceCancel),
        ] {
            let schedule = Schedule { end_behavior, ..schedule(None, END) };
            assert_eq!(schedule.to_config(&[]).unwrap().unwrap().end_behavior(), Some(&expected));
        }
    }

    #[test]
    fn windows_of_a_job_template_are_sent_unless_the_job_has_its_own() {
        let others = [template_window("cron(0 4 * * ? *)")];
        let sent = |schedule: Schedule| schedule.to_config(&others).unwrap().unwrap().maintenance_windows.unwrap();
        assert_eq!(sent(schedule(None, None)), others);
        assert!(!sent(with_window(schedule(None, None))).contains(&others[0]));
    }

    #[test]
    fn a_window_of_a_job_template_must_open_between_start_and_end() {
        let opens = |schedule: &Schedule, cron: &str| schedule.opens(&[template_window(cron)], time(NOW));
        let schedule = schedule(START, END);
        for (cron, expected) in [
            ("cron(59 23 23 11 ? 2026)", false),
            ("cron(0 0 24 11 ? 2026)", true),
            ("cron(59 23 24 11 ? 2026)", true),
            ("cron(0 0 25 11 ? 2026)", false),
            ("cron(0 2 * * ? 2020)", false),
            ("rate(1 day)", true),
        ] {
            assert_eq!(opens(&schedule, cron), expected, "{cron}");
        }
        assert!(opens(&Schedule { end: None, ..schedule.clone() }, "cron(0 0 25 11 ? 2026)"));
        assert!(opens(&Schedule { start: None, ..schedule.clone() }, "cron(40 21 23 11 ? 2026)"));
        assert!(!opens(&Schedule { start: None, ..schedule.clone() }, "cron(39 21 23 11 ? 2026)"));
        assert!(opens(&with_window(schedule.clone()), "cron(0 2 * * ? 2020)"));
        let windows = ["cron(0 2 * * ? 2020)", "cron(0 0 24 11 ? 2026)"].map(template_window);
        assert!(schedule.opens(&windows, time(NOW)) && schedule.opens(&[], time(NOW)));
    }

    #[test]
    fn the_length_is_the_time_between_start_and_end() {
        assert_eq!(schedule(START, END).length(time(NOW)), Some(1440));
        assert_eq!(schedule(None, END).length(time(NOW)), Some(1580));
        assert_eq!(schedule(START, None).length(time(NOW)), None);
    }

    #[test]
    fn a_rollout_continues_until_its_end_its_first_window_or_its_start() {
        let continues_until = |schedule: &Schedule, last: &str| {
            let last = time(last);
            let before = last.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
            schedule.continues_after(before) && !schedule.continues_after(last)
        };
        assert!(continues_until(&with_window(schedule(START, END)), END.unwrap()));
        assert!(continues_until(&with_window(schedule(START, None)), "2026-12-01T02:00:00Z"));
        assert!(continues_until(&schedule(START, None), START.unwrap()));
        assert!(!schedule(None, None).continues_after(time(NOW)));
    }
}
