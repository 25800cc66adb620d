//! `ota upload`: checks a file, uploads it with its tags, and waits for its job.

use crate::args::{Common, UploadArguments};
use crate::aws::Aws;
use crate::check::{Candidate, Checked, check, target};
use crate::jobs::MAX_COUNTED;
use crate::objects;
use crate::outcome;
use crate::output::{bar, complain, confirm, report, say, warn, write_facts, write_json};
use crate::problem::{Exit, PUT_OBJECT, Problem, Request};
use crate::progress_body::body;
use crate::stack::Stack;
use crate::text::{counted, local_of_iot};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::types::ObjectVersion;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ota_on_upload::options::target::Target;
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::settings::Settings;
use ota_on_upload::tags::{TagHeader, Tags};
use ota_on_upload::upload::{Upload, hex};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::time::Duration;
use tokio::time::sleep;

/// The maximum number of attempts to put the file, and the pause before the versions in S3 show whether one has succeeded.
const MAX_ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// The time that S3 has to receive the file: 24 MB at 30 kB/s.
const PUT_TIMEOUT: Duration = Duration::from_mins(15);

/// Runs the command.
///
/// # Errors
/// Fails if the file is not uploaded, or the outcome is not known in time.
pub async fn run(
    (aws, stack): (&Aws, &Stack),
    arguments: &UploadArguments,
    common: &Common,
    out: &mut dyn Write,
) -> Result<Exit, Problem> {
    let settings = &stack.settings;
    let candidate = Candidate::read(&arguments.file, settings)?;
    let Checked { json: checked, problem } = check(&candidate, settings, aws.clients.clone(), Some(aws)).await?;
    if !problem.messages.is_empty() {
        complain(&problem);
        say("nothing was uploaded");
        if common.json {
            write_json(out, &checked)?;
        }
        return Ok(problem.exit);
    }
    say(plan(aws, &candidate, settings, &checked).await);
    if stack.is_dry_run {
        warn("the function of the stack runs with DRY_RUN=true: it will create no job");
    }
    let digest = Sha256::digest(&candidate.bytes);
    let versions = objects::versions(aws, settings, &candidate.key).await?;
    if let Some(before) = released_before(aws, settings, &candidate, &digest, &versions).await? {
        warn(before);
        confirm("Upload it again, and create another job?", arguments.yes)?;
    }
    let upload = put(aws, settings, candidate, &digest).await?;
    let url = format!("s3://{}/{}?versionId={}", upload.bucket, upload.key, upload.version_id);
    let mut json = json!({"bucket": upload.bucket, "key": upload.key, "versionId": upload.version_id});
    report(format_args!("uploaded {url}"));
    let mut facts = vec![("object version", url)];
    let mut exit = Exit::Done;
    if arguments.wait {
        say("waiting for the outcome");
        let outcome = match outcome::wait(aws, stack, &upload, arguments.wait_timeout).await {
            Ok(outcome) => outcome,
            Err(problem) => {
                write(out, common.json, &json, &facts)?;
                return Err(problem);
            }
        };
        outcome.problem().iter().for_each(complain);
        exit = outcome.exit;
        for (name, member) in [("outcome", "outcome"), ("job", "jobId"), ("job ARN", "jobArn"), ("stream", "streamId")]
        {
            facts.push((name, outcome.json[member].as_str().unwrap_or_default().to_owned()));
        }
        facts.push(("start", outcome.json["startTime"].as_str().map(local_of_iot).unwrap_or_default()));
        if let (Value::Object(all), Value::Object(more)) = (&mut json, outcome.json) {
            all.extend(more);
        }
    }
    write(out, common.json, &json, &facts)?;
    Ok(exit)
}

fn write(out: &mut dyn Write, is_json: bool, json: &Value, facts: &[(&str, String)]) -> Result<(), Problem> {
    if is_json { write_json(out, json) } else { write_facts(out, facts) }
}

