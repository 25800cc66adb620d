//! Releases of manifests: several files in one job.

use crate::support::{
    ACCOUNT, APP, Call, EXTERNAL_SIGNATURE, Fake, IMAGE, LAB, RADIO, REGION, assert_both_released_once,
    assert_nothing_created, deliver, document, event_record, every_fault, extend, failure, first_file, manifest_of_one,
    receipt, rejection_reasons, release, release_unverified, run_with, sign_in_advance, signed_prefix, single,
    upload_manifest, utf_16, with_paused_clock, without_nonce,
};
use serde_json::{Value, json};

#[tokio::test]
async fn the_files_of_a_manifest_become_one_signed_streamed_job() {
    let (fake, upload, [app, radio]) = upload_manifest(&[("ota:start", "2h")], |_| ());
    let created = release(&fake, &upload).await;
    assert_eq!((&created["outcome"], &created["jobId"]), (&json!("created"), &json!(upload.default_job_id())));
    assert_eq!(created["streamId"], upload.stream_id());
    assert_both_released_once(&fake, &upload).await;

    // Each file is signed below its own prefix. The only record is that of the manifest.
    let prefix = signed_prefix(&upload);
    let signed: Vec<_> = fake.calls("StartSigningJob").iter().map(Call::json).collect();
    for ((request, file), id) in signed.iter().zip([&app, &radio]).zip(["0", "7"]) {
        let source = &request["source"]["s3"];
        assert_eq!((&source["key"], &source["version"]), (&json!(file.key), &json!(file.version_id)));
        assert_eq!(request["destination"]["s3"]["prefix"], format!("{prefix}{id}/"));
    }
    assert_eq!(signed.len(), 2);
    let below: Vec<_> = fake.state().objects.keys().filter(|(_, key)| key.starts_with(&prefix)).cloned().collect();
    let below: Vec<_> = below.iter().map(|(_, key)| key[prefix.len()..].split_once('/').map(|(id, _)| id)).collect();
    assert_eq!(below, [Some("0"), Some("7"), None]);

    // The profile is looked up once for both files.
    assert_eq!(fake.calls("GetSigningProfile").len(), 1);
    let again = release(&fake, &upload).await;
    assert_eq!((&again["outcome"], &again["jobArn"]), (&json!("adopted"), &created["jobArn"]));
    assert_both_released_once(&fake, &upload).await;
}

#[tokio::test]
async fn a_manifest_and_its_files_are_skipped_without_tags() {
    let (fake, _, files) = upload_manifest(&[], |_| ());
    let untagged = fake.upload("firmware/other.ota.json", "{}", &[]);
    for upload in files.iter().chain([&untagged]) {
        assert_eq!(release(&fake, upload).await["reason"], "no-tags");
    }
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn the_case_of_a_manifests_name_does_not_matter() {
    for key in ["firmware/GW.OTA.JSON", "firmware/Gw.Ota.Json", "firmware/gw.ota.JSON"] {
        let fake = Fake::new();
        let json = manifest_of_one(&fake, json!({"filePath": "/app.bin"})).to_string();
        let upload = fake.upload(key, json, &[LAB]);
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{key}");
        assert_eq!((&first_file(&fake)["filepath"], fake.calls("StartSigningJob").len()), (&json!("/app.bin"), 1));
        assert_eq!(fake.streamed(&upload.stream_id()).await, IMAGE);
    }
}

#[tokio::test]
async fn a_manifest_under_another_name_is_rejected_and_other_json_is_an_image() {
    let wrong_name = "the object names files as a manifest does; expected a name that ends in `.ota.json`";
    for key in
        ["firmware/gw.json", "firmware/gw-ota.json", "firmware/GW.JSON.bak", "firmware/gw.jsn", "firmware/Gw.Txt"]
    {
        let fake = Fake::new();
        let json = manifest_of_one(&fake, json!({"fileType": "0"}));
        for bytes in [json.to_string().into_bytes(), utf_16(&json.to_string())] {
            let upload = fake.upload(key, bytes, &[LAB]);
            let reasons = rejection_reasons(&fake, &release(&fake, &upload).await);
            assert_eq!(reasons, [wrong_name, "`files[0].fileType` is a string, expected a whole number"]);
        }
    }
    for json in [json!({"files": ["a"]}), json!({"rules": [{"key": "a", "versionId": "b"}]})] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/rules.json", json.to_string(), &[LAB]);
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{json}");
        assert_eq!(fake.streamed(&upload.stream_id()).await, json.to_string());
    }
    let fake = Fake::new();
    let upload = fake.upload("firmware/large.json", vec![b' '; 65_537], &[LAB]);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
}

