use super::*;
use proptest::prelude::*;

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

#[test]
fn a_date_and_time_is_accepted_to_the_minute() {
    let good = "2026-12-01T02:00|2026-12-01 02:00Z|2026-12-01t02:00z|2026-12-01T02:00:00|2026-12-01 02:00:00.000|\
                2026-12-01T02:00:00Z|2026-12-01T02:00:00.0Z|2026-12-01T02:00:00.000000000z";
    for text in good.split('|') {
        let time = DateAndTime::parse(text).unwrap();
        assert_eq!(time.in_zone(&zone("UTC")), Ok("2026-12-01T02:00:00Z".parse().unwrap()), "{text}");
        assert_eq!(time.is_utc(), text.ends_with(['Z', 'z']));
    }
    let bad = "2026-12-01|2026-12-01T02:00:30|2026-12-01T02:00:00.001|2026-12-01T02:00:0|2026-12-01T02:00:|\
               2026-12-01T02:00:00.|2026-12-01T02:00:00.0000000000|2026-12-01T02:00:00:00|2026-12-01T02:00.000|\
               2026-12-01T02:00:60|2026-12-01T2:00|2026-02-29T02:00|2026-12-01T24:00|2026-12-01T02:60|\
               2026-12-01T02:00+01:00|2026-12-01_02:00|26-12-01T02:00|+026-12-01T02:00|2026-12-01T02:00ZZ|२०२६-१२-०१";
    for text in bad.split('|') {
        assert_eq!(DateAndTime::parse(text), None, "{text}");
    }
}

#[test]
fn a_local_time_is_converted_by_the_clocks_of_its_zone() {
    let cases = [
        ("Europe/Berlin", "2026-12-01T02:00", "2026-12-01T01:00Z"),
        ("Europe/Berlin", "2026-07-01T02:00", "2026-07-01T00:00Z"),
        ("America/New_York", "2026-12-01T22:00", "2026-12-02T03:00Z"),
        ("Asia/Kathmandu", "2026-12-01 02:00", "2026-11-30T20:15Z"),
        ("Asia/Kathmandu", "2026-12-01T02:00Z", "2026-12-01T02:00Z"),
        ("europe/berlin", "2026-12-01T02:00", "2026-12-01T01:00Z"),
    ];
    for (name, text, expected) in cases {
        let time = DateAndTime::parse(text).unwrap().in_zone(&zone(name)).unwrap();
        assert_eq!(utc(time), expected, "{name} {text}");
    }
    let time = "2026-12-01T01:00:00Z".parse().unwrap();
    assert_eq!(zone("europe/berlin").local(time), "2026-12-01T02:00+01:00[Europe/Berlin]");
}

#[test]
fn a_time_that_the_clocks_skip_or_show_twice_is_rejected_with_both_possible_times() {
    let problem = |name: &str, text: &str| DateAndTime::parse(text).unwrap().in_zone(&zone(name)).unwrap_err();
    for (how, day) in [("skipped", "2027-03-28"), ("shown twice", "2027-10-31")] {
        let times = format!("`{day}T00:30Z` or `{day}T01:30Z`");
        let expected = format!("{how} by the clocks of `Europe/Berlin`, expected {times}");
        assert_eq!(problem("Europe/Berlin", &format!("{day}T02:30")), expected);
    }
    for text in ["2027-03-28T01:59", "2027-03-28T03:00", "2027-10-31T01:59", "2027-10-31T03:00", "2027-03-28T02:30Z"] {
        assert!(DateAndTime::parse(text).unwrap().in_zone(&zone("Europe/Berlin")).is_ok(), "{text}");
    }
    // In 2011, the clocks of Samoa skipped a whole day.
    assert!(problem("Pacific/Apia", "2011-12-30T12:00").starts_with("skipped by the clocks of `Pacific/Apia`"));
}

