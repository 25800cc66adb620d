//! Recognizes manifests and signatures by their names.
//!
//! Manifests under other names are recognized by their content.

use crate::text::encoding::decode;
use crate::upload::file_name;
use serde_json::Value;

/// The suffix of the key of a manifest.
const MANIFEST_SUFFIX: &str = ".ota.json";

/// The two parts of the suffix.
const MANIFEST_SUFFIX_PARTS: [&str; 2] = [".ota", "json"];

/// The suffixes of signatures: signature objects of this function, minisign and GnuPG.
const SIGNATURE_SUFFIXES: [&str; 3] = [".sig", ".minisig", ".asc"];

/// Suffixes that editors, browsers and backup tools add to a name.
const ADDED_SUFFIXES: [&str; 12] =
    [".txt", ".json", ".jsn", ".bak", ".old", ".orig", ".tmp", ".b64", ".base64", "~", " - copy", "_copy"];

/// Extensions of files that may contain a manifest. They count anywhere in a name.
const TEXT_EXTENSIONS: [&str; 3] = [".json", ".jsn", ".txt"];

/// The kind of an object that is not firmware.
enum FileKind<'a> {
    Manifest,
    /// The name resembles that of a manifest.
    LikeManifest,
    /// A signature of the object with this key.
    Signature(&'a str),
}

impl<'a> FileKind<'a> {
    fn from_key(key: &'a str) -> Option<Self> {
        if without_suffix(key, MANIFEST_SUFFIX).is_some() {
            return Some(Self::Manifest);
        }
        let bare = without_added_suffixes(key);
        if let Some(signed) = SIGNATURE_SUFFIXES.iter().find_map(|end| without_suffix(bare, end)) {
            return Some(Self::Signature(signed));
        }
        is_like_manifest(file_name(key)).then_some(Self::LikeManifest)
    }
}

/// Removes a suffix, ignoring its case. `None` if the key does not have it.
fn without_suffix<'a>(key: &'a str, suffix: &str) -> Option<&'a str> {
    let (start, end) = key.split_at_checked(key.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(start)
}

/// Removes everything that tools add to a name: suffixes, blanks and a number in parentheses.
fn without_added_suffixes(mut key: &str) -> &str {
    loop {
        let blank = |letter: char| letter.is_whitespace() || letter.is_control();
        let bare = key.trim_end_matches(blank);
        let numbered = bare.strip_suffix(')').map(|bare| bare.trim_end_matches(|digit: char| digit.is_ascii_digit()));
        let bare = numbered.and_then(|bare| bare.strip_suffix('(')).unwrap_or(bare);
        let bare = ADDED_SUFFIXES.iter().find_map(|end| without_suffix(bare, end)).unwrap_or(bare);
        if bare.len() == key.len() {
            return key;
        }
        key = bare;
    }
}

/// Returns whether a name has `.ota` before a word like `json`. Only separators and digits may be between them.
fn is_like_manifest(name: &str) -> bool {
    let name = name.to_lowercase();
    let [ota, json] = MANIFEST_SUFFIX_PARTS;
    name.match_indices(ota).any(|(index, _)| {
        let rest = name[index + ota.len()..].trim_start_matches(|letter: char| {
            letter.is_whitespace() || letter.is_ascii_digit() || ".-_()".contains(letter)
        });
        let word = rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
        word.starts_with(json) || strsim::osa_distance(word, json) <= 1
    })
}

/// Returns whether a key has the suffix of a manifest, ignoring its case.
pub fn is_manifest(key: &str) -> bool {
    matches!(FileKind::from_key(key), Some(FileKind::Manifest))
}

/// Returns whether a file name contains an extension of JSON or other text.
pub(crate) fn is_text(key: &str) -> bool {
    let name = file_name(key).to_lowercase();
    TEXT_EXTENSIONS.iter().any(|text| name.contains(text))
}

/// Returns the kind of an object that is not an image, for a message.
pub(crate) fn kind_name(key: &str) -> Option<&'static str> {
    FileKind::from_key(key).map(|kind| match kind {
        FileKind::Manifest => "a manifest",
        FileKind::LikeManifest => "a manifest under another name",
        FileKind::Signature(_) => "a signature",
    })
}

/// Returns the problem of an object that is neither an image nor a manifest. The text continues a sentence that begins
/// with the object's name.
pub(crate) fn problem(key: &str) -> Option<String> {
    match FileKind::from_key(key)? {
        FileKind::Manifest => None,
        FileKind::LikeManifest => {
            Some(format!("looks like a manifest; expected a name that ends in `{MANIFEST_SUFFIX}`"))
        }
        FileKind::Signature(signed) => {
            let (kind, hint) =
                if is_manifest(signed) { ("manifest", ", which needs no signature") } else { ("image", "") };
            Some(format!("is a signature, not firmware; put the tags on the {kind} `{signed}`{hint}"))
        }
    }
}

