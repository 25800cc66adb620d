//! The IoT stream that devices fetch the files from: a raw copy of each over its signed object, and the stream of those
//! copies' versions. Nothing here is ever deleted: another attempt may be using it.

use crate::{
    clients::Clients,
    error::{Failure, Stop, required},
    file_request::FileRequest,
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

/// A version of a file's very bytes, where AWS IoT may read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawCopy {
    /// The ID of the file.
    pub file_id: u8,
    pub key: String,
    pub version_id: String,
}

/// A stream of signed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its ID.
    pub id: String,
}

/// Copies a file over its signed object, as CreateOTAUpdate does, or beside it: the very version that was signed, and
/// without its tags, so that the copy is no release. Each attempt makes a copy of its own, as nothing tells what became of
/// the checks of an earlier one. With digests of the file, a checksum that S3 tells of the copy has to be the same.
pub(crate) async fn copy(
    aws: &Clients,
    settings: &Settings,
    file: &FileRequest,
    image: &Image,
    signed: &SignedImage,
    digests: Option<&Digests>,
) -> Result<RawCopy, Stop> {
    let (upload, key) = (&file.source, signed.key.clone());
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
        Err(error) if is_gone(error.code()) => return Err(file.gone()),
        Err(error) => return Err(Failure::CopyObject { object, key, source: error.into() }.into()),
    };
    let copied = required(copy.copy_source_version_id.as_ref(), "x-amz-copy-source-version-id")?;
    if *copied != upload.version_id {
        let problem = format!("S3 copied the version `{copied}`");
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
    Ok(RawCopy { file_id: file.id, key, version_id: required(copy.version_id, "x-amz-version-id")? })
}

/// CreateStream of raw copies.
pub(crate) fn request(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    copies: &[RawCopy],
) -> CreateStreamFluentBuilder {
    let files = copies.iter().map(|RawCopy { file_id, key, version_id }| {
        let location = S3Location::builder().bucket(&upload.bucket).key(key).version(version_id).build();
        StreamFile::builder().file_id(i32::from(*file_id)).s3_location(location).build()
    });
    let call = aws.iot.create_stream().stream_id(upload.stream_id()).set_files(Some(files.collect()));
    call.role_arn(&settings.ota_role.arn).description(upload.description())
}

/// Creates the stream of raw copies, or adopts the one that an earlier attempt created: whatever CreateStream answers,
/// a stream of this upload that is there is the one that was wanted.
pub(crate) async fn ensure(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    copies: &[RawCopy],
) -> Result<Stream, Failure> {
    let id = upload.stream_id();
    let Err(error) = request(aws, settings, upload, copies).send().await else { return Ok(Stream { id }) };
    let exists = error
        .as_service_error()
        .is_some_and(aws_sdk_iot::operation::create_stream::CreateStreamError::is_resource_already_exists_exception);
    let failure = Failure::CreateStream { stream_id: id.clone(), source: error.into() };
    match aws.iot.describe_stream().stream_id(&id).send().await {
        Ok(answer) => {
            let is_own = is_of(required(answer.stream_info(), "streamInfo")?, settings, upload, copies)?;
            if is_own { Ok(Stream { id }) } else { Err(Failure::Conflict { what: format!("the stream `{id}`") }) }
        }
        Err(error) if exists => Err(Failure::DescribeStream { stream_id: id, source: error.into() }),
        Err(_) => Err(failure),
    }
}

/// How many streams the account has, by as few calls as it takes: one for 250 of them, as many as AWS IoT lists at once.
pub(crate) async fn count(aws: &Clients) -> Result<usize, Failure> {
    let mut pages = aws.iot.list_streams().max_results(250).into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Failure::ListStreams { source: error.into() })?;
        count += required(page.streams, "streams")?.len();
    }
    Ok(count)
}

/// Whether the stream's files are those of the upload, each below its own prefix, and AWS IoT reads them with the
/// deployment's role.
fn is_of(stream: &StreamInfo, settings: &Settings, upload: &Upload, copies: &[RawCopy]) -> Result<bool, Failure> {
    fn folder(key: &str) -> Option<&str> {
        key.rsplit_once('/').map(|(folder, _)| folder)
    }
    let files = required(stream.files.as_ref(), "files")?;
    let mut found = Vec::with_capacity(files.len());
    for file in files {
        let (id, location) = (required(file.file_id(), "fileId")?, required(file.s3_location(), "s3Location")?);
        found.push((id, required(location.bucket(), "bucket")?, folder(required(location.key(), "key")?)));
    }
    let mut expected = copies.iter().map(|copy| (i32::from(copy.file_id), upload.bucket.as_str(), folder(&copy.key)));
    let is_role = required(stream.role_arn(), "roleArn")? == settings.ota_role.arn;
    Ok(is_role && found.len() == copies.len() && expected.all(|copy| found.contains(&copy)))
}
