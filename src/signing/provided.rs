//! A signature that the uploader brings: that of a signing job which has finished already, or one that was made elsewhere.

use crate::{
    clients::Clients,
    error::{Failure, required, required_text},
    not_released::{NotReleased, RejectionKind, combine, combine_all},
    options::signature::{
        CustomSignature, CustomSigning, ProfileName, SIGNATURE_SUFFIX, SignatureAlgorithm, SigningJobId,
    },
    request::file::{FileRequest, SignedBy},
    s3::attempts::image_key,
    s3::object::{Image, is_gone, unreadable},
    settings::Settings,
    signing::fetch::{self},
    signing::profile::{self},
    signing::sign::SignedImage,
    signing::signature_object::{self, read_beside},
    signing::signing_job::{self, Succeeded},
    signing::verification::Verification,
    tags::{SIGNATURE, SIGNING_JOB},
    upload::Upload,
};
use aws_sdk_signer::{
    error::ProvideErrorMetadata,
    operation::describe_signing_job::DescribeSigningJobOutput,
    types::{SigningMaterial, SigningStatus},
};
use futures::future::{join, join_all};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What can be signed, or is.
#[derive(Debug)]
pub(crate) enum SignatureSource<'a> {
    Signer(&'a ProfileName),
    Provided(ProvidedSignature),
}

impl SignatureSource<'_> {
    pub fn given(&self) -> Option<&ProvidedSignature> {
        match self {
            Self::Signer(_) => None,
            Self::Provided(given) => Some(given),
        }
    }
}

/// Looks for what keeps files from being signed, or for the signatures that are there. Each profile is looked up once. Of a
/// signature object whose version is recorded, that version is read.
pub(crate) async fn preflight<'a>(
    aws: &Clients,
    settings: &Settings,
    files: &[(&'a FileRequest, &Image)],
    recorded: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Vec<SignatureSource<'a>>, NotReleased> {
    let mut by_profile: Vec<(&ProfileName, Vec<(&FileRequest, &Image)>)> = Vec::new();
    for (file, image) in files {
        let SignedBy::Profile(profile) = &file.signed_by else { continue };
        match by_profile.iter_mut().find(|(known, _)| *known == profile) {
            Some((_, files)) => files.push((file, image)),
            None => by_profile.push((profile, vec![(file, image)])),
        }
    }
    let profiles = join_all(by_profile.iter().map(|(profile, files)| profile::preflight(aws, profile, files, now)));
    let signable = join_all(files.iter().map(|(file, image)| async move {
        match &file.signed_by {
            SignedBy::Profile(profile) => Ok(SignatureSource::Signer(profile)),
            SignedBy::SigningJob(id) => {
                of_signing_job(aws, settings, (file, image), id, now).await.map(SignatureSource::Provided)
            }
            SignedBy::Custom(custom) => {
                let version = recorded.get(&file.source.key);
                of_custom(aws, settings, file, custom, version).await.map(SignatureSource::Provided)
            }
        }
    }));
    let (profiles, signable) = join(profiles, signable).await;
    combine(combine_all(profiles), combine_all(signable)).map(|(_, signable)| signable)
}

/// A signature over an upload that is there before the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvidedSignature {
    /// In base64.
    pub signature: String,
    pub algorithm: SignatureAlgorithm,
    /// The certificate's path on the device.
    pub cert_file: String,
    /// The certificate's ARN in ACM, where it has one.
    pub certificate: Option<String>,
    /// The version ID of the object beside the image, where it lies there.
    pub version_id: Option<String>,
}

