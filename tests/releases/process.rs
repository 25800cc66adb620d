//! The real process: the `bootstrap` that Lambda starts, on a runtime API and an AWS that are both this test.

use crate::{
    fake::{BUCKET, Embedded, Fake},
    releases::{event, setting},
    tell,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ota_on_upload::upload::Upload;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::timeout,
};

const SETTINGS: [&str; 7] = [
    "SIGNING_PROFILE",
    "ALLOWED_SIGNING_PROFILES",
    "OTA_ROLE_ARN",
    "AWS_REGION",
    "UPLOAD_BUCKET",
    "ALLOWED_THING_GROUPS",
    "ALLOWED_THINGS",
];

const REQUEST_ID: &str = "11111111-2222-4333-8444-555555555555";

/// A running function.
struct Process {
    child: Child,
    log: JoinHandle<String>,
    events: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedReceiver<(String, Value)>,
}

/// The runtime API of Lambda, for one function at a time
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
struct RuntimeApi {
    events: Mutex<mpsc::UnboundedReceiver<String>>,
    answers: mpsc::UnboundedSender<(String, Value)>,
}

impl RuntimeApi {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        if path.ends_with("/next") {
            let Some(event) = self.events.lock().await.recv().await else { return std::future::pending().await };
            let deadline = SystemTime::now() + Duration::from_mins(2);
            let deadline = deadline.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
            return Response::builder()
                .header("lambda-runtime-aws-request-id", REQUEST_ID)
                .header("lambda-runtime-deadline-ms", deadline.to_string())
                .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:111122223333:function:f")
                .header("lambda-runtime-trace-id", "Root=1-1;Sampled=0")
                .body(event.into())
                .expect("a response");
        }
        let kind = path.rsplit('/').next().expect("a kind").to_owned();
        let body = serde_json::from_slice(request.body()).expect("JSON");
        self.answers.send((kind, body)).expect("a listener");
        Response::builder().status(StatusCode::ACCEPTED).body(Bytes::new()).expect("a response")
    }
}

impl Process {
    async fn start(fake: &Arc<Fake>, over: &[(&str, &str)]) -> Self {
        fake.set(|behavior| behavior.clock = jiff::Timestamp::now);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (events, received) = mpsc::unbounded_channel();
        let (sender, answers) = mpsc::unbounded_channel();
        let runtime = Arc::new(RuntimeApi { events: Mutex::new(received), answers: sender });
        tokio::spawn(serve(listener, fake.clone(), runtime));

        let mut environment: BTreeMap<_, _> =
            SETTINGS.map(|name| (name.to_owned(), setting(name).expect("a setting"))).into();
        let lambda = [
            ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "g"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "s"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test"),
        ];
        let endpoint = ("AWS_ENDPOINT_URL".to_owned(), format!("http://{address}"));
        environment.extend([endpoint]);
        environment.extend(lambda.iter().chain(over).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        // The release build, if the test is about that.
        let bootstrap = env::var_os("BOOTSTRAP").unwrap_or_else(|| env!("CARGO_BIN_EXE_bootstrap").into());
        let mut child = Command::new(bootstrap)
            .env_clear()
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the bootstrap starts");
        let mut stdout = child.stdout.take().expect("its output");
        // Read while it runs: a full pipe would block it.
        let log = tokio::spawn(async move {
            let mut log = String::new();
            stdout.read_to_string(&mut log).await.expect("text");
            log
        });
        Self { child, log, events, answers }
    }

    /// What the function answers to an event: `response` or `error`, and its body.
    async fn invoke(&mut self, event: Value) -> (String, Value) {
        self.invoke_with(event.to_string()).await
    }

    /// The same of an event that need not be JSON.
    async fn invoke_with(&mut self, event: String) -> (String, Value) {
        self.events.send(event).expect("a runtime API");
        timeout(Duration::from_mins(1), self.answers.recv()).await.expect("an answer in time").expect("an answer")
    }

    /// The most memory that the process has had resident so far, in kB.
    fn peak_memory(&self) -> u64 {
        let id = self.child.id().expect("a running process");
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the status of a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// All that the process has written to standard output.
    async fn log(mut self) -> String {
        self.child.start_kill().expect("a running process");
        self.child.wait().await.expect("its end");
        self.log.await.expect("its log")
    }
}

async fn serve(listener: TcpListener, fake: Arc<Fake>, runtime: Arc<RuntimeApi>) {
    loop {
        let (connection, _) = listener.accept().await.expect("a connection");
        let (fake, runtime) = (fake.clone(), runtime.clone());
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let (fake, runtime) = (fake.clone(), runtime.clone());
            async move {
                let (parts, body) = request.into_parts();
                let request = Request::from_parts(parts, body.collect().await?.to_bytes());
                let response = if request.uri().path().starts_with("/2018-06-01/") {
                    runtime.answer(request).await
                } else {
                    fake.answer(request).await
                };
                Ok::<_, hyper::Error>(response.map(Full::new))
            }
        });
        // A client that goes away before the end of a body is no failure: the function does so on purpose.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(connection), service).await });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_16_mb_with_an_embedded_signed_object_stays_under_40_mb_of_memory() {
    for embedded in [Embedded::PayloadLast, Embedded::PayloadFirst] {
        let fake = Fake::new();
        fake.set(|behavior| behavior.embedded = embedded);
        let image: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|at| at.to_le_bytes()[1]).collect();
        let upload = fake.upload("firmware/large.bin", image.clone(), &[("ota:thing-group", "lab")]);
        let mut function = Process::start(&fake, &[]).await;
        let (kind, answer) = function.invoke(event(&upload)).await;
        assert_eq!((kind.as_str(), &answer["releases"][0]["outcome"]), ("response", &json!("created")), "{answer}");
        assert_eq!(fake.streamed(&upload.stream_id()).await, image);
        let peak = function.peak_memory();
        tell(format_args!("peak memory of a 16 MB release, {embedded:?}: {peak} kB"));
        assert!(peak < 40 * 1024, "{peak} kB");
    }
}

