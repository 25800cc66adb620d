//! The settings of the deployment, read from environment variables when the process starts.

pub mod values;

use crate::error::Expected;
use crate::options::job::{JobTemplateId, Retries, Timeout, UrlExpiry};
use crate::options::signature::ProfileName;
use crate::options::target::{CommaSeparated, TargetRule};
use crate::schedule::requested::RequestedSchedule;
use crate::schedule::time_zone::Zone;
use crate::schedule::times::{End, EndBehavior, Start};
use crate::schedule::timing_rules::LeadTime;
use crate::settings::values::{ByteCount, DryRun, Flag, Prefix, QueueArn, RoleArn};
use crate::tags::TagHeader;
use crate::text::spelling::one_of;
use crate::upload::Upload;
use jiff::{SignedDuration, Timestamp};
use std::str::FromStr;
use std::{env, fmt};

/// The settings of a deployment, all checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `SIGNING_PROFILE`: the Signer profile of releases without `ota:signing-profile`.
    pub signing_profile: ProfileName,
    /// `ALLOWED_SIGNING_PROFILES`: other profiles that `ota:signing-profile` may name.
    pub allowed_signing_profiles: CommaSeparated<ProfileName>,
    /// `OTA_ROLE_ARN`: the role that AWS IoT assumes to read the streamed image.
    pub ota_role: RoleArn,
    /// `AWS_REGION`, which Lambda sets.
    pub region: String,
    /// `UPLOAD_BUCKET`: the only bucket whose uploads are releases.
    pub upload_bucket: String,
    /// `UPLOAD_PREFIX`: the key prefix of uploads.
    pub upload_prefix: Prefix,
    /// `SIGNED_PREFIX`: the key prefix of signed objects, raw copies and records.
    pub signed_prefix: Prefix,
    /// `ALLOWED_THING_GROUPS`: the thing groups that `ota:thing-group` may name.
    pub allowed_thing_groups: CommaSeparated<TargetRule>,
    /// `ALLOWED_THINGS`: the things that `ota:thing` may name.
    pub allowed_things: CommaSeparated<TargetRule>,
    /// `MAX_IMAGE_BYTES`: the maximum size of an image.
    pub max_image_bytes: ByteCount,
    /// `URL_EXPIRY_SECONDS`: the lifetime of the URL from which a device fetches the image.
    pub url_expiry: UrlExpiry,
    /// `VERIFY_SIGNATURES`: `true` if the function verifies signatures with the certificate of their signing job.
    pub verify_signatures: Flag,
    /// `ALLOW_UNVERIFIED`: `true` if uploaders may provide a signature, which the function cannot verify.
    pub allow_unverified: Flag,
    /// `FAILURE_QUEUE_ARN`: the stack's own failure queue. The function consumes unreadable messages of this queue.
    /// Without this setting, such messages fail like other events.
    pub failure_queue: Option<QueueArn>,
    /// `DRY_RUN`, `DRY_RUN_TAGS` and `DRY_RUN_MANIFEST`: the kind of dry run, in which releases are only checked.
    pub dry_run: DryRun,
    /// `DEFAULT_START`: the start of releases without `ota:start`.
    pub default_start: Start,
    /// `DEFAULT_TIMEZONE`: the time zone of releases without `ota:timezone`.
    pub default_timezone: Zone,
    /// `DEFAULT_END`: the end of releases without `ota:end` whose target selection is `snapshot`.
    pub default_end: End,
    /// `DEFAULT_END_BEHAVIOR`: the end behavior of releases without `ota:end-behavior`.
    pub default_end_behavior: EndBehavior,
    /// `DEFAULT_RETRIES`: the retries of releases without `ota:retries`.
    pub default_retries: Retries,
    /// `DEFAULT_TIMEOUT`: the time-out of releases without `ota:timeout`.
    pub default_timeout: Timeout,
    /// `DEFAULT_JOB_TEMPLATE`: the job template of releases without `ota:job-template`, if any.
    pub default_job_template: Option<JobTemplateId>,
}

/// Every problem with the settings: the variable, its value and what was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad settings: {}", .0.join("; "))]
pub struct SettingsError(Vec<String>);

