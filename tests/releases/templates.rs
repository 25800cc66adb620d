//! Releases with a job template: what of it reaches the job, and what becomes of one that is missing or no good.

use crate::{
    fake::{ACCOUNT, Fake, REGION},
    releases::{LAB, assert_nothing_created, event, failure, one, release, run_with, setting},
};
use ota_on_upload::{handler::Function, settings::Settings, upload::Upload};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

const CANARY: (&str, &str) = ("ota:job-template", "canary");

fn version(package: &str) -> String {
    format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/{package}/version/1.0")
}

/// A template with all that a template may have.
fn full() -> Value {
    json!({
        "jobTemplateId": "canary", "description": "slowly", "document": "{\"of\":\"another operation\"}",
        "presignedUrlConfig": {"roleArn": "arn:aws:iam::111122223333:role/other", "expiresInSec": 60},
        "jobExecutionsRolloutConfig": {
            "maximumPerMinute": 50,
            "exponentialRate": {
                "baseRatePerMinute": 5, "incrementFactor": 1.5,
                "rateIncreaseCriteria": {"numberOfSucceededThings": 10},
            },
        },
        "abortConfig": {"criteriaList": [
            {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 2.5, "minNumberOfExecutedThings": 20},
        ]},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
        "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 1}]},
        "maintenanceWindows": [
            {"startTime": "cron(0 2 ? * SAT#1 *)", "durationInMinutes": 60},
            {"startTime": "cron(0 4 LW * ? *)", "durationInMinutes": 90},
        ],
        "destinationPackageVersions": [version("blinky"), format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/old/version/$null")],
    })
}

/// A world with the template `canary`, and an upload with these tags beside the thing group.
fn world(template: Value, tags: &[(&str, &str)]) -> (Arc<Fake>, Upload) {
    let fake = Fake::new();
    fake.state().job_templates.insert("canary".to_owned(), template);
    let tags: Vec<_> = [LAB].iter().chain(tags).copied().collect();
    let upload = fake.upload("firmware/blinky.bin", "an image", &tags);
    (fake, upload)
}

/// The members of CreateJob that a template may give.
async fn of_template(template: Value, tags: &[(&str, &str)]) -> Value {
    let (fake, upload) = world(template, tags);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let mut job = one(fake.calls("CreateJob")).json();
    assert!(job.get("jobTemplateArn").is_none() && job.get("presignedUrlConfig").is_none(), "{job}");
    assert!(job["document"].as_str().expect("a document").starts_with("{\"afr_ota\":"), "{job}");
    for member in ["document", "description", "targets"] {
        job.as_object_mut().expect("an object").remove(member);
    }
    job
}

#[tokio::test]
async fn all_that_a_template_says_reaches_the_job_but_for_its_document() {
    let full = full();
    let job = of_template(full.clone(), &[CANARY]).await;
    assert_eq!(
        job,
        json!({
            "jobExecutionsRolloutConfig": full["jobExecutionsRolloutConfig"], "abortConfig": full["abortConfig"],
            "timeoutConfig": full["timeoutConfig"], "jobExecutionsRetryConfig": full["jobExecutionsRetryConfig"],
            "destinationPackageVersions": full["destinationPackageVersions"], "targetSelection": "CONTINUOUS",
            "schedulingConfig": {"startTime": "2026-11-23T22:41", "maintenanceWindows": full["maintenanceWindows"]},
        })
    );
}

#[tokio::test]
async fn tags_go_before_the_template() {
    let full = full();
    let tags = [
        CANARY,
        ("ota:timeout", "1h"),
        ("ota:retries", "failed:2"),
        ("ota:window", "daily 02:00 2h"),
        ("ota:package-version", "radio:2.0"),
        ("ota:start", "now"),
        ("ota:end", "2d"),
    ];
    assert_eq!(
        of_template(full.clone(), &tags).await,
        json!({
            "jobExecutionsRolloutConfig": full["jobExecutionsRolloutConfig"], "abortConfig": full["abortConfig"],
            "timeoutConfig": {"inProgressTimeoutInMinutes": 60},
            "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}]},
            "destinationPackageVersions": [format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/radio/version/2.0")],
            "targetSelection": "CONTINUOUS",
            "schedulingConfig": {
                "endTime": "2026-11-25T21:41", "endBehavior": "CANCEL",
                "maintenanceWindows": [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 120}],
            },
        })
    );
}

#[tokio::test]
async fn what_the_template_leaves_open_is_as_without_one() {
    let without = of_template(json!({}), &[]).await;
    assert_eq!(of_template(json!({}), &[CANARY]).await, without);
    // As AWS IoT tells it.
    let nothing = json!({
        "jobExecutionsRolloutConfig": {"exponentialRate": null, "maximumPerMinute": null}, "abortConfig": null,
        "timeoutConfig": {"inProgressTimeoutInMinutes": null}, "jobExecutionsRetryConfig": {"criteriaList": []},
        "presignedUrlConfig": {"expiresInSec": null, "roleArn": null}, "maintenanceWindows": null,
        "destinationPackageVersions": null,
    });
    assert_eq!(of_template(nothing, &[CANARY]).await, without);
    let constant = json!({"jobExecutionsRolloutConfig": {"maximumPerMinute": 1000}, "timeoutConfig": {}});
    let job = of_template(constant, &[CANARY]).await;
    assert_eq!(job["jobExecutionsRolloutConfig"], json!({"maximumPerMinute": 1000}));
    assert_eq!(job["timeoutConfig"], json!({"inProgressTimeoutInMinutes": 10}));
    assert_eq!(job["targetSelection"], "SNAPSHOT");
}

#[tokio::test]
async fn windows_of_the_template_alone_make_a_schedule() {
    let windows = json!([{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 60}]);
    let job = of_template(json!({"maintenanceWindows": windows}), &[CANARY, ("ota:start", "now")]).await;
    assert_eq!(job["schedulingConfig"], json!({"maintenanceWindows": windows}));
}

#[tokio::test]
async fn the_setting_names_the_template_of_releases_that_name_none() {
    for (tags, expected) in [(vec![], 30), (vec![("ota:job-template", "other")], 10)] {
        let (fake, upload) = world(full(), &tags);
        fake.state().job_templates.insert("other".to_owned(), json!({}));
        let settings = [("DEFAULT_JOB_TEMPLATE", "canary")];
        let releases = run_with(&fake, &event(&upload), &settings).await.expect("no failure");
        assert_eq!(releases[0]["outcome"], "created");
        assert_eq!(one(fake.calls("CreateJob")).json()["timeoutConfig"]["inProgressTimeoutInMinutes"], expected);
    }
}

#[tokio::test]
async fn a_template_that_is_missing_is_for_whoever_named_it() {
    let (fake, upload) = world(json!({}), &[("ota:job-template", "canari")]);
    let rejected = release(&fake, &upload).await;
    assert_eq!(rejected["outcome"], "rejected");
    assert_eq!(
        rejected["reasons"],
        json!(["tag `ota:job-template` is `canari`, expected the ID of a job template that AWS IoT has in the \
                deployment's account and region"])
    );
    assert_nothing_created(&fake);

    let (fake, upload) = world(json!({}), &[]);
    let failed = run_with(&fake, &event(&upload), &[("DEFAULT_JOB_TEMPLATE", "canari")]).await.expect_err("a failure");
    assert!(failed.contains("looking up the job template `canari`: "), "{failed}");
    assert!(failed.contains("ResourceNotFoundException"), "{failed}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_template_that_cannot_be_looked_up_fails_the_release_until_it_can() {
    let (fake, upload) = world(full(), &[CANARY]);
    fake.instead_of("DescribeJobTemplate", 403, "AccessDeniedException");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("looking up the job template `canary`: ") && failed.contains("AccessDenied"), "{failed}");
    assert_nothing_created(&fake);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    // The job is there: its template does not matter any more.
    fake.state().job_templates.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
}

#[tokio::test]
async fn a_template_that_breaks_rules_is_rejected_with_all_of_them_before_anything_is_created() {
    let broken = json!({
        "jobExecutionsRolloutConfig": {
            "maximumPerMinute": 1001,
            "exponentialRate": {
                "baseRatePerMinute": 0, "incrementFactor": 5.1, "rateIncreaseCriteria": {"numberOfNotifiedThings": 0},
            },
        },
        "abortConfig": {"criteriaList": [
            {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 100.5, "minNumberOfExecutedThings": 0},
        ]},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 10081},
        "jobExecutionsRetryConfig": {"criteriaList": [
            {"failureType": "FAILED", "numberOfRetries": 6}, {"failureType": "TIMED_OUT", "numberOfRetries": 5},
        ]},
        "maintenanceWindows": [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 1431}],
        "destinationPackageVersions": (0..26).map(|package| version(&format!("p{package}"))).collect::<Vec<_>>(),
    });
    let (fake, upload) = world(broken.clone(), &[CANARY]);
    let rejected = release(&fake, &upload).await;
    let has = |path: &str, is: &str, expected: &str| {
        format!("`{path}` of job template `canary` is {is}, expected {expected}")
    };
    let exponential = |member: &str| format!("jobExecutionsRolloutConfig.exponentialRate.{member}");
    assert_eq!(
        rejected["reasons"],
        json!([
            has("jobExecutionsRolloutConfig.maximumPerMinute", "1001", "1 to 1000"),
            has(&exponential("baseRatePerMinute"), "0", "1 to 1000"),
            has(&exponential("incrementFactor"), "5.1", "1.1 to 5"),
            has(&exponential("rateIncreaseCriteria.numberOfNotifiedThings"), "0", "at least 1"),
            has("abortConfig.criteriaList[0].thresholdPercentage", "100.5", "0 to 100"),
            has("abortConfig.criteriaList[0].minNumberOfExecutedThings", "0", "at least 1"),
            has("maintenanceWindows[0].durationInMinutes", "1431", "1 to 1430"),
            has("destinationPackageVersions", "of 26 versions", "25 at most"),
            has("timeoutConfig.inProgressTimeoutInMinutes", "10081", "1 to 10080"),
            has(
                "jobExecutionsRetryConfig.criteriaList",
                "`failed:6 timed-out:5`",
                "`ALL`, or `FAILED`, `TIMED_OUT` or both, with 0 to 10 retries and 10 in all at most",
            ),
        ])
    );
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn what_is_wrong_with_the_image_is_told_beside_what_is_wrong_with_the_template() {
    let template = json!({"timeoutConfig": {"inProgressTimeoutInMinutes": 0}});
    for (template_id, tags) in
        [("canary", vec![]), ("canari", vec![]), ("fit", vec![("ota:target-selection", "snapshot")])]
    {
        let fake = Fake::new();
        fake.set(|behavior| behavior.platform = "AmazonFreeRTOS-Default");
        fake.state().job_templates.insert("canary".to_owned(), template.clone());
        fake.state().job_templates.insert("fit".to_owned(), full());
        let tags = [vec![LAB, ("ota:job-template", template_id)], tags].concat();
        let upload = fake.upload("firmware/blinky.bin", vec![0; 16 * 1024 * 1024 + 1], &tags);
        let rejected = release(&fake, &upload).await;
        let reasons = rejected["reasons"].as_array().expect("reasons");
        assert_eq!(reasons.len(), 2, "{rejected}");
        assert!(reasons[1].as_str().expect("text").contains("the signing platform"), "{rejected}");
    }
}

