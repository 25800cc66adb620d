//! The duration of signing jobs. MiniStack completes them at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_LENGTH;
use serde_json::Value;

/// The ends of the signing jobs that the function has not noticed, by their IDs.
#[derive(Default)]
pub struct SigningJobs(BTreeMap<String, Instant>);

impl SigningJobs {
    /// Reads the response of StartSigningJob. The same response to a second request does not change the job.
    pub fn start(&mut self, response: &Response<Bytes>, duration: Duration) {
        if let Some((id, _)) = job(response) {
            self.0.entry(id).or_insert_with(|| Instant::now() + duration);
        }
    }

    /// Changes the response of DescribeSigningJob while the job is in progress. Returns the milliseconds since the
    /// job's end if this response is the first with that end.
    pub fn describe(&mut self, response: &mut Response<Bytes>) -> Option<u128> {
        let (id, mut job) = job(response)?;
        let end = *self.0.get(&id)?;
        if let Some(late) = Instant::now().checked_duration_since(end) {
            self.0.remove(&id);
            return Some(late.as_millis());
        }
        job["status"] = "InProgress".into();
        job["signedObject"] = Value::Null;
        job["completedAt"] = Value::Null;
        *response.body_mut() = job.to_string().into();
        response.headers_mut().remove(CONTENT_LENGTH);
        None
    }
}

/// Returns a signing job and its ID. `None` if the response is an error.
fn job(response: &Response<Bytes>) -> Option<(String, Value)> {
    let job: Value = serde_json::from_slice(response.body()).ok()?;
    Some((job["jobId"].as_str()?.to_owned(), job))
}
