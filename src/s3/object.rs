//! Reads the tags and the head of an object version: its size, whether it is current, and whether it is readable.

use crate::error::{Failure, required};
use crate::not_released::{NotReleased, RejectionKind, SkipReason};
use crate::s3::listing;
use crate::scope::Scope;
use crate::tags::Tags;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_sdk_s3::types::{ArchiveStatus, StorageClass};

/// An uploaded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag, with quotes, as S3 writes it.
    pub e_tag: String,
}

impl Image {
    /// Reads the response to HeadObject.
    pub(crate) fn from_head(head: HeadObjectOutput) -> Result<Self, Failure> {
        let size = head.content_length.and_then(|length| u64::try_from(length).ok());
        Ok(Self { size: required(size, "Content-Length")?, e_tag: required(head.e_tag, "ETag")? })
    }
}

/// An object version in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredObject {
    /// An image that can be read.
    Image(Image),
    /// The problem that keeps S3 from returning the bytes. It follows the object's name in a message.
    Unreadable(String),
}

impl StoredObject {
    /// Returns the image.
    ///
    /// # Errors
    /// Rejects the release if S3 does not return the bytes: the uploader must act.
    pub fn image(self) -> Result<Image, NotReleased> {
        match self {
            Self::Image(image) => Ok(image),
            Self::Unreadable(problem) => {
                Err(NotReleased::Rejected(RejectionKind::Object, vec![format!("the object {problem}")]))
            }
        }
    }
}

/// Builds GetObject for a key in the upload's bucket. `None` as version ID stands for the current version.
pub(crate) fn get(scope: Scope<'_>, key: &str, version_id: Option<&str>) -> GetObjectFluentBuilder {
    let call = scope.aws.s3.get_object().bucket(&scope.upload.bucket).key(key);
    call.set_version_id(version_id.map(str::to_owned)).expected_bucket_owner(scope.account())
}

/// Builds GetObject for the upload.
pub(crate) fn get_upload(scope: Scope<'_>) -> GetObjectFluentBuilder {
    get(scope, &scope.upload.key, Some(&scope.upload.version_id))
}

/// Reads the tags of the upload. `None` if this version is gone.
pub(crate) async fn tags(scope: Scope<'_>) -> Result<Option<Tags>, Failure> {
    let upload = scope.upload;
    let call = scope.aws.s3.get_object_tagging().bucket(&upload.bucket).key(&upload.key);
    match call.version_id(&upload.version_id).expected_bucket_owner(scope.account()).send().await {
        Ok(response) => Ok(Some(Tags::from(response.tag_set))),
        Err(error) if is_gone(error.code()) => Ok(None),
        Err(error) => Err(Failure::request(format!("reading the tags of `{upload}`"), error)),
    }
}

/// Looks up the upload in S3. `None` if this version is gone.
pub(crate) async fn find(scope: Scope<'_>) -> Result<Option<StoredObject>, Failure> {
    match head(scope, Some(&scope.upload.version_id)).await {
        // S3 responds with 405 for a delete marker.
        Ok(None) | Err(HeadFailure { status: 405, .. }) => Ok(None),
        Ok(Some(head)) if let Some(problem) = archive_problem(&head) => Ok(Some(StoredObject::Unreadable(problem))),
        Ok(Some(head)) => Image::from_head(head).map(StoredObject::Image).map(Some),
        Err(HeadFailure { status: 400, failure }) => explain_bad_request(scope, failure).await,
        Err(HeadFailure { failure, .. }) => Err(failure),
    }
}

/// Skips an upload that is not the current version of its key.
pub(crate) async fn check_current(scope: Scope<'_>) -> Result<(), NotReleased> {
    let head = match head(scope, None).await {
        Ok(head) => head.ok_or(NotReleased::Skipped(SkipReason::Withdrawn))?,
        Err(HeadFailure { status: 400, failure }) => return check_listed_current(scope, failure).await,
        Err(HeadFailure { failure, .. }) => return Err(failure.into()),
    };
    check_is_current(scope, required(head.version_id(), "x-amz-version-id")?)
}

