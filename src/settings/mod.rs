//! What the deployment decides: environment variables, read once at init.

pub mod values;

use crate::{
    error::Expected,
    not_released::{NotReleased, RejectionKind, SkipReason},
    options::job::{JobTemplateId, Retries, Timeout, UrlExpiry},
    options::signature::ProfileName,
    options::target::{CommaSeparated, TargetRule},
    schedule::requested::{LeadTime, RequestedSchedule},
    schedule::time_zone::Zone,
    schedule::times::{End, EndBehavior, Start},
    settings::values::{ByteCount, DryRun, Flag, Prefix, QueueArn, RoleArn, Text},
    tags::TagHeader,
    text::spelling::one_of,
    upload::Upload,
};
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::{env, str::FromStr};

/// The settings of a deployment, all checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `SIGNING_PROFILE`: the Signer profile of releases that name none.
    pub signing_profile: ProfileName,
    /// `ALLOWED_SIGNING_PROFILES`: what `ota:signing-profile` may name besides `SIGNING_PROFILE`.
    pub allowed_signing_profiles: CommaSeparated<ProfileName>,
    /// `OTA_ROLE_ARN`: the role that AWS IoT assumes to read the streamed image.
    pub ota_role: RoleArn,
    /// `AWS_REGION`, which Lambda sets.
    pub region: Text,
    /// `UPLOAD_BUCKET`: the one bucket whose uploads are releases.
    pub upload_bucket: Text,
    /// `UPLOAD_PREFIX`: where firmware is uploaded.
    pub upload_prefix: Prefix,
    /// `SIGNED_PREFIX`: where signed objects, raw copies and records are kept.
    pub signed_prefix: Prefix,
    /// `ALLOWED_THING_GROUPS`: what `ota:thing-group` may name.
    pub allowed_thing_groups: CommaSeparated<TargetRule>,
    /// `ALLOWED_THINGS`: what `ota:thing` may name.
    pub allowed_things: CommaSeparated<TargetRule>,
    /// `MAX_IMAGE_BYTES`: the largest image that is released.
    pub max_image_bytes: ByteCount,
    /// `URL_EXPIRY_SECONDS`: how long a URL is good by which a device fetches the image.
    pub url_expiry: UrlExpiry,
    /// `VERIFY_SIGNATURES`: whether signatures are verified with the certificate of their signing job.
    pub verify_signatures: Flag,
    /// `ALLOW_UNVERIFIED`: whether releases may bring a signature that nothing here can verify.
    pub allow_unverified: Flag,
    /// `FAILURE_QUEUE_ARN`: the stack's own failure queue, whose messages are consumed if they are not understood. Without
    /// it, such messages fail like any other event.
    pub failure_queue: Option<QueueArn>,
    /// `DRY_RUN`, `DRY_RUN_TAGS` and `DRY_RUN_MANIFEST`: whether everything is checked and nothing created.
    pub dry_run: DryRun,
    /// `DEFAULT_START`: the start of releases without `ota:start`.
    pub default_start: Start,
    /// `DEFAULT_TIMEZONE`: whose clocks releases without `ota:timezone` go by.
    pub default_timezone: Zone,
    /// `DEFAULT_END`: the end of releases without `ota:end` whose target selection is `snapshot`.
    pub default_end: End,
    /// `DEFAULT_END_BEHAVIOR`: what happens at the end of releases without `ota:end-behavior`.
    pub default_end_behavior: EndBehavior,
    /// `DEFAULT_RETRIES`: the retries of releases without `ota:retries`.
    pub default_retries: Retries,
    /// `DEFAULT_TIMEOUT`: the time-out of releases without `ota:timeout`.
    pub default_timeout: Timeout,
    /// `DEFAULT_JOB_TEMPLATE`: the job template of releases without `ota:job-template`, if any.
    pub default_job_template: Option<JobTemplateId>,
}

/// Everything that is wrong with the settings: each variable, its value and what was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad settings: {}", .0.join("; "))]
pub struct SettingsError(Vec<String>);

