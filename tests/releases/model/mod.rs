//! A model of the steps of a release, walked exhaustively: deliveries × attempts × faults, with effects that happen
//! late.
//!
//! The attempts share a [`World`]. An attempt is a [`Process`], which sends one [`Call`] after another, and the
//! requests of one step in any order. `conformance.rs` shows that the real handler takes exactly these steps.

mod check;
mod fault;
mod process;
mod world;

pub use fault::{Fault, send, writes};
pub use process::{Mutant, Outcome, Process};
pub use world::{Call, Job, JobId, Record, Response, World};
