//! The start and the end of a job in tags and settings.

use crate::error::Expected;
use crate::schedule::date_time::{DateAndTime, suggest_time};
use crate::schedule::duration::Minutes;
use crate::schedule::timing_rules::length_problem;
use jiff::SignedDuration;
use std::str::FromStr;

/// The start of the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// As soon as the job is created.
    Now,
    /// This long after the creation of the job.
    After(Minutes),
    /// At this time.
    At(DateAndTime),
}

impl FromStr for Start {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        parse(value, ("now", Self::Now), Self::After, Self::At, "a duration from job creation")
    }
}

/// The end of the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// When every target is done; a continuous job has no end.
    Never,
    /// This long after the start.
    After(Minutes),
    /// At this time.
    At(DateAndTime),
}

impl FromStr for End {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        parse(value, ("never", Self::Never), Self::After, Self::At, "a duration after the start")
    }
}

impl End {
    /// The problem of an end that is too soon after any start. `None` if the end is not relative to the start.
    pub(crate) fn problem_after_any_start(self) -> Option<String> {
        match self {
            Self::After(Minutes(minutes)) => length_problem(SignedDuration::from_mins(minutes)),
            _ => None,
        }
    }
}

/// Parses a word, a duration, or a date and time.
fn parse<T>(
    value: &str,
    (word, result): (&str, T),
    after: fn(Minutes) -> T,
    at: fn(DateAndTime) -> T,
    duration: &str,
) -> Result<T, Expected> {
    if value == word {
        return Ok(result);
    }
    let time = || DateAndTime::parse(value).map(at);
    value.parse().map(after).ok().or_else(time).ok_or_else(|| expected(value, word, duration))
}

/// Returns what to write in place of a value that is not a start or an end.
fn expected(value: &str, word: &str, duration: &str) -> Expected {
    let is_duration = |value: &str| value.parse::<Minutes>().is_ok();
    if let Some(rest) = value.strip_prefix(' ').filter(|rest| is_duration(rest)) {
        return Expected(format!("`{rest}`, without the `+` that was read as a space").into());
    }
    let trimmed = value.trim();
    let lower = trimmed.to_lowercase();
    if lower == word || is_duration(&lower) {
        return Expected(format!("`{lower}`").into());
    }
    if DateAndTime::parse(trimmed).is_some() {
        return Expected(format!("`{trimmed}`").into());
    }
    suggest_time(trimmed).unwrap_or_else(|| {
        let time = "`2026-12-01T02:00` (in `ota:timezone`) or `2026-12-01T02:00Z` (in UTC)";
        let durations = "`90m`, `1h` or `1d12h`";
        Expected(format!("`{word}`, {duration} such as {durations}, or a date and time such as {time}").into())
    })
}

/// The handling of job executions that are unfinished at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndBehavior {
    /// No further devices get the job; queued and running executions continue.
    StopRollout,
    /// Queued executions are canceled; running ones continue.
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
            _ => Err(Expected("`stop-rollout`, `cancel` or `force-cancel`".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_start_or_an_end_is_a_word_a_duration_or_a_time() {
        let time = DateAndTime::parse("2026-12-01T02:00Z").unwrap();
        assert_eq!("now".parse(), Ok(Start::Now));
        assert_eq!("90m".parse(), Ok(Start::After(Minutes(90))));
        assert_eq!("2026-12-01 02:00Z".parse(), Ok(Start::At(time)));
        assert_eq!("never".parse(), Ok(End::Never));
        assert_eq!("1d".parse(), Ok(End::After(Minutes(1440))));
        assert_eq!("2026-12-01T02:00:00.000Z".parse(), Ok(End::At(time)));
    }

    #[test]
    fn a_malformed_start_or_end_is_rejected_with_the_form_to_write() {
        let or_time = "such as `90m`, `1h` or `1d12h`, or a date and time such as `2026-12-01T02:00` (in `ota:timezone`) or \
                       `2026-12-01T02:00Z` (in UTC)";
        let start = format!("`now`, a duration from job creation {or_time}");
        let end = format!("`never`, a duration after the start {or_time}");
        for text in ["soon", "", "+1h", "1h 30m", "2026-12-01T02:00+1:00"] {
            assert_eq!(text.parse::<Start>(), Err(Expected(start.clone().into())), "{text}");
            assert_eq!(text.parse::<End>(), Err(Expected(end.clone().into())), "{text}");
        }
        assert_eq!("never".parse::<Start>(), Err(Expected(start.into())));
        assert_eq!("now".parse::<End>(), Err(Expected(end.into())));
        for (text, expected) in [
            ("Now", "`now`"),
            ("now ", "`now`"),
            ("1H", "`1h`"),
            ("90m ", "`90m`"),
            (" 90m", "`90m`, without the `+` that was read as a space"),
            (" 2026-12-01T02:00Z", "`2026-12-01T02:00Z`"),
            ("2026-12-01T02:00 UTC", "`2026-12-01T02:00Z`"),
            ("2026-12-01T02:00:30Z", "whole minutes, such as `2026-12-01T02:00Z`"),
        ] {
            assert_eq!(text.parse::<Start>(), Err(Expected(expected.into())), "{text}");
        }
        assert_eq!(" NEVER".parse::<End>(), Err(Expected("`never`".into())));
    }

    #[test]
    fn an_end_behavior_has_one_of_three_names() {
        assert_eq!("stop-rollout".parse(), Ok(EndBehavior::StopRollout));
        assert_eq!("cancel".parse(), Ok(EndBehavior::Cancel));
        assert_eq!("force-cancel".parse(), Ok(EndBehavior::ForceCancel));
        let expected = Expected("`stop-rollout`, `cancel` or `force-cancel`".into());
        assert_eq!("CANCEL".parse::<EndBehavior>(), Err(expected));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_time_parsers_panic(text in "\\PC*") {
            let _ = (text.parse::<Start>(), text.parse::<End>());
        }
    }
}
