//! The HTTP connector that hands the requests of the real clients to the fake.

use super::response::error;
use super::{Clients, Fake, Fault, REGION, operation};
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RuntimeComponents, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use std::sync::Weak;

/// The real clients, connected to the fake.
pub fn clients(fake: Weak<Fake>) -> Clients {
    let config = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
        .http_client(Connector(fake))
        .sleep_impl(aws_sdk_s3::config::SharedAsyncSleep::new(aws_smithy_async::rt::sleep::TokioSleep::new()))
        .build();
    Clients::new(&config)
}

#[derive(Debug, Clone)]
struct Connector(Weak<Fake>);

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fake = self.0.upgrade().expect("the fake of these clients");
        HttpConnectorFuture::new(async move {
            let (mut parts, body) = request.try_into_http1x().expect("an HTTP request").into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let host = parts.uri.host().expect("a host").parse().expect("text");
            parts.headers.insert("host", host);
            let request = Request::from_parts(parts, body);
            let operation = operation(&request);
            let fault = fake.state().next_fault(operation, &request);
            let lost = || ConnectorError::io("connection reset by peer".into());
            let mut response = match fault {
                Some(Fault::ErrorBefore) => error(operation, 500, "InternalError", "injected"),
                Some(Fault::Throttled) if operation.contains("Object") => error(operation, 503, "SlowDown", "injected"),
                Some(Fault::Throttled) => error(operation, 429, "ThrottlingException", "injected"),
                Some(Fault::LostBefore) => return Err(lost()),
                Some(Fault::Hang) => std::future::pending().await,
                _ => fake.answer(request).await,
            };
            match fault {
                Some(Fault::ErrorAfter) => response = error(operation, 500, "InternalError", "injected"),
                Some(Fault::LostAfter) => return Err(lost()),
                Some(Fault::Truncated | Fault::Garbled) if response.body().is_empty() => return Err(lost()),
                Some(Fault::Truncated) => {
                    let half = response.body().len() / 2;
                    response.body_mut().truncate(half);
                }
                Some(Fault::Garbled) => {
                    *response.body_mut() = Bytes::from_static(b"\xffnonsense");
                }
                Some(Fault::HeadersLost) => response.headers_mut().clear(),
                _ => {}
            }
            Ok(HttpResponse::try_from(response.map(SdkBody::from)).expect("an HTTP response"))
        })
    }
}
