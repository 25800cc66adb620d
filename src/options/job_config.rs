//! What an IoT job template or a manifest says of a job, in the members of CreateJob: how fast it is rolled out, when it is
//! given up, how long and how often devices try.

use crate::{
    options::job::{MAX_PACKAGES, Retries, Timeout},
    text::json::quoted,
};
use aws_sdk_iot::types::{
    AbortConfig, JobExecutionsRetryConfig, JobExecutionsRolloutConfig, MaintenanceWindow, TimeoutConfig,
};
use std::ops::RangeInclusive;

/// What is said of a job elsewhere than in tags, all checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobConfig {
    /// How fast it is rolled out.
    pub rollout: Option<JobExecutionsRolloutConfig>,
    /// When it is given up.
    pub abort: Option<AbortConfig>,
    /// How long a device may take.
    pub timeout: Option<Timeout>,
    /// How often a device tries again.
    pub retries: Option<Retries>,
    /// When devices are updated, in the words of AWS IoT.
    pub windows: Vec<MaintenanceWindow>,
    /// What devices have installed then, as ARNs.
    pub package_versions: Vec<String>,
}

impl JobConfig {
    /// The same, and of `other` what this one leaves open.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        fn either<T>(ours: Vec<T>, others: Vec<T>) -> Vec<T> {
            if ours.is_empty() { others } else { ours }
        }
        Self {
            rollout: self.rollout.or(other.rollout),
            abort: self.abort.or(other.abort),
            timeout: self.timeout.or(other.timeout),
            retries: self.retries.or(other.retries),
            windows: either(self.windows, other.windows),
            package_versions: either(self.package_versions, other.package_versions),
        }
    }
}

/// What is said of a job, in AWS's own types, before it is checked.
#[derive(Debug, Default)]
pub(crate) struct UncheckedJobConfig {
    pub rollout: Option<JobExecutionsRolloutConfig>,
    pub abort: Option<AbortConfig>,
    pub timeout: Option<TimeoutConfig>,
    pub retries: Option<JobExecutionsRetryConfig>,
    pub windows: Vec<MaintenanceWindow>,
    pub package_versions: Vec<String>,
}

impl UncheckedJobConfig {
    /// What AWS IoT lets pass in a template and refuses in a job, or takes of no job at all: `windows_at` is where the
    /// windows are
    /// (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>).
    ///
    /// Returns the configuration, which cannot be used if there are problems, and every problem: the path of the member,
    /// and the rest of a sentence on it.
    pub fn check(self, windows_at: &str) -> (JobConfig, Vec<(String, String)>) {
        let mut from = Checks { problems: Vec::new() };
        if let Some(rollout) = &self.rollout {
            from.rollout(rollout);
        }
        if let Some(abort) = &self.abort {
            from.abort(abort);
        }
        for (at, window) in self.windows.iter().enumerate() {
            let path = format!("{windows_at}[{at}].durationInMinutes");
            from.range(path, f64::from(window.duration_in_minutes), 1.0..=1430.0);
        }
        let packages = self.package_versions.len();
        if packages > MAX_PACKAGES {
            let expected = format!("{MAX_PACKAGES} at most");
            from.told("destinationPackageVersions".to_owned(), &format!("of {packages} versions"), &expected);
        }
        let minutes = self.timeout.and_then(|config| config.in_progress_timeout_in_minutes);
        let timeout = minutes.and_then(|minutes| {
            let path = "timeoutConfig.inProgressTimeoutInMinutes".to_owned();
            Timeout::of_minutes(minutes).map_err(|_| from.told(path, &minutes.to_string(), "1 to 10080")).ok()
        });
        let retries = self.retries.and_then(|config| {
            let expected = "`ALL`, or `FAILED`, `TIMED_OUT` or both, with 0 to 10 retries and 10 in all at most";
            let path = "jobExecutionsRetryConfig.criteriaList".to_owned();
            Retries::from_config(&config).map_err(|given| from.told(path, &format!("`{given}`"), expected)).ok()
        });
        let Self { rollout, abort, windows, package_versions, .. } = self;
        (JobConfig { rollout, abort, timeout, retries, windows, package_versions }, from.problems)
    }
}

struct Checks {
    problems: Vec<(String, String)>,
}

impl Checks {
    fn told(&mut self, path: String, given: &str, expected: &str) {
        self.problems.push((path, format!("is {given}, expected {expected}")));
    }

