//! The object next to the image that holds the signature of custom code signing.

use crate::error::Expected;
use crate::options::signature::{SignatureAlgorithm, check_form, remove_whitespace};
use crate::text::encoding::decode;
use crate::text::json::{document, text};

/// The maximum size of a signature object in bytes. A valid object is far smaller.
pub(crate) const MAX_BYTES: i64 = 4096;

/// Reads the signature object: the signature in base64, and its algorithm.
///
/// # Errors
/// Fails with every problem, each a sentence, if the object has another form or belongs to another version.
pub(crate) fn parse(bytes: &[u8], version_id: &str) -> Result<(String, SignatureAlgorithm), Vec<String>> {
    let mut problems = Vec::new();
    let read = decode(bytes).and_then(|json| {
        document(&json, &mut problems, |from| {
            let version = from.required("versionId", text);
            let algorithm = from.required("signatureAlgorithm", text);
            let signature = from.required("signature", text);
            if let Some(version) = version.filter(|version| version != version_id) {
                from.problem("versionId", &format!("is `{version}`, expected `{version_id}`, that of the image"));
            }
            let algorithm = algorithm?;
            let algorithm = algorithm.parse().map_err(|Expected(expected)| {
                from.problem("signatureAlgorithm", &format!("is `{algorithm}`, expected {expected}"));
            });
            let (signature, algorithm) = (remove_whitespace(&signature?), algorithm.ok()?);
            if let Err(problem) = check_form(&signature, algorithm) {
                from.problem("signature", &format!("is not a signature by {}: {problem}", algorithm.name()));
            }
            Some((signature, algorithm))
        })
    });
    match read {
        Ok(Some(signature)) if problems.is_empty() => Ok(signature),
        Ok(_) => Err(problems),
        Err(problem) => Err(vec![format!(
            "expected `{{\"versionId\":\"…\",\"signature\":\"…\",\"signatureAlgorithm\":\"…\"}}`: {problem}"
        )]),
    }
}

#[cfg(test)]
mod tests;
