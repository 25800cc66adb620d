//! The values of single options in tags, settings, manifests and job templates.

pub mod name;

pub mod target;

pub mod packages;

pub mod job;

pub mod file;

pub mod signature;

pub mod job_config;
