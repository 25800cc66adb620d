use super::*;
use crate::request::reader::Location;
use crate::request::reader::tests::read;
use crate::settings::tests::settings;
use proptest::prelude::*;

fn targets(settings: &Settings, key: &str, tags: &[(&str, &str)]) -> Result<Vec<Target>, Vec<String>> {
    let upload = Upload::new("b".into(), key.into(), "v1".into());
    read(Location::Tags, tags, |reader| read_targets(reader, &upload, settings))
}

#[test]
fn targets_are_the_groups_and_things_in_the_tags() {
    let settings = settings(&[("ALLOWED_THINGS", "thing-*")]).unwrap();
    let targets = targets(&settings, "firmware/a.bin", &[(THING_GROUP, "lab eu-west"), (THING, "thing-1")]).unwrap();
    let names: Vec<_> = targets.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["thinggroup/lab", "thinggroup/eu-west", "thing/thing-1"]);
}

#[test]
fn a_release_without_targets_is_rejected_once() {
    let settings = settings(&[]).unwrap();
    let problems = |tags: &[(&str, &str)]| targets(&settings, "firmware/a.bin", tags).unwrap_err();
    assert_eq!(problems(&[]), ["tag `ota:thing-group` is missing, expected the thing groups that get the update"]);
    assert_eq!(problems(&[(THING_GROUP, "")]).len(), 1);
}

#[test]
fn a_target_that_the_deployment_does_not_allow_is_rejected_with_those_that_it_does() {
    let problem = |key: &str, tag: &str, names: &str, variables: &[(&str, &str)]| {
        targets(&settings(variables).unwrap(), key, &[(tag, names)]).map_err(|problems| problems.join("; "))
    };
    let things = [("ALLOWED_THINGS", "thing-*")];
    for (tag, names, rejected, expected) in [
        (THING_GROUP, "prod", "prod", "one of `lab`, `eu-*` (thing groups that this deployment allows)"),
        (THING_GROUP, "b lab a", "b a", "one of `lab`, `eu-*` (thing groups that this deployment allows)"),
        (THING, "camera", "camera", "`thing-*` (things that this deployment allows)"),
    ] {
        let expected = format!("tag `{tag}` is `{rejected}`, expected {expected}");
        assert_eq!(problem("firmware/a.bin", tag, names, &things), Err(expected));
    }
    let none = "tag `ota:thing` is `a`, expected no such tag, as this deployment allows no things";
    assert_eq!(problem("firmware/a.bin", THING, "a", &[]), Err(none.to_owned()));
    let folders = [("ALLOWED_THING_GROUPS", "lab/=lab-*,prod/=prod"), ("ALLOWED_THINGS", "lab/=bench-1")];
    for (folder, tag, name) in
        [("lab/", THING_GROUP, "lab-1"), ("lab/", THING, "bench-1"), ("prod/", THING_GROUP, "prod")]
    {
        assert!(problem(&format!("firmware/{folder}a.bin"), tag, name, &folders).is_ok(), "{folder} {name}");
    }
    for (folder, tag, name, expected) in [
        ("lab/", THING_GROUP, "prod", "`lab-*` (thing groups that this deployment allows for uploads to `lab/`)"),
        ("prod/", THING_GROUP, "lab-1", "`prod` (thing groups that this deployment allows for uploads to `prod/`)"),
        ("", THING_GROUP, "prod", "no such tag, as this deployment allows no thing groups"),
        ("prod/", THING, "bench-1", "no such tag, as this deployment allows no things for uploads to `prod/`"),
    ] {
        let expected = format!("tag `{tag}` is `{name}`, expected {expected}");
        assert_eq!(problem(&format!("firmware/{folder}a.bin"), tag, name, &folders), Err(expected));
    }
}

#[test]
fn a_job_has_at_most_a_hundred_targets() {
    let settings = settings(&[("ALLOWED_THINGS", "*")]).unwrap();
    let targets = |things: usize| {
        let names = (0..things).map(|index| format!("thing-{index}")).collect::<Vec<_>>().join(" ");
        targets(&settings, "firmware/a.bin", &[(THING_GROUP, "lab"), (THING, &names)])
    };
    assert_eq!(targets(99).unwrap().len(), 100);
    assert_eq!(targets(100).unwrap_err(), ["the tags name 101 targets, expected at most 100"]);
}

proptest! {
    #[test]
    fn no_value_breaks_out_of_its_arn(group in "[\\PC ]*", thing in "[a-z*?:/ -]*") {
        let open = settings(&[("ALLOWED_THING_GROUPS", "*"), ("ALLOWED_THINGS", "*")]).unwrap();
        for target in targets(&open, "firmware/a.bin", &[(THING_GROUP, &group), (THING, &thing)]).unwrap_or_default() {
            let arn = open.iot_arn(target);
            prop_assert!(!arn.contains(['*', '?', ' ', '$']) && arn.matches('/').count() == 1, "{}", arn);
        }
    }
}
