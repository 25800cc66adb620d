use super::*;
use crate::request::reader::tests;
use crate::settings::tests::settings;

/// A signature by OpenSSL with a P-256 key.
const ECDSA: &str = "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";

fn read(allowed: &str, location: Location, options: &[(&str, &str)]) -> Result<Option<CustomSigning>, Vec<String>> {
    let settings = settings(&[("ALLOW_UNVERIFIED", allowed)]).unwrap();
    tests::read(location, options, |reader| read_custom_signing(reader, &settings)).map(Result::unwrap)
}

fn read_tags(tags: &[(&str, &str)]) -> Result<Option<CustomSigning>, Vec<String>> {
    read("true", Location::Tags, tags)
}

#[test]
fn a_signature_has_an_algorithm_and_a_certificate() {
    let certificate = (CERTIFICATE, "Code Verify Key");
    let custom = |signature| Ok(Some(CustomSigning { signature, cert_file: CertFile(certificate.1.to_owned()) }));
    let inline = |algorithm| custom(CustomSignature::Inline(ECDSA.to_owned(), algorithm));
    assert_eq!(read_tags(&[]), Ok(None));
    assert_eq!(read_tags(&[(SIGNATURE, ECDSA), certificate]), inline(SignatureAlgorithm::Sha256WithEcdsa));
    let sha1 = (SIGNATURE_ALGORITHM, "SHA1withECDSA");
    assert_eq!(read_tags(&[(SIGNATURE, ECDSA), sha1, certificate]), inline(SignatureAlgorithm::Sha1WithEcdsa));
    assert_eq!(read_tags(&[(SIGNATURE, ".sig"), certificate]), custom(CustomSignature::Object));
}

#[test]
fn spaces_in_tags_and_line_breaks_in_manifests_do_not_change_a_signature() {
    let certificate = (CERTIFICATE, "c");
    // S3 decodes each `+` of a tag in a header to a space.
    let plus = "MEQCIAz78v/+Zg4hOkHXhRZbVxrTPNj0uCg9q7iOzVf9AiAMAiAB+AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==";
    let expected = read_tags(&[(SIGNATURE, plus), certificate]);
    assert!(expected.is_ok());
    assert_eq!(read_tags(&[(SIGNATURE, &plus.replace('+', " ")), certificate]), expected);
    let (start, end) = plus.split_at(64);
    let lines = [(SIGNATURE, &*format!("{start}\r\n{end}\n")), certificate];
    assert_eq!(read("true", Location::File(0), &lines), expected);
}

#[test]
fn a_malformed_signature_is_rejected() {
    let form = "expected base64, or `.sig` for the signature in the object next to the image";
    for (value, algorithm, problem) in [
        ("", "SHA256withECDSA", "its 0 bytes are not an ECDSA signature in DER"),
        (ECDSA, "SHA1withRSA", "its 71 bytes are not an RSA signature of 256, 384 or 512 bytes"),
    ] {
        let tags = [(SIGNATURE, value), (SIGNATURE_ALGORITHM, algorithm), (CERTIFICATE, "c")];
        let problem = format!("tag `ota:signature` is not a signature by {algorithm}: {problem}; {form}");
        assert_eq!(read_tags(&tags), Err(vec![problem]));
    }
}

#[test]
fn a_signature_excludes_and_requires_other_tags() {
    let (signature, certificate) = ((SIGNATURE, ECDSA), (CERTIFICATE, "cert.pem"));
    let missing = "tag `ota:certificate` is missing, expected the path of the certificate on the device, which \
                   `ota:signature` requires";
    assert_eq!(read_tags(&[signature]), Err(vec![missing.to_owned()]));
    let (algorithm, in_object) = ((SIGNATURE_ALGORITHM, "SHA1withRSA"), (SIGNATURE, ".sig"));
    for (others, (tag, value), reason) in [
        (&[][..], certificate, " without `ota:signature`"),
        (&[], algorithm, " without `ota:signature`"),
        (&[in_object, certificate], algorithm, ", as the object next to the image names the algorithm"),
        (&[signature, certificate], (SIGNING_PROFILE, "OtaSigning"), " together with `ota:signature`"),
        (&[signature, certificate], (SIGNING_JOB, "x"), " together with `ota:signature`"),
    ] {
        let problem = format!("tag `{tag}` is `{value}`, expected no such tag{reason}");
        assert_eq!(read_tags(&[others, &[(tag, value)]].concat()), Err(vec![problem]));
    }
}

#[test]
fn a_signature_is_rejected_unless_the_deployment_allows_unverified_ones() {
    let problem = "tag `ota:signature` is not allowed in this deployment, as nothing verifies it; an operator may allow it \
                   with `ALLOW_UNVERIFIED=true` (parameter `AllowUnverified`)";
    let tags = [(SIGNATURE, ECDSA), (CERTIFICATE, "c")];
    assert_eq!(read("false", Location::Tags, &tags), Err(vec![problem.to_owned()]));
}
