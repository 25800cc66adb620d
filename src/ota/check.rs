//! `ota check`: has the function check a file and its tags, in a dry run that sends no request.

use crate::args::{CheckArguments, Common, FileArguments};
use crate::aws::{Aws, offline};
use crate::output::{complain, report, warn, write_json};
use crate::problem::{Exit, Problem};
use crate::release_tags::header;
use crate::stack::{Stack, default_settings};
use ota_on_upload::clients::Clients;
use ota_on_upload::handler::Function;
use ota_on_upload::not_released::SkipReason;
use ota_on_upload::options::target::Target;
use ota_on_upload::outcome::{Outcome, Release};
use ota_on_upload::request::file_kind::is_manifest;
use ota_on_upload::settings::Settings;
use ota_on_upload::settings::values::DryRun;
use ota_on_upload::tags::TagHeader;
use ota_on_upload::upload::{ID_PREFIX, Upload};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

/// The version ID of a file that is not uploaded yet.
const NO_VERSION_YET: &str = "version-from-S3-5f0c1ab2";
/// The placeholder for the parts of IDs that depend on the version ID.
const FROM_S3: &str = "<from S3>";

/// The maximum length of a key in bytes (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>).
const MAX_KEY: usize = 1024;
/// The maximum size of an image: that of a file in a stream.
const MAX_SIZE: u64 = 24 * 1024 * 1024;

/// A file, and the object that it becomes.
#[derive(Debug)]
pub struct Candidate {
    /// The key of the object.
    pub key: String,
    /// The tags, in the form of the `x-amz-tagging` header.
    pub tags: String,
    /// The size in bytes.
    pub size: u64,
    /// The content. If the file is larger than any release, only its beginning.
    pub bytes: Vec<u8>,
}

impl Candidate {
    /// Reads the file.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or the key is not below the upload prefix.
    pub fn read(arguments: &FileArguments, settings: &Settings) -> Result<Self, Problem> {
        let path = &arguments.file;
        let unreadable = |error| Problem::usage(format!("the file `{}` cannot be read: {error}", path.display()));
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(Problem::usage(format!("`{}` is not a regular file", path.display())));
        }
        let file = File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        (&file).take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let read = bytes.len() as u64;
        let size = if read > MAX_SIZE { file.metadata().map_err(unreadable)?.len().max(read) } else { read };
        let prefix = &settings.upload_prefix.0;
        let key = match (&arguments.key, &arguments.folder) {
            (Some(key), _) if key.starts_with(prefix) => key.clone(),
            (Some(key), _) => {
                let expected = format!("expected a key that begins with `{prefix}`, the upload prefix of the stack");
                return Err(Problem::usage(format!("the key `{key}` cannot be used, {expected}")));
            }
            (None, folder) => {
                let folder = folder.as_deref().unwrap_or_default().trim_matches('/');
                let slash = if folder.is_empty() { "" } else { "/" };
                let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
                    Problem::usage(format!("the name of `{}` is not UTF-8: name a key with `--key`", path.display()))
                })?;
                format!("{prefix}{folder}{slash}{name}")
            }
        };
        if key.len() > MAX_KEY {
            let (length, expected) = (key.len(), format!("expected at most {MAX_KEY} bytes"));
            return Err(Problem::usage(format!("the key `{key}` has {length} bytes, {expected}")));
        }
        Ok(Self { key, tags: header(&arguments.tags), size, bytes })
    }
}

