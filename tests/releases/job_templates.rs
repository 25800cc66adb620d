//! Releases with a job template.

use crate::support::{
    ACCOUNT, DRY_RUN, Fake, LAB, REGION, Upload, assert_nothing_created, dry_run, event, failure, failure_with,
    function_with, invoke, release, release_with, single,
};
use serde_json::{Value, json};
use std::sync::Arc;

const CANARY: (&str, &str) = ("ota:job-template", "canary");

fn version(package: &str) -> String {
    format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/{package}/version/1.0")
}

/// A template with every member that a template can have.
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

/// A fake with the template `canary`, and an upload for the thing group `lab` with these tags.
fn upload_with_template(template: Value, tags: &[(&str, &str)]) -> (Arc<Fake>, Upload) {
    let fake = Fake::new();
    fake.state().job_templates.insert("canary".to_owned(), template);
    let tags: Vec<_> = [LAB].iter().chain(tags).copied().collect();
    let upload = fake.upload("firmware/blinky.bin", "an image", &tags);
    (fake, upload)
}

/// Returns the members of CreateJob that a template can set.
async fn job_members(template: Value, tags: &[(&str, &str)]) -> Value {
    let (fake, upload) = upload_with_template(template, tags);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let mut job = single(fake.calls("CreateJob")).json();
    assert!(job.get("jobTemplateArn").is_none() && job.get("presignedUrlConfig").is_none(), "{job}");
    assert!(job["document"].as_str().expect("a document").starts_with("{\"afr_ota\":"), "{job}");
    for member in ["document", "description", "targets"] {
        job.as_object_mut().expect("an object").remove(member);
    }
    job
}

#[tokio::test]
async fn everything_in_a_template_but_its_document_appears_in_the_job() {
    let full = full();
    let job = job_members(full.clone(), &[CANARY]).await;
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
async fn tags_override_the_template() {
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
        job_members(full.clone(), &tags).await,
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
async fn members_that_the_template_lacks_have_their_defaults() {
    let without = job_members(json!({}), &[]).await;
    assert_eq!(job_members(json!({}), &[CANARY]).await, without);
    // AWS IoT can return members that are not set in these forms.
    let nothing = json!({
        "jobExecutionsRolloutConfig": {"exponentialRate": null, "maximumPerMinute": null}, "abortConfig": null,
        "timeoutConfig": {"inProgressTimeoutInMinutes": null}, "jobExecutionsRetryConfig": {"criteriaList": []},
        "presignedUrlConfig": {"expiresInSec": null, "roleArn": null}, "maintenanceWindows": null,
        "destinationPackageVersions": null,
    });
    assert_eq!(job_members(nothing, &[CANARY]).await, without);
    let constant = json!({"jobExecutionsRolloutConfig": {"maximumPerMinute": 1000}, "timeoutConfig": {}});
    let job = job_members(constant, &[CANARY]).await;
    assert_eq!(job["jobExecutionsRolloutConfig"], json!({"maximumPerMinute": 1000}));
    assert_eq!(job["timeoutConfig"], json!({"inProgressTimeoutInMinutes": 10}));
    assert_eq!(job["targetSelection"], "SNAPSHOT");
}

#[tokio::test]
async fn a_schedule_can_consist_of_the_templates_windows() {
    let windows = json!([{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 60}]);
    let job = job_members(json!({"maintenanceWindows": windows}), &[CANARY, ("ota:start", "now")]).await;
    assert_eq!(job["schedulingConfig"], json!({"maintenanceWindows": windows}));
}

#[tokio::test]
async fn the_setting_names_the_default_template() {
    for (tags, expected) in [(vec![], 30), (vec![("ota:job-template", "other")], 10)] {
        let (fake, upload) = upload_with_template(full(), &tags);
        fake.state().job_templates.insert("other".to_owned(), json!({}));
        let settings = [("DEFAULT_JOB_TEMPLATE", "canary")];
        assert_eq!(release_with(&fake, &upload, &settings).await["outcome"], "created");
        assert_eq!(single(fake.calls("CreateJob")).json()["timeoutConfig"]["inProgressTimeoutInMinutes"], expected);
    }
}

#[tokio::test]
async fn a_missing_template_is_rejected_if_a_tag_names_it_and_a_failure_if_the_setting_does() {
    let (fake, upload) = upload_with_template(json!({}), &[("ota:job-template", "canari")]);
    let rejected = release(&fake, &upload).await;
    assert_eq!(rejected["outcome"], "rejected");
    assert_eq!(
        rejected["reasons"],
        json!(["tag `ota:job-template` is `canari`, which does not exist, expected the ID of a job template of the \
                deployment's account and region"])
    );
    assert_nothing_created(&fake);

    let (fake, upload) = upload_with_template(json!({}), &[]);
    let failed = failure_with(&fake, &upload, &[("DEFAULT_JOB_TEMPLATE", "canari")]).await;
    assert!(failed.contains("looking up the job template `canari`: "), "{failed}");
    assert!(failed.contains("ResourceNotFoundException"), "{failed}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_denied_lookup_of_a_template_fails_the_release() {
    let (fake, upload) = upload_with_template(full(), &[CANARY]);
    fake.fail_next("DescribeJobTemplate", 403, "AccessDeniedException");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains("looking up the job template `canary`: ") && failed.contains("AccessDenied"), "{failed}");
    assert_nothing_created(&fake);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    // An existing job is adopted without its template.
    fake.state().job_templates.clear();
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
}

#[tokio::test]
async fn a_template_is_rejected_with_every_rule_that_it_breaks() {
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
    let (fake, upload) = upload_with_template(broken.clone(), &[CANARY]);
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
            "`destinationPackageVersions` of job template `canary` has 26 members, expected at most 25",
            has("timeoutConfig.inProgressTimeoutInMinutes", "10081", "1 to 10080"),
            has(
                "jobExecutionsRetryConfig.criteriaList",
                "`failed:6 timed-out:5`",
                "`ALL`, or `FAILED`, `TIMED_OUT` or both, with 0 to 10 retries each and at most 10 in total",
            ),
        ])
    );
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn problems_of_the_image_and_of_the_template_are_reported_together() {
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
async fn windows_of_the_template_require_a_continuous_job_and_an_end_for_an_end_behavior() {
    let (fake, upload) =
        upload_with_template(full(), &[CANARY, ("ota:target-selection", "snapshot"), ("ota:end-behavior", "cancel")]);
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!([
            "tag `ota:target-selection` is `snapshot`, expected `continuous`, which AWS IoT requires for maintenance \
             windows (job template `canary`)",
            "tag `ota:end-behavior` is `cancel`, expected no such tag, as a continuous release has no end without `ota:end`",
        ])
    );
    assert_nothing_created(&fake);
}

