//! Releases with generated tags, job templates and manifests. `test_model.py` checks the requests against the service
//! model of AWS, and the manifests against their schema.

use crate::support::{Fake, PROFILE, VOCABULARY, release_with, report};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The number of releases.
const CASES: usize = 900;
/// The minimum number of accepted and of rejected releases.
const MIN_OUTCOMES: usize = 200;

/// The tags of provided signatures: their values appear only in the document.
const SIGNATURE_TAGS: [&str; 4] = ["ota:signing-job", "ota:signature", "ota:signature-algorithm", "ota:certificate"];

const VERSIONS: &str = "arn:aws:iot:us-east-1:111122223333:package/";
const NAMES: &str = "[a-zA-Z0-9:_-]{1,128}( [a-zA-Z0-9:_-]{1,120})?";
const LENGTH: &str = "([1-9][0-9]{0,2}m|[1-9][0-9]?h|[1-9][0-9]?d([1-9]h)?)";
const TIME: &str = "202[6-8]-(0[1-9]|1[0-2])-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]Z?";

/// The tags that appear in a request, each with a pattern of values, most of them valid.
fn patterns() -> Vec<(&'static str, String)> {
    let days = "(daily|(mon|tue|sat)(-(wed|fri|sun))?(/(thu|sat))?|day-[1-3]?[1-9](/day-1)?)";
    vec![
        ("ota:thing-group", NAMES.to_owned()),
        ("ota:thing", NAMES.to_owned()),
        ("ota:start", format!("now|{LENGTH}|{TIME}")),
        ("ota:end", format!("never|{LENGTH}|{TIME}")),
        ("ota:end-behavior", "stop-rollout|cancel|force-cancel".to_owned()),
        ("ota:timezone", "UTC|Europe/Berlin|America/New_York|Asia/Kolkata|Pacific/Kiritimati".to_owned()),
        ("ota:window", format!("{days} [01][0-9]:[0-5][0-9]Z? ([1-9][0-9]?m|[1-9]h|23h50m)")),
        ("ota:target-selection", "snapshot|continuous".to_owned()),
        ("ota:retries", "[0-9]|1[01]|(failed|timed-out):[0-9]|failed:[0-6] timed-out:[0-6]".to_owned()),
        ("ota:timeout", "([1-9][0-9]{0,3}m|[1-8]d)".to_owned()),
        ("ota:job-template", "[a-zA-Z0-9_-]{1,64}".to_owned()),
        ("ota:package-version", "[a-zA-Z0-9._-]{1,128}:[a-zA-Z0-9._-]{1,64}( [a-z]{1,9}:[0-9.]{1,9}){0,4}".to_owned()),
        ("ota:protocols", "mqtt|http|mqtt http|http mqtt".to_owned()),
        ("ota:signing-profile", format!("{PROFILE}|OtherProfile")),
        ("ota:job-id", "[a-zA-Z0-9_-]{1,55}".to_owned()),
        ("ota:file-path", "[A-Za-z0-9._/-]{1,64}".to_owned()),
        ("ota:file-type", "[0-9]|[1-9][0-9]|1[0-9]{2}|25[0-6]".to_owned()),
    ]
}

/// Generates tags. A few have arbitrary values.
fn tags() -> impl Strategy<Value = Vec<(String, String)>> {
    let each = patterns().into_iter().map(|(tag, pattern)| {
        let good = string_regex(&pattern).expect("a pattern");
        let value = prop_oneof![30 => good, 1 => "\\PC{0,60}", 1 => "[a-z0-9:/ -]{0,20}"];
        let presence = if tag == "ota:thing-group" { 0.95 } else { 0.2 };
        option::weighted(presence, value).prop_map(move |value| value.map(|value| (tag.to_owned(), value)))
    });
    each.collect::<Vec<_>>().prop_map(|tags| tags.into_iter().flatten().collect())
}

