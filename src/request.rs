//! What the tags of an upload ask for: all of it checked, and every problem told at once.

use crate::{
    error::Expected,
    schedule::{End, Lead, Minutes, Part, Plan, Start},
    settings::{List, NamePattern, ProfileName, Settings},
    upload::{ID_PREFIX, TAG_PREFIX, Tags, Upload},
};
use aws_sdk_iot::types::{JobExecutionsRetryConfig, RetryCriteria, RetryableFailureType, TimeoutConfig};
use jiff::Timestamp;
use std::{fmt, str::FromStr};

const THING_GROUP: &str = "ota:thing-group";
const THING: &str = "ota:thing";
const START: &str = "ota:start";
const END: &str = "ota:end";
const END_BEHAVIOR: &str = "ota:end-behavior";
const RETRIES: &str = "ota:retries";
const TIMEOUT: &str = "ota:timeout";
const SIGNING_PROFILE: &str = "ota:signing-profile";
const JOB_ID: &str = "ota:job-id";

/// Every tag that a release may carry.
pub const VOCABULARY: [&str; 9] =
    [THING_GROUP, THING, START, END, END_BEHAVIOR, RETRIES, TIMEOUT, SIGNING_PROFILE, JOB_ID];

/// The most targets that one job takes
/// (<https://docs.aws.amazon.com/general/latest/gr/iot_device_management.html>).
const MOST_TARGETS: usize = 100;

/// A release as its tags ask for it, checked against the settings and every rule of AWS that can be known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// Who gets it: at least one.
    pub targets: Vec<Target>,
    /// When.
    pub plan: Plan,
    /// How often a device tries again.
    pub retries: Retries,
    /// How long a device may take.
    pub timeout: Timeout,
    /// Who signs it.
    pub signing_profile: ProfileName,
    /// The job's ID, where the tags name it.
    pub job_id: Option<JobId>,
}

impl ReleaseRequest {
    /// Reads the `ota:` tags of an upload, for a job that would be created at `now`.
    ///
    /// # Errors
    /// Every problem, each a sentence with the tag, its value and what was expected.
    pub fn from_tags(tags: &Tags, settings: &Settings, now: Timestamp) -> Result<Self, Vec<String>> {
        let mut from = Reader { tags, problems: Vec::new() };
        from.refuse_unknown();
        let targets = from.targets(settings);
        let plan = from.plan(settings, now);
        let retries = from.tag_or(RETRIES, &settings.default_retries);
        let timeout = from.tag_or(TIMEOUT, &settings.default_timeout);
        let signing_profile = from.tag_or(SIGNING_PROFILE, &settings.signing_profile);
        if let Some(profile) = signing_profile.as_ref().filter(|profile| !settings.allows_profile(profile)) {
            from.problem(SIGNING_PROFILE, &profile.0, "a signing profile that this deployment allows");
        }
        let job_id = from.tag(JOB_ID);
        let whole = || {
            let (retries, timeout, signing_profile) = (retries?, timeout?, signing_profile?);
            Some(Self { targets, plan: plan?, retries, timeout, signing_profile, job_id: job_id.ok()? })
        };
        match whole() {
            Some(request) if from.problems.is_empty() => Ok(request),
            _ => Err(from.problems),
        }
    }

    /// The ID that the job of an upload gets by this request.
    pub(crate) fn job_id(&self, upload: &Upload) -> String {
        self.job_id.as_ref().map_or_else(|| upload.default_job_id(), ToString::to_string)
    }

    /// Whether devices may have to check the signature after its certificate has expired: a sentence for the log.
    pub(crate) fn outlives(&self, verified_until: Timestamp, now: Timestamp) -> Option<String> {
        let schedule = self.plan.at(now, Lead::WhenCreated).ok()?;
        schedule
            .goes_on_after(verified_until)
            .then(|| format!("the certificate of the signature expires at {verified_until}, before the job ends"))
    }

