//! The requested schedule: resolves its times when the job is created, and checks AWS IoT's rules.

use crate::schedule::date_time::{DateAndTime, utc};
use crate::schedule::duration::{DAY, Minutes};
use crate::schedule::scheduling_config::{Openings, Schedule};
use crate::schedule::time_zone::Zone;
use crate::schedule::times::{End, EndBehavior, Start};
use crate::schedule::timing_rules::{LeadTime, distance, expected_end, expected_start, length_problem};
use crate::schedule::window::Window;
use crate::schedule::window_in_utc::crons;
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use std::fmt;

/// The requested schedule; relative times are resolved when the job is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedSchedule {
    /// The start of the rollout.
    pub start: Start,
    /// The end of the rollout.
    pub end: End,
    /// The handling of executions that are unfinished at the end.
    pub end_behavior: EndBehavior,
    /// The zone of dates, times and windows without a `Z`.
    pub zone: Zone,
    /// The window in which devices are updated between start and end; `None` for any time.
    pub window: Option<Window>,
}

/// The part of a schedule that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulePart {
    /// The start.
    Start,
    /// The end.
    End,
    /// The maintenance window.
    Window,
}

impl fmt::Display for SchedulePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::End => "end",
            Self::Window => "maintenance window",
        })
    }
}

impl SchedulePart {
    /// The name of the setting that holds the default of this part. The maintenance window has no such setting.
    pub(crate) fn setting(self) -> String {
        format!("DEFAULT_{self}").to_uppercase()
    }
}

impl RequestedSchedule {
    /// Resolves the times of a job that is created at `now`.
    ///
    /// # Errors
    /// Fails if parts of the schedule break rules of AWS IoT. The error lists these parts and their problems, which the
    /// uploader must fix.
    pub fn at(&self, now: Timestamp, lead: LeadTime) -> Result<Schedule, Vec<(SchedulePart, String)>> {
        let start = match self.start {
            Start::Now => Ok(None),
            Start::After(after) => Ok(Some(minute_at_or_after(now, after))),
            Start::At(time) => time.in_zone(&self.zone).map(Some),
        };
        let (start, start_problem) = check(start, |start| self.start_problem(start, now, lead));
        let end = match self.end {
            End::Never => Ok(None),
            // If the start is invalid, a relative end is reported only if it is too soon after every possible start.
            End::After(_) if start_problem.is_some() => self.end.problem_after_any_start().map_or(Ok(None), Err),
            End::After(after) => Ok(Some(minute_at_or_after(start.unwrap_or(now), after))),
            End::At(time) => time.in_zone(&self.zone).map(Some),
        };
        let (end, end_problem) = check(end, |end| self.end_problem(end, start, now, lead));
        let problems = [(SchedulePart::Start, start_problem), (SchedulePart::End, end_problem)];
        let problems: Vec<_> = problems.into_iter().filter_map(|(part, problem)| Some((part, problem?))).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let openings = self.openings(start.unwrap_or(now));
        if let (Some(Openings { first, .. }), Some(end)) = (&openings, end)
            && *first >= end
        {
            let expected = format!("a window that opens before the end at {}", utc(end));
            return Err(vec![(SchedulePart::Window, format!("first open at {}, expected {expected}", utc(*first)))]);
        }
        Ok(Schedule { start, end, end_behavior: self.end_behavior, zone: self.zone.clone(), openings })
    }

    fn start_problem(&self, start: Timestamp, now: Timestamp, lead: LeadTime) -> Option<String> {
        let ahead = start.duration_since(now);
        let expected = expected_start(ahead, lead as i64)?;
        Some(format!("{}, expected {expected}", distance_to(start, ahead, self.has_local_start())))
    }

    fn end_problem(&self, end: Timestamp, start: Option<Timestamp>, now: Timestamp, lead: LeadTime) -> Option<String> {
        if let Some(problem) = start.and_then(|start| length_problem(end.duration_since(start))) {
            return Some(problem);
        }
        let ahead = end.duration_since(now);
        let expected = expected_end(ahead, lead as i64)?;
        Some(format!("{}, expected {expected}", distance_to(end, ahead, self.has_local_end())))
    }

    fn has_local_start(&self) -> bool {
        matches!(self.start, Start::At(time) if self.is_local(time))
    }

    fn has_local_end(&self) -> bool {
        matches!(self.end, End::At(time) if self.is_local(time))
    }

    /// Returns whether a time depends on a zone other than UTC.
    fn is_local(&self, time: DateAndTime) -> bool {
        !time.is_utc() && !self.zone.is_utc()
    }

    /// The openings of the window at or after a time.
    fn openings(&self, from: Timestamp) -> Option<Openings> {
        let window = self.window.as_ref()?;
        let offset = window.offset(&self.zone, from)?;
        let first = window.first(offset, from)?;
        let crons = crons(window, offset, offset.to_datetime(from).year());
        Some(Openings { crons, minutes: window.minutes, offset, first })
    }

    /// Returns a warning if the zone's name has the opposite sign of its offset. The warning shows a local time of the
    /// job in UTC, too. `None` if the job has no local time.
    pub(crate) fn opposite_sign(&self, now: Timestamp) -> Option<String> {
        let offset = self.zone.opposite_offset()?;
        let Schedule { start, end, openings, .. } = self.at(now, LeadTime::WhenCreated).ok()?;
        let start = start.filter(|_| self.has_local_start());
        let first = openings.filter(|_| self.window.as_ref().is_some_and(|window| !window.is_utc()));
        let end = end.filter(|_| self.has_local_end());
        let times = [("start", start), ("first window", first.map(|openings| openings.first)), ("end", end)];
        let (what, time) = times.into_iter().find_map(|(what, time)| Some((what, time?)))?;
        let (name, local, utc) = (self.zone.name(), self.zone.local(time), utc(time));
        Some(format!("`{name}` is {offset}, as its sign is reversed: the {what} is {local}, which is {utc}"))
    }

    /// Returns warnings about changes of the clocks that move the maintenance windows within a year.
    pub(crate) fn clock_changes(&self, now: Timestamp) -> Vec<String> {
        let changes = || {
            let Schedule { start, end, openings, .. } = self.at(now, LeadTime::WhenCreated).ok()?;
            let year = start.unwrap_or(now).saturating_add(SignedDuration::from_mins(365 * DAY)).ok()?;
            let (window, Openings { offset, first, .. }) = (self.window.as_ref()?, openings?);
            Some(window.clock_changes(&self.zone, offset, first, end.map_or(year, |end| end.min(year))))
        };
        changes().unwrap_or_default()
    }
}

/// Separates a time from its problem. The problem is that the clocks skip the time or show it twice, or that the time
/// breaks a rule.
fn check(
    time: Result<Option<Timestamp>, String>,
    problem: impl FnOnce(Timestamp) -> Option<String>,
) -> (Option<Timestamp>, Option<String>) {
    match time {
        Ok(time) => (time, time.and_then(problem)),
        Err(problem) => (None, Some(problem)),
    }
}

/// Formats the distance to a time. A local time is also shown in UTC.
fn distance_to(time: Timestamp, ahead: SignedDuration, is_local: bool) -> String {
    let distance = distance(ahead, "ago", "ahead");
    if is_local { format!("{}, {distance}", utc(time)) } else { distance }
}

/// The first full minute that is at least `after` later than a time.
fn minute_at_or_after(time: Timestamp, Minutes(after): Minutes) -> Timestamp {
    let full_minutes = TimestampRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil);
    let passed = time.saturating_add(SignedDuration::from_mins(after));
    passed.and_then(|time| time.round(full_minutes)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
