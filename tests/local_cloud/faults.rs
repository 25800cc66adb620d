//! Faults at the function's requests: responses that are errors, late, truncated or lost, and `kill -9` of the
//! function.
//!
//! `PUT /_faults` with a [`Plan`] sets the faults and resets the counts. `GET /_faults` returns the [`Report`].
//! Only requests of the function get faults. A plan can also slow down requests and signing jobs.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::AnyError;
use crate::operations::operation;
use crate::signing_jobs::SigningJobs;

/// The maximum delay of a response, in milliseconds.
const MAX_DELAY: u64 = 1000;

/// A way in which a request fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    /// The response is an error. The request has no effect.
    ErrorBefore,
    /// The service throttles the request.
    Throttled,
    /// The connection is lost before the service receives the request.
    LostBefore,
    /// The request has its effect. The response is an error.
    ErrorAfter,
    /// The request has its effect. The connection is lost before the response.
    LostAfter,
    /// The second half of the response is missing.
    Truncated,
    /// The response has only the headers that HTTP requires.
    HeadersLost,
    /// The response is late.
    Delayed,
    /// The function is killed before the service receives the request.
    KilledBefore,
    /// The function is killed after the request had its effect.
    KilledAfter,
}

const FAULTS: [Fault; 8] = [
    Fault::ErrorBefore,
    Fault::Throttled,
    Fault::LostBefore,
    Fault::ErrorAfter,
    Fault::LostAfter,
    Fault::Truncated,
    Fault::HeadersLost,
    Fault::Delayed,
];

/// The requests that get a fault.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Plan {
    /// A single request and its fault.
    at: Option<FaultAt>,
    /// The share of all requests that get a fault at random, from 0 to 1.
    faulty: f64,
    /// The share of all requests at which the function is killed, before or after, from 0 to 1.
    killed: f64,
    /// The seed of the random numbers.
    seed: u64,
    /// The maximum number of requests per second, by operation. Other requests are throttled.
    quotas: BTreeMap<String, usize>,
    /// The time that every request takes in addition, in milliseconds.
    latency: u64,
    /// The duration of signing jobs, in milliseconds.
    signing: u64,
}

/// A request by its operation and index, from 0, and its fault.
#[derive(Deserialize)]
struct FaultAt {
    operation: String,
    nth: usize,
    fault: Fault,
}

/// The requests and faults since the plan was set.
#[derive(Serialize, Default)]
struct Report {
    /// The operations of the function's requests, in order.
    calls: Vec<&'static str>,
    /// The number of each fault. A kill is counted when the function is dead.
    faults: BTreeMap<Fault, u64>,
    /// The number of round trips one after another: a request belongs to the round trip after the last one that was
    /// complete when it arrived. Exact if the plan has a latency.
    round_trips: usize,
    /// The time from the end of each signing job to the first response with that end, in milliseconds.
    signing_noticed: Vec<u128>,
}

impl Report {
    fn calls_of(&self, operation: &str) -> usize {
        self.calls.iter().filter(|known| **known == operation).count()
    }

    fn count(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }
}

#[derive(Default)]
struct State {
    plan: Plan,
    report: Report,
    random: fastrand::Rng,
    /// The times of the last second's requests, by operation.
    recent: BTreeMap<&'static str, VecDeque<Instant>>,
    signing_jobs: SigningJobs,
}

impl State {
    /// Returns whether a request of an operation exceeds its quota. Counts the request if not.
    fn is_over_quota(&mut self, operation: &'static str) -> bool {
        let Some(quota) = self.plan.quotas.get(operation) else { return false };
        let (calls, now) = (self.recent.entry(operation).or_default(), Instant::now());
        while calls.front().is_some_and(|call| now - *call >= Duration::from_secs(1)) {
            calls.pop_front();
        }
        let is_over = calls.len() >= *quota;
        if !is_over {
            calls.push_back(now);
        }
        is_over
    }
}

/// The current plan, at first without faults.
#[derive(Default)]
pub struct Faults(Mutex<State>);

impl Faults {
    /// Returns whether a request with this path sets or reads faults.
    pub fn serves(path: &str) -> bool {
        path == "/_faults"
    }

