//! The values of single options, as tags, settings, manifests and job templates give them.

pub mod name;

pub mod target;

pub mod packages;

pub mod job;

pub mod file;

pub mod signature;

pub mod job_config;
