//! Verifies a signature over the uploaded bytes with the certificate of its signing job.

use crate::error::{Failure, required};
use crate::options::signature::SignatureAlgorithm;
use crate::s3::digests::Digests;
use crate::s3::object::Image;
use crate::scope::Scope;
use crate::signing::certificate::Certificate;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA1_ASN1, ECDSA_P521_SHA256_ASN1,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::OnceCell;

/// Verification of signatures over one upload, which is read once.
pub(crate) struct Verification<'a> {
    scope: Scope<'a>,
    image: &'a Image,
    digests: OnceCell<Digests>,
}

impl<'a> Verification<'a> {
    /// Prepares the verification, and reads nothing yet.
    pub fn new(scope: Scope<'a>, image: &'a Image) -> Self {
        Self { scope, image, digests: OnceCell::new() }
    }

    /// Returns the digests of the uploaded bytes. The first call reads the bytes, and can run while Signer works.
    pub async fn digests(&self) -> Result<&Digests, Failure> {
        self.digests.get_or_try_init(|| Box::pin(Digests::of_image(self.scope, self.image))).await
    }

    /// The digests, if they were read.
    pub fn into_digests(self) -> Option<Digests> {
        self.digests.into_inner()
    }

    /// Reads the certificate with this ARN from ACM.
    pub async fn certificate(&self, arn: &str) -> Result<Certificate, Failure> {
        let purpose = || format!("reading the certificate `{arn}`");
        let response = self.scope.aws.acm.get_certificate().certificate_arn(arn).send().await;
        let response = response.map_err(|error| Failure::request(purpose(), error))?;
        let pem = required(response.certificate, "Certificate")?;
        Certificate::from_pem(arn, &pem).map_err(|problem| Failure::request(purpose(), problem))
    }

    /// Verifies a signature, in base64, over the uploaded bytes with the key of the certificate.
    ///
    /// # Errors
    /// [`Failure::Signature`] if the signature does not verify.
    pub async fn verify(
        &self,
        certificate: &Certificate,
        algorithm: SignatureAlgorithm,
        signature: &str,
    ) -> Result<(), Failure> {
        let digests = self.digests().await?;
        certificate.verify(digests, algorithm, signature).map_err(|problem| Failure::Signature {
            object: self.scope.upload.to_string(),
            certificate: certificate.arn.clone(),
            problem,
        })
    }
}

