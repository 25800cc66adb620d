//! Signatures: by AWS Signer or by the uploader, read, checked and verified.

pub mod certificate;
pub mod fetch;
pub mod profile;
pub mod provided;
pub mod sign;
pub mod signature_object;
pub mod signed_image;
pub mod signed_object;
pub mod signing_job;
pub mod source;
pub mod verification;
