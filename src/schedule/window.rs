//! Recurring maintenance windows, and the cron expressions of AWS IoT for them.
//!
//! A window opens by the clocks of a place and AWS IoT counts in UTC
//! (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>), where the day may be
//! another.

use crate::{
    error::Expected,
    schedule::date_time::{DateAndTime, days},
    schedule::duration::{DAY, Minutes},
    schedule::time_zone::{Zone, read_offset},
};
use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time, Weekday},
    tz::Offset,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

/// The longest window, in minutes (<https://docs.aws.amazon.com/iot/latest/apireference/API_MaintenanceWindow.html>).
const LONGEST: i64 = 1430;

/// A recurring maintenance window: `<days> <HH:MM> <duration>`. Its time is in UTC if a `Z` ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    days: Days,
    opens: Time,
    is_utc: bool,
    /// How long it is open, in minutes.
    pub minutes: i32,
}

impl FromStr for Window {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let parts: Vec<_> = value.split(' ').collect();
        let window = if let [days, opens, length] = parts[..] { read(days, opens, length) } else { None };
        window.ok_or_else(|| {
            without_offset(&parts).unwrap_or(Expected(
                "`<days> <HH:MM> <duration>` such as `daily 02:00 2h`, `mon-fri 22:30 90m`, `sat/sun 01:00Z 4h` or \
                 `day-1/day-15 03:00 2h`, the duration from `1m` to `23h50m`"
                    .into(),
            ))
        })
    }
}

fn read(days: &str, opens: &str, length: &str) -> Option<Window> {
    // Of any day.
    let opens = DateAndTime::read(&format!("2026-12-01T{opens}"))?;
    let Minutes(minutes) = length.parse().ok()?;
    let minutes = (1..=LONGEST).contains(&minutes).then(|| i32::try_from(minutes).ok())??;
    Some(Window { days: Days::read(days)?, opens: opens.time(), is_utc: opens.is_utc(), minutes })
}

/// What to write for a window that carries its offset from UTC.
fn without_offset(parts: &[&str]) -> Option<Expected> {
    let (days, opens, offset, length) = match *parts {
        [days, opens, length] => {
            let (opens, offset) = opens.split_at_checked("02:00".len())?;
            (days, opens, offset.to_owned(), length)
        }
        // A `+` came as a space.
        [days, opens, offset, length] => (days, opens, format!(" {offset}"), length),
        _ => return None,
    };
    let (offset, plus) = read_offset(&offset)?;
    let window = read(days, opens, length)?;
    let (shift, minute) = window.opens_at(offset);
    let days_in_utc = match &window.days {
        _ if shift == 0 => Some(days.to_owned()),
        Days::OfWeek(week) if *week == [true; 7] => Some(days.to_owned()),
        Days::OfWeek(week) => Some(names(*week, shift).join("/")),
        // It may take more than one.
        Days::OfMonth(_) => None,
    };
    let utc = days_in_utc.map(|days| format!("`{days} {:02}:{:02}Z {length}`, or ", minute / 60, minute % 60));
    let utc = utc.unwrap_or_default();
    let zoned = format!("`{days} {opens} {length}` and its zone in `ota:timezone`");
    Some(Expected(format!("no offset{plus}: write {utc}{zoned}").into()))
}

/// The days on which a window opens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    /// From Sunday on.
    OfWeek([bool; 7]),
    /// From the 1st to the 31st, where a month has them.
    OfMonth(BTreeSet<i8>),
}

