use super::*;
use crate::settings::tests::settings;
use crate::tags::{END, END_BEHAVIOR, START};
use crate::text::json::document;
use serde_json::{Value, json};

/// Reads a member `x` with this value, and returns the problems.
fn problems<T>(value: &Value, read: impl FnOnce(&Node<'_>, &mut Problems) -> Option<T>) -> Vec<String> {
    let mut problems = Vec::new();
    let json = json!({"x": value}).to_string();
    document(&json, &mut problems, |object| object.required("x", read)).unwrap();
    problems
}

#[test]
fn a_description_has_up_to_2001_characters_without_controls() {
    let problem = "`x` is not valid, expected 1 to 2001 letters, digits, spaces and ASCII punctuation";
    for good in ["Größe {1}", &"x".repeat(2001)] {
        assert_eq!(problems(&json!(good), description), Vec::<String>::new());
    }
    for bad in ["", &"x".repeat(2002), "two\nlines"] {
        assert_eq!(problems(&json!(bad), description), [problem]);
    }
}

#[test]
fn job_tags_have_distinct_keys_and_allowed_characters() {
    let key = "expected 1 to 128 ASCII letters, digits, spaces, ";
    let value = "expected at most 256 letters, digits, spaces, ";
    let tag = |key: &str, value: &str| json!([{"Key": key, "Value": value}]);
    assert_eq!(problems(&tag(&"k".repeat(128), &"ü".repeat(256)), tags), Vec::<String>::new());
    let many = |count: usize| (0..count).map(|index| json!({"Key": index.to_string()})).collect::<Value>();
    assert_eq!(problems(&many(50), tags), Vec::<String>::new());
    let same_key = json!([{"Key": "a", "Value": ""}, {"Key": "a", "Value": "b"}]);
    for (list, problem) in [
        (tag("aws:a", ""), format!("`x[0].Key` is `aws:a`, {key}")),
        (tag("", ""), format!("`x[0].Key` is ``, {key}")),
        (tag("ü", ""), format!("`x[0].Key` is `ü`, {key}")),
        (tag(&"k".repeat(129), ""), format!("`x[0].Key` is `{}…`, {key}", "k".repeat(64))),
        (tag("a", "Aws:b"), format!("`x[0].Value` is `Aws:b`, {value}")),
        (tag("a", "b;"), format!("`x[0].Value` is `b;`, {value}")),
        (tag("a", &"v".repeat(257)), format!("`x[0].Value` is `{}…`, {value}", "v".repeat(64))),
        (same_key, "`x[1].Key` is `a`, which another tag has, expected another key".to_owned()),
        (json!([["team", "gateways"]]), "`x[0]` is a list, expected an object".to_owned()),
        (many(51), "`x` has 51 members, expected at most 50".to_owned()),
    ] {
        let problems = problems(&list, tags);
        assert!(problems.len() == 1 && problems[0].starts_with(&problem), "{problems:?}");
    }
}

#[test]
fn a_url_is_valid_at_most_as_long_as_the_deployment_allows() {
    let settings = settings(&[]).unwrap();
    let problems = |config: &Value| problems(config, |node, problems| url_expiry(node, problems, &settings));
    for seconds in [60, 1800] {
        assert_eq!(problems(&json!({"expiresInSec": seconds})), Vec::<String>::new());
    }
    for seconds in [59, 1801] {
        let expected = "expected 60 to 1800, the maximum of this deployment";
        let problem = format!("`x.expiresInSec` is {seconds}, {expected}");
        assert_eq!(problems(&json!({"expiresInSec": seconds})), [problem]);
    }
    assert_eq!(
        problems(&json!({"roleArn": "arn:aws:iam::111122223333:role/mine"})),
        ["`x.roleArn` is not allowed in a manifest, as the deployment sets the role"]
    );
}

#[test]
fn a_scheduling_configuration_has_only_one_to_fifty_windows() {
    let window = json!({"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 60});
    let list = |count: usize| json!({"maintenanceWindows": vec![window.clone(); count]});
    for count in [1, 50] {
        assert_eq!(problems(&list(count), windows), Vec::<String>::new());
    }
    for count in [0, 51] {
        let problem = format!("`x.maintenanceWindows` has {count} members, expected 1 to 50");
        assert_eq!(problems(&list(count), windows), [problem]);
    }
    for (member, tag) in [("startTime", START), ("endTime", END), ("endBehavior", END_BEHAVIOR)] {
        let problem = format!("`x.{member}` is not allowed in a manifest, expected the tag `{tag}`");
        assert_eq!(problems(&json!({member: "x"}), windows), [problem]);
    }
    let window = json!({"maintenanceWindows": [{"startTime": "0 2 * * *"}]});
    let [start, duration] = problems(&window, windows).try_into().unwrap();
    let expected = "`x.maintenanceWindows[0].startTime` is `0 2 * * *`, expected a cron expression of AWS IoT in UTC, ";
    assert!(start.starts_with(expected), "{start}");
    assert_eq!(duration, "`x.maintenanceWindows[0].durationInMinutes` is missing");
}

#[test]
fn package_versions_are_in_the_deployment_and_name_each_package_once() {
    let settings = settings(&[]).unwrap();
    let problems = |list: &Value| problems(list, |node, problems| package_versions(node, problems, &settings));
    let arn = |name: &str| format!("arn:aws:iot:us-east-1:111122223333:package/{name}");
    let good = json!([arn("a/version/1"), arn("b/version/$default"), arn("c/version/$null")]);
    assert_eq!(problems(&good), Vec::<String>::new());
    assert_eq!(problems(&json!([])), ["`x` is empty, expected at least one"]);
    assert_eq!(
        problems(&json!([arn("a/version/1"), arn("a/version/$null")])),
        ["`x[1]` names the package `a` again, expected each package once"]
    );
    let foreign = "arn:aws:iot:us-east-1:444455556666:package/a/version/1".to_owned();
    for bad in [foreign, arn("a/version/$latest"), arn("a"), arn("../version/1")] {
        let expected = format!("`{}`", arn("PACKAGE/version/VERSION"));
        assert_eq!(problems(&json!([bad])), [format!("`x[0]` is `{}`, expected {expected}", quoted(&bad))]);
    }
}

#[test]
fn words_and_types_of_members_are_checked() {
    let criteria = |action: &str| {
        json!({"criteriaList": [{
            "failureType": "ALL", "action": action, "thresholdPercentage": 12.34, "minNumberOfExecutedThings": 1,
        }]})
    };
    assert_eq!(problems(&criteria("CANCEL"), abort), Vec::<String>::new());
    assert_eq!(problems(&criteria("STOP"), abort), ["`x.criteriaList[0].action` is `STOP`, expected `CANCEL`"]);
    let retry = json!({"criteriaList": [{"failureType": "REJECTED", "numberOfRetries": "1"}]});
    assert_eq!(
        problems(&retry, retries),
        [
            "`x.criteriaList[0].failureType` is `REJECTED`, expected one of `FAILED`, `TIMED_OUT`, `ALL`",
            "`x.criteriaList[0].numberOfRetries` is a string, expected a whole number",
        ]
    );
    assert_eq!(
        problems(&json!({"exponentialRate": {"incrementFactor": 1.5}}), rollout),
        ["`x.exponentialRate.rateIncreaseCriteria` is missing", "`x.exponentialRate.baseRatePerMinute` is missing"]
    );
}