impl Certificate {
    fn verify(&self, digests: &Digests, algorithm: SignatureAlgorithm, signature: &str) -> Result<(), String> {
        let (digest, candidates): (_, &[&'static dyn VerificationAlgorithm]) = match algorithm {
            SignatureAlgorithm::Sha256WithEcdsa => {
                (&digests.sha256, &[&ECDSA_P256_SHA256_ASN1, &ECDSA_P384_SHA256_ASN1, &ECDSA_P521_SHA256_ASN1])
            }
            SignatureAlgorithm::Sha1WithEcdsa => (&digests.sha1, &[&ECDSA_P256_SHA1_ASN1, &ECDSA_P521_SHA1_ASN1]),
            SignatureAlgorithm::Sha256WithRsa => (&digests.sha256, &[&RSA_PKCS1_2048_8192_SHA256]),
            SignatureAlgorithm::Sha1WithRsa => (&digests.sha1, &[&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY]),
        };
        let key = candidates.iter().find_map(|algorithm| ParsedPublicKey::new(*algorithm, &self.public_key).ok());
        let key = key.ok_or_else(|| format!("the certificate's key is not for {algorithm:?}"))?;
        let signature = BASE64_STANDARD.decode(signature).map_err(|error| format!("it is not base64: {error}"))?;
        key.verify_digest_sig(digest, &signature).map_err(|_| "it is over other bytes, or by another key".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256};

    const IMAGE: &[u8] = b"a firmware image";
    const P256: &str = include_str!("../../tests/certificates/p256.pem");
    const P384: &str = include_str!("../../tests/certificates/p384.pem");
    const RSA: &str = include_str!("../../tests/certificates/rsa2048.pem");

    /// Signatures over the image, by OpenSSL with the keys of the certificates.
    const SIGNED: [(&str, SignatureAlgorithm, &str); 4] = [
        (
            P256,
            SignatureAlgorithm::Sha256WithEcdsa,
            "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=",
        ),
        (
            P384,
            SignatureAlgorithm::Sha256WithEcdsa,
            "MGUCMQDC7VvBdWk5OKE8oFsR4231c7Z1hH9P1odE6K4J1gSxU1pAtRLIlUeNw8DvLxbDfI0CMGrxS6GKchwc+76k1Jd3uBZmzDjl\
             EfAMNvfAGCbuKC+cK+dVp6kNLMF0jo4+r0S/iQ==",
        ),
        (
            RSA,
            SignatureAlgorithm::Sha256WithRsa,
            "tivoCYqIAKKQRKmff1RVYet9Tgd5ZzZLR0g/8aae3W4FhyqjEaaljBs8rreoO/iLDCoffeyuSblGBAWMuLvofNFXmORdZn+mNhdb\
             4gG3NYkyA5I2c4MnO+UI1X0ooRoNfxhag3Y3nDsfpkoDPnwfQKJZ35HM0/ffO2+iIQG1Yi7pOwn51IgoW1497DfacacUokyilp1S\
             MEqOOsXfXC/dA4ddKwgt+goVmL+PtiiwYAuyGc0JZNKIVLVpqmeH+FXmISMDMA1QKxbBIiWiI0anVuhcNSwjO0eg/yZwnZQqPCUH\
             cz4sZZzUVBIB2eUmPt1pE1I7lH+XuWbfTGNThUBaPQ==",
        ),
        (
            RSA,
            SignatureAlgorithm::Sha1WithRsa,
            "EnFkxhZ8nkeUbFxHfBLioHK5TtvnpGdIhudScAbL5CFwn9aUalCNNzc0iVaSFNNjhGuAdNCelM0KCKCVSLRN7ydwDyKklNzdiAbA\
             4nbItf50FtISinRwvz9mxRQrOJ3TMnMarMGSwmOsRlu3jzXKKvwg5ZjyxxJ5YQr7x3NKsItUYS/jueFLYxXsA5OhZ43nN/EzQ/as\
             T9/1MSoWUhA44oXsfXfCMOak17/VRHVRbGVZhNUKPNgSrOQiSN4GCsF+pRVekZLXNDU3KwXAimGWjyqL8vBVgzUo2ohOLUyF+klI\
             RFdzlMfyTjtezRaDPyM+/lTtobJpbOkQGh7yEWQK4A==",
        ),
    ];

    fn digests(image: &[u8]) -> Digests {
        let digest = |algorithm| aws_lc_rs::digest::digest(algorithm, image);
        Digests { sha256: digest(&SHA256), sha1: digest(&SHA1_FOR_LEGACY_USE_ONLY) }
    }

    #[test]
    fn a_signature_verifies_only_unchanged_and_over_the_bytes_that_were_signed() {
        for (pem, algorithm, signature) in SIGNED {
            let certificate = Certificate::from_pem("arn", pem).unwrap();
            let verify = |image, signature: &str| certificate.verify(&digests(image), algorithm, signature);
            assert_eq!(verify(IMAGE, signature), Ok(()), "{algorithm:?}");
            let problem = verify(b"a firmware image.", signature).unwrap_err();
            assert_eq!(problem, "it is over other bytes, or by another key");
            let bytes = BASE64_STANDARD.decode(signature).unwrap();
            for index in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[index] ^= 1;
                assert!(verify(IMAGE, &BASE64_STANDARD.encode(&bytes)).is_err(), "{algorithm:?}, byte {index}");
            }
            assert!(verify(IMAGE, &signature[1..]).is_err() && verify(IMAGE, "").is_err());
        }
    }

    #[test]
    fn a_key_verifies_only_with_its_own_kind_of_algorithm() {
        let certificate = Certificate::from_pem("arn", P256).unwrap();
        let problem = certificate.verify(&digests(IMAGE), SignatureAlgorithm::Sha256WithRsa, "").unwrap_err();
        assert_eq!(problem, "the certificate's key is not for Sha256WithRsa");
    }
}
