//! The log and the metrics of the real process.

use crate::support::{Fake, FunctionProcess, REQUEST_ID, event, metrics};
use serde_json::{Value, json};

#[tokio::test]
async fn the_final_log_line_is_one_json_object_with_the_whole_result() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "lab")]);
    let mut function =
        FunctionProcess::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "INFO")]).await;
    let (_, response) = function.invoke(event(&upload)).await;
    let log = function.log().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let finals: Vec<_> = lines.iter().filter(|line| line.get("outcome").is_some()).collect();
    assert_eq!(finals.len(), 1, "{log}");
    for member in ["outcome", "bucket", "key", "versionId", "jobId", "jobArn", "streamId"] {
        assert_eq!(finals[0][member], response["releases"][0][member], "{member}");
    }
    assert_eq!(finals[0]["verified"], true);
    for step in ["inspectMs", "preflightMs", "signMs", "copyMs", "streamMs", "jobMs"] {
        assert!(finals[0][step].is_u64(), "{step}: {log}");
    }
    assert_eq!(finals[0]["span"]["requestId"], REQUEST_ID);
    assert!(finals[0]["timestamp"].is_string() && finals[0]["level"] == "INFO", "{log}");
}

#[tokio::test]
async fn each_record_has_one_line_of_metrics_and_one_final_log_line() {
    for format in ["JSON", "Text"] {
        let fake = Fake::new();
        let good = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "lab")]);
        let bad = fake.upload("firmware/bad.bin", "image", &[("ota:thing-group", "prod")]);
        let denied = fake.upload("firmware/denied.bin", "image", &[("ota:thing-group", "eu-west")]);
        let mut function = FunctionProcess::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", format)]).await;
        for upload in [&good, &bad] {
            function.invoke(event(upload)).await;
        }
        fake.fail_next("DescribeThingGroup", 403, "AccessDeniedException");
        function.invoke(event(&denied)).await;
        let log = function.log().await;
        let (metrics, others) = metrics(&log);
        assert_eq!(others.iter().filter(|line| line.contains("outcome")).count(), 3, "{log}");
        let [created, rejected, failed] = &metrics[..] else { panic!("{log}") };
        assert!(metrics.iter().all(|line| line["FunctionName"] == "f"), "{log}");
        assert_eq!(
            (&created["Created"], &created["Verified"], &created["level"]),
            (&json!(1), &json!(1), &json!("INFO"))
        );
        for step in ["Inspect", "Preflight", "Signing", "Copy", "Stream", "Job"] {
            assert!(created[format!("{step}Seconds")].is_f64(), "{step}: {created}");
        }
        assert_eq!(
            (&rejected["Rejected"], &rejected["Kind"], &rejected["level"]),
            (&json!(1), &json!("tags"), &json!("ERROR"))
        );
        assert_eq!(
            (&failed["Failed"], &failed["Step"], &failed["level"]),
            (&json!(1), &json!("preflight"), &json!("ERROR"))
        );
        for line in &metrics {
            assert!(!line.to_string().contains("firmware/") && line.get("outcome").is_none(), "{line}");
        }
    }
}

#[tokio::test]
async fn the_log_level_applies_and_no_level_shows_secrets() {
    for (level, format, lines) in [("ERROR", "JSON", 1), ("TRACE", "JSON", 2), ("INFO", "Text", 2)] {
        let fake = Fake::new();
        let good = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "lab"), ("ota:timeout", "1d")]);
        let bad = fake.upload("firmware/bad.bin", "image", &[("ota:thing-group", "prod"), ("ota:retries", "lots")]);
        let mut function =
            FunctionProcess::start(&fake, &[("AWS_LAMBDA_LOG_LEVEL", level), ("AWS_LAMBDA_LOG_FORMAT", format)]).await;
        function.invoke(event(&good)).await;
        function.invoke(event(&bad)).await;
        let log = function.log().await;
        assert_eq!(log.lines().filter(|line| line.contains("outcome")).count(), lines, "{level}: {log}");
        let warned = log.contains("4 tries of 1d each do not fit into the 1h between start and end");
        assert_eq!(warned, level != "ERROR", "{log}");
        assert!(log.contains("rejected") && log.contains("`prod`") && log.contains("; tag `ota:retries`"), "{log}");
        assert_eq!(log.lines().all(|line| line.starts_with('{')), format == "JSON", "{log}");
        for secret in ["secret-of-the-test", "AWS4-HMAC", "aws_smithy", "aws_runtime", "hyper", "SHA256withECDSA"] {
            assert!(!log.contains(secret), "{level} shows {secret}: {log}");
        }
    }
}

