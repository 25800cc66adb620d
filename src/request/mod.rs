//! X

pub mod check;
pub mod file;
pub mod file_kind;
pub mod manifest;
pub mod manifest_job;
pub mod release_request;
