//! The command line of `ota`.

use crate::counts::{DEFINITIONS, Until};
use crate::problem::EXIT_CODES;
use crate::stack::DEFAULT_STACK;
use crate::text::{parse_duration, parse_since};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// The forms of `RELEASE`, for the help.
const RELEASE: &str = "A key such as `blinky-1.2.0.bin` (its newest version), `s3://bucket/key`, either with `?versionId=…`, a job \
                       ID or ARN, or a stream ID";

/// Releases firmware with the stack of ota-on-upload, and manages what was released.
///
/// Uses the credentials, the profile and the Region of the AWS CLI.
#[derive(Debug, Parser)]
#[command(name = "ota", version, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Arguments {
    /// The options of all commands.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The options of all commands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
pub struct Common {
    /// Name of the stack
    #[arg(long, global = true, value_name = "NAME", default_value = DEFAULT_STACK)]
    pub stack: String,
    /// Profile of the AWS CLI, instead of AWS_PROFILE
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Region of the stack, instead of AWS_REGION and that of the profile
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// Print JSON, with the member names of AWS
    #[arg(long, global = true)]
    pub json: bool,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a file and its tags as the function would, and print every problem or the CreateJob request
    #[command(after_help = EXIT_CODES)]
    Check(CheckArguments),
    /// Check a file, upload it with its tags, and print the object version
    #[command(after_help = EXIT_CODES)]
    Upload(UploadArguments),
    /// List the thing groups, things and signing profiles that the stack allows, by folder
    Groups,
    /// List releases, the newest first
    #[command(after_help = DEFINITIONS)]
    List(ListArguments),
    /// Show everything about one release
    #[command(after_help = DEFINITIONS)]
    Show(ReleaseArgument),
    /// List the executions of each device, and why they failed
    #[command(after_help = DEFINITIONS)]
    Devices(DevicesArguments),
    /// Wait until the rollout is over, and report its progress
    #[command(after_help = [DEFINITIONS, EXIT_CODES].join("\n\n"))]
    Watch(WatchArguments),
    /// Cancel the job of a release
    ///
    /// Devices that have not received the job yet will not get it. Devices at work finish, unless `--force` is set.
    #[command(after_help = [DEFINITIONS, EXIT_CODES].join("\n\n"))]
    Cancel(CancelArguments),
    /// Delete the stream and the job of a release that is over
    ///
    /// The upload, the signed image and the receipt stay in the bucket. The function never creates the job again.
    #[command(after_help = EXIT_CODES)]
    Delete(DeleteArguments),
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// A file, and the tags of its release.
#[derive(Debug, Args)]
pub struct FileArguments {
    /// The image or the manifest
    pub file: PathBuf,
    /// Key of the object; by default, the upload prefix and the name of the file
    #[arg(long, value_name = "KEY", conflicts_with = "folder")]
    pub key: Option<String>,
    /// Folder below the upload prefix, such as `lab/`
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<String>,
    /// The tags.
    #[command(flatten)]
    pub tags: TagArguments,
}

/// The tags of a release. Their values are those of the tags.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Tags")]
pub struct TagArguments {
    /// Thing group to update; can be repeated (ota:thing-group)
    #[arg(long = "to", value_name = "GROUP")]
    pub thing_groups: Vec<String>,
    /// Thing to update; can be repeated (ota:thing)
    #[arg(long = "to-thing", value_name = "THING")]
    pub things: Vec<String>,
    /// Start: `now`, a duration from the creation of the job, or a date and time (ota:start)
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// End: `never`, a duration after the start, or a date and time (ota:end)
    #[arg(long, value_name = "TIME")]
    pub end: Option<String>,
    /// Effect of the end: `stop-rollout`, `cancel` or `force-cancel` (ota:end-behavior)
    #[arg(long, value_name = "BEHAVIOR")]
    pub end_behavior: Option<String>,
    /// Time zone of dates, times and windows, such as Europe/Berlin (ota:timezone)
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Maintenance window, such as `mon-fri 02:00 3h` (ota:window)
    #[arg(long, value_name = "WINDOW")]
    pub window: Option<String>,
    /// Also update things that join the thing groups later (ota:target-selection)
    #[arg(long)]
    pub continuous: bool,
    /// Retries of a device, such as 3 or `timed-out:3 failed:2` (ota:retries)
    #[arg(long, value_name = "RETRIES")]
    pub retries: Option<String>,
    /// Time-out of a device, such as 10m (ota:timeout)
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// ID of a job template (ota:job-template)
    #[arg(long, value_name = "ID")]
    pub job_template: Option<String>,
    /// Software package and version, such as `app:1.2.0` (ota:package-version)
    #[arg(long, value_name = "PACKAGE:VERSION")]
    pub package_version: Option<String>,
    /// ID of the job, after `AFR_OTA-` (ota:job-id)
    #[arg(long, value_name = "ID")]
    pub job_id: Option<String>,
    /// Signing profile (ota:signing-profile)
    #[arg(long, value_name = "NAME")]
    pub signing_profile: Option<String>,
    /// Any other tag, such as `ota:protocols=mqtt http`; can be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    pub others: Vec<(String, String)>,
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    let tag = text.split_once('=').filter(|(key, _)| !key.is_empty());
    tag.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "expected KEY=VALUE".to_owned())
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Send no request to AWS: check with default settings, which allow every target
    #[arg(long)]
    pub offline: bool,
    /// The file.
    #[command(flatten)]
    pub file: FileArguments,
}

