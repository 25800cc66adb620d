//! Cron expressions of AWS IoT, where a manifest or a job template gives them as such.

use crate::error::Expected;
use chrono::{DateTime, NaiveDateTime};
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use std::str::FromStr;

/// When a maintenance window opens, in UTC: `cron(minute hour day-of-month month day-of-week year)`, one of the two days `?`
/// (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>).
#[derive(Debug, Clone)]
pub(crate) struct Cron(croner::Cron);

impl FromStr for Cron {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let read = || {
            let fields = value.strip_prefix("cron(")?.strip_suffix(')')?;
            let [_, _, day_of_month, _, day_of_week, _] = fields.split(' ').collect::<Vec<_>>()[..] else {
                return None;
            };
            if (day_of_month == "?") == (day_of_week == "?") || value.len() > 256 {
                return None;
            }
            let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required);
            let parser = parser.alternative_weekdays(true).sloppy_ranges(true).build();
            parser.parse(&format!("0 {fields}")).ok().map(Self)
        };
        read().ok_or(Expected(
            "a cron expression of AWS IoT in UTC, `cron(minute hour day-of-month month day-of-week year)` with a `?` for one \
             of the two days, such as `cron(0 2 ? * SAT *)`"
                .into(),
        ))
    }
}

impl Cron {
    /// The first time that it opens, from a time on; nothing where it never does.
    pub fn next(&self, from: Timestamp) -> Option<Timestamp> {
        let from: NaiveDateTime = DateTime::from_timestamp(from.as_second(), 0)?.naive_utc();
        let next = self.0.find_next_occurrence(&from, true).ok()?;
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
            "cron(0 2 * * ? *",
            "rate(1 day)",
            &long,
        ] {
            assert!(bad.parse::<Cron>().is_err(), "{bad}");
        }
    }
}
