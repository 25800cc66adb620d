//! The signing profile: whether it signs, and what it says of the certificate on the device.

use crate::{
    clients::Clients,
    error::{Failure, is_throttled, required},
    not_released::{NotReleased, RejectionKind},
    options::signature::ProfileName,
    request::file::FileRequest,
    s3::object::Image,
};
use aws_sdk_signer::{
    error::ProvideErrorMetadata, operation::get_signing_profile::GetSigningProfileOutput, types::SigningProfileStatus,
};
use jiff::Timestamp;
use std::collections::HashMap;

/// Looks for what signing jobs with a profile would fail on, or be of no use for: its state, the path of the certificate on
/// the device, and the size that its platform takes.
pub(crate) async fn preflight(
    aws: &Clients,
    profile: &ProfileName,
    files: &[(&FileRequest, &Image)],
    now: Timestamp,
) -> Result<(), NotReleased> {
    let described = match aws.signer.get_signing_profile().profile_name(&profile.0).send().await {
        Ok(described) => described,
        // Signer allows 3 such calls a second for a whole account, and StartSigningJob tells what it finds as well.
        Err(error) if is_throttled(error.code()) => return Ok(()),
        Err(error) => {
            return Err(Failure::GetSigningProfile { profile: profile.0.clone(), source: error.into() }.into());
        }
    };
    let unusable = |problem| Failure::SigningProfile { profile: profile.0.clone(), problem };
    check_profile(&described, now)?.map_err(unusable)?;
    cert_file(described.signing_parameters()).map_err(unusable)?;
    let platform = required(described.platform_id(), "platformId")?;
    let Some(most) = most_bytes(platform) else { return Ok(()) };
    let too_large = files.iter().filter(|(_, image)| image.size > most).map(|(file, image)| {
        let expected = format!("expected at most {most}, the most that the signing platform `{platform}` takes");
        file.problem(&format!("has {} bytes, {expected}", image.size))
    });
    let too_large: Vec<_> = too_large.collect();
    if too_large.is_empty() { Ok(()) } else { Err(NotReleased::Rejected(RejectionKind::Object, too_large)) }
}

/// Whether a profile signs, and what it signed is trusted: the problem if not.
///
/// # Errors
/// The response lacks the status, or from when a revocation is effective.
fn check_profile(described: &GetSigningProfileOutput, now: Timestamp) -> Result<Result<(), String>, Failure> {
    let status = required(described.status(), "status")?;
    if *status != SigningProfileStatus::Active {
        return Ok(Err(format!("it is {status}, expected Active")));
    }
    let Some(revocation) = described.revocation_record() else { return Ok(Ok(())) };
    let effective = required(revocation.revocation_effective_from(), "revocationRecord.revocationEffectiveFrom")?;
    let is_revoked = effective.secs() <= now.as_second();
    Ok(if is_revoked { Err("it is revoked, expected Active".to_owned()) } else { Ok(()) })
}

/// Whether a profile is still good that has signed already: the problem if not.
///
/// # Errors
/// It cannot be looked up, also as AWS throttles: a signature is there, so nothing else would notice.
pub(crate) async fn check_profile_of_signature(
    aws: &Clients,
    profile: &str,
    now: Timestamp,
) -> Result<Result<(), String>, Failure> {
    let described = aws.signer.get_signing_profile().profile_name(profile).send().await;
    let described =
        described.map_err(|error| Failure::GetSigningProfile { profile: profile.to_owned(), source: error.into() })?;
    check_profile(&described, now)
}

/// The largest image that a signing platform takes, where that is less than a stream takes
/// (<https://docs.aws.amazon.com/cli/latest/reference/signer/list-signing-platforms.html>).
fn most_bytes(platform: &str) -> Option<u64> {
    matches!(platform, "AmazonFreeRTOS-Default" | "AmazonFreeRTOS-TI-CC3220SF").then_some(16 * 1024 * 1024)
}

/// The path of the certificate on the device, which the profile's `certname` tells. Devices read it without decoding
/// escapes, and AWS IoT would take a `${` for a placeholder of its own.
pub(crate) fn cert_file(parameters: Option<&HashMap<String, String>>) -> Result<String, String> {
    match parameters.and_then(|parameters| parameters.get("certname")) {
        Some(name) if name.contains(['"', '\\']) || name.contains(char::is_control) || name.contains("${") => {
            Err(format!(
                "the signing parameter `certname` is `{name}`, expected no quote, backslash, control character or `${{`"
            ))
        }
        Some(name) if !name.is_empty() => Ok(name.clone()),
        _ => Err("the signing parameter `certname` is missing, the path of the certificate on the device".to_owned()),
    }
}
