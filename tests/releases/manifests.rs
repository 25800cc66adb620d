//! Releases of manifests: several files in one job, and what becomes of a manifest that is no good.

use crate::{
    fake::{ACCOUNT, BUCKET, Fake, REGION},
    faults::{all, deliver, on_a_clock_of_its_own},
    releases::{
        LAB, assert_nothing_created, event, failure, one, presigned, receipt, record, release, run_with, sign,
        without_nonce,
    },
};
use ota_on_upload::{settings::Settings, upload::Upload};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc};

/// A signature that was made elsewhere.
const ELSEWHERE: &str =
    "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";
const APP: &[u8] = b"\x7fELF an application";
const RADIO: &[u8] = b"\x7fELF a radio's firmware";

/// A world with two images that carry no tags, and a manifest of them with these tags, made by `change` of a plain one.
fn world(tags: &[(&str, &str)], change: impl FnOnce(&mut Value)) -> (Arc<Fake>, Upload, [Upload; 2]) {
    let fake = Fake::new();
    let files =
        [("firmware/app 1.bin", APP), ("firmware/radio.bin", RADIO)].map(|(key, bytes)| fake.upload(key, bytes, &[]));
    let [app, radio] = &files;
    let mut manifest = json!({"files": [
        {"key": app.key, "versionId": app.version_id},
        {"key": radio.key, "versionId": radio.version_id, "filePath": "/radio.bin", "fileId": 7, "fileType": 203},
    ]});
    change(&mut manifest);
    let upload = fake.upload("firmware/gateway.ota.json", manifest.to_string(), &[&[LAB], tags].concat());
    (fake, upload, files)
}

fn document(job: &Value) -> Value {
    serde_json::from_str(job["document"].as_str().expect("a document")).expect("JSON")
}

/// One job, whose document and stream have both files as they were uploaded, each with its signature.
async fn assert_both_released_once(fake: &Fake, upload: &Upload) {
    let jobs = fake.state().jobs.clone();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let document = document(jobs.values().next().expect("it"));
    let files = document["afr_ota"]["files"].as_array().expect("files");
    let told: Vec<_> = files.iter().map(|file| (&file["fileid"], &file["filepath"], &file["fileType"])).collect();
    assert_eq!(told, [(&json!(0), &json!("app_1.bin"), &json!(0)), (&json!(7), &json!("/radio.bin"), &json!(203))]);
    for (file, image) in files.iter().zip([APP, RADIO]) {
        assert_eq!(file["filesize"], image.len());
        assert!(fake.verifies(file["sig-sha256-ecdsa"].as_str().expect("a signature"), image));
        if let Some(url) = file.get("update_data_url") {
            assert_eq!(presigned(fake, url.as_str().expect("a URL")), image);
        }
    }
    let stream = fake.stream(&upload.stream_id()).await;
    if document["afr_ota"].get("streamname").is_none() {
        return assert_eq!(stream, Value::Null);
    }
    assert_eq!(document["afr_ota"]["streamname"], upload.stream_id());
    let streamed = stream["files"].as_array().expect("files");
    assert_eq!(streamed.iter().map(|file| &file["fileId"]).collect::<Vec<_>>(), [0, 7]);
    for (at, image) in [APP, RADIO].into_iter().enumerate() {
        assert_eq!(fake.streamed_file(&upload.stream_id(), at).await, image);
    }
}

#[tokio::test]
async fn the_files_of_a_manifest_come_to_one_signed_streamed_job() {
    let (fake, upload, [app, radio]) = world(&[("ota:start", "2h")], |_| ());
    let created = release(&fake, &upload).await;
    assert_eq!((&created["outcome"], &created["jobId"]), (&json!("created"), &json!(upload.default_job_id())));
    assert_eq!(created["streamId"], upload.stream_id());
    assert_both_released_once(&fake, &upload).await;

    // Each file is signed below a prefix of its own, and the record is that of the manifest's version.
    let settings = Settings::from_lookup(crate::releases::setting).expect("good settings");
    let prefix = settings.prefix_of(&upload);
    let signed: Vec<_> = fake.calls("StartSigningJob").iter().map(crate::fake::Call::json).collect();
    for ((request, file), id) in signed.iter().zip([&app, &radio]).zip(["0", "7"]) {
        let source = &request["source"]["s3"];
        assert_eq!((&source["key"], &source["version"]), (&json!(file.key), &json!(file.version_id)));
        assert_eq!(request["destination"]["s3"]["prefix"], format!("{prefix}{id}/"));
    }
    assert_eq!(signed.len(), 2);
    let below: Vec<_> = fake.state().objects.keys().filter(|(_, key)| key.starts_with(&prefix)).cloned().collect();
    let below: Vec<_> = below.iter().map(|(_, key)| key[prefix.len()..].split_once('/').map(|(id, _)| id)).collect();
    assert_eq!(below, [Some("0"), Some("7"), None]);

    // A profile is looked up once for all its files.
    assert_eq!(fake.calls("GetSigningProfile").len(), 1);
    let again = release(&fake, &upload).await;
    assert_eq!((&again["outcome"], &again["jobArn"]), (&json!("adopted"), &created["jobArn"]));
    assert_both_released_once(&fake, &upload).await;
}

