//! Checks the request of a release together with the names and sizes of its objects.

use crate::not_released::{NotReleased, RejectionKind};
use crate::request::file_kind;
use crate::request::release_request::{Inputs, ReleaseRequest};
use crate::settings::Settings;
use crate::upload::Upload;
use jiff::Timestamp;

/// Checks the request of an upload, and the size in bytes of each file if it is known.
///
/// # Errors
/// Rejects the release with all problems, if there are any. The uploader must correct them.
pub(crate) fn check(
    inputs: Inputs<'_>,
    sizes: &[Option<u64>],
    settings: &Settings,
    now: Timestamp,
) -> Result<ReleaseRequest, NotReleased> {
    let max = settings.max_image_bytes.0;
    let objects = sizes.iter().enumerate().filter_map(|(index, size)| {
        let location = inputs.manifest.map(|manifest| format!("`files[{}]`: ", manifest.files[index].index));
        let location = location.unwrap_or_default();
        match size {
            _ if inputs.upload.file_name().is_empty() => Some("the key ends in `/`, expected a file name".to_owned()),
            Some(0) => Some(format!("{location}the object is empty, expected a firmware image")),
            Some(size) if *size > max => Some(format!("{location}the object has {size} bytes, expected at most {max}")),
            _ => None,
        }
    });
    let kind_problem = file_kind::problem(&inputs.upload.key).map(|problem| format!("the object {problem}"));
    let objects: Vec<_> = kind_problem.into_iter().chain(objects).collect();
    match ReleaseRequest::check(inputs, settings, now) {
        Ok(request) if objects.is_empty() => Ok(request),
        Ok(_) => Err(NotReleased::Rejected(RejectionKind::Object, objects)),
        Err(problems) => {
            let kind = if inputs.manifest.is_some() { RejectionKind::Manifest } else { RejectionKind::Tags };
            Err(NotReleased::Rejected(kind, [problems, objects].concat()))
        }
    }
}

/// Rejects an upload to a bucket without versioning.
pub(crate) fn check_version(upload: &Upload) -> Result<(), NotReleased> {
    if upload.has_version() {
        return Ok(());
    }
    let problem = "the event has no version ID, expected an upload to a bucket with versioning enabled (AWS Signer signs \
                   object versions only)";
    Err(NotReleased::Rejected(RejectionKind::Place, vec![problem.to_owned()]))
}
