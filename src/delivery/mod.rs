//! The delivery of signed files to devices: raw copies, their stream, and presigned URLs.

pub mod deliver;
pub mod presigned_url;
pub mod raw_copy;
pub mod stream;
