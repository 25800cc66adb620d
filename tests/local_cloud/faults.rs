//! Faults at the function's calls, armed by requests to the front itself: answers that are errors, late, cut short or
//! lost, and `kill -9` of the function that calls.
//!
//! `PUT /_faults` with a [`Plan`] arms it and begins to count anew, `GET /_faults` tells what came of it. Calls of others
//! than the function go through untouched.

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

/// The longest that an answer is late, in milliseconds.
const MAX_DELAY: u64 = 1000;

/// What happens to one call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    /// It is answered by an error, and has no effect.
    ErrorBefore,
    /// It is too much for the service just now.
    Throttled,
    /// The connection is lost before the service hears of it.
    LostBefore,
    /// It has its effect, and is answered by an error.
    ErrorAfter,
    /// It has its effect, and the connection is lost before the answer comes.
    LostAfter,
    /// The second half of the answer is missing.
    Truncated,
    /// The response has no headers but those that HTTP needs.
    HeadersLost,
    /// The answer is late.
    Delayed,
    /// The function that calls is killed before the service hears of it.
    KilledBefore,
    /// The function that calls is killed once the call had its effect.
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

/// Which calls get a fault.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Plan {
    /// This one alone.
    at: Option<Site>,
    /// So many of all calls, from 0 to 1, at random.
    faulty: f64,
    /// So many of all calls, from 0 to 1, at random: the function is killed, before or after.
    killed: f64,
    /// Where random begins.
    seed: u64,
    /// Of these operations no more than so many calls go through in any second; the others are throttled.
    quotas: BTreeMap<String, usize>,
}

/// The so many-th call of an operation, from 0, and what happens to it.
#[derive(Deserialize)]
struct Site {
    operation: String,
    nth: usize,
    fault: Fault,
}

/// What came of a plan.
#[derive(Serialize, Default)]
struct Told {
    /// The operations that the function called, in their order.
    calls: Vec<&'static str>,
    /// How often each happened: a kill, when the function is dead.
    faults: BTreeMap<Fault, u64>,
}

impl Told {
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
    told: Told,
    random: fastrand::Rng,
    /// When the calls of an operation went through, in the last second.
    lately: BTreeMap<&'static str, VecDeque<Instant>>,
}

impl State {
    /// Whether an operation was called too often in the last second; if not, this call counts.
    fn is_over_quota(&mut self, operation: &'static str) -> bool {
        let Some(quota) = self.plan.quotas.get(operation) else { return false };
        let (calls, now) = (self.lately.entry(operation).or_default(), Instant::now());
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

/// The plan that is armed; at first there are no faults.
#[derive(Default)]
pub struct Faults(Mutex<State>);

impl Faults {
    /// Whether a request with this path is one to arm faults, or to tell of them.
    pub fn serves(path: &str) -> bool {
        path == "/_faults"
    }

    /// Arms a plan, or tells what came of it.
    pub fn answer(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, AnyError> {
        let mut state = self.lock();
        if request.method() == Method::PUT {
            let plan: Plan = serde_json::from_slice(request.body())?;
            *state = State { random: fastrand::Rng::with_seed(plan.seed), plan, ..State::default() };
        }
        Ok(Response::new(serde_json::to_vec(&state.told)?.into()))
    }

    /// Serves a call, or has it go wrong. An error is a connection that is lost.
    pub async fn serve(
        &self,
        request: Request<Bytes>,
        client: SocketAddr,
        front: SocketAddr,
        serve: impl AsyncFnOnce(Request<Bytes>) -> Result<Response<Bytes>, AnyError>,
    ) -> Result<Response<Bytes>, AnyError> {
        let lost = || Err("a fault".into());
        match self.next(&request) {
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
                    // The length fits what is left: nothing but the content tells.
                    head.headers.remove(CONTENT_LENGTH);
                    body.truncate(body.len() / 2);
                    Ok(Response::from_parts(head, body))
                }
            },
        }
    }

    /// The fault of the next call, if it is the function's and is to have one.
    fn next(&self, request: &Request<Bytes>) -> Option<Fault> {
        let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok())?;
        let operation = operation(request).filter(|_| agent.starts_with("aws-sdk-rust"))?;
        let mut state = self.lock();
        let is_over_quota = state.is_over_quota(operation);
        let State { plan, told, random, .. } = &mut *state;
        told.calls.push(operation);
        let at =
            plan.at.as_ref().filter(|site| site.operation == operation && site.nth + 1 == told.calls_of(operation));
        let chance = random.f64();
        let fault = match at {
            Some(site) => site.fault,
            None if is_over_quota => Fault::Throttled,
            None if chance < plan.killed => *random.choice(&[Fault::KilledBefore, Fault::KilledAfter])?,
            None if chance < plan.killed + plan.faulty => *random.choice(&FAULTS)?,
            None => return None,
        };
        if !matches!(fault, Fault::KilledBefore | Fault::KilledAfter) {
            told.count(fault);
        }
        Some(fault)
    }

    /// `kill -9` of the function at the other end of a connection, until it is dead. Without a pause: with its client gone,
    /// the answer to a call is given up.
    fn kill(&self, fault: Fault, client: SocketAddr, front: SocketAddr) -> Result<(), AnyError> {
        let pid = function_at(client, front)?.ok_or("the caller is no function of this local cloud")?;
        if !Command::new("sh").args(["-c", "kill -9 \"$0\"", &pid]).status()?.success() {
            return Err("the function cannot be killed".into());
        }
        while is_alive(&pid) {
            thread::sleep(Duration::from_millis(1));
        }
        self.lock().told.count(fault);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ID of the process at the other end of a connection to the front, if it is the function.
fn function_at(client: SocketAddr, front: SocketAddr) -> io::Result<Option<String>> {
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let connections = fs::read_to_string("/proc/net/tcp")?;
    let connection = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| {
        matches!(fields[..], [_, local, remote, ..] if local.ends_with(&port(client)) && remote.ends_with(&port(front)))
    });
    let Some(inode) = connection.and_then(|fields| fields.get(9).copied()) else { return Ok(None) };
    let socket = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc")?.filter_map(|process| process.ok()?.file_name().into_string().ok());
    let holds = |pid: &String| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == socket.as_str())
    };
    let is_function =
        |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "bootstrap");
    Ok(pids.filter(is_function).find(holds))
}

/// Whether a process has not ended, waited for or not.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X'])))
}

/// An error in the words of the service that is asked.
fn error(request: &Request<Bytes>, status: StatusCode, code: &str) -> Result<Response<Bytes>, AnyError> {
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let answer = Response::builder().status(status);
    Ok(if authorization.is_some_and(|signed| signed.contains("/s3/aws4_request")) {
        answer.body(format!("<Error><Code>{code}</Code><Message>a fault</Message></Error>").into())?
    } else {
        answer.header("x-amzn-errortype", code).body(r#"{"message":"a fault"}"#.into())?
    })
}
