//! Errors and JSON responses of the services of the endpoint.

use std::fmt::Display;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

/// A failed request: its HTTP status, the name of the exception, and the body.
pub struct ServiceError {
    pub status: StatusCode,
    pub kind: &'static str,
    pub body: Value,
}

impl ServiceError {
    pub fn new(status: StatusCode, kind: &'static str, message: impl Display) -> Self {
        Self { status, kind, body: json!({ "message": message.to_string() }) }
    }

    pub fn not_found(message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    pub fn unknown_operation(method: &Method, path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", format!("{method} {path} is not supported"))
    }
}

/// The HTTP response to a request.
pub fn response(result: Result<Value, ServiceError>) -> Response<Bytes> {
    let (status, kind, body) = match result {
        Ok(body) => (StatusCode::OK, None, body),
        Err(ServiceError { status, kind, body }) => (status, Some(kind), body),
    };
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(kind) = kind {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(kind));
    }
    response
}
