use super::*;
use crate::request::reader::{Location, tests};
use crate::settings::tests::settings;
use crate::tags::{RETRIES, VOCABULARY};

const NOW: &str = "2026-11-23T21:40:00Z";

fn context(settings: &Settings) -> Context<'_> {
    Context { settings, windows: &[], windows_origin: "", is_template_pending: false, now: NOW.parse().unwrap() }
}

/// Reads the schedule of tags without a manifest or job template.
fn read(tags: &[(&str, &str)]) -> Result<(RequestedSchedule, TargetSelection), Vec<String>> {
    read_in(&context(&settings(&[]).unwrap()), tags)
}

fn read_in(context: &Context<'_>, tags: &[(&str, &str)]) -> Result<(RequestedSchedule, TargetSelection), Vec<String>> {
    tests::read(Location::Tags, tags, |reader| read_schedule(reader, context)).map(Option::unwrap)
}

/// The names of the tags with problems.
fn tags_at_fault(tags: &[(&str, &str)]) -> Vec<String> {
    let problems = read(tags).unwrap_err();
    problems.iter().filter_map(|problem| problem.split('`').nth(1)).map(str::to_owned).collect()
}

#[test]
fn every_tag_of_the_schedule_is_read() {
    let (behavior, window, zone) = ("force-cancel", "daily 02:00 2h", "Asia/Tokyo");
    let tags = [(START, "now"), (END, "2d"), (END_BEHAVIOR, behavior), (WINDOW, window), (TIMEZONE, zone)];
    let (schedule, selection) = read(&tags).unwrap();
    let expected = RequestedSchedule {
        start: Start::Now,
        end: "2d".parse().unwrap(),
        end_behavior: behavior.parse().unwrap(),
        zone: zone.parse().unwrap(),
        window: window.parse().ok(),
    };
    assert_eq!((schedule, selection.0), (expected, Continuous));
}

#[test]
fn an_end_behavior_without_an_end_is_rejected() {
    let problem = |tags: &[(&str, &str)]| {
        read(&[tags, &[(END_BEHAVIOR, "cancel")]].concat()).map_err(|problems| problems.join("; "))
    };
    let expected = |reason: &str| Err(format!("tag `ota:end-behavior` is `cancel`, expected no such tag, as {reason}"));
    assert_eq!(problem(&[(END, "never")]), expected("the release has no end"));
    for tag in [(WINDOW, "daily 02:00 2h"), (TARGET_SELECTION, "continuous")] {
        assert_eq!(problem(&[tag]), expected("a continuous release has no end without `ota:end`"));
        assert_eq!(problem(&[tag, (END, "never")]), expected("the release has no end"));
        assert!(problem(&[tag, (END, "2d")]).is_ok());
    }
}

#[test]
fn only_snapshots_have_a_default_end() {
    let window = (WINDOW, "daily 02:00 2h");
    for (tags, end, selection) in [
        (&[][..], "1h", Snapshot),
        (&[(END, "never")], "never", Snapshot),
        (&[window], "never", Continuous),
        (&[(TARGET_SELECTION, "continuous")], "never", Continuous),
        (&[window, (END, "2d")], "2d", Continuous),
    ] {
        let (schedule, found) = read(tags).unwrap();
        assert_eq!((schedule.end, found.0), (end.parse().unwrap(), selection), "{tags:?}");
        assert_eq!(schedule.start, "1h".parse().unwrap());
    }
}

#[test]
fn configured_windows_are_those_of_a_continuous_job_and_open_before_its_end() {
    let settings = settings(&[]).unwrap();
    let read = |cron: &str, tags: &[(&str, &str)]| {
        let windows = [MaintenanceWindow::builder().start_time(cron).duration_in_minutes(60).build().unwrap()];
        let context = Context { windows: &windows, windows_origin: "job template `a`", ..context(&settings) };
        read_in(&context, tags).map(|(schedule, selection)| (schedule.end, selection.0))
    };
    let never_open = |period: &str| Err(vec![format!("no maintenance window of job template `a` opens {period}")]);
    let (saturdays, past) = ("cron(0 2 ? * SAT *)", "cron(0 2 * * ? 2020)");
    assert_eq!(read(saturdays, &[]), Ok((End::Never, Continuous)));
    assert!(read(saturdays, &[(END, "5d")]).is_ok());
    let between = "between the start at 2026-11-23T22:40Z and the end at 2026-11-25T22:40Z";
    assert_eq!(read(saturdays, &[(END, "2d")]), never_open(between));
    assert_eq!(read(past, &[]), never_open("after the start at 2026-11-23T22:40Z"));
    assert_eq!(read(past, &[(START, "now")]), never_open("after now"));
    // AWS IoT accepts this expression in a template, but this crate cannot parse it.
    assert!(read("cron(0 2 L-3 * ? *)", &[(END, "2d")]).is_ok());
    assert_eq!(
        read(saturdays, &[(TARGET_SELECTION, "snapshot")]).unwrap_err(),
        ["tag `ota:target-selection` is `snapshot`, expected `continuous`, which AWS IoT requires for maintenance \
          windows (job template `a`)"]
    );
}

