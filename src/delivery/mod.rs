//! X

pub mod delivery;
pub mod presigned_url;
pub mod raw_copy;
pub mod stream;
