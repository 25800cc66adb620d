use super::*;
use proptest::prelude::*;

type Resolved = Result<Schedule, Vec<(SchedulePart, String)>>;

fn now() -> Timestamp {
    "2026-11-23T21:40:30.000000001Z".parse().unwrap()
}

fn requested(zone: &str, start: &str, end: &str, window: Option<&str>) -> RequestedSchedule {
    RequestedSchedule {
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
        end_behavior: EndBehavior::Cancel,
        zone: zone.parse().unwrap(),
        window: window.map(|window| window.parse().unwrap()),
    }
}

fn resolve(zone: &str, start: &str, end: &str, window: Option<&str>) -> Resolved {
    requested(zone, start, end, window).at(now(), LeadTime::WhenChecked)
}

#[test]
fn relative_times_count_from_job_creation_rounded_up_and_local_times_use_their_zone() {
    for (start, end, expected) in [
        ("1h", "90m", ["2026-11-23T22:41Z", "2026-11-24T00:11Z"]),
        ("now", "31m", ["", "2026-11-23T22:12Z"]),
        ("2026-12-01T02:00", "2026-12-01T03:00Z", ["2026-12-01T01:00Z", "2026-12-01T03:00Z"]),
    ] {
        let Schedule { start, end, .. } = resolve("Europe/Berlin", start, end, None).unwrap();
        assert_eq!([start, end].map(|time| time.map(utc).unwrap_or_default()), expected);
    }
}

#[test]
fn a_broken_rule_is_reported_with_the_distance_to_the_time_and_a_local_time_in_utc() {
    use SchedulePart::{End, Start};
    let (utc, berlin) = ("UTC", "Europe/Berlin");
    let (now_or_later, later) = ("`now` or at least 31 minutes ahead", "at least 31 minutes ahead");
    let after_start = "at least 30 minutes after it";
    for (zone, start, end, part, distance, expected) in [
        (utc, "30m", "1h", Start, "30m ahead", now_or_later),
        (utc, "2026-11-23T21:00", "1h", Start, "40m ago", now_or_later),
        (utc, "2027-11-24T00:00", "1h", Start, "365d2h19m ahead", "less than a year (365 days) ahead"),
        (utc, "1h", "29m", End, "29m after the start", after_start),
        (utc, "1h", "2026-11-23T22:00", End, "41m before the start", after_start),
        (utc, "2026-11-26T12:00", "2026-11-25T06:56", End, "1d5h4m before the start", after_start),
        (utc, "now", "30m", End, "30m ahead", later),
        (utc, "now", "2026-11-23T21:00", End, "40m ago", later),
        (utc, "1d", "730d", End, "731d ahead", "less than two years (730 days) ahead"),
        (berlin, "2026-11-23T22:45", "1h", Start, "2026-11-23T21:45Z, 4m ahead", now_or_later),
        (berlin, "2026-11-23T21:45Z", "1h", Start, "4m ahead", now_or_later),
        (berlin, "now", "2026-11-23T22:00", End, "2026-11-23T21:00Z, 40m ago", later),
    ] {
        let problems = vec![(part, format!("{distance}, expected {expected}"))];
        assert_eq!(resolve(zone, start, end, None), Err(problems), "{zone} {start} {end}");
    }
}

#[test]
fn a_time_at_a_limit_is_accepted_and_a_minute_beyond_it_rejected() {
    use LeadTime::{WhenChecked, WhenCreated};
    let now = "2026-11-23T21:40:00Z".parse().unwrap();
    for (start, end, lead, expected) in [
        ("2026-11-23T22:10", "never", WhenChecked, false),
        ("2026-11-23T22:11", "never", WhenChecked, true),
        ("2026-11-23T22:09", "never", WhenCreated, false),
        ("2026-11-23T22:10", "never", WhenCreated, true),
        ("2027-11-23T21:40", "never", WhenChecked, true),
        ("2027-11-23T21:41", "never", WhenChecked, false),
        ("now", "2026-11-23T22:10", WhenChecked, false),
        ("now", "2026-11-23T22:11", WhenChecked, true),
        ("now", "2026-11-23T22:09", WhenCreated, false),
        ("now", "2026-11-23T22:10", WhenCreated, true),
        ("now", "2028-11-22T21:40", WhenChecked, true),
        ("now", "2028-11-22T21:41", WhenChecked, false),
        ("2026-11-23T22:11", "2026-11-23T22:40", WhenChecked, false),
        ("2026-11-23T22:11", "2026-11-23T22:41", WhenChecked, true),
    ] {
        let resolved = requested("UTC", start, end, None).at(now, lead);
        assert_eq!(resolved.is_ok(), expected, "{start} {end} {lead:?}");
    }
}

