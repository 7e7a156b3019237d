//! Locks on files, of one family: `flock`.
//!
//! That on the segment's file decides who uses it and who is the last. All others are files of their own, beside it: a user's
//! *life file*, whose name has the user's slot in it, the guard of the name, and the watch. See `named_lock.rs`. They are in a
//! directory of one user alone: nobody else can lock one, and so make the dead look alive.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::beside::Beside;
use super::directory;
use super::file::Status;
pub(crate) use super::flock::{try_exclude, try_exclude_others, try_share, unlock};
use super::fork::forks_begun;
use super::named_lock::{self, Kind, LockName};

fn beside(file: &File, kind: Kind, number: u32) -> io::Result<LockName> {
    Ok(LockName { kind, beside: file.metadata()?.ino(), number })
}

/// The lock that guards the name of a file, until this is dropped.
pub(crate) struct Guard {
    name: LockName,
    lock: File,
}

/// Takes the lock that guards the name of this file, without waiting; `None` when another description has it.
pub(crate) fn try_guard_name(file: &File) -> io::Result<Option<Guard>> {
    let name = beside(file, Kind::Guard, 0)?;
    Ok(named_lock::take(name)?.map(|lock| Guard { name, lock }))
}

#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(crate) fn release_name(_: &File, guard: Guard) -> io::Result<()> {
    drop(guard);
    Ok(())
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = named_lock::give_back(self.name, &self.lock); // what fails here goes when the lock is closed
    }
}

/// Gives the description a life file, with a slot at random, for itself alone: one that no lock word names. `None` when
/// somebody seems to have all of them.
pub(crate) fn mark_present(file: &File, is_named: impl Fn(u32) -> io::Result<bool>) -> io::Result<Option<u32>> {
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let forks = forks_begun();
        let slot = super::random_id()[0] as u32;
        if slot == 0 || !try_mark(file, slot)? {
            continue;
        }
        // Asked when the file is locked: from now on only who has it can give the word this slot. If a dead holder had it
        // before, he would look alive. And a child that was forked meanwhile has the file, and does not know of it.
        if !is_named(slot)? && forks_begun() == forks {
            return Ok(Some(slot));
        }
        release_mark(file, slot)?;
    }
    Ok(None)
}

/// Gives the description the life file of this slot; `false` when another one has it.
pub(crate) fn try_mark(file: &File, slot: u32) -> io::Result<bool> {
    try_take(file, beside(file, Kind::Life, slot)?)
}

/// Takes it back, from a forked child, too, that has the description.
pub(crate) fn release_mark(file: &File, slot: u32) -> io::Result<()> {
    give_back(file, beside(file, Kind::Life, slot)?)
}

fn try_take(file: &File, name: LockName) -> io::Result<bool> {
    let taken = named_lock::take(name)?;
    Ok(taken.is_some_and(|lock| Beside::of(file).add(name, lock)))
}

fn give_back(file: &File, name: LockName) -> io::Result<()> {
    let lock = Beside::of(file).remove(name);
    lock.map_or(Ok(()), |lock| named_lock::give_back(name, &lock))
}

/// As [`release_mark`].
pub(crate) fn mark_absent(file: &File, slot: u32) -> io::Result<()> {
    release_mark(file, slot)
}

/// Makes the description the one that watches, without waiting; `false` when another is.
pub(crate) fn try_watch(file: &File) -> io::Result<bool> {
    try_take(file, beside(file, Kind::Watch, 0)?)
}

pub(crate) fn stop_watching(file: &File) -> io::Result<()> {
    give_back(file, beside(file, Kind::Watch, 0)?)
}

/// Has another description the life file of this slot? Takes no lock that would be in anybody's way.
pub(crate) fn is_present(file: &File, slot: u32) -> io::Result<bool> {
    named_lock::is_taken(beside(file, Kind::Life, slot)?)
}

/// How many other descriptions have a life file. What the dead have left of theirs is removed.
pub(crate) fn count_present(file: &File) -> io::Result<usize> {
    present(file)?.try_fold(0, |count, found| found.map(|is_there| count + usize::from(is_there)))
}

/// Has any other description a life file?
pub(crate) fn is_anyone_present(file: &File) -> io::Result<bool> {
    present(file)?.find(|found| !matches!(found, Ok(false))).unwrap_or(Ok(false))
}

/// For each life file beside this file but the description's own: is it a living one's?
fn present(file: &File) -> io::Result<impl Iterator<Item = io::Result<bool>>> {
    let inode = file.metadata()?.ino();
    let own = Beside::of(file);
    Ok(directory::names()?.filter_map(move |name| {
        let name = match name {
            Ok(name) => LockName::parse(&name, Kind::Life, inode).filter(|name| !own.has(*name))?,
            Err(error) => return Some(Err(error)),
        };
        let is_taken = named_lock::is_taken(name);
        if matches!(is_taken, Ok(false)) {
            let _ = named_lock::remove_if_free(name); // else the next one does
        }
        Some(is_taken)
    }))
}

/// Before the descriptor is closed: what is beside it goes with it. A relative that has the same description goes on to
/// have that.
pub(super) fn before_closing(file: &File) {
    for (name, lock) in Beside::of(file).take_all() {
        drop(lock);
        let _ = named_lock::remove_if_free(name); // else a sweep does
    }
}

/// Before the descriptor `to` gets the description of `from`, whose own number goes.
pub(super) fn before_replacing(to: &File, from: &File) {
    before_closing(to);
    for (name, lock) in Beside::of(from).take_all() {
        Beside::of(to).add(name, lock);
    }
}

/// Is what is beside the descriptor still there? A program may close what it did not open.
pub(super) fn is_whole(file: &File) -> bool {
    Beside::of(file).is_whole()
}

/// The processes that hold a `flock` on this file: no call tells.
pub(crate) fn lockers(_of: &Status) -> Option<Vec<Locker>> {
    None
}

/// One `flock` on a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locker {
    pub(crate) pid: u32,
    pub(crate) exclusive: bool,
}
