//! Locks on bytes of files, far behind where any data are: on Windows a lock keeps others from reading and writing what it
//! is on.
//!
//! They belong to a handle of one process, and go when that is closed, or the process ends. A handle may have a lock for
//! reading on what it has locked for writing, and then has two; nothing converts one into another. So what replaces a
//! lock gives it up first.

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, ERROR_NOT_LOCKED};
use windows_sys::Win32::Storage::FileSystem::{
    LOCK_FILE_FLAGS, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use super::file::Status;
use super::handle::done;
use super::slot;

/// A range of bytes. It has nothing to do with the data at that offset: no file is as long.
#[derive(Clone, Copy, Debug)]
struct LockRange {
    start: u64,
    len: u64,
}

const FAR: u64 = 1 << 62;
/// Users hold this one for reading, and who wants to be alone for writing.
const USE: LockRange = LockRange { start: FAR, len: 1 };
/// Who removes the name holds this one.
const NAME_GUARD: LockRange = LockRange { start: FAR + 1, len: 1 };
/// Who looks for deaths for all who wait for the lock holds this one: see `sync/watch.rs`.
const WATCH: LockRange = LockRange { start: FAR + 2, len: 1 };
/// Where two bytes for each slot begin: 32 bits, not 0.
const PRESENCE: u64 = FAR + (1 << 40);

/// What the user who has this slot holds, for writing: the first of its two bytes.
fn mark_of(slot: u32) -> LockRange {
    LockRange { start: PRESENCE + 2 * u64::from(slot), len: 1 }
}

/// What is asked about so many slots: for reading, and given back. Always another range than a [mark](mark_of), because
/// who gives back a range gives back the first lock that he has on it: asked by the handle that has the mark, that would be
/// the mark.
fn question(first: u64, count: u64) -> LockRange {
    LockRange { start: PRESENCE + 2 * first, len: 2 * count }
}

/// Takes or converts to a shared lock, without waiting; `false` when somebody holds it exclusively. An exclusive lock that
/// was held before is given up first.
pub(crate) fn try_share(file: &File) -> io::Result<bool> {
    unlock(file)?;
    try_lock(file, USE, 0)
}

/// Takes or converts to an exclusive lock, without waiting; `false` when somebody else holds it. A lock that was held
/// before is given up first. So of two who share and try at once, the one who tries later finds no other.
pub(crate) fn try_exclude(file: &File) -> io::Result<bool> {
    unlock(file)?;
    try_lock(file, USE, LOCKFILE_EXCLUSIVE_LOCK)
}

/// [`try_exclude`] for one who shares.
pub(crate) fn try_exclude_others(file: &File) -> io::Result<bool> {
    try_exclude(file)
}

/// Gives up a shared or an exclusive lock. Closing the handle does the same.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    give_back(file, USE)
}

/// The lock that guards the name of a file: the handle has it.
#[derive(Debug)]
pub(crate) struct Guard;

/// Takes the lock that guards the name of this file, without waiting; `None` when another handle has it. It goes when
/// the handle is closed, or by [`release_name`].
pub(crate) fn try_guard_name(file: &File) -> io::Result<Option<Guard>> {
    Ok(try_lock(file, NAME_GUARD, LOCKFILE_EXCLUSIVE_LOCK)?.then_some(Guard))
}

pub(crate) fn release_name(file: &File, _: Guard) -> io::Result<()> {
    give_back(file, NAME_GUARD)
}

/// Marks the handle as present, at random, with a slot for itself alone: one that no lock word names. `None` when a stranger
/// seems to have locked all of them.
///
/// Who counts users asks about many slots at once, and whoever takes one of them just then fails. So there is some
/// patience between attempts.
pub(crate) fn mark_present(file: &File, is_named: impl Fn(u32) -> io::Result<bool>) -> io::Result<Option<u32>> {
    const ATTEMPTS: u32 = 1_000;
    const PAUSE: Duration = Duration::from_millis(1);
    let mut attempt = 0;
    let try_after_a_pause = |slot| {
        attempt += 1;
        if attempt > slot::ATTEMPTS {
            std::thread::sleep(PAUSE);
        }
        try_mark(file, slot)
    };
    slot::draw(ATTEMPTS, try_after_a_pause, is_named, |slot| release_mark(file, slot))
}

/// Gives the handle the mark of this slot; `false` when another one has it, or asks for it at this moment.
pub(crate) fn try_mark(file: &File, slot: u32) -> io::Result<bool> {
    try_lock(file, mark_of(slot), LOCKFILE_EXCLUSIVE_LOCK)
}

pub(crate) fn release_mark(file: &File, slot: u32) -> io::Result<()> {
    give_back(file, mark_of(slot))
}

