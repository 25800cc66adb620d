//! Reads the files of a manifest.

use crate::request::file_kind;
use crate::request::reader::member_name;
use crate::settings::Settings;
use crate::tags::{FILE_TAGS, FILE_TYPE, SIGNING_PROFILE};
use crate::text::json::{Node, Object, Problems, list, quoted, text, whole_number};
use crate::upload::{NO_VERSION, Upload};
use std::collections::BTreeMap;

/// The maximum number of files in one stream
/// (<https://docs.aws.amazon.com/general/latest/gr/iot-core.html>).
const MAX_FILES: usize = 10;

/// The maximum bytes of an object's key and of a version ID
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>,
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html>).
const MAX_S3_NAME: usize = 1024;

/// One file of an update in a manifest.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    /// The index of the file in `files`.
    pub index: usize,
    pub source: Upload,
    /// `true` if the key and the version ID are valid, and the manifest may release this object version.
    pub has_valid_source: bool,
    /// The ID of the file in the stream and in the job document.
    pub id: u8,
    /// The other members of the file, by the tags with the same meaning.
    pub options: BTreeMap<String, String>,
}

/// Reads `files`. Returns at most as many files as a stream can have.
pub(crate) fn files(
    node: &Node<'_>,
    problems: &mut Problems,
    upload: &Upload,
    settings: &Settings,
) -> Option<Vec<ManifestFile>> {
    let mut ids: Vec<(u8, usize)> = Vec::new();
    let mut index = 0;
    let read = list(|node: &Node<'_>, problems: &mut Problems| {
        let file = node.object(problems, |object| file(object, index, &mut ids, upload, settings));
        index += 1;
        Some(file)
    });
    let mut files = read(node, problems)?;
    if !(1..=MAX_FILES).contains(&files.len()) {
        node.problem(problems, &format!("has {} members, expected 1 to {MAX_FILES}", files.len()));
    }
    files.truncate(MAX_FILES);
    Some(files)
}

fn file(
    object: &mut Object<'_, '_>,
    index: usize,
    ids: &mut Vec<(u8, usize)>,
    upload: &Upload,
    settings: &Settings,
) -> ManifestFile {
    let key = object.required("key", text);
    let version_id = object.required("versionId", text);
    let is_key = key.as_ref().is_some_and(|key| check_key(object, key, upload, settings));
    let is_version = version_id.as_ref().is_some_and(|version_id| check_version_id(object, version_id));
    let id = file_id(object, index);
    if let Some(id) = id {
        if let Some((_, other)) = ids.iter().find(|(other_id, _)| *other_id == id) {
            let problem = format!("is {id}, which `files[{other}]` also has, expected another ID (default: the index)");
            object.problem("fileId", &problem);
        }
        ids.push((id, index));
    }
    let mut options = BTreeMap::new();
    for tag in FILE_TAGS.into_iter().chain([SIGNING_PROFILE]) {
        let value = match tag {
            FILE_TYPE => object.optional(&member_name(tag), whole_number).map(|number| number.to_string()),
            _ => object.optional(&member_name(tag), text),
        };
        options.extend(value.map(|value| (tag.to_owned(), value)));
    }
    let source = Upload::new(upload.bucket.clone(), key.unwrap_or_default(), version_id.unwrap_or_default());
    ManifestFile { index, source, has_valid_source: is_key && is_version, id: id.unwrap_or_default(), options }
}

fn file_id(object: &mut Object<'_, '_>, index: usize) -> Option<u8> {
    let Some(id) = object.optional("fileId", whole_number) else { return u8::try_from(index).ok() };
    let id = u8::try_from(id).map_err(|_| object.problem("fileId", &format!("is {id}, expected 0 to 255")));
    id.ok()
}

/// Checks that a key is that of an image below the upload prefix, in the folder of the manifest. An uploader with
/// access to one folder must not release images of another folder.
fn check_key(object: &mut Object<'_, '_>, key: &str, upload: &Upload, settings: &Settings) -> bool {
    let (prefix, folder) = (&settings.upload_prefix.0, settings.folder(&upload.key));
    let kind = file_kind::kind_name(key);
    let is_long = key.len() > MAX_S3_NAME;
    let is_image = key.starts_with(prefix) && !key.ends_with('/') && !is_long && kind.is_none();
    let is_allowed = is_image && settings.folder(key) == folder;
    if !is_allowed {
        let reason = if is_long {
            format!(", which has {} bytes (S3 allows {MAX_S3_NAME})", key.len())
        } else {
            kind.map(|kind| format!(", which is {kind}")).unwrap_or_default()
        };
        let outside_folders =
            if is_image && folder.is_empty() { ", outside folders with their own groups or things" } else { "" };
        let expected = format!("the key of a firmware image below `{prefix}{folder}`{outside_folders}");
        object.problem("key", &format!("is `{}`{reason}, expected {expected}", quoted(key)));
    }
    is_allowed
}

fn check_version_id(object: &mut Object<'_, '_>, version_id: &str) -> bool {
    let is_version = !version_id.is_empty() && version_id != NO_VERSION && version_id.len() <= MAX_S3_NAME;
    if !is_version {
        let expected = "the version ID that S3 returned when the file was uploaded";
        object.problem("versionId", &format!("is `{}`, expected {expected}", quoted(version_id)));
    }
    is_version
}

#[cfg(test)]
mod tests;
