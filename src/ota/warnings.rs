//! Shows the warnings of the function during a check.

use crate::output::warn;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Shows the warnings of the function on standard error, from now on.
pub fn show() {
    let subscriber = tracing_subscriber::registry().with(Warnings);
    // Nothing else sets a subscriber.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Warnings;

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() == Level::WARN && metadata.target().starts_with("ota_on_upload") {
            let mut message = Message::default();
            event.record(&mut message);
            message.0.iter().for_each(warn);
        }
    }
}

/// The message of an event. The final line of a release has none.
#[derive(Default)]
struct Message(Option<String>);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}
