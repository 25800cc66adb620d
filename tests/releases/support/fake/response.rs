//! HTTP responses in the forms of the services.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

pub fn response(status: StatusCode, headers: &[(&'static str, &str)], body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().expect("text"));
    }
    response
}

/// Removes the header with this name from a response. If there is no such header, removes the members or elements with
/// this name.
pub fn without_member(mut response: Response<Bytes>, name: &str) -> Response<Bytes> {
    fn strip(value: &mut Value, name: &str) {
        match value {
            Value::Object(members) => {
                members.remove(name);
                members.values_mut().for_each(|member| strip(member, name));
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| strip(element, name)),
            _ => {}
        }
    }
    if response.headers_mut().remove(name).is_some() {
        return response;
    }
    let body = if let Ok(mut json) = serde_json::from_slice(response.body()) {
        strip(&mut json, name);
        json.to_string()
    } else {
        let mut xml = String::from_utf8(response.body().to_vec()).expect("text");
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        while let Some((before, rest)) = xml.split_once(&start) {
            xml = format!("{before}{}", rest.split_once(&end).expect("its end").1);
        }
        xml
    };
    *response.body_mut() = body.into();
    response
}

pub fn ok(body: &Value) -> Response<Bytes> {
    response(StatusCode::OK, &[("content-type", "application/json")], body.to_string().into())
}

pub fn xml(body: &str) -> Response<Bytes> {
    response(StatusCode::OK, &[("content-type", "application/xml")], body.to_owned().into())
}

/// An error in the form of the service that has the operation.
pub fn error(operation: &str, status: u16, code: &str, message: &str) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).expect("a status");
    match operation {
        "HeadObject" => response(status, &[], Bytes::new()),
        _ if operation.contains("Object") || operation.contains("Bucket") || operation == "GetUpload" => {
            let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            response(status, &[("content-type", "application/xml")], body.into())
        }
        _ => response(status, &[("x-amzn-errortype", code)], json!({"message": message}).to_string().into()),
    }
}
