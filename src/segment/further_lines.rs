//! Lock lines beside the first, in the file of a segment, which nobody need have mapped: the permits of a semaphore, or the
//! slots of readers side by side.

use std::fs::File;
use std::io;

use crate::fault::point;
use crate::kind::{Body, Kind};
use crate::layout::{Header, LockBytes, MAX_PERMITS, MAX_READERS, PERMITS_OFFSET, READERS_OFFSET};
use crate::os::file;
use crate::sync::mutex;

const MOST: usize = if MAX_PERMITS > MAX_READERS { MAX_PERMITS } else { MAX_READERS };

/// These lines; none of a kind that has no such.
pub(super) struct FurtherLines {
    lines: [LockBytes; MOST],
    count: usize,
    /// Where they begin.
    offset: usize,
}

impl FurtherLines {
    /// Without an allocation: forked children call it.
    pub(super) fn read(file: &File, header: &Header) -> io::Result<Self> {
        let (count, offset) = match Kind::from_stored(header.kind).map(Kind::body) {
            Some(Body::Permits) => ((header.permits as usize).min(MAX_PERMITS), PERMITS_OFFSET),
            Some(body) if body.has_readers() => ((header.readers as usize).min(MAX_READERS), READERS_OFFSET),
            _ => (0, READERS_OFFSET),
        };
        let mut read = Self { lines: [[0; size_of::<LockBytes>()]; MOST], count, offset };
        let bytes = read.lines[..count].as_flattened_mut();
        if file::read_at(file, bytes, offset as u64)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into()); // somebody has shortened it
        }
        Ok(read)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LockBytes> {
        self.lines[..self.count].iter()
    }

    /// Frees, in the file, what users held of whom none is left.
    pub(super) fn free_all(&self, file: &File) -> io::Result<()> {
        file::check_limit((self.offset + self.count * size_of::<LockBytes>()) as u64)?;
        for (index, line) in self.iter().enumerate() {
            let free = mutex::further_after_all_users_left(line);
            if free != *line {
                file::write_at(file, &free, (self.offset + index * line.len()) as u64)?;
                point!("take over: further line written");
            }
        }
        Ok(())
    }
}