#[test]
fn a_bad_end_is_reported_with_a_bad_start_unless_only_the_start_makes_it_bad() {
    use SchedulePart::{End, Start};
    for (start, end, expected) in [
        ("2027-03-28T02:30", "2026-11-23T22:00", &[Start, End][..]),
        ("5m", "5m", &[Start, End]),
        ("2020-01-01T00:00", "29m", &[Start, End]),
        ("5m", "30m", &[Start]),
        ("5m", "never", &[Start]),
    ] {
        let problems = resolve("Europe/Berlin", start, end, Some("daily 02:00 1h")).unwrap_err();
        let parts: Vec<_> = problems.iter().map(|(part, _)| *part).collect();
        assert_eq!(parts, expected, "{start} {end}");
    }
    let problems = resolve("UTC", "5m", "5m", None).unwrap_err();
    assert_eq!(problems[1].1, "5m after the start, expected at least 30 minutes after it");
}

/// The zone, start, end and window; then the cron expression, the first opening, and a part of the warning.
const FIRST_OPENINGS: [&str; 15] = [
    "Europe/Berlin|1h|never|daily 02:00 2h|0 1 * * ? *|2026-11-24T01:00Z|forward by 1h",
    "Europe/Berlin|2027-07-01T02:00|never|daily 02:00 2h|0 0 * * ? *|2027-07-01T00:00Z|back by 1h",
    "Europe/Berlin|now|1d|tue 00:30 2h|30 23 ? * MON *|2026-11-23T23:30Z|",
    "Europe/Berlin|now|never|mon 00:30Z 2h|30 0 ? * MON *|2026-11-30T00:30Z|",
    "Europe/Berlin|now|30d|day-1 00:30 2h|30 23 L * ? *|2026-11-30T23:30Z|",
    // The clocks change between the start and the first opening.
    "Europe/Berlin|2027-10-30T12:00|2027-10-31T05:30|sun 05:00 2h|0 4 ? * SUN *|2027-10-31T04:00Z|",
    "Europe/Berlin|2027-03-26T12:00|2027-03-28T05:30|sun 05:00 2h|0 3 ? * SUN *|2027-03-28T03:00Z|",
    "Europe/Berlin|2027-03-26T12:00|2027-03-28T05:30|sun 01:00 2h|0 0 ? * SUN *|2027-03-28T00:00Z|forward by 1h",
    "America/New_York|2027-11-06T12:00|2027-11-07T05:30|sun 05:00 2h|0 10 ? * SUN *|2027-11-07T10:00Z|",
    "Australia/Lord_Howe|2027-04-03T12:00|2027-04-04T09:00|sun 05:00 2h|30 18 ? * SAT *|2027-04-03T18:30Z|",
    "Europe/Berlin|2027-03-01T12:00|never|day-31 05:00 2h|0 3 31 * ? *|2027-03-31T03:00Z|back by 1h",
    // The clocks show the time twice, or skip it. The offset of the later windows applies.
    "Europe/Berlin|2027-10-30T12:00|2027-11-01T12:00|sun 02:30 2h|30 1 ? * SUN *|2027-10-31T01:30Z|",
    "Europe/Berlin|2027-03-27T12:00|2027-03-29T12:00|sun 02:30 2h|30 0 ? * SUN *|2027-03-28T00:30Z|at 2027-03-28T01:30",
    // The window opened just before the start. By the offset of the next day, it opens again on the same day.
    "Europe/Berlin|2027-10-30T05:10|2027-11-01T12:00|daily 05:00 2h|0 4 * * ? *|2027-10-30T04:00Z|at 2027-10-30T06:00",
    "Europe/Berlin|2027-10-30T12:00|2027-10-31T05:30|sun 04:00Z 2h|0 4 ? * SUN *|2027-10-31T04:00Z|",
];

#[test]
fn a_window_has_the_offset_of_its_zone_at_the_first_opening() {
    for row in FIRST_OPENINGS {
        let [zone, start, end, window, cron, first, warning] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let openings = resolve(zone, start, end, Some(window)).unwrap().openings.unwrap();
        assert_eq!((openings.crons, openings.minutes), (vec![format!("cron({cron})")], 120), "{row}");
        assert_eq!(utc(openings.first), first, "{row}");
        let warnings = requested(zone, start, end, Some(window)).clock_changes(now()).join("; ");
        assert!(warnings.contains(warning) && warnings.is_empty() == warning.is_empty(), "{row}: {warnings}");
    }
    // The end is before the first opening by local clocks.
    let late = resolve("Europe/Berlin", "2027-10-30T12:00", "2027-10-31T04:30", Some("sun 05:00 2h"));
    assert_eq!(late.unwrap_err()[0].0, SchedulePart::Window);
}

