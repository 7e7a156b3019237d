//! `flock`, through [`std::fs::File`]: locks on whole files that belong to an open file description.

use std::fs::{File, TryLockError};
use std::io;

/// Takes or converts to a shared `flock`, without waiting; `false` when somebody holds it exclusively.
pub(crate) fn try_share(file: &File) -> io::Result<bool> {
    retry(|| file.try_lock_shared())
}

/// Takes or converts to an exclusive `flock`, without waiting; `false` when somebody else holds it. A shared lock that
/// was held before is then lost (flock(2): "the original lock lost").
pub(crate) fn try_exclude(file: &File) -> io::Result<bool> {
    retry(|| file.try_lock())
}

/// [`try_exclude`] for one who shares. gVisor keeps the shared lock when it cannot be converted: so two who try at once
/// would each be in the other's way, and neither be the last.
pub(crate) fn try_exclude_others(file: &File) -> io::Result<bool> {
    if try_exclude(file)? {
        return Ok(true);
    }
    unlock(file)?;
    try_exclude(file)
}

/// Gives up a shared or an exclusive `flock`. Closing the description does the same, unless a forked child has it, too.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    file.unlock()
}

/// std does not retry interrupted calls.
fn retry(mut attempt: impl FnMut() -> Result<(), TryLockError>) -> io::Result<bool> {
    loop {
        match attempt() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}
