//! The options of a job other than its schedule, targets and packages: ID, template, retries, time-out, protocols, URL
//! expiry.

use crate::error::Expected;
use crate::options::name::{is_name, validated};
use crate::schedule::duration::Minutes;
use crate::upload::ID_PREFIX;
use aws_sdk_iot::error::BuildError;
use aws_sdk_iot::types;
use aws_sdk_iot::types::{JobExecutionsRetryConfig, RetryCriteria, RetryableFailureType, TimeoutConfig};
use std::fmt;
use std::str::FromStr;

/// The maximum length of a job ID with its prefix. Some devices truncate longer IDs.
const MAX_JOB_ID: usize = 63;

/// The maximum number of retries of one device, for all kinds of failures together.
const MAX_RETRIES: i64 = 10;

/// A job ID that the uploader chose, without the prefix `AFR_OTA-`: up to 55 of `[a-zA-Z0-9_-]`. It never has the form
/// of a default ID. Anyone can compute default IDs, and could otherwise occupy the job ID of another upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobId(String);

impl FromStr for JobId {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let is_id = is_name(value, 1..=MAX_JOB_ID - ID_PREFIX.len(), "_-") && !has_default_form(value);
        let expected = "1 to 55 letters, digits, `_` and `-`; the ID or its part after the last `-` must not be 12 lower-case \
                        hex digits, as in default IDs";
        validated(value, is_id, expected).map(Self)
    }
}

/// Returns whether an ID without its prefix is 12 lower-case hex digits, or ends in `-` and 12 such digits. Default IDs
/// have this form.
fn has_default_form(id: &str) -> bool {
    let last = id.rsplit('-').next().unwrap_or_default();
    last.len() == 12 && last.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ID_PREFIX}{}", self.0)
    }
}

/// The number of retries of a device for each kind of failure. AWS IoT accepts retries after a time-out only if the job
/// has a time-out, and the job of every release has one
/// (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries(Vec<(RetryableFailureType, i32)>);

impl FromStr for Retries {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let parse_count = |text: &str| -> Option<i32> {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten()
        };
        let parse_criterion = |text: &str| {
            let (failure, count) = text.split_once(':')?;
            let failure = match failure {
                "timed-out" => RetryableFailureType::TimedOut,
                "failed" => RetryableFailureType::Failed,
                _ => return None,
            };
            Some((failure, parse_count(count)?))
        };
        let criteria = match parse_count(value) {
            Some(count) => Some(vec![(RetryableFailureType::All, count)]),
            None => value.split(' ').map(parse_criterion).collect(),
        };
        criteria.map(Self).filter(Self::is_valid).ok_or(Expected(
            "retries after any failure, such as `3`, or by kind, such as `timed-out:3`, `failed:2` or \
             `timed-out:3 failed:2`; at most 10 in total"
                .into(),
        ))
    }
}

impl fmt::Display for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |(failure, count): &(RetryableFailureType, i32)| match failure {
            RetryableFailureType::All => count.to_string(),
            failure => format!("{}:{count}", failure.as_str().to_lowercase().replace('_', "-")),
        };
        f.write_str(&self.0.iter().map(one).collect::<Vec<_>>().join(" "))
    }
}

impl Retries {
    /// Returns whether AWS IoT accepts the retries: each kind of failure once, `All` alone, and at most 10 in total.
    fn is_valid(&self) -> bool {
        let are_distinct = match &self.0[..] {
            [_] => true,
            [(one, _), (other, _)] => one != other && ![one, other].contains(&&RetryableFailureType::All),
            _ => false,
        };
        are_distinct && self.0.iter().all(|(_, count)| *count >= 0) && self.total() <= MAX_RETRIES
    }

    /// Reads a `jobExecutionsRetryConfig`.
    ///
    /// # Errors
    /// Returns the retries as `Err` if CreateJob would reject them.
    pub(crate) fn from_config(config: &JobExecutionsRetryConfig) -> Result<Self, Self> {
        let criteria = config.criteria_list().iter();
        let retries = Self(criteria.map(|one| (one.failure_type.clone(), one.number_of_retries)).collect());
        if retries.is_valid() { Ok(retries) } else { Err(retries) }
    }

