//! Recognizes an object that was copied onto itself.
//!
//! Such a copy changes metadata, encryption or storage class. The new version has the bytes and tags of the previous
//! version, which the fleet already has.

use crate::error::Failure;
use crate::request::file_kind::is_manifest;
use crate::s3::digests::Digests;
use crate::s3::listing::earlier_versions;
use crate::s3::object;
use crate::s3::object::Image;
use crate::s3::record::JobRecord;
use crate::scope::Scope;
use crate::settings::values::DryRun;
use crate::tags::Tags;

/// Writes and returns the receipt of an upload that CopyObject wrote. `None` if the upload is not an unchanged copy. A
/// dry run only returns the receipt. If another attempt wrote the record first, returns the record of that attempt.
pub(crate) async fn write_receipt(scope: Scope<'_>, image: &Image, tags: &Tags) -> Result<Option<JobRecord>, Failure> {
    let Some(receipt) = receipt(scope, image, tags).await? else { return Ok(None) };
    if scope.settings.dry_run != DryRun::Off {
        return Ok(Some(receipt));
    }
    match receipt.claim(scope).await {
        Ok(claim) if JobRecord::claim_holds(scope, &claim).await? => Ok(Some(receipt)),
        Ok(_) | Err(Failure::Overtaken { .. }) => JobRecord::find(scope).await,
        Err(failure) => Err(failure),
    }
}

/// Reads the SHA-256 of the upload in hexadecimal digits, for its receipt. `None` if the version is gone, or if the
/// deployment verifies no signatures and so reads no images.
pub(crate) async fn sha256(scope: Scope<'_>) -> Result<Option<String>, Failure> {
    if !scope.settings.verify_signatures.0 && !is_manifest(&scope.upload.key) {
        return Ok(None);
    }
    let digests = Digests::read(scope, scope.settings.max_image_bytes.0).await?;
    Ok(digests.map(|(digests, _)| digests.sha256_hex()))
}

/// Returns the receipt of the previous version, with the version ID of the copy, if both versions have the same bytes
/// and tags. `None` if they differ, or if that is unknown, for example because a delete marker is between them.
///
/// ETags are not compared: encryption and uploads in parts change them.
async fn receipt(scope: Scope<'_>, image: &Image, tags: &Tags) -> Result<Option<JobRecord>, Failure> {
    if image.size > scope.settings.max_image_bytes.0 {
        return Ok(None);
    }
    let Some(previous) = earlier_versions(scope, 1).await?.pop() else { return Ok(None) };
    let previous_scope = scope.with_upload(&previous);
    let Some(receipt) = JobRecord::find(previous_scope).await? else { return Ok(None) };
    if receipt.job_arn.is_none() || receipt.sha256.is_none() {
        return Ok(None);
    }
    // The previous version may have been tagged again after its job was created.
    if receipt.tags != *tags && object::tags(previous_scope).await?.as_ref() != Some(tags) {
        return Ok(None);
    }
    if receipt.sha256 != Some(Digests::of_image(scope, image).await?.sha256_hex()) {
        return Ok(None);
    }
    let original = receipt.original_version_id.unwrap_or(previous.version_id);
    tracing::info!(
        key = scope.upload.key,
        "bytes and tags are those of version `{original}`, whose job is `{}`",
        receipt.job_id
    );
    let (version_id, tags) = (scope.upload.version_id.clone(), tags.clone());
    Ok(Some(JobRecord { version_id, original_version_id: Some(original), tags, ..receipt }))
}
