//! Runs the real process, the `bootstrap` that Lambda starts. The test serves its runtime API and its AWS requests.

use super::{Fake, setting};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The settings of the tests that are passed to the process.
const SETTINGS: [&str; 7] = [
    "SIGNING_PROFILE",
    "ALLOWED_SIGNING_PROFILES",
    "OTA_ROLE_ARN",
    "AWS_REGION",
    "UPLOAD_BUCKET",
    "ALLOWED_THING_GROUPS",
    "ALLOWED_THINGS",
];

pub const REQUEST_ID: &str = "11111111-2222-4333-8444-555555555555";

/// A running function.
pub struct FunctionProcess {
    child: Child,
    log: JoinHandle<String>,
    events: mpsc::UnboundedSender<String>,
    responses: mpsc::UnboundedReceiver<(String, Value)>,
}

/// The runtime API of Lambda, for one function at a time
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
struct RuntimeApi {
    events: Mutex<mpsc::UnboundedReceiver<String>>,
    responses: mpsc::UnboundedSender<(String, Value)>,
}

impl RuntimeApi {
    async fn respond(&self, request: Request<Bytes>) -> Response<Bytes> {
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
        self.responses.send((kind, body)).expect("a listener");
        Response::builder().status(StatusCode::ACCEPTED).body(Bytes::new()).expect("a response")
    }
}

impl FunctionProcess {
    pub async fn start(fake: &Arc<Fake>, settings: &[(&str, &str)]) -> Self {
        fake.set(|behavior| behavior.clock = jiff::Timestamp::now);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (events, received) = mpsc::unbounded_channel();
        let (sender, responses) = mpsc::unbounded_channel();
        let runtime = Arc::new(RuntimeApi { events: Mutex::new(received), responses: sender });
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
        environment
            .extend(lambda.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        // The deployed binary, if `test_stack.py` names it.
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
        // The output is read while the process runs, because a full pipe would block the process.
        let log = tokio::spawn(async move {
            let mut log = String::new();
            stdout.read_to_string(&mut log).await.expect("text");
            log
        });
        Self { child, log, events, responses }
    }

    /// The function's response to an event: `response` or `error`, and its body.
    pub async fn invoke(&mut self, event: Value) -> (String, Value) {
        self.invoke_with(event.to_string()).await
    }

    /// Like `invoke`, for an event that need not be JSON.
    pub async fn invoke_with(&mut self, event: String) -> (String, Value) {
        self.events.send(event).expect("a runtime API");
        timeout(Duration::from_mins(1), self.responses.recv()).await.expect("a response in time").expect("a response")
    }

    /// The peak of the process's resident memory so far, in kB.
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.id().expect("a running process");
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the status of a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Kills the process. Returns everything that it has written to standard output.
    pub async fn log(mut self) -> String {
        self.child.start_kill().expect("a running process");
        self.child.wait().await.expect("its end");
        self.log.await.expect("its log")
    }

    /// Waits for the process to end by itself. Returns its status and its log.
    pub async fn exit(mut self) -> (ExitStatus, String) {
        let status = timeout(Duration::from_secs(30), self.child.wait()).await.expect("in time").expect("a status");
        (status, self.log.await.expect("its log"))
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
                    runtime.respond(request).await
                } else {
                    fake.answer(request).await
                };
                Ok::<_, hyper::Error>(response.map(Full::new))
            }
        });
        // The function closes connections before the end of a body on purpose.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(connection), service).await });
    }
}

/// The lines of metrics in a log, and the other lines.
pub fn metrics(log: &str) -> (Vec<Value>, Vec<&str>) {
    let (metrics, others): (Vec<_>, Vec<_>) = log.lines().partition(|line| line.contains("\"_aws\""));
    // The specification allows nothing before or after the JSON.
    (metrics.into_iter().map(|line| serde_json::from_str(line).expect("JSON")).collect(), others)
}
