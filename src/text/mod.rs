//! Text that people and tools write: encodings, spelling, and JSON with the paths of its problems.

pub mod encoding;

pub mod spelling;

pub mod json;
