//! X

pub mod certificate;
pub mod fetch;
pub mod profile;
pub mod provided;
pub mod sign;
pub mod signature_object;
pub mod signed_object;
pub mod signing_job;
pub mod verification;
