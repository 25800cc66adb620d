//! The objects of a release that are not firmware, by the ends of their names: manifests and signatures.

use crate::custom_signing::BESIDE;

/// The end of the key of a manifest.
const MANIFEST: &str = ".ota.json";

/// Whether a key is that of a manifest. Editors and shells differ in case, and the content is the same.
pub(crate) fn is_manifest(key: &str) -> bool {
    key.to_lowercase().ends_with(MANIFEST)
}

/// Whether a key is that of JSON of any kind, by a part of its name.
pub(crate) fn is_json(key: &str) -> bool {
    key.rsplit('/').next().unwrap_or_default().to_lowercase().contains(".json")
}

/// Whether a key is that of an image, for all that its name shows.
pub(crate) fn is_image(key: &str) -> bool {
    !is_manifest(key) && problem(key).is_none()
}

/// Why an object of this key is neither an image nor a manifest: the rest of a sentence that begins with its name.
pub(crate) fn problem(key: &str) -> Option<String> {
    let name = key.rsplit('/').next().unwrap_or_default().to_lowercase();
    if name.ends_with(BESIDE) {
        let image = &key[..key.len() - BESIDE.len()];
        return Some(format!("is a signature and no firmware; put the tags on the image `{image}`"));
    }
    (name.contains(MANIFEST) && !is_manifest(key))
        .then(|| format!("looks like a manifest; expected a name that ends in `{MANIFEST}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helper_files_are_recognised_in_any_case() {
        for (key, manifest, image) in [
            ("firmware/a.bin", false, true),
            ("firmware/a.json", false, true),
            ("firmware/a.ota.json", true, false),
            ("firmware/GW.OTA.JSON", true, false),
            ("firmware/Gw.Ota.Json", true, false),
            ("firmware/.ota.json", true, false),
            ("firmware/a.ota.json.txt", false, false),
            ("firmware/a.OTA.json~", false, false),
            ("firmware/a.ota.json ", false, false),
            ("firmware/a.ota.json.sig", false, false),
            ("firmware/a.bin.sig", false, false),
            ("firmware/A.BIN.SIG", false, false),
            ("firmware/.Sig", false, false),
            ("firmware/sig", false, true),
            ("firmware/a.sig.bin", false, true),
            ("firmware/a.ota.json/b.bin", false, true),
            ("firmware/a.sig/b.bin", false, true),
            ("firmware/größe.bin", false, true),
        ] {
            assert_eq!((is_manifest(key), is_image(key)), (manifest, image), "{key}");
        }
        assert_eq!(
            problem("firmware/İ.BIN.SIG").as_deref(),
            Some("is a signature and no firmware; put the tags on the image `firmware/İ.BIN`")
        );
    }
}
