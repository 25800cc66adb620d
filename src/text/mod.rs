//! Text that others wrote: its encoding, misspelt names, and JSON documents with the path of each problem.

pub mod encoding;

pub mod spelling;

pub mod json;