#[tokio::test]
async fn a_manifest_and_its_files_are_no_releases_without_tags() {
    let (fake, _, files) = world(&[], |_| ());
    let untagged = fake.upload("firmware/other.ota.json", "{}", &[]);
    for upload in files.iter().chain([&untagged]) {
        assert_eq!(release(&fake, upload).await["reason"], "no-tags");
    }
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn devices_fetch_each_file_by_a_url_of_its_own() {
    for protocols in ["http", "mqtt http"] {
        let (fake, upload, _) = world(&[("ota:protocols", protocols)], |manifest| {
            manifest["presignedUrlConfig"] = json!({"expiresInSec": 600});
        });
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_both_released_once(&fake, &upload).await;
        let job = one(fake.calls("CreateJob")).json();
        assert_eq!(job["presignedUrlConfig"]["expiresInSec"], 600);
        let urls = document(&job)["afr_ota"]["files"].as_array().expect("files").clone();
        assert_ne!(urls[0]["update_data_url"], urls[1]["update_data_url"]);
        assert!(urls.iter().all(|file| file["auth_scheme"] == "aws.s3.presigned"));
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
    }
}

/// All that a manifest may say of the job.
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

fn extend(manifest: &mut Value, members: Value) {
    let Value::Object(members) = members else { panic!("{members}") };
    manifest.as_object_mut().expect("an object").extend(members);
}

#[tokio::test]
async fn what_a_manifest_says_of_the_job_reaches_it() {
    let (fake, upload, _) = world(&[("ota:start", "now")], |manifest| extend(manifest, job()));
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let sent = one(fake.calls("CreateJob")).json();
    let sent = without_nonce(sent);
    let mut expected = job();
    expected["description"] = "Gateway 2.0: größer (release <from the record>)".into();
    for (member, value) in expected.as_object().expect("an object") {
        assert_eq!(&sent[member], value, "{member}");
    }
    assert_eq!(sent["targetSelection"], "CONTINUOUS");
}

#[tokio::test]
async fn tags_go_before_the_manifest_and_that_before_the_job_template() {
    let tags = [
        ("ota:timeout", "45m"),
        ("ota:window", "daily 03:00 1h"),
        ("ota:package-version", "app:3.0"),
        ("ota:job-template", "canary"),
    ];
    let (fake, upload, _) = world(&tags, |manifest| {
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
    let sent = one(fake.calls("CreateJob")).json();
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
async fn each_file_may_be_signed_in_a_way_of_its_own() {
    let mut app = Value::Null;
    let (fake, upload, [file, _]) = world(&[("ota:signing-profile", "OtherProfile")], |manifest| {
        app = manifest["files"][0].clone();
    });
    // By a signing job that is there, and by the profile of the tags.
    let signing_job = sign(&fake, &file, "SignedImage/by-hand/").await;
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
    let started: Vec<_> = fake.calls("StartSigningJob")[before..].iter().map(crate::fake::Call::json).collect();
    assert_eq!(started.iter().map(|call| &call["profileName"]).collect::<Vec<_>>(), ["OtherProfile"]);

    // By a profile of its own, and elsewhere.
    let (fake, upload, _) = world(&[], |manifest| {
        manifest["files"][0]["signingProfile"] = json!("OtherProfile");
        extend(&mut manifest["files"][1], json!({"signature": ELSEWHERE, "certificate": "/radio.pem"}));
    });
    let released = run_with(&fake, &event(&upload), &[("ALLOW_UNVERIFIED", "true")]).await.expect("no failure");
    assert_eq!(released[0]["outcome"], "created");
    assert_eq!(one(fake.calls("StartSigningJob")).json()["profileName"], "OtherProfile");
    assert_eq!(receipt(&fake, &upload)["verified"], false, "not every signature is");
    let files = document(&one(fake.calls("CreateJob")).json())["afr_ota"]["files"].clone();
    assert_eq!((&files[1]["sig-sha256-ecdsa"], &files[1]["certfile"]), (&json!(ELSEWHERE), &json!("/radio.pem")));
}

#[tokio::test]
async fn a_manifest_that_is_no_good_is_rejected_with_every_reason_at_once() {
    let (fake, upload, _) = world(&[("ota:retries", "lots"), ("ota:file-path", "/a")], |manifest| {
        manifest["files"][0]["fileType"] = json!(256);
        manifest["files"][1]["versionId"] = json!("gone");
        manifest["jobId"] = json!("mine");
    });
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!([
            "tag `ota:retries` is `lots`, expected a number such as `3` (after all failures), or `timed-out:3`, \
             `failed:2` or both with a space between, 10 in all at most",
            "tag `ota:file-path` is not taken of a manifest, whose `files` have `filePath` instead",
            "`jobId` is not taken of a manifest, expected the tag `ota:job-id`",
            "`files[1]`: S3 has no version `gone` of `firmware/radio.bin`",
            "`files[0].fileType` is `256`, expected a number from 0 to 255",
        ])
    );
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn no_problem_of_a_file_hides_another() {
    let path = |at: usize| {
        format!("`files[{at}].filePath` is `/radio.bin`, expected another path than that of `firmware/radio.bin`")
    };
    let kind = |at: usize| format!("`files[{at}].fileType` is `256`, expected a number from 0 to 255");
    // Both files have an option that cannot be read.
    let (fake, upload, _) = world(&[], |manifest| {
        manifest["files"][0]["fileType"] = json!(256);
        manifest["files"][1]["fileType"] = json!(256);
        let mut twin = manifest["files"][1].clone();
        twin["fileId"] = json!(2);
        manifest["files"].as_array_mut().expect("files").push(twin);
    });
    assert_eq!(release(&fake, &upload).await["reasons"], json!([kind(0), kind(1), kind(2), path(2)]));
    // There are too many files.
    let (fake, upload, _) = world(&[], |manifest| {
        let file = manifest["files"][1].clone();
        let files = manifest["files"].as_array_mut().expect("files");
        files.extend(
            (2..11).map(|at| json!({"key": file["key"], "versionId": file["versionId"], "filePath": format!("/{at}")})),
        );
        files[1]["fileId"] = json!(1);
        files[9]["fileType"] = json!(256);
        files[9]["filePath"] = json!("/radio.bin");
    });
    let expected = ["`files` has 11 members, expected 1 to 10".to_owned(), kind(9), path(9)];
    assert_eq!(release(&fake, &upload).await["reasons"], json!(expected));
}

#[tokio::test]
async fn the_reasons_of_a_rejection_are_bounded() {
    let long = "x".repeat(6_000);
    for (member, prefix, tail) in [
        ("key", "firmware/", ""),
        ("key", "firmware/", ".sig"),
        ("key", "", ""),
        ("versionId", "", ""),
        ("filePath", "", ""),
        ("certificate", "", ""),
        ("signingProfile", "", ""),
    ] {
        let (fake, upload, _) = world(&[], |manifest| {
            let file = manifest["files"][0].clone();
            let files = (0..10).map(|at| {
                let mut file = file.clone();
                file["filePath"] = json!(format!("/{at}"));
                file[member] = json!(format!("{prefix}{at}{long}{tail}"));
                file
            });
            manifest["files"] = files.collect();
        });
        let released = release(&fake, &upload).await;
        let reasons = released["reasons"].as_array().unwrap_or_else(|| panic!("{member}: {released}"));
        assert!(reasons.len() >= 10, "{member}: {reasons:?}");
        let longest = reasons.iter().map(|reason| reason.to_string().len()).max();
        assert!(longest < Some(500), "{member}: {reasons:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_with_its_place() {
    let (fake, upload, _) = world(&[], |_| ());
    let over = [("MAX_IMAGE_BYTES", "20")];
    let released = run_with(&fake, &event(&upload), &over).await.expect("no failure").remove(0);
    assert_eq!(released["reasons"], json!(["`files[1]`: the object has 23 bytes, expected at most 20"]));

    let unknown = "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01";
    let (fake, upload, _) = world(&[], |manifest| {
        manifest["files"][0]["signingJob"] = json!(unknown);
        extend(&mut manifest["files"][1], json!({"signature": ".sig", "certificate": "/radio.pem"}));
    });
    let released =
        run_with(&fake, &event(&upload), &[("ALLOW_UNVERIFIED", "true")]).await.expect("no failure").remove(0);
    assert_eq!(
        released["reasons"],
        json!([
            format!(
                "`files[0].signingJob` is `{unknown}`, expected a finished signing job over this very object version: AWS \
                 Signer knows no such job"
            ),
            "`files[1].signature` is `.sig`, but the object `firmware/radio.bin.sig` cannot be used: it is not there, upload \
             it first",
        ])
    );
    assert_nothing_created(&fake);

    let fake = Fake::new();
    let upload = fake.upload("firmware/large.ota.json", vec![b' '; 65_537], &[LAB]);
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["the manifest has 65537 bytes, expected at most 65536"])
    );
    assert!(!fake.operations().contains(&"GetUpload"));
}

/// S3 answers to the version ID of a delete marker with 405.
#[tokio::test]
async fn a_version_that_s3_does_not_take_is_told() {
    for status in [404, 405] {
        let (fake, upload, [app, _]) = world(&[], |_| ());
        fake.refuse_head(&app.key, status);
        assert_eq!(
            release(&fake, &upload).await["reasons"],
            json!([format!("`files[0]`: S3 has no version `{}` of `{}`", app.version_id, app.key)]),
            "{status}"
        );
    }
    // What lies elsewhere is not even looked at.
    let (fake, upload, _) = world(&[], |manifest| manifest["files"][0]["key"] = json!("elsewhere/a.bin"));
    fake.refuse_head("elsewhere/a.bin", 403);
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["`files[0].key` is `elsewhere/a.bin`, expected the key of a firmware image below `firmware/`"])
    );
}

#[tokio::test]
async fn a_file_that_is_deleted_meanwhile_is_told() {
    let (fake, upload, [app, _]) = world(&[], |_| ());
    let key = (BUCKET.to_owned(), app.key.clone());
    fake.before("CopyObject", move |state| drop(state.objects.remove(&key)));
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["`files[0]`: the object `firmware/app 1.bin` is gone, expected the version that the manifest names"])
    );
    assert!(fake.state().jobs.is_empty());
}

