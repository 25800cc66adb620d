//! Failing requests: errors and hooks for the next request of an operation, and faults at chosen requests.

use super::response::{error, ok};
use super::{Fake, State};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

/// Runs once at a request of an operation, and may replace the response.
pub type Hook = Box<dyn FnOnce(&mut State) -> Option<Response<Bytes>> + Send>;

/// The time at which a hook runs: before or after the effect of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// A way in which a request can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The response is an error. The request has no effect.
    ErrorBefore,
    /// The service throttles the request.
    Throttled,
    /// The connection is lost before the service receives the request.
    LostBefore,
    /// No response ever comes. The request has no effect.
    Hang,
    /// The request has its effect. The response is an error.
    ErrorAfter,
    /// The request has its effect. The connection is lost before the response.
    LostAfter,
    /// The second half of the response is missing. A response without a body is lost.
    Truncated,
    /// The response is garbage. A response without a body is lost.
    Garbled,
    /// The response has no headers, not even a length.
    HeadersLost,
}

pub const FAULTS: [Fault; 9] = [
    Fault::ErrorBefore,
    Fault::Throttled,
    Fault::LostBefore,
    Fault::Hang,
    Fault::ErrorAfter,
    Fault::LostAfter,
    Fault::Truncated,
    Fault::Garbled,
    Fault::HeadersLost,
];

/// An operation, and the number of its requests before this one.
pub type CallIndex = (&'static str, usize);

pub type Watch = Box<dyn FnMut(&'static str, &Request<Bytes>) -> Option<Fault> + Send>;

impl Fake {
    /// Makes the next request of `operation` fail without effect.
    pub fn fail_next(&self, operation: &'static str, status: u16, code: &'static str) {
        self.state().fail_next(operation, status, code);
    }

    /// Replaces the next response of `operation` by this error. The request has its effect.
    pub fn fail_after_next(&self, operation: &'static str, status: u16, code: &'static str) {
        let hook = move |_: &mut State| Some(error(operation, status, code, "injected"));
        self.state().add_hook(operation, When::After, hook);
    }

    /// Makes the next request of `operation` return this body without effect.
    pub fn respond_next(&self, operation: &'static str, body: Value) {
        self.state().add_hook(operation, When::Before, move |_: &mut State| Some(ok(&body)));
    }

    /// Changes the state right before the next request of `operation`.
    pub fn before_next(&self, operation: &'static str, change: impl FnOnce(&mut State) + Send + 'static) {
        let hook = move |state: &mut State| {
            change(state);
            None
        };
        self.state().add_hook(operation, When::Before, hook);
    }

    /// Makes every HeadObject of this key return this status.
    pub fn fail_head(&self, key: &str, status: u16) {
        self.state().head_status = Some((key.to_owned(), status));
    }

    pub(super) fn run_hook(&self, operation: &str, when: When) -> Option<Response<Bytes>> {
        let mut state = self.state();
        let at = state.hooks.iter().position(|(hooked, then, _)| *hooked == operation && *then == when)?;
        let (_, _, hook) = state.hooks.remove(at);
        hook(&mut state)
    }
}

impl State {
    /// Makes the next request of `operation` fail without effect.
    pub fn fail_next(&mut self, operation: &'static str, status: u16, code: &'static str) {
        let hook = move |_: &mut State| Some(error(operation, status, code, "injected"));
        self.add_hook(operation, When::Before, hook);
    }

    fn add_hook(
        &mut self,
        operation: &'static str,
        when: When,
        hook: impl FnOnce(&mut State) -> Option<Response<Bytes>> + Send + 'static,
    ) {
        self.hooks.push((operation, when, Box::new(hook)));
    }

    /// The fault of the next request, if it has one.
    pub(super) fn next_fault(&mut self, operation: &'static str, request: &Request<Bytes>) -> Option<Fault> {
        if let Some(watch) = &mut self.watch
            && let Some(fault) = watch(operation, request)
        {
            return Some(fault);
        }
        let count = self.request_counts.entry(operation).or_default();
        let index = (operation, *count);
        *count += 1;
        self.call_indices.push(index);
        let at = self.faults.iter().position(|(known, _)| *known == index)?;
        Some(self.faults.swap_remove(at).1)
    }
}
