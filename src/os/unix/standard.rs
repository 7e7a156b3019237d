//! The standard descriptors, of which programs dispose without asking.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// Another descriptor of the same description, if this is one of the standard ones.
pub(super) fn above_standard(file: File) -> io::Result<File> {
    const FIRST: RawFd = libc::STDERR_FILENO + 1;
    if file.as_raw_fd() >= FIRST {
        return Ok(file);
    }
    // SAFETY: the descriptor is open; takes integers.
    let moved = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST) };
    if moved < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the call has just made for us.
    Ok(unsafe { File::from_raw_fd(moved) })
}
