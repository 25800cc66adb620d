//! Pauses between throttled requests, and between checks of running work.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pauses that double up to a maximum, until a deadline.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    max: Duration,
    deadline: Instant,
}

impl Backoff {
    /// Starts with the pause `first`, and doubles it up to `max`.
    pub fn new(first: Duration, max: Duration, deadline: Instant) -> Self {
        Self { pause: first, max, deadline }
    }

    /// The next pause. `None` if it would end at the deadline or after it.
    pub fn next(&mut self) -> Option<Duration> {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.max);
        ends_before(self.deadline, pause)
    }

    /// Sleeps for the next pause. Returns `false` at once if the pause would end at the deadline or after it.
    pub async fn pause(&mut self) -> bool {
        let Some(pause) = self.next() else { return false };
        sleep(pause).await;
        true
    }
}

/// The shortest and the longest pause between two checks. With requests of 50 ms, three releases at the same time send 6
/// checks a second at first.
const MIN_PAUSE: Duration = Duration::from_millis(450);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// A pause is the time since the first check, divided by this number.
const AGE_DIVISOR: u32 = 8;

/// Pauses between checks of running work, until a deadline. The pauses grow with the age of the work: waiting adds
/// little to short work, and sends few requests for long work. The shortest pause doubles after each throttled check.
/// The SDK's own retries of such a check add jitter.
#[derive(Debug)]
pub(crate) struct Polling {
    started: Instant,
    min: Duration,
    deadline: Instant,
}

impl Polling {
    /// Starts with the first check, now.
    pub fn new(deadline: Instant) -> Self {
        Self { started: Instant::now(), min: MIN_PAUSE, deadline }
    }

    /// Sleeps until the next check. Returns `false` at once if the pause would end at the deadline or after it.
    pub async fn pause(&mut self, is_throttled: bool) -> bool {
        if is_throttled {
            self.min = (self.min * 2).min(MAX_PAUSE);
        }
        let pause = (self.started.elapsed() / AGE_DIVISOR).clamp(self.min, MAX_PAUSE);
        let Some(pause) = ends_before(self.deadline, pause) else { return false };
        sleep(pause).await;
        true
    }
}

/// The pause. `None` if it would end at the deadline or after it.
fn ends_before(deadline: Instant, pause: Duration) -> Option<Duration> {
    (Instant::now() + pause < deadline).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of checks of work of this duration, and the time that waiting adds.
    async fn poll(work: Duration) -> (usize, Duration) {
        let started = Instant::now();
        let mut polling = Polling::new(started + Duration::from_mins(2));
        let mut checks = 1;
        while started.elapsed() < work {
            assert!(polling.pause(false).await, "{work:?}");
            checks += 1;
        }
        (checks, started.elapsed().saturating_sub(work))
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_adds_at_most_450_ms_to_short_work_in_few_checks() {
        for work in (50..=3000).step_by(50).map(Duration::from_millis) {
            let (checks, added) = poll(work).await;
            assert!(added <= Duration::from_millis(450), "{work:?}: {added:?}");
            assert!(checks <= 2 + usize::try_from(work.as_millis() / 450).expect("small"), "{work:?}: {checks}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_adds_an_eighth_to_long_work_and_4_s_at_most() {
        for (seconds, max_added, expected_checks) in [(10, 1250, 18), (30, 3750, 28), (60, 4000, 35), (100, 4000, 45)] {
            let (checks, added) = poll(Duration::from_secs(seconds)).await;
            assert!(added <= Duration::from_millis(max_added), "{seconds} s: {added:?}");
            assert!(checks.abs_diff(expected_checks) <= 1, "{seconds} s: {checks}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_checks_double_the_pauses_for_good() {
        let started = Instant::now();
        let mut polling = Polling::new(started + Duration::from_secs(30));
        let mut ends = Vec::new();
        for is_throttled in [false, true, true, false, true, true, true] {
            assert!(polling.pause(is_throttled).await);
            ends.push(started.elapsed().as_millis());
        }
        assert_eq!(ends, [450, 1350, 3150, 4950, 8550, 12550, 16550]);
    }

    #[tokio::test(start_paused = true)]
    async fn checks_end_before_the_deadline() {
        let mut polling = Polling::new(Instant::now() + Duration::from_millis(1200));
        assert!(polling.pause(false).await && polling.pause(false).await);
        assert!(!polling.pause(false).await);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_maximum_and_end_before_the_deadline() {
        let started = Instant::now();
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(4), started + seconds(16));
        let mut ends = Vec::new();
        while backoff.pause().await {
            ends.push(started.elapsed().as_secs());
        }
        assert_eq!(ends, [1, 3, 7, 11, 15]);
    }
}
