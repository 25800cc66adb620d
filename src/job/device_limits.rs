//! Warns about a job that exceeds the limits of common OTA libraries.
//!
//! Such a job is not rejected.

use crate::options::signature::SignatureAlgorithm;
use crate::request::file::FileRequest;
use crate::signing::signed_image::SignedImage;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The size of the buffer into which AWS's OTA demos copy a job message without a check
/// (<https://github.com/FreeRTOS/iot-reference-esp32c3>).
const JOB_MESSAGE_BYTES: usize = 2048;

/// The frame around the job document in the message that AWS IoT sends to a device, without the job ID.
const JOB_MESSAGE_FRAME: &str = "{\"clientToken\":\"0:\",\"timestamp\":1700000000,\"execution\":{\"jobId\":\"\",\"status\":\"QUEUED\",\
                                 \"queuedAt\":1700000000,\"lastUpdatedAt\":1700000000,\"versionNumber\":1,\
                                 \"executionNumber\":1,\"jobDocument\":}}";

/// The difference in length between a presigned URL and its placeholder: mostly the session token of the role.
const PRESIGNED_QUERY_BYTES: usize = 1230;

/// `otaconfigMAX_BLOCK_BITMAP_SIZE` (128) × 8 blocks of 4 KiB, the defaults of
/// <https://github.com/aws/ota-for-aws-iot-embedded-sdk>.
const OTA_LIBRARY_IMAGE_BYTES: u64 = 128 * 8 * 4096;

/// `kOTA_MaxSignatureSize` of the same library, after base64 decoding.
const OTA_LIBRARY_SIGNATURE_BYTES: usize = 384;

/// The longest `certfile` that `rustot` stores (<https://github.com/FactbirdHQ/rustot>).
const RUSTOT_CERT_FILE_CHARACTERS: usize = 64;

/// Returns a sentence for each limit that a job exceeds. Each names the library and its limit.
pub(crate) fn warnings(job_id: &str, document: &str, files: &[(&FileRequest, &SignedImage)]) -> Vec<String> {
    let urls = document.matches("${aws:iot:s3-presigned-url").count();
    let message = JOB_MESSAGE_FRAME.len() + job_id.len() + document.len() + urls * PRESIGNED_QUERY_BYTES;
    let too_long = (message > JOB_MESSAGE_BYTES).then(|| {
        format!(
            "the job message has about {message} bytes; AWS's demos for the AWS IoT Jobs library copy it into \
             {JOB_MESSAGE_BYTES} bytes without a check"
        )
    });
    let several = (files.len() > 1).then(|| {
        format!(
            "the job has {} files; the FreeRTOS OTA library (v3) installs only the first, AWS's reference loop for the AWS \
             IoT Jobs library only the last, and rustot refuses the document",
            files.len()
        )
    });
    too_long.into_iter().chain(several).chain(files.iter().flat_map(|(file, signed)| per_file(file, signed))).collect()
}

