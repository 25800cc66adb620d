//! The configuration of a job in a job template or a manifest, and its checks.

use crate::options::job::{Retries, Timeout};
use crate::options::packages::MAX_PACKAGES;
use crate::text::json::quoted;
use aws_sdk_iot::types::{
    AbortConfig, JobExecutionsRetryConfig, JobExecutionsRolloutConfig, MaintenanceWindow, TimeoutConfig,
};
use std::ops::RangeInclusive;

/// The checked configuration of a job, from a job template, a manifest or both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobConfig {
    /// The rollout rates.
    pub rollout: Option<JobExecutionsRolloutConfig>,
    /// The criteria for cancelling the job.
    pub abort: Option<AbortConfig>,
    /// The time-out of a device.
    pub timeout: Option<Timeout>,
    /// The retries of a device.
    pub retries: Option<Retries>,
    /// The maintenance windows.
    pub windows: Vec<MaintenanceWindow>,
    /// The ARNs of the package versions that the update installs.
    pub package_versions: Vec<String>,
}

impl JobConfig {
    /// Returns this configuration. Values that it does not set come from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        fn non_empty<T>(ours: Vec<T>, others: Vec<T>) -> Vec<T> {
            if ours.is_empty() { others } else { ours }
        }
        Self {
            rollout: self.rollout.or(other.rollout),
            abort: self.abort.or(other.abort),
            timeout: self.timeout.or(other.timeout),
            retries: self.retries.or(other.retries),
            windows: non_empty(self.windows, other.windows),
            package_versions: non_empty(self.package_versions, other.package_versions),
        }
    }
}

/// The configuration of a job before its checks.
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
    /// Finds every value that AWS IoT would reject in a job. AWS IoT accepts some of these values in a template
    /// (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>). `windows_path` is the path
    /// of the maintenance windows.
    ///
    /// Returns the configuration and its problems. If there are problems, the configuration cannot be used. Each
    /// problem is a pair: the path of the member, and the rest of a sentence that begins with this path.
    pub fn check(self, windows_path: &str) -> (JobConfig, Vec<(String, String)>) {
        let mut checks = Checker { problems: Vec::new() };
        if let Some(rollout) = &self.rollout {
            checks.rollout(rollout);
        }
        if let Some(abort) = &self.abort {
            checks.abort(abort);
        }
        for (index, window) in self.windows.iter().enumerate() {
            let path = format!("{windows_path}[{index}].durationInMinutes");
            checks.range(path, f64::from(window.duration_in_minutes), 1.0..=1430.0);
        }
        let packages = self.package_versions.len();
        if packages > MAX_PACKAGES {
            let problem = format!("has {packages} members, expected at most {MAX_PACKAGES}");
            checks.problems.push(("destinationPackageVersions".to_owned(), problem));
        }
        let minutes = self.timeout.and_then(|config| config.in_progress_timeout_in_minutes);
        let timeout = minutes.and_then(|minutes| {
            let path = "timeoutConfig.inProgressTimeoutInMinutes".to_owned();
            Timeout::from_minutes(minutes).map_err(|_| checks.problem(path, &minutes.to_string(), "1 to 10080")).ok()
        });
        let retries = self.retries.and_then(|config| {
            let expected = "`ALL`, or `FAILED`, `TIMED_OUT` or both, with 0 to 10 retries each and at most 10 in total";
            let path = "jobExecutionsRetryConfig.criteriaList".to_owned();
            Retries::from_config(&config).map_err(|value| checks.problem(path, &format!("`{value}`"), expected)).ok()
        });
        let Self { rollout, abort, windows, package_versions, .. } = self;
        (JobConfig { rollout, abort, timeout, retries, windows, package_versions }, checks.problems)
    }
}

struct Checker {
    problems: Vec<(String, String)>,
}

impl Checker {
    fn problem(&mut self, path: String, value: &str, expected: &str) {
        self.problems.push((path, format!("is {value}, expected {expected}")));
    }

    fn range(&mut self, path: String, value: f64, range: RangeInclusive<f64>) {
        if !range.contains(&value) {
            let (min, max) = (range.start(), range.end());
            let expected = if max.is_finite() { format!("{min} to {max}") } else { format!("at least {min}") };
            self.problem(path, &value.to_string(), &expected);
        }
    }

    /// Checks a number and its decimals. Counts the decimals of the shortest text that parses to the same number.
    fn decimal(&mut self, path: String, value: f64, range: RangeInclusive<f64>, max_decimals: usize) {
        let shown = value.to_string();
        let decimals = shown.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let range = (!range.contains(&value)).then(|| format!("{} to {}", range.start(), range.end()));
        let decimals = (decimals > max_decimals).then(|| format!("at most {max_decimals} decimals"));
        let expected: Vec<_> = range.into_iter().chain(decimals).collect();
        if !expected.is_empty() {
            self.problem(path, &quoted(&shown), &expected.join(" with "));
        }
    }

    fn rollout(&mut self, rollout: &JobExecutionsRolloutConfig) {
        let path = |member: &str| format!("jobExecutionsRolloutConfig.{member}");
        let rate = 1.0..=1000.0;
        if let Some(max) = rollout.maximum_per_minute {
            self.range(path("maximumPerMinute"), f64::from(max), rate.clone());
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
            self.problem(path("rateIncreaseCriteria"), "empty", expected);
        }
    }

