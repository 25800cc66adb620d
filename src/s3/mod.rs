//! X

pub mod attempts;
pub mod bucket;
pub mod digests;
pub mod listing;
pub mod manifest;
pub mod object;
pub mod record;
pub mod unchanged;
