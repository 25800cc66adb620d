//! The timer of the agent's requests.

use std::convert::Infallible;
use std::time::Instant;

use fugit_timer::{Timer, TimerDurationU32, TimerInstantU32};

/// A timer in milliseconds.
pub struct Clock {
    booted: Instant,
    end: Option<TimerInstantU32<1000>>,
}

impl Clock {
    /// A timer that is not started.
    pub fn new() -> Self {
        Self { booted: Instant::now(), end: None }
    }
}

impl Timer<1000> for Clock {
    type Error = Infallible;

    fn now(&mut self) -> TimerInstantU32<1000> {
        TimerInstantU32::from_ticks(u32::try_from(self.booted.elapsed().as_millis()).unwrap_or(u32::MAX))
    }

    fn start(&mut self, duration: TimerDurationU32<1000>) -> Result<(), Infallible> {
        self.end = Some(self.now() + duration);
        Ok(())
    }

    fn cancel(&mut self) -> Result<(), Infallible> {
        self.end = None;
        Ok(())
    }

    fn wait(&mut self) -> nb::Result<(), Infallible> {
        if self.end.is_some_and(|end| end <= self.now()) {
            self.end = None;
            Ok(())
        } else {
            Err(nb::Error::WouldBlock)
        }
    }
}
