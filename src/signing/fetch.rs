//! Reads the signed object of a signing job from S3.

use crate::{
    clients::Clients,
    error::{Failure, required},
    options::signature::SignatureAlgorithm,
    s3::attempts::{self},
    s3::object::{Image, is_gone},
    settings::Settings,
    signing::signed_object::{NotSigned, SignedObject},
    upload::Upload,
};
use aws_sdk_s3::error::ProvideErrorMetadata;
use tokio_util::io::SyncIoBridge;

/// Reads the signed object of a key, also where an image lies over it.
pub(crate) async fn read_under_copy(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    image: &Image,
    key: &str,
) -> Result<(String, SignatureAlgorithm), Failure> {
    match read(aws, settings, upload, image, (key, None)).await {
        // What was read is the latest version of the key. If another attempt has copied the image over the signed
        // object meanwhile, that is the image: the signed object is the oldest version.
        Err(Failure::SignedObject { problem, .. }) => {
            let oldest = attempts::of_key(aws, settings, upload, key).await?.pop();
            let oldest = oldest.ok_or_else(|| Failure::SignedObject { key: key.to_owned(), problem })?;
            read(aws, settings, upload, image, (key, Some(&oldest))).await
        }
        object => object,
    }
}

/// Reads a version (or else the latest) of a signed object as it comes in, no further than needed, and checks it.
pub(crate) async fn read(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    image: &Image,
    (key, version): (&str, Option<&str>),
) -> Result<(String, SignatureAlgorithm), Failure> {
    let call = aws.s3.get_object().bucket(&upload.bucket).key(key);
    let call = call.set_version_id(version.map(str::to_owned));
    let answer = match call.expected_bucket_owner(&settings.ota_role.account).send().await {
        Ok(answer) => answer,
        Err(error) if is_gone(error.code()) => {
            return Err(Failure::SignedObject { key: key.to_owned(), problem: "it is gone".to_owned() });
        }
        Err(error) => return Err(Failure::GetSignedObject { key: key.to_owned(), source: error.into() }),
    };
    let length = answer.content_length.and_then(|length| u64::try_from(length).ok());
    let length = required(length, "Content-Length")?;
    let body = SyncIoBridge::new(answer.body.into_async_read());
    let parsed = tokio::task::spawn_blocking(move || SignedObject::read(body)).await;
    let unreadable = |source| Failure::GetSignedObject { key: key.to_owned(), source };
    let object = match parsed.map_err(|error| unreadable(error.into()))? {
        Err(NotSigned::Unread(error)) => return Err(unreadable(error.into())),
        Err(NotSigned::Because(problem)) => Err(problem),
        Ok(object) => object.check(upload, image, length),
    };
    object.map_err(|problem| Failure::SignedObject { key: key.to_owned(), problem })
}
