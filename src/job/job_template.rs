//! Reads the options of an AWS IoT job template.

use crate::error::Failure;
use crate::not_released::{NotReleased, RejectionKind};
use crate::options::job::JobTemplateId;
use crate::options::job_config::{JobConfig, UncheckedJobConfig};
use crate::scope::Scope;
use aws_sdk_iot::error::ProvideErrorMetadata;
use aws_sdk_iot::operation::describe_job_template::DescribeJobTemplateOutput;

/// Looks up a job template. Leaves out its document, because a release has its own.
///
/// # Errors
/// Rejects the release if the template breaks rules of CreateJob. If the template does not exist, `if_missing` decides
/// between a rejection and a failure.
pub(crate) async fn describe(
    scope: Scope<'_>,
    id: &JobTemplateId,
    if_missing: impl FnOnce(Failure) -> NotReleased,
) -> Result<JobConfig, NotReleased> {
    match scope.aws.iot.describe_job_template().job_template_id(id.to_string()).send().await {
        Ok(template) => read(template).map_err(|problems| {
            let reason = |(path, problem)| format!("`{path}` of job template `{id}` {problem}");
            NotReleased::Rejected(RejectionKind::JobTemplate, problems.into_iter().map(reason).collect())
        }),
        Err(error) => {
            let exists = error.code() != Some("ResourceNotFoundException");
            let failure = Failure::request(format!("looking up the job template `{id}`"), error);
            Err(if exists { failure.into() } else { if_missing(failure) })
        }
    }
}

fn read(template: DescribeJobTemplateOutput) -> Result<JobConfig, Vec<(String, String)>> {
    // AWS IoT may return an object without members for a configuration that is not set.
    let rollout = template.job_executions_rollout_config;
    let rollout = rollout.filter(|rates| rates.maximum_per_minute.is_some() || rates.exponential_rate.is_some());
    let abort = template.abort_config.filter(|config| !config.criteria_list().is_empty());
    let retries = template.job_executions_retry_config.filter(|config| !config.criteria_list().is_empty());
    let unchecked = UncheckedJobConfig {
        rollout,
        abort,
        timeout: template.timeout_config,
        retries,
        windows: template.maintenance_windows.unwrap_or_default(),
        package_versions: template.destination_package_versions.unwrap_or_default(),
    };
    let (config, problems) = unchecked.check("maintenanceWindows");
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}
