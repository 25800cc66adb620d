//! `ota groups`: the targets and signing profiles that the stack allows, by folder.

use crate::output::{Rows, write_json};
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use ota_on_upload::options::target::{CommaSeparated, TargetRule};
use ota_on_upload::settings::Settings;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;

/// Runs the command.
///
/// # Errors
/// Fails if the output cannot be written.
pub fn run(stack: &Stack, is_json: bool, out: &mut dyn Write) -> Result<Exit, Problem> {
    let settings = &stack.settings;
    let folders = folders(settings);
    let profiles = [&settings.signing_profile].into_iter().chain(&settings.allowed_signing_profiles.0);
    let profiles: Vec<_> = profiles.map(|profile| profile.0.as_str()).collect();
    if is_json {
        let folders: Vec<_> = folders
            .iter()
            .map(|(prefix, groups, things)| json!({"prefix": prefix, "thingGroups": groups, "things": things}))
            .collect();
        let json = json!({"bucket": settings.upload_bucket, "folders": folders, "signingProfiles": profiles});
        write_json(out, &json)?;
        return Ok(Exit::Done);
    }
    let shown = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let rows: Vec<_> = folders
        .iter()
        .map(|(prefix, groups, things)| {
            vec![format!("s3://{}/{prefix}", settings.upload_bucket), shown(groups), shown(things)]
        })
        .collect();
    Rows::new(&["FOLDER", "THING GROUPS", "THINGS"]).write(out, &rows)?;
    writeln!(out, "\nsigning profiles: {} (the first is the default)", profiles.join(", "))?;
    Ok(Exit::Done)
}

/// The folders with rules of their own, and the names that each allows. The folder with the longest prefix applies.
fn folders(settings: &Settings) -> Vec<(String, Vec<String>, Vec<String>)> {
    let (groups, things) = (&settings.allowed_thing_groups, &settings.allowed_things);
    let folders: BTreeSet<_> = groups.0.iter().chain(&things.0).map(|rule| rule.prefix.as_str()).collect();
    let names = |rules: &CommaSeparated<TargetRule>, folder| rules.patterns(folder).map(ToString::to_string).collect();
    let folder =
        |folder| (format!("{}{folder}", settings.upload_prefix.0), names(groups, folder), names(things, folder));
    folders.into_iter().map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::default_settings;

    #[test]
    fn each_folder_has_its_names() {
        let groups = "lab,bench/=bench-*,lab-*".parse().unwrap();
        let settings = Settings { allowed_thing_groups: groups, ..default_settings().unwrap() };
        let stack = Stack { settings, log_group: String::new(), is_dry_run: false };
        let mut out = Vec::new();
        run(&stack, false, &mut out).unwrap();
        let expected = "\
FOLDER                      THING GROUPS  THINGS
s3://bucket/firmware/       lab, lab-*    *
s3://bucket/firmware/bench/ bench-*       none

signing profiles: SigningProfile (the first is the default)
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&String::from_utf8(out).unwrap()), squeezed(expected));
        let mut out = Vec::new();
        run(&stack, true, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["folders"][1], json!({"prefix": "firmware/bench/", "thingGroups": ["bench-*"], "things": []}));
    }
}
