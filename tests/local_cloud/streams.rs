//! AWS IoT streams: creates, describes, updates, deletes and lists them within the limits of the service.
//!
//! A state machine without I/O, which receives requests and calls back for the size of an S3 object. The shapes are
//! from the AWS IoT API reference, the limits from "AWS IoT Core endpoints and quotas".

#[path = "streams/stream.rs"]
mod stream;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

pub use stream::Stream;
use stream::{S3Location, StreamFile};

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

/// The body of `CreateStream` and `UpdateStream` requests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    description: Option<String>,
    files: Option<Vec<StreamFile>>,
    role_arn: Option<String>,
}

impl Streams {
    /// An account without streams.
    pub fn new(region: &str, account: &str) -> Self {
        Self { arn_prefix: format!("arn:aws:iot:{region}:{account}:stream/"), streams: Mutex::default() }
    }

    /// Returns whether this service serves the path.
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
            return Err(limit_exceeded(format!("the account has {MAX_STREAMS} streams, expected fewer")));
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
        stream.version =
            stream.version.checked_add(1).ok_or_else(|| limit_exceeded("the stream has its maximum version"))?;
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

    /// Returns one page in the order of the IDs. The token is the last ID of the previous page.
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

    /// Returns a stream. `None` if it does not exist.
    pub fn find(&self, id: &str) -> Option<Stream> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
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
                return Err(invalid(format!("{bucket}/{key} has {size} bytes, expected at most {MAX_FILE_BYTES}")));
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
#[path = "streams/tests.rs"]
mod tests;
