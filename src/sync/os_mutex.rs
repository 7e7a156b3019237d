//! The operating system's own mutex in the lock line, as the crate `raw_sync` makes and takes it.
//!
//! The first [`ROOM`] bytes of the line are the C library's: a `pthread_mutex_t` that processes share. Behind it stand,
//! written by holders only, the record of who holds it, and the same poison as with other kinds.
//!
//! # What `raw_sync` does, and what is done here
//!
//! It initialises the mutex, finds it again, waits for it, and releases it. What it does not do well is done here:
//!
//! * **Initialisation** is seen by nobody before it is done: [`new_line`] makes the bytes in private memory, and they go into
//!   the segment before it has a name, or while its next user has it for itself.
//! * **Timed waits** go by `os::linux::os_mutex`, which says why. **Tries**, too: `raw_sync` has none, and a wait of no
//!   length makes the next release wake somebody who is not there.
//! * **Relocking** hangs a thread. Here the record tells it.
//! * It moves a mutex to the next aligned place and says so only in how many bytes were used: the line is aligned, so
//!   nothing moves, and that is checked.
//!
//! # What it cannot do
//!
//! Nobody hears of the death of a holder. The record stays in the line, and with it the lock, until all users have gone.
//! And the C library's mutex is free before its sleeper is woken: a waiter that is killed just then leaves those behind
//! it asleep until somebody locks with others waiting. musl's also counts its sleepers in the mutex: a child that a signal
//! handler forks while the thread waits is a sleeper that was not counted, and whom nobody may wake.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::poison::Poison;
use super::waiting::{Failure, Wait};
use crate::fault::point;
use crate::layout::{LockBytes, LockLine};
use crate::os::{self, generation, namespace, os_mutex};

/// How many bytes of a lock line are the C library's.
const ROOM: usize = offset_of!(LockLine, record);

#[allow(clippy::absurd_extreme_comparisons, reason = "0 where there is none")]
const _: () = assert!(os_mutex::SIZE <= ROOM && os_mutex::ALIGN <= align_of::<LockLine>());

/// A handle's access to the mutex in its mapping.
pub(super) struct OsMutex(os_mutex::Mutex);

impl OsMutex {
    /// # Safety
    ///
    /// `line` must point to a lock line that stays mapped as long as this, and that began as [`new_line`] says.
    pub(super) unsafe fn attach(line: NonNull<LockLine>) -> io::Result<Self> {
        // SAFETY: by the contract of this function there is a mutex, of this C library.
        unsafe { os_mutex::Mutex::attach(line.as_ptr().cast()) }.map(Self)
    }

    /// Takes the mutex and records who has it.
    pub(super) fn lock(&self, line: &LockLine, wait: Wait) -> Result<(), Failure> {
        if !self.0.try_lock().map_err(Failure::Os)? {
            self.wait(line, wait)?;
        }
        point!("os mutex: acquired");
        // Asked for now, and not before the wait: a signal handler may have forked, and this be the child.
        let me = Record::of_this_thread();
        // Relaxed, here and below: written by holders only, whose order is the mutex's; others get a moment's picture.
        line.record.store(me.0, Ordering::Relaxed);
        point!("os mutex: recorded");
        Ok(())
    }

    #[cold]
    fn wait(&self, line: &LockLine, wait: Wait) -> Result<(), Failure> {
        if matches!(wait, Wait::No) {
            return Err(Failure::WouldBlock);
        }
        // Nobody else writes this thread's record: so if it is there, it was this thread.
        if is_held_here(line) {
            return Err(Failure::WouldDeadlock);
        }
        let Wait::Until(deadline) = wait else {
            return self.0.lock().map_err(Failure::Os);
        };
        if self.0.lock_until(deadline).map_err(Failure::Os)? {
            return Ok(());
        }
        Err(Failure::TimedOut { holder: Record::in_line(line).thread_here().unwrap_or(0) })
    }

