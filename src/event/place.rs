//! Checks that an upload is in the bucket and below the prefix of the deployment.

use crate::not_released::{NotReleased, RejectionKind, SkipReason};
use crate::settings::Settings;
use crate::upload::Upload;

/// Checks that an upload is in the upload bucket, below the upload prefix.
///
/// # Errors
/// Rejects an upload to another bucket. Skips an upload outside the prefix.
pub(crate) fn check(upload: &Upload, settings: &Settings) -> Result<(), NotReleased> {
    let expected = &settings.upload_bucket;
    if upload.bucket != *expected {
        let problem = format!("the bucket is `{}`, expected the upload bucket `{expected}`", upload.bucket);
        return Err(NotReleased::Rejected(RejectionKind::Place, vec![problem]));
    }
    if upload.key.starts_with(&settings.signed_prefix.0) {
        return Err(NotReleased::Skipped(SkipReason::SignedPrefix));
    }
    if !upload.key.starts_with(&settings.upload_prefix.0) {
        return Err(NotReleased::Skipped(SkipReason::OtherEvent));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    #[test]
    fn an_upload_outside_the_bucket_or_the_prefix_is_not_released() {
        let settings = settings(&[]).unwrap();
        let check =
            |bucket: &str, key: &str| super::check(&Upload::new(bucket.into(), key.into(), "v1".into()), &settings);
        assert!(check("firmware-bucket", "firmware/a.bin").is_ok());
        assert!(matches!(
            check("firmware-bucket", "SignedImage/a"),
            Err(NotReleased::Skipped(SkipReason::SignedPrefix))
        ));
        assert!(matches!(check("firmware-bucket", "other/a"), Err(NotReleased::Skipped(SkipReason::OtherEvent))));
        let Err(NotReleased::Rejected(RejectionKind::Place, reasons)) = check("foreign", "firmware/a.bin") else {
            panic!()
        };
        assert_eq!(reasons, ["the bucket is `foreign`, expected the upload bucket `firmware-bucket`"]);
    }
}
