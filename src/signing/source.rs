//! Finds the source of each file's signature before anything is created.

use crate::not_released::{NotReleased, combine, combine_all};
use crate::options::signature::ProfileName;
use crate::request::file::{FileRequest, SignedBy};
use crate::s3::object::Image;
use crate::scope::Scope;
use crate::signing::provided::ProvidedSignature;
use crate::signing::{profile, provided};
use futures::future::{join, join_all};
use std::collections::BTreeMap;

/// The source of a file's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignatureSource {
    /// AWS Signer, with this profile.
    Signer(ProfileName),
    /// The uploader.
    Provided(ProvidedSignature),
}

/// A file that can be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileToSign {
    pub file: FileRequest,
    pub image: Image,
    pub source: SignatureSource,
}

/// Reads the signatures that uploaders provide, and checks that Signer can sign the other files. `recorded` has the
/// versions of the signature objects that must be read, by the keys of their images.
///
/// # Errors
/// Rejects the release, or fails, with every problem.
pub(crate) async fn find(
    scope: Scope<'_>,
    files: &[(&FileRequest, &Image)],
    recorded: &BTreeMap<String, String>,
) -> Result<Vec<FileToSign>, NotReleased> {
    let mut by_profile: Vec<(&ProfileName, Vec<(&FileRequest, &Image)>)> = Vec::new();
    for (file, image) in files {
        let SignedBy::Profile(profile) = &file.signed_by else { continue };
        match by_profile.iter_mut().find(|(other, _)| *other == profile) {
            Some((_, files)) => files.push((file, image)),
            None => by_profile.push((profile, vec![(file, image)])),
        }
    }
    let profiles = by_profile.iter().map(|(profile, files)| profile::check_before_signing(scope, profile, files));
    let sources = files.iter().map(async |(file, image)| {
        let scope = scope.with_upload(&file.source);
        let source = match &file.signed_by {
            SignedBy::Profile(profile) => SignatureSource::Signer(profile.clone()),
            SignedBy::SigningJob(id) => {
                SignatureSource::Provided(provided::by_signing_job(scope, (file, image), id).await?)
            }
            SignedBy::Custom(custom) => {
                let version = recorded.get(&file.source.key);
                SignatureSource::Provided(provided::custom(scope, file, custom, version.map(String::as_str)).await?)
            }
        };
        Ok(FileToSign { file: (*file).clone(), image: (*image).clone(), source })
    });
    let (profiles, files) = join(join_all(profiles), join_all(sources)).await;
    combine(combine_all(profiles), combine_all(files)).map(|(_, files)| files)
}

/// The version IDs of the signature objects that were read, by the keys of their images.
pub(crate) fn signature_versions(files: &[FileToSign]) -> BTreeMap<String, String> {
    let version = |file: &FileToSign| match &file.source {
        SignatureSource::Signer(_) => None,
        SignatureSource::Provided(signature) => Some((file.file.source.key.clone(), signature.version_id.clone()?)),
    };
    files.iter().filter_map(version).collect()
}
