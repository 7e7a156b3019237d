//! [`LockGuard`]: a lock that is held.

use std::fmt;

use crate::condvar::{ExclusiveGuard, sealed::Sealed};
use crate::error::LockError;
use crate::segment::{LockOnly, Locked};
use crate::sync::mutex::{Mutex, Wait, Whom};

/// A [`SharedLock`](crate::SharedLock) that is held; dropping the guard releases it, and poisons it if a panic that
/// began under the guard is unwinding.
///
/// That is told from [`std::thread::panicking`], when the guard is made and when it is dropped. So two kinds of
/// unwinding count as a regular end: a second panic under a guard that was made while a first one was unwinding
/// already, in a destructor, and is caught in there; and what is no panic of Rust's, as a C++ exception or
/// `pthread_exit`. [`with`](crate::SharedLock::with) is exact: it poisons unless its closure has returned.
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so releases the lock, at once)"]
pub struct LockGuard<'a> {
    pub(super) locked: Locked<'a, LockOnly>,
    /// What [`ExclusiveGuard::data`] refers to.
    pub(super) nothing: (),
}

impl LockGuard<'_> {
    /// Whether an earlier holder died or panicked and nobody has repaired what it left.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("lock"))?;
    /// assert!(!robust_shm::LockGuard::is_poisoned(&lock.lock()?));
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn is_poisoned(guard: &Self) -> bool {
        guard.locked.is_poisoned()
    }

    /// Declares that what the lock guards is whole again. A guard that is dropped without this leaves the poison.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{LockGuard, SharedLock};
    ///
    /// let lock = SharedLock::create(&robust_shm::unique_name("clear-poison"))?;
    /// let mut guard = lock.lock_ignoring_poison()?;
    /// LockGuard::clear_poison(&mut guard);
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn clear_poison(guard: &mut Self) {
        guard.locked.clear_poison();
    }

    /// If the lock is poisoned, runs the closure, which repairs what the lock guards, and then clears the poison. If
    /// the closure panics, the poison stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{LockGuard, SharedLock};
    ///
    /// let lock = SharedLock::create(&robust_shm::unique_name("recover"))?;
    /// let mut guard = lock.try_lock_ignoring_poison()?;
    /// LockGuard::recover(&mut guard, || println!("a holder died: checking the file"));
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn recover(guard: &mut Self, repair: impl FnOnce()) {
        if Self::is_poisoned(guard) {
            repair();
            Self::clear_poison(guard);
        }
    }
}

impl Drop for LockGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.locked.release_begun();
    }
}

#[allow(private_interfaces, reason = "nobody else calls it")]
impl Sealed for LockGuard<'_> {
    fn wait(&mut self, which: usize, wait: Wait) -> Result<bool, LockError> {
        self.locked.wait_begun(which, wait)
    }

    fn notify(&self, which: usize, whom: Whom) {
        self.locked.notify(which, whom);
    }

    fn is_of(&self, mutex: &Mutex) -> bool {
        self.locked.is_of(mutex)
    }
}

impl ExclusiveGuard for LockGuard<'_> {
    type Data = ();

    fn data(&mut self) -> &mut () {
        &mut self.nothing
    }
}

impl fmt::Debug for LockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("poisoned", &Self::is_poisoned(self)).finish()
    }
}
