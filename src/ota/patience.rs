//! Waits for an outcome until a deadline, although requests fail for a while.

use crate::output::warn;
use crate::problem::Problem;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The number of requests in a row that may fail, before the command fails.
const MAX_FAILURES: u32 = 10;

/// The time that a command may wait, and the requests that failed in a row.
#[derive(Debug)]
pub struct Patience {
    deadline: Option<Instant>,
    failures: u32,
}

impl Patience {
    /// Waits at most `time`, or without an end.
    pub fn new(time: Option<Duration>) -> Self {
        Self { deadline: time.map(|time| Instant::now() + time), failures: 0 }
    }

    /// Returns whether the time is over.
    pub fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Sleeps, at most until the deadline.
    pub async fn sleep(&self, pause: Duration) {
        let end = Instant::now() + pause;
        sleep_until(self.deadline.map_or(end, |deadline| deadline.min(end))).await;
    }

    /// Returns the response to a request. `None` if the request has failed for now, or the time is over.
    ///
    /// # Errors
    /// Fails if the request cannot succeed later, or too many have failed in a row.
    pub async fn ask<T>(&mut self, request: impl Future<Output = Result<T, Problem>>) -> Result<Option<T>, Problem> {
        let response = match self.deadline {
            // The first request has the time that it needs: `--timeout 0m` means one look.
            Some(deadline) if self.failures > 0 || deadline > Instant::now() => {
                match timeout_at(deadline, request).await {
                    Ok(response) => response,
                    Err(_) => return Ok(None),
                }
            }
            _ => request.await,
        };
        match response {
            Ok(response) => {
                self.failures = 0;
                Ok(Some(response))
            }
            Err(problem) if problem.is_temporary && self.failures < MAX_FAILURES => {
                if self.failures == 0 {
                    problem.messages.iter().for_each(|message| warn(format_args!("{message}; still waiting")));
                }
                self.failures += 1;
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn problem(is_temporary: bool) -> Problem {
        Problem { is_temporary, ..Problem::not_done("no") }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_may_fail_for_a_while() {
        let mut patience = Patience::new(None);
        for _ in 0..MAX_FAILURES {
            assert_eq!(patience.ask::<()>(async { Err(problem(true)) }).await, Ok(None));
        }
        assert_eq!(patience.ask(async { Ok(1) }).await, Ok(Some(1)));
        for _ in 0..MAX_FAILURES {
            assert_eq!(patience.ask::<()>(async { Err(problem(true)) }).await, Ok(None));
        }
        assert_eq!(patience.ask::<()>(async { Err(problem(true)) }).await, Err(problem(true)));
        assert_eq!(Patience::new(None).ask::<()>(async { Err(problem(false)) }).await, Err(problem(false)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_ends_at_the_deadline() {
        let start = Instant::now();
        let mut patience = Patience::new(Some(Duration::from_mins(1)));
        assert_eq!(patience.ask::<()>(pending()).await, Ok(None));
        assert!(patience.is_over());
        patience.sleep(Duration::from_mins(1)).await;
        assert_eq!(start.elapsed(), Duration::from_mins(1));
    }
}
