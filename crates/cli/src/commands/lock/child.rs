//! A command that runs while its parent holds something: it hears of the signals that the parent gets, and of its death.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use crate::arguments::OnDeath;
use crate::failure::Failure;
use crate::sys::{self, Caught, ENDING, Signals};

pub(crate) const NOT_RUN: u8 = 126;
pub(crate) const NOT_FOUND: u8 = 127;

/// A process that holds something while its commands run. To be made by the main thread, because a command gets its signal
/// at the end of the thread that has started it.
pub(crate) struct Parent {
    signals: Signals,
    /// What was blocked before.
    before: Signals,
    death_signal: Option<libc::c_int>,
}

impl Parent {
    /// To be called when it holds what it is to hold: from now on no signal ends it, and the command gets them.
    pub(crate) fn begin(caught: Option<Caught>, on_death: OnDeath) -> Result<Self, Failure> {
        sys::hear_of_children();
        let signals = Signals::of(&[&ENDING[..], &[libc::SIGCHLD]].concat());
        let before = signals.block().map_err(Failure::system("could not block signals"))?;
        drop(caught); // what the command does at a signal is its own affair
        super::step("signals blocked");
        if let Some(signal) = Caught::noted() {
            return Err(Failure::Signal(signal));
        }
        let death_signal = match on_death {
            OnDeath::Term => Some(libc::SIGTERM),
            OnDeath::Kill => Some(libc::SIGKILL),
            OnDeath::None => None,
        };
        Ok(Self { signals, before, death_signal })
    }

    /// Runs the command to its end, and gives the exit code: its own, or 128 and the signal that has ended it.
    pub(crate) fn run(&self, command: &mut Command) -> Result<u8, Failure> {
        sys::before_exec(command, self.before, self.death_signal);
        let mut child = command.spawn().map_err(|error| not_started(command, &error))?;
        super::step("started");
        let status = wait(&mut child, &self.signals).map_err(Failure::system("could not wait for the command"))?;
        Ok(code_of(status))
    }
}

fn wait(child: &mut Child, signals: &Signals) -> io::Result<ExitStatus> {
    loop {
        let signal = signals.wait()?;
        if signal.number == libc::SIGCHLD {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
        } else if !signal.is_of_the_terminal {
            sys::signal(child.id(), signal.number)?;
        }
    }
}

fn not_started(command: &Command, error: &io::Error) -> Failure {
    let code = match error.raw_os_error() {
        Some(libc::ENOENT) => NOT_FOUND,
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => super::FAILED,
        _ => NOT_RUN,
    };
    Failure::new(code, format_args!("could not run {:?}: {error}", command.get_program()))
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.map_or(super::FAILED, |code| code as u8) // exit codes have 8 bits
}
