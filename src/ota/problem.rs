//! The exit codes of `ota`, and the problems that end it.

use aws_sdk_iot::config::http::HttpResponse;
use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::io;

/// How `ota` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command is done.
    Done = 0,
    /// The command could not be done, or the upload was skipped.
    NotDone = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The upload is rejected.
    Rejected = 3,
    /// The rollout is over, and devices failed, timed out or rejected the job.
    DevicesFailed = 4,
    /// The job was canceled, or canceled for some devices.
    Canceled = 5,
    /// The time to wait is over.
    TimedOut = 6,
}

/// The exit codes, for the help.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  could not be done, or the upload was skipped, with the reason
  2  the command line is wrong or ambiguous, or a question has no answer: add --yes
  3  the upload is rejected
  4  the rollout is over, and devices failed, timed out or rejected the job
  5  the job was canceled, or canceled for some devices
  6  the time to wait is over";

/// A problem that ends `ota`: its exit code, and messages that say what to do. Without messages, nothing is printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// The exit code.
    pub exit: Exit,
    /// Each is one line.
    pub messages: Vec<String>,
    /// `true` if the same request may succeed later: AWS throttled it, failed, or did not answer.
    pub is_temporary: bool,
}

impl Problem {
    /// A problem with one message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, messages: vec![message.into()], is_temporary: false }
    }

    /// A command that could not be done.
    pub fn not_done(message: impl Into<String>) -> Self {
        Self::new(Exit::NotDone, message)
    }

    /// A command line that is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

/// Standard output or error cannot be written. A closed pipe, such as that of `ota list | head`, needs no message.
impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        let is_closed = error.kind() == io::ErrorKind::BrokenPipe;
        let messages = if is_closed { Vec::new() } else { vec![error.to_string()] };
        Self { exit: Exit::NotDone, messages, is_temporary: false }
    }
}

/// The error codes of requests whose credentials AWS does not accept.
const INVALID_CREDENTIALS: [&str; 8] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// The actions of an upload with tags.
pub const PUT_OBJECT: &str = "s3:PutObject and s3:PutObjectTagging";

/// A request to AWS, for messages.
#[derive(Debug, Clone)]
pub struct Request {
    /// The action in policies, such as `iot:DescribeJob`.
    pub action: &'static str,
    /// The resource, such as `job/AFR_OTA-…`.
    pub resource: String,
}

impl Request {
    /// A request with this action on this resource.
    pub fn new(action: &'static str, resource: impl Into<String>) -> Self {
        Self { action, resource: resource.into() }
    }

    /// Returns the problem of an error, in one line that says what to do.
    pub fn problem<E>(&self, error: &SdkError<E, HttpResponse>) -> Problem
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let Self { action, resource } = self;
        let code = error.code().unwrap_or_default();
        let message = if INVALID_CREDENTIALS.contains(&code) {
            format!("AWS does not accept the credentials ({code}): sign in again, for example with `aws sso login`")
        } else if is_denied(error) {
            format!("`{action}` is not allowed on `{resource}`: {}", self.remedy())
        } else if matches!(error, SdkError::ServiceError(_)) {
            let message = error.message().unwrap_or("no message");
            format!("`{action}` on `{resource}` failed with {}: {}", or(code, "no error code"), one_line(message))
        } else if has_no_credentials(error) {
            "no valid credentials are found: name a profile with `--profile` or `AWS_PROFILE`, and sign in, for example \
             with `aws sso login`"
                .to_owned()
        } else {
            format!(
                "`{action}` on `{resource}` got no response, check the Region and the network: {}",
                one_line(&innermost(error))
            )
        };
        Problem { is_temporary: is_temporary(error), ..Problem::not_done(message) }
    }

    /// The remedy if the action is denied.
    fn remedy(&self) -> String {
        let policy = match self.action {
            "iot:CancelJob" | "iot:DeleteJob" | "iot:DeleteStream" => "OperatorPolicyArn",
            _ => "UploaderPolicyArn",
        };
        let policy = format!("the policy in the stack's output `{policy}`");
        match self.action {
            // The bucket policy denies it to everyone else.
            PUT_OBJECT => format!("it requires {policy}, and a role that is one of the stack's `DeployerPrincipals`"),
            // Nothing of the stack can be read, its outputs included.
            "cloudformation:DescribeStacks" => {
                "ask an operator to attach the policy in the stack's output `UploaderPolicyArn` to your role".to_owned()
            }
            _ => format!("attach {policy} to your role, or ask an operator"),
        }
    }
}

/// Returns whether the same request may succeed later.
fn is_temporary<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().unwrap_or_default();
    let is_throttled = [
        "Throttl",
        "TooManyRequests",
        "SlowDown",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "RequestTimeout",
    ]
    .iter()
    .any(|part| code.contains(part));
    let is_fault = error.raw_response().is_some_and(|response| response.status().as_u16() >= 500);
    let is_unsent = !matches!(error, SdkError::ServiceError(_) | SdkError::ConstructionFailure(_));
    is_throttled || is_fault || is_unsent && !has_no_credentials(error)
}

