//! A dry run: the requests that a release would make, just as the AWS clients would send them, and none of them sent.

use crate::{
    clients::Clients,
    delivery::delivery::Delivery,
    delivery::presigned_url::PresignedUrl,
    delivery::raw_copy::RawCopy,
    delivery::stream::{self, Stream},
    error::Failure,
    job::create::{self},
    job::device_limits::{self},
    job::document::{self},
    not_released::NotReleased,
    options::signature::SignatureAlgorithm,
    request::file::{FileRequest, SignedBy},
    request::release_request::ReleaseRequest,
    s3::attempts::image_key,
    s3::record::{FROM_RECORD, mark},
    settings::Settings,
    signing::provided::{self, ProvidedSignature},
    signing::sign::{self, SignedImage},
    upload::{Upload, encoded},
};
use aws_sdk_iot::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
};
use jiff::Timestamp;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// What only Signer knows before the release.
const FROM_SIGNER: &str = "<from Signer>";
/// What only S3 knows before the release.
const FROM_S3: &str = "<from S3>";

/// The requests of a release, in AWS's own member names.
#[derive(Debug)]
pub(crate) struct Requests {
    /// One for each file that Signer is to sign.
    pub start_signing_jobs: Vec<Value>,
    pub create_stream: Option<Value>,
    pub create_job: Value,
    /// The limits of device libraries that the job exceeds, as far as that is known.
    pub warnings: Vec<String>,
}

/// What is known of a file: its size in bytes, and the signature that it has already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KnownFile<'a> {
    pub size: Option<u64>,
    pub given: Option<&'a ProvidedSignature>,
}

/// Words the requests of a release at `now`, with what is known of each file.
pub(crate) async fn requests(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    request: &ReleaseRequest,
    job_id: &str,
    known: &[KnownFile<'_>],
    now: Timestamp,
) -> Result<Requests, NotReleased> {
    let signed: Vec<_> = request.files.iter().zip(known).map(|(file, known)| signed(file, *known)).collect();
    let copy = |(file, signed): (&FileRequest, &SignedImage)| RawCopy {
        file_id: file.id,
        key: signed.key.clone(),
        version_id: FROM_S3.to_owned(),
        size: signed.size,
        sha256: None,
    };
    let copies: Vec<_> = request.files.iter().zip(&signed).map(copy).collect();
    let (stream, urls) = (Stream { id: upload.stream_id() }, PresignedUrl::of_all(settings, upload, &copies));
    let delivery = Delivery::of(request.protocols, stream, urls);
    let files: Vec<_> = request.files.iter().zip(&signed).collect();
    let mut document = document::document(&files, &delivery).map_err(Failure::from)?.text;
    let warnings = device_limits::warnings(job_id, &document, &files);
    for unknown in [FROM_SIGNER, FROM_S3] {
        document = document.replace(&encoded(unknown).to_string(), unknown);
    }
    // No image that is released is empty.
    document = document.replace("\"filesize\":0,", &format!("\"filesize\":\"{FROM_S3}\","));
    let mark = mark(FROM_RECORD);
    let (_, create_job) = create::request(aws, settings, upload, request, (job_id, &mark, &document), now)?;

    let capture = Capture::default();
    let mut start_signing_jobs = Vec::new();
    for file in &request.files {
        if let SignedBy::Profile(profile) = &file.signed_by {
            let call = sign::request(aws, file, profile, FROM_RECORD.to_owned())?.customize();
            let _not_sent = call.interceptor(capture.clone()).send().await;
            start_signing_jobs.push(capture.take());
        }
    }
    let mut create_stream = None;
    if let Some(stream) = delivery.stream() {
        let call = stream::request(aws, settings, upload, &copies).customize();
        let _not_sent = call.interceptor(capture.clone()).send().await;
        create_stream = Some(with("streamId", &stream.id, capture.take()));
    }
    let _not_sent = create_job.customize().interceptor(capture.clone()).send().await;
    let create_job = with("jobId", job_id, capture.take());
    Ok(Requests { start_signing_jobs, create_stream, create_job, warnings })
}

/// A file as it would be signed.
fn signed(file: &FileRequest, known: KnownFile<'_>) -> SignedImage {
    let prefix = &file.signed_prefix;
    let (key, custom) = match &file.signed_by {
        SignedBy::Profile(_) => (format!("{prefix}{FROM_SIGNER}"), None),
        SignedBy::SigningJob(_) => (image_key(prefix), None),
        SignedBy::Custom(custom) => (image_key(prefix), Some(custom)),
    };
    let inline = custom.and_then(provided::inline);
    let given = known.given.or(inline.as_ref());
    let unknown = if custom.is_some() { FROM_S3 } else { FROM_SIGNER };
    let cert_file = custom.map_or(FROM_SIGNER, |custom| &custom.cert_file.0);
    SignedImage {
        key,
        signature: given.map_or(unknown, |given| &given.signature).to_owned(),
        // That of the two platforms for which most devices are built.
        algorithm: given.map_or(SignatureAlgorithm::Sha256WithEcdsa, |given| given.algorithm),
        cert_file: given.map_or(cert_file, |given| &given.cert_file).to_owned(),
        size: known.size.unwrap_or_default(),
        verified_until: None,
    }
}

/// The body of a request, and beside it the member that is sent as a part of its path.
fn with(member: &str, value: &str, mut body: Value) -> Value {
    body[member] = value.into();
    body
}

/// Keeps the body of a request and ends the operation there: before credentials are looked for, and anything is sent.
#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<Value>>);

impl Capture {
    fn take(&self) -> Value {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for Capture {
    fn name(&self) -> &'static str {
        "dry run"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = serde_json::from_slice(body)?;
        Err("a dry run sends nothing".into())
    }
}
