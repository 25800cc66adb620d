//! Requests to AWS IoT about jobs, executions, streams and targets, within its quotas.

use crate::pacer::Pacer;
use crate::problem::{Problem, Request, is_missing};
use crate::raw::Raw;
use aws_sdk_iot::Client;
use aws_sdk_iot::config::http::HttpResponse;
use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::list_job_executions_for_job::ListJobExecutionsForJobOutput;
use aws_sdk_iot::operation::list_jobs::ListJobsOutput;
use aws_sdk_iot::types::{Job, JobExecution, JobExecutionStatus, JobStatus, StreamInfo};
use ota_on_upload::options::target::Target;
use ota_on_upload::upload::Upload;
use serde_json::Value;
use std::error::Error;

/// The maximum number of items on a page (<https://docs.aws.amazon.com/iot/latest/apireference/API_ListJobs.html>).
pub const PAGE: i32 = 250;
/// The maximum number of things that are counted in a thing group.
pub const MAX_COUNTED: usize = 1000;

/// A job as DescribeJob returns it.
#[derive(Debug, Clone)]
pub struct DescribedJob {
    /// The ID.
    pub id: String,
    /// The job.
    pub job: Job,
    /// The members of the response, with AWS's names.
    pub json: Value,
}

impl DescribedJob {
    /// The status.
    pub fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_else(|| JobStatus::from("UNKNOWN"))
    }

    /// Returns whether the job will change no more, except that devices at work may still report.
    pub fn is_over(&self) -> bool {
        !matches!(self.status(), JobStatus::InProgress | JobStatus::Scheduled)
    }

    /// Returns whether AWS IoT is deleting the job, which can take minutes.
    pub fn is_being_deleted(&self) -> bool {
        self.status() == JobStatus::DeletionInProgress
    }

    /// Returns whether all targets of the job so far have its executions.
    pub fn is_rolled_out(&self) -> bool {
        self.job.job_process_details().is_none_or(|details| details.processing_targets().is_empty())
    }
}

/// The client of AWS IoT.
#[derive(Debug)]
pub struct Jobs {
    iot: Client,
    pacer: Pacer,
}

impl Jobs {
    /// Uses this client.
    pub fn new(iot: Client) -> Self {
        Self { iot, pacer: Pacer::new() }
    }

