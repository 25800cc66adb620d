//! Reads the files of a release: the upload itself, or the files of its manifest.

use crate::not_released::{NotReleased, RejectionKind, SkipReason};
use crate::options::file::{FilePath, FileType};
use crate::options::signature::{CustomSigning, ProfileName, SigningJobId};
use crate::request::manifest::Manifest;
use crate::request::reader::{Location, Reader, member_name};
use crate::request::signature::read_custom_signing;
use crate::settings::Settings;
use crate::tags::{FILE_PATH, FILE_TAGS, FILE_TYPE, SIGNING_JOB, SIGNING_PROFILE};
use crate::text::json::quoted;
use crate::upload::Upload;

/// One file of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRequest {
    /// The object version that is signed.
    pub source: Upload,
    /// The key prefix of the signed object and the raw copy. Each file has its own.
    pub signed_prefix: String,
    /// The ID of the file in the stream and in the job document.
    pub id: u8,
    /// The path of the file on the device.
    pub path: FilePath,
    /// The type of the file for devices.
    pub kind: FileType,
    /// The source of the signature.
    pub signed_by: SignedBy,
    location: Location,
}

impl FileRequest {
    /// The name of an option of the file, as the subject of a sentence.
    pub(crate) fn option_name(&self, tag: &str) -> String {
        self.location.option_name(tag)
    }

    /// Returns the result of a release whose object version no longer exists. The release is withdrawn if the version
    /// is the upload itself, and rejected if a manifest names the version.
    pub(crate) fn gone(&self) -> NotReleased {
        match self.location {
            Location::Tags => NotReleased::Skipped(SkipReason::Withdrawn),
            Location::File(_) => NotReleased::Rejected(
                RejectionKind::Manifest,
                vec![self.problem("no longer exists, expected the version that the manifest names")],
            ),
        }
    }

    /// Returns a sentence on a problem with the object.
    pub(crate) fn problem(&self, problem: &str) -> String {
        match self.location {
            Location::Tags => format!("the object {problem}"),
            Location::File(index) => format!("`files[{index}]`: the object `{}` {problem}", quoted(&self.source.key)),
        }
    }
}

/// The source of a file's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    /// A new signing job with this profile.
    Profile(ProfileName),
    /// This signing job, which has already signed the file.
    SigningJob(SigningJobId),
    /// The uploader provides the signature.
    Custom(CustomSigning),
}

/// Reads the files of a manifest. The profile in the tags is the default for each file.
pub(crate) fn read_files(
    reader: &mut Reader<'_>,
    upload: &Upload,
    manifest: &Manifest,
    settings: &Settings,
) -> Option<Vec<FileRequest>> {
    let options = reader.options;
    for tag in FILE_TAGS.into_iter().filter(|tag| options.contains_key(*tag)) {
        let member = member_name(tag);
        let problem = format!("tag `{tag}` is not allowed on a manifest, expected `{member}` in its `files`");
        reader.problems.push(problem);
    }
    let profile = read_profile(reader, &settings.signing_profile, settings);
    let default_profile = profile.as_ref().unwrap_or(&settings.signing_profile);
    reader.problems.extend_from_slice(&manifest.problems);
    let prefix = settings.prefix_of(upload);
    let (mut files, mut paths) = (Vec::new(), Vec::<(FilePath, &str)>::new());
    for file in &manifest.files {
        let mut file_reader = Reader::new(Location::File(file.index), &file.options);
        let signed_prefix = format!("{prefix}{}/", file.id);
        files.extend(read_file(&mut file_reader, default_profile, &file.source, signed_prefix, file.id, settings));
        reader.problems.append(&mut file_reader.problems);
        let default_path = FilePath::from_file_name(file.source.file_name());
        let path = file.options.get(FILE_PATH).map_or(Ok(default_path), |path| path.parse());
        // A file without a key is already reported, and has no path.
        let Some(path) = path.ok().filter(|path| !path.0.is_empty()) else { continue };
        if let Some((FilePath(path), other_key)) = paths.iter().find(|(other, _)| *other == path) {
            let (name, other_key) = (file_reader.location.option_name(FILE_PATH), quoted(other_key));
            let problem = format!("{name} is `{path}`, which `{other_key}` also has, expected another path");
            reader.problems.push(problem);
        }
        paths.push((path, &file.source.key));
    }
    profile.map(|_| files)
}

