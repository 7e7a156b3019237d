//! The operating system's own mutex: see `LockKind::OsMutex`, which there is not on Windows.

use std::io;

use super::Deadline;

/// What would stand in the lock line.
#[allow(non_camel_case_types, reason = "as where there is one")]
pub(crate) type pthread_mutex_t = u32;

/// Nothing is to be looked up.
pub(crate) fn prepare() {}

/// The id of this thread.
pub(crate) fn thread_id() -> u32 {
    super::thread::id()
}

/// # Safety
///
/// None is needed: there is nothing to take.
pub(crate) unsafe fn try_lock(_mutex: *mut pthread_mutex_t) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// # Safety
///
/// As for [`try_lock`].
pub(crate) unsafe fn lock_until(_mutex: *mut pthread_mutex_t, _deadline: Deadline) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
