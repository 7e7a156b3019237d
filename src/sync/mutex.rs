//! The lock of a segment: its kind, its poison, and [`Held`], which every guard is built on.
//!
//! Nothing above this file knows which kind of lock a segment has.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::panicking;
use std::time::{Duration, Instant};

use super::robust_futex::{self, Failure};
use crate::error::LockError;
use crate::layout::LockLine;
use crate::options::LockKind;
use crate::os::{self, Deadline};

pub(crate) use super::robust_futex::{Wait, after_all_users_left, holder_in, says_owner_died};

impl Wait {
    pub(crate) fn at_most(duration: Duration) -> Self {
        Deadline::after(duration).map_or(Self::Forever, Self::Until)
    }

    pub(crate) fn until(instant: Instant) -> Self {
        Deadline::at(instant).map_or(Self::Forever, Self::Until)
    }
}

/// A handle's access to the lock in its mapping.
pub(crate) struct Mutex {
    line: NonNull<LockLine>,
    kind: LockKind,
    name: Arc<str>,
    pid_namespace: u64,
    /// The fork generation in which the PID namespace was last compared.
    compared_in: AtomicU32,
    /// Is the lock held through this handle? Stays true when a guard is leaked.
    held: AtomicBool,
}

// SAFETY: the lock line is alive as long as the mutex (see `new`) and is made of atomics, which any thread may use.
unsafe impl Send for Mutex {}
// SAFETY: as above.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// # Safety
    ///
    /// `line` must point to a lock line that stays mapped as long as the mutex is used, and whose remaining bytes
    /// nobody but the lock's protocol writes.
    pub(crate) unsafe fn new(line: NonNull<LockLine>, kind: LockKind, name: Arc<str>, pid_namespace: u64) -> Self {
        let compared_in = AtomicU32::new(os::process::generation());
        Self { line, kind, name, pid_namespace, compared_in, held: AtomicBool::new(false) }
    }

    #[inline]
    fn line(&self) -> &LockLine {
        // SAFETY: alive by the contract of `new`; all that is changed in it is atomic or in an `UnsafeCell`.
        unsafe { self.line.as_ref() }
    }

    /// Takes the lock, poisoned or not.
    #[inline(always)]
    pub(crate) fn lock(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        // Inlined, and with one exit, because a result that passes through memory costs as much as the lock itself.
        match os::thread::cached() {
            Some(me) if self.compared_in.load(Ordering::Relaxed) == me.generation && self.lock_free(&me) => {
                Ok(self.held_by(me.generation))
            }
            _ => self.lock_slowly(wait),
        }
    }

    #[inline(always)]
    fn lock_free(&self, me: &os::thread::Thread) -> bool {
        match self.kind {
            LockKind::Futex => robust_futex::lock_free(self.line(), me),
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_slowly(&self, wait: Wait) -> Result<Held<'_>, LockError> {
        let me = os::thread::current().map_err(|error| self.os_error("prepare this thread for", error))?;
        if self.compared_in.load(Ordering::Relaxed) != me.generation {
            self.compare_namespace(me.generation)?;
        }
        match self.kind {
            LockKind::Futex => robust_futex::lock(self.line(), &me, wait).map_err(|failure| self.explain(failure))?,
        }
        Ok(self.held_by(me.generation))
    }

    #[inline(always)]
    fn held_by(&self, generation: u32) -> Held<'_> {
        self.held.store(true, Ordering::Relaxed);
        let since = (generation as usize) << 1 | usize::from(panicking());
        Held { mutex: self, since, not_send: PhantomData }
    }

    /// After a fork: is this still the PID namespace in which the ids in the word mean something?
    #[cold]
    fn compare_namespace(&self, generation: u32) -> Result<(), LockError> {
        if os::process::pid_namespace() != self.pid_namespace {
            let message = "this process is in another PID namespace than the segment's creator, and thread ids mean nothing across namespaces";
            return Err(self.os_error("take", io::Error::new(io::ErrorKind::Unsupported, message)));
        }
        self.compared_in.store(generation, Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn explain(&self, failure: Failure) -> LockError {
        let name = Arc::clone(&self.name);
        match failure {
            Failure::WouldBlock => LockError::WouldBlock { name },
            Failure::TimedOut { holder } => LockError::TimedOut { name, holder: holder_in(holder) },
            Failure::WouldDeadlock => LockError::WouldDeadlock { name },
            Failure::Os(error) => self.os_error("take", error),
        }
    }

    #[cold]
    fn os_error(&self, action: &'static str, source: io::Error) -> LockError {
        LockError::Io { name: Arc::clone(&self.name), action, source }
    }

    pub(crate) fn poisoned_error(&self) -> LockError {
        LockError::Poisoned { name: Arc::clone(&self.name) }
    }

    /// Did a holder die or panic, and nobody has repaired the data since? A moment's picture unless the lock is held.
    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        robust_futex::owner_died(self.line()) || self.line().poison.load(Ordering::Relaxed) != 0
    }

    /// Is the lock held through this handle, perhaps by a guard that was leaked?
    pub(crate) fn is_held_here(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Mutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("kind", &self.kind).field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

/// The lock, held by this thread. Not a guard by itself: whoever has it calls [`release`](Self::release) on drop.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    mutex: &'a Mutex,
    /// The fork generation, and in bit 0 whether this thread was panicking already when it took the lock. One word: a
    /// guard of narrow fields, stored one by one and moved at once, stalls the processor longer than the lock takes.
    since: usize,
    /// As std's guards: not `Send`, because the kernel's list belongs to a thread, but `Sync`.
    not_send: PhantomData<MutexGuard<'static, ()>>,
}

/// What a guard may do with the data before the lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The critical section has come to its end.
    Regular,
    /// A panic that began in the critical section is unwinding.
    Panic,
}

impl Held<'_> {
    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.mutex.line().poison.load(Ordering::Relaxed) != 0 // written by holders only, and this is one
    }

    pub(crate) fn clear_poison(&mut self) {
        self.mutex.line().poison.store(0, Ordering::Relaxed);
    }

    pub(crate) fn set_poison(&self) {
        self.mutex.line().poison.store(1, Ordering::Relaxed);
    }

    /// Is it this lock that is held?
    pub(crate) fn is_of(&self, mutex: &Mutex) -> bool {
        std::ptr::eq(self.mutex, mutex)
    }

    pub(crate) fn poisoned_error(&self) -> LockError {
        self.mutex.poisoned_error()
    }

    /// Runs `before`, then releases the lock. Does nothing at all unless this thread holds it: the copy of a guard in a
    /// forked child holds nothing.
    #[inline(always)]
    pub(crate) fn release(&mut self, before: impl FnOnce(&Self, End)) {
        let Some(me) = os::thread::cached() else { return };
        if me.generation as usize != self.since >> 1 || !robust_futex::is_held_by(self.mutex.line(), me.tid) {
            return;
        }
        before(self, if panicking() && self.since & 1 == 0 { End::Panic } else { End::Regular });
        self.mutex.held.store(false, Ordering::Relaxed);
        match self.mutex.kind {
            LockKind::Futex => robust_futex::unlock(self.mutex.line(), &me),
        }
    }
}
