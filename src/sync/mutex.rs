//! The lock of a segment: its kind, and what each handle knows of it.
//!
//! | file | what is there |
//! |---|---|
//! | `mutex/locking.rs` | taking it, by its kind |
//! | `mutex/held.rs` | [`Held`], which every guard is built on; giving it back, by its kind |
//! | `mutex/detached.rs` | the same without a reference to the mutex |
//! | `mutex/waits.rs` | waiting for what another holder does |
//! | `mutex/readers.rs` | readers side by side |
//! | `mutex/event.rs`, `mutex/permits.rs` | what stands in the place of a lock, or beside it |
//! | `mutex/outside.rs` | a lock that is not mapped |
//!
//! Nothing above these files knows which kind of lock a segment has.

use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::habits::Habits;
use super::leaked;
use super::lock::Lock;
use super::os_mutex::{self, OsMutex};
use super::poison::Poison;
use super::spin::SpinPolicy;
use super::users::Users;
use super::waiting::Failure;
use super::word::{is_owned, pair, says_owner_died};
use crate::error::{Awaited, LockError};
use crate::layout::{self, Header, LockLine, WaitLine};
use crate::options::LockKind;
use crate::os::thread::Thread;
use crate::os::{self, Deadline};

mod detached;
mod event;
mod held;
mod locking;
mod outside;
mod permits;
mod readers;
mod waits;

pub(crate) use super::waiting::Wait;
pub(crate) use detached::{Detached, DetachedReading};
pub(crate) use event::Event;
pub(crate) use held::{End, Held, Line, Owed, ReadersAfter, Section};
pub(crate) use outside::{
    LockState, after_all_users_left, check_available, further_after_all_users_left, holder_in, is_free,
    may_have_sleepers, names, new, says_set, word_in,
};
pub(crate) use permits::{Permits, Taken};
pub(crate) use readers::{Readers, Reading};
pub(crate) use waits::Whom;

impl Wait {
    pub(crate) fn at_most(duration: Duration) -> Self {
        Deadline::after(duration).map_or(Self::Forever, Self::Until)
    }

    pub(crate) fn until(instant: Instant) -> Self {
        Deadline::at(instant).map_or(Self::Forever, Self::Until)
    }

    /// Is the time up?
    pub(crate) fn is_over(self) -> bool {
        self.deadline().is_some_and(Deadline::has_passed)
    }
}

/// A handle's access to the lock in its mapping.
pub(crate) struct Mutex {
    line: NonNull<LockLine>,
    /// [`Users::settled`], at hand for the fast path, which is open in that fork generation only. 0, and so it is never open, if
    /// the lock is of another kind.
    settled: AtomicU64,
    kind: Kind,
    /// Did the last lock stand beside sleepers? Then the next one, too, as a rule: it is taken the way that is open beside them,
    /// without a try of the other one first.
    is_beside: AtomicBool,
    name: Arc<str>,
    users: Users,
    poison: Poison,
    spin: SpinPolicy,
    /// How many slots there are for readers side by side; and what this handle has learnt of these.
    slots: usize,
    habits: Habits,
}

/// The kind of lock, with what a handle needs for it.
#[derive(Debug)]
enum Kind {
    Futex,
    /// [`Users::settled`], as far as this handle has made itself known to the others.
    File(AtomicU64),
    OsMutex(OsMutex),
}