#[tokio::test]
async fn an_event_with_a_manifest_and_an_image_releases_both() {
    let (fake, upload, _) = upload_manifest(&[], |_| ());
    let image = fake.upload("firmware/blinky.bin", APP, &[LAB]);
    let event =
        json!({"Records": [event_record(&upload, "ObjectCreated:Put"), event_record(&image, "ObjectCreated:Put")]});
    let released = run_with(&fake, &event, &[]).await.expect("no failure");
    assert_eq!((&released[0]["outcome"], &released[1]["outcome"]), (&json!("created"), &json!("created")));
}

#[tokio::test]
async fn each_file_has_its_own_presigned_url() {
    for protocols in ["http", "mqtt http"] {
        let (fake, upload, _) = upload_manifest(&[("ota:protocols", protocols)], |manifest| {
            manifest["presignedUrlConfig"] = json!({"expiresInSec": 600});
        });
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_both_released_once(&fake, &upload).await;
        let job = single(fake.calls("CreateJob")).json();
        assert_eq!(job["presignedUrlConfig"]["expiresInSec"], 600);
        let files = document(&job)["afr_ota"]["files"].as_array().expect("files").clone();
        assert_ne!(files[0]["update_data_url"], files[1]["update_data_url"]);
        assert!(files.iter().all(|file| file["auth_scheme"] == "aws.s3.presigned"));
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    }
}

/// Every member of the job that a manifest can set.
fn job() -> Value {
    let version = |name: &str| format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/{name}");
    json!({
        "description": "Gateway 2.0: größer",
        "jobExecutionsRolloutConfig": {
            "maximumPerMinute": 50,
            "exponentialRate": {
                "baseRatePerMinute": 5, "incrementFactor": 1.5, "rateIncreaseCriteria": {"numberOfSucceededThings": 10},
            },
        },
        "abortConfig": {"criteriaList": [
            {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 2.25, "minNumberOfExecutedThings": 20},
            {"failureType": "TIMED_OUT", "action": "CANCEL", "thresholdPercentage": 10.0, "minNumberOfExecutedThings": 5},
        ]},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
        "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 1}]},
        "schedulingConfig": {"maintenanceWindows": [
            {"startTime": "cron(0 2 ? * SAT#1 *)", "durationInMinutes": 60},
            {"startTime": "cron(0 4 LW * ? *)", "durationInMinutes": 90},
        ]},
        "destinationPackageVersions": [
            version("app/version/2.0"), version("radio/version/$default"), version("old/version/$null"),
        ],
        "tags": [{"Key": "team", "Value": "gateways"}, {"Key": "cost:center", "Value": "7"}],
    })
}

#[tokio::test]
async fn the_members_of_a_manifest_appear_in_the_job() {
    let (fake, upload, _) = upload_manifest(&[("ota:start", "now")], |manifest| extend(manifest, job()));
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let sent = single(fake.calls("CreateJob")).json();
    let sent = without_nonce(sent);
    let mut expected = job();
    expected["description"] = "Gateway 2.0: größer (release <from the record>)".into();
    for (member, value) in expected.as_object().expect("an object") {
        assert_eq!(&sent[member], value, "{member}");
    }
    assert_eq!(sent["targetSelection"], "CONTINUOUS");
}

#[tokio::test]
async fn tags_override_the_manifest_and_the_manifest_overrides_the_job_template() {
    let tags = [
        ("ota:timeout", "45m"),
        ("ota:window", "daily 03:00 1h"),
        ("ota:package-version", "app:3.0"),
        ("ota:job-template", "canary"),
    ];
    let (fake, upload, _) = upload_manifest(&tags, |manifest| {
        let mut job = job();
        job.as_object_mut().expect("an object").remove("abortConfig");
        extend(manifest, job);
    });
    let mut template = job();
    template["jobExecutionsRetryConfig"] = json!({"criteriaList": [{"failureType": "ALL", "numberOfRetries": 9}]});
    template["jobExecutionsRolloutConfig"] = json!({"maximumPerMinute": 7});
    template["timeoutConfig"]["inProgressTimeoutInMinutes"] = json!(7);
    template["maintenanceWindows"] = template["schedulingConfig"]["maintenanceWindows"].take();
    fake.state().job_templates.insert("canary".to_owned(), template);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let sent = single(fake.calls("CreateJob")).json();
    assert_eq!(sent["timeoutConfig"]["inProgressTimeoutInMinutes"], 45);
    assert_eq!(sent["jobExecutionsRetryConfig"]["criteriaList"][0]["numberOfRetries"], 1);
    assert_eq!(sent["abortConfig"], job()["abortConfig"], "of the template");
    assert_eq!(sent["jobExecutionsRolloutConfig"], job()["jobExecutionsRolloutConfig"]);
    let windows = sent["schedulingConfig"]["maintenanceWindows"].as_array().expect("windows");
    assert_eq!(windows.iter().map(|window| &window["startTime"]).collect::<Vec<_>>(), ["cron(0 3 * * ? *)"]);
    let version = format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/app/version/3.0");
    assert_eq!(sent["destinationPackageVersions"], json!([version]));
}

