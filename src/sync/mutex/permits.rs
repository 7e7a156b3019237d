//! The permits of a semaphore, as their face uses them: [`Permits`], and [`Taken`], which every permit is built on.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use super::super::habits::Homes;
use super::super::leaked;
use super::super::permits::{self, Places};
use super::super::robust_futex::{self, Linked};
use super::super::waiting::Failure;
use super::super::word::{high, low, pair};
use super::held::{GuardStaysOnItsThread, Own};
use super::{Mutex, Wait};
use crate::error::{Awaited, LockError};
use crate::layout::{BellLine, LockLine};
use crate::os;
use crate::os::robust_list::RobustList;
use crate::os::thread::Thread;

/// A permit that this thread has taken. Not a guard by itself: whoever has it calls [`Permits::release`] on drop.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The only field that is not `Send`: so the compiler's message names this one.
    not_send: PhantomData<dyn GuardStaysOnItsThread>,
    index: usize,
    owner: u64,
    /// The fork generation in which it was taken. A whole word, as in `Held`.
    generation: usize,
    /// This thread's, if the permit was linked [`Linked::Alone`]; else none.
    alone_in: Own<RobustList>,
}

impl Taken {
    #[inline(always)]
    fn new(index: usize, owner: u64, me: &Thread, linked: Linked) -> Self {
        let alone_in = Own(if linked == Linked::Alone { me.list } else { RobustList::NONE });
        Self { not_send: PhantomData, index, owner, generation: me.generation as usize, alone_in }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

/// The permits of a semaphore that is mapped, and what is needed to take them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permits<'a> {
    /// The segment's users, and what it is called.
    mutex: &'a Mutex,
    places: Places<'a>,
}

impl<'a> Permits<'a> {
    #[inline(always)]
    pub(crate) fn new(mutex: &'a Mutex, bell: &'a BellLine, lines: &'a [LockLine]) -> Self {
        Self { mutex, places: Places { bell, lines } }
    }

    pub(crate) fn count(&self) -> usize {
        self.places.lines.len()
    }

    /// How many nobody holds. A moment's picture.
    pub(crate) fn available(&self) -> usize {
        self.places
            .lines
            .iter()
            .filter(|line| permits::has_no_holder(line.word.load(Ordering::Relaxed), &self.mutex.users))
            .count()
    }

    /// Is any of them held by a guard that was leaked? To be asked when the handle is dropped.
    pub(crate) fn any_is_held_by_leaked_guard(&self) -> bool {
        let users = &self.mutex.users;
        self.places.lines.iter().any(|line| leaked::is_held_through(line.word.load(Ordering::Relaxed), users))
    }

    #[inline(always)]
    pub(crate) fn acquire(&self, homes: &Homes, wait: Wait) -> Result<Taken, LockError> {
        // Inlined, and with one exit, as `Mutex::lock`.
        let settled = self.mutex.settled();
        match os::thread::cached_at_home() {
            Some(me) if low(settled) == me.generation => {
                let (owner, last) = (pair(me.tid, high(settled)), homes.last_of(me.tid));
                match self.places.lines.get(last.wrapping_sub(1)) {
                    Some(line) if robust_futex::lock_fast(line, owner, me.list) => {
                        Ok(Taken::new(last - 1, owner, &me, Linked::Alone))
                    }
                    _ => self.acquire_slow(homes, wait),
                }
            }
            _ => self.acquire_slow(homes, wait),
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_slow(&self, homes: &Homes, wait: Wait) -> Result<Taken, LockError> {
        loop {
            let me = self.mutex.this_thread("could not prepare this thread for the semaphore")?;
            match self.places.acquire(&me, &self.mutex.users, homes, wait) {
                Ok((index, linked)) => {
                    os::thread::note_taken();
                    self.mutex.settle();
                    let owner = pair(me.tid, self.mutex.users.slot());
                    homes.note(owner, index);
                    return Ok(Taken::new(index, owner, &me, linked));
                }
                Err(Failure::Forked) => {} // as another thread of another process
                Err(failure) => return Err(self.mutex.explain_of(Awaited::Permit, failure)),
            }
        }
    }

    /// Gives it back. Does nothing unless this thread has taken it: the copy in a forked child has nothing.
    #[inline(always)]
    pub(crate) fn release(&self, taken: &Taken) {
        let line = &self.places.lines[taken.index];
        let alone_in = taken.alone_in.0;
        if taken.generation == os::generation::known_generation() as usize
            && robust_futex::is_linked_alone(line, alone_in)
        {
            if robust_futex::unlock_fast(line, taken.owner, alone_in) {
                return;
            }
            return self.wake_after(line, taken);
        }
        self.release_slow(taken);
    }

    /// The end of a fast release that did not find the word as it is when nobody waits.
    #[cold]
    fn wake_after(&self, line: &LockLine, taken: &Taken) {
        self.places.wake_for(line, taken.owner);
        taken.alone_in.0.end();
    }

    #[cold]
    fn release_slow(&self, taken: &Taken) {
        let line = &self.places.lines[taken.index];
        if self.mutex.users.are_watched() {
            // A permit stays on its thread: so in this generation, the owner is this thread.
            if taken.generation == os::generation::generation_if_numbered() as usize
                && robust_futex::is_held_by(line, taken.owner)
            {
                self.places.release_watched(line, taken.owner);
                os::thread::note_given_back();
            }
            return;
        }
        let Some(me) = os::thread::cached().filter(|me| me.generation as usize == taken.generation) else { return };
        if !robust_futex::is_held_by(line, taken.owner) {
            return;
        }
        let linked = if taken.alone_in.0.is_known() { Linked::Alone } else { Linked::AmongOthers };
        self.places.release(line, taken.owner, me.list, linked);
    }
}
