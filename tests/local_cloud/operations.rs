//! The AWS operation of a request by the function.

use http::{Method, Request};

/// Returns the operation, by method and path. `None` if the function never calls the operation. `GetUpload` is
/// GetObject of an object below the upload prefix.
pub fn operation<B>(request: &Request<B>) -> Option<&'static str> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let has = |parameter: &str| query.split('&').any(|pair| pair.split('=').next() == Some(parameter));
    let first = path.split('/').nth(1).unwrap_or_default();
    Some(match (request.method(), first) {
        (&Method::POST, "") => "GetCertificate",
        (&Method::POST, "signing-jobs") => "StartSigningJob",
        (&Method::GET, "signing-jobs") => "DescribeSigningJob",
        (&Method::GET, "signing-profiles") => "GetSigningProfile",
        (&Method::POST, "streams") => "CreateStream",
        (&Method::GET, "streams") if path == "/streams" => "ListStreams",
        (&Method::GET, "streams") => "DescribeStream",
        (&Method::GET, "thing-groups") => "DescribeThingGroup",
        (&Method::GET, "job-templates") => "DescribeJobTemplate",
        (&Method::GET, "things") => "DescribeThing",
        (&Method::GET, "packages") => "GetPackageVersion",
        (&Method::GET, "jobs") if path.ends_with("/job-document") => "GetJobDocument",
        (&Method::GET, "jobs") => "DescribeJob",
        (&Method::PUT, "jobs") => "CreateJob",
        (&Method::GET, _) if has("tagging") => "GetObjectTagging",
        (&Method::GET, _) if has("versioning") => "GetBucketVersioning",
        (&Method::GET, _) if has("notification") => "GetBucketNotification",
        (&Method::GET, _) if has("policy") => "GetBucketPolicy",
        (&Method::GET, _) if has("versions") => "ListObjectVersions",
        // With the bucket in the path, the bucket precedes the prefix.
        (&Method::GET, _) if path.contains("/firmware/") => "GetUpload",
        (&Method::GET, _) => "GetObject",
        (&Method::HEAD, _) => "HeadObject",
        (&Method::PUT, _) if request.headers().contains_key("x-amz-copy-source") => "CopyObject",
        (&Method::PUT, _) => "PutObject",
        _ => return None,
    })
}
