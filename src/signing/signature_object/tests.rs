use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use serde_json::json;

const RSA: SignatureAlgorithm = SignatureAlgorithm::Sha256WithRsa;

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[test]
fn every_problem_of_a_signature_object_is_reported() {
    let valid = json!({"versionId": "v1", "signature": base64(&[7; 256]), "signatureAlgorithm": "SHA256withRSA"});
    let read = |object: &serde_json::Value| parse(object.to_string().as_bytes(), "v1");
    assert_eq!(read(&valid), Ok((base64(&[7; 256]), RSA)));
    let algorithms = "`SHA256withECDSA`, `SHA256withRSA`, `SHA1withECDSA` or `SHA1withRSA`";
    for (member, value, problem) in [
        ("versionId", "v2", "`versionId` is `v2`, expected `v1`, that of the image".to_owned()),
        ("signatureAlgorithm", "RSA", format!("`signatureAlgorithm` is `RSA`, expected {algorithms}")),
        ("signature", "?", "`signature` is not a signature by SHA256withRSA: it is not base64".to_owned()),
        ("comment", "x", "`comment` is not known".to_owned()),
        ("Signature", "x", "`Signature` is not known, did you mean `signature`?".to_owned()),
    ] {
        let mut object = valid.clone();
        object[member] = value.into();
        assert_eq!(read(&object), Err(vec![problem]));
    }
    let invalid = json!({"versionId": "v2", "signature": 7, "signatureAlgorithm": "RSA", "version": "v1"});
    assert_eq!(read(&invalid).unwrap_err().len(), 4, "{:?}", read(&invalid));
    assert_eq!(read(&json!({})).unwrap_err().len(), 3);
    let duplicate = "{\"versionId\":\"v1\",\"versionId\":\"v1\"}";
    assert!(parse(duplicate.as_bytes(), "v1").unwrap_err().contains(&"`versionId` occurs twice".to_owned()));
    let expected_form = "expected `{\"versionId\":\"…\",\"signature\":\"…\",\"signatureAlgorithm\":\"…\"}`: ";
    for text in [&b""[..], b"[]", b"{", b"\x1f\x8b", b"{\0}\0"] {
        let problems = parse(text, "v1").unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with(expected_form), "{problems:?}");
    }
}

#[test]
fn a_signature_with_line_breaks_in_utf_16_is_accepted() {
    let signature = base64(&[7; 256]);
    let with_breaks = format!("{} \t\r\n{}\n", &signature[..64], &signature[64..]);
    let object = json!({"versionId": "v1", "signature": with_breaks, "signatureAlgorithm": "SHA256withRSA"});
    let bytes: Vec<_> = format!("\u{feff}{object}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(parse(&bytes, "v1"), Ok((signature, RSA)));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes, "v1");
    }
}
