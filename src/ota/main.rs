//! The program `ota`: releases firmware, and manages what was released.

mod args;
mod aws;
mod cancel;
mod check;
mod counts;
mod delete;
mod devices;
mod find;
mod groups;
mod job_text;
mod jobs;
mod list;
mod objects;
mod outcome;
mod output;
mod pacer;
mod patience;
mod problem;
mod progress_body;
mod raw;
mod release_tags;
mod show;
mod stack;
mod text;
mod upload;
mod warnings;
mod watch;

#[cfg(test)]
mod tests;

use crate::args::{Arguments, Command};
use crate::aws::Aws;
use crate::output::complain;
use crate::problem::{Exit, Problem};
use crate::stack::Stack;
use clap::{CommandFactory, Parser};
use std::env;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Only a terminal gets colors, whatever CLICOLOR_FORCE says.
    let is_plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    console::set_colors_enabled_stderr(stderr().is_terminal() && !is_plain);
    warnings::show();
    let mut out = stdout();
    let result = Box::pin(run(&arguments, &mut out)).await;
    let result = result.and_then(|exit| Ok(out.flush().map(|()| exit)?));
    let exit = result.unwrap_or_else(|problem| {
        complain(&problem);
        problem.exit
    });
    ExitCode::from(exit as u8)
}

/// Runs the command.
async fn run(Arguments { common, command }: &Arguments, out: &mut dyn Write) -> Result<Exit, Problem> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "ota", &mut script);
            out.write_all(&script)?;
            return Ok(Exit::Done);
        }
        Command::Check(arguments) => return Box::pin(check::run(arguments, common, out)).await,
        _ => {}
    }
    let aws = &Aws::from_env(common.profile.as_deref(), common.region.as_deref()).await?;
    let stack = &Stack::describe(aws, &common.stack).await?;
    let (at, is_json) = ((aws, stack), common.json);
    match command {
        Command::Upload(arguments) => Box::pin(upload::run(at, arguments, common, out)).await,
        Command::Groups => groups::run(stack, is_json, out),
        Command::List(arguments) => list::run(at, arguments, is_json, out).await,
        Command::Show(arguments) => show::run(at, &arguments.release, is_json, out).await,
        Command::Devices(arguments) => devices::run(at, arguments, is_json, out).await,
        Command::Watch(arguments) => watch::run(at, arguments, is_json, out).await,
        Command::Cancel(arguments) => cancel::run(at, arguments, is_json, out).await,
        Command::Delete(arguments) => delete::run(at, arguments, is_json, out).await,
        Command::Check(_) | Command::Completions { .. } => Ok(Exit::Done),
    }
}