impl Settings {
    /// Reads the settings from the environment of the process.
    ///
    /// # Errors
    /// Fails if settings are missing or invalid. The operator must correct them.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| env::var(name).ok())
    }

    /// Reads the settings from `lookup`. An empty variable counts as not set, because a template cannot omit variables.
    ///
    /// # Errors
    /// Fails if settings are missing or invalid. The operator must correct them.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let settings = Self {
            signing_profile: reader.required("SIGNING_PROFILE", "OtaSigning"),
            allowed_signing_profiles: reader.with_default("ALLOWED_SIGNING_PROFILES", ""),
            ota_role: reader.required("OTA_ROLE_ARN", "arn:aws:iam::111122223333:role/ota"),
            region: reader.required_text("AWS_REGION", "eu-central-1"),
            upload_bucket: reader.required_text("UPLOAD_BUCKET", "my-firmware"),
            upload_prefix: reader.with_default("UPLOAD_PREFIX", "firmware/"),
            signed_prefix: reader.with_default("SIGNED_PREFIX", "SignedImage/"),
            allowed_thing_groups: reader.required("ALLOWED_THING_GROUPS", "lab,eu-*"),
            allowed_things: reader.with_default("ALLOWED_THINGS", ""),
            max_image_bytes: reader.with_default("MAX_IMAGE_BYTES", "25165824"),
            url_expiry: reader.with_default("URL_EXPIRY_SECONDS", "1800"),
            verify_signatures: reader.with_default("VERIFY_SIGNATURES", "true"),
            allow_unverified: reader.with_default("ALLOW_UNVERIFIED", "false"),
            failure_queue: reader.optional("FAILURE_QUEUE_ARN"),
            dry_run: reader.dry_run(),
            default_timezone: reader.with_default("DEFAULT_TIMEZONE", "UTC"),
            default_start: reader.with_default("DEFAULT_START", "1h"),
            default_end: reader.with_default("DEFAULT_END", "1h"),
            default_end_behavior: reader.with_default("DEFAULT_END_BEHAVIOR", "cancel"),
            default_retries: reader.with_default("DEFAULT_RETRIES", "timed-out:3"),
            default_timeout: reader.with_default("DEFAULT_TIMEOUT", "10m"),
            default_job_template: reader.optional("DEFAULT_JOB_TEMPLATE"),
        };
        reader.problems.extend(settings.schedule_problems());
        reader.problems.extend(settings.prefix_problem());
        if reader.problems.is_empty() { Ok(settings) } else { Err(SettingsError(reader.problems)) }
    }

    /// Returns the problems of default times that no release could use.
    fn schedule_problems(&self) -> impl Iterator<Item = String> {
        let defaults = RequestedSchedule {
            start: self.default_start,
            end: self.default_end,
            end_behavior: self.default_end_behavior,
            zone: self.default_timezone.clone(),
            window: None,
        };
        // In 1970, every date in a setting is too far ahead. The time is one second after a full minute, so relative
        // times are rounded up.
        let any_time = Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_secs(1)).unwrap_or_default();
        let problems = defaults.at(any_time, LeadTime::WhenChecked).err().into_iter().flatten();
        problems.map(|(part, problem)| format!("setting `{}` is {problem}", part.setting()))
    }

    fn prefix_problem(&self) -> Option<String> {
        let (uploads, signed) = (&self.upload_prefix.0, &self.signed_prefix.0);
        (uploads.starts_with(signed) || signed.starts_with(uploads)).then(|| {
            format!(
                "setting `UPLOAD_PREFIX` is `{uploads}` and `SIGNED_PREFIX` is `{signed}`, expected prefixes that do not \
                 overlap: the function would release its own signed images"
            )
        })
    }

    /// The key prefix of everything that the function writes for an upload: signed objects, raw copies and the record.
    pub fn prefix_of(&self, upload: &Upload) -> String {
        format!("{}{}/", self.signed_prefix.0, upload.folder_name())
    }

    /// Returns whether `ota:signing-profile` may name this profile.
    pub fn allows_profile(&self, profile: &ProfileName) -> bool {
        self.allowed_profiles().any(|allowed| allowed == profile)
    }

    /// The profiles that may sign a release.
    fn allowed_profiles(&self) -> impl Iterator<Item = &ProfileName> {
        [&self.signing_profile].into_iter().chain(&self.allowed_signing_profiles.0)
    }

    /// The profiles that may sign a release, for messages.
    pub(crate) fn expected_profile(&self) -> String {
        let names: Vec<_> = self.allowed_profiles().map(|profile| &profile.0).collect();
        format!("{} (signing profiles that this deployment allows)", one_of(names))
    }

    /// Returns the folder of an upload: the longest prefix of a target rule with which the key begins, after the upload
    /// prefix. Returns an empty text if no rule has such a prefix. Only the rules of this folder apply to the upload.
    pub fn folder(&self, key: &str) -> &str {
        let key = key.strip_prefix(&self.upload_prefix.0).unwrap_or_default();
        let rules = self.allowed_thing_groups.0.iter().chain(&self.allowed_things.0);
        let matching = rules.map(|rule| rule.prefix.as_str()).filter(|prefix| key.starts_with(prefix));
        matching.max_by_key(|prefix| prefix.len()).unwrap_or_default()
    }

    /// The ARN of a resource of AWS IoT (`thing/…`, `thinggroup/…`, `package/…`) of this deployment.
    pub fn iot_arn(&self, resource: impl fmt::Display) -> String {
        let RoleArn { partition, account, .. } = &self.ota_role;
        format!("arn:{partition}:iot:{}:{account}:{resource}", self.region)
    }

    /// The package and the version that an ARN names. `None` for ARNs of other accounts, regions or kinds of resources.
    pub(crate) fn package_version<'a>(&self, arn: &'a str) -> Option<(&'a str, &'a str)> {
        arn.strip_prefix(&self.iot_arn("package/"))?.split_once("/version/")
    }
}

