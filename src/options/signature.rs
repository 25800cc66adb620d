//! Custom code signing: a signature that was made elsewhere, in a tag or in an object beside the image.

use crate::error::Expected;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use der::{Decode, asn1::UintRef};
use std::str::FromStr;

/// The value of `ota:signature`, and what is put after the image's key, where the signature is in an object of its own.
pub(crate) const BESIDE: &str = ".sig";

/// A signature that was made elsewhere, and the path of its certificate on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomSigning {
    /// The signature.
    pub signature: CustomSignature,
    /// The certificate's path on the device.
    pub cert_file: CertFile,
}

/// A signature that was made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomSignature {
    /// That of a tag, in base64, and its algorithm.
    Inline(String, SignatureAlgorithm),
    /// That of the object beside the image.
    Beside,
}

/// The path, or name, of a certificate on the device: 1–64 characters, as the strictest parser takes no more, of those in
/// ASCII that a tag may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertFile(pub String);

impl FromStr for CertFile {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let takes = |byte: u8| byte.is_ascii_alphanumeric() || b" +-=._:/@".contains(&byte);
        let is_path = (1..=64).contains(&value.len()) && value.bytes().all(takes);
        is_path.then(|| Self(value.to_owned())).ok_or(Expected(
            "the path of the certificate on the device: 1 to 64 letters, digits, spaces, `+`, `-`, `=`, `.`, `_`, `:`, `/` \
             and `@`, such as `/certs/cert.pem`"
                .into(),
        ))
    }
}

/// Checks that a text has the form of a signature by this algorithm: base64, and in it the DER of an ECDSA signature, or as
/// many bytes as an RSA key of 2048, 3072 or 4096 bits makes.
///
/// # Errors
/// What it has in place of that.
pub fn check_form(signature: &str, algorithm: SignatureAlgorithm) -> Result<(), String> {
    let bytes = BASE64_STANDARD.decode(signature).map_err(|_| base64_problem(signature).to_owned())?;
    match algorithm {
        SignatureAlgorithm::Sha256WithEcdsa | SignatureAlgorithm::Sha1WithEcdsa => {
            // Of a curve of 521 bits at most.
            let is_number = |number: &UintRef<'_>| {
                let bytes = number.as_bytes();
                bytes.len() <= 66 && bytes.iter().any(|byte| *byte != 0)
            };
            let numbers = Vec::<UintRef<'_>>::from_der(&bytes);
            let is_signature = numbers.is_ok_and(|numbers| numbers.len() == 2 && numbers.iter().all(is_number));
            is_signature.then_some(()).ok_or_else(|| format!("its {} bytes are no ECDSA signature in DER", bytes.len()))
        }
        SignatureAlgorithm::Sha256WithRsa | SignatureAlgorithm::Sha1WithRsa => match bytes.len() {
            256 | 384 | 512 => Ok(()),
            length => Err(format!("it has {length} bytes, an RSA signature has 256, 384 or 512")),
        },
    }
}

/// What is wrong with a text that is not base64.
fn base64_problem(text: &str) -> &'static str {
    let bare = text.trim_end_matches('=');
    // No signature is that short: a word is not one.
    if bare.len() < 8 {
        "it is not base64"
    } else if BASE64_STANDARD_NO_PAD.decode(bare).is_ok() {
        "its padding is wrong, expected `=` at its end up to a multiple of 4 letters"
    } else if BASE64_URL_SAFE_NO_PAD.decode(bare).is_ok() {
        "it is base64url, expected `+` for `-`, `/` for `_`, and `=` at its end up to a multiple of 4 letters"
    } else {
        "it is not base64"
    }
}

/// A signature of a tag. S3 decodes a `+` in the header of an upload to a space, and allows no line breaks; blanks at the
/// ends are left out unless they stand for a `+`.
pub(crate) fn with_plus(signature: &str, algorithm: SignatureAlgorithm) -> String {
    let [whole, trimmed] = [signature, signature.trim()].map(|signature| signature.replace(' ', "+"));
    if check_form(&whole, algorithm).is_ok() { whole } else { trimmed }
}

