//! Plans a release: checks and looks up everything before anything is created.

use crate::error::Failure;
use crate::job::existing::{Job, JobIdState, check_job_id};
use crate::job::{job_template, lookup};
use crate::not_released::{NotReleased, combine};
use crate::options::job_config::JobConfig;
use crate::progress::{Progress, Step};
use crate::request::check::check;
use crate::request::file::FileRequest;
use crate::request::manifest::Manifest;
use crate::request::release_request::{Inputs, ReleaseRequest};
use crate::s3::attempts::EarlierAttempts;
use crate::s3::inspect::Inspected;
use crate::s3::manifest;
use crate::s3::object::Image;
use crate::s3::record::{FROM_RECORD, JobRecord};
use crate::scope::Scope;
use crate::settings::values::DryRun;
use crate::signing::source;
use crate::signing::source::{FileToSign, signature_versions};
use crate::tags::Tags;
use futures::future::{join, join4};

/// A release that is ready to be signed.
#[derive(Debug)]
pub(crate) struct Planned {
    pub request: ReleaseRequest,
    /// In the order of the request.
    pub files: Vec<FileToSign>,
    /// The record of earlier attempts, or a new one.
    pub record: JobRecord,
    pub tags: Tags,
    pub manifest: Option<Manifest>,
    pub attempts: EarlierAttempts,
}

/// An upload whose job exists already.
#[derive(Debug)]
pub(crate) struct Released {
    pub job: Job,
    pub record: JobRecord,
    pub tags: Tags,
}

/// The plan for an upload.
#[derive(Debug)]
pub(crate) enum Plan {
    Adopt(Box<Released>),
    Release(Box<Planned>),
}

/// Plans the release of an upload. An existing job is adopted, even if its targets or signing profiles no longer exist.
///
/// # Errors
/// Skips an upload that is not current. Rejects the release with every problem. [`Failure::Overtaken`] if another
/// attempt has written the record meanwhile.
pub(crate) async fn plan(
    scope: Scope<'_>,
    Inspected { tags, image, attempts, record, current }: Inspected,
    progress: &mut Progress,
) -> Result<Plan, NotReleased> {
    current?;
    let files = manifest::files(scope, image.as_ref().ok().cloned());
    let (manifest, images) = progress.time(Step::Inspect, files).await?;
    let sizes: Vec<_> = images.iter().map(|image| image.as_ref().map(|image| image.size)).collect();
    let now = scope.now();
    let inputs = Inputs { upload: scope.upload, tags: &tags, manifest: manifest.as_ref(), template: None };
    let (request, _) = combine(check(inputs, &sizes, scope.settings, now), image)?;
    let record = match record {
        Some(record) => record,
        None => JobRecord::new(scope.upload, request.job_id(scope.upload), tags.clone())?,
    };
    let files: Vec<(&FileRequest, &Image)> = request.files.iter().zip(images.iter().flatten()).collect();
    let check_with =
        |template: &JobConfig| check(Inputs { template: Some(template), ..inputs }, &sizes, scope.settings, now);
    let look_up = join4(
        check_job_id(scope, &request, &record),
        lookup::targets(scope, &request),
        source::find(scope, &files, &record.signature_versions),
        resolve_template(scope, &request, &tags, check_with),
    );
    let (state, targets, files, resolved) = progress.time(Step::Preflight, look_up).await;
    let state = match state {
        Ok(JobIdState::Own(job)) => return Ok(Plan::Adopt(Box::new(Released { job, record, tags }))),
        Err(NotReleased::Failed(failure @ Failure::Overtaken { .. })) => return Err(failure.into()),
        state => state,
    };
    let ((resolved, (state, ())), files) = combine(combine(resolved, combine(state, targets)), files)?;
    let (request, draft_warnings) = resolved;
    if let Some(sources) = request.value_sources(&tags) {
        tracing::info!(key = scope.upload.key, "{sources}");
    }
    scope.warn([request.warnings(now), draft_warnings].concat());
    let mut record = record;
    if let JobIdState::InUse(owner) = state {
        replace_default_id(scope, &mut record, &owner);
    }
    if !record.is_written {
        record.signature_versions = signature_versions(&files);
    }
    Ok(Plan::Release(Box::new(Planned { request, files, record, tags, manifest, attempts })))
}

/// Returns the request with the values of its job template, and warnings about its package versions. `check` checks the
/// request together with the template.
///
/// Package versions in the tags or the manifest are looked up at the same time as the template, because they replace
/// those of the template. Without them, the versions in the template are looked up afterwards.
async fn resolve_template(
    scope: Scope<'_>,
    request: &ReleaseRequest,
    tags: &Tags,
    check: impl FnOnce(&JobConfig) -> Result<ReleaseRequest, NotReleased>,
) -> Result<(ReleaseRequest, Vec<String>), NotReleased> {
    let resolved = async {
        let Some(template) = &request.job_template else { return Ok(request.clone()) };
        let if_missing = |failure| request.missing_template(tags, failure);
        check(&job_template::describe(scope, template, if_missing).await?)
    };
    let (resolved, draft_warnings) = join(resolved, lookup::package_versions(scope, request, tags)).await;
    let (resolved, mut draft_warnings) = combine(resolved, draft_warnings)?;
    if request.package_arns(scope.settings).is_none() {
        draft_warnings = lookup::package_versions(scope, &resolved, tags).await?;
    }
    Ok((resolved, draft_warnings))
}

/// Replaces the default job ID of a release, because the job of another upload has it.
fn replace_default_id(scope: Scope<'_>, record: &mut JobRecord, owner: &str) {
    let replacement = match scope.settings.dry_run {
        DryRun::Off => record.fallback_job_id(scope.upload),
        _ => scope.upload.job_id_with(FROM_RECORD),
    };
    let default = std::mem::replace(&mut record.job_id, replacement);
    let replacement = &record.job_id;
    scope.warn([format!("the job ID `{default}` is that of {owner}; this release uses `{replacement}` instead")]);
}