/// Reads variables, and continues after a bad one, so that all problems are reported at once.
struct Reader<L> {
    lookup: L,
    problems: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    /// Returns the value of a variable that is set and not empty.
    fn value(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn optional<T: FromStr<Err = Expected>>(&mut self, name: &str) -> Option<T> {
        let value = self.value(name)?;
        let problem = |Expected(expected)| format!("setting `{name}` is `{value}`, expected {expected}");
        value.parse().map_err(|expected| self.problems.push(problem(expected))).ok()
    }

    fn with_default<T: FromStr<Err = Expected>>(&mut self, name: &str, default: &'static str) -> T {
        let parse =
            || default.parse().unwrap_or_else(|Expected(expected)| unreachable!("`{default}` is not {expected}"));
        self.optional(name).unwrap_or_else(parse)
    }

    /// Reads a required variable. If it is missing or invalid, returns the example, so that the other variables are
    /// checked, too.
    fn required<T: FromStr<Err = Expected>>(&mut self, name: &str, example: &'static str) -> T {
        self.required_text(name, example);
        self.with_default(name, example)
    }

    fn required_text(&mut self, name: &str, example: &'static str) -> String {
        self.value(name).unwrap_or_else(|| {
            self.problems.push(format!("setting `{name}` is not set, expected a value such as `{example}`"));
            example.to_owned()
        })
    }

    fn dry_run(&mut self) -> DryRun {
        let Flag(is_on) = self.with_default("DRY_RUN", "false");
        let [tags, manifest] = ["DRY_RUN_TAGS", "DRY_RUN_MANIFEST"].map(|name| self.value(name));
        if manifest.is_some() && tags.is_none() {
            self.problems.push("setting `DRY_RUN_MANIFEST` is set, expected `DRY_RUN_TAGS` with it".to_owned());
        }
        match tags {
            None if is_on => DryRun::WithLookups,
            None => DryRun::Off,
            Some(tags) if is_on => DryRun::Offline(TagHeader::from(tags.as_str()), manifest),
            Some(tags) => {
                self.problems.push(format!("setting `DRY_RUN_TAGS` is `{tags}`, expected `DRY_RUN=true` with it"));
                DryRun::Off
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
