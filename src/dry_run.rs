//! A dry run: reports the requests of a release, and sends none of them.

use crate::delivery::deliver::Delivery;
use crate::delivery::presigned_url::PresignedUrl;
use crate::delivery::raw_copy::RawCopy;
use crate::delivery::stream;
use crate::delivery::stream::Stream;
use crate::job::document::document;
use crate::job::{create, device_limits};
use crate::not_released::{NotReleased, RejectionKind, SkipReason, combine};
use crate::options::job_config::JobConfig;
use crate::options::signature::SignatureAlgorithm;
use crate::outcome::{Outcome, PlannedRequests};
use crate::plan::Planned;
use crate::progress::JobReport;
use crate::request::check::{check, check_version};
use crate::request::file::{FileRequest, SignedBy};
use crate::request::file_kind::is_manifest;
use crate::request::manifest::Manifest;
use crate::request::release_request::{Inputs, ReleaseRequest};
use crate::s3::attempts::image_key;
use crate::s3::record::{FROM_RECORD, mark};
use crate::scope::Scope;
use crate::signing::provided::ProvidedSignature;
use crate::signing::signed_image::SignedImage;
use crate::signing::source::SignatureSource;
use crate::signing::{provided, sign};
use crate::tags::TagHeader;
use crate::upload::encoded;
use aws_sdk_iot::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_iot::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iot::error::BoxError;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// The placeholder for values that Signer returns during a release.
const FROM_SIGNER: &str = "<from Signer>";
/// The placeholder for values that S3 returns during a release.
const FROM_S3: &str = "<from S3>";

/// The known facts of a file: its size in bytes, and its signature if the uploader provides it.
#[derive(Debug, Clone, Copy, Default)]
struct KnownFile<'a> {
    size: Option<u64>,
    signature: Option<&'a ProvidedSignature>,
}

/// Reports the requests of a planned release.
pub(crate) async fn rehearse(scope: Scope<'_>, planned: &Planned) -> Result<Outcome, NotReleased> {
    let known = planned.files.iter().map(|file| KnownFile {
        size: Some(file.image.size),
        signature: match &file.source {
            SignatureSource::Signer(_) => None,
            SignatureSource::Provided(signature) => Some(signature),
        },
    });
    report(scope, &planned.request, &planned.record.job_id, &known.collect::<Vec<_>>(), None).await
}

/// Reports the requests of a release from the event and the settings alone. Sends no request to AWS.
///
/// # Errors
/// Skips or rejects the release.
pub(crate) async fn offline(
    scope: Scope<'_>,
    size: Option<u64>,
    TagHeader { tags, problems }: &TagHeader,
    manifest: Option<&str>,
) -> Result<Outcome, NotReleased> {
    let Scope { settings, upload, .. } = scope;
    if upload.key.ends_with('/') && size == Some(0) {
        return Err(NotReleased::Skipped(SkipReason::Folder));
    }
    let header = match problems.as_slice() {
        [] => Ok(()),
        problems => Err(NotReleased::Rejected(RejectionKind::Tags, problems.to_vec())),
    };
    if tags.0.is_empty() {
        return header.and(Err(NotReleased::Skipped(SkipReason::NoTags)));
    }
    let now = scope.now();
    let manifest = is_manifest(&upload.key).then(|| match manifest {
        Some(json) => Manifest::read(json.as_bytes(), upload, settings),
        None => Manifest::unreadable(
            "setting `DRY_RUN_MANIFEST` is not set, expected the JSON of this manifest, as no request is sent to AWS",
        ),
    });
    // The size in the event is that of the manifest, not of its files.
    let sizes = manifest.as_ref().map_or_else(|| vec![size], |manifest| vec![None; manifest.files.len()]);
    let inputs = Inputs { upload, tags, manifest: manifest.as_ref(), template: None };
    let checked = combine(combine(check_version(upload), header), check(inputs, &sizes, settings, now));
    let (_, mut request) = checked?;
    let mut note = None;
    if let Some(template) = request.job_template {
        note = Some(format!(
            "the job template `{template}` is unresolved, as no request is sent to AWS: `createJob` lacks its values"
        ));
        request = check(Inputs { template: Some(&JobConfig::default()), ..inputs }, &sizes, settings, now)?;
    }
    scope.warn(request.warnings(now));
    let known: Vec<_> = sizes.into_iter().map(|size| KnownFile { size, signature: None }).collect();
    report(scope, &request, &request.job_id(upload), &known, note).await
}

