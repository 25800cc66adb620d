//! Signs files with AWS Signer, or uses the signatures of earlier attempts.

use crate::backoff::{Backoff, Polling};
use crate::error::{Failure, is_throttled, required};
use crate::options::signature::{ProfileName, SignatureAlgorithm};
use crate::request::file::FileRequest;
use crate::s3::attempts::{EarlierAttempts, SignedObjectVersion};
use crate::s3::object::Image;
use crate::s3::record::{JobRecord, overtaken};
use crate::scope::Scope;
use crate::signing::certificate::Certificate;
use crate::signing::fetch::{read_current_or_oldest_signature, read_signature};
use crate::signing::signed_image::{SignedFile, SignedImage};
use crate::signing::signing_job::{SigningError, UsableJob, certificate_arn};
use crate::signing::source::{FileToSign, SignatureSource};
use crate::signing::verification::Verification;
use crate::signing::{profile, signing_job};
use aws_sdk_signer::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_signer::operation::describe_signing_job::DescribeSigningJobOutput;
use aws_sdk_signer::operation::start_signing_job::builders::StartSigningJobFluentBuilder;
use aws_sdk_signer::types::{Destination, S3Destination, S3Source, SigningStatus, Source};
use futures::future::try_join;
use futures::{StreamExt, TryStreamExt, stream};
use std::time::Duration;
use tokio::time::Instant;

/// The maximum number of files that are signed at the same time. Signer allows 3 starts a second for an account
/// (<https://docs.aws.amazon.com/general/latest/gr/signer.html>).
const MAX_CONCURRENT_FILES: usize = 3;

/// The first and the longest pause before a throttled request to Signer is sent again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// The maximum number of unusable signing jobs that are replaced for one file.
const MAX_UNUSABLE_JOBS: u32 = 50;

/// Signs each file. If the release has no record, first writes one as this attempt's claim, and checks the claim while
/// Signer works.
///
/// # Errors
/// [`Failure::Overtaken`] if another attempt has written the record first. Fails if a request fails or a signature does
/// not verify.
pub(crate) async fn sign_all(
    scope: Scope<'_>,
    record: &JobRecord,
    files: Vec<FileToSign>,
    attempts: &EarlierAttempts,
) -> Result<Vec<SignedFile>, Failure> {
    let claim = if record.is_written { None } else { Some(record.claim(scope).await?) };
    let claim_holds = async {
        match &claim {
            Some(claim) => JobRecord::claim_holds(scope, claim).await,
            None => Ok(true),
        }
    };
    let signed = stream::iter(files).map(|file| sign(scope, file, record.nonce.as_deref(), attempts));
    let (claim_holds, signed) = try_join(claim_holds, signed.buffered(MAX_CONCURRENT_FILES).try_collect()).await?;
    if claim_holds { Ok(signed) } else { Err(overtaken(scope)) }
}

/// Signs one file. If signatures are verified, reads the file at the same time.
async fn sign(
    scope: Scope<'_>,
    FileToSign { file, image, source }: FileToSign,
    nonce: Option<&str>,
    attempts: &EarlierAttempts,
) -> Result<SignedFile, Failure> {
    let scope = scope.with_upload(&file.source);
    let verification = scope.settings.verify_signatures.0.then(|| Verification::new(scope, &image));
    let verifier = verification.as_ref();
    let signed = async {
        match source {
            SignatureSource::Signer(profile) => {
                let signing =
                    Signing { scope, file: &file, image: &image, profile: &profile, nonce, verification: verifier };
                signing.sign(attempts).await
            }
            SignatureSource::Provided(signature) => signature.into_signed_image(&file, &image, verifier).await,
        }
    };
    let digests = async {
        match verifier {
            Some(verification) => verification.digests().await.map(drop),
            None => Ok(()),
        }
    };
    let (signed, ()) = try_join(signed, digests).await?;
    let digests = verification.and_then(Verification::into_digests);
    Ok(SignedFile { file, image, signed, digests })
}

/// The token of a signing job. If Signer knows the token, it returns the signing job of that token, so all attempts
/// share one job. Nobody else can have used the token, because it is derived from the record's nonce.
fn token(file: &FileRequest, profile: &ProfileName, unusable_jobs: u32, nonce: Option<&str>) -> String {
    let unusable_jobs = unusable_jobs.to_string();
    let inputs = [&profile.0, &file.signed_prefix, &unusable_jobs];
    let inputs: Vec<_> = inputs.into_iter().map(String::as_str).chain(nonce).collect();
    file.source.token(&inputs)
}

