//! Why a command ends without having done what it was asked to, and the exit code for it.

use std::fmt;
use std::io;
use std::process::ExitCode;

use robust_shm::{Error, LockError};

use crate::output::Out;
use crate::sys;

/// "No": not found, already there, free.
pub(crate) const NO: u8 = 1;
/// The arguments cannot be meant.
pub(crate) const USAGE: u8 = 2;
/// Held by others for too long.
pub(crate) const BUSY: u8 = 3;
pub(crate) const POISONED: u8 = 4;
/// Permissions, or the segment of somebody else.
pub(crate) const NOT_ALLOWED: u8 = 5;
/// Anything else of the system.
pub(crate) const SYSTEM: u8 = 6;
/// There is something else: no segment, or one of another kind or type.
pub(crate) const WRONG_TYPE: u8 = 65;
/// `wait` and `lock`: the time was up.
pub(crate) const LATE: u8 = 124;

/// What ended a command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The output could not be written.
    Output(io::Error),
    /// A signal has come while it waited.
    Signal(libc::c_int),
    /// All else, in a sentence.
    Said { code: u8, message: String },
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        Self::Said { code, message: message.to_string() }
    }

    /// For what the operating system refuses to this program. `action`: as "could not watch /dev/shm".
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(SYSTEM, format_args!("{action}: {error}"))
    }

    /// The same with another code, for `lock`, whose codes must not look like those of its command.
    pub(crate) fn with_code(self, code: u8) -> Self {
        match self {
            Self::Said { message, .. } => Self::Said { code, message },
            other => other,
        }
    }

    /// Says it on the standard error, and gives the exit code. Whoever has closed the output has seen enough: no failure.
    pub(crate) fn report(self, out: &mut Out) -> ExitCode {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Output(error) => {
                out.complain(format_args!("could not write the output: {error}"));
                ExitCode::from(SYSTEM)
            }
            Self::Signal(signal) => sys::end_by(signal),
            Self::Said { code, message } => {
                let _ = out.flush();
                out.complain(message);
                ExitCode::from(code)
            }
        }
    }
}

/// Of what is written; what else the system refuses goes by [`Failure::system`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = code_of(&error);
        Self::new(code, error)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = code_of_lock(&error);
        Self::new(code, error)
    }
}

/// The exit code for an error of the library.
pub(crate) fn code_of(error: &Error) -> u8 {
    match error {
        Error::NotFound { .. } | Error::AlreadyExists { .. } => NO,
        Error::InvalidName { .. } | Error::InvalidArgument { .. } => USAGE,
        Error::TypeMismatch { .. } | Error::NotASegment { .. } => WRONG_TYPE,
        Error::PermissionDenied { .. }
        | Error::ForeignOwner { .. }
        | Error::UnknownOwner { .. }
        | Error::ForeignOrphan { .. } => NOT_ALLOWED,
        Error::Lock { source, .. } => code_of_lock(source),
        _ => SYSTEM,
    }
}

fn code_of_lock(error: &LockError) -> u8 {
    match error {
        LockError::WouldBlock { .. } | LockError::TimedOut { .. } | LockError::WouldDeadlock { .. } => BUSY,
        LockError::Poisoned { .. } => POISONED,
        LockError::InvalidValue { .. } => WRONG_TYPE,
        _ => SYSTEM,
    }
}
