//! The locks that a description has beside it: by the number of its descriptor, so that they go, move and are found with that.
//!
//! Without a lock, because a fork or a signal may come at any instruction, and without an allocation, because a forked child
//! has descriptions, too. Places are made in blocks, used again, and never freed.
//!
//! A lock is a descriptor, too, that the program may close behind our back, and whose number may be a stranger's then: so it is
//! remembered of which file it is. And the program may so close the description itself: what stands beside its number is then
//! nobody's, and goes before the next one of that number has anything there.

use std::fs::File;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::fs::MetadataExt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

use memmap2::MmapMut;

use super::named_lock::{Kind, LockName};

/// A place for one lock.
#[derive(Debug)]
struct Place {
    /// 1 more than the descriptor in the lower half, which is 0 while there is none; in the upper a number that no other lock
    /// has. What else stands here is written while the lower half is 0 and the upper is not, and true as long as this is the same.
    lock: AtomicU64,
    /// See [`identity`].
    identity: [AtomicU64; 3],
    /// See [`LockName`]: the number in the lower half, the kind in the upper.
    number: AtomicU64,
    beside: AtomicU64,
}

/// What stands at a place, all of it of one lock.
#[derive(Clone, Copy)]
struct Found {
    lock: u64,
    identity: [u64; 3],
    name: LockName,
}

/// A mark; another one, while the process exits or a child gets its own; the watch.
const MOST: usize = 3;

