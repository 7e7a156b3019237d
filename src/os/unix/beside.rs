//! The locks that a description has beside it: by the number of its descriptor, so that they go, move and are found with that.
//!
//! Without a lock, because a fork or a signal may come at any instruction. Places are made in blocks, used again, and never
//! freed. A lock is a descriptor, too, that the program may close behind our back: so it is remembered of which file it is.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

use super::named_lock::{Kind, LockName};

/// A place for one lock.
#[derive(Debug, Default)]
struct Place {
    /// 1 more than the descriptor; 0 while there is none.
    lock: AtomicI32,
    /// Of the lock's own file.
    inode: AtomicU64,
    /// See [`LockName`]: the number in the lower half, the kind in the upper.
    number: AtomicU64,
    beside: AtomicU64,
}

/// A mark; another one, while the process exits; the watch.
const MOST: usize = 3;

/// The locks beside one description.
#[derive(Clone, Copy)]
pub(super) struct Beside(&'static [Place; MOST]);

/// Block `n` has places for `FIRST_BLOCK << n` descriptors.
const FIRST_BLOCK: u32 = 64;
const BLOCKS: usize = 24;
static PLACES: [AtomicPtr<[Place; MOST]>; BLOCKS] = [const { AtomicPtr::new(ptr::null_mut()) }; BLOCKS];

impl Beside {
    pub(super) fn of(file: &File) -> Self {
        let number = file.as_raw_fd().unsigned_abs();
        let block = (number / FIRST_BLOCK + 1).ilog2();
        let at = number - FIRST_BLOCK * ((1 << block) - 1);
        let block = block as usize;
        let mut places = PLACES[block].load(Ordering::Acquire); // pairs with the Release in `make_block`
        if places.is_null() {
            places = make_block(block);
        }
        // SAFETY: a block has places at each number up to its size.
        let places = unsafe { places.add(at as usize) };
        // SAFETY: a block is never freed, and its places are changed by atomics only.
        Self(unsafe { &*places })
    }

    /// Keeps a lock here. `false`: there is no room, and it is closed.
    pub(super) fn add(self, name: LockName, lock: File) -> bool {
        // What stands here under another file's inode was of a descriptor that the program has closed itself.
        for (stale, _) in self.0.iter().filter_map(Place::get).filter(|(found, _)| found.beside != name.beside) {
            drop(self.remove(stale));
        }
        let Some(inode) = lock.metadata().ok().map(|found| found.ino()) else { return false };
        let Some(place) = self.0.iter().find(|place| place.lock.load(Ordering::Relaxed) == 0) else { return false };
        place.inode.store(inode, Ordering::Relaxed);
        place.number.store(u64::from(name.number) | (name.kind as u64) << 32, Ordering::Relaxed);
        place.beside.store(name.beside, Ordering::Relaxed);
        place.lock.store(lock.into_raw_fd() + 1, Ordering::Release); // pairs with the Acquire in `get`
        true
    }

    pub(super) fn has(self, name: LockName) -> bool {
        self.0.iter().filter_map(Place::get).any(|(found, _)| found == name)
    }

    /// Takes this lock out, if it is here.
    pub(super) fn remove(self, name: LockName) -> Option<File> {
        self.0.iter().find(|place| place.get().is_some_and(|(found, _)| found == name))?.take().map(|(_, lock)| lock)
    }

    /// Takes all of them out, one after another.
    pub(super) fn take_all(self) -> impl Iterator<Item = (LockName, File)> {
        self.0.iter().filter_map(Place::take)
    }

    /// As a program does that closes what it did not open.
    #[cfg(test)]
    pub(super) fn close_behind_its_back(self, name: LockName) -> bool {
        let found = self.0.iter().filter_map(Place::get).find(|(found, _)| *found == name);
        // SAFETY: an open descriptor; whoever uses it next looks first whether it still is.
        found.and_then(|(_, lock)| lock).is_some_and(|lock| unsafe { libc::close(lock.as_raw_fd()) } == 0)
    }

    /// Is each of them still open?
    pub(super) fn is_whole(self) -> bool {
        self.0.iter().filter_map(Place::get).all(|(_, lock)| lock.is_some())
    }
}

impl Place {
    /// What is here; without its file when that was closed behind our back.
    fn get(&self) -> Option<(LockName, Option<ManuallyDrop<File>>)> {
        let descriptor = self.lock.load(Ordering::Acquire);
        (descriptor != 0).then(|| (self.name(), self.file(descriptor - 1).map(ManuallyDrop::new)))
    }

    /// Only one gets it.
    fn take(&self) -> Option<(LockName, File)> {
        let name = self.name();
        let descriptor = self.lock.swap(0, Ordering::AcqRel);
        let file = if descriptor == 0 { None } else { self.file(descriptor - 1) };
        file.map(|file| (name, file))
    }

    fn name(&self) -> LockName {
        let number = self.number.load(Ordering::Relaxed);
        let kind = Kind::of((number >> 32) as u32);
        LockName { kind, beside: self.beside.load(Ordering::Relaxed), number: number as u32 }
    }

    fn file(&self, descriptor: RawFd) -> Option<File> {
        // SAFETY: the number of a descriptor that was ours; it is not closed here unless it still is.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
        let is_ours = file.metadata().is_ok_and(|found| found.ino() == self.inode.load(Ordering::Relaxed));
        is_ours.then(|| ManuallyDrop::into_inner(file))
    }
}

fn make_block(block: usize) -> *mut [Place; MOST] {
    let len = (FIRST_BLOCK as usize) << block;
    let places: Box<[[Place; MOST]]> = std::iter::repeat_with(Default::default).take(len).collect();
    let places = Box::into_raw(places);
    let first = places.cast::<[Place; MOST]>();
    match PLACES[block].compare_exchange(ptr::null_mut(), first, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => first,
        Err(made) => {
            // SAFETY: from `into_raw` above; another thread has made the block, and this one is known to nobody.
            drop(unsafe { Box::from_raw(places) });
            made
        }
    }
}
