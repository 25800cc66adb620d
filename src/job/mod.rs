//! The AWS IoT job: its targets, package versions, template and document, the existing job, and CreateJob.

pub mod create;
pub mod device_limits;
pub mod document;
pub mod earlier_versions;
pub mod existing;
pub mod job_template;
pub mod lookup;
