//! Zeros, written where there is no call that does without writing.

use std::io;

/// From `start` to `len`, by `write`, which takes bytes and where they begin.
pub(super) fn write_zeros(write: impl Fn(&[u8], u64) -> io::Result<()>, mut start: u64, len: u64) -> io::Result<()> {
    const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    while start < len {
        let piece = ZEROS.len().min(usize::try_from(len - start).unwrap_or(usize::MAX));
        write(&ZEROS[..piece], start)?;
        start += piece as u64;
    }
    Ok(())
}
