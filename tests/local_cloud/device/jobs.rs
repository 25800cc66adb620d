//! The main loop of the device: passes messages of the broker to the agent, from one boot to the next.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fs, thread};

use rumqttc::{Client, Event, Packet, QoS};
use rustot::jobs::data_types::{DescribeJobExecutionResponse, JobExecution, NextJobExecutionChanged};
use rustot::jobs::subscribe::Topic as JobsTopic;
use rustot::ota::agent::OtaAgent;
use rustot::ota::control_interface::ControlInterface;
use rustot::ota::data_interface::DataInterface;
use rustot::ota::pal::OtaPal;
use rustot::ota::{Encoding, Topic as StreamTopic};
use serde_json::json;

use crate::board::Board;
use crate::clock::Clock;
use crate::document::{self, JobDocument};
use crate::mqtt::Transport;
use crate::storage::Storage;
use crate::{AnyError, print_event, tls};

const BLOCK_SIZE: usize = 4096;
/// The agent requests blocks again after this time without a response.
const REQUEST_WAIT_MS: u32 = 3000;
const PROGRESS: usize = 31;

/// The end of a boot.
pub enum End {
    Restarted,
    /// The final status of the job execution.
    Finished(String),
}

/// Runs the agent until the device restarts, or its job execution is finished.
///
/// # Errors
///
/// Fails if the connection fails, the agent refuses the job document, or AWS IoT rejects an update.
pub fn run(thing: &str, port: u16, board: &Rc<RefCell<Board>>) -> Result<End, AnyError> {
    let file = |name| fs::read(board.borrow().path(name));
    let options =
        tls::broker_options(thing, port, (&file("ca.pem")?, &file("certificate.pem")?, &file("private-key.pem")?))?;
    board.borrow_mut().is_restarting = false;
    let (client, mut connection) = Client::new(options, 256);
    // In a thread of its own, a slow handshake is never cancelled.
    let (sender, events) = mpsc::channel();
    thread::spawn(move || connection.iter().any(|event| event.is_err() | sender.send(event).is_err()));
    let transport = Transport::new(thing, client.clone());
    let mut agent = OtaAgent::builder(&transport, &transport, Clock::new(), Storage(Rc::clone(board)))
        .block_size(BLOCK_SIZE)
        .request_wait_ms(REQUEST_WAIT_MS)
        .build();
    loop {
        match events.recv_timeout(Duration::from_millis(20)) {
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                for responses in ["$next/get/accepted", "+/update/accepted", "+/update/rejected"] {
                    client.try_subscribe(format!("$aws/things/{thing}/jobs/{responses}"), QoS::AtLeastOnce)?;
                }
                agent.init();
            }
            Ok(Ok(Event::Incoming(Packet::Publish(message)))) => {
                receive(&mut agent, &transport, board, &message.topic, &message.payload)?;
            }
            Ok(Ok(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(RecvTimeoutError::Disconnected) => return Err("the connection to the broker is closed".into()),
        }
        // The agent reports a failure in the status of the job execution.
        let _ = agent.timer_callback();
        let _ = agent.process_event();
        if board.borrow().is_restarting {
            drop(agent);
            client.try_disconnect()?;
            return Ok(End::Restarted);
        }
        if let Some(status) = transport.final_status() {
            return Ok(End::Finished(status));
        }
    }
}

fn receive<C, D, E, T, S, P>(
    agent: &mut OtaAgent<'_, C, D, E, T, S, P, 1000>,
    transport: &Transport,
    board: &RefCell<Board>,
    topic: &str,
    payload: &[u8],
) -> Result<(), AnyError>
where
    C: ControlInterface,
    D: DataInterface,
    E: DataInterface,
    T: fugit_timer::Timer<1000>,
    S: fugit_timer::Timer<1000>,
    P: OtaPal,
{
    if let Some(StreamTopic::Data(Encoding::Cbor, _)) = StreamTopic::from_str(topic) {
        let before = board.borrow().blocks;
        // The agent needs to change the payload while it decodes it.
        let _ = agent.handle_message(&mut payload.to_owned());
        let board = board.borrow();
        if board.blocks > before && board.blocks.is_multiple_of(PROGRESS) {
            print_event("received", &json!({"blocks": board.blocks, "bytes": board.bytes}));
        }
        return Ok(());
    }
    let text = str::from_utf8(payload)?;
    let execution = match JobsTopic::from_str(topic) {
        Some(JobsTopic::UpdateAccepted(_)) => {
            transport.update_is_accepted();
            return Ok(());
        }
        Some(JobsTopic::UpdateRejected(_)) => return transport.update_is_rejected(text),
        Some(JobsTopic::NotifyNext) => serde_json_core::from_str::<NextJobExecutionChanged<JobDocument>>(text)
            .map(|(message, _)| message.execution),
        Some(JobsTopic::DescribeAccepted(_)) => {
            serde_json_core::from_str::<DescribeJobExecutionResponse<JobDocument>>(text)
                .map(|(message, _)| message.execution)
        }
        _ => return Ok(()),
    };
    let execution = execution.map_err(|error| refused(&error.to_string(), text))?;
    if let Some(JobExecution { job_id, job_document: Some(JobDocument { mut afr_ota }), status_details, .. }) =
        execution
    {
        let file = afr_ota.files.first_mut().ok_or("the job document has no file")?;
        let (name, value) = document::signature(file).ok_or("the job document has no known signature")?;
        let facts = json!({"job": job_id, "stream": afr_ota.streamname, "size": file.filesize, "signature": name});
        print_event("job", &facts);
        board.borrow_mut().signature = Some((name, value.to_owned()));
        // The agent has 64 characters for a signature, and 64 for a URL. Each is longer, and the agent would panic. The
        // board has the whole signature.
        (file.sha256_ecdsa, file.sha256_rsa, file.sha1_ecdsa, file.sha1_rsa) = (Some(""), None, None, None);
        (file.update_data_url, file.auth_scheme) = (None, None);
        // A job that arrives again while it runs is an error here, which the agent ignores.
        let _ = agent.job_update(job_id, &afr_ota, status_details.as_ref());
    }
    Ok(())
}

fn refused(error: &str, text: &str) -> AnyError {
    print_event("refused", &json!({"error": error}));
    format!("the parser of rustot refuses the job: {error}: {text}").into()
}
