//! What an upload asks for by its tags and, where it is a manifest, by itself: all of it checked, and every problem told at
//! once.

use crate::{
    error::Failure,
    not_released::{NotReleased, RejectionKind},
    options::job::{JobId, JobTemplateId, PackageVersions, Protocols, Retries, TargetSelection, Timeout, UrlExpiry},
    options::job_config::JobConfig,
    options::target::{CommaSeparated, Names, Target, TargetRule},
    request::file::FileRequest,
    request::manifest::Manifest,
    schedule::duration::Minutes,
    schedule::requested::{LeadTime, RequestedSchedule, SchedulePart},
    schedule::times::{End, Start},
    schedule::window::Window,
    settings::Settings,
    tags::{
        END, END_BEHAVIOR, JOB_ID, JOB_TEMPLATE, PACKAGE_VERSION, PROTOCOLS, Place, RETRIES, Reader, Reported, START,
        TARGET_SELECTION, THING, THING_GROUP, TIMEOUT, TIMEZONE, Tags, WINDOW,
    },
    text::spelling::one_of,
    upload::Upload,
};
use aws_sdk_iot::types::{
    MaintenanceWindow, Tag,
    TargetSelection::{Continuous, Snapshot},
};
use jiff::Timestamp;

/// The most targets that one job takes
/// (<https://docs.aws.amazon.com/general/latest/gr/iot_device_management.html>).
const MAX_TARGETS: usize = 100;

/// What there is to read of a release.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The upload.
    pub upload: &'a Upload,
    /// Its tags.
    pub tags: &'a Tags,
    /// What it says, where it is a manifest.
    pub manifest: Option<&'a Manifest>,
    /// What its job template says. Nothing while that is not known: what a job template may say is left open then.
    pub template: Option<&'a JobConfig>,
}

/// A release as its upload asks for it, checked against the settings and every rule of AWS that can be known beforehand.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRequest {
    /// Who gets it: at least one.
    pub targets: Vec<Target>,
    /// When.
    pub plan: RequestedSchedule,
    /// Whether things that come to the targets later get it, too.
    pub target_selection: TargetSelection,
    /// How often a device tries again.
    pub retries: Retries,
    /// How long a device may take.
    pub timeout: Timeout,
    /// How devices fetch it.
    pub protocols: Protocols,
    /// The job's ID, where the tags name it.
    pub job_id: Option<JobId>,
    /// What devices have installed then.
    pub package_versions: Option<PackageVersions>,
    /// What is updated: at least one file.
    pub files: Vec<FileRequest>,
    /// The job template that says what tags and manifest leave open.
    pub job_template: Option<JobTemplateId>,
    /// What the manifest says, and of the job template, once that is known, what the manifest leaves open. The tags go
    /// before it.
    pub config: JobConfig,
    /// What the manifest says.
    pub(crate) of_manifest: JobConfig,
    /// The tags of the job.
    pub job_tags: Vec<Tag>,
    /// The description of the job, where the manifest has one.
    pub description: Option<String>,
    /// How long a presigned URL is good.
    pub url_expiry: UrlExpiry,
}