/// Returns whether AWS denies a request for lack of a right.
pub fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let is_forbidden = error.raw_response().is_some_and(|response| response.status().as_u16() == 403);
    match error.code() {
        Some(code) => {
            matches!(code, "AccessDenied" | "AccessDeniedException" | "ForbiddenException" | "UnauthorizedException")
        }
        None => is_forbidden,
    }
}

/// Returns whether the resource of a request does not exist.
pub fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let codes = ["ResourceNotFoundException", "NoSuchKey", "NoSuchVersion", "NotFound"];
    error.code().is_some_and(|code| codes.contains(&code))
}

/// Returns whether a request was not sent because no provider has credentials.
fn has_no_credentials<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: Error + Send + Sync + 'static,
{
    !matches!(error, SdkError::TimeoutError(_) | SdkError::ResponseError(_))
        && chain(error).iter().any(|message| message.contains("credential"))
}

/// The messages of an error and of its causes.
fn chain<E: Error + Send + Sync + 'static>(error: &SdkError<E, HttpResponse>) -> Vec<String> {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    [error.to_string()].into_iter().chain(causes.map(ToString::to_string)).collect()
}

/// The message of the first cause.
fn innermost<E: Error + Send + Sync + 'static>(error: &SdkError<E, HttpResponse>) -> String {
    chain(error).pop().unwrap_or_default()
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

/// A text without control characters and repeated spaces.
pub fn one_line(text: &str) -> String {
    text.split(|letter: char| letter.is_control() || letter == ' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::error::ErrorMetadata;
    use aws_sdk_iot::operation::cancel_job::CancelJobError;
    use aws_smithy_types::body::SdkBody;

    type CancelError = SdkError<CancelJobError, HttpResponse>;

    fn service_error(status: u16, code: Option<&str>, message: &str) -> CancelError {
        let mut metadata = ErrorMetadata::builder().message(message);
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(CancelJobError::generic(metadata.build()), response)
    }

    fn message(error: &CancelError) -> String {
        let Problem { exit, mut messages, .. } = Request::new("iot:CancelJob", "job/AFR_OTA-a").problem(error);
        assert_eq!((exit, messages.len()), (Exit::NotDone, 1));
        messages.remove(0)
    }

    #[test]
    fn a_message_says_what_to_do() {
        for (error, expected) in [
            (
                service_error(403, Some("ExpiredTokenException"), "expired"),
                "AWS does not accept the credentials (ExpiredTokenException): sign in again",
            ),
            (
                service_error(403, Some("AccessDeniedException"), "no"),
                "`iot:CancelJob` is not allowed on `job/AFR_OTA-a`: attach the policy in the stack's output `OperatorPolicyArn` to your role, ",
            ),
            (service_error(403, None, ""), "`iot:CancelJob` is not allowed on "),
            (
                service_error(410, Some("LimitExceededException"), "too\n many"),
                "`iot:CancelJob` on `job/AFR_OTA-a` failed with LimitExceededException: too many",
            ),
            (
                SdkError::construction_failure("the credential provider was not enabled"),
                "no valid credentials are found: ",
            ),
            (
                SdkError::construction_failure("refused"),
                "`iot:CancelJob` on `job/AFR_OTA-a` got no response, check the Region and the network: ",
            ),
        ] {
            let message = message(&error);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn only_throttled_failed_and_unanswered_requests_may_succeed_later() {
        for (error, expected) in [
            (service_error(429, Some("ThrottlingException"), ""), true),
            (service_error(400, Some("TooManyRequestsException"), ""), true),
            (service_error(503, Some("SlowDown"), ""), true),
            (service_error(500, None, ""), true),
            (service_error(400, Some("RequestTimeout"), ""), true),
            (service_error(400, Some("RequestTimeTooSkewed"), ""), false),
            (SdkError::timeout_error("no answer"), true),
            (SdkError::timeout_error("no answer of the credential provider"), true),
            (SdkError::construction_failure("refused"), false),
            (service_error(403, Some("AccessDeniedException"), ""), false),
            (service_error(410, Some("LimitExceededException"), ""), false),
        ] {
            let problem = Request::new("iot:CancelJob", "job/AFR_OTA-a").problem(&error);
            assert_eq!(problem.is_temporary, expected, "{error:?}");
        }
    }

    #[test]
    fn only_the_code_decides_that_a_resource_is_missing() {
        assert!(is_missing(&service_error(404, Some("ResourceNotFoundException"), "")));
        assert!(!is_missing(&service_error(404, Some("Other"), "ResourceNotFoundException")));
        assert!(is_denied(&service_error(403, Some("AccessDenied"), "")));
        assert!(!is_denied(&service_error(403, Some("RequestTimeTooSkewed"), "")));
    }

    #[test]
    fn a_closed_pipe_has_no_message() {
        let problem = |kind: io::ErrorKind| Problem::from(io::Error::from(kind)).messages.len();
        assert_eq!((problem(io::ErrorKind::BrokenPipe), problem(io::ErrorKind::StorageFull)), (0, 1));
    }
}
