//! Texts about a job, for people.

use crate::check::target;
use crate::text::{local, local_of_iot};
use aws_sdk_iot::types::{Job, JobExecutionsRetryConfig, MaintenanceWindow, RetryCriteria, SchedulingConfig};
use ota_on_upload::options::target::Target;

/// The names of the targets of a job.
pub fn targets(job: &Job) -> String {
    let name = |arn: &String| match target(arn) {
        Some(Target::ThingGroup(name)) => name,
        Some(target @ Target::Thing(_)) => target.to_string(),
        None => arn.clone(),
    };
    job.targets().iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The start and the end of a job in one line.
pub fn schedule(job: &Job) -> String {
    let config = job.scheduling_config();
    let start = config.and_then(|config| config.start_time()).map_or_else(|| "at once".to_owned(), local_of_iot);
    let end = config.and_then(|config| config.end_time()).map(|end| format!(" to {}", local_of_iot(end)));
    let windows = config.map(|config| config.maintenance_windows().len()).filter(|windows| *windows > 0);
    let windows = windows.map(|_| ", in maintenance windows").unwrap_or_default();
    format!("{start}{}{windows}", end.unwrap_or_default())
}

/// The maintenance windows of a job, one on each line, and the next starts of its rollout.
pub fn windows(job: &Job) -> String {
    let windows = job.scheduling_config().map(SchedulingConfig::maintenance_windows).unwrap_or_default();
    let window =
        |window: &MaintenanceWindow| format!("{} (UTC), for {} min", window.start_time, window.duration_in_minutes);
    let next = job.scheduled_job_rollouts().iter().filter_map(|rollout| rollout.start_time());
    let next = next.map(|start| format!("next: {}", local_of_iot(start)));
    windows.iter().map(window).chain(next).collect::<Vec<_>>().join("\n")
}

/// The retries of a device, by the kind of failure.
pub fn retries(job: &Job) -> String {
    let criteria = job.job_executions_retry_config().map(JobExecutionsRetryConfig::criteria_list).unwrap_or_default();
    let criterion = |criterion: &RetryCriteria| format!("{} {}", criterion.number_of_retries, criterion.failure_type);
    criteria.iter().map(criterion).collect::<Vec<_>>().join(", ")
}

/// A time of a job on the clocks of this machine. Empty without a time.
pub fn time(time: Option<&aws_sdk_iot::primitives::DateTime>) -> String {
    time.map(|time| local(time.secs())).unwrap_or_default()
}
