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
    let taken = match named_lock::take(name) {
        // No descriptor is left: so that of the life must do. Whoever removes a name, and is a user, is the last one.
        Err(error) if is_for_want_of_descriptors(&error) => {
            before_closing(file);
            named_lock::take(name)
        }
        taken => taken,
    };
    Ok(taken?.map(|lock| Guard { name, lock }))
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::descriptor::Descriptor;
    use super::super::file::{create_private, open, status, unlink};
    use super::*;

    /// A file with a name, which goes at the end.
    struct Scratch(String);

    impl Scratch {
        fn new() -> (Self, Descriptor) {
            let scratch = Self(crate::unique_name("robust-shm-file-lock"));
            let file = create_private(&scratch.0).unwrap();
            let status = status(&file).unwrap();
            (scratch, Descriptor::new(file, status).unwrap())
        }

        fn another(&self) -> Descriptor {
            let file = open(&self.0, true).unwrap();
            let status = status(&file).unwrap();
            Descriptor::new(file, status).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = unlink(&self.0);
        }
    }

    fn lives(file: &File) -> usize {
        let inode = file.metadata().unwrap().ino();
        let names = directory::names().unwrap().map(Result::unwrap);
        names.filter(|name| life_in(name, inode).is_some()).count()
    }

    #[test]
    fn a_name_may_be_guarded_again_when_it_has_been_released() {
        let (scratch, one) = Scratch::new();
        let other = scratch.another();
        let guard = try_guard_name(one.known()).unwrap().unwrap();
        assert!(try_guard_name(other.known()).unwrap().is_none());
        release_name(one.known(), guard).unwrap();
        drop(try_guard_name(other.known()).unwrap().unwrap());
        assert!(try_guard_name(one.known()).unwrap().is_some());
    }

    /// Else a dead holder of whom the lock word tells would look alive for as long as the newcomer is there.
    #[test]
    fn a_slot_that_is_named_is_not_taken() {
        let (scratch, file) = Scratch::new();
        let refused = RefCell::new(Vec::new());
        let is_named = |slot| {
            let mut refused = refused.borrow_mut();
            refused.push(slot);
            Ok(refused.len() < 4)
        };
        let slot = mark_present(file.known(), is_named).unwrap().unwrap();
        let refused = refused.into_inner();
        assert_eq!((refused.len(), refused[3]), (4, slot));
        let asker = scratch.another();
        assert!(is_present(asker.known(), slot).unwrap());
        assert!(refused[..3].iter().all(|slot| !is_present(asker.known(), *slot).unwrap()), "given back");
        assert_eq!((count_present(asker.known()).unwrap(), count_present(file.known()).unwrap()), (1, 0));
        assert!(is_anyone_present(asker.known()).unwrap() && !is_anyone_present(file.known()).unwrap());
        assert!(!try_mark(asker.known(), slot).unwrap());
        drop(file);
        assert_eq!(lives(asker.known()), 0);
        assert!(try_mark(asker.known(), slot).unwrap());
    }

    #[test]
    fn what_the_dead_have_left_is_not_counted_and_is_removed() {
        let (scratch, file) = Scratch::new();
        let slot = mark_present(file.known(), |_| Ok(false)).unwrap().unwrap();
        let name = beside(file.known(), Kind::Life, slot).unwrap();
        drop(Beside::of(file.known()).remove(name)); // as the kernel closes it
        let asker = scratch.another();
        assert_eq!(lives(asker.known()), 1);
        assert_eq!((count_present(asker.known()).unwrap(), lives(asker.known())), (0, 0));
        assert!(!is_present(asker.known(), slot).unwrap());
    }

    #[test]
    fn one_watches_at_a_time() {
        let (scratch, one) = Scratch::new();
        let other = scratch.another();
        assert!(try_watch(one.known()).unwrap() && !try_watch(other.known()).unwrap());
        stop_watching(one.known()).unwrap();
        assert!(try_watch(other.known()).unwrap());
        drop(other);
        assert!(try_watch(one.known()).unwrap());
    }

    /// Without its life file a user looks dead: so it is none any more, and its own descriptor goes with it.
    #[test]
    fn who_has_lost_the_life_file_is_told_so() {
        let (scratch, file) = Scratch::new();
        let slot = mark_present(file.known(), |_| Ok(false)).unwrap().unwrap();
        assert!(file.get().is_some());
        assert!(Beside::of(file.known()).close_behind_its_back(beside(file.known(), Kind::Life, slot).unwrap()));
        assert!(file.get().is_none() && file.status().is_err());
        assert_eq!(count_present(scratch.another().known()).unwrap(), 0);
    }

    /// In a forked child, the descriptor of a handle gets a description of the child's own.
    #[test]
    fn what_replaces_a_description_brings_its_life_file() {
        let (scratch, file) = Scratch::new();
        let old = mark_present(file.known(), |_| Ok(false)).unwrap().unwrap();
        let own = open(&scratch.0, true).unwrap();
        let new = mark_present(&own, |_| Ok(false)).unwrap().unwrap();
        assert!(file.replace_by(own));
        let asker = scratch.another();
        assert!(!is_present(asker.known(), old).unwrap() && is_present(asker.known(), new).unwrap());
        assert_eq!((count_present(file.known()).unwrap(), lives(asker.known())), (0, 1));
        drop(file);
        assert_eq!(lives(asker.known()), 0);
    }
}
