//! The days of a maintenance window in UTC, and AWS IoT's cron expressions for them.
//!
//! AWS IoT uses UTC (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>). The day
//! in UTC may be the day before or after the local day.

use crate::schedule::iot_cron::YEARS;
use crate::schedule::window::{Days, Window, weekdays};
use jiff::civil::Date;
use jiff::tz::Offset;
use std::collections::{BTreeMap, BTreeSet};

/// The cron expressions of a window whose clocks have this offset from UTC, for a job in `year` or later.
pub(crate) fn crons(window: &Window, offset: Offset, year: i16) -> Vec<String> {
    let (shift, minute) = window.opens_in_utc(offset);
    let days = match &window.days {
        Days::OfWeek(week) if *week == [true; 7] => vec!["* * ? *".to_owned()],
        Days::OfWeek(week) => vec![format!("? * {} *", weekdays(*week, shift).join(",").to_uppercase())],
        Days::OfMonth(month) => crons_of_month(month, shift, year),
    };
    days.into_iter().map(|days| format!("cron({} {} {days})", minute % 60, minute / 60)).collect()
}

/// Returns the last four fields of cron for days of the month that are `shift` days later in UTC. Returns several
/// expressions if a single one cannot have all days.
fn crons_of_month(month: &BTreeSet<i8>, shift: i64, year: i16) -> Vec<String> {
    let mut groups: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for UtcDay { day, months, years } in month.iter().flat_map(|day| in_utc(*day, shift)) {
        // AWS allows `L` only by itself.
        let days = groups.entry((years, months, day == LAST)).or_default();
        days.push(if day == LAST { "L".to_owned() } else { day.to_string() });
    }
    let fields = groups.into_iter();
    fields.map(|((years, months, _), days)| format!("{} {months} ? {}", days.join(","), years.field(year))).collect()
}

/// A day of the month in UTC, and the months and years that it applies to.
struct UtcDay {
    day: i8,
    months: &'static str,
    years: Years,
}

/// The last day of a month.
const LAST: i8 = 0;
const ALL: &str = "*";
const ALL_BUT_FEBRUARY: &str = "1,3-12";
const WITH_31_DAYS: &str = "1,3,5,7,8,10,12";
/// The months after a month with 30 days.
const AFTER_30_DAYS: &str = "5,7,10,12";
/// The months after a month with 31 days.
const AFTER_31_DAYS: &str = "1,2,4,6,8,9,11";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Years {
    All,
    Leap,
    Common,
}

/// The days in UTC that are `shift` days after `day`, in every month that has `day`.
fn in_utc(day: i8, shift: i64) -> Vec<UtcDay> {
    let utc = |day, months| UtcDay { day, months, years: Years::All };
    match (shift, day) {
        (-1, 1) => vec![utc(LAST, ALL)],
        // 29 February exists only in leap years, so 28 February in UTC counts only in leap years.
        (-1, 29) => vec![utc(28, ALL_BUT_FEBRUARY), UtcDay { day: 28, months: "2", years: Years::Leap }],
        (-1, 30) => vec![utc(29, ALL_BUT_FEBRUARY)],
        (-1, 31) => vec![utc(30, WITH_31_DAYS)],
        (1, 28) => vec![utc(29, ALL), UtcDay { day: 1, months: "3", years: Years::Common }],
        (1, 29) => vec![utc(30, ALL), UtcDay { day: 1, months: "3", years: Years::Leap }],
        (1, 30) => vec![utc(31, ALL), utc(1, AFTER_30_DAYS)],
        (1, 31) => vec![utc(1, AFTER_31_DAYS)],
        (-1, _) => vec![utc(day - 1, ALL)],
        (1, _) => vec![utc(day + 1, ALL)],
        _ => vec![utc(day, ALL)],
    }
}

impl Years {
    /// The number of years that an expression lists: more than any job lasts, and few enough for AWS's maximum length.
    const LISTED: i16 = 80;

    /// The year field of cron, for the year `first` and later years.
    fn field(self, first: i16) -> String {
        if self == Self::All {
            return "*".to_owned();
        }
        let is_leap = |year: &i16| Date::new(*year, 1, 1).is_ok_and(Date::in_leap_year);
        let years = first..=(first + Self::LISTED).min(*YEARS.end());
        let years: Vec<_> = years.filter(|year| is_leap(year) == (self == Self::Leap)).collect();
        let runs = years.chunk_by(|one, next| one + 1 == *next).map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            year => format!("{}", year[0]),
        });
        runs.collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests;