#[tokio::test]
async fn an_expiry_is_of_use_only_where_there_is_a_url() {
    let (fake, upload, _) = world(&[], |manifest| manifest["presignedUrlConfig"] = json!({"expiresInSec": 600}));
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!(["`presignedUrlConfig` is of no use, expected `http` in the tag `ota:protocols`"])
    );
}

#[tokio::test]
async fn windows_of_the_manifest_go_before_those_of_the_template() {
    let window = |hour: u8| json!([{"startTime": format!("cron(0 {hour} * * ? *)"), "durationInMinutes": 60}]);
    let (fake, upload, _) = world(&[("ota:job-template", "canary")], |manifest| {
        manifest["schedulingConfig"] = json!({"maintenanceWindows": window(2)});
    });
    fake.state().job_templates.insert("canary".to_owned(), json!({"maintenanceWindows": window(4)}));
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let sent = one(fake.calls("CreateJob")).json();
    assert_eq!(sent["schedulingConfig"]["maintenanceWindows"], window(2));
}

#[tokio::test]
async fn files_that_are_too_large_for_the_signing_platform_are_told_each() {
    let (fake, upload, _) = world(&[], |_| ());
    fake.set(|behavior| behavior.platform = "AmazonFreeRTOS-Default");
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let large = vec![7; 16 * 1024 * 1024 + 1];
    let [one, other] = ["firmware/a.bin", "firmware/b.bin"].map(|key| fake.upload(key, large.clone(), &[]));
    let files = [&one, &other].map(|file| json!({"key": file.key, "versionId": file.version_id}));
    let upload = fake.upload("firmware/large.ota.json", json!({"files": files}).to_string(), &[LAB]);
    let expected = "has 16777217 bytes, expected at most 16777216, the most that the signing platform \
                    `AmazonFreeRTOS-Default` takes";
    assert_eq!(
        release(&fake, &upload).await["reasons"],
        json!([
            format!("`files[0]`: the object `firmware/a.bin` {expected}"),
            format!("`files[1]`: the object `firmware/b.bin` {expected}"),
        ])
    );
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_fails_the_release_until_it_can() {
    let (fake, upload, _) = world(&[], |_| ());
    fake.instead_of("GetUpload", 403, "AccessDenied");
    let failed = failure(&fake, &upload).await;
    assert!(failed.contains(&format!("reading `{upload}`: ")) && failed.contains("AccessDenied"), "{failed}");
    assert_nothing_created(&fake);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_both_released_once(&fake, &upload).await;
}

#[test]
fn one_fault_at_any_call_comes_to_one_job_of_all_files() {
    let sites = on_a_clock_of_its_own(async {
        let (fake, upload, _) = world(&[], |_| ());
        deliver(&fake, &upload, &"no trouble").await;
        fake.state().sites.clone()
    });
    let troubles = all(&sites);
    assert!(troubles.len() >= 28 * 8, "{sites:?}");
    on_a_clock_of_its_own(async {
        for trouble in troubles {
            let (fake, upload, _) = world(&[], |_| ());
            fake.state().troubles = vec![trouble];
            deliver(&fake, &upload, &trouble).await;
            fake.state().troubles.clear();
            assert_both_released_once(&fake, &upload).await;
            assert_eq!(release(&fake, &upload).await["outcome"], "adopted", "{trouble:?}");
            assert_both_released_once(&fake, &upload).await;
        }
    });
}

/// The sample of the repository, with the settings and tags of the sample events.
#[tokio::test]
async fn the_sample_manifest_is_dry_run_as_it_is_released() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(root.join("events").join(name)).expect("a file")).expect("JSON")
    };
    let mut manifest = read("manifests/gateway.ota.json");
    let of_events = read("env/dry-run.json")["Function"]["DRY_RUN_MANIFEST"].clone();
    assert_eq!(serde_json::from_str::<Value>(of_events.as_str().expect("text")).expect("JSON"), manifest);
    let fake = Fake::new();
    for file in manifest["files"].as_array_mut().expect("files") {
        let key = file["key"].as_str().expect("a key").to_owned();
        file["versionId"] = json!(fake.upload(&key, APP, &[]).version_id);
    }
    let json = manifest.to_string();
    let upload = fake.upload("firmware/gateway-2.1.0.ota.json", json.clone(), &[LAB]);
    let offline = [("DRY_RUN", "true"), ("DRY_RUN_TAGS", "ota:thing-group=lab"), ("DRY_RUN_MANIFEST", &json)];
    let before = fake.operations().len();
    let told = run_with(&fake, &event(&upload), &offline).await.expect("no failure").remove(0);
    assert_eq!((fake.operations().len(), &told["outcome"]), (before, &json!("dry-run")), "{told}");
    assert_eq!(release(&fake, &upload).await["outcome"], "created");

    let signed = fake.calls("StartSigningJob");
    let signed: Vec<_> = signed.iter().map(|call| without_nonce(call.json())).collect();
    assert_eq!(told["startSigningJobs"], json!(signed));
    assert_eq!(told.get("startSigningJob"), None);
    let mut job = without_nonce(one(fake.calls("CreateJob")).json());
    let mut foretold = told["createJob"].clone();
    let (sent, said) = (document(&job), document(&foretold));
    let files = |document: &Value| document["afr_ota"]["files"].as_array().expect("files").clone();
    assert_eq!((files(&sent).len(), files(&said).len()), (2, 2));
    for (sent, said) in files(&sent).iter().zip(files(&said)) {
        for member in ["filepath", "fileid", "fileType"] {
            assert_eq!(sent[member], said[member]);
        }
        assert_eq!((&said["filesize"], &said["certfile"]), (&json!("<from S3>"), &json!("<from Signer>")));
    }
    for job in [&mut job, &mut foretold] {
        job["document"].take();
        job["jobId"].take();
    }
    assert_eq!(foretold, job);
}