/// Generates a job template as AWS IoT returns it, with values at the limits of CreateJob and beyond.
fn template() -> impl Strategy<Value = Value> {
    let some = |members: BoxedStrategy<Value>| option::weighted(0.4, members);
    let factor = prop_oneof![9 => 11..=50_i32, 1 => 0..=60_i32].prop_map(|tenths| f64::from(tenths) / 10.0);
    let rollout = (rarely_bad(1..=1000), rarely_bad(1..=1000), factor, rarely_bad(1..=9999), any::<bool>());
    let rollout = rollout.prop_map(|(maximum, base, factor, things, is_exponential)| {
        let exponential = json!({
            "baseRatePerMinute": base, "incrementFactor": factor,
            "rateIncreaseCriteria": {"numberOfNotifiedThings": things},
        });
        if is_exponential {
            json!({"maximumPerMinute": maximum, "exponentialRate": exponential})
        } else {
            json!({"maximumPerMinute": maximum})
        }
    });
    let failure = prop::sample::select(vec!["FAILED", "REJECTED", "TIMED_OUT", "ALL"]);
    let abort = vec((failure, 0..=10_050_i32, rarely_bad(1..=9999)), 1..4).prop_map(|criteria| {
        let one = |(failure, percentage, minimum)| {
            let percentage = f64::from(percentage) / 100.0;
            json!({
                "failureType": failure, "action": "CANCEL", "thresholdPercentage": percentage,
                "minNumberOfExecutedThings": minimum,
            })
        };
        json!({"criteriaList": criteria.into_iter().map(one).collect::<Vec<_>>()})
    });
    let timeout = rarely_bad(1..=10_080).prop_map(|minutes| json!({"inProgressTimeoutInMinutes": minutes}));
    let failures = prop::sample::subsequence(vec!["FAILED", "TIMED_OUT"], 1..=2);
    let retries = (failures, rarely_bad(0..=6)).prop_map(|(failures, count)| {
        let one = |failure| json!({"failureType": failure, "numberOfRetries": count});
        json!({"criteriaList": failures.into_iter().map(one).collect::<Vec<_>>()})
    });
    let cron = "cron\\([0-5]?[0-9] 2 \\? \\* (MON|SAT#1|SUN-SAT) \\*\\)";
    let window = (cron, rarely_bad(1..=1430));
    let window = window.prop_map(|(cron, minutes)| json!({"startTime": cron, "durationInMinutes": minutes}));
    let windows = vec(window, 1..3).prop_map(Value::from);
    let version = format!("{VERSIONS}[a-z]{{3,9}}/version/([0-9.]{{1,9}}|[$]default|[$]null)");
    let version = string_regex(&version).expect("a pattern");
    let versions = vec(version, 1..=26).prop_map(Value::from);
    let members = (
        some(rollout.boxed()),
        some(abort.boxed()),
        some(timeout.boxed()),
        some(retries.boxed()),
        some(windows.boxed()),
        some(versions.boxed()),
    );
    members.prop_map(|(rollout, abort, timeout, retries, windows, versions)| {
        let mut template = json!({
            "jobExecutionsRolloutConfig": rollout, "abortConfig": abort, "timeoutConfig": timeout,
            "jobExecutionsRetryConfig": retries, "maintenanceWindows": windows, "destinationPackageVersions": versions,
        });
        template.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        template
    })
}

