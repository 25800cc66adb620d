//! Dates and times in tags and manifests.

use crate::error::Expected;
use crate::schedule::time_zone::{Zone, parse_offset};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use std::ops::Range;

/// Formats a time in UTC, as tags accept it: `2026-12-01T02:00Z`.
pub(crate) fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%MZ").to_string()
}

/// A date and time to the minute, `2026-12-01T02:00`; in UTC if it ends in `Z`. A space or `t` may replace the `T`, and `z`
/// the `Z`. Seconds are accepted if they are zero, with or without a fraction: `2026-12-01T02:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateAndTime {
    shown: DateTime,
    is_utc: bool,
}

impl DateAndTime {
    /// Parses a date and time. `None` if the text has another form or the time does not exist.
    pub fn parse(value: &str) -> Option<Self> {
        let (text, seconds, rest) = split(value)?;
        let is_utc = rest.eq_ignore_ascii_case("Z");
        let is_full_minute = (rest.is_empty() || is_utc) && seconds.bytes().all(|byte| b":.0".contains(&byte));
        let shown = (is_full_minute && has_shape(text)).then(|| text.parse().ok())??;
        Some(Self { shown, is_utc })
    }

    /// The time of day.
    pub(crate) fn time(self) -> Time {
        self.shown.time()
    }

    /// Returns whether the time ends in `Z`: it is in UTC, not in a time zone.
    pub fn is_utc(self) -> bool {
        self.is_utc
    }

    /// The time at which the clocks of a zone show this date and time.
    ///
    /// # Errors
    /// Fails if the time is out of range. Also fails if the clocks skip the time or show it twice because daylight
    /// saving begins or ends. The message then names two times, and the uploader must choose one.
    pub fn in_zone(self, zone: &Zone) -> Result<Timestamp, String> {
        let clocks = if self.is_utc { &TimeZone::UTC } else { &zone.0 };
        let at = |offset: Offset| {
            offset.to_timestamp(self.shown).map_err(|_| "out of range, expected a date within two years".to_owned())
        };
        let (how, one, other) = match clocks.to_ambiguous_timestamp(self.shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => return at(offset),
            AmbiguousOffset::Gap { before, after } => ("skipped", at(after)?, at(before)?),
            AmbiguousOffset::Fold { before, after } => ("shown twice", at(before)?, at(after)?),
        };
        let (zone, one, other) = (zone.name(), utc(one), utc(other));
        Err(format!("{how} by the clocks of `{zone}`, expected `{one}` or `{other}`"))
    }
}

/// Returns whether a text has digits and separators in the positions of a date and time to the minute.
fn has_shape(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        10 => b"Tt ".contains(&byte),
        13 => byte == b':',
        _ => byte.is_ascii_digit(),
    })
}

/// Splits a date and time into the part up to the minute, the seconds (`:00.000`), and the rest.
fn split(value: &str) -> Option<(&str, &str, &str)> {
    let (time, rest) = value.split_at_checked("2026-12-01T02:00".len())?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && !":.".contains(letter)).unwrap_or(rest.len());
    let (seconds, rest) = rest.split_at(end);
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = whole.len() == 3 && whole.strip_prefix(':').is_some_and(is_number);
    let are_seconds = is_whole && (1..=9).contains(&fraction.len()) && is_number(fraction);
    (seconds.is_empty() || are_seconds).then_some((time, seconds, rest))
}

/// Explains why a text in the form of a date and time is invalid. `None` if the text is valid or has another form.
fn date_problem(text: &str) -> Option<String> {
    if !has_shape(text) || text.parse::<DateTime>().is_ok() {
        return None;
    }
    let number = |range: Range<usize>| text.get(range)?.parse().ok();
    let (year, month, day, hour) = (text[..4].parse().ok()?, number(5..7)?, number(8..10)?, number(11..13)?);
    Some(match Date::new(year, month, 1).map(Date::days_in_month) {
        Err(_) => "months are 01 to 12".to_owned(),
        Ok(days) if !(1..=days).contains(&day) => format!("{} has {days} days", &text[..7]),
        Ok(_) if hour > 23 => "hours are 00 to 23".to_owned(),
        Ok(_) => "minutes are 00 to 59".to_owned(),
    })
}

/// Suggests what to write for a date and time that does not exist, has an offset from UTC, or has seconds.
pub(crate) fn suggest_time(value: &str) -> Option<Expected> {
    if DateAndTime::parse(value).is_some() {
        return None;
    }
    let (time, seconds, rest) = split(value)?;
    if let Some(why) = date_problem(time) {
        return Some(Expected(format!("a valid date and time: {why}").into()));
    }
    let shown = DateAndTime::parse(time)?.shown;
    let is_full_minute = DateAndTime::parse(&format!("{time}{seconds}")).is_some();
    if let Some((offset, remark)) = parse_offset(rest) {
        let minutes = if is_full_minute { "" } else { "whole minutes and " };
        let utc = offset.to_timestamp(shown).map(utc).ok()?;
        let zoned = format!("`{time}` and its zone in `ota:timezone`");
        return Some(Expected(format!("{minutes}no offset{remark}: write `{utc}`, or {zoned}").into()));
    }
    let minutes = if is_full_minute { "" } else { "whole minutes, such as " };
    let zone = match rest.trim().to_uppercase().as_str() {
        "" => "",
        "Z" | "UTC" | "GMT" => "Z",
        _ => return None,
    };
    Some(Expected(format!("{minutes}`{time}{zone}`").into()))
}

#[cfg(test)]
mod tests;
