//! The start and the end of a job as tags and settings give them.

use crate::{
    error::Expected,
    schedule::date_time::{DateAndTime, instead_of_time},
    schedule::duration::Minutes,
    schedule::requested::{SHORTEST, too_near_to_start},
};
use jiff::SignedDuration;
use std::str::FromStr;

/// When the rollout begins.
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
        if value == "now" {
            return Ok(Self::Now);
        }
        match When::read(value, "now", "a duration from job creation")? {
            When::After(after) => Ok(Self::After(after)),
            When::At(time) => Ok(Self::At(time)),
        }
    }
}

/// When the rollout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// When every target is done; of a continuous job, not at all.
    Never,
    /// This long after the start.
    After(Minutes),
    /// At this time.
    At(DateAndTime),
}

impl FromStr for End {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        if value == "never" {
            return Ok(Self::Never);
        }
        match When::read(value, "never", "a duration after the start")? {
            When::After(after) => Ok(Self::After(after)),
            When::At(time) => Ok(Self::At(time)),
        }
    }
}

impl End {
    /// The problem of a duration that is too short after any start.
    pub(crate) fn problem_after_any_start(self) -> Option<String> {
        match self {
            Self::After(Minutes(minutes)) if minutes < SHORTEST => {
                Some(too_near_to_start(SignedDuration::from_mins(minutes)))
            }
            _ => None,
        }
    }
}

/// What start and end have in common.
enum When {
    After(Minutes),
    At(DateAndTime),
}

impl When {
    fn read(value: &str, word: &str, duration: &str) -> Result<Self, Expected> {
        let after = |value: &str| value.parse().map(Self::After).ok();
        if let Some(when) = after(value).or_else(|| DateAndTime::read(value).map(Self::At)) {
            return Ok(when);
        }
        if let Some(rest) = value.strip_prefix(' ').filter(|rest| after(rest).is_some()) {
            return Err(Expected(format!("`{rest}`, without the `+` that was read as a space").into()));
        }
        let trimmed = value.trim();
        let lower = trimmed.to_lowercase();
        if lower == word || after(&lower).is_some() {
            return Err(Expected(format!("`{lower}`").into()));
        }
        if trimmed != value && DateAndTime::read(trimmed).is_some() {
            return Err(Expected(format!("`{trimmed}`").into()));
        }
        Err(instead_of_time(trimmed).unwrap_or_else(|| {
            let time = "`2026-12-01T02:00` (in `ota:timezone`) or `2026-12-01T02:00Z` (in UTC)";
            Expected(
                format!("`{word}`, {duration} such as `90m`, `1h` or `1d12h`, or a date and time such as {time}")
                    .into(),
            )
        }))
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
            _ => Err(Expected("`stop-rollout`, `cancel` or `force-cancel`".into())),
        }
    }
}