/// Generates one to three files of a manifest, and its members for the job, with values at the limits of CreateJob and
/// beyond.
fn manifest() -> impl Strategy<Value = (Value, Vec<Value>)> {
    let text = prop_oneof![9 => "[a-zA-Z0-9 .,:/ä-ü]{1,40}", 1 => "\\PC{0,40}", 1 => "[a\n\u{200b}]{1,9}"];
    let key = prop_oneof![9 => "[a-zA-Z][a-zA-Z0-9 _.:/=+@-]{0,30}", 1 => "\\PC{0,9}|aws:[a-z]{1,9}"];
    let value = prop_oneof![20 => "[a-zA-Z0-9 .:/ä-ü]{0,40}", 1 => "\\PC{0,40}"];
    let tag = (key, value).prop_map(|(key, value)| json!({"Key": key, "Value": value}));
    let seconds = prop_oneof![20 => 60..=3600_i32, 1 => Just(59), 1 => Just(3601)];
    let members = (
        template(),
        option::weighted(0.4, text),
        option::weighted(0.4, vec(tag, 1..3)),
        option::weighted(0.2, seconds),
        option::weighted(
            0.05,
            prop::sample::select(vec!["jobId", "targets", "document", "namespaceId", "abortconfig"]),
        ),
    );
    let members = members.prop_map(|(mut members, description, tags, seconds, rejected_member)| {
        let windows = members["maintenanceWindows"].take();
        let config = json!({
            "schedulingConfig": (!windows.is_null()).then(|| json!({"maintenanceWindows": windows})),
            "description": description, "tags": tags, "presignedUrlConfig": seconds.map(|seconds| json!({"expiresInSec": seconds})),
        });
        let object = members.as_object_mut().expect("an object");
        object.extend(config.as_object().expect("an object").clone());
        if let Some(rejected_member) = rejected_member {
            object.insert(rejected_member.to_owned(), json!("x"));
        }
        object.retain(|_, value| !value.is_null());
        members
    });
    let file = (
        option::weighted(0.5, prop_oneof![20 => "[A-Za-z0-9._/-]{1,64}", 1 => "\\PC{0,70}"]),
        option::weighted(0.5, prop_oneof![20 => 0..=255_i32, 1 => Just(256), 1 => Just(-1)]),
        option::weighted(0.5, prop_oneof![20 => 0..=255_i32, 1 => Just(256), 1 => Just(-1)]),
        option::weighted(0.3, prop::sample::select(vec![PROFILE, "OtherProfile"])),
    );
    let file = file.prop_map(|(path, id, kind, profile)| {
        let mut file = json!({"filePath": path, "fileId": id, "fileType": kind, "signingProfile": profile});
        file.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        file
    });
    (members, vec(file, 1..4))
}

