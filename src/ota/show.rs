//! `ota show`: everything about one release.

use crate::aws::Aws;
use crate::counts::Counts;
use crate::find::find;
use crate::job_text::{retries, schedule, targets, time, windows};
use crate::jobs::{DescribedJob, with_upload};
use crate::output::{write_facts, write_json};
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::settings::Settings;
use serde_json::{Value, json};
use std::io::Write;

/// Runs the command.
///
/// # Errors
/// Fails if the release is not found, or a request fails.
pub async fn run(
    (aws, stack): (&Aws, &Stack),
    name: &str,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Problem> {
    let release = find(aws, stack, name).await?;
    let (upload, job) = (&release.upload, release.job.as_ref());
    let text = match job {
        Some(job) => aws.jobs.document(&job.id).await?.unwrap_or_default(),
        None => String::new(),
    };
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    let stream_id = document["afr_ota"]["streamname"].as_str().map(str::to_owned);
    let stream = match &stream_id {
        Some(id) => aws.jobs.stream(id).await?.map(|(_, json)| json),
        None => None,
    };
    if is_json {
        let job = job.map(|job| with_upload(job.json.clone(), upload));
        let record = public_record(&release.record);
        let json = json!({"job": job, "jobDocument": document, "streamInfo": stream, "record": record});
        write_json(out, &json)?;
        return Ok(Exit::Done);
    }
    let stream = match (&stream_id, &stream) {
        (Some(id), Some(_)) => id.clone(),
        (Some(id), None) => format!("{id}, which was deleted: devices cannot fetch the image"),
        (None, _) if job.is_none() => String::new(),
        (None, _) => "none: devices fetch the image from a presigned URL".to_owned(),
    };
    let mut facts = vec![("upload", format!("s3://{}/{}?versionId={}", upload.bucket, upload.key, upload.version_id))];
    facts.extend(record_facts(&release.record));
    match job {
        Some(job) => facts.extend(job_facts(job)),
        None => facts.push(("job", format!("{}, which {}", release.record.job_id, release.state_without_job()))),
    }
    facts.extend(signature_facts(&document));
    facts.push(("stream", stream));
    facts.push(("job document", text));
    facts.push(("console", console_link(&stack.settings)));
    write_facts(out, &facts)?;
    Ok(Exit::Done)
}

/// The record without its nonce, from which others could derive the mark of the job.
fn public_record(record: &JobRecord) -> Value {
    serde_json::to_value(JobRecord { nonce: None, ..record.clone() }).unwrap_or_default()
}

fn record_facts(record: &JobRecord) -> Vec<(&'static str, String)> {
    let tags: Vec<_> = record.tags.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let verified = match record.verified {
        Some(true) => "yes, with the certificate of the signing job",
        Some(false) => "no",
        None => "unknown",
    };
    let sha256 = record.sha256.clone().unwrap_or_default();
    vec![("tags", tags.join("\n")), ("SHA-256", sha256), ("signature verified", verified.to_owned())]
}

fn job_facts(described: &DescribedJob) -> Vec<(&'static str, String)> {
    let job = &described.job;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let counts = Counts::from(described);
    let timeout = job.timeout_config().and_then(|config| config.in_progress_timeout_in_minutes);
    let end_behavior = job.scheduling_config().and_then(|config| config.end_behavior()).map(ToString::to_string);
    let selection = job.target_selection().map(|selection| format!(" ({selection})")).unwrap_or_default();
    vec![
        ("job", described.id.clone()),
        ("job ARN", text(job.job_arn())),
        ("status", described.status().to_string()),
        ("reason code", text(job.reason_code())),
        ("comment", text(job.comment())),
        ("targets", format!("{}{selection}", targets(job))),
        ("devices", format!("{} in total: {}", counts.total(), counts.text())),
        ("created", time(job.created_at())),
        ("completed", time(job.completed_at())),
        ("schedule", schedule(job)),
        ("end behavior", end_behavior.unwrap_or_default()),
        ("windows", windows(job)),
        ("time-out", timeout.map(|minutes| format!("{minutes} min for each device")).unwrap_or_default()),
        ("retries", retries(job)),
    ]
}

/// The path, the size, the certificate and the signature of each file.
fn signature_facts(document: &Value) -> Vec<(&'static str, String)> {
    let file = |file: &Value| {
        let members = file.as_object()?;
        let (algorithm, _) = members.iter().find(|(name, _)| name.starts_with("sig-"))?;
        let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
        let (path, size, certificate) = (text("filepath"), &file["filesize"], text("certfile"));
        Some(format!("{path}, {size} bytes, {algorithm} with the certificate {certificate}"))
    };
    let files = document["afr_ota"]["files"].as_array().into_iter().flatten();
    vec![("files", files.filter_map(file).collect::<Vec<_>>().join("\n"))]
}

/// The page of all jobs in the console, which AWS documents
/// (<https://docs.aws.amazon.com/iot/latest/developerguide/manage-job-console.html>).
fn console_link(settings: &Settings) -> String {
    let region = &settings.region;
    let domain = match settings.ota_role.partition.as_str() {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!("https://{region}.{domain}/iot/home?region={region}#/jobhub")
}
