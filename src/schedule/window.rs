//! Recurring maintenance windows.

use crate::error::Expected;
use crate::schedule::date_time::DateAndTime;
use crate::schedule::duration::{DAY, Minutes};
use crate::schedule::time_zone::{Zone, parse_offset};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::iter;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The minimum and maximum length of a window, in minutes
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_MaintenanceWindow.html>).
const LENGTHS: RangeInclusive<i64> = 1..=1430;

/// The number of days that are searched for the next opening: the first day and two months. After 31 January, for
/// example, a window on day 31 opens next on 31 March.
const MAX_DAYS_BETWEEN: usize = 63;

/// A recurring maintenance window: `<days> <HH:MM> <duration>`. The time is in UTC if it ends in `Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub(super) days: Days,
    opens: Time,
    is_utc: bool,
    /// The length of the window.
    pub minutes: i32,
}

/// The days on which a window opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Days {
    /// `true` for each day on which the window opens, Sunday first.
    OfWeek([bool; 7]),
    /// The days 1 to 31. The window does not open in months without the day.
    OfMonth(BTreeSet<i8>),
}

pub(super) const WEEK: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl FromStr for Window {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let parts: Vec<_> = value.split(' ').collect();
        let window = if let [days, opens, length] = parts[..] { parse(days, opens, length) } else { None };
        window.ok_or_else(|| {
            suggest_without_offset(&parts).unwrap_or(Expected(
                "`<days> <HH:MM> <duration>` such as `daily 02:00 2h`, `mon-fri 22:30 90m`, `sat/sun 01:00Z 4h` or \
                 `day-1/day-15 03:00 2h`, the duration from `1m` to `23h50m`"
                    .into(),
            ))
        })
    }
}

fn parse(days: &str, opens: &str, length: &str) -> Option<Window> {
    // The date is arbitrary: only the time is used.
    let opens = DateAndTime::parse(&format!("2026-12-01T{opens}"))?;
    let Minutes(minutes) = length.parse().ok()?;
    let minutes = LENGTHS.contains(&minutes).then(|| i32::try_from(minutes).ok())??;
    Some(Window { days: Days::parse(days)?, opens: opens.time(), is_utc: opens.is_utc(), minutes })
}

/// Suggests what to write for a window that has an offset from UTC.
fn suggest_without_offset(parts: &[&str]) -> Option<Expected> {
    let (days, opens, offset, length) = match *parts {
        [days, opens, length] => {
            let (opens, offset) = opens.split_at_checked("02:00".len())?;
            (days, opens, offset.to_owned(), length)
        }
        // A `+` that was read as a space.
        [days, opens, offset, length] => (days, opens, format!(" {offset}"), length),
        _ => return None,
    };
    let (offset, remark) = parse_offset(&offset)?;
    let window = parse(days, opens, length)?;
    let (shift, minute) = window.opens_in_utc(offset);
    let utc = |days: &str| format!("`{days} {:02}:{:02}Z {length}`, or ", minute / 60, minute % 60);
    let utc = match &window.days {
        Days::OfWeek(week) if shift != 0 && *week != [true; 7] => utc(&weekdays(*week, shift).join("/")),
        // In UTC, the days can depend on the length of the month. No single window has such days, so none is suggested.
        Days::OfMonth(_) if shift != 0 => String::new(),
        _ => utc(days),
    };
    let zoned = format!("`{days} {opens} {length}` and its zone in `ota:timezone`");
    Some(Expected(format!("no offset{remark}: write {utc}{zoned}").into()))
}