#[tokio::test]
async fn the_final_log_line_is_one_json_object_with_all_that_is_known() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "lab")]);
    let mut function =
        Process::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "INFO")]).await;
    let (_, answer) = function.invoke(event(&upload)).await;
    let log = function.log().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let finals: Vec<_> = lines.iter().filter(|line| line.get("outcome").is_some()).collect();
    assert_eq!(finals.len(), 1, "{log}");
    for member in ["outcome", "bucket", "key", "versionId", "jobId", "jobArn", "streamId"] {
        assert_eq!(finals[0][member], answer["releases"][0][member], "{member}");
    }
    assert_eq!(finals[0]["verified"], true);
    for step in ["inspectMs", "preflightMs", "signMs", "copyMs", "streamMs", "jobMs"] {
        assert!(finals[0][step].is_u64(), "{step}: {log}");
    }
    assert_eq!(finals[0]["span"]["requestId"], REQUEST_ID);
    assert!(finals[0]["timestamp"].is_string() && finals[0]["level"] == "INFO", "{log}");
}

/// The lines of metrics in a log, and the other lines.
fn metrics(log: &str) -> (Vec<Value>, Vec<&str>) {
    let (metrics, others): (Vec<_>, Vec<_>) = log.lines().partition(|line| line.contains("\"_aws\""));
    // The specification allows nothing before or after the JSON.
    (metrics.into_iter().map(|line| serde_json::from_str(line).expect("JSON")).collect(), others)
}

