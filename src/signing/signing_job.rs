//! A signing job of AWS Signer, as Signer reports it.

use crate::error::{Failure, required, required_text};
use aws_sdk_signer::{
    operation::describe_signing_job::DescribeSigningJobOutput,
    types::{SignedObject as SignedObjectPlace, Source},
};
use jiff::Timestamp;

/// Whether the signature of a signing job is still good: the problem if not. Where the platform knows no validity, it has
/// no end.
pub(crate) fn check_validity(job: &DescribeSigningJobOutput, now: Timestamp) -> Result<(), String> {
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

/// What AWS Signer reports of every signing job that has succeeded.
pub(crate) struct Succeeded<'a> {
    /// Bucket, key and version of what was signed.
    pub source: (&'a str, &'a str, &'a str),
    /// Bucket and key of the signed object.
    pub signed_object: (&'a str, &'a str),
    pub profile: &'a str,
}

impl<'a> Succeeded<'a> {
    /// # Errors
    /// The response lacks one of them.
    pub fn of(job: &'a DescribeSigningJobOutput) -> Result<Self, Failure> {
        let source = required(job.source().and_then(Source::s3), "source.s3")?;
        let signed = required(job.signed_object().and_then(SignedObjectPlace::s3), "signedObject.s3")?;
        Ok(Self {
            source: (
                required_text(source.bucket_name(), "source.s3.bucketName")?,
                required_text(source.key(), "source.s3.key")?,
                required_text(source.version(), "source.s3.version")?,
            ),
            signed_object: (
                required(signed.bucket_name(), "signedObject.s3.bucketName")?,
                required(signed.key(), "signedObject.s3.key")?,
            ),
            profile: required(job.profile_name(), "profileName")?,
        })
    }
}
