//! Tests that the real handler follows the model, in every world that attempts can leave and with every fault.

use crate::model::{Call, Fault, Job, JobId, Mutant, Outcome, Process, Record, Response, World, send, writes};
use crate::support;
use crate::support::{
    BUCKET, Fake, LAB, Upload, claim, event, is_full_torture, record_key, report, run, signed_prefix, upload_image,
};
use bytes::Bytes;
use http::Request;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

const JOB_IDS: [&str; 2] = ["one", "two"];

/// An attempt, or a change of the world between attempts.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// An attempt, with a fault at a request.
    Attempt(Option<FaultAt>),
    Retag,
    Overwrite,
    DeleteJob,
    HideRecord,
    /// An attempt. Right before its claim, another attempt claims another job ID, and the record is hidden.
    Overtaken,
}

/// A kind of request, the number of such requests before it, and its fault.
type FaultAt = (Call, usize, Fault);

/// An upload in a fake, and the model of its world.
struct Stage {
    fake: Arc<Fake>,
    upload: Upload,
    world: World,
}

/// The requests of an attempt in their order, without those that the model does not have. Of a request that the SDK
/// retried, only the last try counts.
type Trace = Vec<Call>;

impl Stage {
    fn new() -> Self {
        let (fake, upload) = upload_image(&[LAB, ("ota:job-id", JOB_IDS[0])]);
        Self { fake, upload, world: World::NEW }
    }

    /// Applies an event to the fake and to the model. Returns the requests of an attempt.
    async fn apply(&mut self, event: Event) -> Trace {
        match event {
            Event::Attempt(fault) => return self.attempt(fault, None).await,
            Event::Overtaken => {
                let claim = self.claim();
                return self.attempt(None, Some(claim)).await;
            }
            Event::HideRecord => {
                self.world.hide_record();
                self.fake.delete(&record_key(&self.upload));
            }
            Event::Retag => {
                self.world.tags = 1;
                self.fake.set_tags(&self.upload, &[LAB, ("ota:job-id", JOB_IDS[1])]);
            }
            Event::Overwrite => {
                self.world.is_current = false;
                self.fake.upload(&self.upload.key, "newer", &[]);
            }
            Event::DeleteJob => {
                self.fake.state().jobs.clear();
                self.world.jobs.iter_mut().filter(|job| **job == Job::Present).for_each(|job| *job = Job::Deleted);
            }
        }
        Trace::new()
    }

    /// The claim of another attempt, which read other tags than this attempt.
    fn claim(&self) -> (JobId, Bytes) {
        let job_id = 1 - self.world.tags;
        let claim = claim(&self.upload, &format!("AFR_OTA-{}", JOB_IDS[usize::from(job_id)]));
        (job_id, claim.to_string().into())
    }

    /// Runs an attempt. `claim`, if any, is written and hidden by a delete marker right before this attempt writes its
    /// own claim.
    async fn attempt(&mut self, fault: Option<FaultAt>, claim: Option<(JobId, Bytes)>) -> Trace {
        let seen = Arc::new(Mutex::new(Vec::new()));
        if let Some((_, claim)) = claim.clone() {
            let key = record_key(&self.upload);
            self.fake.before_next("PutObject", move |state| {
                state.put(BUCKET, &key, Some(claim), Vec::new());
                state.put(BUCKET, &key, None, Vec::new());
            });
        }
        self.fake.state().watch = Some(watch(seen.clone(), fault));
        let result = run(&self.fake, &event(&self.upload)).await;
        self.fake.state().watch = None;
        let outcome = match result {
            Err(_) => Outcome::Failed,
            Ok(releases) => match (releases[0]["outcome"].as_str(), releases[0]["reason"].as_str()) {
                (Some("created"), _) => Outcome::Created,
                (Some("adopted"), _) => Outcome::Adopted,
                (Some("skipped"), Some("superseded")) => Outcome::Superseded,
                (Some("skipped"), Some("job-deleted")) => Outcome::JobDeleted,
                _ => panic!("{releases:?}"),
            },
        };
        let trace = last_tries(&seen.lock().expect("no panic"));
        self.follow(&trace, fault, claim.map(|(job_id, _)| job_id), outcome);
        trace
    }

