//! The digests of an object version, read in constant memory.

use crate::{clients::Clients, error::Failure, s3::object::is_no_version, settings::Settings, upload::Upload};
use aws_lc_rs::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use aws_sdk_s3::error::ProvideErrorMetadata;

/// The digests of an image that signature algorithms sign.
#[derive(Debug)]
pub(crate) struct Digests {
    pub sha256: Digest,
    pub sha1: Digest,
}

impl Digests {
    /// The digests of an object version and its size, in constant memory; `None` if S3 has no such version. Of one that is
    /// larger than expected no more is read than shows it.
    pub async fn of(
        aws: &Clients,
        settings: &Settings,
        object: &Upload,
        expected_size: u64,
    ) -> Result<Option<(Self, u64)>, Failure> {
        let failure = |source| Failure::GetObject { object: object.to_string(), source };
        let call = aws.s3.get_object().bucket(&object.bucket).key(&object.key).version_id(&object.version_id);
        let mut body = match call.expected_bucket_owner(&settings.ota_role.account).send().await {
            Ok(answer) => answer.body,
            Err(error) if is_no_version(error.code()) => return Ok(None),
            Err(error) => return Err(failure(error.into())),
        };
        let (mut sha256, mut sha1, mut size) = (Context::new(&SHA256), Context::new(&SHA1_FOR_LEGACY_USE_ONLY), 0);
        while let Some(bytes) = body.try_next().await.map_err(|error| failure(error.into()))? {
            sha256.update(&bytes);
            sha1.update(&bytes);
            size += bytes.len() as u64;
            if size > expected_size {
                break;
            }
        }
        Ok(Some((Self { sha256: sha256.finish(), sha1: sha1.finish() }, size)))
    }
}
