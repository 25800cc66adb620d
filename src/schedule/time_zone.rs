//! Time zones by their names, and what was meant by an offset in place of a name.

use crate::{error::Expected, text::spelling::one_of};
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase, TimeZoneFollowingTransitions},
};
use std::str::FromStr;

/// A time zone by its IANA name (<https://www.iana.org/time-zones>), as the database within this binary has it: the image
/// that Lambda runs need not have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub(crate) TimeZone);

impl FromStr for Zone {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let zones = &TimeZoneDatabase::bundled();
        if let Some(zone) = named(zones, value) {
            return Ok(Self(zone));
        }
        let with_plus = value.replace(' ', "+");
        if named(zones, &with_plus).is_some() {
            return Err(Expected(format!("`{with_plus}`: its `+` was read as a space, write it as `%2B`").into()));
        }
        let instead = instead_of_offset(zones, value).map(|instead| format!("; {instead}"));
        let instead = instead.or_else(|| of_abbreviation(zones, value));
        let instead = instead.or_else(|| {
            of_city(zones, value).or_else(|| nearest(zones, value)).map(|zone| format!(", did you mean `{zone}`?"))
        });
        let expected = "the IANA name of a time zone such as `Europe/Berlin`";
        Err(Expected(format!("{expected}{}", instead.unwrap_or_default()).into()))
    }
}

/// The name for a machine whose zone nobody has set (<https://data.iana.org/time-zones/tzdb/factory>).
const UNSET: &str = "Factory";

/// The zone of a name, in any case.
fn named(zones: &TimeZoneDatabase, name: &str) -> Option<TimeZone> {
    zones.get(name).ok().filter(|zone| !zone.is_unknown() && zone.iana_name() != Some(UNSET))
}

/// The names of all zones.
fn names(zones: &TimeZoneDatabase) -> impl Iterator<Item = String> {
    zones.available().map(|name| name.to_string()).filter(|name| name != UNSET)
}

/// The name that is most like the given one. `None` if none is like it, or its digits differ: they are not mistyped.
fn nearest(zones: &TimeZoneDatabase, given: &str) -> Option<String> {
    let given = given.to_lowercase();
    let digits = |name: &str| name.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
    let likeness = |zone: &str| strsim::normalized_damerau_levenshtein(&zone.to_lowercase(), &given);
    let names = names(zones).filter(|zone| digits(zone) == digits(&given));
    let nearest = names.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    nearest.filter(|zone| likeness(zone) > 0.75)
}

/// The zone whose name ends in that of a city, with blanks for `_` if one likes. `None` if no zone or several have it.
fn of_city(zones: &TimeZoneDatabase, given: &str) -> Option<String> {
    let city = given.trim().replace(' ', "_");
    let has_city = |name: &String| name.rsplit_once('/').is_some_and(|(_, last)| last.eq_ignore_ascii_case(&city));
    let mut names = names(zones).filter(has_city);
    names.next().filter(|_| names.next().is_none())
}

/// What to write for an abbreviation that clocks show, such as `CEST`: several places share it. `Z` is UTC.
fn of_abbreviation(zones: &TimeZoneDatabase, given: &str) -> Option<String> {
    if given.eq_ignore_ascii_case("Z") {
        return Some(", did you mean `UTC`?".to_owned());
    }
    // A winter and a summer.
    let times = [1_800_000_000, 1_815_000_000].map(|second| Timestamp::from_second(second).ok());
    let is_shown = |zone: &TimeZone| {
        let mut times = times.iter().flatten();
        times.any(|time| zone.to_offset_info(*time).abbreviation().eq_ignore_ascii_case(given))
    };
    let is_word = given.len() >= 3 && given.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_abbreviation = is_word && names(zones).any(|name| named(zones, &name).is_some_and(|zone| is_shown(&zone)));
    is_abbreviation.then(|| format!("; the abbreviation `{given}` is that of several places"))
}

/// What to write for an offset from UTC: `GMT+2`, `UTC+05:30`, `-0500`. `None` if the text is none, or no zone has it.
fn instead_of_offset(zones: &TimeZoneDatabase, value: &str) -> Option<String> {
    let value = value.to_uppercase();
    let text = ["UTC", "GMT"].iter().find_map(|prefix| value.strip_prefix(prefix)).unwrap_or(&value);
    // Where there is no sign, a space before the digits is a `+` that was lost.
    let text = if text.contains(['+', '-']) { text.trim() } else { text.trim_end() };
    let (sign, digits) = text.split_at_checked(1)?;
    let digits = digits.trim_start().replacen(':', "", 1);
    let zero = if digits.len() % 2 == 1 { "0" } else { "" };
    let (offset, lost) = read_offset(&format!("{sign}{zero}{digits}"))?;
    let utc = utc_offset(offset);
    match offset.seconds() {
        0 => Some(format!("{utc} is `UTC`{lost}")),
        seconds if seconds % 3600 == 0 => {
            let name = format!("Etc/GMT{:+}", -seconds / 3600);
            named(zones, &name).map(|_| format!("{utc} all year is `{name}`, whose sign is the opposite one{lost}"))
        }
        _ => {
            // All rules that end, or begin, at some date have done so by then.
            let later = Timestamp::from_second(1 << 31).ok()?;
            let is_it = |zone: TimeZone| zone.to_offset(later) == offset && zone.following(later).next().is_none();
            let names: Vec<_> = names(zones).filter(|name| named(zones, name).is_some_and(is_it)).collect();
            (!names.is_empty()).then(|| format!("{utc} all year is {}{lost}", one_of(names)))
        }
    }
}