impl Settings {
    /// Reads the settings from the environment of the process.
    ///
    /// # Errors
    /// All settings that are missing or bad.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| env::var(name).ok())
    }

    /// Reads the settings from `lookup`. A variable that is empty counts as not set: a template cannot leave one out.
    ///
    /// # Errors
    /// All settings that are missing or bad.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut from = Reader { lookup, problems: Vec::new() };
        let settings = Self {
            signing_profile: from.required("SIGNING_PROFILE", "OtaSigning"),
            allowed_signing_profiles: from.optional("ALLOWED_SIGNING_PROFILES", ""),
            ota_role: from.required("OTA_ROLE_ARN", "arn:aws:iam::111122223333:role/ota"),
            region: from.required("AWS_REGION", "eu-central-1"),
            upload_bucket: from.required("UPLOAD_BUCKET", "my-firmware"),
            upload_prefix: from.optional("UPLOAD_PREFIX", "firmware/"),
            signed_prefix: from.optional("SIGNED_PREFIX", "SignedImage/"),
            allowed_thing_groups: from.required("ALLOWED_THING_GROUPS", "lab,eu-*"),
            allowed_things: from.optional("ALLOWED_THINGS", ""),
            max_image_bytes: from.optional("MAX_IMAGE_BYTES", "25165824"),
            url_expiry: from.optional("URL_EXPIRY_SECONDS", "1800"),
            verify_signatures: from.optional("VERIFY_SIGNATURES", "true"),
            allow_unverified: from.optional("ALLOW_UNVERIFIED", "false"),
            failure_queue: from.given("FAILURE_QUEUE_ARN"),
            dry_run: from.dry_run(),
            default_timezone: from.optional("DEFAULT_TIMEZONE", "UTC"),
            default_start: from.optional("DEFAULT_START", "1h"),
            default_end: from.optional("DEFAULT_END", "1h"),
            default_end_behavior: from.optional("DEFAULT_END_BEHAVIOR", "cancel"),
            default_retries: from.optional("DEFAULT_RETRIES", "timed-out:3"),
            default_timeout: from.optional("DEFAULT_TIMEOUT", "10m"),
            default_job_template: from.given("DEFAULT_JOB_TEMPLATE"),
        };
        let plan = RequestedSchedule {
            start: settings.default_start,
            end: settings.default_end,
            end_behavior: settings.default_end_behavior,
            zone: settings.default_timezone.clone(),
            window: None,
        };
        // At any time that is no full minute; dates are either past or too far ahead then.
        let some_time = Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_secs(1)).unwrap_or_default();
        for (part, problem) in plan.at(some_time, LeadTime::WhenChecked).err().into_iter().flatten() {
            let setting = format!("DEFAULT_{part}").to_uppercase();
            from.problems.push(format!("setting `{setting}` is {problem}"));
        }
        let (uploads, signed) = (&settings.upload_prefix.0, &settings.signed_prefix.0);
        if uploads.starts_with(signed) || signed.starts_with(uploads) {
            from.problems.push(format!(
                "settings `UPLOAD_PREFIX` is `{uploads}` and `SIGNED_PREFIX` is `{signed}`, expected two prefixes of \
                 which neither lies in the other: what the function writes would be released again"
            ));
        }
        if from.problems.is_empty() { Ok(settings) } else { Err(SettingsError(from.problems)) }
    }

    /// Checks that an upload is one of this deployment's.
    ///
    /// # Errors
    /// Rejects an upload to another bucket; skips one outside the upload prefix.
    pub(crate) fn check_place(&self, upload: &Upload) -> Result<(), NotReleased> {
        let expected = &self.upload_bucket.0;
        if upload.bucket != *expected {
            let problem = format!("the bucket is `{}`, expected the upload bucket `{expected}`", upload.bucket);
            return Err(NotReleased::Rejected(RejectionKind::Place, vec![problem]));
        }
        if upload.key.starts_with(&self.signed_prefix.0) {
            return Err(NotReleased::Skipped(SkipReason::SignedPrefix));
        }
        if !upload.key.starts_with(&self.upload_prefix.0) {
            return Err(NotReleased::Skipped(SkipReason::OtherEvent));
        }
        Ok(())
    }

    /// The prefix of everything that is made from an upload: signed objects, raw copies and the record.
    pub fn prefix_of(&self, upload: &Upload) -> String {
        format!("{}{}/", self.signed_prefix.0, upload.folder_name())
    }

    /// Whether `ota:signing-profile` may name this profile.
    pub fn allows_profile(&self, profile: &ProfileName) -> bool {
        self.allowed_profiles().any(|allowed| allowed == profile)
    }

    /// The profiles that may sign a release.
    fn allowed_profiles(&self) -> impl Iterator<Item = &ProfileName> {
        [&self.signing_profile].into_iter().chain(&self.allowed_signing_profiles.0)
    }

    /// The profiles that may sign a release, for a message on one that may not.
    pub(crate) fn expected_profile(&self) -> String {
        let names: Vec<_> = self.allowed_profiles().map(|profile| &profile.0).collect();
        format!("{} (signing profiles that this deployment allows)", one_of(names))
    }

    /// The folder that an upload is fenced in: the longest prefix that groups or things are bound to and that its key lies
    /// below, without the upload prefix; empty where there is none. Whoever may write to a folder reaches what is bound to
    /// it, and nothing else.
    pub fn folder(&self, key: &str) -> &str {
        let key = key.strip_prefix(&self.upload_prefix.0).unwrap_or_default();
        let fences = self.allowed_thing_groups.0.iter().chain(&self.allowed_things.0);
        let around = fences.map(|fence| fence.prefix.as_str()).filter(|prefix| key.starts_with(prefix));
        around.max_by_key(|prefix| prefix.len()).unwrap_or_default()
    }

    /// The ARN of a resource of AWS IoT (`thing/…`, `thinggroup/…`, `package/…`) of this deployment.
    pub fn iot_arn(&self, resource: impl fmt::Display) -> String {
        let RoleArn { partition, account, .. } = &self.ota_role;
        format!("arn:{partition}:iot:{}:{account}:{resource}", self.region.0)
    }
}

