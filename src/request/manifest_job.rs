//! Reads the members of a manifest that have the same names in CreateJob.
//!
//! An invalid value is reported and replaced by a valid one, so that the other values are checked, too. A manifest with
//! problems is not released.

use crate::error::Expected;
use crate::options::job::UrlExpiry;
use crate::options::name::is_name;
use crate::options::packages::{is_package, is_package_version};
use crate::schedule::iot_cron::Cron;
use crate::settings::Settings;
use crate::text::json::{Node, Problems, list, number, quoted, text, whole_number, whole_number_32, word};
use crate::upload::MAX_DESCRIPTION;
use aws_sdk_iot::types;

/// The maximum number of tags of a job (<https://docs.aws.amazon.com/iot/latest/developerguide/tagging-iot.html>).
const MAX_TAGS: usize = 50;

/// The punctuation that AWS IoT accepts in a tag.
const TAG_PUNCTUATION: &str = " _.:/=+-@";

/// The maximum number of maintenance windows in a manifest. AWS does not document a limit.
const MAX_WINDOWS: usize = 50;

/// Returns whether a description may have the character. AWS IoT accepts more characters, but does not document them.
fn is_description_character(letter: char) -> bool {
    letter.is_alphanumeric() || letter == ' ' || letter.is_ascii_graphic()
}

/// `description`, to which the function adds the release's mark
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html>).
pub(crate) fn description(node: &Node<'_>, problems: &mut Problems) -> Option<String> {
    let description = text(node, problems)?;
    let is_valid = (1..=MAX_DESCRIPTION).contains(&description.chars().count())
        && description.chars().all(is_description_character);
    if !is_valid {
        let expected = format!("expected 1 to {MAX_DESCRIPTION} letters, digits, spaces and ASCII punctuation");
        node.problem(problems, &format!("is not valid, {expected}"));
    }
    Some(description)
}

/// `tags` (<https://docs.aws.amazon.com/iot/latest/apireference/API_Tag.html>).
pub(crate) fn tags(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<types::Tag>> {
    let mut keys: Vec<String> = Vec::new();
    let tag = |node: &Node<'_>, problems: &mut Problems| {
        let tag = tag(node, &keys, problems)?;
        keys.push(tag.key.clone());
        Some(tag)
    };
    let tags = list(tag)(node, problems)?;
    if tags.len() > MAX_TAGS {
        node.problem(problems, &format!("has {} members, expected at most {MAX_TAGS}", tags.len()));
    }
    Some(tags)
}

fn tag(node: &Node<'_>, others: &[String], problems: &mut Problems) -> Option<types::Tag> {
    let is_reserved = |text: &str| text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    node.object(problems, |object| {
        let key = object.required("Key", text);
        let value = object.optional("Value", text).unwrap_or_default();
        if let Some(key) = &key {
            if !is_name(key, 1..=128, TAG_PUNCTUATION) || is_reserved(key) {
                let expected = "1 to 128 ASCII letters, digits, spaces, `_`, `.`, `:`, `/`, `=`, `+`, `-` and `@`, \
                                not beginning with `aws:`";
                object.problem("Key", &format!("is `{}`, expected {expected}", quoted(key)));
            }
            if others.contains(key) {
                object.problem("Key", &format!("is `{}`, which another tag has, expected another key", quoted(key)));
            }
        }
        let is_allowed = |letter: char| letter.is_alphanumeric() || TAG_PUNCTUATION.contains(letter);
        if value.encode_utf16().count() > 256 || !value.chars().all(is_allowed) || is_reserved(&value) {
            let expected = "at most 256 letters, digits, spaces, `_`, `.`, `:`, `/`, `=`, `+`, `-` and `@`, not \
                            beginning with `aws:`";
            object.problem("Value", &format!("is `{}`, expected {expected}", quoted(&value)));
        }
        types::Tag::builder().key(key?).value(value).build().ok()
    })
}

/// `presignedUrlConfig`.
pub(crate) fn url_expiry(node: &Node<'_>, problems: &mut Problems, settings: &Settings) -> Option<UrlExpiry> {
    node.object(problems, |object| {
        object.refuse("roleArn", "is not allowed in a manifest, as the deployment sets the role");
        let seconds = object.optional("expiresInSec", whole_number)?;
        match seconds.to_string().parse() {
            Ok(expiry @ UrlExpiry(seconds)) if seconds <= settings.url_expiry.0 => Some(expiry),
            _ => {
                let expected = format!("60 to {}, the maximum of this deployment", settings.url_expiry.0);
                object.problem("expiresInSec", &format!("is {seconds}, expected {expected}"));
                None
            }
        }
    })
}

