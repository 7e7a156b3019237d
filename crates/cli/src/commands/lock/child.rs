//! A command that runs while its parent holds something: it hears of the signals that the parent gets, and of its death.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use crate::arguments::OnDeath;
use crate::failure::Failure;
use crate::sys::{self, Signals};

pub(crate) const NOT_RUN: u8 = 126;
pub(crate) const NOT_FOUND: u8 = 127;

/// What is passed on. Without this, the parent would die of them, and poison the lock.
const FORWARDED: [libc::c_int; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// Runs the command to its end, and gives the exit code: its own, or 128 and the signal that has ended it. To be called by the
/// main thread, because the child gets its signal at the end of the thread that has started it.
pub(crate) fn run(command: &mut Command, on_death: OnDeath) -> Result<u8, Failure> {
    let failed = || Failure::system("could not wait for the command");
    let signals = Signals::of(&[&FORWARDED[..], &[libc::SIGCHLD]].concat());
    sys::hear_of_children();
    let before = signals.block().map_err(failed())?;
    super::step("signals blocked");
    let death_signal = match on_death {
        OnDeath::Term => Some(libc::SIGTERM),
        OnDeath::Kill => Some(libc::SIGKILL),
        OnDeath::None => None,
    };
    sys::before_exec(command, before, death_signal);
    let mut child = command.spawn().map_err(|error| not_started(command, &error))?;
    super::step("started");
    let status = wait(&mut child, &signals).map_err(failed())?;
    before.set_as_mask().map_err(failed())?;
    Ok(code_of(status))
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
