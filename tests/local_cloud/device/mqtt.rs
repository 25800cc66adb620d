//! The transport of the agent: MQTT by rumqttc.

use std::cell::{Cell, RefCell};

use mqttrust::{Mqtt, MqttError, Packet};
use rumqttc::{Client, QoS};
use serde_json::Value;

use crate::AnyError;

/// A connection on which the agent sends. It counts the updates of job executions that have no response yet.
pub struct Transport {
    thing: String,
    client: Client,
    pending_updates: Cell<usize>,
    final_status: RefCell<Option<String>>,
}

impl Transport {
    /// A transport for the agent of a thing.
    pub fn new(thing: &str, client: Client) -> Self {
        let (thing, pending_updates) = (thing.to_owned(), Cell::new(0));
        Self { thing, client, pending_updates, final_status: RefCell::default() }
    }

    /// Counts an accepted update.
    pub fn update_is_accepted(&self) {
        self.pending_updates.set(self.pending_updates.get().saturating_sub(1));
    }

    /// Counts a rejected update. The agent reports an aborted download twice, and AWS IoT rejects the second report.
    ///
    /// # Errors
    ///
    /// Fails if the job execution does not have the status that the agent reported.
    pub fn update_is_rejected(&self, response: &str) -> Result<(), AnyError> {
        let rejected: Value = serde_json::from_str(response)?;
        let status = rejected["executionState"]["status"].as_str();
        if status.is_none() || status != self.final_status.borrow().as_deref() {
            return Err(format!("AWS IoT rejects an update: {response}").into());
        }
        self.update_is_accepted();
        Ok(())
    }

    /// Returns the final status of the job execution, once AWS IoT has accepted it.
    pub fn final_status(&self) -> Option<String> {
        self.final_status.borrow().clone().filter(|_| self.pending_updates.get() == 0)
    }

    fn note_update(&self, payload: &[u8]) {
        self.pending_updates.set(self.pending_updates.get() + 1);
        let update: Value = serde_json::from_slice(payload).unwrap_or_default();
        if let Some(status @ ("SUCCEEDED" | "FAILED")) = update["status"].as_str() {
            *self.final_status.borrow_mut() = Some(status.to_owned());
        }
    }
}

impl Mqtt for Transport {
    fn send(&self, packet: Packet<'_>) -> Result<(), MqttError> {
        let result = match packet {
            Packet::Publish(publish) => {
                if publish.topic_name.ends_with("/update") {
                    self.note_update(publish.payload);
                }
                self.client.try_publish(publish.topic_name, qos(publish.qos), publish.retain, publish.payload)
            }
            Packet::Subscribe(subscribe) => {
                subscribe.topics().try_for_each(|topic| self.client.try_subscribe(topic.topic_path, qos(topic.qos)))
            }
            Packet::Unsubscribe(unsubscribe) => {
                unsubscribe.topics().try_for_each(|topic| self.client.try_unsubscribe(topic))
            }
            _ => return Err(MqttError::Overflow),
        };
        result.map_err(|_| MqttError::Full)
    }

    fn client_id(&self) -> &str {
        &self.thing
    }
}

fn qos(qos: mqttrust::QoS) -> QoS {
    match qos {
        mqttrust::QoS::AtMostOnce => QoS::AtMostOnce,
        // AWS IoT does not support QoS 2.
        mqttrust::QoS::AtLeastOnce | mqttrust::QoS::ExactlyOnce => QoS::AtLeastOnce,
    }
}