/// Builds StartSigningJob for a file.
pub(crate) fn request(
    scope: Scope<'_>,
    file: &FileRequest,
    profile: &ProfileName,
    token: String,
) -> Result<StartSigningJobFluentBuilder, Failure> {
    let upload = &file.source;
    let source = S3Source::builder().bucket_name(&upload.bucket).key(&upload.key).version(&upload.version_id).build();
    let source = source.map_err(|error| Failure::request(starting(file, profile), error))?;
    let destination = S3Destination::builder().bucket_name(&upload.bucket).prefix(&file.signed_prefix).build();
    let call = scope.aws.signer.start_signing_job().source(Source::builder().s3(source).build());
    let call = call.destination(Destination::builder().s3(destination).build()).profile_name(&profile.0);
    Ok(call.client_request_token(token))
}

fn starting(file: &FileRequest, profile: &ProfileName) -> String {
    format!("starting a signing job of `{}` with the signing profile `{}`", file.source, profile.0)
}

/// Retries a throttled request to Signer until the deadline. Signer's quotas are per account, and a burst of uploads
/// outlasts Lambda's retries. The SDK's own retries in between add jitter.
async fn retry_throttled<T, E: ProvideErrorMetadata>(
    deadline: Instant,
    call: impl AsyncFn() -> Result<T, SdkError<E>>,
) -> Result<T, SdkError<E>> {
    let mut backoff = Backoff::new(FIRST_PAUSE, MAX_PAUSE, deadline);
    loop {
        match call().await {
            Err(error) if is_throttled(error.code()) && backoff.pause().await => {}
            response => return response,
        }
    }
}

/// The signing of a file with a signing profile.
struct Signing<'a> {
    /// The scope of the file's upload.
    scope: Scope<'a>,
    file: &'a FileRequest,
    image: &'a Image,
    profile: &'a ProfileName,
    /// The nonce of the record.
    nonce: Option<&'a str>,
    /// `None` if signatures are not verified.
    verification: Option<&'a Verification<'a>>,
}

