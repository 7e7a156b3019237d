//! Taking the lock, by its kind.

use std::sync::atomic::Ordering;

use super::super::robust_futex;
use super::super::waiting::{Failure, Wait};
use super::super::watched;
use super::super::word::{high, low, pair};
use super::held::{BESIDE, Held};
use super::{Kind, Mutex};
use crate::error::LockError;
use crate::os;
use crate::os::robust_list::RobustList;

/// In the place of a mark.
const NOT_TAKEN: usize = usize::MAX;

impl Mutex {
    /// Takes the lock, poisoned or not.
    #[inline(always)]
    pub(crate) fn lock(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        // Inlined, and with one exit, because a result that passes through memory costs as much as the lock itself.
        let (settled, mut mark) = (self.settled(), 0);
        match os::thread::cached_at_home() {
            Some(me)
                if low(settled) == me.generation && {
                    let owner = pair(me.tid, high(settled));
                    let is_beside = self.is_beside.load(Ordering::Relaxed);
                    !is_beside && robust_futex::lock_fast(self.line(), owner, me.list) || {
                        mark = self.lock_beside(owner, me.list);
                        mark != NOT_TAKEN
                    }
                } =>
            {
                Ok(Held::alone(self, pair(me.tid, high(settled)), &me, mark))
            }
            // Two words, which pass through registers.
            _ => match self.lock_watched_fast() {
                (0, _) => self.lock_slow(wait),
                (owner, generation) => Ok(Held::watched(self, owner, generation)),
            },
        }
    }

    /// Takes a lock on which somebody may sleep, or, if nobody does any more, the lock: the mark of [`Held::alone`], or
    /// [`NOT_TAKEN`].
    #[cold]
    #[inline(never)]
    fn lock_beside(&self, owner: u64, list: RobustList) -> usize {
        if robust_futex::lock_beside(self.line(), self.waits(), owner, list) {
            return BESIDE;
        }
        if !self.is_beside.load(Ordering::Relaxed) {
            return NOT_TAKEN; // the other way has been tried
        }
        self.is_beside.store(false, Ordering::Relaxed);
        if robust_futex::lock_fast(self.line(), owner, list) { 0 } else { NOT_TAKEN }
    }

    /// Takes a lock that is in no list, if nobody has it or has slept on it: the owner, or 0, and the fork generation.
    #[inline(always)]
    fn lock_watched_fast(&self) -> (u64, u32) {
        let (Kind::File(settled), Some(me)) = (&self.kind, os::thread::cached_id()) else { return (0, 0) };
        let settled = settled.load(Ordering::Relaxed);
        let owner = pair(me.tid, high(settled));
        let taken = low(settled) == me.generation && watched::lock_fast(self.line(), owner);
        if taken {
            os::thread::note_taken();
        }
        (if taken { owner } else { 0 }, me.generation)
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        if self.slots == 0 { self.lock_by_kind(wait) } else { self.lock_beside_oneself(wait) }
    }

    pub(super) fn lock_by_kind(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        match &self.kind {
            Kind::Futex => self.lock_futex_slow(wait),
            Kind::File(_) => self.lock_watched_slow(wait),
            Kind::OsMutex(mutex) => {
                mutex.lock(self.line(), wait).map_err(|failure| self.explain(failure))?;
                Ok(Held::in_no_list(self, 0, os::generation::generation_if_numbered() as usize))
            }
        }
    }

    fn lock_futex_slow(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        loop {
            let me = self.this_thread("could not prepare this thread for the lock")?;
            match robust_futex::lock_slow(self.word(), &me, wait) {
                Ok(linked) => {
                    self.settle();
                    return Ok(Held::new(self, self.owner(&me), &me, linked));
                }
                Err(Failure::Forked) => {} // as another thread of another process, perhaps in another namespace
                Err(failure) => return Err(self.explain(failure)),
            }
        }
    }

    fn lock_watched_slow(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        loop {
            let me = self.this_thread("could not prepare this thread for the lock")?;
            match watched::lock_slow(self.word(), &me, wait) {
                Ok(()) => {
                    os::thread::note_taken();
                    self.settle();
                    return Ok(Held::watched(self, self.owner(&me), me.generation));
                }
                Err(Failure::Forked) => {} // as another process
                Err(failure) => return Err(self.explain(failure)),
            }
        }
    }
}
