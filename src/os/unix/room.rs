//! The room that a file has, where no call makes or clears it that all systems have: by writing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::zeros::write_zeros;

/// Makes all of the file zero from `start` on, and not shorter: it may be mapped.
pub(crate) fn clear(file: &File, start: u64) -> io::Result<()> {
    write_zeros(|bytes, at| file.write_all_at(bytes, at), start, file.metadata()?.len())
}

/// Gives the first `len` bytes, which are zero, their blocks.
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    write_zeros(|bytes, at| file.write_all_at(bytes, at), 0, len)
}
