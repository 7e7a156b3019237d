//! Mapping the very file that was validated.
//!
//! The crate `shared_memory` maps: it finds the object that a name stands for, by the system's own rules (`shm_open`), opens
//! it and maps all of it, as in every program that uses that crate. What it has mapped is **kept if the kernel says that
//! it is the file that was validated**, and only then: by the time of the mapping the name may lead to another file, of
//! another owner and with the same bytes in its header. So the kernel is asked whose pages they are, by their address
//! (`PROCMAP_QUERY`, since Linux 6.11, through `/proc`), and device and inode are compared. No look at the name decides,
//! because a name can lead elsewhere and back between two looks.
//!
//! Where the kernel does not tell, the file is opened here, its descriptor is compared, and what it stands for is mapped. It
//! costs less, and is as sure.
//!
//! A [`Map`] is the pages alone. The object of that crate holds a descriptor besides, which it does not show and closes
//! by its number, whatever file that stands for by then (number 0 it never closes). So the pages get a second mapping of
//! our own, and the object goes at once, while its descriptor is certainly its own.
//!
//! No mapping is made by the description of a user's presence, although that is at hand: a mapping keeps its description
//! alive, and the locks on it. A forked child has the mapping, too, and would keep its parent a user for ever.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use shared_memory::ShmemConf;

use super::descriptor::occupy_zero;
use super::file::{self, OpenError, Status};
use crate::fault::point;

/// A shared mapping, for reading and writing, that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    len: usize,
}

impl Map {
    /// Maps the first `len` bytes of the file with this status, which is as long; `None` when the name leads to another
    /// one by now, or to none.
    pub(crate) fn of(name: &str, status: &Status, len: usize) -> io::Result<Option<Self>> {
        if MAY_TELL.load(Ordering::Relaxed)
            && let Some(map) = Self::by_name(name, status, len)
        {
            return Ok(Some(map));
        }
        Self::by_descriptor(name, status, len)
    }

    /// `None` where that fails, for whatever reason, or the kernel does not tell.
    fn by_name(name: &str, status: &Status, len: usize) -> Option<Self> {
        let _zero = occupy_zero(); // which `shared_memory` would not close
        let mut memory = ShmemConf::new().os_id(name).open().ok()?;
        // An owner unlinks by name when it is dropped, and would hit an innocent successor.
        memory.set_owner(false);
        point!("map: mapped by name");
        let start = NonNull::new(memory.as_ptr()).filter(|_| memory.len() >= len)?;
        let told = told(start);
        if told.is_none() {
            MAY_TELL.store(false, Ordering::Relaxed); // most likely for good: not asked again
        }
        told.filter(|told| told.is_whole(start, len) && told.is_of(status))?;
        // mremap(2): with an old size of 0, "a new mapping of the same pages".
        // SAFETY: nothing of ours is unmapped or replaced; the pages are a shared mapping that is still there.
        let again = unsafe { libc::mremap(start.as_ptr().cast(), 0, len, libc::MREMAP_MAYMOVE) };
        if again == libc::MAP_FAILED {
            return None;
        }
        NonNull::new(again.cast()).map(|start| Self { start, len })
    }

    fn by_descriptor(name: &str, status: &Status, len: usize) -> io::Result<Option<Self>> {
        let file = match file::open(name, true) {
            Ok(file) => file,
            Err(OpenError::NotFound | OpenError::NotAFile) => return Ok(None),
            Err(OpenError::NoDescriptor(error) | OpenError::Other(error)) => return Err(error),
        };
        if !file::status(&file)?.is_same_file(status) {
            return Ok(None);
        }
        Self::of_file(&file, len).map(Some)
    }

    fn of_file(file: &File, len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
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

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by this type in this length, and unmapped here only. Whoever has made references or pointers into
        // the mapping answers for their ends.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Has the kernel always said whose pages they are?
static MAY_TELL: AtomicBool = AtomicBool::new(true);

/// `struct procmap_query` of the kernel's `fs.h`: what it wants to know, and what it says of the mapping at an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    start: u64,
    end: u64,
    flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    name_size: u32,
    build_id_size: u32,
    name_addr: u64,
    build_id_addr: u64,
}

impl Told {
    /// Does the mapping begin there with the first byte of its file, and is it as long?
    fn is_whole(&self, start: NonNull<u8>, len: usize) -> bool {
        let start = start.addr().get() as u64;
        (self.start..=self.end).contains(&(start + len as u64)) && self.offset == start - self.start
    }

    /// Is that the file? On some file systems devices are told otherwise here: then it is no.
    fn is_of(&self, status: &Status) -> bool {
        let device = libc::makedev(self.dev_major, self.dev_minor);
        (device, self.inode) == (status.device, status.inode)
    }
}

/// What the kernel says of the mapping at this address.
fn told(start: NonNull<u8>) -> Option<Told> {
    /// `_IOWR('f', 17, struct procmap_query)`.
    const PROCMAP_QUERY: u32 = 3 << 30 | (size_of::<Told>() as u32) << 16 | (b'f' as u32) << 8 | 17;
    let maps = File::open("/proc/self/maps").ok()?;
    let mut told = Told { size: size_of::<Told>() as u64, query_addr: start.addr().get() as u64, ..Told::default() };
    // SAFETY: the descriptor is open, and the pointer to what the request reads and writes.
    let result = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY as _, &raw mut told) };
    (result == 0).then_some(told)
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

    fn first_byte(map: &Map) -> u8 {
        // SAFETY: mapped, and only read by this test.
        unsafe { map.start().read_volatile() }
    }

    #[test]
    fn what_is_mapped_is_the_file_that_was_validated_and_no_other_of_that_name() {
        let (one, other) = (Scratch::new(1), Scratch::new(2));
        let by_descriptor = |name: &Scratch, of: &Scratch| Map::by_descriptor(&name.name, &of.status, LEN).unwrap();
        let of_one = by_descriptor(&one, &one).unwrap();
        assert_eq!(first_byte(&of_one), 1);
        assert!(by_descriptor(&other, &one).is_none());
        if told(of_one.start()).is_none() {
            return; // before Linux 6.11
        }
        let by_name = |name: &Scratch, of: &Scratch| Map::by_name(&name.name, &of.status, LEN);
        assert_eq!(by_name(&one, &one).as_ref().map(first_byte), Some(1));
        assert!(by_name(&other, &one).is_none());
        assert_eq!(Map::of(&other.name, &other.status, LEN).unwrap().as_ref().map(first_byte), Some(2));
        assert!(Map::of(&other.name, &one.status, LEN).unwrap().is_none());
    }

    /// An object of `shared_memory` closes its descriptor by the number, whatever that stands for by then.
    #[test]
    fn a_mapping_has_no_descriptor() {
        let scratch = Scratch::new(1);
        let _map = Map::of(&scratch.name, &scratch.status, LEN).unwrap().unwrap();
        let descriptors = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let of_it = descriptors
            .filter_map(|entry| std::fs::metadata(entry.path()).ok())
            .filter(|found| Status::new(found).is_same_file(&scratch.status));
        assert_eq!(of_it.count(), 0);
    }
}
