//! Copies the signed bytes to a key that AWS IoT may read.
//!
//! A raw copy is never deleted: another attempt may be using it.

use crate::clients::Clients;
use crate::error::{Failure, required};
use crate::not_released::NotReleased;
use crate::s3::object::is_gone;
use crate::scope::Scope;
use crate::signing::signed_image::SignedFile;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{ChecksumAlgorithm, TaggingDirective};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// An object version with the bytes of a file, at a key that AWS IoT may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawCopy {
    /// The ID of the file.
    pub file_id: u8,
    pub key: String,
    pub version_id: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256, if the upload was read.
    pub sha256: Option<Vec<u8>>,
}

/// Copies a file to the key of its signed object, as CreateOTAUpdate does. A file with a provided signature is copied
/// to the key `image`. The copy has the bytes of the version that was signed. It has no tags, so it is not a release.
///
/// Every attempt copies again: nothing records whether an earlier copy was verified. If the function read the file and
/// S3 returns the copy's SHA-256, the copy must have the SHA-256 of the file.
pub(crate) async fn copy(scope: Scope<'_>, signed_file: &SignedFile) -> Result<RawCopy, NotReleased> {
    let SignedFile { file, image, signed: signed_image, digests } = signed_file;
    let (upload, key, account) = (&file.source, &signed_image.key, scope.account());
    let purpose = || format!("copying `{upload}` to `{key}`");
    let call = scope
        .aws
        .s3
        .copy_object()
        .copy_source(upload.copy_source())
        .copy_source_if_match(&image.e_tag)
        .bucket(&upload.bucket)
        .key(key)
        .tagging_directive(TaggingDirective::Replace)
        .set_checksum_algorithm(digests.as_ref().map(|_| ChecksumAlgorithm::Sha256))
        .expected_bucket_owner(account)
        .expected_source_bucket_owner(account)
        .customize()
        .config_override(Clients::copy_timeouts());
    let copy = match call.send().await {
        Ok(copy) => copy,
        // The version was permanently deleted meanwhile.
        Err(error) if is_gone(error.code()) => return Err(file.gone()),
        Err(error) => return Err(Failure::request(purpose(), error).into()),
    };
    let copied = required(copy.copy_source_version_id.as_ref(), "x-amz-copy-source-version-id")?;
    if *copied != upload.version_id {
        let problem = format!("S3 copied version `{copied}`, expected `{}`", upload.version_id);
        return Err(Failure::request(purpose(), problem).into());
    }
    let checksum = copy.copy_object_result().and_then(|result| result.checksum_sha256());
    let expected = digests.as_ref().map(|digests| BASE64_STANDARD.encode(digests.sha256));
    if let (Some(checksum), Some(expected)) = (checksum, expected)
        && checksum != expected
    {
        let problem = format!("the copy's SHA-256 is `{checksum}`, expected `{expected}`");
        return Err(Failure::request(purpose(), problem).into());
    }
    Ok(RawCopy {
        file_id: file.id,
        key: key.clone(),
        version_id: required(copy.version_id, "x-amz-version-id")?,
        size: image.size,
        sha256: digests.as_ref().map(|digests| digests.sha256.as_ref().to_owned()),
    })
}
