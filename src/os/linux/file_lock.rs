//! The kernel's two families of locks on files.
//!
//! `flock` (through `std::fs::File`) belongs to an open file description and decides who uses a segment and who is the
//! last. Open file description locks (`fcntl`) never conflict with `flock`. One byte of them guards the removal of a
//! name, and one says who looks for deaths. The others are presence bytes, one for each user, because such locks can be
//! asked for without taking one, which `flock` cannot.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use super::file::Status;
pub(crate) use super::flock::{try_exclude, try_exclude_others, try_share, unlock};
use super::slot;

/// A byte range of open-file-description locks. It has nothing to do with the data at that offset.
#[derive(Clone, Copy, Debug)]
struct LockRange {
    start: libc::off_t,
    len: libc::off_t,
}

/// Who removes the name holds this one.
const NAME_GUARD: LockRange = LockRange { start: 0, len: 1 };
/// The presence bytes: each user holds one of them, for writing. Its number is the user's slot: 32 bits, not 0.
const PRESENCE: LockRange = LockRange { start: 1, len: u32::MAX as libc::off_t };

/// Who looks for deaths for all who wait for the lock holds this one: see `sync/watch.rs`.
const WATCH: LockRange = LockRange { start: 1 << 32, len: 1 };

fn byte_of(slot: u32) -> LockRange {
    LockRange { start: slot.into(), len: 1 }
}

/// The lock that guards the name of a file: the description has it.
#[derive(Debug)]
pub(crate) struct Guard;

/// Takes the lock that guards the name of this file, without waiting; `None` when another description has it. It goes
/// when the description is closed, or by [`release_name`].
pub(crate) fn try_guard_name(file: &File) -> io::Result<Option<Guard>> {
    Ok(try_lock_range(file, NAME_GUARD)?.then_some(Guard))
}

pub(crate) fn release_name(file: &File, _: Guard) -> io::Result<()> {
    set_description_lock(file, libc::F_UNLCK, NAME_GUARD)
}

/// Gives the description a presence byte, at random, for itself alone: one that no lock word names. `None` when a stranger
/// seems to have locked all of them.
pub(crate) fn mark_present(file: &File, is_named: impl Fn(u32) -> io::Result<bool>) -> io::Result<Option<u32>> {
    slot::draw(slot::ATTEMPTS, |slot| try_mark(file, slot), is_named, |slot| release_mark(file, slot))
}

/// Gives the description the presence byte of this slot; `false` when another one has it.
pub(crate) fn try_mark(file: &File, slot: u32) -> io::Result<bool> {
    try_lock_range(file, byte_of(slot))
}

pub(crate) fn release_mark(file: &File, slot: u32) -> io::Result<()> {
    set_description_lock(file, libc::F_UNLCK, byte_of(slot))
}

/// Makes the description the one that watches, without waiting; `false` when another is.
pub(crate) fn try_watch(file: &File) -> io::Result<bool> {
    try_lock_range(file, WATCH)
}

pub(crate) fn stop_watching(file: &File) -> io::Result<()> {
    set_description_lock(file, libc::F_UNLCK, WATCH)
}

/// Does another description have the presence byte of this slot? Takes no lock.
pub(crate) fn is_present(file: &File, slot: u32) -> io::Result<bool> {
    someone_in(file, byte_of(slot)).map(|found| found.is_some())
}

/// Gives the presence byte back, whichever the description has. Closing the description does the same, unless a forked
/// child has it, too.
pub(crate) fn mark_absent(file: &File, _slot: u32) -> io::Result<()> {
    set_description_lock(file, libc::F_UNLCK, PRESENCE)
}

/// How many other descriptions have a presence byte, of processes in any namespace. Takes no lock.
pub(crate) fn count_present(file: &File) -> io::Result<usize> {
    let mut count = 0;
    let mut unasked = vec![PRESENCE];
    while let Some(range) = unasked.pop() {
        let Some(found) = someone_in(file, range)? else { continue };
        count += 1;
        let behind = found.start + found.len;
        unasked.push(LockRange { start: range.start, len: found.start - range.start });
        unasked.push(LockRange { start: behind, len: range.start + range.len - behind });
        unasked.retain(|range| range.len > 0); // a length of 0 would mean "to the end of all files"
    }
    Ok(count)
}

/// Has any other description a presence byte? Needs no right to write.
pub(crate) fn is_anyone_present(file: &File) -> io::Result<bool> {
    Ok(someone_in(file, PRESENCE)?.is_some())
}

/// One of the locks that other descriptions hold in this range, for writing.
///
/// It is asked what would be in the way of a lock for *reading*. Locks for reading are not: those anybody can have who may
/// read the file, and could make the dead look alive.
fn someone_in(file: &File, range: LockRange) -> io::Result<Option<LockRange>> {
    let mut lock = description_lock(libc::F_RDLCK, range);
    // SAFETY: the descriptor is open, and the structure outlives the call, which writes its answer there.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // A stranger may hold more than a byte: what lies outside the range is not ours to count.
    let end = range.start + range.len;
    let start = lock.l_start.clamp(range.start, end - 1);
    let len = if lock.l_len == 0 { end - start } else { (lock.l_start + lock.l_len).min(end) - start };
    Ok((libc::c_int::from(lock.l_type) != libc::F_UNLCK).then_some(LockRange { start, len: len.max(1) }))
}

