//! The room that a file has: its pages are there, or zero, or both.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::zeros::write_zeros;

/// Makes all of the file zero from `start` on, and not shorter: it may be mapped.
pub(crate) fn clear(file: &File, start: u64) -> io::Result<()> {
    let len = file.metadata()?.len();
    if len <= start {
        return Ok(());
    }
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    loop {
        // SAFETY: takes integers only; the descriptor is open.
        if unsafe { libc::fallocate(file.as_raw_fd(), mode, to_offset(start)?, to_offset(len - start)?) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP) => return write_zeros(|bytes, at| file.write_all_at(bytes, at), start, len),
            _ => return Err(error),
        }
    }
}

/// Reserves the pages of the first `len` bytes, in pieces: fallocate(2) undoes all of an interrupted call, so an
/// interrupted piece is halved.
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    const LARGEST: u64 = 16 << 20;
    const SMALLEST: u64 = 4 << 10;
    let mut largest = LARGEST;
    let mut start = 0;
    while start < len {
        let piece = largest.min(len - start);
        // SAFETY: takes integers only; the descriptor is open.
        let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, to_offset(start)?, to_offset(piece)?) };
        if result != 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => largest = (piece / 2).max(SMALLEST),
                Some(libc::EOPNOTSUPP) => return write_zeros(|bytes, at| file.write_all_at(bytes, at), start, len),
                _ => return Err(error),
            }
        } else {
            start += piece;
        }
    }
    Ok(())
}

fn to_offset(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}
