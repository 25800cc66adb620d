use super::*;
use proptest::prelude::*;

const NOW: &str = "2026-11-23T21:40:30.000000001Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn in_utc(start: &str, end: &str) -> RequestedSchedule {
    in_zone("UTC", start, end, None)
}

fn in_zone(zone: &str, start: &str, end: &str, window: Option<&str>) -> RequestedSchedule {
    let (start, end, zone) = (start.parse().unwrap(), end.parse().unwrap(), zone.parse().unwrap());
    RequestedSchedule {
        start,
        end,
        end_behavior: EndBehavior::Cancel,
        zone,
        window: window.map(|window| window.parse().unwrap()),
    }
}

#[test]
fn relative_times_count_from_job_creation_rounded_up_to_the_minute() {
    let schedule = in_utc("1h", "90m").at(now(), LeadTime::WhenChecked).unwrap();
    assert_eq!(schedule.start_time().unwrap(), "2026-11-23T22:41");
    assert_eq!(schedule.end_time().unwrap(), "2026-11-24T00:11");
    let schedule = in_utc("now", "31m").at(now(), LeadTime::WhenChecked).unwrap();
    assert_eq!((schedule.start_time(), schedule.end_time().unwrap()), (None, "2026-11-23T22:12".to_owned()));
}

#[test]
fn a_broken_rule_is_told_with_the_slack() {
    let cases: [(&str, &str, SchedulePart, &str); 8] = [
        ("30m", "1h", SchedulePart::Start, "30m ahead, expected `now` or at least 31 minutes ahead"),
        ("2026-11-23T21:00", "1h", SchedulePart::Start, "40m ago, expected `now` or at least 31 minutes ahead"),
        ("2027-11-24T00:00", "1h", SchedulePart::Start, "365d2h19m ahead, expected less than a year (365 days) ahead"),
        ("1h", "29m", SchedulePart::End, "29m after the start, expected at least 30 minutes after it"),
        ("1h", "2026-11-23T22:00", SchedulePart::End, "41m before the start, expected at least 30 minutes after it"),
        ("now", "30m", SchedulePart::End, "30m ahead, expected at least 31 minutes ahead"),
        ("now", "2026-11-23T21:00", SchedulePart::End, "40m ago, expected at least 31 minutes ahead"),
        ("1d", "730d", SchedulePart::End, "731d ahead, expected less than two years (730 days) ahead"),
    ];
    for (start, end, part, problem) in cases {
        let broken = in_utc(start, end).at(now(), LeadTime::WhenChecked).unwrap_err();
        assert_eq!(broken, [(part, problem.to_owned())], "{start} {end}");
    }
}

#[test]
fn a_time_at_the_very_edge_is_taken() {
    let now: Timestamp = "2026-11-23T21:40:00Z".parse().unwrap();
    let is_taken = |start: &str, end: &str| in_utc(start, end).at(now, LeadTime::WhenChecked).is_ok();
    for (start, end, taken) in [
        ("2026-11-23T22:10", "never", false),
        ("2026-11-23T22:11", "never", true),
        ("2027-11-23T21:40", "never", true),
        ("2027-11-23T21:41", "never", false),
        ("now", "2026-11-23T22:10", false),
        ("now", "2026-11-23T22:11", true),
        ("now", "2028-11-22T21:40", true),
        ("now", "2028-11-22T21:41", false),
        ("2026-11-23T22:11", "2026-11-23T22:40", false),
        ("2026-11-23T22:11", "2026-11-23T22:41", true),
    ] {
        assert_eq!(is_taken(start, end), taken, "{start} {end}");
    }
}

#[test]
fn a_rule_that_a_local_time_breaks_is_told_with_the_time_in_utc() {
    let broken = |start: &str, end: &str| in_zone("Europe/Berlin", start, end, None).at(now(), LeadTime::WhenChecked);
    let problem = "2026-11-23T21:45Z, 4m ahead, expected `now` or at least 31 minutes ahead";
    assert_eq!(broken("2026-11-23T22:45", "1h").unwrap_err(), [(SchedulePart::Start, problem.to_owned())]);
    let problem = "2026-11-23T21:00Z, 40m ago, expected at least 31 minutes ahead";
    assert_eq!(broken("now", "2026-11-23T22:00").unwrap_err(), [(SchedulePart::End, problem.to_owned())]);
    let problem = "4m ahead, expected `now` or at least 31 minutes ahead";
    assert_eq!(broken("2026-11-23T21:45Z", "1h").unwrap_err(), [(SchedulePart::Start, problem.to_owned())]);
    let schedule = broken("2026-12-01T02:00", "2026-12-01T03:00Z").unwrap();
    assert_eq!(schedule.start_time().unwrap(), "2026-12-01T01:00");
    assert_eq!(schedule.end_time().unwrap(), "2026-12-01T03:00");
}

