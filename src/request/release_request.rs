//! The request of a release: all of its options, checked together.

use crate::error::Failure;
use crate::not_released::{NotReleased, RejectionKind};
use crate::options::job::{JobId, JobTemplateId, Protocols, Retries, TargetSelection, Timeout, UrlExpiry};
use crate::options::job_config::JobConfig;
use crate::options::packages::PackageVersions;
use crate::options::target::Target;
use crate::request::file::{FileRequest, read_file, read_files};
use crate::request::manifest::Manifest;
use crate::request::reader::{Location, Reader};
use crate::request::schedule::{Context, read_schedule};
use crate::request::targets::read_targets;
use crate::schedule::duration::Minutes;
use crate::schedule::requested::RequestedSchedule;
use crate::schedule::timing_rules::LeadTime;
use crate::settings::Settings;
use crate::tags::{JOB_ID, JOB_TEMPLATE, PACKAGE_VERSION, PROTOCOLS, RETRIES, TIMEOUT, Tags, WINDOW};
use crate::upload::Upload;
use aws_sdk_iot::types::Tag;
use jiff::Timestamp;

/// The inputs of a request.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The upload.
    pub upload: &'a Upload,
    /// The tags of the upload.
    pub tags: &'a Tags,
    /// The manifest, if the upload is one.
    pub manifest: Option<&'a Manifest>,
    /// The configuration in the job template. `None` until the template is looked up. Until then, options that depend
    /// on the template are not checked.
    pub template: Option<&'a JobConfig>,
}

/// The request of a release, checked against the settings and all rules of AWS that need no request to AWS.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseRequest {
    /// The targets of the job: at least one.
    pub targets: Vec<Target>,
    /// The schedule of the job.
    pub schedule: RequestedSchedule,
    /// The target selection of the job.
    pub target_selection: TargetSelection,
    /// The retries of a device.
    pub retries: Retries,
    /// The time-out of a device.
    pub timeout: Timeout,
    /// The protocols by which devices may fetch the image.
    pub protocols: Protocols,
    /// The job's ID, if the uploader chose one.
    pub job_id: Option<JobId>,
    /// The package versions in the tags.
    pub package_versions: Option<PackageVersions>,
    /// The files of the update: at least one.
    pub files: Vec<FileRequest>,
    /// The job template, if the tags or the settings name one.
    pub job_template: Option<JobTemplateId>,
    /// The configuration in the manifest. Values that the manifest does not set come from the job template. Tags take
    /// precedence over both.
    pub config: JobConfig,
    /// The configuration in the manifest alone.
    pub(crate) manifest_config: JobConfig,
    /// The tags of the job.
    pub job_tags: Vec<Tag>,
    /// The description of the job, if the manifest has one.
    pub description: Option<String>,
    /// The lifetime of a presigned URL.
    pub url_expiry: UrlExpiry,
}

impl ReleaseRequest {
    /// Checks the request of a release whose job would be created at `now`.
    ///
    /// # Errors
    /// Fails with all problems, if there are any. Each is a sentence with the tag or member, its value and the expected
    /// form. The uploader must correct them.
    pub fn check(inputs: Inputs<'_>, settings: &Settings, now: Timestamp) -> Result<Self, Vec<String>> {
        let Inputs { upload, tags, manifest, template } = inputs;
        let mut reader = Reader::new(Location::Tags, &tags.0);
        reader.report_unknown();
        let targets = read_targets(&mut reader, upload, settings);
        let job_template = reader.read(JOB_TEMPLATE).map(|id| id.or_else(|| settings.default_job_template.clone()));
        let template_id = job_template.as_ref().ok().and_then(Option::as_ref);
        let manifest_config = manifest.map(|manifest| manifest.config.clone()).unwrap_or_default();
        let config = manifest_config.clone().or(template.cloned().unwrap_or_default());
        let windows_origin = if manifest_config.windows.is_empty() {
            template_id.map(|id| format!("job template `{id}`")).unwrap_or_default()
        } else {
            "the manifest".to_owned()
        };
        let context = Context {
            settings,
            windows: &config.windows,
            windows_origin: &windows_origin,
            is_template_pending: template.is_none() && template_id.is_some(),
            now,
        };
        let schedule = read_schedule(&mut reader, &context);
        let retries = reader.read_or(RETRIES, config.retries.as_ref().unwrap_or(&settings.default_retries));
        let timeout = reader.read_or(TIMEOUT, config.timeout.as_ref().unwrap_or(&settings.default_timeout));
        let protocols = reader.read_or(PROTOCOLS, &Protocols::Mqtt);
        let url_expiry = manifest.and_then(|manifest| manifest.url_expiry);
        if url_expiry.is_some() && protocols.is_some_and(|protocols| !protocols.has_http()) {
            let problem = format!("`presignedUrlConfig` requires HTTP, expected `http` in the tag `{PROTOCOLS}`");
            reader.problems.push(problem);
        }
        let job_id = reader.read(JOB_ID);
        let package_versions = reader.read(PACKAGE_VERSION);
        let files = match manifest {
            None => {
                let prefix = settings.prefix_of(upload);
                read_file(&mut reader, &settings.signing_profile, upload, prefix, 0, settings).map(|file| vec![file])
            }
            Some(manifest) => read_files(&mut reader, upload, manifest, settings),
        };
        let problems = reader.problems;
        let request = || {
            let (schedule, target_selection) = schedule?;
            Some(Self {
                targets,
                schedule,
                target_selection,
                retries: retries?,
                timeout: timeout?,
                protocols: protocols?,
                job_id: job_id.ok()?,
                package_versions: package_versions.ok()?,
                files: files?,
                job_template: job_template.ok()?,
                config,
                manifest_config,
                job_tags: manifest.map(|manifest| manifest.tags.clone()).unwrap_or_default(),
                description: manifest.and_then(|manifest| manifest.description.clone()),
                url_expiry: url_expiry.unwrap_or(settings.url_expiry),
            })
        };
        request().filter(|_| problems.is_empty()).ok_or(problems)
    }

