//! Tests with a fake of AWS that returns pages, as AWS does.

use crate::args::{Arguments, Command, DevicesArguments, ListArguments};
use crate::aws::Aws;
use crate::check::Candidate;
use crate::problem::{Exit, Problem};
use crate::stack::{Stack, default_settings};
use crate::{devices, list, objects, upload};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_iot::config::http::{HttpRequest, HttpResponse};
use aws_sdk_iot::config::{Credentials, RuntimeComponents, SharedAsyncSleep, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use clap::{CommandFactory, Parser};
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::upload::Upload;
use serde_json::{Value, json};
use std::io::{Result as IoResult, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const JOBS: usize = 1000;
const EXECUTIONS: usize = 10_000;
const PAGE: usize = 250;
/// Each tenth job is that of another stack.
const OTHER_STACK: usize = 10;
/// Each thirteenth job is a copy.
const COPY: usize = 13;

/// The requests so far: the operation, and the time.
type Requests = Arc<Mutex<Vec<(&'static str, Instant)>>>;

#[derive(Debug, Clone, Default)]
struct Fake {
    requests: Requests,
    /// The number of the next requests that are throttled.
    throttled: Arc<Mutex<usize>>,
    /// The queries of ListJobs.
    list_queries: Arc<Mutex<Vec<String>>>,
}

/// Clients of a fake.
fn aws_with(fake: impl HttpClient + 'static) -> Aws {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .http_client(fake)
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .build();
    Aws::new(&config).unwrap()
}

impl Fake {
    fn aws(&self) -> Aws {
        aws_with(self.clone())
    }

    fn count(&self, operation: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|(name, _)| *name == operation).count()
    }

    /// The maximum number of requests in a second.
    fn busiest_second(&self) -> usize {
        let requests = self.requests.lock().unwrap();
        let in_second = |start: Instant| {
            requests.iter().filter(|(_, at)| (start..start + Duration::from_secs(1)).contains(at)).count()
        };
        requests.iter().map(|(_, at)| in_second(*at)).max().unwrap_or_default()
    }

    fn answer(&self, uri: &str) -> (u16, Value) {
        let path = uri.split_once("amazonaws.com").map_or(uri, |(_, path)| path);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if let Some(folder) = path.strip_prefix("/SignedImage/").and_then(|rest| rest.strip_suffix("/release.json")) {
            return (200, record(folder));
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (operation, answer) = match parts[..] {
            ["jobs"] => ("ListJobs", page(query, JOBS, "jobs", summary)),
            ["jobs", id] => ("DescribeJob", describe(id)),
            ["jobs", _, "things"] => ("ListExecutions", page(query, EXECUTIONS, "executionSummaries", execution)),
            ["things", thing, "jobs", _] => ("DescribeExecution", details(thing)),
            _ => panic!("no answer to {uri}"),
        };
        if operation == "ListJobs" {
            self.list_queries.lock().unwrap().push(query.to_owned());
        }
        self.requests.lock().unwrap().push((operation, Instant::now()));
        let mut throttled = self.throttled.lock().unwrap();
        if *throttled > 0 {
            *throttled -= 1;
            return (400, json!({"__type": "ThrottlingException", "message": "too many requests"}));
        }
        (200, answer)
    }
}

impl HttpClient for Fake {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (status, body) = self.answer(request.uri());
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()));
        response.headers_mut().insert("content-type", "application/json");
        if let Some(kind) = body["__type"].as_str() {
            response.headers_mut().insert("x-amzn-errortype", kind.to_owned());
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn page(query: &str, total: usize, member: &str, item: fn(usize) -> Value) -> Value {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    assert_eq!(parameter("maxResults"), Some(PAGE.to_string().as_str()), "{query}");
    let start = parameter("nextToken").map_or(0, |token| token.parse().unwrap());
    let items: Vec<_> = (start..total.min(start + PAGE)).map(item).collect();
    let mut page = json!({member: items});
    if start + PAGE < total {
        page["nextToken"] = (start + PAGE).to_string().into();
    }
    page
}

/// A job in a list that is not in the order of creation.
fn summary(index: usize) -> Value {
    let number = index * 7 % JOBS;
    let id = if number % 4 == 3 { format!("other-{number}") } else { format!("AFR_OTA-{number:04}") };
    json!({"jobId": id, "status": "COMPLETED", "createdAt": 1_795_000_000 + number})
}

/// The record of a job. Each thirteenth job has the copied description of another one.
fn job_record(number: usize) -> JobRecord {
    let (key, version_id) = (format!("firmware/image-{number:04}.bin"), "v1".to_owned());
    let job_id = if number.is_multiple_of(COPY) { "AFR_OTA-copied".to_owned() } else { format!("AFR_OTA-{number:04}") };
    JobRecord {
        bucket: "bucket".to_owned(),
        key,
        version_id,
        job_id,
        nonce: Some("0123".to_owned()),
        ..JobRecord::default()
    }
}

/// The record in a folder below the signed prefix.
fn record(folder: &str) -> Value {
    let prefix = format!("SignedImage/{folder}/");
    let settings = default_settings().unwrap();
    let upload = |record: &JobRecord| Upload::new("bucket".into(), record.key.clone(), record.version_id.clone());
    let found = (0..JOBS).map(job_record).find(|record| settings.prefix_of(&upload(record)) == prefix);
    serde_json::to_value(found.unwrap()).unwrap()
}

fn describe(id: &str) -> Value {
    let number: usize = id.strip_prefix("AFR_OTA-").expect("a release").parse().unwrap();
    let bucket = if number.is_multiple_of(OTHER_STACK) { "other-bucket" } else { "bucket" };
    let mark = job_record(number).mark();
    let place = format!("s3://{bucket}/firmware/image-{number:04}.bin?versionId=v1{mark}");
    let details = json!({"numberOfSucceededThings": 2, "numberOfFailedThings": 1});
    let (target, created) = ("arn:aws:iot:us-east-1:111122223333:thinggroup/lab", 1_795_000_000 + number);
    json!({"job": {"jobId": id, "status": "COMPLETED", "createdAt": created, "description": place,
        "targets": [target], "jobProcessDetails": details}})
}

fn execution(index: usize) -> Value {
    let status = if index.is_multiple_of(3) { "FAILED" } else { "SUCCEEDED" };
    let summary = json!({"status": status, "executionNumber": 1, "retryAttempt": 0, "queuedAt": 1_795_000_000});
    json!({"thingArn": format!("arn:aws:iot:us-east-1:111122223333:thing/t{index}"), "jobExecutionSummary": summary})
}

fn details(thing: &str) -> Value {
    let number: usize = thing.trim_start_matches('t').parse().unwrap();
    let reason = if number.is_multiple_of(2) { "no space" } else { "bad signature" };
    json!({"execution": {"statusDetails": {"detailsMap": {"reason": reason}}}})
}

/// The output, the number of requests before its first part, and the length of its largest part.
#[derive(Default)]
struct Sink {
    requests: Requests,
    bytes: Vec<u8>,
    largest_part: usize,
    requests_before_first: Option<usize>,
    at_flush: usize,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        self.bytes.extend(bytes);
        self.requests_before_first.get_or_insert(self.requests.lock().unwrap().len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> IoResult<()> {
        self.largest_part = self.largest_part.max(self.bytes.len() - self.at_flush);
        self.at_flush = self.bytes.len();
        Ok(())
    }
}

fn list_arguments(line: &str) -> ListArguments {
    match Arguments::parse_from(["ota", "list"].into_iter().chain(line.split_whitespace())).command {
        Command::List(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

fn devices_arguments(line: &str) -> DevicesArguments {
    match Arguments::parse_from(["ota", "devices", "x"].into_iter().chain(line.split_whitespace())).command {
        Command::Devices(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

fn stack() -> Stack {
    Stack { settings: default_settings().unwrap(), log_group: String::new(), is_dry_run: false }
}

async fn listed(fake: &Fake, line: &str, is_json: bool) -> String {
    let mut sink = Sink { requests: fake.requests.clone(), ..Sink::default() };
    let exit = list::run((&fake.aws(), &stack()), &list_arguments(line), is_json, &mut sink).await;
    assert_eq!(exit, Ok(Exit::Done));
    if line == "--all" {
        // Rows are written while later jobs are still to be looked up.
        assert!(sink.requests_before_first.unwrap() <= 4 + 30, "{:?}", sink.requests_before_first);
    }
    String::from_utf8(sink.bytes).unwrap()
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_releases_are_looked_up() {
    let fake = Fake::default();
    let table = listed(&fake, "", false).await;
    let ids: Vec<_> = table.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids.len(), 20, "{table}");
    assert_eq!(&ids[..3], ["AFR_OTA-0998", "AFR_OTA-0997", "AFR_OTA-0996"], "{table}");
    assert!(ids.is_sorted_by(|one, other| one > other), "{table}");
    // 0990 is that of another stack, and 0988 is a copy.
    assert!(!table.contains("AFR_OTA-0990") && !table.contains("AFR_OTA-0988"), "{table}");
    assert!(table.contains("2 succeeded, 1 failed") && table.contains("firmware/image-0998.bin"), "{table}");
    assert_eq!(fake.count("ListJobs"), 4);
    assert!(fake.count("DescribeJob") < 25, "{}", fake.count("DescribeJob"));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_are_listed_within_the_quota() {
    let fake = Fake::default();
    let json: Value = serde_json::from_str(&listed(&fake, "--all", true).await).unwrap();
    let jobs = json["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| job["bucket"] == "bucket" && job["createdAt"].is_string()));
    // Of 1000 jobs, 250 are not releases, 100 are those of another stack, and 50 others are copies.
    assert_eq!(jobs.len(), 1000 - 250 - 100 - 50);
    assert_eq!(listed(&Fake::default(), "--all", false).await.lines().count(), 1 + jobs.len());
    assert!(fake.busiest_second() <= 10, "{}", fake.busiest_second());
}

#[tokio::test(start_paused = true)]
async fn filters_apply_before_jobs_are_looked_up_if_possible() {
    let fake = Fake::default();
    let table = listed(&fake, "--key image-0998", false).await;
    assert_eq!(table.lines().count(), 2, "{table}");
    // The status of a job can be another one than in the list of jobs.
    assert!(listed(&fake, "--key image-0998 --status in-progress", false).await.is_empty());
    assert!(listed(&fake, "--key image-0998 --group other", false).await.is_empty());
    let queries = fake.list_queries.lock().unwrap().join(" ");
    assert!(queries.contains("status=IN_PROGRESS") && queries.contains("thingGroupName=other"), "{queries}");
    let fake = Fake::default();
    assert!(listed(&fake, "--since 2099-01-01", false).await.is_empty());
    assert_eq!(fake.count("DescribeJob"), 0);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_executions_are_listed_page_by_page() {
    let fake = Fake::default();
    let mut sink = Sink { requests: fake.requests.clone(), ..Sink::default() };
    let arguments = devices_arguments("");
    assert_eq!(devices::list(&fake.aws(), "AFR_OTA-0001", &arguments, false, &mut sink).await, Ok(Exit::Done));
    assert_eq!((fake.count("ListExecutions"), fake.count("DescribeExecution")), (40, 100));
    assert!(fake.busiest_second() <= 10, "{}", fake.busiest_second());
    // No part of the output is larger than a page of rows.
    assert!(sink.largest_part < PAGE * 200, "{}", sink.largest_part);
    let text = String::from_utf8(sink.bytes).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with('t')).count(), EXECUTIONS);
    let reasons = text.split_once("reasons of 100 of 3334 failures:").unwrap().1;
    assert!(reasons.contains("reason=no space") && reasons.contains("reason=bad signature"), "{reasons}");
    assert!(reasons.contains("t0, t6, t12, t18, t24, …"), "{reasons}");
}

#[tokio::test(start_paused = true)]
async fn the_json_of_executions_has_the_details_that_were_looked_up() {
    let fake = Fake::default();
    let mut out = Vec::new();
    let arguments = devices_arguments("--details 2");
    devices::list(&fake.aws(), "AFR_OTA-0001", &arguments, true, &mut out).await.unwrap();
    let json: Value = serde_json::from_slice(&out).unwrap();
    let executions = json["executionSummaries"].as_array().unwrap();
    let with_details: Vec<_> = (0..EXECUTIONS).filter(|at| executions[*at].get("statusDetails").is_some()).collect();
    assert_eq!((executions.len(), with_details), (EXECUTIONS, vec![0, 3]));
    assert_eq!(executions[0]["statusDetails"]["detailsMap"]["reason"], "no space");
}

#[tokio::test(start_paused = true)]
async fn throttled_requests_are_repeated() {
    let fake = Fake { throttled: Arc::new(Mutex::new(4)), ..Fake::default() };
    assert!(listed(&fake, "--key image-0001 --since 2099-01-01", false).await.is_empty());
    assert_eq!(fake.count("ListJobs"), 4 + 4);
}

/// A fake of S3 that loses the response of the first PutObject.
#[derive(Debug, Clone)]
struct Losing {
    /// `true` if S3 has the file although the response is lost.
    has_file: bool,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpClient for Losing {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Losing {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut requests = self.requests.lock().unwrap();
        requests.push(request.method().to_owned());
        let is_first = requests.iter().filter(|method| *method == "PUT").count() == 1;
        if request.method() == "PUT" && is_first {
            return HttpConnectorFuture::ready(Err(ConnectorError::io("the connection was closed".into())));
        }
        let version =
            |id: &str| format!("<Version><Key>firmware/a.bin</Key><VersionId>{id}</VersionId><Size>5</Size></Version>");
        let new =
            if self.has_file && requests.iter().any(|method| method == "PUT") { version("new") } else { String::new() };
        let body = format!("<ListVersionsResult>{new}{}</ListVersionsResult>", version("old"));
        let body = if request.method() == "PUT" { String::new() } else { body };
        let mut response = HttpResponse::new(200.try_into().unwrap(), SdkBody::from(body));
        response.headers_mut().insert("x-amz-version-id", "again");
        HttpConnectorFuture::ready(Ok(response))
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_does_not_upload_the_file_twice() {
    for (has_file, version, requests) in
        [(true, "new", vec!["GET", "PUT", "GET"]), (false, "again", vec!["GET", "PUT", "GET", "PUT"])]
    {
        let fake = Losing { has_file, requests: Arc::default() };
        let aws = aws_with(fake.clone());
        let (key, tags, bytes) = ("firmware/a.bin".to_owned(), String::new(), b"image".to_vec());
        let candidate = Candidate { key, tags, size: 5, bytes };
        let upload = upload::put(&aws, &default_settings().unwrap(), candidate, &[0; 32]).await.unwrap();
        assert_eq!(
            (upload.version_id.as_str(), &*fake.requests.lock().unwrap()),
            (version, &requests.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
        );
    }
}

/// A fake with the same response to each request.
#[derive(Debug, Clone)]
struct Constant {
    status: u16,
    error: &'static str,
    body: String,
    requests: Arc<Mutex<usize>>,
}

impl HttpClient for Constant {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Constant {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        *self.requests.lock().unwrap() += 1;
        let mut response = HttpResponse::new(self.status.try_into().unwrap(), SdkBody::from(self.body.clone()));
        response.headers_mut().insert("x-amzn-errortype", self.error);
        HttpConnectorFuture::ready(Ok(response))
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_list_of_versions_is_refused() {
    let (settings, key) = (default_settings().unwrap(), "firmware/a.bin");
    let version =
        |id: &str| format!("<Version><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>true</IsLatest></Version>");
    let whole = format!("<ListVersionsResult>{}{}</ListVersionsResult>", version("new"), version("old"));
    for end in (1..=whole.len()).rev().step_by(9) {
        let fake = Constant { status: 200, error: "", body: whole[..end].to_owned(), requests: Arc::default() };
        let versions = objects::versions(&aws_with(fake), &settings, key).await;
        assert_eq!(
            versions.map(|versions| versions.len()).ok(),
            (end == whole.len()).then_some(2),
            "{}",
            &whole[..end]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_deletions_are_reported_at_once() {
    let error = "LimitExceededException";
    let fake = Constant { status: 410, error, body: "{}".to_owned(), requests: Arc::default() };
    let Err(Problem { messages, .. }) = aws_with(fake.clone()).jobs.delete("AFR_OTA-a").await else {
        panic!("the job is deleted")
    };
    assert!(messages[0].starts_with("AWS IoT deletes at most 10 jobs at a time"), "{messages:?}");
    assert_eq!(*fake.requests.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_region_is_required() {
    let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
    let Err(Problem { messages, .. }) = Aws::new(&config) else { panic!("no Region is needed") };
    assert!(messages[0].starts_with("no Region is set: "), "{messages:?}");
}
