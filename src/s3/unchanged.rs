//! Recognizes an object that was copied onto itself, to change its metadata, encryption or storage class: a new version
//! with the bytes and tags of the previous one, whose release the fleet has already.

use crate::{
    clients::Clients,
    error::Failure,
    request::file_kind::is_manifest,
    s3::digests::Digests,
    s3::object::Image,
    s3::record::JobRecord,
    settings::Settings,
    settings::values::DryRun,
    signing::verification::Verification,
    tags::Tags,
    upload::{Upload, hex},
};

/// The record of a version that CopyObject wrote, if it is unchanged: its [`receipt`], which is put unless this is a dry
/// run; or the record of another attempt that was first.
pub(crate) async fn record(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    image: &Image,
    tags: &Tags,
) -> Result<Option<JobRecord>, Failure> {
    match receipt(aws, settings, upload, image, tags).await? {
        Some(receipt) if settings.dry_run == DryRun::Off => match receipt.claim(aws, settings, upload).await? {
            Some(claim) if JobRecord::holds(aws, settings, upload, &claim).await? => Ok(Some(receipt)),
            _ => JobRecord::find(aws, settings, upload).await,
        },
        receipt => Ok(receipt),
    }
}

/// The SHA-256 of an upload's bytes, in hexadecimal digits, for its receipt. `None` if the version is gone, or the deployment
/// reads no bytes to verify signatures.
pub(crate) async fn sha256(aws: &Clients, settings: &Settings, upload: &Upload) -> Result<Option<String>, Failure> {
    if !settings.verify_signatures.0 && !is_manifest(&upload.key) {
        return Ok(None);
    }
    let digests = Digests::of(aws, settings, upload, settings.max_image_bytes.0).await?;
    Ok(digests.map(|(digests, _)| hex(digests.sha256.as_ref())))
}

/// The receipt of a version that CopyObject wrote, if its bytes and tags are those of the previous version, which has a
/// receipt: that receipt, for this version. `None` if anything differs or is not known, as with a delete marker in between.
///
/// ETags are not compared: encryption and uploads in parts change them.
async fn receipt(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    image: &Image,
    tags: &Tags,
) -> Result<Option<JobRecord>, Failure> {
    if image.size > settings.max_image_bytes.0 {
        return Ok(None);
    }
    let Some(previous) = upload.earlier(aws, settings, 1).await?.pop() else { return Ok(None) };
    let Some(receipt) = JobRecord::find(aws, settings, &previous).await? else { return Ok(None) };
    if receipt.job_arn.is_none() || receipt.sha256.is_none() {
        return Ok(None);
    }
    // Tags that were changed after the job was created did not change the job.
    if receipt.tags != *tags && previous.tags(aws, settings).await?.as_ref() != Some(tags) {
        return Ok(None);
    }
    let verification = Verification::new(aws, settings, upload, image);
    if receipt.sha256 != Some(hex(verification.digests().await?.sha256.as_ref())) {
        return Ok(None);
    }
    let since = receipt.unchanged_since.unwrap_or(previous.version_id);
    tracing::info!(
        key = upload.key,
        "bytes and tags are those of version `{since}`, whose job is `{}`",
        receipt.job_id
    );
    let (version_id, tags) = (upload.version_id.clone(), tags.clone());
    Ok(Some(JobRecord { version_id, unchanged_since: Some(since), tags, ..receipt }))
}
