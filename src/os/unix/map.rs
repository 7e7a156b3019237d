//! Mapping a regular file, which is none of the system's shared memory objects.
//!
//! `shared_memory` maps such objects only (`shm_open`); `memmap2` maps what a descriptor stands for. So the file is opened
//! once more, and mapped if it is the one that was validated or created, whatever the name leads to by then.
//!
//! No mapping is made by the description of a user's presence, although that is at hand: a mapping keeps its description
//! alive, and the locks on it. A forked child has the mapping, too, and would keep its parent a user for ever.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

use memmap2::{MmapOptions, MmapRaw};

use super::file::{self, Status};
use crate::fault::point;

/// A shared mapping that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    /// Unmaps it in the end.
    _raw: MmapRaw,
}

/// A number at random that stands in a file that was just created: not asked for here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    #[allow(dead_code, reason = "where a name is all that there is to map by")]
    pub(crate) offset: usize,
    #[allow(dead_code, reason = "as above")]
    pub(crate) number: [u64; 2],
}

impl Map {
    /// Maps the first `len` bytes of the file with this status, which is as long; `None` when the name leads to another
    /// one by now, or to none.
    pub(crate) fn of(name: &str, status: &Status, len: usize) -> io::Result<Option<Self>> {
        let Some(file) = file::open_same(name, status)? else { return Ok(None) };
        let raw = MmapOptions::new().len(len).map_raw(&file)?;
        let start = NonNull::new(raw.as_mut_ptr()).ok_or_else(|| io::Error::other("mmap has mapped at address 0"))?;
        point!("map: mapped by name");
        Ok(Some(Self { start, _raw: raw }))
    }

    /// The same, of what this process has just created.
    pub(crate) fn of_new(name: &str, status: &Status, len: usize, _: Mark) -> io::Result<Option<Self>> {
        Self::of(name, status, len)
    }

    /// Maps the first `len` bytes of an open file for reading only, and keeps its description alive: of one that has no
    /// locks.
    pub(crate) fn read_only(file: &File, len: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(len).map_raw_read_only(file)?;
        let start = NonNull::new(raw.as_mut_ptr()).ok_or_else(|| io::Error::other("mmap has mapped at address 0"))?;
        Ok(Self { start, _raw: raw })
    }

    /// Aligned to pages.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}
