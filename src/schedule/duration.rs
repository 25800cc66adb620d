//! Durations in tags and settings.

use crate::error::Expected;
use std::fmt;
use std::str::FromStr;

/// A day, in minutes.
pub(crate) const DAY: i64 = 24 * 60;

/// The maximum duration, in minutes: two years. Nothing is scheduled further ahead, and larger numbers could overflow.
pub(crate) const MAX_DURATION: i64 = 2 * 365 * DAY;

/// A length of time in whole minutes: `90m`, `1h`, `2d`, `1d12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes(pub i64);

impl FromStr for Minutes {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let minutes = parse(value).filter(|minutes| *minutes <= MAX_DURATION);
        minutes.map(Self).ok_or(Expected("a duration such as `90m`, `1h` or `1d12h`".into()))
    }
}

fn parse(value: &str) -> Option<i64> {
    let mut units = [('d', DAY), ('h', 60), ('m', 1)].into_iter();
    let mut total = None;
    for part in value.split_inclusive(|letter: char| !letter.is_ascii_digit()) {
        // Each unit at most once, the larger first.
        let (count, minutes) = units.find_map(|(unit, minutes)| Some((part.strip_suffix(unit)?, minutes)))?;
        let add = count.parse::<i64>().ok()?.checked_mul(minutes)?;
        total = Some(total.unwrap_or(0_i64).checked_add(add)?);
    }
    total
}

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0m");
        }
        let counts = [(self.0 / DAY, "d"), (self.0 % DAY / 60, "h"), (self.0 % 60, "m")];
        counts.into_iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_has_days_hours_and_minutes_in_that_order() {
        let good = [("90m", 90), ("1h", 60), ("2d", 2880), ("1d12h", 2160), ("1d1h1m", 1501), ("0m", 0), ("07h", 420)];
        for (text, minutes) in good.into_iter().chain([("730d", MAX_DURATION)]) {
            assert_eq!(text.parse(), Ok(Minutes(minutes)), "{text}");
        }
        let bad = ["", "h", "1", "1x", "1h1d", "1h1h", "1h1", "1 h", "-1h", "+1h", "1.5h", "1H", "90s", "٣h", "1hé"];
        for text in bad.into_iter().chain(["730d1m", "9999d", "9000000000000000d", "99999999999999999999d"]) {
            assert!(text.parse::<Minutes>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_parsed_as_it_was_written(minutes in 0..=MAX_DURATION) {
            prop_assert_eq!(Minutes(minutes).to_string().parse(), Ok(Minutes(minutes)));
        }

        #[test]
        fn no_text_makes_the_duration_parser_panic(text in "\\PC*") {
            let _ = text.parse::<Minutes>();
        }
    }
}
