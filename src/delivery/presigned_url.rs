//! The placeholder in job documents that AWS IoT replaces with a presigned URL for each device.

use crate::delivery::raw_copy::RawCopy;
use crate::settings::Settings;
use crate::upload::{Upload, encoded};

/// The placeholder for the presigned URL of a raw copy
/// (<https://docs.aws.amazon.com/iot/latest/developerguide/create-manage-jobs-presigned-URLs.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PresignedUrl(pub String);

impl PresignedUrl {
    /// Makes the placeholder of a raw copy. Its URL is path-style, and percent-encoded as AWS IoT requires.
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

    /// Returns whether the key in a URL of a job document begins with the prefix of the upload. No other upload has
    /// that prefix.
    pub fn is_for(url: &str, settings: &Settings, upload: &Upload) -> bool {
        url.contains(&format!("/{}", encoded(&settings.prefix_of(upload))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    fn copy(key: String, version_id: &str) -> RawCopy {
        RawCopy { file_id: 0, key, version_id: version_id.into(), size: 1, sha256: None }
    }

    #[test]
    fn the_placeholder_has_the_form_that_aws_iot_presigns() {
        let upload = Upload::new("firmware-bucket".into(), "firmware/a.bin".into(), "v1".into());
        let copy = copy("Signed ü}/a".into(), "x.Y_z-1");
        for (region, role, host) in [
            ("eu-west-1", "arn:aws:iam::111122223333:role/ota", "s3.eu-west-1.amazonaws.com"),
            ("cn-north-1", "arn:aws-cn:iam::111122223333:role/ota", "s3.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "arn:aws-us-gov:iam::111122223333:role/ota", "s3.us-gov-west-1.amazonaws.com"),
        ] {
            let settings = settings(&[("AWS_REGION", region), ("OTA_ROLE_ARN", role)]).unwrap();
            let url = format!("https://{host}/firmware-bucket/Signed%20%C3%BC%7D/a%3FversionId%3Dx.Y_z-1");
            let expected = format!("${{aws:iot:s3-presigned-url-v2:{url}}}");
            assert_eq!(PresignedUrl::of(&settings, &upload, &copy).0, expected);
        }
    }

    #[test]
    fn a_url_belongs_to_the_upload_whose_prefix_its_key_has() {
        let settings = settings(&[("SIGNED_PREFIX", "signed images/")]).unwrap();
        let [first, second] =
            ["v1", "v2"].map(|version| Upload::new("b".into(), "firmware/a.bin".into(), version.into()));
        let copy = copy(format!("{}job", settings.prefix_of(&first)), "v");
        let url = PresignedUrl::of(&settings, &first, &copy).0;
        assert!(PresignedUrl::is_for(&url, &settings, &first) && !PresignedUrl::is_for(&url, &settings, &second));
        assert!(!PresignedUrl::is_for("", &settings, &first));
    }
}
