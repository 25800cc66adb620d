//! The jobs of earlier versions of the same key.

use crate::{
    clients::Clients,
    job::existing::{self},
    s3::record::JobRecord,
    settings::Settings,
    upload::Upload,
};
use aws_sdk_iot::types::JobStatus;
use futures::future::join_all;
use std::time::Duration;
use tokio::time::timeout;

/// How many earlier versions of a key are looked at for jobs that still go on.
const EARLIER: usize = 5;

/// How long may be looked for them: what is found is only told.
const PATIENCE: Duration = Duration::from_secs(5);

/// The jobs of earlier versions of the same key that devices have still to see to, each a sentence for the log. What
/// cannot be looked up is left out: a release does not depend on it.
pub(crate) async fn jobs_of_earlier_versions(aws: &Clients, settings: &Settings, upload: &Upload) -> Vec<String> {
    let look = async {
        let earlier = upload.earlier(aws, settings, EARLIER).await.ok()?;
        Some(join_all(earlier.iter().map(|version| unfinished(aws, settings, version))).await)
    };
    let found = timeout(PATIENCE, look).await.ok().flatten().unwrap_or_default();
    let mut jobs: Vec<_> = found.into_iter().flatten().collect();
    // Unchanged copies have the job of the version that they are copies of.
    jobs.dedup();
    jobs
}

async fn unfinished(aws: &Clients, settings: &Settings, version: &Upload) -> Option<String> {
    let record = JobRecord::find(aws, settings, version).await.ok().flatten()?;
    record.job_arn.as_ref()?;
    let status = existing::of_receipt(aws, settings, version, &record).await.ok()??.status?;
    let JobRecord { job_id, version_id, unchanged_since, .. } = record;
    let version_id = unchanged_since.unwrap_or(version_id);
    matches!(status, JobStatus::Scheduled | JobStatus::InProgress).then(|| {
        format!(
            "the job `{job_id}` of the earlier version `{version_id}` is {status}, and goes on beside this one; \
             `aws iot cancel-job --job-id {job_id}` ends it"
        )
    })
}
