//! Subscribes file delivery to MiniStack's broker, and reads the files of streams with the role of each stream.
//!
//! A client that publishes on a topic of responses is disconnected, so responses are sent by HTTPS Publish.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS, SubscribeFilter};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::file_delivery::{Content, File, Topic};
use crate::streams::Stream;
use crate::{AnyError, Front, tls};

const FILTERS: [&str; 2] = ["$aws/things/+/streams/+/describe/+", "$aws/things/+/streams/+/get/+"];
/// The session name with which file delivery assumes roles. `start_ministack.py` recognizes it.
const SESSION: &str = "AWSIoT-file-delivery";
const MAX_CACHED: usize = 4;

/// The port of the broker, and the identity with which file delivery connects to it, in PEM.
#[derive(Deserialize)]
struct Broker {
    port: u16,
    ca: String,
    certificate: String,
    key: String,
}

/// The temporary credentials of a role.
pub struct Session {
    pub id: String,
    pub secret: String,
    pub token: String,
}

/// A stream's version, and its files.
pub type Cached = ((String, u16, u64), Rc<Content>);

impl Front {
    /// Connects file delivery to the broker. Responds once it is subscribed to the requests of devices.
    pub async fn connect(self: &Rc<Self>, request: &Request<Bytes>) -> Result<Response<Bytes>, AnyError> {
        let Broker { port, ca, certificate, key } = serde_json::from_slice(request.body())?;
        let identity = (ca.as_bytes(), certificate.as_bytes(), key.as_bytes());
        let options = tls::broker_options("file-delivery", port, identity)?;
        let (client, events) = AsyncClient::new(options, 16);
        let (subscribed, is_subscribed) = oneshot::channel();
        tokio::task::spawn_local(Rc::clone(self).listen(client, events, subscribed));
        let status = match tokio::time::timeout(Duration::from_secs(10), is_subscribed).await {
            Ok(Ok(())) => StatusCode::NO_CONTENT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Ok(Response::builder().status(status).body(Bytes::new())?)
    }

    /// Makes file delivery change one byte of each file, or stops that: the body is `true` or `false`.
    pub fn flip(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, AnyError> {
        self.is_flipping.set(serde_json::from_slice(request.body())?);
        Ok(Response::builder().status(StatusCode::NO_CONTENT).body(Bytes::new())?)
    }

    async fn listen(self: Rc<Self>, client: AsyncClient, mut events: EventLoop, subscribed: oneshot::Sender<()>) {
        let mut subscribed = Some(subscribed);
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let filters = FILTERS.map(|filter| SubscribeFilter::new(filter.to_owned(), QoS::AtMostOnce));
                    // The channel has room for one request.
                    let _ = client.try_subscribe_many(filters);
                }
                Ok(Event::Incoming(Packet::SubAck(_))) => drop(subscribed.take().map(|sender| sender.send(()))),
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let front = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        if let Err(error) = front.deliver(&publish.topic, &publish.payload).await {
                            eprintln!("cannot respond on {}: {error}", publish.topic);
                        }
                    });
                }
                Ok(_) => {}
                // MiniStack ends before this process.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn deliver(&self, topic: &str, payload: &[u8]) -> Result<(), AnyError> {
        let Some(request) = Topic::parse(topic) else { return Ok(()) };
        let content = match self.streams.find(request.stream) {
            Some(stream) if self.is_flipping.get() => Some(Rc::new(flipped(&*self.content(&stream).await))),
            Some(stream) => Some(self.content(&stream).await),
            None => None,
        };
        for message in request.answer(payload, content.as_deref()) {
            let topic = utf8_percent_encode(&message.topic, NON_ALPHANUMERIC);
            let uri = format!("http://{}/topics/{topic}?qos=0", self.upstream);
            let response = self.send(Request::post(uri).body(message.payload)?, "iotdata", None).await?;
            if !response.status().is_success() {
                return Err(format!("MiniStack responds {} to Publish", response.status()).into());
            }
        }
        Ok(())
    }

    /// Returns the files of a stream, as its role can read them. Each version of a stream is read once.
    async fn content(&self, stream: &Stream) -> Rc<Content> {
        let key = (stream.id.clone(), stream.version, stream.created_at.to_bits());
        if let Some((_, content)) = self.cached.borrow().iter().find(|(known, _)| *known == key) {
            return Rc::clone(content);
        }
        let session = self.assume(stream).await;
        let mut files = Vec::new();
        for file in &stream.files {
            let bytes = match &session {
                Ok(session) => self.object(file.location(), session).await,
                Err(error) => Err(error.to_string().into()),
            };
            let bytes = bytes.inspect_err(|error| eprintln!("stream {}: {error}", stream.id)).ok();
            files.push(File { id: file.file_id, bytes });
        }
        let content = Rc::new(Content { version: stream.version, description: stream.description.clone(), files });
        let mut cached = self.cached.borrow_mut();
        cached.truncate(MAX_CACHED - 1);
        // A role that cannot read a file may get the right later.
        if content.files.iter().all(|file| file.bytes.is_some()) {
            cached.insert(0, (key, Rc::clone(&content)));
        }
        content
    }

    async fn object(
        &self,
        (bucket, key, version): (&str, &str, Option<&str>),
        session: &Session,
    ) -> Result<Bytes, AnyError> {
        let request = Request::get(self.object_uri(bucket, key, version)).body(Bytes::new())?;
        let response = self.send(request, "s3", Some(session)).await?;
        let (head, body) = response.into_parts();
        if head.status.is_success() { Ok(body) } else { Err(format!("GetObject failed: {body:?}").into()) }
    }

    /// Assumes the role of a stream, as AWS IoT does.
    async fn assume(&self, stream: &Stream) -> Result<Session, AnyError> {
        let role = utf8_percent_encode(&stream.role_arn, NON_ALPHANUMERIC);
        let parameters = format!("Action=AssumeRole&Version=2011-06-15&RoleArn={role}&RoleSessionName={SESSION}");
        let request = Request::post(format!("http://{}/", self.upstream))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(parameters.into())?;
        let response = self.send(request, "sts", None).await?;
        let body = String::from_utf8_lossy(response.body()).into_owned();
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let session = || {
            let (id, secret) = (element("AccessKeyId")?, element("SecretAccessKey")?);
            Some(Session { id, secret, token: element("SessionToken")? })
        };
        session().ok_or_else(|| format!("AssumeRole failed: {body}").into())
    }
}

/// Returns the files with one bit of their first byte changed.
fn flipped(Content { version, description, files }: &Content) -> Content {
    let flip = |bytes: &Bytes| {
        let mut bytes = bytes.to_vec();
        bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        Bytes::from(bytes)
    };
    let files = files.iter().map(|file| File { id: file.id, bytes: file.bytes.as_ref().map(flip) }).collect();
    Content { version: *version, description: description.clone(), files }
}
