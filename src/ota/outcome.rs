//! Waits for the outcome of an upload: its job, or the reason in the log of the function.

use crate::aws::Aws;
use crate::objects;
use crate::output::warn;
use crate::patience::Patience;
use crate::problem::{Exit, Problem, Request, is_denied, one_line};
use crate::stack::Stack;
use aws_sdk_cloudwatchlogs::error::SdkError;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use aws_sdk_s3::primitives::DateTime;
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::upload::Upload;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// The number of times that Lambda invokes the function for an event.
const MAX_ATTEMPTS: usize = 3;

/// The pause between two checks: short at first, because most releases take seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LATER_PAUSE: Duration = Duration::from_secs(3);

/// The outcome of an upload.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code.
    pub exit: Exit,
    /// The members of the function's result.
    pub json: Value,
}

impl Outcome {
    fn created(record: &JobRecord) -> Self {
        let mut json = json!({"outcome": "created"});
        let members = [
            ("jobId", Some(&record.job_id)),
            ("jobArn", record.job_arn.as_ref()),
            ("streamId", record.stream_id.as_ref()),
            ("startTime", record.start_time.as_ref()),
            ("endTime", record.end_time.as_ref()),
        ];
        for (name, value) in members.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            json[name] = value.as_str().into();
        }
        Self { exit: Exit::Done, json }
    }

    /// The outcome in the final log line of the function.
    fn logged(line: &Value) -> Self {
        let names = ["outcome", "reason", "jobId", "jobArn", "streamId"];
        let mut members: Map<_, _> =
            names.iter().filter_map(|name| Some(((*name).to_owned(), line.get(name)?.clone()))).collect();
        // The log has all reasons in one text.
        if let Some(reasons) = line.get("reasons") {
            members.insert("reasons".to_owned(), json!([reasons]));
        }
        let exit = match line["outcome"].as_str() {
            Some("created" | "adopted") => Exit::Done,
            Some("rejected") => Exit::Rejected,
            _ => Exit::NotDone,
        };
        Self { exit, json: Value::Object(members) }
    }

    /// The problem of an upload without a job.
    pub fn problem(&self) -> Option<Problem> {
        let reason = one_line(self.json["reasons"][0].as_str().or(self.json["reason"].as_str()).unwrap_or_default());
        let message = match self.json["outcome"].as_str().unwrap_or_default() {
            "rejected" => format!("rejected: {reason}"),
            "skipped" => format!("skipped: {reason}"),
            "failed" => format!("failed {MAX_ATTEMPTS} times; an operator must act: {reason}"),
            "dry-run" => {
                "checked only: the function of the stack runs with DRY_RUN=true, and creates no jobs".to_owned()
            }
            _ => return None,
        };
        Some(Problem::new(self.exit, message))
    }
}

/// Waits until the job of an upload exists, or the function has logged why it does not.
///
/// # Errors
/// Fails if the time is over, or a request fails.
pub async fn wait(aws: &Aws, stack: &Stack, upload: &Upload, time: Duration) -> Result<Outcome, Problem> {
    let start = Instant::now();
    let mut patience = Patience::new(Some(time));
    let mut log = Log { since: None, failures: 0, can_read: true, next: start };
    loop {
        let record = patience.ask(objects::record(aws, &stack.settings, upload)).await?.flatten();
        if let Some(record) = record.filter(|record| record.job_arn.is_some()) {
            return Ok(Outcome::created(&record));
        }
        if log.can_read && log.next <= Instant::now() {
            log.next = Instant::now() + LATER_PAUSE;
            if let Some(outcome) = patience.ask(log.outcome(aws, stack, upload)).await?.flatten() {
                return Ok(outcome);
            }
        }
        if patience.is_over() {
            break;
        }
        let is_new = start.elapsed() < Duration::from_secs(10);
        patience.sleep(if is_new { FIRST_PAUSE } else { LATER_PAUSE }).await;
    }
    let (minutes, group) = (time.as_secs() / 60, &stack.log_group);
    Err(Problem::new(
        Exit::TimedOut,
        format!(
            "no outcome is known after {minutes} min: see the log group `{group}`, or ask an operator to run `make logs`"
        ),
    ))
}

/// The log of the function, as far as it was read.
struct Log {
    /// The time of the upload on the clock of S3, in milliseconds since 1970. The clock of this machine can be wrong.
    since: Option<i64>,
    failures: usize,
    can_read: bool,
    next: Instant,
}

