//! The placeholder in job documents for which AWS IoT presigns a URL for each device.

use crate::{
    delivery::raw_copy::RawCopy,
    settings::Settings,
    upload::{Upload, encoded},
};

/// The placeholder of a raw copy's URL, for which each device gets one of its own
/// (<https://docs.aws.amazon.com/iot/latest/developerguide/create-manage-jobs-presigned-URLs.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PresignedUrl(pub String);

impl PresignedUrl {
    fn of(settings: &Settings, upload: &Upload, copy: &RawCopy) -> Self {
        let url = settings.s3_url(&upload.bucket, &copy.key, &copy.version_id);
        Self(format!("${{aws:iot:s3-presigned-url-v2:{url}}}"))
    }

    pub fn of_all(settings: &Settings, upload: &Upload, copies: &[RawCopy]) -> Vec<Self> {
        copies.iter().map(|copy| Self::of(settings, upload, copy)).collect()
    }

    /// Whether a URL in a job document lies below the upload's own prefix, which no other upload has.
    pub fn is_of(url: &str, settings: &Settings, upload: &Upload) -> bool {
        url.contains(&format!("/{}", encoded(&upload.signed_prefix(settings))))
    }
}
