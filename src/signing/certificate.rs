//! The fields of a code-signing certificate that verification needs.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use der::{AnyRef, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The labels of a certificate in PEM (<https://www.rfc-editor.org/rfc/rfc7468#section-5.1>).
const LABELS: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "X.509 CERTIFICATE"];

/// A code-signing certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub arn: String,
    /// Its `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
    /// The end of its validity. [`Timestamp::MAX`] if the validity never ends
    /// (<https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5>), or if the end cannot be read. Only a warning depends
    /// on the end.
    pub not_after: Timestamp,
}

impl Certificate {
    /// Reads the first certificate of a text in PEM, in lines of any length, with any text around it.
    ///
    /// # Errors
    /// Fails if the text has no certificate, or its public key cannot be found.
    pub fn from_pem(arn: &str, pem: &str) -> Result<Self, String> {
        let block = |label: &str| {
            let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
            Some((rest.len(), rest.split_once(&format!("-----END {label}-----"))?.0))
        };
        // The first block has the most text after it.
        let first = LABELS.into_iter().filter_map(block).max_by_key(|(rest, _)| *rest);
        let (_, base64) = first.ok_or("it is not X.509: it has no PEM block `CERTIFICATE`")?;
        let base64: String = base64.split_ascii_whitespace().collect();
        let der = BASE64_STANDARD.decode(base64).map_err(|error| format!("it is not X.509: {error}"))?;
        let (public_key, not_after) = read(&der).map_err(|error| format!("it is not X.509: {error}"))?;
        Ok(Self { arn: arn.to_owned(), public_key, not_after: not_after.unwrap_or(Timestamp::MAX) })
    }
}

/// Reads the public key and the end of the validity by their positions in a `Certificate`
/// (<https://www.rfc-editor.org/rfc/rfc5280#section-4.1>).
fn read(der: &[u8]) -> der::Result<(Vec<u8>, Option<Timestamp>)> {
    let certificate = AnyRef::from_der(der)?;
    let mut certificate = SliceReader::new(fields(certificate)?)?;
    let mut tbs = SliceReader::new(fields(AnyRef::decode(&mut certificate)?)?)?;
    let first = AnyRef::decode(&mut tbs)?;
    if first.tag() == (Tag::ContextSpecific { constructed: true, number: TagNumber(0) }) {
        let _serial_number = AnyRef::decode(&mut tbs)?;
    }
    let _signature = AnyRef::decode(&mut tbs)?;
    let _issuer = AnyRef::decode(&mut tbs)?;
    let validity = AnyRef::decode(&mut tbs)?;
    let _subject = AnyRef::decode(&mut tbs)?;
    let public_key = tbs.tlv_bytes()?;
    fields(AnyRef::from_der(public_key)?)?;
    Ok((public_key.to_vec(), not_after(validity)))
}

/// The fields of a `SEQUENCE`.
fn fields(sequence: AnyRef<'_>) -> der::Result<&[u8]> {
    if sequence.tag() == Tag::Sequence {
        Ok(sequence.value())
    } else {
        Err(sequence.tag().unexpected_error(Some(Tag::Sequence)).into())
    }
}

