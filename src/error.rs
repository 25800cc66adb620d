//! Failures with their causes, and the form that was expected instead of a bad value.

use crate::progress::Step;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStreamError;
use std::borrow::Cow;
use std::error::Error;
use std::{fmt, io};
use tokio::task::JoinError;

/// The form that was expected instead of a bad value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(pub Cow<'static, str>);

/// The cause of a failure. Its properties come from the code, status and headers of the response. Messages are not
/// parsed, because they contain names that uploaders choose.
#[derive(Debug)]
pub struct Cause {
    error: Box<dyn Error + Send + Sync>,
    is_throttled: bool,
    /// The region of the bucket, if S3 reported that the request went to another region.
    bucket_region: Option<String>,
}

impl<E: ProvideErrorMetadata + Error + Send + Sync + 'static> From<SdkError<E, HttpResponse>> for Cause {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let response = error.raw_response();
        let status = response.map(|response| response.status().as_u16());
        // For buckets in regions that AWS opened after March 2019, S3 responds with 400 instead of 301
        // (https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html).
        let is_other_region = matches!(status, Some(301 | 307))
            || matches!(error.code(), Some("AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"))
            || (status == Some(400) && error.code().is_none());
        let response = response.filter(|_| is_other_region);
        let bucket_region = response.and_then(|response| response.headers().get("x-amz-bucket-region"));
        Self {
            // The response to a HEAD request has no body, and so no error code.
            is_throttled: is_throttled(error.code()) || (error.code().is_none() && matches!(status, Some(429 | 503))),
            bucket_region: bucket_region.map(str::to_owned),
            error: error.into(),
        }
    }
}

macro_rules! causes {
    ($($error:ty),*) => {
        $(impl From<$error> for Cause {
            fn from(error: $error) -> Self {
                Self { error: error.into(), is_throttled: false, bucket_region: None }
            }
        })*
    };
}
causes!(&'static str, String, io::Error, serde_json::Error, BuildError, ByteStreamError, JoinError);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(region) = &self.bucket_region {
            write!(f, "the bucket is in the region `{region}`, expected the region of the function: ")?;
        }
        self.error.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Returns whether AWS throttled a request, by the code of its error.
pub(crate) fn is_throttled(code: Option<&str>) -> bool {
    matches!(code, Some("ThrottlingException" | "TooManyRequestsException" | "SlowDown"))
}

/// Returns a member of a response. A response without that member fails the attempt, and the release is retried.
///
/// # Errors
/// `Failure::Incomplete` if the member is absent.
pub(crate) fn required<T>(member: Option<T>, name: &'static str) -> Result<T, Failure> {
    member.ok_or(Failure::Incomplete { member: name })
}

/// Returns a text of a response. If the text is absent, the SDK returns an empty one.
///
/// # Errors
/// `Failure::Incomplete` if the text is empty.
pub(crate) fn required_text<'a>(text: &'a str, name: &'static str) -> Result<&'a str, Failure> {
    required(Some(text).filter(|text| !text.is_empty()), name)
}

