//! The endpoint of the local cloud. It serves IoT streams and software packages, which MiniStack lacks, and forwards
//! all other requests to MiniStack. Requests of the function get the faults that a test sets (`faults.rs`).
//!
//! `iot-streams UPSTREAM ACCOUNT HOST` prints the address it listens on, a free port of that host, as its first line.
//! Region and credentials come from the environment, as for any AWS client.

mod faults;
mod operations;
mod packages;
mod service;
mod signing_jobs;
mod streams;

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;

use aws_config::BehaviorVersion;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use faults::Faults;
use packages::Packages;
use streams::Streams;

type AnyError = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let mut arguments = env::args().skip(1);
    let (Some(upstream), Some(account), Some(host)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: iot-streams UPSTREAM ACCOUNT HOST".into());
    };
    let listener = TcpListener::bind((host, 0)).await?;
    println!("{}", listener.local_addr()?);
    let front = Rc::new(Front::new(&upstream, &account).await?);
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
    s3: aws_sdk_s3::Client,
    upstream: Authority,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Front {
    async fn new(upstream: &str, account: &str) -> Result<Self, AnyError> {
        let config = aws_config::defaults(BehaviorVersion::latest()).endpoint_url(upstream).load().await;
        let region = config.region().ok_or("AWS_REGION is not set")?;
        let path_style = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Ok(Self {
            faults: Faults::default(),
            streams: Streams::new(region.as_ref(), account),
            packages: Packages::new(region.as_ref(), account),
            s3: aws_sdk_s3::Client::from_conf(path_style),
            upstream: upstream.parse::<Uri>()?.into_parts().authority.ok_or("the upstream is not a URL with a host")?,
            client: Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// Responds to every request to the endpoint.
    async fn answer(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
        front: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, AnyError> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, body.collect().await?.to_bytes());
        let response = if Faults::serves(request.uri().path()) {
            self.faults.answer(&request)
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

    async fn object_size(&self, bucket: &str, key: &str, version: Option<&str>) -> Option<u64> {
        let head = self.s3.head_object().bucket(bucket).key(key).set_version_id(version.map(str::to_owned));
        head.send().await.ok()?.content_length()?.try_into().ok()
    }

    /// Forwards the request with its `Host`, which is part of the signature.
    async fn forward(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, AnyError> {
        // Clients reach AWS only over TLS, and bucket policies require TLS.
        request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let mut target = std::mem::take(request.uri_mut()).into_parts();
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(self.upstream.clone());
        target.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(target)?;
        let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

fn bad_gateway(error: &(dyn Error + 'static)) -> Result<Response<Bytes>, AnyError> {
    let body = Bytes::from(format!("the upstream does not respond: {error}"));
    Ok(Response::builder().status(StatusCode::BAD_GATEWAY).body(body)?)
}
