//! Cron expressions of AWS IoT in manifests and job templates.

use crate::error::Expected;
use chrono::{DateTime, NaiveDateTime};
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::Offset;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The openings of a maintenance window, in UTC: `cron(minute hour day-of-month month day-of-week year)`. One of the two day
/// fields is `?` (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>). The grammar of
/// each field is that of EventBridge (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html>).
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    /// All fields but the year.
    fields: String,
    years: Vec<i16>,
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The years that AWS accepts.
pub(super) const YEARS: RangeInclusive<i16> = 1970..=2199;

/// The maximum distance between leap years, in years.
const MAX_LEAP_GAP: i16 = 8;

/// The maximum length of an expression, in characters.
pub(super) const MAX_LENGTH: usize = 256;

impl FromStr for Cron {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        parse(value).ok_or(Expected(
            "a cron expression of AWS IoT in UTC, `cron(minute hour day-of-month month day-of-week year)` with a `?` for one \
             of the two days, such as `cron(0 2 ? * SAT *)`"
                .into(),
        ))
    }
}

fn parse(value: &str) -> Option<Cron> {
    let fields: Vec<_> = value.strip_prefix("cron(")?.strip_suffix(')')?.split(' ').collect();
    let [minute, hour, day_of_month, month, day_of_week, year] = fields[..] else { return None };
    let is_weekday = |word: &str| is_number(word) || DAYS.contains(&word);
    let is_day_of_month = is_list(day_of_month, is_number, true) || is_one_day_of_month(day_of_month);
    let is_day_of_week = is_list(day_of_week, is_weekday, false) || is_one_day_of_week(day_of_week, is_weekday);
    let is_valid = value.len() <= MAX_LENGTH
        && is_list(minute, is_number, true)
        && is_list(hour, is_number, true)
        && is_list(month, |word| is_number(word) || MONTHS.contains(&word), true)
        && is_list(year, |word| parse_year(word).is_some(), true)
        && ((day_of_month == "?" && is_day_of_week) || (day_of_week == "?" && is_day_of_month));
    if !is_valid {
        return None;
    }
    // `L` is the last day of the week, which is Saturday.
    let day_of_week = if day_of_week == "L" { "SAT" } else { day_of_week };
    let fields = format!("0 {minute} {hour} {day_of_month} {month} {day_of_week}");
    let cron = Cron { fields, years: parse_years(year)? };
    parser().parse(&format!("{} *", cron.fields)).is_ok().then_some(cron)
}

/// Returns whether a field is a list of words, ranges and `*`. With `has_steps`, each item may have a step.
fn is_list(field: &str, is_word: impl Fn(&str) -> bool, has_steps: bool) -> bool {
    let is_range =
        |range: &str| range.split_once('-').map_or_else(|| is_word(range), |(a, b)| is_word(a) && is_word(b));
    field
        .split(',')
        .map(split_step)
        .all(|(range, step)| (range == "*" || is_range(range)) && step.is_none_or(|step| has_steps && is_step(step)))
}

/// Splits an item of a list into its range and its step.
fn split_step(item: &str) -> (&str, Option<&str>) {
    item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)))
}

fn has_digits(word: &str, count: RangeInclusive<usize>) -> bool {
    count.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(word: &str) -> bool {
    has_digits(word, 1..=2)
}

fn is_step(word: &str) -> bool {
    has_digits(word, 1..=3) && word.parse() != Ok(0)
}

/// Returns whether a field is a day of the month that must be the only item: `L`, `LW` or `15W`.
fn is_one_day_of_month(field: &str) -> bool {
    matches!(field, "L" | "LW") || field.strip_suffix('W').is_some_and(is_number)
}

/// Returns whether a field is a day of the week that must be the only item. `L` is the last day of the week, `6L` the
/// last Friday of a month, and `6#2` the second Friday.
fn is_one_day_of_week(field: &str, is_weekday: impl Fn(&str) -> bool) -> bool {
    let day = field.strip_suffix('L').or_else(|| {
        let (day, number) = field.split_once('#')?;
        matches!(number, "1" | "2" | "3" | "4" | "5").then_some(day)
    });
    field == "L" || day.is_some_and(is_weekday)
}

fn parse_year(word: &str) -> Option<i16> {
    has_digits(word, 4..=4).then(|| word.parse().ok())?.filter(|year| YEARS.contains(year))
}

/// Returns the years of a field that is a list. `None` if a range ends before it begins.
fn parse_years(field: &str) -> Option<Vec<i16>> {
    let mut years = BTreeSet::new();
    for (range, step) in field.split(',').map(split_step) {
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (*YEARS.start(), *YEARS.end()),
            Some((first, last)) => (parse_year(first)?, parse_year(last)?),
            // `2027/2` means every second year from 2027 on.
            None => (parse_year(range)?, step.map_or_else(|| parse_year(range), |_| Some(*YEARS.end()))?),
        };
        years.extend((first..=last).step_by(step.unwrap_or("1").parse().ok()?));
    }
    (!years.is_empty()).then(|| years.into_iter().collect())
}