fn per_file(file: &FileRequest, signed: &SignedImage) -> impl Iterator<Item = String> {
    let name = &file.source.key;
    let image = (signed.size > OTA_LIBRARY_IMAGE_BYTES).then(|| {
        format!(
            "`{name}` has {} bytes; the FreeRTOS OTA library (v3) ignores images over {OTA_LIBRARY_IMAGE_BYTES} bytes (with \
             its default block size) without reporting it, and the job execution stays QUEUED",
            signed.size
        )
    });
    let algorithm = (signed.algorithm != SignatureAlgorithm::Sha256WithEcdsa).then(|| {
        format!(
            "`{name}` is signed with {}; the AWS IoT Jobs library reads only `sig-sha256-ecdsa`, and refuses the document",
            signed.algorithm.name()
        )
    });
    let signature = BASE64_STANDARD.decode(&signed.signature).map_or(0, |bytes| bytes.len());
    let signature = (signature > OTA_LIBRARY_SIGNATURE_BYTES).then(|| {
        format!(
            "the signature of `{name}` has {signature} bytes; the FreeRTOS OTA library (v3) stores at most \
             {OTA_LIBRARY_SIGNATURE_BYTES}, enough for RSA keys of 3072 bits"
        )
    });
    let cert_file = signed.cert_file.chars().count();
    let cert_file = (cert_file > RUSTOT_CERT_FILE_CHARACTERS).then(|| {
        format!(
            "the certificate name `{}` has {cert_file} characters; rustot stores at most {RUSTOT_CERT_FILE_CHARACTERS}",
            signed.cert_file
        )
    });
    [image, algorithm, signature, cert_file].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::deliver::Delivery;
    use crate::delivery::presigned_url::PresignedUrl;
    use crate::delivery::raw_copy::RawCopy;
    use crate::delivery::stream::Stream;
    use crate::job::document;
    use crate::request::release_request::{Inputs, ReleaseRequest};
    use crate::settings::tests::settings;
    use crate::tags::Tags;
    use crate::upload::Upload;

    const ECDSA: SignatureAlgorithm = SignatureAlgorithm::Sha256WithEcdsa;
    const RSA: SignatureAlgorithm = SignatureAlgorithm::Sha256WithRsa;
    const MIB: u64 = 1024 * 1024;

    fn signed(algorithm: SignatureAlgorithm, signature_bytes: usize, cert_file: &str, size: u64) -> SignedImage {
        let signature = BASE64_STANDARD.encode(vec![7; signature_bytes]);
        let (key, cert_file) = (String::new(), cert_file.to_owned());
        SignedImage { key, signature, algorithm, cert_file, size, verified_until: None }
    }

    /// The warnings of a job with these files, by these protocols.
    fn warnings_of(protocols: &str, signed: &[SignedImage]) -> Vec<String> {
        let settings = settings(&[]).unwrap();
        let upload = Upload::new("firmware-bucket".into(), "firmware/blinky-1.2.0.bin".into(), "v".repeat(32));
        let tags = [("ota:thing-group", "lab"), ("ota:protocols", protocols)];
        let tags = Tags(tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).into());
        let inputs = Inputs { upload: &upload, tags: &tags, manifest: None, template: None };
        let request = ReleaseRequest::check(inputs, &settings, "2026-11-23T21:40:30Z".parse().unwrap()).unwrap();
        let files: Vec<_> = signed.iter().map(|signed| (&request.files[0], signed)).collect();
        let key = format!("{}{}", settings.prefix_of(&upload), "j".repeat(36));
        let copies = vec![RawCopy { file_id: 0, key, version_id: "v".repeat(32), size: 1, sha256: None }; signed.len()];
        let urls = PresignedUrl::of_all(&settings, &upload, &copies);
        let delivery = Delivery::new(request.protocols, Stream { id: upload.stream_id() }, urls);
        let document = document::document(&files, &delivery).unwrap();
        warnings(&upload.default_job_id(), &document.text, &files)
    }

    #[test]
    fn an_image_that_every_library_accepts_has_no_warning() {
        assert_eq!(warnings_of("mqtt", &[signed(ECDSA, 71, "/certs/ota.pem", 4 * MIB)]), Vec::<String>::new());
        assert_eq!(warnings_of("mqtt", &[signed(ECDSA, 139, &"c".repeat(64), 1)]), Vec::<String>::new());
    }

    #[test]
    fn each_exceeded_limit_is_a_warning_that_names_the_library() {
        let (sha1, c64, c65) = (SignatureAlgorithm::Sha1WithEcdsa, "c".repeat(64), "c".repeat(65));
        for (protocols, signed, expected) in [
            ("mqtt", signed(ECDSA, 71, "cert", 4 * MIB + 1), "has 4194305 bytes; the FreeRTOS OTA library (v3)"),
            ("mqtt", signed(RSA, 384, "cert", 1), "is signed with SHA256withRSA; the AWS IoT Jobs library reads only"),
            ("mqtt", signed(sha1, 71, "cert", 1), "is signed with SHA1withECDSA; the AWS IoT Jobs library reads only"),
            ("mqtt", signed(ECDSA, 71, &c65, 1), "has 65 characters; rustot stores at most 64"),
            (
                "mqtt http",
                signed(ECDSA, 71, &c64, 1),
                "bytes; AWS's demos for the AWS IoT Jobs library copy it into 2048",
            ),
        ] {
            let warnings = warnings_of(protocols, std::slice::from_ref(&signed));
            assert!(matches!(&warnings[..], [one] if one.contains(expected)), "{protocols} {expected}: {warnings:?}");
        }
    }

    #[test]
    fn an_rsa_4096_signature_exceeds_the_buffer_of_the_older_library() {
        let warnings = warnings_of("mqtt", &[signed(RSA, 512, "cert", 1)]);
        assert!(warnings.iter().any(|warning| warning.contains("has 512 bytes")), "{warnings:?}");
    }

    #[test]
    fn several_files_are_a_warning_about_what_each_library_installs() {
        let warnings = warnings_of("mqtt", &[signed(ECDSA, 71, "cert", 1), signed(ECDSA, 71, "cert", 1)]);
        assert!(matches!(&warnings[..], [one] if one.starts_with("the job has 2 files; ")), "{warnings:?}");
        // Ten files also exceed the buffer.
        let ten = warnings_of("mqtt", &vec![signed(ECDSA, 71, "cert", 1); 10]);
        assert!(ten[0].starts_with("the job message has about 2"), "{ten:?}");
        assert!(ten[1].starts_with("the job has 10 files"), "{ten:?}");
    }

    /// Sizes that were measured on documents of AWS IoT: 600 bytes by MQTT, 2,080 with a presigned URL next to the
    /// stream.
    #[test]
    fn the_size_of_a_message_is_estimated_as_it_was_measured() {
        let warnings = warnings_of("mqtt http", &[signed(ECDSA, 71, &"c".repeat(20), 1)]);
        let size: i32 = warnings[0].split(' ').nth(5).unwrap().parse().unwrap();
        assert!((size - 2080).abs() < 100, "{size}");
    }
}
