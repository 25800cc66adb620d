//! S3 in the fake.

use super::response::{error, response, xml};
use super::{ACCOUNT, BUCKET, Behavior, Call, Fake, State, Storage, Upload, now};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, Default)]
pub struct Version {
    pub id: String,
    /// `None` for a delete marker.
    pub bytes: Option<Bytes>,
    pub tags: Vec<(String, String)>,
    pub storage: Storage,
}

impl Fake {
    /// Puts an object version with tags, as a firmware team does.
    pub fn upload(&self, key: &str, bytes: impl Into<Bytes>, tags: &[(&str, &str)]) -> Upload {
        let id = self.state().put(BUCKET, key, Some(bytes.into()), owned(tags));
        Upload::new(BUCKET.into(), key.into(), id)
    }

    /// Copies an object onto itself, as a change of its metadata or encryption does.
    pub fn copy_onto_itself(&self, upload: &Upload) -> Upload {
        let mut state = self.state();
        let version = state.version(BUCKET, &upload.key, Some(&upload.version_id)).expect("the version").clone();
        let id = state.put(BUCKET, &upload.key, version.bytes, version.tags);
        Upload::new(BUCKET.into(), upload.key.clone(), id)
    }

    /// Replaces the tags of an object version.
    pub fn set_tags(&self, upload: &Upload, tags: &[(&str, &str)]) {
        self.state().version_mut(upload).tags = owned(tags);
    }

    /// Changes how S3 stores an object version.
    pub fn set_storage(&self, upload: &Upload, storage: Storage) {
        self.state().version_mut(upload).storage = storage;
    }

    /// Puts a delete marker.
    pub fn delete(&self, key: &str) {
        self.state().put(BUCKET, key, None, Vec::new());
    }
}

fn owned(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect()
}

/// An S3 request: its bucket, key, version ID and parameters.
struct Request<'a> {
    call: &'a Call,
    bucket: String,
    key: String,
    version: Option<String>,
}

impl<'a> Request<'a> {
    /// Reads a request with the bucket in its host, or else in its path.
    fn new(call: &'a Call) -> Self {
        let host = call.header("host").unwrap_or_default();
        let path = percent_decode_str(call.path.trim_start_matches('/')).decode_utf8().expect("UTF-8").into_owned();
        let (bucket, key) = match host.strip_suffix(".s3.us-east-1.amazonaws.com") {
            Some(bucket) => (bucket.to_owned(), path),
            None => path.split_once('/').map_or((path.clone(), String::new()), |(b, k)| (b.to_owned(), k.to_owned())),
        };
        let mut request = Self { call, bucket, key, version: None };
        request.version = request.parameter("versionId");
        request
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let pair = self.call.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(percent_decode_str(pair).decode_utf8().expect("UTF-8").into_owned())
    }

    fn fail(&self, status: u16, code: &str) -> Response<Bytes> {
        error(self.call.operation, status, code, "fake")
    }
}

impl State {
    /// Adds an object version, or a delete marker without bytes. Returns its version ID.
    pub fn put(&mut self, bucket: &str, key: &str, bytes: Option<Bytes>, tags: Vec<(String, String)>) -> String {
        self.counter += 1;
        let id = format!("v{:04}.{}", self.counter, "x".repeat(26));
        let versions = self.objects.entry((bucket.to_owned(), key.to_owned())).or_default();
        versions.insert(0, Version { id: id.clone(), bytes, tags, storage: Storage::default() });
        id
    }

    /// The object version with this ID. `None` as ID stands for the latest version.
    pub(super) fn version(&self, bucket: &str, key: &str, version: Option<&str>) -> Option<&Version> {
        let versions = self.objects.get(&(bucket.to_owned(), key.to_owned()))?;
        versions.iter().find(|known| version.is_none_or(|version| known.id == version))
    }

    fn version_mut(&mut self, upload: &Upload) -> &mut Version {
        let versions = self.objects.get_mut(&(BUCKET.to_owned(), upload.key.clone())).expect("the object");
        versions.iter_mut().find(|version| version.id == upload.version_id).expect("the version")
    }

