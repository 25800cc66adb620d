//! X

pub mod file;
pub mod job;
pub mod job_config;
pub mod signature;
pub mod target;
