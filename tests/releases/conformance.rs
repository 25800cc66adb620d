//! The real handler takes the steps of the model: in every world that attempts can leave behind, with every trouble.

use crate::{
    fake::{self, BUCKET, Fake},
    model::{Answer, Call, Job, JobId, Mutant, Outcome, Process, Record, Trouble, World, answer, writes},
    releases::{LAB, event, run, setting},
    tell,
};
use bytes::Bytes;
use http::Request;
use ota_on_upload::{settings::Settings, upload::Upload};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env,
    sync::{Arc, Mutex},
};

const IMAGE: &[u8] = b"\x7fELF a firmware image";
const JOB_IDS: [&str; 2] = ["one", "two"];

/// What happens to the world between attempts, and in one.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// An attempt, with trouble at the so many-th call of a kind.
    Attempt(Option<(Call, usize, Trouble)>),
    Retag,
    Overwrite,
    DeleteJob,
    HideRecord,
    /// An attempt right before whose claim another one claims another job ID, and the record is hidden.
    Overtaken,
}

/// The upload in a fake, and the model of its world.
struct Stage {
    fake: Arc<Fake>,
    upload: Upload,
    world: World,
}

/// The calls of an attempt that the model knows, in order; a call that the SDK tried again, when it did so last.
type Trace = Vec<Call>;

impl Stage {
    fn new() -> Self {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:job-id", JOB_IDS[0])]);
        Self { fake, upload, world: World::NEW }
    }

    /// Has the event happen, to the fake and to the model alike; what the attempt did.
    async fn happen(&mut self, event: Event) -> Trace {
        match event {
            Event::Attempt(trouble) => return self.attempt(trouble, None).await,
            Event::Overtaken => {
                let claim = self.claim();
                return self.attempt(None, Some(claim)).await;
            }
            Event::HideRecord => {
                self.world.hide_record();
                self.fake.delete(&self.record_key());
            }
            Event::Retag => {
                self.world.tags = 1;
                let tags = [LAB, ("ota:job-id", JOB_IDS[1])];
                let place = (BUCKET.to_owned(), self.upload.key.clone());
                let tags = tags.map(|(tag, value)| (tag.to_owned(), value.to_owned()));
                let mut state = self.fake.state();
                let version = state.objects.get_mut(&place).expect("the object").last_mut().expect("the upload");
                version.tags = tags.into();
            }
            Event::Overwrite => {
                self.world.is_current = false;
                self.fake.upload(&self.upload.key, "newer", &[]);
            }
            Event::DeleteJob => {
                self.fake.state().jobs.clear();
                self.world.jobs.iter_mut().filter(|job| **job == Job::There).for_each(|job| *job = Job::Deleted);
            }
        }
        Trace::new()
    }

    fn record_key(&self) -> String {
        let settings = Settings::from_lookup(setting).expect("good settings");
        format!("{}release.json", settings.prefix_of(&self.upload))
    }

    /// The claim of another attempt, by the tags that this one does not see.
    fn claim(&self) -> (JobId, Bytes) {
        let job_id = 1 - self.world.tags;
        let Upload { bucket, key, version_id, .. } = &self.upload;
        let claim = json!({
            "bucket": bucket, "key": key, "versionId": version_id, "nonce": "00112233445566778899aabbccddeeff",
            "jobId": format!("AFR_OTA-{}", JOB_IDS[usize::from(job_id)]), "tags": {},
        });
        (job_id, claim.to_string().into())
    }

