//! `robust-shm`: what there is in shared memory, who holds it, and locks, waits and values for scripts.
//!
//! Each command is a file under `commands/`. All that is printed goes through [`Out`](output::Out), and all that fails is a
//! [`Failure`](failure::Failure) with its exit code.
#![deny(clippy::print_stdout, clippy::print_stderr)] // they panic when the reader has gone, and escape nothing

use std::process::ExitCode;

use clap::Parser;

mod arguments;
mod commands;
mod failure;
mod glob;
mod hex;
mod json;

mod kind;
mod output;
mod process;
mod state;
mod sys;
mod table;

use arguments::Arguments;
use failure::Failure;
use output::Out;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return commands::lock::exit_of_usage(&error),
    };
    let mut out = Out::new(arguments.json);
    let result = commands::run(&arguments.command, &mut out);
    match result.and_then(|code| out.flush().map(|()| code).map_err(Failure::from)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(&mut out),
    }
}
