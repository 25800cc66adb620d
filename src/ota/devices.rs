//! `ota devices`: the execution of each device, and the reasons of failures.

use crate::args::{DevicesArguments, aws_name};
use crate::aws::Aws;
use crate::find::find;
use crate::job_text::time;
use crate::output::{JsonList, Rows, say};
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use crate::text::counted;
use aws_sdk_iot::types::{JobExecutionStatus, JobExecutionSummaryForJob};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;

/// The maximum number of devices that are named for one reason.
const MAX_NAMES: usize = 5;

/// Runs the command. Each page is written before the next one is requested, so only one page is in memory.
///
/// # Errors
/// Fails if the release is not found, or a request fails.
pub async fn run(
    (aws, stack): (&Aws, &Stack),
    arguments: &DevicesArguments,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Problem> {
    let release = find(aws, stack, &arguments.release.release).await?;
    let job_id = &release.existing_job()?.id;
    list(aws, job_id, arguments, is_json, out).await
}

/// Lists the executions of a job.
///
/// # Errors
/// Fails if a request fails.
pub async fn list(
    aws: &Aws,
    job_id: &str,
    arguments: &DevicesArguments,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Problem> {
    let status = arguments.status.map(|status| JobExecutionStatus::from(aws_name(&status).as_str()));
    let mut rows = Rows::new(&["THING", "STATUS", "RETRY", "QUEUED", "STARTED", "UPDATED"]);
    let (mut json_list, mut reasons, mut token) = (JsonList::default(), Reasons::default(), None);
    let mut number = 0;
    loop {
        let (page, mut json) = aws.jobs.executions_page(job_id, status.as_ref(), token).await?;
        let executions = page.execution_summaries.unwrap_or_default();
        number += executions.len();
        for (index, execution) in executions.iter().enumerate() {
            if is_failure(execution) {
                let mut found = None;
                if reasons.looked_up < arguments.details {
                    let details = details(aws, job_id, execution).await?;
                    json[index]["statusDetails"] = details.clone();
                    found = Some(details);
                }
                reasons.add(execution, found.as_ref());
            }
        }
        if is_json {
            for item in json.as_array().into_iter().flatten() {
                json_list.write(out, "executionSummaries", item)?;
            }
        } else {
            rows.write(out, &executions.iter().map(row).collect::<Vec<_>>())?;
        }
        out.flush()?;
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    if is_json {
        json_list.end(out, "executionSummaries", &[("reasons", reasons.json())])?;
    } else if number == 0 {
        say("no executions");
    } else {
        reasons.write(out)?;
    }
    Ok(Exit::Done)
}

fn thing_name(execution: &JobExecutionSummaryForJob) -> &str {
    execution.thing_arn().and_then(|arn| arn.rsplit_once(":thing/")).map_or("unknown", |(_, name)| name)
}

fn status(execution: &JobExecutionSummaryForJob) -> Option<&JobExecutionStatus> {
    execution.job_execution_summary().and_then(|summary| summary.status())
}

fn is_failure(execution: &JobExecutionSummaryForJob) -> bool {
    use JobExecutionStatus::{Failed, Rejected, TimedOut};
    matches!(status(execution), Some(Failed | Rejected | TimedOut))
}

fn row(execution: &JobExecutionSummaryForJob) -> Vec<String> {
    let summary = execution.job_execution_summary();
    let retry = summary.and_then(|summary| summary.retry_attempt).unwrap_or_default();
    vec![
        thing_name(execution).to_owned(),
        status(execution).map(ToString::to_string).unwrap_or_default(),
        retry.to_string(),
        time(summary.and_then(|summary| summary.queued_at())),
        time(summary.and_then(|summary| summary.started_at())),
        time(summary.and_then(|summary| summary.last_updated_at())),
    ]
}

/// Looks up the status details of an execution. An empty object if it was deleted since.
async fn details(aws: &Aws, job_id: &str, execution: &JobExecutionSummaryForJob) -> Result<Value, Problem> {
    let number = execution.job_execution_summary().and_then(|summary| summary.execution_number).unwrap_or_default();
    let found = aws.jobs.execution(job_id, thing_name(execution), number).await?;
    let details = found.and_then(|found| found.status_details).and_then(|details| details.details_map);
    Ok(json!({"detailsMap": details.unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>()}))
}

/// The reasons of failures, with the number of devices and the names of some.
#[derive(Debug, Default)]
struct Reasons {
    /// The number of executions whose details were looked up.
    looked_up: usize,
    /// The number of all failures.
    failures: usize,
    /// By the status and its details.
    devices: BTreeMap<(String, String), Devices>,
}

/// The number of devices with one reason, and the names of some.
#[derive(Debug, Default)]
struct Devices {
    number: usize,
    names: Vec<String>,
}

impl Reasons {
    fn add(&mut self, execution: &JobExecutionSummaryForJob, details: Option<&Value>) {
        self.failures += 1;
        let Some(details) = details else { return };
        self.looked_up += 1;
        let pairs = details["detailsMap"].as_object().into_iter().flatten();
        let pairs: Vec<_> =
            pairs.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
        let reason = if pairs.is_empty() { "no status details".to_owned() } else { pairs.join(", ") };
        let status = status(execution).map(ToString::to_string).unwrap_or_default();
        let Devices { number, names } = self.devices.entry((status, reason)).or_default();
        *number += 1;
        if names.len() < MAX_NAMES {
            names.push(thing_name(execution).to_owned());
        }
    }

    /// The reasons, the most frequent first.
    fn sorted(&self) -> Vec<(&str, &str, &Devices)> {
        let all = self.devices.iter().map(|((status, reason), devices)| (status.as_str(), reason.as_str(), devices));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(_, _, devices)| Reverse(devices.number));
        all
    }

    fn json(&self) -> Value {
        let reason = |(status, reason, devices): (&str, &str, &Devices)| {
            let (number, names) = (devices.number, &devices.names);
            json!({"status": status, "reason": reason, "numberOfExecutions": number, "thingNames": names})
        };
        self.sorted().into_iter().map(reason).collect()
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Problem> {
        if self.failures == 0 {
            return Ok(());
        }
        let (looked_up, failures) =
            (self.looked_up, counted(i64::try_from(self.failures).unwrap_or(i64::MAX), "failure"));
        writeln!(out, "\nreasons of {looked_up} of {failures}:\n")?;
        let row = |(status, reason, Devices { number, names }): (&str, &str, &Devices)| {
            let more = if *number > names.len() { ", …" } else { "" };
            vec![number.to_string(), status.to_owned(), format!("{}{more}", names.join(", ")), reason.to_owned()]
        };
        let rows: Vec<_> = self.sorted().into_iter().map(row).collect();
        Rows::new(&["EXECUTIONS", "STATUS", "THINGS", "STATUS DETAILS"]).write(out, &rows)?;
        if self.failures > self.looked_up {
            say(format_args!("`--details {}` looks up all", self.failures));
        }
        Ok(())
    }
}
