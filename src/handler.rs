//! Handles an event: releases each record, and returns the result of the invocation.

use crate::clients::Clients;
use crate::delivery::stream;
use crate::dry_run;
use crate::error::Failure;
use crate::event::envelope;
use crate::event::place;
use crate::event::record::Record;
use crate::event::scheduled::Scheduled;
use crate::metrics::Metrics;
use crate::not_released::NotReleased;
use crate::outcome::{Outcome, Release, Releases};
use crate::progress::Progress;
use crate::release::release;
use crate::s3::bucket;
use crate::scope::Scope;
use crate::settings::Settings;
use crate::settings::values::DryRun;
use crate::upload::Upload;
use futures::StreamExt;
use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Margin before Lambda's time-out, so that the failure is still reported.
const MARGIN: Duration = Duration::from_secs(2);

/// The maximum number of records that are processed at the same time. It bounds the memory of an event with many
/// records.
const MAX_CONCURRENT: usize = 4;

/// The function, with the settings and clients that all events share.
#[derive(Debug)]
pub struct Function {
    settings: Settings,
    aws: Clients,
    clock: fn() -> Timestamp,
    metrics: Option<Metrics>,
}

/// The error of an invocation: the messages of its failed records, or of its failed scheduled task. All other records
/// of the event are done.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvocationFailed(pub Vec<String>);

impl From<InvocationFailed> for Diagnostic {
    fn from(failed: InvocationFailed) -> Self {
        Self { error_type: "ReleaseFailed".to_owned(), error_message: failed.to_string() }
    }
}

impl Function {
    /// Creates a function with these settings and clients.
    pub fn new(settings: Settings, aws: Clients) -> Self {
        Self { settings, aws, clock: Timestamp::now, metrics: None }
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// Enables metrics, which are written to standard output under the name of the Lambda function.
    #[must_use]
    pub fn with_metrics(self, function_name: String) -> Self {
        Self { metrics: Some(Metrics { function_name }), ..self }
    }

    /// Releases the uploads of all records of an event, which is JSON. A failed record does not stop the others.
    ///
    /// # Errors
    /// Fails with the messages of all failed records, once every record is done. Lambda retries the event, and the next
    /// attempt adopts the jobs that exist.
    pub async fn handle(&self, event: &str, deadline: SystemTime) -> Result<Releases, InvocationFailed> {
        let time_left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let deadline = Instant::now() + time_left.saturating_sub(MARGIN);
        let started = (self.clock)();
        if let Some(task) = Scheduled::parse(event) {
            return self.run_scheduled(task).await.map_err(|failure| {
                tracing::error!("{}", failure.chain());
                InvocationFailed(vec![failure.chain()])
            });
        }
        let records = envelope::records(event, self.settings.failure_queue.as_ref().map(|queue| queue.0.as_str()));
        let records = records.into_iter().enumerate();
        let processing = records.map(async |(index, record)| (index, self.process(record, started, deadline).await));
        // Unordered: otherwise, a slow record would delay the start of later ones.
        let mut results: Vec<_> = futures::stream::iter(processing).buffer_unordered(MAX_CONCURRENT).collect().await;
        results.sort_by_key(|(index, _)| *index);
        let releases: Vec<_> = results.into_iter().filter_map(|(_, release)| release).collect();
        let failures: Vec<_> = releases.iter().filter_map(Release::failure).collect();
        if failures.is_empty() { Ok(Releases { releases }) } else { Err(InvocationFailed(failures)) }
    }

    /// Runs a scheduled task of the stack, and reports its metric. Does nothing in an offline dry run.
    async fn run_scheduled(&self, task: Scheduled) -> Result<Releases, Failure> {
        let Self { settings, aws, clock, .. } = self;
        if let (Some(metrics), DryRun::Off | DryRun::WithLookups) = (&self.metrics, &settings.dry_run) {
            match task {
                Scheduled::CountStreams => metrics.report_streams(stream::count(aws).await?, clock()),
                Scheduled::CheckBucket(statements) => {
                    let problems = Box::pin(bucket::problems(aws, settings, &statements)).await?;
                    for problem in &problems {
                        let bucket = &settings.upload_bucket;
                        tracing::error!(bucket, "the bucket {problem}; run `make attach` to see what is missing");
                    }
                    metrics.report_bucket(!problems.is_empty(), clock());
                }
            }
        }
        Ok(Releases { releases: Vec::new() })
    }

    /// Processes one record, and logs its outcome. `None` if the record is an unreadable message of the failure queue:
    /// it is logged, counted and removed.
    async fn process(&self, record: Record, started: Timestamp, deadline: Instant) -> Option<Release> {
        if let (Some(message), Err(NotReleased::Failed(failure))) = (&record.consumed, &record.upload) {
            tracing::error!(
                bucket = record.bucket,
                key = record.key,
                beginning = (!message.is_empty()).then_some(message),
                "a message was removed from the failure queue because the function cannot read it: {}",
                failure.chain()
            );
            if let Some(metrics) = &self.metrics {
                metrics.report_unreadable((self.clock)());
            }
            return None;
        }
        let Record { bucket, key, size, is_copy, upload, .. } = record;
        let version_id = upload.as_ref().ok().map(|upload| upload.version_id.clone());
        let mut progress = Progress::default();
        let outcome = match upload {
            Ok(upload) => self.release(&upload, (size, is_copy), (started, deadline), &mut progress).await,
            Err(error) => Err(error),
        };
        let outcome = outcome.unwrap_or_else(|error| Outcome::not_released(error, std::mem::take(&mut progress.job)));
        let release = Release { bucket, key, version_id, outcome };
        release.log(&progress);
        if let Some(metrics) = &self.metrics {
            metrics.report(&release, &progress, (self.clock)());
        }
        Some(release)
    }

    async fn release(
        &self,
        upload: &Upload,
        (size, is_copy): (Option<u64>, bool),
        (started, deadline): (Timestamp, Instant),
        progress: &mut Progress,
    ) -> Result<Outcome, NotReleased> {
        let Self { settings, aws, clock, .. } = self;
        place::check(upload, settings)?;
        let scope = Scope { aws, settings, upload, clock: *clock, started, deadline };
        match &settings.dry_run {
            DryRun::Offline(header, manifest) => dry_run::offline(scope, size, header, manifest.as_deref()).await,
            DryRun::Off | DryRun::WithLookups => Box::pin(release(scope, is_copy, progress)).await,
        }
    }
}
