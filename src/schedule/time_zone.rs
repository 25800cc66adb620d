//! Time zones by name, and suggestions for an offset, city or abbreviation instead of a name.

use crate::error::Expected;
use crate::text::spelling::one_of;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase, TimeZoneFollowingTransitions};
use std::str::FromStr;

/// A time zone by its IANA name (<https://www.iana.org/time-zones>), from the database in this binary. Lambda's image
/// may have no database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub(super) TimeZone);

impl FromStr for Zone {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let zones = &TimeZoneDatabase::bundled();
        if let Some(zone) = find(zones, value) {
            return Ok(Self(zone));
        }
        let with_plus = value.replace(' ', "+");
        if find(zones, &with_plus).is_some() {
            return Err(Expected(format!("`{with_plus}`{LOST_PLUS}").into()));
        }
        let similar = || find_city(zones, value).or_else(|| find_similar(zones, value));
        let suggestion = suggest_for_offset(zones, value)
            .or_else(|| suggest_for_abbreviation(zones, value))
            .or_else(|| similar().map(|zone| format!(", did you mean `{zone}`?")))
            .unwrap_or_default();
        Err(Expected(format!("the IANA name of a time zone such as `Europe/Berlin`{suggestion}").into()))
    }
}

/// The zone of a machine on which no zone is set (<https://data.iana.org/time-zones/tzdb/factory>).
const UNSET: &str = "Factory";

/// The remark on a value whose `+` was read as a space. The value of `--tagging` is URL-encoded, so a `+` in it means a
/// space.
const LOST_PLUS: &str = " (its `+` was read as a space; a `+` is encoded as `%2B`)";

/// Finds a zone by its name, in upper or lower case.
fn find(zones: &TimeZoneDatabase, name: &str) -> Option<TimeZone> {
    zones.get(name).ok().filter(|zone| !zone.is_unknown() && zone.iana_name() != Some(UNSET))
}

/// The names of all zones.
fn names(zones: &TimeZoneDatabase) -> impl Iterator<Item = String> {
    zones.available().map(|name| name.to_string()).filter(|name| name != UNSET)
}

/// The most similar name that has the same digits: other digits mean another zone. `None` if no such name is similar.
fn find_similar(zones: &TimeZoneDatabase, value: &str) -> Option<String> {
    let value = value.to_lowercase();
    let digits = |name: &str| name.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
    let similarity = |zone: &str| strsim::normalized_damerau_levenshtein(&zone.to_lowercase(), &value);
    let names = names(zones).filter(|zone| digits(zone) == digits(&value));
    let most_similar = names.max_by(|one, other| similarity(one).total_cmp(&similarity(other)));
    most_similar.filter(|zone| similarity(zone) > 0.75)
}

/// The zone whose name ends with a city. The city may have `_` or spaces between its words. `None` if no zone or
/// several zones have this city.
fn find_city(zones: &TimeZoneDatabase, value: &str) -> Option<String> {
    let city = value.trim().replace(' ', "_");
    let has_city = |name: &String| name.rsplit_once('/').is_some_and(|(_, last)| last.eq_ignore_ascii_case(&city));
    let mut names = names(zones).filter(has_city);
    names.next().filter(|_| names.next().is_none())
}

/// Explains that several places share an abbreviation such as `CEST`; suggests `UTC` for `Z`.
fn suggest_for_abbreviation(zones: &TimeZoneDatabase, value: &str) -> Option<String> {
    if value.eq_ignore_ascii_case("Z") {
        return Some(", did you mean `UTC`?".to_owned());
    }
    // A time in winter and a time in summer.
    let times = [1_800_000_000, 1_815_000_000].map(|second| Timestamp::from_second(second).ok());
    let is_shown = |zone: &TimeZone| {
        let mut times = times.iter().flatten();
        times.any(|time| zone.to_offset_info(*time).abbreviation().eq_ignore_ascii_case(value))
    };
    let is_word = value.len() >= 3 && value.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_abbreviation = is_word && names(zones).any(|name| find(zones, &name).is_some_and(|zone| is_shown(&zone)));
    is_abbreviation.then(|| format!("; several zones share the abbreviation `{value}`"))
}

