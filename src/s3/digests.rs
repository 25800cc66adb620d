//! The digests of an object version, read in constant memory.

use crate::error::Failure;
use crate::s3::object::{Image, get_upload, is_gone_or_invalid};
use crate::scope::Scope;
use crate::upload::hex;
use aws_lc_rs::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use aws_sdk_s3::error::ProvideErrorMetadata;

/// The digests of an image, over which signatures are made.
#[derive(Debug)]
pub(crate) struct Digests {
    pub sha256: Digest,
    pub sha1: Digest,
}

impl Digests {
    /// Reads the upload, and returns its digests and its size. `None` if S3 has no such version. Stops reading as soon
    /// as the object exceeds the expected size.
    pub async fn read(scope: Scope<'_>, expected_size: u64) -> Result<Option<(Self, u64)>, Failure> {
        let purpose = || format!("reading `{}`", scope.upload);
        let mut body = match get_upload(scope).send().await {
            Ok(response) => response.body,
            Err(error) if is_gone_or_invalid(error.code()) => return Ok(None),
            Err(error) => return Err(Failure::request(purpose(), error)),
        };
        let (mut sha256, mut sha1, mut size) = (Context::new(&SHA256), Context::new(&SHA1_FOR_LEGACY_USE_ONLY), 0);
        while let Some(bytes) = body.try_next().await.map_err(|error| Failure::request(purpose(), error))? {
            sha256.update(&bytes);
            sha1.update(&bytes);
            size += bytes.len() as u64;
            if size > expected_size {
                break;
            }
        }
        Ok(Some((Self { sha256: sha256.finish(), sha1: sha1.finish() }, size)))
    }

    /// Reads the upload, whose size is known, and returns its digests.
    ///
    /// # Errors
    /// Fails if the version is gone, or its size is not that of the image.
    pub async fn of_image(scope: Scope<'_>, image: &Image) -> Result<Self, Failure> {
        let problem = match Self::read(scope, image.size).await? {
            Some((digests, size)) if size == image.size => return Ok(digests),
            Some((_, size)) => format!("{size} bytes were returned, expected {}", image.size),
            None => "S3 has no such version".to_owned(),
        };
        Err(Failure::request(format!("reading `{}`", scope.upload), problem))
    }

    /// The SHA-256 in hexadecimal digits.
    pub fn sha256_hex(&self) -> String {
        hex(self.sha256.as_ref())
    }
}
