//! When a job starts and ends and when its devices are updated in between, and the rules of AWS IoT on it.
//!
//! The rules are those of `SchedulingConfig`
//! (<https://docs.aws.amazon.com/iot/latest/apireference/API_SchedulingConfig.html>): a start and an end at least 30
//! minutes ahead and 30 minutes apart, the start within a year, the end within two. Times are sent as
//! `YYYY-MM-DDThh:mm`, in UTC.

use crate::{
    schedule::date_time::{DateAndTime, utc},
    schedule::duration::{DAY, LONGEST, Minutes},
    schedule::scheduling_config::{Openings, Schedule},
    schedule::time_zone::Zone,
    schedule::times::{End, EndBehavior, Start},
    schedule::window::Window,
};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use std::fmt;

/// How far ahead a time must be, in minutes: when the release is checked, and when its job is created. The minute
/// between them is for the work between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadTime {
    /// 31 minutes: what is promised to uploaders.
    WhenChecked = 31,
    /// 30 minutes: what AWS IoT asks.
    WhenCreated = 30,
}

/// The least time between start and end, in minutes.
pub(crate) const SHORTEST: i64 = 30;
/// The furthest start ahead, in minutes.
pub(crate) const LATEST_START: i64 = 365 * DAY;
/// The furthest end ahead, and the longest time between start and end, in minutes.
pub(crate) const LATEST_END: i64 = LONGEST;

/// The problem of an end that is this long after the start.
pub(crate) fn too_near_to_start(after: SignedDuration) -> String {
    let is =
        if after.is_negative() { format!("{} before", length(-after)) } else { format!("{} after", length(after)) };
    format!("{is} the start, expected at least {SHORTEST} minutes after it")
}

/// What was asked for, as it was asked: relative times are counted from the creation of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// When the rollout begins.
    pub start: Start,
    /// When the rollout ends.
    pub end: End,
    /// What becomes of executions that are left at the end.
    pub end_behavior: EndBehavior,
    /// Whose clocks dates, times and windows without a `Z` go by.
    pub zone: Zone,
    /// When devices are updated between start and end, if not at any time.
    pub window: Option<Window>,
}

/// Which part of a plan breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The start.
    Start,
    /// The end.
    End,
    /// The maintenance window.
    Window,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::End => "end",
            Self::Window => "maintenance window",
        })
    }
}

impl Plan {
    /// The times of a job that is created at `now`.
    ///
    /// # Errors
    /// Each rule that is broken: by which part, how, and what was expected.
    pub fn at(&self, now: Timestamp, lead: LeadTime) -> Result<Schedule, Vec<(Part, String)>> {
        let mut broken = Vec::new();
        let start = match self.start {
            Start::Now => None,
            Start::After(after) => Some(Ok(minute_at_or_after(now, after))),
            Start::At(time) => Some(time.in_zone(&self.zone)),
        };
        let problem = start.as_ref().and_then(|start| match start {
            Ok(start) => self.start_problem(*start, now, lead),
            Err(problem) => Some(problem.clone()),
        });
        broken.extend(problem.map(|problem| (Part::Start, problem)));
        let start = start.and_then(Result::ok);
        let end = match self.end {
            End::Never => None,
            // An end that counts from a bad start is not to blame, unless it is too short for any.
            End::After(_) if !broken.is_empty() => self.end.problem_after_any_start().map(Err),
            End::After(after) => Some(Ok(minute_at_or_after(start.unwrap_or(now), after))),
            End::At(time) => Some(time.in_zone(&self.zone)),
        };
        let problem = end.as_ref().and_then(|end| match end {
            Ok(end) => self.end_problem(*end, start, now, lead),
            Err(problem) => Some(problem.clone()),
        });
        broken.extend(problem.map(|problem| (Part::End, problem)));
        if !broken.is_empty() {
            return Err(broken);
        }
        let end = end.and_then(Result::ok);
        let openings = self.window.as_ref().and_then(|window| {
            let from = start.unwrap_or(now);
            let offset = window.offset(&self.zone, from)?;
            let first = window.first(offset, from)?;
            let crons = window.crons(offset, offset.to_datetime(from).year());
            Some(Openings { crons, minutes: window.minutes, offset, first })
        });
        if let (Some(Openings { first, .. }), Some(end)) = (&openings, end)
            && *first >= end
        {
            let expected = format!("a window that opens before the end at {}", utc(end));
            return Err(vec![(Part::Window, format!("not open before {}, expected {expected}", utc(*first)))]);
        }
        Ok(Schedule { start, end, end_behavior: self.end_behavior, zone: self.zone.clone(), openings })
    }

