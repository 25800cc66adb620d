//! The real process: settings, results, and memory.

use crate::support::{BUCKET, DRY_RUN, Embedded, Fake, FunctionProcess, Upload, event, metrics, report};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_failed_release_fails_the_invocation_with_its_reason() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "eu-west")]);
    fake.fail_next("DescribeThingGroup", 403, "AccessDeniedException");
    let mut function = FunctionProcess::start(&fake, &[]).await;
    let (kind, error) = function.invoke(event(&upload)).await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("ReleaseFailed")));
    let message = error["errorMessage"].as_str().expect("a message");
    assert!(message.contains("thinggroup/eu-west") && message.contains("AccessDeniedException"), "{message}");
}

#[tokio::test]
async fn an_invalid_setting_fails_the_start_and_is_named() {
    let function =
        FunctionProcess::start(&Fake::new(), &[("DEFAULT_START", "soon"), ("ALLOWED_THING_GROUPS", "")]).await;
    let (status, log) = function.exit().await;
    assert!(!status.success());
    assert!(log.contains("setting `DEFAULT_START` is `soon`, expected `now`, a duration"), "{log}");
    assert!(log.contains("setting `ALLOWED_THING_GROUPS` is not set"), "{log}");
}

#[tokio::test]
async fn a_dry_run_needs_neither_credentials_nor_an_endpoint() {
    let upload = Upload::new(BUCKET.into(), "firmware/blinky.bin".into(), "v1".into());
    let settings = [
        DRY_RUN,
        ("DRY_RUN_TAGS", "ota:thing-group=lab"),
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ];
    let mut function = FunctionProcess::start(&Fake::new(), &settings).await;
    let (kind, response) = function.invoke(event(&upload)).await;
    let release = &response["releases"][0];
    assert_eq!((kind.as_str(), &release["outcome"]), ("response", &json!("dry-run")), "{response}");
    let document = release["createJob"]["document"].as_str().expect("a document");
    assert!(document.contains("\"filesize\":\"<from S3>\""), "{document}");
}

#[tokio::test]
async fn a_scheduled_event_counts_the_streams_of_the_account() {
    let fake = Fake::new();
    fake.add_streams(251).await;
    let mut function = FunctionProcess::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).await;
    let request = json!({ "count": "streams" });
    assert_eq!(function.invoke(request.clone()).await, ("response".to_owned(), json!({ "releases": [] })));
    assert_eq!(fake.operations(), ["ListStreams", "ListStreams"]);
    fake.state().omitted = Some(("ListStreams", "streams"));
    let (kind, error) = function.invoke(request.clone()).await;
    assert_eq!((kind.as_str(), &error["errorMessage"]), ("error", &json!("a response of AWS lacks `streams`")));
    fake.state().omitted = None;
    fake.fail_next("ListStreams", 403, "AccessDeniedException");
    let (kind, error) = function.invoke(request).await;
    assert_eq!(kind, "error");
    let message = error["errorMessage"].as_str().expect("a message");
    assert!(
        message.starts_with("counting the streams of the account: ") && message.contains("AccessDenied"),
        "{message}"
    );
    let log = function.log().await;
    assert!(log.contains("\"level\":\"ERROR\",\"message\":\"counting the streams of the account: "), "{log}");
    let (metrics, _) = metrics(&log);
    let counts: Vec<_> = metrics.iter().map(|line| &line["Streams"]).collect();
    assert_eq!(counts, [&json!(251)]);
}

