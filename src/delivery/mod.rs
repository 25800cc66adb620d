//! X

pub mod delivery_;
pub mod stream;