/// Reads values, and goes on after a bad one so that all problems are told at once.
struct Reader<L> {
    lookup: L,
    problems: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn optional<T: FromStr<Err = Expected>>(&mut self, name: &str, default: &'static str) -> T {
        self.given(name).unwrap_or_else(|| known_good(default))
    }

    fn given<T: FromStr<Err = Expected>>(&mut self, name: &str) -> Option<T> {
        let value = (self.lookup)(name).filter(|value| !value.is_empty())?;
        let problem = |Expected(expected)| format!("setting `{name}` is `{value}`, expected {expected}");
        value.parse().map_err(|expected| self.problems.push(problem(expected))).ok()
    }

    fn dry_run(&mut self) -> DryRun {
        let Flag(on) = self.optional("DRY_RUN", "false");
        let [tags, manifest] =
            ["DRY_RUN_TAGS", "DRY_RUN_MANIFEST"].map(|name| (self.lookup)(name).filter(|value| !value.is_empty()));
        if manifest.is_some() && tags.is_none() {
            self.problems.push("setting `DRY_RUN_MANIFEST` is set, expected `DRY_RUN_TAGS` beside it".to_owned());
        }
        match tags {
            None if on => DryRun::OfRealTags,
            None => DryRun::Off,
            Some(tags) if on => DryRun::Offline(TagHeader::from(tags.as_str()), manifest),
            Some(tags) => {
                self.problems.push(format!("setting `DRY_RUN_TAGS` is `{tags}`, expected `DRY_RUN=true` beside it"));
                DryRun::Off
            }
        }
    }

    /// After a problem the example stands in for the value, so that reading goes on; the settings are never used then.
    fn required<T: FromStr<Err = Expected>>(&mut self, name: &str, example: &'static str) -> T {
        if (self.lookup)(name).is_none_or(|value| value.is_empty()) {
            self.problems.push(format!("setting `{name}` is not set, expected a value such as `{example}`"));
        }
        self.optional(name, example)
    }
}