/// Returns whether a text looks like a manifest: its `files` list has an item with a `key`. A text that is not JSON
/// only needs the names `files` and `versionId`. The case of these names is ignored.
pub(crate) fn names_files(bytes: &[u8]) -> bool {
    let text = decode(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).replace('\0', "").into());
    let Ok(json) = serde_json::from_str::<Value>(&text) else {
        let text = text.to_lowercase();
        return ["\"files\"", "\"versionid\""].iter().all(|name| text.contains(name));
    };
    let files = member(&json, "files").and_then(Value::as_array);
    files.is_some_and(|files| files.iter().any(|file| member(file, "key").is_some()))
}

/// Returns a member of an object, ignoring the case of its name.
fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let mut members = object.as_object()?.iter();
    members.find(|(member, _)| member.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_recognized_by_an_extension_in_its_file_name() {
        for (key, expected) in [
            ("a.json", true),
            ("a/B.JSON", true),
            ("a.jsn.bak", true),
            ("a.txt", true),
            ("a.bin", false),
            ("a.json/b", false),
        ] {
            assert_eq!(is_text(key), expected, "{key}");
        }
    }

    #[test]
    fn objects_other_than_firmware_are_recognized_by_their_names() {
        let manifests = ["a.ota.json", "GW.OTA.JSON", "Gw.Ota.Json", ".ota.json", "gw (1).ota.json", "quota.ota.json"];
        let like_manifests = [
            "a.OTA.json.txt",
            "a.ota.json ",
            "gw.ota (1).json",
            "gw.ota_json",
            "gw.ota-json",
            "gw.otajson",
            "gw.ota..json",
            "gw.ota.jsno",
            "gw.ota.jsn",
            "gw.ota.json5",
            "gw.ota.bson",
        ];
        let signatures = [
            ".Sig",
            "A.BIN.SIG",
            "a.bin.minisig",
            "a.bin.asc",
            "a.bin.sig\r\n",
            "a.bin.sig~",
            "a.bin.sig (1).txt",
            "a.bin.sig - Copy.b64",
            "a.ota.json.sig.json",
        ];
        let images = [
            "",
            "()",
            "~",
            "sig",
            "asig",
            "a.json",
            "a (1).bin",
            "größe.bin",
            "a.sig.bin",
            "a.sig/b.bin",
            "a.ota.json/b.bin",
            "fw.ota",
            "fw.ota (1).bin",
            "fw.ota.js",
            "fw.ota.jpeg",
            "quota.json",
            "gw-ota.json",
        ];
        let names = [(&manifests[..], "a manifest"), (&like_manifests, "a manifest under another name")];
        for (names, expected) in names.into_iter().chain([(&signatures[..], "a signature"), (&images, "")]) {
            for name in names {
                let key = format!("firmware/{name}");
                assert_eq!(kind_name(&key).unwrap_or_default(), expected, "{name:?}");
                assert_eq!(is_manifest(&key), expected == "a manifest", "{name:?}");
                assert_eq!(problem(&key).is_some(), !is_manifest(&key) && !expected.is_empty(), "{name:?}");
            }
        }
    }

    #[test]
    fn the_problem_of_a_signature_names_the_object_that_it_signs() {
        let image = |key: &str| format!("is a signature, not firmware; put the tags on the image `{key}`");
        let manifest =
            "is a signature, not firmware; put the tags on the manifest `a.ota.json`, which needs no signature";
        for (key, expected) in [
            ("firmware/İ.BIN.SIG", image("firmware/İ.BIN")),
            ("a.bin.sig (1).txt", image("a.bin")),
            ("a.ota.json.asc.txt", manifest.to_owned()),
        ] {
            assert_eq!(problem(key), Some(expected));
        }
    }

    #[test]
    fn a_text_that_names_files_is_a_manifest() {
        let file = json!({"Key": "firmware/a.bin"});
        for (text, expected) in [
            (json!({"files": [{"key": "a", "versionId": "b", "x": 1}], "x": 1}).to_string(), true),
            (json!({"Files": ["a", file]}).to_string(), true),
            (json!({"files": [{"key": 7}]}).to_string(), true),
            (r#"{"files": [{"key": "a", "versionId": "v",}]}"#.to_owned(), true),
            (r#"{"Files": [{"key": "ä" "versionid""#.to_owned(), true),
            (json!({"files": []}).to_string(), false),
            (json!({"files": ["a"]}).to_string(), false),
            (json!({"files": {"key": "a"}}).to_string(), false),
            (json!({"rules": [{"key": "a", "versionId": "b"}]}).to_string(), false),
            (json!({"key": "a", "versionId": "b"}).to_string(), false),
            (json!([{"key": "a", "versionId": "b"}]).to_string(), false),
            ("{\"files\": [".to_owned(), false),
            (String::new(), false),
        ] {
            let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
            let windows_1252: Vec<_> = text.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
            let marked = format!("\u{feff}{text}");
            for bytes in [text.clone().into_bytes(), utf_16(&text), utf_16(&marked), marked.into_bytes(), windows_1252]
            {
                assert_eq!(names_files(&bytes), expected, "{text} {bytes:?}");
            }
        }
        assert!(!names_files(b"\x7fELF") && !names_files(b"\x1f\x8b\x08"));
    }
}
