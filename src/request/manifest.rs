//! A manifest: an upload that names the files of one update, and what its job is to be beyond what tags can say.

use crate::{
    options::job::UrlExpiry,
    options::job_config::{JobConfig, UncheckedJobConfig},
    request::file_kind::{self},
    request::manifest_job::{
        abort, description, package_versions, retries, rollout, tags, timeout, url_expiry, windows,
    },
    settings::Settings,
    tags::{FILE_TYPE, OF_FILES, SIGNING_PROFILE, member},
    text::encoding::decode,
    text::json::{Node, Object, Problems, document, list, quoted, text, whole_number},
    upload::Upload,
};
use aws_sdk_iot::types::Tag;
use std::collections::BTreeMap;

/// The most bytes of a manifest: many times what ten files and a job need.
pub(crate) const MAX_BYTES: u64 = 64 * 1024;

/// The most files that one stream takes
/// (<https://docs.aws.amazon.com/general/latest/gr/iot-core.html>).
const MAX_FILES: usize = 10;

/// The most bytes of an object's key and of a version ID
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>,
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html>).
const MAX_S3_NAME: usize = 1024;

/// The most problems of a manifest that are told: the log line must stay one.
const MAX_PROBLEMS: usize = 50;

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
    /// The SHA-256 of its own bytes, in hexadecimal digits.
    pub(crate) sha256: Option<String>,
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

impl Manifest {
    /// Reads a manifest that was uploaded: JSON, in UTF-8 or as editors of Windows write it. All that is wrong with it is
    /// among its problems.
    pub fn read(bytes: &[u8], upload: &Upload, settings: &Settings) -> Self {
        let mut problems = Vec::new();
        let read = decode(bytes)
            .and_then(|json| document(&json, &mut problems, |from| Self::read_members(from, upload, settings)));
        let mut manifest = match read {
            Ok((manifest, said)) => {
                let (config, more) = said.check("schedulingConfig.maintenanceWindows");
                problems.extend(more.into_iter().map(|(path, problem)| format!("`{path}` {problem}")));
                Self { config, ..manifest }
            }
            Err(problem) => {
                problems.push(format!("the manifest is no JSON object: {problem}"));
                Self::default()
            }
        };
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        if more > 0 {
            problems.truncate(MAX_PROBLEMS);
            problems.push(format!("the manifest has {more} problems more"));
        }
        manifest.problems = problems;
        manifest
    }

    fn read_members(from: &mut Object<'_, '_>, upload: &Upload, settings: &Settings) -> (Self, UncheckedJobConfig) {
        from.optional("$schema", |_, _| Some(()));
        for (name, instead) in REFUSED {
            from.refuse(name, &format!("is not taken of a manifest, expected {instead}"));
        }
        let manifest = Self {
            files: from.required("files", |node, problems| files(node, problems, upload, settings)).unwrap_or_default(),
            description: from.optional("description", description),
            tags: from.optional("tags", tags).unwrap_or_default(),
            url_expiry: from.optional("presignedUrlConfig", |node, problems| url_expiry(node, problems, settings)),
            ..Self::default()
        };
        let said = UncheckedJobConfig {
            rollout: from.optional("jobExecutionsRolloutConfig", rollout),
            abort: from.optional("abortConfig", abort),
            timeout: from.optional("timeoutConfig", timeout),
            retries: from.optional("jobExecutionsRetryConfig", retries),
            windows: from.optional("schedulingConfig", windows).unwrap_or_default(),
            package_versions: from
                .optional("destinationPackageVersions", |node, problems| package_versions(node, problems, settings))
                .unwrap_or_default(),
        };
        (manifest, said)
    }

    /// A manifest of which nothing but a problem is known.
    pub(crate) fn unreadable(problem: &str) -> Self {
        Self { problems: vec![problem.to_owned()], ..Self::default() }
    }
}

/// `files`. Of more than a stream takes, the first ones.
fn files(node: &Node<'_>, problems: &mut Problems, upload: &Upload, settings: &Settings) -> Option<Vec<ManifestFile>> {
    let mut ids: Vec<(u8, usize)> = Vec::new();
    let mut at = 0;
    let read = list(|node: &Node<'_>, problems: &mut Problems| {
        let file = node.object(problems, |from| file(from, at, &mut ids, upload, settings));
        at += 1;
        Some(file)
    });
    let mut files = read(node, problems)?;
    if !(1..=MAX_FILES).contains(&files.len()) {
        node.problem(problems, &format!("has {} members, expected 1 to {MAX_FILES}", files.len()));
    }
    files.truncate(MAX_FILES);
    Some(files)
}