/// Reports the requests of a release, with the known facts of each file.
async fn report(
    scope: Scope<'_>,
    request: &ReleaseRequest,
    job_id: &str,
    known: &[KnownFile<'_>],
    note: Option<String>,
) -> Result<Outcome, NotReleased> {
    let upload = scope.upload;
    let signed: Vec<_> = request.files.iter().zip(known).map(|(file, known)| signed_image(file, *known)).collect();
    let copy = |(file, signed): (&FileRequest, &SignedImage)| RawCopy {
        file_id: file.id,
        key: signed.key.clone(),
        version_id: FROM_S3.to_owned(),
        size: signed.size,
        sha256: None,
    };
    let copies: Vec<_> = request.files.iter().zip(&signed).map(copy).collect();
    let urls = PresignedUrl::of_all(scope.settings, upload, &copies);
    let delivery = Delivery::new(request.protocols, Stream { id: upload.stream_id() }, urls);
    let files: Vec<_> = request.files.iter().zip(&signed).collect();
    let mut document = document(&files, &delivery)?.text;
    let warnings = device_limits::warnings(job_id, &document, &files);
    for unknown in [FROM_SIGNER, FROM_S3] {
        document = document.replace(&encoded(unknown).to_string(), unknown);
    }
    // A size of 0 means that the size is unknown: no released image is empty.
    document = document.replace("\"filesize\":0,", &format!("\"filesize\":\"{FROM_S3}\","));
    let (schedule, create_job) = create::request(scope, request, (job_id, &mark(FROM_RECORD), &document))?;

    let capture = Capture::default();
    let mut requests = PlannedRequests::default();
    for file in &request.files {
        if let SignedBy::Profile(profile) = &file.signed_by {
            let call = sign::request(scope, file, profile, FROM_RECORD.to_owned())?.customize();
            let _not_sent = call.interceptor(capture.clone()).send().await;
            requests.start_signing_jobs.push(capture.take());
        }
    }
    if !is_manifest(&upload.key) {
        requests.start_signing_job = requests.start_signing_jobs.pop();
    }
    let stream_id = delivery.stream().map(|stream| stream.id.clone());
    if let Some(stream_id) = &stream_id {
        let call = stream::request(scope, &copies).customize();
        let _not_sent = call.interceptor(capture.clone()).send().await;
        requests.create_stream = Some(with_member("streamId", stream_id, capture.take()));
    }
    let _not_sent = create_job.customize().interceptor(capture.clone()).send().await;
    requests.create_job = with_member("jobId", job_id, capture.take());
    scope.warn(warnings);
    let (start_time, end_time) = (schedule.start_time(), schedule.end_time());
    let job = JobReport { job_id: Some(job_id.to_owned()), stream_id, start_time, end_time, ..JobReport::default() };
    Ok(Outcome::DryRun { job, requests: Box::new(requests), note })
}

/// The signed image of a file, with placeholders for unknown values.
fn signed_image(file: &FileRequest, known: KnownFile<'_>) -> SignedImage {
    let prefix = &file.signed_prefix;
    let (key, custom) = match &file.signed_by {
        SignedBy::Profile(_) => (format!("{prefix}{FROM_SIGNER}"), None),
        SignedBy::SigningJob(_) => (image_key(prefix), None),
        SignedBy::Custom(custom) => (image_key(prefix), Some(custom)),
    };
    let inline = custom.and_then(provided::inline);
    let signature = known.signature.or(inline.as_ref());
    let unknown = if custom.is_some() { FROM_S3 } else { FROM_SIGNER };
    let cert_file = custom.map_or(FROM_SIGNER, |custom| &custom.cert_file.0);
    SignedImage {
        key,
        signature: signature.map_or(unknown, |provided| &provided.signature).to_owned(),
        // The algorithm of the two signing platforms for which most devices are built.
        algorithm: signature.map_or(SignatureAlgorithm::Sha256WithEcdsa, |provided| provided.algorithm),
        cert_file: signature.map_or(cert_file, |provided| &provided.cert_file).to_owned(),
        size: known.size.unwrap_or_default(),
        verified_until: None,
    }
}

/// Returns the body of a request with a member that the SDK sends in the path.
fn with_member(member: &str, value: &str, mut body: Value) -> Value {
    body[member] = value.into();
    body
}

/// Keeps the body of a request, and ends the operation before the SDK loads credentials or sends anything.
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
