//! Checks the configuration of a bucket that the stack did not create.
//!
//! The owner of the bucket can remove configuration that the stack depends on.

use crate::clients::Clients;
use crate::error::{Cause, Failure, required};
use crate::settings::Settings;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::BucketVersioningStatus;
use futures::try_join;
use serde_json::Value;

/// Returns a problem for each part of the configuration of `make attach` that the bucket lacks. The parts are
/// versioning, events for EventBridge, and a `Deny` statement in the bucket policy with each of these IDs. Each problem
/// completes a sentence that begins with the bucket.
///
/// # Errors
/// Fails if S3 does not return the configuration. The operator must act.
pub(crate) async fn problems(
    aws: &Clients,
    settings: &Settings,
    statements: &[String],
) -> Result<Vec<String>, Failure> {
    let (has_versions, sends_events, deny_ids) =
        try_join!(has_versions(aws, settings), sends_events(aws, settings), deny_statement_ids(aws, settings))?;
    let missing = statements.iter().filter(|statement| !deny_ids.contains(statement));
    let missing = missing.map(|statement| format!("has no `Deny` statement `{statement}` in its policy"));
    let versions = (!has_versions).then(|| "has no versioning".to_owned());
    let events = (!sends_events).then(|| "sends no events to EventBridge".to_owned());
    Ok(versions.into_iter().chain(events).chain(missing).collect())
}

fn failure(settings: &Settings, what: &str, source: impl Into<Cause>) -> Failure {
    Failure::request(format!("reading the {what} of the bucket `{}`", settings.upload_bucket), source)
}

async fn has_versions(aws: &Clients, settings: &Settings) -> Result<bool, Failure> {
    let call = aws.s3.get_bucket_versioning().bucket(&settings.upload_bucket);
    let response = call.expected_bucket_owner(&settings.ota_role.account).send().await;
    // S3 returns no status if versioning was never enabled.
    let status = response.map_err(|error| failure(settings, "versioning", error))?.status;
    Ok(status == Some(BucketVersioningStatus::Enabled))
}

async fn sends_events(aws: &Clients, settings: &Settings) -> Result<bool, Failure> {
    let call = aws.s3.get_bucket_notification_configuration().bucket(&settings.upload_bucket);
    let response = call.expected_bucket_owner(&settings.ota_role.account).send().await;
    let response = response.map_err(|error| failure(settings, "notifications", error))?;
    Ok(response.event_bridge_configuration.is_some())
}

/// The IDs of the `Deny` statements in the bucket's policy.
async fn deny_statement_ids(aws: &Clients, settings: &Settings) -> Result<Vec<String>, Failure> {
    let call = aws.s3.get_bucket_policy().bucket(&settings.upload_bucket);
    let policy = match call.expected_bucket_owner(&settings.ota_role.account).send().await {
        Ok(response) => required(response.policy, "Policy")?,
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => return Ok(Vec::new()),
        Err(error) => return Err(failure(settings, "policy", error)),
    };
    let policy: Value = serde_json::from_str(&policy).map_err(|error| failure(settings, "policy", error))?;
    // A single statement need not be in a list.
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement => std::slice::from_ref(statement),
    };
    let denials = statements.iter().filter(|statement| statement["Effect"] == "Deny");
    Ok(denials.filter_map(|statement| statement["Sid"].as_str().map(str::to_owned)).collect())
}