fn file(
    from: &mut Object<'_, '_>,
    at: usize,
    ids: &mut Vec<(u8, usize)>,
    upload: &Upload,
    settings: &Settings,
) -> ManifestFile {
    let key = from.required("key", text);
    let version_id = from.required("versionId", text);
    let is_placed = check_place(from, key.as_deref(), version_id.as_deref(), upload, settings);
    let id = match from.optional("fileId", whole_number) {
        None => u8::try_from(at).ok(),
        Some(id) => {
            let id = u8::try_from(id).map_err(|_| from.problem("fileId", &format!("is {id}, expected 0 to 255")));
            id.ok()
        }
    };
    if let Some(id) = id {
        if let Some((_, twin)) = ids.iter().find(|(other, _)| *other == id) {
            let problem = format!("is {id}, which `files[{twin}]` has; without one it is the place in the list");
            from.problem("fileId", &problem);
        }
        ids.push((id, at));
    }
    let mut options = BTreeMap::new();
    for tag in OF_FILES.into_iter().chain([SIGNING_PROFILE]) {
        let option = match tag {
            FILE_TYPE => from.optional(&member(tag), whole_number).map(|kind| kind.to_string()),
            _ => from.optional(&member(tag), text),
        };
        options.extend(option.map(|value| (tag.to_owned(), value)));
    }
    let source = Upload::new(upload.bucket.clone(), key.unwrap_or_default(), version_id.unwrap_or_default());
    ManifestFile { at, source, is_placed, id: id.unwrap_or_default(), options }
}

