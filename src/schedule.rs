//! When a job starts and ends, and the rules of AWS IoT on it.
//!
//! The rules are those of `SchedulingConfig`
//! (<https://docs.aws.amazon.com/iot/latest/apireference/API_SchedulingConfig.html>): a start and an end at least 30
//! minutes ahead and 30 minutes apart, the start within a year, the end within two. Times are sent as
//! `YYYY-MM-DDThh:mm`, in UTC.

use crate::error::Expected;
use aws_sdk_iot::types::{JobEndBehavior, SchedulingConfig};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit, civil::DateTime, tz::TimeZone};
use std::{fmt, str::FromStr};

/// How far ahead a time must be, in minutes: when the release is checked, and when its job is created. The minute
/// between them is for the work between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// 31 minutes: what is promised to uploaders.
    WhenChecked = 31,
    /// 30 minutes: what AWS IoT asks.
    WhenCreated = 30,
}

/// The least time between start and end, in minutes.
const SHORTEST: i64 = 30;
const DAY: i64 = 24 * 60;
/// The furthest start ahead, in minutes.
const LATEST_START: i64 = 365 * DAY;
/// The furthest end ahead, and the longest time between start and end, in minutes.
const LATEST_END: i64 = 2 * 365 * DAY;

/// When the rollout begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// As soon as the job is created.
    Now,
    /// This long after the creation of the job.
    After(Minutes),
    /// At this time.
    At(Timestamp),
}

impl FromStr for Start {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        if value == "now" {
            return Ok(Self::Now);
        }
        let time = value.parse().map(Self::After).ok().or_else(|| date_and_time(value).map(Self::At));
        time.ok_or(Expected(
            "`now`, a duration from job creation such as `90m`, `1h` or `1d12h`, or a date and time in UTC such as \
             `2026-12-01T02:00`",
        ))
    }
}

/// When the rollout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// When every target is done.
    Never,
    /// This long after the start.
    After(Minutes),
    /// At this time.
    At(Timestamp),
}

impl FromStr for End {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        if value == "never" {
            return Ok(Self::Never);
        }
        let time = value.parse().map(Self::After).ok().or_else(|| date_and_time(value).map(Self::At));
        time.ok_or(Expected(
            "`never`, a duration after the start such as `90m`, `1h` or `1d12h`, or a date and time in UTC such as \
             `2026-12-01T02:00`",
        ))
    }
}

/// What becomes of the job executions that are left at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndBehavior {
    /// No further devices get the job; queued and running executions go on.
    StopRollout,
    /// Queued executions are canceled; running ones go on.
    Cancel,
    /// Queued and running executions are canceled.
    ForceCancel,
}

impl FromStr for EndBehavior {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        match value {
            "stop-rollout" => Ok(Self::StopRollout),
            "cancel" => Ok(Self::Cancel),
            "force-cancel" => Ok(Self::ForceCancel),
            _ => Err(Expected("`stop-rollout`, `cancel` or `force-cancel`")),
        }
    }
}

/// A length of time in whole minutes, written in days, hours and minutes: `90m`, `1h`, `2d`, `1d12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes(pub i64);

impl FromStr for Minutes {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let expected = Expected("a duration such as `90m`, `1h` or `1d12h`");
        let mut units = [('d', DAY), ('h', 60), ('m', 1)].into_iter();
        let mut rest = value;
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let count: i64 = rest[..digits].parse().map_err(|_| expected.clone())?;
            let unit = rest[digits..].chars().next();
            // Units come once each, the larger first.
            let (_, minutes) = units.find(|(name, _)| Some(*name) == unit).ok_or(expected.clone())?;
            total = count.checked_mul(minutes).and_then(|add| total.checked_add(add)).ok_or(expected.clone())?;
            rest = &rest[digits + 1..];
        }
        // Nothing that is scheduled lies further ahead than two years: larger numbers are slips, and could overflow.
        let is_duration = !value.is_empty() && total <= LATEST_END;
        is_duration.then_some(Self(total)).ok_or(expected)
    }
}

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [(self.0 / DAY, "d"), (self.0 % DAY / 60, "h"), (self.0 % 60, "m")];
        if self.0 == 0 {
            return f.write_str("0m");
        }
        counts.into_iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