fn check_is_current(scope: Scope<'_>, current: &str) -> Result<(), NotReleased> {
    if current == scope.upload.version_id { Ok(()) } else { Err(NotReleased::Skipped(SkipReason::Superseded)) }
}

/// A failed HeadObject. Its response has no body, so only the status is known.
struct HeadFailure {
    status: u16,
    failure: Failure,
}

/// Sends HeadObject for a version. `None` as version ID stands for the current version. Returns `None` if the version
/// does not exist.
async fn head(scope: Scope<'_>, version_id: Option<&str>) -> Result<Option<HeadObjectOutput>, HeadFailure> {
    let call = scope.aws.s3.head_object().bucket(&scope.upload.bucket).key(&scope.upload.key);
    let call = call.set_version_id(version_id.map(str::to_owned)).expected_bucket_owner(scope.account());
    match call.send().await {
        Ok(head) => Ok(Some(head)),
        Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => Ok(None),
        Err(error) => {
            let status = error.raw_response().map(|response| response.status().as_u16()).unwrap_or_default();
            let purpose = format!("reading the head of `{}`: HTTP status {status}", scope.upload);
            Err(HeadFailure { status, failure: Failure::request(purpose, error) })
        }
    }
}

/// Finds out why S3 responded with 400 to HeadObject of an upload. Unlike HeadObject, GetObject returns an error code.
async fn explain_bad_request(scope: Scope<'_>, head_failure: Failure) -> Result<Option<StoredObject>, Failure> {
    let Err(error) = get_upload(scope).range("bytes=0-0").send().await else { return Err(head_failure) };
    match (unreadable_problem(error.code()), error.code()) {
        (Some(problem), _) => Ok(Some(StoredObject::Unreadable(problem.to_owned()))),
        (None, code) if is_gone_or_invalid(code) => Ok(None),
        (None, _) => Err(Failure::request(format!("reading `{}`", scope.upload), error)),
    }
}

/// Makes the check of [`check_current`] with the list of versions. S3 responds with 400 to HeadObject if the current
/// version is encrypted with a customer-provided key.
async fn check_listed_current(scope: Scope<'_>, head_failure: Failure) -> Result<(), NotReleased> {
    let call = scope.aws.s3.list_object_versions().max_keys(1);
    let page = listing::page(scope, &scope.upload.key, call).await?;
    let Some(version) = page.versions().first() else { return Err(head_failure.into()) };
    if required(version.key(), "Key")? != scope.upload.key || !required(version.is_latest(), "IsLatest")? {
        return Err(head_failure.into());
    }
    check_is_current(scope, required(version.version_id(), "VersionId")?)
}

/// GetObject's code for an archived object.
const ARCHIVED: &str = "InvalidObjectState";
/// GetObject's code for an object that is encrypted with a customer-provided key, if the request has no key.
const UNDER_CUSTOMER_KEY: &str = "InvalidRequest";

/// Returns the problem of an object whose bytes S3 does not return, by GetObject's error code.
pub(crate) fn unreadable_problem(code: Option<&str>) -> Option<&'static str> {
    match code? {
        ARCHIVED => Some("is archived, expected an object that S3 returns at once: restore it, or upload it again"),
        UNDER_CUSTOMER_KEY => Some(
            "is encrypted with a customer-provided key (SSE-C), expected encryption with a key that S3 has: upload it again \
             with SSE-S3 or SSE-KMS",
        ),
        _ => None,
    }
}

/// Returns whether GetObject's error code means that the version does not exist, or that no version can have this ID.
pub(crate) fn is_gone_or_invalid(code: Option<&str>) -> bool {
    is_gone(code) || code == Some("InvalidArgument")
}

/// Returns the problem of an archived object, whose bytes S3 does not return. `None` if the object is readable, or was
/// restored (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>).
fn archive_problem(head: &HeadObjectOutput) -> Option<String> {
    let class = head.storage_class.as_ref();
    let class = class.filter(|class| matches!(class, StorageClass::Glacier | StorageClass::DeepArchive));
    let archive = class.map(StorageClass::as_str).or(head.archive_status.as_ref().map(ArchiveStatus::as_str))?;
    let restore = head.restore.as_deref().unwrap_or_default();
    if restore.contains("ongoing-request=\"false\"") {
        return None;
    }
    let state = if restore.is_empty() { "" } else { " and its restore is not finished" };
    let expected = "expected an object that S3 returns at once";
    Some(format!("is archived (`{archive}`){state}, {expected}: restore it and put its tags again, or upload it again"))
}

