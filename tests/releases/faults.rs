//! One job for every upload, whatever fails: every fault at every call, pairs of them, and deliveries that race.
//!
//! A selection, unless `TORTURE=full` says all.

use crate::{
    fake::{BUCKET, Fake, Site, TROUBLES, Trouble, now},
    releases::{LAB, assert_released_once, event, run, setting},
    tell,
};
use futures::future::join_all;
use ota_on_upload::{handler::Function, settings::Settings, upload::Upload};
use serde_json::Value;
use std::{
    env,
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};
use tokio::{runtime, time::Instant};

const IMAGE: &[u8] = b"\x7fELF a firmware image";
const OTHER_IMAGE: &[u8] = b"\x7fELF another firmware image";

/// How often Lambda delivers an event to a function that fails.
const ATTEMPTS: usize = 3;

fn is_full() -> bool {
    env::var("TORTURE").is_ok_and(|torture| torture == "full")
}

/// Every call of a release with this trouble, up to its last attempt.
async fn sites(tags: &[(&str, &str)], troubles: &[(Site, Trouble)]) -> Vec<Site> {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, tags);
    fake.state().troubles = troubles.to_vec();
    deliver(&fake, &upload, &troubles).await;
    fake.state().sites.clone()
}

/// Delivers an event as Lambda does; the number of attempts it took.
pub async fn deliver(fake: &Arc<Fake>, upload: &Upload, what: &impl std::fmt::Debug) -> usize {
    let mut failures = Vec::new();
    while failures.len() < ATTEMPTS {
        let began = Instant::now();
        let done = run(fake, &event(upload)).await;
        assert!(began.elapsed() <= Duration::from_secs(118), "{what:?}: ended after {:?}", began.elapsed());
        match done {
            Err(failure) => failures.push(failure),
            Ok(releases) => {
                let outcome = releases[0]["outcome"].as_str().expect("an outcome");
                assert!(matches!(outcome, "created" | "adopted"), "{what:?}: {releases:?}, after {failures:?}");
                return failures.len() + 1;
            }
        }
    }
    panic!("{what:?}: {failures:?}");
}

/// Releases an upload with trouble at these calls: there is one job in the end, and Lambda's attempts suffice.
async fn survive(tags: &[(&str, &str)], troubles: &[(Site, Trouble)]) -> usize {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, tags);
    fake.state().troubles = troubles.to_vec();
    let attempts = deliver(&fake, &upload, &troubles).await;
    fake.state().troubles.clear();
    assert_released_once(&fake, &upload, IMAGE).await;
    let again = run(&fake, &event(&upload)).await.expect("no failure").remove(0);
    assert_eq!(again["outcome"], "adopted", "{troubles:?}");
    assert_released_once(&fake, &upload, IMAGE).await;
    attempts
}

pub fn all(sites: &[Site]) -> Vec<(Site, Trouble)> {
    sites.iter().flat_map(|site| TROUBLES.map(|trouble| (*site, trouble))).collect()
}

/// Survives every scenario, on as many threads as there are cores; how many were survived at the first attempt.
fn survive_all(tags: &[(&str, &str)], scenarios: &[Vec<(Site, Trouble)>]) -> usize {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let survive_share = |first: usize| {
        on_a_clock_of_its_own(async {
            let mut at_once = 0;
            for troubles in scenarios.iter().skip(first).step_by(threads) {
                at_once += usize::from(survive(tags, troubles).await == 1);
            }
            at_once
        })
    };
    thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(move || survive_share(first))).collect();
        shares.into_iter().map(|share| share.join().expect("no panic")).sum()
    })
}

