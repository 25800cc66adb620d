//! Whether S3 returns the bytes of an object version: not those of an archived object, nor of one under a customer's key.

use crate::{
    clients::Clients,
    error::{Failure, Kind, Skip, Stop},
    settings::Settings,
    upload::{Image, Upload, is_gone},
};
use aws_sdk_s3::{error::ProvideErrorMetadata, operation::head_object::HeadObjectOutput, types::StorageClass};

/// What S3 has of an object version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredObject {
    /// An image that can be read.
    Image(Image),
    /// The problem that keeps S3 from returning its bytes, to follow the object's name.
    Unreadable(String),
}

impl StoredObject {
    /// The image.
    ///
    /// # Errors
    /// Rejects the release if S3 does not return the bytes: the uploader must act.
    pub fn image(self) -> Result<Image, Stop> {
        match self {
            Self::Image(image) => Ok(image),
            Self::Unreadable(problem) => Err(Stop::Rejected(Kind::Object, vec![format!("the object {problem}")])),
        }
    }
}

/// GetObject's code for an archived object.
const ARCHIVED: &str = "InvalidObjectState";
/// GetObject's code for an object under a customer's key, if the request has no key.
const UNDER_CUSTOMER_KEY: &str = "InvalidRequest";

/// What GetObject's error code says of an object that S3 never returns as it is.
pub(crate) fn unreadable(code: Option<&str>) -> Option<&'static str> {
    match code? {
        ARCHIVED => Some("is archived, expected an object that S3 returns at once: restore it, or upload it again"),
        UNDER_CUSTOMER_KEY => Some(
            "is encrypted with a customer-provided key (SSE-C), expected encryption with a key that S3 has: upload it again \
             with SSE-S3 or SSE-KMS",
        ),
        _ => None,
    }
}

/// Why S3 does not return the bytes of an archived object. One that is restored is readable, in whatever storage class
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>).
fn archived(head: &HeadObjectOutput) -> Option<String> {
    let class = head.storage_class.as_ref();
    let class = class.filter(|class| matches!(class, StorageClass::Glacier | StorageClass::DeepArchive));
    let archive = class.map(StorageClass::as_str).or(head.archive_status.as_ref().map(|status| status.as_str()))?;
    let restore = head.restore.as_deref().unwrap_or_default();
    if restore.contains("ongoing-request=\"false\"") {
        return None;
    }
    let state = if restore.is_empty() { "" } else { " and its restore is not finished" };
    let expected = "expected an object that S3 returns at once";
    Some(format!("is archived (`{archive}`){state}, {expected}: restore it and put its tags again, or upload it again"))
}

impl Upload {
    /// What S3 has of this version; `None` if it is gone.
    pub(crate) async fn object(&self, aws: &Clients, settings: &Settings) -> Result<Option<StoredObject>, Failure> {
        match self.head(aws, settings, Some(&self.version_id)).await {
            Ok(None) => Ok(None),
            Ok(Some(head)) if let Some(problem) = archived(&head) => Ok(Some(StoredObject::Unreadable(problem))),
            Ok(Some(head)) => Image::of(head).map(StoredObject::Image).map(Some),
            // A delete marker.
            Err(Failure::HeadObject { status: 405, .. }) => Ok(None),
            Err(failure @ Failure::HeadObject { status: 400, .. }) => self.explain(aws, settings, failure).await,
            Err(failure) => Err(failure),
        }
    }

    /// What S3 has of a version to whose HEAD it answers 400, without a body that would say why. GetObject says it.
    async fn explain(
        &self,
        aws: &Clients,
        settings: &Settings,
        head: Failure,
    ) -> Result<Option<StoredObject>, Failure> {
        let call = aws.s3.get_object().bucket(&self.bucket).key(&self.key).version_id(&self.version_id);
        let call = call.expected_bucket_owner(&settings.ota_role.account).range("bytes=0-0");
        let Err(error) = call.send().await else { return Err(head) };
        match (unreadable(error.code()), error.code()) {
            (Some(problem), _) => Ok(Some(StoredObject::Unreadable(problem.to_owned()))),
            // The version ID has not the form of one.
            (None, Some("InvalidArgument")) => Ok(None),
            (None, code) if is_gone(code) => Ok(None),
            (None, _) => Err(Failure::GetObject { object: self.to_string(), source: error.into() }),
        }
    }

    /// Stops a version that is not the current one, by the list of versions: S3 answers 400 to the HEAD of a key whose
    /// current version is under a customer's key.
    pub(crate) async fn check_listed_current(
        &self,
        aws: &Clients,
        settings: &Settings,
        head: Failure,
    ) -> Result<(), Stop> {
        let call = aws.s3.list_object_versions().bucket(&self.bucket).prefix(&self.key).max_keys(1);
        let page = call.expected_bucket_owner(&settings.ota_role.account).send().await;
        let page =
            page.map_err(|error| Failure::ListObjectVersions { prefix: self.key.clone(), source: error.into() })?;
        match page.versions().first() {
            Some(version) if version.key() != Some(&self.key) || version.is_latest() != Some(true) => Err(head.into()),
            Some(version) if version.version_id() == Some(&self.version_id) => Ok(()),
            Some(_) => Err(Stop::Skipped(Skip::Superseded)),
            None => Err(head.into()),
        }
    }
}