/// The default end can be too near to the start in the tag. If the template has windows, the release has no default
/// end.
#[tokio::test]
async fn the_default_end_is_checked_after_the_template_is_read() {
    let now = || "2026-11-23T21:40:00Z".parse().expect("a time");
    for (template, outcome) in [(full(), "created"), (json!({}), "rejected")] {
        let (fake, upload) = upload_with_template(template, &[CANARY, ("ota:start", "now")]);
        fake.set(|behavior| behavior.clock = now);
        let function = function_with(&fake, &[("DEFAULT_END", "30m")]).with_clock(now);
        assert_eq!(invoke(&function, &event(&upload)).await.expect("no failure")[0]["outcome"], outcome);
    }
}

#[tokio::test]
async fn a_dry_run_reads_the_template_if_it_can_call_aws() {
    let (fake, upload) = upload_with_template(full(), &[CANARY]);
    let online = dry_run(&fake, &upload).await;
    assert_eq!(online["createJob"]["timeoutConfig"]["inProgressTimeoutInMinutes"], 30);
    assert!(online.get("reason").is_none(), "{online}");
    assert_nothing_created(&fake);
    fake.state().calls.clear();

    let offline = [DRY_RUN, ("DRY_RUN_TAGS", "ota:thing-group=lab&ota:job-template=canary")];
    let offline = release_with(&fake, &upload, &offline).await;
    assert_eq!(fake.operations(), Vec::<&str>::new());
    assert_eq!(offline["outcome"], "dry-run");
    assert_eq!(
        offline["reason"],
        "the job template `canary` is unresolved, as no request is sent to AWS: `createJob` lacks its values"
    );
    assert_eq!(offline["createJob"]["timeoutConfig"]["inProgressTimeoutInMinutes"], 10);
    assert_eq!(offline["createJob"]["schedulingConfig"]["endTime"], "2026-11-23T23:41");
}
