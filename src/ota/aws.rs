//! The AWS clients of `ota`, with the credentials and the Region of the caller.

use crate::jobs::Jobs;
use crate::problem::Problem;
use aws_config::default_provider::region;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use ota_on_upload::clients::Clients;
use std::time::Duration;

/// The maximum number of attempts of a request. The SDK pauses longer and longer between them: at most 15 s in total.
const MAX_ATTEMPTS: u32 = 5;
/// The time that AWS has to accept a connection, and to answer a request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(20);

/// The clients of all services, and the Region.
#[derive(Debug)]
pub struct Aws {
    /// The Region.
    pub region: String,
    /// AWS IoT Jobs.
    pub jobs: Jobs,
    /// AWS CloudFormation.
    pub cloudformation: aws_sdk_cloudformation::Client,
    /// Amazon CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// The services that the function also uses.
    pub clients: Clients,
}

impl Aws {
    /// Creates clients with the configuration that all AWS tools use: environment variables, profiles, instance roles.
    ///
    /// # Errors
    /// Fails if no Region is set. The user must set one.
    pub async fn from_env(profile: Option<&str>, region: Option<&str>) -> Result<Self, Problem> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        let mut region = region.map(|region| Region::new(region.to_owned()));
        if let Some(profile) = profile {
            if region.is_none() {
                region = region::Builder::default().profile_name(profile).build().region().await;
            }
            // As in the AWS CLI, a profile on the command line precedes credentials in environment variables. A profile that
            // assumes a role needs the Region of AWS STS.
            let config = ProviderConfig::without_region().with_region(region.clone());
            let credentials =
                ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build();
            loader = loader.profile_name(profile).credentials_provider(credentials);
        }
        if let Some(region) = region {
            loader = loader.region(region);
        }
        Self::new(&loader.load().await)
    }

    /// Creates clients with this configuration.
    ///
    /// # Errors
    /// Fails if the configuration has no Region.
    pub fn new(config: &SdkConfig) -> Result<Self, Problem> {
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(Problem::not_done(
                "no Region is set: name the Region of the stack with `--region` or `AWS_REGION`",
            ));
        };
        let retries = RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS);
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(TIMEOUT).build();
        let config = config.to_builder().retry_config(retries).timeout_config(timeouts).build();
        let clients = Clients::with_limits_of(&config);
        Ok(Self {
            region,
            jobs: Jobs::new(clients.iot.clone()),
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            clients,
        })
    }
}

/// The clients of the function without a configuration, for a dry run that sends no request.
pub fn offline(region: &str) -> Clients {
    let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest());
    Clients::new(&config.region(Region::new(region.to_owned())).build())
}