    /// What is allowed but hardly meant: sentences for the log.
    pub(crate) fn warnings(&self, now: Timestamp) -> Vec<String> {
        let Timeout(timeout) = self.timeout;
        let tries = self.retries.most() + 1;
        let length = self.plan.at(now, Lead::WhenCreated).ok().and_then(|schedule| schedule.length(now));
        match length {
            Some(length) if timeout * tries > length => vec![format!(
                "{tries} tries of {} each do not fit into the {} between start and end",
                Minutes(timeout),
                Minutes(length)
            )],
            _ => Vec::new(),
        }
    }
}

/// Reads tags, and goes on after a bad one.
struct Reader<'a> {
    tags: &'a Tags,
    problems: Vec<String>,
}

/// A tag had a problem, which has been told.
struct Told;

impl Reader<'_> {
    fn problem(&mut self, tag: &str, value: &str, expected: &str) {
        self.problems.push(format!("tag `{tag}` is `{value}`, expected {expected}"));
    }

    fn tag<T: FromStr<Err = Expected>>(&mut self, tag: &str) -> Result<Option<T>, Told> {
        let Some(value) = self.tags.0.get(tag) else { return Ok(None) };
        value.parse().map(Some).map_err(|Expected(expected)| {
            self.problem(tag, value, expected);
            Told
        })
    }

    fn tag_or<T: FromStr<Err = Expected> + Clone>(&mut self, tag: &str, default: &T) -> Option<T> {
        self.tag(tag).ok().map(|value| value.unwrap_or_else(|| default.clone()))
    }

    fn refuse_unknown(&mut self) {
        for tag in self.tags.0.keys().filter(|tag| !VOCABULARY.contains(&tag.as_str())) {
            let given = tag.to_lowercase();
            let likeness = |known: &str| strsim::jaro_winkler(&known[TAG_PREFIX.len()..], &given[TAG_PREFIX.len()..]);
            let nearest = VOCABULARY.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
            let nearest = nearest.filter(|known| likeness(known) > 0.7);
            let hint = nearest.map(|known| format!(", did you mean `{known}`?")).unwrap_or_default();
            self.problems.push(format!("tag `{tag}` is not known{hint}"));
        }
    }

    fn targets(&mut self, settings: &Settings) -> Vec<Target> {
        let before = self.problems.len();
        let groups =
            self.names(THING_GROUP, &settings.allowed_thing_groups, "thing groups that this deployment allows");
        let things = self.names(THING, &settings.allowed_things, "things that this deployment allows");
        let groups = groups.into_iter().map(Target::ThingGroup);
        let targets: Vec<_> = groups.chain(things.into_iter().map(Target::Thing)).collect();
        if targets.is_empty() && self.problems.len() == before {
            self.problems
                .push(format!("tag `{THING_GROUP}` is missing, expected the thing groups that get the update"));
        }
        if targets.len() > MOST_TARGETS {
            self.problems.push(format!("the tags name {} targets, expected at most {MOST_TARGETS}", targets.len()));
        }
        targets
    }

    fn names(&mut self, tag: &str, allowed: &List<NamePattern>, expected: &str) -> Vec<String> {
        let Ok(Some(Names(names))) = self.tag(tag) else { return Vec::new() };
        for name in names.iter().filter(|name| !allowed.allows(name)) {
            self.problem(tag, name, expected);
        }
        names
    }

    /// Parts that could not be read do not keep the others from being checked.
    fn plan(&mut self, settings: &Settings, now: Timestamp) -> Option<Plan> {
        let start = self.tag_or(START, &settings.default_start);
        let end = self.tag_or(END, &settings.default_end);
        let end_behavior = self.tag_or(END_BEHAVIOR, &settings.default_end_behavior);
        let readable = Plan {
            start: start.unwrap_or(Start::Now),
            end: match (start, end) {
                // It counts from the start.
                (None, Some(End::After(_))) | (_, None) => End::Never,
                (_, Some(end)) => end,
            },
            end_behavior: end_behavior.unwrap_or(settings.default_end_behavior),
        };
        if end == Some(End::Never)
            && let Some(behavior) = self.tags.0.get(END_BEHAVIOR)
        {
            self.problem(END_BEHAVIOR, behavior, "no such tag, as the release has no end");
        }
        for (part, problem) in readable.at(now, Lead::WhenChecked).err().into_iter().flatten() {
            let (tag, setting) = match part {
                Part::Start => (START, "DEFAULT_START"),
                Part::End => (END, "DEFAULT_END"),
            };
            let problem = match self.tags.0.get(tag) {
                Some(value) => format!("tag `{tag}` is `{value}`, which is {problem}"),
                None => format!("tag `{tag}` is missing and the setting `{setting}` is {problem}"),
            };
            self.problems.push(problem);
        }
        Some(Plan { start: start?, end: end?, end_behavior: end_behavior? })
    }
}

