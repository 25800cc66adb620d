//! An event in, outcomes out: the steps of a release in their order, and what a failure means for the invocation.

use crate::{
    clients::Clients,
    error::{Failure, Skip, Stop},
    job,
    record::{Record, Traces},
    request::ReleaseRequest,
    schedule::Schedule,
    settings::Settings,
    signing::{self, Time},
    stream,
    upload::{self, Image, Tags, Upload},
};
use futures::{join, try_join};
use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout_at};

/// How long before Lambda would end the invocation it ends itself, so that the reason is told.
const MARGIN: Duration = Duration::from_secs(2);

/// The function: settings and clients, for one event after another.
#[derive(Debug)]
pub struct Function {
    settings: Settings,
    aws: Clients,
    clock: fn() -> Timestamp,
}

/// What an event came to: one release a record.
#[derive(Debug, Serialize)]
pub struct Releases {
    /// In the order of the event.
    pub releases: Vec<Release>,
}

/// What one record came to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// What the upload came to.
    pub outcome: Outcome,
    /// Why, where that needs a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The upload's bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The upload's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The upload's version ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The job's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The job's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_arn: Option<String>,
    /// The stream's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// The job's start in UTC, where it does not start at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// The job's end in UTC, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Every problem of a release that is rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What an upload can come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The job is new.
    Created,
    /// The job of this version was there already.
    Adopted,
    /// No release, by design.
    Skipped,
    /// The uploader must change the object or its tags.
    Rejected,
    /// Time or the operator must help; Lambda tries again.
    #[default]
    Failed,
}

/// At least one record of the event failed; the others are done.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvocationFailed(pub Vec<String>);

impl From<InvocationFailed> for Diagnostic {
    fn from(failed: InvocationFailed) -> Self {
        Self { error_type: "ReleaseFailed".to_owned(), error_message: failed.to_string() }
    }
}

impl Function {
    /// A function with these settings and clients.
    pub fn new(settings: Settings, aws: Clients) -> Self {
        Self { settings, aws, clock: Timestamp::now }
    }

    /// The same function by another clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// Works on every record of an event, whatever becomes of the others.
    ///
    /// # Errors
    /// The records that failed, once all are done: Lambda delivers the event again, and what is done is adopted.
    pub async fn handle(&self, event: &Value, deadline: SystemTime) -> Result<Releases, InvocationFailed> {
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let time = Time { started: (self.clock)(), deadline: Instant::now() + left.saturating_sub(MARGIN) };
        let mut releases = Vec::new();
        let mut failures = Vec::new();
        for record in upload::records(event) {
            let mut release = Release { bucket: record.bucket, key: record.key, ..Release::default() };
            let mut steps = Steps::default();
            let outcome = match record.upload {
                Ok(upload) => self.release_in_time(&upload, time, &mut release, &mut steps).await,
                Err(stop) => Err(stop),
            };
            release.conclude(outcome);
            release.log(&steps);
            if release.outcome == Outcome::Failed {
                let (key, reason) = (release.key.as_deref(), release.reason.as_deref());
                failures.push(format!("`{}`: {}", key.unwrap_or_default(), reason.unwrap_or_default()));
            }
            releases.push(release);
        }
        if failures.is_empty() { Ok(Releases { releases }) } else { Err(InvocationFailed(failures)) }
    }

    async fn release_in_time(
        &self,
        upload: &Upload,
        time: Time,
        release: &mut Release,
        steps: &mut Steps,
    ) -> Result<Outcome, Stop> {
        release.version_id = Some(upload.version_id.clone());
        // Boxed, as the state of all steps together is large.
        let done = timeout_at(time.deadline, Box::pin(self.release(upload, time, release, steps))).await;
        done.unwrap_or_else(|_| Err(Failure::OutOfTime { step: steps.under_way() }.into()))
    }

