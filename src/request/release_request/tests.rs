use super::*;
use crate::options::name::tests::assert_grammar;
use crate::options::signature::SignatureAlgorithm;
use crate::request::file::SignedBy;
use crate::schedule::times::End;
use crate::settings::tests::settings;
use crate::tags::{
    CERTIFICATE, END, END_BEHAVIOR, FILE_PATH, FILE_TYPE, SIGNATURE, SIGNATURE_ALGORITHM, SIGNING_JOB, SIGNING_PROFILE,
    START, TARGET_SELECTION, THING, THING_GROUP, TIMEZONE, VOCABULARY,
};
use aws_sdk_iot::types::TargetSelection::Continuous;
use aws_sdk_iot::types::{JobExecutionsRolloutConfig, MaintenanceWindow};
use proptest::prelude::*;

const NOW: &str = "2026-11-23T21:40:30Z";
const LAB: (&str, &str) = (THING_GROUP, "lab");
/// By OpenSSL, with a P-256 key.
const ECDSA: &str = "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";

/// Collects tags; of two values of one tag, the last.
fn tags(tags: &[(&str, &str)]) -> Tags {
    Tags(tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect())
}

fn check(tags: &Tags, template: Option<&JobConfig>, variables: &[(&str, &str)]) -> Result<ReleaseRequest, Vec<String>> {
    let upload = Upload::new("b".into(), "firmware/a.bin".into(), "v1".into());
    let inputs = Inputs { upload: &upload, tags, manifest: None, template };
    ReleaseRequest::check(inputs, &settings(variables).unwrap(), NOW.parse().unwrap())
}

fn request(list: &[(&str, &str)]) -> Result<ReleaseRequest, Vec<String>> {
    let variables =
        [("ALLOWED_THINGS", "thing-*"), ("ALLOWED_SIGNING_PROFILES", "Other_2"), ("ALLOW_UNVERIFIED", "true")];
    check(&tags(list), None, &variables)
}

fn windows() -> Vec<MaintenanceWindow> {
    vec![MaintenanceWindow::builder().start_time("cron(0 2 * * ? *)").duration_in_minutes(60).build().unwrap()]
}

#[test]
fn without_further_tags_a_release_is_the_scenario_of_the_aws_sample() {
    let request = request(&[LAB]).unwrap();
    assert_eq!(request.targets, [Target::ThingGroup("lab".into())]);
    assert_eq!(request.schedule.start, "1h".parse().unwrap());
    assert_eq!(request.schedule.end, "1h".parse().unwrap());
    assert_eq!(request.retries.to_config().unwrap().criteria_list()[0].number_of_retries(), 3);
    assert_eq!(request.timeout.to_config().in_progress_timeout_in_minutes(), Some(10));
    assert_eq!(request.files[0].signed_by, SignedBy::Profile("OtaSigning".parse().unwrap()));
    assert_eq!(request.job_id, None);
}

#[test]
fn every_tag_is_read() {
    let request = request(&[
        LAB,
        (THING, "thing-1"),
        (END_BEHAVIOR, "force-cancel"),
        (RETRIES, "failed:2 timed-out:8"),
        (TIMEOUT, "7d"),
        (PROTOCOLS, "http"),
        (JOB_TEMPLATE, "canary"),
        (PACKAGE_VERSION, "blinky:1.2.0 radio:2.0-rc.1"),
        (SIGNING_PROFILE, "Other_2"),
        (JOB_ID, "spring_24-1"),
        (FILE_PATH, "/app"),
        (FILE_TYPE, "7"),
    ])
    .unwrap();
    assert_eq!(request.targets.len(), 2);
    assert_eq!(request.schedule.end_behavior, "force-cancel".parse().unwrap());
    assert_eq!(request.retries, "failed:2 timed-out:8".parse().unwrap());
    assert_eq!(request.timeout.minutes(), 7 * 24 * 60);
    assert_eq!(request.protocols, Protocols::Http);
    assert_eq!(request.job_template, "canary".parse().ok());
    assert_eq!(
        request.package_arns(&settings(&[]).unwrap()).unwrap(),
        [
            "arn:aws:iot:us-east-1:111122223333:package/blinky/version/1.2.0",
            "arn:aws:iot:us-east-1:111122223333:package/radio/version/2.0-rc.1"
        ]
    );
    assert_eq!(request.files[0].signed_by, SignedBy::Profile("Other_2".parse().unwrap()));
    assert_eq!((&*request.files[0].path.0, request.files[0].kind.0), ("/app", 7));
    let upload = &request.files[0].source;
    assert_eq!(request.job_id(upload), "AFR_OTA-spring_24-1");
    assert_eq!(super::ReleaseRequest { job_id: None, ..request.clone() }.job_id(upload), upload.default_job_id());
}

