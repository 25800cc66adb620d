//! The request of a release: its tags, its manifest and its job template, checked against the settings.

pub mod file_kind;

pub mod reader;

pub mod targets;

pub mod schedule;

pub mod manifest_job;

pub mod manifest_files;

pub mod manifest;

pub mod signature;

pub mod file;

pub mod release_request;

pub mod check;
