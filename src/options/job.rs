//! What single tags say of a job, beside its schedule: its ID, how often and how long devices try, what they install.

use crate::{error::Expected, schedule::duration::Minutes, upload::ID_PREFIX};
use aws_sdk_iot::{
    error::BuildError,
    types::{self, JobExecutionsRetryConfig, RetryCriteria, RetryableFailureType, TimeoutConfig},
};
use std::{fmt, str::FromStr};

/// A job ID that the uploader chose, without the `AFR_OTA-` before it: up to 55 of `[a-zA-Z0-9_-]`, as some devices
/// keep no more than 63 characters of the whole. Never in the form of a default ID: default IDs are computable, so an
/// upload could otherwise occupy that of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobId(String);

impl FromStr for JobId {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let takes = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let is_id = (1..=63 - ID_PREFIX.len()).contains(&value.len()) && value.bytes().all(takes);
        (is_id && !is_default_form(value)).then(|| Self(value.to_owned())).ok_or(Expected(
            "1 to 55 letters, digits, `_` and `-`, not ending in 12 hex digits as default IDs do".into(),
        ))
    }
}

/// Whether an ID without its prefix ends as default IDs do: in `-` and 12 hex digits, or it is 12 hex digits.
fn is_default_form(id: &str) -> bool {
    let last = id.rsplit('-').next().unwrap_or_default();
    last.len() == 12 && last.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ID_PREFIX}{}", self.0)
    }
}

/// How often a device tries again after which failure; ten times in all at most. Tries again after a time-out need one,
/// which every release has
/// (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries(Vec<(RetryableFailureType, i32)>);

impl FromStr for Retries {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let count = |text: &str| -> Option<i32> {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok())?.filter(|count| *count <= 10)
        };
        let one = |text: &str| -> Option<(RetryableFailureType, i32)> {
            let (failure, text) = text.split_once(':')?;
            let failure = match failure {
                "timed-out" => RetryableFailureType::TimedOut,
                "failed" => RetryableFailureType::Failed,
                _ => return None,
            };
            Some((failure, count(text)?))
        };
        let read = || match count(value) {
            Some(all) => Some(vec![(RetryableFailureType::All, all)]),
            None => value.split(' ').map(one).collect(),
        };
        read().map(Self).filter(Self::are_taken).ok_or(Expected(
            "a number such as `3` (after all failures), or `timed-out:3`, `failed:2` or both with a space between, 10 in \
             all at most"
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
    /// Each failure once, all failures alone, and 10 in all at most.
    fn are_taken(&self) -> bool {
        let are_distinct = match &self.0[..] {
            [_] => true,
            [(one, _), (other, _)] => one != other && ![one, other].contains(&&RetryableFailureType::All),
            _ => false,
        };
        are_distinct && self.0.iter().all(|(_, count)| *count >= 0) && self.most() <= 10
    }

    /// Reads a `jobExecutionsRetryConfig`.
    ///
    /// # Errors
    /// It is not to be had of CreateJob: what it says.
    pub(crate) fn from_config(config: &JobExecutionsRetryConfig) -> Result<Self, Self> {
        let criteria = config.criteria_list().iter();
        let retries = Self(criteria.map(|one| (one.failure_type.clone(), one.number_of_retries)).collect());
        if retries.are_taken() { Ok(retries) } else { Err(retries) }
    }

    /// The most tries again of one device.
    pub(crate) fn most(&self) -> i64 {
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

/// How many minutes a device may take, from the start of its job execution: 1 minute to 7 days
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_TimeoutConfig.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(i64);

impl FromStr for Timeout {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        Self::of_minutes(value.parse().map_or(0, |Minutes(minutes)| minutes))
    }
}

impl Timeout {
    pub(crate) fn of_minutes(minutes: i64) -> Result<Self, Expected> {
        let is_taken = (1..=7 * 24 * 60).contains(&minutes);
        is_taken.then_some(Self(minutes)).ok_or(Expected("a duration of 1 minute to 7 days, such as `10m`".into()))
    }

    pub(crate) fn minutes(self) -> i64 {
        self.0
    }

    /// The `timeoutConfig` of CreateJob.
    pub(crate) fn to_config(self) -> TimeoutConfig {
        TimeoutConfig::builder().in_progress_timeout_in_minutes(self.0).build()
    }
}

/// Which things get the job: those that are in the targets when it is created, or those as well that come into them later.
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

/// The most package versions of one job
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html>).
pub(crate) const MAX_PACKAGES: usize = 25;

/// The versions of software packages that a device has once it has succeeded, one of a package. AWS IoT knows two more
/// forms of an ARN, `…/version/$default` (the package's default version) and `…/version/$null` (the package is
/// uninstalled): no tag can say them, as S3 takes no `$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageVersions(pub(crate) Vec<(String, String)>);

impl FromStr for PackageVersions {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let one = |text: &str| {
            let (package, version) = text.split_once(':')?;
            let are_names = is_package(package) && is_package_version(version);
            are_names.then(|| (package.to_owned(), version.to_owned()))
        };
        let versions: Option<Vec<_>> = value.split(' ').map(one).collect();
        let is_once = |versions: &Vec<(String, String)>| {
            let is_new = |(at, (package, _)): (usize, &(String, String))| {
                versions[..at].iter().all(|(earlier, _)| earlier != package)
            };
            versions.iter().enumerate().all(is_new)
        };
        versions.filter(|versions| versions.len() <= MAX_PACKAGES && is_once(versions)).map(Self).ok_or(Expected(
            "`package:version`, up to 25 with one space between and each package once, of letters, digits, `.`, `_` and \
             `-` (no `+`): up to 128 for a package and 64 for a version, such as `blinky:1.2.0`"
                .into(),
        ))
    }
}

