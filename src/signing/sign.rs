//! Signing with AWS Signer: start, wait, read the signed object and check that it speaks of this upload.

use crate::{
    clients::Clients,
    error::{Cause, Failure, is_throttled, required, required_text},
    options::signature::{ProfileName, SignatureAlgorithm},
    request::file::FileRequest,
    s3::attempts::{EarlierAttempts, Signed},
    s3::object::Image,
    settings::Settings,
    signing::certificate::Certificate,
    signing::fetch::{read, read_under_copy},
    signing::profile::{cert_file, check_profile_of_signature},
    signing::signing_job::{Succeeded, check_validity},
    signing::verification::Verification,
    upload::Upload,
};
use aws_sdk_signer::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        describe_signing_job::DescribeSigningJobOutput, start_signing_job::builders::StartSigningJobFluentBuilder,
    },
    types::{Destination, S3Destination, S3Source, SigningStatus, Source},
};
use futures::future::try_join;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first pause between two looks at a signing job; each is twice as long as the one before. Signer allows 6 looks
/// a second for a whole account (<https://docs.aws.amazon.com/general/latest/gr/signer.html>).
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How many useless signing jobs of one version are looked past for one that can still be started.
const MAX_USELESS: u32 = 50;

/// The time that an invocation has.
#[derive(Debug, Clone, Copy)]
pub struct Invocation {
    /// When it began.
    pub started: Timestamp,
    /// When it must have ended.
    pub deadline: Instant,
}

/// A signature over a file, and all that a device needs to check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedImage {
    /// The key that the raw copy gets: that of the signed object, where Signer wrote it for this release.
    pub key: String,
    /// The signature, in base64.
    pub signature: String,
    /// Its algorithm.
    pub algorithm: SignatureAlgorithm,
    /// The certificate's path on the device: the signing profile's `certname`.
    pub cert_file: String,
    /// The size of the image that was signed, in bytes.
    pub size: u64,
    /// Until when the certificate is valid with which the signature was verified; nothing if it was not verified.
    pub verified_until: Option<Timestamp>,
}

/// Calls Signer again while it is called too often by the whole account, as long as the invocation lasts: Lambda's
/// few attempts are over long before a burst of uploads is. What the SDK tries in between brings chance into the pauses.
async fn retry_throttled<T, E: ProvideErrorMetadata>(
    deadline: Instant,
    call: impl AsyncFn() -> Result<T, SdkError<E>>,
) -> Result<T, SdkError<E>> {
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Err(error) if is_throttled(error.code()) && Instant::now() + pause < deadline => sleep(pause).await,
            answer => return answer,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The token of a signing job. Signer answers it with the job that it knows by it, so attempts share one. Nobody else can
/// have used it, as it is derived from the record's nonce.
fn token(file: &FileRequest, profile: &ProfileName, useless: u32, nonce: Option<&str>) -> String {
    let useless = useless.to_string();
    let inputs = [&profile.0, &file.signed_prefix, &useless];
    let inputs: Vec<_> = inputs.into_iter().map(String::as_str).chain(nonce).collect();
    file.source.token(&inputs)
}

/// StartSigningJob of a file.
pub(crate) fn request(
    aws: &Clients,
    file: &FileRequest,
    profile: &ProfileName,
    token: String,
) -> Result<StartSigningJobFluentBuilder, Failure> {
    let (upload, prefix) = (&file.source, &file.signed_prefix);
    let source = S3Source::builder().bucket_name(&upload.bucket).key(&upload.key).version(&upload.version_id).build();
    let source = source.map_err(|error| start_failure(upload, profile, error.into()))?;
    let destination = S3Destination::builder().bucket_name(&upload.bucket).prefix(prefix).build();
    let call = aws.signer.start_signing_job().source(Source::builder().s3(source).build());
    let call = call.destination(Destination::builder().s3(destination).build()).profile_name(&profile.0);
    Ok(call.client_request_token(token))
}

fn start_failure(upload: &Upload, profile: &ProfileName, source: Cause) -> Failure {
    Failure::StartSigningJob { object: upload.to_string(), profile: profile.0.clone(), source }
}

/// The signing of a file with a signing profile.
pub(crate) struct Signing<'a> {
    pub aws: &'a Clients,
    pub settings: &'a Settings,
    pub file: &'a FileRequest,
    pub image: &'a Image,
    pub profile: &'a ProfileName,
    /// That of the record.
    pub nonce: Option<&'a str>,
    /// Nothing where signatures are not to be verified.
    pub verification: Option<&'a Verification<'a>>,
}