#[test]
fn a_window_must_open_between_start_and_end() {
    // The current day is a Monday. A window that opens with the start counts, and one that opens with the end does not.
    for (start, end, window, late) in [
        ("1h", "1h", "sat 02:00 2h", Some(("2026-11-28T02:00Z", "2026-11-23T23:41Z"))),
        ("1h", "2026-11-28T02:00", "sat 02:00 2h", Some(("2026-11-28T02:00Z", "2026-11-28T02:00Z"))),
        ("1h", "2026-11-28T02:01", "sat 02:00 2h", None),
        ("2026-11-28T02:01", "2d", "sat 02:00 2h", Some(("2026-12-05T02:00Z", "2026-11-30T02:01Z"))),
        ("2026-11-28T02:00", "2d", "sat 02:00 2h", None),
        ("2027-01-31T03:00", "58d", "day-31 02:00 2h", Some(("2027-03-31T02:00Z", "2027-03-30T03:00Z"))),
        ("2027-01-31T03:00", "59d", "day-31 02:00 2h", None),
        ("2027-02-01T03:00", "28d", "day-29 02:00 2h", Some(("2027-03-29T02:00Z", "2027-03-01T03:00Z"))),
        ("1h", "never", "day-31 02:00 2h", None),
    ] {
        let problem = late
            .map(|(first, end)| format!("first open at {first}, expected a window that opens before the end at {end}"));
        let expected = problem.map_or(Ok(()), |problem| Err(vec![(SchedulePart::Window, problem)]));
        assert_eq!(resolve("UTC", start, end, Some(window)).map(drop), expected, "{start} {end} {window}");
    }
}

#[test]
fn a_clock_change_within_a_year_and_before_the_end_causes_a_warning() {
    let warning = |zone: &str, start: &str, end: &str, window: &str| {
        requested(zone, start, end, Some(window)).clock_changes(now()).join("; ")
    };
    for (zone, start, change, effect) in [
        ("Europe/Berlin", "1h", "forward by 1h on 2027-03-28", "1h later"),
        ("America/New_York", "2027-07-01T02:00", "back by 1h on 2027-11-07", "1h earlier"),
        ("Australia/Lord_Howe", "1h", "back by 30m on 2027-04-04", "30m earlier"),
    ] {
        let expected = format!(
            "the clocks of `{zone}` go {change}, but AWS IoT keeps the maintenance windows in UTC: from then on, they \
             open {effect} in local time"
        );
        assert_eq!(warning(zone, start, "never", "daily 02:00 2h"), expected);
    }
    for (zone, end, window, has_warning) in [
        ("Europe/Berlin", "2027-03-28T03:00", "daily 02:00 2h", false),
        ("Europe/Berlin", "2027-03-28T03:01", "daily 02:00 2h", true),
        ("Europe/Berlin", "never", "daily 02:00Z 2h", false),
        ("Asia/Kolkata", "never", "daily 02:00 2h", false),
    ] {
        assert_eq!(!warning(zone, "1h", end, window).is_empty(), has_warning, "{zone} {end} {window}");
    }
    assert_eq!(requested("Europe/Berlin", "1h", "never", None).clock_changes(now()), Vec::<String>::new());
}

#[test]
fn a_local_time_in_a_zone_whose_name_has_the_opposite_sign_causes_a_warning() {
    let warning = |zone: &str, start: &str, end: &str, window: Option<&str>| {
        requested(zone, start, end, window).opposite_sign(now())
    };
    let (zone, start, end, window) = ("Etc/GMT+2", "2026-12-01T02:00", "2026-12-02 02:00", "daily 02:00 2h");
    let expected = |what: &str, date: &str| {
        let local = format!("{date}T02:00-02:00[Etc/GMT+2], which is {date}T04:00Z");
        Some(format!("`Etc/GMT+2` is UTC-02:00, as its sign is reversed: the {what} is {local}"))
    };
    assert_eq!(warning(zone, start, end, Some(window)), expected("start", "2026-12-01"));
    assert_eq!(warning(zone, "1h", end, Some(window)), expected("first window", "2026-11-24"));
    assert_eq!(warning(zone, "1h", end, None), expected("end", "2026-12-02"));
    assert_eq!(warning(zone, "2026-12-01T02:00Z", "2026-12-02 02:00Z", Some("daily 02:00Z 2h")), None);
    assert_eq!(warning(zone, "now", "2d", None), None);
    for zone in ["UTC", "Etc/GMT+0", "GMT0", "EST", "America/Panama"] {
        assert_eq!(warning(zone, start, end, Some(window)), None, "{zone}");
    }
}

proptest! {
    #[test]
    fn an_accepted_schedule_keeps_every_rule_of_aws_iot(
        start in prop_oneof![Just(None), (-100_i64..600_000).prop_map(Some)],
        end in prop_oneof![Just(None), (-100_i64..1_200_000).prop_map(Some)],
        relative: bool,
        second in 0_i64..600_000_000,
        window in prop_oneof![Just(None), Just(Some("sat 02:00 2h")), Just(Some("day-31 23:30 2h"))],
        zone in prop_oneof![Just("UTC"), Just("Asia/Kathmandu"), Just("America/New_York")],
    ) {
        let now = Timestamp::from_second(1_700_000_000 + second).unwrap();
        let at = |minutes: i64| now.checked_add(SignedDuration::from_mins(minutes)).unwrap().round(Unit::Minute).unwrap();
        let at = |minutes: i64| DateAndTime::parse(&utc(at(minutes))).unwrap();
        let requested = RequestedSchedule {
            start: start.map_or(Start::Now, |m| if relative { Start::After(Minutes(m.max(0))) } else { Start::At(at(m)) }),
            end: end.map_or(End::Never, |m| if relative { End::After(Minutes(m.max(0))) } else { End::At(at(m)) }),
            ..requested(zone, "now", "never", window)
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
