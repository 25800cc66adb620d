//! The job document of an OTA update.

use crate::delivery::deliver::Delivery;
use crate::error::Failure;
use crate::options::signature::SignatureAlgorithm;
use crate::request::file::FileRequest;
use crate::signing::signed_image::SignedImage;
use serde::Serialize;
use std::collections::BTreeMap;

/// A job document as it is sent.
#[derive(Debug)]
pub(crate) struct Document {
    pub text: String,
    /// The stream that it names.
    pub stream_id: Option<String>,
}

/// The job document of an OTA update, as CreateOTAUpdate writes it. Every device parser accepts it: it is compact, and
/// has no escapes, no nulls and no keys that do not apply.
#[derive(Debug, Serialize)]
struct JobDocument<'a> {
    afr_ota: AfrOta<'a>,
}

#[derive(Debug, Serialize)]
struct AfrOta<'a> {
    protocols: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    streamname: Option<&'a str>,
    files: Vec<File<'a>>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    filepath: &'a str,
    filesize: u64,
    fileid: u8,
    certfile: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_data_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_scheme: Option<&'static str>,
    #[serde(rename = "fileType")]
    kind: u8,
    #[serde(flatten)]
    signature: BTreeMap<&'static str, &'a str>,
}

/// The job document for signed files, each with its signature, and for their delivery.
pub(crate) fn document(files: &[(&FileRequest, &SignedImage)], delivery: &Delivery) -> Result<Document, Failure> {
    let files = files.iter().enumerate().map(|(index, (file, signed))| {
        let url = delivery.url(index);
        File {
            filepath: &file.path.0,
            filesize: signed.size,
            fileid: file.id,
            certfile: &signed.cert_file,
            update_data_url: url.map(|url| url.0.as_str()),
            auth_scheme: url.map(|_| "aws.s3.presigned"),
            kind: file.kind.0,
            signature: BTreeMap::from([(signature_key(signed.algorithm), signed.signature.as_str())]),
        }
    });
    let (protocols, streamname) = (delivery.protocols(), delivery.stream().map(|stream| stream.id.as_str()));
    let afr_ota = AfrOta { protocols, streamname, files: files.collect() };
    let text = serde_json::to_string(&JobDocument { afr_ota });
    let text = text.map_err(|error| Failure::request("writing the job document", error))?;
    Ok(Document { text, stream_id: streamname.map(str::to_owned) })
}

