//! Mappings of files, which need no descriptor once they are there.
//!
//! **What is opened** is mapped by descriptor: the file is opened once more, and mapped if it is the one that was
//! validated. By that time the name may lead to another file, of another owner and with the same bytes in its header; then
//! the device and the inode differ, and nothing is mapped. No look at the name decides.
//!
//! **What was just created** is mapped by the crate `shared_memory`, which finds the object that the name stands for, by the
//! system's own rules (`shm_open`), as in every program that uses that crate. What it has mapped is kept if the name leads
//! to the inode that was created *and* the number stands in it that its creator drew at random a moment ago, and that
//! nobody can have copied in between and put in its place without the rights of its owner. Otherwise the descriptor
//! decides here, too.
//!
//! An opener has no such number, because who can read can copy the header; and that crate cannot be asked which file it
//! has mapped. It takes a name and not a descriptor, and its own it does not show. (The kernel can be asked whose pages they
//! are, by `PROCMAP_QUERY` since Linux 6.11, through `/proc`. Tried: an open then takes one and a half times as long.)
//! What it does not show it also closes by the number, whatever file that stands for by then, and number 0 not at
//! all. So the pages get a second mapping of our own, and the crate's object goes at once, while its descriptor is
//! certainly its own.
//!
//! No mapping is made by the description of a user's presence, although that is at hand: a mapping keeps its description
//! alive, and the locks on it. A forked child has the mapping, too, and would keep its parent a user for ever.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::{self, NonNull};

use shared_memory::ShmemConf;

use super::file::{self, Status};
use crate::fault::point;

/// A shared mapping that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    len: usize,
}

/// A number at random that stands in a file that was just created, and in no other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) offset: usize,
    pub(crate) number: [u64; 2],
}

impl Map {
    /// Maps the first `len` bytes of the file with this status, which is as long, for reading and writing; `None` when the name leads to another
    /// one by now, or to none.
    pub(crate) fn of(name: &str, status: &Status, len: usize) -> io::Result<Option<Self>> {
        let file = file::open_same(name, status)?;
        file.map(|file| Self::of_file(&file, len, libc::PROT_READ | libc::PROT_WRITE)).transpose()
    }

    /// The same, of what this process has just created, with a mark in it.
    pub(crate) fn of_new(name: &str, status: &Status, len: usize, mark: Mark) -> io::Result<Option<Self>> {
        // The thread sanitizer does not see `mremap`, and takes these pages for what was mapped there before.
        let by_name = if cfg!(robust_shm_sanitizer) { None } else { Self::by_name(name, status, len, mark) };
        match by_name {
            Some(map) => Ok(Some(map)),
            None => Self::of(name, status, len),
        }
    }

    /// `None` where that fails, for whatever reason, or it is another file.
    fn by_name(name: &str, status: &Status, len: usize, mark: Mark) -> Option<Self> {
        let _zero = occupy_zero(); // which `shared_memory` would not close
        let mut memory = ShmemConf::new().os_id(name).open().ok()?;
        // An owner unlinks by name when it is dropped, and would hit an innocent successor.
        memory.set_owner(false);
        point!("map: mapped by name");
        let start = NonNull::new(memory.as_ptr()).filter(|_| memory.len() >= len)?;
        // Before the pages are looked at: what is another's may be shortened at any time, and have none.
        file::status_of(name).ok().filter(|there| there.is_same_file(status))?;
        // mremap(2): with an old size of 0, "a new mapping of the same pages".
        // SAFETY: nothing of ours is unmapped or replaced; the pages are a shared mapping that is still there.
        let again = unsafe { libc::mremap(start.as_ptr().cast(), 0, len, libc::MREMAP_MAYMOVE) };
        if again == libc::MAP_FAILED {
            return None;
        }
        let map = Self { start: NonNull::new(again.cast())?, len };
        (map.read(mark.offset) == Some(mark.number)).then_some(map)
    }

