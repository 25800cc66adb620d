use super::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const REQUIRED: [(&str, &str); 5] = [
    ("SIGNING_PROFILE", "OtaSigning"),
    ("OTA_ROLE_ARN", "arn:aws:iam::111122223333:role/ota"),
    ("AWS_REGION", "us-east-1"),
    ("UPLOAD_BUCKET", "firmware-bucket"),
    ("ALLOWED_THING_GROUPS", "lab,eu-*"),
];

/// The required settings, with these variables changed or added.
pub(crate) fn settings(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::from_lookup(|name| {
        let values = variables.iter().chain(&REQUIRED);
        values.into_iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn every_required_setting_that_is_missing_is_reported() {
    let SettingsError(problems) = Settings::from_lookup(|_| None).unwrap_err();
    assert_eq!(problems.len(), REQUIRED.len());
    for (name, _) in REQUIRED {
        assert!(problems.iter().any(|problem| problem.contains(&format!("`{name}` is not set"))), "{name}");
    }
}

#[test]
fn every_bad_setting_is_reported_with_its_value_and_the_expected_form() {
    let bad = [
        ("SIGNING_PROFILE", "has-hyphen"),
        ("ALLOWED_SIGNING_PROFILES", "x"),
        ("OTA_ROLE_ARN", "arn:aws:iam::1:role/ota"),
        ("UPLOAD_PREFIX", "firmware"),
        ("SIGNED_PREFIX", "signed"),
        ("ALLOWED_THING_GROUPS", "lab=lab-*"),
        ("ALLOWED_THINGS", "**"),
        ("MAX_IMAGE_BYTES", "25165825"),
        ("URL_EXPIRY_SECONDS", "59"),
        ("VERIFY_SIGNATURES", "no"),
        ("ALLOW_UNVERIFIED", "1"),
        ("FAILURE_QUEUE_ARN", "failures"),
        ("DRY_RUN", "yes"),
        ("DEFAULT_TIMEZONE", "Europe/Berln"),
        ("DEFAULT_START", "soon"),
        ("DEFAULT_END", "now"),
        ("DEFAULT_END_BEHAVIOR", "stop"),
        ("DEFAULT_RETRIES", "11"),
        ("DEFAULT_TIMEOUT", "0m"),
        ("DEFAULT_JOB_TEMPLATE", "arn:aws:iot:us-east-1:111122223333:jobtemplate/canary"),
    ];
    let SettingsError(problems) = settings(&bad).unwrap_err();
    assert_eq!(problems.len(), bad.len(), "{problems:?}");
    for ((name, value), problem) in bad.iter().zip(&problems) {
        assert!(problem.starts_with(&format!("setting `{name}` is `{value}`, expected ")), "{problem}");
    }
}

/// The parameters of the stack with their defaults, and the variables of the function with their values.
fn template() -> (BTreeMap<&'static str, Option<&'static str>>, BTreeMap<&'static str, &'static str>) {
    let template = include_str!("../../template.yaml");
    let section = |from: &str, to: &str| template.split(from).nth(1).unwrap().split(to).next().unwrap();
    let mut parameters = BTreeMap::new();
    let mut name = "";
    for line in section("\nParameters:\n", "\nRules:\n").lines() {
        if let Some(default) = line.strip_prefix("    Default: ") {
            parameters.insert(name, Some(default.trim_matches('"')));
        } else if let Some(text) = line.strip_prefix("  ").filter(|text| !text.starts_with(' ')) {
            name = text.trim_end_matches(':');
            parameters.insert(name, None);
        }
    }
    let variables = section("        Variables:\n", "      LoggingConfig:\n").lines();
    (parameters, variables.map(|line| line.trim().split_once(": ").unwrap()).collect())
}

#[test]
fn the_stack_sets_each_variable_from_the_parameter_of_its_name() {
    let (parameters, variables) = template();
    let read = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        read.borrow_mut().insert(name.to_owned());
        None
    };
    assert!(Settings::from_lookup(lookup).is_err() && read.borrow_mut().remove("AWS_REGION"));
    assert!(read.borrow().iter().eq(variables.keys()), "{read:?} {variables:?}");
    for (name, value) in variables {
        let words = name.split('_').map(|word| format!("{}{}", &word[..1], word[1..].to_lowercase()));
        let parameter = match name {
            "OTA_ROLE_ARN" | "FAILURE_QUEUE_ARN" => continue,
            "UPLOAD_BUCKET" => "BucketName".to_owned(),
            _ => words.collect(),
        };
        assert_eq!(value, format!("!Ref {parameter}"), "{name}");
        let default = parameters[parameter.as_str()].filter(|default| !default.is_empty());
        let set: Vec<_> = default.map(|default| (name, default)).into_iter().collect();
        assert_eq!(format!("{:?}", settings(&set).unwrap()), format!("{:?}", settings(&[]).unwrap()), "{name}");
    }
}

#[test]
fn each_parameter_is_documented_with_its_default() {
    let (parameters, _) = template();
    let table =
        include_str!("../../docs/operator/settings.md").split("\n| parameter | meaning | default |\n").nth(1).unwrap();
    let mut documented = BTreeMap::new();
    for row in table.lines().skip(1).take_while(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let [names, _, defaults] = cells[..] else { panic!("{row}") };
        let (names, defaults): (Vec<_>, Vec<_>) = (names.split(", ").collect(), defaults.split(", ").collect());
        assert_eq!(names.len(), defaults.len(), "{row}");
        documented.extend(names.into_iter().zip(defaults).map(|(name, default)| {
            let [name, default] = [name, default].map(|text| text.trim_matches([' ', '`']));
            (name, default)
        }));
    }
    let known = parameters.into_iter().map(|(name, default)| {
        let default = match default {
            None => "–",
            Some("") => "none",
            Some(default) => default,
        };
        (name, default)
    });
    assert_eq!(documented, known.collect());
}

#[test]
fn a_release_may_be_signed_by_the_default_and_the_allowed_profiles() {
    assert!(!settings(&[]).unwrap().allows_profile(&"Other_2".parse().unwrap()));
    let settings = settings(&[("ALLOWED_SIGNING_PROFILES", "Other_2,Third")]).unwrap();
    for (name, allowed) in [("OtaSigning", true), ("Other_2", true), ("Third", true), ("Fourth", false)] {
        assert_eq!(settings.allows_profile(&name.parse().unwrap()), allowed, "{name}");
    }
}

#[test]
fn a_default_time_that_no_release_could_use_is_reported() {
    // A date would be in the past some day.
    let date = "2030-01-01T00:00";
    for (name, value) in [
        ("DEFAULT_START", "10m"),
        ("DEFAULT_END", "10m"),
        ("DEFAULT_START", "365d"),
        ("DEFAULT_START", date),
        ("DEFAULT_END", date),
    ] {
        let problem = settings(&[(name, value)]).unwrap_err().to_string();
        assert!(problem.contains(&format!("setting `{name}` is ")) && problem.contains("expected"), "{problem}");
    }
}

#[test]
fn a_dry_run_uses_the_tags_of_uploads_or_of_the_settings() {
    let dry_run = |variables: &[(&str, &str)]| settings(variables).map(|settings| settings.dry_run);
    let (on, tags) = (("DRY_RUN", "true"), ("DRY_RUN_TAGS", "ota:thing-group=lab+eu-1"));
    assert_eq!(dry_run(&[on, tags]), Ok(DryRun::Offline(TagHeader::from(tags.1), None)));
    assert_eq!(dry_run(&[on]), Ok(DryRun::WithLookups));
    assert_eq!(dry_run(&[("DRY_RUN", "false")]), Ok(DryRun::Off));
    let problem = dry_run(&[tags]).unwrap_err().to_string();
    assert!(
        problem.contains("setting `DRY_RUN_TAGS` is `ota:thing-group=lab+eu-1`, expected `DRY_RUN=true`"),
        "{problem}"
    );
}

#[test]
fn overlapping_prefixes_are_rejected() {
    for (uploads, signed) in [("firmware/", "firmware/signed/"), ("a/b/", "a/"), ("a/", "a/")] {
        let problem = settings(&[("UPLOAD_PREFIX", uploads), ("SIGNED_PREFIX", signed)]).unwrap_err().to_string();
        assert!(problem.contains("expected prefixes that do not overlap"), "{problem}");
    }
    assert!(settings(&[("UPLOAD_PREFIX", "firmware/"), ("SIGNED_PREFIX", "firmware-signed/")]).is_ok());
}

#[test]
fn a_rule_for_a_folder_applies_only_to_uploads_below_it() {
    let groups = ("ALLOWED_THING_GROUPS", "lab/=lab-*,lab/=bench,lab/eu/=lab-eu, prod/=prod-*,shared");
    let settings = settings(&[groups, ("ALLOWED_THINGS", "desk/=desk-*")]).unwrap();
    for (key, reached) in [
        ("lab/a.bin", vec!["lab-1", "lab-eu", "bench"]),
        ("lab/eu/a.bin", vec!["lab-eu"]),
        ("lab/eu.bin", vec!["lab-1", "lab-eu", "bench"]),
        ("prod/a.bin", vec!["prod-1"]),
        ("a.bin", vec!["shared"]),
        ("lab", vec!["shared"]),
        ("other/lab/a.bin", vec!["shared"]),
        // A folder in a rule on things is a folder for groups, too.
        ("desk/a.bin", vec![]),
    ] {
        let names = ["lab-1", "lab-eu", "bench", "prod-1", "shared", "other"];
        let folder = settings.folder(&format!("firmware/{key}"));
        let groups = &settings.allowed_thing_groups;
        let allowed: Vec<_> = names.into_iter().filter(|name| groups.allows(folder, name)).collect();
        assert_eq!(allowed, reached, "{key}");
    }
}

#[test]
fn arns_have_the_partition_region_and_account_of_the_deployment() {
    let role = ("OTA_ROLE_ARN", "arn:aws-cn:iam::444455556666:role/path/ota");
    let settings = settings(&[role, ("AWS_REGION", "cn-north-1")]).unwrap();
    assert_eq!(settings.iot_arn("thinggroup/lab"), "arn:aws-cn:iot:cn-north-1:444455556666:thinggroup/lab");
}