/// `schedulingConfig`, which may have only maintenance windows in a manifest.
pub(crate) fn windows(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<types::MaintenanceWindow>> {
    node.object(problems, |object| {
        for (member, tag) in [("startTime", "ota:start"), ("endTime", "ota:end"), ("endBehavior", "ota:end-behavior")] {
            object.refuse(member, &format!("is not allowed in a manifest, expected the tag `{tag}`"));
        }
        let windows = object.optional("maintenanceWindows", list(window))?;
        if !(1..=MAX_WINDOWS).contains(&windows.len()) {
            let problem = format!("has {} members, expected 1 to {MAX_WINDOWS}", windows.len());
            object.problem("maintenanceWindows", &problem);
        }
        Some(windows)
    })
}

fn window(node: &Node<'_>, problems: &mut Problems) -> Option<types::MaintenanceWindow> {
    node.object(problems, |object| {
        let start = object.required("startTime", text);
        if let Some(start) = &start
            && let Err(Expected(expected)) = start.parse::<Cron>()
        {
            object.problem("startTime", &format!("is `{}`, expected {expected}", quoted(start)));
        }
        let minutes = object.required("durationInMinutes", whole_number_32).unwrap_or(1);
        let start = start.unwrap_or_else(|| "cron(0 0 * * ? *)".to_owned());
        types::MaintenanceWindow::builder().start_time(start).duration_in_minutes(minutes).build().ok()
    })
}

/// `destinationPackageVersions`: package versions of the deployment's account and region, each package once.
pub(crate) fn package_versions(node: &Node<'_>, problems: &mut Problems, settings: &Settings) -> Option<Vec<String>> {
    let prefix = settings.iot_arn("package/");
    let mut packages: Vec<String> = Vec::new();
    let version = |node: &Node<'_>, problems: &mut Problems| {
        let arn = text(node, problems)?;
        let is_version = |version: &str| is_package_version(version) || matches!(version, "$default" | "$null");
        match settings.package_version(&arn).filter(|(package, version)| is_package(package) && is_version(version)) {
            None => {
                node.problem(problems, &format!("is `{}`, expected `{prefix}PACKAGE/version/VERSION`", quoted(&arn)));
            }
            Some((package, _)) if packages.iter().any(|other| other == package) => {
                let problem = format!("names the package `{}` again, expected each package once", quoted(package));
                node.problem(problems, &problem);
            }
            Some((package, _)) => packages.push(package.to_owned()),
        }
        Some(arn)
    };
    let versions = list(version)(node, problems)?;
    if versions.is_empty() {
        node.problem(problems, "is empty, expected at least one");
    }
    Some(versions)
}

/// `jobExecutionsRolloutConfig`.
pub(crate) fn rollout(node: &Node<'_>, problems: &mut Problems) -> Option<types::JobExecutionsRolloutConfig> {
    node.object(problems, |object| {
        let rollout = types::JobExecutionsRolloutConfig::builder()
            .set_maximum_per_minute(object.optional("maximumPerMinute", whole_number_32))
            .set_exponential_rate(object.optional("exponentialRate", exponential_rate));
        Some(rollout.build())
    })
}

fn exponential_rate(node: &Node<'_>, problems: &mut Problems) -> Option<types::ExponentialRolloutRate> {
    node.object(problems, |object| {
        let criteria = object.required("rateIncreaseCriteria", rate_increase_criteria);
        let criteria = criteria.unwrap_or_else(|| count_of_notified(1));
        types::ExponentialRolloutRate::builder()
            .base_rate_per_minute(object.required("baseRatePerMinute", whole_number_32).unwrap_or(1))
            .increment_factor(object.required("incrementFactor", number).unwrap_or(1.1))
            .rate_increase_criteria(criteria)
            .build()
            .ok()
    })
}

fn count_of_notified(things: i32) -> types::RateIncreaseCriteria {
    types::RateIncreaseCriteria::builder().number_of_notified_things(things).build()
}

fn rate_increase_criteria(node: &Node<'_>, problems: &mut Problems) -> Option<types::RateIncreaseCriteria> {
    let count = |node: &Node<'_>, problems: &mut Problems| whole_number_32(node, problems).or(Some(1));
    node.object(problems, |object| {
        object.is_object().then(|| {
            types::RateIncreaseCriteria::builder()
                .set_number_of_notified_things(object.optional("numberOfNotifiedThings", count))
                .set_number_of_succeeded_things(object.optional("numberOfSucceededThings", count))
                .build()
        })
    })
}

/// `abortConfig`.
pub(crate) fn abort(node: &Node<'_>, problems: &mut Problems) -> Option<types::AbortConfig> {
    node.object(problems, |object| {
        let criteria = object.required("criteriaList", list(abort_criteria))?;
        types::AbortConfig::builder().set_criteria_list(Some(criteria)).build().ok()
    })
}

fn abort_criteria(node: &Node<'_>, problems: &mut Problems) -> Option<types::AbortCriteria> {
    node.object(problems, |object| {
        let failure = object.required("failureType", word(&["FAILED", "REJECTED", "TIMED_OUT", "ALL"]));
        let action = object.required("action", word(&["CANCEL"]));
        types::AbortCriteria::builder()
            .failure_type(failure.unwrap_or("ALL").into())
            .action(action.unwrap_or("CANCEL").into())
            .threshold_percentage(object.required("thresholdPercentage", number).unwrap_or(1.0))
            .min_number_of_executed_things(object.required("minNumberOfExecutedThings", whole_number_32).unwrap_or(1))
            .build()
            .ok()
    })
}

/// `timeoutConfig`.
pub(crate) fn timeout(node: &Node<'_>, problems: &mut Problems) -> Option<types::TimeoutConfig> {
    node.object(problems, |object| {
        let minutes = object.required("inProgressTimeoutInMinutes", whole_number)?;
        Some(types::TimeoutConfig::builder().in_progress_timeout_in_minutes(minutes).build())
    })
}

/// `jobExecutionsRetryConfig`.
pub(crate) fn retries(node: &Node<'_>, problems: &mut Problems) -> Option<types::JobExecutionsRetryConfig> {
    node.object(problems, |object| {
        let criteria = object.required("criteriaList", list(retry_criteria))?;
        types::JobExecutionsRetryConfig::builder().set_criteria_list(Some(criteria)).build().ok()
    })
}

fn retry_criteria(node: &Node<'_>, problems: &mut Problems) -> Option<types::RetryCriteria> {
    node.object(problems, |object| {
        let failure = object.required("failureType", word(&["FAILED", "TIMED_OUT", "ALL"]));
        types::RetryCriteria::builder()
            .failure_type(failure.unwrap_or("ALL").into())
            .number_of_retries(object.required("numberOfRetries", whole_number_32).unwrap_or(0))
            .build()
            .ok()
    })
}

#[cfg(test)]
mod tests;
