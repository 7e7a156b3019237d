//! Being a user of a segment: a shared `flock` on an open file description that belongs to one handle.
//!
//! # Forks
//!
//! A forked child has its parent's descriptions, and either's leaving would count for both. So the child, first of all,
//! opens one of its own for every handle, and puts it in the place of the inherited one. (It takes some 15 µs for each
//! handle, and the parent does not wait for it.) Where that cannot be, because there is no descriptor left or the name
//! leads to something else by now, parent and child go on with one description.
//!
//! Nobody knows of another process how far it is. So after any fork, whoever leaves takes it that a relative may have the
//! same description: it opens a second one, *closes* the first, and only then looks whether anybody is left. A relative
//! that is left still holds the lock, and will do the same. Two that leave at once cannot both find the other, because
//! each has closed before it looks.
//!
//! What a thread is opening or leaving at the moment of a fork is no handle of the child's, which closes it. It must know
//! of it for that: so a file is announced in the registry as soon as it is opened, and opened again if
//! a fork may have come in between.

use std::fs::File;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use super::further_lines::FurtherLines;
use super::{found, removal};
use crate::fault::point;
use crate::layout::{LOCK_OFFSET, LockLine};
use crate::name::Name;
use crate::os::file::{OpenError, Status};
use crate::os::fork::forks_begun;
use crate::os::seat::Seat;
use crate::os::{self, file, file_lock, generation};
use crate::sync::mutex;

/// One handle's place among the users of its segment.
#[derive(Debug)]
pub(super) struct Presence {
    /// The handle's lock has it, too.
    seat: Arc<Seat>,
    name: Name,
    /// The last one out leaves the name where it is.
    keeps_name: AtomicBool,
    /// The creation did not succeed: the last one out takes the name along, persistent or not.
    is_retracted: AtomicBool,
    stage: AtomicU8,
    /// The thread that opens the file.
    opener: usize,
    /// The fork generation that the presence belongs to.
    generation: AtomicU32,
    /// How many forks had begun when the description was made: after another one, a relative may have it, too.
    forks: AtomicU32,
}

/// Stages: the file is open.
const ANNOUNCED: u8 = 0;
/// The description holds a shared lock and a presence byte.
const SHARING: u8 = 1;
/// It belongs to a handle.
const OWNED: u8 = 2;
/// Somebody is leaving.
const LEAVING: u8 = 3;

impl Presence {
    /// Of a file that was opened when `forks` forks had begun.
    pub(super) fn new(file: File, status: Status, name: &Name, persistent: bool, forks: u32) -> io::Result<Self> {
        Ok(Self {
            seat: Arc::new(Seat::new(file, status, name)?),
            name: name.clone(),
            keeps_name: AtomicBool::new(persistent),
            is_retracted: AtomicBool::new(false),
            stage: AtomicU8::new(ANNOUNCED),
            opener: os::thread::self_address(),
            generation: AtomicU32::new(generation::generation()),
            forks: AtomicU32::new(forks),
        })
    }

    /// From now on, the last one out takes the name along.
    pub(super) fn give_up_name(&self) {
        self.keeps_name.store(false, Ordering::Relaxed);
        self.is_retracted.store(true, Ordering::Relaxed);
    }

    /// Becomes a user. `false`, and not one: somebody is removing the segment.
    pub(super) fn share(&self) -> io::Result<bool> {
        let file = self.just_opened();
        // The presence byte first: so whoever uses the segment has one, at every moment.
        let present = self.seat.take(|slot| is_named(file, slot));
        point!("register: present");
        let shared = present.and_then(|present| if present { file_lock::try_share(file) } else { Ok(false) });
        point!("register: shared");
        if matches!(shared, Ok(true)) {
            self.stage.store(SHARING, Ordering::SeqCst);
        } else {
            self.seat.give_up(); // explicitly: a child in the middle of its fork may have the description
            let _ = file_lock::unlock(file); // one that takes over holds it still
        }
        shared
    }

