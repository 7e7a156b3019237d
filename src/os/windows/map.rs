//! Mappings of files, which need no handle once they are there.
//!
//! `shared_memory` cannot be told which file to map on Windows: it makes mapping objects by name, which anybody in the
//! session may have made before, and files of its own beside them. `memmap2` maps what a handle stands for, and keeps a copy
//! of that handle, which it closes by its number, whatever that stands for by then. So the system is called here: the file
//! is opened once more, and mapped if it is the one that was validated or created, whatever the name leads to by then.

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr::{self, NonNull};

use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP, FILE_MAP_READ, FILE_MAP_WRITE, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile,
    PAGE_PROTECTION_FLAGS, PAGE_READONLY, PAGE_READWRITE, UnmapViewOfFile,
};

use super::file::{self, Status};
use super::handle::Handle;
use crate::fault::point;

/// A shared mapping that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
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
        let map = Self::of_file(&file, len, PAGE_READWRITE, FILE_MAP_READ | FILE_MAP_WRITE)?;
        point!("map: mapped by name");
        Ok(Some(map))
    }

    /// The same, of what this process has just created.
    pub(crate) fn of_new(name: &str, status: &Status, len: usize, _: Mark) -> io::Result<Option<Self>> {
        Self::of(name, status, len)
    }

    /// Maps the first `len` bytes of an open file for reading only.
    pub(crate) fn read_only(file: &File, len: usize) -> io::Result<Self> {
        Self::of_file(file, len, PAGE_READONLY, FILE_MAP_READ)
    }

    fn of_file(file: &File, len: usize, protection: PAGE_PROTECTION_FLAGS, access: FILE_MAP) -> io::Result<Self> {
        // A length, so that a file that has been shortened meanwhile is refused, or made as long as it was again, and
        // not mapped in part.
        let (high, low) = ((len as u64 >> 32) as u32, len as u32);
        // SAFETY: the handle is open; no attributes and no name.
        let object =
            unsafe { CreateFileMappingW(file.as_raw_handle(), ptr::null(), protection, high, low, ptr::null()) };
        // SAFETY: a handle that the call has just made for us, or null.
        let object = unsafe { Handle::or_last_error(object) }?;
        // SAFETY: a new mapping, at a place that the system chooses.
        let view = unsafe { MapViewOfFile(object.raw(), access, 0, 0, len) };
        let start = NonNull::new(view.Value.cast::<u8>()).ok_or_else(io::Error::last_os_error)?;
        // Who knows where a word is finds what stands beside it: `place.rs`.
        start.as_ptr().expose_provenance();
        Ok(Self { start })
    }

    /// Aligned to pages.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by this type, and unmapped here only. Whoever has made references or pointers into the mapping
        // answers for their ends.
        unsafe { UnmapViewOfFile(MEMORY_MAPPED_VIEW_ADDRESS { Value: self.start.as_ptr().cast() }) };
    }
}
