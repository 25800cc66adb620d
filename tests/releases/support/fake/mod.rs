//! An in-process fake of S3, Signer, ACM and IoT behind the HTTP connector of the real clients. It stores object
//! versions, signs with a real key, enforces the rules of CreateJob, and records every request.

mod behavior;
mod connector;
mod faults;
mod iot;
mod response;
mod s3;
mod signer;

pub use behavior::{Behavior, Embedded, Storage};
pub use faults::{CallIndex, FAULTS, Fault, Watch};
pub use iot::job_arn;
pub use s3::Version;

use super::{Clients, Upload};
use crate::operations;
use crate::packages::Packages;
use crate::streams::Streams;
use aws_lc_rs::signature::EcdsaKeyPair;
use bytes::Bytes;
use faults::{Hook, When};
use http::{Request, Response};
use percent_encoding::percent_decode_str;
use response::{error, without_member};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "us-east-1";
pub const BUCKET: &str = "ota-firmware-111122223333";
pub const PROFILE: &str = "OtaSigning";
const PROFILES: [&str; 2] = [PROFILE, "OtherProfile"];
/// The package versions that exist, all of them published.
const PACKAGES: [&str; 7] =
    ["blinky:1.0", "blinky:1.2.0", "radio:2.0", "app:2.0", "app:3.0", "gateway-app:2.1.0", "gateway-radio:0.9.4"];
/// The current time of the function and of AWS IoT.
pub const NOW: &str = "2026-11-23T21:40:30Z";

pub fn now() -> jiff::Timestamp {
    NOW.parse().expect("a time")
}

/// A request that the fake received.
#[derive(Debug, Clone)]
pub struct Call {
    pub operation: &'static str,
    pub path: String,
    pub query: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// The time of the response, since the fake was created.
    pub responded_at: Duration,
}

impl Call {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

#[derive(Default)]
pub struct State {
    pub calls: Vec<Call>,
    /// Object versions by bucket and key, the newest first.
    pub objects: BTreeMap<(String, String), Vec<Version>>,
    pub signing_jobs: HashMap<String, Value>,
    /// The start of each signing job.
    signing_started: HashMap<String, Instant>,
    /// Signing jobs by client request token.
    tokens: HashMap<String, String>,
    pub jobs: BTreeMap<String, Value>,
    /// The responses of DescribeJobTemplate, by the template's ID.
    pub job_templates: BTreeMap<String, Value>,
    hooks: Vec<(&'static str, When, Hook)>,
    /// The operation whose responses lack this header, or this member at any depth.
    pub omitted: Option<(&'static str, &'static str)>,
    /// A key, and the status of every HeadObject response for it.
    head_status: Option<(String, u16)>,
    /// The number of version IDs and signing job IDs so far.
    counter: usize,
    /// The faults to come.
    pub faults: Vec<(CallIndex, Fault)>,
    request_counts: HashMap<&'static str, usize>,
    /// Every request so far.
    pub call_indices: Vec<CallIndex>,
    /// Receives every request, and returns its fault.
    pub watch: Option<Watch>,
    random: u64,
}

pub struct Fake {
    state: Mutex<State>,
    behavior: Mutex<Behavior>,
    pub streams: Streams,
    pub packages: Packages,
    key: EcdsaKeyPair,
    started: Instant,
    clients: Clients,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let fake = Arc::new_cyclic(|fake| Self {
            state: Mutex::default(),
            behavior: Mutex::default(),
            streams: Streams::new(REGION, ACCOUNT),
            packages: Packages::new(REGION, ACCOUNT),
            key: signer::key(),
            started: Instant::now(),
            clients: connector::clients(fake.clone()),
        });
        fake.add_packages(PACKAGES, &["PUBLISH"]);
        fake
    }

    pub fn clients(&self) -> Clients {
        self.clients.clone()
    }

    pub fn set(&self, change: impl FnOnce(&mut Behavior)) {
        change(&mut self.behavior.lock().expect("no panic"));
    }

    fn behavior(&self) -> Behavior {
        self.behavior.lock().expect("no panic").clone()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub fn calls(&self, operation: &str) -> Vec<Call> {
        self.state().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }

    /// The operation of every request so far.
    pub fn operations(&self) -> Vec<&'static str> {
        self.state().calls.iter().map(|call| call.operation).collect()
    }

    /// Returns the response to a request of the connector or of an HTTP server.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let operation = operation(&request);
        let Behavior { latency, jitter_ms, .. } = self.behavior();
        let jitter = if jitter_ms == 0 { 0 } else { self.state().random() % jitter_ms };
        tokio::time::sleep(latency + Duration::from_millis(jitter)).await;
        let call = Call {
            operation,
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
            body: request.body().clone(),
            responded_at: self.started.elapsed(),
        };
        self.state().calls.push(call.clone());
        if let Some(response) = self.run_hook(operation, When::Before) {
            return response;
        }
        let response = self.respond(&call, &request);
        let omitted = self.state().omitted.filter(|(incomplete, _)| *incomplete == operation);
        let response = if let Some((_, member)) = omitted { without_member(response, member) } else { response };
        self.run_hook(operation, When::After).unwrap_or(response)
    }

    fn respond(&self, call: &Call, request: &Request<Bytes>) -> Response<Bytes> {
        let path = percent_decode_str(&call.path).decode_utf8_lossy();
        let head_status = self.state().head_status.clone().filter(|(key, _)| path.ends_with(key.as_str()));
        match call.operation {
            "HeadObject" if let Some((_, status)) = head_status => error(call.operation, status, "Refused", "injected"),
            "CreateStream" | "DescribeStream" | "ListStreams" => self.answer_stream(request),
            "GetCertificate" => self.get_certificate(call),
            "GetPackageVersion" => self.packages.answer(request),
            "StartSigningJob" => self.start_signing_job(call),
            "DescribeSigningJob" => self.describe_signing_job(call),
            "GetSigningProfile" => self.get_signing_profile(call),
            "DescribeJobTemplate" => self.describe_job_template(call),
            _ if call.path.starts_with("/jobs/") || call.path.starts_with("/thing") => self.iot(call),
            _ => {
                let behavior = self.behavior();
                self.state().s3(call, &behavior)
            }
        }
    }
}

fn operation(request: &Request<Bytes>) -> &'static str {
    operations::operation(request).unwrap_or_else(|| panic!("the fake has no {request:?}"))
}

impl State {
    /// Starts another series of random latencies.
    pub fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// The next number of a linear congruential generator.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }
}