fn parser() -> CronParser {
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required);
    parser.alternative_weekdays(true).sloppy_ranges(true).build()
}

impl Cron {
    /// The first opening at or after a time. `None` if the window does not open again.
    pub(crate) fn next(&self, from: Timestamp) -> Option<Timestamp> {
        let first = Offset::UTC.to_datetime(from).year();
        // A day such as 30 February never comes, so the search ends after the longest gap between leap years.
        let years = if self.years.len() == YEARS.count() {
            format!("{first}-{}", first + MAX_LEAP_GAP)
        } else {
            let years = self.years.iter().filter(|year| **year >= first);
            years.map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
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
    fn an_expression_has_a_next_opening_unless_its_years_have_passed() {
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
            ("0 2 1 1 ? 2027/2", "2027-01-01T02:00:00Z"),
            ("0 2 1 1 ? 2026/2", "2028-01-01T02:00:00Z"),
            ("0 2 1 1 ? */2", "2028-01-01T02:00:00Z"),
            ("0 2 1 1 ? 2020,2030-2040/3", "2030-01-01T02:00:00Z"),
            ("0 2 1 1 ? */100", "2070-01-01T02:00:00Z"),
            ("0 2 29 2 ? 2027/2", ""),
            ("*/15 1-5/2 1/10 * ? *", "2026-11-21T01:00:00Z"),
        ] {
            let cron: Cron = format!("cron({fields})").parse().unwrap_or_else(|_| panic!("{fields}"));
            assert_eq!(cron.next(from).map(|next| next.to_string()).unwrap_or_default(), next, "{fields}");
        }
    }

    #[test]
    fn an_expression_outside_of_the_grammar_of_aws_is_rejected() {
        let fields = "0 2 * * ?|0 2 * * * *|0 2 ? * ? *|0 2 1 * MON *|60 2 * * ? *|0 24 * * ? *|0 2 32 * ? *|0 2 * 13 ? *|\
                      0 2 ? * 8 *|0  2 * * ? *|0 2 * * ? *\n|MON 2 * * ? *|0 2 1 1FEB ? *|0 2 ? * +MON *|0 2 ? * 2,,3 *|\
                      0 2 ? FOO 2 *|@ 2 * * ? *|L 2 * * ? *|0/ 2 * * ? *|0/15/2 2 * * ? *|0/0 2 * * ? *|\
                      0 2 * * ? 2500|0 2 * * ? 1969-2000|0 2 * * ? 02027|0 2 * * ? 0970|0 2 * * ? 2027/0|\
                      0 2 * * ? 2030-2027|0 2 * * ? 2027/|0 2 * * ? L";
        // EventBridge allows no `/` in days of the week, and only one item with `#`, `L` or `W`.
        let days = "0 2 ? * MON/2 *|0 2 ? * */2 *|0 2 ? * 2-6/2 *|0 2 ? * 3#1,6#3 *|0 2 ? * 3#1,6 *|0 2 ? * 3#6 *|\
                    0 2 ? * 3#0 *|0 2 ? * 6L,2 *|0 2 ? * L,MON *|0 2 1,L * ? *|0 2 15W,L * ? *|0 2 1-15W * ? *|0 2 L/2 * ? *";
        let long = format!("0 2 ? * {} *", vec!["SAT"; 70].join(","));
        let crons = fields.split('|').chain(days.split('|')).chain([long.as_str()]).map(|bad| format!("cron({bad})"));
        for bad in crons.chain(["", "0 2 * * ? *", "cron(0 2 * * ? *", "rate(1 day)"].map(str::to_owned)) {
            assert!(bad.parse::<Cron>().is_err(), "{bad}");
        }
    }
}