    fn start_problem(&self, start: Timestamp, now: Timestamp, lead: LeadTime) -> Option<String> {
        let (ahead, least) = (start.duration_since(now), lead as i64);
        let is = match self.start {
            Start::At(time) => self.away(time, start, ahead),
            _ => away(ahead),
        };
        if ahead < SignedDuration::from_mins(least) {
            Some(format!("{is}, expected `now` or at least {least} minutes ahead"))
        } else if ahead > SignedDuration::from_mins(LATEST_START) {
            Some(format!("{is}, expected less than a year (365 days) ahead"))
        } else {
            None
        }
    }

    fn end_problem(&self, end: Timestamp, start: Option<Timestamp>, now: Timestamp, lead: LeadTime) -> Option<String> {
        let (ahead, least) = (end.duration_since(now), lead as i64);
        let is = match self.end {
            End::At(time) => self.away(time, end, ahead),
            _ => away(ahead),
        };
        let long = start.map(|start| end.duration_since(start));
        if let Some(long) = long.filter(|long| *long < SignedDuration::from_mins(SHORTEST)) {
            Some(too_near_to_start(long))
        } else if ahead < SignedDuration::from_mins(least) {
            Some(format!("{is}, expected at least {least} minutes ahead"))
        } else if ahead > SignedDuration::from_mins(LATEST_END) {
            Some(format!("{is}, expected less than two years (730 days) ahead"))
        } else {
            None
        }
    }

    /// How far a time is away, and which it is in UTC where it was not given so.
    fn away(&self, given: DateAndTime, time: Timestamp, ahead: SignedDuration) -> String {
        if given.is_utc() || self.zone.is_utc() { away(ahead) } else { format!("{}, {}", utc(time), away(ahead)) }
    }

    /// The local time of the job, if the sign in the name of the zone is the opposite of its offset: a sentence for the log.
    pub(crate) fn opposite_sign(&self, now: Timestamp) -> Option<String> {
        let offset = self.zone.opposite_offset()?;
        let Schedule { start, end, openings, .. } = self.at(now, LeadTime::WhenCreated).ok()?;
        let is_local = |time: DateAndTime| !time.is_utc();
        let start = start.filter(|_| matches!(self.start, Start::At(time) if is_local(time)));
        let first = openings.filter(|_| self.window.as_ref().is_some_and(|window| !window.is_utc()));
        let end = end.filter(|_| matches!(self.end, End::At(time) if is_local(time)));
        let times = [("start", start), ("first window", first.map(|openings| openings.first)), ("end", end)];
        let (what, time) = times.into_iter().find_map(|(what, time)| Some((what, time?)))?;
        let (name, local, utc) = (self.zone.name(), self.zone.local(time), utc(time));
        Some(format!("`{name}` is {offset}, by the opposite of its sign: the {what} is {local}, which is {utc}"))
    }

    /// What the clocks of the zone do to the maintenance windows within a year: sentences for the log.
    pub(crate) fn clock_changes(&self, now: Timestamp) -> Vec<String> {
        let changes = || {
            let Schedule { start, end, openings, .. } = self.at(now, LeadTime::WhenCreated).ok()?;
            let year = start.unwrap_or(now).saturating_add(SignedDuration::from_mins(365 * DAY)).ok()?;
            let (window, Openings { offset, first, .. }) = (self.window.as_ref()?, openings?);
            Some(window.changes(&self.zone, offset, first, end.map_or(year, |end| end.min(year))))
        };
        changes().unwrap_or_default()
    }
}

