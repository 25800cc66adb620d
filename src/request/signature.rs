//! Reads a signature that the uploader provides.

use crate::options::signature::{
    CertFile, CustomSignature, CustomSigning, SIGNATURE_SUFFIX, SignatureAlgorithm, check_form, remove_whitespace,
    restore_plus_signs,
};
use crate::request::reader::{Invalid, Location, Reader};
use crate::settings::Settings;
use crate::tags::{CERTIFICATE, SIGNATURE, SIGNATURE_ALGORITHM, SIGNING_JOB, SIGNING_PROFILE};

/// Reads the signature of a file, its algorithm and its certificate. Messages never quote the signature, because messages
/// are logged.
pub(crate) fn read_custom_signing(
    reader: &mut Reader<'_>,
    settings: &Settings,
) -> Result<Option<CustomSigning>, Invalid> {
    let location = reader.location;
    let algorithm = reader.read(SIGNATURE_ALGORITHM);
    let cert_file: Result<Option<CertFile>, Invalid> = reader.read(CERTIFICATE);
    let Some(signature) = reader.options.get(SIGNATURE) else {
        for tag in [SIGNATURE_ALGORITHM, CERTIFICATE] {
            reader.reject(tag, &format!(" without {}", location.short_name(SIGNATURE)));
        }
        return Ok(None);
    };
    if !settings.allow_unverified.0 {
        reader.problems.push(format!(
            "{} is not allowed in this deployment, as nothing verifies it; an operator may allow it with \
             `ALLOW_UNVERIFIED=true` (parameter `AllowUnverified`)",
            location.option_name(SIGNATURE)
        ));
    }
    reader.reject_together(SIGNING_PROFILE, SIGNATURE);
    reader.reject_together(SIGNING_JOB, SIGNATURE);
    if let Ok(None) = cert_file {
        reader.problems.push(format!(
            "{} is missing, expected the path of the certificate on the device, which {} requires",
            location.option_name(CERTIFICATE),
            location.short_name(SIGNATURE)
        ));
    }
    let signature = read_signature(reader, signature, algorithm)?;
    Ok(cert_file?.map(|cert_file| CustomSigning { signature, cert_file }))
}

fn read_signature(
    reader: &mut Reader<'_>,
    value: &str,
    algorithm: Result<Option<SignatureAlgorithm>, Invalid>,
) -> Result<CustomSignature, Invalid> {
    let algorithm = algorithm.map(|algorithm| algorithm.unwrap_or(SignatureAlgorithm::Sha256WithEcdsa));
    let signature = match reader.location {
        Location::Tags => restore_plus_signs(value, algorithm.unwrap_or(SignatureAlgorithm::Sha256WithEcdsa)),
        Location::File(_) => remove_whitespace(value),
    };
    if signature == SIGNATURE_SUFFIX {
        reader.reject(SIGNATURE_ALGORITHM, ", as the object next to the image names the algorithm");
        return Ok(CustomSignature::Object);
    }
    let algorithm = algorithm?;
    if let Err(problem) = check_form(&signature, algorithm) {
        reader.problems.push(format!(
            "{} is not a signature by {}: {problem}; expected base64, or `{SIGNATURE_SUFFIX}` for the signature in the \
             object next to the image",
            reader.location.option_name(SIGNATURE),
            algorithm.name()
        ));
    }
    Ok(CustomSignature::Inline(signature, algorithm))
}

#[cfg(test)]
mod tests;
