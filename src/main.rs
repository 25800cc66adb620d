//! The process that Lambda starts.
//!
//! Sets up logging, settings and clients once, then handles one event after another.

use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, service_fn};
use ota_on_upload::clients::Clients;
use ota_on_upload::handler::Function;
use ota_on_upload::settings::Settings;
use serde_json::value::RawValue;
use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log_to_stdout();
    let settings = Settings::from_env().inspect_err(|error| tracing::error!("{error}"))?;
    let mut function = Function::new(settings, Clients::from_env().await);
    if let Ok(name) = env::var("AWS_LAMBDA_FUNCTION_NAME") {
        function = function.with_metrics(name);
    }
    let function = &function;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
        function.handle(event.payload.get(), deadline(&event.context)).await.map_err(Diagnostic::from)
    }))
    .await
}

/// The time at which Lambda ends the invocation. `cargo lambda watch` reports a deadline in 1970 and enforces none. The
/// function then assumes Lambda's maximum of 15 minutes
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
fn deadline(invocation: &Context) -> SystemTime {
    let deadline = invocation.deadline();
    let is_enforced = deadline > UNIX_EPOCH + Duration::from_hours(365 * 24);
    if is_enforced { deadline } else { SystemTime::now() + Duration::from_mins(15) }
}

/// Logs JSON lines or text, at the log level that is set in Lambda
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>).
///
/// Other crates log only warnings and errors, whatever the level: the SDK's wire logs contain signatures and
/// credentials.
fn log_to_stdout() {
    let level = match env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default().to_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    };
    let filter = Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target("ota_on_upload", level)
        // The span that carries the request ID.
        .with_target("lambda_runtime", LevelFilter::INFO)
        .with_default(level.min(LevelFilter::WARN));
    let subscriber = tracing_subscriber::registry().with(filter);
    if env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("text")) {
        subscriber.with(fmt::layer().with_ansi(false)).init();
    } else {
        subscriber.with(fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false)).init();
    }
}
