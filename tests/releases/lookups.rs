//! Lookups of the targets and package versions of a release, before anything is created.

use crate::support::{
    ACCOUNT, Fake, IMAGE, LAB, REGION, Upload, assert_nothing_created, deliver, every_fault, failure, failure_with,
    reasons_in_release_and_dry_run, release, release_with, warnings, with_paused_clock,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const IN_ACCOUNT_AND_REGION: &str = "of the deployment's account and region";

fn version_arn(package: &str, version: &str) -> String {
    format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/{package}/version/{version}")
}

#[tokio::test]
async fn every_missing_target_is_rejected_with_all_other_problems() {
    let fake = Fake::new();
    fake.state().jobs.insert("AFR_OTA-taken".to_owned(), json!({"document": "{}", "status": "SCHEDULED"}));
    fake.set(|behavior| behavior.platform = "AmazonFreeRTOS-Default");
    let tags = [
        ("ota:thing-group", "eu-none lab eu-gone"),
        ("ota:thing", "bench-1 bench-9"),
        ("ota:job-id", "taken"),
        ("ota:package-version", "blinky:9.9"),
        ("ota:job-template", "canari"),
    ];
    let upload = fake.upload("firmware/blinky.bin", vec![0; 16 * 1024 * 1024 + 1], &tags);
    let missing = |tag: &str, name: &str, kind: &str| {
        format!("tag `{tag}` is `{name}`, which does not exist, expected {kind} {IN_ACCOUNT_AND_REGION}")
    };
    let reasons = reasons_in_release_and_dry_run(&fake, &upload, &[]).await;
    assert_eq!(
        reasons,
        json!([
            missing("ota:job-template", "canari", "the ID of a job template"),
            missing("ota:package-version", "blinky:9.9", "a package version"),
            "tag `ota:job-id` requests the job ID `AFR_OTA-taken`, which another job has; choose another and upload again",
            missing("ota:thing-group", "eu-none", "a thing group"),
            missing("ota:thing-group", "eu-gone", "a thing group"),
            missing("ota:thing", "bench-9", "a thing"),
            "the object has 16777217 bytes, expected at most 16777216, the maximum of the signing platform \
             `AmazonFreeRTOS-Default`",
        ])
    );
}

#[tokio::test]
async fn a_denied_lookup_fails_the_release() {
    for (operation, message) in [
        ("DescribeThingGroup", "looking up the target `arn:aws:iot:us-east-1:111122223333:thinggroup/lab`"),
        ("DescribeThing", "looking up the target `arn:aws:iot:us-east-1:111122223333:thing/bench-1`"),
        ("GetPackageVersion", "looking up the package version `blinky:1.2.0`"),
    ] {
        let fake = Fake::new();
        let tags = [LAB, ("ota:thing", "bench-1"), ("ota:package-version", "blinky:1.2.0")];
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
        fake.fail_next(operation, 403, "AccessDeniedException");
        let failed = failure(&fake, &upload).await;
        assert!(failed.contains(message) && failed.contains("AccessDenied"), "{failed}");
        assert_nothing_created(&fake);
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
    }
}

/// The place where a release names package versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedIn {
    Tag,
    Manifest,
    Template,
    DefaultTemplate,
}

/// A fake with an upload that names these package versions, and the settings for it.
fn upload_naming(named: NamedIn, versions: &[(&str, &str)]) -> (Arc<Fake>, Upload, Vec<(&'static str, &'static str)>) {
    let fake = Fake::new();
    let image = fake.upload("firmware/image.bin", IMAGE, &[]);
    let arns = json!({
        "destinationPackageVersions": versions.iter().map(|(name, version)| version_arn(name, version)).collect::<Vec<_>>(),
    });
    let tag = versions.iter().map(|(name, version)| format!("{name}:{version}")).collect::<Vec<_>>().join(" ");
    fake.state().job_templates.insert("canary".to_owned(), arns.clone());
    let mut manifest = arns;
    manifest["files"] = json!([{"key": image.key, "versionId": image.version_id}]);
    let upload = match named {
        NamedIn::Tag => fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:package-version", &tag)]),
        NamedIn::Manifest => fake.upload("firmware/blinky.ota.json", manifest.to_string(), &[LAB]),
        NamedIn::Template => fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:job-template", "canary")]),
        NamedIn::DefaultTemplate => fake.upload("firmware/blinky.bin", IMAGE, &[LAB]),
    };
    let settings =
        if named == NamedIn::DefaultTemplate { vec![("DEFAULT_JOB_TEMPLATE", "canary")] } else { Vec::new() };
    (fake, upload, settings)
}