#[tokio::test]
async fn a_dry_run_without_aws_wants_the_manifest() {
    let (fake, upload, _) = world(&[], |_| ());
    let offline = [("DRY_RUN", "true"), ("DRY_RUN_TAGS", "ota:thing-group=lab")];
    let told = run_with(&fake, &event(&upload), &offline).await.expect("no failure").remove(0);
    assert_eq!(
        told["reasons"],
        json!([
            "setting `DRY_RUN_MANIFEST` is not set, expected the JSON of this manifest, as AWS is called for nothing"
        ])
    );
    // With real tags it is read.
    let told = run_with(&fake, &event(&upload), &[("DRY_RUN", "true")]).await.expect("no failure").remove(0);
    assert_eq!((&told["outcome"], told["startSigningJobs"].as_array().map(Vec::len)), (&json!("dry-run"), Some(2)));
    let sizes: Vec<_> = document(&told["createJob"])["afr_ota"]["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| file["filesize"].clone())
        .collect();
    assert_eq!(sizes, [APP.len(), RADIO.len()]);
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn an_event_of_a_manifest_and_an_image_comes_to_both() {
    let (fake, upload, _) = world(&[], |_| ());
    let image = fake.upload("firmware/blinky.bin", APP, &[LAB]);
    let both = json!({"Records": [record(&upload, "ObjectCreated:Put"), record(&image, "ObjectCreated:Put")]});
    let released = run_with(&fake, &both, &[]).await.expect("no failure");
    assert_eq!((&released[0]["outcome"], &released[1]["outcome"]), (&json!("created"), &json!("created")));
}