/// The arguments of `upload`.
#[derive(Debug, Args)]
pub struct UploadArguments {
    /// Wait until the job exists, or the function reports why it does not
    #[arg(long)]
    pub wait: bool,
    /// Maximum time to wait with --wait
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_duration, requires = "wait")]
    pub wait_timeout: Duration,
    /// Upload without a question, also if the same file and tags are released already
    #[arg(long, short)]
    pub yes: bool,
    /// The file.
    #[command(flatten)]
    pub file: FileArguments,
}

/// The arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// List all releases, instead of the 20 newest
    #[arg(long)]
    pub all: bool,
    /// Only jobs with this status
    #[arg(long, ignore_case = true)]
    pub status: Option<JobStatusName>,
    /// Only jobs with this thing group as a target
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Only uploads whose key contains this text
    #[arg(long, value_name = "TEXT")]
    pub key: Option<String>,
    /// Only jobs created since: a duration before now such as 2d, or a date
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub since: Option<Timestamp>,
}

/// The status of a job.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[allow(missing_docs, reason = "the names of AWS IoT")]
pub enum JobStatusName {
    Scheduled,
    #[value(alias = "in_progress")]
    InProgress,
    Completed,
    Canceled,
    #[value(alias = "deletion_in_progress")]
    DeletionInProgress,
}

/// The status of a device's execution.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[allow(missing_docs, reason = "the names of AWS IoT")]
pub enum ExecutionStatusName {
    Queued,
    #[value(alias = "in_progress")]
    InProgress,
    Succeeded,
    Failed,
    #[value(alias = "timed_out")]
    TimedOut,
    Rejected,
    Removed,
    Canceled,
}

/// Returns the name of AWS IoT for a value: `IN_PROGRESS` for `in-progress`.
pub fn aws_name(value: &impl ValueEnum) -> String {
    let name = value.to_possible_value().map(|value| value.get_name().to_uppercase());
    name.unwrap_or_default().replace('-', "_")
}

/// A release.
#[derive(Debug, Args)]
pub struct ReleaseArgument {
    #[doc = "A key, a job ID or ARN, or a stream ID"]
    #[arg(long_help = RELEASE)]
    pub release: String,
}

/// The arguments of `devices`.
#[derive(Debug, Args)]
pub struct DevicesArguments {
    /// The release.
    #[command(flatten)]
    pub release: ReleaseArgument,
    /// Only executions with this status
    #[arg(long, ignore_case = true)]
    pub status: Option<ExecutionStatusName>,
    /// Maximum number of failed, rejected and timed-out executions whose status details are looked up
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub details: usize,
}

/// The arguments of `watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// The release.
    #[command(flatten)]
    pub release: ReleaseArgument,
    /// End when this share or number of devices has succeeded: `succeeded=95%` or `succeeded=100`
    ///
    /// A share counts once AWS IoT has rolled out the job to all its targets. The command ends early, with the exit code 4, if
    /// the devices that are left cannot reach the number any more.
    #[arg(long, value_name = "CONDITION")]
    pub until: Option<Until>,
    /// Maximum time to wait
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// The arguments of `cancel`.
#[derive(Debug, Args)]
pub struct CancelArguments {
    /// The release.
    #[command(flatten)]
    pub release: ReleaseArgument,
    /// Also cancel the executions of devices at work
    ///
    /// Such a device can no longer report the result of its update. Make sure that it recovers.
    #[arg(long)]
    pub force: bool,
    /// Comment that AWS IoT keeps with the job
    #[arg(long, value_name = "TEXT", default_value = "canceled with ota")]
    pub comment: String,
    /// Cancel without a question
    #[arg(long, short)]
    pub yes: bool,
}

/// The arguments of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// The release.
    #[command(flatten)]
    pub release: ReleaseArgument,
    /// Delete without a question
    #[arg(long, short)]
    pub yes: bool,
}