    /// An attempt; with a claim, which another one makes right before this one, and which a delete marker hides.
    async fn attempt(&mut self, trouble: Option<(Call, usize, Trouble)>, claim: Option<(JobId, Bytes)>) -> Trace {
        let seen = Arc::new(Mutex::new(Vec::new()));
        if let Some((_, claim)) = claim.clone() {
            let key = self.record_key();
            self.fake.before("PutObject", move |state| {
                state.put(BUCKET, &key, Some(claim), Vec::new());
                state.put(BUCKET, &key, None, Vec::new());
            });
        }
        self.fake.state().watch = Some(watch(seen.clone(), trouble));
        let done = run(&self.fake, &event(&self.upload)).await;
        self.fake.state().watch = None;
        let outcome = match done {
            Err(_) => Outcome::Failed,
            Ok(releases) => match (releases[0]["outcome"].as_str(), releases[0]["reason"].as_str()) {
                (Some("created"), _) => Outcome::Created,
                (Some("adopted"), _) => Outcome::Adopted,
                (Some("skipped"), Some("superseded")) => Outcome::Superseded,
                (Some("skipped"), Some("job-deleted")) => Outcome::JobDeleted,
                _ => panic!("{releases:?}"),
            },
        };
        let trace = last_of_each(&seen.lock().expect("no panic"));
        self.follow(&trace, trouble, claim.map(|(job_id, _)| job_id), outcome);
        trace
    }

    /// The model makes the same calls, and comes to the same.
    fn follow(
        &mut self,
        trace: &Trace,
        trouble: Option<(Call, usize, Trouble)>,
        mut overtaken_by: Option<JobId>,
        outcome: Outcome,
    ) {
        let mut process = Process::new(Mutant::None);
        let mut made = BTreeMap::<Call, usize>::new();
        for call in trace {
            assert!(process.pending().contains(call), "{call:?} is no next step of {process:?}: {trace:?} {trouble:?}");
            let nth = made.entry(*call).or_default();
            let hit = trouble.filter(|(at, which, _)| (at, which) == (call, nth)).map(|(_, _, trouble)| trouble);
            *nth += 1;
            if *call == Call::Claim
                && let Some(job_id) = overtaken_by.take()
            {
                self.world.perform(Call::Claim, job_id);
                self.world.hide_record();
            }
            let job_id = process.job_id();
            let answer = answer(&mut self.world, *call, job_id, hit).unwrap_or(Answer::Failed);
            process.hear(*call, answer);
        }
        assert_eq!(process.outcome(), Some(outcome), "{trace:?} {trouble:?}");
    }

    /// What the model says of the world is so.
    async fn check(&self, how: &[Event]) {
        let settings = Settings::from_lookup(setting).expect("good settings");
        let prefix = settings.prefix_of(&self.upload);
        let stream = self.fake.stream(&self.upload.stream_id()).await;
        let state = self.fake.state();
        let below = |suffix: &str| {
            let at = (BUCKET.to_owned(), format!("{prefix}{suffix}"));
            let versions = state.objects.get(&at).map(Vec::as_slice).unwrap_or_default();
            versions.iter().map(|version| version.bytes.clone()).collect::<Vec<_>>()
        };
        let versions = below("release.json");
        let records: Vec<Value> =
            versions.iter().flatten().map(|record| serde_json::from_slice(record).expect("JSON")).collect();
        let receipt = records.iter().find(|record| record["jobArn"].is_string());
        let record = receipt.or(records.last()).map(|record| {
            let job_id = record["jobId"].as_str().expect("a job ID");
            let job_id = JOB_IDS.iter().position(|id| job_id.ends_with(id)).expect("one of them");
            Record {
                job_id: JobId::try_from(job_id).expect("small"),
                is_receipt: receipt.is_some(),
                is_sole: records.len() == 1,
                is_hidden: versions[0].is_none(),
            }
        });
        let work =
            state.objects.iter().filter(|((_, key), _)| key.starts_with(&prefix) && !key.ends_with("/release.json"));
        let most = work.map(|(_, versions)| versions.len()).max().unwrap_or_default();
        let has_job = JOB_IDS.map(|id| state.jobs.contains_key(&format!("AFR_OTA-{id}")));
        let found = (record, most > 0, most > 1, stream.is_object(), has_job);
        let World { record, is_signed, is_copied, has_stream, jobs, .. } = self.world;
        assert_eq!(found, (record, is_signed, is_copied, has_stream, jobs.map(|job| job == Job::There)), "{how:?}");
    }
}

