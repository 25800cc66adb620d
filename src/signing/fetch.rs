//! Fetches the signed object of a signing job from S3.

use crate::error::{Failure, required};
use crate::options::signature::SignatureAlgorithm;
use crate::s3::attempts::versions_of;
use crate::s3::object::{Image, get, is_gone};
use crate::scope::Scope;
use crate::signing::signed_object::{ReadError, SignedObject};
use crate::signing::signing_job::SigningError;
use aws_sdk_s3::error::ProvideErrorMetadata;
use tokio_util::io::SyncIoBridge;

/// Reads the signature from the signed object of a key. If a raw copy is the current version, the signed object is the
/// oldest version.
///
/// # Errors
/// [`SigningError::Unusable`] if neither version is a signed object of the upload.
pub(crate) async fn read_current_or_oldest_signature(
    scope: Scope<'_>,
    image: &Image,
    key: &str,
) -> Result<(String, SignatureAlgorithm), SigningError> {
    match read_signature(scope, image, (key, None)).await {
        Err(SigningError::Unusable(problem)) => {
            let oldest = versions_of(scope, key).await?.pop().ok_or(SigningError::Unusable(problem))?;
            read_signature(scope, image, (key, Some(&oldest))).await
        }
        result => result,
    }
}

/// Reads the signature from a version of a signed object, and checks that object. `None` as version ID stands for the
/// current version. A payload at the end of the object is not fetched.
///
/// # Errors
/// [`SigningError::Unusable`] if the version is not a signed object of the upload.
pub(crate) async fn read_signature(
    scope: Scope<'_>,
    image: &Image,
    (key, version): (&str, Option<&str>),
) -> Result<(String, SignatureAlgorithm), SigningError> {
    let purpose = || format!("reading the signed object `{key}`");
    let response = match get(scope, key, version).send().await {
        Ok(response) => response,
        Err(error) if is_gone(error.code()) => return Err(SigningError::Unusable("it is gone".to_owned())),
        Err(error) => return Err(Failure::request(purpose(), error).into()),
    };
    let length = response.content_length.and_then(|length| u64::try_from(length).ok());
    let length = required(length, "Content-Length")?;
    let body = SyncIoBridge::new(response.body.into_async_read());
    let parsed = tokio::task::spawn_blocking(move || SignedObject::read(body)).await;
    match parsed.map_err(|error| Failure::request(purpose(), error))? {
        Err(ReadError::Io(error)) => Err(Failure::request(purpose(), error).into()),
        Err(ReadError::Invalid(problem)) => Err(SigningError::Unusable(problem)),
        Ok(object) => object.check(scope.upload, image, length).map_err(SigningError::Unusable),
    }
}