impl ReleaseRequest {
    /// Checks what an upload asks for, for a job that would be created at `now`. Where the job template that it names is
    /// not known yet, what that may say is left open.
    ///
    /// # Errors
    /// Every problem, each a sentence with the tag or member, its value and what was expected.
    pub fn check(asked: Inputs<'_>, settings: &Settings, now: Timestamp) -> Result<Self, Vec<String>> {
        let Inputs { upload, tags, manifest, template } = asked;
        let mut from = Reader { place: Place::Tags, tags: &tags.0, problems: Vec::new() };
        from.report_unknown();
        let targets = from.targets(upload, settings);
        let job_template = from.tag(JOB_TEMPLATE).map(|named| named.or_else(|| settings.default_job_template.clone()));
        let named = job_template.as_ref().ok().and_then(Option::as_ref);
        let is_open = template.is_none() && named.is_some();
        let of_manifest = manifest.map(|manifest| manifest.config.clone()).unwrap_or_default();
        let config = of_manifest.clone().over(template.cloned().unwrap_or_default());
        let windows_of = if of_manifest.windows.is_empty() {
            named.filter(|_| !config.windows.is_empty()).map(|id| format!("job template `{id}`"))
        } else {
            Some("the manifest".to_owned())
        };
        let windows_of = windows_of.as_deref().map(|whose| (whose, config.windows.as_slice()));
        let schedule = from.schedule(windows_of, is_open, settings, now);
        let retries = from.tag_or(RETRIES, config.retries.as_ref().unwrap_or(&settings.default_retries));
        let timeout = from.tag_or(TIMEOUT, config.timeout.as_ref().unwrap_or(&settings.default_timeout));
        let protocols = from.tag_or(PROTOCOLS, &Protocols::Mqtt);
        let url_expiry = manifest.and_then(|manifest| manifest.url_expiry);
        if url_expiry.is_some() && protocols.is_some_and(|protocols| !protocols.has_http()) {
            from.problems.push(format!("`presignedUrlConfig` is of no use, expected `http` in the tag `{PROTOCOLS}`"));
        }
        let job_id = from.tag(JOB_ID);
        let package_versions = from.tag(PACKAGE_VERSION);
        let files = match manifest {
            None => {
                let prefix = settings.prefix_of(upload);
                from.file(&settings.signing_profile, upload, prefix, 0, settings).map(|file| vec![file])
            }
            Some(manifest) => from.files(upload, manifest, settings),
        };
        let whole = || {
            let (plan, target_selection) = schedule?;
            Some(Self {
                targets,
                plan,
                target_selection,
                retries: retries?,
                timeout: timeout?,
                protocols: protocols?,
                job_id: job_id.ok()?,
                package_versions: package_versions.ok()?,
                files: files?,
                job_template: job_template.ok()?,
                config,
                of_manifest,
                job_tags: manifest.map(|manifest| manifest.tags.clone()).unwrap_or_default(),
                description: manifest.and_then(|manifest| manifest.description.clone()),
                url_expiry: url_expiry.unwrap_or(settings.url_expiry),
            })
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

    /// The `destinationPackageVersions` of CreateJob.
    pub(crate) fn package_arns(&self, settings: &Settings) -> Option<Vec<String>> {
        let others = (!self.config.package_versions.is_empty()).then(|| self.config.package_versions.clone());
        let versions = self.package_versions.as_ref();
        versions.map(|versions| versions.resources().map(|version| settings.iot_arn(version)).collect()).or(others)
    }

    /// What a job template that is not there means: whoever named it must act.
    pub(crate) fn without_template(&self, tags: &Tags, failure: Failure) -> NotReleased {
        match (&self.job_template, tags.0.contains_key(JOB_TEMPLATE)) {
            (Some(template), true) => NotReleased::Rejected(
                RejectionKind::JobTemplate,
                vec![format!(
                    "tag `{JOB_TEMPLATE}` is `{template}`, expected the ID of a job template that AWS IoT has in the \
                 deployment's account and region"
                )],
            ),
            _ => failure.into(),
        }
    }

    /// Where each value comes from that a manifest or a job template may give: a sentence for the log.
    pub(crate) fn origins(&self, tags: &Tags) -> Option<String> {
        type IsIn = fn(&JobConfig) -> bool;
        if self.job_template.is_none() && self.of_manifest == JobConfig::default() {
            return None;
        }
        let template = self.job_template.as_ref().map(|id| format!("job template `{id}`")).unwrap_or_default();
        let origin = |tag: &str, is_in: IsIn, setting: &str| {
            if tags.0.contains_key(tag) {
                format!("`{tag}`")
            } else if is_in(&self.of_manifest) {
                "the manifest".to_owned()
            } else if is_in(&self.config) {
                template.clone()
            } else {
                setting.to_owned()
            }
        };
        let timeout = origin(TIMEOUT, |config| config.timeout.is_some(), "`DEFAULT_TIMEOUT`");
        let retries = origin(RETRIES, |config| config.retries.is_some(), "`DEFAULT_RETRIES`");
        let others: [(_, _, IsIn); 4] = [
            ("rollout rates", "", |config| config.rollout.is_some()),
            ("abort criteria", "", |config| config.abort.is_some()),
            ("maintenance windows", WINDOW, |config| !config.windows.is_empty()),
            ("package versions", PACKAGE_VERSION, |config| !config.package_versions.is_empty()),
        ];
        let others = others.map(|(what, tag, is_in)| {
            let origin = origin(tag, is_in, "");
            if origin.is_empty() { format!("no {what}") } else { format!("{what} ({origin})") }
        });
        let document = self.job_template.as_ref().map(|_| "; the document of the job template is not used");
        Some(format!(
            "time-out {} ({timeout}), retries {} ({retries}), {}{}",
            Minutes(self.timeout.minutes()),
            self.retries,
            others.join(", "),
            document.unwrap_or_default()
        ))
    }

    /// Whether devices may have to check the signature after its certificate has expired: a sentence for the log.
    pub(crate) fn outlives(&self, verified_until: Timestamp, now: Timestamp) -> Option<String> {
        let schedule = self.plan.at(now, LeadTime::WhenCreated).ok()?;
        schedule
            .goes_on_after(verified_until)
            .then(|| format!("the certificate of the signature expires at {verified_until}, before the job ends"))
    }

    /// What is allowed but hardly meant: sentences for the log.
    pub(crate) fn warnings(&self, now: Timestamp) -> Vec<String> {
        let timeout = self.timeout.minutes();
        let tries = self.retries.most() + 1;
        let length = self.plan.at(now, LeadTime::WhenCreated).ok().and_then(|schedule| schedule.length(now));
        let too_short = length.filter(|length| timeout * tries > *length).map(|length| {
            let (timeout, length) = (Minutes(timeout), Minutes(length));
            format!("{tries} tries of {timeout} each do not fit into the {length} between start and end")
        });
        too_short.into_iter().chain(self.plan.opposite_sign(now)).chain(self.plan.clock_changes(now)).collect()
    }
}

impl Reader<'_> {
    fn targets(&mut self, upload: &Upload, settings: &Settings) -> Vec<Target> {
        let before = self.problems.len();
        let folder = settings.folder(&upload.key);
        let groups = self.names(THING_GROUP, folder, &settings.allowed_thing_groups, "thing groups");
        let things = self.names(THING, folder, &settings.allowed_things, "things");
        let groups = groups.into_iter().map(Target::ThingGroup);
        let targets: Vec<_> = groups.chain(things.into_iter().map(Target::Thing)).collect();
        if targets.is_empty() && self.problems.len() == before {
            self.problems
                .push(format!("tag `{THING_GROUP}` is missing, expected the thing groups that get the update"));
        }
        if targets.len() > MAX_TARGETS {
            self.problems.push(format!("the tags name {} targets, expected at most {MAX_TARGETS}", targets.len()));
        }
        targets
    }

    fn names(&mut self, tag: &str, folder: &str, allowed: &CommaSeparated<TargetRule>, what: &str) -> Vec<String> {
        let Ok(Some(Names(names))) = self.tag(tag) else { return Vec::new() };
        let place = if folder.is_empty() { String::new() } else { format!(" for uploads to `{folder}`") };
        let mut patterns = allowed.patterns(folder).peekable();
        let expected = if patterns.peek().is_none() {
            format!("no such tag, as this deployment allows no {what}{place}")
        } else {
            format!("{} ({what} that this deployment allows{place})", one_of(patterns))
        };
        let refused: Vec<_> = names.iter().filter(|name| !allowed.allows(folder, name)).map(String::as_str).collect();
        if !refused.is_empty() {
            self.problem(tag, &refused.join(" "), &expected);
        }
        names
    }

    /// Parts that could not be read are left out, and do not keep the others from being checked; nor does an end by
    /// default that a job template, which is still open, may do away with.
    fn schedule(
        &mut self,
        windows_of: Option<(&str, &[MaintenanceWindow])>,
        is_open: bool,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<(RequestedSchedule, TargetSelection)> {
        let zone = self.tag_or(TIMEZONE, &settings.default_timezone);
        let window: Result<Option<Window>, Reported> = self.tag(WINDOW);
        let selection = self.target_selection(windows_of);
        let has_window = self.tags.contains_key(WINDOW) || windows_of.is_some();
        let is_continuous = selection.as_ref().map_or(has_window, |selection| selection.0 == Continuous);
        let start = self.tag_or(START, &settings.default_start);
        let end = self.tag_or(END, if is_continuous { &End::Never } else { &settings.default_end });
        let end_behavior = self.tag_or(END_BEHAVIOR, &settings.default_end_behavior);
        if end == Some(End::Never)
            && let Some(behavior) = self.tags.get(END_BEHAVIOR)
        {
            let is_said = !is_continuous || self.tags.contains_key(END);
            let why =
                if is_said { "the release has no end" } else { "a continuous release has no end without `ota:end`" };
            self.problem(END_BEHAVIOR, behavior, &format!("no such tag, as {why}"));
        }
        let is_known = |is_utc: bool| is_utc || zone.is_some();
        let known_start = start.filter(|start| !matches!(start, Start::At(time) if !is_known(time.is_utc())));
        let known_end = end.filter(|end| match end {
            End::Never => true,
            _ if is_open && !self.tags.contains_key(END) => false,
            // It counts from the start.
            End::After(_) => known_start.is_some(),
            End::At(time) => is_known(time.is_utc()),
        });
        let known_window = window.as_ref().ok().and_then(Option::as_ref).filter(|window| is_known(window.is_utc()));
        let readable = RequestedSchedule {
            start: known_start.unwrap_or(Start::Now),
            end: known_end.unwrap_or(End::Never),
            end_behavior: end_behavior.unwrap_or(settings.default_end_behavior),
            zone: zone.clone().unwrap_or_else(|| settings.default_timezone.clone()),
            window: known_window.cloned(),
        };
        let mut broken = readable.at(now, LeadTime::WhenChecked).err().unwrap_or_default();
        if known_start.is_none() && (!is_open || self.tags.contains_key(END)) {
            let problem = end.and_then(End::problem_after_any_start);
            broken.extend(problem.map(|problem| (SchedulePart::End, problem)));
        }
        for (part, problem) in broken {
            let tag = match part {
                SchedulePart::Start => START,
                SchedulePart::End => END,
                SchedulePart::Window => WINDOW,
            };
            let problem = self.tags.get(tag).map_or_else(
                || {
                    let setting = format!("DEFAULT_{part}").to_uppercase();
                    format!("tag `{tag}` is missing and the setting `{setting}` is {problem}")
                },
                |value| format!("tag `{tag}` is `{value}`, which is {problem}"),
            );
            self.problems.push(problem);
        }
        if let Some((whose, windows)) = windows_of
            && let Ok(schedule) = readable.at(now, LeadTime::WhenChecked)
            && !schedule.opens(windows, now)
        {
            let [from, to] = [schedule.start_time(), schedule.end_time()];
            let from = from.map_or_else(|| "now".to_owned(), |start| format!("the start at {start}Z"));
            let to = to.map(|end| format!(" and the end at {end}Z")).unwrap_or_default();
            self.problems.push(format!(
                "the maintenance windows of {whose} do not open, expected one that opens {} {from}{to}",
                if to.is_empty() { "after" } else { "between" }
            ));
        }
        Some((readable, selection?))
    }

    /// With maintenance windows, it is continuous.
    fn target_selection(&mut self, windows_of: Option<(&str, &[MaintenanceWindow])>) -> Option<TargetSelection> {
        let is_given = self.tags.contains_key(WINDOW);
        let has_window = is_given || windows_of.is_some();
        let default = TargetSelection(if has_window { Continuous } else { Snapshot });
        let selection = self.tag_or(TARGET_SELECTION, &default)?;
        if has_window && selection.0 == Snapshot {
            let whose =
                windows_of.filter(|_| !is_given).map_or_else(|| format!("`{WINDOW}`"), |(whose, _)| whose.to_owned());
            let expected = format!("`continuous`, as AWS IoT takes maintenance windows ({whose}) of no other jobs");
            self.problem(TARGET_SELECTION, "snapshot", &expected);
            return None;
        }
        Some(selection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::signature::SignatureAlgorithm, options::signature::*, request::file::*, settings::tests::settings,
        tags::*,
    };
    use aws_sdk_iot::types::JobExecutionsRolloutConfig;
    use proptest::prelude::*;

    fn of_tags(
        tags: &Tags,
        template: Option<&JobConfig>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<ReleaseRequest, Vec<String>> {
        let upload = Upload::new("b".into(), "firmware/a.bin".into(), "v1".into());
        ReleaseRequest::check(Inputs { upload: &upload, tags, manifest: None, template }, settings, now)
    }

    fn request(tags: &[(&str, &str)]) -> Result<ReleaseRequest, Vec<String>> {
        let over = [("ALLOWED_THINGS", "thing-*"), ("ALLOWED_SIGNING_PROFILES", "Other_2")];
        let tags = Tags(tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect());
        of_tags(&tags, None, &settings(&over).unwrap(), "2026-11-23T21:40:30Z".parse().unwrap())
    }

    #[test]
    fn an_upload_reaches_what_is_bound_to_its_folder() {
        let bound = settings(&[("ALLOWED_THING_GROUPS", "lab/=lab-*,prod/=prod"), ("ALLOWED_THINGS", "lab/=bench-1")]);
        let bound = bound.unwrap();
        let check = |key: &str, tag: &str, name: &str| {
            let upload = Upload::new("b".into(), key.into(), "v1".into());
            let tags = Tags([(tag.to_owned(), name.to_owned())].into());
            let asked = Inputs { upload: &upload, tags: &tags, manifest: None, template: None };
            let now = "2026-11-23T21:40:30Z".parse().unwrap();
            ReleaseRequest::check(asked, &bound, now).map(|_| ())
        };
        assert_eq!(check("firmware/lab/a.bin", THING_GROUP, "lab-1"), Ok(()));
        assert_eq!(check("firmware/lab/a.bin", THING, "bench-1"), Ok(()));
        assert_eq!(check("firmware/prod/a.bin", THING_GROUP, "prod"), Ok(()));
        for (key, tag, name, what) in [
            (
                "firmware/lab/a.bin",
                THING_GROUP,
                "prod",
                "`lab-*` (thing groups that this deployment allows for uploads to `lab/`)",
            ),
            (
                "firmware/prod/a.bin",
                THING_GROUP,
                "lab-1",
                "`prod` (thing groups that this deployment allows for uploads to `prod/`)",
            ),
            ("firmware/a.bin", THING_GROUP, "prod", "no such tag, as this deployment allows no thing groups"),
            (
                "firmware/prod/a.bin",
                THING,
                "bench-1",
                "no such tag, as this deployment allows no things for uploads to `prod/`",
            ),
        ] {
            let problem = format!("tag `{tag}` is `{name}`, expected {what}");
            assert_eq!(check(key, tag, name), Err(vec![problem]), "{key}");
        }
    }

    #[test]
    fn windows_that_do_not_open_are_rejected() {
        let check = |cron: &str, tags: &[(&str, &str)]| {
            let window = MaintenanceWindow::builder().start_time(cron).duration_in_minutes(60).build().unwrap();
            let config = JobConfig { windows: vec![window], ..JobConfig::default() };
            let tags = [&[(THING_GROUP, "lab"), (JOB_TEMPLATE, "a")], tags].concat();
            let tags = Tags(tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect());
            let now = "2026-11-23T21:40:00Z".parse().unwrap();
            of_tags(&tags, Some(&config), &settings(&[]).unwrap(), now)
                .map(|_| ())
                .map_err(|problems| problems.join("; "))
        };
        let told = |expected: &str| {
            Err(format!("the maintenance windows of job template `a` do not open, expected one that opens {expected}"))
        };
        let (saturdays, gone) = ("cron(0 2 ? * SAT *)", "cron(0 2 * * ? 2020)");
        assert_eq!(check(saturdays, &[]), Ok(()));
        assert_eq!(check(saturdays, &[(END, "5d")]), Ok(()));
        let between = "between the start at 2026-11-23T22:40Z and the end at 2026-11-25T22:40Z";
        assert_eq!(check(saturdays, &[(END, "2d")]), told(between));
        assert_eq!(check(saturdays, &[(END, "2d"), (WINDOW, "daily 02:00 2h")]), Ok(()));
        assert_eq!(check(gone, &[]), told("after the start at 2026-11-23T22:40Z"));
        assert_eq!(check(gone, &[(START, "now")]), told("after now"));
        // What AWS IoT has taken for a template, and is not understood here.
        assert_eq!(check("cron(0 2 L-3 * ? *)", &[(END, "2d")]), Ok(()));
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
        let tags = [(THING_GROUP, "lab"), (WINDOW, "sat 02:00 2h")];
        let first_window = |valid_until: &str| request(&tags).unwrap().outlives(valid_until.parse().unwrap(), now);
        assert_eq!(first_window("2026-11-28T02:00:00Z"), None);
        assert!(first_window("2026-11-28T01:59:59Z").is_some());
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
        assert_eq!(request.files[0].signed_by, SignedBy::Profile(settings.signing_profile));
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
        assert_eq!(request.retries, "failed:2 timed-out:8".parse().unwrap());
        assert_eq!(request.timeout.minutes(), 7 * 24 * 60);
        assert_eq!(request.files[0].signed_by, SignedBy::Profile("Other_2".parse().unwrap()));
        assert_eq!(request.job_id.unwrap().to_string(), "AFR_OTA-spring_24-1");
    }

    #[test]
    fn each_value_is_told_with_where_it_comes_from() {
        let told = |tags: &[(&str, &str)], template: &JobConfig| {
            let tags = tags.iter().chain(&[(THING_GROUP, "lab")]);
            let tags = Tags(tags.map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect());
            let now = "2026-11-23T21:40:30Z".parse().unwrap();
            let request = of_tags(&tags, Some(template), &settings(&[]).unwrap(), now).unwrap();
            request.origins(&tags)
        };
        let window = MaintenanceWindow::builder().start_time("cron(0 2 * * ? *)").duration_in_minutes(60).build();
        let full = JobConfig {
            rollout: Some(JobExecutionsRolloutConfig::builder().maximum_per_minute(10).build()),
            abort: None,
            timeout: Some("30m".parse().unwrap()),
            retries: Some("failed:2 timed-out:1".parse().unwrap()),
            windows: vec![window.unwrap()],
            package_versions: vec!["arn:aws:iot:us-east-1:111122223333:package/a/version/1".to_owned()],
        };
        assert_eq!(told(&[], &JobConfig::default()), None);
        assert_eq!(
            told(&[(JOB_TEMPLATE, "canary")], &full).unwrap(),
            "time-out 30m (job template `canary`), retries failed:2 timed-out:1 (job template `canary`), rollout rates (job \
             template `canary`), no abort criteria, maintenance windows (job template `canary`), package versions (job template \
             `canary`); the document of the job template is not used"
        );
        assert_eq!(
            told(&[(JOB_TEMPLATE, "canary"), (TIMEOUT, "1h"), (WINDOW, "daily 02:00 1h")], &JobConfig::default())
                .unwrap(),
            "time-out 1h (`ota:timeout`), retries timed-out:3 (`DEFAULT_RETRIES`), no rollout rates, no abort criteria, \
             maintenance windows (`ota:window`), no package versions; the document of the job template is not used"
        );
    }

    #[test]
    fn a_job_template_that_is_missing_is_for_whoever_named_it() {
        let failure = || Failure::DescribeJobTemplate { template: "canary".into(), source: "it is not there".into() };
        let now = "2026-11-23T21:40:30Z".parse().unwrap();
        let stop = |tags: &[(&str, &str)], over: &[(&str, &str)]| {
            let tags = Tags(tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect());
            let request = of_tags(&tags, None, &settings(over).unwrap(), now).unwrap();
            request.without_template(&tags, failure())
        };
        let lab = (THING_GROUP, "lab");
        let by_tag = stop(&[lab, (JOB_TEMPLATE, "canary")], &[]);
        assert!(
            matches!(by_tag, NotReleased::Rejected(RejectionKind::JobTemplate, reasons) if reasons[0].starts_with("tag `ota:job-template` is `canary`, "))
        );
        assert!(matches!(stop(&[lab], &[("DEFAULT_JOB_TEMPLATE", "canary")]), NotReleased::Failed(_)));
    }

    #[test]
    fn what_a_job_template_may_change_is_left_open_until_it_is_known() {
        let tags =
            Tags([(THING_GROUP, "lab"), (JOB_TEMPLATE, "a"), (START, "now")].map(|(t, v)| (t.into(), v.into())).into());
        let settings = settings(&[("DEFAULT_END", "30m")]).unwrap();
        let now = "2026-11-23T21:40:00Z".parse().unwrap();
        assert!(of_tags(&tags, None, &settings, now).is_ok());
        let window = MaintenanceWindow::builder().start_time("cron(0 2 * * ? *)").duration_in_minutes(60).build();
        let windows = JobConfig { windows: vec![window.unwrap()], ..JobConfig::default() };
        let request = of_tags(&tags, Some(&windows), &settings, now).unwrap();
        assert_eq!((request.plan.end, request.target_selection.0), (End::Never, Continuous));
        let problems = of_tags(&tags, Some(&JobConfig::default()), &settings, now).unwrap_err();
        assert!(problems[0].contains("`DEFAULT_END` is 30m ahead"), "{problems:?}");
        let snapshot = Tags(tags.0.into_iter().chain([(TARGET_SELECTION.into(), "snapshot".into())]).collect());
        assert_eq!(
            of_tags(&snapshot, Some(&windows), &settings, now).unwrap_err(),
            [
                "tag `ota:target-selection` is `snapshot`, expected `continuous`, as AWS IoT takes maintenance windows (job \
              template `a`) of no other jobs"
            ]
        );
    }

    #[test]
    fn targets_are_arns_of_the_deployment() {
        let settings = settings(&[]).unwrap();
        let arn = |target: Target| settings.iot_arn(target);
        assert_eq!(arn(Target::ThingGroup("lab".into())), "arn:aws:iot:us-east-1:111122223333:thinggroup/lab");
        assert_eq!(arn(Target::Thing("thing-1".into())), "arn:aws:iot:us-east-1:111122223333:thing/thing-1");
    }

    fn assert_told(cases: &[(&str, &str, &str)]) {
        for (tag, value, expected) in cases {
            assert_eq!(problem(tag, value), format!("tag `{tag}` is `{value}`, expected {expected}"));
        }
    }

    #[test]
    fn a_bad_value_is_quoted_with_what_was_expected() {
        let names = "names with one space between, none twice, each of letters, digits, `:`, `_` and `-`, such as `lab eu-west`";
        let retries = "a number such as `3` (after all failures), or `timed-out:3`, `failed:2` or both with a space \
                       between, 10 in all at most";
        let timeout = "a duration of 1 minute to 7 days, such as `10m`";
        let job_id = "1 to 55 letters, digits, `_` and `-`, not ending in 12 hex digits as default IDs do";
        let signing_job = "the ID of a signing job, such as `6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01`";
        let profile = "the name of a Signer profile: 2 to 64 letters, digits and `_`";
        let template = "the ID (not the ARN) of an AWS IoT job template: 1 to 64 letters, digits, `_` and `-`";
        let (long, long_template) = ("x".repeat(56), "x".repeat(65));
        let cases = [
            (THING_GROUP, "", names),
            (THING_GROUP, "lab ", names),
            (THING_GROUP, "lab lab", names),
            (THING_GROUP, "lab/x", names),
            (THING_GROUP, "arn:aws:iot:us-east-1:111122223333:thinggroup/lab", names),
            (THING_GROUP, "lаb", names),
            (THING_GROUP, "../lab", names),
            (THING_GROUP, "prod", "one of `lab`, `eu-*` (thing groups that this deployment allows)"),
            (THING_GROUP, "prod fleet", "one of `lab`, `eu-*` (thing groups that this deployment allows)"),
            (THING, "camera", "`thing-*` (things that this deployment allows)"),
            (THING, "thing-1  thing-2", names),
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
            (TIMEOUT, "", timeout),
            (JOB_TEMPLATE, "", template),
            (JOB_TEMPLATE, "a.b", template),
            (JOB_TEMPLATE, "two words", template),
            (JOB_TEMPLATE, "arn:aws:iot:us-east-1:111122223333:jobtemplate/canary", template),
            (JOB_TEMPLATE, &long_template, template),
            (JOB_ID, "", job_id),
            (JOB_ID, "a.b", job_id),
            (JOB_ID, "blinky-b1ed762f38b1", job_id),
            (JOB_ID, &long, job_id),
            (SIGNING_PROFILE, "a-b", profile),
            (SIGNING_JOB, "latest", signing_job),
            (SIGNING_JOB, "", signing_job),
            (
                SIGNING_PROFILE,
                "Unknown",
                "one of `OtaSigning`, `Other_2` (signing profiles that this deployment allows)",
            ),
        ];
        assert_told(&cases);
    }

    #[test]
    fn a_bad_time_is_quoted_with_what_was_expected() {
        let start = "`now`, a duration from job creation such as `90m`, `1h` or `1d12h`, or a date and time such as \
                     `2026-12-01T02:00` (in `ota:timezone`) or `2026-12-01T02:00Z` (in UTC)";
        let end = "`never`, a duration after the start such as `90m`, `1h` or `1d12h`, or a date and time such as \
                   `2026-12-01T02:00` (in `ota:timezone`) or `2026-12-01T02:00Z` (in UTC)";
        let zone = "the IANA name of a time zone such as `Europe/Berlin`";
        let cases = [
            (START, "soon", start),
            (START, "", start),
            (START, "+1h", start),
            (END, "1h 30m", end),
            (END, "now", end),
            (
                START,
                "2026-12-01T02:00+01:00",
                "no offset: write `2026-12-01T01:00Z`, or `2026-12-01T02:00` and its zone in `ota:timezone`",
            ),
            (
                START,
                "2026-12-01 02:00-0530",
                "no offset: write `2026-12-01T07:30Z`, or `2026-12-01 02:00` and its zone in `ota:timezone`",
            ),
            (
                START,
                "2026-12-01T02:00 01:00",
                "no offset (its `+` was read as a space, and would be written `%2B`): write `2026-12-01T01:00Z`, or \
                 `2026-12-01T02:00` and its zone in `ota:timezone`",
            ),
            (START, "Now", "`now`"),
            (START, "now ", "`now`"),
            (START, "1H", "`1h`"),
            (START, "90m ", "`90m`"),
            (END, "NEVER", "`never`"),
            (END, " 2026-12-01T02:00Z", "`2026-12-01T02:00Z`"),
            (END, "2026-12-01T02:00Z ", "`2026-12-01T02:00Z`"),
            (START, "2026-12-01T02:00 UTC", "`2026-12-01T02:00Z`"),
            (START, "2026-02-29T02:00", "a date and time that exist: 2026-02 has 28 days"),
            (START, " 90m", "`90m`, without the `+` that was read as a space"),
            (END, " 90m", "`90m`, without the `+` that was read as a space"),
            (
                END,
                "2026-12-01T02:00 01",
                "no offset (its `+` was read as a space, and would be written `%2B`): write `2026-12-01T01:00Z`, or \
                 `2026-12-01T02:00` and its zone in `ota:timezone`",
            ),
            (START, "2026-12-01T02:00+1:00", start),
            (START, "2026-12-01T02:00:30Z", "whole minutes, such as `2026-12-01T02:00Z`"),
            (TIMEZONE, "", zone),
            (TIMEZONE, "Europe", zone),
            (TIMEZONE, "Factory", zone),
            (
                TIMEZONE,
                "GMT+2",
                "the IANA name of a time zone such as `Europe/Berlin`; UTC+02:00 all year is `Etc/GMT-2`, whose sign is the \
                 opposite one",
            ),
            (TIMEZONE, "Etc/Unknown", "the IANA name of a time zone such as `Europe/Berlin`"),
            (
                TIMEZONE,
                "Europe/Berln",
                "the IANA name of a time zone such as `Europe/Berlin`, did you mean `Europe/Berlin`?",
            ),
            (
                TIMEZONE,
                "America/New York",
                "the IANA name of a time zone such as `Europe/Berlin`, did you mean `America/New_York`?",
            ),
            (TIMEZONE, "Etc/GMT 5", "`Etc/GMT+5`: its `+` was read as a space, write it as `%2B`"),
            (END_BEHAVIOR, "CANCEL", "`stop-rollout`, `cancel` or `force-cancel`"),
        ];
        assert_told(&cases);
    }

    #[test]
    fn a_bad_window_is_quoted_with_what_was_expected() {
        let window = "`<days> <HH:MM> <duration>` such as `daily 02:00 2h`, `mon-fri 22:30 90m`, `sat/sun 01:00Z 4h` or \
                      `day-1/day-15 03:00 2h`, the duration from `1m` to `23h50m`";
        let cases = [
            (WINDOW, "", window),
            (WINDOW, "daily", window),
            (WINDOW, "02:00 2h", window),
            (WINDOW, "daily 2:00 2h", window),
            (WINDOW, "daily T0200 2h", window),
            (WINDOW, "daily 24:00 2h", window),
            (WINDOW, "daily 02:00:30 2h", window),
            (WINDOW, "daily 02:00 0m", window),
            (WINDOW, "daily 02:00 23h51m", window),
            (WINDOW, "daily  02:00 2h", window),
            (WINDOW, "Mon 02:00 2h", window),
            (WINDOW, "monday 02:00 2h", window),
            (WINDOW, "mon/ 02:00 2h", window),
            (WINDOW, "mon-mon 02:00 2h", window),
            (WINDOW, "mon-wed-fri 02:00 2h", window),
            (WINDOW, "daily/mon 02:00 2h", window),
            (WINDOW, "day-0 02:00 2h", window),
            (WINDOW, "day-32 02:00 2h", window),
            (WINDOW, "day-+1 02:00 2h", window),
            (WINDOW, "day- 02:00 2h", window),
            (WINDOW, "day-1-5 02:00 2h", window),
            (WINDOW, "day-1/mon 02:00 2h", window),
            (WINDOW, "mon/day-1 02:00 2h", window),
            (
                WINDOW,
                "sat/sun 02:00+01:00 2h",
                "no offset: write `sat/sun 01:00Z 2h`, or `sat/sun 02:00 2h` and its zone in `ota:timezone`",
            ),
            (
                WINDOW,
                "sat/sun 22:00-0530 2h",
                "no offset: write `sun/mon 03:30Z 2h`, or `sat/sun 22:00 2h` and its zone in `ota:timezone`",
            ),
            (
                WINDOW,
                "daily 00:30+01 2h",
                "no offset: write `daily 23:30Z 2h`, or `daily 00:30 2h` and its zone in `ota:timezone`",
            ),
            (WINDOW, "day-1 00:30+01 2h", "no offset: write `day-1 00:30 2h` and its zone in `ota:timezone`"),
            (
                WINDOW,
                "mon-fri 00:30 01:00 2h",
                "no offset (its `+` was read as a space, and would be written `%2B`): write \
                 `sun/mon/tue/wed/thu 23:30Z 2h`, or `mon-fri 00:30 2h` and its zone in `ota:timezone`",
            ),
        ];
        assert_told(&cases);
    }

    #[test]
    fn a_bad_option_is_quoted_with_what_was_expected() {
        let selection = "`snapshot` or `continuous`";
        let protocols = "`mqtt`, `http` or `mqtt http`";
        let versions = "`package:version`, up to 25 with one space between and each package once, of letters, digits, `.`, \
                        `_` and `-` (no `+`): up to 128 for a package and 64 for a version, such as `blinky:1.2.0`";
        let path = "1 to 64 letters, digits, `.`, `_`, `/` and `-`, such as `/app/blinky.bin`";
        let long_path = "x".repeat(65);
        let (long_package, long_version) = (format!("{}:1", "x".repeat(129)), format!("x:{}", "1".repeat(65)));
        let many = (0..26).map(|package| format!("p{package}:1")).collect::<Vec<_>>().join(" ");
        let cases = [
            (TARGET_SELECTION, "CONTINUOUS", selection),
            (TARGET_SELECTION, "", selection),
            (PROTOCOLS, "", protocols),
            (PROTOCOLS, "HTTP", protocols),
            (PROTOCOLS, "mqtt mqtt", protocols),
            (PROTOCOLS, "mqtt  http", protocols),
            (PROTOCOLS, "coap", protocols),
            (PACKAGE_VERSION, "", versions),
            (PACKAGE_VERSION, "blinky", versions),
            (PACKAGE_VERSION, "blinky:", versions),
            (PACKAGE_VERSION, ":1", versions),
            (PACKAGE_VERSION, "blinky:1:2", versions),
            (PACKAGE_VERSION, "blinky:1.2.0 build5", versions),
            (PACKAGE_VERSION, "blinky:1.2.0+build5", versions),
            (PACKAGE_VERSION, "blinky:1 blinky:2", versions),
            (PACKAGE_VERSION, "..:1", versions),
            (PACKAGE_VERSION, "blinky:.", versions),
            (PACKAGE_VERSION, "blinky:1  radio:2", versions),
            (PACKAGE_VERSION, &long_package, versions),
            (PACKAGE_VERSION, &long_version, versions),
            (PACKAGE_VERSION, &many, versions),
            (FILE_PATH, "", path),
            (FILE_PATH, "a b", path),
            (FILE_PATH, "größe", path),
            (FILE_PATH, &long_path, path),
            (FILE_TYPE, "", "a number from 0 to 255"),
            (FILE_TYPE, "256", "a number from 0 to 255"),
            (FILE_TYPE, "-1", "a number from 0 to 255"),
            (FILE_TYPE, "+1", "a number from 0 to 255"),
        ];
        assert_told(&cases);
    }

    #[test]
    fn good_values_at_the_edge_are_taken() {
        let (long, long_path, long_template) = ("x".repeat(55), "x".repeat(64), "x".repeat(64));
        let (long_package, long_version) = (format!("{}:1", "x".repeat(128)), format!("x:{}", "1".repeat(64)));
        let many = (0..25).map(|package| format!("p{package}:1")).collect::<Vec<_>>().join(" ");
        let long_name = format!("eu-{}", "x".repeat(125));
        let cases = [
            (THING_GROUP, "lab eu-west eu-"),
            (THING_GROUP, &long_name),
            (THING, "thing-1 thing-a:b_c"),
            (END_BEHAVIOR, "stop-rollout"),
            (END_BEHAVIOR, "cancel"),
            (END_BEHAVIOR, "force-cancel"),
            (SIGNING_PROFILE, "OtaSigning"),
            (SIGNING_PROFILE, "Other_2"),
            (RETRIES, "timed-out:0 failed:0"),
            (TIMEZONE, "Europe/Berlin"),
            (TIMEZONE, "UTC"),
            (TIMEZONE, "Etc/GMT+5"),
            (TIMEZONE, "America/Argentina/Buenos_Aires"),
            (WINDOW, "daily 00:00 1m"),
            (WINDOW, "daily 02:00:00 2h"),
            (WINDOW, "daily 02:00:00.000z 2h"),
            (WINDOW, "fri-mon 23:59Z 23h50m"),
            (WINDOW, "day-1/day-31 02:00 23h50m"),
            (TARGET_SELECTION, "snapshot"),
            (PROTOCOLS, "mqtt"),
            (PROTOCOLS, "http"),
            (PROTOCOLS, "mqtt http"),
            (PROTOCOLS, "http mqtt"),
            (TARGET_SELECTION, "continuous"),
            (PACKAGE_VERSION, "blinky:1.2.0"),
            (PACKAGE_VERSION, "a-b_c.d:1 radio:2.0-rc.1"),
            (PACKAGE_VERSION, &long_package),
            (PACKAGE_VERSION, &long_version),
            (PACKAGE_VERSION, &many),
            (FILE_PATH, "/"),
            (FILE_PATH, &long_path),
            (FILE_TYPE, "0"),
            (FILE_TYPE, "255"),
            (RETRIES, "0"),
            (RETRIES, "10"),
            (RETRIES, "timed-out:5 failed:5"),
            (TIMEOUT, "1m"),
            (TIMEOUT, "10080m"),
            (JOB_TEMPLATE, "canary_2-a"),
            (JOB_TEMPLATE, &long_template),
            (SIGNING_JOB, "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01"),
            (JOB_ID, &long),
            (START, "31m"),
            (END, "30m"),
            (START, "2026-11-23 22:12"),
            (END, "never"),
        ];
        for (tag, value) in cases {
            // A tag that comes again goes before.
            assert!(request(&[(THING_GROUP, "lab"), (tag, value)]).is_ok(), "{tag} {value}");
        }
        let elsewhere = [SIGNATURE, SIGNATURE_ALGORITHM, CERTIFICATE];
        let is_tried = |tag| elsewhere.contains(tag) || cases.iter().any(|(known, _)| known == tag);
        assert!(VOCABULARY.iter().all(is_tried), "each tag is tried");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems =
            request(&[(START, "soon"), (RETRIES, "lots"), ("ota:thing-grup", "lab"), ("ota:x", "")]).unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert_eq!(problems[0], "tag `ota:thing-grup` is not known, did you mean `ota:thing-group`?");
        assert!(
            problems[1].starts_with("tag `ota:x` is not known, expected one of `ota:thing-group`, "),
            "{problems:?}"
        );
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
        // What counts from a start that cannot be read cannot be checked, unless it is too short for any.
        for (start, end, expected) in [
            ("soon", "30m", 1),
            ("soon", "5m", 2),
            ("5m", "5m", 2),
            ("5m", "30m", 1),
            ("2027-03-28T02:30", "29m", 2),
            ("soon", "never", 1),
        ] {
            let berlin = (TIMEZONE, "Europe/Berlin");
            let problems = request(&[lab, berlin, (START, start), (END, end)]).unwrap_err();
            assert_eq!(problems.len(), expected, "{problems:?}");
            let short = format!(
                "tag `ota:end` is `{end}`, which is {end} after the start, expected at least 30 minutes after it"
            );
            assert!(expected == 1 || problems[1] == short, "{problems:?}");
        }
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
            ("ota:protocol", PROTOCOLS),
            ("ota:signingjob", SIGNING_JOB),
            ("ota:signatur", SIGNATURE),
            ("ota:signature_algorithm", SIGNATURE_ALGORITHM),
            ("ota:certfile", CERTIFICATE),
            ("ota:template", JOB_TEMPLATE),
            ("ota:jobtemplate", JOB_TEMPLATE),
            ("ota:ends", END),
            ("ota:time-zone", TIMEZONE),
            ("ota:windows", WINDOW),
            ("ota:targetselection", TARGET_SELECTION),
            ("ota:package_version", PACKAGE_VERSION),
            ("ota:filepath", FILE_PATH),
            ("ota:file-typ", FILE_TYPE),
        ];
        assert!(VOCABULARY.iter().all(|tag| cases.iter().any(|(_, nearest)| nearest == tag)), "each tag is named");
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
            of_tags(&Tags(tags.into()), None, &settings(&over).unwrap(), now).unwrap_err(),
            ["tag `ota:end` is missing and the setting `DEFAULT_END` is 30m ahead, expected at least 31 minutes ahead"]
        );
    }

    #[test]
    fn what_is_signed_is_not_signed_again() {
        let job = (SIGNING_JOB, "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01");
        let signed_by = request(&[(THING_GROUP, "lab"), job]).unwrap().files.remove(0).signed_by;
        assert_eq!(signed_by, SignedBy::SigningJob(job.1.parse().unwrap()));
        assert_eq!(
            request(&[(THING_GROUP, "lab"), job, (SIGNING_PROFILE, "Other_2")]).unwrap_err(),
            ["tag `ota:signing-profile` is `Other_2`, expected no such tag beside `ota:signing-job`"]
        );
    }

    /// By OpenSSL, with a P-256 key.
    const ECDSA: &str =
        "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";

    fn unverified(tags: &[(&str, &str)]) -> Result<SignedBy, Vec<String>> {
        let over = [("ALLOW_UNVERIFIED", "true")];
        let tags = tags.iter().chain(&[(THING_GROUP, "lab")]).map(|(tag, value)| ((*tag).into(), (*value).into()));
        let now = "2026-11-23T21:40:30Z".parse().unwrap();
        let request = of_tags(&Tags(tags.collect()), None, &settings(&over).unwrap(), now);
        request.map(|request| request.files[0].signed_by.clone())
    }

    #[test]
    fn a_signature_may_be_made_elsewhere() {
        let certificate = (CERTIFICATE, "Code Verify Key");
        let custom =
            |signature| SignedBy::Custom(CustomSigning { signature, cert_file: CertFile(certificate.1.to_owned()) });
        let inline = |text: &str, algorithm| custom(CustomSignature::Inline(text.to_owned(), algorithm));
        let default = inline(ECDSA, SignatureAlgorithm::Sha256WithEcdsa);
        assert_eq!(unverified(&[(SIGNATURE, ECDSA), certificate]), Ok(default));
        let sha1 = (SIGNATURE_ALGORITHM, "SHA1withECDSA");
        let other = inline(ECDSA, SignatureAlgorithm::Sha1WithEcdsa);
        assert_eq!(unverified(&[(SIGNATURE, ECDSA), sha1, certificate]), Ok(other));
        assert_eq!(unverified(&[(SIGNATURE, ".sig"), certificate]), Ok(custom(CustomSignature::Beside)));
        // As it comes by `x-amz-tagging`, not encoded.
        let plus = "MEQCIAz78v/+Zg4hOkHXhRZbVxrTPNj0uCg9q7iOzVf9AiAMAiAB+AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==";
        let spaced = plus.replace('+', " ");
        assert_eq!(unverified(&[(SIGNATURE, &spaced), certificate]), unverified(&[(SIGNATURE, plus), certificate]));
    }

    #[test]
    fn a_signature_that_was_made_elsewhere_and_is_of_no_use_is_refused() {
        let certificate = (CERTIFICATE, "cert.pem");
        let signature = (SIGNATURE, ECDSA);
        let expected = "; expected one in base64, or `.sig` for that in the object beside the image";
        let path = "the path of the certificate on the device: 1 to 64 letters, digits, spaces, `+`, `-`, `=`, `.`, `_`, \
                    `:`, `/` and `@`, such as `/certs/cert.pem`";
        let long = "x".repeat(65);
        let cases: [(&[(&str, &str)], String); 14] = [
            (&[(SIGNATURE, ""), certificate], format!("tag `ota:signature` is no signature by SHA256withECDSA: its 0 bytes are no ECDSA signature in DER{expected}")),
            (&[(SIGNATURE, "sig"), certificate], format!("tag `ota:signature` is no signature by SHA256withECDSA: it is not base64{expected}")),
            (&[(SIGNATURE, "AAAA"), certificate], format!("tag `ota:signature` is no signature by SHA256withECDSA: its 3 bytes are no ECDSA signature in DER{expected}")),
            (
                &[signature, (SIGNATURE_ALGORITHM, "SHA256withRSA"), certificate],
                format!("tag `ota:signature` is no signature by SHA256withRSA: it has 71 bytes, an RSA signature has 256, 384 or 512{expected}"),
            ),
            (
                &[signature, (SIGNATURE_ALGORITHM, "ECDSA"), certificate],
                "tag `ota:signature-algorithm` is `ECDSA`, expected `SHA256withECDSA`, `SHA256withRSA`, `SHA1withECDSA` or \
                 `SHA1withRSA`"
                    .into(),
            ),
            (
                &[signature],
                "tag `ota:certificate` is missing, expected the path of the certificate on the device beside `ota:signature`"
                    .into(),
            ),
            (&[signature, (CERTIFICATE, "")], format!("tag `ota:certificate` is ``, expected {path}")),
            (&[signature, (CERTIFICATE, "zertifikät")], format!("tag `ota:certificate` is `zertifikät`, expected {path}")),
            (&[signature, (CERTIFICATE, &long)], format!("tag `ota:certificate` is `{long}`, expected {path}")),
            (&[certificate], "tag `ota:certificate` is `cert.pem`, expected no such tag without `ota:signature`".into()),
            (
                &[(SIGNATURE_ALGORITHM, "SHA1withRSA")],
                "tag `ota:signature-algorithm` is `SHA1withRSA`, expected no such tag without `ota:signature`".into(),
            ),
            (
                &[(SIGNATURE, ".sig"), certificate, (SIGNATURE_ALGORITHM, "SHA1withRSA")],
                "tag `ota:signature-algorithm` is `SHA1withRSA`, expected no such tag, as the object beside the image tells it"
                    .into(),
            ),
            (
                &[signature, certificate, (SIGNING_PROFILE, "OtaSigning")],
                "tag `ota:signing-profile` is `OtaSigning`, expected no such tag beside `ota:signature`".into(),
            ),
            (
                &[signature, certificate, (SIGNING_JOB, "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01")],
                "tag `ota:signing-job` is `6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01`, expected no such tag beside `ota:signature`"
                    .into(),
            ),
        ];
        for (tags, problem) in cases {
            assert_eq!(unverified(tags).unwrap_err(), [problem], "{tags:?}");
        }
        assert_eq!(
            request(&[(THING_GROUP, "lab"), signature, certificate]).unwrap_err(),
            [
                "tag `ota:signature` is not allowed in this deployment, as nothing verifies it; an operator may allow it with \
              `ALLOW_UNVERIFIED=true` (parameter `AllowUnverified`)"
            ]
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
    fn windows_and_continuous_releases_have_no_end_unless_a_tag_says_so() {
        let lab = (THING_GROUP, "lab");
        let window = (WINDOW, "daily 02:00 2h");
        for tags in [
            vec![lab, window],
            vec![lab, (TARGET_SELECTION, "continuous")],
            vec![lab, window, (TARGET_SELECTION, "continuous")],
        ] {
            let request = request(&tags).unwrap();
            assert_eq!((request.plan.end, &request.target_selection.0), (End::Never, &Continuous), "{tags:?}");
            assert_eq!(request.plan.start, "1h".parse().unwrap());
        }
        let ends = request(&[lab, window, (END, "2d")]).unwrap().plan.end;
        assert_eq!(ends, "2d".parse().unwrap());
        let snapshot = request(&[lab, (TARGET_SELECTION, "snapshot")]).unwrap();
        assert_eq!((snapshot.plan.end, snapshot.target_selection.0), ("1h".parse().unwrap(), Snapshot));

        for tag in [window, (TARGET_SELECTION, "continuous")] {
            assert_eq!(
                request(&[lab, tag, (END_BEHAVIOR, "cancel")]).unwrap_err(),
                [
                    "tag `ota:end-behavior` is `cancel`, expected no such tag, as a continuous release has no end without `ota:end`"
                ]
            );
            assert!(request(&[lab, tag, (END_BEHAVIOR, "cancel"), (END, "2d")]).is_ok());
        }
    }

    #[test]
    fn windows_are_refused_for_a_snapshot_and_where_none_opens() {
        let lab = (THING_GROUP, "lab");
        assert_eq!(
            request(&[lab, (WINDOW, "daily 02:00 2h"), (TARGET_SELECTION, "snapshot")]).unwrap_err(),
            ["tag `ota:target-selection` is `snapshot`, expected `continuous`, as AWS IoT takes maintenance windows \
              (`ota:window`) of no other jobs"]
        );
        assert_eq!(
            request(&[lab, (WINDOW, "sat 02:00 2h"), (END, "2d")]).unwrap_err(),
            [
                "tag `ota:window` is `sat 02:00 2h`, which is not open before 2026-11-28T02:00Z, expected a window that opens \
              before the end at 2026-11-25T22:41Z"
            ]
        );
    }

    #[test]
    fn a_local_time_is_that_of_the_tag_or_the_setting() {
        let over = [("DEFAULT_TIMEZONE", "America/New_York")];
        let start = |tags: &[(&str, &str)]| {
            let lab = [(THING_GROUP, "lab")];
            let tags = tags.iter().chain(&lab).map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned()));
            let now = "2026-11-23T21:40:30Z".parse().unwrap();
            let request = of_tags(&Tags(tags.collect()), None, &settings(&over).unwrap(), now).unwrap();
            request.plan.at(now, LeadTime::WhenChecked).unwrap().start_time().unwrap()
        };
        let at = (START, "2026-12-01T02:00");
        assert_eq!(start(&[at]), "2026-12-01T07:00");
        assert_eq!(start(&[at, (TIMEZONE, "Europe/Berlin")]), "2026-12-01T01:00");
        assert_eq!(start(&[(START, "2026-12-01T02:00Z")]), "2026-12-01T02:00");
        assert_eq!(
            request(&[(THING_GROUP, "lab"), (START, "2027-03-28 02:30"), (TIMEZONE, "Europe/Berlin")]).unwrap_err(),
            ["tag `ota:start` is `2027-03-28 02:30`, which is skipped by the clocks of `Europe/Berlin`, expected \
              `2027-03-28T00:30Z` or `2027-03-28T01:30Z`, whichever is meant"]
        );
    }

    #[test]
    fn what_depends_on_a_zone_that_cannot_be_read_is_not_judged() {
        let lab = (THING_GROUP, "lab");
        let zone = (TIMEZONE, "Mars/Phobos");
        let at_fault = |tags: &[(&str, &str)]| {
            let problems = request(tags).unwrap_err();
            problems.iter().filter_map(|problem| problem.split('`').nth(1)).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(at_fault(&[lab, zone, (START, "2020-01-01T00:00")]), [TIMEZONE]);
        assert_eq!(at_fault(&[lab, zone, (START, "2020-01-01T00:00Z")]), [TIMEZONE, START]);
        assert_eq!(at_fault(&[lab, zone, (END, "2020-01-01T00:00")]), [TIMEZONE]);
        assert_eq!(at_fault(&[lab, zone, (END, "10m")]), [TIMEZONE, END]);
        assert_eq!(at_fault(&[lab, zone, (WINDOW, "always"), (RETRIES, "lots")]), [TIMEZONE, WINDOW, RETRIES]);
        assert_eq!(at_fault(&[lab, zone, (WINDOW, "sat 02:00 2h"), (END, "2d")]), [TIMEZONE]);
        assert_eq!(at_fault(&[lab, zone, (WINDOW, "sat 02:00Z 2h"), (END, "2d")]), [TIMEZONE, WINDOW]);
        assert_eq!(
            at_fault(&[lab, (START, "soon"), (END_BEHAVIOR, "x"), (WINDOW, "sat 02:00 2h"), (END, "2026-11-24 00:00")]),
            [START, END_BEHAVIOR, WINDOW]
        );
        assert_eq!(
            at_fault(&[lab, (TARGET_SELECTION, "some"), (END_BEHAVIOR, "cancel"), (END, "never")]),
            [TARGET_SELECTION, END_BEHAVIOR]
        );
        assert_eq!(at_fault(&[lab, (TARGET_SELECTION, "some"), (END_BEHAVIOR, "cancel")]), [TARGET_SELECTION]);
    }

    #[test]
    fn package_versions_are_arns_of_the_deployment() {
        let settings = settings(&[]).unwrap();
        let request = request(&[(THING_GROUP, "lab"), (PACKAGE_VERSION, "blinky:1.2.0 radio:2.0-rc.1")]).unwrap();
        assert_eq!(
            request.package_arns(&settings).unwrap(),
            [
                "arn:aws:iot:us-east-1:111122223333:package/blinky/version/1.2.0",
                "arn:aws:iot:us-east-1:111122223333:package/radio/version/2.0-rc.1"
            ]
        );
    }

    #[test]
    fn a_zone_whose_name_has_the_opposite_sign_is_warned_of_where_it_is_used() {
        let now = "2026-11-23T21:40:30Z".parse().unwrap();
        let warnings = |zone: &str, tags: &[(&str, &str)]| {
            let tags = tags.iter().chain(&[(THING_GROUP, "lab")]);
            let tags = tags.map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
            of_tags(&Tags(tags), None, &settings(&[("DEFAULT_TIMEZONE", zone)]).unwrap(), now).unwrap().warnings(now)
        };
        let (start, end, window) = ((START, "2026-12-01T02:00"), (END, "2026-12-02 02:00"), (WINDOW, "daily 02:00 2h"));
        let is = "`Etc/GMT+2` is UTC-02:00, by the opposite of its sign: the";
        let local = |day: u8| format!("2026-12-0{day}T02:00-02:00[Etc/GMT+2], which is 2026-12-0{day}T04:00Z");
        assert_eq!(warnings("Etc/GMT+2", &[start, end]), [format!("{is} start is {}", local(1))]);
        assert_eq!(warnings("Etc/GMT+2", &[end]), [format!("{is} end is {}", local(2))]);
        let first = "2026-11-24T02:00-02:00[Etc/GMT+2], which is 2026-11-24T04:00Z";
        assert_eq!(warnings("Etc/GMT+2", &[window, (START, "1h")]), [format!("{is} first window is {first}")]);
        for tags in [
            &[][..],
            &[(START, "2026-12-01T02:00Z")],
            &[(START, "now"), (END, "2d")],
            &[(WINDOW, "daily 02:00Z 2h"), (END, "2026-12-02 02:00Z")],
        ] {
            assert_eq!(warnings("Etc/GMT+2", tags), Vec::<String>::new(), "{tags:?}");
        }
        for zone in ["UTC", "Etc/GMT+0", "GMT0", "EST", "America/Panama"] {
            assert_eq!(warnings(zone, &[start, end, window]), Vec::<String>::new(), "{zone}");
        }
    }

    #[test]
    fn a_change_of_the_clocks_is_warned_of() {
        let now = "2026-11-23T21:40:30Z".parse().unwrap();
        let tags = [(THING_GROUP, "lab"), (WINDOW, "daily 02:00 2h"), (TIMEZONE, "Europe/Berlin")];
        let warnings = request(&tags).unwrap().warnings(now);
        assert!(warnings.len() == 1 && warnings[0].contains("go forward by 1h on 2027-03-28"), "{warnings:?}");
    }

    /// What AWS IoT is given for a row of the README's table, or why it is not.
    fn told(tags: &[(&str, &str)]) -> String {
        let now = "2026-11-23T21:40:00Z".parse().unwrap();
        let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned()));
        let request = match of_tags(&Tags(tags.collect()), None, &settings(&[]).unwrap(), now) {
            Ok(request) => request,
            Err(problems) => return format!("rejected: {}", problems.join("; ")),
        };
        let Some(schedule) = request.plan.at(now, LeadTime::WhenChecked).unwrap().to_config(&[]).unwrap() else {
            return "no schedule".to_owned();
        };
        let times = [("startTime", schedule.start_time()), ("endTime", schedule.end_time())];
        let times = times.into_iter().filter_map(|(name, time)| Some(format!("`{name}={}`", time?)));
        let windows = schedule.maintenance_windows().iter();
        let windows =
            windows.map(|window| format!("`{}` {} minutes", window.start_time(), window.duration_in_minutes()));
        times.chain(windows).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_schedules_of_the_readme_come_to_what_it_says() {
        let readme = include_str!("../../README.md");
        let section = readme.split("\n### Schedules\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| `ota:")).collect();
        assert!(rows.len() >= 20, "{rows:?}");
        for row in rows {
            let cells: Vec<_> = row.trim_matches(['|', ' ']).split(" | ").collect();
            let [tags, expected] = cells[..] else { panic!("{row}") };
            let tags = tags.split('`').skip(1).step_by(2).map(|tag| tag.split_once('=').unwrap());
            let tags: Vec<_> = tags.chain([(THING_GROUP, "lab")]).collect();
            assert_eq!(told(&tags), expected, "{row}");
        }
    }

    /// The rows of the README's table of tags: the tag, its values, and what holds without it.
    fn rows_of_the_readme() -> Vec<[&'static str; 3]> {
        let table = include_str!("../../README.md").split("\n| tag | value | without it |\n").nth(1).unwrap();
        let rows = table.lines().skip(1).take_while(|line| line.starts_with("| "));
        rows.map(|row| row.trim_matches(['|', ' ']).split(" | ").collect::<Vec<_>>().try_into().unwrap()).collect()
    }

    fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    #[test]
    fn the_readme_has_a_row_for_every_tag() {
        let tags: Vec<_> = rows_of_the_readme().into_iter().map(|[tag, ..]| tag.trim_matches('`')).collect();
        assert_eq!(tags, VOCABULARY);
    }

    #[test]
    fn the_values_in_the_readme_are_taken() {
        // What the table quotes besides: letters, and the form of a window.
        let no_values = ["T", "Z", "/", ".", "_", "-", "AFR_OTA-", "<days> <HH:MM> <duration>", "AllowUnverified"];
        let custom = [(SIGNATURE, ".sig"), (CERTIFICATE, "cert.pem")];
        let mut taken = 0;
        for [tag, values, _] in rows_of_the_readme() {
            let tag = tag.trim_matches('`');
            let is_value = |value: &&str| !no_values.contains(value) && !VOCABULARY.contains(value);
            for value in in_backticks(values).filter(is_value) {
                let value = match (tag, value.parse::<Minutes>()) {
                    (WINDOW, Ok(_)) => format!("daily 02:00 {value}"),
                    (WINDOW, Err(_)) => format!("{value} 02:00 1h"),
                    _ => value.to_owned(),
                };
                let taken_well = match tag {
                    SIGNATURE_ALGORITHM => value.parse::<SignatureAlgorithm>().is_ok(),
                    SIGNATURE | CERTIFICATE => {
                        let beside = custom.into_iter().filter(|(other, _)| *other != tag);
                        unverified(&beside.chain([(tag, value.as_str())]).collect::<Vec<_>>()).is_ok()
                    }
                    _ => request(&[(THING_GROUP, "lab"), (tag, &value)]).is_ok(),
                };
                assert!(taken_well, "{tag} {value}");
                taken += 1;
            }
        }
        assert!(taken > 25, "{taken}");
    }

    #[test]
    fn the_defaults_in_the_readme_are_those_of_the_code() {
        let lab = (THING_GROUP, "lab");
        let silent = request(&[lab]).unwrap();
        let settings = settings(&[]).unwrap();
        // Where no value of the tag would say the same.
        let in_words = [
            (THING_GROUP, "required, or `ota:thing`", request(&[]).is_err() && request(&[(THING, "thing-1")]).is_ok()),
            (THING, "no single things", silent.targets == [Target::ThingGroup("lab".into())]),
            (WINDOW, "any time", silent.plan.window.is_none()),
            (JOB_TEMPLATE, "none", silent.job_template.is_none() && silent.config == JobConfig::default()),
            (PACKAGE_VERSION, "none", silent.package_arns(&settings).is_none()),
            (SIGNING_JOB, "–", silent.files[0].signed_by == SignedBy::Profile(settings.signing_profile.clone())),
            (SIGNATURE, "–", silent.files[0].signed_by == SignedBy::Profile(settings.signing_profile.clone())),
            (CERTIFICATE, "–", unverified(&[(SIGNATURE, ECDSA)]).is_err()),
            (
                SIGNATURE_ALGORITHM,
                "`SHA256withECDSA`",
                unverified(&[(SIGNATURE, ECDSA), (CERTIFICATE, "c")])
                    == unverified(&[(SIGNATURE, ECDSA), (CERTIFICATE, "c"), (SIGNATURE_ALGORITHM, "SHA256withECDSA")]),
            ),
            (
                SIGNING_PROFILE,
                "the stack's",
                silent.files[0].signed_by == SignedBy::Profile(settings.signing_profile.clone()),
            ),
            (JOB_ID, "file name and 12 hex digits", silent.job_id.is_none()),
            (FILE_PATH, "the file name", silent.files[0].path.0 == "a.bin"),
        ];
        for [tag, _, without] in rows_of_the_readme() {
            let tag = tag.trim_matches('`');
            if let Some((_, words, holds)) = in_words.iter().find(|(known, ..)| *known == tag) {
                assert!(without == *words && *holds, "{tag}: {without}");
            } else {
                let default = in_backticks(without).next().unwrap();
                assert!(without.starts_with(&format!("`{default}`")), "{tag}: {without}");
                assert_eq!(request(&[lab, (tag, default)]).unwrap(), silent, "{tag}");
            }
        }
        let window = (WINDOW, "daily 02:00 2h");
        assert!(rows_of_the_readme().iter().any(|[tag, _, without]| {
            *tag == "`ota:end`" && without.ends_with("with a window, or `continuous`: `never`")
        }));
        assert_eq!(request(&[lab, window, (END, "never")]), request(&[lab, window]));
        assert_eq!(request(&[lab, window, (TARGET_SELECTION, "continuous")]), request(&[lab, window]));
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
            for target in of_tags(&tags, None, &open, now).map(|request| request.targets).unwrap_or_default() {
                let arn = open.iot_arn(target);
                prop_assert!(!arn.contains(['*', '?', ' ', '$']) && arn.matches('/').count() == 1, "{}", arn);
            }
        }

        #[test]
        fn no_tags_make_the_reader_panic(tag in "\\PC*", value in "\\PC*", which in 0..VOCABULARY.len()) {
            let _ = request(&[(&format!("ota:{tag}"), &value), (VOCABULARY[which], &value)]);
        }
    }
}
