//! Opens the envelopes around an event, and consumes unreadable messages of the failure queue.

use crate::error::Failure;
use crate::event::json::{Members, describe, elements, quoted_beginning};
use crate::event::record::{CREATING_REASONS, Record};
use crate::event::scheduled::Scheduled;
use serde_json::value::RawValue;

/// The maximum number of envelopes around an event. A redriven SNS notification of a queue has four: SQS, the failure
/// destination, SQS and SNS. An array, and JSON in a JSON string, can add two.
const MAX_ENVELOPES: u32 = 8;

/// The maximum number of records of an event. A notification of S3 has one record. A batch of SQS has at most 10,000
/// messages (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>).
const MAX_RECORDS: usize = 1000;

/// The maximum number of bytes that are logged of a consumed message.
const MAX_LOGGED: usize = 4096;

const EXPECTED: &str = "a notification of S3, an S3 event of EventBridge, or one of these in the envelope of SQS, SNS or a \
                        Lambda failure destination";

/// Returns the records of an event, at least one. An event that is not understood results in one failed record.
///
/// Only known events that are not about uploads are skipped. Messages of the queue with the ARN `failure_queue` are consumed
/// if they are not understood.
pub fn records(event: &str, failure_queue: Option<&str>) -> Vec<Record> {
    Reader { failure_queue }.open(event, MAX_ENVELOPES + 1)
}

struct Reader<'a> {
    failure_queue: Option<&'a str>,
}

impl Reader<'_> {
    /// Reads the content of an envelope. `envelopes` is the number of envelopes that may be opened, including this one.
    fn open(&self, json: &str, envelopes: u32) -> Vec<Record> {
        match serde_json::from_str::<&RawValue>(json) {
            Ok(_) if envelopes == 0 => unreadable(format!("it is in more than {MAX_ENVELOPES} envelopes")),
            Ok(event) => self.event(event.get(), envelopes - 1),
            Err(error) => unreadable(format!("it is not JSON ({error}), expected {EXPECTED}")),
        }
    }

    fn event(&self, json: &str, envelopes: u32) -> Vec<Record> {
        if let Ok(text) = serde_json::from_str::<String>(json) {
            return self.open(&text, envelopes);
        }
        if let Some(events) = elements(json).filter(|events| !events.is_empty()) {
            return read_all(&events, |event| self.open(event, envelopes));
        }
        let not_understood = || unreadable(format!("it is {}, expected {EXPECTED}", describe(json)));
        let Some(members) = Members::parse(json) else { return not_understood() };
        let text = |name| members.text(name);
        let is_notification = text("Type").as_deref() == Some("Notification");
        if let Some(payload) = members.get("requestPayload") {
            self.open(payload, envelopes)
        } else if let Some(message) = text("Message").filter(|_| is_notification) {
            self.open(&message, envelopes)
        } else if text("source").as_deref() == Some("aws.s3") {
            vec![Record::from_event_bridge(&members)]
        } else if let Some(records) = members.get("Records").and_then(elements) {
            if records.is_empty() {
                return vec![Record::other_event()];
            }
            read_all(&records, |record| self.record(record, &Members::parse(record).unwrap_or_default(), envelopes))
        } else if event_source(&members).is_some() {
            self.record(json, &members, envelopes)
        } else if text("Event").as_deref() == Some("s3:TestEvent") {
            vec![Record { bucket: text("Bucket"), ..Record::other_event() }]
        } else if Scheduled::parse(json).is_some() {
            vec![Record::other_event()]
        } else if text("reason").is_some_and(|reason| CREATING_REASONS.contains(&reason.as_str())) {
            // A detail without such a reason is not understood, because details of added tags and of deleted tags look
            // alike.
            vec![Record::from_detail(&members)]
        } else {
            not_understood()
        }
    }

    fn record(&self, json: &str, members: &Members<'_>, envelopes: u32) -> Vec<Record> {
        match event_source(members).as_deref() {
            Some("aws:s3") => vec![Record::from_notification(members)],
            Some("aws:sns") => {
                let message = members.object("Sns").text("Message");
                self.open(&message.unwrap_or_default(), envelopes)
            }
            Some("aws:sqs") => {
                let body = members.text("body").unwrap_or_default();
                let records = self.open(&body, envelopes);
                // Lambda writes the queue's ARN into the outermost envelope only. A sender can write any ARN into the
                // inner ones.
                let is_outermost = envelopes == MAX_ENVELOPES;
                match self.failure_queue {
                    Some(queue) if is_outermost && members.text("eventSourceARN").as_deref() == Some(queue) => {
                        consume(records, &body)
                    }
                    _ => records,
                }
            }
            Some(other) => {
                let expected = "expected `aws:s3`, `aws:sqs` or `aws:sns`";
                unreadable(format!("the `eventSource` of its record is {}, {expected}", quoted_beginning(other)))
            }
            None => unreadable(format!("its record is {}, expected {EXPECTED}", describe(json))),
        }
    }
}

fn event_source(record: &Members<'_>) -> Option<String> {
    record.text("eventSource").or_else(|| record.text("EventSource"))
}

fn unreadable(problem: String) -> Vec<Record> {
    vec![Record::unreadable(problem)]
}

/// Returns the records of all elements, or one failed record if there are more than [`MAX_RECORDS`].
fn read_all(elements: &[&RawValue], read: impl Fn(&str) -> Vec<Record>) -> Vec<Record> {
    let mut records = Vec::new();
    for element in elements {
        records.extend(read(element.get()));
        if records.len() > MAX_RECORDS {
            let problem = format!("it has more than {MAX_RECORDS} records, and none is released; send it in parts");
            // `Unsupported` keeps the message in the failure queue. A message without a readable record can be consumed.
            let is_unreadable = records.iter().all(Record::is_unreadable);
            let failure = if is_unreadable { Failure::Event { problem } } else { Failure::Unsupported { problem } };
            return vec![Record::without_upload(failure.into())];
        }
    }
    records
}

/// Marks the unreadable records of a failure-queue message as consumed. The first of these records gets the beginning
/// of the message.
fn consume(mut records: Vec<Record>, message: &str) -> Vec<Record> {
    let mut beginning = &message[..message.floor_char_boundary(MAX_LOGGED)];
    for record in records.iter_mut().filter(|record| record.is_unreadable()) {
        record.consumed = Some(std::mem::take(&mut beginning).to_owned());
    }
    records
}

#[cfg(test)]
mod tests;
