use super::*;
use crate::options::name::tests::assert_grammar;
use proptest::prelude::*;

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
fn a_space_in_a_tag_becomes_a_plus_sign_if_that_is_a_signature() {
    // It begins and ends with a `+`.
    let plus = format!("+{}+", "A".repeat(510));
    for given in [plus.clone(), plus.replace('+', " "), format!(" {plus}"), format!("{plus}  ")] {
        assert_eq!(restore_plus_signs(&given, RSA), plus);
    }
    let plain = of(&[7; 256]);
    assert_eq!(restore_plus_signs(&format!("  {plain} \t"), RSA), plain);
}

#[test]
fn a_profile_name_has_2_to_64_characters() {
    assert_grammar::<ProfileName>(
        &["x_", "OtaSigning", "Other_2", &"x".repeat(64)],
        &["", "x", "a-b", &"x".repeat(65)],
        "the name of a Signer profile: 2 to 64 letters, digits and `_`",
    );
}

#[test]
fn a_signing_job_is_named_by_its_uuid() {
    let good = "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01";
    assert_grammar::<SigningJobId>(
        &[good],
        &["", "latest", &good.replace('-', ""), &good[1..], "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f0x"],
        "the ID of a signing job, such as `6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01`",
    );
}

#[test]
fn a_certificate_path_has_1_to_64_characters_that_a_tag_may_have() {
    assert_grammar::<CertFile>(
        &["Code Verify Key", "/certs/a+b=c@d_e-f:g.pem", &"x".repeat(64)],
        &["", "zertifikät", "a\"b", &"x".repeat(65)],
        "the path of the certificate on the device: 1 to 64 letters, digits, spaces, `+`, `-`, `=`, `.`, `_`, `:`, `/` \
         and `@`, such as `/certs/cert.pem`",
    );
}

#[test]
fn a_signature_algorithm_is_named_as_signer_names_it() {
    assert_grammar::<SignatureAlgorithm>(
        &["SHA256withECDSA", "SHA256withRSA", "SHA1withECDSA", "SHA1withRSA"],
        &["", "ECDSA", "sha256withrsa"],
        "`SHA256withECDSA`, `SHA256withRSA`, `SHA1withECDSA` or `SHA1withRSA`",
    );
}

#[test]
fn whitespace_in_base64_is_removed() {
    assert_eq!(remove_whitespace(" AAAA\r\nBB BB\t\n"), "AAAABBBB");
}

proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(bytes: Vec<u8>) {
        let _ = check_form(&of(&bytes), ECDSA);
    }
}