    fn abort(&mut self, abort: &AbortConfig) {
        if abort.criteria_list().is_empty() {
            self.problem("abortConfig.criteriaList".to_owned(), "empty", "at least one");
        }
        for (index, criteria) in abort.criteria_list().iter().enumerate() {
            let path = |member: &str| format!("abortConfig.criteriaList[{index}].{member}");
            self.decimal(path("thresholdPercentage"), criteria.threshold_percentage, 0.0..=100.0, 2);
            let min = f64::from(criteria.min_number_of_executed_things);
            self.range(path("minNumberOfExecutedThings"), min, 1.0..=f64::INFINITY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_iot::types::{
        AbortAction, AbortCriteria, ExponentialRolloutRate, JobExecutionFailureType, RateIncreaseCriteria,
    };

    fn problems(unchecked: UncheckedJobConfig) -> Vec<String> {
        unchecked.check("").1.into_iter().map(|(_, problem)| problem).collect()
    }

    #[test]
    fn a_percentage_out_of_range_or_with_over_two_decimals_is_a_problem() {
        let decimals = ", expected at most 2 decimals";
        for (value, shown, expected) in [
            (0.0, "", ""),
            (100.0, "", ""),
            (12.34, "", ""),
            (0.07, "", ""),
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
        let mut checks = Checker { problems: Vec::new() };
        checks.decimal("x".to_owned(), 1e300, 1.1..=5.0, 1);
        assert!(checks.problems[0].1.len() < 120, "{:?}", checks.problems);
    }

    #[test]
    fn values_that_are_not_set_come_from_the_other_configuration() {
        let config = |rate: i32, timeout: &str, package: &str| JobConfig {
            rollout: Some(JobExecutionsRolloutConfig::builder().maximum_per_minute(rate).build()),
            timeout: timeout.parse().ok(),
            package_versions: vec![package.to_owned()],
            ..JobConfig::default()
        };
        let (full, other) = (config(1, "1m", "a"), config(2, "2m", "b"));
        assert_eq!(full.clone().or(other.clone()), full);
        assert_eq!(JobConfig::default().or(other.clone()), other);
        let part = JobConfig { rollout: None, ..full.clone() };
        assert_eq!(part.or(other.clone()), JobConfig { rollout: other.rollout, ..full });
    }

    #[test]
    fn rollout_rates_and_abort_criteria_that_aws_iot_rejects_are_problems() {
        let problem = |criteria: RateIncreaseCriteria, base: i32, factor: f64| {
            let rate = ExponentialRolloutRate::builder().base_rate_per_minute(base).increment_factor(factor);
            let rate = rate.rate_increase_criteria(criteria).build().unwrap();
            let rollout = JobExecutionsRolloutConfig::builder().exponential_rate(rate).build();
            problems(UncheckedJobConfig { rollout: Some(rollout), ..UncheckedJobConfig::default() })
        };
        let notified = |count: i32| RateIncreaseCriteria::builder().number_of_notified_things(count).build();
        assert_eq!(problem(notified(1), 1000, 5.0), Vec::<String>::new());
        assert_eq!(problem(notified(0), 1, 1.1), ["is 0, expected at least 1"]);
        assert_eq!(problem(notified(1), 1001, 1.1), ["is 1001, expected 1 to 1000"]);
        assert_eq!(problem(notified(1), 1, 1.05), ["is 1.05, expected 1.1 to 5 with at most 1 decimals"]);
        assert_eq!(
            problem(RateIncreaseCriteria::builder().build(), 1, 1.1),
            ["is empty, expected `numberOfNotifiedThings` or `numberOfSucceededThings`"]
        );
        let abort = AbortConfig::builder().set_criteria_list(Some(Vec::new())).build().unwrap();
        let unchecked = UncheckedJobConfig { abort: Some(abort), ..UncheckedJobConfig::default() };
        assert_eq!(problems(unchecked), ["is empty, expected at least one"]);
    }

    #[test]
    fn every_value_out_of_range_is_a_problem_with_its_path() {
        let window = MaintenanceWindow::builder().start_time("x").duration_in_minutes(1431).build().unwrap();
        let unchecked = UncheckedJobConfig {
            timeout: Some(TimeoutConfig::builder().in_progress_timeout_in_minutes(0).build()),
            retries: Some(JobExecutionsRetryConfig::builder().set_criteria_list(Some(Vec::new())).build().unwrap()),
            windows: vec![window],
            package_versions: vec![String::new(); 26],
            ..UncheckedJobConfig::default()
        };
        let full = UncheckedJobConfig { package_versions: vec![String::new(); 25], ..UncheckedJobConfig::default() };
        assert_eq!(problems(full), Vec::<String>::new());
        let problems = unchecked.check("w").1.into_iter().map(|(path, problem)| format!("{path} {problem}"));
        let [windows, packages, timeout, retries] = problems.collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(windows, "w[0].durationInMinutes is 1431, expected 1 to 1430");
        assert_eq!(packages, "destinationPackageVersions has 26 members, expected at most 25");
        assert_eq!(timeout, "timeoutConfig.inProgressTimeoutInMinutes is 0, expected 1 to 10080");
        assert!(retries.starts_with("jobExecutionsRetryConfig.criteriaList is ``, expected `ALL`, or "), "{retries}");
    }
}
