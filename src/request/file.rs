//! What is asked for of one file: by the tags of an upload, or by its manifest.

use crate::{
    not_released::{NotReleased, RejectionKind, SkipReason},
    options::file::{FilePath, FileType},
    options::signature::{
        BESIDE, CertFile, CustomSignature, CustomSigning, ProfileName, SignatureAlgorithm, SigningJobId, check_form,
        with_plus, without_breaks,
    },
    request::manifest::Manifest,
    settings::Settings,
    tags::{
        CERTIFICATE, FILE_PATH, FILE_TYPE, OF_FILES, Place, Reader, Reported, SIGNATURE, SIGNATURE_ALGORITHM,
        SIGNING_JOB, SIGNING_PROFILE, member,
    },
    text::json::quoted,
    upload::Upload,
};

/// One file of an update: the object version that is signed, and what devices are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRequest {
    /// The object version that is signed.
    pub source: Upload,
    /// The prefix of its signed object and its raw copy, which no other file has.
    pub signed_prefix: String,
    /// Its ID in the stream and in the job document.
    pub id: u8,
    /// Where devices put it.
    pub path: FilePath,
    /// What devices take it for.
    pub kind: FileType,
    /// Who signs it.
    pub signed_by: SignedBy,
    place: Place,
}

impl FileRequest {
    /// What says something of it, in a sentence: a tag, or a member of the manifest.
    pub(crate) fn name(&self, tag: &str) -> String {
        self.place.name(tag)
    }

    /// What it means that the object version is gone: of an upload, that it was withdrawn.
    pub(crate) fn gone(&self) -> NotReleased {
        match self.place {
            Place::Tags => NotReleased::Skipped(SkipReason::Withdrawn),
            Place::File(_) => NotReleased::Rejected(
                RejectionKind::Manifest,
                vec![self.problem("is gone, expected the version that the manifest names")],
            ),
        }
    }

    /// A problem with the object.
    pub(crate) fn problem(&self, problem: &str) -> String {
        match self.place {
            Place::Tags => format!("the object {problem}"),
            Place::File(at) => format!("`files[{at}]`: the object `{}` {problem}", quoted(&self.source.key)),
        }
    }
}

/// Who signs a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBy {
    /// AWS Signer, with this profile.
    Profile(ProfileName),
    /// AWS Signer has, with this signing job.
    SigningJob(SigningJobId),
    /// Somebody else has.
    Custom(CustomSigning),
}