impl Days {
    fn parse(value: &str) -> Option<Self> {
        if value == "daily" {
            return Some(Self::OfWeek([true; 7]));
        }
        if value.starts_with("day-") {
            let day = |text: &str| {
                let number = text.strip_prefix("day-").filter(|day| day.bytes().all(|byte| byte.is_ascii_digit()))?;
                number.parse().ok().filter(|day| (1..=31).contains(day))
            };
            return value.split('/').map(day).collect::<Option<_>>().map(Self::OfMonth);
        }
        let position = |name: &str| WEEK.iter().position(|day| *day == name);
        let mut week = [false; 7];
        for range in value.split('/') {
            let Some((first, last)) = range.split_once('-') else {
                week[position(range)?] = true;
                continue;
            };
            let (first, last) = (position(first)?, position(last)?);
            if first == last {
                return None;
            }
            (0..=(last + 7 - first) % 7).for_each(|day| week[(first + day) % 7] = true);
        }
        Some(Self::OfWeek(week))
    }

    fn contains(&self, day: Date) -> bool {
        match self {
            Self::OfWeek(week) => week[usize::try_from(day.weekday().to_sunday_zero_offset()).unwrap_or_default()],
            Self::OfMonth(month) => month.contains(&day.day()),
        }
    }
}

/// The names of the days that are `shift` days after the days of `week`.
pub(super) fn weekdays(mut week: [bool; 7], shift: i64) -> Vec<&'static str> {
    match shift {
        -1 => week.rotate_left(1),
        1 => week.rotate_right(1),
        _ => {}
    }
    WEEK.into_iter().zip(week).filter_map(|(name, is_open)| is_open.then_some(name)).collect()
}

/// All days from a day on.
pub(super) fn days(from: Date) -> impl Iterator<Item = Date> {
    iter::successors(Some(from), |day| day.tomorrow().ok())
}

impl Window {
    /// Returns whether the window's time ends in `Z`: it is in UTC, not in a time zone.
    pub fn is_utc(&self) -> bool {
        self.is_utc
    }

    /// The offset of the zone from UTC at the first opening at or after `from`. If the clocks skip the time of the opening or
    /// show it twice, the offset is the one after the change.
    pub(crate) fn offset(&self, zone: &Zone, from: Timestamp) -> Option<Offset> {
        if self.is_utc {
            return Some(Offset::UTC);
        }
        self.openings(zone.offset(from), from).find_map(|opens| {
            let offset = zone.offset_of(opens);
            (offset.to_timestamp(opens).ok()? >= from).then_some(offset)
        })
    }

    /// The first opening at or after `from`, by clocks with this offset from UTC.
    pub(crate) fn first(&self, offset: Offset, from: Timestamp) -> Option<Timestamp> {
        let mut openings = self.openings(offset, from).filter_map(|opens| offset.to_timestamp(opens).ok());
        openings.find(|opens| *opens >= from)
    }

    /// The openings from the day of `from` on, by clocks with this offset from UTC.
    fn openings(&self, offset: Offset, from: Timestamp) -> impl Iterator<Item = DateTime> {
        let days = days(offset.to_datetime(from).date()).take(MAX_DAYS_BETWEEN);
        days.filter(|day| self.days.contains(*day)).map(|day| day.to_datetime(self.opens))
    }

    /// Returns the opening in UTC: the number of days after the local day (`-1` for the day before), and the minute of
    /// the day.
    pub(super) fn opens_in_utc(&self, offset: Offset) -> (i64, i64) {
        let minute = i64::from(self.opens.hour()) * 60 + i64::from(self.opens.minute());
        let minute = minute - i64::from(offset.seconds()) / 60;
        (minute.div_euclid(DAY), minute.rem_euclid(DAY))
    }

