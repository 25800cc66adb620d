//! X

pub mod certificate;
pub mod provided;
pub mod sign;
pub mod signed_object;
pub mod verification;
