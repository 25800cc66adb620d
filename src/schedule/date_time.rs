//! Durations, dates and times as people write them.

use crate::{
    error::Expected,
    schedule::time_zone::{Zone, read_offset},
};
use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, Offset, TimeZone},
};
use std::ops::Range;

/// A time of UTC as tags take it: `2026-12-01T02:00Z`.
pub(crate) fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%MZ").to_string()
}

/// A date and time to the minute as it was written: `2026-12-01T02:00`, with a space for the `T` if one likes, in UTC if a
/// `Z` ends it; `t` and `z` are the same. Seconds may be there if they are zero, with a fraction or without: `2026-12-01T02:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateAndTime {
    shown: DateTime,
    is_utc: bool,
}

impl DateAndTime {
    /// Reads one, if it is one.
    pub fn read(value: &str) -> Option<Self> {
        let (text, seconds, rest) = parts(value)?;
        let is_utc = rest.eq_ignore_ascii_case("Z");
        let is_full_minute = (rest.is_empty() || is_utc) && seconds.bytes().all(|byte| b":.0".contains(&byte));
        let shown = (is_full_minute && has_shape(text)).then(|| text.parse().ok())??;
        Some(Self { shown, is_utc })
    }

    /// The time of its day.
    pub(crate) fn time(self) -> Time {
        self.shown.time()
    }

    /// Whether it does not depend on a zone.
    pub fn is_utc(self) -> bool {
        self.is_utc
    }

    /// When the clocks of a zone show it.
    ///
    /// # Errors
    /// They skip it, or show it twice, where daylight saving begins or ends: told with both readings.
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
        Err(format!("{how} by the clocks of `{zone}`, expected `{one}` or `{other}`, whichever is meant"))
    }
}

/// Whether a text has digits and signs where a date and time to the minute has them.
fn has_shape(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        10 => b"Tt ".contains(&byte),
        13 => byte == b':',
        _ => byte.is_ascii_digit(),
    })
}

/// Why there is no such date and time, if the text has the shape of one.
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

/// A date and time: up to the minute, its seconds (`:00.000`), and what follows them.
fn parts(value: &str) -> Option<(&str, &str, &str)> {
    let (time, rest) = value.split_at_checked("2026-12-01T02:00".len())?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && !":.".contains(letter)).unwrap_or(rest.len());
    let (seconds, rest) = rest.split_at(end);
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = whole.len() == 3 && whole.strip_prefix(':').is_some_and(is_number);
    let are_seconds = is_whole && (1..=9).contains(&fraction.len()) && is_number(fraction);
    (seconds.is_empty() || are_seconds).then_some((time, seconds, rest))
}

/// What to write for a date and time that has an offset from UTC, or a part of a minute.
pub(crate) fn instead_of_time(value: &str) -> Option<Expected> {
    let (time, seconds, rest) = parts(value)?;
    if let Some(why) = date_problem(time) {
        return Some(Expected(format!("a date and time that exist: {why}").into()));
    }
    let shown = DateAndTime::read(time)?.shown;
    let minutes = if DateAndTime::read(&format!("{time}{seconds}")).is_none() { "whole minutes" } else { "" };
    if let Some((offset, plus)) = read_offset(rest) {
        let and = if minutes.is_empty() { "" } else { " and " };
        let utc = offset.to_timestamp(shown).map(utc).ok()?;
        let zoned = format!("`{time}` and its zone in `ota:timezone`");
        return Some(Expected(format!("{minutes}{and}no offset{plus}: write `{utc}`, or {zoned}").into()));
    }
    let zone = rest.trim().to_uppercase();
    let zone = ["", "Z", "UTC", "GMT"].contains(&zone.as_str()).then_some(if zone.is_empty() { "" } else { "Z" })?;
    let such_as = if minutes.is_empty() { "" } else { ", such as " };
    let is_right = minutes.is_empty() && (rest.is_empty() || rest.eq_ignore_ascii_case("Z"));
    (!is_right).then(|| Expected(format!("{minutes}{such_as}`{time}{zone}`").into()))
}