    /// Sets a plan, or returns the report.
    pub fn answer(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, AnyError> {
        let mut state = self.lock();
        if request.method() == Method::PUT {
            let plan: Plan = serde_json::from_slice(request.body())?;
            *state = State { random: fastrand::Rng::with_seed(plan.seed), plan, ..State::default() };
        }
        Ok(Response::new(serde_json::to_vec(&state.report)?.into()))
    }

    /// Serves a request with its fault, if it has one.
    ///
    /// # Errors
    ///
    /// Fails if the fault is a lost connection, which the caller then closes, or if the function cannot be killed.
    pub async fn serve(
        &self,
        request: Request<Bytes>,
        client: SocketAddr,
        front: SocketAddr,
        serve: impl AsyncFnOnce(Request<Bytes>) -> Result<Response<Bytes>, AnyError>,
    ) -> Result<Response<Bytes>, AnyError> {
        let lost = || Err("a fault".into());
        let Some(operation) = called(&request) else { return serve(request).await };
        let (latency, round_trip) = {
            let State { plan, report, .. } = &*self.lock();
            (plan.latency, report.round_trips + 1)
        };
        // A sleep of 0 ms would last 1 ms.
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
        let serve = async |request| {
            let mut response = serve(request).await?;
            self.complete(operation, round_trip, &mut response);
            Ok(response)
        };
        match self.next(operation) {
            None => serve(request).await,
            Some(Fault::ErrorBefore) => error(&request, StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Some(Fault::Throttled) => error(&request, StatusCode::TOO_MANY_REQUESTS, "ThrottlingException"),
            Some(Fault::LostBefore) => lost(),
            Some(Fault::KilledBefore) => {
                self.kill(Fault::KilledBefore, client, front)?;
                lost()
            }
            Some(Fault::Delayed) => {
                let delay = self.lock().random.u64(..=MAX_DELAY);
                tokio::time::sleep(Duration::from_millis(delay)).await;
                serve(request).await
            }
            Some(Fault::ErrorAfter) => {
                let failed = error(&request, StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
                serve(request).await?;
                failed
            }
            Some(Fault::LostAfter) => {
                serve(request).await?;
                lost()
            }
            Some(Fault::KilledAfter) => {
                serve(request).await?;
                self.kill(Fault::KilledAfter, client, front)?;
                lost()
            }
            Some(Fault::HeadersLost) => {
                let mut response = serve(request).await?;
                response.headers_mut().clear();
                Ok(response)
            }
            Some(Fault::Truncated) => match serve(request).await?.into_parts() {
                (_, body) if body.is_empty() => lost(),
                (mut head, mut body) => {
                    // Without a length, only the content shows that the body is truncated.
                    head.headers.remove(CONTENT_LENGTH);
                    body.truncate(body.len() / 2);
                    Ok(Response::from_parts(head, body))
                }
            },
        }
    }

    /// Returns the fault of the next request. `None` without a fault.
    fn next(&self, operation: &'static str) -> Option<Fault> {
        let mut state = self.lock();
        let is_over_quota = state.is_over_quota(operation);
        let State { plan, report, random, .. } = &mut *state;
        report.calls.push(operation);
        let at = plan.at.as_ref().filter(|at| at.operation == operation && at.nth + 1 == report.calls_of(operation));
        let chance = random.f64();
        let fault = match at {
            Some(at) => at.fault,
            None if is_over_quota => Fault::Throttled,
            None if chance < plan.killed => *random.choice(&[Fault::KilledBefore, Fault::KilledAfter])?,
            None if chance < plan.killed + plan.faulty => *random.choice(&FAULTS)?,
            None => return None,
        };
        if !matches!(fault, Fault::KilledBefore | Fault::KilledAfter) {
            report.count(fault);
        }
        Some(fault)
    }

    /// Counts a round trip, and gives signing jobs the duration of the plan.
    fn complete(&self, operation: &str, round_trip: usize, response: &mut Response<Bytes>) {
        let State { plan, report, signing_jobs, .. } = &mut *self.lock();
        report.round_trips = report.round_trips.max(round_trip);
        match operation {
            "StartSigningJob" => signing_jobs.start(response, Duration::from_millis(plan.signing)),
            "DescribeSigningJob" => report.signing_noticed.extend(signing_jobs.describe(response)),
            _ => {}
        }
    }

    /// Kills the function at the other end of a connection, and waits for its end. Never yields: once the connection is
    /// closed, this future would be dropped.
    fn kill(&self, fault: Fault, client: SocketAddr, front: SocketAddr) -> Result<(), AnyError> {
        let pid = function_at(client, front)?.ok_or("the caller is not a function of this local cloud")?;
        if !Command::new("sh").args(["-c", "kill -9 \"$0\"", &pid]).status()?.success() {
            return Err("the function cannot be killed".into());
        }
        while is_alive(&pid) {
            thread::sleep(Duration::from_millis(1));
        }
        self.lock().report.count(fault);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the operation of a request by the function. `None` for requests of others.
fn called(request: &Request<Bytes>) -> Option<&'static str> {
    let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok())?;
    operation(request).filter(|_| agent.starts_with("aws-sdk-rust"))
}

/// Returns the ID of the process at the other end of a connection to the front. `None` if it is not the function.
fn function_at(client: SocketAddr, front: SocketAddr) -> io::Result<Option<String>> {
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let connections = fs::read_to_string("/proc/net/tcp")?;
    let connection = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| {
        matches!(fields[..], [_, local, remote, ..] if local.ends_with(&port(client)) && remote.ends_with(&port(front)))
    });
    let Some(inode) = connection.and_then(|fields| fields.get(9).copied()) else { return Ok(None) };
    let socket = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc")?.filter_map(|process| process.ok()?.file_name().into_string().ok());
    let has_socket = |pid: &String| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == socket.as_str())
    };
    let is_function =
        |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "bootstrap");
    Ok(pids.filter(is_function).find(has_socket))
}

/// Returns whether a process has not ended. A zombie has ended.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X'])))
}

/// An error in the form of the requested service.
fn error(request: &Request<Bytes>, status: StatusCode, code: &str) -> Result<Response<Bytes>, AnyError> {
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let response = Response::builder().status(status);
    Ok(if authorization.is_some_and(|signed| signed.contains("/s3/aws4_request")) {
        response.body(format!("<Error><Code>{code}</Code><Message>a fault</Message></Error>").into())?
    } else {
        response.header("x-amzn-errortype", code).body(r#"{"message":"a fault"}"#.into())?
    })
}