#[test]
fn both_bad_ends_of_a_plan_are_told() {
    let broken = in_zone("Europe/Berlin", "2027-03-28T02:30", "2026-11-23T22:00", Some("daily 02:00 1h"));
    let parts = |requested: &RequestedSchedule| {
        let broken = requested.at(now(), LeadTime::WhenChecked).unwrap_err().into_iter();
        broken.map(|(part, _)| part).collect::<Vec<_>>()
    };
    assert_eq!(parts(&broken), [SchedulePart::Start, SchedulePart::End]);
    for (start, end, expected) in [
        ("5m", "5m", &[SchedulePart::Start, SchedulePart::End][..]),
        ("2020-01-01T00:00", "29m", &[SchedulePart::Start, SchedulePart::End]),
        ("5m", "30m", &[SchedulePart::Start]),
        ("5m", "never", &[SchedulePart::Start]),
    ] {
        assert_eq!(parts(&in_utc(start, end)), expected, "{start} {end}");
    }
    let problem = "5m after the start, expected at least 30 minutes after it";
    assert_eq!(in_utc("5m", "5m").at(now(), LeadTime::WhenChecked).unwrap_err()[1].1, problem);
    let far = in_utc("2026-11-26T12:00", "2026-11-25T06:56").at(now(), LeadTime::WhenChecked).unwrap_err();
    assert_eq!(far[0].1, "1d5h4m before the start, expected at least 30 minutes after it");
}