fn known_good<T: FromStr<Err = Expected>>(value: &'static str) -> T {
    value.parse().unwrap_or_else(|Expected(expected)| unreachable!("`{value}` is not {expected}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tags::Tags;
    use std::{
        cell::RefCell,
        collections::{BTreeMap, BTreeSet},
    };

    pub(crate) const REQUIRED: [(&str, &str); 5] = [
        ("SIGNING_PROFILE", "OtaSigning"),
        ("OTA_ROLE_ARN", "arn:aws:iam::111122223333:role/ota"),
        ("AWS_REGION", "us-east-1"),
        ("UPLOAD_BUCKET", "firmware-bucket"),
        ("ALLOWED_THING_GROUPS", "lab,eu-*"),
    ];

    /// The required settings, with these over or beside them.
    pub(crate) fn settings(over: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_lookup(|name| {
            let values = over.iter().chain(&REQUIRED);
            values.into_iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_defaults_are_those_of_the_design() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.upload_prefix.0, "firmware/");
        assert_eq!(settings.signed_prefix.0, "SignedImage/");
        assert_eq!(settings.max_image_bytes.0, 24 * 1024 * 1024);
        assert_eq!(settings.url_expiry.0, 1800);
        assert!(settings.verify_signatures.0 && !settings.allow_unverified.0);
        assert_eq!(settings.default_timezone.name(), "UTC");
        assert_eq!(settings.default_start, "1h".parse().unwrap());
        assert_eq!(settings.default_end, "1h".parse().unwrap());
        assert_eq!(settings.default_end_behavior, EndBehavior::Cancel);
        assert_eq!(settings.default_retries, "timed-out:3".parse().unwrap());
        assert_eq!(settings.default_timeout, "10m".parse().unwrap());
        assert!(settings.allowed_things.0.is_empty() && settings.allowed_signing_profiles.0.is_empty());
    }

    #[test]
    fn an_empty_environment_names_every_setting_that_has_no_default() {
        let SettingsError(problems) = Settings::from_lookup(|_| None).unwrap_err();
        assert_eq!(problems.len(), REQUIRED.len());
        for (name, _) in REQUIRED {
            assert!(problems.iter().any(|problem| problem.contains(&format!("`{name}` is not set"))), "{name}");
        }
    }

    #[test]
    fn a_bad_setting_is_named_with_its_value_and_what_was_expected() {
        let over = [
            ("SIGNING_PROFILE", "has-hyphen"),
            ("OTA_ROLE_ARN", "arn:aws:iam::1:role/ota"),
            ("UPLOAD_PREFIX", "firmware"),
            ("ALLOWED_THING_GROUPS", "lab=lab-*"),
            ("MAX_IMAGE_BYTES", "25165825"),
            ("URL_EXPIRY_SECONDS", "59"),
            ("VERIFY_SIGNATURES", "no"),
            ("ALLOW_UNVERIFIED", "1"),
            ("DRY_RUN", "yes"),
            ("DEFAULT_TIMEZONE", "Europe/Berln"),
            ("DEFAULT_START", "soon"),
            ("DEFAULT_RETRIES", "11"),
            ("DEFAULT_JOB_TEMPLATE", "arn:aws:iot:us-east-1:111122223333:jobtemplate/canary"),
        ];
        let SettingsError(problems) = settings(&over).unwrap_err();
        assert_eq!(problems.len(), over.len(), "{problems:?}");
        for ((name, value), problem) in over.iter().zip(&problems) {
            assert!(
                problem.starts_with(&format!("setting `{name}` is `{value}`, expected "))
                    || *name == "ALLOWED_THING_GROUPS",
                "{problem}"
            );
        }
    }

    /// The parameters of the stack with their defaults, and the variables that it sets with where they come from.
    fn template() -> (BTreeMap<&'static str, Option<&'static str>>, BTreeMap<&'static str, &'static str>) {
        let template = include_str!("../../template.yaml");
        let section = |from: &str, to: &str| template.split(from).nth(1).unwrap().split(to).next().unwrap();
        let mut parameters = BTreeMap::new();
        let mut name = "";
        for line in section("\nParameters:\n", "\nRules:\n").lines() {
            if let Some(default) = line.strip_prefix("    Default: ") {
                parameters.insert(name, Some(default.trim_matches('"')));
            } else if let Some(text) = line.strip_prefix("  ").filter(|text| !text.starts_with(' ')) {
                name = text.trim_end_matches(':');
                parameters.insert(name, None);
            }
        }
        let variables = section("        Variables:\n", "      LoggingConfig:\n").lines();
        (parameters, variables.map(|line| line.trim().split_once(": ").unwrap()).collect())
    }

    #[test]
    fn the_stack_sets_each_setting_by_the_parameter_of_its_name() {
        let (parameters, variables) = template();
        let asked = RefCell::new(BTreeSet::new());
        let good = |name: &str| REQUIRED.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let lookup = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            good(name)
        };
        let settings = Settings::from_lookup(lookup).unwrap();
        asked.borrow_mut().remove("AWS_REGION");
        assert!(asked.borrow().iter().eq(variables.keys()), "{asked:?} {variables:?}");
        for (name, value) in variables {
            let words = name.split('_').map(|word| format!("{}{}", &word[..1], word[1..].to_lowercase()));
            let parameter = match name {
                "OTA_ROLE_ARN" | "FAILURE_QUEUE_ARN" => continue,
                "UPLOAD_BUCKET" => "BucketName".to_owned(),
                _ => words.collect(),
            };
            assert_eq!(value, format!("!Ref {parameter}"), "{name}");
            let default = parameters[parameter.as_str()].filter(|default| !default.is_empty());
            let set = Settings::from_lookup(|asked| {
                if asked == name { default.map(str::to_owned).or_else(|| good(asked)) } else { good(asked) }
            });
            assert_eq!(format!("{:?}", set.unwrap()), format!("{settings:?}"), "{name}");
        }
    }

    #[test]
    fn the_readme_has_each_parameter_with_its_default() {
        let (parameters, _) = template();
        let table = include_str!("../../README.md").split("\n| parameter | meaning | default |\n").nth(1).unwrap();
        let mut told = BTreeMap::new();
        for row in table.lines().skip(1).take_while(|line| line.starts_with("| ")) {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
            let [names, _, defaults] = cells[..] else { panic!("{row}") };
            let (names, defaults): (Vec<_>, Vec<_>) = (names.split(", ").collect(), defaults.split(", ").collect());
            assert_eq!(names.len(), defaults.len(), "{row}");
            told.extend(names.into_iter().zip(defaults).map(|(name, default)| {
                let [name, default] = [name, default].map(|text| text.trim_matches([' ', '`']));
                (name, default)
            }));
        }
        let known = parameters.into_iter().map(|(name, default)| {
            let default = match default {
                None => "–",
                Some("") => "none",
                Some(default) => default,
            };
            (name, default)
        });
        assert_eq!(told, known.collect());
    }

    #[test]
    fn a_value_that_is_nearly_good_is_a_bad_setting() {
        let long = "x".repeat(65);
        for (name, value) in [
            ("SIGNING_PROFILE", "x"),
            ("SIGNING_PROFILE", &long),
            ("OTA_ROLE_ARN", "arn::iam::111122223333:role/ota"),
            ("OTA_ROLE_ARN", "arn:aws:iam::11112222333x:role/ota"),
            ("OTA_ROLE_ARN", "arn:aws:iam::1111222233334:role/ota"),
            ("OTA_ROLE_ARN", "arn:aws:iam::111122223333:user/ota"),
            ("OTA_ROLE_ARN", "arn:aws:iam:us-east-1:111122223333:role/ota"),
            ("OTA_ROLE_ARN", "arn:aws:sts::111122223333:role/ota"),
            ("OTA_ROLE_ARN", "role/ota"),
            ("UPLOAD_PREFIX", "/"),
            ("UPLOAD_PREFIX", "/firmware/"),
            ("SIGNED_PREFIX", "signed"),
            ("ALLOWED_THING_GROUPS", "lab,"),
            ("ALLOWED_THING_GROUPS", "l*b"),
            ("ALLOWED_THING_GROUPS", "lab=lab-*"),
            ("ALLOWED_THING_GROUPS", "/=lab-*"),
            ("ALLOWED_THING_GROUPS", "/lab/=lab-*"),
            ("ALLOWED_THING_GROUPS", "lab*/=lab-*"),
            ("ALLOWED_THING_GROUPS", "lab/="),
            ("ALLOWED_THING_GROUPS", "lab/=lab/=x"),
            ("ALLOWED_THINGS", "**"),
            ("MAX_IMAGE_BYTES", "0"),
            ("URL_EXPIRY_SECONDS", "3601"),
            ("URL_EXPIRY_SECONDS", "30m"),
        ] {
            let problem = settings(&[(name, value)]).unwrap_err().to_string();
            assert!(
                problem.starts_with(&format!("bad settings: setting `{name}` is `{value}`, expected ")),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_value_at_the_edge_is_a_good_setting() {
        let long = "x".repeat(64);
        for (name, value) in [
            ("SIGNING_PROFILE", "x_"),
            ("SIGNING_PROFILE", &long),
            ("MAX_IMAGE_BYTES", "1"),
            ("URL_EXPIRY_SECONDS", "60"),
            ("URL_EXPIRY_SECONDS", "3600"),
            ("ALLOWED_THINGS", "*"),
            ("ALLOWED_THINGS", "a:b , c*"),
            ("ALLOWED_THINGS", "bench/=bench-*"),
        ] {
            assert!(settings(&[(name, value)]).is_ok(), "{name} {value}");
        }
    }

    #[test]
    fn a_release_may_be_signed_by_the_default_and_the_allowed_profiles() {
        let settings = settings(&[("ALLOWED_SIGNING_PROFILES", "Other_2,Third")]).unwrap();
        for (name, allowed) in [("OtaSigning", true), ("Other_2", true), ("Third", true), ("Fourth", false)] {
            assert_eq!(settings.allows_profile(&name.parse().unwrap()), allowed, "{name}");
        }
    }

    #[test]
    fn a_default_that_no_release_could_use_is_a_bad_setting() {
        for (name, value) in [("DEFAULT_START", "10m"), ("DEFAULT_END", "10m"), ("DEFAULT_START", "365d")] {
            let problem = settings(&[(name, value)]).unwrap_err().to_string();
            assert!(problem.contains(&format!("setting `{name}` is ")) && problem.contains("expected"), "{problem}");
        }
        // A date that is good today is bad some day.
        for (name, value) in [("DEFAULT_START", "2030-01-01T00:00"), ("DEFAULT_END", "2030-01-01T00:00")] {
            assert!(settings(&[(name, value)]).is_err(), "{name}");
        }
    }

    #[test]
    fn tags_of_a_dry_run_are_decoded_as_s3_decodes_them() {
        let tags = ("DRY_RUN_TAGS", "ota:thing-group=lab+eu-1&ota%3Astart=90m&team=x&ota:end=");
        let DryRun::Offline(header, None) = settings(&[("DRY_RUN", "true"), tags]).unwrap().dry_run else { panic!() };
        let expected = [("ota:thing-group", "lab eu-1"), ("ota:start", "90m"), ("ota:end", "")];
        assert_eq!(header.problems, Vec::<String>::new());
        assert_eq!(header.tags, Tags(expected.map(|(tag, value)| (tag.to_owned(), value.to_owned())).into()));
        assert_eq!(settings(&[("DRY_RUN", "true")]).unwrap().dry_run, DryRun::OfRealTags);
        assert_eq!(settings(&[("DRY_RUN", "false")]).unwrap().dry_run, DryRun::Off);
        let problem = settings(&[("DRY_RUN_TAGS", "ota:thing-group=lab")]).unwrap_err().to_string();
        assert!(
            problem.contains("setting `DRY_RUN_TAGS` is `ota:thing-group=lab`, expected `DRY_RUN=true`"),
            "{problem}"
        );
    }

    #[test]
    fn neither_prefix_may_lie_in_the_other() {
        for (uploads, signed) in [("firmware/", "firmware/signed/"), ("a/b/", "a/"), ("a/", "a/")] {
            let problem = settings(&[("UPLOAD_PREFIX", uploads), ("SIGNED_PREFIX", signed)]).unwrap_err().to_string();
            assert!(problem.contains("neither lies in the other"), "{problem}");
        }
        assert!(settings(&[("UPLOAD_PREFIX", "firmware/"), ("SIGNED_PREFIX", "firmware-signed/")]).is_ok());
    }

    #[test]
    fn an_allow_list_takes_names_and_beginnings() {
        let groups = settings(&[]).unwrap().allowed_thing_groups;
        for (name, allowed) in [("lab", true), ("lab-2", false), ("eu-", true), ("eu-west", true), ("us", false)] {
            assert_eq!(groups.allows("", name), allowed, "{name}");
        }
    }

    #[test]
    fn groups_that_are_bound_to_a_prefix_are_reached_from_there_alone() {
        let bound = [
            ("ALLOWED_THING_GROUPS", "lab/=lab-*,lab/=bench,lab/eu/=lab-eu, prod/=prod-*,shared"),
            ("ALLOWED_THINGS", "desk/=desk-*"),
        ];
        let settings = settings(&bound).unwrap();
        for (key, reached) in [
            ("lab/a.bin", vec!["lab-1", "lab-eu", "bench"]),
            ("lab/eu/a.bin", vec!["lab-eu"]),
            ("lab/eu.bin", vec!["lab-1", "lab-eu", "bench"]),
            ("prod/a.bin", vec!["prod-1"]),
            ("a.bin", vec!["shared"]),
            ("lab", vec!["shared"]),
            ("other/lab/a.bin", vec!["shared"]),
            // A folder that things are bound to is one for groups as well.
            ("desk/a.bin", vec![]),
        ] {
            let names = ["lab-1", "lab-eu", "bench", "prod-1", "shared", "other"];
            let folder = settings.folder(&format!("firmware/{key}"));
            let groups = &settings.allowed_thing_groups;
            let allowed: Vec<_> = names.into_iter().filter(|name| groups.allows(folder, name)).collect();
            assert_eq!(allowed, reached, "{key}");
        }
    }

    #[test]
    fn arns_are_of_the_deployments_partition_region_and_account() {
        let role = ("OTA_ROLE_ARN", "arn:aws-cn:iam::444455556666:role/path/ota");
        let settings = settings(&[role, ("AWS_REGION", "cn-north-1")]).unwrap();
        assert_eq!(settings.iot_arn("thinggroup/lab"), "arn:aws-cn:iot:cn-north-1:444455556666:thinggroup/lab");
    }

    #[test]
    fn what_lies_elsewhere_is_not_released() {
        let settings = settings(&[]).unwrap();
        let check =
            |bucket: &str, key: &str| settings.check_place(&Upload::new(bucket.into(), key.into(), "v1".into()));
        assert!(check("firmware-bucket", "firmware/a.bin").is_ok());
        assert!(matches!(
            check("firmware-bucket", "SignedImage/a"),
            Err(NotReleased::Skipped(SkipReason::SignedPrefix))
        ));
        assert!(matches!(check("firmware-bucket", "other/a"), Err(NotReleased::Skipped(SkipReason::OtherEvent))));
        let Err(NotReleased::Rejected(RejectionKind::Place, reasons)) = check("foreign", "firmware/a.bin") else {
            panic!()
        };
        assert_eq!(reasons, ["the bucket is `foreign`, expected the upload bucket `firmware-bucket`"]);
    }
}
