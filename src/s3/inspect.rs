//! Inspects an upload: its tags and image, whether it is current, and earlier attempts at its release.

use crate::error::Failure;
use crate::not_released::{NotReleased, SkipReason, combine};
use crate::request::check::{check, check_version};
use crate::request::release_request::Inputs;
use crate::s3::attempts::EarlierAttempts;
use crate::s3::object::{Image, StoredObject};
use crate::s3::record::JobRecord;
use crate::s3::{object, unchanged};
use crate::scope::Scope;
use crate::tags::Tags;
use futures::future::join4;

/// An upload with its tags, its image, and earlier attempts at its release.
#[derive(Debug)]
pub(crate) struct Inspected {
    /// At least one `ota:` tag.
    pub tags: Tags,
    /// The image, or a rejection if S3 does not return its bytes.
    pub image: Result<Image, NotReleased>,
    pub attempts: EarlierAttempts,
    /// The record of earlier attempts. For an unchanged copy, the receipt of the job of the copied version.
    pub record: Option<JobRecord>,
    /// `Ok` if the upload is the current version of its key; a skip if it is not.
    pub current: Result<(), NotReleased>,
}

/// Inspects an upload. `is_copy` is `true` if CopyObject wrote it.
///
/// # Errors
/// Skips an object that is not a release. Rejects an upload without a version.
pub(crate) async fn inspect(scope: Scope<'_>, is_copy: bool) -> Result<Inspected, NotReleased> {
    if let Err(rejection) = check_version(scope.upload) {
        return Err(without_version(scope, rejection).await?);
    }
    let requests =
        join4(object::tags(scope), object::find(scope), object::check_current(scope), EarlierAttempts::list(scope));
    let (tags, object, current, attempts) = Box::pin(requests).await;
    if scope.upload.key.ends_with('/') && matches!(object, Ok(Some(StoredObject::Image(Image { size: 0, .. })))) {
        return Err(NotReleased::Skipped(SkipReason::Folder));
    }
    let tags = tags?.ok_or(NotReleased::Skipped(SkipReason::Withdrawn))?;
    if tags.0.is_empty() {
        return Err(NotReleased::Skipped(SkipReason::NoTags));
    }
    let image = object?.ok_or(NotReleased::Skipped(SkipReason::Withdrawn))?.image();
    let attempts = attempts?;
    let record = match image.as_ref().ok().filter(|_| is_copy) {
        _ if !attempts.record_versions.is_empty() => JobRecord::read(scope, &attempts.record_versions).await?,
        Some(image) => unchanged::write_receipt(scope, image, &tags).await?,
        None => None,
    };
    Ok(Inspected { tags, image, attempts, record, current })
}

/// Returns the rejection of an upload without a version, with every problem of its tags. Returns a skip if the upload
/// has no release tags.
async fn without_version(scope: Scope<'_>, rejection: NotReleased) -> Result<NotReleased, Failure> {
    let Some(tags) = object::tags(scope).await? else { return Ok(rejection) };
    if tags.0.is_empty() {
        return Ok(NotReleased::Skipped(SkipReason::NoTags));
    }
    let inputs = Inputs { upload: scope.upload, tags: &tags, manifest: None, template: None };
    let checked = combine::<(), _>(Err(rejection), check(inputs, &[None], scope.settings, scope.now()));
    Ok(checked.err().unwrap_or(NotReleased::Skipped(SkipReason::NoTags)))
}