/// Makes the handle the one that watches, without waiting; `false` when another is.
pub(crate) fn try_watch(file: &File) -> io::Result<bool> {
    try_lock(file, WATCH, LOCKFILE_EXCLUSIVE_LOCK)
}

pub(crate) fn stop_watching(file: &File) -> io::Result<()> {
    give_back(file, WATCH)
}

/// Does another handle have the mark of this slot?
///
/// There is no call that asks for a lock without taking it. So it is taken for reading, and given back: those who ask at
/// once are not in each other's way, and a mark, which is for writing, stays what it is. In the way of a question is a mark
/// only; what a question is in the way of is the taking of a mark, at random, which then takes another.
pub(crate) fn is_present(file: &File, slot: u32) -> io::Result<bool> {
    someone_in(file, slot.into(), 1)
}

/// Does another handle have a mark of these slots?
fn someone_in(file: &File, first: u64, count: u64) -> io::Result<bool> {
    let range = question(first, count);
    let is_free = try_lock(file, range, 0)?;
    if is_free {
        unlock_once(file, range)?;
    }
    Ok(!is_free)
}

const SLOTS: u64 = 1 << 32;

/// Gives the mark back. Closing the handle does the same.
pub(crate) fn mark_absent(file: &File, slot: u32) -> io::Result<()> {
    release_mark(file, slot)
}

/// How many other handles have a mark.
pub(crate) fn count_present(file: &File) -> io::Result<usize> {
    let mut count = 0;
    let mut unasked = vec![(0, SLOTS)];
    while let Some((first, slots)) = unasked.pop() {
        if !someone_in(file, first, slots)? {
            continue;
        }
        if slots == 1 {
            count += 1;
        } else {
            unasked.extend([(first, slots / 2), (first + slots / 2, slots / 2)]);
        }
    }
    Ok(count)
}

/// Has any other handle a mark? Needs no right to write.
pub(crate) fn is_anyone_present(file: &File) -> io::Result<bool> {
    someone_in(file, 0, SLOTS)
}

/// Removes what a dead one has left, if this is the name of a lock. `false`: it is not. No lock is a file here.
pub(crate) fn sweep(_name: &str) -> bool {
    false
}

/// When a handle was closed behind our back: its locks went with it.
pub(super) fn give_up_mark_of_lost(_: &File, _: &Status, _slot: u32) {}

/// As [`give_up_mark_of_lost`].
pub(super) fn stop_watching_of_lost(_: &File, _: &Status) {}

/// The processes that have this file locked: Windows does not tell.
pub(crate) fn lockers(_of: &Status) -> Option<Vec<Locker>> {
    None
}

/// One lock on a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locker {
    pub(crate) pid: u32,
    pub(crate) exclusive: bool,
}

fn try_lock(file: &File, range: LockRange, flags: LOCK_FILE_FLAGS) -> io::Result<bool> {
    let mut place = overlapped(range);
    let (low, high) = halves(range.len);
    // SAFETY: the handle is open, and the structure outlives the call, which does not wait.
    let locked = done(unsafe {
        LockFileEx(file.as_raw_handle(), flags | LOCKFILE_FAIL_IMMEDIATELY, 0, low, high, &raw mut place)
    });
    match locked {
        Ok(()) => Ok(true),
        Err(error) if is_one_of(&error, &[ERROR_LOCK_VIOLATION, ERROR_IO_PENDING]) => Ok(false),
        Err(error) => Err(error),
    }
}

/// All that the handle has on this very range: at most one for writing and one for reading.
fn give_back(file: &File, range: LockRange) -> io::Result<()> {
    for _ in 0..2 {
        match unlock_once(file, range) {
            // Wine says the second.
            Err(error) if is_one_of(&error, &[ERROR_NOT_LOCKED, ERROR_LOCK_VIOLATION]) => return Ok(()),
            result => result?,
        }
    }
    Ok(())
}

fn unlock_once(file: &File, range: LockRange) -> io::Result<()> {
    let mut place = overlapped(range);
    let (low, high) = halves(range.len);
    // SAFETY: the handle is open, and the structure outlives the call, which does not wait.
    done(unsafe { UnlockFileEx(file.as_raw_handle(), 0, low, high, &raw mut place) })
}

fn is_one_of(error: &io::Error, codes: &[u32]) -> bool {
    codes.iter().any(|code| error.raw_os_error() == Some(code.cast_signed()))
}

fn halves(number: u64) -> (u32, u32) {
    (number as u32, (number >> 32) as u32)
}

fn overlapped(range: LockRange) -> OVERLAPPED {
    let (low, high) = halves(range.start);
    let offset = OVERLAPPED_0_0 { Offset: low, OffsetHigh: high };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: offset }, ..Default::default() }
}

#[cfg(test)]
mod tests;