/// Reads the options of one file.
pub(crate) fn read_file(
    reader: &mut Reader<'_>,
    default_profile: &ProfileName,
    source: &Upload,
    signed_prefix: String,
    id: u8,
    settings: &Settings,
) -> Option<FileRequest> {
    let signed_by = read_signed_by(reader, default_profile, settings);
    let path = reader.read_or(FILE_PATH, &FilePath::from_file_name(source.file_name()));
    let kind = reader.read_or(FILE_TYPE, &FileType::default());
    let (source, location) = (source.clone(), reader.location);
    Some(FileRequest { source, signed_prefix, id, path: path?, kind: kind?, signed_by: signed_by?, location })
}

fn read_profile(reader: &mut Reader<'_>, default: &ProfileName, settings: &Settings) -> Option<ProfileName> {
    let profile = reader.read_or(SIGNING_PROFILE, default)?;
    if reader.has(SIGNING_PROFILE) && !settings.allows_profile(&profile) {
        reader.report(SIGNING_PROFILE, &profile.0, &settings.expected_profile());
    }
    Some(profile)
}

fn read_signed_by(reader: &mut Reader<'_>, default_profile: &ProfileName, settings: &Settings) -> Option<SignedBy> {
    let signing_job = reader.read(SIGNING_JOB);
    let profile = read_profile(reader, default_profile, settings);
    reader.reject_together(SIGNING_PROFILE, SIGNING_JOB);
    match (read_custom_signing(reader, settings).ok()?, signing_job.ok()?) {
        (Some(custom), _) => Some(SignedBy::Custom(custom)),
        (None, Some(id)) => Some(SignedBy::SigningJob(id)),
        (None, None) => profile.map(SignedBy::Profile),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::reader::tests;
    use crate::settings::tests::settings;
    use crate::tags::SIGNATURE;
    use serde_json::{Value, json};

    /// Reads the files of a manifest with these tags.
    fn read(files: &Value, tags: &[(&str, &str)]) -> Result<Vec<FileRequest>, Vec<String>> {
        let settings = settings(&[("ALLOWED_SIGNING_PROFILES", "Other,Third")]).unwrap();
        let upload = Upload::new("b".into(), "firmware/a.ota.json".into(), "v1".into());
        let manifest = Manifest::read(json!({"files": files}).to_string().as_bytes(), &upload, &settings);
        tests::read(Location::Tags, tags, |reader| {
            read_files(reader, &upload, &manifest, &settings).unwrap_or_default()
        })
    }

    #[test]
    fn each_file_of_a_manifest_has_its_own_options_or_the_default() {
        let files = json!([
            {"key": "firmware/a.bin", "versionId": "v1"},
            {"key": "firmware/b.bin", "versionId": "v2", "fileId": 7, "filePath": "/b", "signingProfile": "Third"},
        ]);
        let files = read(&files, &[(SIGNING_PROFILE, "Other")]).unwrap();
        let shown: Vec<_> = files.iter().map(|file| (file.id, &*file.path.0, file.signed_by.clone())).collect();
        let [other, third] = ["Other", "Third"].map(|name| SignedBy::Profile(name.parse().unwrap()));
        assert_eq!(shown, [(0, "a.bin", other), (7, "/b", third)]);
        let (first, second) = (&files[0].signed_prefix, &files[1].signed_prefix);
        assert_eq!(first.strip_suffix("0/"), second.strip_suffix("7/"));
    }

    #[test]
    fn a_manifest_with_tags_for_a_single_file_is_rejected() {
        let files = json!([{"key": "firmware/a.bin", "versionId": "v1"}]);
        for (tag, member) in [(FILE_PATH, "filePath"), (SIGNATURE, "signature")] {
            let problem = format!("tag `{tag}` is not allowed on a manifest, expected `{member}` in its `files`");
            assert_eq!(read(&files, &[(tag, "x")]), Err(vec![problem]));
        }
    }

    #[test]
    fn two_files_with_one_path_are_rejected() {
        let files = json!([
            {"key": "firmware/x/a.bin", "versionId": "v1"},
            {"key": "firmware/y/a.bin", "versionId": "v2", "signingProfile": "Unknown"},
        ]);
        assert_eq!(
            read(&files, &[]).unwrap_err(),
            [
                "`files[1].signingProfile` is `Unknown`, expected one of `OtaSigning`, `Other`, `Third` (signing profiles \
                 that this deployment allows)",
                "`files[1].filePath` is `a.bin`, which `firmware/x/a.bin` also has, expected another path",
            ]
        );
    }
}