#[tokio::test]
async fn a_missing_package_version_is_rejected_wherever_it_is_named() {
    let versions = [("blinky", "1.2.0"), ("blink", "1"), ("radio", "9")];
    let missing = |place: &str, value: &str| {
        format!("{place} is `{value}`, which does not exist, expected a package version {IN_ACCOUNT_AND_REGION}")
    };
    for named in [NamedIn::Tag, NamedIn::Manifest, NamedIn::Template] {
        let (fake, upload, settings) = upload_naming(named, &versions);
        let expected = [(1, "blink", "1"), (2, "radio", "9")].map(|(at, package, version)| {
            let place = format!("`destinationPackageVersions[{at}]`");
            match named {
                NamedIn::Tag => missing("tag `ota:package-version`", &format!("{package}:{version}")),
                NamedIn::Manifest => missing(&place, &version_arn(package, version)),
                _ => missing(&format!("{place} of job template `canary`"), &version_arn(package, version)),
            }
        });
        assert_eq!(reasons_in_release_and_dry_run(&fake, &upload, &settings).await, json!(expected), "{named:?}");
        assert_eq!(fake.calls("GetPackageVersion").len(), 6);
    }
    // The operator must fix the default template, so the release fails.
    let (fake, upload, settings) = upload_naming(NamedIn::DefaultTemplate, &versions);
    let failed = failure_with(&fake, &upload, &settings).await;
    assert!(failed.contains(&format!("looking up the package version `{}`: ", version_arn("blink", "1"))), "{failed}");
    assert!(failed.contains("ResourceNotFoundException"), "{failed}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_draft_package_version_is_accepted_with_a_warning() {
    for named in [NamedIn::Tag, NamedIn::Manifest, NamedIn::Template, NamedIn::DefaultTemplate] {
        for (actions, is_warned) in [(&[][..], true), (&["PUBLISH"], false), (&["PUBLISH", "DEPRECATE"], false)] {
            let (fake, upload, settings) = upload_naming(named, &[("blinky", "1.2.0"), ("other", "1")]);
            fake.add_packages(["other:1"], actions);
            let warned = warnings(async {
                let created = release_with(&fake, &upload, &settings).await;
                assert_eq!(created["outcome"], "created", "{named:?} {actions:?}");
            });
            let warned = warned.await;
            assert_eq!(warned.contains("the package version `other:1` is a draft"), is_warned, "{named:?} {warned}");
            assert!(!warned.contains("blinky:1.2.0` is a draft"), "{warned}");
            assert_eq!(fake.calls("GetPackageVersion").len(), 2, "each is looked up once");
        }
    }
}

#[tokio::test]
async fn a_package_version_without_a_state_fails_the_release() {
    let (fake, upload, _) = upload_naming(NamedIn::Tag, &[("blinky", "1.2.0")]);
    fake.respond_next("GetPackageVersion", json!({}));
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("lacks `status`"), "{failed}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn default_and_null_package_versions_are_not_looked_up() {
    for named in [NamedIn::Manifest, NamedIn::Template] {
        let (fake, upload, settings) = upload_naming(named, &[("a", "$default"), ("b", "$null")]);
        assert_eq!(release_with(&fake, &upload, &settings).await["outcome"], "created");
        assert_eq!(fake.calls("GetPackageVersion").len(), 0, "{named:?}");
    }
}

/// Each of the 25 lookups takes one second.
#[tokio::test(start_paused = true)]
async fn package_versions_are_looked_up_ten_at_a_time() {
    let names: Vec<_> = (0..25).map(|package| format!("p{package}")).collect();
    let versions: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let (fake, upload, settings) = upload_naming(NamedIn::Template, &versions);
    fake.add_packages(names.iter().map(|name| format!("{name}:1")).collect::<Vec<_>>().iter().map(String::as_str), &[]);
    fake.set(|behavior| behavior.latency = Duration::from_secs(1));
    assert_eq!(release_with(&fake, &upload, &settings).await["outcome"], "created");
    let at: Vec<_> = fake.calls("GetPackageVersion").iter().map(|call| call.responded_at.as_secs()).collect();
    let first = at[0];
    assert_eq!([0, 1, 2].map(|second| at.iter().filter(|at| **at == first + second).count()), [10, 10, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_lookup_is_retried() {
    for operation in ["DescribeThingGroup", "GetPackageVersion"] {
        let (fake, upload, _) = upload_naming(NamedIn::Tag, &[("blinky", "1.2.0")]);
        // The SDK tries a request three times. The function then retries the release.
        for _ in 0..6 {
            fake.fail_next(operation, 400, "ThrottlingException");
        }
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_eq!(fake.calls(operation).len(), 7, "{operation}");
    }
}

#[test]
fn one_fault_at_any_lookup_results_in_one_job() {
    with_paused_clock(async {
        let new_upload = || upload_naming(NamedIn::Template, &[("blinky", "1.2.0"), ("radio", "2.0")]);
        let (fake, upload, _) = new_upload();
        deliver(&fake, &upload, &"no fault").await;
        let calls = fake.state().call_indices.clone();
        let lookups = ["DescribeThingGroup", "DescribeJobTemplate", "GetPackageVersion"];
        let calls: Vec<_> = calls.into_iter().filter(|(operation, _)| lookups.contains(operation)).collect();
        assert_eq!(calls.len(), 4, "{calls:?}");
        for fault in every_fault(&calls) {
            let (fake, upload, _) = new_upload();
            fake.state().faults = vec![fault];
            deliver(&fake, &upload, &fault).await;
            assert_eq!(fake.state().jobs.len(), 1, "{fault:?}");
        }
    });
}
