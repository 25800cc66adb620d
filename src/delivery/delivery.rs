//! Where devices fetch signed files from: their IoT stream, URLs that AWS IoT presigns, or whichever of both they choose.

use crate::{
    clients::Clients,
    delivery::presigned_url::PresignedUrl,
    delivery::raw_copy::RawCopy,
    delivery::stream::{self, Stream},
    error::Failure,
    options::job::Protocols,
    settings::Settings,
    upload::Upload,
};

/// Where devices fetch signed files from: there is always something. URLs are in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    Mqtt(Stream),
    Http(Vec<PresignedUrl>),
    MqttAndHttp(Stream, Vec<PresignedUrl>),
}

impl Delivery {
    /// Creates what the protocols need, or adopts what an earlier attempt created.
    pub async fn ensure(
        aws: &Clients,
        settings: &Settings,
        upload: &Upload,
        protocols: Protocols,
        copies: &[RawCopy],
    ) -> Result<Self, Failure> {
        let urls = PresignedUrl::of_all(settings, upload, copies);
        Ok(match protocols {
            Protocols::Http => Self::Http(urls),
            _ => Self::of(protocols, stream::ensure(aws, settings, upload, copies).await?, urls),
        })
    }

    /// What of both the protocols need.
    pub fn of(protocols: Protocols, stream: Stream, urls: Vec<PresignedUrl>) -> Self {
        match protocols {
            Protocols::Mqtt => Self::Mqtt(stream),
            Protocols::Http => Self::Http(urls),
            Protocols::MqttAndHttp => Self::MqttAndHttp(stream, urls),
        }
    }

    /// The `protocols` of the job document. Some devices look at the first alone: that is MQTT.
    pub fn protocols(&self) -> &'static [&'static str] {
        match self {
            Self::Mqtt(_) => &["MQTT"],
            Self::Http(_) => &["HTTP"],
            Self::MqttAndHttp(..) => &["MQTT", "HTTP"],
        }
    }

    pub fn stream(&self) -> Option<&Stream> {
        match self {
            Self::Mqtt(stream) | Self::MqttAndHttp(stream, _) => Some(stream),
            Self::Http(_) => None,
        }
    }

    /// The URL of the file at this place.
    pub fn url(&self, at: usize) -> Option<&PresignedUrl> {
        match self {
            Self::Http(urls) | Self::MqttAndHttp(_, urls) => urls.get(at),
            Self::Mqtt(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    #[test]
    fn the_url_is_one_that_aws_iot_presigns() {
        let upload = Upload::new("firmware-bucket".into(), "firmware/a.bin".into(), "v1".into());
        let copy =
            RawCopy { file_id: 0, key: "Signed ü}/a".into(), version_id: "x.Y_z-1".into(), size: 1, sha256: None };
        for (region, role, host) in [
            ("eu-west-1", "arn:aws:iam::111122223333:role/ota", "s3.eu-west-1.amazonaws.com"),
            ("cn-north-1", "arn:aws-cn:iam::111122223333:role/ota", "s3.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "arn:aws-us-gov:iam::111122223333:role/ota", "s3.us-gov-west-1.amazonaws.com"),
        ] {
            let settings = settings(&[("AWS_REGION", region), ("OTA_ROLE_ARN", role)]).unwrap();
            assert_eq!(
                PresignedUrl::of(&settings, &upload, &copy).0,
                format!(
                    "${{aws:iot:s3-presigned-url-v2:https://{host}/firmware-bucket/Signed%20%C3%BC%7D/a%3FversionId%3Dx.Y_z-1}}"
                )
            );
        }
    }

    #[test]
    fn a_url_is_of_the_upload_whose_prefix_it_lies_below() {
        let settings = settings(&[("SIGNED_PREFIX", "signed images/")]).unwrap();
        let [first, second] =
            ["v1", "v2"].map(|version| Upload::new("b".into(), "firmware/a.bin".into(), version.into()));
        let key = format!("{}job", settings.prefix_of(&first));
        let copy = RawCopy { file_id: 0, key, version_id: "v".into(), size: 1, sha256: None };
        let url = PresignedUrl::of(&settings, &first, &copy).0;
        assert!(PresignedUrl::is_of(&url, &settings, &first) && !PresignedUrl::is_of(&url, &settings, &second));
        assert!(!PresignedUrl::is_of("", &settings, &first));
    }
}