#[tokio::test]
async fn each_record_has_one_line_of_metrics_beside_its_final_log_line() {
    for format in ["JSON", "Text"] {
        let fake = Fake::new();
        let good = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "lab")]);
        let bad = fake.upload("firmware/bad.bin", "image", &[("ota:thing-group", "prod")]);
        let denied = fake.upload("firmware/denied.bin", "image", &[("ota:thing-group", "eu-west")]);
        let mut function = Process::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", format)]).await;
        for upload in [&good, &bad] {
            function.invoke(event(upload)).await;
        }
        fake.instead_of("DescribeThingGroup", 403, "AccessDeniedException");
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
async fn the_streams_of_the_account_are_counted_when_the_schedule_asks() {
    let fake = Fake::new();
    fake.add_streams(251).await;
    let mut function = Process::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).await;
    let asked = json!({ "count": "streams" });
    assert_eq!(function.invoke(asked.clone()).await, ("response".to_owned(), json!({ "releases": [] })));
    assert_eq!(fake.operations(), ["ListStreams", "ListStreams"]);
    fake.state().lacking = Some(("ListStreams", "streams"));
    let (kind, error) = function.invoke(asked.clone()).await;
    assert_eq!((kind.as_str(), &error["errorMessage"]), ("error", &json!("a response of AWS lacks `streams`")));
    fake.state().lacking = None;
    fake.instead_of("ListStreams", 403, "AccessDeniedException");
    let (kind, error) = function.invoke(asked).await;
    assert_eq!(kind, "error");
    let message = error["errorMessage"].as_str().expect("a message");
    assert!(
        message.starts_with("counting the streams of the account: ") && message.contains("AccessDenied"),
        "{message}"
    );
    let log = function.log().await;
    assert!(log.contains("\"level\":\"ERROR\",\"message\":\"counting the streams of the account: "), "{log}");
    let (metrics, _) = metrics(&log);
    let told: Vec<_> = metrics.iter().map(|line| &line["Streams"]).collect();
    assert_eq!(told, [&json!(251)]);
}

#[tokio::test]
async fn the_bucket_is_checked_when_the_schedule_asks() {
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
    let no_statement = |id: &str| format!("the bucket has no statement `{id}` in its policy that denies something");
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
    let mut function = Process::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).await;
    let asked = json!({"check": "bucket", "statements": ["One", "Two"]});
    let mut expected = (Vec::new(), Vec::new());
    for (configuration, problems) in cases {
        fake.set(|behavior| behavior.bucket_configuration = configuration);
        assert_eq!(function.invoke(asked.clone()).await, ("response".to_owned(), json!({ "releases": [] })));
        expected.0.push(json!(u8::from(!problems.is_empty())));
        expected.1.extend(problems);
    }
    fake.set(|behavior| behavior.bucket_configuration = vec![enabled.clone(), events.clone(), both.clone()]);
    for operation in ["GetBucketVersioning", "GetBucketNotification", "GetBucketPolicy"] {
        fake.instead_of(operation, 403, "AccessDenied");
        let (kind, error) = function.invoke(asked.clone()).await;
        let message = error["errorMessage"].as_str().unwrap_or_default();
        assert_eq!(kind, "error", "{operation}");
        assert!(message.starts_with("reading the ") && message.contains("AccessDenied"), "{message}");
    }
    let log = function.log().await;
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told = lines.iter().filter_map(|line| line["message"].as_str()?.split_once(", expected the configuration"));
    assert_eq!(told.map(|(problem, _)| problem.to_owned()).collect::<Vec<_>>(), expected.1);
    let (metrics, _) = metrics(&log);
    assert_eq!(metrics.iter().map(|line| line["BucketUnguarded"].clone()).collect::<Vec<_>>(), expected.0);
}

#[tokio::test]
async fn the_log_level_is_honoured_and_never_shows_what_is_sent() {
    for (level, format, lines) in [("ERROR", "JSON", 1), ("TRACE", "JSON", 2), ("INFO", "Text", 2)] {
        let fake = Fake::new();
        let good = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "lab"), ("ota:timeout", "1d")]);
        let bad = fake.upload("firmware/bad.bin", "image", &[("ota:thing-group", "prod"), ("ota:retries", "lots")]);
        let mut function =
            Process::start(&fake, &[("AWS_LAMBDA_LOG_LEVEL", level), ("AWS_LAMBDA_LOG_FORMAT", format)]).await;
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

