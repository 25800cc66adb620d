//! The events of the stack's own schedules.

use crate::event::json::Members;

/// A task that a schedule of the stack starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheduled {
    /// Count the streams of the account.
    CountStreams,
    /// Check the configuration of the bucket, whose policy has statements with these IDs.
    CheckBucket(Vec<String>),
}

impl Scheduled {
    /// Parses an event. `None` if it is not an event of the stack's schedules.
    pub fn parse(event: &str) -> Option<Self> {
        let members = Members::parse(event)?;
        if members.0.len() == 1 && members.text("count").as_deref() == Some("streams") {
            Some(Self::CountStreams)
        } else if members.0.len() == 2 && members.text("check").as_deref() == Some("bucket") {
            serde_json::from_str(members.get("statements")?).map(Self::CheckBucket).ok()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_events_of_the_schedules_are_recognized() {
        let bucket = |statements: &[&str]| {
            Some(Scheduled::CheckBucket(statements.iter().map(|statement| (*statement).to_owned()).collect()))
        };
        for (event, expected) in [
            (" {\"count\": \"streams\"}", Some(Scheduled::CountStreams)),
            ("{\"check\":\"bucket\",\"statements\":[\"a\",\"b\"]}", bucket(&["a", "b"])),
            ("{\"check\":\"bucket\",\"statements\":[]}", bucket(&[])),
            ("{\"check\":\"bucket\",\"statements\":[1]}", None),
            ("{\"check\":\"bucket\"}", None),
            ("{\"check\":\"bucket\",\"statements\":[],\"more\":1}", None),
            ("{\"check\":\"buckets\",\"statements\":[]}", None),
            ("{\"count\":\"streams\",\"count2\":1}", None),
            ("{\"count\":[\"streams\"]}", None),
            ("\"streams\"", None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(Scheduled::parse(event), expected, "{event}");
        }
    }
}