#[test]
fn a_broken_rule_is_reported_with_the_tag_or_the_setting() {
    assert_eq!(
        read(&[(START, "10m")]).unwrap_err(),
        ["tag `ota:start` is `10m`, which is 10m ahead, expected `now` or at least 31 minutes ahead"]
    );
    let settings = settings(&[("DEFAULT_END", "30m")]).unwrap();
    let context = context(&settings);
    assert_eq!(
        read_in(&context, &[(START, "now")]).unwrap_err(),
        ["tag `ota:end` is missing and the setting `DEFAULT_END` is 30m ahead, expected at least 31 minutes ahead"]
    );
    // The template may have windows. The release would then have no end.
    assert!(read_in(&Context { is_template_pending: true, ..context }, &[(START, "now")]).is_ok());
}

#[test]
fn an_invalid_option_does_not_hide_another() {
    for (tags, expected) in [
        ([(START, "10m"), (END, "yesterday")], [END, START]),
        ([(START, "soon"), (END, "2026-11-23T21:00")], [START, END]),
        ([(START, "10m"), (END_BEHAVIOR, "explode")], [END_BEHAVIOR, START]),
    ] {
        assert_eq!(tags_at_fault(&tags), expected);
    }
    // An end relative to an invalid start is only checked against the minimum length.
    for (start, end, count) in [
        ("soon", "30m", 1),
        ("soon", "5m", 2),
        ("5m", "5m", 2),
        ("5m", "30m", 1),
        ("2027-03-28T02:30", "29m", 2),
        ("soon", "never", 1),
    ] {
        let problems = read(&[(TIMEZONE, "Europe/Berlin"), (START, start), (END, end)]).unwrap_err();
        assert_eq!(problems.len(), count, "{problems:?}");
        let short =
            format!("tag `ota:end` is `{end}`, which is {end} after the start, expected at least 30 minutes after it");
        assert!(count == 1 || problems[1] == short, "{problems:?}");
    }
}

#[test]
fn options_that_depend_on_an_invalid_zone_are_not_checked() {
    let zone = (TIMEZONE, "Mars/Phobos");
    for (tags, expected) in [
        (&[zone, (START, "2020-01-01T00:00")][..], &[TIMEZONE][..]),
        (&[zone, (START, "2020-01-01T00:00Z")], &[TIMEZONE, START]),
        (&[zone, (END, "2020-01-01T00:00")], &[TIMEZONE]),
        (&[zone, (END, "10m")], &[TIMEZONE, END]),
        (&[zone, (WINDOW, "always"), (RETRIES, "1")], &[TIMEZONE, WINDOW]),
        (&[zone, (WINDOW, "sat 02:00 2h"), (END, "2d")], &[TIMEZONE]),
        (&[zone, (WINDOW, "sat 02:00Z 2h"), (END, "2d")], &[TIMEZONE, WINDOW]),
        (
            &[(START, "soon"), (END_BEHAVIOR, "x"), (WINDOW, "sat 02:00 2h"), (END, "2026-11-24 00:00")],
            &[START, END_BEHAVIOR, WINDOW],
        ),
        (&[(TARGET_SELECTION, "some"), (END_BEHAVIOR, "cancel"), (END, "never")], &[TARGET_SELECTION, END_BEHAVIOR]),
        (&[(TARGET_SELECTION, "some"), (END_BEHAVIOR, "cancel")], &[TARGET_SELECTION]),
    ] {
        assert_eq!(tags_at_fault(tags), expected, "{tags:?}");
    }
}

#[test]
fn a_local_time_is_in_the_zone_of_the_tag_or_the_setting() {
    let settings = settings(&[("DEFAULT_TIMEZONE", "America/New_York")]).unwrap();
    let context = context(&settings);
    let start = |tags: &[(&str, &str)]| {
        let (schedule, _) = read_in(&context, &[tags, &[(START, "2026-12-01T02:00")]].concat()).unwrap();
        schedule.at(context.now, LeadTime::WhenChecked).unwrap().start_time().unwrap()
    };
    assert_eq!(start(&[]), "2026-12-01T07:00");
    assert_eq!(start(&[(TIMEZONE, "Europe/Berlin")]), "2026-12-01T01:00");
}

/// The schedule of CreateJob for a documented schedule, or the rejection.
fn shown(tags: &[(&str, &str)]) -> String {
    let settings = settings(&[]).unwrap();
    let context = context(&settings);
    let (schedule, _) = match read_in(&context, tags) {
        Ok(schedule) => schedule,
        Err(problems) => return format!("rejected: {}", problems.join("; ")),
    };
    let Some(config) = schedule.at(context.now, LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap() else {
        return "no schedule".to_owned();
    };
    let times = [("startTime", config.start_time()), ("endTime", config.end_time())];
    let times = times.into_iter().filter_map(|(name, time)| Some(format!("`{name}={}`", time?)));
    let windows = config.maintenance_windows().iter();
    let windows = windows.map(|window| format!("`{}` {} minutes", window.start_time(), window.duration_in_minutes()));
    times.chain(windows).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_documented_schedules_have_their_documented_results() {
    let page = include_str!("../../../docs/firmware/schedules.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `ota:")).collect();
    assert!(rows.len() >= 20, "{rows:?}");
    for row in rows {
        let cells: Vec<_> = row.trim_matches(['|', ' ']).split(" | ").collect();
        let [tags, expected] = cells[..] else { panic!("{row}") };
        let tags: Vec<_> = tags.split('`').skip(1).step_by(2).map(|tag| tag.split_once('=').unwrap()).collect();
        assert!(tags.iter().all(|(tag, _)| VOCABULARY.contains(tag)), "{row}");
        assert_eq!(shown(&tags), expected, "{row}");
    }
}