impl Signing<'_> {
    /// Signs the file, or finds the signature that an earlier attempt had made with the same profile.
    pub async fn sign(&self, traces: &EarlierAttempts, invocation: Invocation) -> Result<SignedImage, Failure> {
        for signed in traces.signed(&self.file.signed_prefix) {
            if let Some(signed) = self.earlier(signed, invocation).await? {
                return Ok(signed);
            }
        }
        self.fresh(invocation).await
    }

    /// The image as an earlier attempt signed it, if with the same profile.
    async fn earlier(&self, signed: &Signed, invocation: Invocation) -> Result<Option<SignedImage>, Failure> {
        let Signed { signing_job, key, version_id, .. } = signed;
        let call = self.aws.signer.describe_signing_job().job_id(signing_job);
        let job = match retry_throttled(invocation.deadline, async || call.clone().send().await).await {
            Ok(job) => job,
            // None of this account.
            Err(error) if matches!(error.code(), Some("ResourceNotFoundException" | "AccessDeniedException")) => {
                return Ok(None);
            }
            Err(error) => {
                return Err(Failure::DescribeSigningJob { signing_job: signing_job.into(), source: error.into() });
            }
        };
        let cert_file = match self.check(signing_job, &job, invocation) {
            Ok(cert_file) => cert_file,
            Err(Failure::SigningFailed { .. } | Failure::SigningJob { .. }) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        match self.signed_image(&job, key, cert_file, self.read(key, version_id)).await {
            Ok(image) => self.check_profile(invocation).await.map(|()| Some(image)),
            Err(Failure::SignedObject { .. } | Failure::Signature { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Fails if the profile is not good any more, by which a signature was made before this invocation: nothing else would
    /// notice, as Signer is not asked for another.
    async fn check_profile(&self, invocation: Invocation) -> Result<(), Failure> {
        let profile = &self.profile.0;
        let is_good = check_profile_of_signature(self.aws, profile, invocation.started).await?;
        is_good.map_err(|problem| Failure::SigningProfile { profile: profile.clone(), problem })
    }

    /// Signer answers a token that it knows with the signing job that it has, so every attempt comes to the same one.
    /// One that was completed before this invocation and is of no use, as the operator has mended what made it so,
    /// is followed by another.
    async fn fresh(&self, invocation: Invocation) -> Result<SignedImage, Failure> {
        let mut useless = 0;
        loop {
            let signing_job = self.start(useless, invocation.deadline).await?;
            let job = self.wait(&signing_job, invocation.deadline).await?;
            // Some seconds for clocks that differ.
            let completed = job.completed_at.map_or(i64::MAX, |time| time.secs());
            let is_old = completed.saturating_add(5) < invocation.started.as_second();
            match self.use_job(&signing_job, &job, invocation).await {
                Err(
                    Failure::SigningFailed { .. }
                    | Failure::SigningJob { .. }
                    | Failure::SignedObject { .. }
                    | Failure::Signature { .. },
                ) if is_old && useless < MAX_USELESS => useless += 1,
                Ok(image) if is_old => return self.check_profile(invocation).await.map(|()| image),
                signed => return signed,
            }
        }
    }

    async fn use_job(
        &self,
        signing_job: &str,
        job: &DescribeSigningJobOutput,
        invocation: Invocation,
    ) -> Result<SignedImage, Failure> {
        let cert_file = self.check(signing_job, job, invocation)?;
        let key = format!("{}{signing_job}", self.file.signed_prefix);
        let read = read_under_copy(self.aws, self.settings, &self.file.source, self.image, &key);
        self.signed_image(job, &key, cert_file, read).await
    }

    async fn start(&self, useless: u32, deadline: Instant) -> Result<String, Failure> {
        let token = token(self.file, self.profile, useless, self.nonce);
        let call = request(self.aws, self.file, self.profile, token)?;
        let failure = |source| start_failure(&self.file.source, self.profile, source);
        let answer = retry_throttled(deadline, async || call.clone().send().await).await;
        let answer = answer.map_err(|error| failure(error.into()))?;
        required(answer.job_id, "jobId")
    }

    async fn wait(&self, signing_job: &str, deadline: Instant) -> Result<DescribeSigningJobOutput, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.aws.signer.describe_signing_job().job_id(signing_job).send().await {
                Ok(job) if job.status != Some(SigningStatus::InProgress) => return Ok(job),
                // Looked at too often by the whole account, or too early: as good as in progress.
                Ok(_) => {}
                Err(error) if is_throttled(error.code()) => {}
                Err(error) if error.code() == Some("ResourceNotFoundException") => {}
                Err(error) => {
                    return Err(Failure::DescribeSigningJob {
                        signing_job: signing_job.to_owned(),
                        source: error.into(),
                    });
                }
            }
            if Instant::now() + pause >= deadline {
                return Err(Failure::SigningUnfinished { signing_job: signing_job.to_owned() });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Checks that a signing job has succeeded, and is of this version, with this profile, into this version's own
    /// prefix; what it tells of the certificate on the device.
    fn check(
        &self,
        signing_job: &str,
        job: &DescribeSigningJobOutput,
        invocation: Invocation,
    ) -> Result<String, Failure> {
        if job.status == Some(SigningStatus::Failed) {
            let reason = job.status_reason.clone().unwrap_or_else(|| "Signer gives no reason".to_owned());
            let (object, signing_job) = (self.file.source.to_string(), signing_job.to_owned());
            return Err(Failure::SigningFailed { object, signing_job, reason });
        }
        let failure = |problem| Failure::SigningJob { signing_job: signing_job.to_owned(), problem };
        let status = required(job.status(), "status")?;
        if *status != SigningStatus::Succeeded {
            return Err(failure(format!("its status is `{status}`")));
        }
        let upload = &self.file.source;
        let Succeeded { source, signed_object, profile } = Succeeded::of(job)?;
        let key = format!("{}{signing_job}", self.file.signed_prefix);
        let problem = if source != (&upload.bucket, &upload.key, &upload.version_id) {
            format!("its source is {source:?}, expected `{upload}`")
        } else if signed_object != (&upload.bucket, &key) {
            format!("its signed object is {signed_object:?}, expected `{key}`")
        } else if profile != self.profile.0 {
            format!("its profile is `{profile}`, expected `{}`", self.profile.0)
        } else {
            match check_validity(job, invocation.started).and_then(|()| cert_file(job.signing_parameters())) {
                Ok(cert_file) => return Ok(cert_file),
                Err(problem) => problem,
            }
        };
        Err(failure(problem))
    }

    async fn read(&self, key: &str, version: &str) -> Result<(String, SignatureAlgorithm), Failure> {
        read(self.aws, self.settings, &self.file.source, self.image, (key, Some(version))).await
    }

    /// The image with the signature that is read from its signed object, verified while that is wanted.
    async fn signed_image(
        &self,
        job: &DescribeSigningJobOutput,
        key: &str,
        cert_file: String,
        read: impl Future<Output = Result<(String, SignatureAlgorithm), Failure>>,
    ) -> Result<SignedImage, Failure> {
        let reading = Box::pin(try_join(read, self.certificate(job)));
        let ((signature, algorithm), certificate) = reading.await?;
        let mut verified_until = None;
        if let (Some(verification), Some(certificate)) = (self.verification, certificate) {
            verification.verify(&certificate, algorithm, &signature).await?;
            verified_until = Some(certificate.not_after);
        }
        let (key, size) = (key.to_owned(), self.image.size);
        Ok(SignedImage { key, signature, algorithm, cert_file, size, verified_until })
    }

    async fn certificate(&self, job: &DescribeSigningJobOutput) -> Result<Option<Certificate>, Failure> {
        let Some(verification) = self.verification else { return Ok(None) };
        let arn = job.signing_material().map(aws_sdk_signer::types::SigningMaterial::certificate_arn);
        let arn = required_text(required(arn, "signingMaterial")?, "certificateArn")?;
        verification.certificate(arn).await.map(Some)
    }
}