/// The locks beside one description.
#[derive(Clone, Copy)]
pub(super) struct Beside(&'static [Place; MOST]);

/// Block `n` has places for `FIRST_BLOCK << n` descriptors.
const FIRST_BLOCK: u32 = 64;
const BLOCKS: usize = 24;
static PLACES: [AtomicPtr<[Place; MOST]>; BLOCKS] = [const { AtomicPtr::new(ptr::null_mut()) }; BLOCKS];

/// What is beside a number for which there is no block yet.
static NOTHING: [Place; MOST] = [const { Place::new() }; MOST];

impl Beside {
    pub(super) fn of(file: &File) -> Self {
        let (block, at) = place_of(file);
        let places = PLACES[block].load(Ordering::Acquire); // pairs with the Release in `make_block`
        if places.is_null() { Self(&NOTHING) } else { Self::in_block(places, at) }
    }

    /// The same, where something can be added. `None`: there is no memory for it.
    pub(super) fn with_room(file: &File) -> Option<Self> {
        let (block, at) = place_of(file);
        let places = PLACES[block].load(Ordering::Acquire); // pairs with the Release in `make_block`
        let places = if places.is_null() { make_block(block)? } else { places };
        Some(Self::in_block(places, at))
    }

    fn in_block(places: *mut [Place; MOST], at: usize) -> Self {
        // SAFETY: a block has places at each number up to its size.
        let places = unsafe { places.add(at) };
        // SAFETY: a block is never freed, and its places are changed by atomics only.
        Self(unsafe { &*places })
    }

    /// Keeps a lock here, if there is room; else it is the caller's again. For one [with room](Self::with_room).
    pub(super) fn add(self, name: LockName, lock: File) -> Result<(), File> {
        let Ok(identity) = identity(&lock) else { return Err(lock) };
        if !self.put(name, identity, lock.as_raw_fd() as u64 + 1) {
            return Err(lock);
        }
        let _ = lock.into_raw_fd(); // the place's from here on
        Ok(())
    }

    fn put(self, name: LockName, identity: [u64; 3], lock: u64) -> bool {
        self.0.iter().any(|place| place.put(name, identity, lock))
    }

    pub(super) fn has(self, name: LockName) -> bool {
        self.0.iter().filter_map(Place::look).any(|found| found.name == name)
    }

    /// Takes this lock out, if it is here.
    pub(super) fn remove(self, name: LockName) -> Option<File> {
        let of_this_name = |place: &Place| place.look().filter(|found| found.name == name);
        self.0.iter().find_map(|place| place.take(of_this_name(place)?))
    }

    /// Takes all of them out, one after another.
    pub(super) fn take_all(self) -> impl Iterator<Item = (LockName, File)> {
        self.0.iter().filter_map(|place| {
            let found = place.look()?;
            Some((found.name, place.take(found)?))
        })
    }

    /// Has what is beside another description, and only then lets go of what it had itself. For one [with room](Self::with_room).
    pub(super) fn take_over(self, from: Self) -> impl Iterator<Item = (LockName, File)> {
        let before = self.0.each_ref().map(Place::look);
        for place in from.0 {
            // Here before it is gone there: a child that is forked by a signal handler in between knows of it.
            let moves = |found: &Found| self.put(found.name, found.identity, found.lock & LOWER);
            if let Some(found) = place.look().filter(moves) {
                place.clear(found);
            }
        }
        let pairs = self.0.iter().zip(before);
        pairs.filter_map(|(place, before)| before.and_then(|found| Some((found.name, place.take(found)?))))
    }

    /// As a program does that closes what it did not open.
    #[cfg(test)]
    pub(super) fn close_behind_its_back(self, name: LockName) -> bool {
        let found = self.0.iter().filter_map(Place::look).find(|found| found.name == name);
        // SAFETY: an open descriptor; whoever uses it next looks first whether it still is.
        found.and_then(Found::file).is_some_and(|lock| unsafe { libc::close(lock.as_raw_fd()) } == 0)
    }

    /// Is each of them still open?
    pub(super) fn is_whole(self) -> bool {
        self.0.iter().all(|place| place.look().is_none_or(|found| found.file().is_some() || !place.has(found)))
    }
}

const LOWER: u64 = u32::MAX as u64;

impl Place {
    const fn new() -> Self {
        Self {
            lock: AtomicU64::new(0),
            identity: [const { AtomicU64::new(0) }; 3],
            number: AtomicU64::new(0),
            beside: AtomicU64::new(0),
        }
    }

    /// `false`: there is one here.
    fn put(&self, name: LockName, identity: [u64; 3], lock: u64) -> bool {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let serial = u64::from(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1)) << 32;
        if self.lock.compare_exchange(0, serial, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        // Release pairs with the Acquire of `look`: whoever reads one of these sees that the lock is another one.
        for (place, part) in self.identity.iter().zip(identity) {
            place.store(part, Ordering::Release);
        }
        self.number.store(u64::from(name.number) | (name.kind as u64) << 32, Ordering::Release);
        self.beside.store(name.beside, Ordering::Release);
        self.lock.store(serial | lock, Ordering::Release); // pairs with the first Acquire of `look`
        true
    }

    fn look(&self) -> Option<Found> {
        loop {
            let lock = self.lock.load(Ordering::Acquire);
            if lock & LOWER == 0 {
                return None;
            }
            let identity = self.identity.each_ref().map(|part| part.load(Ordering::Acquire));
            let number = self.number.load(Ordering::Acquire);
            let beside = self.beside.load(Ordering::Acquire);
            let name = LockName { kind: Kind::of((number >> 32) as u32), beside, number: number as u32 };
            let found = Found { lock, identity, name };
            if self.has(found) {
                return Some(found);
            }
        }
    }

    /// Is it still this one that is here?
    fn has(&self, found: Found) -> bool {
        self.lock.load(Ordering::Relaxed) == found.lock
    }

    /// Only one does.
    fn clear(&self, found: Found) -> bool {
        self.lock.compare_exchange(found.lock, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Only one gets it. `None`, too, when it was closed behind our back.
    fn take(&self, found: Found) -> Option<File> {
        if self.clear(found) { found.file().map(ManuallyDrop::into_inner) } else { None }
    }
}

impl Found {
    /// If it is still open: the number may be that of a stranger's file by now.
    fn file(self) -> Option<ManuallyDrop<File>> {
        let descriptor = (self.lock & LOWER) as i32 - 1;
        // SAFETY: the number of a descriptor that was ours; it is not closed here unless it still is.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
        identity(&file).is_ok_and(|found| found == self.identity).then_some(file)
    }
}

/// What tells a file from all others: its device, its inode, and, since nothing keeps the inode of a file whose name and
/// descriptor are gone from being given to the next one, the time when it was made, where the system tells that.
fn identity(file: &File) -> io::Result<[u64; 3]> {
    let found = file.metadata()?;
    let made = found.created().ok().and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok([found.dev(), found.ino(), made.map_or(0, |made| made.as_nanos() as u64)])
}

/// Of a descriptor: which block, and where in it.
fn place_of(file: &File) -> (usize, usize) {
    let number = file.as_raw_fd().unsigned_abs();
    let block = (number / FIRST_BLOCK + 1).ilog2();
    (block as usize, (number - FIRST_BLOCK * ((1 << block) - 1)) as usize)
}

/// From the kernel, and not from the allocator: a fork by another thread may have left that locked in a child.
fn make_block(block: usize) -> Option<*mut [Place; MOST]> {
    let mut pages = MmapMut::map_anon(size_of::<[Place; MOST]>() * ((FIRST_BLOCK as usize) << block)).ok()?;
    let first = pages.as_mut_ptr().cast::<[Place; MOST]>(); // zeros, which are places that are free
    match PLACES[block].compare_exchange(ptr::null_mut(), first, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            mem::forget(pages);
            Some(first)
        }
        Err(made) => Some(made), // by another thread; this one is known to nobody
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn some_file() -> File {
        File::open("/dev/null").unwrap()
    }

    fn name(kind: Kind, number: u32) -> LockName {
        LockName { kind, beside: 7, number }
    }

    fn is_open(descriptor: i32) -> bool {
        // SAFETY: takes integers.
        unsafe { libc::fcntl(descriptor, libc::F_GETFD) >= 0 }
    }

    /// Once, an inode of the same number on another device was enough to be closed.
    #[test]
    fn a_strangers_file_that_has_the_number_of_a_lock_is_not_closed() {
        for other in 0..3 {
            let (file, lock) = (some_file(), some_file());
            let (beside, number) = (Beside::with_room(&file).unwrap(), lock.as_raw_fd());
            beside.add(name(Kind::Life, 1), lock).unwrap();
            assert!(beside.is_whole());
            // As if the file had been another one, but for two of three facts.
            beside.0[0].identity[other].fetch_xor(1, Ordering::Relaxed);
            assert!(!beside.is_whole() && beside.has(name(Kind::Life, 1)));
            assert!(beside.remove(name(Kind::Life, 1)).is_none() && is_open(number), "{other}");
            assert!(beside.is_whole() && !beside.has(name(Kind::Life, 1)));
            // SAFETY: the lock's own descriptor, which nobody else has.
            drop(unsafe { File::from_raw_fd(number) });
        }
    }

    #[test]
    fn of_two_of_a_name_the_one_that_is_open_is_taken_out() {
        let (file, first, second) = (some_file(), some_file(), some_file());
        let (beside, number) = (Beside::with_room(&file).unwrap(), second.as_raw_fd());
        let watch = name(Kind::Watch, 0);
        beside.add(watch, first).unwrap();
        beside.0[0].identity[0].fetch_xor(1, Ordering::Relaxed); // as if that were closed
        beside.add(watch, second).unwrap();
        assert_eq!(beside.remove(watch).map(|lock| lock.as_raw_fd()), Some(number));
        assert!(beside.remove(watch).is_none() && beside.is_whole());
    }

    #[test]
    fn there_is_room_for_three_and_the_fourth_is_given_back() {
        let file = some_file();
        let beside = Beside::with_room(&file).unwrap();
        for number in 0..3 {
            beside.add(name(Kind::Life, number), some_file()).unwrap();
        }
        assert!(beside.add(name(Kind::Life, 3), some_file()).is_err());
        let other = some_file();
        let other = Beside::with_room(&other).unwrap();
        other.add(name(Kind::Watch, 4), some_file()).unwrap();
        let old = other.take_over(beside).map(|(name, _)| name.number);
        assert_eq!(old.collect::<Vec<_>>(), [4]);
        // Of three, two had room beside the one that was there.
        assert_eq!((0..3).filter(|number| other.has(name(Kind::Life, *number))).count(), 2);
        assert_eq!(beside.take_all().count() + other.take_all().count(), 3);
    }

    /// Once, a handle was told that the program had closed its descriptor, while it stopped watching.
    #[test]
    fn what_is_taken_out_was_not_closed_behind_our_back() {
        let (file, ended) = (some_file(), AtomicBool::new(false));
        let beside = Beside::with_room(&file).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    beside.add(name(Kind::Watch, 0), some_file()).unwrap();
                    drop(beside.remove(name(Kind::Watch, 0)));
                }
                ended.store(true, Ordering::Relaxed);
            });
            while !ended.load(Ordering::Relaxed) {
                assert!(beside.is_whole());
            }
        });
    }

    #[test]
    fn each_number_has_a_place_of_its_own() {
        let at = |number| {
            // SAFETY: of the number only; it is not used, and not closed.
            place_of(&ManuallyDrop::new(unsafe { File::from_raw_fd(number) }))
        };
        assert_eq!([0, 63, 64, 191, 192].map(at), [(0, 0), (0, 63), (1, 0), (1, 127), (2, 0)]);
    }
}
