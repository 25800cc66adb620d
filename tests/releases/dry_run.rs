//! Dry runs: they report the requests of a release, and send none of them.

use crate::support::{
    APP, DRY_RUN, Fake, IMAGE, LAB, RADIO, assert_nothing_created, delete_receipt, document, dry_run, event,
    rejection_reasons, release, release_of_with, release_with, single, upload_image, upload_manifest, without_nonce,
};
use serde_json::{Value, json};

/// A request as a dry run shows it: values from Signer and S3 are placeholders.
fn with_placeholders(mut request: Value) -> Value {
    if let Some(document) = request["document"].as_str() {
        let mut document: Value = serde_json::from_str(document).expect("JSON");
        let file = &mut document["afr_ota"]["files"][0];
        (file["certfile"], file["sig-sha256-ecdsa"]) = ("<from Signer>".into(), "<from Signer>".into());
        if let Some((place, _)) = file["update_data_url"].as_str().and_then(|url| url.rsplit_once('/')) {
            file["update_data_url"] = format!("{place}/<from Signer>%3FversionId%3D<from S3>}}").into();
        }
        request["document"] = document;
    }
    if let Some(Value::Object(location)) = request.pointer_mut("/files/0/s3Location") {
        let key = location["key"].as_str().expect("a key").rsplit_once('/').expect("a prefix").0.to_owned();
        location.insert("key".into(), format!("{key}/<from Signer>").into());
        location.insert("version".into(), "<from S3>".into());
    }
    request
}

#[tokio::test]
async fn a_dry_run_reports_the_requests_of_the_release_and_sends_none() {
    let tags = [
        LAB,
        ("ota:start", "2h"),
        ("ota:end", "2d"),
        ("ota:retries", "failed:2 timed-out:1"),
        ("ota:job-id", "spring"),
        ("ota:timezone", "Etc/GMT+5"),
        ("ota:window", "daily 22:00 2h"),
        ("ota:package-version", "blinky:1.2.0"),
        ("ota:file-path", "/app/blinky.bin"),
        ("ota:file-type", "1"),
    ];
    let header = "ota:thing-group=lab&ota%3Astart=2h&ota:end=2d&ota:retries=failed:2+timed-out%3A1&ota:job-id=spring\
                  &ota:timezone=Etc/GMT%2B5&ota:window=daily+22:00+2h&ota:package-version=blinky:1.2.0\
                  &ota:file-path=/app/blinky.bin&ota:file-type=1";
    let fake = Fake::new();
    let upload = fake.upload("firmware/größe 1.bin", IMAGE, &tags);
    let mut event = event(&upload);
    event["Records"][0]["s3"]["object"]["size"] = IMAGE.len().into();

    let offline = [DRY_RUN, ("DRY_RUN_TAGS", header)];
    let offline = release_of_with(&fake, &event, &offline).await;
    assert_eq!(fake.operations(), Vec::<&str>::new());
    let online = release_of_with(&fake, &event, &[DRY_RUN]).await;
    assert_nothing_created(&fake);
    assert_eq!(offline, online);

    let real = release(&fake, &upload).await;
    assert_eq!(real["outcome"], "created");
    for member in ["bucket", "key", "versionId", "jobId", "streamId", "startTime", "endTime"] {
        assert_eq!(offline[member], real[member], "{member}");
    }
    assert_eq!(offline["startSigningJob"], without_nonce(single(fake.calls("StartSigningJob")).json()));
    let mut stream = with_placeholders(single(fake.calls("CreateStream")).json());
    stream["streamId"] = real["streamId"].clone();
    assert_eq!(offline["createStream"], stream);
    let mut job = with_placeholders(without_nonce(single(fake.calls("CreateJob")).json()));
    job["jobId"] = real["jobId"].clone();
    assert_eq!(with_placeholders(offline["createJob"].clone()), job);
    assert!(offline["createJob"]["document"].as_str().expect("text").contains("\"certfile\":\"<from Signer>\""));
}

#[tokio::test]
async fn a_dry_run_reports_a_stream_only_if_the_protocols_need_one() {
    for (protocols, has_stream) in [("http", false), ("mqtt http", true)] {
        let (fake, upload) = upload_image(&[LAB, ("ota:protocols", protocols)]);
        let dry = dry_run(&fake, &upload).await;
        assert_nothing_created(&fake);
        assert_eq!((dry["createStream"].is_object(), dry["streamId"].is_string()), (has_stream, has_stream));
        let real = release(&fake, &upload).await;
        assert_eq!(dry["streamId"], real["streamId"]);
        let mut job = with_placeholders(without_nonce(single(fake.calls("CreateJob")).json()));
        job["jobId"] = real["jobId"].clone();
        assert_eq!(with_placeholders(dry["createJob"].clone()), job);
        assert!(job["presignedUrlConfig"].is_object());
    }
}