/// A thing group or a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// All things in the group.
    ThingGroup(String),
    /// One thing.
    Thing(String),
}

impl Target {
    /// The target's ARN in the deployment's partition, region and account.
    pub fn arn(&self, settings: &Settings) -> String {
        settings.iot_arn(&self.to_string())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThingGroup(name) => write!(f, "thinggroup/{name}"),
            Self::Thing(name) => write!(f, "thing/{name}"),
        }
    }
}

/// Whether AWS IoT takes the name for a thing or a thing group: 1–128 of `[a-zA-Z0-9:_-]`
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThingGroup.html>).
pub(crate) fn is_target_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-'))
}

/// Names of things or thing groups, none twice.
struct Names(Vec<String>);

impl FromStr for Names {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let names: Vec<_> = value.split(' ').map(str::to_owned).collect();
        let once = |(at, name): (usize, &String)| !names[..at].contains(name);
        let are_names = names.iter().all(|name| is_target_name(name)) && names.iter().enumerate().all(once);
        are_names.then_some(Self(names)).ok_or(Expected(
            "names with one space between, none twice, each of letters, digits, `:`, `_` and `-`, such as `lab eu-west`",
        ))
    }
}

/// A job ID that the uploader chose, without the `AFR_OTA-` before it: up to 55 of `[a-zA-Z0-9_-]`, as some devices
/// keep no more than 63 characters of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobId(String);

impl FromStr for JobId {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let takes = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let is_id = (1..=63 - ID_PREFIX.len()).contains(&value.len()) && value.bytes().all(takes);
        is_id.then(|| Self(value.to_owned())).ok_or(Expected("1 to 55 letters, digits, `_` and `-`"))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ID_PREFIX}{}", self.0)
    }
}

/// How often a device tries again after which failure; ten times in all at most
/// (<https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries(Vec<(RetryableFailureType, i32)>);

impl FromStr for Retries {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let count = |text: &str| -> Option<i32> {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok())?.filter(|count| *count <= 10)
        };
        let one = |text: &str| -> Option<(RetryableFailureType, i32)> {
            let (failure, text) = text.split_once(':')?;
            let failure = match failure {
                "timed-out" => RetryableFailureType::TimedOut,
                "failed" => RetryableFailureType::Failed,
                _ => return None,
            };
            Some((failure, count(text)?))
        };
        let read = || match count(value) {
            Some(all) => Some(vec![(RetryableFailureType::All, all)]),
            None => value.split(' ').map(one).collect(),
        };
        read()
            .map(Self)
            .filter(|retries| retries.most() <= 10 && (retries.0.len() == 1 || retries.0[0].0 != retries.0[1].0))
            .filter(|retries| retries.0.len() <= 2)
            .ok_or(Expected(
                "a number such as `3` (after all failures), or `timed-out:3`, `failed:2` or both with a space between, \
                 10 in all at most",
            ))
    }
}

impl Retries {
    /// The most tries again of one device.
    fn most(&self) -> i64 {
        self.0.iter().map(|(_, count)| i64::from(*count)).sum()
    }