#[tokio::test]
async fn a_scheduled_event_checks_the_bucket() {
    let versioning = |status: &str| {
        let status = if status.is_empty() { String::new() } else { format!("<Status>{status}</Status>") };
        ("GetBucketVersioning", format!("<VersioningConfiguration>{status}</VersioningConfiguration>"))
    };
    let notification = |content: &str| {
        ("GetBucketNotification", format!("<NotificationConfiguration>{content}</NotificationConfiguration>"))
    };
    let events = notification("<EventBridgeConfiguration></EventBridgeConfiguration>");
    let policy = |statements: Value| ("GetBucketPolicy", json!({"Statement": statements}).to_string());
    let [one, two] = ["One", "Two"].map(|id| json!({"Sid": id, "Effect": "Deny"}));
    let both = policy(json!([one, {"Sid": "Other", "Effect": "Allow"}, two]));
    let enabled = versioning("Enabled");
    let no_statement = |id: &str| format!("the bucket has no `Deny` statement `{id}` in its policy");
    let cases = [
        (vec![enabled.clone(), events.clone(), both.clone()], vec![]),
        (vec![versioning("Suspended"), events.clone(), both.clone()], vec!["the bucket has no versioning".to_owned()]),
        (vec![versioning(""), events.clone(), both.clone()], vec!["the bucket has no versioning".to_owned()]),
        (
            vec![enabled.clone(), notification(""), both.clone()],
            vec!["the bucket sends no events to EventBridge".to_owned()],
        ),
        (vec![enabled.clone(), events.clone(), policy(two.clone())], vec![no_statement("One")]),
        (
            vec![enabled.clone(), events.clone(), policy(json!([one, {"Sid": "Two", "Effect": "Allow"}]))],
            vec![no_statement("Two")],
        ),
        (vec![enabled.clone(), events.clone()], vec![no_statement("One"), no_statement("Two")]),
    ];
    let fake = Fake::new();
    let mut function = FunctionProcess::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).await;
    let request = json!({"check": "bucket", "statements": ["One", "Two"]});
    let mut expected = (Vec::new(), Vec::new());
    for (configuration, problems) in cases {
        fake.set(|behavior| behavior.bucket_configuration = configuration);
        assert_eq!(function.invoke(request.clone()).await, ("response".to_owned(), json!({ "releases": [] })));
        expected.0.push(json!(u8::from(!problems.is_empty())));
        expected.1.extend(problems);
    }
    fake.set(|behavior| behavior.bucket_configuration = vec![enabled.clone(), events.clone(), both.clone()]);
    for operation in ["GetBucketVersioning", "GetBucketNotification", "GetBucketPolicy"] {
        fake.fail_next(operation, 403, "AccessDenied");
        let (kind, error) = function.invoke(request.clone()).await;
        let message = error["errorMessage"].as_str().unwrap_or_default();
        assert_eq!(kind, "error", "{operation}");
        assert!(message.starts_with("reading the ") && message.contains("AccessDenied"), "{message}");
    }
    let log = function.log().await;
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let problems = lines.iter().filter_map(|line| line["message"].as_str()?.split_once("; run `make attach`"));
    assert_eq!(problems.map(|(problem, _)| problem.to_owned()).collect::<Vec<_>>(), expected.1);
    let (metrics, _) = metrics(&log);
    assert_eq!(metrics.iter().map(|line| line["BucketUnguarded"].clone()).collect::<Vec<_>>(), expected.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_16_mb_with_an_embedded_signed_object_stays_under_40_mb_of_memory() {
    for embedded in [Embedded::PayloadLast, Embedded::PayloadFirst] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.embedded = embedded);
        let image: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|at| at.to_le_bytes()[1]).collect();
        let upload = fake.upload("firmware/large.bin", image.clone(), &[("ota:thing-group", "lab")]);
        let mut function = FunctionProcess::start(&fake, &[]).await;
        let (kind, response) = function.invoke(event(&upload)).await;
        assert_eq!((kind.as_str(), &response["releases"][0]["outcome"]), ("response", &json!("created")), "{response}");
        assert_eq!(fake.streamed(&upload.stream_id()).await, image);
        let peak = function.peak_memory();
        report(format_args!("peak memory of a 16 MB release, {embedded:?}: {peak} kB"));
        assert!(peak < 40 * 1024, "{peak} kB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_1_mb_takes_less_than_40_mb_of_memory() {
    let repeated = |pattern: &str| format!("[{}0]", pattern.repeat(1_000_000 / pattern.len()));
    let fake = Fake::new();
    for (case, mut event) in [
        ("arrays", repeated("[0],")),
        ("objects", repeated("{\"a\":0},")),
        ("numbers", repeated("0,")),
        ("records", format!("{{\"Records\":{}}}", repeated("{\"eventSource\":\"aws:s3\"},"))),
    ] {
        for _ in 0..5 {
            event = format!("{{\"requestPayload\":{event}}}");
        }
        let body = json!({"eventSource": "aws:sqs", "body": event});
        for event in [serde_json::from_str(&event).expect("JSON"), json!({"Records": [body]})] {
            let mut function = FunctionProcess::start(&fake, &[]).await;
            assert_eq!(function.invoke(event).await.0, "error", "{case}");
            let peak = function.peak_memory();
            report(format_args!("peak memory of an event of 1 MB of {case}: {peak} kB"));
            assert!(peak < 40 * 1024, "{case}: {peak} kB");
        }
    }
}

