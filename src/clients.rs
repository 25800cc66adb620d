//! The AWS clients: built once at init, without a call, with the time-outs and retries that the SDK leaves open.

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use std::time::Duration;

/// One client for each service, sharing credentials and connections.
#[derive(Debug, Clone)]
pub struct Clients {
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) signer: aws_sdk_signer::Client,
    pub(crate) iot: aws_sdk_iot::Client,
    pub(crate) acm: aws_sdk_acm::Client,
}

impl Clients {
    /// Clients for the region, credentials and endpoints of the environment.
    pub async fn from_env() -> Self {
        Self::new(&aws_config::load_defaults(BehaviorVersion::latest()).await)
    }

    /// Clients for this configuration: 3 attempts an operation, each answered within 10 s, and 60 s for a copy,
    /// which S3 may take long over.
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
        Self {
            s3: aws_sdk_s3::Client::new(&config),
            signer: aws_sdk_signer::Client::new(&config),
            iot: aws_sdk_iot::Client::new(&config),
            acm: aws_sdk_acm::Client::new(&config),
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
