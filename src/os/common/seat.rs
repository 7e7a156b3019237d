//! A handle's place among the users of a file: its open file description, and the presence byte that the description locks.
//!
//! The number of the byte is the handle's *slot*, by which the lock word names it. While the process lives, and has the
//! handle, nobody else has the slot; when it dies, the kernel forgets the byte, and everybody can see that.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::descriptor::Descriptor;
use super::file::{self, Status};
use super::neighbours::{self, Neighbour};
use super::{file_lock, generation, process};
use crate::name::Name;

#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) file: Descriptor,
    name: Name,
    /// The slot in the upper half, 0 if there is none yet; in the lower the fork generation in which that was known to be right.
    slot: AtomicU64,
    /// Once others of this process are to know it.
    known: OnceLock<Neighbour>,
    /// The fork generation in which a thread watches by this description: which has one lock for all of them.
    watches_in: AtomicU32,
}

impl Seat {
    /// Of a file that was opened by this name.
    pub(crate) fn new(file: File, status: Status, name: &Name) -> io::Result<Self> {
        let (slot, known, watches_in) = (AtomicU64::new(0), OnceLock::new(), AtomicU32::new(0));
        Ok(Self { file: Descriptor::new(file, status)?, name: name.clone(), slot, known, watches_in })
    }

    #[inline(always)]
    pub(crate) fn slot(&self) -> u32 {
        (self.settled() >> 32) as u32 // changed only before there is a handle, and in a child that has one thread
    }

    /// The slot in the upper half; in the lower the fork generation in which it stays the handle's for good. In a child that
    /// has been forked just now that is another one, until [`settle`](Self::settle).
    pub(crate) fn settled(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }

    /// In a forked child: the slot, be it of its own or still its parent's, stays what it is.
    pub(crate) fn settle(&self) {
        self.set(self.slot());
    }

    fn set(&self, slot: u32) {
        self.slot.store(u64::from(slot) << 32 | u64::from(generation::generation()), Ordering::Relaxed);
        if let Some(known) = self.known.get() {
            known.set(slot);
        }
    }

    /// From now on, [`is_beside`](Self::is_beside) finds it.
    pub(crate) fn make_known(&self) {
        self.known.get_or_init(|| Neighbour::new(self.slot()));
    }

    /// Is this the slot of another seat of this process, that was made known?
    pub(crate) fn is_beside(&self, slot: u32) -> bool {
        neighbours::have(slot)
    }

    /// Becomes the one who watches, in the name of one thread; `false` if somebody does, or that cannot be found out.
    pub(crate) fn try_watch(&self) -> bool {
        let generation = generation::generation_if_numbered();
        let found = self.watches_in.load(Ordering::Relaxed);
        let is_first = found != generation
            && self.watches_in.compare_exchange(found, generation, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let watches = is_first && self.file.get().is_some_and(|file| file_lock::try_watch(file).unwrap_or(false));
        if is_first && !watches {
            self.watches_in.store(0, Ordering::Relaxed);
        }
        watches
    }

    /// For the thread that watches.
    pub(crate) fn stop_watching(&self) {
        match self.file.get() {
            Some(file) => {
                let _ = file_lock::stop_watching(file); // what fails here is found by those who look seldom
            }
            None => file_lock::stop_watching_of_lost(self.file.known(), self.file.opened()),
        }
        self.watches_in.store(0, Ordering::Relaxed);
    }

    /// Takes a slot that nobody has, and that does not stand for a dead holder either. `false`: a stranger seems to have all.
    pub(crate) fn take(&self, is_named: impl Fn(u32) -> io::Result<bool>) -> io::Result<bool> {
        let slot = file_lock::mark_present(self.file.known(), is_named)?;
        self.set(slot.unwrap_or(0));
        Ok(slot.is_some())
    }

    /// Gives the slot back.
    pub(crate) fn give_up(&self) {
        let _ = file_lock::mark_absent(self.file.known(), self.slot()); // what fails here goes with the description
    }

    /// Puts another description of the file, which has the byte of this slot, in the place of its own. If that fails, its own
    /// stays as it is, and the other one goes with its byte.
    pub(crate) fn replace_by(&self, other: File, slot: u32) -> bool {
        // In this order: what asks in between, from a signal handler, asks for its own slot no more than before.
        let replaced = self.file.replace_by(other);
        if replaced {
            self.set(slot);
        }
        replaced
    }

    /// Does no other description have this byte? `false` if it cannot be asked any more. Not to be asked for the own one.
    pub(crate) fn is_free(&self, slot: u32) -> bool {
        let is_free_by = |file: &File| file_lock::is_present(file, slot).is_ok_and(|is_present| !is_present);
        let own = self.file.get();
        if own.is_some_and(|own| !is_free_by(own)) {
            return false;
        }
        // By another description, too. In a program that closes what it did not open, this number may be that of its next
        // handle by now, which has a byte that its own description does not see; or of no file any more.
        match file::open(self.name.as_str(), false) {
            Ok(fresh) if self.file.is_same_file(&fresh) => is_free_by(&fresh),
            _ => own.is_some(), // the name is gone
        }
    }

    /// May a thread of this id have the file mapped? Where `/proc` does not show it: is there one?
    pub(crate) fn may_be_mapped_by(&self, tid: u32) -> bool {
        process::maps(tid, self.file.opened()).unwrap_or_else(|| process::thread_exists(tid))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // If the program has closed the descriptor itself: a lock that is another file does not go with that.
        file_lock::give_up_mark_of_lost(self.file.known(), self.file.opened(), self.slot());
    }
}
