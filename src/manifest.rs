//! A manifest: an upload that names the files of one update, and what its job is to be beyond what tags can say.

use crate::{
    clients::Clients,
    cron::Cron,
    error::{Expected, Failure, Skip, Stop},
    job_config::{JobConfig, Unchecked},
    manifest_json::{Abort, FileMember, JobTag, Members, Object, PresignedUrl, Retries, Rollout, Scheduling, Timeout},
    options::{is_package, is_package_version},
    settings::{Settings, UrlExpiry},
    upload::{Image, Upload, is_gone},
};
use aws_sdk_iot::types::{MaintenanceWindow, Tag};
use aws_sdk_s3::error::ProvideErrorMetadata;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt};

/// What the key of a manifest ends in.
const SUFFIX: &str = ".ota.json";

/// The most bytes of a manifest: many times what ten files and a job need.
pub(crate) const MOST_BYTES: u64 = 64 * 1024;

/// The most files that one stream takes
/// (<https://docs.aws.amazon.com/general/latest/gr/iot-core.html>).
const MOST_FILES: usize = 10;

/// The most tags of a job (<https://docs.aws.amazon.com/iot/latest/developerguide/tagging-iot.html>).
const MOST_TAGS: usize = 50;

/// The most maintenance windows of a manifest. AWS tells no limit of its own.
const MOST_WINDOWS: usize = 50;

/// The most problems of a manifest that are told: the log line must stay one.
const MOST_PROBLEMS: usize = 50;

/// The members of CreateJob that no manifest may have, and what says the same.
const REFUSED: [(&str, &str); 10] = [
    ("jobId", "the tag `ota:job-id`"),
    ("targets", "the tags `ota:thing-group` and `ota:thing`"),
    ("targetSelection", "the tag `ota:target-selection`"),
    ("jobTemplateArn", "the tag `ota:job-template`"),
    ("document", "nothing, as the release writes the document"),
    ("documentSource", "nothing, as the release writes the document"),
    ("documentParameters", "nothing, as the release writes the document"),
    ("roleArn", "nothing, as the role is the deployment's"),
    ("maintenanceWindows", "them in `schedulingConfig`"),
    ("namespaceId", "nothing, as devices of an OTA update look for jobs without one"),
];

/// The members that a manifest may have.
const MEMBERS: [&str; 11] = [
    "$schema",
    "files",
    "description",
    "jobExecutionsRolloutConfig",
    "abortConfig",
    "timeoutConfig",
    "jobExecutionsRetryConfig",
    "schedulingConfig",
    "presignedUrlConfig",
    "destinationPackageVersions",
    "tags",
];

/// Whether an upload is a manifest.
pub(crate) fn is_manifest(upload: &Upload) -> bool {
    upload.key.ends_with(SUFFIX)
}

/// What a manifest says: its own part of a release, all checked but for the options of the files.
#[derive(Debug, Default)]
pub struct Manifest {
    /// In the order of the manifest.
    pub(crate) files: Vec<ManifestFile>,
    /// What it says of the job.
    pub(crate) config: JobConfig,
    /// The tags of the job.
    pub(crate) tags: Vec<Tag>,
    /// The description of the job.
    pub(crate) description: Option<String>,
    /// How long a presigned URL is good.
    pub(crate) url_expiry: Option<UrlExpiry>,
    /// Every problem, each a sentence with the path of the member at fault.
    pub(crate) problems: Vec<String>,
}

/// One file of an update, as the manifest names it.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    /// Its place in the manifest, which files that cannot be read have as well.
    pub at: usize,
    pub source: Upload,
    /// Whether it lies where the deployment signs files of this manifest.
    pub is_placed: bool,
    /// Its ID in the stream and in the job document.
    pub id: u8,
    /// What else is said of it, by the tags of the same meaning.
    pub options: BTreeMap<String, String>,
}

/// Whether AWS takes the letter in a text, whatever other signs of Unicode it takes besides.
fn is_text(letter: char) -> bool {
    letter.is_alphanumeric() || letter == ' ' || letter.is_ascii_graphic()
}