    /// The `jobExecutionsRetryConfig` of CreateJob.
    pub(crate) fn to_config(&self) -> Result<JobExecutionsRetryConfig, aws_sdk_iot::error::BuildError> {
        let criteria = self.0.iter().map(|(failure, count)| {
            RetryCriteria::builder().failure_type(failure.clone()).number_of_retries(*count).build()
        });
        JobExecutionsRetryConfig::builder().set_criteria_list(Some(criteria.collect::<Result<_, _>>()?)).build()
    }
}

/// How many minutes a device may take, from the start of its job execution: 1 minute to 7 days
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_TimeoutConfig.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(i64);

impl FromStr for Timeout {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let minutes = value.parse().ok().map(|Minutes(minutes)| minutes);
        let in_range = minutes.filter(|minutes| (1..=7 * 24 * 60).contains(minutes));
        in_range.map(Self).ok_or(Expected("a duration of 1 minute to 7 days, such as `10m`"))
    }
}

impl Timeout {
    /// The `timeoutConfig` of CreateJob.
    pub(crate) fn to_config(self) -> TimeoutConfig {
        TimeoutConfig::builder().in_progress_timeout_in_minutes(self.0).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;
    use proptest::prelude::*;

    fn request(tags: &[(&str, &str)]) -> Result<ReleaseRequest, Vec<String>> {
        let over = [("ALLOWED_THINGS", "thing-*"), ("ALLOWED_SIGNING_PROFILES", "Other_2")];
        let tags = Tags(tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect());
        ReleaseRequest::from_tags(&tags, &settings(&over).unwrap(), "2026-11-23T21:40:30Z".parse().unwrap())
    }

    /// The one problem of a release to `lab` with this tag beside.
    fn problem(tag: &str, value: &str) -> String {
        let mut tags = vec![(tag, value)];
        if tag != THING_GROUP {
            tags.push((THING_GROUP, "lab"));
        }
        let problems = request(&tags).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].clone()
    }

    #[test]
    fn a_certificate_that_expires_before_the_end_is_warned_of() {
        let now = "2026-11-23T21:40:30Z".parse().unwrap();
        let warning = |end: &str, valid_until: &str| {
            request(&[(THING_GROUP, "lab"), ("ota:end", end)]).unwrap().outlives(valid_until.parse().unwrap(), now)
        };
        assert_eq!(
            warning("2d", "2026-11-25T22:40:59Z").as_deref(),
            Some("the certificate of the signature expires at 2026-11-25T22:40:59Z, before the job ends")
        );
        assert_eq!(warning("2d", "2026-11-25T22:41:00Z"), None);
        assert_eq!(warning("never", "2026-11-23T22:41:00Z"), None);
        assert!(warning("never", "2026-11-23T22:40:59Z").is_some());
    }

    #[test]
    fn without_further_tags_a_release_is_the_scenario_of_the_aws_sample() {
        let settings = settings(&[]).unwrap();
        let request = request(&[(THING_GROUP, "lab")]).unwrap();
        assert_eq!(request.targets, [Target::ThingGroup("lab".into())]);
        assert_eq!(request.plan.start, "1h".parse().unwrap());
        assert_eq!(request.plan.end, "1h".parse().unwrap());
        assert_eq!(request.retries.to_config().unwrap().criteria_list()[0].number_of_retries(), 3);
        assert_eq!(request.timeout.to_config().in_progress_timeout_in_minutes(), Some(10));
        assert_eq!(request.signing_profile, settings.signing_profile);
        assert_eq!(request.job_id, None);
    }

