//! A file with its signature.

use crate::options::signature::SignatureAlgorithm;
use crate::request::file::FileRequest;
use crate::s3::digests::Digests;
use crate::s3::object::Image;
use jiff::Timestamp;

/// A signature over a file, and everything that a device needs to check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedImage {
    /// The key of the raw copy. If Signer wrote a signed object for this release, the raw copy has the key of that
    /// object.
    pub key: String,
    /// The signature, in base64.
    pub signature: String,
    /// The algorithm of the signature.
    pub algorithm: SignatureAlgorithm,
    /// The certificate's path on the device: the signing profile's `certname`.
    pub cert_file: String,
    /// The size of the image that was signed, in bytes.
    pub size: u64,
    /// The end of the validity of the certificate that verified the signature. `None` if the signature was not
    /// verified.
    pub verified_until: Option<Timestamp>,
}

/// A file with its signature.
#[derive(Debug)]
pub(crate) struct SignedFile {
    pub file: FileRequest,
    pub image: Image,
    pub signed: SignedImage,
    /// The digests of the image, if they were read.
    pub digests: Option<Digests>,
}
