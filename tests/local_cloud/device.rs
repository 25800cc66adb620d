//! Parses an IoT job document from standard input as the OTA agent `rustot` does, and prints the result. Exits with
//! status 1 if the parser rejects the document. The agent itself is not run: its buffer for signatures is too short.

use std::io;
use std::process::ExitCode;

use rustot::ota::encoding::json::{FileDescription, OtaJob};
use serde::Deserialize;

#[derive(Deserialize)]
struct JobDocument<'a> {
    #[serde(borrow)]
    afr_ota: OtaJob<'a>,
}

fn main() -> ExitCode {
    let document = io::read_to_string(io::stdin()).unwrap_or_default();
    match parse(&document) {
        Ok(job) => {
            print(&job);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the parser of rustot rejects the job document: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(document: &str) -> Result<OtaJob<'_>, String> {
    if document.contains('\\') {
        return Err("it has JSON escapes, which devices do not decode".to_owned());
    }
    let (JobDocument { afr_ota: job }, _) =
        serde_json_core::from_str(document.trim_end()).map_err(|error| error.to_string())?;
    let file = job.files.first().ok_or("it has no file")?;
    signature(file).ok_or("its file has no signature that devices support")?;
    Ok(job)
}

fn print(job: &OtaJob) {
    println!("protocols    {}", format!("{:?}", job.protocols).trim_matches(['[', ']']).to_uppercase());
    println!("stream       {}", job.streamname);
    for file in &job.files {
        println!("file         {}, id {}, {} bytes", file.filepath, file.fileid, file.filesize);
        println!("file type    {}", file.file_type.map_or("none".to_owned(), |file_type| file_type.to_string()));
        println!("certificate  {}", file.certfile);
        if let Some((key, value)) = signature(file) {
            println!("signature    {key}: {value}");
        }
    }
}

fn signature<'a>(file: &FileDescription<'a>) -> Option<(&'static str, &'a str)> {
    [
        ("sig-sha256-ecdsa", file.sha256_ecdsa),
        ("sig-sha256-rsa", file.sha256_rsa),
        ("sig-sha1-ecdsa", file.sha1_ecdsa),
        ("sig-sha1-rsa", file.sha1_rsa),
    ]
    .into_iter()
    .find_map(|(key, value)| Some((key, value?)))
}
