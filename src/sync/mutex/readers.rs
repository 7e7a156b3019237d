//! Readers side by side, as their faces use them: [`Readers`], and [`Reading`], which every read guard is built on.

use std::io;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::gate::Owed;
use super::super::readers::{self, Places, ReadersAfter};
use super::super::robust_futex::{self, Linked};
use super::super::waiting::Failure;
use super::super::word::{high, low, pair};
use super::super::{interrupts, leaked};
use super::held::{GuardStaysOnItsThread, Held, Own, Section};
use super::{Kind, Mutex, Wait};
use crate::error::LockError;
use crate::layout::{BODY_OFFSET, LOCK_OFFSET, LockLine, READERS_OFFSET, ReaderLine};
use crate::os::robust_list::RobustList;
use crate::os::thread::Thread;
use crate::os::{self, Deadline};

/// How long one who reads already waits for the lock before he asks whether somebody waits for him.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1);

/// A slot for reading, or the lock in its place, that this thread has taken. Not a guard by itself: whoever has it calls
/// [`release`](Self::release) on drop.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// The only field that is not `Send`: so the compiler's message names this one.
    pub(super) not_send: PhantomData<dyn GuardStaysOnItsThread>,
    pub(super) mutex: &'a Mutex,
    pub(super) line: Own<NonNull<LockLine>>,
    /// This thread's, if the line was linked [`Linked::Alone`]; else none.
    pub(super) alone_in: Own<RobustList>,
    pub(super) owner: u64,
    /// The fork generation in which it was taken. A whole word, as in `Held`.
    pub(super) generation: usize,
}

// Who reads leaves nothing half-changed, however it ends.
impl UnwindSafe for Reading<'_> {}
impl RefUnwindSafe for Reading<'_> {}

/// The readers of a segment that is mapped, and what is needed to be one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readers<'a> {
    mutex: &'a Mutex,
    places: Places<'a>,
}

impl Mutex {
    /// # Safety
    ///
    /// The segment must be of a kind that has a reader line.
    #[inline(always)]
    pub(crate) unsafe fn readers(&self) -> Readers<'_> {
        // SAFETY: behind the lock line, in the same mapping, stand so many slots, by the contract of `new`.
        let first = unsafe { self.line.cast::<u8>().add(READERS_OFFSET - LOCK_OFFSET) };
        let slots = NonNull::slice_from_raw_parts(first.cast::<LockLine>(), self.slots);
        // SAFETY: as above; 64-aligned, and all that is changed in them is atomic or in an `UnsafeCell`.
        let slots = unsafe { slots.as_ref() };
        // SAFETY: by the contract of this function, and alive as long as the lock line, by that of `new`.
        let line = unsafe { reader_line(self.line) };
        Readers { mutex: self, places: Places { line, slots } }
    }

    /// Takes the lock, also for one who reads already; unless its holder waits for that one to stop. There are slots.
    pub(super) fn lock_beside_oneself(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        // SAFETY: only a kind that has a reader line has slots.
        let readers = unsafe { self.readers() };
        loop {
            let patience = readers.patience(wait)?;
            match (self.lock_by_kind(patience.unwrap_or(wait)), patience) {
                (Err(LockError::TimedOut { .. }), Some(_)) if readers.is_waited_for()? => {
                    return Err(self.explain(Failure::WouldDeadlock));
                }
                (Err(LockError::TimedOut { .. }), Some(_)) if !wait.is_over() => {
                    // A sleep, of which the next one is not the first.
                    interrupts::ask().map_err(|interruption| self.explain(interruption.into()))?;
                }
                (result, _) => return result,
            }
        }
    }

    /// The end of a section of one who holds the lock, of whatever kind the segment is: see [`readers::end_section`].
    pub(super) fn end_section(&self, changes: bool, after: ReadersAfter) {
        // SAFETY: only those speak of readers who have drained, and so have such a line.
        let line = || unsafe { reader_line(self.line) };
        readers::end_section(self.line(), self.poison, changes, after, line, &self.habits);
    }
}

/// # Safety
///
/// The lock line must be that of a segment of a kind that has a reader line, and stay mapped for `'a`.
#[inline(always)]
unsafe fn reader_line<'a>(line: NonNull<LockLine>) -> &'a ReaderLine {
    // SAFETY: in the mapping, at this distance from the lock line.
    let line = unsafe { line.cast::<u8>().add(BODY_OFFSET - LOCK_OFFSET) };
    // SAFETY: 64-aligned, made of atomics, and mapped as long as the lock line.
    unsafe { line.cast().as_ref() }
}

