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
        (Instant::now() + pause < self.deadline).then_some(pause)
    }

    /// Sleeps for the next pause. Returns `false` at once if the pause would end at the deadline or after it.
    pub async fn pause(&mut self) -> bool {
        let Some(pause) = self.next() else { return false };
        sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
