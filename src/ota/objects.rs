//! Requests to S3 about uploads and their records.

use crate::aws::Aws;
use crate::problem::{Problem, Request, is_missing};
use aws_sdk_s3::types::{EncodingType, ObjectVersion};
use ota_on_upload::s3::attempts::record_key;
use ota_on_upload::s3::listing::decode_keys;
use ota_on_upload::s3::record::JobRecord;
use ota_on_upload::settings::Settings;
use ota_on_upload::upload::Upload;

/// The maximum number of versions of one key that are looked at.
pub const MAX_VERSIONS: i32 = 100;

/// Reads the record of an upload. `None` if it does not exist.
///
/// # Errors
/// Fails if the record cannot be read.
pub async fn record(aws: &Aws, settings: &Settings, upload: &Upload) -> Result<Option<JobRecord>, Problem> {
    record_below(aws, settings, &settings.prefix_of(upload)).await
}

/// The upload of a record.
pub fn upload_of(record: &JobRecord) -> Upload {
    Upload::new(record.bucket.clone(), record.key.clone(), record.version_id.clone())
}

/// Reads the record below the prefix of an upload. `None` if it does not exist, or is that of another upload: only the
/// folder of its upload proves that the function wrote it.
async fn record_below(aws: &Aws, settings: &Settings, prefix: &str) -> Result<Option<JobRecord>, Problem> {
    let (bucket, key) = (&settings.upload_bucket, record_key(prefix));
    // Without the second right, S3 denies the request if the record does not exist.
    let request = Request::new("s3:GetObject and s3:ListBucket", format!("{bucket}/{key}"));
    let call = aws.clients.s3.get_object().bucket(bucket).key(&key).expected_bucket_owner(&settings.ota_role.account);
    let body = match call.send().await {
        Ok(response) => response.body.collect().await,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(request.problem(&error)),
    };
    let body = body.map_err(|error| Problem {
        is_temporary: true,
        ..Problem::not_done(format!("the record `{key}` cannot be read: {error}"))
    })?;
    let record: JobRecord = serde_json::from_slice(&body.into_bytes())
        .map_err(|error| Problem::not_done(format!("the record `{key}` is not valid: {error}")))?;
    Ok(Some(record).filter(|record| settings.prefix_of(&upload_of(record)) == prefix))
}

/// Reads the records whose folders below the signed prefix begin with these digits.
///
/// # Errors
/// Fails if they cannot be listed or read.
pub async fn records_beginning(aws: &Aws, settings: &Settings, digits: &str) -> Result<Vec<JobRecord>, Problem> {
    let (bucket, prefix) = (&settings.upload_bucket, format!("{}{digits}", settings.signed_prefix.0));
    let call = aws.clients.s3.list_objects_v2().bucket(bucket).prefix(&prefix).delimiter("/").max_keys(10);
    let page = call.expected_bucket_owner(&settings.ota_role.account).send().await;
    let page = page.map_err(|error| Request::new("s3:ListBucket", format!("{bucket}/{prefix}")).problem(&error))?;
    let mut records = Vec::new();
    for folder in page.common_prefixes().iter().filter_map(|folder| folder.prefix()) {
        records.extend(record_below(aws, settings, folder).await?);
    }
    Ok(records)
}

/// Reads the record of the release in whose folder below the signed prefix an object is. `None` if the object is
/// elsewhere, or there is no record.
///
/// # Errors
/// Fails if the record cannot be read.
pub async fn record_next_to(aws: &Aws, settings: &Settings, key: &str) -> Result<Option<JobRecord>, Problem> {
    let prefix = &settings.signed_prefix.0;
    let folder = key.strip_prefix(prefix).and_then(|rest| rest.split_once('/'));
    let is_hex = |folder: &str| folder.bytes().all(|byte| byte.is_ascii_hexdigit());
    match folder.filter(|(folder, _)| folder.len() == 32 && is_hex(folder)) {
        Some((folder, _)) => record_below(aws, settings, &format!("{prefix}{folder}/")).await,
        None => Ok(None),
    }
}

/// Lists the versions of a key, the newest first, at most [`MAX_VERSIONS`].
///
/// # Errors
/// Fails if they cannot be listed.
pub async fn versions(aws: &Aws, settings: &Settings, key: &str) -> Result<Vec<ObjectVersion>, Problem> {
    let bucket = &settings.upload_bucket;
    // XML cannot express some characters of keys.
    let call = aws.clients.s3.list_object_versions().bucket(bucket).prefix(key).encoding_type(EncodingType::Url);
    let page = call.max_keys(MAX_VERSIONS).expected_bucket_owner(&settings.ota_role.account).send().await;
    let mut page =
        page.map_err(|error| Request::new("s3:ListBucketVersions", format!("{bucket}/{key}")).problem(&error))?;
    decode_keys(&mut page);
    // S3 lists keys in lexicographic order: longer keys that begin with this key come after it.
    Ok(page.versions.unwrap_or_default().into_iter().filter(|version| version.key() == Some(key)).collect())
}
