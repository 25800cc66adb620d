//! Warns of unfinished jobs of earlier versions of the same key.

use crate::job::existing;
use crate::s3::listing::earlier_versions;
use crate::s3::record::JobRecord;
use crate::scope::Scope;
use crate::upload::Upload;
use aws_sdk_iot::types::JobStatus;
use futures::future::join_all;
use std::time::Duration;
use tokio::time::timeout;

/// The maximum number of earlier versions of a key whose jobs are looked up.
const MAX_EARLIER_VERSIONS: i32 = 5;

/// The time-out of the lookup. It is short, because the results are only logged.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Returns a warning for each unfinished job of an earlier version. Leaves out jobs that cannot be looked up, because a
/// release does not depend on them.
pub(crate) async fn warnings(scope: Scope<'_>) -> Vec<String> {
    let look_up = async {
        let earlier = earlier_versions(scope, MAX_EARLIER_VERSIONS).await.ok()?;
        Some(join_all(earlier.iter().map(|version| unfinished(scope, version))).await)
    };
    let found = timeout(TIMEOUT, look_up).await.ok().flatten().unwrap_or_default();
    let mut jobs: Vec<_> = found.into_iter().flatten().collect();
    // An unchanged copy has the same job as its original.
    jobs.dedup();
    jobs
}

async fn unfinished(scope: Scope<'_>, version: &Upload) -> Option<String> {
    let scope = scope.with_upload(version);
    let record = JobRecord::find(scope).await.ok().flatten()?;
    record.job_arn.as_ref()?;
    let status = existing::find_by_receipt(scope, &record).await.ok()??.status?;
    let JobRecord { job_id, version_id, original_version_id, .. } = record;
    let version_id = original_version_id.unwrap_or(version_id);
    matches!(status, JobStatus::Scheduled | JobStatus::InProgress).then(|| {
        format!(
            "the job `{job_id}` of the earlier version `{version_id}` is {status}, and continues next to this one; \
             `aws iot cancel-job --job-id {job_id}` ends it"
        )
    })
}
