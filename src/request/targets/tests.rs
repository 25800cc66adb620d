use super::*;
use crate::request::reader::Location;
use crate::settings::tests::settings;
use proptest::prelude::*;

fn targets(settings: &Settings, key: &str, tags: &[(&str, &str)]) -> Result<Vec<Target>, Vec<String>> {
    let upload = Upload::new("b".into(), key.into(), "v1".into());
    let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
    let mut reader = Reader::new(Location::Tags, &tags);
    let targets = read_targets(&mut reader, &upload, settings);
    if reader.problems.is_empty() { Ok(targets) } else { Err(reader.problems) }
}

#[test]
fn targets_are_the_groups_and_things_in_the_tags() {
    let settings = settings(&[("ALLOWED_THINGS", "thing-*")]).unwrap();
    let targets = targets(&settings, "firmware/a.bin", &[(THING_GROUP, "lab eu-west"), (THING, "thing-1")]).unwrap();
    let [lab, eu] = ["lab", "eu-west"].map(|name| Target::ThingGroup(name.into()));
    assert_eq!(targets, [lab, eu, Target::Thing("thing-1".into())]);
    assert_eq!(
        targets.iter().map(|target| settings.iot_arn(target)).collect::<Vec<_>>(),
        [
            "arn:aws:iot:us-east-1:111122223333:thinggroup/lab",
            "arn:aws:iot:us-east-1:111122223333:thinggroup/eu-west",
            "arn:aws:iot:us-east-1:111122223333:thing/thing-1",
        ]
    );
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
    let settings = settings(&[("ALLOWED_THINGS", "thing-*")]).unwrap();
    for (tag, value, refused, expected) in [
        (THING_GROUP, "prod", "prod", "one of `lab`, `eu-*` (thing groups that this deployment allows)"),
        (
            THING_GROUP,
            "prod lab fleet",
            "prod fleet",
            "one of `lab`, `eu-*` (thing groups that this deployment allows)",
        ),
        (THING, "camera", "camera", "`thing-*` (things that this deployment allows)"),
    ] {
        let problem = format!("tag `{tag}` is `{refused}`, expected {expected}");
        assert_eq!(targets(&settings, "firmware/a.bin", &[(tag, value)]), Err(vec![problem]));
    }
}

#[test]
fn an_upload_targets_what_the_rules_of_its_folder_allow() {
    let rules = [("ALLOWED_THING_GROUPS", "lab/=lab-*,prod/=prod"), ("ALLOWED_THINGS", "lab/=bench-1")];
    let settings = settings(&rules).unwrap();
    for (key, tag, name) in [
        ("firmware/lab/a.bin", THING_GROUP, "lab-1"),
        ("firmware/lab/a.bin", THING, "bench-1"),
        ("firmware/prod/a.bin", THING_GROUP, "prod"),
    ] {
        assert!(targets(&settings, key, &[(tag, name)]).is_ok(), "{key} {name}");
    }
    for (key, tag, name, expected) in [
        (
            "firmware/lab/a.bin",
            THING_GROUP,
            "prod",
            "`lab-*` (thing groups that this deployment allows for uploads to `lab/`)",
        ),
        (
            "firmware/prod/a.bin",
            THING_GROUP,
            "lab-1",
            "`prod` (thing groups that this deployment allows for uploads to `prod/`)",
        ),
        ("firmware/a.bin", THING_GROUP, "prod", "no such tag, as this deployment allows no thing groups"),
        (
            "firmware/prod/a.bin",
            THING,
            "bench-1",
            "no such tag, as this deployment allows no things for uploads to `prod/`",
        ),
    ] {
        let problem = format!("tag `{tag}` is `{name}`, expected {expected}");
        assert_eq!(targets(&settings, key, &[(tag, name)]), Err(vec![problem]), "{key}");
    }
}

#[test]
fn a_job_has_at_most_a_hundred_targets() {
    let settings = settings(&[("ALLOWED_THINGS", "*")]).unwrap();
    let targets = |things: usize| {
        let names = (0..things).map(|at| format!("thing-{at}")).collect::<Vec<_>>().join(" ");
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
