//! An event in, outcomes out: the steps of a release in their order, and what a failure means for the invocation.

use crate::{
    clients::Clients,
    delivery::Delivery,
    dry_run,
    error::{Failure, Skip, Stop},
    given::{self, GivenSignature, Signable},
    job::{self, Job},
    outcome::{Outcome, Release, Releases, Steps, timed},
    record::{JobRecord, Traces},
    request::ReleaseRequest,
    settings::{DryRun, Settings},
    signing::{Invocation, Signing},
    stream,
    template::JobTemplate,
    upload::{self, Image, Record, Tags, Upload},
    verification::Verification,
};
use futures::{
    FutureExt,
    future::{OptionFuture, join, join_all, join3, join4, try_join3},
};
use jiff::Timestamp;
use lambda_runtime::Diagnostic;
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
        let deadline = Instant::now() + left.saturating_sub(MARGIN);
        let invocation = Invocation { started: (self.clock)(), deadline };
        let records = upload::records(event).into_iter();
        let releases = join_all(records.map(|record| self.work_on(record, invocation))).await;
        let failed = releases.iter().filter(|release| release.outcome == Outcome::Failed);
        let failures: Vec<_> = failed.map(Release::failure).collect();
        if failures.is_empty() { Ok(Releases { releases }) } else { Err(InvocationFailed(failures)) }
    }

    /// Works on one record to its end, which is logged.
    async fn work_on(&self, record: Record, invocation: Invocation) -> Release {
        let mut release = Release { bucket: record.bucket, key: record.key, ..Release::default() };
        release.version_id = record.upload.as_ref().ok().map(|upload| upload.version_id.clone());
        let mut steps = Steps::default();
        let outcome = match (record.upload, &self.settings.dry_run) {
            (Ok(upload), DryRun::Offline(tags)) => self.release_offline(&upload, record.size, tags, &mut release).await,
            (Ok(upload), _) => self.release_in_time(&upload, invocation, &mut release, &mut steps).await,
            (Err(stop), _) => Err(stop),
        };
        release.conclude(outcome);
        release.log(&steps);
        release
    }

    async fn release_in_time(
        &self,
        upload: &Upload,
        invocation: Invocation,
        release: &mut Release,
        steps: &mut Steps,
    ) -> Result<Outcome, Stop> {
        let done = timeout_at(invocation.deadline, self.release(upload, invocation, release, steps)).await;
        done.unwrap_or_else(|_| Err(Failure::OutOfTime { step: steps.under_way() }.into()))
    }

    /// A dry run that calls AWS for nothing: what the event and the settings tell is all that is known.
    async fn release_offline(
        &self,
        upload: &Upload,
        size: Option<u64>,
        tags: &Tags,
        release: &mut Release,
    ) -> Result<Outcome, Stop> {
        upload.check_place(&self.settings)?;
        if upload.key.ends_with('/') && size == Some(0) {
            return Err(Stop::Skipped(Skip::Folder));
        }
        if !upload.has_version() {
            return Err(without_version(Some(tags.clone())));
        }
        if tags.0.is_empty() {
            return Err(Stop::Skipped(Skip::NoTags));
        }
        let now = (self.clock)();
        let mut request = self.check(upload, tags, size, None, now)?;
        if let Some(template) = request.job_template {
            release.reason = Some(format!(
                "the job template `{template}` is unresolved, as AWS is called for nothing: `createJob` is without what it \
                 says"
            ));
            request = self.check(upload, tags, size, Some(&JobTemplate::default()), now)?;
        }
        warn(upload, request.warnings(now));
        self.rehearse(upload, &request, &request.job_id(upload), (size, None), release).await
    }

    /// Tells the requests of a release, and makes none.
    async fn rehearse(
        &self,
        upload: &Upload,
        request: &ReleaseRequest,
        job_id: &str,
        (size, given): (Option<u64>, Option<&GivenSignature>),
        release: &mut Release,
    ) -> Result<Outcome, Stop> {
        let Self { settings, aws, clock } = self;
        let requests = dry_run::requests(aws, settings, upload, request, job_id, (size, given), clock()).await?;
        release.job_id = Some(job_id.to_owned());
        release.stream_id = request.protocols.has_mqtt().then(|| upload.stream_id());
        let time = |member: &str| requests.create_job["schedulingConfig"][member].as_str().map(str::to_owned);
        (release.start_time, release.end_time) = (time("startTime"), time("endTime"));
        release.start_signing_job = requests.start_signing_job;
        release.create_stream = requests.create_stream;
        release.create_job = Some(requests.create_job);
        Ok(Outcome::DryRun)
    }

    /// The recipe. Each step can be taken again: what an earlier attempt left is found and used.
    async fn release(
        &self,
        upload: &Upload,
        invocation: Invocation,
        release: &mut Release,
        steps: &mut Steps,
    ) -> Result<Outcome, Stop> {
        let Self { settings, aws, clock } = self;
        upload.check_place(settings)?;
        if !upload.has_version() {
            return Err(without_version(upload.tags(aws, settings).await?));
        }
        let inspect = join4(
            upload.tags(aws, settings),
            upload.image(aws, settings),
            upload.check_current(aws, settings),
            Traces::list(aws, settings, upload),
        );
        let (tags, image, current, traces) = timed(&mut steps.inspect, inspect).await;
        if upload.key.ends_with('/') && matches!(image, Ok(Some(Image { size: 0, .. }))) {
            return Err(Stop::Skipped(Skip::Folder));
        }
        let tags = tags?.ok_or(Stop::Skipped(Skip::Withdrawn))?;
        if tags.0.is_empty() {
            return Err(Stop::Skipped(Skip::NoTags));
        }
        let image = image?.ok_or(Stop::Skipped(Skip::Withdrawn))?;
        let traces = traces?;

        // What happened to a job that exists is past: neither bad tags nor a newer version matter any more.
        let recorded = if traces.has_record { Some(JobRecord::read(aws, settings, upload).await?) } else { None };
        if let Some(record) = &recorded
            && let Some(outcome) = self.adopt_recorded(upload, record, &tags, release).await?
        {
            return Ok(outcome);
        }
        current?;
        let now = clock();
        let asked = self.check(upload, &tags, Some(image.size), None, now)?;
        let is_recorded = recorded.is_some();
        let mut record = recorded.unwrap_or_else(|| JobRecord::new(upload, asked.job_id(upload), tags.clone()));
        let preflight = join3(
            job::preflight(aws, settings, upload, &asked, &record.job_id),
            given::preflight(aws, settings, upload, &image, &asked.signed_by),
            self.describe_template(&asked, &tags),
        );
        let (job, signable, template) = timed(&mut steps.preflight, preflight).await;
        if let Some(job) = job? {
            return self.adopt(upload, record, job, &tags, release).await;
        }
        let request = template.and_then(|template| match template {
            Some(template) => self.check(upload, &tags, Some(image.size), Some(&template), now),
            None => Ok(asked.clone()),
        });
        let (request, signable) = both(request, signable)?;
        if let Some(origins) = request.origins(&tags) {
            tracing::info!(key = upload.key, "{origins}");
        }
        warn(upload, request.warnings(now));
        if settings.dry_run != DryRun::Off {
            let known = (Some(image.size), signable.given());
            return self.rehearse(upload, &request, &record.job_id, known, release).await;
        }

        let claim = async { if is_recorded { Ok(record) } else { record.claim(aws, settings, upload).await } };
        let verification = settings.verify_signatures.0.then(|| Verification::new(aws, settings, upload, &image));
        let verification = verification.as_ref();
        let image = &image;
        let sign = async {
            match signable {
                Signable::By(profile) => {
                    let signing = Signing { aws, settings, upload, image, profile, verification };
                    signing.sign(&traces, invocation).await
                }
                Signable::Given(given) => given.over(settings, upload, image, verification).await,
            }
        };
        let digests = OptionFuture::from(verification.map(Verification::digests)).map(Option::transpose);
        let sign = join(try_join3(claim, sign, digests), job::of_earlier(aws, settings, upload));
        let (signed, earlier_jobs) = timed(&mut steps.sign, sign).await;
        let (claimed, signed, digests) = signed?;
        record = claimed;
        release.job_id = Some(record.job_id.clone());
        if record.job_arn.is_some()
            && let Some(outcome) = self.adopt_recorded(upload, &record, &tags, release).await?
        {
            return Ok(outcome);
        }

        let copy = timed(&mut steps.copy, stream::copy(aws, settings, upload, image, &signed, digests)).await?;
        let deliver = Delivery::ensure(aws, settings, upload, request.protocols, &copy);
        let (delivery, current) = timed(&mut steps.stream, join(deliver, upload.check_current(aws, settings))).await;
        let delivery = delivery?;
        release.stream_id = delivery.stream().map(|stream| stream.id.clone());
        current?;

        release.verified = Some(signed.verified_until.is_some());
        warn(upload, signed.verified_until.and_then(|until| request.outlives(until, clock())));
        let document = job::document(upload, &request, &signed, &delivery).map_err(Failure::from)?;
        let ensure = job::ensure(aws, settings, upload, &request, (&record.job_id, document), clock());
        let (job, is_new) = timed(&mut steps.job, ensure).await?;
        if !is_new {
            return self.adopt(upload, record, job, &tags, release).await;
        }
        release.tell(&job);
        warn(upload, earlier_jobs);
        job.receipt(JobRecord { tags, verified: release.verified, ..record }).confirm(aws, settings, upload).await?;
        Ok(Outcome::Created)
    }

    /// The job template that a release asks for.
    async fn describe_template(&self, asked: &ReleaseRequest, tags: &Tags) -> Result<Option<JobTemplate>, Stop> {
        let Some(template) = &asked.job_template else { return Ok(None) };
        let missing = |failure| asked.without_template(tags, failure);
        JobTemplate::describe(&self.aws, template, missing).await.map(Some)
    }

    /// Adopts the job that the record of this version speaks of. One that was made and is gone was deleted by an
    /// operator: it is never made again. Nothing where an attempt died before it made the job.
    async fn adopt_recorded(
        &self,
        upload: &Upload,
        record: &JobRecord,
        tags: &Tags,
        release: &mut Release,
    ) -> Result<Option<Outcome>, Stop> {
        release.job_id = Some(record.job_id.clone());
        let job = match record.job_arn {
            Some(_) => {
                let job = job::find(&self.aws, &record.job_id).await?.ok_or(Stop::Skipped(Skip::JobDeleted))?;
                Some(Job { stream_id: record.stream_id.clone(), ..job })
            }
            None => job::find_own(&self.aws, &self.settings, upload, &record.job_id).await?,
        };
        match job {
            Some(job) => self.adopt(upload, record.clone(), job, tags, release).await.map(Some),
            None => Ok(None),
        }
    }

    /// The job of this version is there already: it is told, and its receipt put where there is none.
    async fn adopt(
        &self,
        upload: &Upload,
        record: JobRecord,
        job: Job,
        tags: &Tags,
        release: &mut Release,
    ) -> Result<Outcome, Stop> {
        release.job_id = Some(record.job_id.clone());
        release.tell(&job);
        release.verified = release.verified.or(record.verified);
        if record.tags != *tags {
            release.reason = Some(
                "the tags have changed since the job was created; to release with these, cancel the job and upload \
                 again"
                    .to_owned(),
            );
        }
        if record.job_arn.is_none() && self.settings.dry_run == DryRun::Off {
            job.receipt(record).confirm(&self.aws, &self.settings, upload).await?;
        }
        Ok(Outcome::Adopted)
    }

    /// Everything that can be known of a release before anything is created, and before its job template is looked up
    /// or, with one, after that.
    fn check(
        &self,
        upload: &Upload,
        tags: &Tags,
        size: Option<u64>,
        template: Option<&JobTemplate>,
        now: Timestamp,
    ) -> Result<ReleaseRequest, Stop> {
        let most = self.settings.max_image_bytes.0;
        let object = match size {
            _ if upload.file_name().is_empty() => Some("the key ends in `/`, expected a file name".to_owned()),
            Some(0) => Some("the object is empty, expected a firmware image".to_owned()),
            Some(size) if size > most => Some(format!("the object has {size} bytes, expected at most {most}")),
            _ => None,
        };
        let request = match template {
            None => ReleaseRequest::from_tags(tags, &self.settings, now),
            Some(template) => ReleaseRequest::from_tags_over(tags, template, &self.settings, now),
        };
        match (request, object) {
            (Ok(request), None) => Ok(request),
            (request, object) => Err(Stop::Rejected(request.err().into_iter().flatten().chain(object).collect())),
        }
    }
}

/// What both come to, with the reasons of both where both are rejected.
fn both<A, B>(one: Result<A, Stop>, other: Result<B, Stop>) -> Result<(A, B), Stop> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(Stop::Rejected(one)), Err(Stop::Rejected(other))) => Err(Stop::Rejected([one, other].concat())),
        (Err(stop), _) | (_, Err(stop)) => Err(stop),
    }
}

/// Tells what is allowed but hardly meant.
fn warn(upload: &Upload, warnings: impl IntoIterator<Item = String>) {
    for warning in warnings {
        tracing::warn!(key = upload.key, "{warning}");
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