    /// Returns warnings about clock changes that move the window in local time, because AWS IoT keeps the window at
    /// `offset`:
    /// - The first opening is before the clocks change to `offset`.
    /// - The clocks change to another offset between the first opening and `until`.
    pub(crate) fn clock_changes(&self, zone: &Zone, offset: Offset, first: Timestamp, until: Timestamp) -> Vec<String> {
        if self.is_utc {
            return Vec::new();
        }
        let name = zone.name();
        let early = (zone.offset(first) != offset).then(|| {
            let local = zone.local(first);
            format!("the first maintenance window opens at {local}, before the clocks of `{name}` change")
        });
        let mut changes = zone.changes(first).take_while(|change| change.timestamp() < until);
        let later = changes.find(|change| change.offset() != offset).map(|change| {
            let by = SignedDuration::from_secs(i64::from(change.offset().seconds() - offset.seconds())).as_mins();
            let (direction, effect) = if by > 0 { ("forward", "later") } else { ("back", "earlier") };
            let (by, day) = (Minutes(by.abs()), offset.to_datetime(change.timestamp()).date());
            format!(
                "the clocks of `{name}` go {direction} by {by} on {day}, but AWS IoT keeps the maintenance windows in \
                 UTC: from then on, they open {by} {effect} in local time"
            )
        });
        early.into_iter().chain(later).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_has_days_a_time_and_a_length() {
        for (text, minutes, is_utc) in [
            ("daily 00:00 1m", 1, false),
            ("daily 02:00:00 2h", 120, false),
            ("daily 02:00:00.000z 2h", 120, true),
            ("fri-mon 23:59Z 23h50m", 1430, true),
            ("mon/wed-thu/sun 22:30 90m", 90, false),
            ("day-1/day-31 02:00 23h50m", 1430, false),
        ] {
            let window: Window = text.parse().unwrap();
            assert_eq!((window.minutes, window.is_utc()), (minutes, is_utc), "{text}");
        }
    }

    #[test]
    fn a_malformed_window_is_rejected_with_the_form_to_write() {
        let bad = "|daily|02:00 2h|daily 2:00 2h|daily T0200 2h|daily 24:00 2h|daily 02:00:30 2h|daily 02:00 0m|\
                   daily 02:00 23h51m|daily  02:00 2h|daily 02:00 2h 2h|Mon 02:00 2h|monday 02:00 2h|mon/ 02:00 2h|\
                   mon-mon 02:00 2h|mon-wed-fri 02:00 2h|daily/mon 02:00 2h|day-0 02:00 2h|day-32 02:00 2h|\
                   day-+1 02:00 2h|day- 02:00 2h|day-1-5 02:00 2h|day-1/mon 02:00 2h|mon/day-1 02:00 2h";
        for text in bad.split('|') {
            let Expected(expected) = text.parse::<Window>().unwrap_err();
            assert_eq!(
                expected,
                "`<days> <HH:MM> <duration>` such as `daily 02:00 2h`, `mon-fri 22:30 90m`, `sat/sun 01:00Z 4h` or \
                 `day-1/day-15 03:00 2h`, the duration from `1m` to `23h50m`",
                "{text}"
            );
        }
    }

    #[test]
    fn a_window_with_an_offset_is_rejected_with_its_form_in_utc() {
        let lost = " (its `+` was read as a space; a `+` is encoded as `%2B`)";
        for (text, lost, utc, zoned) in [
            ("sat/sun 02:00+01:00 2h", "", "`sat/sun 01:00Z 2h`, or ", "sat/sun 02:00 2h"),
            ("sat/sun 22:00-0530 2h", "", "`sun/mon 03:30Z 2h`, or ", "sat/sun 22:00 2h"),
            ("daily 00:30+01 2h", "", "`daily 23:30Z 2h`, or ", "daily 00:30 2h"),
            ("day-1 02:30+01 2h", "", "`day-1 01:30Z 2h`, or ", "day-1 02:30 2h"),
            ("day-1 00:30+01 2h", "", "", "day-1 00:30 2h"),
            ("mon-sun 00:30+01 2h", "", "`mon-sun 23:30Z 2h`, or ", "mon-sun 00:30 2h"),
            ("mon-fri 00:30 01:00 2h", lost, "`sun/mon/tue/wed/thu 23:30Z 2h`, or ", "mon-fri 00:30 2h"),
        ] {
            let Expected(expected) = text.parse::<Window>().unwrap_err();
            assert_eq!(expected, format!("no offset{lost}: write {utc}`{zoned}` and its zone in `ota:timezone`"));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_window_parser_panic(text in "\\PC*", words in "([a-z/-]{1,5} ){3}") {
            let _ = (text.parse::<Window>(), words.parse::<Window>());
        }
    }
}