impl Held<'_> {
    /// Has anybody read side by side, so that this holder of the lock must [`drain`](Readers::drain) before he changes anything?
    ///
    /// # Safety
    ///
    /// The segment must be of a kind that has a reader line.
    #[inline(always)]
    pub(crate) unsafe fn has_readers(&self) -> bool {
        // SAFETY: by the contract of this function.
        readers::are_known(unsafe { reader_line(self.line().pointer()) })
    }

    /// What becomes of readers, if this holder of the lock took it for himself.
    ///
    /// # Safety
    ///
    /// The segment must be of a kind that has a reader line.
    #[inline(always)]
    pub(crate) unsafe fn readers_after(&self) -> ReadersAfter {
        // SAFETY: by the contract of this function.
        let are_kept_out = readers::are_kept_out(unsafe { reader_line(self.line().pointer()) });
        if are_kept_out { ReadersAfter::Return } else { ReadersAfter::AsBefore }
    }
}

impl<'a> Readers<'a> {
    /// How many slots somebody has. A moment's picture.
    pub(crate) fn active(&self) -> usize {
        self.places.active(&self.mutex.users)
    }

    /// Is any of them held by a guard that was leaked? To be asked when the handle is dropped.
    pub(crate) fn any_is_held_by_leaked_guard(&self) -> bool {
        let words = self.places.slots.iter().map(|slot| slot.word.load(Ordering::Relaxed));
        words.into_iter().any(|word| leaked::is_held_through(word, &self.mutex.users))
    }

    /// Takes the slot that this thread had last, if that is as simple as it can be.
    #[inline(always)]
    pub(crate) fn enter_fast(self) -> Option<Reading<'a>> {
        let settled = self.mutex.settled();
        let me = os::thread::cached_at_home().filter(|me| low(settled) == me.generation)?;
        let owner = pair(me.tid, high(settled));
        let index = self.mutex.habits.homes.last_of(me.tid).wrapping_sub(1);
        self.places
            .enter_fast(index, owner, me.list)
            .then(|| self.reading(&self.places.slots[index], owner, &me, Linked::Alone))
    }

    /// Takes a slot without the lock; `None`: the lock must be asked.
    #[cold]
    pub(crate) fn enter(self) -> Result<Option<Reading<'a>>, LockError> {
        let me = self.this_thread()?;
        let entered = self.places.enter(&me, &self.mutex.users, &self.mutex.habits.homes);
        Ok(entered.map_err(|failure| self.mutex.explain(failure))?.map(|taken| self.settle(taken, &me)))
    }

    /// Takes a slot under the lock, which is then released; or else keeps the lock to read alone. `None`: this is a child that
    /// was forked in the middle, and has neither.
    #[cold]
    pub(crate) fn admit(self, held: Held<'a>) -> Result<Option<Reading<'a>>, LockError> {
        let me = self.this_thread()?;
        let admitted = match self.places.admit(&me, &self.mutex.users, &self.mutex.habits.homes) {
            Ok(admitted) => admitted,
            Err(Failure::Forked) => return Ok(None),
            Err(failure) => {
                held.release(|_, _| Owed::NOTHING);
                return Err(self.mutex.explain(failure));
            }
        };
        let Some(taken) = admitted else {
            let (line, alone_in, owner, generation) = held.into_parts();
            return Ok(Some(Reading { not_send: PhantomData, mutex: self.mutex, line, alone_in, owner, generation }));
        };
        held.release(|_, _| Owed::NOTHING);
        Ok(Some(self.settle(taken, &me)))
    }

    /// Waits until all readers have left. `false`: this is a child that was forked in the middle, and does not have the
    /// lock. If it fails, the lock is released, after `give_up`.
    #[cold]
    pub(crate) fn drain(self, held: &Held<'_>, wait: Wait, give_up: impl FnOnce()) -> Result<bool, LockError> {
        let failure = match self.this_thread() {
            Ok(me) => match self.places.drain(&me, &self.mutex.users, wait, &self.mutex.habits.spin) {
                Ok(()) => return Ok(true),
                Err(Failure::Forked) => return Ok(false),
                Err(failure) => Ok(failure),
            },
            Err(error) => Err(error),
        };
        give_up();
        let readers = ReadersAfter::GiveUp;
        held.release_or_poison(Section { changes: false, was_broken_off: false, readers });
        Err(failure.map_or_else(|error| error, |failure| self.mutex.explain(failure)))
    }

    /// For how long at a time one who reads already waits for the lock; `None`: he does not read, or does not wait.
    fn patience(self, wait: Wait) -> Result<Option<Wait>, LockError> {
        if matches!(wait, Wait::No) || self.own_slots()? == 0 {
            return Ok(None);
        }
        let moment = Deadline::soon(PATIENCE);
        Ok(Some(Wait::Until(wait.deadline().map_or(moment, |deadline| deadline.min(moment)))))
    }

    /// Does the holder of the lock wait for this very thread to stop reading?
    fn is_waited_for(self) -> Result<bool, LockError> {
        Ok(self.own_slots()? & self.places.line.drain.load(Ordering::Relaxed) != 0)
    }

    fn own_slots(self) -> Result<u64, LockError> {
        Ok(self.places.own(&self.this_thread()?, &self.mutex.users))
    }

    /// The calling thread. Where there can be no readers side by side, an error.
    fn this_thread(self) -> Result<Thread, LockError> {
        match self.mutex.kind {
            Kind::Futex | Kind::File(_) => self.mutex.this_thread("could not prepare this thread for the lock"),
            Kind::OsMutex(_) => {
                let message = "there are no readers side by side with LockKind::OsMutex, because what is the C library's is a mutex and nothing else; take the lock, or create with another kind";
                let source = io::Error::new(io::ErrorKind::Unsupported, message);
                Err(LockError::io(Arc::clone(&self.mutex.name), "could not read side by side in the data", source))
            }
        }
    }

    /// Remembers where the thread reads.
    fn settle(self, (index, linked): (usize, Linked), me: &Thread) -> Reading<'a> {
        os::thread::note_taken();
        if matches!(self.mutex.kind, Kind::Futex) {
            self.mutex.settle();
        }
        let owner = self.mutex.owner(me);
        self.mutex.habits.homes.note(owner, index);
        self.reading(&self.places.slots[index], owner, me, linked)
    }

    #[inline(always)]
    fn reading(self, slot: &'a LockLine, owner: u64, me: &Thread, linked: Linked) -> Reading<'a> {
        Reading {
            not_send: PhantomData,
            mutex: self.mutex,
            line: Own(NonNull::from(slot)),
            alone_in: Own(if linked == Linked::Alone { me.list } else { RobustList::NONE }),
            owner,
            generation: me.generation as usize,
        }
    }
}

