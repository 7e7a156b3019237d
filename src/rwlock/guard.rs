//! [`RwLockReadGuard`] and [`RwLockWriteGuard`]: a read-write lock that is held.

use std::fmt;

use crate::segment::{Locked, ReadersOnly};
use crate::sync::mutex::Reading;

/// A [`SharedRwLock`](crate::SharedRwLock) that this thread reads under, beside any number of others; dropping the guard lets
/// writers in.
///
/// It stays on its thread, and is over when that ends, even if it was leaked. Whoever reads and panics, or is killed, leaves
/// nothing. The copy of one in a forked child is none.
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so lets writers in, at once)"]
pub struct RwLockReadGuard<'a> {
    pub(super) reading: Reading<'a>,
}

impl Drop for RwLockReadGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.reading.release();
    }
}

impl fmt::Debug for RwLockReadGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockReadGuard").finish_non_exhaustive()
    }
}

/// A [`SharedRwLock`](crate::SharedRwLock) that this thread alone holds; dropping the guard lets the others in, and poisons the
/// lock if a panic that began under the guard is unwinding, as that of a [`LockGuard`](crate::LockGuard) does.
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so lets the others in, at once)"]
pub struct RwLockWriteGuard<'a> {
    pub(super) locked: Locked<'a, ReadersOnly>,
}

impl RwLockWriteGuard<'_> {
    /// Whether an earlier writer died or panicked and nobody has repaired what it left.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("lock"))?;
    /// assert!(!robust_shm::RwLockWriteGuard::is_poisoned(&lock.write()?));
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
    /// use robust_shm::{RwLockWriteGuard, SharedRwLock};
    ///
    /// let lock = SharedRwLock::create(&robust_shm::unique_name("clear-poison"))?;
    /// let mut guard = lock.write_ignoring_poison()?;
    /// RwLockWriteGuard::clear_poison(&mut guard);
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
    /// use robust_shm::{RwLockWriteGuard, SharedRwLock};
    ///
    /// let lock = SharedRwLock::create(&robust_shm::unique_name("recover"))?;
    /// let mut guard = lock.try_write_ignoring_poison()?;
    /// RwLockWriteGuard::recover(&mut guard, || println!("a writer died: checking the files"));
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

impl Drop for RwLockWriteGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.locked.release_changed();
    }
}

impl fmt::Debug for RwLockWriteGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockWriteGuard").field("poisoned", &Self::is_poisoned(self)).finish()
    }
}