/// What the deployment may sign lies below its upload prefix, and in the folder that the manifest is fenced in: whoever
/// may write to one folder does not release what lies in another.
fn check_place(
    from: &mut Object<'_, '_>,
    key: Option<&str>,
    version_id: Option<&str>,
    upload: &Upload,
    settings: &Settings,
) -> bool {
    let is_key = key.is_some_and(|key| {
        let (prefix, folder) = (&settings.upload_prefix.0, settings.folder(&upload.key));
        let helper = file_kind::what(key);
        let is_key = key.starts_with(prefix.as_str()) && !key.ends_with('/') && key.len() <= MAX_S3_NAME;
        let is_image = is_key && helper.is_none();
        let is_key = is_image && settings.folder(key) == folder;
        if !is_key {
            let is_long = key.len() > MAX_S3_NAME;
            let long = is_long.then(|| format!(", which has {} bytes (S3 allows {MAX_S3_NAME})", key.len()));
            let what = long.or(helper.map(|what| format!(", which is {what}"))).unwrap_or_default();
            let expected = format!("the key of a firmware image below `{prefix}{folder}`");
            let besides = if is_image && folder.is_empty() {
                ", and in no folder that groups or things are bound to"
            } else {
                ""
            };
            from.problem("key", &format!("is `{}`{what}, expected {expected}{besides}", quoted(key)));
        }
        is_key
    });
    let is_version = version_id.is_some_and(|version_id| {
        let is_version = !version_id.is_empty() && version_id != "null" && version_id.len() <= MAX_S3_NAME;
        if !is_version {
            let expected = "the version ID that S3 told when the file was uploaded";
            from.problem("versionId", &format!("is `{}`, expected {expected}", quoted(version_id)));
        }
        is_version
    });
    is_key && is_version
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
    fn a_file_is_told_by_its_path() {
        assert_eq!(of_file(json!({})), Vec::<String>::new());
        let key = "expected the key of a firmware image below `firmware/`";
        for (members, problem) in [
            (json!({"key": "other/a.bin"}), format!("`files[0].key` is `other/a.bin`, {key}")),
            (json!({"key": "firmware/"}), format!("`files[0].key` is `firmware/`, {key}")),
            (
                json!({"key": "firmware/b.ota.json"}),
                format!("`files[0].key` is `firmware/b.ota.json`, which is a manifest, {key}"),
            ),
            (
                json!({"key": "firmware/B.OTA.JSON"}),
                format!("`files[0].key` is `firmware/B.OTA.JSON`, which is a manifest, {key}"),
            ),
            (
                json!({"key": "firmware/b.bin.Sig"}),
                format!("`files[0].key` is `firmware/b.bin.Sig`, which is a signature, {key}"),
            ),
            (
                json!({"versionId": "null"}),
                "`files[0].versionId` is `null`, expected the version ID that S3 told when the file was uploaded"
                    .into(),
            ),
            (json!({"versionId": 7}), "`files[0].versionId` is 7, expected a string".into()),
            (json!({"fileId": 256}), "`files[0].fileId` is 256, expected 0 to 255".into()),
            (json!({"fileType": "0"}), "`files[0].fileType` is a string, expected a whole number".into()),
        ] {
            assert_eq!(of_file(members), [problem]);
        }
        assert_eq!(of_file(json!({"version": "v1"})), ["`files[0].version` is not known, did you mean `versionId`?"]);
        assert_eq!(problems(&json!({"files": [{"key": "firmware/a.bin"}]})), ["`files[0].versionId` is missing"]);
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
        assert_eq!(problems(&json!({})), ["`files` is missing"]);
        assert_eq!(problems(&json!({"files": {}})), ["`files` is an object, expected a list"]);
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
                "`abortConfig.criteriaList[0].action` is `STOP`, expected `CANCEL`",
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
                "`schedulingConfig.maintenanceWindows[0].durationInMinutes` is missing",
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
            ("timeoutConfig", json!([30]), "`timeoutConfig` is a list, expected an object"),
            ("tags", json!([["team", "gateways"]]), "`tags[0]` is a list, expected an object"),
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
                "`description` cannot be taken, expected 1 to 2001 letters, digits, spaces and signs of ASCII",
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

    /// All that a manifest may say.
    fn full() -> Value {
        let version = |name: &str| format!("arn:aws:iot:us-east-1:111122223333:package/{name}/version/1");
        let abort = |failure: &str| {
            json!({
                "failureType": failure, "action": "CANCEL", "thresholdPercentage": 5, "minNumberOfExecutedThings": 20,
            })
        };
        json!({
            "$schema": "x",
            "files": [
                {"key": "firmware/a.bin", "versionId": "v1", "fileId": 3, "filePath": "/a", "fileType": 1, "signingJob": "x"},
                {"key": "firmware/b.bin", "versionId": "v2", "signature": "x", "signatureAlgorithm": "y", "certificate": "z"},
            ],
            "description": "x",
            "jobExecutionsRolloutConfig": {
                "maximumPerMinute": 50,
                "exponentialRate": {
                    "baseRatePerMinute": 5, "incrementFactor": 1.5,
                    "rateIncreaseCriteria": {"numberOfNotifiedThings": 10, "numberOfSucceededThings": 10},
                },
            },
            "abortConfig": {"criteriaList": [abort("ALL"), abort("FAILED")]},
            "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
            "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]},
            "schedulingConfig": {"maintenanceWindows": [{"startTime": "cron(0 2 * * ? *)", "durationInMinutes": 60}]},
            "presignedUrlConfig": {"expiresInSec": 600},
            "destinationPackageVersions": [version("a"), version("b")],
            "tags": [{"Key": "team", "Value": "x"}, {"Key": "cost", "Value": ""}],
        })
    }

    /// The places of all values in another, as JSON pointers.
    fn places(value: &Value, at: &str) -> Vec<String> {
        let members: Vec<_> = match value {
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
            _ => Vec::new(),
        };
        let below = members.into_iter().map(|(name, value)| (format!("{at}/{name}"), value));
        below.flat_map(|(place, value)| [vec![place.clone()], places(value, &place)].concat()).collect()
    }

    /// Makes one mistake at a place: a value of another type, a missing member, a number out of all ranges, an unknown
    /// member.
    fn mistake(manifest: &mut Value, place: &str, which: usize) -> Option<()> {
        let (parent, name) = place.rsplit_once('/')?;
        let value = manifest.pointer_mut(place)?;
        match which {
            0 => *value = json!(true),
            1 => drop(manifest.pointer_mut(parent)?.as_object_mut()?.remove(name)?),
            2 => *value = json!(value.as_f64().map(|_| 1_000_000)?),
            _ => drop(value.as_object_mut()?.insert("bogus".to_owned(), json!(1))),
        }
        Some(())
    }

    #[test]
    fn no_two_mistakes_in_a_manifest_hide_each_other() {
        assert_eq!(problems(&full()), Vec::<String>::new());
        let all: Vec<_> =
            places(&full(), "").into_iter().flat_map(|at| (0..4).map(move |which| (at.clone(), which))).collect();
        let alone = all.iter().filter_map(|(place, which)| {
            let mut manifest = full();
            mistake(&mut manifest, place, *which)?;
            Some((place, *which, problems(&manifest)))
        });
        let alone: Vec<_> = alone.filter(|(.., problems)| !problems.is_empty()).collect();
        assert!(alone.len() > 100, "{}", alone.len());
        for (at, (place, which, problems_of_one)) in alone.iter().enumerate() {
            for (other, other_which, problems_of_other) in &alone[..at] {
                let is_within = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}/"));
                if is_within(place, other) || is_within(other, place) {
                    continue;
                }
                let mut manifest = full();
                mistake(&mut manifest, place, *which)
                    .and_then(|()| mistake(&mut manifest, other, *other_which))
                    .unwrap();
                let told = problems(&manifest);
                for problem in problems_of_one.iter().chain(problems_of_other) {
                    // Both numbers of one list of retries are in one problem.
                    let is_list = problem.starts_with("`jobExecutionsRetryConfig.criteriaList` is ");
                    assert!(told.contains(problem) || is_list, "{place} and {other}: {problem} is not in {told:?}");
                }
            }
        }
    }

    #[test]
    fn every_mistake_in_an_object_is_reported_with_its_path() {
        assert_eq!(
            of_file(json!({"versionid": "v1", "fileID": 1, "filePath": 7, "fileType": 1.5, "fileId": 256})),
            [
                "`files[0].fileId` is 256, expected 0 to 255",
                "`files[0].filePath` is 7, expected a string",
                "`files[0].fileType` is 1.5, expected a whole number",
                "`files[0].fileID` is not known, did you mean `fileId`?",
                "`files[0].versionid` is not known, did you mean `versionId`?",
            ]
        );
        let mut many = full();
        many["files"] = (0..12).map(|at| json!({"key": format!("firmware/{at}.bin")})).collect();
        let told = problems(&many);
        assert_eq!(told.len(), 13, "{told:?}");
        assert!(told.contains(&"`files[11].versionId` is missing".to_owned()), "{told:?}");
        assert_eq!(read(&many.to_string()).files.len(), 10);
    }

    #[test]
    fn a_manifest_is_read_in_the_encodings_of_windows() {
        let json = full().to_string();
        let upload = Upload::new("b".into(), "firmware/a.ota.json".into(), "v1".into());
        let marked = format!("\u{feff}{json}");
        let utf_16 = |unit: fn(u16) -> [u8; 2]| marked.encode_utf16().flat_map(unit).collect::<Vec<_>>();
        for bytes in [marked.clone().into_bytes(), utf_16(u16::to_le_bytes), utf_16(u16::to_be_bytes)] {
            let manifest = Manifest::read(&bytes, &upload, &settings(&[]).unwrap());
            assert_eq!((manifest.files.len(), manifest.problems), (2, Vec::new()));
        }
        let manifest = Manifest::read(b"\x1f\x8b\x08", &upload, &settings(&[]).unwrap());
        assert_eq!(
            manifest.problems,
            ["the manifest is no JSON object: it is compressed with gzip, expected text in UTF-8"]
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
            ("\u{feff}\u{feff}{}", "expected value at line 1 column 1"),
            ("[]", "it is a list"),
            ("{\"files\": [,]}", "expected value at line 1 column 12"),
            ("{} x", "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(read(json).problems, [format!("the manifest is no JSON object: {problem}")]);
        }
        let twice = r#"{"files": [{"key": "firmware/a.bin", "key": "firmware/b.bin", "versionId": "v1"}], "tags": [], "tags": []}"#;
        assert_eq!(read(twice).problems, ["`files[0].key` is there twice", "`tags` is there twice"]);
    }

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
