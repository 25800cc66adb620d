//! An IoT job template: what it says of a job, where the tags of a release say nothing.

use crate::{
    clients::Clients,
    error::{Expected, Failure, Stop},
    options::{MOST_PACKAGES, Retries, Timeout},
};
use aws_sdk_iot::{
    error::ProvideErrorMetadata,
    operation::describe_job_template::DescribeJobTemplateOutput,
    types::{AbortConfig, JobExecutionsRolloutConfig, MaintenanceWindow},
};
use std::{fmt, ops::RangeInclusive, str::FromStr};

/// The ID of a job template: 1–64 of `[a-zA-Z0-9_-]`
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJobTemplate.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTemplateId(String);

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

/// What a job template says of a job. Its document, and what concerns that alone, is left out: a release has its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobTemplate {
    /// How fast it is rolled out.
    pub rollout: Option<JobExecutionsRolloutConfig>,
    /// When it is given up.
    pub abort: Option<AbortConfig>,
    /// How long a device may take.
    pub timeout: Option<Timeout>,
    /// How often a device tries again.
    pub retries: Option<Retries>,
    /// When devices are updated, in the words of AWS IoT. When these windows open is not worked out: their cron
    /// expressions may be any that AWS IoT takes.
    pub windows: Vec<MaintenanceWindow>,
    /// What devices have installed then, as ARNs.
    pub package_versions: Vec<String>,
}

impl JobTemplate {
    /// Looks a job template up.
    ///
    /// # Errors
    /// It breaks rules of CreateJob, or it is not there, of which `missing` makes what it means for the release.
    pub(crate) async fn describe(
        aws: &Clients,
        id: &JobTemplateId,
        missing: impl FnOnce(Failure) -> Stop,
    ) -> Result<Self, Stop> {
        match aws.iot.describe_job_template().job_template_id(&id.0).send().await {
            Ok(template) => Self::read(id, &template).map_err(Stop::Rejected),
            Err(error) => {
                let is_missing = error.code() == Some("ResourceNotFoundException");
                let failure = Failure::DescribeJobTemplate { template: id.to_string(), source: error.into() };
                Err(if is_missing { missing(failure) } else { failure.into() })
            }
        }
    }

    /// AWS IoT checks a template when it is made. What it lets pass, or would take differently beside the values of a
    /// release, is told before anything is created
    /// (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>).
    fn read(id: &JobTemplateId, template: &DescribeJobTemplateOutput) -> Result<Self, Vec<String>> {
        // Of what is not set, AWS IoT may tell an object without members.
        let rollout = template.job_executions_rollout_config.as_ref();
        let rollout = rollout.filter(|rates| rates.maximum_per_minute.is_some() || rates.exponential_rate.is_some());
        let abort = template.abort_config.as_ref().filter(|config| !config.criteria_list().is_empty());
        let retries = template.job_executions_retry_config.as_ref();
        let retries = retries.filter(|config| !config.criteria_list().is_empty());

        let mut problems = Vec::new();
        let mut check = |what: &str, value: f64, range: RangeInclusive<f64>| {
            if !range.contains(&value) {
                let (least, most) = (range.start(), range.end());
                let expected =
                    if most.is_finite() { format!("{least} to {most}") } else { format!("at least {least}") };
                problems.push(format!("the job template `{id}` has the {what} {value}, expected {expected}"));
            }
        };
        if let Some(rollout) = rollout {
            let rate = 1.0..=1000.0;
            rollout.maximum_per_minute.inspect(|most| check("`maximumPerMinute`", f64::from(*most), rate.clone()));
            if let Some(exponential) = &rollout.exponential_rate {
                check("`baseRatePerMinute`", f64::from(exponential.base_rate_per_minute), rate);
                check("`incrementFactor`", exponential.increment_factor, 1.1..=5.0);
                let criteria = exponential.rate_increase_criteria.as_ref();
                let counts = criteria.map(|criteria| {
                    [
                        ("`numberOfNotifiedThings`", criteria.number_of_notified_things),
                        ("`numberOfSucceededThings`", criteria.number_of_succeeded_things),
                    ]
                });
                for (what, count) in counts.into_iter().flatten() {
                    count.inspect(|count| check(what, f64::from(*count), 1.0..=f64::INFINITY));
                }
            }
        }
        for criteria in abort.into_iter().flat_map(AbortConfig::criteria_list) {
            check("`thresholdPercentage`", criteria.threshold_percentage, 0.0..=100.0);
            let least = f64::from(criteria.min_number_of_executed_things);
            check("`minNumberOfExecutedThings`", least, 1.0..=f64::INFINITY);
        }
        for window in template.maintenance_windows() {
            check("`durationInMinutes`", f64::from(window.duration_in_minutes), 1.0..=1430.0);
        }
        let mut told = |what: &str, Expected(expected): Expected| {
            problems.push(format!("the job template `{id}` has {what}, expected {expected}"));
        };
        for window in template.maintenance_windows() {
            if !(1..=256).contains(&window.start_time.chars().count()) {
                told(&format!("the cron expression `{}`", window.start_time), Expected("1 to 256 letters".into()));
            }
        }
        let packages = template.destination_package_versions();
        if packages.len() > MOST_PACKAGES {
            told(&format!("{} package versions", packages.len()), Expected(format!("{MOST_PACKAGES} at most").into()));
        }
        let timeout = template.timeout_config.as_ref().and_then(|config| config.in_progress_timeout_in_minutes);
        let timeout = timeout.and_then(|minutes| {
            let what = format!("a time-out of {minutes} minutes");
            Timeout::of_minutes(minutes).map_err(|expected| told(&what, expected)).ok()
        });
        let retries = retries.and_then(|config| {
            Retries::from_config(config)
                .map_err(|(given, expected)| told(&format!("the retries `{given}`"), expected))
                .ok()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            rollout: rollout.cloned(),
            abort: abort.cloned(),
            timeout,
            retries,
            windows: template.maintenance_windows().to_vec(),
            package_versions: packages.to_vec(),
        })
    }
}
