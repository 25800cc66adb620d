//! The members of responses with AWS's names, for `--json`.

use aws_sdk_iot::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_iot::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_iot::error::BoxError;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps the JSON of a response.
#[derive(Debug, Clone, Default)]
pub struct Raw(Arc<Mutex<Value>>);

impl Raw {
    /// Returns a member of the response, with all times in the form `2026-12-01T02:00:00Z`.
    pub fn member(&self, name: &str) -> Value {
        let mut response = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut member = response[name].take();
        format_times(&mut member);
        member
    }
}

impl Intercept for Raw {
    fn name(&self) -> &'static str {
        "the JSON of the response"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = serde_json::from_slice(body).unwrap_or_default();
        Ok(())
    }
}

/// Formats the numbers in members such as `createdAt`, which are seconds since 1970.
fn format_times(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(format_times),
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_f64().filter(|_| name.ends_with("At")) {
                    #[allow(clippy::cast_possible_truncation, reason = "whole seconds")]
                    Some(seconds) => {
                        *member =
                            Timestamp::from_second(seconds as i64).map_or(Value::Null, |at| at.to_string().into());
                    }
                    None => format_times(member),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_text_and_other_members_stay() {
        let mut job = json!({"createdAt": 1.795_798_5e9, "list": [{"queuedAt": 0, "number": 1}], "startedAt": null});
        format_times(&mut job);
        let expected = json!({"createdAt": "2026-11-27T16:55:00Z", "list": [{"queuedAt": "1970-01-01T00:00:00Z", "number": 1}], "startedAt": null});
        assert_eq!(job, expected);
    }
}