/// Notes the calls that the model knows, and has trouble with one of them.
fn watch(seen: Arc<Mutex<Vec<(Call, usize)>>>, trouble: Option<(Call, usize, Trouble)>) -> fake::Watch {
    let mut made = BTreeMap::<Call, usize>::new();
    Box::new(move |operation, request| {
        let call = call(operation, request)?;
        let tries = request.headers()["amz-sdk-request"].to_str().expect("text");
        let nth_try = tries.split("attempt=").nth(1).and_then(|rest| rest.split(';').next());
        let nth_try: usize = nth_try.and_then(|text| text.trim().parse().ok()).expect("a number");
        seen.lock().expect("no panic").push((call, nth_try));
        let nth = made.entry(call).or_default();
        if nth_try == 1 {
            *nth += 1;
        }
        let (_, _, trouble) = trouble.filter(|(at, which, _)| (*at, *which + 1) == (call, *nth))?;
        match (trouble, nth_try) {
            // A response without headers answers nothing here, and the SDK does not retry it.
            (Trouble::Error, _) if call == Call::Current => Some(fake::Trouble::HeadersLost),
            (Trouble::Unheard, _) if call == Call::Copy => Some(fake::Trouble::HeadersLost),
            (Trouble::TriedAgain | Trouble::Unheard, 1) => Some(fake::Trouble::ErrorAfter),
            (Trouble::TriedAgain, _) => None,
            _ => Some(fake::Trouble::ErrorBefore),
        }
    })
}

/// The call that a request is in the model, if it is one.
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

fn last_of_each(seen: &[(Call, usize)]) -> Trace {
    let is_tried_again = |at: usize, (call, nth_try): (Call, usize)| {
        seen[at + 1..].iter().find(|(later, _)| *later == call).is_some_and(|(_, later)| *later == nth_try + 1)
    };
    let calls = seen.iter().enumerate().filter(|(at, made)| !is_tried_again(*at, **made));
    let mut calls: Trace = calls.map(|(_, (call, _))| *call).collect();
    // Each version of the record is read by a request of its own.
    calls.dedup_by(|later, earlier| (*later, *earlier) == (Call::ReadRecord, Call::ReadRecord));
    calls
}

/// Every trouble at every call of an attempt.
fn troubles(trace: &Trace) -> Vec<Event> {
    let mut made = BTreeMap::<Call, usize>::new();
    let mut events = Vec::new();
    for call in trace {
        let nth = made.entry(*call).or_default();
        for trouble in [Trouble::Error, Trouble::Unheard, Trouble::TriedAgain] {
            if trouble == Trouble::Error || writes(*call) {
                events.push(Event::Attempt(Some((*call, *nth, trouble))));
            }
        }
        *nth += 1;
    }
    events
}

#[tokio::test(start_paused = true)]
async fn the_handler_takes_the_steps_of_the_model_in_every_world() {
    let is_full = env::var("TORTURE").is_ok_and(|torture| torture == "full");
    let (mut known, mut new) = (BTreeSet::from([World::NEW]), VecDeque::from([Vec::new()]));
    let mut attempts = 0;
    while let Some(how) = new.pop_front() {
        let mut next = vec![Event::Attempt(None)];
        let mut at = 0;
        while at < next.len() {
            let mut stage = Stage::new();
            for event in &how {
                stage.happen(*event).await;
            }
            let World { jobs, record, .. } = stage.world;
            let event = next[at];
            let trace = stage.happen(event).await;
            attempts += 1;
            let how = [&how[..], &[event]].concat();
            stage.check(&how).await;
            if at == 0 {
                next.extend(troubles(&trace));
                if is_full {
                    next.extend([Event::Retag, Event::Overwrite]);
                }
                if jobs.contains(&Job::There) && record.is_some_and(|record| record.is_receipt) {
                    next.push(Event::DeleteJob);
                }
                if record.is_some_and(|record| !record.is_hidden) {
                    next.push(Event::HideRecord);
                }
                if record.is_none() {
                    next.push(Event::Overtaken);
                }
            }
            if known.insert(stage.world) {
                new.push_back(how);
            }
            at += 1;
        }
    }
    tell(format_args!("{attempts} attempts in {} worlds go as in the model", known.len()));
    assert!(known.len() >= 9, "{known:?}");
}
