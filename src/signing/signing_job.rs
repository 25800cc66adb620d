//! Checks which signing jobs of AWS Signer can be used.

use crate::error::{Cause, Failure, required, required_text};
use crate::signing::profile::cert_file;
use crate::upload::Upload;
use aws_sdk_signer::operation::describe_signing_job::DescribeSigningJobOutput;
use aws_sdk_signer::types::{SignedObject, SigningMaterial, SigningStatus, Source};
use jiff::Timestamp;

/// The reason why a signing job or its signed object has no usable signature.
#[derive(Debug)]
pub(crate) enum SigningError {
    /// The job or its object cannot be used, for this reason. Another signing job may be usable.
    Unusable(String),
    Failed(Failure),
}

impl From<Failure> for SigningError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl SigningError {
    /// Replaces the problem with a message that names its subject. Leaves a failure as it is.
    pub fn wrap(self, message: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Unusable(problem) => Self::Unusable(message(problem)),
            Self::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// A signing job over the upload that has succeeded, and whose signature is valid.
#[derive(Debug)]
pub(crate) struct UsableJob<'a> {
    /// Bucket and key of the signed object.
    pub signed_object: (&'a str, &'a str),
    pub profile: &'a str,
    /// The path of the certificate on the device.
    pub cert_file: String,
}

/// Checks that a signing job has succeeded over the upload, that its signature is valid, and that devices can find its
/// certificate. The caller must check its profile and the place of its signed object.
///
/// # Errors
/// [`SigningError::Unusable`] if one of these checks fails. [`SigningError::Failed`] if the response lacks a member
/// that the checks need.
pub(crate) fn check<'a>(
    job: &'a DescribeSigningJobOutput,
    upload: &Upload,
    now: Timestamp,
) -> Result<UsableJob<'a>, SigningError> {
    let status = required(job.status(), "status")?;
    if *status != SigningStatus::Succeeded {
        let reason = job.status_reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
        return Err(SigningError::Unusable(format!("its status is `{status}`{reason}")));
    }
    let source = required(job.source().and_then(Source::s3), "source.s3")?;
    let bucket = required_text(source.bucket_name(), "source.s3.bucketName")?;
    let key = required_text(source.key(), "source.s3.key")?;
    let version = required_text(source.version(), "source.s3.version")?;
    if (bucket, key, version) != (&upload.bucket, &upload.key, &upload.version_id) {
        let source = Upload::new(bucket.to_owned(), key.to_owned(), version.to_owned());
        return Err(SigningError::Unusable(format!("its source is `{source}`, expected `{upload}`")));
    }
    check_validity(job, now).map_err(SigningError::Unusable)?;
    let signed = required(job.signed_object().and_then(SignedObject::s3), "signedObject.s3")?;
    Ok(UsableJob {
        signed_object: (
            required(signed.bucket_name(), "signedObject.s3.bucketName")?,
            required(signed.key(), "signedObject.s3.key")?,
        ),
        profile: required(job.profile_name(), "profileName")?,
        cert_file: cert_file(job.signing_parameters()).map_err(SigningError::Unusable)?,
    })
}

/// Fails with the problem of a signature that is no longer valid. A signature without an expiry stays valid.
fn check_validity(job: &DescribeSigningJobOutput, now: Timestamp) -> Result<(), String> {
    if job.revocation_record.is_some() {
        return Err("it is revoked".to_owned());
    }
    match job.signature_expires_at() {
        Some(end) if end.secs() <= now.as_second() => {
            let end = Timestamp::from_second(end.secs()).map(|end| end.to_string()).unwrap_or_default();
            Err(format!("its signature expired at {end}"))
        }
        _ => Ok(()),
    }
}

/// The failure of a DescribeSigningJob request.
pub(crate) fn lookup_failure(signing_job: &str, error: impl Into<Cause>) -> Failure {
    Failure::request(format!("looking up the signing job `{signing_job}`"), error)
}

/// The ARN in ACM of the certificate that a signing job used.
pub(crate) fn certificate_arn(job: &DescribeSigningJobOutput) -> Result<&str, Failure> {
    let arn = job.signing_material().map(SigningMaterial::certificate_arn);
    required_text(required(arn, "signingMaterial")?, "certificateArn")
}