/// A line that says what the upload will do, and to how many devices.
async fn plan(aws: &Aws, candidate: &Candidate, settings: &Settings, checked: &Value) -> String {
    let job = &checked["createJob"];
    let arns = job["targets"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut targets = Vec::new();
    for target in arns.filter_map(target) {
        targets.push(match target {
            Target::ThingGroup(name) => match aws.jobs.things_in(&name).await {
                Ok(MAX_COUNTED) => format!("{name} ({MAX_COUNTED} devices or more)"),
                Ok(things) => format!("{name} ({})", counted(i64::try_from(things).unwrap_or_default(), "device")),
                Err(problem) => {
                    problem
                        .messages
                        .iter()
                        .for_each(|message| warn(format_args!("devices are not counted: {message}")));
                    name
                }
            },
            thing @ Target::Thing(_) => thing.to_string(),
        });
    }
    let config = &job["schedulingConfig"];
    let has_windows = config["maintenanceWindows"].is_array() || job["jobTemplateArn"].is_string();
    let start = match config["startTime"].as_str() {
        Some(start) => format!("the job starts {}", local_of_iot(start)),
        None if has_windows => "the job starts as its windows or its template say".to_owned(),
        None => "the job starts at once".to_owned(),
    };
    let (bucket, key, bytes) = (&settings.upload_bucket, &candidate.key, candidate.bytes.len());
    format!("uploads s3://{bucket}/{key} ({bytes} bytes) for {}; {start}", targets.join(", "))
}

/// Returns a warning if an earlier version of the key has, or will have, a job with the same bytes and tags.
async fn released_before(
    aws: &Aws,
    settings: &Settings,
    candidate: &Candidate,
    digest: &[u8],
    versions: &[ObjectVersion],
) -> Result<Option<String>, Problem> {
    let tags = TagHeader::from(candidate.tags.as_str()).tags;
    let sha256 = hex(digest);
    let size = i64::try_from(candidate.bytes.len()).ok();
    for version in versions.iter().filter(|version| version.size == size) {
        let id = version.version_id.clone().unwrap_or_default();
        let upload = Upload::new(settings.upload_bucket.clone(), candidate.key.clone(), id);
        let Some(record) = objects::record(aws, settings, &upload).await? else { continue };
        if let Some(warning) = same_release(&record, &tags, &sha256) {
            return Ok(Some(warning));
        }
    }
    Ok(None)
}

/// Returns a warning if the record of an upload of the same size is that of the same tags and bytes. The record of a job
/// that is not created yet has no hash, and no record has one if signatures are not verified.
fn same_release(record: &JobRecord, tags: &Tags, sha256: &str) -> Option<String> {
    let JobRecord { job_id, job_arn, sha256: known, .. } = record;
    let file = match known {
        _ if record.tags != *tags => return None,
        Some(known) if known != sha256 => return None,
        Some(_) => "the same file",
        None => "a file of the same size",
    };
    let state = if job_arn.is_some() { "is released already" } else { "is being released, or was rejected" };
    Some(format!("{file} with the same tags {state}, as `{job_id}`"))
}

/// Puts the file into the bucket with its tags. S3 verifies its SHA-256.
///
/// Each version of an object is a release. After a lost response, the file is therefore put again only if S3 has no new
/// version.
///
/// # Errors
/// Fails if S3 rejects the file, or does not answer.
pub async fn put(aws: &Aws, settings: &Settings, candidate: Candidate, digest: &[u8]) -> Result<Upload, Problem> {
    let before = objects::versions(aws, settings, &candidate.key).await?;
    let size = i64::try_from(candidate.bytes.len()).ok();
    let mut attempt = 1;
    loop {
        let problem = match put_once(aws, settings, &candidate, digest).await {
            Ok(upload) => return Ok(upload),
            Err(problem) if !problem.is_temporary => return Err(problem),
            Err(problem) => problem,
        };
        sleep(PAUSE).await;
        let Ok(now) = objects::versions(aws, settings, &candidate.key).await else {
            warn("S3 may have the upload although its response was lost: look for it before you upload again");
            return Err(problem);
        };
        let is_new = |version: &&ObjectVersion| {
            version.size == size && before.iter().all(|known| known.version_id != version.version_id)
        };
        let mut new = now.iter().filter(is_new).filter_map(|version| version.version_id.clone());
        match (new.next(), new.next()) {
            (Some(id), None) => {
                warn("the response of S3 was lost, but S3 has the upload");
                return Ok(Upload::new(settings.upload_bucket.clone(), candidate.key, id));
            }
            (Some(_), Some(_)) => {
                warn("S3 has several new versions of the key, of which one may be the upload");
                return Err(problem);
            }
            (None, _) => {}
        }
        if attempt == MAX_ATTEMPTS {
            return Err(problem);
        }
        problem.messages.iter().for_each(|message| warn(format_args!("{message}; uploads again")));
        attempt += 1;
    }
}

async fn put_once(aws: &Aws, settings: &Settings, candidate: &Candidate, digest: &[u8]) -> Result<Upload, Problem> {
    let Candidate { key, tags, bytes, .. } = candidate;
    let bucket = &settings.upload_bucket;
    let length = i64::try_from(bytes.len()).ok();
    let bar = bar(bytes.len() as u64, "  {bar:40} {bytes} of {total_bytes}, {bytes_per_sec}");
    let call = aws.clients.s3.put_object().bucket(bucket).key(key).tagging(tags).set_content_length(length);
    let call = call.checksum_sha256(STANDARD.encode(digest)).expected_bucket_owner(&settings.ota_role.account);
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(PUT_TIMEOUT).build();
    let once = aws_sdk_s3::config::Builder::new().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    let call = call.body(body(bytes.clone(), bar.clone())).customize().config_override(once);
    let response = call.send().await;
    bar.finish_and_clear();
    let response = response.map_err(|error| Request::new(PUT_OBJECT, format!("{bucket}/{key}")).problem(&error))?;
    let version_id = response.version_id.ok_or_else(|| {
        Problem::not_done(format!("the bucket `{bucket}` has no versioning: the function does not release the upload"))
    })?;
    Ok(Upload::new(bucket.clone(), key.clone(), version_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_with_the_same_tags_and_perhaps_the_same_bytes_is_the_same_release() {
        let tags = |text: &str| TagHeader::from(text).tags;
        let record = |arn: Option<&str>, sha256: Option<&str>| JobRecord {
            job_arn: arn.map(str::to_owned),
            sha256: sha256.map(str::to_owned),
            tags: tags("ota:thing-group=lab"),
            ..JobRecord::default()
        };
        for (record, header, expected) in [
            (
                record(Some("arn"), Some("12")),
                "ota:thing-group=lab",
                Some("the same file with the same tags is released already"),
            ),
            (
                record(Some("arn"), None),
                "ota:thing-group=lab",
                Some("a file of the same size with the same tags is released"),
            ),
            (
                record(None, None),
                "ota:thing-group=lab",
                Some("a file of the same size with the same tags is being released"),
            ),
            (record(Some("arn"), Some("12")), "ota:thing-group=fleet", None),
            (record(Some("arn"), Some("34")), "ota:thing-group=lab", None),
        ] {
            let warning = same_release(&record, &tags(header), "12");
            let is_expected = match (&warning, expected) {
                (Some(warning), Some(expected)) => warning.starts_with(expected),
                (warning, expected) => warning.is_none() && expected.is_none(),
            };
            assert!(is_expected, "{warning:?} {record:?}");
        }
    }
}
