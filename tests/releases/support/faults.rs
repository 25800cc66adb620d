//! Releases with faults, as Lambda delivers them.

use super::{CallIndex, FAULTS, Fake, Fault, Upload, event, run};
use std::io::Write;
use std::time::Duration;
use std::{env, fmt, io};
use tokio::runtime;
use tokio::time::Instant;

/// The number of times that Lambda delivers an event to a function that fails.
const ATTEMPTS: usize = 3;

/// Returns whether `TORTURE=full` is set, so that every case runs instead of a selection.
pub fn is_full_torture() -> bool {
    env::var("TORTURE").is_ok_and(|torture| torture == "full")
}

/// Prints a line even if the test passes: libtest captures `println!` only.
pub fn report(text: fmt::Arguments) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Delivers an event as Lambda does. Returns the number of attempts.
pub async fn deliver(fake: &Fake, upload: &Upload, scenario: &impl fmt::Debug) -> usize {
    let mut failures = Vec::new();
    while failures.len() < ATTEMPTS {
        let began = Instant::now();
        let result = run(fake, &event(upload)).await;
        assert!(began.elapsed() <= Duration::from_secs(118), "{scenario:?}: ended after {:?}", began.elapsed());
        match result {
            Err(failure) => failures.push(failure),
            Ok(releases) => {
                let outcome = releases[0]["outcome"].as_str().expect("an outcome");
                assert!(matches!(outcome, "created" | "adopted"), "{scenario:?}: {releases:?}, after {failures:?}");
                return failures.len() + 1;
            }
        }
    }
    panic!("{scenario:?}: {failures:?}");
}

/// Every fault at each of these requests.
pub fn every_fault(indices: &[CallIndex]) -> Vec<(CallIndex, Fault)> {
    indices.iter().flat_map(|index| FAULTS.map(|fault| (*index, fault))).collect()
}

/// Runs to the end on a clock that only waiting advances.
pub fn with_paused_clock<T>(work: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}