    /// The ID of the job that this request creates for an upload.
    pub(crate) fn job_id(&self, upload: &Upload) -> String {
        self.job_id.as_ref().map_or_else(|| upload.default_job_id(), ToString::to_string)
    }

    /// The `destinationPackageVersions` of CreateJob.
    pub(crate) fn package_arns(&self, settings: &Settings) -> Option<Vec<String>> {
        if let Some(versions) = &self.package_versions {
            return Some(versions.resources().map(|version| settings.iot_arn(version)).collect());
        }
        Some(self.config.package_versions.clone()).filter(|arns| !arns.is_empty())
    }

    /// Returns the result of a release whose job template does not exist. The release is rejected if the tags name the
    /// template. It fails if the settings name the template, and the operator must correct them.
    pub(crate) fn missing_template(&self, tags: &Tags, failure: Failure) -> NotReleased {
        match &self.job_template {
            Some(template) if tags.0.contains_key(JOB_TEMPLATE) => NotReleased::Rejected(
                RejectionKind::JobTemplate,
                vec![format!(
                    "tag `{JOB_TEMPLATE}` is `{template}`, which does not exist, expected the ID of a job template of the \
                     deployment's account and region"
                )],
            ),
            _ => failure.into(),
        }
    }

    /// Returns the source of each value that a manifest or a job template may set, as a sentence for the log. `None` if
    /// neither sets anything.
    pub(crate) fn value_sources(&self, tags: &Tags) -> Option<String> {
        type HasValue = fn(&JobConfig) -> bool;
        if self.job_template.is_none() && self.manifest_config == JobConfig::default() {
            return None;
        }
        let template = self.job_template.as_ref().map(|id| format!("job template `{id}`")).unwrap_or_default();
        let timeout = format!("time-out {}", Minutes(self.timeout.minutes()));
        let retries = format!("retries {}", self.retries);
        let values: [(&str, &str, HasValue, &str); 6] = [
            (&timeout, TIMEOUT, |config| config.timeout.is_some(), "`DEFAULT_TIMEOUT`"),
            (&retries, RETRIES, |config| config.retries.is_some(), "`DEFAULT_RETRIES`"),
            ("rollout rates", "", |config| config.rollout.is_some(), ""),
            ("abort criteria", "", |config| config.abort.is_some(), ""),
            ("maintenance windows", WINDOW, |config| !config.windows.is_empty(), ""),
            ("package versions", PACKAGE_VERSION, |config| !config.package_versions.is_empty(), ""),
        ];
        let sources = values.map(|(value, tag, has_value, setting)| {
            if tags.0.contains_key(tag) {
                format!("{value} (`{tag}`)")
            } else if has_value(&self.manifest_config) {
                format!("{value} (the manifest)")
            } else if has_value(&self.config) {
                format!("{value} ({template})")
            } else if setting.is_empty() {
                format!("no {value}")
            } else {
                format!("{value} ({setting})")
            }
        });
        let document = self.job_template.as_ref().map(|_| "; the document of the job template is not used");
        Some(sources.join(", ") + document.unwrap_or_default())
    }

    /// Returns a sentence for the log if the certificate of a signature expires while devices may still verify it.
    pub(crate) fn certificate_warning(&self, expires_at: Timestamp, now: Timestamp) -> Option<String> {
        let times = self.schedule.at(now, LeadTime::WhenCreated).ok()?;
        times
            .continues_after(expires_at)
            .then(|| format!("the certificate of the signature expires at {expires_at}, before the job ends"))
    }

    /// Returns sentences for the log on options that are valid, but probably not intended.
    pub(crate) fn warnings(&self, now: Timestamp) -> Vec<String> {
        let (timeout, tries) = (self.timeout.minutes(), self.retries.total() + 1);
        let length = self.schedule.at(now, LeadTime::WhenCreated).ok().and_then(|times| times.length(now));
        let too_short = length.filter(|length| timeout * tries > *length).map(|length| {
            let (timeout, length) = (Minutes(timeout), Minutes(length));
            format!("{tries} tries of {timeout} each do not fit into the {length} between start and end")
        });
        let clocks = self.schedule.opposite_sign(now).into_iter().chain(self.schedule.clock_changes(now));
        too_short.into_iter().chain(clocks).collect()
    }
}

#[cfg(test)]
mod tests;
