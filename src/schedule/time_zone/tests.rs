use super::*;
use proptest::prelude::*;

const EXPECTED: &str = "the IANA name of a time zone such as `Europe/Berlin`";

fn expected_form(value: &str) -> String {
    value.parse::<Zone>().unwrap_err().0.into_owned()
}

fn all_names() -> Vec<String> {
    TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect()
}

fn zones() -> impl Iterator<Item = Zone> {
    all_names().into_iter().filter_map(|name| name.parse().ok())
}

#[test]
fn every_zone_of_the_database_but_factory_is_accepted() {
    let names = all_names();
    assert!(names.len() > 500, "{names:?}");
    for name in names {
        let zone: Result<Zone, _> = name.parse();
        assert_eq!(zone.is_ok_and(|zone| zone.name() == name), name != "Factory", "{name}");
    }
    for name in ["Factory", "factory", "Facory", "Etc/Unknown", "posixrules", "localtime", ""] {
        assert_eq!(expected_form(name), EXPECTED, "{name}");
    }
}

#[test]
fn a_zone_whose_name_has_the_opposite_sign_is_recognized() {
    let now = "2026-11-23T21:40:30Z".parse().unwrap();
    let mut opposite = Vec::new();
    for zone in zones() {
        let offset = zone.opposite_offset();
        // All names with a sign and a number, except those of UTC itself.
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
fn an_offset_is_rejected_with_the_zone_that_has_it() {
    let head = EXPECTED;
    let whole =
        |offset: &str, name: &str| format!("{head}; for UTC{offset} all year, use `{name}`, whose sign is reversed");
    for value in ["GMT+2", "UTC+2", "utc+2", "UTC+02:00", "UTC+0200", "GMT+02", "UTC +2", "+2", "+02:00"] {
        assert_eq!(expected_form(value), whole("+02:00", "Etc/GMT-2"), "{value}");
    }
    for value in ["GMT 2", "UTC 02:00", "utc 2", "UTC  2", " 2", " 02:00"] {
        assert_eq!(expected_form(value), whole("+02:00", "Etc/GMT-2") + LOST_PLUS, "{value}");
    }
    for value in ["GMT-5", "UTC-5", "UTC-05:00", "-0500", "UTC - 5"] {
        assert_eq!(expected_form(value), whole("-05:00", "Etc/GMT+5"), "{value}");
    }
    for value in ["UTC+0", "UTC-0", "UTC+00:00", "+00:00"] {
        assert_eq!(expected_form(value), format!("{head}; for UTC+00:00, use `UTC`"), "{value}");
    }
    assert_eq!(
        expected_form("UTC+05:30"),
        format!("{head}; for UTC+05:30 all year, use one of `Asia/Calcutta`, `Asia/Colombo`, `Asia/Kolkata`")
    );
    assert_eq!(expected_form("GMT-9:30"), format!("{head}; for UTC-09:30 all year, use `Pacific/Marquesas`"));
    // Offsets that no zone has all year, and texts that are not offsets.
    for value in ["GMT+15", "UTC-13", "UTC+3:17", "UTC-3:30", "GMT+2x", "GMT+", "UTC2", "Etc/GMT+15", "+", "2", "GMT5"]
    {
        assert_eq!(expected_form(value), head, "{value}");
    }
    assert_eq!(expected_form("Etc/GMT 5"), format!("`Etc/GMT+5`{LOST_PLUS}"));
}

#[test]
fn a_city_or_an_abbreviation_is_rejected_with_its_zone() {
    let head = EXPECTED;
    for (value, zone) in [
        ("Berlin", "Europe/Berlin"),
        ("berlin ", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("LOS_ANGELES", "America/Los_Angeles"),
        ("kolkata", "Asia/Kolkata"),
        ("Z", "UTC"),
        ("z", "UTC"),
    ] {
        assert_eq!(expected_form(value), format!("{head}, did you mean `{zone}`?"), "{value}");
    }
    for value in ["PST", "PDT", "CEST", "cest", "IST", "JST"] {
        assert_eq!(expected_form(value), format!("{head}; several zones share the abbreviation `{value}`"));
    }
    // Words at the end of several zones' names, or of no zone's name.
    for value in ["Indianapolis", "Atlantis", "A", "XYZ"] {
        assert_eq!(expected_form(value), head, "{value}");
    }
}

#[test]
fn every_zone_is_whole_minutes_ahead_of_utc() {
    for zone in zones() {
        for time in [1_790_000_000, 1_800_000_000, 1_815_000_000] {
            assert_eq!(zone.offset(Timestamp::from_second(time).unwrap()).seconds() % 60, 0, "{}", zone.name());
        }
    }
}

proptest! {
    #[test]
    fn a_suggested_zone_has_the_offset_of_the_value(
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

/// Fails if a feature of jiff that reads the system's database is enabled.
#[test]
fn the_default_database_is_the_one_in_the_binary() {
    assert_eq!(format!("{:?}", jiff::tz::db()), format!("{:?}", TimeZoneDatabase::bundled()));
}

proptest! {
    // Only a few cases, because each text is compared with all names.
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn no_text_makes_the_zone_parser_panic(text in "\\PC*") {
        let _ = text.parse::<Zone>();
    }
}
