//! AWS IoT's limits on the start and the end of a job, such as 30 minutes ahead. Messages say how far a time is
//! outside of them.
//!
//! The limits are those of `SchedulingConfig`
//! (<https://docs.aws.amazon.com/iot/latest/apireference/API_SchedulingConfig.html>).

use crate::schedule::duration::{DAY, MAX_DURATION, Minutes};
use jiff::SignedDuration;

/// The minimum time from now to the start, and from now to the end, in minutes. The check of a release requires one
/// minute more than AWS IoT, to leave time for signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadTime {
    /// 31 minutes, as documented for uploaders.
    WhenChecked = 31,
    /// 30 minutes, as AWS IoT requires.
    WhenCreated = 30,
}

/// The minimum time between start and end, in minutes.
const MIN_LENGTH: i64 = 30;
/// The maximum time from job creation to the start, in minutes.
const MAX_START: i64 = 365 * DAY;
/// The maximum time from job creation to the end, in minutes.
const MAX_END: i64 = MAX_DURATION;

/// The expected distance to a start that is less than `min` minutes ahead or too far ahead. `None` for other starts.
pub(crate) fn expected_start(ahead: SignedDuration, min: i64) -> Option<String> {
    if ahead < SignedDuration::from_mins(min) {
        return Some(format!("`now` or at least {min} minutes ahead"));
    }
    (ahead > SignedDuration::from_mins(MAX_START)).then(|| "less than a year (365 days) ahead".to_owned())
}

/// The expected distance to an end that is less than `min` minutes ahead or too far ahead. `None` for other ends.
pub(crate) fn expected_end(ahead: SignedDuration, min: i64) -> Option<String> {
    if ahead < SignedDuration::from_mins(min) {
        return Some(format!("at least {min} minutes ahead"));
    }
    (ahead > SignedDuration::from_mins(MAX_END)).then(|| "less than two years (730 days) ahead".to_owned())
}

/// The problem of an end that is too soon after the start, or before it. `None` for other ends.
pub(crate) fn length_problem(length: SignedDuration) -> Option<String> {
    (length < SignedDuration::from_mins(MIN_LENGTH)).then(|| {
        let distance = distance(length, "before", "after");
        format!("{distance} the start, expected at least {MIN_LENGTH} minutes after it")
    })
}

/// Formats a length of time, with the word for its direction.
pub(crate) fn distance(time: SignedDuration, backward: &str, forward: &str) -> String {
    format!("{} {}", Minutes(time.as_mins().abs()), if time.is_negative() { backward } else { forward })
}
