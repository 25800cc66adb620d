//! Signing with AWS Signer: start, wait, read the signed object and check that it speaks of this upload.

use crate::{
    clients::Clients,
    error::Failure,
    record::{Traces, Version},
    settings::{ProfileName, Settings},
    signed_object::{NotSigned, SignatureAlgorithm, SignedObject},
    upload::{Image, Upload},
};
use aws_sdk_signer::{
    error::ProvideErrorMetadata,
    operation::describe_signing_job::DescribeSigningJobOutput,
    types::{Destination, S3Destination, S3Source, SigningStatus, Source},
};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::io::SyncIoBridge;

/// The first pause between two looks at a signing job; each is twice as long as the one before. Signer allows 6 looks
/// a second for a whole account (<https://docs.aws.amazon.com/general/latest/gr/signer.html>).
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How many failed signing jobs of one version are looked past for one that can still be started.
const MOST_FAILED: u32 = 20;

/// The time that an invocation has.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// When it began.
    pub started: Timestamp,
    /// When it must have ended.
    pub deadline: Instant,
}

/// A signature over an upload, made by AWS Signer, and all that a device needs to check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedImage {
    /// The key of the signed object.
    pub key: String,
    /// The signature, in base64.
    pub signature: String,
    /// Its algorithm.
    pub algorithm: SignatureAlgorithm,
    /// The certificate's path on the device: the signing profile's `certname`.
    pub cert_file: String,
    /// The size of the image that was signed, in bytes.
    pub size: u64,
    /// The version ID of a raw copy that an earlier attempt put over the signed object.
    pub raw_copy: Option<String>,
}

/// Signs an upload with a signing profile, or finds the signature that an earlier attempt had made with it.
pub(crate) async fn sign(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    image: &Image,
    profile: &ProfileName,
    traces: &Traces,
    time: Time,
) -> Result<SignedImage, Failure> {
    let signing = Signing { aws, settings, upload, image, profile };
    for (key, versions) in &traces.signed {
        if let Some(signed) = signing.earlier(key, versions).await? {
            return Ok(signed);
        }
    }
    signing.fresh(time).await
}

struct Signing<'a> {
    aws: &'a Clients,
    settings: &'a Settings,
    upload: &'a Upload,
    image: &'a Image,
    profile: &'a ProfileName,
}