/// Suggests the zone for an offset from UTC: `GMT+2`, `UTC+05:30`, `-0500`. `None` if the text is not an offset, or no zone
/// has this offset.
fn suggest_for_offset(zones: &TimeZoneDatabase, value: &str) -> Option<String> {
    let value = value.to_uppercase();
    let text = ["UTC", "GMT"].iter().find_map(|prefix| value.strip_prefix(prefix)).unwrap_or(&value);
    // Without a sign, a space before the digits is a `+` that was read as a space.
    let text = if text.contains(['+', '-']) { text.trim() } else { text.trim_end() };
    let (sign, digits) = text.split_at_checked(1)?;
    let digits = digits.trim_start().replacen(':', "", 1);
    let zero = if digits.len() % 2 == 1 { "0" } else { "" };
    let (offset, remark) = parse_offset(&format!("{sign}{zero}{digits}"))?;
    let utc = format_offset(offset);
    match offset.seconds() {
        0 => Some(format!("; for {utc}, use `UTC`{remark}")),
        seconds if seconds % 3600 == 0 => {
            let name = format!("Etc/GMT{:+}", -seconds / 3600);
            find(zones, &name).map(|_| format!("; for {utc} all year, use `{name}`, whose sign is reversed{remark}"))
        }
        _ => {
            // By 2038, one-time changes of offsets are past. A zone with later changes has no fixed offset.
            let later = Timestamp::from_second(1 << 31).ok()?;
            let has_offset = |zone: TimeZone| zone.to_offset(later) == offset && zone.following(later).next().is_none();
            let names: Vec<_> = names(zones).filter(|name| find(zones, name).is_some_and(has_offset)).collect();
            (!names.is_empty()).then(|| format!("; for {utc} all year, use {}{remark}", one_of(names)))
        }
    }
}

/// Parses an offset from UTC (`+01:00`, `-0500`, `+01`). Also returns a remark if its `+` was read as a space.
pub(crate) fn parse_offset(text: &str) -> Option<(Offset, &'static str)> {
    let sign = text.chars().next().filter(|sign| ['+', '-', ' '].contains(sign))?;
    let digits = text[1..].replacen(':', "", 1);
    let is_offset = (digits.len() == 2 || digits.len() == 4) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number: i32 = is_offset.then(|| digits.parse().ok())??;
    let (hours, minutes) = if digits.len() == 2 { (number, 0) } else { (number / 100, number % 100) };
    let seconds = (hours * 60 + minutes) * 60;
    let offset = Offset::from_seconds(if sign == '-' { -seconds } else { seconds });
    let remark = if sign == ' ' { LOST_PLUS } else { "" };
    offset.ok().filter(|_| minutes < 60).map(|offset| (offset, remark))
}

/// Formats an offset: `UTC-02:00`.
fn format_offset(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("UTC{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

impl Zone {
    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Returns whether the zone is UTC, which AWS IoT uses.
    pub fn is_utc(&self) -> bool {
        self.0 == TimeZone::UTC
    }

    /// The offset from UTC if the zone's name has the opposite sign: `Etc/GMT+2` is UTC-02:00
    /// (<https://data.iana.org/time-zones/tzdb/etcetera>). `None` for other names.
    pub(crate) fn opposite_offset(&self) -> Option<String> {
        let name = self.name();
        let number: i32 = name[name.rfind(['+', '-'])?..].parse().ok()?;
        let offset = self.0.to_offset(Timestamp::UNIX_EPOCH);
        (number * offset.seconds() < 0).then(|| format_offset(offset))
    }

    /// The offset from UTC at a time.
    pub(crate) fn offset(&self, time: Timestamp) -> Offset {
        self.0.to_offset(time)
    }

    /// The offset from UTC when the zone's clocks show a time. If the clocks skip that time or show it twice, the offset is
    /// the one after the change.
    pub(crate) fn offset_of(&self, shown: DateTime) -> Offset {
        match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { after, .. } | AmbiguousOffset::Fold { after, .. } => after,
        }
    }

    /// The zone's clock changes after a time.
    pub(crate) fn changes(&self, after: Timestamp) -> TimeZoneFollowingTransitions<'_> {
        self.0.following(after)
    }

    /// Formats a time as the zone's clocks show it: `2026-12-01T02:00+01:00[Europe/Berlin]`.
    pub(crate) fn local(&self, time: Timestamp) -> String {
        time.to_zoned_datetime(self.0.clone()).strftime("%Y-%m-%dT%H:%M%:z[%Q]").to_string()
    }
}

#[cfg(test)]
mod tests;
