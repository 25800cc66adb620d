//! The progress of a release: its step, the duration of each step, and the known facts of its job.

use serde::Serialize;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// A step of a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// Reads the upload from S3.
    #[default]
    Inspect,
    /// Looks up the job, and everything else that the release needs.
    Preflight,
    /// Signs the image, and verifies the signature.
    Sign,
    /// Creates the raw copy.
    Copy,
    /// Creates the stream.
    Stream,
    /// Creates the job and its receipt.
    Job,
}

impl Step {
    /// All steps in their order.
    pub const ALL: [Self; 6] = [Self::Inspect, Self::Preflight, Self::Sign, Self::Copy, Self::Stream, Self::Job];

    /// The step's name in metrics.
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

/// The known facts of the job of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobReport {
    /// The job's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The job's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_arn: Option<String>,
    /// The stream's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// The job's start in UTC; `None` if the job starts at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// The job's end in UTC; `None` if the job has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// `true` if the signature that the job offers to devices was verified. `None` if that is unknown.
    #[serde(skip)]
    pub verified: Option<bool>,
}

/// The progress of one release over all its attempts within an invocation.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    durations: [Option<Duration>; Step::ALL.len()],
    /// The step that began last.
    pub step: Step,
    /// The facts of the job that a failure reports.
    pub job: JobReport,
}

impl Progress {
    /// Runs a step or a part of a step, and adds the duration to the total of the step.
    pub fn time<'a, T>(&'a mut self, step: Step, work: impl Future<Output = T> + 'a) -> impl Future<Output = T> + 'a {
        self.step = step;
        // Boxed, because the futures of all calls together are large.
        let work = Box::pin(work);
        async move {
            let started = Instant::now();
            let done = work.await;
            self.add(step, started.elapsed());
            done
        }
    }

    pub fn add(&mut self, step: Step, more: Duration) {
        let duration = &mut self.durations[step as usize];
        *duration = Some(duration.unwrap_or_default() + more);
    }

    /// The duration of a step. `None` if no part of it has finished.
    pub fn duration(&self, step: Step) -> Option<Duration> {
        self.durations[step as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn a_step_is_current_from_its_start_and_the_durations_of_its_parts_add_up() {
        let mut progress = Progress::default();
        let mut steps = Vec::new();
        for step in Step::ALL.into_iter().chain([Step::Copy]) {
            progress.time(step, sleep(Duration::from_millis(20))).await;
            steps.push(progress.step.to_string());
        }
        assert_eq!(
            steps,
            [
                "inspecting the upload",
                "looking up targets and job",
                "signing",
                "copying the image",
                "creating the stream",
                "creating the job",
                "copying the image"
            ]
        );
        assert_eq!(Step::ALL.map(|step| progress.duration(step).unwrap().as_millis()), [20, 20, 20, 40, 20, 20]);
        drop(progress.time(Step::Sign, std::future::pending::<()>()));
        assert_eq!((progress.step, progress.duration(Step::Sign)), (Step::Sign, Some(Duration::from_millis(20))));
    }
}