const WEEK: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Days {
    fn read(value: &str) -> Option<Self> {
        if value == "daily" {
            return Some(Self::OfWeek([true; 7]));
        }
        if value.starts_with("day-") {
            let day = |text: &str| {
                let number = text.strip_prefix("day-").filter(|day| day.bytes().all(|byte| byte.is_ascii_digit()))?;
                number.parse().ok().filter(|day| (1..=31).contains(day))
            };
            return value.split('/').map(day).collect::<Option<_>>().map(Self::OfMonth);
        }
        let position = |name: &str| WEEK.iter().position(|day| *day == name);
        let mut week = [false; 7];
        for range in value.split('/') {
            let Some((first, last)) = range.split_once('-') else {
                week[position(range)?] = true;
                continue;
            };
            let (first, last) = (position(first)?, position(last)?);
            if first == last {
                return None;
            }
            (0..=(last + 7 - first) % 7).for_each(|day| week[(first + day) % 7] = true);
        }
        Some(Self::OfWeek(week))
    }

    fn include(&self, day: Date) -> bool {
        match self {
            Self::OfWeek(week) => week[of_week(day.weekday())],
            Self::OfMonth(month) => month.contains(&day.day()),
        }
    }

    /// The last four fields of cron, for a time whose day in UTC is `shift` days away; `year` is the first one that
    /// counts. What one expression cannot say, several do.
    fn crons(&self, shift: i64, year: i16) -> Vec<String> {
        match self {
            Self::OfWeek(week) if week.iter().all(|day| *day) => vec!["* * ? *".to_owned()],
            Self::OfWeek(week) => vec![format!("? * {} *", names(*week, shift).join(",").to_uppercase())],
            Self::OfMonth(month) => {
                let mut together: BTreeMap<_, Vec<String>> = BTreeMap::new();
                for UtcDays { day, months, years } in month.iter().flat_map(|day| in_utc(*day, shift)) {
                    // `L` stands alone.
                    let days = together.entry((years, months, day == LAST)).or_default();
                    days.push(if day == LAST { "L".to_owned() } else { day.to_string() });
                }
                let fields = together.into_iter();
                fields
                    .map(|((years, months, _), days)| format!("{} {months} ? {}", days.join(","), years.from(year)))
                    .collect()
            }
        }
    }
}

/// The names of the days of the week that lie `shift` days away.
fn names(mut week: [bool; 7], shift: i64) -> Vec<&'static str> {
    match shift {
        -1 => week.rotate_left(1),
        1 => week.rotate_right(1),
        _ => {}
    }
    WEEK.into_iter().zip(week).filter_map(|(name, is_open)| is_open.then_some(name)).collect()
}

fn of_week(day: Weekday) -> usize {
    usize::try_from(day.to_sunday_zero_offset()).unwrap_or_default()
}

/// The last day of a month.
const LAST: i8 = 0;
const ALL: &str = "*";
const ALL_BUT_FEBRUARY: &str = "1,3-12";
const WITH_31_DAYS: &str = "1,3,5,7,8,10,12";
const AFTER_30_DAYS: &str = "5,7,10,12";
const AFTER_31_DAYS: &str = "1,2,4,6,8,9,11";

/// Where a day of the month lies in UTC.
struct UtcDays {
    day: i8,
    months: &'static str,
    years: Years,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Years {
    All,
    Leap,
    Common,
}

/// Where a day of every month that has it lies in UTC, if that is `shift` days away.
fn in_utc(day: i8, shift: i64) -> Vec<UtcDays> {
    let lies = |day, months| UtcDays { day, months, years: Years::All };
    match (shift, day) {
        (-1, 1) => vec![lies(LAST, ALL)],
        // February has a 28th, too, when it has no 29th.
        (-1, 29) => vec![lies(28, ALL_BUT_FEBRUARY), UtcDays { day: 28, months: "2", years: Years::Leap }],
        (-1, 30) => vec![lies(29, ALL_BUT_FEBRUARY)],
        (-1, 31) => vec![lies(30, WITH_31_DAYS)],
        (1, 28) => vec![lies(29, ALL), UtcDays { day: 1, months: "3", years: Years::Common }],
        (1, 29) => vec![lies(30, ALL), UtcDays { day: 1, months: "3", years: Years::Leap }],
        (1, 30) => vec![lies(31, ALL), lies(1, AFTER_30_DAYS)],
        (1, 31) => vec![lies(1, AFTER_31_DAYS)],
        (-1, _) => vec![lies(day - 1, ALL)],
        (1, _) => vec![lies(day + 1, ALL)],
        _ => vec![lies(day, ALL)],
    }
}

impl Years {
    /// Longer than any job: what an expression of 256 characters has room for.
    const MANY: i16 = 80;
    /// The last year that AWS IoT takes.
    const LATEST: i16 = 2199;

