use super::*;
use crate::options::name::tests::assert_grammar;
use proptest::prelude::*;

const ECDSA: SignatureAlgorithm = SignatureAlgorithm::Sha256WithEcdsa;
const RSA: SignatureAlgorithm = SignatureAlgorithm::Sha256WithRsa;

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[test]
fn a_signature_has_the_form_of_its_algorithm() {
    let number = |length: usize| [&[2, u8::try_from(length).unwrap()], &vec![1; length][..]].concat();
    let pair = |first: Vec<u8>, second: Vec<u8>| {
        let both = [first, second].concat();
        let length = u8::try_from(both.len()).unwrap();
        let head = if length < 128 { vec![0x30, length] } else { vec![0x30, 0x81, length] };
        [head, both].concat()
    };
    for length in [1, 31, 32, 48, 66] {
        assert_eq!(check_form(&base64(&pair(number(length), number(32))), ECDSA), Ok(()), "{length}");
    }
    // DER puts a zero byte before a number whose first bit is set.
    assert_eq!(check_form(&base64(&pair([&[2, 33, 0], &[255; 32][..]].concat(), number(32))), ECDSA), Ok(()));
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
    ] {
        let problem = format!("its {} bytes are not an ECDSA signature in DER", bad.len());
        assert_eq!(check_form(&base64(&bad), ECDSA), Err(problem), "{bad:?}");
    }
    for length in [256, 384, 512] {
        assert_eq!(check_form(&base64(&vec![7; length]), RSA), Ok(()));
    }
    for (bad, problem) in [
        (&*base64(&[7; 255]), "its 255 bytes are not an RSA signature of 256, 384 or 512 bytes"),
        ("sig", "it is not base64"),
        ("MEUC!", "it is not base64"),
        ("-+-+-+-+-+", "it is not base64"),
        ("MEUC AAAA", "it is not base64"),
        ("MEUCMEUC=", "its padding is wrong, "),
        ("MEUCMEUCMA", "its padding is wrong, "),
        ("MEUCMEUCMA===", "its padding is wrong, "),
        ("-_-_-_-_", "it is base64url, "),
        ("MEUCMEUC-_8=", "it is base64url, "),
    ] {
        assert!(check_form(bad, RSA).unwrap_err().starts_with(problem), "{bad}");
    }
}

#[test]
fn a_space_in_a_tag_becomes_a_plus_sign_if_the_result_is_a_signature() {
    let plus = format!("+{}+", "A".repeat(510));
    for value in [plus.clone(), plus.replace('+', " "), format!(" {plus}"), format!("{plus}  ")] {
        assert_eq!(restore_plus_signs(&value, RSA), plus);
    }
    let plain = base64(&[7; 256]);
    assert_eq!(restore_plus_signs(&format!("  {plain} \t"), RSA), plain);
}

#[test]
fn each_option_of_a_signature_accepts_only_its_own_values() {
    assert_grammar::<ProfileName>(
        &["x_", "OtaSigning", &"x".repeat(64)],
        &["", "x", "a-b", &"x".repeat(65)],
        "the name of a Signer profile: 2 to 64 letters, ",
    );
    let job = "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f01";
    let bad = ["latest", &job.replace('-', ""), "6ae5ef0e-1f2b-4c0e-8d9a-3b1c5d7e9f0x"];
    assert_grammar::<SigningJobId>(&[job], &bad, "the ID of a signing job, such as ");
    assert_grammar::<CertFile>(
        &["Code Verify Key", "/certs/a+b=c@d_e-f:g.pem", &"x".repeat(64)],
        &["", "zertifikät", "a\"b", &"x".repeat(65)],
        "the path of the certificate on the device: 1 to 64 letters, ",
    );
    let algorithms = ["SHA256withECDSA", "SHA256withRSA", "SHA1withECDSA", "SHA1withRSA"];
    assert_grammar::<SignatureAlgorithm>(&algorithms, &["", "sha256withrsa"], "`SHA256withECDSA`, `SHA256withRSA`, ");
}

#[test]
fn whitespace_in_base64_is_removed() {
    assert_eq!(remove_whitespace(" AAAA\r\nBB BB\t\n"), "AAAABBBB");
}

proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(bytes: Vec<u8>) {
        let _ = check_form(&base64(&bytes), ECDSA);
    }
}
