//! Whole releases: through the real handler and the real clients, in process, as a real process, and on the local cloud.

mod attacks;
mod conformance;
mod copies;
mod corpus;
mod events;
mod fake;
mod faults;
mod inputs;
mod local_cloud;
mod lookups;
mod manifests;
mod model;
#[path = "../local_cloud/operations.rs"]
mod operations;
#[path = "../local_cloud/packages.rs"]
mod packages;
mod process;
mod releases;
mod requests;
mod responses;
#[path = "../local_cloud/streams.rs"]
mod streams;
mod templates;

/// Says something of a test that passes: what it prints is kept back.
fn tell(text: std::fmt::Arguments) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