    /// Returns a page of jobs.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn page(
        &self,
        status: Option<&JobStatus>,
        thing_group: Option<&str>,
        token: Option<String>,
    ) -> Result<ListJobsOutput, Problem> {
        self.pacer.turn().await;
        let call = self.iot.list_jobs().max_results(PAGE).set_next_token(token).set_status(status.cloned());
        let page = call.set_thing_group_name(thing_group.map(str::to_owned)).send().await;
        page.map_err(|error| Request::new("iot:ListJobs", "*").problem(&error))
    }

    /// Looks up a job. `None` if it does not exist.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn describe(&self, job_id: &str) -> Result<Option<DescribedJob>, Problem> {
        self.pacer.turn().await;
        let raw = Raw::default();
        let response = self.iot.describe_job().job_id(job_id).customize().interceptor(raw.clone()).send().await;
        let job = existing(response, "iot:DescribeJob", format!("job/{job_id}"))?.and_then(|response| response.job);
        Ok(job.map(|job| DescribedJob { id: job_id.to_owned(), job, json: raw.member("job") }))
    }

    /// Reads the document of a job. `None` if the job does not exist.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn document(&self, job_id: &str) -> Result<Option<String>, Problem> {
        self.pacer.turn().await;
        let response = self.iot.get_job_document().job_id(job_id).send().await;
        Ok(existing(response, "iot:GetJobDocument", format!("job/{job_id}"))?.and_then(|response| response.document))
    }

    /// Returns a page of the executions of a job, and the members of the response with AWS's names.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn executions_page(
        &self,
        job_id: &str,
        status: Option<&JobExecutionStatus>,
        token: Option<String>,
    ) -> Result<(ListJobExecutionsForJobOutput, Value), Problem> {
        self.pacer.turn().await;
        let raw = Raw::default();
        let call = self.iot.list_job_executions_for_job().job_id(job_id).max_results(PAGE).set_next_token(token);
        let page = call.set_status(status.cloned()).customize().interceptor(raw.clone()).send().await;
        let page =
            page.map_err(|error| Request::new("iot:ListJobExecutionsForJob", format!("job/{job_id}")).problem(&error))?;
        Ok((page, raw.member("executionSummaries")))
    }

    /// Looks up one execution of a device. `None` if it does not exist.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn execution(&self, job_id: &str, thing: &str, number: i64) -> Result<Option<JobExecution>, Problem> {
        self.pacer.turn().await;
        let call = self.iot.describe_job_execution().job_id(job_id).thing_name(thing).execution_number(number);
        let response = existing(call.send().await, "iot:DescribeJobExecution", format!("job/{job_id}"))?;
        Ok(response.and_then(|response| response.execution))
    }

    /// Cancels a job, with a comment. `is_forced` also cancels the executions of devices at work.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn cancel(&self, job_id: &str, comment: &str, is_forced: bool) -> Result<(), Problem> {
        self.pacer.turn().await;
        let call = self.iot.cancel_job().job_id(job_id).comment(comment).force(is_forced).send().await;
        call.map(drop).map_err(|error| Request::new("iot:CancelJob", format!("job/{job_id}")).problem(&error))
    }

    /// Deletes a job that is over. Succeeds if it does not exist.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn delete(&self, job_id: &str) -> Result<(), Problem> {
        self.pacer.turn().await;
        let response = self.iot.delete_job().job_id(job_id).send().await;
        if response.as_ref().is_err_and(|error| error.code() == Some("LimitExceededException")) {
            return Err(Problem::not_done(
                "AWS IoT deletes at most 10 jobs at a time: run the command again in some minutes",
            ));
        }
        existing(response, "iot:DeleteJob", format!("job/{job_id}")).map(drop)
    }

    /// Looks up a stream. `None` if it does not exist.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn stream(&self, stream_id: &str) -> Result<Option<(StreamInfo, Value)>, Problem> {
        self.pacer.turn().await;
        let raw = Raw::default();
        let response =
            self.iot.describe_stream().stream_id(stream_id).customize().interceptor(raw.clone()).send().await;
        let response = existing(response, "iot:DescribeStream", format!("stream/{stream_id}"))?;
        Ok(response.and_then(|response| response.stream_info).map(|stream| (stream, raw.member("streamInfo"))))
    }

    /// Deletes a stream. Succeeds if it does not exist.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn delete_stream(&self, stream_id: &str) -> Result<(), Problem> {
        self.pacer.turn().await;
        let response = self.iot.delete_stream().stream_id(stream_id).send().await;
        existing(response, "iot:DeleteStream", format!("stream/{stream_id}")).map(drop)
    }

    /// Returns whether a target exists.
    ///
    /// # Errors
    /// Fails if the request fails.
    pub async fn exists(&self, target: &Target) -> Result<bool, Problem> {
        self.pacer.turn().await;
        Ok(match target {
            Target::ThingGroup(name) => {
                let response = self.iot.describe_thing_group().thing_group_name(name).send().await;
                existing(response, "iot:DescribeThingGroup", target.to_string())?.is_some()
            }
            Target::Thing(name) => {
                let response = self.iot.describe_thing().thing_name(name).send().await;
                existing(response, "iot:DescribeThing", target.to_string())?.is_some()
            }
        })
    }

    /// Counts the things in a thing group, up to [`MAX_COUNTED`].
    ///
    /// # Errors
    /// Fails if a request fails.
    pub async fn things_in(&self, thing_group: &str) -> Result<usize, Problem> {
        let (mut count, mut token) = (0, None);
        while count < MAX_COUNTED {
            self.pacer.turn().await;
            let call = self.iot.list_things_in_thing_group().thing_group_name(thing_group).recursive(true);
            let page = call.max_results(PAGE).set_next_token(token).send().await;
            let request = || Request::new("iot:ListThingsInThingGroup", format!("thinggroup/{thing_group}"));
            let page = page.map_err(|error| request().problem(&error))?;
            count += page.things.unwrap_or_default().len();
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        Ok(count.min(MAX_COUNTED))
    }
}

/// Returns a response. `None` if the resource of the request does not exist.
fn existing<T, E>(
    response: Result<T, SdkError<E, HttpResponse>>,
    action: &'static str,
    resource: String,
) -> Result<Option<T>, Problem>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match response {
        Ok(response) => Ok(Some(response)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(Request::new(action, resource).problem(&error)),
    }
}

/// Adds the upload of a release to the JSON of its job.
pub fn with_upload(mut job: Value, upload: &Upload) -> Value {
    for (name, value) in [("bucket", &upload.bucket), ("key", &upload.key), ("versionId", &upload.version_id)] {
        job[name] = value.as_str().into();
    }
    job
}