/// Changes the value at an index, counted depth first. By `how`: 0 sets `null`, 1 sets text, 2 adds a fraction of zero
/// to a number, 3 removes the value, and 4 adds an unknown member to an object.
fn change(value: &mut Value, at: &mut usize, how: u8) {
    let change_one = |value: &mut Value, how| match how {
        0 => *value = Value::Null,
        1 => *value = json!("x"),
        2 => *value = value.as_i64().map_or(json!(true), |number| json!(format!("{number}.0").parse::<f64>().ok())),
        _ => {
            if let Value::Object(members) = value {
                members.insert("unknown".to_owned(), json!(1));
            }
        }
    };
    match value {
        Value::Object(members) => {
            let names: Vec<_> = members.keys().cloned().collect();
            for name in names {
                if *at == 0 && how == 3 {
                    members.remove(&name);
                } else if *at == 0 {
                    change_one(&mut members[&name], how);
                } else {
                    *at -= 1;
                    change(&mut members[&name], at, how);
                    continue;
                }
                // Leaves all other values unchanged.
                *at = usize::MAX;
                return;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| change(item, at, how)),
        _ => {}
    }
}

/// Generates numbers in a range. A few are just outside.
fn rarely_bad(range: std::ops::RangeInclusive<i32>) -> impl Strategy<Value = i32> {
    let (minimum, maximum) = (*range.start(), *range.end());
    prop_oneof![50 => range, 1 => Just(minimum - 1), 1 => Just(maximum + 1)]
}

#[tokio::test(start_paused = true)]
async fn generated_tags_templates_and_manifests_result_in_requests_or_reasons() {
    let key = prop_oneof!["[a-z0-9._-]{1,30}", "\\PC{1,250}", "[\\x00-\\x7f]{1,60}"];
    let key = key.prop_filter("a file name", |key| !key.is_empty() && !key.ends_with('/'));
    let changes = option::weighted(0.2, (0..40_usize, 0..5_u8));
    let cases = (key, tags(), template(), option::weighted(0.4, manifest()), changes);
    let generated: Vec<_> = patterns().into_iter().map(|(tag, _)| tag).collect();
    let others: Vec<_> = VOCABULARY.into_iter().filter(|tag| !generated.contains(tag)).collect();
    assert_eq!(others, SIGNATURE_TAGS, "all other tags are generated");
    let mut runner = TestRunner::deterministic();
    let (mut lines, mut outcomes, mut manifests, mut created_manifests) = (String::new(), [0, 0], String::new(), 0);
    for _ in 0..CASES {
        let (mut key, mut tags, template, manifest, changes) = cases.new_tree(&mut runner).expect("a case").current();
        let fake = Fake::new();
        let mut bytes = b"an image".to_vec();
        let manifest = manifest.map(|(mut manifest, mut files)| {
            for (at, file) in files.iter_mut().enumerate() {
                let image = fake.upload(&format!("firmware/{key}.{at}"), "an image", &[]);
                (file["key"], file["versionId"]) = (json!(image.key), json!(image.version_id));
            }
            manifest["files"] = json!(files);
            if let Some((mut at, how)) = changes {
                change(&mut manifest, &mut at, how);
            }
            key += ".ota.json";
            bytes = manifest.to_string().into_bytes();
            tags.retain(|(tag, _)| tag != "ota:file-path" && tag != "ota:file-type");
            manifest
        });
        let arns = |request: &Value| {
            let arns = request["destinationPackageVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
            arns.map(|arn| arn.replace("/version/", ":").replace(VERSIONS, "")).collect::<Vec<_>>()
        };
        let mut packages = [arns(&template), manifest.as_ref().map(arns).unwrap_or_default()].concat();
        let mut targets = Vec::new();
        for (tag, value) in &tags {
            let kind = match tag.as_str() {
                "ota:thing-group" => "thinggroup",
                "ota:thing" => "thing",
                "ota:package-version" => {
                    packages.extend(value.split(' ').map(str::to_owned));
                    continue;
                }
                "ota:job-template" => {
                    fake.state().job_templates.insert(value.clone(), template.clone());
                    continue;
                }
                _ => continue,
            };
            targets.extend(value.split(' ').map(|name| &*format!("{kind}/{name}").leak()));
        }
        fake.set(|behavior| behavior.targets = targets);
        fake.add_packages(packages.iter().map(String::as_str), &["PUBLISH"]);
        let tags: Vec<_> = tags.iter().map(|(tag, value)| (tag.as_str(), value.as_str())).collect();
        let upload = fake.upload(&format!("firmware/{key}"), bytes, &tags);
        let open = [("ALLOWED_THING_GROUPS", "*"), ("ALLOWED_THINGS", "*"), ("URL_EXPIRY_SECONDS", "3600")];
        let release = release_with(&fake, &upload, &open).await;
        if let Some(manifest) = manifest {
            let line = json!({"manifest": manifest, "outcome": release["outcome"], "reasons": release["reasons"]});
            manifests += &line.to_string();
            manifests.push('\n');
            created_manifests += usize::from(release["outcome"] == "created");
        }
        match release["outcome"].as_str() {
            Some("created") => outcomes[0] += 1,
            Some("rejected") => {
                assert!(release["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()), "{release}");
                outcomes[1] += 1;
            }
            _ => assert_eq!(release["reason"], "no-tags", "{release}"),
        }
        for (operation, id) in [("StartSigningJob", ""), ("CreateStream", "streamId"), ("CreateJob", "jobId")] {
            for call in fake.calls(operation) {
                let mut parameters = call.json();
                if !id.is_empty() {
                    parameters[id] = call.path.rsplit('/').next().into();
                }
                lines += &json!({"operation": operation, "parameters": parameters}).to_string();
                lines.push('\n');
            }
        }
    }
    let [accepted, rejected] = outcomes;
    report(format_args!("{accepted} accepted, {created_manifests} of them manifests, {rejected} rejected"));
    assert!(accepted >= MIN_OUTCOMES && rejected >= MIN_OUTCOMES, "{accepted} accepted, {rejected} rejected");
    assert!(created_manifests >= MIN_OUTCOMES / 4, "{created_manifests} of manifests");
    for (name, lines) in [("requests.jsonl", lines), ("manifests.jsonl", manifests)] {
        fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), lines).expect("a file");
    }
}
