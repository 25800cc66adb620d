//! An AWS Lambda function behind an S3 upload trigger: it signs the uploaded firmware with AWS Signer, streams it,
//! and creates the AWS IoT job that updates the fleet, as `CreateOTAUpdate` does, with all that `CreateJob` can do.

pub mod text;

pub mod progress;

pub mod error;

pub mod not_released;

pub mod upload;

pub mod tags;

pub mod schedule;

pub mod options;

pub mod settings;

pub mod clients;

mod backoff;

mod scope;

pub mod event;

pub mod request;

pub mod s3;

pub mod signing;

pub mod delivery;

pub mod job;

mod plan;

pub mod outcome;

pub mod metrics;

pub mod dry_run;

mod release;

pub mod handler;