/// The member that was meant, by its likeness.
fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let known = MEMBERS.into_iter().chain(REFUSED.map(|(refused, _)| refused));
    let nearest = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    nearest.filter(|known| likeness(known) > 0.8)
}

impl Manifest {
    /// Reads the manifest that was uploaded.
    pub(crate) async fn get(aws: &Clients, settings: &Settings, upload: &Upload, image: &Image) -> Result<Self, Stop> {
        if image.size > MOST_BYTES {
            let problem = format!("the manifest has {} bytes, expected at most {MOST_BYTES}", image.size);
            return Ok(Self { problems: vec![problem], ..Self::default() });
        }
        let failure = |source| Failure::GetObject { object: upload.to_string(), source };
        let call = aws.s3.get_object().bucket(&upload.bucket).key(&upload.key).version_id(&upload.version_id);
        let answer = match call.expected_bucket_owner(&settings.ota_role.account).send().await {
            Ok(answer) => answer,
            Err(error) if is_gone(error.code()) => return Err(Stop::Skipped(Skip::Withdrawn)),
            Err(error) => return Err(failure(error.into()).into()),
        };
        let json = answer.body.collect().await.map_err(|error| failure(error.into()))?.into_bytes();
        if json.len() as u64 != image.size {
            return Err(failure(format!("{} bytes came, expected {}", json.len(), image.size).into()).into());
        }
        Ok(Self::read(&json, upload, settings))
    }

    /// Reads the JSON of a manifest that was uploaded. All that is wrong with it is among its problems.
    pub fn read(json: &[u8], upload: &Upload, settings: &Settings) -> Self {
        let mut manifest = Self::default();
        let members = match serde_json::from_slice(json) {
            Ok(Members(members)) => members,
            Err(error) => {
                manifest.problems.push(format!("the manifest is no JSON object: {error}"));
                return manifest;
            }
        };
        let mut said = Unchecked::default();
        for (name, value) in &members {
            manifest.member(name, value, &mut said, upload, settings);
        }
        if !members.iter().any(|(name, _)| name == "files") {
            manifest.problems.push("`files` is missing, expected the files of the update".to_owned());
        }
        match said.check("schedulingConfig.maintenanceWindows") {
            Ok(config) => manifest.config = config,
            Err(problems) => manifest.problem_at(problems),
        }
        let more = manifest.problems.len().saturating_sub(MOST_PROBLEMS);
        if more > 0 {
            manifest.problems.truncate(MOST_PROBLEMS);
            manifest.problems.push(format!("the manifest has {more} problems more"));
        }
        manifest
    }

    /// Adds to the problems the files that S3 does not have.
    pub(crate) fn tell_missing(&mut self, images: &[Option<Image>]) {
        let missing = self.files.iter().zip(images).filter(|(file, image)| file.is_placed && image.is_none());
        for (ManifestFile { at, source, .. }, _) in missing {
            let Upload { key, version_id, .. } = source;
            self.problems.push(format!("`files[{at}]`: S3 has no version `{version_id}` of `{key}`"));
        }
    }

    fn problem(&mut self, path: &str, problem: &str) {
        self.problems.push(format!("`{path}` {problem}"));
    }

    fn problem_at(&mut self, problems: Vec<(String, String)>) {
        for (path, problem) in problems {
            self.problem(&path, &problem);
        }
    }

    fn member(&mut self, name: &str, value: &RawValue, said: &mut Unchecked, upload: &Upload, settings: &Settings) {
        match name {
            "$schema" => {}
            "files" => self.read_files(value, upload, settings),
            "description" => self.read_description(value),
            "tags" => self.read_tags(value),
            "presignedUrlConfig" => self.read_url_expiry(value, settings),
            "jobExecutionsRolloutConfig" => said.rollout = self.parse_as::<Rollout, _>(name, value),
            "abortConfig" => said.abort = self.parse_as::<Abort, _>(name, value),
            "timeoutConfig" => said.timeout = self.parse_as::<Timeout, _>(name, value),
            "jobExecutionsRetryConfig" => said.retries = self.parse_as::<Retries, _>(name, value),
            "schedulingConfig" => said.windows = self.read_windows(value),
            "destinationPackageVersions" => said.package_versions = self.read_packages(value, settings),
            _ => {
                let refused = REFUSED.iter().find(|(refused, _)| *refused == name);
                let problem = match (refused, nearest(name)) {
                    (Some((_, instead)), _) => format!("is not taken of a manifest, expected {instead}"),
                    (None, Some(near)) => format!("is not known, did you mean `{near}`?"),
                    (None, None) => "is not known".to_owned(),
                };
                self.problem(name, &problem);
            }
        }
    }

