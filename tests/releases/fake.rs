//! S3, Signer and IoT in process, behind the HTTP connector of the real clients: it keeps object versions, signs with a
//! real key, enforces the rules of CreateJob, and remembers every request.

use crate::{operations, packages::Packages, streams::Streams};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RuntimeComponents, SharedCredentialsProvider,
    http::{HttpRequest, HttpResponse},
};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use ota_on_upload::{clients::Clients, upload::Upload};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "us-east-1";
pub const BUCKET: &str = "ota-firmware-111122223333";
pub const PROFILE: &str = "OtaSigning";
/// The package versions that exist, all of them published.
const PACKAGES: [&str; 7] =
    ["blinky:1.0", "blinky:1.2.0", "radio:2.0", "app:2.0", "app:3.0", "gateway-app:2.1.0", "gateway-radio:0.9.4"];
const PROFILES: [&str; 2] = [PROFILE, "OtherProfile"];
/// The key of the certificate, in PKCS #8.
const KEY: &[u8] = include_bytes!("../certificates/p256-key.der");
/// When it is, for the function and for AWS IoT.
pub const NOW: &str = "2026-11-23T21:40:30Z";

/// One request as it was made.
#[derive(Debug, Clone)]
pub struct Call {
    pub operation: &'static str,
    pub path: String,
    pub query: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// Since the fake was made.
    pub answered_at: Duration,
}

