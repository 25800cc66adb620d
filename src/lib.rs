//! An AWS Lambda function behind an S3 upload trigger. The function signs the uploaded firmware with AWS Signer,
//! streams it, and creates the AWS IoT job that updates the fleet. The job has the form of `CreateOTAUpdate`'s jobs,
//! and can also use the other options of `CreateJob`.
//!
//! # From upload to job
//!
//! A release is a chain of values. One function makes each value from the previous one. The value carries everything
//! that later steps need:
//!
//! ```text
//! Upload ───► Inspected ───► Planned ────► SignedFile ──► Delivery ───► Job
//! event       s3::inspect    plan          signing        delivery      job
//!             tags, image,   checked       signature,     raw copy,     CreateJob,
//!             current?       request,      verified       stream, URL   receipt
//!             record         looked up
//! ```
//!
//! - [`release`] runs these steps in their order.
//! - [`handler`] reads an event and releases each upload.
//! - [`dry_run`] reports the requests of a planned release instead of sending them.
//! - [`outcome`] holds the results that the function returns and logs.
//!
//! # Modules
//!
//! A file uses only files above it in the table of `docs/developer/architecture.md`. A test compares the table with the
//! code.

pub mod text;

pub mod progress;

pub mod error;

pub mod not_released;

pub mod backoff;

pub mod upload;

pub mod tags;

pub mod schedule;

pub mod options;

pub mod settings;

pub mod clients;

pub mod scope;

pub mod event;

pub mod request;

pub mod s3;

pub mod signing;

pub mod delivery;

pub mod job;

pub mod plan;

pub mod outcome;

pub mod metrics;

pub mod dry_run;

pub mod release;

pub mod handler;
