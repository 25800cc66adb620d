use super::*;
use crate::options::signature::SignatureAlgorithm;
use crate::request::file::SignedBy;
use crate::schedule::times::End;
use crate::settings::tests::settings;
use crate::tags::{
    CERTIFICATE, END, FILE_PATH, FILE_TYPE, SIGNATURE, SIGNATURE_ALGORITHM, SIGNING_JOB, SIGNING_PROFILE, START,
    TARGET_SELECTION, THING, THING_GROUP, TIMEZONE, VOCABULARY,
};
use aws_sdk_iot::types::TargetSelection::Continuous;
use aws_sdk_iot::types::{JobExecutionsRolloutConfig, MaintenanceWindow};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: &str = "2026-11-23T21:40:30Z";
const LAB: (&str, &str) = (THING_GROUP, "lab");
/// A signature by OpenSSL with a P-256 key.
const ECDSA: &str = "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";

/// Collects tags. If a tag occurs twice, the last value applies.
fn tags(tags: &[(&str, &str)]) -> Tags {
    Tags(tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect())
}

/// Checks the request of an image, or of a manifest of one file with these other members.
fn check(
    tags: &Tags,
    manifest: Option<Value>,
    template: Option<&JobConfig>,
    variables: &[(&str, &str)],
) -> Result<ReleaseRequest, Vec<String>> {
    let settings = settings(variables).unwrap();
    let upload = Upload::new("b".into(), "firmware/a.bin".into(), "v1".into());
    let manifest = manifest.map(|mut json| {
        json["files"] = json!([{"key": "firmware/b.bin", "versionId": "v1"}]);
        Manifest::read(json.to_string().as_bytes(), &upload, &settings)
    });
    let inputs = Inputs { upload: &upload, tags, manifest: manifest.as_ref(), template };
    ReleaseRequest::check(inputs, &settings, NOW.parse().unwrap())
}

fn request(list: &[(&str, &str)]) -> Result<ReleaseRequest, Vec<String>> {
    let variables =
        [("ALLOWED_THINGS", "thing-*"), ("ALLOWED_SIGNING_PROFILES", "Other_2"), ("ALLOW_UNVERIFIED", "true")];
    check(&tags(list), None, None, &variables)
}

fn windows() -> Vec<MaintenanceWindow> {
    vec![MaintenanceWindow::builder().start_time("cron(0 2 * * ? *)").duration_in_minutes(60).build().unwrap()]
}

#[test]
fn every_tag_is_read() {
    let request = request(&[
        LAB,
        (RETRIES, "failed:2 timed-out:8"),
        (TIMEOUT, "7d"),
        (PROTOCOLS, "http"),
        (JOB_TEMPLATE, "canary"),
        (PACKAGE_VERSION, "blinky:1.2.0"),
        (SIGNING_PROFILE, "Other_2"),
        (JOB_ID, "spring_24-1"),
        (FILE_PATH, "/app"),
        (FILE_TYPE, "7"),
    ])
    .unwrap();
    assert_eq!((request.retries.total(), request.timeout.minutes()), (10, 7 * 24 * 60));
    assert_eq!((request.protocols, &request.job_template), (Protocols::Http, &"canary".parse().ok()));
    let package = "arn:aws:iot:us-east-1:111122223333:package/blinky/version/1.2.0".to_owned();
    assert_eq!(request.package_arns(&settings(&[]).unwrap()), Some(vec![package]));
    let file = &request.files[0];
    assert_eq!(file.signed_by, SignedBy::Profile("Other_2".parse().unwrap()));
    assert_eq!((&*file.path.0, file.kind.0), ("/app", 7));
    assert_eq!(request.job_id(&file.source), "AFR_OTA-spring_24-1");
    let without_id = ReleaseRequest { job_id: None, ..request.clone() };
    assert_eq!(without_id.job_id(&file.source), file.source.default_job_id());
}