    /// The value of a member; what is wrong with its form is told with the path to that.
    fn parse<T: DeserializeOwned>(&mut self, path: &str, value: &RawValue) -> Option<T> {
        let mut json = serde_json::Deserializer::from_str(value.get());
        serde_path_to_error::deserialize(&mut json)
            .map_err(|error| {
                let below = match error.path().to_string() {
                    root if root == "." => String::new(),
                    below if below.starts_with('[') => below,
                    below => format!(".{below}"),
                };
                // Where in the text of this one member says nothing.
                let message = error.inner().to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                self.problem(&format!("{path}{below}"), &format!("cannot be taken: {message}"));
            })
            .ok()
    }

    /// The same, as AWS's own type.
    fn parse_as<T: DeserializeOwned, U: TryFrom<T, Error: fmt::Display>>(
        &mut self,
        path: &str,
        value: &RawValue,
    ) -> Option<U> {
        let Object(value) = self.parse::<Object<T>>(path, value)?;
        self.built(path, value)
    }

    fn built<T, U: TryFrom<T, Error: fmt::Display>>(&mut self, path: &str, value: T) -> Option<U> {
        U::try_from(value).map_err(|error| self.problem(path, &format!("cannot be taken: {error}"))).ok()
    }

    fn read_files(&mut self, value: &RawValue, upload: &Upload, settings: &Settings) {
        let Some(files) = self.parse::<Vec<Box<RawValue>>>("files", value) else { return };
        if !(1..=MOST_FILES).contains(&files.len()) {
            self.problem("files", &format!("has {} members, expected 1 to {MOST_FILES}", files.len()));
            return;
        }
        for (at, file) in files.iter().enumerate() {
            let path = format!("files[{at}]");
            let Some(Object(file)) = self.parse::<Object<FileMember>>(&path, file) else { continue };
            let is_placed = self.check_place(&path, &file, upload, settings);
            let id = file.file_id.unwrap_or(at as u64);
            let Ok(id) = u8::try_from(id) else {
                self.problem(&format!("{path}.fileId"), &format!("is {id}, expected 0 to 255"));
                continue;
            };
            if let Some(twin) = self.files.iter().find(|other| other.id == id) {
                let problem =
                    format!("is {id}, which `files[{}]` has; without one it is the place in the list", twin.at);
                self.problem(&format!("{path}.fileId"), &problem);
            }
            let options = file.options();
            let source = Upload::new(upload.bucket.clone(), file.key, file.version_id);
            self.files.push(ManifestFile { at, source, is_placed, id, options });
        }
    }

    /// What the deployment may sign lies below its upload prefix, and in the folder that the manifest is fenced in: whoever
    /// may write to one folder does not release what lies in another.
    fn check_place(&mut self, path: &str, file: &FileMember, upload: &Upload, settings: &Settings) -> bool {
        let FileMember { key, version_id, .. } = file;
        let (prefix, folder) = (&settings.upload_prefix.0, settings.folder(&upload.key));
        let is_image = key.starts_with(prefix.as_str()) && !key.ends_with('/') && !key.ends_with(SUFFIX);
        let is_key = is_image && settings.folder(key) == folder;
        if !is_key {
            let expected = format!("the key of a firmware image below `{prefix}{folder}`");
            let besides = if is_image && folder.is_empty() {
                ", and in no folder that groups or things are bound to"
            } else {
                ""
            };
            self.problem(&format!("{path}.key"), &format!("is `{key}`, expected {expected}{besides}"));
        }
        let is_version = !version_id.is_empty() && version_id != "null";
        if !is_version {
            let expected = "the version ID that S3 told when the file was uploaded";
            self.problem(&format!("{path}.versionId"), &format!("is `{version_id}`, expected {expected}"));
        }
        is_key && is_version
    }