    /// The place among the users, for the handle's lock.
    pub(super) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }

    /// From now on it belongs to a handle, and a forked child has that, too.
    pub(super) fn belong(&self) {
        self.stage.store(OWNED, Ordering::SeqCst);
        point!("register: belongs to a handle");
    }

    /// The file, for whoever is opening it and so has just got its descriptor.
    pub(super) fn just_opened(&self) -> &File {
        self.seat.file.known()
    }

    /// As it was when it was opened.
    pub(super) fn opened(&self) -> &Status {
        self.seat.file.opened()
    }

    pub(super) fn file(&self) -> io::Result<&File> {
        self.seat.file.status().map(|_| self.seat.file.known())
    }

    /// Does the name lead elsewhere, or nowhere?
    pub(super) fn is_removed(&self) -> bool {
        self.seat.file.has_lost(self.name.as_str())
    }

    pub(super) fn status(&self) -> io::Result<Status> {
        self.seat.file.status()
    }

    /// Leaves; the last one out takes the name along. Errors have nobody to go to: what remains is an orphan, and goes
    /// when its name is used, or with the next sweep.
    pub(super) fn leave(&self) {
        let Some((stage, file)) = self.begin_leaving() else { return };
        if stage == ANNOUNCED && self.is_of_this_process() {
            // Who takes an orphan over still holds it exclusively. By hand: a child that was forked before the file was
            // announced has the description, and does not know of it.
            let _ = file_lock::unlock(file);
        }
        if let Some(second) = self.take_name_along(stage, file, |_| ()) {
            // By hand: a child that was forked meanwhile has the description, too.
            let _ = file_lock::unlock(&second);
            point!("close: second description unlocked");
        }
        self.seat.file.close_known();
        point!("close: left");
    }

    /// Leaves at exit. Other threads are still there then, and may hold the lock: so the process keeps a presence
    /// byte until its end, and the one that the lock word names.
    pub(super) fn leave_at_exit(&self) {
        if !self.is_of_this_process() {
            return; // the end of the process is enough
        }
        let Some((stage, file)) = self.begin_leaving() else { return };
        let slot = self.seat.slot();
        // To close the description would let a holder look dead: here, for a moment only, and to those who do not see what
        // this process has mapped. The name is left to who uses it next.
        let may_matter = || is_named(file, slot).unwrap_or(true) || !is_used_here_only(file);
        if stage != ANNOUNCED && self.may_be_shared() && may_matter() {
            return;
        }
        let mut interim = None;
        let second = self.take_name_along(stage, file, |second| {
            interim = file_lock::mark_present(second, |_| Ok(false)).ok().flatten();
            point!("exit: present by a second description");
        });
        if let Some(second) = second {
            // Other threads may have locked since, by the old slot; unless a relative has that.
            if let (Ok(true), Some(interim)) = (file_lock::try_mark(&second, slot), interim) {
                let _ = file_lock::release_mark(&second, interim);
            }
            mem::forget(second); // the end of the process closes it
        }
    }

    /// Only one leaves. `None`: somebody else is at it.
    fn begin_leaving(&self) -> Option<(u8, &File)> {
        let stage = Some(self.stage.swap(LEAVING, Ordering::SeqCst)).filter(|stage| *stage != LEAVING)?;
        // If it was closed behind our back, this process is no user any more, and has nobody's leave to take.
        self.seat.file.get().map(|file| (stage, file))
    }

    /// `false`: this is a child, and our handler was not called in it: after a raw `clone`, or because one of the
    /// program's comes first.
    fn is_of_this_process(&self) -> bool {
        self.generation.load(Ordering::Relaxed) == generation::generation()
    }

    /// May a relative have the description?
    fn may_be_shared(&self) -> bool {
        !self.is_of_this_process() || self.forks.load(Ordering::Relaxed) != forks_begun()
    }

    /// What there is to leaving but to close. Returns the second description, if there had to be one.
    fn take_name_along(&self, stage: u8, file: &File, before_closing: impl FnOnce(&File)) -> Option<File> {
        if stage == ANNOUNCED {
            return None;
        }
        // A persistent segment is left by closing. No sooner: other threads may still hold its lock, and whoever finds
        // no user left takes that for a dead holder's.
        if self.keeps_name.load(Ordering::Relaxed) {
            point!("close: only closing");
            return None;
        }
        let second = if self.may_be_shared() {
            let second = match self.reopen() {
                Ok(second) => second,
                // No descriptor is left: so that of the first one must do, and for a moment there is no user here.
                Err(OpenError::NoDescriptor(_)) => {
                    self.seat.file.close();
                    point!("close: made room");
                    self.reopen().ok()?
                }
                Err(_) => None, // out of reach
            };
            // The name is gone, or out of reach: then nobody needs to take it along.
            let second = second?;
            point!("close: opened again");
            before_closing(&second);
            self.seat.file.close_known();
            point!("close: given to relatives");
            Some(second)
        } else {
            None
        };
        let last = second.as_ref().unwrap_or(file);
        if file_lock::try_exclude_others(last).unwrap_or(false) {
            point!("close: excluded");
            // In the moment between the two locks an orphan can be made anew in place, and be a persistent segment by now.
            if self.is_retracted.load(Ordering::Relaxed) || !found::is_persistent(last) {
                let _ = removal::unlink_exact(last, self.seat.file.opened(), &self.name);
            }
        }
        point!("close: no user any more");
        second
    }

    /// Another description of the file, if its name still leads to it.
    fn reopen(&self) -> Result<Option<File>, OpenError> {
        let file = file::open(self.name.as_str(), true)?;
        Ok(Some(file).filter(|file| self.seat.file.is_same_file(file)))
    }

    /// In a child that was forked just now.
    pub(super) fn begin_child(&self) {
        match self.stage.load(Ordering::Relaxed) {
            ANNOUNCED | SHARING | LEAVING => self.disown(),
            _ => {
                self.generation.store(generation::generation(), Ordering::Relaxed);
                let forks = forks_begun();
                if self.take_own_description().unwrap_or(false) {
                    point!("fork: own description in place");
                    self.forks.store(forks, Ordering::Relaxed);
                }
                self.seat.settle();
            }
        }
    }

    /// Closes what is no handle of this process.
    fn disown(&self) {
        if self.opener != os::thread::self_address() {
            self.seat.file.close();
        } else {
            self.seat.file.neutralise(); // it goes on, in a signal handler, with what it was at
        }
        // The parent may have left in the meantime, and have found this process still there.
        if !self.keeps_name.load(Ordering::Relaxed) {
            let _ = removal::remove_if_orphan(self.name.as_str());
        }
    }

    fn take_own_description(&self) -> io::Result<bool> {
        let own = match (self.reopen(), self.seat.file.get()) {
            (Ok(Some(own)), _) => own,
            // The name is gone, or somebody else's by now.
            (_, Some(inherited)) => file::reopen(inherited)?,
            (_, None) => return Ok(false),
        };
        point!("fork: own description opened");
        let Some(slot) = file_lock::mark_present(&own, |slot| is_named(&own, slot))? else { return Ok(false) };
        point!("fork: own description present");
        let shared = file_lock::try_share(&own);
        point!("fork: own description shared");
        if !matches!(shared, Ok(true)) {
            let _ = file_lock::release_mark(&own, slot); // where that does not go with the description
            return shared;
        }
        Ok(self.seat.replace_by(own, slot))
    }
}

/// Are all users in this PID namespace?
fn is_used_here_only(file: &File) -> bool {
    let header = found::read_header(file).ok().flatten();
    header.is_some_and(|header| header.pid_namespace == os::namespace::pid_namespace())
}

/// Does the lock, a permit, or a reader's slot name this slot, as that of its holder or of a dead one?
fn is_named(file: &File, slot: u32) -> io::Result<bool> {
    let mut line = [0; size_of::<LockLine>()];
    let is_whole = file::read_at(file, &mut line, LOCK_OFFSET as u64)? == line.len(); // else it is being made
    if !is_whole || mutex::names(&line, slot) {
        return Ok(is_whole);
    }
    let Some(header) = found::read_header(file)? else { return Ok(false) };
    Ok(FurtherLines::read(file, &header)?.iter().any(|line| mutex::names(line, slot)))
}
