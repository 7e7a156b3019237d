//! Readers side by side, and whoever keeps them out.
#![allow(unsafe_code)]

use super::locked::{Locked, run};
use super::{Contents, Expected, Segment};
use crate::error::LockError;
use crate::kind::Kind;
use crate::sync::mutex::{Readers, Reading, Section, Wait, Whom};

/// Contents that can be read side by side.
///
/// # Safety
///
/// Their kind has a reader line.
pub(crate) unsafe trait SideBySide: Contents {}

/// A lock for readers and writers alone.
pub(crate) struct ReadersOnly;

impl Contents for ReadersOnly {
    const KIND: Kind = Kind::RwLock;
    type Stated = ();
    type Extent = ();

    fn expected((): &()) -> Expected {
        Expected::of_nothing(Kind::RwLock)
    }
}

// SAFETY: a read-write lock is a reader line, and slots.
unsafe impl SideBySide for ReadersOnly {}

impl<C: SideBySide> Segment<C> {
    #[inline(always)]
    pub(crate) fn readers(&self) -> Readers<'_> {
        // SAFETY: by the contract of `SideBySide`.
        unsafe { self.mutex().readers() }
    }

    /// Takes the lock to change what is whole, with no reader left.
    #[inline(always)]
    pub(crate) fn lock_to_change(&self, wait: Wait) -> Result<Locked<'_, C>, LockError> {
        self.begin_changes(self.lock_whole(wait)?, wait, Self::lock_whole)
    }

    /// The same, whether it is whole or not.
    #[inline(always)]
    pub(crate) fn lock_to_repair(&self, wait: Wait) -> Result<Locked<'_, C>, LockError> {
        self.begin_changes(self.lock(wait)?, wait, Self::lock)
    }

    #[inline(always)]
    fn begin_changes<'a>(&'a self, mut locked: Locked<'a, C>, wait: Wait, again: Again<'a, C>) -> Outcome<'a, C> {
        // SAFETY: by the contract of `SideBySide`.
        if unsafe { locked.held.has_readers() } {
            return self.drain(locked.twin(), wait, again); // a twin, so that the other can stay in registers
        }
        locked.held.begin_changes();
        Ok(locked)
    }

    #[cold]
    #[inline(never)]
    fn drain<'a>(&'a self, mut locked: Locked<'a, C>, wait: Wait, again: Again<'a, C>) -> Outcome<'a, C> {
        while !self.readers().drain(&locked.held, wait, || ())? {
            locked = again(self, wait)?; // as another process
        }
        locked.held.begin_changes();
        Ok(locked)
    }

    /// Becomes a reader, if nothing may be torn.
    #[inline(always)]
    pub(crate) fn enter(&self, wait: Wait) -> Result<Reading<'_>, LockError> {
        match self.readers().enter_fast() {
            Some(reading) => Ok(reading),
            None => self.enter_slow(wait),
        }
    }

    #[cold]
    #[inline(never)]
    fn enter_slow(&self, wait: Wait) -> Result<Reading<'_>, LockError> {
        let readers = self.readers();
        loop {
            if let Some(reading) = readers.enter()? {
                return Ok(reading);
            }
            let locked = self.lock(wait)?;
            if locked.is_poisoned() {
                locked.release_or_poison();
                return Err(self.poisoned_error());
            }
            if let Some(reading) = readers.admit(locked.held)? {
                return Ok(reading);
            }
        }
    }
}

type Outcome<'a, C> = Result<Locked<'a, C>, LockError>;
type Again<'a, C> = fn(&'a Segment<C>, Wait) -> Outcome<'a, C>;

impl<C: SideBySide> Locked<'_, C> {
    /// [`release_or_poison`](Self::release_or_poison) after changes; readers come in again.
    #[inline(always)]
    pub(crate) fn release_changed(&self) {
        self.release_after_changes(false);
    }

    #[inline(always)]
    fn release_after_changes(&self, was_broken_off: bool) {
        // SAFETY: by the contract of `SideBySide`.
        let readers = unsafe { self.held.readers_after() };
        self.held.release_or_poison(Section { changes: true, was_broken_off, readers });
    }

    /// [`wait`](Self::wait), of a lock that was taken for changes. Meanwhile nobody changes anything: so a death tears
    /// nothing, and readers come in; when they have left, this one has the lock to itself again.
    pub(crate) fn wait_amid_changes(&mut self, which: usize, wait: Wait) -> Result<bool, LockError> {
        // SAFETY: by the contract of `SideBySide`.
        let readers = unsafe { self.held.readers_after() };
        self.held.end_changes(readers);
        let time_is_up = self.wait(which, wait)?;
        // SAFETY: as above.
        while unsafe { self.held.has_readers() } && !self.drain_again(which)? {
            self.lock_again()?; // as another process
        }
        self.held.begin_changes();
        Ok(time_is_up)
    }

    /// As [`Readers::drain`].
    #[cold]
    fn drain_again(&mut self, which: usize) -> Result<bool, LockError> {
        // SAFETY: by the contract of `SideBySide`.
        let readers = unsafe { self.held.mutex().readers() };
        // If it has been notified, that is for another one now.
        let drained = readers.drain(&self.held, Wait::Forever, || self.notify(which, Whom::One));
        if drained.is_err() {
            self.held.let_go();
        }
        drained
    }

    /// Of a lock that was taken for changes: runs the closure, and releases the lock; poisons it first unless the closure
    /// returns.
    #[inline(always)]
    pub(crate) fn run_changing<R>(self, change: impl FnOnce(&mut Self) -> R) -> R {
        run(self, |this: &Self, was_broken_off| this.release_after_changes(was_broken_off), change)
    }
}
