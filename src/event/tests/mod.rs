//! Sample events, and properties of all events.

pub mod samples;

mod properties;