/// `YYYY-MM-DDThh:mm`, with a space for the `T` and a `Z` at the end if one likes; in UTC.
fn date_and_time(value: &str) -> Option<Timestamp> {
    let value = value.strip_suffix('Z').unwrap_or(value);
    let has_shape = value.len() == 16
        && value.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T' || byte == b' ',
            13 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    let time: DateTime = has_shape.then(|| value.parse().ok())??;
    TimeZone::UTC.to_timestamp(time).ok()
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
}

/// Which part of a plan breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The start.
    Start,
    /// The end.
    End,
}

impl Plan {
    /// The times of a job that is created at `now`.
    ///
    /// # Errors
    /// Each rule that is broken: by which part, how, and what was expected.
    pub fn at(&self, now: Timestamp, lead: Lead) -> Result<Schedule, Vec<(Part, String)>> {
        let mut broken = Vec::new();
        let minutes = lead as i64;
        let start = match self.start {
            Start::Now => None,
            Start::After(after) => Some(minute_at_or_after(now, after)),
            Start::At(time) => Some(time),
        };
        if let Some(start) = start {
            let ahead = start.duration_since(now);
            if ahead < SignedDuration::from_mins(minutes) {
                broken.push((
                    Part::Start,
                    format!("{}, expected `now` or at least {minutes} minutes ahead", away(ahead)),
                ));
            } else if ahead > SignedDuration::from_mins(LATEST_START) {
                broken.push((Part::Start, format!("{}, expected less than a year (365 days) ahead", away(ahead))));
            }
        }
        let end = match self.end {
            End::Never => None,
            End::After(after) => Some(minute_at_or_after(start.unwrap_or(now), after)),
            End::At(time) => Some(time),
        };
        // An end that counts from a bad start is not to blame.
        let counts_from_bad_start = !broken.is_empty() && matches!(self.end, End::After(_));
        if let Some(end) = end.filter(|_| !counts_from_bad_start) {
            let ahead = end.duration_since(now);
            let long = end.duration_since(start.unwrap_or(now));
            if start.is_some() && long < SignedDuration::from_mins(SHORTEST) {
                let problem =
                    format!("{} after the start, expected at least {SHORTEST} minutes after it", length(long));
                broken.push((Part::End, problem));
            } else if ahead < SignedDuration::from_mins(minutes) {
                broken.push((Part::End, format!("{}, expected at least {minutes} minutes ahead", away(ahead))));
            } else if ahead > SignedDuration::from_mins(LATEST_END) {
                broken.push((Part::End, format!("{}, expected less than two years (730 days) ahead", away(ahead))));
            }
        }
        let schedule = Schedule { start, end, end_behavior: self.end_behavior };
        if broken.is_empty() { Ok(schedule) } else { Err(broken) }
    }
}

/// The first full minute that is `after` past `time` or later.
fn minute_at_or_after(time: Timestamp, Minutes(after): Minutes) -> Timestamp {
    let full_minutes = TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil);
    let passed = time.saturating_add(SignedDuration::from_mins(after));
    passed.and_then(|time| time.round(full_minutes)).unwrap_or(Timestamp::MAX)
}

fn away(ahead: SignedDuration) -> String {
    if ahead.is_negative() { format!("{} ago", length(-ahead)) } else { format!("{} ahead", length(ahead)) }
}

fn length(time: SignedDuration) -> String {
    if time.is_negative() { format!("-{}", Minutes(-time.as_mins())) } else { Minutes(time.as_mins()).to_string() }
}

/// The times of a job, in whole minutes of UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    end_behavior: EndBehavior,
}

impl Schedule {
    /// When the rollout begins, as AWS IoT takes it; nothing where it begins at once.
    pub fn start_time(&self) -> Option<String> {
        self.start.map(utc)
    }

    /// When the rollout ends, as AWS IoT takes it; nothing where it does not.
    pub fn end_time(&self) -> Option<String> {
        self.end.map(utc)
    }

    /// The time between start and end, in minutes; nothing where there is no end.
    pub fn length(&self, now: Timestamp) -> Option<i64> {
        self.end.map(|end| end.duration_since(self.start.unwrap_or(now)).as_mins())
    }

