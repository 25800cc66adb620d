//! X

pub mod job;
pub mod job_config;
pub mod signature;