#[test]
fn a_window_is_sent_in_utc_by_the_offset_at_the_start() {
    let sent = |start: &str, end: &str, window: &str| {
        let requested = in_zone("Europe/Berlin", start, end, Some(window));
        let config = requested.at(now(), LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap().unwrap();
        let windows = config.maintenance_windows().iter();
        windows.map(|window| (window.start_time().to_owned(), window.duration_in_minutes())).collect::<Vec<_>>()
    };
    let one = |cron: &str, minutes| vec![(cron.to_owned(), minutes)];
    assert_eq!(sent("1h", "never", "daily 02:00 2h"), one("cron(0 1 * * ? *)", 120));
    assert_eq!(sent("2027-07-01T02:00", "never", "daily 02:00 2h"), one("cron(0 0 * * ? *)", 120));
    assert_eq!(sent("now", "never", "mon 00:30 90m"), one("cron(30 23 ? * SUN *)", 90));
    assert_eq!(sent("now", "never", "mon 00:30Z 90m"), one("cron(30 0 ? * MON *)", 90));
    assert_eq!(sent("now", "never", "day-1 00:30 90m"), one("cron(30 23 L * ? *)", 90));
}

/// Zone, start, end and window; the days of its cron expression with hour and minute, its first opening, and a part of
/// the warning.
const FIRST_OPENINGS: [&str; 10] = [
    // The clocks change between the start and the first opening.
    "Europe/Berlin|2027-10-30T12:00|2027-10-31T05:30|sun 05:00 2h|0 4 ? * SUN *|2027-10-31T04:00Z|",
    "Europe/Berlin|2027-03-26T12:00|2027-03-28T05:30|sun 05:00 2h|0 3 ? * SUN *|2027-03-28T03:00Z|",
    "Europe/Berlin|2027-03-26T12:00|2027-03-28T05:30|sun 01:00 2h|0 0 ? * SUN *|2027-03-28T00:00Z|forward by 1h",
    "America/New_York|2027-11-06T12:00|2027-11-07T05:30|sun 05:00 2h|0 10 ? * SUN *|2027-11-07T10:00Z|",
    "Australia/Lord_Howe|2027-04-03T12:00|2027-04-04T09:00|sun 05:00 2h|30 18 ? * SAT *|2027-04-03T18:30Z|",
    "Europe/Berlin|2027-03-01T12:00|never|day-31 05:00 2h|0 3 31 * ? *|2027-03-31T03:00Z|back by 1h",
    // The clocks show the time twice, or skip it: the windows after it are right.
    "Europe/Berlin|2027-10-30T12:00|2027-11-01T12:00|sun 02:30 2h|30 1 ? * SUN *|2027-10-31T01:30Z|",
    "Europe/Berlin|2027-03-27T12:00|2027-03-29T12:00|sun 02:30 2h|30 0 ? * SUN *|2027-03-28T00:30Z|at 2027-03-28T01:30",
    // The window has just opened, and opens once more by the offset of the next day.
    "Europe/Berlin|2027-10-30T05:10|2027-11-01T12:00|daily 05:00 2h|0 4 * * ? *|2027-10-30T04:00Z|at 2027-10-30T06:00",
    "Europe/Berlin|2027-10-30T12:00|2027-10-31T05:30|sun 04:00Z 2h|0 4 ? * SUN *|2027-10-31T04:00Z|",
];

#[test]
fn a_window_is_sent_by_the_offset_at_its_first_opening() {
    for row in FIRST_OPENINGS {
        let [zone, start, end, window, cron, first, warning] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let requested = in_zone(zone, start, end, Some(window));
        let openings = requested.at(now(), LeadTime::WhenChecked).unwrap().openings.unwrap();
        assert_eq!((openings.crons, utc(openings.first)), (vec![format!("cron({cron})")], first.to_owned()), "{row}");
        let warnings = requested.clock_changes(now()).join("; ");
        assert!(warnings.contains(warning) && warnings.is_empty() == warning.is_empty(), "{row}: {warnings}");
    }
    // The end is before the first opening by local clocks.
    let late = in_zone("Europe/Berlin", "2027-10-30T12:00", "2027-10-31T04:30", Some("sun 05:00 2h"));
    assert_eq!(late.at(now(), LeadTime::WhenChecked).unwrap_err()[0].0, SchedulePart::Window);
}

#[test]
fn a_window_that_does_not_open_before_the_end_is_told() {
    let at = |start: &str, end: &str, window: &str| {
        in_zone("UTC", start, end, Some(window)).at(now(), LeadTime::WhenChecked).map(drop)
    };
    let broken = |first: &str, end: &str| {
        Err(vec![(
            SchedulePart::Window,
            format!("not open before {first}, expected a window that opens before the end at {end}"),
        )])
    };
    // It is a Monday.
    assert_eq!(at("1h", "1h", "sat 02:00 2h"), broken("2026-11-28T02:00Z", "2026-11-23T23:41Z"));
    assert_eq!(at("1h", "2026-11-28T02:00", "sat 02:00 2h"), broken("2026-11-28T02:00Z", "2026-11-28T02:00Z"));
    assert_eq!(at("1h", "2026-11-28T02:01", "sat 02:00 2h"), Ok(()));
    // The one that has opened before the start does not count, the one that opens with it does.
    assert_eq!(at("2026-11-28T02:01", "2d", "sat 02:00 2h"), broken("2026-12-05T02:00Z", "2026-11-30T02:01Z"));
    assert_eq!(at("2026-11-28T02:00", "2d", "sat 02:00 2h"), Ok(()));
    assert_eq!(at("2027-01-31T03:00", "58d", "day-31 02:00 2h"), broken("2027-03-31T02:00Z", "2027-03-30T03:00Z"));
    assert_eq!(at("2027-01-31T03:00", "59d", "day-31 02:00 2h"), Ok(()));
    assert_eq!(at("2027-02-01T03:00", "28d", "day-29 02:00 2h"), broken("2027-03-29T02:00Z", "2027-03-01T03:00Z"));
    assert_eq!(at("1h", "never", "day-31 02:00 2h"), Ok(()));
}

#[test]
fn a_change_of_the_clocks_within_a_year_and_before_the_end_is_warned_of() {
    let warning = |zone: &str, start: &str, end: &str, window: &str| {
        let warnings = in_zone(zone, start, end, Some(window)).clock_changes(now());
        assert!(warnings.len() <= 1, "{warnings:?}");
        warnings.into_iter().next()
    };
    assert_eq!(
        warning("Europe/Berlin", "1h", "never", "daily 02:00 2h").as_deref(),
        Some(
            "the clocks of `Europe/Berlin` go forward by 1h on 2027-03-28, those of AWS IoT do not: from then on, the \
             maintenance windows open 1h later by them"
        )
    );
    assert_eq!(
        warning("America/New_York", "2027-07-01T02:00", "never", "daily 02:00 2h").as_deref(),
        Some(
            "the clocks of `America/New_York` go back by 1h on 2027-11-07, those of AWS IoT do not: from then on, the \
             maintenance windows open 1h earlier by them"
        )
    );
    assert!(
        warning("Australia/Lord_Howe", "1h", "never", "daily 02:00 2h")
            .unwrap()
            .contains("go back by 30m on 2027-04-04")
    );
    assert_eq!(warning("Europe/Berlin", "1h", "2027-03-28T01:59", "daily 02:00 2h"), None);
    assert!(warning("Europe/Berlin", "1h", "2027-03-28T03:01", "daily 02:00 2h").is_some());
    assert_eq!(warning("Europe/Berlin", "1h", "never", "daily 02:00Z 2h"), None);
    assert_eq!(warning("Asia/Kolkata", "1h", "never", "daily 02:00 2h"), None);
    assert_eq!(warning("Europe/Berlin", "1h", "2027-03-28T03:00", "daily 02:00 2h"), None);
    assert_eq!(in_zone("Europe/Berlin", "1h", "never", None).clock_changes(now()), Vec::<String>::new());
}

#[test]
fn a_time_that_was_far_enough_when_checked_is_still_so_half_a_minute_later() {
    let requested = in_utc("2026-11-23T22:12", "1h");
    assert!(requested.at(now(), LeadTime::WhenChecked).is_ok());
    let later = now().checked_add(SignedDuration::from_secs(45)).unwrap();
    assert!(requested.at(later, LeadTime::WhenChecked).is_err());
    assert!(requested.at(later, LeadTime::WhenCreated).is_ok());
    assert!(requested.at(later.checked_add(SignedDuration::from_mins(1)).unwrap(), LeadTime::WhenCreated).is_err());
}

proptest! {
    #[test]
    fn an_accepted_plan_keeps_every_rule_of_aws_iot(
        start in prop_oneof![Just(None), (-100_i64..600_000).prop_map(Some)],
        end in prop_oneof![Just(None), (-100_i64..1_200_000).prop_map(Some)],
        relative: bool,
        second in 0_i64..600_000_000,
        window in prop_oneof![Just(None), Just(Some("sat 02:00 2h")), Just(Some("day-31 23:30 2h"))],
        zone in prop_oneof![Just("UTC"), Just("Asia/Kathmandu"), Just("America/New_York")],
    ) {
        let now = Timestamp::from_second(1_700_000_000 + second).unwrap();
        let at = |minutes: i64| now.checked_add(SignedDuration::from_mins(minutes)).unwrap().round(Unit::Minute).unwrap();
        let at = |minutes: i64| DateAndTime::read(&utc(at(minutes))).unwrap();
        let requested = RequestedSchedule {
            start: start.map_or(Start::Now, |m| if relative { Start::After(Minutes(m.max(0))) } else { Start::At(at(m)) }),
            end: end.map_or(End::Never, |m| if relative { End::After(Minutes(m.max(0))) } else { End::At(at(m)) }),
            ..in_zone(zone, "now", "never", window)
        };
        if let Ok(schedule) = requested.at(now, LeadTime::WhenChecked) {
            let minutes = |time: Timestamp| time.duration_since(now).as_secs() / 60;
            if let Some(start) = schedule.start {
                prop_assert!((31..=365 * DAY).contains(&minutes(start)));
                prop_assert_eq!(start.as_second() % 60, 0);
            }
            if let Some(end) = schedule.end {
                prop_assert!((31..=730 * DAY).contains(&minutes(end)));
                prop_assert!(schedule.start.is_none_or(|start| end.duration_since(start).as_mins() >= 30));
            }
            prop_assert_eq!(schedule.openings.is_some(), window.is_some());
            if let Some(Openings { first, .. }) = schedule.openings {
                prop_assert!(first >= schedule.start.unwrap_or(now) && schedule.end.is_none_or(|end| first < end));
            }
        }
    }
}
