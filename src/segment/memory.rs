//! The mapping of a segment, which needs no descriptor once it is there.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

use crate::os::file;

pub(super) struct Memory {
    start: NonNull<u8>,
    len: usize,
}

impl Memory {
    /// Maps the first `len` bytes of the file.
    pub(super) fn of(file: &File, len: usize) -> io::Result<Self> {
        Ok(Self { start: file::map(file, len)?, len })
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `of` in this length, and unmapped here only; nobody uses it any more (`Mapping`'s drop).
        unsafe { file::unmap(self.start, self.len) };
    }
}