/// Runs to the end on a clock that only waiting moves on.
pub fn on_a_clock_of_its_own<T>(work: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

#[test]
fn one_fault_at_any_call_comes_to_one_job() {
    let troubles = all(&on_a_clock_of_its_own(sites(&[LAB], &[])));
    let scenarios: Vec<_> = troubles.into_iter().map(|trouble| vec![trouble]).collect();
    let at_once = survive_all(&[LAB], &scenarios);
    tell(format_args!("{} single faults: one job each, {at_once} at the first attempt", scenarios.len()));
    assert!(scenarios.len() >= 18 * 9, "{}", scenarios.len());
}

#[test]
fn one_fault_at_any_call_comes_to_one_job_without_a_stream() {
    let tags = [LAB, ("ota:protocols", "http")];
    let troubles = all(&on_a_clock_of_its_own(sites(&tags, &[])));
    let scenarios: Vec<_> = troubles.into_iter().map(|trouble| vec![trouble]).collect();
    survive_all(&tags, &scenarios);
    assert!(scenarios.len() >= 17 * 9, "{}", scenarios.len());
}

#[test]
fn two_faults_at_any_calls_come_to_one_job() {
    let step = if is_full() { 1 } else { 301 };
    let pairs = on_a_clock_of_its_own(async {
        let mut pairs = Vec::new();
        for first in all(&sites(&[LAB], &[]).await) {
            // The second may be at a call that is only made as the first went wrong.
            let after = sites(&[LAB], &[first]).await;
            let position = after.iter().position(|site| *site == first.0).map_or(0, |at| at + 1);
            pairs.extend(all(&after[position..]).into_iter().map(|second| vec![first, second]));
        }
        pairs
    });
    let scenarios: Vec<_> = pairs.into_iter().step_by(step).collect();
    let began = std::time::Instant::now();
    survive_all(&[LAB], &scenarios);
    let a_second = scenarios.len() as u128 * 1000 / began.elapsed().as_millis().max(1);
    tell(format_args!("{} pairs of faults: one job each; {a_second} scenarios a second", scenarios.len()));
    assert!(scenarios.len() >= 40, "{}", scenarios.len());
}

fn function(fake: &Arc<Fake>) -> Function {
    Function::new(Settings::from_lookup(setting).expect("good settings"), fake.clients()).with_clock(now)
}

async fn outcome(function: &Function, upload: &Upload) -> String {
    let deadline = SystemTime::now() + Duration::from_mins(2);
    match function.handle(&event(upload).to_string(), deadline).await {
        Ok(releases) => {
            let releases = serde_json::to_value(releases).expect("JSON");
            let release = &releases["releases"][0];
            let reason = release["reason"].as_str().unwrap_or_default();
            format!("{} {reason}", release["outcome"].as_str().expect("an outcome")).trim().to_owned()
        }
        Err(failed) => format!("failed {failed}"),
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_at_the_same_time_come_to_one_job() {
    let seeds = if is_full() { 200 } else { 3 };
    let mut deliveries = 0;
    for seed in 0..seeds {
        for number in [2, 4, 8, 16, 32] {
            let fake = Fake::new();
            fake.set(|behavior| behavior.jitter_ms = 1000);
            fake.state().seed(seed);
            let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
            let function = function(&fake);
            let mut outcomes = join_all((0..number).map(|_| outcome(&function, &upload))).await;
            deliveries += number;
            outcomes.sort();
            assert_eq!(outcomes.pop().as_deref(), Some("created"), "{seed} {outcomes:?}");
            assert!(outcomes.iter().all(|outcome| outcome == "adopted"), "{seed} {outcomes:?}");
            assert_released_once(&fake, &upload, IMAGE).await;
        }
    }
    tell(format_args!("{deliveries} deliveries in {} races: one job each race", seeds * 5));
}

/// What happens to an upload while it is released.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Overwritten,
    Deleted,
    Tagged,
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_changes_meanwhile_never_comes_to_a_mismatched_job() {
    let races = if is_full() { 1000 } else { 60 };
    let (mut of_first, mut withdrawn) = (0, 0);
    for seed in 0..races {
        let meanwhile =
            [Meanwhile::Overwritten, Meanwhile::Deleted, Meanwhile::Tagged][usize::try_from(seed % 3).expect("small")];
        let fake = Fake::new();
        fake.set(|behavior| behavior.jitter_ms = 500);
        fake.state().seed(seed);
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        let function = function(&fake);
        let change = async {
            tokio::time::sleep(Duration::from_millis(seed * 37 % 3500)).await;
            match meanwhile {
                Meanwhile::Overwritten => {
                    let newer = fake.upload("firmware/blinky.bin", OTHER_IMAGE, &[LAB]);
                    assert_eq!(outcome(&function, &newer).await, "created", "{seed}");
                }
                Meanwhile::Deleted => fake.delete("firmware/blinky.bin"),
                Meanwhile::Tagged => {
                    let place = (BUCKET.to_owned(), upload.key.clone());
                    let tags = vec![("ota:thing-group".into(), "eu-west".into())];
                    fake.state().objects.get_mut(&place).expect("it")[0].tags = tags;
                    let outcome = outcome(&function, &upload).await;
                    assert!(outcome == "created" || outcome.starts_with("adopted"), "{seed} {outcome}");
                }
            }
        };
        let (first, ()) = tokio::join!(outcome(&function, &upload), change);
        let jobs: Vec<Value> = fake.state().jobs.values().cloned().collect();
        for job in &jobs {
            assert_matches(&fake, job).await;
        }
        match meanwhile {
            Meanwhile::Overwritten => {
                assert!(matches!(first.as_str(), "created" | "skipped superseded"), "{seed} {first}");
                assert_eq!(jobs.len(), 1 + usize::from(first == "created"), "{seed} {first}");
            }
            Meanwhile::Deleted => {
                assert!(matches!(first.as_str(), "created" | "skipped withdrawn"), "{seed} {first}");
                assert_eq!(jobs.len(), usize::from(first == "created"), "{seed} {first}");
            }
            Meanwhile::Tagged => assert_eq!(jobs.len(), 1, "{seed} {first}"),
        }
        of_first += usize::from(first == "created");
        withdrawn += usize::from(first.starts_with("skipped"));
    }
    tell(format_args!(
        "{races} races with a change: {of_first} jobs of the first version, {withdrawn} given up, none mismatched"
    ));
    assert!(of_first > 0 && withdrawn > 0, "{of_first} {withdrawn}");
}

/// A job offers the very bytes that its signature is over.
async fn assert_matches(fake: &Fake, job: &Value) {
    let document: Value = serde_json::from_str(job["document"].as_str().expect("text")).expect("JSON");
    let file = &document["afr_ota"]["files"][0];
    let streamed = fake.streamed(document["afr_ota"]["streamname"].as_str().expect("a name")).await;
    assert_eq!(file["filesize"], streamed.len());
    assert!(fake.verifies(file["sig-sha256-ecdsa"].as_str().expect("a signature"), &streamed), "{job}");
}
