//! Threads and processes of this system, and hooks for the end of this process.
//!
//! No portable call tells of another process's threads, memory or program. So messages name fewer of them here, and nothing
//! else is missing: whether a holder is alive, its slot tells.

use std::io;

use super::file::Status;

/// Does a thread of this id exist? Only "no" would be certain.
pub(crate) fn thread_exists(_tid: u32) -> bool {
    true
}

/// Does a thread of this id exist in this very process? Only "no" would be certain.
pub(crate) fn is_own_thread(_tid: u32) -> bool {
    true
}

/// The process that a thread belongs to, if that can be told.
pub(crate) fn process_of(_tid: u32) -> Option<u32> {
    None
}

/// Does a thread of this id have the file mapped so that it can write there? That nothing tells, and it is of the dead that it
/// is asked: whoever has no mark any more. One who has closed it himself, and uses the mapping still, is taken for one of them.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere that is unknown of some")]
pub(crate) fn maps(_tid: u32, _file: &Status) -> Option<bool> {
    Some(false)
}

/// The name of a process's program and its effective user id, if that can be told.
pub(crate) fn describe(_pid: u32) -> Option<(String, u32)> {
    None
}

/// Registers what to do at `exit`, and at the end of `main`. Twice does no harm to a hook that finds nothing left to do.
/// (`quick_exit` runs no hook: macOS does not have it.)
pub(crate) fn on_exit(hook: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the hook is a function of this crate, which is never unloaded.
    let exit = unsafe { libc::atexit(hook) };
    if exit == 0 { Ok(()) } else { Err(io::Error::from(io::ErrorKind::OutOfMemory)) }
}