/// The maximum size of the event of a synchronous invocation, or of a batch of SQS
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// An event of maximum size, filled with copies of a text.
fn filled(start: &str, item: &str, end: &str) -> String {
    let count = (MAX_EVENT_BYTES - start.len() - end.len()) / item.len();
    format!("{start}{}{end}", item.repeat(count))
}

/// The function responds to every event that Lambda can deliver, in time and in bounded memory.
#[tokio::test]
async fn no_event_takes_much_memory_or_time() {
    let key = format!("firmware/{}", "k".repeat(1000));
    let upload = Upload::new(BUCKET.into(), key, "v1".into());
    let record = event(&upload)["Records"][0].to_string();
    let records = |count: usize| format!("{{\"Records\":[{}]}}", vec![record.as_str(); count].join(","));
    let nested = |levels: usize, bytes: usize| {
        let content = json!({"Records": [], "padding": "\"\\".repeat(bytes)}).to_string();
        (0..levels)
            .fold(content, |content, _| json!({"Records": [{"eventSource": "aws:sqs", "body": content}]}).to_string())
    };
    let nestings = (1..8).map(|levels| ("nested envelopes", nested(levels, (MAX_EVENT_BYTES / 8) >> levels)));
    let too_deep = (9..20).map(|levels| ("too many envelopes", nested(levels, 2)));
    let mut events = vec![
        ("1,000 records", records(1000)),
        ("1,001 records", records(1001)),
        ("as many records as possible", filled("{\"Records\":[{}", &format!(",{record}"), "]}")),
        ("empty records", filled("{\"Records\":[{}", ",{}", "]}")),
        ("numbers for records", filled("{\"Records\":[0", ",0", "]}")),
        ("an array of numbers", filled("[0", ",0", "]")),
        ("an array of empty events", filled("[{}", ",{}", "]")),
        ("messages without a body", filled("{\"Records\":[{}", ",{\"eventSource\":\"aws:sqs\"}", "]}")),
        ("many members", filled("{\"a\":0", ",\"a\":0", "}")),
        ("a long string", filled("\"", "x", "\"")),
        ("escapes", filled("\"", "\\u0041", "\"")),
        ("a long member name", filled("{\"", "x", "\":1}")),
        ("a long number", filled("", "9", "")),
        ("blanks", filled("", " ", "{}")),
    ];
    let half = MAX_EVENT_BYTES / 2;
    events.push(("deep arrays", format!("{}{}", "[".repeat(half), "]".repeat(half))));
    let sixth = MAX_EVENT_BYTES / 6 - 1;
    events.push(("deep objects", format!("{}1{}", "{\"a\":".repeat(sixth), "}".repeat(sixth))));
    events.extend(nestings.chain(too_deep).filter(|(_, event)| event.len() <= MAX_EVENT_BYTES));

    let settings = [DRY_RUN, ("DRY_RUN_TAGS", "ota:thing-group=lab"), ("AWS_LAMBDA_LOG_FORMAT", "JSON")];
    let (mut worst, mut names) = ((0, ""), BTreeSet::new());
    for (name, event) in events {
        assert!(event.len() <= MAX_EVENT_BYTES, "{name}: {}", event.len());
        names.insert(name);
        let fake = Fake::new();
        let mut function = FunctionProcess::start(&fake, &settings).await;
        let (kind, response) = function.invoke_with(event).await;
        let length = response.to_string().len();
        assert!(length < MAX_EVENT_BYTES, "{name}: a response of {length} bytes");
        let is_release = name == "1,000 records";
        assert_eq!(kind == "response", is_release || name == "nested envelopes", "{name}: {kind}");
        worst = worst.max((function.peak_memory(), name));
    }
    assert!(names.contains("nested envelopes") && names.contains("too many envelopes"), "{names:?}");
    report(format_args!("peak memory of the worst event: {} kB ({})", worst.0, worst.1));
    assert!(worst.0 < 100_000, "{worst:?}");
}