    fn range(&mut self, path: String, value: f64, range: RangeInclusive<f64>) {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            let expected = if most.is_finite() { format!("{least} to {most}") } else { format!("at least {least}") };
            self.told(path, &value.to_string(), &expected);
        }
    }

    /// A number in a range with at most so many decimals, by its shortest form that reads back as the same.
    fn decimal(&mut self, path: String, value: f64, range: RangeInclusive<f64>, most: usize) {
        let shown = value.to_string();
        let decimals = shown.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let is_in_range = range.contains(&value);
        let range = (!is_in_range).then(|| format!("{} to {}", range.start(), range.end()));
        let decimals = (decimals > most).then(|| format!("at most {most} decimals"));
        let expected: Vec<_> = range.into_iter().chain(decimals).collect();
        if !expected.is_empty() {
            self.told(path, &quoted(&shown), &expected.join(" with "));
        }
    }

    fn rollout(&mut self, rollout: &JobExecutionsRolloutConfig) {
        let path = |member: &str| format!("jobExecutionsRolloutConfig.{member}");
        let rate = 1.0..=1000.0;
        if let Some(most) = rollout.maximum_per_minute {
            self.range(path("maximumPerMinute"), f64::from(most), rate.clone());
        }
        let Some(exponential) = &rollout.exponential_rate else { return };
        let path = |member: &str| path(&format!("exponentialRate.{member}"));
        self.range(path("baseRatePerMinute"), f64::from(exponential.base_rate_per_minute), rate);
        self.decimal(path("incrementFactor"), exponential.increment_factor, 1.1..=5.0, 1);
        let criteria = exponential.rate_increase_criteria.as_ref();
        let counts = [
            ("numberOfNotifiedThings", criteria.and_then(|criteria| criteria.number_of_notified_things)),
            ("numberOfSucceededThings", criteria.and_then(|criteria| criteria.number_of_succeeded_things)),
        ];
        for (member, count) in counts {
            if let Some(count) = count {
                self.range(path(&format!("rateIncreaseCriteria.{member}")), f64::from(count), 1.0..=f64::INFINITY);
            }
        }
        if counts.iter().all(|(_, count)| count.is_none()) {
            let expected = "`numberOfNotifiedThings` or `numberOfSucceededThings`";
            self.told(path("rateIncreaseCriteria"), "empty", expected);
        }
    }

    fn abort(&mut self, abort: &AbortConfig) {
        if abort.criteria_list().is_empty() {
            self.told("abortConfig.criteriaList".to_owned(), "empty", "at least one");
        }
        for (at, criteria) in abort.criteria_list().iter().enumerate() {
            let path = |member: &str| format!("abortConfig.criteriaList[{at}].{member}");
            self.decimal(path("thresholdPercentage"), criteria.threshold_percentage, 0.0..=100.0, 2);
            let least = f64::from(criteria.min_number_of_executed_things);
            self.range(path("minNumberOfExecutedThings"), least, 1.0..=f64::INFINITY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::types::{AbortAction, AbortCriteria, JobExecutionFailureType, RetryCriteria};

    fn problems(unchecked: UncheckedJobConfig) -> Vec<String> {
        unchecked.check("").1.into_iter().map(|(_, problem)| problem).collect()
    }

    #[test]
    fn a_percentage_is_in_its_range_and_has_two_decimals_at_most() {
        let decimals = ", expected at most 2 decimals";
        for (value, shown, expected) in [
            (0.0, "", ""),
            (100.0, "", ""),
            (12.34, "", ""),
            (0.07, "", ""),
            (29.99, "", ""),
            (1.1e1, "", ""),
            (1.100_000_000_1, "1.1000000001", decimals),
            (1e-9, "0.000000001", decimals),
            (0.1 + 0.2, "0.30000000000000004", decimals),
            (100.001, "100.001", ", expected 0 to 100 with at most 2 decimals"),
            (-0.5, "-0.5", ", expected 0 to 100"),
            (101.0, "101", ", expected 0 to 100"),
        ] {
            let criteria = AbortCriteria::builder()
                .failure_type(JobExecutionFailureType::All)
                .action(AbortAction::Cancel)
                .threshold_percentage(value)
                .min_number_of_executed_things(1);
            let abort = AbortConfig::builder().criteria_list(criteria.build().unwrap()).build().unwrap();
            let expected: Vec<_> = (!shown.is_empty()).then(|| format!("is {shown}{expected}")).into_iter().collect();
            assert_eq!(problems(UncheckedJobConfig { abort: Some(abort), ..UncheckedJobConfig::default() }), expected);
        }
        let mut checks = Checks { problems: Vec::new() };
        checks.decimal("x".to_owned(), 1e300, 1.1..=5.0, 1);
        assert!(checks.problems[0].1.len() < 120, "{:?}", checks.problems);
        checks.decimal("x".to_owned(), 1.05, 1.1..=5.0, 1);
        assert_eq!(checks.problems[1].1, "is 1.05, expected 1.1 to 5 with at most 1 decimals");
    }

    #[test]
    fn retries_after_all_failures_stand_alone() {
        use aws_sdk_iot::types::RetryableFailureType::{All, Failed, TimedOut};
        for (criteria, is_good) in [
            (&[(All, 10)][..], true),
            (&[(Failed, 4), (TimedOut, 6)], true),
            (&[(All, 1), (Failed, 1)], false),
            (&[(TimedOut, 1), (All, 1)], false),
            (&[(All, 1), (All, 1)], false),
            (&[(Failed, 1), (TimedOut, 1), (All, 1)], false),
            (&[], false),
        ] {
            let criteria = criteria.iter().map(|(failure, count)| {
                RetryCriteria::builder().failure_type(failure.clone()).number_of_retries(*count).build().unwrap()
            });
            let retries =
                JobExecutionsRetryConfig::builder().set_criteria_list(Some(criteria.collect())).build().unwrap();
            let told = problems(UncheckedJobConfig { retries: Some(retries), ..UncheckedJobConfig::default() });
            assert_eq!(told.is_empty(), is_good, "{told:?}");
        }
    }
}