/// Runs the command.
///
/// # Errors
/// Fails if the check cannot be done.
pub async fn run(arguments: &CheckArguments, common: &Common, out: &mut dyn Write) -> Result<Exit, Problem> {
    let (settings, clients, aws) = if arguments.offline {
        let settings = default_settings()?;
        let clients = offline(&settings.region);
        (settings, clients, None)
    } else {
        let aws = Aws::from_env(common.profile.as_deref(), common.region.as_deref()).await?;
        let settings = Stack::describe(&aws, &common.stack).await?.settings;
        (settings, aws.clients.clone(), Some(aws))
    };
    let candidate = Candidate::read(&arguments.file, &settings)?;
    let settings = if arguments.offline { with_profiles_of(settings, &candidate) } else { settings };
    let checked = check(&candidate, &settings, clients, aws.as_ref()).await?;
    if common.json {
        write_json(out, &checked.json)?;
    } else if let Some(request) = checked.json.get("createJob") {
        write_json(out, request)?;
    }
    if checked.problem.messages.is_empty() {
        report(format_args!("the function would accept `{}` and create this job", candidate.key));
    } else {
        complain(&checked.problem);
    }
    Ok(checked.problem.exit)
}

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    /// The result of the function.
    pub json: Value,
    /// Why the release would be rejected or skipped. Without messages, it would be accepted.
    pub problem: Problem,
}

/// Checks a file. With clients, also looks up whether its targets exist, and whether its job ID is free.
///
/// # Errors
/// Fails if the check cannot be done.
pub async fn check(
    candidate: &Candidate,
    settings: &Settings,
    clients: Clients,
    aws: Option<&Aws>,
) -> Result<Checked, Problem> {
    let release = dry_run(candidate, settings, clients).await?;
    let mut json = with_placeholders(candidate, settings, &release)?;
    let mut problem = accepted();
    match &release.outcome {
        Outcome::Rejected { reasons, .. } => problem = rejected(reasons.clone()),
        Outcome::Skipped { reason, .. } => {
            let remedy = if *reason == SkipReason::NoTags { "; name a target, such as `--to lab`" } else { "" };
            let message = format!("the function would skip `{}`: {}{remedy}", candidate.key, reason.as_str());
            problem = Problem::not_done(message);
        }
        Outcome::DryRun { requests, .. } => {
            for (member, what) in
                [("jobTemplateArn", "job template"), ("destinationPackageVersions", "package versions")]
            {
                if !requests.create_job[member].is_null() {
                    warn(format_args!("the {what} of the job are not looked up: the function can still reject them"));
                }
            }
            if let Some(aws) = aws {
                let targets = requests.create_job["targets"].as_array().into_iter().flatten();
                let mut reasons = missing_targets(aws, targets.filter_map(Value::as_str)).await?;
                let job_id = requests.create_job["jobId"].as_str().unwrap_or_default();
                let tags = TagHeader::from(candidate.tags.as_str()).tags;
                if tags.0.contains_key("ota:job-id") && aws.jobs.describe(job_id).await?.is_some() {
                    reasons.push(format!("another job has the ID `{job_id}` of `ota:job-id`"));
                }
                if !reasons.is_empty() {
                    json = json!({"outcome": "rejected", "reasons": reasons, "bucket": json["bucket"], "key": json["key"]});
                    problem = rejected(reasons);
                }
            }
        }
        Outcome::Created(_) | Outcome::Adopted { .. } | Outcome::Failed { .. } => {}
    }
    Ok(Checked { json, problem })
}

fn accepted() -> Problem {
    Problem { exit: Exit::Done, messages: Vec::new(), is_temporary: false }
}

fn rejected(messages: Vec<String>) -> Problem {
    Problem { exit: Exit::Rejected, messages, is_temporary: false }
}

/// Allows the signing profiles that the tags and the manifest name, for a check without a stack.
fn with_profiles_of(mut settings: Settings, candidate: &Candidate) -> Settings {
    let tags = TagHeader::from(candidate.tags.as_str()).tags;
    let manifest: Value = serde_json::from_slice(&candidate.bytes).unwrap_or_default();
    let files = manifest["files"].as_array().into_iter().flatten();
    let names = files.filter_map(|file| file["signingProfile"].as_str());
    let names = names.chain(tags.0.get("ota:signing-profile").map(String::as_str));
    settings.allowed_signing_profiles.0.extend(names.filter_map(|name| name.parse().ok()));
    settings
}