    /// Whether there is something of the rollout left to do after that time: its end, or at least its start.
    pub fn goes_on_after(&self, time: Timestamp) -> bool {
        self.end.or(self.start).is_some_and(|last| last > time)
    }

    /// The `schedulingConfig` of CreateJob; nothing where the job starts at once and has no end. Without an end, an end
    /// behavior does not apply and is not sent.
    pub(crate) fn to_config(&self) -> Option<SchedulingConfig> {
        (self.start.is_some() || self.end.is_some()).then(|| {
            let behavior = match self.end_behavior {
                EndBehavior::StopRollout => JobEndBehavior::StopRollout,
                EndBehavior::Cancel => JobEndBehavior::Cancel,
                EndBehavior::ForceCancel => JobEndBehavior::ForceCancel,
            };
            SchedulingConfig::builder()
                .set_start_time(self.start_time())
                .set_end_time(self.end_time())
                .set_end_behavior(self.end.map(|_| behavior))
                .build()
        })
    }
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: &str = "2026-11-23T21:40:30.000000001Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn plan(start: &str, end: &str) -> Plan {
        Plan { start: start.parse().unwrap(), end: end.parse().unwrap(), end_behavior: EndBehavior::Cancel }
    }

    #[test]
    fn durations_are_days_hours_and_minutes_in_that_order() {
        let good = [("90m", 90), ("1h", 60), ("2d", 2880), ("1d12h", 2160), ("1d1h1m", 1501), ("0m", 0), ("07h", 420)];
        for (text, minutes) in good {
            assert_eq!(text.parse::<Minutes>(), Ok(Minutes(minutes)), "{text}");
        }
        for text in [
            "",
            "h",
            "1",
            "1x",
            "1h1d",
            "1h1h",
            "1 h",
            "-1h",
            "1.5h",
            "1H",
            "90s",
            "٣h",
            "99999999999999999999d",
            "9999d",
        ] {
            assert!(text.parse::<Minutes>().is_err(), "{text}");
        }
    }

    #[test]
    fn dates_and_times_are_to_the_minute_in_utc() {
        for text in ["2026-12-01T02:00", "2026-12-01 02:00", "2026-12-01T02:00Z", "2026-12-01 02:00Z"] {
            assert_eq!(date_and_time(text), Some("2026-12-01T02:00:00Z".parse().unwrap()), "{text}");
        }
        let bad = [
            "2026-12-01",
            "2026-12-01T02:00:00",
            "2026-12-01T2:00",
            "2026-02-29T02:00",
            "2026-12-01T24:00",
            "2026-12-01T02:60",
            "2026-12-01T02:00+01:00",
            "2026-12-01_02:00",
            "26-12-01T02:00",
            "+026-12-01T02:00",
            "2026-12-01T02:00ZZ",
            "२०२६-१२-०१",
        ];
        for text in bad {
            assert_eq!(date_and_time(text), None, "{text}");
        }
    }

    #[test]
    fn relative_times_count_from_job_creation_rounded_up_to_the_minute() {
        let schedule = plan("1h", "90m").at(now(), Lead::WhenChecked).unwrap();
        assert_eq!(schedule.start_time().unwrap(), "2026-11-23T22:41");
        assert_eq!(schedule.end_time().unwrap(), "2026-11-24T00:11");
        let schedule = plan("now", "31m").at(now(), Lead::WhenChecked).unwrap();
        assert_eq!((schedule.start_time(), schedule.end_time().unwrap()), (None, "2026-11-23T22:12".to_owned()));
    }

    #[test]
    fn what_does_not_apply_is_not_sent() {
        assert_eq!(plan("now", "never").at(now(), Lead::WhenChecked).unwrap().to_config(), None);
        let config = plan("1h", "never").at(now(), Lead::WhenChecked).unwrap().to_config().unwrap();
        assert_eq!(
            (config.start_time(), config.end_time(), config.end_behavior()),
            (Some("2026-11-23T22:41"), None, None)
        );
        let config = plan("now", "1h").at(now(), Lead::WhenChecked).unwrap().to_config().unwrap();
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
            ("1h", "2026-11-23T22:00", Part::End, "-41m after the start, expected at least 30 minutes after it"),
            ("now", "30m", Part::End, "30m ahead, expected at least 31 minutes ahead"),
            ("now", "2026-11-23T21:00", Part::End, "40m ago, expected at least 31 minutes ahead"),
            ("1d", "730d", Part::End, "731d ahead, expected less than two years (730 days) ahead"),
        ];
        for (start, end, part, problem) in cases {
            let broken = plan(start, end).at(now(), Lead::WhenChecked).unwrap_err();
            assert_eq!(broken, [(part, problem.to_owned())], "{start} {end}");
        }
    }

    #[test]
    fn a_time_at_the_very_edge_is_taken() {
        let now: Timestamp = "2026-11-23T21:40:00Z".parse().unwrap();
        let is_taken = |start: &str, end: &str| plan(start, end).at(now, Lead::WhenChecked).is_ok();
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
            let config = plan.at(now(), Lead::WhenChecked).unwrap().to_config().unwrap();
            assert_eq!(config.end_behavior(), Some(&behavior), "{text}");
        }
    }

    #[test]
    fn a_schedule_is_as_long_as_the_time_between_its_start_and_end() {
        let length = |start: &str, end: &str| plan(start, end).at(now(), Lead::WhenChecked).unwrap().length(now());
        assert_eq!(length("1h", "90m"), Some(90));
        assert_eq!(length("now", "2026-11-23T23:00"), Some(79));
        assert_eq!(length("1h", "never"), None);
    }

    #[test]
    fn a_time_that_was_far_enough_when_checked_is_still_so_half_a_minute_later() {
        let plan = plan("2026-11-23T22:12", "1h");
        assert!(plan.at(now(), Lead::WhenChecked).is_ok());
        let later = now().checked_add(SignedDuration::from_secs(45)).unwrap();
        assert!(plan.at(later, Lead::WhenChecked).is_err());
        assert!(plan.at(later, Lead::WhenCreated).is_ok());
        assert!(plan.at(later.checked_add(SignedDuration::from_mins(1)).unwrap(), Lead::WhenCreated).is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_plan_keeps_every_rule_of_aws_iot(
            start in prop_oneof![Just(None), (-100_i64..600_000).prop_map(Some)],
            end in prop_oneof![Just(None), (-100_i64..1_200_000).prop_map(Some)],
            relative: bool,
            second in 0_i64..600_000_000,
        ) {
            let now = Timestamp::from_second(1_700_000_000 + second).unwrap();
            let at = |minutes: i64| now.checked_add(SignedDuration::from_mins(minutes)).unwrap().round(Unit::Minute).unwrap();
            let plan = Plan {
                start: start.map_or(Start::Now, |m| if relative { Start::After(Minutes(m.max(0))) } else { Start::At(at(m)) }),
                end: end.map_or(End::Never, |m| if relative { End::After(Minutes(m.max(0))) } else { End::At(at(m)) }),
                end_behavior: EndBehavior::Cancel,
            };
            if let Ok(schedule) = plan.at(now, Lead::WhenChecked) {
                let minutes = |time: Timestamp| time.duration_since(now).as_secs() / 60;
                if let Some(start) = schedule.start {
                    prop_assert!((31..=365 * DAY).contains(&minutes(start)));
                    prop_assert_eq!(start.as_second() % 60, 0);
                }
                if let Some(end) = schedule.end {
                    prop_assert!((31..=730 * DAY).contains(&minutes(end)));
                    prop_assert!(schedule.start.is_none_or(|start| end.duration_since(start).as_mins() >= 30));
                }
            }
        }

        #[test]
        fn no_text_makes_a_time_parser_panic(text in "\\PC*") {
            let _ = (text.parse::<Start>(), text.parse::<End>(), text.parse::<Minutes>());
        }

        #[test]
        fn a_duration_reads_back_as_it_was_written(minutes in 0..=LATEST_END) {
            prop_assert_eq!(Minutes(minutes).to_string().parse::<Minutes>().unwrap(), Minutes(minutes));
        }
    }
}
