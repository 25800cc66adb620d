//! `ota list`: the releases of the stack, the newest first.

use crate::args::{ListArguments, aws_name};
use crate::aws::Aws;
use crate::check::target;
use crate::counts::Counts;
use crate::find::record_of;
use crate::job_text::{schedule, targets};
use crate::jobs::{DescribedJob, with_upload};
use crate::objects::upload_of;
use crate::output::{JsonList, Rows, bar, say};
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use aws_sdk_iot::types::JobStatus;
use ota_on_upload::options::target::Target;
use ota_on_upload::upload::{ID_PREFIX, Upload};
use std::cmp::Reverse;
use std::io::Write;

/// The number of releases that are listed without `--all`.
const NEWEST: usize = 20;
/// The number of rows that are written at once.
const PART: usize = 20;

/// Runs the command.
///
/// ListJobs returns no descriptions, so each job that may be shown is looked up, at most 8 a second. Only the IDs of all
/// jobs are in memory.
///
/// # Errors
/// Fails if a request fails.
pub async fn run(
    (aws, stack): (&Aws, &Stack),
    arguments: &ListArguments,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Problem> {
    let max = if arguments.all { usize::MAX } else { NEWEST };
    let (mut shown, mut list, mut part) = (0, JsonList::default(), Vec::new());
    let mut rows = Rows::new(&["JOB", "STATUS", "DEVICES", "TARGETS", "SCHEDULE", "UPLOAD"]);
    let status = arguments.status.map(|status| JobStatus::from(aws_name(&status).as_str()));
    let candidates = candidates(aws, status.as_ref(), arguments).await?;
    let mut rest = candidates.iter();
    let bar = bar(candidates.len() as u64, "  looked up {pos} of {len} jobs");
    while shown < max
        && let Some((_, job_id)) = rest.next()
    {
        bar.inc(1);
        let Some(job) = aws.jobs.describe(job_id).await? else { continue };
        let Some(record) = record_of(aws, &stack.settings, &job).await? else { continue };
        let upload = upload_of(&record);
        if !is_wanted(&job, &upload, status.as_ref(), arguments) {
            continue;
        }
        shown += 1;
        if is_json {
            let json = with_upload(job.json, &upload);
            bar.suspend(|| list.write(out, "jobs", &json))?;
            continue;
        }
        part.push(row(&job, &upload));
        if part.len() == PART {
            bar.suspend(|| rows.write(out, &std::mem::take(&mut part)))?;
        }
    }
    bar.finish_and_clear();
    if is_json {
        list.end(out, "jobs", &[])?;
        return Ok(Exit::Done);
    }
    if shown > 0 {
        rows.write(out, &part)?;
    } else {
        say("no releases");
    }
    if rest.next().is_some() {
        say(format_args!("the {NEWEST} newest; `--all` lists all"));
    }
    Ok(Exit::Done)
}

/// The time of creation and the ID of each job that may be a release of the stack, the newest first.
async fn candidates(
    aws: &Aws,
    status: Option<&JobStatus>,
    arguments: &ListArguments,
) -> Result<Vec<(i64, String)>, Problem> {
    let since = arguments.since.map_or(0, jiff::Timestamp::as_second);
    let mut jobs = Vec::new();
    let mut token = None;
    loop {
        let page = aws.jobs.page(status, arguments.group.as_deref(), token).await?;
        for job in page.jobs.unwrap_or_default() {
            let created = job.created_at().map_or(0, aws_sdk_iot::primitives::DateTime::secs);
            if let Some(id) = job.job_id.filter(|id| id.starts_with(ID_PREFIX) && created >= since) {
                jobs.push((created, id));
            }
        }
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    jobs.sort_by_key(|(created, _)| Reverse(*created));
    Ok(jobs)
}

/// Returns whether a job passes the filters. Its status can be another one than in the list of jobs.
fn is_wanted(job: &DescribedJob, upload: &Upload, status: Option<&JobStatus>, arguments: &ListArguments) -> bool {
    let has_group = arguments.group.as_ref().is_none_or(|group| {
        let group = Target::ThingGroup(group.clone());
        job.job.targets().iter().any(|arn| target(arn).as_ref() == Some(&group))
    });
    let has_status = status.is_none_or(|status| *status == job.status());
    has_status && has_group && arguments.key.as_ref().is_none_or(|text| upload.key.contains(text.as_str()))
}

fn row(job: &DescribedJob, upload: &Upload) -> Vec<String> {
    vec![
        job.id.clone(),
        job.status().to_string(),
        Counts::from(job).text(),
        targets(&job.job),
        schedule(&job.job),
        upload.key.clone(),
    ]
}