/// A failure that Lambda retries. The operator must act if it persists. [`Failure::chain`] is the whole message.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages name the fields")]
pub enum Failure {
    /// The function cannot read the event.
    #[error("the event is not understood: {problem}")]
    Event { problem: String },
    /// The function can read the event, but does not support it. The event stays in the failure queue until the
    /// function or the sender changes.
    #[error("the event is not supported: {problem}")]
    Unsupported { problem: String },
    /// A request to AWS failed, or its response cannot be used.
    #[error("{purpose}")]
    Request { purpose: String, source: Cause },
    /// A response lacks a member that the function needs.
    #[error("a response of AWS lacks `{member}`")]
    Incomplete { member: &'static str },
    /// The signature does not verify over the uploaded bytes.
    #[error(
        "the signature of `{object}` does not verify with the certificate `{certificate}`: {problem}; nothing is offered to devices"
    )]
    Signature { object: String, certificate: String, problem: String },
    /// Another attempt wrote the record first. This attempt starts again, and fails only if it still does not find that
    /// record.
    #[error("another attempt wrote the record `{key}`, but S3 does not list it")]
    Overtaken { key: String },
    /// Another stream or job has the ID of this release.
    #[error("conflict: {what} exists: {problem}; nothing was overwritten. {remedy}")]
    Conflict { what: String, problem: String, remedy: String },
    /// The function ends the invocation before Lambda does.
    #[error("the invocation's time ended while {step}; the next attempt continues from there")]
    OutOfTime { step: Step },
    /// Any other failure, with its whole message.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The failure of a request. `purpose` is a phrase such as ``reading the tags of `…` ``.
    pub(crate) fn request(purpose: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Request { purpose: purpose.into(), source: source.into() }
    }

    /// Returns whether AWS throttled the request.
    pub fn is_throttled(&self) -> bool {
        matches!(self, Self::Request { source, .. } if source.is_throttled)
    }

    /// The message, followed by the messages of all causes, each once. Without its causes, an SDK error prints only
    /// "service error".
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            if !text.contains(&message) {
                text = format!("{text}: {message}");
            }
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::operation::create_job::CreateJobError;

    /// The cause of an SDK error, for a response with this status, headers and code.
    fn response(status: u16, headers: &[(&'static str, &'static str)], code: Option<&str>, message: &str) -> Cause {
        let mut response = HttpResponse::new(status.try_into().unwrap(), aws_sdk_s3::primitives::SdkBody::empty());
        for (name, value) in headers {
            response.headers_mut().insert(*name, *value);
        }
        let metadata = aws_sdk_s3::error::ErrorMetadata::builder().message(message);
        let metadata = if let Some(code) = code { metadata.code(code) } else { metadata };
        SdkError::service_error(CreateJobError::generic(metadata.build()), response).into()
    }

    const PURPOSE: &str = "creating the job `AFR_OTA-SlowDown-ThrottlingException`";

    fn failure(source: Cause) -> Failure {
        Failure::request(PURPOSE, source)
    }

    #[test]
    fn throttling_is_decided_by_the_code_and_never_by_a_text() {
        let names = "AFR_OTA-SlowDown ThrottlingException TooManyRequestsException";
        for (status, code, is_throttled) in [
            (400, Some("ThrottlingException"), true),
            (429, Some("TooManyRequestsException"), true),
            (503, Some("SlowDown"), true),
            (503, None, true),
            (429, None, true),
            (503, Some("ServiceUnavailable"), false),
            (410, Some("LimitExceededException"), false),
            (500, None, false),
        ] {
            let failure = failure(response(status, &[], code, names));
            assert_eq!(failure.is_throttled(), is_throttled, "{status} {code:?}");
        }
        assert!(!failure(names.to_owned().into()).is_throttled());
        assert!(!failure(io::Error::other(names).into()).is_throttled());
        let [what, problem, remedy] = [names; 3].map(str::to_owned);
        assert!(!Failure::Conflict { what, problem, remedy }.is_throttled());
    }

    #[test]
    fn a_bucket_in_another_region_is_named_with_its_region() {
        let region = [("x-amz-bucket-region", "eu-west-1")];
        let cause = "the bucket is in the region `eu-west-1`, expected the region of the function";
        for (status, code) in [
            (301, None),
            (301, Some("PermanentRedirect")),
            (307, Some("TemporaryRedirect")),
            (400, None),
            (400, Some("AuthorizationHeaderMalformed")),
            (400, Some("IllegalLocationConstraintException")),
        ] {
            let moved = failure(response(status, &region, code, "moved")).chain();
            assert!(moved.starts_with(&format!("{PURPOSE}: {cause}: ")), "{moved}");
        }
        // S3 names the region in other responses, too.
        for (status, code) in [(404, Some("NoSuchBucket")), (400, Some("InvalidRequest")), (500, None)] {
            let other = failure(response(status, &region, code, "other")).chain();
            assert!(!other.contains("eu-west-1"), "{other}");
        }
        assert!(!failure(response(301, &[], None, "moved")).chain().contains("region"));
    }

    #[test]
    fn a_failure_reports_its_whole_chain() {
        let chain = failure(response(410, &[], Some("LimitExceededException"), "too many")).chain();
        assert!(chain.starts_with(&format!("{PURPOSE}: service error: ")), "{chain}");
        assert!(chain.contains("LimitExceededException") && chain.contains("too many"), "{chain}");
        assert_eq!(Failure::request("x", "x").chain(), "x");
    }

    #[test]
    fn a_text_that_is_absent_or_empty_is_incomplete() {
        assert_eq!(required_text("x", "name").unwrap(), "x");
        assert!(matches!(required_text("", "name"), Err(Failure::Incomplete { member: "name" })));
    }
}