impl Signing<'_> {
    /// The image as an earlier attempt signed it, if with the same profile.
    async fn earlier(&self, key: &str, versions: &[Version]) -> Result<Option<SignedImage>, Failure> {
        let Some((signed, copies)) = versions.split_first() else { return Ok(None) };
        let signing_job = key.rsplit('/').next().unwrap_or_default();
        let job = match self.aws.signer.describe_signing_job().job_id(signing_job).send().await {
            Ok(job) => job,
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => {
                return Err(Failure::DescribeSigningJob { signing_job: signing_job.into(), source: error.into() });
            }
        };
        if job.status != Some(SigningStatus::Succeeded) || self.check(signing_job, &job).is_err() {
            return Ok(None);
        }
        let object = match self.read(key, Some(&signed.id)).await {
            Ok(object) => object,
            Err(Failure::SignedObject { .. }) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let raw_copy = copies.iter().rev().find(|copy| copy.size == self.image.size).map(|copy| copy.id.clone());
        let cert_file = cert_file(signing_job, &job)?;
        Ok(Some(SignedImage { raw_copy, ..self.signed_image(key.to_owned(), object, cert_file) }))
    }

    async fn fresh(&self, time: Time) -> Result<SignedImage, Failure> {
        let (signing_job, job) = self.job(time).await?;
        self.check(&signing_job, &job)?;
        let cert_file = cert_file(&signing_job, &job)?;
        let key = format!("{}{signing_job}", self.upload.signed_prefix(self.settings));
        let object = match self.read(&key, None).await {
            // What was read is the latest version of the key. If another attempt has copied the image over the signed
            // object meanwhile, that is the image: the signed object is the oldest version.
            Err(Failure::SignedObject { problem, .. }) => {
                let traces = Traces::list(self.aws, self.settings, self.upload).await?;
                let oldest = traces.signed.get(&key).and_then(|versions| versions.first());
                let oldest = oldest.ok_or_else(|| Failure::SignedObject { key: key.clone(), problem })?;
                self.read(&key, Some(&oldest.id)).await?
            }
            object => object?,
        };
        Ok(self.signed_image(key, object, cert_file))
    }

    /// A signing job of this version that has succeeded. Signer answers a token that it knows with the job that it has,
    /// so every attempt comes to the same job; one that failed before this invocation is followed by another.
    async fn job(&self, time: Time) -> Result<(String, DescribeSigningJobOutput), Failure> {
        let mut failed_before = 0;
        loop {
            let signing_job = self.start(failed_before).await?;
            let job = self.wait(&signing_job, time.deadline).await?;
            if job.status != Some(SigningStatus::Failed) {
                return Ok((signing_job, job));
            }
            // Some seconds for clocks that differ.
            let completed = job.completed_at.map_or(i64::MAX, |time| time.secs());
            if completed + 5 >= time.started.as_second() || failed_before == MOST_FAILED {
                let reason = job.status_reason.unwrap_or_else(|| "Signer gives no reason".to_owned());
                return Err(Failure::SigningFailed { object: self.upload.to_string(), signing_job, reason });
            }
            failed_before += 1;
        }
    }

    async fn start(&self, failed_before: u32) -> Result<String, Failure> {
        let (upload, prefix) = (self.upload, self.upload.signed_prefix(self.settings));
        let failure =
            |source| Failure::StartSigningJob { object: upload.to_string(), profile: self.profile.0.clone(), source };
        let source =
            S3Source::builder().bucket_name(&upload.bucket).key(&upload.key).version(&upload.version_id).build();
        let destination = S3Destination::builder().bucket_name(&upload.bucket).prefix(&prefix).build();
        let call = self
            .aws
            .signer
            .start_signing_job()
            .source(Source::builder().s3(source.map_err(|error| failure(error.into()))?).build())
            .destination(Destination::builder().s3(destination).build())
            .profile_name(&self.profile.0)
            .client_request_token(upload.token([&self.profile.0, &prefix, &failed_before.to_string()]));
        let answer = call.send().await.map_err(|error| failure(error.into()))?;
        answer.job_id.ok_or(Failure::Incomplete { member: "jobId" })
    }

    async fn wait(&self, signing_job: &str, deadline: Instant) -> Result<DescribeSigningJobOutput, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.aws.signer.describe_signing_job().job_id(signing_job).send().await;
            let job = answer.map_err(|error| Failure::DescribeSigningJob {
                signing_job: signing_job.to_owned(),
                source: error.into(),
            })?;
            if job.status != Some(SigningStatus::InProgress) {
                return Ok(job);
            }
            if Instant::now() + pause >= deadline {
                return Err(Failure::SigningUnfinished { signing_job: signing_job.to_owned() });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Checks that a signing job is of this version, with this profile, into this version's own prefix.
    fn check(&self, signing_job: &str, job: &DescribeSigningJobOutput) -> Result<(), Failure> {
        let upload = self.upload;
        let source = job.source().and_then(Source::s3);
        let signed = job.signed_object().and_then(|object| object.s3());
        let key = format!("{}{signing_job}", upload.signed_prefix(self.settings));
        let is_source = source.is_some_and(|source| {
            (source.bucket_name(), source.key(), source.version()) == (&upload.bucket, &upload.key, &upload.version_id)
        });
        let is_destination = signed.is_some_and(|signed| {
            signed.bucket_name() == Some(upload.bucket.as_str()) && signed.key() == Some(key.as_str())
        });
        let problem = if job.status != Some(SigningStatus::Succeeded) {
            format!("its status is {:?}", job.status)
        } else if !is_source {
            format!("its source is {source:?}, expected `{upload}`")
        } else if !is_destination {
            format!("its signed object is {signed:?}, expected `{key}`")
        } else if job.profile_name() != Some(self.profile.0.as_str()) {
            format!("its profile is {:?}, expected `{}`", job.profile_name(), self.profile.0)
        } else {
            return Ok(());
        };
        Err(Failure::SigningJob { signing_job: signing_job.to_owned(), problem })
    }

    /// Reads a version (or else the latest) of a signed object as it comes in, no further than needed, and checks it.
    async fn read(&self, key: &str, version: Option<&str>) -> Result<(String, SignatureAlgorithm), Failure> {
        let call = self.aws.s3.get_object().bucket(&self.upload.bucket).key(key);
        let call = call.set_version_id(version.map(str::to_owned));
        let answer = call.expected_bucket_owner(&self.settings.ota_role.account).send().await;
        let answer = answer.map_err(|error| Failure::GetSignedObject { key: key.to_owned(), source: error.into() })?;
        let length = answer.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default();
        let body = SyncIoBridge::new(answer.body.into_async_read());
        let parsed = tokio::task::spawn_blocking(move || SignedObject::read(body)).await;
        let unreadable = |source| Failure::GetSignedObject { key: key.to_owned(), source };
        let object = match parsed.map_err(|error| unreadable(error.into()))? {
            Err(NotSigned::Unread(error)) => return Err(unreadable(error.into())),
            Err(NotSigned::Because(problem)) => Err(problem),
            Ok(object) => object.check(self.upload, self.image, length),
        };
        object.map_err(|problem| Failure::SignedObject { key: key.to_owned(), problem })
    }

    fn signed_image(
        &self,
        key: String,
        (signature, algorithm): (String, SignatureAlgorithm),
        cert_file: String,
    ) -> SignedImage {
        SignedImage { key, signature, algorithm, cert_file, size: self.image.size, raw_copy: None }
    }
}

/// The path of the certificate on the device, which the profile's `certname` tells. Devices read it without decoding
/// escapes, and AWS IoT would take a `${` for a placeholder of its own.
fn cert_file(signing_job: &str, job: &DescribeSigningJobOutput) -> Result<String, Failure> {
    let problem = match job.signing_parameters().and_then(|parameters| parameters.get("certname")) {
        Some(name) if name.contains(['"', '\\']) || name.contains(char::is_control) || name.contains("${") => {
            format!(
                "the `certname` of its profile is `{name}`, expected no quote, backslash, control character or `${{`"
            )
        }
        Some(name) if !name.is_empty() => return Ok(name.clone()),
        _ => "its profile has no signing parameter `certname`, the path of the certificate on the device".to_owned(),
    };
    Err(Failure::SigningJob { signing_job: signing_job.to_owned(), problem })
}