impl Signing<'_> {
    /// Signs the file, or uses the signature that an earlier attempt made with the same profile.
    async fn sign(&self, attempts: &EarlierAttempts) -> Result<SignedImage, Failure> {
        for signed in attempts.signed_objects(&self.file.signed_prefix) {
            if let Some(signed) = self.reuse(signed).await? {
                return Ok(signed);
            }
        }
        self.sign_anew().await
    }

    /// Returns the image with the signature of an earlier attempt. `None` if that signature cannot be used.
    async fn reuse(&self, signed: &SignedObjectVersion) -> Result<Option<SignedImage>, Failure> {
        let SignedObjectVersion { signing_job, key, version_id, .. } = signed;
        let call = self.scope.aws.signer.describe_signing_job().job_id(signing_job);
        let job = match retry_throttled(self.scope.deadline, async || call.clone().send().await).await {
            Ok(job) => job,
            // The signing job is not one of this account.
            Err(error) if matches!(error.code(), Some("ResourceNotFoundException" | "AccessDeniedException")) => {
                return Ok(None);
            }
            Err(error) => return Err(signing_job::lookup_failure(signing_job, error)),
        };
        let signature = read_signature(self.scope, self.image, (key, Some(version_id)));
        match self.use_job(signing_job, &job, signature).await {
            Ok(image) => self.check_profile().await.map(|()| Some(image)),
            Err(SigningError::Unusable(_) | SigningError::Failed(Failure::Signature { .. })) => Ok(None),
            Err(SigningError::Failed(failure)) => Err(failure),
        }
    }

    /// Fails if signatures of the profile can no longer be used. Nothing else checks the profile of an existing
    /// signature, because Signer does not sign again.
    async fn check_profile(&self) -> Result<(), Failure> {
        let profile = &self.profile.0;
        let state = profile::check_after_signing(self.scope, profile).await?;
        state.map_err(|problem| profile::unusable(profile, &problem))
    }

    /// Starts a signing job and waits for it. Every attempt sends the same token, and so gets the same signing job.
    ///
    /// If that job was completed before this invocation and cannot be used, starts another one, because the operator
    /// may have removed the cause.
    async fn sign_anew(&self) -> Result<SignedImage, Failure> {
        let mut unusable_jobs = 0;
        loop {
            let signing_job = self.start(unusable_jobs).await?;
            let job = self.wait(&signing_job).await?;
            // Clocks may differ by some seconds.
            let completed = job.completed_at.map_or(i64::MAX, |time| time.secs());
            let is_old = completed.saturating_add(5) < self.scope.started.as_second();
            let key = self.signed_key(&signing_job);
            let signature = read_current_or_oldest_signature(self.scope, self.image, &key);
            match self.use_job(&signing_job, &job, signature).await {
                Err(SigningError::Unusable(_) | SigningError::Failed(Failure::Signature { .. }))
                    if is_old && unusable_jobs < MAX_UNUSABLE_JOBS =>
                {
                    unusable_jobs += 1;
                }
                Err(SigningError::Unusable(message)) => return Err(Failure::Other(message)),
                Err(SigningError::Failed(failure)) => return Err(failure),
                Ok(image) if is_old => return self.check_profile().await.map(|()| image),
                Ok(image) => return Ok(image),
            }
        }
    }

    /// The key of the object that a signing job of this file writes.
    fn signed_key(&self, signing_job: &str) -> String {
        format!("{}{signing_job}", self.file.signed_prefix)
    }

    async fn start(&self, unusable_jobs: u32) -> Result<String, Failure> {
        let token = token(self.file, self.profile, unusable_jobs, self.nonce);
        let call = request(self.scope, self.file, self.profile, token)?;
        let response = retry_throttled(self.scope.deadline, async || call.clone().send().await).await;
        let response = response.map_err(|error| Failure::request(starting(self.file, self.profile), error))?;
        required(response.job_id, "jobId")
    }

    /// Waits until a signing job has ended. Signer allows 6 lookups a second for an account
    /// (<https://docs.aws.amazon.com/general/latest/gr/signer.html>).
    async fn wait(&self, signing_job: &str) -> Result<DescribeSigningJobOutput, Failure> {
        let mut polling = Polling::new(self.scope.deadline);
        loop {
            let is_throttled = match self.scope.aws.signer.describe_signing_job().job_id(signing_job).send().await {
                Ok(job) if job.status != Some(SigningStatus::InProgress) => return Ok(job),
                Ok(_) => false,
                Err(error) if is_throttled(error.code()) => true,
                // Not known to Signer yet.
                Err(error) if error.code() == Some("ResourceNotFoundException") => false,
                Err(error) => return Err(signing_job::lookup_failure(signing_job, error)),
            };
            if !polling.pause(is_throttled).await {
                return Err(Failure::Other(format!(
                    "the signing job `{signing_job}` is still in progress when the invocation's time ends; the next attempt \
                     continues with it"
                )));
            }
        }
    }

    /// Returns the image with the signature from the job's signed object. Verifies the signature if the deployment
    /// verifies signatures.
    async fn use_job(
        &self,
        signing_job: &str,
        job: &DescribeSigningJobOutput,
        signature: impl Future<Output = Result<(String, SignatureAlgorithm), SigningError>>,
    ) -> Result<SignedImage, SigningError> {
        let cert_file = self.check(signing_job, job)?;
        let key = self.signed_key(signing_job);
        let certificate = async { self.certificate(job).await.map_err(SigningError::from) };
        let reading = Box::pin(try_join(signature, certificate)).await;
        let ((signature, algorithm), certificate) = reading.map_err(|error| {
            error.wrap(|problem| format!("the signed object `{key}` is not one of this upload: {problem}"))
        })?;
        let mut verified_until = None;
        if let (Some(verification), Some(certificate)) = (self.verification, certificate) {
            verification.verify(&certificate, algorithm, &signature).await?;
            verified_until = Some(certificate.not_after);
        }
        Ok(SignedImage { key, signature, algorithm, cert_file, size: self.image.size, verified_until })
    }

    /// Checks that a signing job has succeeded over this version, with this profile, and has written below the file's
    /// own prefix. Returns the path of the certificate on the device.
    fn check(&self, signing_job: &str, job: &DescribeSigningJobOutput) -> Result<String, SigningError> {
        let upload = self.scope.upload;
        if job.status == Some(SigningStatus::Failed) {
            let reason = job.status_reason().unwrap_or("Signer gives no reason");
            let message = format!("the signing job `{signing_job}` of `{upload}` failed: {reason}");
            return Err(SigningError::Unusable(message));
        }
        let key = self.signed_key(signing_job);
        let usable = signing_job::check(job, upload, self.scope.started).and_then(|usable| {
            let UsableJob { signed_object, profile, cert_file } = usable;
            if signed_object != (&upload.bucket, &key) {
                Err(SigningError::Unusable(format!("its signed object is {signed_object:?}, expected `{key}`")))
            } else if profile != self.profile.0 {
                Err(SigningError::Unusable(format!("its profile is `{profile}`, expected `{}`", self.profile.0)))
            } else {
                Ok(cert_file)
            }
        });
        usable.map_err(|error| {
            error.wrap(|problem| format!("the signing job `{signing_job}` does not match this release: {problem}"))
        })
    }

    async fn certificate(&self, job: &DescribeSigningJobOutput) -> Result<Option<Certificate>, Failure> {
        let Some(verification) = self.verification else { return Ok(None) };
        verification.certificate(certificate_arn(job)?).await.map(Some)
    }
}
