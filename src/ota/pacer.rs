//! Keeps requests to AWS IoT within the quota of 10 a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The time between the starts of two requests. Most operations of AWS IoT Jobs have a quota of 10 requests a second
/// (<https://docs.aws.amazon.com/general/latest/gr/iot_device_management.html>), which the account shares.
const PAUSE: Duration = Duration::from_millis(125);

/// Lets requests start one after another, each no sooner than [`PAUSE`] after the previous one.
#[derive(Debug)]
pub struct Pacer(Mutex<Instant>);

impl Pacer {
    /// A pacer whose first request may start at once.
    pub fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Waits until the next request may start.
    pub async fn turn(&self) {
        let at = {
            let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            *next = at + PAUSE;
            at
        };
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_than_ten_requests() {
        let (pacer, start) = (Pacer::new(), Instant::now());
        for _ in 0..81 {
            pacer.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        tokio::time::sleep(Duration::from_mins(1)).await;
        let start = Instant::now();
        for _ in 0..9 {
            pacer.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
