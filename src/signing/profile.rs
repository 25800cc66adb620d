//! Checks signing profiles: their state, the path of the certificate on the device, and the size of images.

use crate::error::{Failure, is_throttled, required};
use crate::not_released::{NotReleased, RejectionKind};
use crate::options::signature::ProfileName;
use crate::request::file::FileRequest;
use crate::s3::object::Image;
use crate::scope::Scope;
use aws_sdk_signer::error::ProvideErrorMetadata;
use aws_sdk_signer::operation::get_signing_profile::GetSigningProfileOutput;
use aws_sdk_signer::types::SigningProfileStatus;
use jiff::Timestamp;
use std::collections::HashMap;

/// Checks the state of a signing profile, its path of the certificate on the device, and the size of each image. If one
/// of these is wrong, a signing job fails, or devices cannot use its signature.
pub(crate) async fn check_before_signing(
    scope: Scope<'_>,
    profile: &ProfileName,
    files: &[(&FileRequest, &Image)],
) -> Result<(), NotReleased> {
    let described = match scope.aws.signer.get_signing_profile().profile_name(&profile.0).send().await {
        Ok(described) => described,
        // Not an error: Signer allows 3 such requests a second for an account, and StartSigningJob has the same checks.
        Err(error) if is_throttled(error.code()) => return Ok(()),
        Err(error) => return Err(Failure::request(looking_up(&profile.0), error).into()),
    };
    check_state(&described, scope.now())?
        .and_then(|()| cert_file(described.signing_parameters()).map(drop))
        .map_err(|problem| unusable(&profile.0, &problem))?;
    let platform = required(described.platform_id(), "platformId")?;
    let Some(max) = max_bytes(platform) else { return Ok(()) };
    let too_large = files.iter().filter(|(_, image)| image.size > max).map(|(file, image)| {
        let expected = format!("expected at most {max}, the maximum of the signing platform `{platform}`");
        file.problem(&format!("has {} bytes, {expected}", image.size))
    });
    let too_large: Vec<_> = too_large.collect();
    if too_large.is_empty() { Ok(()) } else { Err(NotReleased::Rejected(RejectionKind::Object, too_large)) }
}

/// Checks that the existing signatures of a profile can still be used. The inner `Err` is the problem.
///
/// # Errors
/// Fails if the profile cannot be looked up. Throttling is a failure, too, because no later step makes this check.
pub(crate) async fn check_after_signing(scope: Scope<'_>, profile: &str) -> Result<Result<(), String>, Failure> {
    let described = scope.aws.signer.get_signing_profile().profile_name(profile).send().await;
    check_state(&described.map_err(|error| Failure::request(looking_up(profile), error))?, scope.now())
}

fn looking_up(profile: &str) -> String {
    format!("looking up the signing profile `{profile}`")
}

/// The failure of a release whose signing profile has a problem.
pub(crate) fn unusable(profile: &str, problem: &str) -> Failure {
    Failure::Other(format!("the signing profile `{profile}` cannot be used: {problem}"))
}

/// Checks that a profile can sign, and that its signatures are trusted. The inner `Err` is the problem.
///
/// # Errors
/// Fails if the response lacks the status, or the time at which a revocation becomes effective.
fn check_state(described: &GetSigningProfileOutput, now: Timestamp) -> Result<Result<(), String>, Failure> {
    let status = required(described.status(), "status")?;
    if *status != SigningProfileStatus::Active {
        return Ok(Err(format!("it is {status}, expected Active")));
    }
    let Some(revocation) = described.revocation_record() else { return Ok(Ok(())) };
    let effective = required(revocation.revocation_effective_from(), "revocationRecord.revocationEffectiveFrom")?;
    let is_revoked = effective.secs() <= now.as_second();
    Ok(if is_revoked { Err("it is revoked, expected Active".to_owned()) } else { Ok(()) })
}

/// The maximum size of an image on a signing platform, in bytes. `None` if the platform allows every image that a
/// stream allows (<https://docs.aws.amazon.com/cli/latest/reference/signer/list-signing-platforms.html>).
fn max_bytes(platform: &str) -> Option<u64> {
    matches!(platform, "AmazonFreeRTOS-Default" | "AmazonFreeRTOS-TI-CC3220SF").then_some(16 * 1024 * 1024)
}

/// The path of the certificate on the device: the profile's `certname`. Devices do not decode escapes in it, and AWS
/// IoT would read `${` as a placeholder.
///
/// # Errors
/// Fails with the problem if `certname` is missing, or devices cannot read it.
pub(crate) fn cert_file(parameters: Option<&HashMap<String, String>>) -> Result<String, String> {
    match parameters.and_then(|parameters| parameters.get("certname")) {
        Some(name) if name.contains(['"', '\\']) || name.contains(char::is_control) || name.contains("${") => {
            Err(format!(
                "the signing parameter `certname` is `{name}`, expected no quote, backslash, control character or `${{`"
            ))
        }
        Some(name) if !name.is_empty() => Ok(name.clone()),
        _ => Err("the signing parameter `certname`, the path of the certificate on the device, is missing".to_owned()),
    }
}
