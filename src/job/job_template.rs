//! An IoT job template: what it says of a job, where the tags of a release say nothing.

use crate::{
    clients::Clients,
    error::Failure,
    not_released::{NotReleased, RejectionKind},
    options::job::JobTemplateId,
    options::job_config::{JobConfig, UncheckedJobConfig},
};
use aws_sdk_iot::{error::ProvideErrorMetadata, operation::describe_job_template::DescribeJobTemplateOutput};

/// Looks a job template up. Its document, and what concerns that alone, is left out: a release has its own.
///
/// # Errors
/// It breaks rules of CreateJob, or it is not there, of which `missing` makes what it means for the release.
pub(crate) async fn describe(
    aws: &Clients,
    id: &JobTemplateId,
    missing: impl FnOnce(Failure) -> NotReleased,
) -> Result<JobConfig, NotReleased> {
    match aws.iot.describe_job_template().job_template_id(&id.0).send().await {
        Ok(template) => read(template).map_err(|problems| {
            let problems = problems.into_iter();
            NotReleased::Rejected(
                RejectionKind::JobTemplate,
                problems.map(|(path, problem)| format!("`{path}` of job template `{id}` {problem}")).collect(),
            )
        }),
        Err(error) => {
            let is_missing = error.code() == Some("ResourceNotFoundException");
            let failure = Failure::DescribeJobTemplate { template: id.to_string(), source: error.into() };
            Err(if is_missing { missing(failure) } else { failure.into() })
        }
    }
}

fn read(template: DescribeJobTemplateOutput) -> Result<JobConfig, Vec<(String, String)>> {
    // Of what is not set, AWS IoT may tell an object without members.
    let rollout = template.job_executions_rollout_config;
    let rollout = rollout.filter(|rates| rates.maximum_per_minute.is_some() || rates.exponential_rate.is_some());
    let abort = template.abort_config.filter(|config| !config.criteria_list().is_empty());
    let retries = template.job_executions_retry_config.filter(|config| !config.criteria_list().is_empty());
    let said = UncheckedJobConfig {
        rollout,
        abort,
        timeout: template.timeout_config,
        retries,
        windows: template.maintenance_windows.unwrap_or_default(),
        package_versions: template.destination_package_versions.unwrap_or_default(),
    };
    let (config, problems) = said.check("maintenanceWindows");
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}