    pub(super) fn bytes(&self, bucket: &str, key: &str, version: Option<&str>) -> Option<Bytes> {
        self.version(bucket, key, version)?.bytes.clone()
    }

    pub(super) fn s3(&mut self, call: &Call, behavior: &Behavior) -> Response<Bytes> {
        let request = Request::new(call);
        if call.header("x-amz-expected-bucket-owner") != Some(ACCOUNT) {
            return request.fail(403, "AccessDenied");
        }
        match call.operation {
            "GetBucketVersioning" | "GetBucketNotification" | "GetBucketPolicy" => {
                let body = behavior.bucket_configuration.iter().find(|(name, _)| *name == call.operation);
                body.map_or_else(|| request.fail(404, "NoSuchBucketPolicy"), |(_, body)| xml(body))
            }
            "ListObjectVersions" => {
                let after = request.parameter("version-id-marker");
                let max_keys = request.parameter("max-keys").map_or(1000, |keys| keys.parse().expect("a number"));
                let page = behavior.page.min(max_keys);
                assert_eq!(request.parameter("encoding-type").as_deref(), Some("url"), "XML cannot express every key");
                let prefix = request.parameter("prefix").expect("a prefix");
                xml(&self.list(&request.bucket, &prefix, after.as_deref(), page))
            }
            "PutObject" => self.put_object(&request),
            "CopyObject" => self.copy_object(&request, behavior),
            _ => self.read(&request),
        }
    }

    fn put_object(&mut self, request: &Request) -> Response<Bytes> {
        let Request { call, bucket, key, .. } = request;
        let exists = self.bytes(bucket, key, None).is_some();
        if call.header("if-none-match") == Some("*") && exists {
            return request.fail(412, "PreconditionFailed");
        }
        let id = self.put(bucket, key, Some(call.body.clone()), Vec::new());
        response(StatusCode::OK, &[("x-amz-version-id", &id), ("etag", "\"e\"")], Bytes::new())
    }

    fn copy_object(&mut self, request: &Request, behavior: &Behavior) -> Response<Bytes> {
        let Request { call, bucket, key, .. } = request;
        let source = call.header("x-amz-copy-source").expect("a source");
        let (place, source_version) = source.split_once("?versionId=").expect("a version");
        let place = percent_decode_str(place).decode_utf8().expect("UTF-8");
        let (from_bucket, from_key) = place.split_once('/').expect("a key");
        let source = self.version(from_bucket, from_key, Some(source_version));
        let Some(Version { bytes: Some(bytes), tags, storage, .. }) = source.cloned() else {
            return request.fail(404, "NoSuchVersion");
        };
        if let Some((status, code)) = storage.read_error() {
            return request.fail(status, code);
        }
        let e_tag = e_tag(&bytes);
        if call.header("x-amz-copy-source-if-match").is_some_and(|tag| tag != e_tag) {
            return request.fail(412, "PreconditionFailed");
        }
        let tags = if call.header("x-amz-tagging-directive") == Some("REPLACE") { Vec::new() } else { tags };
        let id = self.put(bucket, key, Some(bytes.clone()), tags);
        let actual = BASE64_STANDARD.encode(Sha256::digest(&bytes));
        let checksum = behavior.copied_checksum.unwrap_or(&actual);
        let checksum = match call.header("x-amz-checksum-algorithm") {
            Some("SHA256") => format!("<ChecksumSHA256>{checksum}</ChecksumSHA256>"),
            _ => String::new(),
        };
        let mut copied = xml(&format!("<CopyObjectResult><ETag>{e_tag}</ETag>{checksum}</CopyObjectResult>"));
        copied.headers_mut().insert("x-amz-version-id", id.parse().expect("text"));
        let copied_version = if behavior.copies_another_version { "other" } else { source_version };
        copied.headers_mut().insert("x-amz-copy-source-version-id", copied_version.parse().expect("text"));
        copied
    }

