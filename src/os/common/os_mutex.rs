//! The operating system's own mutex, where it cannot be in a segment.
//!
//! macOS's has 64 bytes, and there is room for 48; nor can it be waited for with a deadline. FreeBSD's stands beside the shared
//! memory and not in it, found by the address, so that it cannot be made before the segment is. (And `raw_sync` rests on a
//! version of `nix` that does not compile there any more.)
//!
//! Windows' is an object of the kernel's, which goes with its last handle and not with the segment. `raw_sync` finds it by
//! the name "mutex_" and a number of 32 bits, which any program of the session may have used before, or may use when it is
//! gone: nothing tells the one from the other. And it panics, with the mutex taken, when the last holder has died.

use std::io;

use super::Deadline;

pub(crate) const SIZE: usize = 0;
pub(crate) const ALIGN: usize = 1;

/// Is there one here?
pub(crate) fn check() -> io::Result<()> {
    let message = "this system's own mutex cannot be in a segment, as LockKind::OsMutex needs; LockKind::File is to be had everywhere";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// Would be the bytes of a mutex that nobody holds.
pub(crate) fn fresh() -> io::Result<[u8; SIZE]> {
    check().map(|()| [])
}

/// There is none.
pub(crate) enum Mutex {}

impl Mutex {
    /// # Safety
    ///
    /// None is needed: it fails.
    pub(crate) unsafe fn attach(_: *mut u8) -> io::Result<Self> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        match *self {}
    }

    pub(crate) fn lock(&self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn lock_until(&self, _: Deadline) -> io::Result<bool> {
        match *self {}
    }

    pub(crate) fn unlock(&self) {
        match *self {}
    }
}
