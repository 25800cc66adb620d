//! Cron expressions of AWS IoT, where a manifest or a job template gives them as such.

use crate::error::Expected;
use chrono::{DateTime, NaiveDateTime};
use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::Offset};
use std::str::FromStr;

/// When a maintenance window opens, in UTC: `cron(minute hour day-of-month month day-of-week year)`, one of the two days `?`
/// (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>).
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    /// All but the year.
    fields: String,
    year: String,
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Leap years come back after eight years at the latest.
const YEARS: i16 = 8;

impl FromStr for Cron {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let read = || {
            let fields = value.strip_prefix("cron(")?.strip_suffix(')')?;
            let fields: Vec<_> = fields.split(' ').collect();
            let [minute, hour, day_of_month, month, day_of_week, year] = fields[..] else { return None };
            let are_words = has_words(minute, is_number)
                && has_words(hour, is_number)
                && (day_of_month == "?" || has_words(day_of_month, is_day_of_month))
                && has_words(month, |word| is_number(word) || MONTHS.contains(&word))
                && (day_of_week == "?" || has_words(day_of_week, is_day_of_week))
                && has_words(year, |word| word.parse().is_ok_and(|year: u16| (1970..=2199).contains(&year)));
            if !are_words || (day_of_month == "?") == (day_of_week == "?") || value.len() > 256 {
                return None;
            }
            // The last day of the week.
            let day_of_week = if day_of_week == "L" { "SAT" } else { day_of_week };
            let fields = format!("0 {minute} {hour} {day_of_month} {month} {day_of_week}");
            let cron = Self { fields, year: year.to_owned() };
            parser().parse(&format!("{} {year}", cron.fields)).is_ok().then_some(cron)
        };
        read().ok_or(Expected(
            "a cron expression of AWS IoT in UTC, `cron(minute hour day-of-month month day-of-week year)` with a `?` for one \
             of the two days, such as `cron(0 2 ? * SAT *)`"
                .into(),
        ))
    }
}

/// Whether a field is made of such words, or `*`, in lists, ranges and steps.
fn has_words(field: &str, is_word: impl Fn(&str) -> bool) -> bool {
    field.split([',', '-', '/']).all(|word| word == "*" || is_word(word))
}

fn is_number(word: &str) -> bool {
    (1..=2).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_day_of_month(word: &str) -> bool {
    is_number(word) || matches!(word, "L" | "LW") || word.strip_suffix('W').is_some_and(is_number)
}

fn is_day_of_week(word: &str) -> bool {
    let day = word.strip_suffix('L').or_else(|| word.split_once('#').map(|(day, _)| day)).unwrap_or(word);
    word == "L" || is_number(day) || DAYS.contains(&day)
}

fn parser() -> CronParser {
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required);
    parser.alternative_weekdays(true).sloppy_ranges(true).build()
}

impl Cron {
    /// The first time that it opens, from a time on; nothing where it never does.
    pub fn next(&self, from: Timestamp) -> Option<Timestamp> {
        let first = Offset::UTC.to_datetime(from).year();
        // What never opens is looked for no longer than it may take.
        let years = if self.year == "*" { format!("{first}-{}", first + YEARS) } else { self.year.clone() };
        let cron = parser().parse(&format!("{} {years}", self.fields)).ok()?;
        let from: NaiveDateTime = DateTime::from_timestamp(from.as_second(), 0)?.naive_utc();
        let next = cron.find_next_occurrence(&from, true).ok()?;
        Timestamp::from_second(next.and_utc().timestamp()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_tells_when_it_opens_next() {
        let from = "2026-11-18T11:06:40Z".parse().unwrap();
        for (fields, next) in [
            ("0 2 * * ? *", "2026-11-19T02:00:00Z"),
            ("0 4 LW * ? *", "2026-11-30T04:00:00Z"),
            ("30 23 L * ? *", "2026-11-30T23:30:00Z"),
            ("0 2 ? * SAT#1 *", "2026-12-05T02:00:00Z"),
            ("0 2 ? * 7#1 *", "2026-12-05T02:00:00Z"),
            ("0 2 ? * 6L *", "2026-11-27T02:00:00Z"),
            ("0 2 15W * ? *", "2026-12-15T02:00:00Z"),
            ("0/15 2-4 ? JAN,MAR MON-FRI 2027-2030", "2027-01-01T02:00:00Z"),
            ("0 2 ? * 1 *", "2026-11-22T02:00:00Z"),
            ("0 3 1 5,7,10,12 ? *", "2026-12-01T03:00:00Z"),
            ("6 11 18 11 ? 2026", ""),
            ("7 11 18 11 ? 2026", "2026-11-18T11:07:00Z"),
            ("0 2 * * ? 2020", ""),
            ("0 2 30 2 ? *", ""),
            ("0 2 29 2 ? *", "2028-02-29T02:00:00Z"),
            ("0 2 ? * L *", "2026-11-21T02:00:00Z"),
            ("0 2 1 1 ? 2199", "2199-01-01T02:00:00Z"),
        ] {
            let cron: Cron = format!("cron({fields})").parse().unwrap_or_else(|_| panic!("{fields}"));
            assert_eq!(cron.next(from).map(|next| next.to_string()).unwrap_or_default(), next, "{fields}");
        }
    }

    #[test]
    fn what_aws_iot_does_not_take_is_no_expression() {
        let long = format!("cron(0 2 ? * {} *)", vec!["SAT"; 70].join(","));
        for bad in [
            "",
            "0 2 * * ? *",
            "cron(0 2 * * ?)",
            "cron(0 2 * * * *)",
            "cron(0 2 ? * ? *)",
            "cron(0 2 1 * MON *)",
            "cron(60 2 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 2 32 * ? *)",
            "cron(0 2 * 13 ? *)",
            "cron(0 2 ? * 8 *)",
            "cron(0  2 * * ? *)",
            "cron(0 2 * * ? *\n)",
            "cron(MON 2 * * ? *)",
            "cron(0 2 1 1FEB ? *)",
            "cron(0 2 ? * +MON *)",
            "cron(0 2 ? * 2,,3 *)",
            "cron(0 2 ? FOO 2 *)",
            "cron(0 2 * * ? 2500)",
            "cron(0 2 * * ? 1969-2000)",
            "cron(@ 2 * * ? *)",
            "cron(0 2 * * ? *",
            "rate(1 day)",
            &long,
        ] {
            assert!(bad.parse::<Cron>().is_err(), "{bad}");
        }
    }
}
