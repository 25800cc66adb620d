use super::*;
use crate::schedule::iot_cron::{Cron, MAX_LENGTH};
use crate::schedule::window::{WEEK, days};
use jiff::Timestamp;
use jiff::civil::Time;
use proptest::prelude::*;

#[test]
fn a_window_has_cron_expressions_in_utc() {
    let leap = "2028,2032,2036,2040,2044,2048,2052,2056,2060,2064,2068,2072,2076,2080,2084,2088,2092,2096,2104";
    let common = "2026-2027,2029-2031,2033-2035,2037-2039,2041-2043,2045-2047,2049-2051,2053-2055,2057-2059,2061-2063,\
                  2065-2067,2069-2071,2073-2075,2077-2079,2081-2083,2085-2087,2089-2091,2093-2095,2097-2103,2105-2106";
    let [leap_28, leap_1] = ["30 23 28 2", "0 3 1 3"].map(|fields| format!("{fields} ? {leap}"));
    let common_1 = format!("0 3 1 3 ? {common}");
    let cases: [(&str, i8, &[&str]); 18] = [
        ("daily 02:00 2h", 0, &["0 2 * * ? *"]),
        ("daily 00:30 2h", 1, &["30 23 * * ? *"]),
        ("mon-sun 02:00 2h", 0, &["0 2 * * ? *"]),
        ("sun 00:30 2h", 1, &["30 23 ? * SAT *"]),
        ("sat 22:00 2h", -5, &["0 3 ? * SUN *"]),
        ("fri-mon 22:30 90m", 0, &["30 22 ? * SUN,MON,FRI,SAT *"]),
        ("mon/wed-thu/sun 22:30 90m", -5, &["30 3 ? * MON,TUE,THU,FRI *"]),
        ("day-31/day-1/day-15 03:00 2h", 0, &["0 3 1,15,31 * ? *"]),
        ("day-1/day-2/day-15 00:30 2h", 1, &["30 23 1,14 * ? *", "30 23 L * ? *"]),
        ("day-28 00:30 2h", 1, &["30 23 27 * ? *"]),
        ("day-29 00:30 2h", 1, &["30 23 28 1,3-12 ? *", &leap_28]),
        ("day-30 00:30 2h", 1, &["30 23 29 1,3-12 ? *"]),
        ("day-31 00:30 2h", 1, &["30 23 30 1,3,5,7,8,10,12 ? *"]),
        ("day-27 22:00 2h", -5, &["0 3 28 * ? *"]),
        ("day-28 22:00 2h", -5, &[&common_1, "0 3 29 * ? *"]),
        ("day-29 22:00 2h", -5, &[&leap_1, "0 3 30 * ? *"]),
        ("day-30/day-10 22:00 2h", -5, &["0 3 1 5,7,10,12 ? *", "0 3 11,31 * ? *"]),
        ("day-31 22:00 2h", -5, &["0 3 1 1,2,4,6,8,9,11 ? *"]),
    ];
    for (window, offset, expected) in cases {
        let mut found = crons(&window.parse().unwrap(), Offset::constant(offset), 2026);
        found.sort();
        assert_eq!(found, expected.iter().map(|fields| format!("cron({fields})")).collect::<Vec<_>>(), "{window}");
    }
}

/// Returns whether a field of cron, parsed independently of the crate, includes a value.
fn includes(field: &str, value: i16) -> bool {
    field == "*"
        || field == "?"
        || field.split(',').any(|part| match part.split_once('-') {
            Some((first, last)) => (first.parse().unwrap()..=last.parse().unwrap()).contains(&value),
            None => part.parse() == Ok(value),
        })
}

/// The openings of a cron expression from one day in UTC to another, parsed independently of the crate.
fn openings(cron: &str, first: Date, last: Date) -> Vec<Timestamp> {
    let fields: Vec<_> = cron.strip_prefix("cron(").unwrap().strip_suffix(')').unwrap().split(' ').collect();
    let [minute, hour, day, month, weekday, year] = fields[..] else { panic!("{cron}") };
    assert!((day == "?") != (weekday == "?"), "{cron}");
    let time = Time::new(hour.parse().unwrap(), minute.parse().unwrap(), 0, 0).unwrap();
    let opens = |date: &Date| {
        let name = format!("{:?}", date.weekday())[..3].to_uppercase();
        let is_day = includes(day, date.day().into()) || (day == "L" && date.tomorrow().unwrap().day() == 1);
        let is_weekday = weekday == "*" || weekday == "?" || weekday.split(',').any(|known| known == name);
        is_day && is_weekday && includes(month, date.month().into()) && includes(year, date.year())
    };
    let dates = days(first).take_while(|date| *date <= last).filter(opens);
    dates.map(|date| Offset::UTC.to_timestamp(date.to_datetime(time)).unwrap()).collect()
}