    /// The recipe. Each step can be taken again: what an earlier attempt left is found and used.
    async fn release(
        &self,
        upload: &Upload,
        time: Time,
        release: &mut Release,
        steps: &mut Steps,
    ) -> Result<Outcome, Stop> {
        let Self { settings, aws, clock } = self;
        upload.check_place(settings)?;

        let started = Instant::now();
        if !upload.has_version() {
            return Err(without_version(upload.tags(aws, settings).await?));
        }
        let (tags, image, current, traces) = join!(
            upload.tags(aws, settings),
            upload.image(aws, settings),
            upload.check_current(aws, settings),
            Traces::list(aws, settings, upload),
        );
        if upload.key.ends_with('/') && matches!(image, Ok(Some(Image { size: 0, .. }))) {
            return Err(Stop::Skipped(Skip::Folder));
        }
        let tags = tags?.ok_or(Stop::Skipped(Skip::Withdrawn))?;
        if tags.0.is_empty() {
            return Err(Stop::Skipped(Skip::NoTags));
        }
        let image = image?.ok_or(Stop::Skipped(Skip::Withdrawn))?;
        let traces = traces?;
        release.stream_id = Some(upload.stream_id());
        let recorded = if traces.has_record { Some(Record::read(aws, settings, upload).await?) } else { None };
        steps.inspect = Some(started.elapsed());
        if let Some(record) = recorded.as_ref().filter(|record| record.job_arn.is_some()) {
            return self.adopt_recorded(record, &tags, release).await;
        }
        current?;

        let request = self.check(&tags, &image, clock())?;
        let job_id = || request.job_id.as_ref().map_or_else(|| upload.default_job_id(), ToString::to_string);
        let is_recorded = recorded.is_some();
        let mut record = recorded.unwrap_or_else(|| Record::new(upload, job_id(), tags.clone()));
        release.job_id = Some(record.job_id.clone());
        let started = Instant::now();
        let existing = job::preflight(aws, settings, upload, &request, &record.job_id).await?;
        steps.preflight = Some(started.elapsed());
        if let Some(job) = existing {
            release.job_arn = Some(job.arn.clone());
            self.confirm(upload, record, job.arn, None).await?;
            return Ok(Outcome::Adopted);
        }

        let started = Instant::now();
        let claim = async { if is_recorded { Ok(record) } else { record.claim(aws, settings, upload).await } };
        let signed;
        (record, signed) =
            try_join!(claim, signing::sign(aws, settings, upload, &image, &request.signing_profile, &traces, time))?;
        steps.sign = Some(started.elapsed());
        release.job_id = Some(record.job_id.clone());
        if record.job_arn.is_some() {
            return self.adopt_recorded(&record, &tags, release).await;
        }

        let started = Instant::now();
        let copy = stream::copy(aws, settings, upload, &image, &signed).await?;
        steps.copy = Some(started.elapsed());

        let started = Instant::now();
        let (stream, current) =
            join!(stream::ensure(aws, settings, upload, &copy), upload.check_current(aws, settings));
        let stream = stream?;
        steps.stream = Some(started.elapsed());
        current?;

        let started = Instant::now();
        let document = job::document(upload, &signed, &stream).map_err(Failure::from)?;
        let job = job::ensure(aws, settings, upload, &request, (&record.job_id, &document), clock()).await?;
        release.job_arn = Some(job.arn.clone());
        let outcome = if job.created.is_some() { Outcome::Created } else { Outcome::Adopted };
        release.start_time = job.created.as_ref().and_then(Schedule::start_time);
        release.end_time = job.created.as_ref().and_then(Schedule::end_time);
        self.confirm(upload, record, job.arn, job.created).await?;
        steps.job = Some(started.elapsed());
        Ok(outcome)
    }

    /// Everything that can be known of a release before anything is created.
    fn check(&self, tags: &Tags, image: &Image, now: Timestamp) -> Result<ReleaseRequest, Stop> {
        let most = self.settings.max_image_bytes.0;
        let size = match image.size {
            0 => Some("the object is empty, expected a firmware image".to_owned()),
            size if size > most => Some(format!("the object has {size} bytes, expected at most {most}")),
            _ => None,
        };
        let request = match (ReleaseRequest::from_tags(tags, &self.settings, now), size) {
            (Ok(request), None) => request,
            (request, size) => {
                return Err(Stop::Rejected(request.err().into_iter().flatten().chain(size).collect()));
            }
        };
        for warning in request.warnings(now) {
            tracing::warn!("{warning}");
        }
        Ok(request)
    }

