//! Reads the schedule and the target selection of a release, and checks them together.

use crate::options::job::TargetSelection;
use crate::request::reader::{Invalid, Reader};
use crate::schedule::requested::{RequestedSchedule, SchedulePart};
use crate::schedule::times::{End, Start};
use crate::schedule::timing_rules::LeadTime;
use crate::schedule::window::Window;
use crate::settings::Settings;
use crate::tags::{END, END_BEHAVIOR, START, TARGET_SELECTION, TIMEZONE, WINDOW};
use aws_sdk_iot::types::MaintenanceWindow;
use aws_sdk_iot::types::TargetSelection::{Continuous, Snapshot};
use jiff::Timestamp;

/// The inputs of a schedule other than tags.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub settings: &'a Settings,
    /// The maintenance windows of the manifest or the job template.
    pub windows: &'a [MaintenanceWindow],
    /// The source of the windows, for messages: the manifest or the job template.
    pub windows_origin: &'a str,
    /// `true` if the job template is not looked up yet. If the template has maintenance windows, the release has no
    /// default end.
    pub is_template_pending: bool,
    pub now: Timestamp,
}

/// Reads the schedule and the target selection. Invalid options, and options that depend on them, are left out, so that
/// the other options are still checked. `None` if the target selection is invalid.
pub(crate) fn read_schedule(
    reader: &mut Reader<'_>,
    context: &Context<'_>,
) -> Option<(RequestedSchedule, TargetSelection)> {
    let settings = context.settings;
    let zone = reader.read_or(TIMEZONE, &settings.default_timezone);
    let window: Result<Option<Window>, Invalid> = reader.read(WINDOW);
    let selection = read_target_selection(reader, context);
    let has_window = reader.has(WINDOW) || !context.windows.is_empty();
    let is_continuous = selection.as_ref().map_or(has_window, |selection| selection.0 == Continuous);
    let start = reader.read_or(START, &settings.default_start);
    let end = reader.read_or(END, if is_continuous { &End::Never } else { &settings.default_end });
    let end_behavior = reader.read_or(END_BEHAVIOR, &settings.default_end_behavior);
    if end == Some(End::Never) {
        let is_default = is_continuous && !reader.has(END);
        let reason =
            if is_default { "a continuous release has no end without `ota:end`" } else { "the release has no end" };
        reader.reject(END_BEHAVIOR, &format!(", as {reason}"));
    }
    let has_valid_zone = |is_utc: bool| is_utc || zone.is_some();
    let may_lack_end = context.is_template_pending && !reader.has(END);
    let resolvable_start = start.filter(|start| !matches!(start, Start::At(time) if !has_valid_zone(time.is_utc())));
    let resolvable_end = end.filter(|end| match end {
        End::Never => true,
        _ if may_lack_end => false,
        // This end is relative to the start.
        End::After(_) => resolvable_start.is_some(),
        End::At(time) => has_valid_zone(time.is_utc()),
    });
    let schedule = RequestedSchedule {
        start: resolvable_start.unwrap_or(Start::Now),
        end: resolvable_end.unwrap_or(End::Never),
        end_behavior: end_behavior.unwrap_or(settings.default_end_behavior),
        window: window.ok().flatten().filter(|window| has_valid_zone(window.is_utc())),
        zone: zone.unwrap_or_else(|| settings.default_timezone.clone()),
    };
    let mut broken_rules = schedule.at(context.now, LeadTime::WhenChecked).err().unwrap_or_default();
    if resolvable_start.is_none() && !may_lack_end {
        let problem = end.and_then(End::problem_after_any_start);
        broken_rules.extend(problem.map(|problem| (SchedulePart::End, problem)));
    }
    report_broken_rules(reader, broken_rules);
    if !context.windows.is_empty() {
        report_windows_that_never_open(reader, &schedule, context);
    }
    Some((schedule, selection?))
}

/// Reads the target selection. A release with maintenance windows is continuous. `None` if the tag is invalid.
fn read_target_selection(reader: &mut Reader<'_>, context: &Context<'_>) -> Option<TargetSelection> {
    let has_window = reader.has(WINDOW) || !context.windows.is_empty();
    let default = TargetSelection(if has_window { Continuous } else { Snapshot });
    let selection = reader.read_or(TARGET_SELECTION, &default)?;
    if has_window && selection.0 == Snapshot {
        let origin = if reader.has(WINDOW) { &format!("`{WINDOW}`") } else { context.windows_origin };
        let expected = format!("`continuous`, which AWS IoT requires for maintenance windows ({origin})");
        reader.report(TARGET_SELECTION, "snapshot", &expected);
        return None;
    }
    Some(selection)
}

/// Reports each part of the schedule that breaks a rule of AWS IoT, with its tag or setting.
fn report_broken_rules(reader: &mut Reader<'_>, broken_rules: Vec<(SchedulePart, String)>) {
    for (part, problem) in broken_rules {
        let tag = match part {
            SchedulePart::Start => START,
            SchedulePart::End => END,
            SchedulePart::Window => WINDOW,
        };
        reader.problems.push(if let Some(value) = reader.options.get(tag) {
            format!("tag `{tag}` is `{value}`, which is {problem}")
        } else {
            format!("tag `{tag}` is missing and the setting `{}` is {problem}", part.setting())
        });
    }
}

/// Reports the maintenance windows of the manifest or the job template if none opens between start and end.
fn report_windows_that_never_open(reader: &mut Reader<'_>, schedule: &RequestedSchedule, context: &Context<'_>) {
    let Ok(times) = schedule.at(context.now, LeadTime::WhenChecked) else { return };
    if times.opens(context.windows, context.now) {
        return;
    }
    let start = times.start_time().map_or_else(|| "now".to_owned(), |start| format!("the start at {start}Z"));
    let period = match times.end_time() {
        Some(end) => format!("between {start} and the end at {end}Z"),
        None => format!("after {start}"),
    };
    let origin = context.windows_origin;
    reader.problems.push(format!("no maintenance window of {origin} opens {period}"));
}

#[cfg(test)]
mod tests;