#[test]
fn a_malformed_time_is_rejected_with_the_form_to_write() {
    let suggestion = |value: &str| suggest_time(value).map(|Expected(expected)| expected.into_owned());
    let minutes = |text: &str| Some(format!("whole minutes, such as `{text}`"));
    assert_eq!(suggestion("2026-12-01T02:00:30"), minutes("2026-12-01T02:00"));
    assert_eq!(suggestion("2026-12-01 02:00:00.001Z"), minutes("2026-12-01 02:00Z"));
    let zoned = "write `2026-12-01T01:00Z`, or `2026-12-01T02:00` and its zone in `ota:timezone`";
    assert_eq!(suggestion("2026-12-01T02:00:00+01:00"), Some(format!("no offset: {zoned}")));
    assert_eq!(suggestion("2026-12-01T02:00:00.000+01"), Some(format!("no offset: {zoned}")));
    assert_eq!(suggestion("2026-12-01T02:00:30+0100"), Some(format!("whole minutes and no offset: {zoned}")));
    for (value, expected) in [
        ("2026-12-01T02:00 ", "`2026-12-01T02:00`"),
        ("2026-12-01T02:00\n", "`2026-12-01T02:00`"),
        ("2026-12-01T02:00 Z", "`2026-12-01T02:00Z`"),
        ("2026-12-01T02:00Z ", "`2026-12-01T02:00Z`"),
        ("2026-12-01T02:00:00 UTC", "`2026-12-01T02:00Z`"),
        ("2026-12-01 02:00utc", "`2026-12-01 02:00Z`"),
        ("2026-12-01T02:00:30 GMT", "whole minutes, such as `2026-12-01T02:00Z`"),
        ("2026-02-29T02:00", "a valid date and time: 2026-02 has 28 days"),
        ("2028-02-30T02:00Z", "a valid date and time: 2028-02 has 29 days"),
        ("2026-11-31 02:00+01:00", "a valid date and time: 2026-11 has 30 days"),
        ("2026-12-00T02:00", "a valid date and time: 2026-12 has 31 days"),
        ("2026-13-01T02:00:30", "a valid date and time: months are 01 to 12"),
        ("2026-00-01T02:00", "a valid date and time: months are 01 to 12"),
        ("2026-12-01T24:00", "a valid date and time: hours are 00 to 23"),
        ("2026-12-01T23:60", "a valid date and time: minutes are 00 to 59"),
        ("2026-12-01T02:60Z", "a valid date and time: minutes are 00 to 59"),
    ] {
        assert_eq!(suggestion(value).as_deref(), Some(expected), "{value}");
    }
    for other in ["2026-12-01T02:00", "2026-12-01T02:00:00Z", "2026-12-01T02:00:", "2026-12-01T02:00 CET", "soon"] {
        assert_eq!(suggestion(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn the_time_suggested_for_an_offset_is_the_same_time(
        second in 1_700_000_000_i64..2_000_000_000, offset in -14 * 60_i32..14 * 60, colon: bool, lost: bool,
    ) {
        let time = Timestamp::from_second(second / 60 * 60).unwrap();
        let shown = Offset::from_seconds(offset * 60).unwrap().to_datetime(time).strftime("%Y-%m-%dT%H:%M").to_string();
        let sign = if offset < 0 { "-" } else if lost { " " } else { "+" };
        let colon = if colon { ":" } else { "" };
        let written = format!("{shown}{sign}{:02}{colon}{:02}", offset.abs() / 60, offset.abs() % 60);
        let Expected(suggestion) = suggest_time(&written).unwrap();
        prop_assert!(suggestion.contains(&format!("`{}`", utc(time))), "{} {}", written, suggestion);
        prop_assert_eq!(suggestion.contains("%2B"), sign == " ");
    }

    #[test]
    fn no_text_makes_the_date_parser_panic(text in "\\PC*") {
        let _ = (DateAndTime::parse(&text), suggest_time(&text));
        let _ = suggest_time(&format!("2026-12-01T02:00{text}"));
    }
}
