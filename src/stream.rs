//! The IoT stream that devices fetch the image from: a raw copy of the upload over its signed object, and the stream of
//! that copy's version. Nothing here is ever deleted: another attempt may be using it.

use crate::{
    clients::Clients,
    error::{Failure, Skip, Stop},
    settings::Settings,
    signing::SignedImage,
    upload::{Image, Upload, is_gone},
    verification::Digests,
};
use aws_sdk_iot::{
    operation::create_stream::builders::CreateStreamFluentBuilder,
    types::{S3Location, StreamFile, StreamInfo},
};
use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    types::{ChecksumAlgorithm, TaggingDirective},
};
use base64::{Engine, prelude::BASE64_STANDARD};

/// The file ID of the image in its stream and in the job document.
pub(crate) const FILE_ID: i32 = 0;

/// A version of the upload's very bytes, where AWS IoT may read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawCopy {
    pub key: String,
    pub version_id: String,
}

/// A stream of a signed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its ID.
    pub id: String,
}

/// Copies the upload over its signed object, as CreateOTAUpdate does, or beside it: the very version that was signed, and
/// without its tags, so that the copy is no release. Each attempt makes a copy of its own, as nothing tells what became of
/// the checks of an earlier one. With digests of the upload, a checksum that S3 tells of the copy has to be the same.
pub(crate) async fn copy(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    image: &Image,
    signed: &SignedImage,
    digests: Option<&Digests>,
) -> Result<RawCopy, Stop> {
    let key = signed.key.clone();
    let (account, object) = (&settings.ota_role.account, upload.to_string());
    let call = aws
        .s3
        .copy_object()
        .copy_source(upload.copy_source())
        .copy_source_if_match(&image.e_tag)
        .bucket(&upload.bucket)
        .key(&key)
        .tagging_directive(TaggingDirective::Replace)
        .set_checksum_algorithm(digests.map(|_| ChecksumAlgorithm::Sha256))
        .expected_bucket_owner(account)
        .expected_source_bucket_owner(account)
        .customize()
        .config_override(Clients::copy_timeouts());
    let copy = match call.send().await {
        Ok(copy) => copy,
        // The version was deleted for good meanwhile.
        Err(error) if is_gone(error.code()) => return Err(Stop::Skipped(Skip::Withdrawn)),
        Err(error) => return Err(Failure::CopyObject { object, key, source: error.into() }.into()),
    };
    if copy.copy_source_version_id.as_ref() != Some(&upload.version_id) {
        let problem = format!("S3 copied the version {:?}", copy.copy_source_version_id);
        return Err(Failure::CopyObject { object, key, source: problem.into() }.into());
    }
    let checksum = copy.copy_object_result().and_then(|result| result.checksum_sha256());
    let expected = digests.map(|digests| BASE64_STANDARD.encode(digests.sha256));
    if let (Some(checksum), Some(expected)) = (checksum, expected)
        && checksum != expected
    {
        let problem = format!("the copy's SHA-256 is `{checksum}`, expected `{expected}`");
        return Err(Failure::CopyObject { object, key, source: problem.into() }.into());
    }
    let version_id = copy.version_id.ok_or(Failure::Incomplete { member: "x-amz-version-id" })?;
    Ok(RawCopy { key, version_id })
}

/// CreateStream of a raw copy.
pub(crate) fn request(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    copy: &RawCopy,
) -> CreateStreamFluentBuilder {
    let location = S3Location::builder().bucket(&upload.bucket).key(&copy.key).version(&copy.version_id).build();
    let file = StreamFile::builder().file_id(FILE_ID).s3_location(location).build();
    let call = aws.iot.create_stream().stream_id(upload.stream_id()).files(file).role_arn(&settings.ota_role.arn);
    call.description(upload.description())
}

/// Creates the stream of a raw copy, or adopts the one that an earlier attempt created: whatever CreateStream answers,
/// a stream of this upload that is there is the one that was wanted.
pub(crate) async fn ensure(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    copy: &RawCopy,
) -> Result<Stream, Failure> {
    let id = upload.stream_id();
    let Err(error) = request(aws, settings, upload, copy).send().await else { return Ok(Stream { id }) };
    let exists = error
        .as_service_error()
        .is_some_and(aws_sdk_iot::operation::create_stream::CreateStreamError::is_resource_already_exists_exception);
    let failure = Failure::CreateStream { stream_id: id.clone(), source: error.into() };
    match aws.iot.describe_stream().stream_id(&id).send().await {
        Ok(answer) => match answer.stream_info() {
            Some(stream) if is_of(stream, settings, upload) => Ok(Stream { id }),
            Some(_) => Err(Failure::Conflict { what: format!("the stream `{id}`") }),
            None => Err(Failure::Incomplete { member: "streamInfo" }),
        },
        Err(error) if exists => Err(Failure::DescribeStream { stream_id: id, source: error.into() }),
        Err(_) => Err(failure),
    }
}

/// Whether the stream's one file lies below the upload's own prefix, and AWS IoT reads it with the deployment's role.
fn is_of(stream: &StreamInfo, settings: &Settings, upload: &Upload) -> bool {
    let [file] = stream.files() else { return false };
    let location = file.s3_location();
    let key = location.and_then(S3Location::key).unwrap_or_default();
    file.file_id() == Some(FILE_ID)
        && location.and_then(S3Location::bucket) == Some(&upload.bucket)
        && key.starts_with(&upload.signed_prefix(settings))
        && stream.role_arn() == Some(&settings.ota_role.arn)
}