    /// The number of retries of a device for all kinds of failures together.
    pub(crate) fn total(&self) -> i64 {
        self.0.iter().map(|(_, count)| i64::from(*count)).sum()
    }

    /// The `jobExecutionsRetryConfig` of CreateJob.
    pub(crate) fn to_config(&self) -> Result<JobExecutionsRetryConfig, BuildError> {
        let criteria = self.0.iter().map(|(failure, count)| {
            RetryCriteria::builder().failure_type(failure.clone()).number_of_retries(*count).build()
        });
        JobExecutionsRetryConfig::builder().set_criteria_list(Some(criteria.collect::<Result<_, _>>()?)).build()
    }
}

/// The minutes in which a device must finish, from the start of its job execution: 1 minute to 7 days
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_TimeoutConfig.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(i64);

impl FromStr for Timeout {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        Self::from_minutes(value.parse().map_or(0, |Minutes(minutes)| minutes))
    }
}

impl Timeout {
    pub(crate) fn from_minutes(minutes: i64) -> Result<Self, Expected> {
        let is_valid = (1..=7 * 24 * 60).contains(&minutes);
        is_valid.then_some(Self(minutes)).ok_or(Expected("a duration of 1 minute to 7 days, such as `10m`".into()))
    }

    pub(crate) fn minutes(self) -> i64 {
        self.0
    }

    /// The `timeoutConfig` of CreateJob.
    pub(crate) fn to_config(self) -> TimeoutConfig {
        TimeoutConfig::builder().in_progress_timeout_in_minutes(self.0).build()
    }
}

/// The things that get the job. With `snapshot`, these are the things in the targets when the job is created. With
/// `continuous`, things that are added to the targets later get it, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSelection(pub types::TargetSelection);

impl FromStr for TargetSelection {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        match value {
            "snapshot" => Ok(Self(types::TargetSelection::Snapshot)),
            "continuous" => Ok(Self(types::TargetSelection::Continuous)),
            _ => Err(Expected("`snapshot` or `continuous`".into())),
        }
    }
}

/// The protocols by which devices may fetch the image. If there are two, each device uses one that it supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// From an IoT stream.
    Mqtt,
    /// By a URL that AWS IoT presigns when a device requests the job document.
    Http,
    /// Both; each device chooses one.
    MqttAndHttp,
}

impl FromStr for Protocols {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        match value {
            "mqtt" => Ok(Self::Mqtt),
            "http" => Ok(Self::Http),
            "mqtt http" | "http mqtt" => Ok(Self::MqttAndHttp),
            _ => Err(Expected("`mqtt`, `http` or `mqtt http`".into())),
        }
    }
}

impl Protocols {
    pub(crate) fn has_http(self) -> bool {
        self != Self::Mqtt
    }
}

/// The ID of a job template: 1–64 of `[a-zA-Z0-9_-]`
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJobTemplate.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTemplateId(pub(crate) String);

impl FromStr for JobTemplateId {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let expected = "the ID (not the ARN) of an AWS IoT job template: 1 to 64 letters, digits, `_` and `-`";
        validated(value, is_name(value, 1..=64, "_-"), expected).map(Self)
    }
}

impl fmt::Display for JobTemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The seconds for which a presigned URL is valid, from when a device requests the job document: 60–3600
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_PresignedUrlConfig.html>). The default is the same as in
/// CreateOTAUpdate (<https://docs.aws.amazon.com/iot/latest/apireference/API_AwsJobPresignedUrlConfig.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlExpiry(pub i64);

