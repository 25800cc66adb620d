//! Releases an upload: runs all steps of a release in their order.
//!
//! Each step makes a value from the previous one, and can be repeated.

use crate::backoff::Backoff;
use crate::delivery::deliver::deliver;
use crate::dry_run;
use crate::error::Failure;
use crate::job::create::{Created, create};
use crate::job::document::document;
use crate::job::existing::{Job, find_by_receipt, find_own};
use crate::job::{device_limits, earlier_versions};
use crate::not_released::{NotReleased, SkipReason};
use crate::outcome::Outcome;
use crate::plan::{Plan, Planned, Released, plan};
use crate::progress::{Progress, Step};
use crate::s3::digests::Digests;
use crate::s3::inspect::{Inspected, inspect};
use crate::s3::record::JobRecord;
use crate::s3::unchanged;
use crate::scope::Scope;
use crate::settings::values::DryRun;
use crate::signing::sign::sign_all;
use crate::signing::signed_image::SignedFile;
use futures::future::join;
use std::time::Duration;
use tokio::time::{sleep, timeout_at};

/// The first and the longest pause before a throttled release is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// Releases an upload before the deadline of the invocation. `is_copy` is `true` if CopyObject wrote the upload. A
/// throttled release is tried again after a pause, because a burst of uploads outlasts Lambda's retries.
///
/// # Errors
/// Skips, rejects or fails the release. [`Failure::OutOfTime`] at the deadline.
pub(crate) async fn release(scope: Scope<'_>, is_copy: bool, progress: &mut Progress) -> Result<Outcome, NotReleased> {
    let attempts = async {
        let mut backoff = Backoff::new(FIRST_PAUSE, MAX_PAUSE, scope.deadline);
        let mut was_overtaken = false;
        loop {
            match attempt(scope, is_copy, progress).await {
                // The next iteration uses the record of the other attempt.
                Err(NotReleased::Failed(Failure::Overtaken { .. })) if !was_overtaken => was_overtaken = true,
                Err(NotReleased::Failed(failure))
                    if failure.is_throttled()
                        && let Some(pause) = backoff.next() =>
                {
                    let key = &scope.upload.key;
                    tracing::info!(key, "tries again in {pause:?}, as AWS throttles requests: {}", failure.chain());
                    sleep(pause).await;
                }
                outcome => return outcome,
            }
        }
    };
    let outcome = timeout_at(scope.deadline, attempts).await;
    outcome.unwrap_or_else(|_| Err(Failure::OutOfTime { step: progress.step }.into()))
}

/// Runs all steps once. Finds and uses the record, signatures, stream and job of earlier attempts.
async fn attempt(scope: Scope<'_>, is_copy: bool, progress: &mut Progress) -> Result<Outcome, NotReleased> {
    let inspected = progress.time(Step::Inspect, inspect(scope, is_copy)).await?;
    // An existing job is adopted even if the tags are invalid by now, or a newer version is current.
    if let Some(released) = find_recorded_job(scope, &inspected, progress).await? {
        return adopt(scope, released, progress).await;
    }
    let planned = match plan(scope, inspected, progress).await? {
        Plan::Adopt(released) => return adopt(scope, *released, progress).await,
        Plan::Release(planned) => *planned,
    };
    if scope.settings.dry_run != DryRun::Off {
        return dry_run::rehearse(scope, &planned).await;
    }
    let Planned { request, files, mut record, tags, manifest, attempts } = planned;

    let sign = join(sign_all(scope, &record, files, &attempts), earlier_versions::warnings(scope));
    let (signed, unfinished_jobs) = progress.time(Step::Sign, sign).await;
    let signed = signed?;
    record.sha256 = manifest.map_or_else(|| sha256(&signed), |manifest| manifest.sha256);
    progress.job.job_id = Some(record.job_id.clone());

    let delivery = deliver(scope, request.protocols, &signed, progress).await?;

    progress.job.verified = Some(signed.iter().all(|file| file.signed.verified_until.is_some()));
    let first_expiry = signed.iter().filter_map(|file| file.signed.verified_until).min();
    scope.warn(first_expiry.and_then(|expiry| request.certificate_warning(expiry, scope.now())));
    let files: Vec<_> = signed.iter().map(|file| (&file.file, &file.signed)).collect();
    let document = document(&files, &delivery)?;
    scope.warn(device_limits::warnings(&record.job_id, &document.text, &files));
    match progress.time(Step::Job, create(scope, &request, (&record, document))).await? {
        Created::ByEarlierAttempt(job) => adopt(scope, Released { job, record, tags }, progress).await,
        Created::New(job) => {
            scope.warn(unfinished_jobs);
            job.add_to(&mut progress.job);
            job.receipt(JobRecord { tags, verified: progress.job.verified, ..record }).write(scope).await?;
            Ok(Outcome::Created(progress.job.clone()))
        }
    }
}

/// The SHA-256 of the only image in hexadecimal digits. `None` if the image was not read.
fn sha256(signed: &[SignedFile]) -> Option<String> {
    signed.first()?.digests.as_ref().map(Digests::sha256_hex)
}

/// Finds the job that the record of this upload names. `None` if there is no record, or the job was not created yet.
///
/// # Errors
/// Skips an unchanged copy. Skips an upload whose job an operator deleted: the function never creates that job again.
async fn find_recorded_job(
    scope: Scope<'_>,
    inspected: &Inspected,
    progress: &mut Progress,
) -> Result<Option<Released>, NotReleased> {
    let Some(record) = &inspected.record else { return Ok(None) };
    if record.original_version_id.is_some() && record.tags == inspected.tags {
        return Err(NotReleased::Skipped(SkipReason::Unchanged));
    }
    progress.job.job_id = Some(record.job_id.clone());
    let job = if record.job_arn.is_some() {
        let job = find_by_receipt(scope, record).await?.ok_or(NotReleased::Skipped(SkipReason::JobDeleted))?;
        Some(Job { stream_id: record.stream_id.clone(), ..job })
    } else {
        find_own(scope, record).await?
    };
    Ok(job.map(|job| Released { job, record: record.clone(), tags: inspected.tags.clone() }))
}

/// Reports the existing job of this upload, and writes its receipt if it is missing.
async fn adopt(
    scope: Scope<'_>,
    Released { job, record, tags }: Released,
    progress: &mut Progress,
) -> Result<Outcome, NotReleased> {
    progress.job.job_id = Some(record.job_id.clone());
    job.add_to(&mut progress.job);
    progress.job.verified = progress.job.verified.or(record.verified);
    let tags_changed = record.tags != tags;
    if record.job_arn.is_none() && scope.settings.dry_run == DryRun::Off {
        let sha256 = match record.sha256 {
            None => unchanged::sha256(scope).await?,
            sha256 => sha256,
        };
        job.receipt(JobRecord { sha256, ..record }).write(scope).await?;
    }
    Ok(Outcome::Adopted { job: progress.job.clone(), tags_changed })
}
