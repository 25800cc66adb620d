//! AWS IoT software packages and their versions: creates them as drafts, publishes, deprecates, describes and deletes
//! them.
//!
//! The shapes are from the AWS IoT API reference, the states and transitions from "Package version lifecycle" in the
//! AWS IoT Developer Guide.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::service::{ServiceError, response};

/// All packages of one account in one region.
pub struct Packages {
    arn_prefix: String,
    /// The state of each version, by package and version.
    packages: Mutex<BTreeMap<String, BTreeMap<String, &'static str>>>,
}

impl Packages {
    /// An account without packages.
    pub fn new(region: &str, account: &str) -> Self {
        Self { arn_prefix: format!("arn:aws:iot:{region}:{account}:package/"), packages: Mutex::default() }
    }

    /// Returns whether this service serves the path.
    pub fn serves(path: &str) -> bool {
        path.starts_with("/packages/")
    }

    /// Returns the service's response to `request`.
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let path: Vec<_> = request.uri().path().split('/').skip(2).collect();
        let result = match (request.method(), &path[..]) {
            (&Method::PUT, [package]) => self.create(package),
            (&Method::GET, [package]) => self.describe(package),
            (&Method::DELETE, [package]) => self.delete(package),
            (&Method::PUT, [package, "versions", version]) => self.create_version(package, version),
            (&Method::GET, [package, "versions", version]) => self.describe_version(package, version),
            (&Method::PATCH, [package, "versions", version]) => self.update_version(package, version, request.body()),
            (&Method::DELETE, [package, "versions", version]) => self.delete_version(package, version),
            (method, _) => Err(ServiceError::unknown_operation(method, request.uri().path())),
        };
        response(result)
    }

    /// Returns the state of a package version. `None` if the version does not exist.
    pub fn status(&self, package: &str, version: &str) -> Option<&'static str> {
        self.lock().get(package)?.get(version).copied()
    }

    fn create(&self, package: &str) -> Result<Value, ServiceError> {
        check_names(&[(package, 128)])?;
        let mut packages = self.lock();
        if packages.contains_key(package) {
            return Err(conflict(format!("package {package} already exists")));
        }
        packages.insert(package.to_owned(), BTreeMap::new());
        Ok(self.summary(package))
    }

    fn describe(&self, package: &str) -> Result<Value, ServiceError> {
        check_names(&[(package, 128)])?;
        self.lock().get(package).map(|_| self.summary(package)).ok_or_else(|| missing(package))
    }

    fn delete(&self, package: &str) -> Result<Value, ServiceError> {
        check_names(&[(package, 128)])?;
        let mut packages = self.lock();
        if packages.get(package).is_some_and(|versions| !versions.is_empty()) {
            return Err(conflict(format!("package {package} has versions")));
        }
        packages.remove(package);
        Ok(json!({}))
    }

    fn create_version(&self, package: &str, version: &str) -> Result<Value, ServiceError> {
        check_names(&[(package, 128), (version, 64)])?;
        let mut packages = self.lock();
        let versions = packages.get_mut(package).ok_or_else(|| missing(package))?;
        if versions.contains_key(version) {
            return Err(conflict(format!("version {version} of package {package} already exists")));
        }
        versions.insert(version.to_owned(), "DRAFT");
        Ok(self.version_summary(package, version, "DRAFT"))
    }

    fn describe_version(&self, package: &str, version: &str) -> Result<Value, ServiceError> {
        check_names(&[(package, 128), (version, 64)])?;
        let status = self.status(package, version).ok_or_else(|| missing(&format!("{package}:{version}")))?;
        Ok(self.version_summary(package, version, status))
    }

    fn update_version(&self, package: &str, version: &str, body: &[u8]) -> Result<Value, ServiceError> {
        check_names(&[(package, 128), (version, 64)])?;
        let body: Value = serde_json::from_slice(body).map_err(invalid)?;
        let mut packages = self.lock();
        let status = packages.get_mut(package).and_then(|versions| versions.get_mut(version));
        let status = status.ok_or_else(|| missing(&format!("{package}:{version}")))?;
        *status = match (body["action"].as_str(), *status) {
            (None, status) => status,
            (Some("PUBLISH"), "DRAFT" | "DEPRECATED") => "PUBLISHED",
            (Some("DEPRECATE"), "PUBLISHED") => "DEPRECATED",
            (Some("PUBLISH" | "DEPRECATE"), status) => return Err(conflict(format!("the version is {status}"))),
            (Some(action), _) => return Err(invalid(format!("unknown action {action}"))),
        };
        Ok(json!({}))
    }

    fn delete_version(&self, package: &str, version: &str) -> Result<Value, ServiceError> {
        check_names(&[(package, 128), (version, 64)])?;
        if let Some(versions) = self.lock().get_mut(package) {
            versions.remove(version);
        }
        Ok(json!({}))
    }

    fn summary(&self, package: &str) -> Value {
        json!({ "packageName": package, "packageArn": format!("{}{package}", self.arn_prefix) })
    }

    fn version_summary(&self, package: &str, version: &str, status: &str) -> Value {
        json!({
            "packageVersionArn": format!("{}{package}/version/{version}", self.arn_prefix),
            "packageName": package,
            "versionName": version,
            "status": status,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, &'static str>>> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn invalid(message: impl Display) -> ServiceError {
    ServiceError::new(StatusCode::BAD_REQUEST, "ValidationException", message)
}

fn conflict(message: impl Display) -> ServiceError {
    ServiceError::new(StatusCode::CONFLICT, "ConflictException", message)
}

fn missing(name: &str) -> ServiceError {
    ServiceError::not_found(format!("{name} does not exist"))
}

/// Checks names of packages and versions, each with its maximum length.
fn check_names(names: &[(&str, usize)]) -> Result<(), ServiceError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    for (name, max_length) in names {
        if !(1..=*max_length).contains(&name.len()) || !name.bytes().all(legal) {
            return Err(invalid(format!("`{name}` must be 1 to {max_length} of [a-zA-Z0-9-_.]")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Packages {
        Packages::new("eu-west-1", "123456789012")
    }

    /// Returns status, error type and body of a response.
    fn send(packages: &Packages, method: &str, target: &str, body: &Value) -> (u16, Option<String>, Value) {
        let request = Request::builder().method(method).uri(target).body(Bytes::from(body.to_string()));
        let response = packages.answer(&request.expect("a request"));
        let kind = response.headers().get("x-amzn-errortype").map(|kind| kind.to_str().expect("text").to_owned());
        (response.status().as_u16(), kind, serde_json::from_slice(response.body()).expect("JSON"))
    }

    #[test]
    fn only_package_paths_are_served() {
        for (path, serves) in
            [("/packages/a", true), ("/packages/a/versions/1", true), ("/jobs/a", false), ("/", false)]
        {
            assert_eq!(Packages::serves(path), serves, "{path}");
        }
    }

    #[test]
    fn a_version_is_a_draft_then_published_then_deprecated() {
        let packages = packages();
        let nothing = json!({});
        let (status, kind, _) = send(&packages, "PUT", "/packages/a/versions/1.0", &nothing);
        assert_eq!((status, kind.as_deref()), (404, Some("ResourceNotFoundException")), "no such package");
        assert_eq!(send(&packages, "PUT", "/packages/a", &nothing).0, 200);
        let (status, _, created) = send(&packages, "PUT", "/packages/a/versions/1.0", &nothing);
        assert_eq!((status, &created["status"]), (200, &json!("DRAFT")));
        let arn = "arn:aws:iot:eu-west-1:123456789012:package/a/version/1.0";
        for (action, status, now) in [
            ("DEPRECATE", 409, "DRAFT"),
            ("PUBLISH", 200, "PUBLISHED"),
            ("PUBLISH", 409, "PUBLISHED"),
            ("DEPRECATE", 200, "DEPRECATED"),
            ("DEPRECATE", 409, "DEPRECATED"),
            ("PUBLISH", 200, "PUBLISHED"),
            ("DELETE", 400, "PUBLISHED"),
        ] {
            let updated = send(&packages, "PATCH", "/packages/a/versions/1.0", &json!({ "action": action }));
            assert_eq!(updated.0, status, "{action}: {updated:?}");
            let (_, _, described) = send(&packages, "GET", "/packages/a/versions/1.0", &nothing);
            assert_eq!((&described["status"], &described["packageVersionArn"]), (&json!(now), &json!(arn)), "{action}");
        }
    }

    #[test]
    fn existing_and_missing_resources_are_rejected_as_by_the_service() {
        let packages = packages();
        let nothing = json!({});
        for (method, target) in [("PUT", "/packages/a"), ("PUT", "/packages/a/versions/1")] {
            assert_eq!(send(&packages, method, target, &nothing).0, 200);
            let (status, kind, _) = send(&packages, method, target, &nothing);
            assert_eq!((status, kind.as_deref()), (409, Some("ConflictException")), "{target}");
        }
        assert_eq!(send(&packages, "DELETE", "/packages/a", &nothing).0, 409, "it has a version");
        assert_eq!(send(&packages, "GET", "/packages/a", &nothing).2["packageName"], "a");
        for target in ["/packages/b", "/packages/a/versions/2", "/packages/b/versions/1"] {
            let (status, kind, _) = send(&packages, "GET", target, &nothing);
            assert_eq!((status, kind.as_deref()), (404, Some("ResourceNotFoundException")), "{target}");
        }
        for target in ["/packages/a/versions/$default", "/packages/a%20b/versions/1", "/packages//versions/1"] {
            let (status, kind, _) = send(&packages, "GET", target, &nothing);
            assert_eq!((status, kind.as_deref()), (400, Some("ValidationException")), "{target}");
        }
        for target in ["/packages/a/versions/1", "/packages/a"] {
            assert_eq!(send(&packages, "DELETE", target, &nothing).0, 200, "{target}");
            assert_eq!(send(&packages, "GET", target, &nothing).0, 404, "{target}");
        }
    }
}
