//! Attacks on releases by principals with rights in the account: attacks that once succeeded, and their variants.

mod job_ids;
mod record;
mod signatures;
mod signing_jobs;
mod streams;

use crate::support::{PROFILE, Upload};
use sha2::{Digest, Sha256};

/// The token that anyone can compute: from the object version and the inputs of the signing job, without a nonce.
fn public_token(upload: &Upload, prefix: &str) -> String {
    fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let parts = parts.into_iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat());
        Sha256::digest(parts.collect::<Vec<_>>()).to_vec()
    }
    let version = hash([upload.bucket.as_bytes(), upload.key.as_bytes(), upload.version_id.as_bytes()]);
    let inputs = hash([PROFILE.as_bytes(), prefix.as_bytes(), b"0"]);
    let token = hash([&version[..], &inputs[..]]);
    token.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
