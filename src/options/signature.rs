//! Signing profiles and jobs, and signatures that the uploader provides.

use crate::error::Expected;
use crate::options::name::{is_name, validated};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use der::Decode;
use der::asn1::UintRef;
use std::str::FromStr;

/// The name of a Signer profile: 2–64 of `[a-zA-Z0-9_]`
/// (<https://docs.aws.amazon.com/signer/latest/api/API_StartSigningJob.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileName(pub String);

impl FromStr for ProfileName {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let expected = "the name of a Signer profile: 2 to 64 letters, digits and `_`";
        validated(value, is_name(value, 2..=64, "_"), expected).map(Self)
    }
}

/// The ID of a signing job: a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningJobId(pub String);

impl FromStr for SigningJobId {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let is_id = value.len() == 36 && uuid::Uuid::try_parse(value).is_ok();
        validated(value, is_id, "the ID of a signing job, such as `6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01`").map(Self)
    }
}

/// The suffix that a signature object's key adds to the key of its image. As the value of `ota:signature`, it refers to
/// that object.
pub(crate) const SIGNATURE_SUFFIX: &str = ".sig";

/// A signature that the uploader provides, and the path of its certificate on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomSigning {
    /// The signature.
    pub signature: CustomSignature,
    /// The certificate's path on the device.
    pub cert_file: CertFile,
}

/// A signature that the uploader provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomSignature {
    /// The signature in base64, and its algorithm.
    Inline(String, SignatureAlgorithm),
    /// The signature is in the object next to the image.
    Object,
}

/// The path, or name, of a certificate on the device: 1–64 of the ASCII characters that S3 allows in a tag. The
/// strictest device parser accepts at most 64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertFile(pub String);

impl FromStr for CertFile {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let expected = "the path of the certificate on the device: 1 to 64 letters, digits, spaces, `+`, `-`, `=`, `.`, `_`, \
                        `:`, `/` and `@`, such as `/certs/cert.pem`";
        validated(value, is_name(value, 1..=64, " +-=._:/@"), expected).map(Self)
    }
}

/// The signature algorithms for which the job document has a key, such as `sig-sha256-ecdsa`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are complete")]
pub enum SignatureAlgorithm {
    Sha256WithEcdsa,
    Sha256WithRsa,
    Sha1WithEcdsa,
    Sha1WithRsa,
}

impl SignatureAlgorithm {
    /// The name of the algorithm in Signer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256WithEcdsa => "SHA256withECDSA",
            Self::Sha256WithRsa => "SHA256withRSA",
            Self::Sha1WithEcdsa => "SHA1withECDSA",
            Self::Sha1WithRsa => "SHA1withRSA",
        }
    }
}

impl FromStr for SignatureAlgorithm {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let all = [Self::Sha256WithEcdsa, Self::Sha256WithRsa, Self::Sha1WithEcdsa, Self::Sha1WithRsa];
        all.into_iter()
            .find(|algorithm| algorithm.name() == value)
            .ok_or(Expected("`SHA256withECDSA`, `SHA256withRSA`, `SHA1withECDSA` or `SHA1withRSA`".into()))
    }
}

/// Checks that a text is base64 and has the form of a signature by this algorithm. ECDSA signatures are in DER; RSA
/// signatures are as long as a key of 2048, 3072 or 4096 bits.
///
/// # Errors
/// Fails with the problem of a text in another form. The uploader must correct the signature.
pub fn check_form(signature: &str, algorithm: SignatureAlgorithm) -> Result<(), String> {
    let bytes = BASE64_STANDARD.decode(signature).map_err(|_| base64_problem(signature).to_owned())?;
    match algorithm {
        SignatureAlgorithm::Sha256WithEcdsa | SignatureAlgorithm::Sha1WithEcdsa => {
            // The largest curve has 521 bits.
            let is_number = |number: &UintRef<'_>| {
                let bytes = number.as_bytes();
                bytes.len() <= 66 && bytes.iter().any(|byte| *byte != 0)
            };
            let numbers = Vec::<UintRef<'_>>::from_der(&bytes);
            let is_signature = numbers.is_ok_and(|numbers| numbers.len() == 2 && numbers.iter().all(is_number));
            is_signature.then_some(()).ok_or(format!("its {} bytes are not an ECDSA signature in DER", bytes.len()))
        }
        SignatureAlgorithm::Sha256WithRsa | SignatureAlgorithm::Sha1WithRsa => match bytes.len() {
            256 | 384 | 512 => Ok(()),
            length => Err(format!("its {length} bytes are not an RSA signature of 256, 384 or 512 bytes")),
        },
    }
}

/// Returns the problem of a text that is not base64.
fn base64_problem(text: &str) -> &'static str {
    let bare = text.trim_end_matches('=');
    // Many short words are valid base64, but no signature is that short.
    if bare.len() < 8 {
        "it is not base64"
    } else if BASE64_STANDARD_NO_PAD.decode(bare).is_ok() {
        "its padding is wrong, expected `=` at the end up to a multiple of 4 characters"
    } else if BASE64_URL_SAFE_NO_PAD.decode(bare).is_ok() {
        "it is base64url, expected `+` for `-`, `/` for `_`, and `=` at the end up to a multiple of 4 characters"
    } else {
        "it is not base64"
    }
}

/// Returns the signature in a tag, with `+` for each space: S3 decodes a `+` in the header of an upload to a space.
/// Spaces around the signature also become `+` if the signature is then valid; otherwise, they are removed.
pub(crate) fn restore_plus_signs(signature: &str, algorithm: SignatureAlgorithm) -> String {
    let [whole, trimmed] = [signature, signature.trim()].map(|signature| signature.replace(' ', "+"));
    if check_form(&whole, algorithm).is_ok() { whole } else { trimmed }
}

/// Removes the line breaks and spaces that tools insert into base64.
pub(crate) fn remove_whitespace(base64: &str) -> String {
    base64.split_ascii_whitespace().collect()
}

#[cfg(test)]
mod tests;