    /// Asserts that the model sends the same requests and has the same outcome.
    fn follow(&mut self, trace: &Trace, fault: Option<FaultAt>, mut overtaken_by: Option<JobId>, outcome: Outcome) {
        let mut process = Process::new(Mutant::None);
        let mut counts = BTreeMap::<Call, usize>::new();
        for call in trace {
            assert!(
                process.pending().contains(call),
                "{call:?} is not the next step of {process:?}: {trace:?} {fault:?}"
            );
            let nth = counts.entry(*call).or_default();
            let fault_here =
                fault.filter(|(faulty, index, _)| (faulty, index) == (call, nth)).map(|(_, _, fault)| fault);
            *nth += 1;
            if *call == Call::Claim
                && let Some(job_id) = overtaken_by.take()
            {
                self.world.perform(Call::Claim, job_id);
                self.world.hide_record();
            }
            let job_id = process.job_id();
            let response = send(&mut self.world, *call, job_id, fault_here).unwrap_or(Response::Failed);
            process.receive(*call, response);
        }
        assert_eq!(process.outcome(), Some(outcome), "{trace:?} {fault:?}");
    }

    /// Asserts that the fake is in the state of the model.
    async fn check(&self, events: &[Event]) {
        let prefix = signed_prefix(&self.upload);
        let stream = self.fake.stream(&self.upload.stream_id()).await;
        let state = self.fake.state();
        let versions_of = |suffix: &str| {
            let at = (BUCKET.to_owned(), format!("{prefix}{suffix}"));
            let versions = state.objects.get(&at).map(Vec::as_slice).unwrap_or_default();
            versions.iter().map(|version| version.bytes.clone()).collect::<Vec<_>>()
        };
        let versions = versions_of("release.json");
        let records: Vec<Value> =
            versions.iter().flatten().map(|record| serde_json::from_slice(record).expect("JSON")).collect();
        let receipt = records.iter().find(|record| record["jobArn"].is_string());
        let record = receipt.or(records.last()).map(|record| {
            let job_id = record["jobId"].as_str().expect("a job ID");
            let job_id = JOB_IDS.iter().position(|id| job_id.ends_with(id)).expect("a known job ID");
            Record {
                job_id: JobId::try_from(job_id).expect("small"),
                is_receipt: receipt.is_some(),
                has_one_version: records.len() == 1,
                is_hidden: versions[0].is_none(),
            }
        });
        let objects =
            state.objects.iter().filter(|((_, key), _)| key.starts_with(&prefix) && !key.ends_with("/release.json"));
        let max_versions = objects.map(|(_, versions)| versions.len()).max().unwrap_or_default();
        let has_job = JOB_IDS.map(|id| state.jobs.contains_key(&format!("AFR_OTA-{id}")));
        let found = (record, max_versions > 0, max_versions > 1, stream.is_object(), has_job);
        let World { record, is_signed, is_copied, has_stream, jobs, .. } = self.world;
        assert_eq!(
            found,
            (record, is_signed, is_copied, has_stream, jobs.map(|job| job == Job::Present)),
            "{events:?}"
        );
    }
}

/// Records the requests that the model has, and returns the fault of one of them.
fn watch(seen: Arc<Mutex<Vec<(Call, usize)>>>, fault: Option<FaultAt>) -> support::Watch {
    let mut counts = BTreeMap::<Call, usize>::new();
    Box::new(move |operation, request| {
        let call = call(operation, request)?;
        let tries = request.headers()["amz-sdk-request"].to_str().expect("text");
        let nth_try = tries.split("attempt=").nth(1).and_then(|rest| rest.split(';').next());
        let nth_try: usize = nth_try.and_then(|text| text.trim().parse().ok()).expect("a number");
        seen.lock().expect("no panic").push((call, nth_try));
        let nth = counts.entry(call).or_default();
        if nth_try == 1 {
            *nth += 1;
        }
        let (_, _, fault) = fault.filter(|(faulty, index, _)| (*faulty, *index + 1) == (call, *nth))?;
        match (fault, nth_try) {
            // All information of this response is in its headers. If they are missing, the SDK does not retry the
            // request.
            (Fault::Error, _) if call == Call::Current => Some(support::Fault::HeadersLost),
            (Fault::ResponsesLost, _) if call == Call::Copy => Some(support::Fault::HeadersLost),
            (Fault::Retried | Fault::ResponsesLost, 1) => Some(support::Fault::ErrorAfter),
            (Fault::Retried, _) => None,
            _ => Some(support::Fault::ErrorBefore),
        }
    })
}

