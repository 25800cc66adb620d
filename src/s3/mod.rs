//! The objects in S3: the upload, and everything that earlier attempts at its release left.

pub mod attempts;
pub mod bucket;
pub mod digests;
pub mod inspect;
pub mod listing;
pub mod manifest;
pub mod object;
pub mod record;
pub mod unchanged;
