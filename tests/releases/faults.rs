//! Every upload has one job, whatever fails: every fault at every call, pairs of faults, and concurrent deliveries.
//!
//! Runs a selection of the cases, or all of them with `TORTURE=full`.

use crate::support::{
    CallIndex, Fake, Fault, Function, IMAGE, LAB, Upload, assert_released_once, deliver, document, event, every_fault,
    function, invoke, is_full_torture, release, report, upload_image, with_paused_clock,
};
use futures::future::join_all;
use serde_json::Value;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

const NEWER_IMAGE: &[u8] = b"\x7fELF another firmware image";

/// Returns every request of a release with these faults, in all its attempts.
async fn calls_of_release(tags: &[(&str, &str)], faults: &[(CallIndex, Fault)]) -> Vec<CallIndex> {
    let (fake, upload) = upload_image(tags);
    fake.state().faults = faults.to_vec();
    deliver(&fake, &upload, &faults).await;
    fake.state().call_indices.clone()
}

/// Releases an upload with these faults, and asserts one job after at most Lambda's attempts. Returns the number of
/// attempts.
async fn attempts_with_faults(tags: &[(&str, &str)], faults: &[(CallIndex, Fault)]) -> usize {
    let (fake, upload) = upload_image(tags);
    fake.state().faults = faults.to_vec();
    let attempts = deliver(&fake, &upload, &faults).await;
    fake.state().faults.clear();
    assert_released_once(&fake, &upload, IMAGE).await;
    let again = release(&fake, &upload).await;
    assert_eq!(again["outcome"], "adopted", "{faults:?}");
    assert_released_once(&fake, &upload, IMAGE).await;
    attempts
}

/// Releases an upload with each scenario of faults, on all cores. Returns the number of releases with one attempt.
fn release_all(tags: &[(&str, &str)], scenarios: &[Vec<(CallIndex, Fault)>]) -> usize {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let release_share = |first: usize| {
        with_paused_clock(async {
            let mut first_attempts = 0;
            for faults in scenarios.iter().skip(first).step_by(threads) {
                first_attempts += usize::from(attempts_with_faults(tags, faults).await == 1);
            }
            first_attempts
        })
    };
    thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(move || release_share(first))).collect();
        shares.into_iter().map(|share| share.join().expect("no panic")).sum()
    })
}

#[test]
fn one_fault_at_any_call_results_in_one_job() {
    let faults = every_fault(&with_paused_clock(calls_of_release(&[LAB], &[])));
    let scenarios: Vec<_> = faults.into_iter().map(|fault| vec![fault]).collect();
    let first_attempts = release_all(&[LAB], &scenarios);
    report(format_args!("{} single faults: one job each, {first_attempts} at the first attempt", scenarios.len()));
    assert!(scenarios.len() >= 18 * 9, "{}", scenarios.len());
}

#[test]
fn one_fault_at_any_call_results_in_one_job_without_a_stream() {
    let tags = [LAB, ("ota:protocols", "http")];
    let faults = every_fault(&with_paused_clock(calls_of_release(&tags, &[])));
    let scenarios: Vec<_> = faults.into_iter().map(|fault| vec![fault]).collect();
    release_all(&tags, &scenarios);
    assert!(scenarios.len() >= 17 * 9, "{}", scenarios.len());
}

#[test]
fn two_faults_at_any_calls_result_in_one_job() {
    let step = if is_full_torture() { 1 } else { 301 };
    let pairs = with_paused_clock(async {
        let mut pairs = Vec::new();
        for first in every_fault(&calls_of_release(&[LAB], &[]).await) {
            // The second fault can be at a request that the function sends only because of the first fault.
            let after = calls_of_release(&[LAB], &[first]).await;
            let position = after.iter().position(|index| *index == first.0).map_or(0, |at| at + 1);
            pairs.extend(every_fault(&after[position..]).into_iter().map(|second| vec![first, second]));
        }
        pairs
    });
    let scenarios: Vec<_> = pairs.into_iter().step_by(step).collect();
    let began = std::time::Instant::now();
    release_all(&[LAB], &scenarios);
    let per_second = scenarios.len() as u128 * 1000 / began.elapsed().as_millis().max(1);
    report(format_args!("{} pairs of faults: one job each; {per_second} scenarios a second", scenarios.len()));
    assert!(scenarios.len() >= 40, "{}", scenarios.len());
}