/// Reads the second time of a `Validity`. Returns [`Timestamp::MAX`] if the time is later than that. `None` if it
/// cannot be read.
fn not_after(validity: AnyRef<'_>) -> Option<Timestamp> {
    let mut times = SliceReader::new(validity.value()).ok()?;
    AnyRef::decode(&mut times).ok()?;
    let time = AnyRef::decode(&mut times).ok()?;
    let digits = str::from_utf8(time.value()).ok()?;
    // A year of two digits is in the range from 1950 to 2049.
    let century = match time.tag() {
        Tag::UtcTime if digits < "50" => "20",
        Tag::UtcTime => "19",
        _ => "",
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", format!("{century}{digits}")).ok()?;
    Some(Offset::UTC.to_timestamp(time).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const P256: &str = include_str!("../../tests/certificates/p256.pem");
    const RSA: &str = include_str!("../../tests/certificates/rsa2048.pem");

    fn base64(pem: &str) -> String {
        pem.lines().filter(|line| !line.starts_with('-')).collect()
    }

    fn in_lines(pem: &str, length: usize, end: &str) -> String {
        let base64 = base64(pem);
        let lines = base64.as_bytes().chunks(length).map(|line| format!("{}{end}", str::from_utf8(line).unwrap()));
        format!("-----BEGIN CERTIFICATE-----{end}{}-----END CERTIFICATE-----{end}", lines.collect::<String>())
    }

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        let length = match value.len() {
            0..128 => vec![length[1]],
            128..256 => vec![0x81, length[1]],
            _ => [&[0x82], &length[..]].concat(),
        };
        [&[tag], &length[..], &value].concat()
    }

    /// A certificate with these times, and a serial number, names and extensions that break the rules.
    fn with_validity(not_before: &[u8], not_after: &[u8]) -> String {
        let (key, validity) = (tlv(0x30, &[b"\x05\x00"]), tlv(0x30, &[not_before, not_after]));
        let (version, serial) = (tlv(0xa0, &[&[2, 1, 2]]), tlv(2, &[&[0xff; 40]]));
        let (algorithm, name) = (tlv(0x30, &[]), tlv(0x30, &[&tlv(0x31, &[])]));
        let extensions = tlv(0xa3, &[b"\x01\x01\x01"]);
        let tbs = tlv(0x30, &[&version, &serial, &algorithm, &name, &validity, &name, &key, &extensions]);
        let der = tlv(0x30, &[&tbs, &algorithm, &[3, 1, 0]]);
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", BASE64_STANDARD.encode(der))
    }

    fn time(text: &str) -> Vec<u8> {
        tlv(if text.len() < 15 { 0x17 } else { 0x18 }, &[text.as_bytes()])
    }

    #[test]
    fn a_certificate_is_read_however_its_pem_is_laid_out() {
        for pem in [P256, RSA] {
            let expected = Certificate::from_pem("arn", pem).unwrap();
            assert_eq!(expected.not_after, "2046-01-01T00:00:00Z".parse().unwrap());
            let other = if pem == P256 { RSA } else { P256 };
            for text in [
                in_lines(pem, 76, "\n"),
                in_lines(pem, 64, "\r\n"),
                in_lines(pem, 10_000, "\n"),
                in_lines(pem, 10_000, ""),
                in_lines(pem, 64, " \t\n\n"),
                in_lines(pem, 64, "\r"),
                format!("\u{feff}{pem}"),
                format!("Bag Attributes\n    friendlyName: -----BEGIN\n\n{pem}"),
                format!("{pem}\n\n{other}"),
                format!("{pem}{}", other.replace("CERTIFICATE", "X509 CERTIFICATE")),
                format!("{}{other}", pem.replace("CERTIFICATE", "X509 CERTIFICATE")),
            ] {
                assert_eq!(Certificate::from_pem("arn", &text).as_ref(), Ok(&expected), "{text}");
            }
        }
    }

    #[test]
    fn anything_but_a_certificate_is_an_error() {
        let not_base64 = P256.replace("MII", "M*I");
        let request = P256.replace("CERTIFICATE", "CERTIFICATE REQUEST");
        for pem in ["", "no PEM", &in_lines("AAAA\n", 64, "\n"), &in_lines("", 64, "\n"), &not_base64, &request] {
            assert!(Certificate::from_pem("arn", pem).unwrap_err().starts_with("it is not X.509: "), "{pem}");
        }
        let der = BASE64_STANDARD.decode(base64(P256)).unwrap();
        for length in 0..der.len() {
            assert!(read(&der[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn no_date_makes_a_certificate_unreadable() {
        let not_after = |text: &str| {
            Certificate::from_pem("arn", &with_validity(&time("000101000000Z"), &time(text))).unwrap().not_after
        };
        for (text, expected) in [
            ("99991230220000Z", "9999-12-30T22:00:00Z"),
            ("491231235959Z", "2049-12-31T23:59:59Z"),
            ("500101000000Z", "1950-01-01T00:00:00Z"),
            ("00000101000000Z", "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(not_after(text), expected.parse().unwrap(), "{text}");
        }
        for text in ["99991231235959Z", "20461301000000Z", "2046010100Z", "20460101000000+0100", ""] {
            assert_eq!(not_after(text), Timestamp::MAX, "{text}");
        }
        for start in ["500101000000Z", "00010101000000Z", "99991231235959Z", "x"] {
            let pem = with_validity(&time(start), &time("20460101000000Z"));
            assert_eq!(Certificate::from_pem("arn", &pem).unwrap().not_after, not_after("20460101000000Z"), "{start}");
        }
    }

    proptest! {
        #[test]
        fn every_date_is_read(
            year in 0..=9999_i32, month in 1..=12_i32, day in 1..=28_i32, hour in 0..24_i32, minute in 0..60_i32,
            before in "\\PC*",
        ) {
            let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}59Z");
            let pem = with_validity(&time(&before), &time(&text));
            let expected = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:59Z").parse();
            let not_after = Certificate::from_pem("arn", &pem).unwrap().not_after;
            prop_assert_eq!(not_after, expected.unwrap_or(Timestamp::MAX));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, text in "\\PC*") {
            let _ = read(&bytes);
            let _ = Certificate::from_pem("arn", &text);
            let _ = Certificate::from_pem("arn", &format!("-----BEGIN CERTIFICATE-----{text}-----END CERTIFICATE-----"));
        }
    }
}
