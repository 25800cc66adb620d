//! The steps of a release, and how long each took.

use std::{fmt, time::Duration};
use tokio::time::Instant;

/// A step of a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// What S3 knows of the upload.
    #[default]
    Inspect,
    /// What the release needs, and whether its job is there already.
    Preflight,
    /// The signature, and whether it verifies.
    Sign,
    /// The raw copy.
    Copy,
    /// What devices fetch the image from.
    Stream,
    /// The job, and its receipt.
    Job,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [Self::Inspect, Self::Preflight, Self::Sign, Self::Copy, Self::Stream, Self::Job];

    /// The step's word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Preflight => "preflight",
            Self::Sign => "sign",
            Self::Copy => "copy",
            Self::Stream => "stream",
            Self::Job => "job",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inspect => "inspecting the upload",
            Self::Preflight => "looking up targets and job",
            Self::Sign => "signing",
            Self::Copy => "copying the image",
            Self::Stream => "creating the stream",
            Self::Job => "creating the job",
        })
    }
}

/// How long each step took, and which was begun last.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    taken: [Option<Duration>; Step::ALL.len()],
    pub under_way: Step,
}

impl Steps {
    /// Does the work of a step, or a part of it, and notes how long it took.
    pub fn timed<'a, T>(&'a mut self, step: Step, work: impl Future<Output = T> + 'a) -> impl Future<Output = T> + 'a {
        self.under_way = step;
        // Boxed, as the state of all calls together is large.
        let work = Box::pin(work);
        async move {
            let started = Instant::now();
            let done = work.await;
            self.add(step, started.elapsed());
            done
        }
    }

    pub fn add(&mut self, step: Step, more: Duration) {
        let taken = &mut self.taken[step as usize];
        *taken = Some(taken.unwrap_or_default() + more);
    }

    /// How long a step took, if it was taken.
    pub fn taken(&self, step: Step) -> Option<Duration> {
        self.taken[step as usize]
    }
}
