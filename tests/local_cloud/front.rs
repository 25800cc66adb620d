//! The endpoint of the local cloud. It serves IoT streams, their files by MQTT, and software packages, which MiniStack
//! lacks. It forwards all other requests to MiniStack. Requests of the function get the faults that a test sets (`faults.rs`).
//!
//! `iot-streams UPSTREAM ACCOUNT HOST` prints the address it listens on, a free port of that host, as its first line.
//! The variables AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are for its own requests to MiniStack.

mod broker;
mod faults;
mod file_delivery;
mod operations;
mod packages;
mod service;
mod signing_jobs;
mod streams;
mod tls;

use std::cell::{Cell, RefCell};
use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    self, PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use broker::{Cached, Session};
use faults::Faults;
use packages::Packages;
use streams::Streams;

/// The characters that signatures of requests to S3 encode in paths and parameters.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

type AnyError = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let mut arguments = env::args().skip(1);
    let (Some(upstream), Some(account), Some(host)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: iot-streams UPSTREAM ACCOUNT HOST".into());
    };
    let listener = TcpListener::bind((host, 0)).await?;
    println!("{}", listener.local_addr()?);
    let front = Rc::new(Front::new(&upstream, &account)?);
    LocalSet::new().run_until(serve(listener, front)).await
}

async fn serve(listener: TcpListener, front: Rc<Front>) -> Result<(), AnyError> {
    loop {
        let (connection, client) = listener.accept().await?;
        let (front, address) = (Rc::clone(&front), connection.local_addr()?);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| front.answer(request, client, address));
            // The function may close its connection at any time.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

struct Front {
    faults: Faults,
    streams: Streams,
    packages: Packages,
    region: String,
    credentials: Credentials,
    upstream: Authority,
    client: Client<HttpConnector, Full<Bytes>>,
    cached: RefCell<Vec<Cached>>,
    is_flipping: Cell<bool>,
}

impl Front {
    fn new(upstream: &str, account: &str) -> Result<Self, AnyError> {
        let region = env::var("AWS_REGION")?;
        let (id, secret) = (env::var("AWS_ACCESS_KEY_ID")?, env::var("AWS_SECRET_ACCESS_KEY")?);
        Ok(Self {
            faults: Faults::default(),
            streams: Streams::new(&region, account),
            packages: Packages::new(&region, account),
            region,
            credentials: Credentials::from_keys(id, secret, None),
            upstream: upstream.parse::<Uri>()?.into_parts().authority.ok_or("the upstream is not a URL with a host")?,
            client: Client::builder(TokioExecutor::new()).build_http(),
            cached: RefCell::default(),
            is_flipping: Cell::default(),
        })
    }

    /// Responds to every request to the endpoint.
    async fn answer(
        self: &Rc<Self>,
        request: Request<Incoming>,
        client: SocketAddr,
        front: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, AnyError> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, body.collect().await?.to_bytes());
        let response = if Faults::serves(request.uri().path()) {
            self.faults.answer(&request)
        } else if request.uri().path() == "/_broker" {
            self.connect(&request).await
        } else if request.uri().path() == "/_broker/flip" {
            self.flip(&request)
        } else {
            self.faults.serve(request, client, front, async |request| self.serve(request).await).await
        };
        response.map(|response| response.map(Full::new))
    }

    async fn serve(&self, request: Request<Bytes>) -> Result<Response<Bytes>, AnyError> {
        if Streams::serves(request.uri().path()) {
            let object_size =
                async |bucket: &str, key: &str, version: Option<&str>| self.object_size(bucket, key, version).await;
            return Ok(self.streams.answer(&request, object_size).await);
        }
        if Packages::serves(request.uri().path()) {
            return Ok(self.packages.answer(&request));
        }
        self.forward(request).await.or_else(|error| bad_gateway(&*error))
    }

    /// Returns the size of an object in MiniStack's S3. `None` if the object does not exist.
    async fn object_size(&self, bucket: &str, key: &str, version: Option<&str>) -> Option<u64> {
        let request = Request::head(self.object_uri(bucket, key, version)).body(Bytes::new()).ok()?;
        let response = self.send(request, "s3", None).await.ok().filter(|response| response.status().is_success())?;
        response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    fn object_uri(&self, bucket: &str, key: &str, version: Option<&str>) -> String {
        let encode = |text| utf8_percent_encode(text, UNRESERVED);
        let version = version.map(|version| format!("?versionId={}", encode(version))).unwrap_or_default();
        format!("http://{}/{}/{}{version}", self.upstream, encode(bucket), encode(key))
    }

    /// Signs a request to a service of MiniStack with a role, or as the account, and sends it.
    async fn send(
        &self,
        mut request: Request<Bytes>,
        service: &str,
        role: Option<&Session>,
    ) -> Result<Response<Bytes>, AnyError> {
        let identity = match role {
            Some(Session { id, secret, token }) => Credentials::from_keys(id, secret, Some(token.clone())),
            None => self.credentials.clone(),
        };
        let identity = identity.into();
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let (uri, body) = (request.uri().to_string(), request.body().clone());
        let signable =
            SignableRequest::new(request.method().as_str(), &uri, [].into_iter(), SignableBody::Bytes(&body))?;
        let (instructions, _) = http_request::sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        self.complete(request).await
    }

    /// Forwards the request with its `Host`, which is part of the signature.
    async fn forward(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, AnyError> {
        let mut target = std::mem::take(request.uri_mut()).into_parts();
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(self.upstream.clone());
        target.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(target)?;
        self.complete(request).await
    }

    async fn complete(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, AnyError> {
        // Clients reach AWS only over TLS, and bucket policies require TLS.
        request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

fn bad_gateway(error: &(dyn Error + 'static)) -> Result<Response<Bytes>, AnyError> {
    let body = Bytes::from(format!("the upstream does not respond: {error}"));
    Ok(Response::builder().status(StatusCode::BAD_GATEWAY).body(body)?)
}
