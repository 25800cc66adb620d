//! Reads a manifest, and looks up the files that it names.

use crate::error::Failure;
use crate::not_released::{NotReleased, SkipReason};
use crate::request::file_kind;
use crate::request::file_kind::{is_manifest, is_text, names_files};
use crate::request::manifest::{MAX_BYTES, Manifest};
use crate::s3::object;
use crate::s3::object::{Image, StoredObject, get_upload, is_gone};
use crate::scope::Scope;
use crate::text::json::quoted;
use crate::upload::hex;
use aws_sdk_s3::error::ProvideErrorMetadata;
use futures::future::try_join_all;
use sha2::{Digest, Sha256};

/// Returns the manifest, if the upload is one, and the image of each file. Without a manifest, the upload is the only
/// file. An image is `None` if S3 does not have the object or does not return it. The problems of the manifest then
/// name the file.
pub(crate) async fn files(
    scope: Scope<'_>,
    image: Option<Image>,
) -> Result<(Option<Manifest>, Vec<Option<Image>>), NotReleased> {
    let manifest = match &image {
        Some(image) => read(scope, image).await?,
        None => is_manifest(&scope.upload.key).then(Manifest::default),
    };
    let Some(mut manifest) = manifest else { return Ok((None, vec![image])) };
    let objects = manifest.files.iter().map(async |file| {
        if file.has_valid_source { object::find(scope.with_upload(&file.source)).await } else { Ok(None) }
    });
    let objects = try_join_all(objects).await?;
    for (file, object) in manifest.files.iter().zip(&objects).filter(|(file, _)| file.has_valid_source) {
        let at = file.index;
        let [key, version_id] = [&file.source.key, &file.source.version_id].map(|text| quoted(text));
        manifest.problems.push(match object {
            Some(StoredObject::Image(_)) => continue,
            Some(StoredObject::Unreadable(problem)) => format!("`files[{at}]`: the object `{key}` {problem}"),
            None => format!("`files[{at}]`: S3 has no version `{version_id}` of `{key}`"),
        });
    }
    let images = objects.into_iter().map(|object| object?.image().ok());
    Ok((Some(manifest), images.collect()))
}

/// Reads the upload if it is a manifest by its name or its content. A manifest whose name does not end in `.ota.json`
/// gets a problem. `None` if the upload is an image.
async fn read(scope: Scope<'_>, image: &Image) -> Result<Option<Manifest>, NotReleased> {
    let has_manifest_name = is_manifest(&scope.upload.key);
    if !has_manifest_name && !is_text(&scope.upload.key) {
        return Ok(None);
    }
    if image.size > MAX_BYTES {
        let problem = format!("the manifest has {} bytes, expected at most {MAX_BYTES}", image.size);
        return Ok(has_manifest_name.then(|| Manifest::unreadable(&problem)));
    }
    let bytes = fetch(scope, image).await?;
    if !has_manifest_name && !names_files(&bytes) {
        return Ok(None);
    }
    let sha256 = Some(hex(&Sha256::digest(&bytes)));
    let mut manifest = Manifest { sha256, ..Manifest::read(&bytes, scope.upload, scope.settings) };
    if !has_manifest_name && file_kind::problem(&scope.upload.key).is_none() {
        let problem = "the object names files as a manifest does; expected a name that ends in `.ota.json`";
        manifest.problems.insert(0, problem.to_owned());
    }
    Ok(Some(manifest))
}

async fn fetch(scope: Scope<'_>, image: &Image) -> Result<Vec<u8>, NotReleased> {
    let purpose = || format!("reading `{}`", scope.upload);
    let response = match get_upload(scope).send().await {
        Ok(response) => response,
        Err(error) if is_gone(error.code()) => return Err(NotReleased::Skipped(SkipReason::Withdrawn)),
        Err(error) => return Err(Failure::request(purpose(), error).into()),
    };
    let json = response.body.collect().await.map_err(|error| Failure::request(purpose(), error))?.to_vec();
    if json.len() as u64 != image.size {
        let problem = format!("{} bytes were returned, expected {}", json.len(), image.size);
        return Err(Failure::request(purpose(), problem).into());
    }
    Ok(json)
}