impl Call {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

#[derive(Debug, Clone, Default)]
pub struct Version {
    pub id: String,
    /// Nothing for a delete marker.
    pub bytes: Option<Bytes>,
    pub tags: Vec<(String, String)>,
    pub storage: Storage,
}

/// How S3 stores an object version.
#[derive(Debug, Clone, Copy, Default)]
pub struct Storage {
    /// `x-amz-storage-class`.
    pub class: Option<&'static str>,
    /// `x-amz-archive-status`.
    pub archive_status: Option<&'static str>,
    /// `x-amz-restore`.
    pub restore: Option<&'static str>,
    /// Whether a customer's key encrypts it.
    pub has_customer_key: bool,
}

impl Storage {
    /// GetObject's refusal, and that of whatever else reads the bytes.
    fn refusal(self) -> Option<(u16, &'static str)> {
        let is_archived = matches!(self.class, Some("GLACIER" | "DEEP_ARCHIVE")) || self.archive_status.is_some();
        let is_restored = self.restore.is_some_and(|restore| restore.contains("ongoing-request=\"false\""));
        match self {
            _ if self.has_customer_key => Some((400, "InvalidRequest")),
            _ if is_archived && !is_restored => Some((403, "InvalidObjectState")),
            _ => None,
        }
    }
}

/// What can be set for a test.
#[derive(Debug, Clone)]
pub struct Behavior {
    /// How long every answer takes.
    pub latency: Duration,
    /// The longest that an answer takes beyond that, at random; 0 for not at all.
    pub jitter_ms: u64,
    /// How many looks find a signing job in progress; `usize::MAX` for ever.
    pub looks_in_progress: usize,
    /// Signing jobs fail with this reason.
    pub signing_fails: Option<&'static str>,
    /// When a signing job is completed, in seconds since the epoch.
    pub signing_completed_at: i64,
    /// Signer embeds the payload in its signed object.
    pub embedded: Embedded,
    /// The certificate of the profiles, as ACM has it.
    pub certificate: &'static str,
    /// The checksum that CopyObject tells, in place of the copy's own.
    pub copied_checksum: Option<&'static str>,
    /// The state of the profiles.
    pub profile_status: &'static str,
    /// The platform of the profiles.
    pub platform: &'static str,
    /// The signing parameter of the profile.
    pub certname: Option<&'static str>,
    /// Changes a signed object before it is written.
    pub corrupt_signed_object: fn(&mut Value),
    /// Changes a signing job before it is described.
    pub corrupt_signing_job: fn(&mut Value),
    /// Changes a signing profile before it is described.
    pub corrupt_signing_profile: fn(&mut Value),
    /// The most versions that a page of ListObjectVersions has.
    pub page: usize,
    /// CopyObject copies another version than it was asked to.
    pub copies_another_version: bool,
    /// The clock of the rules of CreateJob.
    pub clock: fn() -> jiff::Timestamp,
    /// The responses about the configuration of the bucket, by operation.
    pub bucket_configuration: Vec<(&'static str, String)>,
    /// Things and thing groups that exist.
    pub targets: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedded {
    No,
    PayloadFirst,
    PayloadLast,
}

/// One answer to the next call of an operation, in place of the real one.
type Fault = Box<dyn FnOnce(&mut State) -> Option<Response<Bytes>> + Send>;

/// What can go wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is answered by an error, and has no effect.
    ErrorBefore,
    /// It is too much for the service just now.
    Throttled,
    /// The connection is lost before the service hears of it.
    LostBefore,
    /// Nothing is ever heard of it.
    Hang,
    /// It has its effect, and is answered by an error.
    ErrorAfter,
    /// It has its effect, and the connection is lost before the answer comes.
    LostAfter,
    /// The second half of the answer is missing; where that has no body, all of it.
    Truncated,
    /// The answer is nonsense; where it has no body, it is lost.
    Garbled,
    /// The response has no headers, not even a length.
    HeadersLost,
}

pub const TROUBLES: [Trouble; 9] = [
    Trouble::ErrorBefore,
    Trouble::Throttled,
    Trouble::LostBefore,
    Trouble::Hang,
    Trouble::ErrorAfter,
    Trouble::LostAfter,
    Trouble::Truncated,
    Trouble::Garbled,
    Trouble::HeadersLost,
];

/// The so many-th call of an operation, from 0.
pub type Site = (&'static str, usize);

pub type Watch = Box<dyn FnMut(&'static str, &Request<Bytes>) -> Option<Trouble> + Send>;

#[derive(Default)]
pub struct State {
    pub calls: Vec<Call>,
    pub objects: BTreeMap<(String, String), Vec<Version>>,
    pub signing_jobs: HashMap<String, Value>,
    looks: HashMap<String, usize>,
    tokens: HashMap<String, String>,
    pub jobs: BTreeMap<String, Value>,
    /// What DescribeJobTemplate answers, by the template's ID.
    pub job_templates: BTreeMap<String, Value>,
    faults: Vec<(&'static str, When, Fault)>,
    /// The operation whose responses lack a header, or a member wherever it stands.
    pub lacking: Option<(&'static str, &'static str)>,
    /// The key of which S3 answers every head with this status.
    refused_head: Option<(String, u16)>,
    counter: usize,
    /// Where there will be trouble.
    pub troubles: Vec<(Site, Trouble)>,
    asked: HashMap<&'static str, usize>,
    /// Every request so far.
    pub sites: Vec<Site>,
    /// Sees every request, and says what trouble it is in.
    pub watch: Option<Watch>,
    /// Where random latencies have come to.
    random: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

pub struct Fake {
    state: Mutex<State>,
    pub behavior: Mutex<Behavior>,
    pub streams: Streams,
    pub packages: Packages,
    key: EcdsaKeyPair,
    started: tokio::time::Instant,
    clients: Clients,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let fake = Arc::new_cyclic(|fake| Self {
            state: Mutex::default(),
            behavior: Mutex::new(Behavior {
                latency: Duration::ZERO,
                jitter_ms: 0,
                looks_in_progress: 0,
                signing_fails: None,
                signing_completed_at: now().as_second(),
                embedded: Embedded::No,
                certificate: include_str!("../certificates/p256.pem"),
                copied_checksum: None,
                profile_status: "Active",
                platform: "AWSIoTDeviceManagement-SHA256-ECDSA",
                certname: Some("/certs/ota.pem"),
                corrupt_signed_object: |_| {},
                corrupt_signing_job: |_| {},
                corrupt_signing_profile: |_| {},
                page: 1000,
                copies_another_version: false,
                clock: now,
                bucket_configuration: Vec::new(),
                targets: vec!["thinggroup/lab", "thinggroup/eu-west", "thing/bench-1"],
            }),
            streams: Streams::new(REGION, ACCOUNT),
            packages: Packages::new(REGION, ACCOUNT),
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, KEY).expect("a key"),
            started: tokio::time::Instant::now(),
            clients: clients_of(fake.clone()),
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

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Puts an object version, tagged, as a firmware team does.
    pub fn upload(&self, key: &str, bytes: impl Into<Bytes>, tags: &[(&str, &str)]) -> Upload {
        let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
        let id = self.state().put(BUCKET, key, Some(bytes.into()), tags);
        Upload::new(BUCKET.into(), key.into(), id)
    }

    /// Copies an object onto itself, as a change of its metadata or encryption does.
    pub fn copy_onto_itself(&self, upload: &Upload) -> Upload {
        let mut state = self.state();
        let version = state.version(BUCKET, &upload.key, Some(&upload.version_id)).expect("it").clone();
        let id = state.put(BUCKET, &upload.key, version.bytes, version.tags);
        Upload::new(BUCKET.into(), upload.key.clone(), id)
    }

    /// Changes how S3 stores an object version.
    pub fn store(&self, upload: &Upload, storage: Storage) {
        let mut state = self.state();
        let versions = state.objects.get_mut(&(BUCKET.to_owned(), upload.key.clone())).expect("the object");
        versions.iter_mut().find(|version| version.id == upload.version_id).expect("the version").storage = storage;
    }

    pub fn delete(&self, key: &str) {
        self.state().put(BUCKET, key, None, Vec::new());
    }

    /// The next call of `operation` is answered so, without effect.
    pub fn instead_of(&self, operation: &'static str, status: u16, code: &'static str) {
        self.state().instead_of(operation, status, code);
    }

    /// The next call of `operation` is answered with this, without effect.
    pub fn answer_with(&self, operation: &'static str, body: Value) {
        self.at(operation, When::Before, Box::new(move |_| Some(ok(&body))));
    }

    /// The next call of `operation` has its effect, but is answered so.
    pub fn after(&self, operation: &'static str, status: u16, code: &'static str) {
        self.at(operation, When::After, Box::new(move |_| Some(error(operation, status, code, "injected"))));
    }

    /// Does something to the state just before the next call of `operation`.
    pub fn refuse_head(&self, key: &str, status: u16) {
        self.state().refused_head = Some((key.to_owned(), status));
    }

    pub fn before(&self, operation: &'static str, change: impl FnOnce(&mut State) + Send + 'static) {
        let fault = move |state: &mut State| {
            change(state);
            None
        };
        self.at(operation, When::Before, Box::new(fault));
    }

    fn at(&self, operation: &'static str, when: When, fault: Fault) {
        self.state().faults.push((operation, when, fault));
    }

    pub fn calls(&self, operation: &str) -> Vec<Call> {
        self.state().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }

    pub fn operations(&self) -> Vec<&'static str> {
        self.state().calls.iter().map(|call| call.operation).collect()
    }

    /// The stream as DescribeStream tells it; `null` where there is none.
    pub async fn stream(&self, id: &str) -> Value {
        let request = Request::get(format!("/streams/{id}")).body(Bytes::new()).expect("a request");
        let response = self.streams.answer(&request, async |_, _, _| None).await;
        serde_json::from_slice::<Value>(response.body()).expect("JSON")["streamInfo"].clone()
    }

    /// Makes so many streams of others.
    pub async fn add_streams(&self, number: usize) {
        for at in 0..number {
            let file = json!({"fileId": 0, "s3Location": {"bucket": BUCKET, "key": "image", "version": "1"}});
            let stream = json!({"files": [file], "roleArn": "arn:aws:iam::123456789012:role/ota"});
            let request = Request::post(format!("/streams/other-{at}")).body(stream.to_string().into());
            let answer = self.streams.answer(&request.expect("a request"), async |_, _, _| Some(1)).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
        }
    }

    /// Makes package versions, `package:version`, and changes their state by these actions of UpdatePackageVersion.
    pub fn add_packages<'a>(&self, names: impl IntoIterator<Item = &'a str>, actions: &[&str]) {
        for (package, version) in names.into_iter().filter_map(|name| name.split_once(':')) {
            let package = format!("/packages/{package}");
            let version = format!("{package}/versions/{version}");
            let create = [("PUT", &package, Value::Null), ("PUT", &version, Value::Null)];
            let update = actions.iter().map(|action| ("PATCH", &version, json!({"action": action})));
            for (method, path, body) in create.into_iter().chain(update) {
                let request = Request::builder().method(method).uri(path).body(body.to_string().into());
                // Generated names may be none that a URI can have.
                if let Ok(request) = request {
                    self.packages.answer(&request);
                }
            }
        }
    }

    /// The bytes that a stream points at.
    pub async fn streamed(&self, id: &str) -> Bytes {
        self.streamed_file(id, 0).await
    }

    pub async fn streamed_file(&self, id: &str, at: usize) -> Bytes {
        let location = &self.stream(id).await["files"][at]["s3Location"];
        let text = |member: &str| location[member].as_str().expect("a location").to_owned();
        let state = self.state();
        let versions = &state.objects[&(text("bucket"), text("key"))];
        let version = versions.iter().find(|version| version.id == text("version")).expect("the version");
        version.bytes.clone().expect("an object")
    }

    pub fn verifies(&self, signature: &str, bytes: &[u8]) -> bool {
        let der = BASE64_STANDARD.decode(signature).expect("base64");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.key.public_key()).verify(bytes, &der).is_ok()
    }

    /// Answers a request: the connector's work, or a server's.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let operation = operation(&request);
        let Behavior { latency, jitter_ms, .. } = *self.behavior.lock().expect("no panic");
        let jitter = if jitter_ms == 0 { 0 } else { self.state().random() % jitter_ms };
        tokio::time::sleep(latency + Duration::from_millis(jitter)).await;
        let (parts, body) = (request.uri().clone(), request.body().clone());
        let call = Call {
            operation,
            path: parts.path().to_owned(),
            query: parts.query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
            body,
            answered_at: self.started.elapsed(),
        };
        self.state().calls.push(call.clone());
        if let Some(answer) = self.fault(operation, When::Before) {
            return answer;
        }
        let path = percent_decode_str(&call.path).decode_utf8_lossy();
        let refused = self.state().refused_head.clone().filter(|(key, _)| path.ends_with(key.as_str()));
        let answer = match operation {
            "HeadObject" if let Some((_, status)) = refused => error(operation, status, "Refused", "injected"),
            "CreateStream" | "DescribeStream" | "ListStreams" => {
                let size = async |bucket: &str, key: &str, version: Option<&str>| {
                    let state = self.state();
                    let versions = state.objects.get(&(bucket.to_owned(), key.to_owned()))?;
                    let found = versions.iter().find(|known| version.is_none_or(|version| known.id == version))?;
                    found.bytes.as_ref().map(|bytes| bytes.len() as u64)
                };
                // It never waits, as the look-up does not.
                self.streams.answer(&request, size).now_or_never().expect("an answer")
            }
            "GetCertificate" if call.json()["CertificateArn"] != certificate_arn() => {
                error(operation, 400, "ResourceNotFoundException", "no such certificate")
            }
            "GetCertificate" => ok(&json!({"Certificate": self.behavior.lock().expect("no panic").certificate})),
            "DescribeJobTemplate" => {
                let id = call.path.rsplit('/').next().expect("an ID");
                let template = self.state().job_templates.get(id).map(ok);
                template.unwrap_or_else(|| error(operation, 404, "ResourceNotFoundException", "no such job template"))
            }
            "GetPackageVersion" => self.packages.answer(&request),
            "StartSigningJob" => self.start_signing_job(&call),
            "DescribeSigningJob" => self.describe_signing_job(&call),
            "GetSigningProfile" => self.get_signing_profile(&call),
            _ if call.path.starts_with("/jobs/") || call.path.starts_with("/thing") => self.iot(&call),
            _ => {
                let behavior = self.behavior.lock().expect("no panic").clone();
                self.state().s3(&call, &behavior)
            }
        };
        let lacking = self.state().lacking.filter(|(at, _)| *at == operation);
        let answer = if let Some((_, member)) = lacking { without(answer, member) } else { answer };
        self.fault(operation, When::After).unwrap_or(answer)
    }

    fn fault(&self, operation: &str, when: When) -> Option<Response<Bytes>> {
        let mut state = self.state();
        let at = state.faults.iter().position(|(at, then, _)| *at == operation && *then == when)?;
        let (_, _, fault) = state.faults.remove(at);
        fault(&mut state)
    }

    fn start_signing_job(&self, call: &Call) -> Response<Bytes> {
        let (request, behavior) = (call.json(), self.behavior.lock().expect("no panic").clone());
        let mut state = self.state();
        let token = request["clientRequestToken"].as_str().expect("a token").to_owned();
        if let Some(job) = state.tokens.get(&token) {
            return ok(&json!({"jobId": job, "jobOwner": ACCOUNT}));
        }
        let source = &request["source"]["s3"];
        let place = (
            source["bucketName"].as_str().expect("a bucket").to_owned(),
            source["key"].as_str().expect("a key").to_owned(),
        );
        let version = state.version(&place.0, &place.1, source["version"].as_str());
        let Some(bytes) = version.and_then(|version| version.bytes.clone()) else {
            return error(call.operation, 404, "ResourceNotFoundException", "no such source");
        };
        assert!(version.expect("it").storage.refusal().is_none(), "Signer cannot read {place:?}");
        if !PROFILES.iter().any(|known| request["profileName"] == *known) {
            return error(call.operation, 404, "ResourceNotFoundException", "no such profile");
        }
        state.counter += 1;
        let id = format!("00000000-0000-4000-8000-{:012}", state.counter);
        let destination = &request["destination"]["s3"];
        let key = format!("{}{id}", destination["prefix"].as_str().expect("a prefix"));
        let mut job = json!({
            "jobId": id, "profileName": request["profileName"], "source": request["source"],
            "signingMaterial": {"certificateArn": certificate_arn()},
            "status": "Succeeded", "completedAt": behavior.signing_completed_at, "jobOwner": ACCOUNT,
            "signedObject": {"s3": {"bucketName": destination["bucketName"], "key": key}},
        });
        if let Some(name) = behavior.certname {
            job["signingParameters"] = json!({"certname": name});
        }
        if let Some(reason) = behavior.signing_fails {
            job["status"] = "Failed".into();
            job["statusReason"] = reason.into();
            job["signedObject"] = Value::Null;
        } else {
            let signed = self.signed_object(&bytes, source, &behavior);
            state.put(destination["bucketName"].as_str().expect("a bucket"), &key, Some(signed), Vec::new());
        }
        state.tokens.insert(token, id.clone());
        state.signing_jobs.insert(id.clone(), job);
        ok(&json!({"jobId": id, "jobOwner": ACCOUNT}))
    }

    fn signed_object(&self, bytes: &Bytes, source: &Value, behavior: &Behavior) -> Bytes {
        let signature = self.key.sign(&SystemRandom::new(), bytes).expect("a signature");
        let mut object = json!({
            "rawPayloadSize": bytes.len(), "signatureAlgorithm": "SHA256withECDSA",
            "signature": BASE64_STANDARD.encode(signature),
        });
        if behavior.embedded == Embedded::No {
            object["payloadLocation"] = json!({"s3": source});
        } else {
            object["payload"] = BASE64_STANDARD.encode(bytes).into();
        }
        (behavior.corrupt_signed_object)(&mut object);
        let payload = object.as_object_mut().expect("an object").remove("payload");
        let members = object.to_string();
        let Some(payload) = payload else { return members.into() };
        let members = &members[1..members.len() - 1];
        match behavior.embedded {
            Embedded::PayloadFirst => format!("{{\"payload\":{payload},{members}}}").into(),
            _ => format!("{{{members},\"payload\":{payload}}}").into(),
        }
    }

    fn get_signing_profile(&self, call: &Call) -> Response<Bytes> {
        let name = call.path.rsplit('/').next().expect("a name");
        if !PROFILES.contains(&name) {
            return error(call.operation, 404, "ResourceNotFoundException", "no such profile");
        }
        let behavior = self.behavior.lock().expect("no panic").clone();
        let Behavior { profile_status, platform, certname, corrupt_signing_profile, .. } = behavior;
        let parameters = certname.map_or_else(|| json!({}), |name| json!({"certname": name}));
        let mut profile = json!({
            "profileName": name, "platformId": platform, "status": profile_status, "signingParameters": parameters,
        });
        corrupt_signing_profile(&mut profile);
        ok(&profile)
    }

    fn describe_signing_job(&self, call: &Call) -> Response<Bytes> {
        let id = call.path.rsplit('/').next().expect("an id");
        let mut state = self.state();
        let Some(mut job) = state.signing_jobs.get(id).cloned() else {
            return error(call.operation, 404, "ResourceNotFoundException", "no such signing job");
        };
        let looks = state.looks.entry(id.to_owned()).or_default();
        *looks += 1;
        let behavior = self.behavior.lock().expect("no panic").clone();
        if *looks <= behavior.looks_in_progress {
            job["status"] = "InProgress".into();
            job["signedObject"] = Value::Null;
        }
        (behavior.corrupt_signing_job)(&mut job);
        ok(&job)
    }

    fn iot(&self, call: &Call) -> Response<Bytes> {
        let mut state = self.state();
        let not_found = || error(call.operation, 404, "ResourceNotFoundException", "not found");
        let id = percent_decode_str(call.path.split('/').nth(2).expect("an id")).decode_utf8().expect("UTF-8");
        let id = id.as_ref();
        let Behavior { targets, clock, .. } = self.behavior.lock().expect("no panic").clone();
        match call.operation {
            "DescribeThingGroup" if targets.contains(&format!("thinggroup/{id}").as_str()) => {
                ok(&json!({"thingGroupName": id}))
            }
            "DescribeThing" if targets.contains(&format!("thing/{id}").as_str()) => ok(&json!({"thingName": id})),
            "DescribeThingGroup" | "DescribeThing" => not_found(),
            "DescribeJob" => state.jobs.get(id).map_or_else(not_found, |job| {
                let schedule = &job["schedulingConfig"];
                ok(&json!({"job": {
                    "jobId": id, "jobArn": job_arn(id), "status": job["status"], "schedulingConfig": schedule,
                    "description": job["description"],
                }}))
            }),
            "GetJobDocument" => {
                state.jobs.get(id).map_or_else(not_found, |job| ok(&json!({"document": job["document"]})))
            }
            "CreateJob" if state.jobs.contains_key(id) => {
                error(call.operation, 409, "ResourceAlreadyExistsException", "the job exists")
            }
            "CreateJob" => {
                let mut job = call.json();
                if let Some(problem) = refusal(&job, &targets, &self.packages, clock()) {
                    return error(call.operation, 400, "InvalidRequestException", &problem);
                }
                job["status"] = "SCHEDULED".into();
                state.jobs.insert(id.to_owned(), job);
                ok(&json!({"jobArn": job_arn(id), "jobId": id}))
            }
            other => panic!("the fake has no {other}"),
        }
    }
}

/// The real clients, connected to the fake.
fn clients_of(fake: Weak<Fake>) -> Clients {
    let config = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .http_client(Connector(fake))
        .sleep_impl(aws_sdk_s3::config::SharedAsyncSleep::new(aws_smithy_async::rt::sleep::TokioSleep::new()))
        .build();
    Clients::new(&config)
}

pub fn certificate_arn() -> String {
    format!("arn:aws:acm:{REGION}:{ACCOUNT}:certificate/6ce0d1e4-0000-4000-8000-000000000000")
}

pub fn job_arn(id: &str) -> String {
    format!("arn:aws:iot:{REGION}:{ACCOUNT}:job/{id}")
}

pub fn now() -> jiff::Timestamp {
    NOW.parse().expect("a time")
}

/// Why AWS IoT would refuse this CreateJob, by its documented rules.
fn refusal(job: &Value, targets: &[&str], packages: &Packages, now: jiff::Timestamp) -> Option<String> {
    let arns = job["targets"].as_array()?;
    let known = |arn: &Value| {
        let resource = arn.as_str().and_then(|arn| arn.strip_prefix(&format!("arn:aws:iot:{REGION}:{ACCOUNT}:")));
        resource.is_some_and(|resource| targets.contains(&resource))
    };
    if arns.is_empty() || !arns.iter().all(known) {
        return Some(format!("targets {arns:?}"));
    }
    let time = |member: &str| {
        let text = job["schedulingConfig"][member].as_str()?;
        Some(format!("{text}:00Z").parse::<jiff::Timestamp>().expect("YYYY-MM-DDThh:mm"))
    };
    let ahead = |time: jiff::Timestamp| time.duration_since(now).as_secs() / 60;
    let too_near = |member| time(member).is_some_and(|time| ahead(time) < 30);
    if too_near("startTime") || too_near("endTime") {
        return Some("less than 30 minutes ahead".to_owned());
    }
    let schedule = &job["schedulingConfig"];
    if schedule["endBehavior"].is_string() && schedule["endTime"].is_null() {
        return Some("an end behavior without an end".to_owned());
    }
    let windows: Vec<_> = schedule["maintenanceWindows"].as_array().into_iter().flatten().collect();
    if !windows.is_empty() && job["targetSelection"] != "CONTINUOUS" {
        return Some("maintenance windows of a snapshot job".to_owned());
    }
    let is_window = |window: &Value| {
        let cron = window["startTime"].as_str().and_then(|cron| cron.strip_prefix("cron(")?.strip_suffix(')'));
        let fields: Vec<_> = cron.into_iter().flat_map(|cron| cron.split(' ')).collect();
        let minutes = window["durationInMinutes"].as_i64().is_some_and(|minutes| (1..=1430).contains(&minutes));
        minutes && fields.len() == 6 && (fields[2] == "?") != (fields[4] == "?")
    };
    if !windows.iter().all(|window| is_window(window)) {
        return Some(format!("maintenance windows {windows:?}"));
    }
    let versions: Vec<_> = job["destinationPackageVersions"].as_array().into_iter().flatten().collect();
    let is_version = |arn: &Value| {
        let names = arn.as_str().and_then(|arn| arn.strip_prefix(&format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/")));
        let names = names.and_then(|names| names.split_once("/version/"));
        names.is_some_and(|(package, version)| version.starts_with('$') || packages.status(package, version).is_some())
    };
    (versions.len() > 25 || !versions.iter().all(|arn| is_version(arn)))
        .then(|| format!("package versions {versions:?}"))
}

fn operation(request: &Request<Bytes>) -> &'static str {
    operations::operation(request).unwrap_or_else(|| panic!("the fake has no {request:?}"))
}

impl State {
    /// The trouble that a request is in.
    fn trouble(&mut self, operation: &'static str, request: &Request<Bytes>) -> Option<Trouble> {
        if let Some(watch) = &mut self.watch
            && let Some(trouble) = watch(operation, request)
        {
            return Some(trouble);
        }
        let asked = self.asked.entry(operation).or_default();
        let site = (operation, *asked);
        *asked += 1;
        self.sites.push(site);
        let at = self.troubles.iter().position(|(known, _)| *known == site)?;
        Some(self.troubles.swap_remove(at).1)
    }

    /// Begins another series of random latencies.
    pub fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// The next number of a linear congruential generator.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    pub fn put(&mut self, bucket: &str, key: &str, bytes: Option<Bytes>, tags: Vec<(String, String)>) -> String {
        self.counter += 1;
        let id = format!("v{:04}.{}", self.counter, "x".repeat(26));
        let versions = self.objects.entry((bucket.to_owned(), key.to_owned())).or_default();
        versions.insert(0, Version { id: id.clone(), bytes, tags, storage: Storage::default() });
        id
    }

    pub fn instead_of(&mut self, operation: &'static str, status: u16, code: &'static str) {
        let fault = move |_: &mut State| Some(error(operation, status, code, "injected"));
        self.faults.push((operation, When::Before, Box::new(fault)));
    }

    /// The named version of an object, or else the latest.
    fn version(&self, bucket: &str, key: &str, version: Option<&str>) -> Option<&Version> {
        let versions = self.objects.get(&(bucket.to_owned(), key.to_owned()))?;
        versions.iter().find(|known| version.is_none_or(|version| known.id == version))
    }

    fn bytes(&self, bucket: &str, key: &str, version: Option<&str>) -> Option<Bytes> {
        self.version(bucket, key, version)?.bytes.clone()
    }

    /// S3 with the bucket's name in front of the host's, or else of the path.
    fn s3(&mut self, call: &Call, behavior: &Behavior) -> Response<Bytes> {
        let host = call.header("host").unwrap_or_default();
        let path = percent_decode_str(call.path.trim_start_matches('/')).decode_utf8().expect("UTF-8").into_owned();
        let (bucket, key) = match host.strip_suffix(".s3.us-east-1.amazonaws.com") {
            Some(bucket) => (bucket.to_owned(), path),
            None => path.split_once('/').map_or((path.clone(), String::new()), |(b, k)| (b.to_owned(), k.to_owned())),
        };
        let parameter = |name: &str| {
            let pair = call.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            Some(percent_decode_str(pair).decode_utf8().expect("UTF-8").into_owned())
        };
        let version = parameter("versionId");
        let fail = |status, code| error(call.operation, status, code, "fake");
        if call.header("x-amz-expected-bucket-owner") != Some(ACCOUNT) {
            return fail(403, "AccessDenied");
        }
        match call.operation {
            "GetBucketVersioning" | "GetBucketNotification" | "GetBucketPolicy" => {
                let body = behavior.bucket_configuration.iter().find(|(name, _)| *name == call.operation);
                body.map_or_else(|| fail(404, "NoSuchBucketPolicy"), |(_, body)| xml(body))
            }
            "ListObjectVersions" => {
                let after = parameter("version-id-marker");
                let most = parameter("max-keys").map_or(1000, |keys| keys.parse().expect("a number"));
                let page = behavior.page.min(most);
                assert_eq!(parameter("encoding-type").as_deref(), Some("url"), "not every key can be in XML");
                xml(&self.list(&bucket, &parameter("prefix").expect("a prefix"), after.as_deref(), page))
            }
            "PutObject" => {
                let exists = self.bytes(&bucket, &key, None).is_some();
                if call.header("if-none-match") == Some("*") && exists {
                    return fail(412, "PreconditionFailed");
                }
                let id = self.put(&bucket, &key, Some(call.body.clone()), Vec::new());
                answer(StatusCode::OK, &[("x-amz-version-id", &id), ("etag", "\"e\"")], Bytes::new())
            }
            "CopyObject" => {
                let source = call.header("x-amz-copy-source").expect("a source");
                let (place, source_version) = source.split_once("?versionId=").expect("a version");
                let place = percent_decode_str(place).decode_utf8().expect("UTF-8");
                let (from_bucket, from_key) = place.split_once('/').expect("a key");
                let source = self.version(from_bucket, from_key, Some(source_version));
                let Some(bytes) = source.and_then(|version| version.bytes.clone()) else {
                    return fail(404, "NoSuchVersion");
                };
                if let Some((status, code)) = source.expect("it").storage.refusal() {
                    return fail(status, code);
                }
                if call.header("x-amz-copy-source-if-match").is_some_and(|tag| tag != e_tag(&bytes)) {
                    return fail(412, "PreconditionFailed");
                }
                let tags = match call.header("x-amz-tagging-directive") {
                    Some("REPLACE") => Vec::new(),
                    _ => self.version(from_bucket, from_key, Some(source_version)).expect("it").tags.clone(),
                };
                let id = self.put(&bucket, &key, Some(bytes.clone()), tags);
                let own = BASE64_STANDARD.encode(Sha256::digest(&bytes));
                let checksum = behavior.copied_checksum.unwrap_or(&own);
                let checksum = match call.header("x-amz-checksum-algorithm") {
                    Some("SHA256") => format!("<ChecksumSHA256>{checksum}</ChecksumSHA256>"),
                    _ => String::new(),
                };
                let e_tag = e_tag(&bytes);
                let mut copied = xml(&format!("<CopyObjectResult><ETag>{e_tag}</ETag>{checksum}</CopyObjectResult>"));
                copied.headers_mut().insert("x-amz-version-id", id.parse().expect("text"));
                let copied_version = if behavior.copies_another_version { "other" } else { source_version };
                copied.headers_mut().insert("x-amz-copy-source-version-id", copied_version.parse().expect("text"));
                copied
            }
            // Not the form of a version ID.
            _ if version.as_ref().is_some_and(|version| version.contains(' ')) => fail(400, "InvalidArgument"),
            _ => {
                let code = if version.is_some() { "NoSuchVersion" } else { "NoSuchKey" };
                let Some(found) = self.version(&bucket, &key, version.as_deref()) else { return fail(404, code) };
                let Some(bytes) = &found.bytes else { return fail(404, "NoSuchKey") };
                if call.operation == "GetObjectTagging" {
                    let tags = found.tags.iter().map(|(tag, value)| {
                        format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(tag), escape(value))
                    });
                    return xml(&format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.collect::<String>()));
                }
                let Storage { class, archive_status, restore, has_customer_key } = found.storage;
                match found.storage.refusal() {
                    Some((status, code)) if call.operation != "HeadObject" || has_customer_key => {
                        return fail(status, code);
                    }
                    _ => {}
                }
                let (id, length, e_tag) = (found.id.clone(), bytes.len().to_string(), e_tag(bytes));
                let body = if call.operation.starts_with("Get") { bytes.clone() } else { Bytes::new() };
                let headers = [("x-amz-version-id", id.as_str()), ("content-length", &length), ("etag", &e_tag)];
                let stored = [
                    ("x-amz-storage-class", class),
                    ("x-amz-archive-status", archive_status),
                    ("x-amz-restore", restore),
                ];
                let stored = stored.into_iter().filter_map(|(name, value)| Some((name, value?)));
                answer(StatusCode::OK, &headers.into_iter().chain(stored).collect::<Vec<_>>(), body)
            }
        }
    }

