//! An AWS Lambda function behind an S3 upload trigger: it signs the uploaded firmware with AWS Signer, streams it,
//! and creates the AWS IoT job that updates the fleet, as `CreateOTAUpdate` does, with all that `CreateJob` can do.
//!
//! ```text
//! S3 event ─► Upload ─► ReleaseRequest ─► SignedImage ─► Stream ─► Job ─► jobArn in the log and in the result
//! ```
//!
//! The modules, in the order of the pipeline. Each may use those above it, `settings`, `clients` and `error`;
//! none uses `handler`, which puts them in order.

mod spelling;

mod listing;

pub mod tags;

pub mod upload;

mod stored_object;

pub mod event;

pub mod zone;

pub mod clock;

pub mod window;

mod cron;

pub mod schedule;

pub mod options;

pub mod job_config;

pub mod template;

pub mod signed_object;

mod text;

mod json;

pub mod custom_signing;

mod helper_file;

mod manifest_json;

pub mod manifest;

pub mod file_request;

pub mod request;

mod lookup;

pub mod traces;

pub mod record;

mod certificate;

mod verification;

mod unchanged;

pub mod signing;

mod given;

pub mod stream;

mod delivery;

mod existing_job;

pub mod job;

mod device_limits;

mod bucket;

pub mod outcome;

pub mod metrics;

pub mod dry_run;

pub mod handler;

pub mod clients;
pub mod error;
pub mod settings;