/// Returns whether S3's error code means that a version does not exist. S3 returns `MethodNotAllowed` for a delete
/// marker.
pub(crate) fn is_gone(code: Option<&str>) -> bool {
    matches!(code, Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_beginning(text: Option<&str>, beginning: Option<&str>) {
        assert_eq!(text.is_some(), beginning.is_some(), "{text:?} {beginning:?}");
        assert!(text.unwrap_or_default().starts_with(beginning.unwrap_or_default()), "{text:?}");
    }

    #[test]
    fn an_archived_object_is_distinguished_from_a_readable_one() {
        let restored = Some("ongoing-request=\"false\", expiry-date=\"Fri, 25 Dec 2026 00:00:00 GMT\"");
        let restoring = Some("ongoing-request=\"true\"");
        for (class, status, restore, expected) in [
            (None, None, None, None),
            (Some("GLACIER_IR"), None, None, None),
            (Some("INTELLIGENT_TIERING"), None, None, None),
            (Some("GLACIER"), None, restored, None),
            (Some("GLACIER"), None, None, Some("is archived (`GLACIER`), ")),
            (Some("DEEP_ARCHIVE"), None, None, Some("is archived (`DEEP_ARCHIVE`), ")),
            (Some("GLACIER"), None, restoring, Some("is archived (`GLACIER`) and its restore is not finished, ")),
            (Some("INTELLIGENT_TIERING"), Some("ARCHIVE_ACCESS"), None, Some("is archived (`ARCHIVE_ACCESS`), ")),
        ] {
            let head = HeadObjectOutput::builder().set_storage_class(class.map(StorageClass::from));
            let head = head.set_archive_status(status.map(ArchiveStatus::from)).set_restore(restore.map(str::to_owned));
            check_beginning(archive_problem(&head.build()).as_deref(), expected);
        }
    }

    #[test]
    fn error_codes_of_get_object_explain_unreadable_objects() {
        for (code, expected) in [
            (Some("InvalidObjectState"), Some("is archived")),
            (Some("InvalidRequest"), Some("is encrypted with a customer-provided key")),
            (Some("NoSuchVersion"), None),
            (None, None),
        ] {
            check_beginning(unreadable_problem(code), expected);
        }
    }

    #[test]
    fn an_unreadable_object_is_rejected() {
        assert!(StoredObject::Image(Image { size: 1, e_tag: "e".to_owned() }).image().is_ok());
        let unreadable = StoredObject::Unreadable("is archived".to_owned()).image();
        let Err(NotReleased::Rejected(RejectionKind::Object, reasons)) = unreadable else { panic!("{unreadable:?}") };
        assert_eq!(reasons, ["the object is archived"]);
    }

    #[test]
    fn a_head_without_size_or_entity_tag_is_incomplete() {
        let head = |length: Option<i64>, e_tag: Option<&str>| {
            let head = HeadObjectOutput::builder().set_content_length(length);
            Image::from_head(head.set_e_tag(e_tag.map(str::to_owned)).build())
        };
        assert_eq!(head(Some(7), Some("e")).unwrap(), Image { size: 7, e_tag: "e".to_owned() });
        for head in [head(None, Some("e")), head(Some(-1), Some("e"))] {
            assert!(matches!(head, Err(Failure::Incomplete { member: "Content-Length" })), "{head:?}");
        }
        assert!(matches!(head(Some(7), None), Err(Failure::Incomplete { member: "ETag" })));
    }

    #[test]
    fn error_codes_of_missing_versions_are_recognized() {
        for code in ["NoSuchKey", "NoSuchVersion", "MethodNotAllowed"] {
            assert!(is_gone(Some(code)) && is_gone_or_invalid(Some(code)), "{code}");
        }
        assert!(!is_gone(Some("InvalidArgument")) && is_gone_or_invalid(Some("InvalidArgument")));
        assert!(!is_gone_or_invalid(Some("AccessDenied")) && !is_gone_or_invalid(None));
    }
}