    /// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html>)
    fn read_description(&mut self, value: &RawValue) {
        let Some(description) = self.parse::<String>("description", value) else { return };
        let length = description.chars().count();
        if !(1..=2028).contains(&length) || !description.chars().all(is_text) {
            self.problem(
                "description",
                "cannot be taken, expected 1 to 2028 letters, digits, spaces and signs of ASCII",
            );
            return;
        }
        self.description = Some(description);
    }

    /// (<https://docs.aws.amazon.com/iot/latest/apireference/API_Tag.html>)
    fn read_tags(&mut self, value: &RawValue) {
        let Some(tags) = self.parse::<Vec<Object<JobTag>>>("tags", value) else { return };
        if tags.len() > MOST_TAGS {
            self.problem("tags", &format!("has {} members, expected at most {MOST_TAGS}", tags.len()));
            return;
        }
        let is_reserved = |text: &str| text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
        for (at, Object(JobTag { key, value })) in tags.into_iter().enumerate() {
            let path = |member: &str| format!("tags[{at}].{member}");
            let takes = |byte: u8| byte.is_ascii_alphanumeric() || b" _.:/=+-@".contains(&byte);
            if !(1..=128).contains(&key.len()) || !key.bytes().all(takes) || is_reserved(&key) {
                let expected = "1 to 128 letters and digits of ASCII, spaces, `_`, `.`, `:`, `/`, `=`, `+`, `-` and `@`, \
                                not beginning with `aws:`";
                self.problem(&path("Key"), &format!("is `{key}`, expected {expected}"));
            }
            let takes = |letter: char| letter.is_alphanumeric() || " _.:/=+-@".contains(letter);
            if value.encode_utf16().count() > 256 || !value.chars().all(takes) || is_reserved(&value) {
                let expected = "at most 256 letters, digits, spaces, `_`, `.`, `:`, `/`, `=`, `+`, `-` and `@`, not \
                                beginning with `aws:`";
                self.problem(&path("Value"), &format!("is `{value}`, expected {expected}"));
            }
            if self.tags.iter().any(|tag| tag.key == key) {
                self.problem(&path("Key"), &format!("is `{key}`, which another tag has"));
            }
            let tag = self.built(&format!("tags[{at}]"), JobTag { key, value });
            self.tags.extend(tag);
        }
    }

    fn read_url_expiry(&mut self, value: &RawValue, settings: &Settings) {
        let Some(Object(PresignedUrl { expires_in_sec, role_arn })) = self.parse("presignedUrlConfig", value) else {
            return;
        };
        if role_arn.is_some() {
            self.problem(
                "presignedUrlConfig.roleArn",
                "is not taken of a manifest, expected nothing, as the role is the deployment's",
            );
        }
        if let Some(seconds) = expires_in_sec {
            match seconds.to_string().parse() {
                Ok(expiry @ UrlExpiry(seconds)) if seconds <= settings.url_expiry.0 => self.url_expiry = Some(expiry),
                _ => {
                    let expected = format!("60 to {}, which is what the deployment allows", settings.url_expiry.0);
                    self.problem("presignedUrlConfig.expiresInSec", &format!("is {seconds}, expected {expected}"));
                }
            }
        }
    }

