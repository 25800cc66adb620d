//! Uploads that become a job: its members, its document and its receipt.

use crate::support::{
    ACCOUNT, BUCKET, Fake, IMAGE, LAB, PROFILE, REGION, assert_nothing_created, assert_outcome, assert_released_once,
    delete_receipt, failure, job_arn, named_event, presigned_bytes, receipt, release, release_of, release_with, sha256,
    signed_prefix, single, upload_image, without_nonce,
};
use serde_json::{Value, json};

#[tokio::test]
async fn an_upload_becomes_a_signed_streamed_scheduled_retrying_job() {
    let (fake, upload) = upload_image(&[LAB, ("team", "sensors")]);
    let release = release(&fake, &upload).await;

    let (job_id, stream_id) = (upload.default_job_id(), upload.stream_id());
    assert_eq!(
        release,
        json!({
            "outcome": "created", "bucket": BUCKET, "key": "firmware/blinky.bin", "versionId": upload.version_id,
            "jobId": job_id, "jobArn": job_arn(&job_id), "streamId": stream_id,
            "startTime": "2026-11-23T22:41", "endTime": "2026-11-23T23:41",
        })
    );
    let prefix = signed_prefix(&upload);
    let start = single(fake.calls("StartSigningJob")).json();
    assert_eq!(start["source"]["s3"], json!({"bucketName": BUCKET, "key": upload.key, "version": upload.version_id}));
    assert_eq!(start["destination"]["s3"], json!({"bucketName": BUCKET, "prefix": prefix}));
    assert_eq!(start["profileName"], PROFILE);

    let stream = single(fake.calls("CreateStream"));
    assert_eq!(stream.path, format!("/streams/{stream_id}"));
    assert_eq!(stream.json()["roleArn"], format!("arn:aws:iam::{ACCOUNT}:role/ota"));
    assert_eq!(stream.json()["files"][0]["fileId"], 0);
    assert_released_once(&fake, &upload, IMAGE).await;

    let create = single(fake.calls("CreateJob"));
    assert_eq!(create.path, format!("/jobs/{job_id}"));
    let mut job = create.json();
    let document = job.as_object_mut().expect("an object").remove("document").expect("a document");
    assert_eq!(
        without_nonce(job),
        json!({
            "targets": [format!("arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/lab")],
            "description": format!(
                "s3://{BUCKET}/firmware/blinky.bin?versionId={} (release <from the record>)", upload.version_id
            ),
            "targetSelection": "SNAPSHOT",
            "timeoutConfig": {"inProgressTimeoutInMinutes": 10},
            "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "TIMED_OUT", "numberOfRetries": 3}]},
            "schedulingConfig": {"startTime": "2026-11-23T22:41", "endTime": "2026-11-23T23:41", "endBehavior": "CANCEL"},
        })
    );
    let document = document.as_str().expect("text");
    let start = format!(
        "{{\"afr_ota\":{{\"protocols\":[\"MQTT\"],\"streamname\":\"{stream_id}\",\"files\":[{{\"filepath\":\"blinky.bin\",\
         \"filesize\":{},\"fileid\":0,\"certfile\":\"/certs/ota.pem\",\"fileType\":0,\"sig-sha256-ecdsa\":\"",
        IMAGE.len()
    );
    assert!(document.starts_with(&start), "{document}");
}

#[tokio::test]
async fn the_values_of_the_tags_appear_in_the_job() {
    let fake = Fake::new();
    let tags = [
        ("ota:thing-group", "lab eu-west"),
        ("ota:thing", "bench-1"),
        ("ota:start", "2026-12-01 02:00"),
        ("ota:end", "2d"),
        ("ota:end-behavior", "force-cancel"),
        ("ota:retries", "failed:2 timed-out:1"),
        ("ota:timeout", "1h"),
        ("ota:signing-profile", "OtherProfile"),
        ("ota:job-id", "spring"),
    ];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    assert_eq!(release(&fake, &upload).await["jobId"], "AFR_OTA-spring");
    let job = single(fake.calls("CreateJob")).json();
    let arn = |resource| format!("arn:aws:iot:{REGION}:{ACCOUNT}:{resource}");
    assert_eq!(job["targets"], json!([arn("thinggroup/lab"), arn("thinggroup/eu-west"), arn("thing/bench-1")]));
    assert_eq!(
        job["schedulingConfig"],
        json!({"startTime": "2026-12-01T02:00", "endTime": "2026-12-03T02:00", "endBehavior": "FORCE_CANCEL"})
    );
    assert_eq!(
        job["jobExecutionsRetryConfig"]["criteriaList"],
        json!([{"failureType": "FAILED", "numberOfRetries": 2}, {"failureType": "TIMED_OUT", "numberOfRetries": 1}])
    );
    assert_eq!(job["timeoutConfig"]["inProgressTimeoutInMinutes"], 60);
    assert_eq!(single(fake.calls("StartSigningJob")).json()["profileName"], "OtherProfile");
}