/// The model's name for a request; `None` if the model does not have it.
fn call(operation: &str, request: &Request<Bytes>) -> Option<Call> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    match operation {
        "GetObjectTagging" => Some(Call::Tags),
        "HeadObject" if !query.contains("versionId") => Some(Call::Current),
        "ListObjectVersions" if query.contains("release.json") => Some(Call::ListRecord),
        "ListObjectVersions" if query.contains("prefix=SignedImage") => Some(Call::List),
        "GetObject" if path.ends_with("/release.json") => Some(Call::ReadRecord),
        "DescribeJob" => Some(Call::DescribeJob),
        "PutObject" if request.headers().contains_key("if-none-match") => Some(Call::Claim),
        "PutObject" => Some(Call::Receipt),
        "StartSigningJob" => Some(Call::Sign),
        "CopyObject" => Some(Call::Copy),
        "CreateStream" => Some(Call::CreateStream),
        "DescribeStream" => Some(Call::DescribeStream),
        "CreateJob" => Some(Call::CreateJob),
        _ => None,
    }
}

/// Keeps the last try of each request.
fn last_tries(seen: &[(Call, usize)]) -> Trace {
    let is_retried = |at: usize, (call, nth_try): (Call, usize)| {
        seen[at + 1..].iter().find(|(later, _)| *later == call).is_some_and(|(_, later)| *later == nth_try + 1)
    };
    let calls = seen.iter().enumerate().filter(|(at, made)| !is_retried(*at, **made));
    let mut calls: Trace = calls.map(|(_, (call, _))| *call).collect();
    // The handler reads each version of the record with a request of its own.
    calls.dedup_by(|later, earlier| (*later, *earlier) == (Call::ReadRecord, Call::ReadRecord));
    calls
}

/// Every fault at every request of an attempt.
fn faulty_attempts(trace: &Trace) -> Vec<Event> {
    let mut counts = BTreeMap::<Call, usize>::new();
    let mut events = Vec::new();
    for call in trace {
        let nth = counts.entry(*call).or_default();
        for fault in [Fault::Error, Fault::ResponsesLost, Fault::Retried] {
            if fault == Fault::Error || writes(*call) {
                events.push(Event::Attempt(Some((*call, *nth, fault))));
            }
        }
        *nth += 1;
    }
    events
}

#[tokio::test(start_paused = true)]
async fn the_handler_follows_the_model_in_every_world() {
    let (mut worlds, mut new) = (BTreeSet::from([World::NEW]), VecDeque::from([Vec::new()]));
    let mut attempts = 0;
    while let Some(events) = new.pop_front() {
        let mut next = vec![Event::Attempt(None)];
        let mut at = 0;
        while at < next.len() {
            let mut stage = Stage::new();
            for event in &events {
                stage.apply(*event).await;
            }
            let World { jobs, record, .. } = stage.world;
            let event = next[at];
            let trace = stage.apply(event).await;
            attempts += 1;
            let events = [&events[..], &[event]].concat();
            stage.check(&events).await;
            if at == 0 {
                next.extend(faulty_attempts(&trace));
                if is_full_torture() {
                    next.extend([Event::Retag, Event::Overwrite]);
                }
                if jobs.contains(&Job::Present) && record.is_some_and(|record| record.is_receipt) {
                    next.push(Event::DeleteJob);
                }
                if record.is_some_and(|record| !record.is_hidden) {
                    next.push(Event::HideRecord);
                }
                if record.is_none() {
                    next.push(Event::Overtaken);
                }
            }
            if worlds.insert(stage.world) {
                new.push_back(events);
            }
            at += 1;
        }
    }
    report(format_args!("{attempts} attempts in {} worlds match the model", worlds.len()));
    assert!(worlds.len() >= 9, "{worlds:?}");
}
