//! Job documents, as the parser of rustot reads them.

use rustot::ota::encoding::json::{FileDescription, OtaJob};
use serde::Deserialize;

/// A job document that has an OTA job.
#[derive(Debug, PartialEq, Deserialize)]
pub struct JobDocument<'a> {
    #[serde(borrow)]
    pub afr_ota: OtaJob<'a>,
}

/// Parses a job document.
///
/// # Errors
///
/// Fails if rustot does not support the document: it has escapes, several files, no stream or no known signature.
pub fn parse(document: &str) -> Result<OtaJob<'_>, String> {
    if document.contains('\\') {
        return Err("it has JSON escapes, which devices do not decode".to_owned());
    }
    let (JobDocument { afr_ota: job }, _) =
        serde_json_core::from_str(document.trim_end()).map_err(|error| error.to_string())?;
    let file = job.files.first().ok_or("it has no file")?;
    signature(file).ok_or("its file has no signature that devices support")?;
    Ok(job)
}

/// Prints the facts of a job.
pub fn print(job: &OtaJob) {
    println!("protocols    {}", format!("{:?}", job.protocols).trim_matches(['[', ']']).to_uppercase());
    println!("stream       {}", job.streamname);
    for file in &job.files {
        println!("file         {}, id {}, {} bytes", file.filepath, file.fileid, file.filesize);
        println!("file type    {}", file.file_type.map_or("none".to_owned(), |file_type| file_type.to_string()));
        println!("certificate  {}", file.certfile);
        if let Some((key, value)) = signature(file) {
            println!("signature    {key}: {value}");
        }
    }
}

/// Returns the name and the value of the signature of a file.
pub fn signature<'a>(file: &FileDescription<'a>) -> Option<(&'static str, &'a str)> {
    [
        ("sig-sha256-ecdsa", file.sha256_ecdsa),
        ("sig-sha256-rsa", file.sha256_rsa),
        ("sig-sha1-ecdsa", file.sha1_ecdsa),
        ("sig-sha1-rsa", file.sha1_rsa),
    ]
    .into_iter()
    .find_map(|(key, value)| Some((key, value?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(signature: &str) -> String {
        format!(
            r#"{{"afr_ota":{{"protocols":["MQTT"],"streamname":"s","files":[{{"filepath":"a.bin","filesize":1,"fileid":0,"certfile":"c.pem","fileType":0,"sig-sha256-ecdsa":"{signature}"}}]}}}}"#
        )
    }

    #[test]
    fn the_agent_stores_64_characters_of_a_signature() {
        let longest = "M".repeat(64);
        let stored = parse(&document(&longest)).expect("a valid document").files[0].signature();
        assert_eq!(stored, rustot::ota::encoding::json::Signature::Sha256Ecdsa(longest.as_str().into()));
    }

    #[test]
    #[should_panic(expected = "called `Result::unwrap()`")]
    fn the_agent_panics_if_a_signature_is_longer() {
        let _ = parse(&document(&"M".repeat(65))).expect("a valid document").files[0].signature();
    }
}