    /// The last field of cron.
    fn from(self, first: i16) -> String {
        if self == Self::All {
            return "*".to_owned();
        }
        let is_leap = |year: &i16| Date::new(*year, 1, 1).is_ok_and(Date::in_leap_year);
        let years = first..=(first + Self::MANY).min(Self::LATEST);
        let years: Vec<_> = years.filter(|year| is_leap(year) == (self == Self::Leap)).collect();
        let runs = years.chunk_by(|one, next| one + 1 == *next).map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            year => format!("{}", year[0]),
        });
        runs.collect::<Vec<_>>().join(",")
    }
}

impl Window {
    /// Whether it does not depend on a zone.
    pub fn is_utc(&self) -> bool {
        self.is_utc
    }

    /// How far its clocks are ahead of UTC when they first show its time on one of its days, at `from` or after it. If they
    /// skip that time or show it twice, the offset is the one after the change.
    pub(crate) fn offset(&self, zone: &Zone, from: Timestamp) -> Option<Offset> {
        if self.is_utc {
            return Some(Offset::UTC);
        }
        let opens = self.days_from(zone.offset(from), from).map(|day| day.to_datetime(self.opens));
        let mut offsets = opens.map(|opens| (zone.offset_of(opens), opens));
        let is_later =
            |(offset, opens): &(Offset, DateTime)| offset.to_timestamp(*opens).is_ok_and(|opens| opens >= from);
        offsets.find(is_later).map(|(offset, _)| offset)
    }

    /// How many days away and at which minute of the day it opens in UTC.
    fn opens_at(&self, ahead: Offset) -> (i64, i64) {
        let opens =
            i64::from(self.opens.hour()) * 60 + i64::from(self.opens.minute()) - i64::from(ahead.seconds()) / 60;
        (opens.div_euclid(DAY), opens.rem_euclid(DAY))
    }

    /// The cron expressions of the window, by clocks that are this far ahead of UTC, for a job of this year or a later.
    pub(crate) fn crons(&self, offset: Offset, year: i16) -> Vec<String> {
        let (shift, minute) = self.opens_at(offset);
        let time = format!("{} {}", minute % 60, minute / 60);
        self.days.crons(shift, year).into_iter().map(|days| format!("cron({time} {days})")).collect()
    }

    /// When the window first opens at a time or after it.
    pub(crate) fn first(&self, offset: Offset, from: Timestamp) -> Option<Timestamp> {
        let days = self.days_from(offset, from);
        let mut opens = days.filter_map(|day| offset.to_timestamp(day.to_datetime(self.opens)).ok());
        opens.find(|opens| *opens >= from)
    }

    /// The next days on which the window opens, by clocks that are this far ahead of UTC.
    fn days_from(&self, offset: Offset, from: Timestamp) -> impl Iterator<Item = Date> {
        // Two months of which the first lacks the day are the longest that there is to wait.
        days(offset.to_datetime(from).date()).take(63).filter(|day| self.days.include(*day))
    }