#[tokio::test]
async fn local_times_and_windows_are_converted_to_utc() {
    let fake = Fake::new();
    let tags = [
        LAB,
        ("ota:timezone", "Europe/Berlin"),
        ("ota:start", "2026-12-01 02:00"),
        ("ota:end", "2027-01-01T00:00Z"),
        ("ota:end-behavior", "stop-rollout"),
        ("ota:window", "sat/sun 00:30 90m"),
        ("ota:package-version", "blinky:1.2.0 radio:2.0"),
    ];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    let created = release(&fake, &upload).await;
    assert_eq!((&created["startTime"], &created["endTime"]), (&json!("2026-12-01T01:00"), &json!("2027-01-01T00:00")));
    let job = single(fake.calls("CreateJob")).json();
    assert_eq!(job["targetSelection"], "CONTINUOUS");
    assert_eq!(
        job["schedulingConfig"],
        json!({
            "startTime": "2026-12-01T01:00", "endTime": "2027-01-01T00:00", "endBehavior": "STOP_ROLLOUT",
            "maintenanceWindows": [{"startTime": "cron(30 23 ? * FRI,SAT *)", "durationInMinutes": 90}],
        })
    );
    let arn = |resource| format!("arn:aws:iot:{REGION}:{ACCOUNT}:{resource}");
    assert_eq!(
        job["destinationPackageVersions"],
        json!([arn("package/blinky/version/1.2.0"), arn("package/radio/version/2.0")])
    );
}

#[tokio::test]
async fn times_in_common_formats_are_accepted() {
    for start in ["2026-12-01T02:00:00Z", "2026-12-01T02:00:00", "2026-12-01 02:00:00.000Z"] {
        let (fake, upload) = upload_image(&[LAB, ("ota:start", start)]);
        assert_eq!(release(&fake, &upload).await["startTime"], "2026-12-01T02:00", "{start}");
    }
}

#[tokio::test]
async fn a_continuous_job_needs_no_end() {
    let schedules = [
        (vec![("ota:target-selection", "continuous")], json!({"startTime": "2026-11-23T22:41"})),
        (vec![("ota:target-selection", "continuous"), ("ota:start", "now")], Value::Null),
        (
            vec![("ota:window", "daily 02:00 2h"), ("ota:start", "now")],
            json!({"maintenanceWindows": [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 120}]}),
        ),
        (
            // These days need two cron expressions.
            vec![("ota:window", "day-30 22:00 2h"), ("ota:timezone", "America/New_York")],
            json!({
                "startTime": "2026-11-23T22:41",
                "maintenanceWindows": [
                    {"startTime": "cron(0 3 31 * ? *)", "durationInMinutes": 120},
                    {"startTime": "cron(0 3 1 5,7,10,12 ? *)", "durationInMinutes": 120},
                ],
            }),
        ),
    ];
    for (mut tags, schedule) in schedules {
        let fake = Fake::new();
        tags.push(LAB);
        let created = release(&fake, &fake.upload("firmware/blinky.bin", IMAGE, &tags)).await;
        assert_eq!((&created["outcome"], &created["endTime"]), (&json!("created"), &Value::Null));
        let job = single(fake.calls("CreateJob")).json();
        assert_eq!((&job["targetSelection"], &job["schedulingConfig"]), (&json!("CONTINUOUS"), &schedule), "{tags:?}");
    }
}

