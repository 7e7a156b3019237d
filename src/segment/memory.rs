//! The mapping of a segment, without a descriptor.
//!
//! `shared_memory` keeps the descriptor by which it has mapped, and closes its number when the mapping goes, whatever file
//! that stands for by then; and it can be number 0. So the same pages are mapped a second time, without a descriptor, and
//! its own mapping is given back at once. That also halves the descriptors of a handle.

use std::ptr::NonNull;

use shared_memory::Shmem;

pub(super) struct Memory {
    start: NonNull<u8>,
    len: usize,
    /// Where the system does not map twice: the mapping is that crate's.
    original: Option<Shmem>,
}

impl Memory {
    pub(super) fn new(original: Shmem) -> Self {
        let len = original.len();
        let start = NonNull::new(original.as_ptr()).unwrap_or_else(|| unreachable!("mmap never maps at address 0"));
        match twin(start, len) {
            Some(start) => Self { start, len, original: None },
            None => Self { start, len, original: Some(original) },
        }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// Another mapping of the pages of a shared one.
fn twin(start: NonNull<u8>, len: usize) -> Option<NonNull<u8>> {
    // mremap(2): an old size of 0 makes a new mapping of the same pages, and leaves the old one.
    // SAFETY: the start of a shared mapping, which the call does not change; the kernel chooses the place of the new one.
    let twin = unsafe { libc::mremap(start.as_ptr().cast(), 0, len, libc::MREMAP_MAYMOVE) };
    if twin == libc::MAP_FAILED { None } else { NonNull::new(twin.cast()) }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.original.is_none() {
            // SAFETY: mapped by `twin` in this length, and unmapped here only.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}