fn try_lock_range(file: &File, range: LockRange) -> io::Result<bool> {
    match set_description_lock(file, libc::F_WRLCK, range) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn set_description_lock(file: &File, kind: libc::c_int, range: LockRange) -> io::Result<()> {
    let lock = description_lock(kind, range);
    // SAFETY: the descriptor is open, and the structure outlives the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn description_lock(kind: libc::c_int, range: LockRange) -> libc::flock {
    // SAFETY: all-zero bytes are a flock structure; fcntl wants l_pid to be 0.
    let mut lock: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = range.start;
    lock.l_len = range.len;
    lock
}

/// When a descriptor is given its number: all locks are the description's, and nothing is beside it.
pub(super) fn after_opening(_: &File) {}

/// Before a descriptor is closed.
pub(super) fn before_closing(_: &File) {}

/// When the descriptor `to` has got the description of `from`.
pub(super) fn after_replacing(_to: &File, _from: &File) {}

/// When a descriptor was closed behind our back: all its locks went with it.
pub(super) fn give_up_mark_of_lost(_: &File, _: &Status, _slot: u32) {}

/// As [`give_up_mark_of_lost`].
pub(super) fn stop_watching_of_lost(_: &File, _: &Status) {}

/// Is what is beside the descriptor still there?
pub(super) fn is_whole(_: &File) -> bool {
    true
}

/// Removes what a dead one has left, if this is the name of a lock. `false`: it is not. No lock is a file here.
pub(crate) fn sweep(_name: &str) -> bool {
    false
}

/// The processes that hold a `flock` on this file, one entry for each lock, with 0 for those that this PID namespace
/// cannot name. `None` without `/proc`. Good for a message only: the kernel leaves some out, and tells in pieces.
pub(crate) fn lockers(of: &Status) -> Option<Vec<Locker>> {
    // proc_locks(5): "1: FLOCK  ADVISORY  READ  5433 08:01:7864448 0 EOF": the device in hexadecimal, then the inode.
    let (major, minor) = (libc::major(of.device), libc::minor(of.device));
    let id = format!("{major:02x}:{minor:02x}:{}", of.inode);
    let table = fs::read_to_string("/proc/locks").ok()?;
    let found = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [_, "FLOCK", _, access, pid, file, ..] if file == id => {
                Some(Locker { pid: pid.parse().unwrap_or(0), exclusive: access == "WRITE" })
            }
            _ => None,
        }
    });
    Some(found.collect())
}

/// One `flock` on a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locker {
    pub(crate) pid: u32,
    pub(crate) exclusive: bool,
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::super::file::{create_private, status, unlink};
    use super::super::unnamed::create_unnamed;
    use super::*;

    /// Without a name if that is possible: a sweep of another test would look at it.
    fn new_file() -> File {
        create_unnamed().unwrap_or_else(|_| {
            let name = crate::unique_name("robust-shm-file");
            let file = create_private(&name);
            unlink(&name).unwrap();
            file.unwrap()
        })
    }

    /// Else a child that was forked meanwhile, and has the description, would guard it for as long as it lives.
    #[test]
    fn a_name_may_be_guarded_again_when_it_has_been_released() {
        let one = new_file();
        let other = another(&one);
        let guard = try_guard_name(&one).unwrap().unwrap();
        assert!(try_guard_name(&other).unwrap().is_none());
        release_name(&one, guard).unwrap();
        assert!(try_guard_name(&other).unwrap().is_some());
    }

    fn reading(file: &File) -> File {
        OpenOptions::new().read(true).open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
    }

    fn another(file: &File) -> File {
        OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
    }

    /// Else a dead holder of whom the lock word tells would look alive for as long as the newcomer is there.
    #[test]
    fn a_slot_that_is_named_is_not_taken() {
        let file = new_file();
        let refused = std::cell::RefCell::new(Vec::new());
        let is_named = |slot| {
            let mut refused = refused.borrow_mut();
            refused.push(slot);
            Ok(refused.len() < 4)
        };
        let slot = mark_present(&file, is_named).unwrap().unwrap();
        let refused = refused.into_inner();
        assert_eq!((refused.len(), refused[3]), (4, slot));
        assert!(!refused.contains(&0));
        let asker = another(&file);
        assert!(is_present(&asker, slot).unwrap());
        assert!(refused[..3].iter().all(|slot| !is_present(&asker, *slot).unwrap()), "given back");
        assert_eq!(count_present(&asker).unwrap(), 1);
        assert!(!try_mark(&asker, slot).unwrap());
        drop(file);
        assert!(try_mark(&asker, slot).unwrap());
    }

    /// Who may only read a segment can lock all of it for reading.
    #[test]
    fn a_reader_cannot_make_the_dead_look_alive() {
        let file = new_file();
        let reader = reading(&file);
        set_description_lock(&reader, libc::F_RDLCK, LockRange { start: 0, len: 0 }).unwrap();
        assert!(!is_present(&file, 7).unwrap());
        assert_eq!(count_present(&file).unwrap(), 0);
        assert!(!is_present(&reader, 7).unwrap(), "and can ask");
    }

    #[test]
    fn who_shares_a_file_is_not_said_to_hold_it_exclusively() {
        let file = new_file();
        let status = status(&file).unwrap();
        if lockers(&status).is_none() {
            return; // without /proc, messages name nobody
        }
        // The table is told in pieces, and others come and go: so until this lock has been told once.
        let is_exclusive = || {
            (0..10_000).find_map(|_| match lockers(&status)?[..] {
                [Locker { exclusive, .. }] => Some(exclusive),
                _ => None,
            })
        };
        assert!(try_share(&file).unwrap());
        assert_eq!(is_exclusive(), Some(false));
        assert!(try_exclude(&file).unwrap());
        assert_eq!(is_exclusive(), Some(true));
    }
}