#[tokio::test]
async fn the_protocols_tag_selects_stream_and_presigned_url() {
    for (protocols, streams, has_url) in [("mqtt", 1, false), ("http", 0, true), ("http mqtt", 1, true)] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky ü.bin", IMAGE, &[LAB, ("ota:protocols", protocols)]);
        let settings = [("URL_EXPIRY_SECONDS", "600")];
        let created = release_with(&fake, &upload, &settings).await;
        let stream_id = if streams == 1 { json!(upload.stream_id()) } else { Value::Null };
        assert_eq!((&created["outcome"], &created["streamId"]), (&json!("created"), &stream_id));
        assert_eq!(fake.calls("CreateStream").len(), streams, "{protocols}");
        assert_released_once(&fake, &upload, IMAGE).await;
        let config = json!({"roleArn": format!("arn:aws:iam::{ACCOUNT}:role/ota"), "expiresInSec": 600});
        let config = if has_url { config } else { Value::Null };
        assert_eq!(single(fake.calls("CreateJob")).json()["presignedUrlConfig"], config);
        assert_eq!(receipt(&fake, &upload)["streamId"], stream_id);

        // The job is adopted by its receipt, and without a receipt by its document and mark.
        for has_receipt in [true, false] {
            if !has_receipt {
                delete_receipt(&fake, &upload);
            }
            let again = release(&fake, &upload).await;
            assert_eq!((&again["outcome"], &again["streamId"]), (&json!("adopted"), &stream_id), "{protocols}");
        }
        assert_released_once(&fake, &upload, IMAGE).await;
        assert_eq!(receipt(&fake, &upload)["streamId"], stream_id);
    }
}

#[tokio::test]
async fn a_device_can_parse_the_job_document() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/größe \"2\" \\ 🚀.bin", IMAGE, &[LAB]);
    release(&fake, &upload).await;
    let job = single(fake.calls("CreateJob")).json();
    let document = job["document"].as_str().expect("text");
    assert!(!document.contains('\\') && !document.contains("null") && !document.contains("${"), "{document}");
    let afr_ota =
        document.strip_prefix("{\"afr_ota\":").and_then(|rest| rest.strip_suffix('}')).expect("the outer object");
    let (job, _) = serde_json_core::from_str::<rustot::ota::encoding::json::OtaJob>(afr_ota).expect("a valid document");
    assert_eq!(job.streamname, upload.stream_id());
    assert_eq!((job.files[0].filepath, job.files[0].filesize), ("gr__e__2_____.bin", IMAGE.len()));
    assert_eq!((job.files[0].certfile, job.files[0].file_type), ("/certs/ota.pem", Some(0)));
    assert!(fake.verifies(job.files[0].sha256_ecdsa.expect("a signature"), IMAGE));

    let tags =
        [LAB, ("ota:file-path", "/app/blinky_1.2-0.bin"), ("ota:file-type", "203"), ("ota:protocols", "mqtt http")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
    release(&fake, &upload).await;
    let job = fake.calls("CreateJob").remove(1).json();
    let document = job["document"].as_str().and_then(|text| text.strip_prefix("{\"afr_ota\":")?.strip_suffix('}'));
    let (job, _) =
        serde_json_core::from_str::<rustot::ota::encoding::json::OtaJob>(document.expect("the outer object"))
            .expect("a valid document");
    assert_eq!((job.files[0].filepath, job.files[0].file_type), ("/app/blinky_1.2-0.bin", Some(203)));
    assert_eq!((job.protocols.len(), job.files[0].auth_scheme), (2, Some("aws.s3.presigned")));
    assert_eq!(presigned_bytes(&fake, job.files[0].update_data_url.expect("a URL")), IMAGE);
}

#[tokio::test]
async fn the_receipt_has_the_job_and_the_tags_it_was_created_from() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.fail_next("CreateStream", 400, "InvalidRequestException");
    failure(&fake, &upload).await;
    fake.set_tags(&upload, &[("ota:thing-group", "eu-west")]);
    let created = release(&fake, &upload).await;
    let mut receipt_without_nonce = receipt(&fake, &upload);
    let nonce = receipt_without_nonce.as_object_mut().expect("an object").remove("nonce").expect("a nonce");
    assert_eq!(nonce.as_str().map(str::len), Some(32));
    assert_eq!(
        receipt_without_nonce,
        json!({
            "bucket": BUCKET, "key": upload.key, "versionId": upload.version_id, "verified": true, "tags": {"ota:thing-group": "eu-west"},
            "sha256": sha256(IMAGE),
            "jobId": created["jobId"], "jobArn": created["jobArn"], "streamId": created["streamId"],
            "startTime": created["startTime"], "endTime": created["endTime"],
        })
    );
    let again = release(&fake, &upload).await;
    assert_outcome(&again, "adopted", None);
}

#[tokio::test]
async fn tags_added_after_the_upload_start_the_release() {
    let (fake, upload) = upload_image(&[("team", "sensors")]);
    let first = release(&fake, &upload).await;
    assert_outcome(&first, "skipped", Some("no-tags"));
    assert_nothing_created(&fake);
    fake.set_tags(&upload, &[("ota:thing-group", "lab")]);
    assert_eq!(release_of(&fake, &named_event(&upload, "ObjectTagging:Put")).await["outcome"], "created");
    assert_released_once(&fake, &upload, IMAGE).await;
}
