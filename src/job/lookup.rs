//! Looks up the targets and package versions of a release in AWS IoT.
//!
//! CreateJob rejects a missing target or version, but only after the image is signed and streamed.

use crate::error::{Cause, Failure};
use crate::not_released::{NotReleased, RejectionKind, combine_all};
use crate::options::target::Target;
use crate::request::release_request::ReleaseRequest;
use crate::scope::Scope;
use crate::settings::Settings;
use crate::tags::{JOB_TEMPLATE, PACKAGE_VERSION, THING, THING_GROUP, Tags};
use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::types::PackageVersionStatus;
use futures::{StreamExt, stream};

/// The maximum number of requests at the same time. AWS IoT allows ten a second for each of these operations
/// (<https://docs.aws.amazon.com/general/latest/gr/iot_device_management.html>).
const MAX_CONCURRENT_LOOKUPS: usize = 10;

/// Checks that every target exists.
///
/// # Errors
/// Rejects the release with all missing targets: the uploader must name others, or have them created.
pub(crate) async fn targets(scope: Scope<'_>, request: &ReleaseRequest) -> Result<(), NotReleased> {
    let lookups = stream::iter(&request.targets).map(|target| check_target(scope, target));
    combine_all(lookups.buffered(MAX_CONCURRENT_LOOKUPS).collect::<Vec<_>>().await).map(drop)
}

async fn check_target(scope: Scope<'_>, target: &Target) -> Result<(), NotReleased> {
    let iot = &scope.aws.iot;
    let (tag, name, kind, described) = match target {
        Target::ThingGroup(name) => {
            let described = iot.describe_thing_group().thing_group_name(name).send().await;
            (THING_GROUP, name, "a thing group", described.map(drop).map_err(missing_or_cause))
        }
        Target::Thing(name) => {
            let described = iot.describe_thing().thing_name(name).send().await;
            (THING, name, "a thing", described.map(drop).map_err(missing_or_cause))
        }
    };
    described.map_err(|cause| match cause {
        None => NotReleased::Rejected(RejectionKind::Target, vec![does_not_exist(&format!("tag `{tag}`"), name, kind)]),
        Some(cause) => {
            let target = scope.settings.iot_arn(target);
            Failure::request(format!("looking up the target `{target}`"), cause).into()
        }
    })
}

/// The cause of a failed lookup. `None` if the target does not exist.
fn missing_or_cause<E>(error: SdkError<E>) -> Option<Cause>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    (error.code() != Some("ResourceNotFoundException")).then(|| error.into())
}

fn does_not_exist(place: &str, value: &str, kind: &str) -> String {
    format!("{place} is `{value}`, which does not exist, expected {kind} of the deployment's account and region")
}

/// A package version of the CreateJob request.
struct PackageVersion {
    package: String,
    version: String,
    /// The value in the tags, manifest or template, and its place there.
    value: String,
    place: String,
}

/// Checks that every package version of the request exists. Returns a warning for each that cannot be deployed yet.
///
/// Skips `$default`, `$null`, and the versions of other accounts or regions that a job template can name.
///
/// # Errors
/// Rejects the release with all missing versions: the uploader must act. Fails instead if the deployment's default job
/// template names them: the operator must act.
pub(crate) async fn package_versions(
    scope: Scope<'_>,
    request: &ReleaseRequest,
    tags: &Tags,
) -> Result<Vec<String>, NotReleased> {
    let (reject_as, versions) = requested_versions(request, scope.settings, tags);
    let lookups = stream::iter(versions).map(|version| check(scope, reject_as, version));
    let warnings = combine_all(lookups.buffered(MAX_CONCURRENT_LOOKUPS).collect::<Vec<_>>().await)?;
    Ok(warnings.into_iter().flatten().collect())
}

/// The kind of the rejection for missing versions. `None` if the operator named them, so that the release fails
/// instead.
type RejectAs = Option<RejectionKind>;

fn requested_versions(request: &ReleaseRequest, settings: &Settings, tags: &Tags) -> (RejectAs, Vec<PackageVersion>) {
    if let Some(versions) = &request.package_versions {
        let versions = versions.0.iter().map(|(package, version)| PackageVersion {
            package: package.clone(),
            version: version.clone(),
            value: format!("{package}:{version}"),
            place: format!("tag `{PACKAGE_VERSION}`"),
        });
        return (Some(RejectionKind::PackageVersion), versions.collect());
    }
    let template = request.job_template.as_ref().filter(|_| request.manifest_config.package_versions.is_empty());
    let (reject_as, of_template) = match template {
        None => (Some(RejectionKind::PackageVersion), String::new()),
        Some(id) => {
            let kind = tags.0.contains_key(JOB_TEMPLATE).then_some(RejectionKind::JobTemplate);
            (kind, format!(" of job template `{id}`"))
        }
    };
    let versions = request.config.package_versions.iter().enumerate().filter_map(|(index, arn)| {
        let (package, version) = settings.package_version(arn)?;
        (!version.starts_with('$')).then(|| PackageVersion {
            package: package.to_owned(),
            version: version.to_owned(),
            value: arn.clone(),
            place: format!("`destinationPackageVersions[{index}]`{of_template}"),
        })
    });
    (reject_as, versions.collect())
}

async fn check(scope: Scope<'_>, reject_as: RejectAs, version: PackageVersion) -> Result<Option<String>, NotReleased> {
    let PackageVersion { package, version, value, place } = version;
    match scope.aws.iot.get_package_version().package_name(&package).version_name(&version).send().await {
        Ok(found) => match found.status {
            None => Err(Failure::Incomplete { member: "status" }.into()),
            Some(PackageVersionStatus::Draft) => Ok(Some(format!(
                "the package version `{package}:{version}` is a draft; publish it before the job starts, as AWS IoT deploys \
                 only published and deprecated versions"
            ))),
            Some(_) => Ok(None),
        },
        Err(error) => Err(match (error.code(), reject_as) {
            (Some("ResourceNotFoundException"), Some(kind)) => {
                NotReleased::Rejected(kind, vec![does_not_exist(&place, &value, "a package version")])
            }
            _ => Failure::request(format!("looking up the package version `{value}`"), error).into(),
        }),
    }
}