#[tokio::test]
async fn windows_of_the_template_are_refused_for_a_snapshot_and_with_an_end_behavior_alone() {
    let (fake, upload) = world(full(), &[CANARY, ("ota:target-selection", "snapshot"), ("ota:end-behavior", "cancel")]);
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!([
            "tag `ota:target-selection` is `snapshot`, expected `continuous`, as AWS IoT takes maintenance windows (job \
             template `canary`) of no other jobs",
            "tag `ota:end-behavior` is `cancel`, expected no such tag, as a continuous release has no end without `ota:end`",
        ])
    );
    assert_nothing_created(&fake);
}

/// The default end may be too near for a start that the tag asks for; windows of the template do without an end.
#[tokio::test]
async fn an_end_by_default_is_judged_once_the_template_is_known() {
    let now = || "2026-11-23T21:40:00Z".parse().expect("a time");
    for (template, outcome) in [(full(), "created"), (json!({}), "rejected")] {
        let (fake, upload) = world(template, &[CANARY, ("ota:start", "now")]);
        fake.set(|behavior| behavior.clock = now);
        let lookup = |name: &str| if name == "DEFAULT_END" { Some("30m".to_owned()) } else { setting(name) };
        let settings = Settings::from_lookup(lookup).expect("good settings");
        let function = Function::new(settings, fake.clients()).with_clock(now);
        let done = function.handle(&event(&upload).to_string(), SystemTime::now() + Duration::from_mins(2)).await;
        assert_eq!(json!(done.expect("no failure"))["releases"][0]["outcome"], outcome);
    }
}

#[tokio::test]
async fn a_dry_run_resolves_the_template_where_it_may_call_aws() {
    let (fake, upload) = world(full(), &[CANARY]);
    let online = run_with(&fake, &event(&upload), &[("DRY_RUN", "true")]).await.expect("no failure").remove(0);
    assert_eq!(online["createJob"]["timeoutConfig"]["inProgressTimeoutInMinutes"], 30);
    assert!(online.get("reason").is_none(), "{online}");
    assert_nothing_created(&fake);
    fake.state().calls.clear();

    let offline = [("DRY_RUN", "true"), ("DRY_RUN_TAGS", "ota:thing-group=lab&ota:job-template=canary")];
    let offline = run_with(&fake, &event(&upload), &offline).await.expect("no failure").remove(0);
    assert_eq!(fake.operations(), Vec::<&str>::new());
    assert_eq!(offline["outcome"], "dry-run");
    assert_eq!(
        offline["reason"],
        "the job template `canary` is unresolved, as AWS is called for nothing: `createJob` is without what it says"
    );
    assert_eq!(offline["createJob"]["timeoutConfig"]["inProgressTimeoutInMinutes"], 10);
    assert_eq!(offline["createJob"]["schedulingConfig"]["endTime"], "2026-11-23T23:41");
}