    fn read_windows(&mut self, value: &RawValue) -> Vec<MaintenanceWindow> {
        let Some(Object(config)) = self.parse::<Object<Scheduling>>("schedulingConfig", value) else {
            return Vec::new();
        };
        for (member, value, tag) in [
            ("startTime", &config.start_time, "ota:start"),
            ("endTime", &config.end_time, "ota:end"),
            ("endBehavior", &config.end_behavior, "ota:end-behavior"),
        ] {
            if value.is_some() {
                let problem = format!("is not taken of a manifest, expected the tag `{tag}`");
                self.problem(&format!("schedulingConfig.{member}"), &problem);
            }
        }
        let Some(windows) = config.maintenance_windows else { return Vec::new() };
        if !(1..=MOST_WINDOWS).contains(&windows.len()) {
            let problem = format!("has {} members, expected 1 to {MOST_WINDOWS}", windows.len());
            self.problem("schedulingConfig.maintenanceWindows", &problem);
            return Vec::new();
        }
        for (at, Object(window)) in windows.iter().enumerate() {
            if let Err(Expected(expected)) = window.start_time.parse::<Cron>() {
                let problem = format!("is `{}`, expected {expected}", window.start_time);
                self.problem(&format!("schedulingConfig.maintenanceWindows[{at}].startTime"), &problem);
            }
        }
        windows.into_iter().filter_map(|Object(window)| self.built("schedulingConfig", window)).collect()
    }

