//! Locks on files, of one family: `flock`.
//!
//! That on the segment's file decides who uses it and who is the last. All others are files of their own, beside it: a user's
//! *life file*, whose name has the user's slot in it, the guard of the name, and the watch. See `named_lock.rs`. They are in a
//! directory of one user alone: nobody else can lock one, and so make the dead look alive.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::Deadline;
use super::beside::Beside;
use super::directory;
use super::file::Status;
pub(crate) use super::flock::{try_exclude, try_exclude_others, try_share, unlock};
use super::fork::{forks_begun, forks_begun_and_over};
use super::named_lock::{self, Kind, LockName};
use super::slot;

fn beside(file: &File, kind: Kind, number: u32) -> io::Result<LockName> {
    Ok(LockName { kind, beside: file.metadata()?.ino(), number })
}

/// The lock that guards the name of a file, until this is dropped.
pub(crate) struct Guard {
    name: LockName,
    lock: File,
}

/// Takes the lock that guards the name of this file, without waiting for whoever has it; `None` when another description
/// has it. Who removes a dead one's has it only for a moment: so it is asked for more than once.
pub(crate) fn try_guard_name(file: &File) -> io::Result<Option<Guard>> {
    const PATIENCE: Duration = Duration::from_millis(10);
    let name = beside(file, Kind::Guard, 0)?;
    let mut end = None;
    loop {
        let taken = match named_lock::take(name) {
            // No descriptor is left: so that of the life must do. Whoever removes a name, and is a user, is the last one.
            Err(error) if is_for_want_of_descriptors(&error) => {
                before_closing(file);
                named_lock::take(name)
            }
            taken => taken,
        };
        let taken = taken?;
        if taken.is_some() || end.is_some_and(Deadline::has_passed) {
            return Ok(taken.map(|lock| Guard { name, lock }));
        }
        end = end.or_else(|| Deadline::after(PATIENCE));
        std::thread::yield_now();
    }
}

fn is_for_want_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
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
    after_opening(file); // of a description that is no handle's
    slot::draw(slot::ATTEMPTS, |slot| try_mark(file, slot), is_named, |slot| release_mark(file, slot))
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
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let forks = forks_begun_and_over();
        let Some(lock) = named_lock::take(name)? else { return Ok(false) };
        let kept = match Beside::with_room(file) {
            Some(beside) => beside.add(name, lock),
            None => Err(lock),
        };
        if let Err(lock) = kept {
            return named_lock::give_back(name, &lock).map(|()| false);
        }
        if forks_begun() == forks {
            return Ok(true);
        }
        // A child that was forked meanwhile has the lock, and may not know of it: who gives it back does so for both.
        give_back(file, name)?;
    }
    Ok(false)
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
            Ok(name) => life_in(&name, inode).filter(|name| !own.has(*name))?,
            Err(error) => return Some(Err(error)),
        };
        Some(named_lock::is_taken(name))
    }))
}

fn life_in(name: &str, beside: u64) -> Option<LockName> {
    LockName::parse(name).filter(|found| (found.kind, found.beside) == (Kind::Life, beside))
}

/// Removes what a dead one has left, if this is the name of a lock. `false`: it is not.
pub(crate) fn sweep(name: &str) -> bool {
    let lock = LockName::parse(name);
    lock.map(named_lock::remove_if_free).is_some()
}

/// When the descriptor has just been given its number: what is beside that was beside another one, which the program has
/// closed itself.
pub(super) fn after_opening(file: &File) {
    before_closing(file);
}

/// Before the descriptor is closed: what is beside it goes with it. A relative that has the same description goes on to
/// have that.
pub(super) fn before_closing(file: &File) {
    Beside::of(file).take_all().for_each(close);
}

fn close((name, lock): (LockName, File)) {
    drop(lock);
    let _ = named_lock::remove_if_free(name); // else a sweep does
}

/// When the descriptor `to` has got the description of `from`, whose own number goes. It has one life file or the other, at
/// each moment.
pub(super) fn after_replacing(to: &File, from: &File) {
    if let Some(to) = Beside::with_room(to) {
        to.take_over(Beside::of(from)).for_each(close);
    }
    before_closing(from); // what had no room
}

/// When the program has closed the descriptor, and so made its handle none any more: the life file goes, too. By the number
/// alone, which may be another file's by now; so what is beside it is told by whose it is.
pub(super) fn give_up_mark_of_lost(number: &File, opened: &Status, slot: u32) {
    let name = LockName { kind: Kind::Life, beside: opened.inode, number: slot };
    if let Some(lock) = Beside::of(number).remove(name) {
        close((name, lock)); // and not given back: it may be a relative's, too
    }
}

/// As [`give_up_mark_of_lost`].
pub(super) fn stop_watching_of_lost(number: &File, opened: &Status) {
    let name = LockName { kind: Kind::Watch, beside: opened.inode, number: 0 };
    if let Some(lock) = Beside::of(number).remove(name) {
        let _ = named_lock::give_back(name, &lock); // what fails here goes when it is closed
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

#[cfg(test)]
mod tests;
