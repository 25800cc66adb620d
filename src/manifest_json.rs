//! The JSON of a manifest: the form of its members, those of CreateJob by AWS's own names
//! (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html>).

use crate::tags::{CERTIFICATE, FILE_PATH, FILE_TYPE, SIGNATURE, SIGNATURE_ALGORITHM, SIGNING_JOB, SIGNING_PROFILE};
use aws_sdk_iot::{error::BuildError, types};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// The members of an object, none twice.
pub(crate) struct Members(pub Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format_args!("it has `{name}` twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(Map)
    }
}

/// An object: serde takes an array for a struct as well, whose meaning would hang on the order of its members here.
pub(crate) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        json.deserialize_map(Map(PhantomData)).map(Self)
    }
}

/// One of `files`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FileMember {
    pub key: String,
    pub version_id: String,
    pub file_id: Option<u64>,
    file_path: Option<String>,
    file_type: Option<u64>,
    signing_profile: Option<String>,
    signing_job: Option<String>,
    signature: Option<String>,
    signature_algorithm: Option<String>,
    certificate: Option<String>,
}

impl FileMember {
    /// What is said of it besides, by the tags of the same meaning.
    pub fn options(&self) -> BTreeMap<String, String> {
        let options = [
            (FILE_PATH, self.file_path.clone()),
            (FILE_TYPE, self.file_type.map(|kind| kind.to_string())),
            (SIGNING_PROFILE, self.signing_profile.clone()),
            (SIGNING_JOB, self.signing_job.clone()),
            (SIGNATURE, self.signature.clone()),
            (SIGNATURE_ALGORITHM, self.signature_algorithm.clone()),
            (CERTIFICATE, self.certificate.clone()),
        ];
        options.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?))).collect()
    }
}

/// One of `tags`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct JobTag {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

impl TryFrom<JobTag> for types::Tag {
    type Error = BuildError;
    fn try_from(JobTag { key, value }: JobTag) -> Result<Self, BuildError> {
        Self::builder().key(key).value(value).build()
    }
}

/// `presignedUrlConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PresignedUrl {
    pub role_arn: Option<IgnoredAny>,
    pub expires_in_sec: Option<u64>,
}

/// `schedulingConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Scheduling {
    pub start_time: Option<IgnoredAny>,
    pub end_time: Option<IgnoredAny>,
    pub end_behavior: Option<IgnoredAny>,
    pub maintenance_windows: Option<Vec<Object<Window>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Window {
    pub start_time: String,
    duration_in_minutes: i32,
}

impl TryFrom<Window> for types::MaintenanceWindow {
    type Error = BuildError;
    fn try_from(Window { start_time, duration_in_minutes }: Window) -> Result<Self, BuildError> {
        Self::builder().start_time(start_time).duration_in_minutes(duration_in_minutes).build()
    }
}

/// `jobExecutionsRolloutConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rollout {
    maximum_per_minute: Option<i32>,
    exponential_rate: Option<Object<ExponentialRate>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExponentialRate {
    base_rate_per_minute: i32,
    increment_factor: f64,
    rate_increase_criteria: Object<RateIncreaseCriteria>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RateIncreaseCriteria {
    number_of_notified_things: Option<i32>,
    number_of_succeeded_things: Option<i32>,
}

impl TryFrom<Rollout> for types::JobExecutionsRolloutConfig {
    type Error = BuildError;
    fn try_from(Rollout { maximum_per_minute, exponential_rate }: Rollout) -> Result<Self, BuildError> {
        let rate = |Object(rate): Object<ExponentialRate>| {
            let Object(RateIncreaseCriteria { number_of_notified_things, number_of_succeeded_things }) =
                rate.rate_increase_criteria;
            let criteria = types::RateIncreaseCriteria::builder()
                .set_number_of_notified_things(number_of_notified_things)
                .set_number_of_succeeded_things(number_of_succeeded_things)
                .build();
            types::ExponentialRolloutRate::builder()
                .base_rate_per_minute(rate.base_rate_per_minute)
                .increment_factor(rate.increment_factor)
                .rate_increase_criteria(criteria)
                .build()
        };
        let exponential_rate = exponential_rate.map(rate).transpose()?;
        let config = Self::builder().set_maximum_per_minute(maximum_per_minute);
        Ok(config.set_exponential_rate(exponential_rate).build())
    }
}

/// `abortConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Abort {
    criteria_list: Vec<Object<AbortCriteria>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AbortCriteria {
    failure_type: AbortFailure,
    action: AbortAction,
    threshold_percentage: f64,
    min_number_of_executed_things: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum AbortFailure {
    Failed,
    Rejected,
    TimedOut,
    All,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum AbortAction {
    Cancel,
}

impl TryFrom<Abort> for types::AbortConfig {
    type Error = BuildError;
    fn try_from(Abort { criteria_list }: Abort) -> Result<Self, BuildError> {
        let criteria = |Object(criteria): Object<AbortCriteria>| {
            let AbortAction::Cancel = criteria.action;
            types::AbortCriteria::builder()
                .failure_type(match criteria.failure_type {
                    AbortFailure::Failed => types::JobExecutionFailureType::Failed,
                    AbortFailure::Rejected => types::JobExecutionFailureType::Rejected,
                    AbortFailure::TimedOut => types::JobExecutionFailureType::TimedOut,
                    AbortFailure::All => types::JobExecutionFailureType::All,
                })
                .action(types::AbortAction::Cancel)
                .threshold_percentage(criteria.threshold_percentage)
                .min_number_of_executed_things(criteria.min_number_of_executed_things)
                .build()
        };
        let list = criteria_list.into_iter().map(criteria).collect::<Result<_, _>>()?;
        Self::builder().set_criteria_list(Some(list)).build()
    }
}

/// `timeoutConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Timeout {
    in_progress_timeout_in_minutes: i64,
}

impl From<Timeout> for types::TimeoutConfig {
    fn from(Timeout { in_progress_timeout_in_minutes }: Timeout) -> Self {
        Self::builder().in_progress_timeout_in_minutes(in_progress_timeout_in_minutes).build()
    }
}

/// `jobExecutionsRetryConfig`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Retries {
    criteria_list: Vec<Object<RetryCriteria>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RetryCriteria {
    failure_type: RetryFailure,
    number_of_retries: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum RetryFailure {
    Failed,
    TimedOut,
    All,
}

impl TryFrom<Retries> for types::JobExecutionsRetryConfig {
    type Error = BuildError;
    fn try_from(Retries { criteria_list }: Retries) -> Result<Self, BuildError> {
        let criteria = |Object(criteria): Object<RetryCriteria>| {
            types::RetryCriteria::builder()
                .failure_type(match criteria.failure_type {
                    RetryFailure::Failed => types::RetryableFailureType::Failed,
                    RetryFailure::TimedOut => types::RetryableFailureType::TimedOut,
                    RetryFailure::All => types::RetryableFailureType::All,
                })
                .number_of_retries(criteria.number_of_retries)
                .build()
        };
        let list = criteria_list.into_iter().map(criteria).collect::<Result<_, _>>()?;
        Self::builder().set_criteria_list(Some(list)).build()
    }
}