    /// Responds to GetObject, HeadObject and GetObjectTagging.
    fn read(&self, request: &Request) -> Response<Bytes> {
        let Request { call, bucket, key, version } = request;
        // No version ID has a space.
        if version.as_ref().is_some_and(|version| version.contains(' ')) {
            return request.fail(400, "InvalidArgument");
        }
        let code = if version.is_some() { "NoSuchVersion" } else { "NoSuchKey" };
        let Some(found) = self.version(bucket, key, version.as_deref()) else { return request.fail(404, code) };
        let Some(bytes) = &found.bytes else { return request.fail(404, "NoSuchKey") };
        if call.operation == "GetObjectTagging" {
            let tags = found
                .tags
                .iter()
                .map(|(tag, value)| format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(tag), escape(value)));
            return xml(&format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.collect::<String>()));
        }
        let Storage { class, archive_status, restore, has_customer_key } = found.storage;
        match found.storage.read_error() {
            Some((status, code)) if call.operation != "HeadObject" || has_customer_key => {
                return request.fail(status, code);
            }
            _ => {}
        }
        let (length, e_tag) = (bytes.len().to_string(), e_tag(bytes));
        let body = if call.operation.starts_with("Get") { bytes.clone() } else { Bytes::new() };
        let headers = [("x-amz-version-id", found.id.as_str()), ("content-length", &length), ("etag", &e_tag)];
        let stored =
            [("x-amz-storage-class", class), ("x-amz-archive-status", archive_status), ("x-amz-restore", restore)];
        let stored = stored.into_iter().filter_map(|(name, value)| Some((name, value?)));
        response(StatusCode::OK, &headers.into_iter().chain(stored).collect::<Vec<_>>(), body)
    }

    /// A page of the versions after `after`, in S3's order: the newest of a key first.
    fn list(&self, bucket: &str, prefix: &str, after: Option<&str>, page: usize) -> String {
        let objects = self.objects.iter().filter(|((b, k), _)| b == bucket && k.starts_with(prefix));
        let versions: Vec<_> =
            objects.flat_map(|((_, key), versions)| versions.iter().enumerate().map(move |v| (key, v))).collect();
        let start = after.map_or(0, |id| versions.iter().position(|(_, (_, v))| v.id == id).expect("the marker") + 1);
        let end = versions.len().min(start + page);
        let mut list = format!(
            "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>",
            end < versions.len()
        );
        if end < versions.len() {
            let (key, (_, end_of_page)) = versions[end - 1];
            let markers = format!(
                "<NextKeyMarker>{}</NextKeyMarker><NextVersionIdMarker>{}</NextVersionIdMarker>",
                url_encoded(key),
                end_of_page.id
            );
            list.push_str(&markers);
        }
        for (key, (at, Version { id, bytes, .. })) in &versions[start..end] {
            let (key, is_latest, written) = (url_encoded(key), *at == 0, last_modified(id));
            let known = format!(
                "<Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{is_latest}</IsLatest><LastModified>{written}</LastModified>"
            );
            let element = match bytes {
                Some(bytes) => format!("<Version>{known}<Size>{}</Size></Version>", bytes.len()),
                None => format!("<DeleteMarker>{known}</DeleteMarker>"),
            };
            list.push_str(&element);
        }
        list + "</ListVersionsResult>"
    }
}

fn e_tag(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(5381_u64, |sum, byte| sum.wrapping_mul(33) ^ u64::from(*byte));
    format!("\"{sum:016x}\"")
}

/// A key as S3 encodes it in a listing.
fn url_encoded(key: &str) -> String {
    utf8_percent_encode(key, NON_ALPHANUMERIC).to_string().replace("%20", "+")
}

/// The time of a version. Each version is put one second after the version before it.
fn last_modified(id: &str) -> jiff::Timestamp {
    let number = id.strip_prefix('v').and_then(|id| id.split('.').next()).and_then(|number| number.parse().ok());
    now() + jiff::SignedDuration::from_secs(number.unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