fn any_days() -> impl Strategy<Value = String> {
    let week = prop::collection::vec((0..7_usize, 0..7_usize), 1..4).prop_map(|ranges| {
        let range = |(first, last): &(usize, usize)| {
            if first == last { WEEK[*first].to_owned() } else { format!("{}-{}", WEEK[*first], WEEK[*last]) }
        };
        ranges.iter().map(range).collect::<Vec<_>>().join("/")
    });
    let days = |days: Vec<i32>| days.iter().map(|day| format!("day-{day}")).collect::<Vec<_>>().join("/");
    let month = prop::collection::vec(1..=31, 1..6).prop_map(days);
    // Mostly the first and last days of months.
    let ends = prop::collection::vec(prop_oneof![Just(1), 28..=31], 1..4).prop_map(days);
    prop_oneof![Just("daily".to_owned()), week, month, ends]
}

/// Returns whether a date is one of the days of a window, from the names of the days alone.
fn is_open_on(days: &str, date: Date) -> bool {
    let weekday = format!("{:?}", date.weekday())[..3].to_lowercase();
    days == "daily"
        || days.split('/').any(|part| match part.split_once('-') {
            Some(("day", day)) => day.parse() == Ok(date.day()),
            Some((first, last)) => {
                let mut names = WEEK.iter().cycle().skip_while(|name| **name != first);
                let position = names.clone().position(|name| *name == last).unwrap();
                names.by_ref().take(position + 1).any(|name| *name == weekday)
            }
            None => part == weekday,
        })
}

proptest! {
    #[test]
    fn cron_expressions_open_whenever_the_window_does_by_local_clocks(
        days_of_window in any_days(), hour in 0_i8..24, minute in 0_i8..60, quarters in -48_i32..=56, second in 0..1_000_000_i64,
    ) {
        let text = format!("{days_of_window} {hour:02}:{minute:02} 2h");
        let window: Window = text.parse().unwrap();
        let offset = Offset::from_seconds(quarters * 900).unwrap();
        let (first, last) = (Date::new(2026, 1, 1).unwrap(), Date::new(2030, 12, 31).unwrap());
        let crons = crons(&window, offset, 2026);
        prop_assert!(crons.iter().all(|cron| cron.len() <= MAX_LENGTH), "{:?}", crons);
        let mut opened: Vec<_> = crons.iter().flat_map(|cron| openings(cron, first, last)).collect();
        opened.sort_unstable();

        let local = days(first).take_while(|date| *date <= last).filter(|date| is_open_on(&days_of_window, *date));
        let time = Time::new(hour, minute, 0, 0).unwrap();
        let local: Vec<_> = local.map(|date| offset.to_timestamp(date.to_datetime(time)).unwrap()).collect();
        // Leaves out the first and the last days, which may be other days in UTC.
        let inner = |times: &[Timestamp]| {
            let [from, to] = [Date::new(2026, 1, 3), Date::new(2030, 12, 29)]
                .map(|date| Offset::UTC.to_timestamp(date.unwrap().to_datetime(Time::midnight())).unwrap());
            times.iter().copied().filter(|time| (from..to).contains(time)).collect::<Vec<_>>()
        };
        prop_assert_eq!(inner(&opened), inner(&local), "{} {:?}", text, crons);

        let from = Timestamp::from_second(1_780_000_000 + second * 100).unwrap();
        let expected = local.iter().copied().find(|opens| *opens >= from);
        prop_assert_eq!(window.first(offset, from), expected);
        let crons = crons.iter().map(|cron| cron.parse::<Cron>().unwrap());
        prop_assert_eq!(crons.filter_map(|cron| cron.next(from)).min(), expected);
    }
}
