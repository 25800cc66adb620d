//! The IoT stream from which devices fetch the files.
//!
//! A stream is never deleted: another attempt may be using it.

use crate::clients::Clients;
use crate::delivery::raw_copy::RawCopy;
use crate::error::{Failure, required};
use crate::s3::digests::Digests;
use crate::scope::Scope;
use crate::upload::Upload;
use aws_sdk_iot::operation::create_stream::CreateStreamError;
use aws_sdk_iot::operation::create_stream::builders::CreateStreamFluentBuilder;
use aws_sdk_iot::types::{S3Location, StreamFile, StreamInfo};

/// A stream of signed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its ID.
    pub id: String,
}

/// Builds CreateStream for raw copies.
pub(crate) fn request(scope: Scope<'_>, copies: &[RawCopy]) -> CreateStreamFluentBuilder {
    let upload = scope.upload;
    let files = copies.iter().map(|RawCopy { file_id, key, version_id, .. }| {
        let location = S3Location::builder().bucket(&upload.bucket).key(key).version(version_id).build();
        StreamFile::builder().file_id(i32::from(*file_id)).s3_location(location).build()
    });
    let call = scope.aws.iot.create_stream().stream_id(upload.stream_id()).set_files(Some(files.collect()));
    call.role_arn(&scope.settings.ota_role.arn).description(upload.description())
}

/// Creates the stream of raw copies. If CreateStream returns an error, adopts an existing stream that offers the bytes
/// of this upload: an earlier attempt may have created it.
///
/// # Errors
/// Fails if a request fails, or the existing stream offers other bytes. The operator must then act: anyone with the
/// right to create streams can compute the ID and create a stream with it.
pub(crate) async fn create_or_adopt(scope: Scope<'_>, copies: &[RawCopy]) -> Result<Stream, Failure> {
    let id = scope.upload.stream_id();
    let Err(error) = request(scope, copies).send().await else { return Ok(Stream { id }) };
    let exists = error.as_service_error().is_some_and(CreateStreamError::is_resource_already_exists_exception);
    match scope.aws.iot.describe_stream().stream_id(&id).send().await {
        Ok(response) => {
            let stream = required(response.stream_info(), "streamInfo")?;
            match problem(scope, copies, stream).await? {
                None => Ok(Stream { id }),
                Some(problem) => Err(Failure::Conflict {
                    what: format!("the stream `{id}`"),
                    problem: format!("it does not offer this upload: {problem}"),
                    remedy: format!("Find out who created it; `aws iot delete-stream --stream-id {id}` deletes it"),
                }),
            }
        }
        Err(error) if exists => Err(Failure::request(format!("looking up the stream `{id}`"), error)),
        Err(_) => Err(Failure::request(format!("creating the stream `{id}`"), error)),
    }
}

/// Counts the streams of the account. AWS IoT returns at most 250 streams for each request.
pub(crate) async fn count(aws: &Clients) -> Result<usize, Failure> {
    let mut pages = aws.iot.list_streams().max_results(250).into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Failure::request("counting the streams of the account", error))?;
        count += required(page.streams, "streams")?.len();
    }
    Ok(count)
}

/// Returns the first difference of a stream from the raw copies. `None` if it offers them.
///
/// Each file of the stream must be in the folder of its raw copy, in a version with the bytes of the upload. AWS IoT
/// must read the files with the role of the deployment.
async fn problem(scope: Scope<'_>, copies: &[RawCopy], stream: &StreamInfo) -> Result<Option<String>, Failure> {
    let (role, expected) = (required(stream.role_arn(), "roleArn")?, &scope.settings.ota_role.arn);
    if role != expected {
        return Ok(Some(format!("its role is `{role}`, expected `{expected}`")));
    }
    let mut places = Vec::new();
    for file in required(stream.files.as_ref(), "files")? {
        let (id, location) = (required(file.file_id(), "fileId")?, required(file.s3_location(), "s3Location")?);
        let (bucket, key) = (required(location.bucket(), "bucket")?, required(location.key(), "key")?);
        places.push((id, bucket, key, location.version()));
    }
    for copy in copies {
        let Some((_, bucket, key, version)) = places.iter().find(|(id, ..)| *id == i32::from(copy.file_id)) else {
            return Ok(Some(format!("it has no file {}", copy.file_id)));
        };
        let place = || {
            let version = version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
            format!("its file {} points at s3://{bucket}/{key} {version}", copy.file_id).escape_debug().to_string()
        };
        let is_in_folder = *bucket == scope.upload.bucket && folder(key) == folder(&copy.key);
        let Some(version) = version.filter(|_| is_in_folder) else { return Ok(Some(place())) };
        if !has_bytes_of(scope, copy, (key, version)).await? {
            return Ok(Some(format!("{}, which has other bytes", place())));
        }
    }
    let has_more = places.len() > copies.len();
    Ok(has_more.then(|| format!("it has {} files, expected {}", places.len(), copies.len())))
}

fn folder(key: &str) -> Option<&str> {
    key.rsplit_once('/').map(|(folder, _)| folder)
}

/// Returns whether a version of a key has the bytes of a raw copy.
async fn has_bytes_of(scope: Scope<'_>, copy: &RawCopy, (key, version): (&str, &str)) -> Result<bool, Failure> {
    if (key, version) == (&copy.key, &copy.version_id) {
        return Ok(true);
    }
    let sha256 = async |key: &str, version: &str| {
        let object = Upload::new(scope.upload.bucket.clone(), key.to_owned(), version.to_owned());
        let read = Digests::read(scope.with_upload(&object), copy.size).await?;
        Ok::<_, Failure>(read.map(|(digests, _)| digests.sha256.as_ref().to_owned()))
    };
    let expected = match &copy.sha256 {
        Some(expected) => Some(expected.clone()),
        None => sha256(&copy.key, &copy.version_id).await?,
    };
    Ok(expected.is_some() && sha256(key, version).await? == expected)
}