    /// Releases the mutex, which this thread has.
    pub(super) fn unlock(&self, line: &LockLine) {
        line.record.store(Record::NOBODY.0, Ordering::Relaxed);
        point!("os mutex: record cleared");
        self.0.unlock();
        point!("os mutex: released");
    }
}

impl fmt::Debug for OsMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OsMutex").finish_non_exhaustive()
    }
}

/// Does anybody hold the mutex?
pub(super) fn is_locked(line: &LockLine) -> bool {
    Record::in_line(line) != Record::NOBODY
}

/// Does this thread hold the mutex?
pub(super) fn is_held_here(line: &LockLine) -> bool {
    Record::in_line(line) == Record::of_this_thread()
}

/// Who holds the mutex: a thread id in the lowest bits, then as much of the inode of its PID namespace as there is room
/// for, because the users of such a segment may be in several, and then a number that the thread has drawn. So a relock
/// is not mistaken for somebody else's lock, nor somebody else's, in another namespace or with a dead holder's id, for a
/// relock: a namesake would also have to draw the same number, one of two million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record(u64);

/// A generation that no process has.
const NEVER: u32 = u32::MAX;

impl Record {
    const NOBODY: Self = Self(0);
    /// Ids are below 4,194,304 on 64-bit kernels (`PID_MAX_LIMIT`).
    const TID_BITS: u32 = 22;
    const NAMESPACE_BITS: u32 = 21;

    fn new(tid: u32, namespace: u64, number: u64) -> Self {
        let namespace = namespace & ((1 << Self::NAMESPACE_BITS) - 1);
        Self(u64::from(tid) | namespace << Self::TID_BITS | number << (Self::TID_BITS + Self::NAMESPACE_BITS))
    }

    fn in_line(line: &LockLine) -> Self {
        Self(line.record.load(Ordering::Relaxed))
    }

    pub(super) fn in_bytes(line: &LockBytes) -> Self {
        Self(u64::from_ne_bytes(std::array::from_fn(|i| line[offset_of!(LockLine, record) + i])))
    }

    /// The record that this thread writes.
    fn of_this_thread() -> Self {
        thread_local! {
            // Without a destructor: so it also works in the destructors of other thread-locals.
            static KNOWN: Cell<(u32, Record)> = const { Cell::new((NEVER, Record::NOBODY)) };
        }
        let (known_in, known) = KNOWN.get();
        if known_in == generation::known_generation() {
            return known;
        }
        let generation = generation::generation();
        if known_in == generation {
            return known; // where the number cannot be told without a system call
        }
        let drawn = Self::new(os::thread::id(), namespace::pid_namespace(), os::random_place());
        KNOWN.set((generation, drawn));
        drawn
    }

    /// The id of the thread, in its own PID namespace.
    pub(super) fn thread(self) -> Option<u32> {
        Some((self.0 & ((1 << Self::TID_BITS) - 1)) as u32).filter(|tid| *tid != 0)
    }

    /// The id of the thread, if it is of this process's PID namespace as far as can be told.
    pub(super) fn thread_here(self) -> Option<u32> {
        let here = namespace::pid_namespace();
        let is_here = !namespace::is_unknown(here) && Self::new(0, here, 0).0 == self.0 & Self::new(0, u64::MAX, 0).0;
        self.thread().filter(|_| is_here)
    }
}

/// The line of a mutex that nobody holds.
pub(super) fn new_line() -> io::Result<LockBytes> {
    let mut line = [0; size_of::<LockBytes>()];
    line[..os_mutex::SIZE].copy_from_slice(&os_mutex::fresh()?);
    Ok(line)
}

/// See `mutex/outside.rs`. A holder that is in the record has died, or has leaked its guard.
pub(super) fn after_all_users_left(line: &LockBytes, rule: Poison) -> io::Result<LockBytes> {
    let (poison, dirty) = (offset_of!(LockLine, poison), offset_of!(LockLine, dirty));
    let mut next = new_line()?;
    let owner_died = Record::in_bytes(line) != Record::NOBODY;
    next[poison] = u8::from(rule.is_told_by(owner_died, line[poison], line[dirty]));
    Ok(next)
}
