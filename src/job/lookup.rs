//! Looks up in AWS IoT what a release names: its targets, package versions and job template. CreateJob refuses a missing
//! one, but only after the image is signed and streamed.

use crate::{
    clients::Clients,
    error::{Cause, Failure},
    job::job_template::{self},
    not_released::{NotReleased, RejectionKind, combine, combine_all},
    options::job_config::JobConfig,
    options::target::Target,
    request::release_request::ReleaseRequest,
    settings::Settings,
    tags::{JOB_TEMPLATE, PACKAGE_VERSION, THING, THING_GROUP, Tags},
};
use aws_sdk_iot::{
    error::{ProvideErrorMetadata, SdkError},
    types::PackageVersionStatus,
};
use futures::{StreamExt, future::join, stream};

/// Requests at the same time: AWS IoT allows ten a second for each of these operations
/// (<https://docs.aws.amazon.com/general/latest/gr/iot_device_management.html>).
const CONCURRENT: usize = 10;

/// Checks that every target exists.
///
/// # Errors
/// Rejects the release with all missing targets: the uploader must name others, or have them created.
pub(crate) async fn targets(aws: &Clients, settings: &Settings, request: &ReleaseRequest) -> Result<(), NotReleased> {
    let lookups = stream::iter(&request.targets).map(|target| describe(aws, settings, target));
    combine_all(lookups.buffered(CONCURRENT).collect::<Vec<_>>().await).map(drop)
}

async fn describe(aws: &Clients, settings: &Settings, target: &Target) -> Result<(), NotReleased> {
    let (tag, name, kind, described) = match target {
        Target::ThingGroup(name) => {
            let described = aws.iot.describe_thing_group().thing_group_name(name).send().await;
            (THING_GROUP, name, "a thing group", described.map(drop).map_err(missing_or))
        }
        Target::Thing(name) => {
            let described = aws.iot.describe_thing().thing_name(name).send().await;
            (THING, name, "a thing", described.map(drop).map_err(missing_or))
        }
    };
    described.map_err(|cause| match cause {
        None => NotReleased::Rejected(RejectionKind::Target, vec![does_not_exist(&format!("tag `{tag}`"), name, kind)]),
        Some(source) => Failure::DescribeTarget { target: settings.iot_arn(target), source }.into(),
    })
}

/// The cause of a failed lookup; `None` if AWS IoT answered that there is no such thing.
fn missing_or<E>(error: SdkError<E>) -> Option<Cause>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    (error.code() != Some("ResourceNotFoundException")).then(|| error.into())
}

fn does_not_exist(place: &str, value: &str, kind: &str) -> String {
    format!("{place} is `{value}`, which does not exist, expected {kind} of the deployment's account and region")
}

/// The request with what its job template says, as `check` makes it of the template, and warnings about its package
/// versions. Those of tags and manifest apply whatever the template says, and are looked up at the same time.
///
/// # Errors
/// Those of the template, of `check` and of [`package_versions`].
pub(crate) async fn resolve(
    aws: &Clients,
    settings: &Settings,
    asked: &ReleaseRequest,
    tags: &Tags,
    check: impl FnOnce(&JobConfig) -> Result<ReleaseRequest, NotReleased>,
) -> Result<(ReleaseRequest, Vec<String>), NotReleased> {
    let request = async {
        let Some(template) = &asked.job_template else { return Ok(asked.clone()) };
        let missing = |failure| asked.missing_template(tags, failure);
        check(&job_template::describe(aws, template, missing).await?)
    };
    let (request, drafts) = join(request, package_versions(aws, settings, asked, tags)).await;
    let (request, mut drafts) = combine(request, drafts)?;
    if asked.package_arns(settings).is_none() {
        drafts = package_versions(aws, settings, &request, tags).await?;
    }
    Ok((request, drafts))
}

/// A package version that CreateJob would be given.
struct PackageVersion {
    package: String,
    version: String,
    /// The value as it was written, and where.
    value: String,
    place: String,
}

/// Checks that every package version of the request exists. Returns a warning for each that cannot be deployed yet.
///
/// `$default` and `$null` name no version that could be looked up. Neither are versions of other accounts or regions,
/// which only a job template can name.
///
/// # Errors
/// Rejects the release with all missing versions if a tag, the manifest or the job template of a tag names them: the
/// uploader must act. Fails if they are those of the deployment's default job template: the operator must act.
async fn package_versions(
    aws: &Clients,
    settings: &Settings,
    request: &ReleaseRequest,
    tags: &Tags,
) -> Result<Vec<String>, NotReleased> {
    let (origin, versions) = named(request, settings, tags);
    let lookups = stream::iter(versions).map(|named| get(aws, origin, named));
    let warnings = combine_all(lookups.buffered(CONCURRENT).collect::<Vec<_>>().await)?;
    Ok(warnings.into_iter().flatten().collect())
}

/// The kind of a rejection for missing versions; `None` if they are the operator's.
type Origin = Option<RejectionKind>;

fn named(request: &ReleaseRequest, settings: &Settings, tags: &Tags) -> (Origin, Vec<PackageVersion>) {
    if let Some(versions) = &request.package_versions {
        let named = versions.0.iter().map(|(package, version)| PackageVersion {
            package: package.clone(),
            version: version.clone(),
            value: format!("{package}:{version}"),
            place: format!("tag `{PACKAGE_VERSION}`"),
        });
        return (Some(RejectionKind::PackageVersion), named.collect());
    }
    let template = request.job_template.as_ref().filter(|_| request.manifest_config.package_versions.is_empty());
    let (origin, whose) = match template {
        None => (Some(RejectionKind::PackageVersion), String::new()),
        Some(id) => {
            let kind = tags.0.contains_key(JOB_TEMPLATE).then_some(RejectionKind::JobTemplate);
            (kind, format!(" of job template `{id}`"))
        }
    };
    let prefix = settings.iot_arn("package/");
    let named = request.config.package_versions.iter().enumerate().filter_map(|(at, arn)| {
        let (package, version) = arn.strip_prefix(&prefix)?.split_once("/version/")?;
        (!version.starts_with('$')).then(|| PackageVersion {
            package: package.to_owned(),
            version: version.to_owned(),
            value: arn.clone(),
            place: format!("`destinationPackageVersions[{at}]`{whose}"),
        })
    });
    (origin, named.collect())
}

async fn get(aws: &Clients, origin: Origin, named: PackageVersion) -> Result<Option<String>, NotReleased> {
    let PackageVersion { package, version, value, place } = named;
    match aws.iot.get_package_version().package_name(&package).version_name(&version).send().await {
        Ok(found) => match found.status {
            None => Err(Failure::Incomplete { member: "status" }.into()),
            Some(PackageVersionStatus::Draft) => Ok(Some(format!(
                "the package version `{package}:{version}` is a draft; publish it before the job starts, as AWS IoT deploys \
                 only published and deprecated versions"
            ))),
            Some(_) => Ok(None),
        },
        Err(error) => Err(match (error.code(), origin) {
            (Some("ResourceNotFoundException"), Some(kind)) => {
                NotReleased::Rejected(kind, vec![does_not_exist(&place, &value, "a package version")])
            }
            _ => Failure::GetPackageVersion { version: value, source: error.into() }.into(),
        }),
    }
}
