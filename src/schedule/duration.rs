//! Durations as people write them.

use crate::error::Expected;
use std::{fmt, str::FromStr};

/// A day in minutes.
pub(crate) const DAY: i64 = 24 * 60;

/// The longest duration that is taken, in minutes: two years.
pub(crate) const LONGEST: i64 = 2 * 365 * DAY;

/// A length of time in whole minutes, written in days, hours and minutes: `90m`, `1h`, `2d`, `1d12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes(pub i64);

impl FromStr for Minutes {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let expected = Expected("a duration such as `90m`, `1h` or `1d12h`".into());
        let mut units = [('d', DAY), ('h', 60), ('m', 1)].into_iter();
        let mut rest = value;
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let count: i64 = rest[..digits].parse().map_err(|_| expected.clone())?;
            let unit = rest[digits..].chars().next();
            // Units come once each, the larger first.
            let (_, minutes) = units.find(|(name, _)| Some(*name) == unit).ok_or(expected.clone())?;
            total = count.checked_mul(minutes).and_then(|add| total.checked_add(add)).ok_or(expected.clone())?;
            rest = &rest[digits + 1..];
        }
        // Nothing that is scheduled lies further ahead than two years: larger numbers are slips, and could overflow.
        let is_duration = !value.is_empty() && total <= LONGEST;
        is_duration.then_some(Self(total)).ok_or(expected)
    }
}

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [(self.0 / DAY, "d"), (self.0 % DAY / 60, "h"), (self.0 % 60, "m")];
        if self.0 == 0 {
            return f.write_str("0m");
        }
        counts.into_iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}