/// The settings hide the time-zone database of the machine, so the process uses its own.
#[tokio::test]
async fn the_log_has_times_and_windows_in_local_time_and_utc() {
    let fake = Fake::new();
    let tags = [
        ("ota:thing-group", "lab"),
        ("ota:start", "2h"),
        ("ota:timezone", "Asia/Kathmandu"),
        ("ota:window", "daily 02:00 90m"),
    ];
    let upload = fake.upload("firmware/blinky.bin", "image", &tags);
    let settings = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("TZDIR", "/nonexistent"), ("TZ", "/nonexistent")];
    let mut function = FunctionProcess::start(&fake, &settings).await;
    let (_, response) = function.invoke(event(&upload)).await;
    let release = &response["releases"][0];
    let log = function.log().await;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let line = lines.into_iter().find(|line| line["message"] == "the schedule of the job").expect("a schedule");
    assert_eq!((&line["jobId"], &line["timezone"]), (&release["jobId"], &json!("Asia/Kathmandu")), "{log}");
    assert_eq!(line["maintenanceWindows"], "cron(15 20 * * ? *)");
    assert_eq!(line["startTime"], format!("{}Z", release["startTime"].as_str().expect("a start")));
    let time = |member: &str| line[member].as_str().expect(member).to_owned();
    for (utc, local) in [("startTime", "localStartTime"), ("firstWindow", "localFirstWindow")] {
        let [utc, local] = [utc, local].map(|member| time(member).parse::<jiff::Timestamp>().expect("a time"));
        assert_eq!(utc, local);
    }
    assert!(time("localFirstWindow").ends_with("T02:00+05:45[Asia/Kathmandu]"), "{log}");
    assert_eq!(line.get("endTime"), None);
}

#[tokio::test]
async fn the_log_warns_of_an_active_job_of_an_earlier_version() {
    let tags = [("ota:thing-group", "lab")];
    for (status, warnings) in [("SCHEDULED", 1), ("IN_PROGRESS", 1), ("COMPLETED", 0), ("CANCELED", 0)] {
        let fake = Fake::new();
        let mut function = FunctionProcess::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).await;
        let earlier = fake.upload("firmware/blinky.bin", "image", &tags);
        let (_, first) = function.invoke(event(&earlier)).await;
        let job = first["releases"][0]["jobId"].as_str().expect("a job").to_owned();
        fake.state().jobs.get_mut(&job).expect("the job")["status"] = status.into();
        fake.upload("firmware/blinky.bin", "no release", &[]);
        fake.upload("firmware/blinky.bin.old", "image", &tags);
        let later = fake.upload("firmware/blinky.bin", "another image", &tags);
        let (_, second) = function.invoke(event(&later)).await;
        assert_eq!(second["releases"][0]["outcome"], "created", "{second}");
        let log = function.log().await;
        let warned = format!("the job `{job}` of the earlier version `{}` is {status}", earlier.version_id);
        assert_eq!(log.matches(&warned).count(), warnings, "{log}");
        assert_eq!(log.matches("of the earlier version").count(), warnings, "{log}");
    }
}

#[tokio::test]
async fn the_log_warns_of_limits_of_device_libraries() {
    let tags = [("ota:thing-group", "lab")];
    for (dry_run, outcome) in [("false", "created"), ("true", "dry-run")] {
        for (bytes, warnings) in [(4 << 20, 0), ((4 << 20) + 1, 1)] {
            let fake = Fake::new();
            let upload = fake.upload("firmware/blinky.bin", vec![7; bytes], &tags);
            let settings = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("DRY_RUN", dry_run)];
            let mut function = FunctionProcess::start(&fake, &settings).await;
            let (_, response) = function.invoke(event(&upload)).await;
            assert_eq!(response["releases"][0]["outcome"], outcome, "{response}");
            let log = function.log().await;
            assert_eq!(log.matches("the FreeRTOS OTA library (v3) ignores images over").count(), warnings, "{log}");
        }
    }
}

#[tokio::test]
async fn a_queue_message_in_an_unknown_format_is_consumed_logged_and_counted() {
    let queue = "arn:aws:sqs:us-east-1:111122223333:failures";
    let message = |body: &str| json!({"eventSource": "aws:sqs", "eventSourceARN": queue, "body": body});
    for format in ["JSON", "Text"] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "lab")]);
        let settings =
            [("FAILURE_QUEUE_ARN", queue), ("AWS_LAMBDA_LOG_FORMAT", format), ("AWS_LAMBDA_LOG_LEVEL", "ERROR")];
        let mut function = FunctionProcess::start(&fake, &settings).await;
        let strange = format!("{{\"tasks\": \"\u{1b}[31m{}\"}}\n2026-11-23 INFO forged", "x".repeat(5000));
        let event = json!({"Records": [message(&strange), message(&event(&upload).to_string())]});
        let (kind, response) = function.invoke(event).await;
        assert_eq!((kind.as_str(), response["releases"].as_array().map(Vec::len)), ("response", Some(1)), "{response}");
        assert_eq!(response["releases"][0]["outcome"], "created", "{response}");
        let log = function.log().await;
        let (metrics, others) = metrics(&log);
        let lines: Vec<_> = others.iter().filter(|line| line.contains("was removed from the failure queue")).collect();
        let [line] = lines[..] else { panic!("{log}") };
        assert!(line.contains("ERROR") && line.contains("xxxx") && line.len() < 4096 + 1000, "{line}");
        assert!(!log.contains('\u{1b}') && !log.lines().any(|line| line.starts_with("2026-11-23 INFO")), "{log}");
        let counted: Vec<_> = metrics.iter().filter(|line| line["Unreadable"] == 1).collect();
        assert_eq!((counted.len(), &counted[0]["level"]), (1, &json!("ERROR")), "{log}");
    }
}