    /// The two words at this offset, as they are now.
    fn read(&self, offset: usize) -> Option<[u64; 2]> {
        let end = offset.checked_add(size_of::<[u64; 2]>())?;
        if end > self.len || !offset.is_multiple_of(align_of::<[u64; 2]>()) {
            return None;
        }
        // SAFETY: within the mapping.
        let words = unsafe { self.start.add(offset) }.cast::<[u64; 2]>();
        // SAFETY: aligned, as the mapping is; volatile, because others may write there.
        Some(unsafe { words.read_volatile() })
    }

    /// Maps the first `len` bytes of an open file for reading only, and keeps its description alive: of one that has no
    /// locks.
    pub(crate) fn read_only(file: &File, len: usize) -> io::Result<Self> {
        Self::of_file(file, len, libc::PROT_READ)
    }

    fn of_file(file: &File, len: usize, protection: libc::c_int) -> io::Result<Self> {
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap has mapped at address 0"))?;
        Ok(Self { start, len })
    }

    /// Aligned to pages.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by this type in this length, and unmapped here only. Whoever has made references or pointers into
        // the mapping answers for their ends.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Holds descriptor 0 if that is free: for a crate that takes 0 for "none", and would leave it open.
fn occupy_zero() -> Option<File> {
    // SAFETY: takes integers.
    if unsafe { libc::fcntl(0, libc::F_GETFD) } >= 0 {
        return None;
    }
    // SAFETY: takes integers.
    let lowest = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    // SAFETY: a descriptor that the call has just made for us, if it has.
    (lowest >= 0).then(|| unsafe { File::from_raw_fd(lowest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a page that says which one it is.
    struct Scratch {
        name: String,
        status: Status,
    }

    impl Scratch {
        fn new(content: u8) -> Self {
            let name = crate::unique_name("robust-shm-map");
            let file = file::create_private(&name).unwrap();
            let status = file::status(&file).unwrap();
            let scratch = Self { name, status };
            file::write_at(&file, &[content; LEN], 0).unwrap();
            scratch
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = file::unlink(&self.name);
        }
    }

    const LEN: usize = 4096;

    fn mark(content: u8) -> Mark {
        Mark { offset: 64, number: [u64::from_ne_bytes([content; 8]); 2] }
    }

    fn content(map: &Map) -> u8 {
        map.read(0).unwrap()[0] as u8
    }

    #[test]
    fn what_is_mapped_is_the_file_that_was_validated_and_no_other_of_that_name() {
        let (one, other) = (Scratch::new(1), Scratch::new(2));
        let map = |name: &Scratch, of: &Scratch| Map::of(&name.name, &of.status, LEN).unwrap();
        assert_eq!(map(&one, &one).as_ref().map(content), Some(1));
        assert_eq!(map(&other, &other).as_ref().map(content), Some(2));
        assert!(map(&other, &one).is_none());
    }

    #[test]
    fn what_is_mapped_by_name_is_kept_if_it_is_what_was_created() {
        let (one, other) = (Scratch::new(1), Scratch::new(2));
        let by_name = |name: &Scratch, of: &Scratch, mark| Map::by_name(&name.name, &of.status, LEN, mark);
        assert_eq!(by_name(&one, &one, mark(1)).as_ref().map(content), Some(1));
        assert!(by_name(&other, &one, mark(2)).is_none(), "another file");
        assert!(by_name(&one, &one, mark(2)).is_none(), "another mark");
        assert!(Map::of_new(&other.name, &one.status, LEN, mark(2)).unwrap().is_none());
        file::unlink(&one.name).unwrap();
        assert!(Map::of_new(&one.name, &one.status, LEN, mark(1)).unwrap().is_none());
    }

    /// An object of `shared_memory` closes its descriptor by the number, whatever that stands for by then.
    #[test]
    fn a_mapping_has_no_descriptor() {
        let scratch = Scratch::new(1);
        let _maps = [
            Map::of(&scratch.name, &scratch.status, LEN).unwrap().unwrap(),
            Map::by_name(&scratch.name, &scratch.status, LEN, mark(1)).unwrap(),
        ];
        let descriptors = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let statuses = descriptors.filter_map(|entry| std::fs::metadata(entry.path()).ok());
        assert_eq!(statuses.filter(|found| Status::new(found).is_same_file(&scratch.status)).count(), 0);
    }
}