    /// Sentences for the log, if the clocks of the zone differ from `offset` between the first opening and `until`: AWS IoT
    /// keeps the offset.
    pub(crate) fn changes(&self, zone: &Zone, offset: Offset, first: Timestamp, until: Timestamp) -> Vec<String> {
        if self.is_utc {
            return Vec::new();
        }
        let name = zone.name();
        let early = (zone.offset(first) != offset).then(|| {
            let local = zone.local(first);
            format!("the clocks of `{name}` change after the maintenance windows first open, which is at {local}")
        });
        let mut changes = zone.changes(first).take_while(|change| change.timestamp() < until);
        let later = changes.find(|change| change.offset() != offset).map(|change| {
            let by = SignedDuration::from_secs(i64::from(change.offset().seconds() - offset.seconds())).as_mins();
            let (way, then) = if by > 0 { ("forward", "later") } else { ("back", "earlier") };
            let (by, day) = (Minutes(by.abs()), offset.to_datetime(change.timestamp()).date());
            format!(
                "the clocks of `{name}` go {way} by {by} on {day}, those of AWS IoT do not: from then on, the maintenance \
                 windows open {by} {then} by them"
            )
        });
        early.into_iter().chain(later).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crons(window: &str, offset_hours: i8) -> Vec<String> {
        window.parse::<Window>().unwrap().crons(Offset::constant(offset_hours), 2026)
    }

    #[test]
    fn days_are_told_in_utc() {
        let cases: [(&str, i8, &[&str]); 24] = [
            ("daily 02:00 2h", 0, &["cron(0 2 * * ? *)"]),
            ("daily 00:30 2h", 1, &["cron(30 23 * * ? *)"]),
            ("mon-sun 02:00 2h", 0, &["cron(0 2 * * ? *)"]),
            ("mon 02:00 2h", 0, &["cron(0 2 ? * MON *)"]),
            ("mon 00:30 2h", 1, &["cron(30 23 ? * SUN *)"]),
            ("sun 00:30 2h", 1, &["cron(30 23 ? * SAT *)"]),
            ("sat 22:00 2h", -5, &["cron(0 3 ? * SUN *)"]),
            ("mon-fri 22:30 90m", 0, &["cron(30 22 ? * MON,TUE,WED,THU,FRI *)"]),
            ("fri-mon 22:30 90m", 0, &["cron(30 22 ? * SUN,MON,FRI,SAT *)"]),
            ("mon/wed-thu/sun 22:30 90m", -5, &["cron(30 3 ? * MON,TUE,THU,FRI *)"]),
            ("day-1 03:00 2h", 0, &["cron(0 3 1 * ? *)"]),
            ("day-31/day-1/day-15 03:00 2h", 0, &["cron(0 3 1,15,31 * ? *)"]),
            ("day-1 00:30 2h", 1, &["cron(30 23 L * ? *)"]),
            ("day-1/day-2/day-15 00:30 2h", 1, &["cron(30 23 1,14 * ? *)", "cron(30 23 L * ? *)"]),
            ("day-28 00:30 2h", 1, &["cron(30 23 27 * ? *)"]),
            (
                "day-29 00:30 2h",
                1,
                &[
                    "cron(30 23 28 1,3-12 ? *)",
                    "cron(30 23 28 2 ? 2028,2032,2036,2040,2044,2048,2052,2056,2060,2064,2068,2072,2076,2080,2084,2088,2092,\
                     2096,2104)",
                ],
            ),
            ("day-30 00:30 2h", 1, &["cron(30 23 29 1,3-12 ? *)"]),
            ("day-31 00:30 2h", 1, &["cron(30 23 30 1,3,5,7,8,10,12 ? *)"]),
            ("day-27 22:00 2h", -5, &["cron(0 3 28 * ? *)"]),
            (
                "day-28 22:00 2h",
                -5,
                &[
                    "cron(0 3 29 * ? *)",
                    "cron(0 3 1 3 ? 2026-2027,2029-2031,2033-2035,2037-2039,2041-2043,2045-2047,2049-2051,2053-2055,\
                     2057-2059,2061-2063,2065-2067,2069-2071,2073-2075,2077-2079,2081-2083,2085-2087,2089-2091,2093-2095,\
                     2097-2103,2105-2106)",
                ],
            ),
            (
                "day-29 22:00 2h",
                -5,
                &[
                    "cron(0 3 30 * ? *)",
                    "cron(0 3 1 3 ? 2028,2032,2036,2040,2044,2048,2052,2056,2060,2064,2068,2072,2076,2080,2084,2088,2092,\
                     2096,2104)",
                ],
            ),
            ("day-30 22:00 2h", -5, &["cron(0 3 1 5,7,10,12 ? *)", "cron(0 3 31 * ? *)"]),
            ("day-31 22:00 2h", -5, &["cron(0 3 1 1,2,4,6,8,9,11 ? *)"]),
            ("day-30/day-10 22:00 2h", -5, &["cron(0 3 11,31 * ? *)", "cron(0 3 1 5,7,10,12 ? *)"]),
        ];
        for (window, offset, expected) in cases {
            let (mut found, mut expected) = (crons(window, offset), expected.to_vec());
            found.sort();
            expected.sort_unstable();
            assert_eq!(found, expected, "{window}");
        }
    }

    /// One field of cron, read by hand.
    fn takes(field: &str, value: i16) -> bool {
        field == "*"
            || field == "?"
            || field.split(',').any(|part| match part.split_once('-') {
                Some((first, last)) => (first.parse().unwrap()..=last.parse().unwrap()).contains(&value),
                None => part.parse() == Ok(value),
            })
    }

    /// When a cron expression opens, from one day of UTC to another.
    fn openings(cron: &str, first: Date, last: Date) -> Vec<Timestamp> {
        let fields: Vec<_> = cron.strip_prefix("cron(").unwrap().strip_suffix(')').unwrap().split(' ').collect();
        let [minute, hour, day, month, weekday, year] = fields[..] else { panic!("{cron}") };
        assert!((day == "?") != (weekday == "?"), "{cron}");
        let time = Time::new(hour.parse().unwrap(), minute.parse().unwrap(), 0, 0).unwrap();
        let opens = |date: &Date| {
            let name = format!("{:?}", date.weekday())[..3].to_uppercase();
            let is_day = takes(day, date.day().into()) || (day == "L" && date.tomorrow().unwrap().day() == 1);
            let is_weekday = weekday == "*" || weekday == "?" || weekday.split(',').any(|known| known == name);
            is_day && is_weekday && takes(month, date.month().into()) && takes(year, date.year())
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
        let month = prop::collection::vec(1..=31, 1..6)
            .prop_map(|days| days.iter().map(|day| format!("day-{day}")).collect::<Vec<_>>().join("/"));
        // The days at which a month may end, most of all.
        let ends = prop::collection::vec(prop_oneof![Just(1), 28..=31], 1..4)
            .prop_map(|days| days.iter().map(|day| format!("day-{day}")).collect::<Vec<_>>().join("/"));
        prop_oneof![Just("daily".to_owned()), week, month, ends]
    }

    /// Whether a day is one of these, by the words alone.
    fn is_one(days: &str, date: Date) -> bool {
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
        fn cron_opens_whenever_the_window_does_by_its_own_clocks(
            days_of_window in any_days(), hour in 0_i8..24, minute in 0_i8..60, quarters in -48_i32..=56, second in 0..1_000_000_i64,
        ) {
            let text = format!("{days_of_window} {hour:02}:{minute:02} 2h");
            let window: Window = text.parse().unwrap();
            let offset = Offset::from_seconds(quarters * 900).unwrap();
            let (first, last) = (Date::new(2026, 1, 1).unwrap(), Date::new(2030, 12, 31).unwrap());
            let crons = window.crons(offset, 2026);
            prop_assert!(crons.iter().all(|cron| cron.len() <= 256), "{:?}", crons);
            let mut opened: Vec<_> = crons.iter().flat_map(|cron| openings(cron, first, last)).collect();
            opened.sort_unstable();

            let local = days(first).take_while(|date| *date <= last).filter(|date| is_one(&days_of_window, *date));
            let time = Time::new(hour, minute, 0, 0).unwrap();
            let local: Vec<_> = local.map(|date| offset.to_timestamp(date.to_datetime(time)).unwrap()).collect();
            // Not the first and last day, which may be others in UTC.
            let inner = |times: &[Timestamp]| {
                let [from, to] = [Date::new(2026, 1, 3), Date::new(2030, 12, 29)]
                    .map(|date| Offset::UTC.to_timestamp(date.unwrap().to_datetime(Time::midnight())).unwrap());
                times.iter().copied().filter(|time| (from..to).contains(time)).collect::<Vec<_>>()
            };
            prop_assert_eq!(inner(&opened), inner(&local), "{} {:?}", text, crons);

            let from = Timestamp::from_second(1_780_000_000 + second * 100).unwrap();
            prop_assert_eq!(window.first(offset, from), local.iter().copied().find(|opens| *opens >= from));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*", words in "([a-z/-]{1,5} ){3}") {
            let _ = (text.parse::<Window>(), words.parse::<Window>());
        }
    }

    #[test]
    fn the_clocks_of_every_zone_are_whole_minutes_ahead_of_utc() {
        let zones = jiff::tz::db().available().filter_map(|name| name.as_str().parse::<Zone>().ok());
        for zone in zones {
            for time in [1_790_000_000, 1_800_000_000, 1_815_000_000] {
                assert_eq!(zone.offset(Timestamp::from_second(time).unwrap()).seconds() % 60, 0, "{}", zone.name());
            }
        }
    }
}
