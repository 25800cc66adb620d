//! X

pub mod create;
pub mod device_limits;
pub mod existing;
pub mod job_template;
pub mod lookup;