    #[test]
    fn every_tag_says_what_it_says() {
        let request = request(&[
            (THING_GROUP, "lab eu-west"),
            (THING, "thing-1"),
            (START, "now"),
            (END, "2d"),
            (END_BEHAVIOR, "force-cancel"),
            (RETRIES, "failed:2 timed-out:8"),
            (TIMEOUT, "7d"),
            (SIGNING_PROFILE, "Other_2"),
            (JOB_ID, "spring_24-1"),
        ])
        .unwrap();
        let [lab, eu] = ["lab", "eu-west"].map(|name| Target::ThingGroup(name.into()));
        assert_eq!(request.targets, [lab, eu, Target::Thing("thing-1".into())]);
        assert_eq!((request.plan.start, request.plan.end), ("now".parse().unwrap(), "2d".parse().unwrap()));
        assert_eq!(request.plan.end_behavior, "force-cancel".parse().unwrap());
        assert_eq!(
            request.retries,
            Retries(vec![(RetryableFailureType::Failed, 2), (RetryableFailureType::TimedOut, 8)])
        );
        assert_eq!(request.timeout, Timeout(7 * 24 * 60));
        assert_eq!(request.signing_profile.0, "Other_2");
        assert_eq!(request.job_id.unwrap().to_string(), "AFR_OTA-spring_24-1");
    }

    #[test]
    fn targets_are_arns_of_the_deployment() {
        let settings = settings(&[]).unwrap();
        let arn = |target: Target| target.arn(&settings);
        assert_eq!(arn(Target::ThingGroup("lab".into())), "arn:aws:iot:us-east-1:111122223333:thinggroup/lab");
        assert_eq!(arn(Target::Thing("thing-1".into())), "arn:aws:iot:us-east-1:111122223333:thing/thing-1");
    }

    #[test]
    fn a_bad_value_is_quoted_with_what_was_expected() {
        let names = "names with one space between, none twice, each of letters, digits, `:`, `_` and `-`, such as `lab eu-west`";
        let retries = "a number such as `3` (after all failures), or `timed-out:3`, `failed:2` or both with a space \
                       between, 10 in all at most";
        let start = "`now`, a duration from job creation such as `90m`, `1h` or `1d12h`, or a date and time in UTC such \
                     as `2026-12-01T02:00`";
        let end = "`never`, a duration after the start such as `90m`, `1h` or `1d12h`, or a date and time in UTC such as \
                   `2026-12-01T02:00`";
        let timeout = "a duration of 1 minute to 7 days, such as `10m`";
        let job_id = "1 to 55 letters, digits, `_` and `-`";
        let profile = "the name of a Signer profile: 2 to 64 letters, digits and `_`";
        let long = "x".repeat(56);
        let cases = [
            (THING_GROUP, "", names),
            (THING_GROUP, "lab ", names),
            (THING_GROUP, "lab lab", names),
            (THING_GROUP, "lab/x", names),
            (THING_GROUP, "arn:aws:iot:us-east-1:111122223333:thinggroup/lab", names),
            (THING_GROUP, "lаb", names),
            (THING_GROUP, "../lab", names),
            (THING_GROUP, "prod", "thing groups that this deployment allows"),
            (THING, "camera", "things that this deployment allows"),
            (THING, "thing-1  thing-2", names),
            (START, "soon", start),
            (START, "", start),
            (START, "+1h", start),
            (END, "1h 30m", end),
            (END, "now", end),
            (END_BEHAVIOR, "CANCEL", "`stop-rollout`, `cancel` or `force-cancel`"),
            (RETRIES, "lots", retries),
            (RETRIES, "11", retries),
            (RETRIES, "-1", retries),
            (RETRIES, "", retries),
            (RETRIES, "timed-out:6 failed:5", retries),
            (RETRIES, "failed:1 failed:1", retries),
            (RETRIES, "rejected:1", retries),
            (RETRIES, "3 failed:1", retries),
            (RETRIES, "failed:0 timed-out:0 failed:0", retries),
            (RETRIES, "+3", retries),
            (TIMEOUT, "0m", timeout),
            (TIMEOUT, "7d1m", timeout),
            (TIMEOUT, "10", timeout),
            (TIMEOUT, "90s", timeout),
            (JOB_ID, "", job_id),
            (JOB_ID, "a.b", job_id),
            (JOB_ID, &long, job_id),
            (SIGNING_PROFILE, "a-b", profile),
            (SIGNING_PROFILE, "Unknown", "a signing profile that this deployment allows"),
        ];
        for (tag, value, expected) in cases {
            assert_eq!(problem(tag, value), format!("tag `{tag}` is `{value}`, expected {expected}"));
        }
    }

