//! An AWS Lambda function behind an S3 upload trigger: it signs the uploaded firmware with AWS Signer, streams it,
//! and creates the AWS IoT job that updates the fleet, as `CreateOTAUpdate` does, with all that `CreateJob` can do.
//!
//! ```text
//! S3 event ─► Upload ─► ReleaseRequest ─► SignedImage ─► Stream ─► Job ─► jobArn in the log and in the result
//! ```
//!
//! The modules, in the order of the pipeline. Each may use those above it, `settings`, `clients` and `error`;
//! none uses `handler`, which puts them in order.

pub mod upload;

pub mod event;

pub mod clock;

pub mod window;

mod cron;

pub mod schedule;

pub mod options;

pub mod tags;

pub mod job_config;

pub mod template;

mod manifest_json;

pub mod manifest;

pub mod signed_object;

pub mod custom_signing;

pub mod file_request;

pub mod request;

pub mod record;

mod verification;

pub mod signing;

mod given;

pub mod stream;

mod delivery;

pub mod job;

pub mod outcome;

pub mod metrics;

pub mod dry_run;

pub mod handler;

pub mod clients;
pub mod error;
pub mod settings;
