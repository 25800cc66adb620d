//! Tests of whole releases, with the real handler and the real clients: in process, as a separate process, and on the
//! local cloud. `layers` tests the order of the files of src/.

mod adopted;
mod attacks;
mod aws_requests;
mod conflicts;
mod conformance;
mod copies;
mod corpus;
mod created;
mod dry_run;
mod events;
mod faults;
#[path = "../local_cloud/file_delivery.rs"]
mod file_delivery;
mod job_templates;
mod layers;
mod local_cloud;
mod logs;
mod lookups;
mod manifest_rejections;
mod manifests;
mod model;
#[path = "../local_cloud/operations.rs"]
mod operations;
#[path = "../local_cloud/packages.rs"]
mod packages;
mod process;
mod provided_signatures;
mod rejected;
mod requests;
mod responses;
mod sample_events;
#[path = "../local_cloud/service.rs"]
mod service;
mod signing;
mod skipped;
mod storage;
#[path = "../local_cloud/streams.rs"]
mod streams;
mod support;
mod throttling;
mod verification;