/// The outcome of an upload's release, with its reason.
async fn outcome(function: &Function, upload: &Upload) -> String {
    match invoke(function, &event(upload)).await {
        Ok(releases) => {
            let release = &releases[0];
            let reason = release["reason"].as_str().unwrap_or_default();
            format!("{} {reason}", release["outcome"].as_str().expect("an outcome")).trim().to_owned()
        }
        Err(failed) => format!("failed {failed}"),
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_at_the_same_time_result_in_one_job() {
    let seeds = if is_full_torture() { 200 } else { 3 };
    let mut deliveries = 0;
    for seed in 0..seeds {
        for number in [2, 4, 8, 16, 32] {
            let (fake, upload) = upload_image(&[LAB]);
            fake.set(|behavior| behavior.jitter_ms = 1000);
            fake.state().seed(seed);
            let function = function(&fake);
            let mut outcomes = join_all((0..number).map(|_| outcome(&function, &upload))).await;
            deliveries += number;
            outcomes.sort();
            assert_eq!(outcomes.pop().as_deref(), Some("created"), "{seed} {outcomes:?}");
            assert!(outcomes.iter().all(|outcome| outcome == "adopted"), "{seed} {outcomes:?}");
            assert_released_once(&fake, &upload, IMAGE).await;
        }
    }
    report(format_args!("{deliveries} deliveries in {} races: one job each race", seeds * 5));
}

/// A change to an upload during its release.
#[derive(Debug, Clone, Copy)]
enum Change {
    Overwritten,
    Deleted,
    Tagged,
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_changes_during_its_release_never_gets_a_mismatched_job() {
    let races = if is_full_torture() { 1000 } else { 60 };
    let (mut created, mut skipped) = (0, 0);
    for seed in 0..races {
        let change = [Change::Overwritten, Change::Deleted, Change::Tagged][usize::try_from(seed % 3).expect("small")];
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.jitter_ms = 500);
        fake.state().seed(seed);
        let function = function(&fake);
        let changing = async {
            tokio::time::sleep(Duration::from_millis(seed * 37 % 3500)).await;
            match change {
                Change::Overwritten => {
                    let newer = fake.upload("firmware/blinky.bin", NEWER_IMAGE, &[LAB]);
                    assert_eq!(outcome(&function, &newer).await, "created", "{seed}");
                }
                Change::Deleted => fake.delete("firmware/blinky.bin"),
                Change::Tagged => {
                    fake.set_tags(&upload, &[("ota:thing-group", "eu-west")]);
                    let outcome = outcome(&function, &upload).await;
                    assert!(outcome == "created" || outcome.starts_with("adopted"), "{seed} {outcome}");
                }
            }
        };
        let (first, ()) = tokio::join!(outcome(&function, &upload), changing);
        let jobs: Vec<Value> = fake.state().jobs.values().cloned().collect();
        for job in &jobs {
            assert_signature_matches(&fake, job).await;
        }
        match change {
            Change::Overwritten => {
                assert!(matches!(first.as_str(), "created" | "skipped superseded"), "{seed} {first}");
                assert_eq!(jobs.len(), 1 + usize::from(first == "created"), "{seed} {first}");
            }
            Change::Deleted => {
                assert!(matches!(first.as_str(), "created" | "skipped withdrawn"), "{seed} {first}");
                assert_eq!(jobs.len(), usize::from(first == "created"), "{seed} {first}");
            }
            Change::Tagged => assert_eq!(jobs.len(), 1, "{seed} {first}"),
        }
        created += usize::from(first == "created");
        skipped += usize::from(first.starts_with("skipped"));
    }
    report(format_args!(
        "{races} races with a change: {created} jobs of the first version, {skipped} versions skipped, no job mismatched"
    ));
    assert!(created > 0 && skipped > 0, "{created} {skipped}");
}

/// Asserts that the signature in a job is over the streamed bytes.
async fn assert_signature_matches(fake: &Fake, job: &Value) {
    let document = document(job);
    let file = &document["afr_ota"]["files"][0];
    let streamed = fake.streamed(document["afr_ota"]["streamname"].as_str().expect("a name")).await;
    assert_eq!(file["filesize"], streamed.len());
    assert!(fake.verifies(file["sig-sha256-ecdsa"].as_str().expect("a signature"), &streamed), "{job}");
}
