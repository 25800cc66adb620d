use super::*;
use crate::settings::tests::settings;
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(bytes: impl AsRef<[u8]>) -> Manifest {
    let upload = Upload::new("b".into(), "firmware/a.ota.json".into(), "v1".into());
    Manifest::read(bytes.as_ref(), &upload, &settings(&[]).unwrap())
}

fn problems(members: &Value) -> Vec<String> {
    read(members.to_string()).problems
}

/// The problems of a manifest that is valid except for this member.
fn problems_with(name: &str, value: Value) -> Vec<String> {
    let mut members = json!({"files": [{"key": "firmware/a.bin", "versionId": "v1"}]});
    members[name] = value;
    problems(&members)
}

/// A manifest with every member.
fn full() -> Value {
    let version = |name: &str| format!("arn:aws:iot:us-east-1:111122223333:package/{name}/version/1");
    let abort = json!({
        "failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 5, "minNumberOfExecutedThings": 20,
    });
    json!({
        "$schema": "x",
        "files": [
            {"key": "firmware/a.bin", "versionId": "v1", "fileId": 3, "filePath": "/a", "fileType": 1, "signingJob": "x"},
            {"key": "firmware/b.bin", "versionId": "v2", "signature": "x", "signatureAlgorithm": "y", "certificate": "z"},
        ],
        "description": "x",
        "jobExecutionsRolloutConfig": {
            "maximumPerMinute": 50,
            "exponentialRate": {
                "baseRatePerMinute": 5, "incrementFactor": 1.5,
                "rateIncreaseCriteria": {"numberOfNotifiedThings": 10, "numberOfSucceededThings": 10},
            },
        },
        "abortConfig": {"criteriaList": [abort, abort]},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
        "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]},
        "schedulingConfig": {"maintenanceWindows": [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 60}]},
        "presignedUrlConfig": {"expiresInSec": 600},
        "destinationPackageVersions": [version("a"), version("b")],
        "tags": [{"Key": "team", "Value": "x"}, {"Key": "cost", "Value": ""}],
    })
}

#[test]
fn every_member_is_read() {
    let manifest = read(full().to_string());
    assert_eq!((manifest.problems, manifest.files.len(), manifest.tags.len()), (Vec::new(), 2, 2));
    assert_eq!((manifest.description.as_deref(), manifest.url_expiry), (Some("x"), Some(UrlExpiry(600))));
    let JobConfig { rollout, abort, timeout, retries, windows, package_versions } = manifest.config;
    assert_eq!(rollout.unwrap().maximum_per_minute(), Some(50));
    assert_eq!(abort.unwrap().criteria_list().len(), 2);
    assert_eq!((timeout, retries), ("30m".parse().ok(), "failed:1".parse().ok()));
    assert_eq!((windows.len(), package_versions.len()), (1, 2));
}

#[test]
fn a_member_that_is_not_allowed_is_reported_with_the_alternative_or_reason() {
    for (name, hint) in NOT_ALLOWED {
        let expected = format!("`{name}` is not allowed in a manifest, {hint}");
        assert_eq!(problems_with(name, json!("x")), [expected]);
    }
    assert_eq!(problems_with("jobID", json!({})), ["`jobID` is not known, did you mean `jobId`?"]);
}

#[test]
fn an_invalid_configuration_is_reported_with_its_path() {
    let windows = json!({"maintenanceWindows": [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 1431}]});
    assert_eq!(
        problems_with("schedulingConfig", windows),
        ["`schedulingConfig.maintenanceWindows[0].durationInMinutes` is 1431, expected 1 to 1430"]
    );
}

/// The JSON pointers to all values within a value.
fn places(value: &Value, at: &str) -> Vec<String> {
    let members: Vec<_> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let below = members.into_iter().map(|(name, value)| (format!("{at}/{name}"), value));
    below.flat_map(|(place, value)| [vec![place.clone()], places(value, &place)].concat()).collect()
}

