//! Durations on the command line, and times and numbers for people.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use ota_on_upload::error::Expected;
use ota_on_upload::schedule::duration::Minutes;
use std::time::Duration;

/// Parses a duration such as `90m`, `1h` or `1d12h`.
///
/// # Errors
/// Fails with the expected form.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let Minutes(minutes) = text.parse().map_err(|Expected(expected)| format!("expected {expected}"))?;
    Ok(Duration::from_mins(minutes.unsigned_abs()))
}

/// Parses a duration before now, or a date such as `2026-12-01`.
///
/// # Errors
/// Fails with the expected form.
pub fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(Minutes(minutes)) = text.parse() {
        return Timestamp::now().checked_sub(minutes.minutes()).map_err(|error| error.to_string());
    }
    let date = jiff::civil::Date::strptime("%Y-%m-%d", text);
    let midnight = date.and_then(|date| date.to_zoned_datetime(TimeZone::system()));
    midnight
        .map(|midnight| midnight.timestamp())
        .map_err(|_| "expected a duration such as `90m` or `2d`, or a date such as `2026-12-01`".to_owned())
}

/// A time in seconds since 1970, on the clocks of this machine.
pub fn local(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned_datetime(TimeZone::system());
    time.strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// A time of AWS IoT, `2026-12-01T02:00` in UTC, on the clocks of this machine. Other texts stay as they are.
pub fn local_of_iot(text: &str) -> String {
    let time: Result<jiff::civil::DateTime, _> = text.trim_end_matches('Z').parse();
    time.and_then(|time| time.to_zoned_datetime(TimeZone::UTC))
        .map_or_else(|_| text.to_owned(), |time| local(time.timestamp().as_second()))
}

/// A number with its noun: `1 device`, `2 devices`.
pub fn counted(number: i64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_dates_are_parsed() {
        assert_eq!(parse_duration("1d2h"), Ok(Duration::from_hours(26)));
        assert!(parse_duration("2 hours").unwrap_err().starts_with("expected a duration such as "));
        let age = Timestamp::now().duration_since(parse_since("2d").unwrap());
        assert!((age.as_secs() - 2 * 24 * 3600).abs() < 60, "{age:?}");
        assert!(parse_since("2026-12-01").is_ok());
        for other in ["tomorrow", "2026-12-01T02:00"] {
            assert!(parse_since(other).unwrap_err().starts_with("expected a duration such as "), "{other}");
        }
    }

    #[test]
    fn other_texts_than_times_stay() {
        assert_eq!(local_of_iot("soon"), "soon");
        let time: jiff::civil::DateTime = "2026-12-01T02:00".parse().unwrap();
        let seconds = time.to_zoned_datetime(TimeZone::UTC).unwrap().timestamp().as_second();
        assert_eq!(local_of_iot("2026-12-01T02:00"), local(seconds));
        assert_eq!([counted(1, "device"), counted(0, "device")], ["1 device", "0 devices"]);
    }
}
