//! Delivers the signed files by stream, presigned URL, or both.

use crate::delivery::presigned_url::PresignedUrl;
use crate::delivery::stream::Stream;
use crate::delivery::{raw_copy, stream};
use crate::error::Failure;
use crate::not_released::NotReleased;
use crate::options::job::Protocols;
use crate::progress::{Progress, Step};
use crate::s3::object;
use crate::scope::Scope;
use crate::signing::signed_image::SignedFile;
use futures::future::{join, try_join_all};

/// The source from which devices fetch signed files. URLs are in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    Mqtt(Stream),
    Http(Vec<PresignedUrl>),
    MqttAndHttp(Stream, Vec<PresignedUrl>),
}

impl Delivery {
    /// Makes the delivery by these protocols. Drops the stream or the URLs if the protocols do not need them.
    pub fn new(protocols: Protocols, stream: Stream, urls: Vec<PresignedUrl>) -> Self {
        match protocols {
            Protocols::Mqtt => Self::Mqtt(stream),
            Protocols::Http => Self::Http(urls),
            Protocols::MqttAndHttp => Self::MqttAndHttp(stream, urls),
        }
    }

    /// The `protocols` of the job document. MQTT comes first, because some devices read only the first.
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

    /// The URL of the file with this index.
    pub fn url(&self, index: usize) -> Option<&PresignedUrl> {
        match self {
            Self::Http(urls) | Self::MqttAndHttp(_, urls) => urls.get(index),
            Self::Mqtt(_) => None,
        }
    }
}

/// Copies the signed files to keys that AWS IoT may read, and creates the stream if the protocols need one.
///
/// # Errors
/// Skips an upload that is no longer current. Fails if a request fails.
pub(crate) async fn deliver(
    scope: Scope<'_>,
    protocols: Protocols,
    signed: &[SignedFile],
    progress: &mut Progress,
) -> Result<Delivery, NotReleased> {
    let copies = try_join_all(signed.iter().map(|file| raw_copy::copy(scope, file)));
    let copies = progress.time(Step::Copy, copies).await?;
    let urls = PresignedUrl::of_all(scope.settings, scope.upload, &copies);
    let delivery = async {
        Ok::<_, Failure>(match protocols {
            Protocols::Http => Delivery::Http(urls),
            _ => Delivery::new(protocols, stream::create_or_adopt(scope, &copies).await?, urls),
        })
    };
    let (delivery, current) = progress.time(Step::Stream, join(delivery, object::check_current(scope))).await;
    let delivery = delivery?;
    progress.job.stream_id = delivery.stream().map(|stream| stream.id.clone());
    current.map(|()| delivery)
}