// SAFETY: the lock line is alive as long as the mutex (see `new`) and is made of atomics, which any thread may use.
unsafe impl Send for Mutex {}
// SAFETY: as above.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// # Safety
    ///
    /// `line` must point to a lock line that stays mapped as long as the mutex is used, and whose remaining bytes
    /// nobody but the lock's protocol writes. It began as a [`new`] line of this kind. If it is used as a lock, the same is
    /// true of the wait line behind it. Behind that stand so many slots for readers side by side, and in front of it stands
    /// the header of a segment.
    pub(crate) unsafe fn new(
        line: NonNull<LockLine>,
        kind: LockKind,
        name: Arc<str>,
        users: Users,
        poison: Poison,
        slots: usize,
    ) -> Result<Self, LockError> {
        let mut kind = match kind {
            LockKind::Futex => Kind::Futex,
            LockKind::File => Kind::File(AtomicU64::new(0)),
            // SAFETY: by the contract of this function.
            LockKind::OsMutex => match unsafe { OsMutex::attach(line) } {
                Ok(mutex) => Kind::OsMutex(mutex),
                Err(source) => return Err(LockError::io(name, "could not use the lock", source)),
            },
        };
        let settled = match kind {
            Kind::Futex => {
                users.enter();
                users.settled()
            }
            Kind::File(ref mut known) => {
                users.enter();
                *known.get_mut() = users.settled();
                0
            }
            Kind::OsMutex(_) => 0,
        };
        let settled = AtomicU64::new(settled);
        let (spin, habits) = (SpinPolicy::default(), Habits::default());
        Ok(Self { line, settled, kind, is_beside: AtomicBool::new(false), name, users, poison, spin, slots, habits })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    fn line(&self) -> &LockLine {
        // SAFETY: alive by the contract of `new`; all that is changed in it is atomic or in an `UnsafeCell`.
        unsafe { self.line.as_ref() }
    }

    fn waits(&self) -> &WaitLine {
        // SAFETY: by the contract of `new`.
        unsafe { waits_of(self.line) }
    }

    fn successor(&self) -> &LockLine {
        // SAFETY: in the header, by the contract of `new`.
        let line = unsafe { self.line.byte_sub(layout::LOCK_OFFSET - layout::SUCCESSOR_OFFSET) };
        // SAFETY: aligned to lines, alive by the contract of `new`, and nothing but atomics and links to those who use it.
        unsafe { line.as_ref() }
    }

    /// The id of the segment, as its header says.
    fn segment(&self) -> [u64; 2] {
        const TO_ID: usize = layout::LOCK_OFFSET - std::mem::offset_of!(Header, id);
        // SAFETY: in the header, by the contract of `new`.
        let id = unsafe { self.line.byte_sub(TO_ID) }.cast::<[u64; 2]>();
        // SAFETY: 8-aligned, and written by nobody.
        unsafe { id.read_volatile() }
    }

    /// As its word's protocol needs it.
    fn word(&self) -> Lock<'_> {
        Lock {
            line: self.line(),
            waits: self.waits(),
            successor: self.successor(),
            users: &self.users,
            spin: &self.spin,
            poison: self.poison,
        }
    }

    /// See [`Users::settled`].
    #[inline(always)]
    fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// In a forked child, for the first time: it has a slot of its own.
    fn settle(&self) {
        let settled = if let Kind::File(settled) = &self.kind { settled } else { &self.settled };
        settled.store(self.users.settled(), Ordering::Relaxed);
    }

    /// The calling thread, as one that can hold locks of this kind.
    fn this_thread(&self, failure: &'static str) -> Result<Thread, LockError> {
        let me = match self.kind {
            Kind::Futex | Kind::OsMutex(_) => os::thread::current(),
            Kind::File(_) => os::thread::without_list(),
        };
        me.map_err(|error| self.os_error(failure, error))
    }

    /// The thread as it stands in the word.
    fn owner(&self, me: &Thread) -> u64 {
        pair(me.tid, self.users.slot())
    }

    /// Of a wait of which nothing is left: what has interrupted it may unwind.
    #[cold]
    fn explain(&self, failure: Failure) -> LockError {
        self.explain_of(Awaited::Lock, failure)
    }

    /// `awaited` is the lock or a permit.
    #[cold]
    fn explain_of(&self, awaited: Awaited, failure: Failure) -> LockError {
        let name = Arc::clone(&self.name);
        match failure {
            Failure::WouldBlock => LockError::WouldBlock { name, awaited },
            Failure::TimedOut { holder } => {
                let holder = Some(holder).filter(|holder| *holder != 0);
                // In another PID namespace the same id is a stranger's.
                let here =
                    holder.filter(|_| matches!(self.kind, Kind::OsMutex(_)) || self.users.are_in_one_namespace());
                let process = here.and_then(os::process::process_of);
                LockError::TimedOut { name, holder, process, awaited }
            }
            Failure::WouldDeadlock => LockError::WouldDeadlock { name, awaited },
            Failure::Interrupted(interruption) => {
                interruption.goes_on();
                LockError::Interrupted { name }
            }
            Failure::Forked => unreachable!("the child has begun anew"),
            Failure::Os(error) if awaited == Awaited::Permit => self.os_error("could not take a permit", error),
            Failure::Os(error) => self.os_error("could not take the lock", error),
        }
    }

    #[cold]
    fn os_error(&self, action: &'static str, source: io::Error) -> LockError {
        LockError::io(Arc::clone(&self.name), action, source)
    }

    /// Did a holder die or panic, and nobody has repaired the data since? A moment's picture unless the lock is held.
    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        let line = self.line();
        let (poison, dirty) = (line.poison.load(Ordering::Relaxed), line.dirty.load(Ordering::Relaxed));
        let owner_died = match self.kind {
            Kind::Futex | Kind::File(_) => self.users.has_lost_its_holder(line.word.load(Ordering::Relaxed)),
            Kind::OsMutex(_) => false,
        };
        self.poison.is_told_by(owner_died, poison, dirty)
    }

    /// Does anybody hold the lock? A moment's picture.
    pub(crate) fn is_locked(&self) -> bool {
        match self.kind {
            Kind::Futex | Kind::File(_) => {
                let word = self.line().word.load(Ordering::Relaxed);
                (is_owned(word) || says_owner_died(word)) && !self.users.has_lost_its_holder(word)
            }
            Kind::OsMutex(_) => os_mutex::is_locked(self.line()),
        }
    }

    /// Is the lock held by a guard that was leaked, so that libc or the kernel will write to the mapping? To be asked when
    /// the handle is dropped.
    pub(crate) fn is_held_by_leaked_guard(&self) -> bool {
        match self.kind {
            Kind::Futex | Kind::File(_) => {
                leaked::is_held_through(self.line().word.load(Ordering::Relaxed), &self.users)
            }
            // No list leads to it, and the guard cannot be used without the handle. The lock stays held.
            Kind::OsMutex(_) => false,
        }
    }
}

/// The wait line behind a lock line.
///
/// # Safety
///
/// There is one, as long as `'a`.
unsafe fn waits_of<'a>(line: NonNull<LockLine>) -> &'a WaitLine {
    // SAFETY: there is more behind it, by the contract of this function.
    let waits = unsafe { line.byte_add(layout::WAIT_OFFSET - layout::LOCK_OFFSET) };
    // SAFETY: by the contract of this function; all that is in it are atomics.
    unsafe { waits.cast().as_ref() }
}

impl fmt::Debug for Mutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("kind", &self.kind).field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}
