//! The AWS IoT job: what it needs, whether it exists, its document, and CreateJob.

pub mod create;
pub mod device_limits;
pub mod document;
pub mod earlier_versions;
pub mod existing;
pub mod job_template;
pub mod lookup;
