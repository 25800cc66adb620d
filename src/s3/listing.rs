//! Lists of object versions, whatever their keys contain.

use crate::{error::Failure, settings::Settings};
use aws_sdk_s3::{
    operation::list_object_versions::{ListObjectVersionsOutput, builders::ListObjectVersionsFluentBuilder},
    types::EncodingType,
};
use percent_encoding::percent_decode_str;

/// Sends ListObjectVersions for the versions below `prefix`, and decodes the keys. They are requested URL-encoded: XML 1.0
/// has no form for some characters that keys may have, so a single such key would make the whole list unreadable
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>).
///
/// # Errors
/// The request fails.
pub(crate) async fn page(
    settings: &Settings,
    (bucket, prefix): (&str, &str),
    call: ListObjectVersionsFluentBuilder,
) -> Result<ListObjectVersionsOutput, Failure> {
    let call = call.bucket(bucket).prefix(prefix).encoding_type(EncodingType::Url);
    let page = call.expected_bucket_owner(&settings.ota_role.account).send().await;
    let mut page =
        page.map_err(|error| Failure::ListObjectVersions { prefix: prefix.to_owned(), source: error.into() })?;
    if page.encoding_type == Some(EncodingType::Url) {
        let keys = page.versions.iter_mut().flatten().map(|version| &mut version.key);
        for key in keys.chain([&mut page.next_key_marker]).filter_map(Option::as_mut) {
            *key = decoded(key);
        }
    }
    Ok(page)
}

/// A key as S3 encodes it in lists: a space is a `+`.
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
