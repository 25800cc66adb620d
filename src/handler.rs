//! An event in, outcomes out: the steps of a release in their order, and what a failure means for the invocation.

use crate::s3::manifest;
use crate::{
    clients::Clients,
    delivery::delivery::Delivery,
    delivery::raw_copy::{self},
    delivery::stream::{self},
    dry_run::{self, KnownFile},
    error::Failure,
    event::{envelope, record::Record, scheduled::Scheduled},
    job::create::{self},
    job::device_limits::{self},
    job::document::{self},
    job::earlier_versions::{self},
    job::existing::{self, Job, JobId},
    job::lookup::{self},
    metrics::Metrics,
    not_released::{NotReleased, RejectionKind, SkipReason, combine},
    options::job_config::JobConfig,
    outcome::{Outcome, Release, Releases},
    progress::{Step, Steps},
    request::file::FileRequest,
    request::file_kind::{self, is_manifest},
    request::manifest::Manifest,
    request::release_request::{Inputs, ReleaseRequest},
    s3::attempts::{EarlierAttempts, record_key},
    s3::bucket::{self},
    s3::digests::Digests,
    s3::object::{Image, StoredObject},
    s3::record::{FROM_RECORD, JobRecord},
    s3::unchanged::{self},
    settings::Settings,
    settings::values::DryRun,
    signing::provided::{self, SignatureSource},
    signing::sign::{Invocation, SignedImage, Signing},
    signing::verification::Verification,
    tags::{TagHeader, Tags},
    upload::{Upload, hex},
};
use futures::{
    StreamExt, TryStreamExt,
    future::{join, join4, try_join, try_join_all},
};
use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep, timeout_at};

/// How long before Lambda would end the invocation it ends itself, so that the reason is told.
const MARGIN: Duration = Duration::from_secs(2);

/// The records of an event that are worked on at the same time, so that memory does not depend on their number.
const RECORDS_AT_ONCE: usize = 4;

/// How many files of a manifest are signed at the same time: Signer takes 3 starts a second of a whole account
/// (<https://docs.aws.amazon.com/general/latest/gr/signer.html>).
const SIGNED_AT_ONCE: usize = 3;