/// Every day from one on.
pub(crate) fn days(from: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(from), |day| day.tomorrow().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::duration::{LONGEST, Minutes};
    use proptest::prelude::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
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
    fn dates_and_times_are_to_the_minute() {
        for text in [
            "2026-12-01T02:00",
            "2026-12-01 02:00",
            "2026-12-01T02:00Z",
            "2026-12-01 02:00Z",
            "2026-12-01t02:00z",
            "2026-12-01T02:00:00.000z",
            "2026-12-01T02:00:00",
            "2026-12-01T02:00:00Z",
            "2026-12-01 02:00:00.000",
            "2026-12-01T02:00:00.0Z",
            "2026-12-01T02:00:00.000Z",
            "2026-12-01T02:00:00.000000000Z",
        ] {
            let time = DateAndTime::read(text).unwrap();
            assert_eq!(time.in_zone(&zone("UTC")), Ok("2026-12-01T02:00:00Z".parse().unwrap()), "{text}");
            assert_eq!(time.is_utc(), text.ends_with(['Z', 'z']));
        }
        let bad = [
            "2026-12-01",
            "2026-12-01T02:00:30",
            "2026-12-01T02:00:00.001",
            "2026-12-01T02:00:0",
            "2026-12-01T02:00:",
            "2026-12-01T02:00:00.",
            "2026-12-01T02:00:00.0000000000",
            "2026-12-01T02:00:00:00",
            "2026-12-01T02:00.000",
            "2026-12-01T02:00:60",
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
            assert_eq!(DateAndTime::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_local_time_is_that_of_its_zone() {
        let cases = [
            ("Europe/Berlin", "2026-12-01T02:00", "2026-12-01T01:00Z"),
            ("Europe/Berlin", "2026-07-01T02:00", "2026-07-01T00:00Z"),
            ("America/New_York", "2026-12-01T22:00", "2026-12-02T03:00Z"),
            ("Asia/Kathmandu", "2026-12-01 02:00", "2026-11-30T20:15Z"),
            ("Asia/Kathmandu", "2026-12-01T02:00Z", "2026-12-01T02:00Z"),
            ("europe/berlin", "2026-12-01T02:00", "2026-12-01T01:00Z"),
        ];
        for (name, text, expected) in cases {
            let time = DateAndTime::read(text).unwrap().in_zone(&zone(name)).unwrap();
            assert_eq!(utc(time), expected, "{name} {text}");
        }
        let time = "2026-12-01T01:00:00Z".parse().unwrap();
        assert_eq!(zone("europe/berlin").local(time), "2026-12-01T02:00+01:00[Europe/Berlin]");
    }

    #[test]
    fn a_time_that_the_clocks_skip_or_show_twice_is_told_with_both_readings() {
        let problem = |name: &str, text: &str| DateAndTime::read(text).unwrap().in_zone(&zone(name)).unwrap_err();
        assert_eq!(
            problem("Europe/Berlin", "2027-03-28T02:30"),
            "skipped by the clocks of `Europe/Berlin`, expected `2027-03-28T00:30Z` or `2027-03-28T01:30Z`, whichever is \
             meant"
        );
        assert_eq!(
            problem("Europe/Berlin", "2027-10-31T02:30"),
            "shown twice by the clocks of `Europe/Berlin`, expected `2027-10-31T00:30Z` or `2027-10-31T01:30Z`, whichever \
             is meant"
        );
        for text in
            ["2027-03-28T01:59", "2027-03-28T03:00", "2027-10-31T01:59", "2027-10-31T03:00", "2027-03-28T02:30Z"]
        {
            assert!(DateAndTime::read(text).unwrap().in_zone(&zone("Europe/Berlin")).is_ok(), "{text}");
        }
        // A whole day, in 2011.
        assert!(problem("Pacific/Apia", "2011-12-30T12:00").starts_with("skipped by the clocks of `Pacific/Apia`"));
    }

    #[test]
    fn a_part_of_a_minute_is_answered_with_the_whole_one() {
        let instead = |value: &str| instead_of_time(value).map(|Expected(expected)| expected.into_owned());
        let minutes = |text: &str| Some(format!("whole minutes, such as `{text}`"));
        assert_eq!(instead("2026-12-01T02:00:30"), minutes("2026-12-01T02:00"));
        assert_eq!(instead("2026-12-01 02:00:00.001Z"), minutes("2026-12-01 02:00Z"));
        let zoned = "write `2026-12-01T01:00Z`, or `2026-12-01T02:00` and its zone in `ota:timezone`";
        assert_eq!(instead("2026-12-01T02:00:00+01:00"), Some(format!("no offset: {zoned}")));
        assert_eq!(instead("2026-12-01T02:00:00.000+01"), Some(format!("no offset: {zoned}")));
        assert_eq!(instead("2026-12-01T02:00:30+0100"), Some(format!("whole minutes and no offset: {zoned}")));
        for (value, expected) in [
            ("2026-12-01T02:00 ", "`2026-12-01T02:00`"),
            ("2026-12-01T02:00\n", "`2026-12-01T02:00`"),
            ("2026-12-01T02:00 Z", "`2026-12-01T02:00Z`"),
            ("2026-12-01T02:00Z ", "`2026-12-01T02:00Z`"),
            ("2026-12-01T02:00:00 UTC", "`2026-12-01T02:00Z`"),
            ("2026-12-01 02:00utc", "`2026-12-01 02:00Z`"),
            ("2026-12-01T02:00:30 GMT", "whole minutes, such as `2026-12-01T02:00Z`"),
            ("2026-02-29T02:00", "a date and time that exist: 2026-02 has 28 days"),
            ("2028-02-30T02:00Z", "a date and time that exist: 2028-02 has 29 days"),
            ("2026-11-31 02:00+01:00", "a date and time that exist: 2026-11 has 30 days"),
            ("2026-12-00T02:00", "a date and time that exist: 2026-12 has 31 days"),
            ("2026-13-01T02:00:30", "a date and time that exist: months are 01 to 12"),
            ("2026-00-01T02:00", "a date and time that exist: months are 01 to 12"),
            ("2026-12-01T24:00", "a date and time that exist: hours are 00 to 23"),
            ("2026-12-01T02:60Z", "a date and time that exist: minutes are 00 to 59"),
        ] {
            assert_eq!(instead(value).as_deref(), Some(expected), "{value}");
        }
        for other in ["2026-12-01T02:00", "2026-12-01T02:00:00Z", "2026-12-01T02:00:", "2026-12-01T02:00 CET", "soon"] {
            assert_eq!(instead(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_to_be_written_for_an_offset_is_the_same_time(
            second in 1_700_000_000_i64..2_000_000_000, offset in -14 * 60_i32..14 * 60, colon: bool, lost: bool,
        ) {
            let time = Timestamp::from_second(second / 60 * 60).unwrap();
            let shown = Offset::from_seconds(offset * 60).unwrap().to_datetime(time).strftime("%Y-%m-%dT%H:%M").to_string();
            let sign = if offset < 0 { "-" } else if lost { " " } else { "+" };
            let colon = if colon { ":" } else { "" };
            let written = format!("{shown}{sign}{:02}{colon}{:02}", offset.abs() / 60, offset.abs() % 60);
            let Expected(instead) = instead_of_time(&written).unwrap();
            prop_assert!(instead.contains(&format!("`{}`", utc(time))), "{} {}", written, instead);
            prop_assert_eq!(instead.contains("%2B"), sign == " ");
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC*") {
            let _ = (text.parse::<Minutes>(), DateAndTime::read(&text), instead_of_time(&text));
            let _ = instead_of_time(&format!("2026-12-01T02:00{text}"));
        }

        #[test]
        fn a_duration_reads_back_as_it_was_written(minutes in 0..=LONGEST) {
            prop_assert_eq!(Minutes(minutes).to_string().parse::<Minutes>().unwrap(), Minutes(minutes));
        }
    }
}