impl Reader<'_> {
    /// The files of a manifest, each signed by the profile of the tags where it says nothing else.
    pub fn files(&mut self, upload: &Upload, manifest: &Manifest, settings: &Settings) -> Option<Vec<FileRequest>> {
        for tag in OF_FILES.into_iter().filter(|tag| self.tags.contains_key(*tag)) {
            let member = member(tag);
            self.problems
                .push(format!("tag `{tag}` is not taken of a manifest, whose `files` have `{member}` instead"));
        }
        let profile = self.profile(&settings.signing_profile, settings);
        self.problems.extend_from_slice(&manifest.problems);
        let prefix = settings.prefix_of(upload);
        let (mut files, mut paths) = (Vec::new(), Vec::<(FilePath, &str)>::new());
        for file in &manifest.files {
            let mut from = Reader { place: Place::File(file.at), tags: &file.options, problems: Vec::new() };
            let signed_prefix = format!("{prefix}{}/", file.id);
            let profile = profile.as_ref().unwrap_or(&settings.signing_profile);
            files.extend(from.file(profile, &file.source, signed_prefix, file.id, settings));
            let given = file.options.get(FILE_PATH);
            let path = given.map_or_else(|| Ok(FilePath::of_name(file.source.file_name())), |path| path.parse());
            self.problems.append(&mut from.problems);
            // A file without a key, which is a problem already, has no path either.
            let Some(path) = path.ok().filter(|path| !path.0.is_empty()) else { continue };
            if let Some((FilePath(path), twin)) = paths.iter().find(|(other, _)| *other == path) {
                let (name, twin) = (from.place.name(FILE_PATH), quoted(twin));
                self.problems.push(format!("{name} is `{path}`, expected another path than that of `{twin}`"));
            }
            paths.push((path, &file.source.key));
        }
        profile.map(|_| files)
    }

    /// A file that is signed by this profile where nothing else is said.
    pub fn file(
        &mut self,
        profile: &ProfileName,
        source: &Upload,
        signed_prefix: String,
        id: u8,
        settings: &Settings,
    ) -> Option<FileRequest> {
        let signed_by = self.signed_by(profile, settings);
        let path = self.tag_or(FILE_PATH, &FilePath::of_name(source.file_name()));
        let kind = self.tag_or(FILE_TYPE, &FileType::default());
        let (source, place) = (source.clone(), self.place);
        Some(FileRequest { source, signed_prefix, id, path: path?, kind: kind?, signed_by: signed_by?, place })
    }

    fn profile(&mut self, default: &ProfileName, settings: &Settings) -> Option<ProfileName> {
        let profile = self.tag_or(SIGNING_PROFILE, default);
        let is_given = self.tags.contains_key(SIGNING_PROFILE);
        if let Some(profile) = profile.as_ref().filter(|profile| is_given && !settings.allows_profile(profile)) {
            self.problem(SIGNING_PROFILE, &profile.0, &settings.expected_profile());
        }
        profile
    }

    fn signed_by(&mut self, default: &ProfileName, settings: &Settings) -> Option<SignedBy> {
        let signing_job = self.tag(SIGNING_JOB);
        let profile = self.profile(default, settings);
        self.excludes(SIGNING_JOB, SIGNING_PROFILE);
        match (self.custom_signing(settings).ok()?, signing_job.ok()?) {
            (Some(custom), _) => Some(SignedBy::Custom(custom)),
            (None, Some(id)) => Some(SignedBy::SigningJob(id)),
            (None, None) => profile.map(SignedBy::Profile),
        }
    }

    /// A signature is never quoted: what is told here is logged.
    fn custom_signing(&mut self, settings: &Settings) -> Result<Option<CustomSigning>, Reported> {
        let place = self.place;
        let kind = place.kind();
        let algorithm: Result<Option<SignatureAlgorithm>, Reported> = self.tag(SIGNATURE_ALGORITHM);
        let cert_file: Result<Option<CertFile>, Reported> = self.tag(CERTIFICATE);
        let Some(signature) = self.tags.get(SIGNATURE) else {
            for tag in [SIGNATURE_ALGORITHM, CERTIFICATE] {
                if let Some(value) = self.tags.get(tag) {
                    self.problem(tag, value, &format!("no such {kind} without {}", place.short(SIGNATURE)));
                }
            }
            return Ok(None);
        };
        if !settings.allow_unverified.0 {
            self.problems.push(format!(
                "{} is not allowed in this deployment, as nothing verifies it; an operator may allow it with \
                 `ALLOW_UNVERIFIED=true` (parameter `AllowUnverified`)",
                place.name(SIGNATURE)
            ));
        }
        self.excludes(SIGNATURE, SIGNING_PROFILE);
        self.excludes(SIGNATURE, SIGNING_JOB);
        if let Ok(None) = cert_file {
            self.problems.push(format!(
                "{} is missing, expected the path of the certificate on the device beside {}",
                place.name(CERTIFICATE),
                place.short(SIGNATURE)
            ));
        }
        let expected_algorithm =
            algorithm.as_ref().ok().copied().flatten().unwrap_or(SignatureAlgorithm::Sha256WithEcdsa);
        let signature = match place {
            Place::Tags => with_plus(signature, expected_algorithm),
            Place::File(_) => without_breaks(signature),
        };
        if signature == BESIDE {
            if let Some(value) = self.tags.get(SIGNATURE_ALGORITHM) {
                let expected = format!("no such {kind}, as the object beside the image tells it");
                self.problem(SIGNATURE_ALGORITHM, value, &expected);
            }
            return Ok(cert_file?.map(|cert_file| CustomSigning { signature: CustomSignature::Beside, cert_file }));
        }
        let algorithm = algorithm?.unwrap_or(SignatureAlgorithm::Sha256WithEcdsa);
        if let Err(problem) = check_form(&signature, algorithm) {
            self.problems.push(format!(
                "{} is no signature by {}: {problem}; expected one in base64, or `{BESIDE}` for that in the object beside \
                 the image",
                place.name(SIGNATURE),
                algorithm.name()
            ));
        }
        let signature = CustomSignature::Inline(signature, algorithm);
        Ok(cert_file?.map(|cert_file| CustomSigning { signature, cert_file }))
    }
}