/// The first pause before a release goes on that AWS has throttled; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// The function: settings and clients, for one event after another.
#[derive(Debug)]
pub struct Function {
    settings: Settings,
    aws: Clients,
    clock: fn() -> Timestamp,
    metrics: Option<Metrics>,
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
        Self { settings, aws, clock: Timestamp::now, metrics: None }
    }

    /// The same function by another clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// The same function, which writes metrics to standard output under the name that Lambda has for it.
    #[must_use]
    pub fn with_metrics(self, function_name: String) -> Self {
        Self { metrics: Some(Metrics { function_name }), ..self }
    }

    /// Works on every record of an event, which is JSON. A record that fails stops no other.
    ///
    /// # Errors
    /// The records that failed, once all are done: Lambda retries the event, and what is done is adopted.
    pub async fn handle(&self, event: &str, deadline: SystemTime) -> Result<Releases, InvocationFailed> {
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let deadline = Instant::now() + left.saturating_sub(MARGIN);
        let invocation = Invocation { started: (self.clock)(), deadline };
        if let Some(task) = Scheduled::of(event) {
            return self.do_scheduled(task).await.map_err(|failure| {
                tracing::error!("{}", failure.chain());
                InvocationFailed(vec![failure.chain()])
            });
        }
        let records = envelope::records(event, self.settings.failure_queue.as_ref().map(|queue| queue.0.as_str()));
        let work =
            records.into_iter().enumerate().map(async |(at, record)| (at, self.work_on(record, invocation).await));
        let mut releases: Vec<_> = futures::stream::iter(work).buffer_unordered(RECORDS_AT_ONCE).collect().await;
        releases.sort_by_key(|(at, _)| *at);
        let releases: Vec<_> = releases.into_iter().filter_map(|(_, release)| release).collect();
        let failed = releases.iter().filter(|release| release.outcome == Outcome::Failed);
        let failures: Vec<_> = failed.map(Release::failure).collect();
        if failures.is_empty() { Ok(Releases { releases }) } else { Err(InvocationFailed(failures)) }
    }

    /// Reports what a schedule of the stack asks for; in a dry run without AWS, nothing.
    async fn do_scheduled(&self, task: Scheduled) -> Result<Releases, Failure> {
        let Self { settings, aws, clock, .. } = self;
        if let (Some(metrics), DryRun::Off | DryRun::OfRealTags) = (&self.metrics, &settings.dry_run) {
            match task {
                Scheduled::CountStreams => metrics.tell_streams(stream::count(aws).await?, clock()),
                Scheduled::CheckBucket(statements) => {
                    let problems = Box::pin(bucket::problems(aws, settings, &statements)).await?;
                    for problem in &problems {
                        let bucket = &settings.upload_bucket.0;
                        tracing::error!(bucket, "the bucket {problem}, expected the configuration of `make attach`");
                    }
                    metrics.tell_bucket(!problems.is_empty(), clock());
                }
            }
        }
        Ok(Releases { releases: Vec::new() })
    }

    /// Works on one record to its end, which is logged. A record that is consumed unread is logged and counted, and no
    /// release.
    async fn work_on(&self, record: Record, invocation: Invocation) -> Option<Release> {
        if let (Some(message), Err(NotReleased::Failed(failure))) = (&record.consumed, &record.upload) {
            tracing::error!(
                bucket = record.bucket,
                key = record.key,
                beginning = (!message.is_empty()).then_some(message),
                "a message of the failure queue is consumed unread: {}",
                failure.chain()
            );
            if let Some(metrics) = &self.metrics {
                metrics.tell_unreadable((self.clock)());
            }
            return None;
        }
        let mut release = Release { bucket: record.bucket, key: record.key, ..Release::default() };
        release.version_id = record.upload.as_ref().ok().map(|upload| upload.version_id.clone());
        let is_copy = record.is_copy;
        let mut steps = Steps::default();
        let outcome = match (record.upload, &self.settings.dry_run) {
            (Ok(upload), DryRun::Offline(header, manifest)) => {
                self.release_offline(&upload, record.size, (header, manifest.as_deref()), &mut release).await
            }
            (Ok(upload), _) => self.release_in_time((&upload, is_copy), invocation, &mut release, &mut steps).await,
            (Err(stop), _) => Err(stop),
        };
        release.conclude(outcome);
        release.log(&steps);
        if let Some(metrics) = &self.metrics {
            metrics.tell(&release, &steps, (self.clock)());
        }
        Some(release)
    }

    async fn release_in_time(
        &self,
        (upload, is_copy): (&Upload, bool),
        invocation: Invocation,
        release: &mut Release,
        steps: &mut Steps,
    ) -> Result<Outcome, NotReleased> {
        let mut pause = FIRST_PAUSE;
        let mut is_again = false;
        let patient = async {
            loop {
                match self.release((upload, is_copy), invocation, release, steps).await {
                    Ok(Some(outcome)) => return Ok(outcome),
                    // Another attempt was first: again, by its record.
                    Ok(None) if !is_again => is_again = true,
                    Ok(None) => {
                        let key = record_key(&self.settings.prefix_of(&upload));
                        return Err(Failure::UnlistedRecord { key }.into());
                    }
                    // Lambda's few attempts are over long before a burst of uploads is.
                    Err(NotReleased::Failed(failure))
                        if failure.is_throttled() && Instant::now() + pause < invocation.deadline =>
                    {
                        tracing::info!(key = upload.key, "goes on in {pause:?}, as AWS throttles: {}", failure.chain());
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    Err(stop) => return Err(stop),
                }
            }
        };
        let done = timeout_at(invocation.deadline, patient).await;
        done.unwrap_or_else(|_| Err(Failure::OutOfTime { step: steps.under_way }.into()))
    }

    /// A dry run that calls AWS for nothing: what the event and the settings tell is all that is known.
    async fn release_offline(
        &self,
        upload: &Upload,
        size: Option<u64>,
        (header, manifest): (&TagHeader, Option<&str>),
        release: &mut Release,
    ) -> Result<Outcome, NotReleased> {
        self.settings.check_place(upload)?;
        if upload.key.ends_with('/') && size == Some(0) {
            return Err(NotReleased::Skipped(SkipReason::Folder));
        }
        let TagHeader { tags, problems } = header;
        let header = if problems.is_empty() {
            Ok(())
        } else {
            Err(NotReleased::Rejected(RejectionKind::Tags, problems.clone()))
        };
        if tags.0.is_empty() {
            return header.and(Err(NotReleased::Skipped(SkipReason::NoTags)));
        }
        let now = (self.clock)();
        let manifest = is_manifest(&upload.key).then(|| match manifest {
            Some(json) => Manifest::read(json.as_bytes(), upload, &self.settings),
            None => Manifest::unreadable(
                "setting `DRY_RUN_MANIFEST` is not set, expected the JSON of this manifest, as AWS is called for nothing",
            ),
        });
        // The size that the event tells of a manifest is its own.
        let sizes = manifest.as_ref().map_or_else(|| vec![size], |manifest| vec![None; manifest.files.len()]);
        let asked = Inputs { upload, tags, manifest: manifest.as_ref(), template: None };
        let checked = combine(combine(check_version(upload), header), self.check(asked, &sizes, now));
        let (_, mut request) = checked?;
        if let Some(template) = request.job_template {
            release.reason = Some(format!(
                "the job template `{template}` is unresolved, as AWS is called for nothing: `createJob` is without what it \
                 says"
            ));
            request = self.check(Inputs { template: Some(&JobConfig::default()), ..asked }, &sizes, now)?;
        }
        warn(upload, request.warnings(now));
        let known: Vec<_> = sizes.into_iter().map(|size| KnownFile { size, given: None }).collect();
        self.rehearse(upload, &request, &request.job_id(upload), &known, release).await
    }

    /// Tells the requests of a release, and makes none.
    async fn rehearse(
        &self,
        upload: &Upload,
        request: &ReleaseRequest,
        job_id: &str,
        known: &[KnownFile<'_>],
        release: &mut Release,
    ) -> Result<Outcome, NotReleased> {
        let Self { settings, aws, clock, .. } = self;
        let mut requests = dry_run::requests(aws, settings, upload, request, job_id, known, clock()).await?;
        warn(upload, requests.warnings);
        release.job_id = Some(job_id.to_owned());
        release.stream_id = request.protocols.has_mqtt().then(|| upload.stream_id());
        let time = |member: &str| requests.create_job["schedulingConfig"][member].as_str().map(str::to_owned);
        (release.start_time, release.end_time) = (time("startTime"), time("endTime"));
        if is_manifest(&upload.key) {
            release.start_signing_jobs = requests.start_signing_jobs;
        } else {
            release.start_signing_job = requests.start_signing_jobs.pop();
        }
        release.create_stream = requests.create_stream;
        release.create_job = Some(requests.create_job);
        Ok(Outcome::DryRun)
    }

    /// The recipe. Each step can be taken again: what an earlier attempt left is found and used. `None` if another attempt
    /// has put a record meanwhile, by which this one must start again.
    async fn release(
        &self,
        (upload, is_copy): (&Upload, bool),
        invocation: Invocation,
        release: &mut Release,
        steps: &mut Steps,
    ) -> Result<Option<Outcome>, NotReleased> {
        let Self { settings, aws, clock, .. } = self;
        settings.check_place(upload)?;
        if let Err(stop) = check_version(upload) {
            return Err(self.without_version(stop, upload).await?);
        }
        let inspect = join4(
            upload.tags(aws, settings),
            upload.object(aws, settings),
            upload.check_current(aws, settings),
            EarlierAttempts::list(aws, settings, upload),
        );
        let (tags, object, current, traces) = steps.timed(Step::Inspect, inspect).await;
        if upload.key.ends_with('/') && matches!(object, Ok(Some(StoredObject::Image(Image { size: 0, .. })))) {
            return Err(NotReleased::Skipped(SkipReason::Folder));
        }
        let tags = tags?.ok_or(NotReleased::Skipped(SkipReason::Withdrawn))?;
        if tags.0.is_empty() {
            return Err(NotReleased::Skipped(SkipReason::NoTags));
        }
        let image = object?.ok_or(NotReleased::Skipped(SkipReason::Withdrawn))?.image();
        let traces = traces?;

        // What happened to a job that exists is past: neither bad tags nor a newer version matter any more.
        let recorded = match image.as_ref().ok().filter(|_| is_copy) {
            _ if !traces.record.is_empty() => JobRecord::read(aws, settings, upload, &traces.record).await?,
            Some(image) => steps.timed(Step::Inspect, unchanged::record(aws, settings, upload, image, &tags)).await?,
            None => None,
        };
        if let Some(record) = &recorded
            && let Some(outcome) = self.adopt_recorded(upload, record, &tags, release).await?
        {
            return Ok(Some(outcome));
        }
        current?;
        let files = manifest::files(aws, settings, upload, image.as_ref().ok().cloned());
        let (manifest, images) = steps.timed(Step::Inspect, files).await?;
        let sizes: Vec<_> = images.iter().map(|image| image.as_ref().map(|image| image.size)).collect();
        let now = clock();
        let unresolved = Inputs { upload, tags: &tags, manifest: manifest.as_ref(), template: None };
        let (asked, _) = combine(self.check(unresolved, &sizes, now), image)?;
        let files: Vec<_> = asked.files.iter().zip(images.iter().flatten()).collect();
        let is_recorded = recorded.is_some();
        let mut record = match recorded {
            Some(record) => record,
            None => JobRecord::new(upload, asked.job_id(upload), tags.clone())?,
        };
        let preflight = self.preflight(upload, (&record, is_recorded), unresolved, &asked, &files);
        let (request, signable, taken_by) = match steps.timed(Step::Preflight, preflight).await? {
            Preflight::Exists(job) => return self.adopt(upload, record, job, &tags, release).await.map(Some),
            Preflight::Overtaken => return Ok(None),
            Preflight::Ready(request, signable, taken_by) => (*request, signable, taken_by),
        };
        if let Some(holder) = taken_by {
            self.avoid_default_id(upload, &mut record, &holder);
        }
        if settings.dry_run != DryRun::Off {
            let known = sizes.iter().zip(&signable);
            let known: Vec<_> =
                known.map(|(size, signable)| KnownFile { size: *size, given: signable.given() }).collect();
            return self.rehearse(upload, &request, &record.job_id, &known, release).await.map(Some);
        }

        if !is_recorded {
            record.signature_versions = provided::versions(&files, &signable);
        }
        let each = files.iter().copied().zip(signable).collect();
        let sign = self.sign_all(upload, (&record, is_recorded), each, &traces, invocation);
        let sign = join(sign, earlier_versions::jobs_of_earlier_versions(aws, settings, upload));
        let (signed, earlier_jobs) = steps.timed(Step::Sign, sign).await;
        let Some(signed) = signed? else { return Ok(None) };
        record.sha256 = sha256(manifest.as_ref(), &signed);
        release.job_id = Some(record.job_id.clone());

        let copies = files.iter().zip(&signed).map(|((file, image), (signed, digests))| {
            raw_copy::copy(aws, settings, file, image, signed, digests.as_ref())
        });
        let copies = steps.timed(Step::Copy, try_join_all(copies)).await?;
        let deliver = Delivery::ensure(aws, settings, upload, request.protocols, &copies);
        let (delivery, current) = steps.timed(Step::Stream, join(deliver, upload.check_current(aws, settings))).await;
        let delivery = delivery?;
        release.stream_id = delivery.stream().map(|stream| stream.id.clone());
        current?;

        let verified_until = signed.iter().map(|(signed, _)| signed.verified_until);
        release.verified = Some(verified_until.clone().all(|until| until.is_some()));
        let first = verified_until.flatten().min();
        warn(upload, first.and_then(|until| request.outlives(until, clock())));
        let signed: Vec<_> = request.files.iter().zip(signed.iter().map(|(signed, _)| signed)).collect();
        let document = document::document(&signed, &delivery).map_err(Failure::from)?;
        warn(upload, device_limits::warnings(&record.job_id, &document.text, &signed));
        let ensure = create::ensure(aws, settings, upload, &request, (&record, document), clock());
        let (job, is_new) = steps.timed(Step::Job, ensure).await?;
        if !is_new {
            return self.adopt(upload, record, job, &tags, release).await.map(Some);
        }
        release.tell(&job);
        warn(upload, earlier_jobs);
        job.receipt(JobRecord { tags, verified: release.verified, ..record }).confirm(aws, settings, upload).await?;
        Ok(Some(Outcome::Created))
    }

    /// What becomes of an upload without a version, which was rejected for that: the problems with its tags are added.
    async fn without_version(&self, rejected: NotReleased, upload: &Upload) -> Result<NotReleased, Failure> {
        let Some(tags) = upload.tags(&self.aws, &self.settings).await? else { return Ok(rejected) };
        if tags.0.is_empty() {
            return Ok(NotReleased::Skipped(SkipReason::NoTags));
        }
        let asked = Inputs { upload, tags: &tags, manifest: None, template: None };
        let checked = combine::<(), _>(Err(rejected), self.check(asked, &[None], (self.clock)()));
        Ok(checked.err().unwrap_or(NotReleased::Skipped(SkipReason::NoTags)))
    }

    /// Gives a release another job ID than the default one, which another job has.
    fn avoid_default_id(&self, upload: &Upload, record: &mut JobRecord, holder: &str) {
        let other = match self.settings.dry_run {
            DryRun::Off => record.other_job_id(upload),
            _ => upload.job_id_with(FROM_RECORD),
        };
        let default = std::mem::replace(&mut record.job_id, other);
        let other = &record.job_id;
        warn(upload, [format!("the job ID `{default}` is that of {holder}; this release uses `{other}` instead")]);
    }

    /// Looks up all that a release needs, before anything is created. A job that exists is adopted, whatever became of
    /// its targets and signing profiles.
    async fn preflight<'a>(
        &self,
        upload: &Upload,
        (record, is_recorded): (&JobRecord, bool),
        unresolved: Inputs<'_>,
        asked: &ReleaseRequest,
        files: &[(&'a FileRequest, &Image)],
    ) -> Result<Preflight<'a>, NotReleased> {
        let Self { settings, aws, clock, .. } = self;
        let (now, tags) = (clock(), unresolved.tags);
        let sizes: Vec<_> = files.iter().map(|(_, image)| Some(image.size)).collect();
        let check = |template: &JobConfig| self.check(Inputs { template: Some(template), ..unresolved }, &sizes, now);
        let lookups = join4(
            existing::preflight(aws, settings, upload, asked, (record, is_recorded)),
            lookup::targets(aws, settings, asked),
            provided::preflight(aws, settings, files, &record.signature_versions, now),
            lookup::resolve(aws, settings, asked, tags, check),
        );
        let (job, targets, signable, resolved) = lookups.await;
        let taken_by = match job {
            Ok(JobId::Own(job)) => return Ok(Preflight::Exists(job)),
            Ok(JobId::Overtaken) => return Ok(Preflight::Overtaken),
            Ok(JobId::Free) => Ok(None),
            Ok(JobId::Taken(holder)) => Ok(Some(holder)),
            Err(stop) => Err(stop),
        };
        let ((resolved, (taken_by, ())), signable) = combine(combine(resolved, combine(taken_by, targets)), signable)?;
        let (request, drafts) = resolved;
        if let Some(origins) = request.origins(tags) {
            tracing::info!(key = upload.key, "{origins}");
        }
        warn(upload, [request.warnings(now), drafts].concat());
        Ok(Preflight::Ready(Box::new(request), signable, taken_by))
    }

    /// The signature over each file, after the claim of this attempt where there was no record. `None` if another attempt was
    /// first. Whether an accepted claim holds is looked up while Signer works.
    async fn sign_all(
        &self,
        upload: &Upload,
        (record, is_recorded): (&JobRecord, bool),
        files: Vec<((&FileRequest, &Image), SignatureSource<'_>)>,
        traces: &EarlierAttempts,
        invocation: Invocation,
    ) -> Result<Option<Vec<Signed>>, Failure> {
        let Self { settings, aws, .. } = self;
        let mut claim = None;
        if !is_recorded {
            claim = record.claim(aws, settings, upload).await?;
            if claim.is_none() {
                return Ok(None);
            }
        }
        let holds = async {
            match &claim {
                Some(claim) => JobRecord::holds(aws, settings, upload, claim).await,
                None => Ok(true),
            }
        };
        let each = futures::stream::iter(files);
        let each = each.map(|((file, image), signable)| self.sign(file, image, signable, record, traces, invocation));
        let (holds, signed) = try_join(holds, each.buffered(SIGNED_AT_ONCE).try_collect()).await?;
        Ok(holds.then_some(signed))
    }

    /// The signature over one file and, where it is verified, the digests of what was signed.
    async fn sign(
        &self,
        file: &FileRequest,
        image: &Image,
        signable: SignatureSource<'_>,
        record: &JobRecord,
        traces: &EarlierAttempts,
        invocation: Invocation,
    ) -> Result<Signed, Failure> {
        let Self { settings, aws, .. } = self;
        let verification = settings.verify_signatures.0.then(|| Verification::new(aws, settings, &file.source, image));
        let verified = verification.as_ref();
        let sign = async {
            match signable {
                SignatureSource::Signer(profile) => {
                    let nonce = record.nonce.as_deref();
                    let signing = Signing { aws, settings, file, image, profile, nonce, verification: verified };
                    signing.sign(traces, invocation).await
                }
                SignatureSource::Provided(given) => given.over(file, image, verified).await,
            }
        };
        let digests = async {
            if let Some(verification) = verified {
                verification.digests().await?;
            }
            Ok(())
        };
        let (signed, ()) = try_join(sign, digests).await?;
        Ok((signed, verification.and_then(Verification::into_digests)))
    }

    /// Adopts the job that the record of this version speaks of. One that was made and is gone was deleted by an
    /// operator: it is never made again. Nothing where an attempt died before it made the job.
    async fn adopt_recorded(
        &self,
        upload: &Upload,
        record: &JobRecord,
        tags: &Tags,
        release: &mut Release,
    ) -> Result<Option<Outcome>, NotReleased> {
        if record.unchanged_since.is_some() && record.tags == *tags {
            return Err(NotReleased::Skipped(SkipReason::Unchanged));
        }
        release.job_id = Some(record.job_id.clone());
        let job = match record.job_arn {
            Some(_) => {
                let job = existing::of_receipt(&self.aws, &self.settings, upload, record).await?;
                let job = job.ok_or(NotReleased::Skipped(SkipReason::JobDeleted))?;
                Some(Job { stream_id: record.stream_id.clone(), ..job })
            }
            None => existing::find_own_job(&self.aws, &self.settings, upload, record).await?,
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
    ) -> Result<Outcome, NotReleased> {
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
            let Self { settings, aws, .. } = self;
            let sha256 = match record.sha256 {
                None => unchanged::sha256(aws, settings, upload).await?,
                known => known,
            };
            job.receipt(JobRecord { sha256, ..record }).confirm(aws, settings, upload).await?;
        }
        Ok(Outcome::Adopted)
    }

    /// Everything that can be known of a release before anything is created, with the size of each file where it is known.
    fn check(&self, asked: Inputs<'_>, sizes: &[Option<u64>], now: Timestamp) -> Result<ReleaseRequest, NotReleased> {
        let request = ReleaseRequest::check(asked, &self.settings, now);
        let most = self.settings.max_image_bytes.0;
        let objects = sizes.iter().enumerate().filter_map(|(at, size)| {
            let place = asked.manifest.map(|manifest| format!("`files[{}]`: ", manifest.files[at].at));
            let place = place.unwrap_or_default();
            match size {
                _ if asked.upload.file_name().is_empty() => {
                    Some("the key ends in `/`, expected a file name".to_owned())
                }
                Some(0) => Some(format!("{place}the object is empty, expected a firmware image")),
                Some(size) if *size > most => {
                    Some(format!("{place}the object has {size} bytes, expected at most {most}"))
                }
                _ => None,
            }
        });
        let helper = file_kind::problem(&asked.upload.key).map(|problem| format!("the object {problem}"));
        let objects: Vec<_> = helper.into_iter().chain(objects).collect();
        match request {
            Ok(request) if objects.is_empty() => Ok(request),
            Ok(_) => Err(NotReleased::Rejected(RejectionKind::Object, objects)),
            Err(problems) => {
                let kind = if asked.manifest.is_some() { RejectionKind::Manifest } else { RejectionKind::Tags };
                Err(NotReleased::Rejected(kind, [problems, objects].concat()))
            }
        }
    }
}

/// The signature over a file and, where it is verified, the digests of what was signed.
type Signed = (SignedImage, Option<Digests>);

/// What is known before anything is created.
enum Preflight<'a> {
    /// The job of this version.
    Exists(Job),
    /// Another attempt has put a record meanwhile.
    Overtaken,
    /// The request with what its job template says, how each file is signed, and the upload whose job has the default ID.
    Ready(Box<ReleaseRequest>, Vec<SignatureSource<'a>>, Option<String>),
}

/// The SHA-256 of the upload in hexadecimal digits, if its bytes were read: of a manifest, or of the one image.
fn sha256(manifest: Option<&Manifest>, signed: &[Signed]) -> Option<String> {
    let image = || signed.first()?.1.as_ref().map(|digests| hex(digests.sha256.as_ref()));
    manifest.map_or_else(image, |manifest| manifest.sha256.clone())
}

/// Tells what is allowed but hardly meant.
fn warn(upload: &Upload, warnings: impl IntoIterator<Item = String>) {
    for warning in warnings {
        tracing::warn!(key = upload.key, "{warning}");
    }
}

/// Rejects an upload to a bucket that keeps no versions.
fn check_version(upload: &Upload) -> Result<(), NotReleased> {
    if upload.has_version() {
        return Ok(());
    }
    let problem = "the event has no version ID, expected an upload to a bucket with versioning enabled (AWS Signer signs \
                   object versions only)";
    Err(NotReleased::Rejected(RejectionKind::Place, vec![problem.to_owned()]))
}