/// The first full minute that is `after` past `time` or later.
pub(crate) fn minute_at_or_after(time: Timestamp, Minutes(after): Minutes) -> Timestamp {
    let full_minutes = TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil);
    let passed = time.saturating_add(SignedDuration::from_mins(after));
    passed.and_then(|time| time.round(full_minutes)).unwrap_or(Timestamp::MAX)
}

pub(crate) fn away(ahead: SignedDuration) -> String {
    if ahead.is_negative() { format!("{} ago", length(-ahead)) } else { format!("{} ahead", length(ahead)) }
}

/// A time that is not negative.
pub(crate) fn length(time: SignedDuration) -> String {
    Minutes(time.as_mins()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::types::JobEndBehavior;
    use proptest::prelude::*;

    const NOW: &str = "2026-11-23T21:40:30.000000001Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn plan(start: &str, end: &str) -> Plan {
        in_zone("UTC", start, end, None)
    }

    fn in_zone(zone: &str, start: &str, end: &str, window: Option<&str>) -> Plan {
        let (start, end, zone) = (start.parse().unwrap(), end.parse().unwrap(), zone.parse().unwrap());
        Plan {
            start,
            end,
            end_behavior: EndBehavior::Cancel,
            zone,
            window: window.map(|window| window.parse().unwrap()),
        }
    }

    #[test]
    fn relative_times_count_from_job_creation_rounded_up_to_the_minute() {
        let schedule = plan("1h", "90m").at(now(), LeadTime::WhenChecked).unwrap();
        assert_eq!(schedule.start_time().unwrap(), "2026-11-23T22:41");
        assert_eq!(schedule.end_time().unwrap(), "2026-11-24T00:11");
        let schedule = plan("now", "31m").at(now(), LeadTime::WhenChecked).unwrap();
        assert_eq!((schedule.start_time(), schedule.end_time().unwrap()), (None, "2026-11-23T22:12".to_owned()));
    }

    #[test]
    fn what_does_not_apply_is_not_sent() {
        assert_eq!(plan("now", "never").at(now(), LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap(), None);
        let config = plan("1h", "never").at(now(), LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap().unwrap();
        assert_eq!(
            (config.start_time(), config.end_time(), config.end_behavior()),
            (Some("2026-11-23T22:41"), None, None)
        );
        let config = plan("now", "1h").at(now(), LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap().unwrap();
        assert_eq!(config.start_time(), None);
        assert_eq!(config.end_behavior(), Some(&JobEndBehavior::Cancel));
    }

    #[test]
    fn a_broken_rule_is_told_with_the_slack() {
        let cases: [(&str, &str, Part, &str); 8] = [
            ("30m", "1h", Part::Start, "30m ahead, expected `now` or at least 31 minutes ahead"),
            ("2026-11-23T21:00", "1h", Part::Start, "40m ago, expected `now` or at least 31 minutes ahead"),
            ("2027-11-24T00:00", "1h", Part::Start, "365d2h19m ahead, expected less than a year (365 days) ahead"),
            ("1h", "29m", Part::End, "29m after the start, expected at least 30 minutes after it"),
            ("1h", "2026-11-23T22:00", Part::End, "41m before the start, expected at least 30 minutes after it"),
            ("now", "30m", Part::End, "30m ahead, expected at least 31 minutes ahead"),
            ("now", "2026-11-23T21:00", Part::End, "40m ago, expected at least 31 minutes ahead"),
            ("1d", "730d", Part::End, "731d ahead, expected less than two years (730 days) ahead"),
        ];
        for (start, end, part, problem) in cases {
            let broken = plan(start, end).at(now(), LeadTime::WhenChecked).unwrap_err();
            assert_eq!(broken, [(part, problem.to_owned())], "{start} {end}");
        }
    }

    #[test]
    fn a_time_at_the_very_edge_is_taken() {
        let now: Timestamp = "2026-11-23T21:40:00Z".parse().unwrap();
        let is_taken = |start: &str, end: &str| plan(start, end).at(now, LeadTime::WhenChecked).is_ok();
        for (start, end, taken) in [
            ("2026-11-23T22:10", "never", false),
            ("2026-11-23T22:11", "never", true),
            ("2027-11-23T21:40", "never", true),
            ("2027-11-23T21:41", "never", false),
            ("now", "2026-11-23T22:10", false),
            ("now", "2026-11-23T22:11", true),
            ("now", "2028-11-22T21:40", true),
            ("now", "2028-11-22T21:41", false),
            ("2026-11-23T22:11", "2026-11-23T22:40", false),
            ("2026-11-23T22:11", "2026-11-23T22:41", true),
        ] {
            assert_eq!(is_taken(start, end), taken, "{start} {end}");
        }
    }

    #[test]
    fn every_end_behavior_is_sent_as_it_was_asked_for() {
        let behaviors = [
            ("stop-rollout", JobEndBehavior::StopRollout),
            ("cancel", JobEndBehavior::Cancel),
            ("force-cancel", JobEndBehavior::ForceCancel),
        ];
        for (text, behavior) in behaviors {
            let plan = Plan { end_behavior: text.parse().unwrap(), ..plan("1h", "1h") };
            let config = plan.at(now(), LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap().unwrap();
            assert_eq!(config.end_behavior(), Some(&behavior), "{text}");
        }
    }

    #[test]
    fn a_schedule_is_as_long_as_the_time_between_its_start_and_end() {
        let length = |start: &str, end: &str| plan(start, end).at(now(), LeadTime::WhenChecked).unwrap().length(now());
        assert_eq!(length("1h", "90m"), Some(90));
        assert_eq!(length("now", "2026-11-23T23:00"), Some(79));
        assert_eq!(length("1h", "never"), None);
    }

    #[test]
    fn a_rule_that_a_local_time_breaks_is_told_with_the_time_in_utc() {
        let broken =
            |start: &str, end: &str| in_zone("Europe/Berlin", start, end, None).at(now(), LeadTime::WhenChecked);
        let problem = "2026-11-23T21:45Z, 4m ahead, expected `now` or at least 31 minutes ahead";
        assert_eq!(broken("2026-11-23T22:45", "1h").unwrap_err(), [(Part::Start, problem.to_owned())]);
        let problem = "2026-11-23T21:00Z, 40m ago, expected at least 31 minutes ahead";
        assert_eq!(broken("now", "2026-11-23T22:00").unwrap_err(), [(Part::End, problem.to_owned())]);
        let problem = "4m ahead, expected `now` or at least 31 minutes ahead";
        assert_eq!(broken("2026-11-23T21:45Z", "1h").unwrap_err(), [(Part::Start, problem.to_owned())]);
        let schedule = broken("2026-12-01T02:00", "2026-12-01T03:00Z").unwrap();
        assert_eq!(schedule.start_time().unwrap(), "2026-12-01T01:00");
        assert_eq!(schedule.end_time().unwrap(), "2026-12-01T03:00");
    }

    #[test]
    fn both_bad_ends_of_a_plan_are_told() {
        let broken = in_zone("Europe/Berlin", "2027-03-28T02:30", "2026-11-23T22:00", Some("daily 02:00 1h"));
        let parts = |plan: &Plan| {
            let broken = plan.at(now(), LeadTime::WhenChecked).unwrap_err().into_iter();
            broken.map(|(part, _)| part).collect::<Vec<_>>()
        };
        assert_eq!(parts(&broken), [Part::Start, Part::End]);
        for (start, end, expected) in [
            ("5m", "5m", &[Part::Start, Part::End][..]),
            ("2020-01-01T00:00", "29m", &[Part::Start, Part::End]),
            ("5m", "30m", &[Part::Start]),
            ("5m", "never", &[Part::Start]),
        ] {
            assert_eq!(parts(&plan(start, end)), expected, "{start} {end}");
        }
        let problem = "5m after the start, expected at least 30 minutes after it";
        assert_eq!(plan("5m", "5m").at(now(), LeadTime::WhenChecked).unwrap_err()[1].1, problem);
        let far = plan("2026-11-26T12:00", "2026-11-25T06:56").at(now(), LeadTime::WhenChecked).unwrap_err();
        assert_eq!(far[0].1, "1d5h4m before the start, expected at least 30 minutes after it");
    }

    #[test]
    fn a_window_is_sent_in_utc_by_the_offset_at_the_start() {
        let sent = |start: &str, end: &str, window: &str| {
            let plan = in_zone("Europe/Berlin", start, end, Some(window));
            let config = plan.at(now(), LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap().unwrap();
            let windows = config.maintenance_windows().iter();
            windows.map(|window| (window.start_time().to_owned(), window.duration_in_minutes())).collect::<Vec<_>>()
        };
        let one = |cron: &str, minutes| vec![(cron.to_owned(), minutes)];
        assert_eq!(sent("1h", "never", "daily 02:00 2h"), one("cron(0 1 * * ? *)", 120));
        assert_eq!(sent("2027-07-01T02:00", "never", "daily 02:00 2h"), one("cron(0 0 * * ? *)", 120));
        assert_eq!(sent("now", "never", "mon 00:30 90m"), one("cron(30 23 ? * SUN *)", 90));
        assert_eq!(sent("now", "never", "mon 00:30Z 90m"), one("cron(30 0 ? * MON *)", 90));
        assert_eq!(sent("now", "never", "day-1 00:30 90m"), one("cron(30 23 L * ? *)", 90));
    }

    /// Zone, start, end and window; the days of its cron expression with hour and minute, its first opening, and a part of
    /// the warning.
    const FIRST_OPENINGS: [&str; 10] = [
        // The clocks change between the start and the first opening.
        "Europe/Berlin|2027-10-30T12:00|2027-10-31T05:30|sun 05:00 2h|0 4 ? * SUN *|2027-10-31T04:00Z|",
        "Europe/Berlin|2027-03-26T12:00|2027-03-28T05:30|sun 05:00 2h|0 3 ? * SUN *|2027-03-28T03:00Z|",
        "Europe/Berlin|2027-03-26T12:00|2027-03-28T05:30|sun 01:00 2h|0 0 ? * SUN *|2027-03-28T00:00Z|forward by 1h",
        "America/New_York|2027-11-06T12:00|2027-11-07T05:30|sun 05:00 2h|0 10 ? * SUN *|2027-11-07T10:00Z|",
        "Australia/Lord_Howe|2027-04-03T12:00|2027-04-04T09:00|sun 05:00 2h|30 18 ? * SAT *|2027-04-03T18:30Z|",
        "Europe/Berlin|2027-03-01T12:00|never|day-31 05:00 2h|0 3 31 * ? *|2027-03-31T03:00Z|back by 1h",
        // The clocks show the time twice, or skip it: the windows after it are right.
        "Europe/Berlin|2027-10-30T12:00|2027-11-01T12:00|sun 02:30 2h|30 1 ? * SUN *|2027-10-31T01:30Z|",
        "Europe/Berlin|2027-03-27T12:00|2027-03-29T12:00|sun 02:30 2h|30 0 ? * SUN *|2027-03-28T00:30Z|at 2027-03-28T01:30",
        // The window has just opened, and opens once more by the offset of the next day.
        "Europe/Berlin|2027-10-30T05:10|2027-11-01T12:00|daily 05:00 2h|0 4 * * ? *|2027-10-30T04:00Z|at 2027-10-30T06:00",
        "Europe/Berlin|2027-10-30T12:00|2027-10-31T05:30|sun 04:00Z 2h|0 4 ? * SUN *|2027-10-31T04:00Z|",
    ];

    #[test]
    fn a_window_is_sent_by_the_offset_at_its_first_opening() {
        for row in FIRST_OPENINGS {
            let [zone, start, end, window, cron, first, warning] = row.split('|').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let plan = in_zone(zone, start, end, Some(window));
            let openings = plan.at(now(), LeadTime::WhenChecked).unwrap().openings.unwrap();
            assert_eq!(
                (openings.crons, utc(openings.first)),
                (vec![format!("cron({cron})")], first.to_owned()),
                "{row}"
            );
            let warnings = plan.clock_changes(now()).join("; ");
            assert!(warnings.contains(warning) && warnings.is_empty() == warning.is_empty(), "{row}: {warnings}");
        }
        // The end is before the first opening by local clocks.
        let late = in_zone("Europe/Berlin", "2027-10-30T12:00", "2027-10-31T04:30", Some("sun 05:00 2h"));
        assert_eq!(late.at(now(), LeadTime::WhenChecked).unwrap_err()[0].0, Part::Window);
    }

    #[test]
    fn windows_without_start_and_end_are_a_schedule() {
        let plan = in_zone("UTC", "now", "never", Some("daily 02:00 2h"));
        let config = plan.at(now(), LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap().unwrap();
        assert_eq!((config.start_time(), config.end_time(), config.end_behavior()), (None, None, None));
        assert_eq!(config.maintenance_windows().len(), 1);
    }

    #[test]
    fn a_window_that_does_not_open_before_the_end_is_told() {
        let at = |start: &str, end: &str, window: &str| {
            in_zone("UTC", start, end, Some(window)).at(now(), LeadTime::WhenChecked).map(drop)
        };
        let broken = |first: &str, end: &str| {
            Err(vec![(
                Part::Window,
                format!("not open before {first}, expected a window that opens before the end at {end}"),
            )])
        };
        // It is a Monday.
        assert_eq!(at("1h", "1h", "sat 02:00 2h"), broken("2026-11-28T02:00Z", "2026-11-23T23:41Z"));
        assert_eq!(at("1h", "2026-11-28T02:00", "sat 02:00 2h"), broken("2026-11-28T02:00Z", "2026-11-28T02:00Z"));
        assert_eq!(at("1h", "2026-11-28T02:01", "sat 02:00 2h"), Ok(()));
        // The one that has opened before the start does not count, the one that opens with it does.
        assert_eq!(at("2026-11-28T02:01", "2d", "sat 02:00 2h"), broken("2026-12-05T02:00Z", "2026-11-30T02:01Z"));
        assert_eq!(at("2026-11-28T02:00", "2d", "sat 02:00 2h"), Ok(()));
        assert_eq!(at("2027-01-31T03:00", "58d", "day-31 02:00 2h"), broken("2027-03-31T02:00Z", "2027-03-30T03:00Z"));
        assert_eq!(at("2027-01-31T03:00", "59d", "day-31 02:00 2h"), Ok(()));
        assert_eq!(at("2027-02-01T03:00", "28d", "day-29 02:00 2h"), broken("2027-03-29T02:00Z", "2027-03-01T03:00Z"));
        assert_eq!(at("1h", "never", "day-31 02:00 2h"), Ok(()));
    }

    #[test]
    fn a_change_of_the_clocks_within_a_year_and_before_the_end_is_warned_of() {
        let warning = |zone: &str, start: &str, end: &str, window: &str| {
            let warnings = in_zone(zone, start, end, Some(window)).clock_changes(now());
            assert!(warnings.len() <= 1, "{warnings:?}");
            warnings.into_iter().next()
        };
        assert_eq!(
            warning("Europe/Berlin", "1h", "never", "daily 02:00 2h").as_deref(),
            Some(
                "the clocks of `Europe/Berlin` go forward by 1h on 2027-03-28, those of AWS IoT do not: from then on, the \
                 maintenance windows open 1h later by them"
            )
        );
        assert_eq!(
            warning("America/New_York", "2027-07-01T02:00", "never", "daily 02:00 2h").as_deref(),
            Some(
                "the clocks of `America/New_York` go back by 1h on 2027-11-07, those of AWS IoT do not: from then on, the \
                 maintenance windows open 1h earlier by them"
            )
        );
        assert!(
            warning("Australia/Lord_Howe", "1h", "never", "daily 02:00 2h")
                .unwrap()
                .contains("go back by 30m on 2027-04-04")
        );
        assert_eq!(warning("Europe/Berlin", "1h", "2027-03-28T01:59", "daily 02:00 2h"), None);
        assert!(warning("Europe/Berlin", "1h", "2027-03-28T03:01", "daily 02:00 2h").is_some());
        assert_eq!(warning("Europe/Berlin", "1h", "never", "daily 02:00Z 2h"), None);
        assert_eq!(warning("Asia/Kolkata", "1h", "never", "daily 02:00 2h"), None);
        assert_eq!(warning("Europe/Berlin", "1h", "2027-03-28T03:00", "daily 02:00 2h"), None);
        assert_eq!(in_zone("Europe/Berlin", "1h", "never", None).clock_changes(now()), Vec::<String>::new());
    }

    #[test]
    fn a_time_that_was_far_enough_when_checked_is_still_so_half_a_minute_later() {
        let plan = plan("2026-11-23T22:12", "1h");
        assert!(plan.at(now(), LeadTime::WhenChecked).is_ok());
        let later = now().checked_add(SignedDuration::from_secs(45)).unwrap();
        assert!(plan.at(later, LeadTime::WhenChecked).is_err());
        assert!(plan.at(later, LeadTime::WhenCreated).is_ok());
        assert!(plan.at(later.checked_add(SignedDuration::from_mins(1)).unwrap(), LeadTime::WhenCreated).is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_plan_keeps_every_rule_of_aws_iot(
            start in prop_oneof![Just(None), (-100_i64..600_000).prop_map(Some)],
            end in prop_oneof![Just(None), (-100_i64..1_200_000).prop_map(Some)],
            relative: bool,
            second in 0_i64..600_000_000,
            window in prop_oneof![Just(None), Just(Some("sat 02:00 2h")), Just(Some("day-31 23:30 2h"))],
            zone in prop_oneof![Just("UTC"), Just("Asia/Kathmandu"), Just("America/New_York")],
        ) {
            let now = Timestamp::from_second(1_700_000_000 + second).unwrap();
            let at = |minutes: i64| now.checked_add(SignedDuration::from_mins(minutes)).unwrap().round(Unit::Minute).unwrap();
            let at = |minutes: i64| DateAndTime::read(&utc(at(minutes))).unwrap();
            let plan = Plan {
                start: start.map_or(Start::Now, |m| if relative { Start::After(Minutes(m.max(0))) } else { Start::At(at(m)) }),
                end: end.map_or(End::Never, |m| if relative { End::After(Minutes(m.max(0))) } else { End::At(at(m)) }),
                ..in_zone(zone, "now", "never", window)
            };
            if let Ok(schedule) = plan.at(now, LeadTime::WhenChecked) {
                let minutes = |time: Timestamp| time.duration_since(now).as_secs() / 60;
                if let Some(start) = schedule.start {
                    prop_assert!((31..=365 * DAY).contains(&minutes(start)));
                    prop_assert_eq!(start.as_second() % 60, 0);
                }
                if let Some(end) = schedule.end {
                    prop_assert!((31..=730 * DAY).contains(&minutes(end)));
                    prop_assert!(schedule.start.is_none_or(|start| end.duration_since(start).as_mins() >= 30));
                }
                prop_assert_eq!(schedule.openings.is_some(), window.is_some());
                if let Some(Openings { first, .. }) = schedule.openings {
                    prop_assert!(first >= schedule.start.unwrap_or(now) && schedule.end.is_none_or(|end| first < end));
                }
            }
        }

        #[test]
        fn no_text_makes_a_time_parser_panic(text in "\\PC*") {
            let _ = (text.parse::<Start>(), text.parse::<End>());
        }
    }
}