/// The key of a signature by this algorithm. Devices look for that key.
fn signature_key(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::Sha256WithEcdsa => "sig-sha256-ecdsa",
        SignatureAlgorithm::Sha256WithRsa => "sig-sha256-rsa",
        SignatureAlgorithm::Sha1WithEcdsa => "sig-sha1-ecdsa",
        SignatureAlgorithm::Sha1WithRsa => "sig-sha1-rsa",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::presigned_url::PresignedUrl;
    use crate::delivery::stream::Stream;
    use crate::request::release_request::{Inputs, ReleaseRequest};
    use crate::settings::tests::settings;
    use crate::tags::Tags;
    use crate::upload::Upload;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn signed(algorithm: SignatureAlgorithm, signature: &str, cert_file: &str, size: u64) -> SignedImage {
        let (key, signature, cert_file) = (String::new(), signature.to_owned(), cert_file.to_owned());
        SignedImage { key, signature, algorithm, cert_file, size, verified_until: None }
    }

    fn document_of(key: &str, tags: &[(&str, &str)], signed: &SignedImage) -> String {
        let upload = Upload::new("b".into(), key.into(), "v1".into());
        let tags =
            tags.iter().chain(&[("ota:thing-group", "lab")]).map(|(tag, value)| ((*tag).into(), (*value).into()));
        let inputs = Inputs { upload: &upload, tags: &Tags(tags.collect()), manifest: None, template: None };
        let request = ReleaseRequest::check(inputs, &settings(&[]).unwrap(), Timestamp::UNIX_EPOCH).unwrap();
        let (stream, urls) = (Stream { id: upload.stream_id() }, vec![PresignedUrl("${aws:iot:…}".to_owned())]);
        document(&[(&request.files[0], signed)], &Delivery::new(request.protocols, stream, urls)).unwrap().text
    }

    #[test]
    fn every_algorithm_has_the_key_that_devices_look_for() {
        let algorithms = [
            (SignatureAlgorithm::Sha256WithEcdsa, "sig-sha256-ecdsa"),
            (SignatureAlgorithm::Sha256WithRsa, "sig-sha256-rsa"),
            (SignatureAlgorithm::Sha1WithEcdsa, "sig-sha1-ecdsa"),
            (SignatureAlgorithm::Sha1WithRsa, "sig-sha1-rsa"),
        ];
        for (algorithm, key) in algorithms {
            let text = document_of("firmware/a.bin", &[], &signed(algorithm, "AA==", "cert", 1));
            assert!(text.ends_with(&format!("\"fileType\":0,\"{key}\":\"AA==\"}}]}}}}")), "{text}");
        }
    }

    /// The expected documents are those that CreateOTAUpdate writes.
    #[test]
    fn the_document_has_the_protocols_by_which_devices_fetch_the_image() {
        let signed = signed(SignatureAlgorithm::Sha256WithEcdsa, "MEUC", "/certs/cert.pem", 1024);
        let key = "firmware/größe 1.2_a-b.bin";
        let stream_id = Upload::new("b".into(), key.into(), "v1".into()).stream_id();
        let stream = format!(",\"streamname\":\"{stream_id}\"");
        let url = "\"update_data_url\":\"${aws:iot:…}\",\"auth_scheme\":\"aws.s3.presigned\",";
        for (tags, named, stream, url) in [
            (&[][..], "[\"MQTT\"]", stream.as_str(), ""),
            (&[("ota:protocols", "mqtt")], "[\"MQTT\"]", &stream, ""),
            (&[("ota:protocols", "http")], "[\"HTTP\"]", "", url),
            (&[("ota:protocols", "http mqtt")], "[\"MQTT\",\"HTTP\"]", &stream, url),
        ] {
            let file = format!(
                "\"filepath\":\"gr__e_1.2_a-b.bin\",\"filesize\":1024,\"fileid\":0,\"certfile\":\"/certs/cert.pem\",\
                 {url}\"fileType\":0,\"sig-sha256-ecdsa\":\"MEUC\""
            );
            let expected = format!("{{\"afr_ota\":{{\"protocols\":{named}{stream},\"files\":[{{{file}}}]}}}}");
            assert_eq!(document_of(key, tags, &signed), expected);
        }
    }

    proptest! {
        /// Devices do not decode escapes, and older ones reject nulls. AWS IoT reads `${` as a placeholder.
        #[test]
        fn every_device_accepts_the_form_of_the_document(
            key in any::<String>(), size in 1..u64::from(u32::MAX), path in "[A-Za-z0-9._/-]{1,64}", kind: u8, named: bool,
        ) {
            let kind_text = kind.to_string();
            let tags = [("ota:file-path", path.as_str()), ("ota:file-type", &kind_text)];
            let tags = if named { &tags[..] } else { &[] };
            let signed = signed(SignatureAlgorithm::Sha256WithEcdsa, "MEUC+/==", "/certs/ü 1.pem", size);
            let text = document_of(&key, tags, &signed);
            prop_assert!(!text.contains('\\') && !text.contains("null") && !text.contains("${"), "{}", text);
            prop_assert!(text.len() <= 32_768);
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            let file = &parsed["afr_ota"]["files"][0];
            prop_assert_eq!(&file["filesize"], &serde_json::json!(size));
            prop_assert_eq!(&file["certfile"], "/certs/ü 1.pem");
            prop_assert!(file["filepath"].as_str().unwrap().len() <= 64);
            prop_assert!(!named || file["filepath"] == path.as_str());
            prop_assert_eq!(&file["fileType"], if named { kind } else { 0 });
        }
    }
}