impl Reading<'_> {
    /// Lets others in. Does nothing unless this thread has taken it: the copy in a forked child has nothing.
    #[inline(always)]
    pub(crate) fn release(&self) {
        let alone_in = self.alone_in.0;
        let is_simple = self.generation == os::generation::known_generation() as usize
            && robust_futex::is_linked_alone(self.line(), alone_in);
        if is_simple && robust_futex::unlock_fast(self.line(), self.owner, alone_in) {
            return;
        }
        let Self { mutex, line, owner, generation, .. } = *self;
        mutex.end_reading(line.0, alone_in, owner, generation, is_simple);
    }

    #[inline(always)]
    fn line(&self) -> &LockLine {
        // SAFETY: of the mutex, or a slot behind it: mapped as long as that is used.
        unsafe { self.line.0.as_ref() }
    }
}

impl Mutex {
    /// The end of [`Reading::release`] in all but the simplest case. `unlocked_alone`: as in `release_rest`.
    #[cold]
    #[inline(never)]
    fn end_reading(
        &self,
        line: NonNull<LockLine>,
        alone_in: RobustList,
        owner: u64,
        generation: usize,
        unlocked_alone: bool,
    ) {
        if ptr::eq(line.as_ptr(), self.line.as_ptr()) {
            // As one who was panicking before: who reads leaves nothing half-changed.
            return self.release_rest::<true>(alone_in, owner, generation, 1, unlocked_alone, |_, _| Owed::NOTHING);
        }
        // SAFETY: a slot behind the lock line: mapped as long as this is used.
        let slot = unsafe { line.as_ref() };
        if let Kind::File(_) = self.kind {
            if generation == os::generation::generation_if_numbered() as usize && robust_futex::is_held_by(slot, owner)
            {
                readers::leave_unlisted(slot, owner);
                os::thread::note_given_back();
            }
            return;
        }
        let Some(me) = os::thread::cached() else { return };
        if unlocked_alone {
            readers::wake_for(slot, owner);
            return me.list.end();
        }
        if generation != me.generation as usize || !robust_futex::is_held_by(slot, owner) {
            return;
        }
        let linked = if alone_in.is_known() { Linked::Alone } else { Linked::AmongOthers };
        readers::leave(slot, owner, me.list, linked);
    }
}