    /// A page of the versions, from that after `after`; as S3 does, the newest of a key first.
    fn list(&self, bucket: &str, prefix: &str, after: Option<&str>, page: usize) -> String {
        let objects = self.objects.iter().filter(|((b, k), _)| b == bucket && k.starts_with(prefix));
        let versions: Vec<_> =
            objects.flat_map(|((_, key), versions)| versions.iter().enumerate().map(move |v| (key, v))).collect();
        let start = after.map_or(0, |id| versions.iter().position(|(_, (_, v))| v.id == id).expect("it") + 1);
        let end = versions.len().min(start + page);
        let mut list = format!(
            "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>",
            end < versions.len()
        );
        if end < versions.len() {
            let (key, (_, end_of_page)) = versions[end - 1];
            let markers = format!(
                "<NextKeyMarker>{}</NextKeyMarker><NextVersionIdMarker>{}</NextVersionIdMarker>",
                in_list(key),
                end_of_page.id
            );
            list.push_str(&markers);
        }
        for (key, (at, Version { id, bytes, .. })) in &versions[start..end] {
            let (key, is_latest, written) = (in_list(key), *at == 0, written(id));
            let known = format!(
                "<Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{is_latest}</IsLatest><LastModified>{written}</LastModified>"
            );
            let element = match bytes {
                Some(bytes) => format!("<Version>{known}<Size>{}</Size></Version>", bytes.len()),
                None => format!("<DeleteMarker>{known}</DeleteMarker>"),
            };
            list.push_str(&element);
        }
        list + "</ListVersionsResult>"
    }
}

fn e_tag(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(5381_u64, |sum, byte| sum.wrapping_mul(33) ^ u64::from(*byte));
    format!("\"{sum:016x}\"")
}

/// A key as S3 encodes it in a list.
fn in_list(key: &str) -> String {
    utf8_percent_encode(key, NON_ALPHANUMERIC).to_string().replace("%20", "+")
}

/// When a version was put: each one a second after the version before.
fn written(id: &str) -> jiff::Timestamp {
    let number = id.strip_prefix('v').and_then(|id| id.split('.').next()).and_then(|number| number.parse().ok());
    now() + jiff::SignedDuration::from_secs(number.unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn answer(status: StatusCode, headers: &[(&'static str, &str)], body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().expect("text"));
    }
    response
}

/// A response without a header of this name, or else without members or elements of this name.
fn without(mut response: Response<Bytes>, name: &str) -> Response<Bytes> {
    fn strip(value: &mut Value, name: &str) {
        match value {
            Value::Object(members) => {
                members.remove(name);
                members.values_mut().for_each(|member| strip(member, name));
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| strip(element, name)),
            _ => {}
        }
    }
    if response.headers_mut().remove(name).is_some() {
        return response;
    }
    let body = if let Ok(mut json) = serde_json::from_slice(response.body()) {
        strip(&mut json, name);
        json.to_string()
    } else {
        let mut xml = String::from_utf8(response.body().to_vec()).expect("text");
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        while let Some((before, rest)) = xml.split_once(&start) {
            xml = format!("{before}{}", rest.split_once(&end).expect("its end").1);
        }
        xml
    };
    *response.body_mut() = body.into();
    response
}

fn ok(body: &Value) -> Response<Bytes> {
    answer(StatusCode::OK, &[("content-type", "application/json")], body.to_string().into())
}

fn xml(body: &str) -> Response<Bytes> {
    answer(StatusCode::OK, &[("content-type", "application/xml")], body.to_owned().into())
}

/// An error in the form of the operation's service.
fn error(operation: &str, status: u16, code: &str, message: &str) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).expect("a status");
    match operation {
        "HeadObject" => answer(status, &[], Bytes::new()),
        _ if operation.contains("Object") || operation.contains("Bucket") || operation == "GetUpload" => {
            let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            answer(status, &[("content-type", "application/xml")], body.into())
        }
        _ => answer(status, &[("x-amzn-errortype", code)], json!({"message": message}).to_string().into()),
    }
}

#[derive(Debug, Clone)]
struct Connector(Weak<Fake>);

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fake = self.0.upgrade().expect("the fake of these clients");
        HttpConnectorFuture::new(async move {
            let (mut parts, body) = request.try_into_http1x().expect("an HTTP request").into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let host = parts.uri.host().expect("a host").parse().expect("text");
            parts.headers.insert("host", host);
            let request = Request::from_parts(parts, body);
            let operation = operation(&request);
            let trouble = fake.state().trouble(operation, &request);
            let lost = || ConnectorError::io("connection reset by peer".into());
            let mut response = match trouble {
                Some(Trouble::ErrorBefore) => error(operation, 500, "InternalError", "injected"),
                Some(Trouble::Throttled) if operation.contains("Object") => {
                    error(operation, 503, "SlowDown", "injected")
                }
                Some(Trouble::Throttled) => error(operation, 429, "ThrottlingException", "injected"),
                Some(Trouble::LostBefore) => return Err(lost()),
                Some(Trouble::Hang) => std::future::pending().await,
                _ => fake.answer(request).await,
            };
            match trouble {
                Some(Trouble::ErrorAfter) => response = error(operation, 500, "InternalError", "injected"),
                Some(Trouble::LostAfter) => return Err(lost()),
                Some(Trouble::Truncated | Trouble::Garbled) if response.body().is_empty() => return Err(lost()),
                Some(Trouble::Truncated) => {
                    let half = response.body().len() / 2;
                    response.body_mut().truncate(half);
                }
                Some(Trouble::Garbled) => {
                    *response.body_mut() = Bytes::from_static(b"\xffnonsense");
                }
                Some(Trouble::HeadersLost) => response.headers_mut().clear(),
                _ => {}
            }
            Ok(HttpResponse::try_from(response.map(SdkBody::from)).expect("an HTTP response"))
        })
    }
}
