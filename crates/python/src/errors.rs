//! The library's errors as Python's exceptions. The classes are in `python/robust_shm/_errors.py`, because each has two
//! parents; the texts are the library's.

use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;
use robust_shm::{Error, LockError};

use crate::once::once;

/// The exception of what could not be opened, created, inspected or removed.
pub(crate) fn opening(py: Python<'_>, error: Error) -> PyErr {
    let (class, sides, system) = match &error {
        Error::InvalidName { .. } => ("InvalidName", None, None),
        Error::InvalidArgument { expected, found, .. } => ("InvalidArgument", Some((expected, found)), None),
        Error::NotFound { .. } => ("NotFound", None, Some(libc::ENOENT)),
        Error::AlreadyExists { .. } => ("AlreadyExists", None, Some(libc::EEXIST)),
        Error::TypeMismatch { expected, found, .. } => ("TypeMismatch", Some((expected, found)), None),
        Error::OptionMismatch { expected, found, .. } => ("OptionMismatch", Some((expected, found)), None),
        Error::NotASegment { .. } => ("NotASegment", None, None),
        Error::UnsupportedFormat { expected, found, .. } => ("UnsupportedFormat", Some((expected, found)), None),
        Error::Truncated { .. } => ("Truncated", None, None),
        Error::ForeignOwner { .. } => ("ForeignOwner", None, Some(libc::EPERM)),
        Error::UnknownOwner { .. } => ("UnknownOwner", None, Some(libc::EPERM)),
        Error::ForeignOrphan { .. } => ("ForeignOrphan", None, Some(libc::EPERM)),
        Error::PermissionDenied { source, .. } => ("PermissionDenied", None, source.raw_os_error()),
        Error::OutOfSharedMemory { .. } => ("OutOfSharedMemory", None, Some(libc::ENOSPC)),
        Error::Io { source, .. } => ("Error", None, source.raw_os_error()),
        Error::Lock { source, .. } => (class_of(source), None, None),
        _ => ("Error", None, None),
    };
    raised(py, class, &error.to_string(), Some(error.name()), sides, system)
}

/// The exception of a lock that was not to be had.
pub(crate) fn locking(py: Python<'_>, error: LockError) -> PyErr {
    raised(py, class_of(&error), &error.to_string(), Some(error.name()), None, None)
}

/// Is it one of those that say that something did not come in time?
pub(crate) fn is_late(py: Python<'_>, error: &PyErr) -> bool {
    let is_a = |class| {
        classes(py).and_then(|classes| classes.getattr(class)).is_ok_and(|it| error.matches(py, it).unwrap_or(false))
    };
    is_a("WouldBlock") || is_a("TimedOut")
}

fn class_of(error: &LockError) -> &'static str {
    match error {
        LockError::WouldBlock { .. } => "WouldBlock",
        LockError::TimedOut { .. } => "TimedOut",
        LockError::WouldDeadlock { .. } => "WouldDeadlock",
        LockError::Poisoned { .. } => "Poisoned",
        LockError::NotHeld { .. } => "NotHeld",
        LockError::InvalidValue { .. } => "InvalidValue",
        _ => "LockError",
    }
}

/// An action that only a holder of the lock may do was asked for by somebody else.
#[cold]
pub(crate) fn not_held(py: Python<'_>, name: &str, advice: &str) -> PyErr {
    raised(
        py,
        "NotHeld",
        &format!("lock of segment {name:?} is not held by this thread: {advice}"),
        Some(name),
        None,
        None,
    )
}

/// This thread has it already.
#[cold]
pub(crate) fn would_deadlock(py: Python<'_>, name: &str, advice: &str) -> PyErr {
    raised(py, "WouldDeadlock", &format!("lock of segment {name:?} would deadlock: {advice}"), Some(name), None, None)
}

/// What cannot be handed to another process.
#[cold]
pub(crate) fn no_pickle(py: Python<'_>, name: &str, why: &str) -> PyErr {
    raised(py, "LockError", &format!("segment {name:?} cannot be pickled or copied: {why}"), Some(name), None, None)
}

/// This thread is in a block of the handle.
#[cold]
pub(crate) fn inside_already(py: Python<'_>, name: &str) -> PyErr {
    would_deadlock(py, name, "this very thread is inside already")
}

/// Bytes that are no value of the type.
#[cold]
pub(crate) fn invalid_value(py: Python<'_>, text: &str) -> PyErr {
    raised(py, "InvalidValue", text, None, None, None)
}

/// A value of which nobody knows what its bytes mean.
#[cold]
pub(crate) fn not_described(py: Python<'_>, name: &str) -> PyErr {
    let text = format!("value in segment {name:?} has no schema: it can be read, and written by `set_bytes` only");
    invalid_value(py, &text)
}

/// Memory in place that is used after its block. Made at once: a `PyErr` that is made when it is looked at gives the interpreter
/// up meanwhile, which a thread may not get back at the end of the program.
#[cold]
pub(crate) fn view_outlives(py: Python<'_>, name: &str) -> PyErr {
    let text = format!(
        "a view of segment {name:?} outlives its block: copy what you keep, or `del` what was made of `view()`"
    );
    py.get_type::<PyBufferError>().call1((text,)).map_or_else(|error| error, PyErr::from_value)
}

fn raised(
    py: Python<'_>,
    class: &str,
    text: &str,
    name: Option<&str>,
    sides: Option<(&String, &String)>,
    system: Option<i32>,
) -> PyErr {
    let made = || -> PyResult<PyErr> {
        let exception = classes(py)?.getattr(class)?.call1((text,))?;
        exception.setattr("name", name)?;
        if let Some((expected, found)) = sides {
            exception.setattr("expected", expected)?;
            exception.setattr("found", found)?;
        }
        if let Some(number) = system {
            exception.setattr("errno", number)?;
        }
        Ok(PyErr::from_value(exception))
    };
    made().unwrap_or_else(|error| error)
}

fn classes(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    once(&CLASSES, py, || Ok(py.import("robust_shm._errors")?.unbind())).map(|module| module.bind(py))
}