#[tokio::test]
async fn a_dry_run_checks_what_a_release_checks() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", "", &[("ota:thing-group", "eu-missing")]);
    let mut event = event(&upload);
    event["Records"][0]["s3"]["object"]["size"] = 0.into();
    let bad = [DRY_RUN, ("DRY_RUN_TAGS", "ota:thing-group=prod&ota:retries=lots")];
    let bad = release_of_with(&fake, &event, &bad).await;
    assert_eq!((&bad["outcome"], bad["reasons"].as_array().map(Vec::len)), (&json!("rejected"), Some(3)), "{bad}");
    assert_eq!(fake.operations(), Vec::<&str>::new());

    // A dry run that can call AWS also reports problems that only AWS knows.
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[("ota:thing-group", "eu-missing")]);
    let missing = dry_run(&fake, &upload).await;
    assert_eq!(missing["outcome"], "rejected", "{missing}");

    // An existing job is reported, and its missing receipt is not written.
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    release(&fake, &upload).await;
    delete_receipt(&fake, &upload);
    fake.state().calls.clear();
    let adopted = dry_run(&fake, &upload).await;
    assert_eq!(adopted["outcome"], "adopted");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_dry_run_rejects_tags_that_s3_would_reject() {
    let (fake, upload) = upload_image(&[]);
    let dry_run = async |tags: &str| {
        let settings = [DRY_RUN, ("DRY_RUN_TAGS", tags)];
        release_with(&fake, &upload, &settings).await
    };
    let many = |count: usize| (0..count).map(|at| format!("&k{at}=v")).collect::<Vec<_>>().concat();
    assert_eq!(dry_run(&format!("ota:thing-group=lab{}", many(9))).await["outcome"], "dry-run");
    let bad = format!("ota:thing-group=lab&ota:thing-group=eu-1&ota:retries=lots&team={}{}", "x".repeat(257), many(7));
    let reasons = rejection_reasons(&fake, &dry_run(&bad).await);
    assert_eq!(
        reasons[..3],
        [
            "the object has 11 tags, expected at most 10, as S3 allows no more",
            "tag `ota:thing-group` occurs more than once, expected each key once",
            "tag `team` has 257 characters in its value, expected 0 to 256, which S3 allows",
        ]
    );
    assert!(reasons[3].starts_with("tag `ota:retries` is `lots`, expected ") && reasons.len() == 4, "{reasons:?}");
    // A header that S3 would reject is rejected, even without release tags.
    for (header, problem) in [
        (&many(11)[1..], "the object has 11 tags, "),
        (r#"{"TagSet":[{"Key":"ota:thing-group","Value":"lab"}]}"#, "tag `{\"TagSet\":"),
        ("Key=ota:thing-group,Value=lab", "tag `Key` has ',' in its value, "),
        ("=lab", "tag `` has 0 characters in its key, "),
        ("?ota:thing-group=lab", "tag `?ota:thing-group` has '?' in its key, "),
        ("\u{feff}ota:thing-group=lab", "tag `\u{feff}ota:thing-group` has '\\u{feff}' in its key, "),
    ] {
        let reasons = rejection_reasons(&fake, &dry_run(header).await);
        assert!(reasons[0].starts_with(problem), "{header}: {reasons:?}");
    }
    assert_eq!(dry_run("team=x").await["reason"], "no-tags");
}

#[tokio::test]
async fn problems_of_the_tags_are_reported_even_without_a_manifest_or_version_id() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/a.ota.json", "{}", &[]);
    let settings = [DRY_RUN, ("DRY_RUN_TAGS", "ota:thing-group=lab&ota:retries=lots")];
    let reasons = rejection_reasons(&fake, &release_with(&fake, &upload, &settings).await);
    assert!(reasons[0].starts_with("tag `ota:retries` is `lots`, "), "{reasons:?}");
    assert!(reasons[1].starts_with("setting `DRY_RUN_MANIFEST` is not set, ") && reasons.len() == 2, "{reasons:?}");

    let mut unversioned = event(&upload);
    unversioned["Records"][0]["s3"]["object"]["versionId"] = Value::Null;
    let reasons = rejection_reasons(&fake, &release_of_with(&fake, &unversioned, &settings).await);
    assert!(reasons[0].starts_with("the event has no version ID, ") && reasons.len() == 3, "{reasons:?}");
}

#[tokio::test]
async fn a_dry_run_without_aws_needs_the_manifest() {
    let (fake, upload, _) = upload_manifest(&[], |_| ());
    let offline = [DRY_RUN, ("DRY_RUN_TAGS", "ota:thing-group=lab")];
    let result = release_with(&fake, &upload, &offline).await;
    assert_eq!(
        result["reasons"],
        json!([
            "setting `DRY_RUN_MANIFEST` is not set, expected the JSON of this manifest, as no request is sent to AWS"
        ])
    );
    // Without `DRY_RUN_TAGS`, the dry run reads the tags and the manifest from S3.
    let result = dry_run(&fake, &upload).await;
    assert_eq!((&result["outcome"], result["startSigningJobs"].as_array().map(Vec::len)), (&json!("dry-run"), Some(2)));
    let sizes: Vec<_> = document(&result["createJob"])["afr_ota"]["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| file["filesize"].clone())
        .collect();
    assert_eq!(sizes, [APP.len(), RADIO.len()]);
    assert_nothing_created(&fake);
}
