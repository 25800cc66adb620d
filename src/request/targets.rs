//! Reads the targets of a release, and checks that its folder may target them.

use crate::options::target::{CommaSeparated, Names, Target, TargetRule};
use crate::request::reader::Reader;
use crate::settings::Settings;
use crate::tags::{THING, THING_GROUP};
use crate::text::spelling::one_of;
use crate::upload::Upload;

/// The maximum number of targets of one job
/// (<https://docs.aws.amazon.com/general/latest/gr/iot_device_management.html>).
const MAX_TARGETS: usize = 100;

/// Reads the thing groups and things that get the update.
pub(crate) fn read_targets(reader: &mut Reader<'_>, upload: &Upload, settings: &Settings) -> Vec<Target> {
    let problems_before = reader.problems.len();
    let folder = settings.folder(&upload.key);
    let groups = read_names(reader, THING_GROUP, folder, &settings.allowed_thing_groups, "thing groups");
    let things = read_names(reader, THING, folder, &settings.allowed_things, "things");
    let groups = groups.into_iter().map(Target::ThingGroup);
    let targets: Vec<_> = groups.chain(things.into_iter().map(Target::Thing)).collect();
    if targets.is_empty() && reader.problems.len() == problems_before {
        let problem = format!("tag `{THING_GROUP}` is missing, expected the thing groups that get the update");
        reader.problems.push(problem);
    }
    if targets.len() > MAX_TARGETS {
        let problem = format!("the tags name {} targets, expected at most {MAX_TARGETS}", targets.len());
        reader.problems.push(problem);
    }
    targets
}

fn read_names(
    reader: &mut Reader<'_>,
    tag: &str,
    folder: &str,
    rules: &CommaSeparated<TargetRule>,
    kind: &str,
) -> Vec<String> {
    let Ok(Some(Names(names))) = reader.read(tag) else { return Vec::new() };
    let not_allowed: Vec<_> = names.iter().filter(|name| !rules.allows(folder, name)).map(String::as_str).collect();
    if !not_allowed.is_empty() {
        let uploads = if folder.is_empty() { String::new() } else { format!(" for uploads to `{folder}`") };
        let mut patterns = rules.patterns(folder).peekable();
        let expected = if patterns.peek().is_none() {
            format!("no such tag, as this deployment allows no {kind}{uploads}")
        } else {
            format!("{} ({kind} that this deployment allows{uploads})", one_of(patterns))
        };
        reader.report(tag, &not_allowed.join(" "), &expected);
    }
    names
}

#[cfg(test)]
mod tests;