#[test]
fn an_invalid_value_is_reported_with_its_tag() {
    let (signature, certificate) = ((SIGNATURE, ECDSA), (CERTIFICATE, "c"));
    for tag in VOCABULARY {
        let others = match tag {
            SIGNATURE => &[certificate][..],
            CERTIFICATE => &[signature],
            SIGNATURE_ALGORITHM => &[signature, certificate],
            _ => &[],
        };
        let problems = request(&[&[LAB], others, &[(tag, "?")]].concat()).unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with(&format!("tag `{tag}` is ")), "{problems:?}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems = request(&[(START, "soon"), (RETRIES, "lots"), ("ota:thing-grup", "lab")]).unwrap_err();
    let tags: Vec<_> = problems.iter().filter_map(|problem| problem.split('`').nth(1)).collect();
    assert_eq!(tags, ["ota:thing-grup", THING_GROUP, START, RETRIES]);
}

#[test]
fn a_tag_takes_precedence_over_manifest_template_and_setting_in_this_order() {
    let minutes = |tag: &[(&str, &str)], manifest: Value, template: Option<&str>| {
        let template = JobConfig { timeout: template.map(|timeout| timeout.parse().unwrap()), ..JobConfig::default() };
        let tags = tags(&[&[LAB, (JOB_TEMPLATE, "a")], tag].concat());
        check(&tags, Some(manifest), Some(&template), &[("DEFAULT_TIMEOUT", "4m")]).unwrap().timeout.minutes()
    };
    let manifest = json!({"timeoutConfig": {"inProgressTimeoutInMinutes": 2}});
    assert_eq!(minutes(&[(TIMEOUT, "1m")], manifest.clone(), Some("3m")), 1);
    assert_eq!(minutes(&[], manifest, Some("3m")), 2);
    assert_eq!(minutes(&[], json!({}), Some("3m")), 3);
    assert_eq!(minutes(&[], json!({}), None), 4);
}

#[test]
fn a_lifetime_of_presigned_urls_requires_http() {
    let url_expiry = |protocols: &str| {
        let manifest = json!({"presignedUrlConfig": {"expiresInSec": 60}});
        check(&tags(&[LAB, (PROTOCOLS, protocols)]), Some(manifest), None, &[]).map(|request| request.url_expiry.0)
    };
    for protocols in ["http", "mqtt http"] {
        assert_eq!(url_expiry(protocols), Ok(60));
    }
    let problem = "`presignedUrlConfig` requires HTTP, expected `http` in the tag `ota:protocols`".to_owned();
    assert_eq!(url_expiry("mqtt"), Err(vec![problem]));
}

#[test]
fn each_value_is_logged_with_its_source() {
    let sources = |list: &[(&str, &str)], template: &JobConfig| {
        let tags = tags(&[&[LAB], list].concat());
        check(&tags, None, Some(template), &[]).unwrap().value_sources(&tags)
    };
    let full = JobConfig {
        rollout: Some(JobExecutionsRolloutConfig::builder().maximum_per_minute(10).build()),
        abort: None,
        timeout: Some("30m".parse().unwrap()),
        retries: Some("failed:2 timed-out:1".parse().unwrap()),
        windows: windows(),
        package_versions: vec!["arn:aws:iot:us-east-1:111122223333:package/a/version/1".to_owned()],
    };
    assert_eq!(sources(&[], &JobConfig::default()), None);
    assert_eq!(
        sources(&[(JOB_TEMPLATE, "canary")], &full).unwrap(),
        "time-out 30m (job template `canary`), retries failed:2 timed-out:1 (job template `canary`), rollout rates (job \
         template `canary`), no abort criteria, maintenance windows (job template `canary`), package versions (job template \
         `canary`); the document of the job template is not used"
    );
    assert_eq!(
        sources(&[(JOB_TEMPLATE, "canary"), (TIMEOUT, "1h"), (WINDOW, "daily 02:00 1h")], &JobConfig::default())
            .unwrap(),
        "time-out 1h (`ota:timeout`), retries timed-out:3 (`DEFAULT_RETRIES`), no rollout rates, no abort criteria, \
         maintenance windows (`ota:window`), no package versions; the document of the job template is not used"
    );
}

#[test]
fn a_missing_job_template_rejects_the_release_only_if_a_tag_names_it() {
    let result = |list: &[(&str, &str)], variables: &[(&str, &str)]| {
        let tags = tags(list);
        let failure = Failure::request("describing the job template", "it does not exist");
        check(&tags, None, None, variables).unwrap().missing_template(&tags, failure)
    };
    let by_tag = result(&[LAB, (JOB_TEMPLATE, "canary")], &[]);
    let NotReleased::Rejected(RejectionKind::JobTemplate, reasons) = by_tag else { panic!("{by_tag:?}") };
    assert!(reasons[0].starts_with("tag `ota:job-template` is `canary`, "), "{reasons:?}");
    assert!(matches!(result(&[LAB], &[("DEFAULT_JOB_TEMPLATE", "canary")]), NotReleased::Failed(_)));
}

#[test]
fn options_that_depend_on_the_job_template_are_checked_after_its_lookup() {
    let tags = tags(&[LAB, (JOB_TEMPLATE, "a"), (START, "now")]);
    let check = |template: Option<&JobConfig>| check(&tags, None, template, &[("DEFAULT_END", "30m")]);
    assert!(check(None).is_ok());
    let request = check(Some(&JobConfig { windows: windows(), ..JobConfig::default() })).unwrap();
    assert_eq!((request.schedule.end, request.target_selection.0), (End::Never, Continuous));
    let problems = check(Some(&JobConfig::default())).unwrap_err();
    assert!(problems[0].contains("`DEFAULT_END` is "), "{problems:?}");
}

#[test]
fn a_file_with_a_signing_job_or_a_signature_is_not_signed_again() {
    let job = (SIGNING_JOB, "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01");
    let signed_by = request(&[LAB, job]).unwrap().files.remove(0).signed_by;
    assert_eq!(signed_by, SignedBy::SigningJob(job.1.parse().unwrap()));
    assert_eq!(
        request(&[LAB, job, (SIGNING_PROFILE, "Other_2")]).unwrap_err(),
        ["tag `ota:signing-profile` is `Other_2`, expected no such tag together with `ota:signing-job`"]
    );
    let custom = request(&[LAB, (SIGNATURE, ECDSA), (CERTIFICATE, "c")]).unwrap().files.remove(0).signed_by;
    assert!(matches!(custom, SignedBy::Custom(_)));
}

#[test]
fn a_certificate_that_expires_before_the_end_causes_a_warning() {
    let warning = |tag: (&str, &str), expires_at: &str| {
        let request = request(&[LAB, tag]).unwrap();
        request.certificate_warning(expires_at.parse().unwrap(), NOW.parse().unwrap())
    };
    assert_eq!(
        warning((END, "2d"), "2026-11-25T22:40:59Z").as_deref(),
        Some("the certificate of the signature expires at 2026-11-25T22:40:59Z, before the job ends")
    );
    for (tag, expires_at, expected) in [
        ((END, "2d"), "2026-11-25T22:41:00Z", false),
        ((END, "never"), "2026-11-23T22:41:00Z", false),
        ((END, "never"), "2026-11-23T22:40:59Z", true),
        ((WINDOW, "sat 02:00 2h"), "2026-11-28T02:00:00Z", false),
        ((WINDOW, "sat 02:00 2h"), "2026-11-28T01:59:59Z", true),
    ] {
        assert_eq!(warning(tag, expires_at).is_some(), expected, "{tag:?} {expires_at}");
    }
}

#[test]
fn tries_that_do_not_fit_before_the_end_and_the_clocks_of_the_zone_cause_warnings() {
    let warnings = |list: &[(&str, &str)]| request(&[&[LAB], list].concat()).unwrap().warnings(NOW.parse().unwrap());
    for list in [&[][..], &[(TIMEOUT, "15m")], &[(TIMEOUT, "7d"), (END, "never")]] {
        assert_eq!(warnings(list), Vec::<String>::new());
    }
    let window = (WINDOW, "daily 02:00 2h");
    for (list, expected) in [
        (&[(TIMEOUT, "16m")][..], "4 tries of 16m each do not fit into the 1h between start and end"),
        (&[window, (TIMEZONE, "Europe/Berlin")], "go forward by 1h on 2027-03-28"),
        (&[window, (TIMEZONE, "Etc/GMT+2")], "`Etc/GMT+2` is UTC-02:00, as its sign is reversed"),
    ] {
        let warnings = warnings(list);
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{warnings:?}");
    }
}

/// The rows of the documented table of tags: the tag, its values, and the default.
fn documented_tags() -> Vec<[&'static str; 3]> {
    let table =
        include_str!("../../../docs/firmware/tags.md").split("\n| tag | value | without it |\n").nth(1).unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with("| "));
    let cells = rows.map(|row| row.trim_matches(['|', ' ']).split(" | ").collect::<Vec<_>>().try_into().unwrap());
    cells.map(|[tag, values, default]: [&str; 3]| [tag.trim_matches('`'), values, default]).collect()
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_tag_is_documented() {
    let tags: Vec<_> = documented_tags().into_iter().map(|[tag, ..]| tag).collect();
    assert_eq!(tags, VOCABULARY);
}

#[test]
fn the_documented_values_are_accepted() {
    // The table also has characters and the form of a window in backticks. These are not values.
    let no_values = ["T", "Z", "/", ".", "_", "-", "AFR_OTA-", "<days> <HH:MM> <duration>", "AllowUnverified"];
    let custom = [(SIGNATURE, ".sig"), (CERTIFICATE, "cert.pem")];
    let mut count = 0;
    for [tag, values, _] in documented_tags() {
        let is_value = |value: &&str| !no_values.contains(value) && !VOCABULARY.contains(value);
        for value in in_backticks(values).filter(is_value) {
            let value = match (tag, value.parse::<Minutes>()) {
                (WINDOW, Ok(_)) => format!("daily 02:00 {value}"),
                (WINDOW, Err(_)) => format!("{value} 02:00 1h"),
                _ => value.to_owned(),
            };
            let others = if [SIGNATURE, CERTIFICATE].contains(&tag) { &custom[..] } else { &[] };
            let is_valid = match tag {
                SIGNATURE_ALGORITHM => value.parse::<SignatureAlgorithm>().is_ok(),
                _ => request(&[&[LAB], others, &[(tag, &*value)]].concat()).is_ok(),
            };
            assert!(is_valid, "{tag} {value}");
            count += 1;
        }
    }
    assert!(count > 25, "{count}");
}

#[test]
fn the_documented_defaults_match_the_code() {
    let default = request(&[LAB]).unwrap();
    let is_signed_by_default = default.files[0].signed_by == SignedBy::Profile("OtaSigning".parse().unwrap());
    let custom =
        |algorithm: &[(&str, &str)]| request(&[&[LAB, (SIGNATURE, ECDSA), (CERTIFICATE, "c")], algorithm].concat());
    // Defaults that the table describes in words, because no value of the tag means the same.
    let in_words = [
        (
            THING_GROUP,
            "required, unless `ota:thing` is set",
            request(&[]).is_err() && request(&[(THING, "thing-1")]).is_ok(),
        ),
        (THING, "no individual things", default.targets == [Target::ThingGroup("lab".into())]),
        (WINDOW, "any time", default.schedule.window.is_none()),
        (JOB_TEMPLATE, "none", default.job_template.is_none() && default.config == JobConfig::default()),
        (PACKAGE_VERSION, "none", default.package_arns(&settings(&[]).unwrap()).is_none()),
        (SIGNING_JOB, "–", is_signed_by_default),
        (SIGNATURE, "–", is_signed_by_default),
        (CERTIFICATE, "–", request(&[LAB, (SIGNATURE, ECDSA)]).is_err()),
        (SIGNATURE_ALGORITHM, "`SHA256withECDSA`", custom(&[]) == custom(&[(SIGNATURE_ALGORITHM, "SHA256withECDSA")])),
        (SIGNING_PROFILE, "the stack's", is_signed_by_default),
        (JOB_ID, "file name and 12 hex digits", default.job_id.is_none()),
        (FILE_PATH, "the file name", default.files[0].path.0 == "a.bin"),
    ];
    for [tag, _, without] in documented_tags() {
        if let Some((_, words, holds)) = in_words.iter().find(|(known, ..)| *known == tag) {
            assert!(without == *words && *holds, "{tag}: {without}");
        } else {
            let value = in_backticks(without).next().unwrap();
            assert!(without.starts_with(&format!("`{value}`")), "{tag}: {without}");
            assert_eq!(request(&[LAB, (tag, value)]).unwrap(), default, "{tag}");
        }
    }
    let window = (WINDOW, "daily 02:00 2h");
    assert!(documented_tags().iter().any(|[tag, _, without]| {
        *tag == END && without.ends_with("or `never` for a `continuous` job or with a window")
    }));
    assert_eq!(request(&[LAB, window, (END, "never")]), request(&[LAB, window]));
    assert_eq!(request(&[LAB, window, (TARGET_SELECTION, "continuous")]), request(&[LAB, window]));
}

proptest! {
    #[test]
    fn no_tags_make_the_check_panic(tag in "\\PC*", value in "\\PC*", which in 0..VOCABULARY.len()) {
        let _ = request(&[(&format!("ota:{tag}"), &value), (VOCABULARY[which], &value)]);
    }
}