impl FromStr for UrlExpiry {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let seconds = value.parse().ok().filter(|seconds| (60..=3600).contains(seconds));
        seconds.map(Self).ok_or(Expected("a number of seconds from 60 to 3600".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::name::tests::assert_grammar;
    use crate::upload::Upload;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_uploader_cannot_choose_a_default_id(key in any::<String>(), version in any::<String>()) {
            let default = Upload::new("b".into(), key, version).default_job_id();
            prop_assert!(default.strip_prefix(ID_PREFIX).unwrap().parse::<JobId>().is_err(), "{}", default);
        }
    }

    #[test]
    fn a_job_id_of_over_55_characters_or_in_the_form_of_a_default_id_is_invalid() {
        assert_grammar::<JobId>(
            &[
                "-",
                "a-b1ed762f38b",
                "a-b1ed762f38b10",
                "a-B1ED762F38B1",
                "a_b1ed762f38b1",
                "a-b1ed762f38bg",
                &"x".repeat(55),
            ],
            &["", "b1ed762f38b1", "-b1ed762f38b1", "a-000000000000", "a.b", &"x".repeat(56)],
            "1 to 55 letters, digits, `_` and `-`; the ID or its part after the last `-` ",
        );
        assert_eq!("spring_24-1".parse::<JobId>().unwrap().to_string(), "AFR_OTA-spring_24-1");
    }

    #[test]
    fn a_device_retries_at_most_10_times_in_total() {
        assert_grammar::<Retries>(
            &["0", "10", "timed-out:0 failed:0", "timed-out:5 failed:5", "failed:10"],
            &[
                "",
                "11",
                "-1",
                "+3",
                "99999999999",
                "timed-out:6 failed:5",
                "failed:",
                "failed:1 failed:1",
                "rejected:1",
                "3 failed:1",
                "failed:0 timed-out:0 failed:0",
            ],
            "retries after any failure, such as `3`, or by kind, ",
        );
    }

    #[test]
    fn retry_criteria_are_read_unless_create_job_would_reject_them() {
        use RetryableFailureType::{All, Failed, TimedOut};
        let read = |criteria: &[(RetryableFailureType, i32)]| {
            let config = Retries(criteria.to_vec()).to_config().unwrap();
            Retries::from_config(&config).map(|retries| retries.to_string()).map_err(|invalid| invalid.to_string())
        };
        for (criteria, expected) in [
            (&[(All, 10)][..], Ok("10")),
            (&[(Failed, 4), (TimedOut, 6)], Ok("failed:4 timed-out:6")),
            (&[(Failed, 5), (TimedOut, 6)], Err("failed:5 timed-out:6")),
            (&[(Failed, -1), (TimedOut, 6)], Err("failed:-1 timed-out:6")),
            (&[(Failed, 1), (Failed, 1)], Err("failed:1 failed:1")),
            (&[(All, 1), (Failed, 1)], Err("1 failed:1")),
            (&[(TimedOut, 1), (All, 1)], Err("timed-out:1 1")),
            (&[(All, 0), (Failed, 0), (TimedOut, 0)], Err("0 failed:0 timed-out:0")),
            (&[], Err("")),
        ] {
            assert_eq!(read(criteria), expected.map(str::to_owned).map_err(str::to_owned));
        }
    }

    #[test]
    fn each_other_option_of_a_job_accepts_only_its_own_values() {
        let timeout = "a duration of 1 minute to 7 days, ";
        assert_grammar::<Timeout>(&["1m", "10080m", "7d"], &["0m", "7d1m", "10", "90s", ""], timeout);
        let selection = "`snapshot` or `continuous`";
        assert_grammar::<TargetSelection>(&["snapshot", "continuous"], &["CONTINUOUS", ""], selection);
        assert_grammar::<Protocols>(
            &["mqtt", "http", "mqtt http", "http mqtt"],
            &["", "HTTP", "mqtt mqtt", "mqtt  http"],
            "`mqtt`, `http` or `mqtt http`",
        );
        assert_grammar::<JobTemplateId>(
            &["canary_2-a", &"x".repeat(64)],
            &["", "a.b", "arn:a", &"x".repeat(65)],
            "the ID (not the ARN) of an AWS IoT job template: ",
        );
        assert_grammar::<UrlExpiry>(&["60", "3600"], &["", "59", "3601", "30m"], "a number of seconds from 60 to 3600");
    }
}