/// Has the function process the event of the upload, in a dry run.
async fn dry_run(candidate: &Candidate, settings: &Settings, clients: Clients) -> Result<Release, Problem> {
    let manifest = is_manifest(&candidate.key).then(|| String::from_utf8_lossy(&candidate.bytes).into_owned());
    let dry_run = DryRun::Offline(TagHeader::from(candidate.tags.as_str()), manifest);
    let settings = Settings { dry_run, ..settings.clone() };
    let key = utf8_percent_encode(&candidate.key, NON_ALPHANUMERIC).to_string();
    let object = json!({"key": key, "size": candidate.size, "versionId": NO_VERSION_YET});
    let s3 = json!({"bucket": {"name": settings.upload_bucket}, "object": object});
    let record = json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "awsRegion": settings.region, "s3": s3});
    let event = json!({"Records": [record]}).to_string();
    let deadline = SystemTime::now() + Duration::from_mins(1);
    let releases = Function::new(settings, clients).handle(&event, deadline).await;
    let releases = releases.map_err(|error| Problem::not_done(error.to_string()))?.releases;
    releases.into_iter().next().ok_or_else(|| Problem::not_done("the function returned no result"))
}

/// The result of the function, with placeholders for the parts of IDs that depend on the version ID.
fn with_placeholders(candidate: &Candidate, settings: &Settings, release: &Release) -> Result<Value, Problem> {
    let upload = Upload::new(settings.upload_bucket.clone(), candidate.key.clone(), NO_VERSION_YET.to_owned());
    let job_id = upload.default_job_id();
    let (beginning, digits) = job_id.split_at(job_id.len() - 12);
    let folder = settings.prefix_of(&upload);
    let text = serde_json::to_string(release).map_err(|error| Problem::not_done(error.to_string()))?;
    let text = text
        .replace(&job_id, &format!("{beginning}{FROM_S3}"))
        .replace(&upload.stream_id(), &format!("{ID_PREFIX}{FROM_S3}"))
        .replace(&folder, &format!("{}{FROM_S3}/", settings.signed_prefix.0))
        .replace(digits, FROM_S3)
        .replace(NO_VERSION_YET, FROM_S3);
    serde_json::from_str(&text).map_err(|error| Problem::not_done(error.to_string()))
}

/// Returns a message for each target that does not exist. A target that cannot be looked up counts as existing.
async fn missing_targets(aws: &Aws, arns: impl Iterator<Item = &str>) -> Result<Vec<String>, Problem> {
    let mut missing = Vec::new();
    for target in arns.filter_map(target) {
        match aws.jobs.exists(&target).await {
            Ok(true) => {}
            Ok(false) => {
                let (kind, name) = match &target {
                    Target::ThingGroup(name) => ("thing group", name),
                    Target::Thing(name) => ("thing", name),
                };
                missing.push(format!("the {kind} `{name}` does not exist in {}", aws.region));
            }
            Err(problem) => problem.messages.iter().for_each(|message| warn(format_args!("not checked: {message}"))),
        }
    }
    Ok(missing)
}

