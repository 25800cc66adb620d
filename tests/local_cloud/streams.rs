//! AWS IoT streams as the service keeps them: created, described, updated, deleted and listed, within its limits.
//!
//! A state machine without I/O: it gets requests, and calls back for the size of an S3 object. The shapes are those of the
//! AWS IoT API reference, the limits those of "AWS IoT Core endpoints and quotas".

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::service::{ServiceError, response};

const MAX_STREAMS: usize = 10_000;
const MAX_FILES: usize = 10;
const MAX_FILE_BYTES: u64 = 24 * 1024 * 1024;
const MAX_PAGE: usize = 250;

/// All streams of one account in one region.
pub struct Streams {
    arn_prefix: String,
    streams: Mutex<BTreeMap<String, Stream>>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stream {
    #[serde(rename = "streamId")]
    id: String,
    #[serde(rename = "streamArn")]
    arn: String,
    #[serde(rename = "streamVersion")]
    version: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    files: Vec<StreamFile>,
    created_at: f64,
    last_updated_at: f64,
    role_arn: String,
}

/// The body of `CreateStream` and `UpdateStream` requests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    description: Option<String>,
    files: Option<Vec<StreamFile>>,
    role_arn: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamFile {
    file_id: u8,
    s3_location: S3Location,
}

#[derive(Clone, Serialize, Deserialize)]
struct S3Location {
    bucket: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl Streams {
    /// An account without streams.
    pub fn new(region: &str, account: &str) -> Self {
        Self { arn_prefix: format!("arn:aws:iot:{region}:{account}:stream/"), streams: Mutex::default() }
    }

    /// Returns whether a request with this path is one for this service.
    pub fn serves(path: &str) -> bool {
        path == "/streams" || path.starts_with("/streams/")
    }

    /// Returns the service's response to `request`.
    ///
    /// `object_size(bucket, key, version)` is the size of that object version in bytes, or `None` if it does not exist.
    pub async fn answer(
        &self,
        request: &Request<Bytes>,
        object_size: impl AsyncFn(&str, &str, Option<&str>) -> Option<u64>,
    ) -> Response<Bytes> {
        let id = request.uri().path().strip_prefix("/streams/");
        let result = match (request.method(), id) {
            (&Method::GET, None) => self.list(request.uri().query().unwrap_or_default()),
            (&Method::GET, Some(id)) => self.describe(id),
            (&Method::POST, Some(id)) => self.create(id, request.body(), object_size).await,
            (&Method::PUT, Some(id)) => self.update(id, request.body(), object_size).await,
            (&Method::DELETE, Some(id)) => self.delete(id),
            (method, _) => Err(ServiceError::unknown_operation(method, request.uri().path())),
        };
        response(result)
    }

    async fn create(
        &self,
        id: &str,
        body: &[u8],
        object_size: impl AsyncFn(&str, &str, Option<&str>) -> Option<u64>,
    ) -> Result<Value, ServiceError> {
        check_id(id)?;
        let Definition { description, files, role_arn } = Definition::parse(body)?;
        let files = files.ok_or_else(|| invalid("files is required"))?;
        let role_arn = role_arn.ok_or_else(|| invalid("roleArn is required"))?;
        check_objects(&files, object_size).await?;

        let mut streams = self.lock();
        if let Some(known) = streams.get(id) {
            return Err(already_exists(known));
        }
        if streams.len() >= MAX_STREAMS {
            return Err(limit_exceeded(format!("{MAX_STREAMS} streams exist, which is the most an account can have")));
        }
        let now = epoch_seconds();
        let stream = Stream {
            id: id.to_owned(),
            arn: format!("{}{id}", self.arn_prefix),
            version: 1,
            description,
            files,
            created_at: now,
            last_updated_at: now,
            role_arn,
        };
        let summary = stream.summary();
        streams.insert(id.to_owned(), stream);
        Ok(summary)
    }

    fn describe(&self, id: &str) -> Result<Value, ServiceError> {
        check_id(id)?;
        let streams = self.lock();
        let stream = streams.get(id).ok_or_else(|| no_stream(id))?;
        Ok(json!({ "streamInfo": stream }))
    }

    async fn update(
        &self,
        id: &str,
        body: &[u8],
        object_size: impl AsyncFn(&str, &str, Option<&str>) -> Option<u64>,
    ) -> Result<Value, ServiceError> {
        check_id(id)?;
        let Definition { description, files, role_arn } = Definition::parse(body)?;
        check_objects(files.as_deref().unwrap_or_default(), object_size).await?;

        let mut streams = self.lock();
        let stream = streams.get_mut(id).ok_or_else(|| no_stream(id))?;
        stream.version = stream
            .version
            .checked_add(1)
            .ok_or_else(|| limit_exceeded("the stream has been updated as often as it can be"))?;
        stream.last_updated_at = epoch_seconds();
        stream.description = description.or(stream.description.take());
        if let Some(files) = files {
            stream.files = files;
        }
        if let Some(role_arn) = role_arn {
            stream.role_arn = role_arn;
        }
        Ok(stream.summary())
    }

    fn delete(&self, id: &str) -> Result<Value, ServiceError> {
        check_id(id)?;
        self.lock().remove(id).map(|_| json!({})).ok_or_else(|| no_stream(id))
    }

    /// Returns one page in the order of the IDs. The token is the last ID of the page before.
    fn list(&self, query: &str) -> Result<Value, ServiceError> {
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let page = parameter("maxResults").map_or(Ok(MAX_PAGE), str::parse);
        let Ok(page @ 1..=MAX_PAGE) = page else {
            return Err(invalid(format!("maxResults must be from 1 to {MAX_PAGE}")));
        };
        let ascending = parameter("isAscendingOrder") == Some("true");
        let token = parameter("nextToken");
        token.map_or(Ok(()), check_id)?;

        let streams = self.lock();
        let is_after_token = |stream: &&Stream| match token {
            None => true,
            Some(last) if ascending => stream.id.as_str() > last,
            Some(last) => stream.id.as_str() < last,
        };
        let mut rest: Vec<_> = streams.values().filter(is_after_token).collect();
        if !ascending {
            rest.reverse();
        }
        let mut page_of_streams = json!({ "streams": rest.iter().take(page).map(|s| s.summary()).collect::<Vec<_>>() });
        if rest.len() > page {
            page_of_streams["nextToken"] = json!(rest[page - 1].id);
        }
        Ok(page_of_streams)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn summary(&self) -> Value {
        let mut summary = json!({
            "streamId": self.id,
            "streamArn": self.arn,
            "streamVersion": self.version,
        });
        if let Some(description) = &self.description {
            summary["description"] = json!(description);
        }
        summary
    }
}

impl Definition {
    /// Parses a body, and checks everything that needs no look-up.
    fn parse(body: &[u8]) -> Result<Self, ServiceError> {
        let definition: Self = serde_json::from_slice(body).map_err(invalid)?;
        if let Some(text) = &definition.description
            && (!(1..=2028).contains(&text.chars().count()) || text.chars().any(char::is_control))
        {
            return Err(invalid("description must be 1 to 2028 characters, none of them a control character"));
        }
        if let Some(role) = &definition.role_arn
            && !(20..=2048).contains(&role.chars().count())
        {
            return Err(invalid("roleArn must be 20 to 2048 characters"));
        }
        if let Some(files) = &definition.files {
            if !(1..=MAX_FILES).contains(&files.len()) {
                return Err(invalid(format!("files must be 1 to {MAX_FILES}")));
            }
            if files.iter().enumerate().any(|(at, file)| files[..at].iter().any(|f| f.file_id == file.file_id)) {
                return Err(invalid("fileId must be unique in a stream"));
            }
            if files.iter().any(|f| f.s3_location.bucket.is_empty() || f.s3_location.key.is_empty()) {
                return Err(invalid("bucket and key of an s3Location must not be empty"));
            }
        }
        Ok(definition)
    }
}

fn invalid(message: impl Display) -> ServiceError {
    ServiceError::new(StatusCode::BAD_REQUEST, "InvalidRequestException", message)
}

fn limit_exceeded(message: impl Display) -> ServiceError {
    ServiceError::new(StatusCode::GONE, "LimitExceededException", message)
}

fn no_stream(id: &str) -> ServiceError {
    ServiceError::not_found(format!("stream {id} does not exist"))
}

fn already_exists(known: &Stream) -> ServiceError {
    let message = format!("stream {} already exists", known.id);
    let mut error = ServiceError::new(StatusCode::CONFLICT, "ResourceAlreadyExistsException", message);
    error.body["resourceId"] = json!(known.id);
    error.body["resourceArn"] = json!(known.arn);
    error
}

fn check_id(id: &str) -> Result<(), ServiceError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=128).contains(&id.len()) && id.bytes().all(legal) {
        Ok(())
    } else {
        Err(invalid(format!("stream id `{id}` must be 1 to 128 of [a-zA-Z0-9_-]")))
    }
}

async fn check_objects(
    files: &[StreamFile],
    object_size: impl AsyncFn(&str, &str, Option<&str>) -> Option<u64>,
) -> Result<(), ServiceError> {
    for StreamFile { s3_location: S3Location { bucket, key, version }, .. } in files {
        match object_size(bucket, key, version.as_deref()).await {
            None => {
                let version = version.as_deref().unwrap_or("latest");
                return Err(ServiceError::not_found(format!("S3 object {bucket}/{key} has no version {version}")));
            }
            Some(size) if size > MAX_FILE_BYTES => {
                return Err(invalid(format!(
                    "{bucket}/{key} has {size} bytes, more than the {MAX_FILE_BYTES} of a stream's file"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn epoch_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/ota";

    fn streams() -> Streams {
        Streams::new("eu-west-1", "123456789012")
    }

    fn files(ids: impl IntoIterator<Item = u32>) -> Value {
        let location = json!({ "bucket": "b", "key": "k", "version": "v" });
        ids.into_iter().map(|id| json!({ "fileId": id, "s3Location": location })).collect()
    }

    fn definition() -> Value {
        json!({ "files": files([0]), "roleArn": ROLE })
    }

    /// Returns status, error type and body of a response; S3 has `b/k` in version `v`, with `size` bytes.
    async fn send(
        streams: &Streams,
        method: &str,
        target: &str,
        body: &Value,
        size: u64,
    ) -> (u16, Option<String>, Value) {
        let request = Request::builder().method(method).uri(target).body(Bytes::from(body.to_string()));
        let object_size = async |bucket: &str, key: &str, version: Option<&str>| {
            ((bucket, key, version) == ("b", "k", Some("v"))).then_some(size)
        };
        let response = streams.answer(&request.expect("a request"), object_size).await;
        let kind = response.headers().get("x-amzn-errortype").map(|kind| kind.to_str().expect("text").to_owned());
        (response.status().as_u16(), kind, serde_json::from_slice(response.body()).expect("JSON"))
    }

    async fn create(streams: &Streams, id: &str, body: &Value) -> (u16, Option<String>, Value) {
        send(streams, "POST", &format!("/streams/{id}"), body, 1).await
    }

    #[test]
    fn only_stream_paths_are_served() {
        for (path, serves) in
            [("/streams", true), ("/streams/a", true), ("/streamsx", false), ("/jobs/streams", false), ("/", false)]
        {
            assert_eq!(Streams::serves(path), serves, "{path}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_created_once_described_updated_and_deleted() {
        let streams = streams();
        let arn = "arn:aws:iot:eu-west-1:123456789012:stream/s";

        let (status, _, created) = create(&streams, "s", &definition()).await;
        assert_eq!((status, created), (200, json!({ "streamId": "s", "streamArn": arn, "streamVersion": 1 })));

        let (status, kind, error) = create(&streams, "s", &definition()).await;
        assert_eq!((status, kind.as_deref()), (409, Some("ResourceAlreadyExistsException")));
        assert_eq!((&error["resourceId"], &error["resourceArn"]), (&json!("s"), &json!(arn)));

        let changed = json!({ "description": "again", "files": files([7]) });
        let (status, _, updated) = send(&streams, "PUT", "/streams/s", &changed, 1).await;
        assert_eq!((status, &updated["streamVersion"], &updated["description"]), (200, &json!(2), &json!("again")));

        let (_, _, described) = send(&streams, "GET", "/streams/s", &Value::Null, 1).await;
        let info = &described["streamInfo"];
        assert_eq!((&info["files"], &info["roleArn"]), (&files([7]), &json!(ROLE)));
        assert!(info["createdAt"].as_f64() <= info["lastUpdatedAt"].as_f64(), "{info}");

        assert_eq!(send(&streams, "DELETE", "/streams/s", &Value::Null, 1).await.0, 200);
        for method in ["GET", "PUT", "DELETE"] {
            let (status, kind, _) = send(&streams, method, "/streams/s", &definition(), 1).await;
            assert_eq!((status, kind.as_deref()), (404, Some("ResourceNotFoundException")), "{method}");
        }
    }

    #[tokio::test]
    async fn a_definition_outside_the_limits_is_rejected() {
        let with = |member: &str, value: Value| {
            let mut changed = definition();
            changed[member] = value;
            changed
        };
        let elsewhere = |bucket: &str| json!([{ "fileId": 0, "s3Location": { "bucket": bucket, "key": "k" } }]);
        for (case, body) in [
            ("no files", with("files", Value::Null)),
            ("empty files", with("files", json!([]))),
            ("eleven files", with("files", files(0..11))),
            ("file id 256", with("files", files([256]))),
            ("file id twice", with("files", files([1, 1]))),
            ("no location", with("files", json!([{ "fileId": 0 }]))),
            ("empty bucket", with("files", elsewhere(""))),
            ("no role", with("roleArn", Value::Null)),
            ("short role", with("roleArn", json!("arn:aws:iam"))),
            ("empty description", with("description", json!(""))),
            ("line break", with("description", json!("a\nb"))),
            ("not an object", json!([])),
        ] {
            let (status, kind, _) = create(&streams(), "s", &body).await;
            assert_eq!((status, kind.as_deref()), (400, Some("InvalidRequestException")), "{case}");
        }
        for id in ["", "a.b", "a%20b", &"a".repeat(129)] {
            assert_eq!(create(&streams(), id, &definition()).await.0, 400, "{id}");
        }
        assert_eq!(create(&streams(), "s", &with("files", elsewhere("other"))).await.0, 404);
        assert_eq!(create(&streams(), &"a".repeat(128), &with("files", files(0..10))).await.0, 200);
    }

    #[tokio::test]
    async fn a_file_larger_than_24_mb_is_rejected() {
        assert_eq!(send(&streams(), "POST", "/streams/s", &definition(), MAX_FILE_BYTES).await.0, 200);
        assert_eq!(send(&streams(), "POST", "/streams/s", &definition(), MAX_FILE_BYTES + 1).await.0, 400);
    }

    #[tokio::test]
    async fn an_account_can_have_ten_thousand_streams() {
        let streams = streams();
        for number in 0..MAX_STREAMS {
            assert_eq!(create(&streams, &format!("s{number}"), &definition()).await.0, 200);
        }
        let (status, kind, _) = create(&streams, "one-more", &definition()).await;
        assert_eq!((status, kind.as_deref()), (410, Some("LimitExceededException")));
        assert_eq!(create(&streams, "s0", &definition()).await.0, 409);
    }

    #[tokio::test]
    async fn pages_list_every_stream_in_either_order() {
        let streams = streams();
        for id in ["a", "b", "c", "d", "e"] {
            create(&streams, id, &definition()).await;
        }
        for (order, expected) in [("", "edcba"), ("&isAscendingOrder=true", "abcde")] {
            let (mut listed, mut token) = (String::new(), String::new());
            loop {
                let target = format!("/streams?maxResults=2{order}{token}");
                let (_, _, page) = send(&streams, "GET", &target, &Value::Null, 1).await;
                let ids = page["streams"].as_array().expect("a page");
                listed.extend(ids.iter().filter_map(|stream| stream["streamId"].as_str()));
                match page["nextToken"].as_str() {
                    Some(next) => token = format!("&nextToken={next}"),
                    None => break,
                }
            }
            assert_eq!(listed, expected);
        }
        assert_eq!(send(&streams, "GET", "/streams?maxResults=251", &Value::Null, 1).await.0, 400);
    }
}
