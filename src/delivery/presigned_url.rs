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
    /// The URL in it is path style, with everything encoded that AWS IoT expects encoded.
    pub fn of(settings: &Settings, upload: &Upload, copy: &RawCopy) -> Self {
        let (region, key, version) = (&settings.region, encoded(&copy.key), encoded(&copy.version_id));
        let domain = match settings.ota_role.partition.as_str() {
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            _ => "amazonaws.com",
        };
        let url = format!("https://s3.{region}.{domain}/{}/{key}%3FversionId%3D{version}", upload.bucket);
        Self(format!("${{aws:iot:s3-presigned-url-v2:{url}}}"))
    }

    pub fn of_all(settings: &Settings, upload: &Upload, copies: &[RawCopy]) -> Vec<Self> {
        copies.iter().map(|copy| Self::of(settings, upload, copy)).collect()
    }

    /// Whether a URL in a job document lies below the upload's own prefix, which no other upload has.
    pub fn is_of(url: &str, settings: &Settings, upload: &Upload) -> bool {
        url.contains(&format!("/{}", encoded(&settings.prefix_of(upload))))
    }
}