/// Whether AWS IoT takes the name for a software package.
pub(crate) fn is_package(name: &str) -> bool {
    is_package_name(name, 128)
}

/// Whether AWS IoT takes the name for a version of a software package.
pub(crate) fn is_package_version(name: &str) -> bool {
    is_package_name(name, 64)
}

/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreatePackageVersion.html>)
fn is_package_name(name: &str, longest: usize) -> bool {
    let takes = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // In the path of a lookup these two would address another resource.
    (1..=longest).contains(&name.len()) && name.bytes().all(takes) && !matches!(name, "." | "..")
}

impl PackageVersions {
    /// The resources in their ARNs.
    pub(crate) fn resources(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(package, version)| format!("package/{package}/version/{version}"))
    }
}

/// By which protocols devices may fetch the image: where there are two, each device takes that which it is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// From an IoT stream.
    Mqtt,
    /// By a URL that AWS IoT presigns when a device asks for the job document.
    Http,
    /// Either.
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
        let takes = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let is_id = (1..=64).contains(&value.len()) && value.bytes().all(takes);
        is_id.then(|| Self(value.to_owned())).ok_or(Expected(
            "the ID (not the ARN) of an AWS IoT job template: 1 to 64 letters, digits, `_` and `-`".into(),
        ))
    }
}

impl fmt::Display for JobTemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For how many seconds a presigned URL is good, from when a device asks for the job document: 60–3600
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_PresignedUrlConfig.html>). The default is that of
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
    use crate::options::signature::SigningJobId;
    use crate::upload::Upload;
    use proptest::prelude::*;

    #[test]
    fn a_signing_job_is_named_by_its_uuid() {
        let good = "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01";
        assert_eq!(good.parse(), Ok(SigningJobId(good.to_owned())));
        let bare = good.replace('-', "");
        for bad in ["", "latest", &bare, &good[1..], "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f0x"] {
            assert!(bad.parse::<SigningJobId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_default_id_can_be_chosen(key in any::<String>(), version in any::<String>()) {
            let default = Upload::new("b".into(), key, version).default_job_id();
            prop_assert!(default.strip_prefix(ID_PREFIX).unwrap().parse::<JobId>().is_err(), "{}", default);
        }
    }

    #[test]
    fn an_id_is_chosen_unless_it_has_the_form_of_a_default_one() {
        for good in [
            "spring",
            "-",
            "release-2026-11-24",
            "blinky-b1ed762f38b",
            "blinky-b1ed762f38b10",
            "blinky-B1ED762F38B1",
            "blinky_b1ed762f38b1",
            "b1ed762f38b1-",
            "blinky-b1ed762f38bg",
        ] {
            assert_eq!(good.parse(), Ok(JobId(good.to_owned())), "{good}");
        }
        for bad in
            ["", "b1ed762f38b1", "-b1ed762f38b1", "blinky-b1ed762f38b1", "a-000000000000", "a.b", &"x".repeat(56)]
        {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn retries_are_sent_as_they_were_asked_for() {
        let sent = |text: &str| -> Vec<_> {
            let config = text.parse::<Retries>().unwrap().to_config().unwrap();
            let criteria = config.criteria_list().iter();
            criteria.map(|criteria| (criteria.failure_type().clone(), criteria.number_of_retries())).collect()
        };
        let (failed, timed_out) = (RetryableFailureType::Failed, RetryableFailureType::TimedOut);
        assert_eq!(sent("4"), [(RetryableFailureType::All, 4)]);
        assert_eq!(sent("failed:2 timed-out:0"), [(failed, 2), (timed_out, 0)]);
    }

    #[test]
    fn retries_are_read_back_as_they_are_sent_and_no_more_of_them_than_aws_iot_takes() {
        let config = |criteria: &[(RetryableFailureType, i32)]| Retries(criteria.to_vec()).to_config().unwrap();
        let read = |criteria: &[(RetryableFailureType, i32)]| {
            Retries::from_config(&config(criteria))
                .map(|retries| retries.to_string())
                .map_err(|given| given.to_string())
        };
        let [all, failed, timed_out] =
            [RetryableFailureType::All, RetryableFailureType::Failed, RetryableFailureType::TimedOut];
        assert_eq!(read(&[(all.clone(), 10)]).unwrap(), "10");
        assert_eq!(read(&[(failed.clone(), 4), (timed_out.clone(), 6)]).unwrap(), "failed:4 timed-out:6");
        assert_eq!(read(&[(all.clone(), 11)]).unwrap_err(), "11");
        assert_eq!(read(&[(failed.clone(), 5), (timed_out.clone(), 6)]).unwrap_err(), "failed:5 timed-out:6");
        assert_eq!(read(&[(failed.clone(), -1), (timed_out.clone(), 6)]).unwrap_err(), "failed:-1 timed-out:6");
        assert_eq!(read(&[(failed.clone(), 1), (failed.clone(), 1)]).unwrap_err(), "failed:1 failed:1");
        assert!(read(&[(all, 0), (failed, 0), (timed_out, 0)]).is_err());
        assert!(read(&[]).is_err());
    }
}
