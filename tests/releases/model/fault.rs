//! The faults of a request.

use super::world::{Call, JobId, Response, World};

/// A fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// All tries return errors. The request has no effect.
    Error,
    /// The request has its effect. All its responses are lost.
    ResponsesLost,
    /// The request has its effect, its response is lost, and the SDK retries.
    Retried,
    /// The process is killed before the request.
    KilledBefore,
    /// The process is killed after the effect.
    KilledAfter,
    /// The process is killed. The request has its effect at any later time.
    Late,
}

pub const FAULTS: [Fault; 6] =
    [Fault::Error, Fault::ResponsesLost, Fault::Retried, Fault::KilledBefore, Fault::KilledAfter, Fault::Late];

/// Returns whether a request changes the shared state.
pub fn writes(call: Call) -> bool {
    use Call::{Claim, Copy, CreateJob, CreateStream, DeleteStream, Receipt, Sign};
    matches!(call, Claim | Sign | Copy | CreateStream | CreateJob | Receipt | DeleteStream)
}

/// Applies a request with its fault. Returns the response, or `None` if the process is killed.
pub fn send(world: &mut World, call: Call, job_id: JobId, fault: Option<Fault>) -> Option<Response> {
    match fault {
        None => Some(world.perform(call, job_id)),
        Some(Fault::Error) => Some(Response::Failed),
        Some(Fault::ResponsesLost) => {
            world.perform(call, job_id);
            Some(Response::Failed)
        }
        Some(Fault::Retried) => {
            world.perform(call, job_id);
            Some(world.perform(call, job_id))
        }
        Some(Fault::KilledAfter) => {
            world.perform(call, job_id);
            None
        }
        Some(Fault::KilledBefore | Fault::Late) => None,
    }
}
