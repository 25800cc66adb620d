//! The AWS clients with their time-outs and retries.
//!
//! The clients are built once at init, which sends no request.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_iot::config::interceptors::InterceptorContext;
use aws_sdk_iot::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use std::time::Duration;

/// One client for each service, sharing credentials and connections.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Amazon S3. Rejects a truncated XML response.
    pub s3: aws_sdk_s3::Client,
    pub(crate) signer: aws_sdk_signer::Client,
    /// AWS IoT. Does not retry `LimitExceededException`.
    pub iot: aws_sdk_iot::Client,
    pub(crate) acm: aws_sdk_acm::Client,
}

impl Clients {
    /// Creates clients for the region, credentials and endpoints of the environment.
    pub async fn from_env() -> Self {
        Self::new(&aws_config::load_defaults(BehaviorVersion::latest()).await)
    }

    /// Creates clients for this configuration: 3 attempts for each operation, each with a time-out of 10 s. An attempt
    /// to copy within S3 has 60 s.
    pub fn new(config: &SdkConfig) -> Self {
        let config = config
            .to_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(3))
                    .operation_attempt_timeout(Duration::from_secs(10))
                    .operation_timeout(Duration::from_secs(35))
                    .build(),
            )
            .build();
        Self::with_limits_of(&config)
    }

    /// Creates clients with the time-outs and retries of this configuration.
    pub fn with_limits_of(config: &SdkConfig) -> Self {
        Self {
            s3: aws_sdk_s3::Client::from_conf(
                aws_sdk_s3::config::Builder::from(config).interceptor(RejectTruncatedXml).build(),
            ),
            signer: aws_sdk_signer::Client::new(config),
            iot: aws_sdk_iot::Client::from_conf(
                aws_sdk_iot::config::Builder::from(config).retry_classifier(NoRetryOnLimitExceeded).build(),
            ),
            acm: aws_sdk_acm::Client::new(config),
        }
    }

    /// Time-outs for a copy within S3 of an object of up to 5 GB.
    pub(crate) fn copy_timeouts() -> aws_sdk_s3::config::Builder {
        aws_sdk_s3::config::Builder::default().timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(Duration::from_mins(1))
                .operation_timeout(Duration::from_secs(90))
                .build(),
        )
    }
}

/// `LimitExceededException` of AWS IoT does not clear within seconds, but the SDK would retry it as throttling.
#[derive(Debug)]
struct NoRetryOnLimitExceeded;

impl ClassifyRetry for NoRetryOnLimitExceeded {
    fn name(&self) -> &'static str {
        "no retry on LimitExceededException"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let kind = context.response().and_then(|response| response.headers().get("x-amzn-errortype"));
        match kind {
            Some(kind) if kind.starts_with("LimitExceededException") => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }
}

/// Rejects a truncated XML response of S3, which the SDK would parse as complete. Otherwise, a release could lack tags.
#[derive(Debug)]
struct RejectTruncatedXml;

impl Intercept for RejectTruncatedXml {
    fn name(&self) -> &'static str {
        "complete responses"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match context.response().body().bytes() {
            Some(body) if !is_complete(body) => Err("the response is incomplete".into()),
            _ => Ok(()),
        }
    }
}

/// Returns whether a response is complete: its XML ends with the root element, and tags have every element that S3
/// always writes. Anything but XML counts as complete.
fn is_complete(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return true };
    let text = text.trim();
    let element = match text.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map(|(_, element)| element.trim_start()),
        None => Some(text),
    };
    let Some(element) = element else { return false };
    let Some(start) = element.strip_prefix('<') else { return element == text };
    let Some((tag, rest)) = start.split_once('>') else { return false };
    let name = tag.split([' ', '/', '\n', '\t']).next().unwrap_or_default();
    let has_end = (tag.ends_with('/') && rest.is_empty()) || rest.ends_with(&format!("</{name}>"));
    has_end && (name != "Tagging" || has_complete_tags(rest))
}

/// Returns whether the content of `Tagging` has a `TagSet`, with a key and a value for each tag. S3 escapes `<` in
/// keys and values.
fn has_complete_tags(content: &str) -> bool {
    let count = |start: &str| content.split(start).skip(1).filter(|rest| rest.starts_with(['>', '/', ' '])).count();
    count("<TagSet") == 1 && count("<Tag") == count("<Key") && count("<Tag") == count("<Value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_response_is_incomplete() {
        let prolog = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        let tags = "<Tagging xmlns=\"http://s3/\"><TagSet><Tag><Key>a</Key><Value/></Tag></TagSet></Tagging>";
        for element in [tags, "<Tagging><TagSet/></Tagging>", "<A>ü</A>", "<Empty/>"] {
            for text in [element.to_owned(), format!("{prolog}{element}"), format!("{prolog}{element}\n")] {
                assert!(is_complete(text.as_bytes()), "{text}");
                let trimmed = text.trim_end();
                for end in (1..trimmed.len()).filter(|end| trimmed.is_char_boundary(*end)) {
                    assert!(!is_complete(&trimmed.as_bytes()[..end]), "{}", &trimmed[..end]);
                }
            }
        }
        for element in ["<Key>a</Key>", "<Value/>", "<TagSet><Tag><Key>a</Key><Value/></Tag></TagSet>"] {
            assert!(!is_complete(tags.replace(element, "").as_bytes()), "without {element}");
        }
        assert!(!is_complete(b"<Tagging/>"));
        for other in ["", "{\"json\": 1}", "\u{7f}ELF"] {
            assert!(is_complete(other.as_bytes()), "{other}");
        }
    }
}