    /// The job of this version was made before: it is adopted, or was deleted by an operator and is never made again.
    async fn adopt_recorded(&self, record: &Record, tags: &Tags, release: &mut Release) -> Result<Outcome, Stop> {
        release.job_id = Some(record.job_id.clone());
        let job = job::find(&self.aws, &record.job_id).await?.ok_or(Stop::Skipped(Skip::JobDeleted))?;
        tracing::debug!(status = ?job.status, "the job is there");
        release.job_arn = Some(job.arn);
        release.start_time.clone_from(&record.start_time);
        release.end_time.clone_from(&record.end_time);
        if record.tags != *tags {
            release.reason = Some(
                "the tags have changed since the job was created; to release with these, cancel the job and upload \
                 again"
                    .to_owned(),
            );
        }
        Ok(Outcome::Adopted)
    }

    /// Puts the receipt: from now on the job is known to have been made.
    async fn confirm(
        &self,
        upload: &Upload,
        record: Record,
        job_arn: String,
        schedule: Option<Schedule>,
    ) -> Result<(), Failure> {
        let start_time = schedule.as_ref().and_then(Schedule::start_time);
        let end_time = schedule.as_ref().and_then(Schedule::end_time);
        let receipt = Record { job_arn: Some(job_arn), start_time, end_time, ..record };
        receipt.confirm(&self.aws, &self.settings, upload).await
    }
}

/// What becomes of an upload to a bucket that keeps no versions.
fn without_version(tags: Option<Tags>) -> Stop {
    match tags {
        Some(tags) if tags.0.is_empty() => Stop::Skipped(Skip::NoTags),
        _ => Stop::Rejected(vec![
            "the event has no version ID, expected an upload to a bucket with versioning enabled (AWS Signer signs \
             object versions only)"
                .to_owned(),
        ]),
    }
}

/// How long each step took.
#[derive(Debug, Default)]
struct Steps {
    inspect: Option<Duration>,
    preflight: Option<Duration>,
    sign: Option<Duration>,
    copy: Option<Duration>,
    stream: Option<Duration>,
    job: Option<Duration>,
}

impl Steps {
    /// The step that has not been finished.
    fn under_way(&self) -> &'static str {
        let steps = [
            (self.inspect, "inspecting the upload"),
            (self.preflight, "looking up targets and job"),
            (self.sign, "signing"),
            (self.copy, "copying the image"),
            (self.stream, "creating the stream"),
        ];
        steps.into_iter().find(|(taken, _)| taken.is_none()).map_or("creating the job", |(_, step)| step)
    }
}

impl Release {
    fn conclude(&mut self, outcome: Result<Outcome, Stop>) {
        self.outcome = match outcome {
            Ok(outcome) => outcome,
            Err(Stop::Skipped(skip)) => {
                self.reason = Some(skip.as_str().to_owned());
                Outcome::Skipped
            }
            Err(Stop::Rejected(reasons)) => {
                self.reasons = reasons;
                Outcome::Rejected
            }
            Err(Stop::Failed(failure)) => {
                self.reason = Some(failure.chain());
                Outcome::Failed
            }
        };
    }

    /// The final log line: one a record, with all that is known of it.
    fn log(&self, steps: &Steps) {
        let ms = |taken: Option<Duration>| taken.and_then(|taken| u64::try_from(taken.as_millis()).ok());
        let reasons = (!self.reasons.is_empty()).then(|| self.reasons.join("; "));
        let is_job = self.job_arn.is_some();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    outcome = self.outcome.as_str(),
                    reason = self.reason,
                    bucket = self.bucket,
                    key = self.key,
                    versionId = self.version_id,
                    jobId = self.job_id,
                    jobArn = self.job_arn,
                    streamId = self.stream_id,
                    // No signature is checked against its certificate yet.
                    verified = is_job.then_some(false),
                    reasons = reasons,
                    inspectMs = ms(steps.inspect),
                    preflightMs = ms(steps.preflight),
                    signMs = ms(steps.sign),
                    copyMs = ms(steps.copy),
                    streamMs = ms(steps.stream),
                    jobMs = ms(steps.job),
                )
            };
        }
        match self.outcome {
            Outcome::Rejected | Outcome::Failed => line!(error),
            // A job whose tags have changed, a version that is not current any more: somebody may wonder.
            Outcome::Adopted if self.reason.is_some() => line!(warn),
            Outcome::Skipped if matches!(self.reason.as_deref(), Some("superseded" | "withdrawn" | "job-deleted")) => {
                line!(warn);
            }
            Outcome::Created | Outcome::Adopted | Outcome::Skipped => line!(info),
        }
    }
}

impl Outcome {
    /// The outcome's word in results and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}