/// A signature without the line breaks and blanks that tools put into base64.
pub(crate) fn without_breaks(base64: &str) -> String {
    base64.split_ascii_whitespace().collect()
}

/// The signature algorithms for which devices have a key in the job document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say all")]
pub enum SignatureAlgorithm {
    Sha256WithEcdsa,
    Sha256WithRsa,
    Sha1WithEcdsa,
    Sha1WithRsa,
}

impl SignatureAlgorithm {
    /// Its name, as Signer writes it.
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

/// The ID of a signing job: a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningJobId(pub String);

impl FromStr for SigningJobId {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let is_id = value.len() == 36 && uuid::Uuid::try_parse(value).is_ok();
        is_id
            .then(|| Self(value.to_owned()))
            .ok_or(Expected("the ID of a signing job, such as `6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01`".into()))
    }
}

/// The name of a Signer profile: 2–64 of `[a-zA-Z0-9_]`
/// (<https://docs.aws.amazon.com/signer/latest/api/API_StartSigningJob.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileName(pub String);

impl FromStr for ProfileName {
    type Err = Expected;
    fn from_str(value: &str) -> Result<Self, Expected> {
        let is_name =
            (2..=64).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name
            .then(|| Self(value.to_owned()))
            .ok_or(Expected("the name of a Signer profile: 2 to 64 letters, digits and `_`".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::signature_object::parse;
    use proptest::prelude::*;
    use serde_json::json;

    const ECDSA: SignatureAlgorithm = SignatureAlgorithm::Sha256WithEcdsa;
    const RSA: SignatureAlgorithm = SignatureAlgorithm::Sha256WithRsa;

    fn of(bytes: &[u8]) -> String {
        BASE64_STANDARD.encode(bytes)
    }

    #[test]
    fn the_form_of_a_signature_is_that_of_its_algorithm() {
        let number = |length: usize| [&[2, u8::try_from(length).unwrap()], &vec![1; length][..]].concat();
        let pair = |first: Vec<u8>, second: Vec<u8>| {
            let both = [first, second].concat();
            let length = u8::try_from(both.len()).unwrap();
            let head = if length < 128 { vec![0x30, length] } else { vec![0x30, 0x81, length] };
            [head, both].concat()
        };
        for length in [1, 31, 32, 48, 66] {
            assert_eq!(check_form(&of(&pair(number(length), number(32))), ECDSA), Ok(()), "{length}");
        }
        // A number whose first bit is set has a zero before it.
        assert_eq!(check_form(&of(&pair([&[2, 33, 0], &[255; 32][..]].concat(), number(32))), ECDSA), Ok(()));
        let whole = pair(number(32), number(32));
        for bad in [
            vec![],
            whole[..69].to_vec(),
            [&whole[..], &[0]].concat(),
            pair(number(32), vec![]),
            pair(number(32), [number(1), number(1)].concat()),
            pair(number(67), number(32)),
            pair(vec![2, 1, 0], number(32)),
            pair(vec![2, 1, 255], number(32)),
            pair(vec![2, 2, 0, 1], number(32)),
            vec![1; 64],
        ] {
            let problem = format!("its {} bytes are no ECDSA signature in DER", bad.len());
            assert_eq!(check_form(&of(&bad), ECDSA), Err(problem), "{bad:?}");
        }
        for length in [256, 384, 512] {
            assert_eq!(check_form(&of(&vec![7; length]), RSA), Ok(()));
        }
        assert_eq!(
            check_form(&of(&[7; 255]), RSA),
            Err("it has 255 bytes, an RSA signature has 256, 384 or 512".to_owned())
        );
        for bad in ["ME C", "MEUC!", "!", "M", "sig", "-+-+-+-+-+", "MEUC AAAA"] {
            assert_eq!(check_form(bad, RSA), Err("it is not base64".to_owned()), "{bad}");
        }
        for bad in ["MEUCMEUC=", "MEUCMEUCMA", "MEUCMEUCMA=", "MEUCMEUCMA==="] {
            let padding = "its padding is wrong, expected `=` at its end up to a multiple of 4 letters";
            assert_eq!(check_form(bad, RSA), Err(padding.to_owned()), "{bad}");
        }
        for bad in ["-_-_-_-_", "MEUCME-C", "MEUCMEUC-_8", "MEUCMEUC-_8="] {
            assert!(check_form(bad, RSA).unwrap_err().starts_with("it is base64url, expected "), "{bad}");
        }
    }

    #[test]
    fn a_blank_of_a_tag_stands_for_a_plus_where_that_is_a_signature() {
        // It begins and ends with a `+`.
        let plus = format!("+{}+", "A".repeat(510));
        for given in [plus.clone(), plus.replace('+', " "), format!(" {plus}"), format!("{plus}  ")] {
            assert_eq!(with_plus(&given, RSA), plus);
        }
        let plain = of(&[7; 256]);
        assert_eq!(with_plus(&format!("  {plain} \t"), RSA), plain);
    }

    #[test]
    fn the_object_beside_the_image_names_its_version() {
        let good = json!({"versionId": "v1", "signature": of(&[7; 256]), "signatureAlgorithm": "SHA256withRSA"});
        let read = |object: &serde_json::Value| parse(object.to_string().as_bytes(), "v1");
        assert_eq!(read(&good), Ok((of(&[7; 256]), RSA)));
        let with = |member: &str, value: &str| {
            let mut object = good.clone();
            object[member] = value.into();
            read(&object).unwrap_err()
        };
        let algorithms = "`SHA256withECDSA`, `SHA256withRSA`, `SHA1withECDSA` or `SHA1withRSA`";
        for (member, value, problem) in [
            ("versionId", "v2", "`versionId` is `v2`, expected `v1`, that of the image".to_owned()),
            ("signatureAlgorithm", "RSA", format!("`signatureAlgorithm` is `RSA`, expected {algorithms}")),
            ("signature", "?", "`signature` is no signature by SHA256withRSA: it is not base64".to_owned()),
            ("comment", "x", "`comment` is not known".to_owned()),
            ("Signature", "x", "`Signature` is not known, did you mean `signature`?".to_owned()),
        ] {
            assert_eq!(with(member, value), [problem]);
        }
        let all = json!({"versionId": "v2", "signature": 7, "signatureAlgorithm": "RSA", "version": "v1"});
        assert_eq!(read(&all).unwrap_err().len(), 4, "{:?}", read(&all));
        assert_eq!(read(&json!({})).unwrap_err().len(), 3);
        let twice = "{\"versionId\":\"v1\",\"versionId\":\"v1\"}";
        assert!(parse(twice.as_bytes(), "v1").unwrap_err().contains(&"`versionId` is there twice".to_owned()));
        let shape = "expected `{\"versionId\":\"…\",\"signature\":\"…\",\"signatureAlgorithm\":\"…\"}`: ";
        for text in [&b""[..], b"[]", b"{", b"\x1f\x8b", b"{\0}\0"] {
            let problems = parse(text, "v1").unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(shape), "{problems:?}");
        }
    }

    #[test]
    fn a_signature_is_read_however_it_is_broken_into_lines_and_encoded() {
        let signature = of(&[7; 256]);
        for (length, end) in [(64, "\n"), (76, "\r\n"), (1000, "\n"), (64, " \t\n"), (4, " ")] {
            let lines =
                signature.as_bytes().chunks(length).map(|line| format!("{}{end}", str::from_utf8(line).unwrap()));
            let broken = lines.collect::<String>();
            assert_eq!(without_breaks(&broken), signature);
            let object = json!({"versionId": "v1", "signature": broken, "signatureAlgorithm": "SHA256withRSA"});
            let marked = format!("\u{feff}{object}");
            let utf_16 = |unit: fn(u16) -> [u8; 2]| marked.encode_utf16().flat_map(unit).collect::<Vec<_>>();
            for bytes in [marked.clone().into_bytes(), utf_16(u16::to_le_bytes), utf_16(u16::to_be_bytes)] {
                assert_eq!(parse(&bytes, "v1"), Ok((signature.clone(), RSA)));
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes, "v1");
            let _ = check_form(&of(&bytes), ECDSA);
        }
    }
}
