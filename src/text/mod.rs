//! X

pub mod encoding;
pub mod json;
pub mod spelling;