    /// Those of the deployment's own account and region alone, and each package once.
    fn read_packages(&mut self, value: &RawValue, settings: &Settings) -> Vec<String> {
        let Some(versions) = self.parse::<Vec<String>>("destinationPackageVersions", value) else { return Vec::new() };
        if versions.is_empty() {
            self.problem("destinationPackageVersions", "is empty, expected at least one");
        }
        let prefix = settings.iot_arn("package/");
        let package = |arn: &str| {
            let (package, version) = arn.strip_prefix(&prefix)?.split_once("/version/")?;
            let is_version = is_package_version(version) || matches!(version, "$default" | "$null");
            (is_package(package) && is_version).then(|| package.to_owned())
        };
        for (at, arn) in versions.iter().enumerate() {
            let path = format!("destinationPackageVersions[{at}]");
            match package(arn) {
                None => {
                    let expected = format!("`{prefix}PACKAGE/version/VERSION`");
                    self.problem(&path, &format!("is `{arn}`, expected {expected}"));
                }
                Some(name) if versions[..at].iter().any(|other| package(other).as_ref() == Some(&name)) => {
                    self.problem(&path, &format!("is of the package `{name}`, of which another version is named"));
                }
                Some(_) => {}
            }
        }
        versions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(json: &str) -> Manifest {
        let upload = Upload::new("b".into(), "firmware/a.ota.json".into(), "v1".into());
        Manifest::read(json.as_bytes(), &upload, &settings(&[]).unwrap())
    }

    fn problems(members: &Value) -> Vec<String> {
        read(&members.to_string()).problems
    }

    /// The problems of a good file with these members over its own.
    fn of_file(members: Value) -> Vec<String> {
        let mut file = json!({"key": "firmware/a.bin", "versionId": "v1"});
        let Value::Object(members) = members else { panic!("{members}") };
        file.as_object_mut().unwrap().extend(members);
        problems(&json!({"files": [file]}))
    }

    /// The problems of a good manifest with this member beside.
    fn of_member(name: &str, value: Value) -> Vec<String> {
        let mut members = json!({"files": [{"key": "firmware/a.bin", "versionId": "v1"}]});
        members[name] = value;
        problems(&members)
    }

    #[test]
    fn an_upload_is_a_manifest_by_the_end_of_its_key() {
        for (key, expected) in [
            ("firmware/a.ota.json", true),
            ("firmware/.ota.json", true),
            ("firmware/a.json", false),
            ("firmware/a.OTA.json", false),
            ("firmware/a.ota.json/b.bin", false),
        ] {
            assert_eq!(is_manifest(&Upload::new("b".into(), key.into(), "v1".into())), expected, "{key}");
        }
    }

    #[test]
    fn a_file_is_told_by_its_path() {
        assert_eq!(of_file(json!({})), Vec::<String>::new());
        let key = "expected the key of a firmware image below `firmware/`";
        for (members, problem) in [
            (json!({"key": "other/a.bin"}), format!("`files[0].key` is `other/a.bin`, {key}")),
            (json!({"key": "firmware/"}), format!("`files[0].key` is `firmware/`, {key}")),
            (json!({"key": "firmware/b.ota.json"}), format!("`files[0].key` is `firmware/b.ota.json`, {key}")),
            (
                json!({"versionId": "null"}),
                "`files[0].versionId` is `null`, expected the version ID that S3 told when the file was uploaded"
                    .into(),
            ),
            (
                json!({"versionId": 7}),
                "`files[0].versionId` cannot be taken: invalid type: integer `7`, expected a string".into(),
            ),
            (json!({"fileId": 256}), "`files[0].fileId` is 256, expected 0 to 255".into()),
            (
                json!({"fileType": "0"}),
                "`files[0].fileType` cannot be taken: invalid type: string \"0\", expected u64".into(),
            ),
        ] {
            assert_eq!(of_file(members), [problem]);
        }
        let unknown = &of_file(json!({"version": "v1"}))[0];
        assert!(
            unknown.starts_with("`files[0].version` cannot be taken: unknown field `version`, expected one of `key`, "),
            "{unknown}"
        );
        assert_eq!(
            problems(&json!({"files": [{"key": "firmware/a.bin"}]})),
            ["`files[0]` cannot be taken: missing field `versionId`"]
        );
    }

    #[test]
    fn there_are_one_to_ten_files_each_with_an_id_of_its_own() {
        let files = |count: usize| {
            let file = |at| json!({"key": format!("firmware/{at}.bin"), "versionId": "v1"});
            json!({"files": (0..count).map(file).collect::<Vec<_>>()})
        };
        assert_eq!(problems(&files(10)), Vec::<String>::new());
        let ids: Vec<_> = read(&files(10).to_string()).files.iter().map(|file| file.id).collect();
        assert_eq!(ids, (0..10).collect::<Vec<_>>());
        assert_eq!(problems(&files(0)), ["`files` has 0 members, expected 1 to 10"]);
        assert_eq!(problems(&files(11)), ["`files` has 11 members, expected 1 to 10"]);
        let mut twice = files(3);
        twice["files"][0]["fileId"] = json!(2);
        assert_eq!(
            problems(&twice),
            ["`files[2].fileId` is 2, which `files[0]` has; without one it is the place in the list"]
        );
        assert_eq!(problems(&json!({})), ["`files` is missing, expected the files of the update"]);
        assert_eq!(
            problems(&json!({"files": {}})),
            ["`files` cannot be taken: invalid type: map, expected a sequence"]
        );
    }

    #[test]
    fn what_a_manifest_may_not_say_is_told_with_what_does() {
        for (name, instead) in REFUSED {
            let expected = format!("`{name}` is not taken of a manifest, expected {instead}");
            assert_eq!(of_member(name, json!("x")), [expected]);
        }
        for (config, member, tag) in [
            ("schedulingConfig", "startTime", "`ota:start`"),
            ("schedulingConfig", "endTime", "`ota:end`"),
            ("schedulingConfig", "endBehavior", "`ota:end-behavior`"),
        ] {
            let expected = format!("`{config}.{member}` is not taken of a manifest, expected the tag {tag}");
            assert_eq!(of_member(config, json!({member: "x"})), [expected]);
        }
        assert_eq!(
            of_member("presignedUrlConfig", json!({"roleArn": "arn:aws:iam::111122223333:role/mine"})),
            [
                "`presignedUrlConfig.roleArn` is not taken of a manifest, expected nothing, as the role is the deployment's"
            ]
        );
        assert_eq!(of_member("jobID", json!({})), ["`jobID` is not known, did you mean `jobId`?"]);
        assert_eq!(of_member("abortconfig", json!({})), ["`abortconfig` is not known, did you mean `abortConfig`?"]);
        assert_eq!(of_member("x", json!({})), ["`x` is not known"]);
    }

    #[test]
    fn a_member_of_the_job_is_told_by_its_path() {
        let criteria = |change: (&str, Value)| {
            let mut criteria = json!({
                "failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 12.34, "minNumberOfExecutedThings": 1,
            });
            criteria[change.0] = change.1;
            json!({"criteriaList": [criteria]})
        };
        assert_eq!(of_member("abortConfig", criteria(("action", json!("CANCEL")))), Vec::<String>::new());
        for (name, value, problem) in [
            (
                "abortConfig",
                criteria(("action", json!("STOP"))),
                "`abortConfig.criteriaList[0].action` cannot be taken: unknown variant `STOP`, expected `CANCEL`",
            ),
            (
                "abortConfig",
                criteria(("thresholdPercentage", json!(12.345))),
                "`abortConfig.criteriaList[0].thresholdPercentage` is 12.345, expected at most 2 decimals",
            ),
            ("abortConfig", json!({"criteriaList": []}), "`abortConfig.criteriaList` is empty, expected at least one"),
            (
                "jobExecutionsRolloutConfig",
                json!({"exponentialRate": {"baseRatePerMinute": 1, "incrementFactor": 1.25, "rateIncreaseCriteria": {"numberOfNotifiedThings": 1}}}),
                "`jobExecutionsRolloutConfig.exponentialRate.incrementFactor` is 1.25, expected at most 1 decimals",
            ),
            (
                "jobExecutionsRolloutConfig",
                json!({"exponentialRate": {"baseRatePerMinute": 1, "incrementFactor": 1.2, "rateIncreaseCriteria": {}}}),
                "`jobExecutionsRolloutConfig.exponentialRate.rateIncreaseCriteria` is empty, expected \
                 `numberOfNotifiedThings` or `numberOfSucceededThings`",
            ),
        ] {
            assert_eq!(of_member(name, value), [problem]);
        }
    }

    #[test]
    fn a_member_beside_is_told_by_its_path() {
        let arn = |name: &str| format!("arn:aws:iot:us-east-1:111122223333:package/{name}");
        for (name, value, problem) in [
            (
                "timeoutConfig",
                json!({"inProgressTimeoutInMinutes": 10081}),
                "`timeoutConfig.inProgressTimeoutInMinutes` is 10081, expected 1 to 10080",
            ),
            (
                "schedulingConfig",
                json!({"maintenanceWindows": [{"startTime": "cron(0 2 * * ? *)"}]}),
                "`schedulingConfig.maintenanceWindows[0]` cannot be taken: missing field `durationInMinutes`",
            ),
            (
                "schedulingConfig",
                json!({"maintenanceWindows": [{"startTime": "0 2 * * *", "durationInMinutes": 60}]}),
                "`schedulingConfig.maintenanceWindows[0].startTime` is `0 2 * * *`, expected a cron expression of AWS IoT in \
                 UTC, `cron(minute hour day-of-month month day-of-week year)` with a `?` for one of the two days, such as \
                 `cron(0 2 ? * SAT *)`",
            ),
            (
                "schedulingConfig",
                json!({"maintenanceWindows": []}),
                "`schedulingConfig.maintenanceWindows` has 0 members, expected 1 to 50",
            ),
            ("destinationPackageVersions", json!([]), "`destinationPackageVersions` is empty, expected at least one"),
            (
                "timeoutConfig",
                json!([30]),
                "`timeoutConfig` cannot be taken: invalid type: sequence, expected an object",
            ),
            (
                "tags",
                json!([["team", "gateways"]]),
                "`tags[0]` cannot be taken: invalid type: sequence, expected an object",
            ),
            (
                "tags",
                json!([{"Key": "a", "Value": "Aws:b"}]),
                "`tags[0].Value` is `Aws:b`, expected at most 256 letters, digits, spaces, `_`, `.`, `:`, `/`, `=`, `+`, `-` \
                 and `@`, not beginning with `aws:`",
            ),
            (
                "presignedUrlConfig",
                json!({"expiresInSec": 1801}),
                "`presignedUrlConfig.expiresInSec` is 1801, expected 60 to 1800, which is what the deployment allows",
            ),
            (
                "presignedUrlConfig",
                json!({"expiresInSec": 59}),
                "`presignedUrlConfig.expiresInSec` is 59, expected 60 to 1800, which is what the deployment allows",
            ),
            (
                "description",
                json!("two\nlines"),
                "`description` cannot be taken, expected 1 to 2028 letters, digits, spaces and signs of ASCII",
            ),
            (
                "tags",
                json!([{"Key": "a", "Value": ""}, {"Key": "a", "Value": "b"}]),
                "`tags[1].Key` is `a`, which another tag has",
            ),
            (
                "tags",
                json!([{"Key": "aws:a", "Value": ""}]),
                "`tags[0].Key` is `aws:a`, expected 1 to 128 letters and digits of ASCII, spaces, `_`, `.`, `:`, `/`, `=`, \
                 `+`, `-` and `@`, not beginning with `aws:`",
            ),
            (
                "destinationPackageVersions",
                json!([arn("a/version/1"), arn("a/version/$null")]),
                "`destinationPackageVersions[1]` is of the package `a`, of which another version is named",
            ),
            (
                "destinationPackageVersions",
                json!(["arn:aws:iot:us-east-1:444455556666:package/a/version/1"]),
                "`destinationPackageVersions[0]` is `arn:aws:iot:us-east-1:444455556666:package/a/version/1`, expected \
                 `arn:aws:iot:us-east-1:111122223333:package/PACKAGE/version/VERSION`",
            ),
        ] {
            assert_eq!(of_member(name, value), [problem]);
        }
    }

    #[test]
    fn the_files_of_a_manifest_lie_in_the_folder_that_it_is_fenced_in() {
        let settings = settings(&[("ALLOWED_THING_GROUPS", "lab/=lab-*,prod/=prod")]).unwrap();
        let check = |manifest: &str, key: &str| {
            let upload = Upload::new("b".into(), manifest.into(), "v1".into());
            let json = json!({"files": [{"key": key, "versionId": "v1"}]}).to_string();
            Manifest::read(json.as_bytes(), &upload, &settings).problems
        };
        for (manifest, key) in
            [("firmware/lab/a.ota.json", "firmware/lab/deep/a.bin"), ("firmware/a.ota.json", "firmware/b/a.bin")]
        {
            assert_eq!(check(manifest, key), Vec::<String>::new());
        }
        let expected = "expected the key of a firmware image below";
        assert_eq!(
            check("firmware/lab/a.ota.json", "firmware/prod/a.bin"),
            [format!("`files[0].key` is `firmware/prod/a.bin`, {expected} `firmware/lab/`")]
        );
        assert_eq!(
            check("firmware/lab/a.ota.json", "firmware/a.bin"),
            [format!("`files[0].key` is `firmware/a.bin`, {expected} `firmware/lab/`")]
        );
        assert_eq!(
            check("firmware/a.ota.json", "firmware/prod/a.bin"),
            [format!(
                "`files[0].key` is `firmware/prod/a.bin`, {expected} `firmware/`, and in no folder that groups or things are \
                 bound to"
            )]
        );
    }

    #[test]
    fn no_manifest_has_more_problems_than_a_log_line_holds() {
        let told = of_member("destinationPackageVersions", json!(vec![""; 15_000]));
        assert_eq!((told.len(), told[50].as_str()), (51, "the manifest has 14951 problems more"));
    }

    #[test]
    fn what_is_no_manifest_is_told() {
        for (json, problem) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("\u{feff}{}", "expected value at line 1 column 1"),
            ("[]", "invalid type: sequence, expected an object at line 1 column 0"),
            ("{\"files\": [,]}", "expected value at line 1 column 12"),
            ("{\"tags\": [],\n\"tags\": []}", "it has `tags` twice at line 2 column 11"),
            ("{} x", "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(read(json).problems, [format!("the manifest is no JSON object: {problem}")]);
        }
        let twice = r#"{"files": [{"key": "firmware/a.bin", "key": "firmware/b.bin", "versionId": "v1"}]}"#;
        assert_eq!(read(twice).problems, ["`files[0]` cannot be taken: duplicate field `key`"]);
    }

    proptest! {
        #[test]
        fn no_value_makes_the_reader_panic(
            member in prop::sample::select(MEMBERS.to_vec()), value in "[\\[{]{0,3}(\"[a-zA-Z]{1,9}\":?|[0-9.-]{1,6}|null|,)*[\\]}]{0,3}",
        ) {
            let json = format!("{{\"{member}\":{value}}}");
            prop_assert!(!read(&json).problems.is_empty());
        }
    }
}