    #[test]
    fn good_values_at_the_edge_are_taken() {
        let long = "x".repeat(55);
        let cases = [
            (RETRIES, "0"),
            (RETRIES, "10"),
            (RETRIES, "timed-out:5 failed:5"),
            (TIMEOUT, "1m"),
            (TIMEOUT, "10080m"),
            (JOB_ID, &long),
            (START, "31m"),
            (END, "30m"),
            (START, "2026-11-23 22:12"),
            (END, "never"),
        ];
        for (tag, value) in cases {
            assert!(request(&[(THING_GROUP, "lab"), (tag, value)]).is_ok(), "{tag} {value}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems =
            request(&[(START, "soon"), (RETRIES, "lots"), ("ota:thing-grup", "lab"), ("ota:x", "")]).unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert_eq!(problems[0], "tag `ota:thing-grup` is not known, did you mean `ota:thing-group`?");
        assert_eq!(problems[1], "tag `ota:x` is not known");
        assert_eq!(problems[2], "tag `ota:thing-group` is missing, expected the thing groups that get the update");
    }

    #[test]
    fn no_bad_part_of_the_schedule_hides_another() {
        let lab = (THING_GROUP, "lab");
        for (tags, tags_at_fault) in [
            ([lab, (START, "10m"), (END, "yesterday")], [END, START]),
            ([lab, (START, "soon"), (END, "2026-11-23T21:00")], [START, END]),
            ([lab, (START, "10m"), (END_BEHAVIOR, "explode")], [END_BEHAVIOR, START]),
        ] {
            let problems = request(&tags).unwrap_err();
            let at_fault: Vec<_> = problems.iter().filter_map(|problem| problem.split('`').nth(1)).collect();
            assert_eq!(at_fault, tags_at_fault, "{problems:?}");
        }
        // What counts from a start that cannot be read cannot be checked.
        assert_eq!(request(&[lab, (START, "soon"), (END, "10m")]).unwrap_err().len(), 1);
    }

    #[test]
    fn a_misspelt_tag_names_the_nearest_one() {
        let cases = [
            ("ota:retry", RETRIES),
            ("ota:time-out", TIMEOUT),
            ("ota:things", THING),
            ("ota:endbehaviour", END_BEHAVIOR),
            ("ota:Start", START),
            ("ota:signing-profil", SIGNING_PROFILE),
            ("ota:jobid", JOB_ID),
            ("ota:thinggroup", THING_GROUP),
        ];
        for (tag, nearest) in cases {
            assert_eq!(problem(tag, "x"), format!("tag `{tag}` is not known, did you mean `{nearest}`?"));
        }
    }

    #[test]
    fn a_broken_rule_of_the_schedule_is_told_by_the_tag_or_the_setting() {
        assert_eq!(
            problem(START, "10m"),
            "tag `ota:start` is `10m`, which is 10m ahead, expected `now` or at least 31 minutes ahead"
        );
        let over = [("DEFAULT_END", "30m")];
        let tags = [(THING_GROUP, "lab"), (START, "now")].map(|(tag, value)| (tag.to_owned(), value.to_owned()));
        let now = "2026-11-23T21:40:00Z".parse().unwrap();
        assert_eq!(
            ReleaseRequest::from_tags(&Tags(tags.into()), &settings(&over).unwrap(), now).unwrap_err(),
            ["tag `ota:end` is missing and the setting `DEFAULT_END` is 30m ahead, expected at least 31 minutes ahead"]
        );
    }

    #[test]
    fn an_end_behavior_without_an_end_is_refused() {
        let problems = request(&[(THING_GROUP, "lab"), (END, "never"), (END_BEHAVIOR, "cancel")]).unwrap_err();
        assert_eq!(problems, ["tag `ota:end-behavior` is `cancel`, expected no such tag, as the release has no end"]);
        assert_eq!(request(&[(THING_GROUP, "lab"), (END, "never")]).unwrap().plan.end, End::Never);
    }

    #[test]
    fn a_job_takes_a_hundred_targets() {
        let names = |from: usize, to: usize| (from..to).map(|n| format!("thing-{n}")).collect::<Vec<_>>().join(" ");
        let request = |things: &str| request(&[(THING_GROUP, "lab"), (THING, things)]);
        assert_eq!(request(&names(0, 99)).unwrap().targets.len(), 100);
        assert_eq!(request(&names(0, 100)).unwrap_err(), ["the tags name 101 targets, expected at most 100"]);
    }

    #[test]
    fn a_job_has_the_id_that_was_asked_for_or_that_of_the_upload() {
        let upload = Upload::new("b".into(), "firmware/a.bin".into(), "v1".into());
        assert_eq!(request(&[(THING_GROUP, "lab")]).unwrap().job_id(&upload), upload.default_job_id());
        assert_eq!(request(&[(THING_GROUP, "lab"), (JOB_ID, "a-1")]).unwrap().job_id(&upload), "AFR_OTA-a-1");
    }

    #[test]
    fn retries_are_sent_as_they_were_asked_for() {
        let sent = |text: &str| -> Vec<_> {
            let config = text.parse::<Retries>().unwrap().to_config().unwrap();
            let criteria = config.criteria_list().iter();
            criteria.map(|criteria| (criteria.failure_type().clone(), criteria.number_of_retries())).collect()
        };
        let (failed, timed_out) = (RetryableFailureType::Failed, RetryableFailureType::TimedOut);
        assert_eq!(sent("4"), [(RetryableFailureType::All, 4)]);
        assert_eq!(sent("failed:2 timed-out:0"), [(failed, 2), (timed_out, 0)]);
    }

    #[test]
    fn tries_that_do_not_fit_before_the_end_are_warned_of() {
        let now = "2026-11-23T21:40:30Z".parse().unwrap();
        let warnings = |tags: &[(&str, &str)]| request(tags).unwrap().warnings(now);
        assert_eq!(warnings(&[(THING_GROUP, "lab")]), Vec::<String>::new());
        assert_eq!(warnings(&[(THING_GROUP, "lab"), (TIMEOUT, "15m")]), Vec::<String>::new());
        assert_eq!(
            warnings(&[(THING_GROUP, "lab"), (TIMEOUT, "16m")]),
            ["4 tries of 16m each do not fit into the 1h between start and end"]
        );
        assert_eq!(warnings(&[(THING_GROUP, "lab"), (TIMEOUT, "7d"), (END, "never")]), Vec::<String>::new());
    }

    proptest! {
        /// Whatever the tags say, an ARN is made of what may stand in one, and no pattern slips in.
        #[test]
        fn no_value_breaks_out_of_its_arn(group in "[\\PC ]*", thing in "[a-z*?:/ -]*") {
            let open = settings(&[("ALLOWED_THING_GROUPS", "*"), ("ALLOWED_THINGS", "*")]).unwrap();
            let tags = Tags([(THING_GROUP.to_owned(), group), (THING.to_owned(), thing)].into());
            let now = "2026-11-23T21:40:30Z".parse().unwrap();
            for target in ReleaseRequest::from_tags(&tags, &open, now).map(|request| request.targets).unwrap_or_default() {
                let arn = target.arn(&open);
                prop_assert!(!arn.contains(['*', '?', ' ', '$']) && arn.matches('/').count() == 1, "{}", arn);
            }
        }

        #[test]
        fn no_tags_make_the_reader_panic(tag in "\\PC*", value in "\\PC*", which in 0..VOCABULARY.len()) {
            let _ = request(&[(&format!("ota:{tag}"), &value), (VOCABULARY[which], &value)]);
        }
    }
}
