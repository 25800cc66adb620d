//! The versions of software packages that an update installs.

use crate::error::Expected;
use crate::options::name::is_name;
use std::collections::BTreeSet;
use std::str::FromStr;

/// The maximum number of package versions of one job
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html>).
pub(crate) const MAX_PACKAGES: usize = 25;

/// The package versions of a device after a successful update, as pairs of package and version. AWS IoT also accepts
/// `$default` (the package's default version) and `$null` (the package is uninstalled) as versions. A tag cannot contain
/// them, because S3 does not allow `$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageVersions(pub(crate) Vec<(String, String)>);

impl FromStr for PackageVersions {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let mut packages = BTreeSet::new();
        let parse = |text| {
            let (package, version) = str::split_once(text, ':')?;
            let is_valid = is_package(package) && is_package_version(version) && packages.insert(package);
            is_valid.then(|| (package.to_owned(), version.to_owned()))
        };
        let versions: Option<Vec<_>> = value.split(' ').map(parse).collect();
        versions.filter(|versions| versions.len() <= MAX_PACKAGES).map(Self).ok_or(Expected(
            "1 to 25 of `package:version` with one space between, each package once: up to 128 letters, digits, `.`, `_` \
             and `-` (no `+`) for the package and 64 for the version, such as `blinky:1.2.0`"
                .into(),
        ))
    }
}

/// Returns whether AWS IoT accepts the name of a software package.
pub(crate) fn is_package(name: &str) -> bool {
    is_package_name(name, 128)
}

/// Returns whether AWS IoT accepts the name of a version of a software package.
pub(crate) fn is_package_version(name: &str) -> bool {
    is_package_name(name, 64)
}

/// Returns whether AWS IoT accepts the name of a package or a version
/// (<https://docs.aws.amazon.com/iot/latest/apireference/API_CreatePackageVersion.html>).
fn is_package_name(name: &str, max: usize) -> bool {
    // In the path of a request, `.` and `..` would address another resource.
    is_name(name, 1..=max, "-_.") && !matches!(name, "." | "..")
}

impl PackageVersions {
    /// The resource parts of the package versions' ARNs.
    pub(crate) fn resources(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(package, version)| format!("package/{package}/version/{version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::name::tests::assert_grammar;

    #[test]
    fn each_of_up_to_25_packages_has_one_version() {
        let packages = |count: usize| (0..count).map(|index| format!("p{index}:1")).collect::<Vec<_>>().join(" ");
        let package = |length: usize| format!("{}:1", "x".repeat(length));
        let version = |length: usize| format!("x:{}", "1".repeat(length));
        assert_grammar::<PackageVersions>(
            &["blinky:1.2.0", "a-b_c.d:1 radio:2.0-rc.1", &package(128), &version(64), &packages(25)],
            &[
                "",
                "blinky",
                "blinky:",
                ":1",
                "blinky:1:2",
                "blinky:1.2.0+build5",
                "blinky:1 blinky:2",
                "..:1",
                "blinky:.",
                "blinky:1  radio:2",
                &package(129),
                &version(65),
                &packages(26),
            ],
            "1 to 25 of `package:version` with one space between, each package once: ",
        );
    }
}