/// The target with this ARN.
pub fn target(arn: &str) -> Option<Target> {
    let (kind, name) = arn.splitn(6, ':').nth(5)?.split_once('/')?;
    match kind {
        "thinggroup" => Some(Target::ThingGroup(name.to_owned())),
        "thing" => Some(Target::Thing(name.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::TagArguments;

    fn candidate(key: &str, tags: &str, bytes: &[u8]) -> Candidate {
        let (size, bytes) = (bytes.len() as u64, bytes.to_vec());
        Candidate { key: key.to_owned(), tags: tags.to_owned(), size, bytes }
    }

    async fn checked(candidate: &Candidate) -> Checked {
        let settings = with_profiles_of(default_settings().unwrap(), candidate);
        check(candidate, &settings, offline("us-east-1"), None).await.unwrap()
    }

    #[tokio::test]
    async fn an_accepted_file_has_a_createjob_request_without_made_up_ids() {
        let checked = checked(&candidate("firmware/größe 1+2.bin", "ota:thing-group=lab&ota:start=2h", b"image")).await;
        assert_eq!(checked.problem, accepted());
        let job = &checked.json["createJob"];
        assert_eq!(job["targets"], json!(["arn:aws:iot:us-east-1:111122223333:thinggroup/lab"]));
        assert_eq!(job["jobId"], "AFR_OTA-gr-e-1-2-bin-<from S3>");
        let text = checked.json.to_string();
        assert!(text.contains("AFR_OTA-<from S3>") && !text.contains(NO_VERSION_YET), "{text}");
        assert!(!text.contains(
            &Upload::new("bucket".into(), "firmware/größe 1+2.bin".into(), NO_VERSION_YET.into()).default_job_id()
        ));
    }

    #[tokio::test]
    async fn a_check_without_a_stack_allows_what_a_stack_can_allow() {
        for tags in [
            "ota:thing=any&ota:thing-group=any",
            "ota:thing-group=lab&ota:signing-profile=Other_2",
            "ota:thing-group=lab&ota:signature=MAYCAQECAQE%3D&ota:certificate=a.pem",
        ] {
            let checked = checked(&candidate("firmware/a.bin", tags, b"image")).await;
            assert_eq!(checked.problem.messages, [""; 0], "{tags}");
        }
        let manifest = br#"{"files": [{"key": "firmware/a.bin", "versionId": "v1", "signingProfile": "Other_2"}]}"#;
        let checked = checked(&candidate("firmware/a.ota.json", "ota:thing-group=lab", manifest)).await;
        assert_eq!(checked.problem.messages, [""; 0]);
    }

    #[test]
    fn the_size_is_that_of_the_bytes_that_are_uploaded() {
        let path = std::env::temp_dir().join(format!("ota-size-{}", std::process::id()));
        let size = |size: u64| {
            File::create(&path).and_then(|file| file.set_len(size)).unwrap();
            let (folder, key, tags) = (None, Some("firmware/a.bin".to_owned()), TagArguments::default());
            let arguments = FileArguments { file: path.clone(), key, folder, tags };
            let candidate = Candidate::read(&arguments, &default_settings().unwrap()).unwrap();
            (candidate.size, candidate.bytes.len() as u64)
        };
        let sizes = [0, MAX_SIZE, MAX_SIZE + 9].map(size);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(sizes, [(0, 0), (MAX_SIZE, MAX_SIZE), (MAX_SIZE + 9, MAX_SIZE + 1)]);
    }

    #[tokio::test]
    async fn a_rejected_file_has_every_problem() {
        let rejected =
            checked(&candidate("firmware/a.bin", "ota:thing-group=lab&ota:start=soon&ota:retires=3", b"image")).await;
        assert_eq!((rejected.problem.exit, rejected.problem.messages.len()), (Exit::Rejected, 2), "{rejected:?}");
        let empty = checked(&candidate("firmware/a.bin", "ota:thing-group=lab", b"")).await;
        assert_eq!(empty.problem.exit, Exit::Rejected, "{empty:?}");
    }

    #[tokio::test]
    async fn a_file_without_tags_is_skipped() {
        let skipped = checked(&candidate("firmware/a.bin", "team=a", b"image")).await;
        assert_eq!(skipped.problem.exit, Exit::NotDone);
        assert_eq!(
            skipped.problem.messages,
            ["the function would skip `firmware/a.bin`: no-tags; name a target, such as `--to lab`"]
        );
    }

    #[tokio::test]
    async fn a_manifest_is_checked_with_its_files() {
        let manifest = br#"{"files": [{"key": "firmware/a.bin", "versionId": "v1"}, {"key": "firmware/b.bin"}]}"#;
        let rejected = checked(&candidate("firmware/gateway.ota.json", "ota:thing-group=lab", manifest)).await;
        assert!(rejected.problem.messages.iter().any(|message| message.contains("versionId")), "{rejected:?}");
    }
}