#[tokio::test]
async fn windows_of_the_manifest_override_those_of_the_job_template() {
    let window = |hour: u8| json!([{"startTime": format!("cron(0 {hour} * * ? *)"), "durationInMinutes": 60}]);
    let (fake, upload, _) = upload_manifest(&[("ota:job-template", "canary")], |manifest| {
        manifest["schedulingConfig"] = json!({"maintenanceWindows": window(2)});
    });
    fake.state().job_templates.insert("canary".to_owned(), json!({"maintenanceWindows": window(4)}));
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let sent = single(fake.calls("CreateJob")).json();
    assert_eq!(sent["schedulingConfig"]["maintenanceWindows"], window(2));
}

#[tokio::test]
async fn each_file_can_be_signed_in_its_own_way() {
    let mut app = Value::Null;
    let (fake, upload, [file, _]) = upload_manifest(&[("ota:signing-profile", "OtherProfile")], |manifest| {
        app = manifest["files"][0].clone();
    });
    // One file has an existing signing job, and the other is signed with the profile of the tags.
    let signing_job = sign_in_advance(&fake, &file, "SignedImage/by-hand/").await;
    let mut manifest = json!({"files": [app, {"key": "firmware/radio.bin"}]});
    manifest["files"][0]["signingJob"] = json!(signing_job);
    let radio = fake.upload("firmware/radio.bin", RADIO, &[]);
    extend(
        &mut manifest["files"][1],
        json!({"versionId": radio.version_id, "filePath": "/radio.bin", "fileId": 7, "fileType": 203}),
    );
    let upload = fake.upload(&upload.key, manifest.to_string(), &[LAB, ("ota:signing-profile", "OtherProfile")]);
    let before = fake.calls("StartSigningJob").len();
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_both_released_once(&fake, &upload).await;
    let started: Vec<_> = fake.calls("StartSigningJob")[before..].iter().map(Call::json).collect();
    assert_eq!(started.iter().map(|call| &call["profileName"]).collect::<Vec<_>>(), ["OtherProfile"]);

    // One file is signed with a profile of the manifest, and the other outside of AWS.
    let (fake, upload, _) = upload_manifest(&[], |manifest| {
        manifest["files"][0]["signingProfile"] = json!("OtherProfile");
        extend(&mut manifest["files"][1], json!({"signature": EXTERNAL_SIGNATURE, "certificate": "/radio.pem"}));
    });
    assert_eq!(release_unverified(&fake, &upload).await["outcome"], "created");
    assert_eq!(single(fake.calls("StartSigningJob")).json()["profileName"], "OtherProfile");
    assert_eq!(receipt(&fake, &upload)["verified"], false, "one signature is not verified");
    let files = document(&single(fake.calls("CreateJob")).json())["afr_ota"]["files"].clone();
    assert_eq!(
        (&files[1]["sig-sha256-ecdsa"], &files[1]["certfile"]),
        (&json!(EXTERNAL_SIGNATURE), &json!("/radio.pem"))
    );
}

#[tokio::test]
async fn a_denied_read_of_a_manifest_fails_the_release() {
    let (fake, upload, _) = upload_manifest(&[], |_| ());
    fake.fail_next("GetUpload", 403, "AccessDenied");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains(&format!("reading `{upload}`: ")) && failed.contains("AccessDenied"), "{failed}");
    assert_nothing_created(&fake);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_both_released_once(&fake, &upload).await;
}

#[test]
fn one_fault_at_any_call_results_in_one_job_of_all_files() {
    let calls = with_paused_clock(async {
        let (fake, upload, _) = upload_manifest(&[], |_| ());
        deliver(&fake, &upload, &"no fault").await;
        fake.state().call_indices.clone()
    });
    let faults = every_fault(&calls);
    assert!(faults.len() >= 28 * 8, "{calls:?}");
    with_paused_clock(async {
        for fault in faults {
            let (fake, upload, _) = upload_manifest(&[], |_| ());
            fake.state().faults = vec![fault];
            deliver(&fake, &upload, &fault).await;
            fake.state().faults.clear();
            assert_both_released_once(&fake, &upload).await;
            assert_eq!(release(&fake, &upload).await["outcome"], "adopted", "{fault:?}");
            assert_both_released_once(&fake, &upload).await;
        }
    });
}