/// The process has a time-zone database of its own: it finds none on the machine.
#[tokio::test]
async fn the_log_tells_local_times_and_windows_both_locally_and_in_utc() {
    let fake = Fake::new();
    let tags = [
        ("ota:thing-group", "lab"),
        ("ota:start", "2h"),
        ("ota:timezone", "Asia/Kathmandu"),
        ("ota:window", "daily 02:00 90m"),
    ];
    let upload = fake.upload("firmware/blinky.bin", "image", &tags);
    let over = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("TZDIR", "/nonexistent"), ("TZ", "/nonexistent")];
    let mut function = Process::start(&fake, &over).await;
    let (_, answer) = function.invoke(event(&upload)).await;
    let release = &answer["releases"][0];
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
async fn the_log_warns_of_a_job_of_an_earlier_version_that_still_goes_on() {
    let tags = [("ota:thing-group", "lab")];
    for (status, warnings) in [("SCHEDULED", 1), ("IN_PROGRESS", 1), ("COMPLETED", 0), ("CANCELED", 0)] {
        let fake = Fake::new();
        let mut function = Process::start(&fake, &[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).await;
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
async fn the_log_warns_of_limits_of_device_libraries_in_a_release_and_in_a_dry_run() {
    let tags = [("ota:thing-group", "lab")];
    for (dry_run, outcome) in [("false", "created"), ("true", "dry-run")] {
        for (bytes, warnings) in [(4 << 20, 0), ((4 << 20) + 1, 1)] {
            let fake = Fake::new();
            let upload = fake.upload("firmware/blinky.bin", vec![7; bytes], &tags);
            let over = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("DRY_RUN", dry_run)];
            let mut function = Process::start(&fake, &over).await;
            let (_, answer) = function.invoke(event(&upload)).await;
            assert_eq!(answer["releases"][0]["outcome"], outcome, "{answer}");
            let log = function.log().await;
            assert_eq!(log.matches("the FreeRTOS OTA library (v3) ignores images over").count(), warnings, "{log}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_needs_neither_credentials_nor_an_endpoint() {
    let upload = Upload::new(BUCKET.into(), "firmware/blinky.bin".into(), "v1".into());
    let over = [
        ("DRY_RUN", "true"),
        ("DRY_RUN_TAGS", "ota:thing-group=lab"),
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ];
    let mut function = Process::start(&Fake::new(), &over).await;
    let (kind, answer) = function.invoke(event(&upload)).await;
    let release = &answer["releases"][0];
    assert_eq!((kind.as_str(), &release["outcome"]), ("response", &json!("dry-run")), "{answer}");
    let document = release["createJob"]["document"].as_str().expect("a document");
    assert!(document.contains("\"filesize\":\"<from S3>\""), "{document}");
}

#[tokio::test]
async fn a_failed_release_fails_the_invocation_with_its_whole_reason() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "eu-west")]);
    fake.instead_of("DescribeThingGroup", 403, "AccessDeniedException");
    let mut function = Process::start(&fake, &[]).await;
    let (kind, error) = function.invoke(event(&upload)).await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("ReleaseFailed")));
    let message = error["errorMessage"].as_str().expect("a message");
    assert!(message.contains("thinggroup/eu-west") && message.contains("AccessDeniedException"), "{message}");
}

#[tokio::test]
async fn a_bad_setting_fails_init_and_is_named() {
    let mut function = Process::start(&Fake::new(), &[("DEFAULT_START", "soon"), ("ALLOWED_THING_GROUPS", "")]).await;
    let status = timeout(Duration::from_secs(30), function.child.wait()).await.expect("in time").expect("a status");
    assert!(!status.success());
    let log = function.log.await.expect("its log");
    assert!(log.contains("setting `DEFAULT_START` is `soon`, expected `now`, a duration"), "{log}");
    assert!(log.contains("setting `ALLOWED_THING_GROUPS` is not set"), "{log}");
}