/// By the key of the image, the versions of the signature objects that were read.
pub(crate) fn versions(files: &[(&FileRequest, &Image)], signable: &[SignatureSource<'_>]) -> BTreeMap<String, String> {
    let each = files.iter().zip(signable);
    let version = |((file, _), signable): (&(&FileRequest, &Image), &SignatureSource<'_>)| {
        Some((file.source.key.clone(), signable.given()?.version_id.clone()?))
    };
    each.filter_map(version).collect()
}

/// The signature of a signing job that the uploader names. The job must have succeeded, be of this account and this very
/// version, and by a profile that this deployment allows and that is still good; its signature must be valid, and its signed
/// object must lie where this deployment may read it.
async fn of_signing_job(
    aws: &Clients,
    settings: &Settings,
    (file, image): (&FileRequest, &Image),
    id: &SigningJobId,
    now: Timestamp,
) -> Result<ProvidedSignature, NotReleased> {
    let (upload, SigningJobId(id)) = (&file.source, id);
    let refused = |problem: &str| {
        let expected = "expected a finished signing job over this very object version";
        NotReleased::Rejected(
            RejectionKind::Signature,
            vec![format!("{} is `{id}`, {expected}: {problem}", file.option_name(SIGNING_JOB))],
        )
    };
    let job = match aws.signer.describe_signing_job().job_id(id).send().await {
        Ok(job) => job,
        Err(error) if error.code() == Some("ResourceNotFoundException") => {
            return Err(refused("AWS Signer knows no such job"));
        }
        Err(error) => {
            return Err(Failure::DescribeSigningJob { signing_job: id.clone(), source: error.into() }.into());
        }
    };
    let (key, profile, cert_file) = check(settings, upload, &job, now)?.map_err(|problem| refused(&problem))?;
    let is_good = profile::check_profile_of_signature(aws, profile, now).await?;
    is_good.map_err(|problem| refused(&format!("its profile `{profile}`: {problem}")))?;
    let (signature, algorithm) = match fetch::read_under_copy(aws, settings, upload, image, key).await {
        Ok(read) => read,
        Err(Failure::SignedObject { problem, .. }) => return Err(refused(&format!("its signed object: {problem}"))),
        Err(failure) => return Err(failure.into()),
    };
    let certificate = job.signing_material().map(SigningMaterial::certificate_arn);
    let certificate = settings.verify_signatures.0.then(|| {
        let certificate = required(certificate, "signingMaterial")?;
        required_text(certificate, "certificateArn").map(str::to_owned)
    });
    Ok(ProvidedSignature { signature, algorithm, cert_file, certificate: certificate.transpose()?, version_id: None })
}

/// The key of the job's signed object, its profile, and the certificate's path on the device; or why the job cannot be used.
fn check<'a>(
    settings: &Settings,
    upload: &Upload,
    job: &'a DescribeSigningJobOutput,
    now: Timestamp,
) -> Result<Result<(&'a str, &'a str, String), String>, Failure> {
    let status = required(job.status(), "status")?;
    if *status != SigningStatus::Succeeded {
        let reason = job.status_reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
        return Ok(Err(format!("its status is `{status}`{reason}")));
    }
    let Succeeded { source, signed_object: (bucket, signed_key), profile } = Succeeded::of(job)?;
    let owner = required(job.job_owner(), "jobOwner")?;
    let (ours, account) = (&upload.bucket, &settings.ota_role.account);
    let (by_hand, own) = (format!("{}by-hand/", settings.signed_prefix.0), settings.prefix_of(upload));
    Ok(if let Err(problem) = signing_job::check_validity(job, now) {
        Err(problem)
    } else if owner != account {
        Err(format!("its owner is the account `{owner}`, expected `{account}`"))
    } else if source != (&upload.bucket, &upload.key, &upload.version_id) {
        let (bucket, key, version) = source;
        Err(format!("its source is s3://{bucket}/{key} version {version}, this is {upload}"))
    } else if !settings.allows_profile(&ProfileName(profile.to_owned())) {
        Err(format!("its profile is `{profile}`, expected {}", settings.expected_profile()))
    } else if bucket != ours || !(signed_key.starts_with(&by_hand) || signed_key.starts_with(&own)) {
        Err(format!("its signed object is s3://{bucket}/{signed_key}, which does not lie below s3://{ours}/{by_hand}"))
    } else {
        profile::cert_file(job.signing_parameters()).map(|cert_file| (signed_key, profile, cert_file))
    })
}

/// The signature of custom code signing, as its tag has it.
pub(crate) fn inline(custom: &CustomSigning) -> Option<ProvidedSignature> {
    match &custom.signature {
        CustomSignature::Inline(signature, algorithm) => Some(ProvidedSignature {
            signature: signature.clone(),
            algorithm: *algorithm,
            cert_file: custom.cert_file.0.clone(),
            certificate: None,
            version_id: None,
        }),
        CustomSignature::Object => None,
    }
}

/// The signature of custom code signing, from its tag or the object beside the image: its recorded version, or else the
/// current one.
async fn of_custom(
    aws: &Clients,
    settings: &Settings,
    file: &FileRequest,
    custom: &CustomSigning,
    version: Option<&String>,
) -> Result<ProvidedSignature, NotReleased> {
    if let Some(given) = inline(custom) {
        return Ok(given);
    }
    let upload = &file.source;
    let key = format!("{}{SIGNATURE_SUFFIX}", upload.key);
    let refused = |problems: Vec<String>| {
        let name = file.option_name(SIGNATURE);
        let reason =
            |problem| format!("{name} is `{SIGNATURE_SUFFIX}`, but the object `{key}` cannot be used: {problem}");
        NotReleased::Rejected(RejectionKind::Signature, problems.into_iter().map(reason).collect())
    };
    let failure = |source| Failure::GetObject { object: format!("s3://{}/{key}", upload.bucket), source };
    let call = aws.s3.get_object().bucket(&upload.bucket).key(&key).set_version_id(version.cloned());
    let answer = match call.expected_bucket_owner(&settings.ota_role.account).send().await {
        Ok(answer) => answer,
        Err(error) if is_gone(error.code()) => {
            return Err(refused(vec!["it is not there, upload it first".to_owned()]));
        }
        Err(error) if let Some(problem) = unreadable(error.code()) => {
            return Err(refused(vec![format!("it {problem}")]));
        }
        Err(error) => return Err(failure(error.into()).into()),
    };
    let length = required(answer.content_length, "Content-Length")?;
    if length > signature_object::MAX_BYTES {
        return Err(refused(vec![format!("it has {length} bytes, expected at most {}", signature_object::MAX_BYTES)]));
    }
    let version_id = Some(required(answer.version_id, "x-amz-version-id")?);
    let json = answer.body.collect().await.map_err(|error| failure(error.into()))?.into_bytes();
    let (signature, algorithm) = read_beside(&json, &upload.version_id).map_err(refused)?;
    Ok(ProvidedSignature { signature, algorithm, cert_file: custom.cert_file.0.clone(), certificate: None, version_id })
}

impl ProvidedSignature {
    /// The image with this signature, verified while that is wanted and it has a certificate in ACM.
    pub async fn over(
        self,
        file: &FileRequest,
        image: &Image,
        verification: Option<&Verification<'_>>,
    ) -> Result<SignedImage, Failure> {
        let mut verified_until = None;
        if let (Some(verification), Some(arn)) = (verification, &self.certificate) {
            let certificate = verification.certificate(arn).await?;
            verification.verify(&certificate, self.algorithm, &self.signature).await?;
            verified_until = Some(certificate.not_after);
        }
        let Self { signature, algorithm, cert_file, .. } = self;
        let (key, size) = (image_key(&file.signed_prefix), image.size);
        Ok(SignedImage { key, signature, algorithm, cert_file, size, verified_until })
    }
}
