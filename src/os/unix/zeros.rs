//! Zeros, written where there is no call that does without writing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// From `start` to `len`.
pub(super) fn write_zeros(file: &File, mut start: u64, len: u64) -> io::Result<()> {
    const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    while start < len {
        let piece = ZEROS.len().min(usize::try_from(len - start).unwrap_or(usize::MAX));
        file.write_all_at(&ZEROS[..piece], start)?;
        start += piece as u64;
    }
    Ok(())
}
