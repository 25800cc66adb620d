//! Lists object versions, whatever characters their keys contain.

use crate::error::{Failure, required};
use crate::scope::Scope;
use crate::upload::Upload;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::operation::list_object_versions::builders::ListObjectVersionsFluentBuilder;
use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

/// Lists object versions below `prefix` in the upload's bucket, with decoded keys.
///
/// Requests URL-encoded keys. XML 1.0 cannot express some characters of keys, so one such key would make the whole list
/// unreadable (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>).
///
/// # Errors
/// Fails if the request fails.
pub(crate) async fn page(
    scope: Scope<'_>,
    prefix: &str,
    call: ListObjectVersionsFluentBuilder,
) -> Result<ListObjectVersionsOutput, Failure> {
    let call = call.bucket(&scope.upload.bucket).prefix(prefix).encoding_type(EncodingType::Url);
    let page = call.expected_bucket_owner(scope.account()).send().await;
    let failure = |error| Failure::request(format!("listing the object versions below `{prefix}`"), error);
    let mut page = page.map_err(failure)?;
    decode_keys(&mut page);
    Ok(page)
}

/// Decodes the keys of a list if S3 has URL-encoded them.
pub fn decode_keys(page: &mut ListObjectVersionsOutput) {
    if page.encoding_type == Some(EncodingType::Url) {
        let keys = page.versions.iter_mut().flatten().map(|version| &mut version.key);
        for key in keys.chain([&mut page.next_key_marker]).filter_map(Option::as_mut) {
            *key = decoded(key);
        }
    }
}

/// Lists at most `max` versions of the upload's key that are older than the upload, the newest first.
pub(crate) async fn earlier_versions(scope: Scope<'_>, max: i32) -> Result<Vec<Upload>, Failure> {
    let upload = scope.upload;
    let call = scope.aws.s3.list_object_versions().key_marker(&upload.key).version_id_marker(&upload.version_id);
    let mut earlier = Vec::new();
    for version in page(scope, &upload.key, call.max_keys(max)).await?.versions.unwrap_or_default() {
        let (key, id) = (required(version.key, "Key")?, required(version.version_id, "VersionId")?);
        if key == upload.key {
            earlier.push(Upload::new(upload.bucket.clone(), key, id));
        }
    }
    Ok(earlier)
}

/// Decodes a URL-encoded key of a list. S3 encodes a space as `+`.
fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_as_s3_encodes_them() {
        for (encoded, key) in [
            ("SignedImage/a-b_c.d", "SignedImage/a-b_c.d"),
            ("signed+images/gr%C3%B6%C3%9Fe", "signed images/größe"),
            ("a%2Bb%01%0A%25", "a+b\u{1}\n%"),
        ] {
            assert_eq!(decoded(encoded), key);
        }
    }
}