/// Makes one mistake at a place: a value of another type, a missing member, a number out of all ranges, an unknown
/// member.
fn mistake(manifest: &mut Value, place: &str, which: usize) -> Option<()> {
    let (parent, name) = place.rsplit_once('/')?;
    let value = manifest.pointer_mut(place)?;
    match which {
        0 => *value = json!(true),
        1 => drop(manifest.pointer_mut(parent)?.as_object_mut()?.remove(name)?),
        2 => *value = json!(value.as_f64().map(|_| 1_000_000)?),
        _ => drop(value.as_object_mut()?.insert("bogus".to_owned(), json!(1))),
    }
    Some(())
}

#[test]
fn no_two_mistakes_in_a_manifest_hide_each_other() {
    assert_eq!(problems(&full()), Vec::<String>::new());
    let all: Vec<_> =
        places(&full(), "").into_iter().flat_map(|at| (0..4).map(move |which| (at.clone(), which))).collect();
    let alone = all.iter().filter_map(|(place, which)| {
        let mut manifest = full();
        mistake(&mut manifest, place, *which)?;
        Some((place, *which, problems(&manifest)))
    });
    let alone: Vec<_> = alone.filter(|(.., problems)| !problems.is_empty()).collect();
    assert!(alone.len() > 100, "{}", alone.len());
    for (at, (place, which, problems_of_one)) in alone.iter().enumerate() {
        for (other, other_which, problems_of_other) in &alone[..at] {
            let is_within = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}/"));
            if is_within(place, other) || is_within(other, place) {
                continue;
            }
            let mut manifest = full();
            mistake(&mut manifest, place, *which).and_then(|()| mistake(&mut manifest, other, *other_which)).unwrap();
            let found = problems(&manifest);
            for problem in problems_of_one.iter().chain(problems_of_other) {
                // One problem reports all numbers in a list of retries.
                let is_list = problem.starts_with("`jobExecutionsRetryConfig.criteriaList` is ");
                assert!(found.contains(problem) || is_list, "{place} and {other}: {problem} is not in {found:?}");
            }
        }
    }
}

#[test]
fn at_most_50_problems_are_reported() {
    let problems = |count: usize| problems_with("destinationPackageVersions", json!(vec![""; count]));
    // The excessive number of package versions is one more problem.
    assert_eq!((problems(49).len(), problems(49)[49].ends_with("expected at most 25")), (50, true));
    let many = problems(15_000);
    assert_eq!((many.len(), many[50].as_str()), (51, "the manifest has 14951 more problems"));
}

#[test]
fn malformed_json_is_reported() {
    for (bytes, problem) in [
        (&b"\x1f\x8b\x08"[..], "it is compressed with gzip, expected text in UTF-8"),
        (b"", "EOF while parsing a value at line 1 column 0"),
        ("\u{feff}\u{feff}{}".as_bytes(), "expected value at line 1 column 1"),
        (b"[]", "it is a list"),
        (b"{\"files\": [,]}", "expected value at line 1 column 12"),
    ] {
        assert_eq!(read(bytes).problems, [format!("the manifest is not a JSON object: {problem}")]);
    }
    let twice =
        r#"{"files": [{"key": "firmware/a.bin", "key": "firmware/b.bin", "versionId": "v1"}], "tags": [], "tags": []}"#;
    assert_eq!(read(twice).problems, ["`files[0].key` occurs twice", "`tags` occurs twice"]);
}

proptest! {
    #[test]
    fn no_value_makes_the_reader_panic(
        member in prop::sample::select(full().as_object().unwrap().keys().cloned().collect::<Vec<_>>()), value in "[\\[{]{0,3}(\"[a-zA-Z]{1,9}\":?|[0-9.-]{1,6}|null|,)*[\\]}]{0,3}",
    ) {
        let json = format!("{{\"{member}\":{value}}}");
        prop_assert!(!read(json).problems.is_empty());
    }
}
