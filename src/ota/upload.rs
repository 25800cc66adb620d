//! `ota upload`: checks a file, uploads it with its tags, and waits for its job.

use crate::args::{Common, UploadArguments};
use crate::aws::Aws;
use crate::check::{Candidate, Checked, check};
use crate::objects;
use crate::outcome;
use crate::output::{complain, confirm, report, say, warn, write_facts, write_json};
use crate::problem::{Exit, PUT_OBJECT, Problem, Request};
use crate::progress_body::{bar, body};
use crate::stack::Stack;
use crate::text::local_of_iot;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::settings::Settings;
use ota_on_upload::tags::{TagHeader, Tags};
use ota_on_upload::upload::{Upload, hex};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write;

/// The maximum number of earlier versions that are compared with the file.
const MAX_COMPARED: usize = 20;

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
    let Checked { json: checked, problem } = check(&candidate, settings, aws.function.clone(), Some(aws)).await?;
    if !problem.messages.is_empty() {
        complain(&problem);
        say("nothing was uploaded");
        if common.json {
            write_json(out, &checked)?;
        }
        return Ok(problem.exit);
    }
    say(plan(&candidate, settings, &checked));
    if stack.is_dry_run {
        warn("the function of the stack runs with DRY_RUN=true: it will create no job");
    }
    let digest = Sha256::digest(&candidate.bytes);
    if let Some(job_id) = released_before(aws, settings, &candidate, &digest).await? {
        warn(format_args!("the same file with the same tags is released already, as `{job_id}`"));
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

/// A line that says what the upload will do.
fn plan(candidate: &Candidate, settings: &Settings, checked: &Value) -> String {
    let job = &checked["createJob"];
    let targets = job["targets"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let targets: Vec<_> = targets.filter_map(|arn| arn.splitn(6, ':').nth(5)).collect();
    let start = job["schedulingConfig"]["startTime"].as_str().map_or("at once".to_owned(), local_of_iot);
    let mut line =
        format!("uploads s3://{}/{} ({} bytes)", settings.upload_bucket, candidate.key, candidate.bytes.len());
    let _ = write!(line, " for {}; the job starts {start}", targets.join(", "));
    line
}

/// Returns the ID of the job of an earlier version of the key with the same bytes and tags.
async fn released_before(
    aws: &Aws,
    settings: &Settings,
    candidate: &Candidate,
    digest: &[u8],
) -> Result<Option<String>, Problem> {
    let tags = TagHeader::from(candidate.tags.as_str()).tags;
    let sha256 = hex(digest);
    let size = i64::try_from(candidate.bytes.len()).ok();
    let versions = objects::versions(aws, settings, &candidate.key).await?;
    for version in versions.into_iter().filter(|version| version.size == size).take(MAX_COMPARED) {
        let id = version.version_id.unwrap_or_default();
        let upload = Upload::new(settings.upload_bucket.clone(), candidate.key.clone(), id);
        let record = objects::record(aws, settings, &upload).await?;
        if let Some(record) = record.filter(|record| is_release_of(record, &tags, &sha256)) {
            return Ok(Some(record.job_id));
        }
    }
    Ok(None)
}

/// Returns whether a record is that of a job with these tags and bytes. Without the hash in the record, the bytes count
/// as different.
fn is_release_of(record: &JobRecord, tags: &Tags, sha256: &str) -> bool {
    record.job_arn.is_some() && record.tags == *tags && record.sha256.as_deref() == Some(sha256)
}

/// Puts the file into the bucket with its tags. S3 verifies its SHA-256.
async fn put(aws: &Aws, settings: &Settings, candidate: Candidate, digest: &[u8]) -> Result<Upload, Problem> {
    let Candidate { key, tags, bytes, .. } = candidate;
    let bucket = &settings.upload_bucket;
    let (length, bar) = (i64::try_from(bytes.len()).ok(), bar(bytes.len()));
    let call = aws.s3.put_object().bucket(bucket).key(&key).tagging(tags).set_content_length(length);
    let call = call.checksum_sha256(STANDARD.encode(digest)).expected_bucket_owner(&settings.ota_role.account);
    let response = call.body(body(bytes, bar.clone())).send().await;
    bar.finish_and_clear();
    let response = response.map_err(|error| Request::new(PUT_OBJECT, format!("{bucket}/{key}")).problem(&error))?;
    let version_id = response.version_id.ok_or_else(|| {
        Problem::not_done(format!("the bucket `{bucket}` has no versioning: the function does not release the upload"))
    })?;
    Ok(Upload::new(bucket.clone(), key, version_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_with_the_same_tags_and_bytes_is_the_same_release() {
        let tags = |text: &str| TagHeader::from(text).tags;
        let record = |arn: Option<&str>, sha256: Option<&str>| JobRecord {
            job_arn: arn.map(str::to_owned),
            sha256: sha256.map(str::to_owned),
            tags: tags("ota:thing-group=lab"),
            ..JobRecord::default()
        };
        for (record, header, expected) in [
            (record(Some("arn"), Some("12")), "ota:thing-group=lab", true),
            (record(Some("arn"), Some("12")), "ota:thing-group=fleet", false),
            (record(Some("arn"), Some("34")), "ota:thing-group=lab", false),
            (record(Some("arn"), None), "ota:thing-group=lab", false),
            (record(None, Some("12")), "ota:thing-group=lab", false),
        ] {
            assert_eq!(is_release_of(&record, &tags(header), "12"), expected, "{record:?} {header}");
        }
    }
}
