//! A manifest: an upload that names the files of one update, and the options of its job.

use crate::options::job::UrlExpiry;
use crate::options::job_config::{JobConfig, UncheckedJobConfig};
use crate::request::manifest_files::{ManifestFile, files};
use crate::request::manifest_job::{
    abort, description, package_versions, retries, rollout, tags, timeout, url_expiry, windows,
};
use crate::settings::Settings;
use crate::text::encoding::decode;
use crate::text::json::{Object, document};
use crate::upload::Upload;
use aws_sdk_iot::types::Tag;

/// The maximum size of a manifest, many times the size of one with ten files and all options.
pub(crate) const MAX_BYTES: u64 = 64 * 1024;

/// The maximum number of problems that are reported for a manifest, so that they fit into one log event.
const MAX_PROBLEMS: usize = 50;

/// The members of CreateJob that a manifest must not have, each with the alternative or the reason.
const NOT_ALLOWED: [(&str, &str); 10] = [
    ("jobId", "expected the tag `ota:job-id`"),
    ("targets", "expected the tags `ota:thing-group` and `ota:thing`"),
    ("targetSelection", "expected the tag `ota:target-selection`"),
    ("jobTemplateArn", "expected the tag `ota:job-template`"),
    ("document", "as the function writes the job document"),
    ("documentSource", "as the function writes the job document"),
    ("documentParameters", "as the function writes the job document"),
    ("roleArn", "as the deployment sets the role"),
    ("maintenanceWindows", "expected `schedulingConfig.maintenanceWindows`"),
    ("namespaceId", "as OTA devices get only jobs without a namespace"),
];

/// The content of a manifest. Everything is checked except the options of the files.
#[derive(Debug, Default)]
pub struct Manifest {
    /// The files in the order of the manifest.
    pub(crate) files: Vec<ManifestFile>,
    /// The configuration of the job.
    pub(crate) config: JobConfig,
    /// The tags of the job.
    pub(crate) tags: Vec<Tag>,
    /// The description of the job.
    pub(crate) description: Option<String>,
    /// The lifetime of a presigned URL.
    pub(crate) url_expiry: Option<UrlExpiry>,
    /// The SHA-256 of the manifest, in hexadecimal digits.
    pub(crate) sha256: Option<String>,
    /// Every problem, each a sentence with the path of the member at fault.
    pub(crate) problems: Vec<String>,
}

impl Manifest {
    /// Reads an uploaded manifest: JSON in UTF-8, or in the encodings of editors on Windows. Never fails: the returned
    /// manifest lists its problems.
    pub fn read(bytes: &[u8], upload: &Upload, settings: &Settings) -> Self {
        let mut problems = Vec::new();
        let read = decode(bytes)
            .and_then(|json| document(&json, &mut problems, |object| Self::read_members(object, upload, settings)));
        let mut manifest = match read {
            Ok((manifest, unchecked)) => {
                let (config, config_problems) = unchecked.check("schedulingConfig.maintenanceWindows");
                problems.extend(config_problems.into_iter().map(|(path, problem)| format!("`{path}` {problem}")));
                Self { config, ..manifest }
            }
            Err(problem) => Self::unreadable(&format!("the manifest is not a JSON object: {problem}")),
        };
        manifest.problems.append(&mut problems);
        let count = manifest.problems.len();
        if count > MAX_PROBLEMS {
            manifest.problems.truncate(MAX_PROBLEMS);
            manifest.problems.push(format!("the manifest has {} more problems", count - MAX_PROBLEMS));
        }
        manifest
    }

    fn read_members(object: &mut Object<'_, '_>, upload: &Upload, settings: &Settings) -> (Self, UncheckedJobConfig) {
        object.optional("$schema", |_, _| Some(()));
        for (name, hint) in NOT_ALLOWED {
            object.refuse(name, &format!("is not allowed in a manifest, {hint}"));
        }
        let manifest = Self {
            files: object
                .required("files", |node, problems| files(node, problems, upload, settings))
                .unwrap_or_default(),
            description: object.optional("description", description),
            tags: object.optional("tags", tags).unwrap_or_default(),
            url_expiry: object.optional("presignedUrlConfig", |node, problems| url_expiry(node, problems, settings)),
            ..Self::default()
        };
        let config = UncheckedJobConfig {
            rollout: object.optional("jobExecutionsRolloutConfig", rollout),
            abort: object.optional("abortConfig", abort),
            timeout: object.optional("timeoutConfig", timeout),
            retries: object.optional("jobExecutionsRetryConfig", retries),
            windows: object.optional("schedulingConfig", windows).unwrap_or_default(),
            package_versions: object
                .optional("destinationPackageVersions", |node, problems| package_versions(node, problems, settings))
                .unwrap_or_default(),
        };
        (manifest, config)
    }

    /// Returns a manifest whose content cannot be read, with the reason.
    pub(crate) fn unreadable(problem: &str) -> Self {
        Self { problems: vec![problem.to_owned()], ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