#[tokio::test]
async fn a_message_of_the_failure_queue_that_is_not_understood_is_consumed_logged_and_counted() {
    let queue = "arn:aws:sqs:us-east-1:111122223333:failures";
    let message = |body: &str| json!({"eventSource": "aws:sqs", "eventSourceARN": queue, "body": body});
    for format in ["JSON", "Text"] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", "image", &[("ota:thing-group", "lab")]);
        let over = [("FAILURE_QUEUE_ARN", queue), ("AWS_LAMBDA_LOG_FORMAT", format), ("AWS_LAMBDA_LOG_LEVEL", "ERROR")];
        let mut function = Process::start(&fake, &over).await;
        let strange = format!("{{\"tasks\": \"\u{1b}[31m{}\"}}\n2026-11-23 INFO forged", "x".repeat(5000));
        let event = json!({"Records": [message(&strange), message(&event(&upload).to_string())]});
        let (kind, answer) = function.invoke(event).await;
        assert_eq!((kind.as_str(), answer["releases"].as_array().map(Vec::len)), ("response", Some(1)), "{answer}");
        assert_eq!(answer["releases"][0]["outcome"], "created", "{answer}");
        let log = function.log().await;
        let (metrics, others) = metrics(&log);
        let lines: Vec<_> = others.iter().filter(|line| line.contains("consumed unread")).collect();
        let [line] = lines[..] else { panic!("{log}") };
        assert!(line.contains("ERROR") && line.contains("xxxx") && line.len() < 4096 + 1000, "{line}");
        assert!(!log.contains('\u{1b}') && !log.lines().any(|line| line.starts_with("2026-11-23 INFO")), "{log}");
        let counted: Vec<_> = metrics.iter().filter(|line| line["Unreadable"] == 1).collect();
        assert_eq!((counted.len(), &counted[0]["level"]), (1, &json!("ERROR")), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_1_mb_is_read_in_little_memory_however_it_is_nested() {
    let nothing = |pattern: &str| format!("[{}0]", pattern.repeat(1_000_000 / pattern.len()));
    let fake = Fake::new();
    for (what, mut event) in [
        ("arrays", nothing("[0],")),
        ("objects", nothing("{\"a\":0},")),
        ("numbers", nothing("0,")),
        ("records", format!("{{\"Records\":{}}}", nothing("{\"eventSource\":\"aws:s3\"},"))),
    ] {
        for _ in 0..5 {
            event = format!("{{\"requestPayload\":{event}}}");
        }
        let body = json!({"eventSource": "aws:sqs", "body": event});
        for event in [serde_json::from_str(&event).expect("JSON"), json!({"Records": [body]})] {
            let mut function = Process::start(&fake, &[]).await;
            assert_eq!(function.invoke(event).await.0, "error", "{what}");
            let peak = function.peak_memory();
            tell(format_args!("peak memory of an event of 1 MB of {what}: {peak} kB"));
            assert!(peak < 40 * 1024, "{what}: {peak} kB");
        }
    }
}

/// The most bytes of an event of a synchronous invocation, or of a batch of SQS
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// So many copies of a text as fit into an event.
fn filled(start: &str, item: &str, end: &str) -> String {
    let count = (MAX_EVENT_BYTES - start.len() - end.len()) / item.len();
    format!("{start}{}{end}", item.repeat(count))
}

/// Any event that Lambda can deliver is answered in time and in bounded memory, whatever its sender made up.
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
        ("as many records as fit", filled("{\"Records\":[{}", &format!(",{record}"), "]}")),
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

    let over = [("DRY_RUN", "true"), ("DRY_RUN_TAGS", "ota:thing-group=lab"), ("AWS_LAMBDA_LOG_FORMAT", "JSON")];
    let (mut worst, mut names) = ((0, ""), BTreeSet::new());
    for (name, event) in events {
        assert!(event.len() <= MAX_EVENT_BYTES, "{name}: {}", event.len());
        names.insert(name);
        let fake = Fake::new();
        let mut function = Process::start(&fake, &over).await;
        let (kind, answer) = function.invoke_with(event).await;
        let length = answer.to_string().len();
        assert!(length < MAX_EVENT_BYTES, "{name}: an answer of {length} bytes");
        let is_release = name == "1,000 records";
        assert_eq!(kind == "response", is_release || name == "nested envelopes", "{name}: {kind}");
        worst = worst.max((function.peak_memory(), name));
    }
    assert!(names.contains("nested envelopes") && names.contains("too many envelopes"), "{names:?}");
    tell(format_args!("peak memory of the worst event: {} kB ({})", worst.0, worst.1));
    assert!(worst.0 < 100_000, "{worst:?}");
}