impl Log {
    /// Reads the log. `None` if it has no outcome of the upload yet.
    async fn outcome(&mut self, aws: &Aws, stack: &Stack, upload: &Upload) -> Result<Option<Outcome>, Problem> {
        let since = match self.since {
            Some(since) => since,
            None => self.time_of(aws, stack, upload).await?,
        };
        let lines = match final_lines(aws, stack, upload, since).await {
            Ok(lines) => lines,
            Err(error) => {
                let resource = format!("log-group:{}", stack.log_group);
                let problem = Request::new("logs:FilterLogEvents", resource).problem(&error);
                if !is_denied(&error) {
                    return Err(problem);
                }
                problem.messages.iter().for_each(warn);
                warn("without the log of the function, only a new job is noticed");
                self.can_read = false;
                return Ok(None);
            }
        };
        let failed = lines.iter().filter(|line| line["outcome"] == "failed").count();
        let last = lines.iter().rev().find(|line| line["outcome"] != "failed");
        if let Some(line) = last.or(lines.last().filter(|_| failed >= MAX_ATTEMPTS)) {
            return Ok(Some(Outcome::logged(line)));
        }
        if failed > self.failures {
            let reason = lines.last().and_then(|line| line["reason"].as_str()).unwrap_or_default();
            warn(format_args!("attempt {failed} of {MAX_ATTEMPTS} failed, Lambda retries: {}", one_line(reason)));
            self.failures = failed;
        }
        Ok(None)
    }

    async fn time_of(&mut self, aws: &Aws, stack: &Stack, upload: &Upload) -> Result<i64, Problem> {
        let versions = objects::versions(aws, &stack.settings, &upload.key).await?;
        let version = versions.iter().find(|version| version.version_id() == Some(&upload.version_id));
        let seconds = version.and_then(|version| version.last_modified()).map_or(0, DateTime::secs);
        self.since = Some(seconds * 1000);
        Ok(seconds * 1000)
    }
}

/// The final log lines of the function about an upload, the oldest first.
async fn final_lines(
    aws: &Aws,
    stack: &Stack,
    upload: &Upload,
    since: i64,
) -> Result<Vec<Value>, SdkError<FilterLogEventsError>> {
    let mut token = None;
    let mut lines = Vec::new();
    loop {
        let pattern = format!("\"{}\"", upload.version_id);
        let call = aws.logs.filter_log_events().log_group_name(&stack.log_group).start_time(since);
        let page = call.filter_pattern(pattern).set_next_token(token).send().await?;
        let messages = page.events.unwrap_or_default().into_iter().filter_map(|event| event.message);
        let parsed = messages.filter_map(|message| serde_json::from_str(&message).ok());
        lines.extend(parsed.filter(|line| is_final(line, upload)));
        token = page.next_token;
        if token.is_none() {
            return Ok(lines);
        }
    }
}

fn is_final(line: &Value, upload: &Upload) -> bool {
    line.get("outcome").is_some()
        && line["key"] == upload.key.as_str()
        && line["versionId"] == upload.version_id.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_exit_code_and_message() {
        for (line, exit, message) in [
            (json!({"outcome": "adopted", "jobArn": "arn"}), Exit::Done, None),
            (json!({"outcome": "rejected", "reasons": "a; b\nc"}), Exit::Rejected, Some("rejected: a; b c")),
            (json!({"outcome": "skipped", "reason": "superseded"}), Exit::NotDone, Some("skipped: superseded")),
            (
                json!({"outcome": "failed", "reason": "denied\nby"}),
                Exit::NotDone,
                Some("failed 3 times; an operator must act: denied by"),
            ),
        ] {
            let outcome = Outcome::logged(&line);
            assert_eq!(outcome.exit, exit, "{line}");
            let problem = outcome.problem();
            assert_eq!(problem.as_ref().map(|problem| problem.messages[0].as_str()), message);
        }
    }

    #[test]
    fn a_receipt_is_a_created_job() {
        let record = JobRecord { job_id: "AFR_OTA-a".into(), job_arn: Some("arn".into()), ..JobRecord::default() };
        let outcome = Outcome::created(&record);
        assert_eq!(outcome.json, json!({"outcome": "created", "jobId": "AFR_OTA-a", "jobArn": "arn"}));
        assert!(outcome.problem().is_none());
    }
}
