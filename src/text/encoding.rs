//! Decodes text files in UTF-8, with or without a byte order mark, and in UTF-16 with one.
//!
//! Editors and shells of Windows write all three forms.

use std::borrow::Cow;

/// The first bytes of files that cannot be decoded, and the names of their formats.
const SIGNATURES: [(&[u8], &str); 5] = [
    (&[0xff, 0xfe, 0, 0], "text in UTF-32"),
    (&[0, 0, 0xfe, 0xff], "text in UTF-32"),
    (&[0x1f, 0x8b], "compressed with gzip"),
    (b"PK\x03\x04", "a ZIP archive"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "compressed with Zstandard"),
];

/// Decodes text in UTF-8, with or without a byte order mark, or in UTF-16 with one.
///
/// # Errors
/// Fails if the bytes are anything else. The message names the format if it is recognized.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let expected = "expected text in UTF-8";
    if let Some((_, what)) = SIGNATURES.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err(format!("it is {what}, {expected}"));
    }
    let utf_16 = |unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes[2..].as_chunks();
        let units: Vec<_> = pairs.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
        text.map(Cow::Owned).ok_or_else(|| format!("it is invalid UTF-16, {expected}"))
    };
    match bytes {
        [0xff, 0xfe, ..] => return utf_16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => return utf_16(u16::from_be_bytes),
        // JSON begins with ASCII characters (https://www.rfc-editor.org/rfc/rfc4627#section-3).
        _ if bytes.iter().take(4).any(|byte| *byte == 0) => {
            return Err(format!("it is text in UTF-16 or UTF-32 without a byte order mark, {expected}"));
        }
        _ => {}
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    str::from_utf8(text).map(Cow::Borrowed).map_err(|error| {
        format!("its byte {} is not UTF-8 (perhaps Windows-1252), {expected}", error.valid_up_to() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn bytes_that_cannot_be_decoded_are_described() {
        for (bytes, what) in [
            (&b"\x1f\x8b\x08\0\0\0\0\0"[..], "it is compressed with gzip"),
            (b"PK\x03\x04\x14\0", "it is a ZIP archive"),
            (b"\x28\xb5\x2f\xfd\x04", "it is compressed with Zstandard"),
            (b"\xff\xfe\0\0{\0\0\0", "it is text in UTF-32"),
            (b"\0\0\xfe\xff\0\0\0{", "it is text in UTF-32"),
            (b"{\0}\0", "it is text in UTF-16 or UTF-32 without a byte order mark"),
            (b"\0{\0}", "it is text in UTF-16 or UTF-32 without a byte order mark"),
            (b"{\0\0\0}\0\0\0", "it is text in UTF-16 or UTF-32 without a byte order mark"),
            (b"\xff\xfe{", "it is invalid UTF-16"),
            (b"\xfe\xff\xd8\0", "it is invalid UTF-16"),
            (b"{\"a\": \"gr\xfc\xdfer\"}", "its byte 10 is not UTF-8 (perhaps Windows-1252)"),
        ] {
            assert_eq!(decode(bytes), Err(format!("{what}, expected text in UTF-8")), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn text_with_a_byte_order_mark_is_decoded_in_every_encoding(text in "[^\u{feff}\0]\\PC*|") {
            let marked = format!("\u{feff}{text}");
            for bytes in [
                marked.into_bytes(), utf_16(&text, u16::to_le_bytes), utf_16(&text, u16::to_be_bytes),
            ] {
                prop_assert_eq!(decode(&bytes).unwrap(), text.as_str());
            }
        }

        #[test]
        fn json_without_a_byte_order_mark_is_decoded(json in "\\{\\PC*\\}") {
            prop_assert_eq!(decode(json.as_bytes()).unwrap(), json.as_str());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>, start in prop::sample::select(vec![
            &b""[..], b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf",
        ])) {
            let _ = decode(&[start, &bytes].concat());
        }
    }
}
