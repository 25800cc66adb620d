//! Events: the object versions that they name, in whatever envelopes, and the stack's own schedules.

pub mod json;

pub mod scheduled;

pub mod record;

pub mod envelope;

pub mod place;

#[cfg(test)]
mod tests;
