//! Events: reads uploads in any envelope, and recognizes the stack's own schedules.

pub mod json;

pub mod scheduled;

pub mod record;

pub mod envelope;

pub mod place;

#[cfg(test)]
mod tests;