/// An offset from UTC (`+01:00`, `-0500`, `+01`), and that its `+` was lost on the way here, if it was.
pub(crate) fn read_offset(text: &str) -> Option<(Offset, &'static str)> {
    let sign = text.chars().next().filter(|sign| ['+', '-', ' '].contains(sign))?;
    let digits = text[1..].replacen(':', "", 1);
    let is_offset = (digits.len() == 2 || digits.len() == 4) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number: i32 = is_offset.then(|| digits.parse().ok())??;
    let (hours, minutes) = if digits.len() == 2 { (number, 0) } else { (number / 100, number % 100) };
    let seconds = (hours * 60 + minutes) * 60;
    let offset = Offset::from_seconds(if sign == '-' { -seconds } else { seconds });
    let plus = if sign == ' ' { " (its `+` was read as a space, and would be written `%2B`)" } else { "" };
    offset.ok().filter(|_| minutes < 60).map(|offset| (offset, plus))
}

/// An offset as it is written: `UTC-02:00`.
fn utc_offset(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("UTC{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

impl Zone {
    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Whether its clocks are those of AWS IoT.
    pub fn is_utc(&self) -> bool {
        self.0 == TimeZone::UTC
    }

    /// Its offset, if the sign in its name is the opposite one: `Etc/GMT+2` is UTC-02:00
    /// (<https://data.iana.org/time-zones/tzdb/etcetera>).
    pub(crate) fn opposite_offset(&self) -> Option<String> {
        let name = self.name();
        let number: i32 = name[name.rfind(['+', '-'])?..].parse().ok()?;
        let offset = self.0.to_offset(Timestamp::UNIX_EPOCH);
        (number * offset.seconds() < 0).then(|| utc_offset(offset))
    }

    /// How far its clocks are ahead of UTC at a time.
    pub(crate) fn offset(&self, time: Timestamp) -> Offset {
        self.0.to_offset(time)
    }

    /// How far its clocks are ahead of UTC when they show a time. If they skip it or show it twice, the offset is the one
    /// after the change.
    pub(crate) fn offset_of(&self, shown: DateTime) -> Offset {
        match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { after, .. } | AmbiguousOffset::Fold { after, .. } => after,
        }
    }

    /// When its clocks change, after a time.
    pub(crate) fn changes(&self, after: Timestamp) -> TimeZoneFollowingTransitions<'_> {
        self.0.following(after)
    }

    /// A time as its clocks show it: `2026-12-01T02:00+01:00[Europe/Berlin]`.
    pub(crate) fn local(&self, time: Timestamp) -> String {
        time.to_zoned_datetime(self.0.clone()).strftime("%Y-%m-%dT%H:%M%:z[%Q]").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all_names() -> Vec<String> {
        TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect()
    }

    #[test]
    fn every_zone_of_the_database_but_that_of_no_place_is_accepted() {
        let names = all_names();
        assert!(names.len() > 500, "{names:?}");
        for name in names {
            let zone: Result<Zone, _> = name.parse();
            assert_eq!(zone.is_ok_and(|zone| zone.name() == name), name != "Factory", "{name}");
        }
        for name in ["Factory", "factory", "Facory", "Etc/Unknown", "posixrules", "localtime", ""] {
            let Expected(expected) = name.parse::<Zone>().unwrap_err();
            assert_eq!(expected, "the IANA name of a time zone such as `Europe/Berlin`", "{name}");
        }
    }

    #[test]
    fn a_zone_whose_name_has_the_opposite_sign_is_known() {
        let now = "2026-11-23T21:40:30Z".parse().unwrap();
        let mut opposite = Vec::new();
        for zone in all_names().iter().filter_map(|name| name.parse::<Zone>().ok()) {
            let offset = zone.opposite_offset();
            // Of all names with a sign and a number, all but those of UTC itself.
            let number = zone.name().rfind(['+', '-']).and_then(|at| zone.name()[at..].parse::<i32>().ok());
            assert_eq!(offset.is_some(), number.is_some_and(|number| number != 0), "{}", zone.name());
            if let Some(offset) = offset {
                assert_eq!(zone.offset(now).seconds(), -3600 * number.unwrap(), "{}", zone.name());
                opposite.push(format!("{} is {offset}", zone.name()));
            }
        }
        assert_eq!(opposite.len(), 12 + 14, "{opposite:?}");
        for expected in ["Etc/GMT+2 is UTC-02:00", "Etc/GMT-14 is UTC+14:00", "Etc/GMT+12 is UTC-12:00"] {
            assert!(opposite.iter().any(|zone| zone == expected), "{opposite:?}");
        }
    }

    #[test]
    fn an_offset_is_answered_with_the_zone_that_has_it() {
        let instead = |value: &str| value.parse::<Zone>().unwrap_err().0.into_owned();
        let head = "the IANA name of a time zone such as `Europe/Berlin`";
        let lost = " (its `+` was read as a space, and would be written `%2B`)";
        let whole = |offset: &str, name: &str| {
            format!("{head}; UTC{offset} all year is `{name}`, whose sign is the opposite one")
        };
        for value in ["GMT+2", "UTC+2", "utc+2", "UTC+02:00", "UTC+0200", "GMT+02", "UTC +2", "+2", "+02:00"] {
            assert_eq!(instead(value), whole("+02:00", "Etc/GMT-2"), "{value}");
        }
        for value in ["GMT 2", "UTC 02:00", "utc 2", "UTC  2", " 2", " 02:00"] {
            assert_eq!(instead(value), whole("+02:00", "Etc/GMT-2") + lost, "{value}");
        }
        for value in ["GMT-5", "UTC-5", "UTC-05:00", "-0500", "UTC - 5"] {
            assert_eq!(instead(value), whole("-05:00", "Etc/GMT+5"), "{value}");
        }
        for (value, offset, name) in [("GMT+14", "+14:00", "Etc/GMT-14"), ("UTC-12", "-12:00", "Etc/GMT+12")] {
            assert_eq!(instead(value), whole(offset, name), "{value}");
        }
        for value in ["UTC+0", "UTC-0", "UTC+00:00", "+00:00"] {
            assert_eq!(instead(value), format!("{head}; UTC+00:00 is `UTC`"), "{value}");
        }
        assert_eq!(
            instead("UTC+05:30"),
            format!("{head}; UTC+05:30 all year is one of `Asia/Calcutta`, `Asia/Colombo`, `Asia/Kolkata`")
        );
        assert_eq!(instead("GMT-9:30"), format!("{head}; UTC-09:30 all year is `Pacific/Marquesas`"));
        // No zone has them, or none all year; or they are no offsets.
        for value in
            ["GMT+15", "UTC-13", "UTC+3:17", "UTC-3:30", "GMT+2x", "GMT+", "UTC2", "Etc/GMT+15", "+", "2", "GMT5"]
        {
            assert_eq!(instead(value), head, "{value}");
        }
        assert_eq!(instead("Etc/GMT 5"), "`Etc/GMT+5`: its `+` was read as a space, write it as `%2B`");
    }

    #[test]
    fn a_city_or_an_abbreviation_is_answered_with_its_zone() {
        let instead = |value: &str| value.parse::<Zone>().unwrap_err().0.into_owned();
        let head = "the IANA name of a time zone such as `Europe/Berlin`";
        for (value, zone) in [
            ("Berlin", "Europe/Berlin"),
            ("berlin ", "Europe/Berlin"),
            ("New York", "America/New_York"),
            ("LOS_ANGELES", "America/Los_Angeles"),
            ("kolkata", "Asia/Kolkata"),
            ("Z", "UTC"),
            ("z", "UTC"),
        ] {
            assert_eq!(instead(value), format!("{head}, did you mean `{zone}`?"), "{value}");
        }
        for value in ["PST", "PDT", "CEST", "cest", "IST", "JST"] {
            assert_eq!(instead(value), format!("{head}; the abbreviation `{value}` is that of several places"));
        }
        // Several zones end in it, or none.
        for value in ["Indianapolis", "Atlantis", "A", "XYZ"] {
            assert_eq!(instead(value), head, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_suggested_zone_has_the_offset_that_was_meant(
            hours in -12..=14_i32, prefix in "(GMT|UTC|gmt|) ?", padded: bool, colon in "|:00|00",
        ) {
            let number = if padded || !colon.is_empty() { format!("{:02}", hours.abs()) } else { hours.abs().to_string() };
            let value = format!("{prefix}{}{number}{colon}", if hours < 0 { '-' } else { '+' });
            let Err(Expected(expected)) = value.parse::<Zone>() else {
                prop_assert!(hours == 0, "{}", value);
                return Ok(());
            };
            let zone: Zone = expected.split('`').nth(3).unwrap().parse().unwrap();
            prop_assert_eq!(zone.offset(Timestamp::UNIX_EPOCH).seconds(), hours * 3600, "{}: {}", value, expected);
        }
    }

    /// No feature of the crate is on by which it would look for a database of the system.
    #[test]
    fn the_database_is_the_one_in_the_binary() {
        assert_eq!(format!("{:?}", jiff::tz::db()), format!("{:?}", TimeZoneDatabase::bundled()));
    }

    proptest! {
        // Each is compared with all names.
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn no_text_makes_the_zone_parser_panic(text in "\\PC*") {
            let _ = text.parse::<Zone>();
        }
    }
}
