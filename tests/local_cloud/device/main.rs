//! A device with the OTA agent rustot, which nobody of this project wrote.
//!
//! `device document` parses a job document from standard input, and prints its facts. `device run THING PORT FOLDER`
//! connects to the broker with the identity in the folder, waits for a job, and ends when the job execution is finished.
//! Each line of its output is an event in JSON.
//!
//! The agent gets the job, requests the blocks, puts them in order and reports the results. The other parts are this
//! project's: the transport (MQTT by rumqttc), the clock and the storage. `OtaPal::close_file` verifies the signature,
//! with the certificate on the device.

mod board;
mod clock;
mod document;
mod jobs;
mod mqtt;
mod storage;
#[path = "../tls.rs"]
mod tls;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io};

use serde_json::{Value, json};

use board::Board;

type AnyError = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["document"] => print_document(),
        ["run", thing, port, folder] => run(thing, port, folder),
        _ => Err("usage: device document, or device run THING PORT FOLDER".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print_document() -> Result<(), AnyError> {
    let text = io::read_to_string(io::stdin())?;
    let job =
        document::parse(&text).map_err(|error| format!("the parser of rustot rejects the job document: {error}"))?;
    document::print(&job);
    Ok(())
}

/// Boots the device, and boots it again after each restart, until its job execution is finished.
fn run(thing: &str, port: &str, folder: &str) -> Result<(), AnyError> {
    let board = Board::new(PathBuf::from(folder));
    loop {
        match jobs::run(thing, port.parse()?, &board)? {
            jobs::End::Restarted => print_event("restarted", &json!({"version": board.borrow().version()})),
            jobs::End::Finished(status) => {
                print_event("finished", &board.borrow().report(&status));
                return Ok(());
            }
        }
    }
}

/// Prints an event with its facts.
fn print_event(event: &str, facts: &Value) {
    let mut line = json!({"event": event});
    if let (Some(line), Some(facts)) = (line.as_object_mut(), facts.as_object()) {
        line.extend(facts.clone());
    }
    println!("{line}");
}