#[test]
fn a_bad_value_of_any_tag_is_reported_with_the_tag() {
    for tag in VOCABULARY {
        let mut list = vec![LAB, (tag, "?")];
        let start = match tag {
            SIGNATURE => "tag `ota:signature` is no signature by SHA256withECDSA: ".to_owned(),
            _ => format!("tag `{tag}` is `?`, expected "),
        };
        match tag {
            SIGNATURE => list.push((CERTIFICATE, "c")),
            SIGNATURE_ALGORITHM | CERTIFICATE => list.extend([(SIGNATURE, ECDSA)]),
            _ => {}
        }
        if tag == SIGNATURE_ALGORITHM {
            list.push((CERTIFICATE, "c"));
        }
        let problems = request(&list).unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with(&start), "{problems:?}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems =
        request(&[(START, "soon"), (RETRIES, "lots"), ("ota:thing-grup", "lab"), ("ota:x", "")]).unwrap_err();
    let starts = [
        "tag `ota:thing-grup` is not known, did you mean `ota:thing-group`?",
        "tag `ota:x` is not known, expected one of `ota:thing-group`, ",
        "tag `ota:thing-group` is missing, expected the thing groups that get the update",
        "tag `ota:start` is `soon`, expected ",
        "tag `ota:retries` is `lots`, expected ",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:?}");
    assert!(problems.iter().zip(starts).all(|(problem, start)| problem.starts_with(start)), "{problems:?}");
}

#[test]
fn a_tag_takes_precedence_over_manifest_template_and_setting_in_this_order() {
    let config = |minutes: &str| JobConfig { timeout: minutes.parse().ok(), ..JobConfig::default() };
    let (in_manifest, in_template) = (config("2m"), config("3m"));
    let upload = Upload::new("b".into(), "firmware/a.ota.json".into(), "v1".into());
    let json = br#"{"files": [{"key": "firmware/a.bin", "versionId": "v1"}]}"#;
    let settings = settings(&[("DEFAULT_TIMEOUT", "4m")]).unwrap();
    let minutes = |tag: Option<&str>, manifest: &JobConfig, template: &JobConfig| {
        let tags = tags(
            &[&[LAB, (JOB_TEMPLATE, "a")][..], &tag.map(|value| (TIMEOUT, value)).into_iter().collect::<Vec<_>>()]
                .concat(),
        );
        let manifest = Manifest { config: manifest.clone(), ..Manifest::read(json, &upload, &settings) };
        let inputs = Inputs { upload: &upload, tags: &tags, manifest: Some(&manifest), template: Some(template) };
        ReleaseRequest::check(inputs, &settings, NOW.parse().unwrap()).unwrap().timeout.minutes()
    };
    let unset = JobConfig::default();
    assert_eq!(minutes(Some("1m"), &in_manifest, &in_template), 1);
    assert_eq!(minutes(None, &in_manifest, &in_template), 2);
    assert_eq!(minutes(None, &unset, &in_template), 3);
    assert_eq!(minutes(None, &unset, &unset), 4);
}

#[test]
fn a_lifetime_of_presigned_urls_requires_http() {
    let upload = Upload::new("b".into(), "firmware/a.ota.json".into(), "v1".into());
    let json =
        br#"{"files": [{"key": "firmware/a.bin", "versionId": "v1"}], "presignedUrlConfig": {"expiresInSec": 60}}"#;
    let settings = settings(&[]).unwrap();
    let manifest = Manifest::read(json, &upload, &settings);
    let url_expiry = |protocols: &str| {
        let tags = tags(&[LAB, (PROTOCOLS, protocols)]);
        let inputs = Inputs { upload: &upload, tags: &tags, manifest: Some(&manifest), template: None };
        ReleaseRequest::check(inputs, &settings, NOW.parse().unwrap()).map(|request| request.url_expiry.0)
    };
    for protocols in ["http", "mqtt http"] {
        assert_eq!(url_expiry(protocols), Ok(60));
    }
    let problem = "`presignedUrlConfig` is of no use, expected `http` in the tag `ota:protocols`".to_owned();
    assert_eq!(url_expiry("mqtt"), Err(vec![problem]));
}

#[test]
fn each_value_is_logged_with_its_source() {
    let sources = |list: &[(&str, &str)], template: &JobConfig| {
        let tags = tags(&[&[LAB], list].concat());
        check(&tags, Some(template), &[]).unwrap().value_sources(&tags)
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
fn a_missing_job_template_rejects_the_uploader_only_if_a_tag_names_it() {
    let result = |list: &[(&str, &str)], variables: &[(&str, &str)]| {
        let tags = tags(list);
        let failure = Failure::request("describing the job template", "it does not exist");
        check(&tags, None, variables).unwrap().missing_template(&tags, failure)
    };
    let by_tag = result(&[LAB, (JOB_TEMPLATE, "canary")], &[]);
    assert!(
        matches!(by_tag, NotReleased::Rejected(RejectionKind::JobTemplate, reasons) if reasons[0].starts_with("tag `ota:job-template` is `canary`, "))
    );
    assert!(matches!(result(&[LAB], &[("DEFAULT_JOB_TEMPLATE", "canary")]), NotReleased::Failed(_)));
}

#[test]
fn options_that_depend_on_the_job_template_are_checked_once_it_is_known() {
    let tags = tags(&[LAB, (JOB_TEMPLATE, "a"), (START, "now")]);
    let check = |template: Option<&JobConfig>| check(&tags, template, &[("DEFAULT_END", "30m")]);
    assert!(check(None).is_ok());
    let request = check(Some(&JobConfig { windows: windows(), ..JobConfig::default() })).unwrap();
    assert_eq!((request.schedule.end, request.target_selection.0), (End::Never, Continuous));
    let problems = check(Some(&JobConfig::default())).unwrap_err();
    assert!(problems[0].contains("`DEFAULT_END` is "), "{problems:?}");
}

#[test]
fn a_signed_file_is_not_signed_again() {
    let job = (SIGNING_JOB, "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01");
    let signed_by = request(&[LAB, job]).unwrap().files.remove(0).signed_by;
    assert_eq!(signed_by, SignedBy::SigningJob(job.1.parse().unwrap()));
    assert_eq!(
        request(&[LAB, job, (SIGNING_PROFILE, "Other_2")]).unwrap_err(),
        ["tag `ota:signing-profile` is `Other_2`, expected no such tag beside `ota:signing-job`"]
    );
    let custom = request(&[LAB, (SIGNATURE, ECDSA), (CERTIFICATE, "c")]).unwrap().files.remove(0).signed_by;
    assert!(matches!(custom, SignedBy::Custom(_)));
}

#[test]
fn a_profile_that_the_deployment_does_not_allow_is_rejected() {
    assert_eq!(
        request(&[LAB, (SIGNING_PROFILE, "Unknown")]).unwrap_err(),
        [
            "tag `ota:signing-profile` is `Unknown`, expected one of `OtaSigning`, `Other_2` (signing profiles that this \
             deployment allows)"
        ]
    );
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
fn tries_that_do_not_fit_before_the_end_cause_a_warning() {
    let warnings = |list: &[(&str, &str)]| request(list).unwrap().warnings(NOW.parse().unwrap());
    for list in [&[LAB][..], &[LAB, (TIMEOUT, "15m")], &[LAB, (TIMEOUT, "7d"), (END, "never")]] {
        assert_eq!(warnings(list), Vec::<String>::new());
    }
    assert_eq!(
        warnings(&[LAB, (TIMEOUT, "16m")]),
        ["4 tries of 16m each do not fit into the 1h between start and end"]
    );
}

#[test]
fn the_clocks_of_the_zone_cause_warnings() {
    let warnings = |zone: &str| {
        let request = request(&[LAB, (WINDOW, "daily 02:00 2h"), (TIMEZONE, zone)]).unwrap();
        request.warnings(NOW.parse().unwrap())
    };
    let [change] = warnings("Europe/Berlin").try_into().unwrap();
    assert!(change.contains("go forward by 1h on 2027-03-28"), "{change}");
    let [sign] = warnings("Etc/GMT+2").try_into().unwrap();
    assert!(sign.starts_with("`Etc/GMT+2` is UTC-02:00, by the opposite of its sign"), "{sign}");
}

/// The rows of the documented table of tags: the tag, its values, and the default.
fn documented_tags() -> Vec<[&'static str; 3]> {
    let table =
        include_str!("../../../docs/firmware/tags.md").split("\n| tag | value | without it |\n").nth(1).unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches(['|', ' ']).split(" | ").collect::<Vec<_>>().try_into().unwrap()).collect()
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_tag_is_documented() {
    let tags: Vec<_> = documented_tags().into_iter().map(|[tag, ..]| tag.trim_matches('`')).collect();
    assert_eq!(tags, VOCABULARY);
}

#[test]
fn the_values_in_the_readme_are_accepted() {
    // The table also quotes characters, and the form of a window.
    let no_values = ["T", "Z", "/", ".", "_", "-", "AFR_OTA-", "<days> <HH:MM> <duration>", "AllowUnverified"];
    let custom = [(SIGNATURE, ".sig"), (CERTIFICATE, "cert.pem")];
    let mut count = 0;
    for [tag, values, _] in documented_tags() {
        let tag = tag.trim_matches('`');
        let is_value = |value: &&str| !no_values.contains(value) && !VOCABULARY.contains(value);
        for value in in_backticks(values).filter(is_value) {
            let value = match (tag, value.parse::<Minutes>()) {
                (WINDOW, Ok(_)) => format!("daily 02:00 {value}"),
                (WINDOW, Err(_)) => format!("{value} 02:00 1h"),
                _ => value.to_owned(),
            };
            match tag {
                SIGNATURE_ALGORITHM => assert_grammar::<SignatureAlgorithm>(&[&value], &[], ""),
                SIGNATURE | CERTIFICATE => {
                    let list = [&[LAB], &custom[..], &[(tag, &*value)]].concat();
                    assert!(request(&list).is_ok(), "{tag} {value}");
                }
                _ => assert!(request(&[LAB, (tag, &value)]).is_ok(), "{tag} {value}"),
            }
            count += 1;
        }
    }
    assert!(count > 25, "{count}");
}

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let default = request(&[LAB]).unwrap();
    let is_signed_by_default = default.files[0].signed_by == SignedBy::Profile("OtaSigning".parse().unwrap());
    let custom =
        |algorithm: &[(&str, &str)]| request(&[&[LAB, (SIGNATURE, ECDSA), (CERTIFICATE, "c")], algorithm].concat());
    // Defaults that no value of the tag expresses.
    let in_words = [
        (THING_GROUP, "required, or `ota:thing`", request(&[]).is_err() && request(&[(THING, "thing-1")]).is_ok()),
        (THING, "no single things", default.targets == [Target::ThingGroup("lab".into())]),
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
        let tag = tag.trim_matches('`');
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
        *tag == "`ota:end`" && without.ends_with("with a window, or `continuous`: `never`")
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
