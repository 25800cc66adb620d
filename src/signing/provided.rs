//! Signatures that the uploader provides: a finished signing job, or custom code signing.

use crate::error::{Failure, required};
use crate::not_released::{NotReleased, RejectionKind};
use crate::options::signature::{
    CustomSignature, CustomSigning, ProfileName, SIGNATURE_SUFFIX, SignatureAlgorithm, SigningJobId,
};
use crate::request::file::FileRequest;
use crate::s3::attempts::image_key;
use crate::s3::object::{Image, get, is_gone, unreadable_problem};
use crate::scope::Scope;
use crate::signing::signature_object::MAX_BYTES;
use crate::signing::signed_image::SignedImage;
use crate::signing::signing_job::{SigningError, UsableJob, certificate_arn};
use crate::signing::verification::Verification;
use crate::signing::{fetch, profile, signature_object, signing_job};
use crate::tags::{SIGNATURE, SIGNING_JOB};
use aws_sdk_signer::error::ProvideErrorMetadata as _;
use aws_sdk_signer::operation::describe_signing_job::DescribeSigningJobOutput;

/// A signature that exists before the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvidedSignature {
    /// The signature, in base64.
    pub signature: String,
    pub algorithm: SignatureAlgorithm,
    /// The certificate's path on the device.
    pub cert_file: String,
    /// The ARN of the certificate in ACM. `None` for custom code signing, or if signatures are not verified.
    pub certificate: Option<String>,
    /// The version ID of the object next to the image, if the signature is in one.
    pub version_id: Option<String>,
}

/// Reads the signature of a signing job that the uploader names. The job must belong to this account, and must have
/// succeeded over this object version. Its profile must be allowed and active, and its signature valid. Its signed
/// object must be where the deployment can read it.
///
/// # Errors
/// Rejects the release if the job cannot be used.
pub(crate) async fn by_signing_job(
    scope: Scope<'_>,
    (file, image): (&FileRequest, &Image),
    SigningJobId(id): &SigningJobId,
) -> Result<ProvidedSignature, NotReleased> {
    let rejected = |error| match error {
        SigningError::Failed(failure) => NotReleased::Failed(failure),
        SigningError::Unusable(problem) => {
            let expected = "expected a finished signing job over this very object version";
            let reason = format!("{} is `{id}`, {expected}: {problem}", file.option_name(SIGNING_JOB));
            NotReleased::Rejected(RejectionKind::Signature, vec![reason])
        }
    };
    let unusable = |problem: String| rejected(SigningError::Unusable(problem));
    let job = match scope.aws.signer.describe_signing_job().job_id(id).send().await {
        Ok(job) => job,
        Err(error) if error.code() == Some("ResourceNotFoundException") => {
            return Err(unusable("AWS Signer knows no such job".to_owned()));
        }
        Err(error) => return Err(signing_job::lookup_failure(id, error).into()),
    };
    let UsableJob { signed_object: (_, key), profile, cert_file } = check_job(scope, &job).map_err(rejected)?;
    let state = profile::check_after_signing(scope, profile).await?;
    state.map_err(|problem| unusable(format!("its profile `{profile}`: {problem}")))?;
    let signature = fetch::read_current_or_oldest_signature(scope, image, key).await;
    let (signature, algorithm) =
        signature.map_err(|error| rejected(error.wrap(|problem| format!("its signed object: {problem}"))))?;
    let certificate = scope.settings.verify_signatures.0.then(|| certificate_arn(&job).map(str::to_owned));
    Ok(ProvidedSignature { signature, algorithm, cert_file, certificate: certificate.transpose()?, version_id: None })
}

fn check_job<'a>(scope: Scope<'_>, job: &'a DescribeSigningJobOutput) -> Result<UsableJob<'a>, SigningError> {
    let Scope { settings, upload, .. } = scope;
    let usable = signing_job::check(job, upload, scope.now())?;
    let owner = required(job.job_owner(), "jobOwner")?;
    let (own_bucket, (bucket, key)) = (&upload.bucket, usable.signed_object);
    let by_hand = format!("{}by-hand/", settings.signed_prefix.0);
    Err(SigningError::Unusable(if owner != scope.account() {
        format!("its owner is the account `{owner}`, expected `{}`", scope.account())
    } else if !settings.allows_profile(&ProfileName(usable.profile.to_owned())) {
        format!("its profile is `{}`, expected {}", usable.profile, settings.expected_profile())
    } else if bucket != own_bucket || !(key.starts_with(&by_hand) || key.starts_with(&scope.prefix())) {
        format!("its signed object is s3://{bucket}/{key}, which does not lie below s3://{own_bucket}/{by_hand}")
    } else {
        return Ok(usable);
    }))
}

/// The signature of custom code signing in its tag. `None` if the signature is in the object next to the image.
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

/// Reads the signature of custom code signing from its tag, or from the object next to the image. `version` is the
/// version of that object; `None` stands for the current one.
///
/// # Errors
/// Rejects the release if that object cannot be used.
pub(crate) async fn custom(
    scope: Scope<'_>,
    file: &FileRequest,
    custom: &CustomSigning,
    version: Option<&str>,
) -> Result<ProvidedSignature, NotReleased> {
    if let Some(signature) = inline(custom) {
        return Ok(signature);
    }
    let upload = scope.upload;
    let key = format!("{}{SIGNATURE_SUFFIX}", upload.key);
    let rejected = |problems: Vec<String>| {
        let name = file.option_name(SIGNATURE);
        let reason =
            |problem| format!("{name} is `{SIGNATURE_SUFFIX}`, but the object `{key}` cannot be used: {problem}");
        NotReleased::Rejected(RejectionKind::Signature, problems.into_iter().map(reason).collect())
    };
    let purpose = || format!("reading `s3://{}/{key}`", upload.bucket);
    let response = match get(scope, &key, version).send().await {
        Ok(response) => response,
        Err(error) if is_gone(error.code()) => {
            return Err(rejected(vec!["it does not exist; upload it first".to_owned()]));
        }
        Err(error) if let Some(problem) = unreadable_problem(error.code()) => {
            return Err(rejected(vec![format!("it {problem}")]));
        }
        Err(error) => return Err(Failure::request(purpose(), error).into()),
    };
    let length = required(response.content_length, "Content-Length")?;
    if length > MAX_BYTES {
        return Err(rejected(vec![format!("it has {length} bytes, expected at most {MAX_BYTES}")]));
    }
    let version_id = Some(required(response.version_id, "x-amz-version-id")?);
    let json = response.body.collect().await.map_err(|error| Failure::request(purpose(), error))?.into_bytes();
    let (signature, algorithm) = signature_object::parse(&json, &upload.version_id).map_err(rejected)?;
    Ok(ProvidedSignature { signature, algorithm, cert_file: custom.cert_file.0.clone(), certificate: None, version_id })
}

impl ProvidedSignature {
    /// Returns the image with this signature. Verifies the signature if the deployment verifies signatures and the
    /// certificate is in ACM.
    pub async fn into_signed_image(
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
