//! The permits of a semaphore in its file, which nobody need have mapped.

use std::fs::File;
use std::io;

use crate::fault::point;
use crate::kind::{Body, Kind};
use crate::layout::{Header, LockBytes, MAX_PERMITS, PERMITS_OFFSET};
use crate::os::file;
use crate::sync::mutex;

/// The lines of the permits in the file of a segment; none of another kind.
pub(super) struct PermitLines {
    lines: [LockBytes; MAX_PERMITS],
    count: usize,
}

impl PermitLines {
    /// Without an allocation: forked children call it.
    pub(super) fn read(file: &File, header: &Header) -> io::Result<Self> {
        let is_semaphore = Kind::from_stored(header.kind).is_some_and(|kind| kind.body() == Body::Permits);
        let count = if is_semaphore { (header.permits as usize).min(MAX_PERMITS) } else { 0 };
        let mut read = Self { lines: [[0; size_of::<LockBytes>()]; MAX_PERMITS], count };
        let bytes = read.lines[..count].as_flattened_mut();
        if file::read_at(file, bytes, PERMITS_OFFSET as u64)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into()); // somebody has shortened it
        }
        Ok(read)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LockBytes> {
        self.lines[..self.count].iter()
    }

    /// Frees, in the file, what users held of whom none is left.
    pub(super) fn free_all(&self, file: &File) -> io::Result<()> {
        file::check_limit((PERMITS_OFFSET + self.count * size_of::<LockBytes>()) as u64)?;
        for (index, line) in self.iter().enumerate() {
            let free = mutex::permit_after_all_users_left(line);
            if free != *line {
                file::write_at(file, &free, (PERMITS_OFFSET + index * line.len()) as u64)?;
                point!("take over: permit written");
            }
        }
        Ok(())
    }
}
