//! [`ArrayGuard`]: the elements in place, while the lock is held.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::Element;
use super::show::{SHOWN, Shortened};
use crate::segment::{ArrayOf, Locked};

/// The elements of a [`SharedArray`](crate::SharedArray), in place, while its lock is held; dropping the guard releases
/// it, and poisons the array if a panic that began under the guard is unwinding.
///
/// That is told from [`std::thread::panicking`], when the guard is made and when it is dropped. So two kinds of
/// unwinding count as a regular end: a second panic under a guard that was made while a first one was unwinding
/// already, in a destructor, and is caught in there; and what is no panic of Rust's, as a C++ exception or
/// `pthread_exit`. [`update`](crate::SharedArray::update) is exact: it poisons unless its closure has returned.
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so releases the lock, at once)"]
pub struct ArrayGuard<'a, T: Element, const N: usize> {
    pub(super) locked: Locked<'a, ArrayOf<T, N>>,
}

impl<T: Element, const N: usize> ArrayGuard<'_, T, N> {
    /// Whether an earlier holder died or panicked and nobody has repaired the elements.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<u8, 4>::create(&robust_shm::unique_name("array"))?;
    /// assert!(!robust_shm::ArrayGuard::is_poisoned(&array.lock()?));
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn is_poisoned(guard: &Self) -> bool {
        guard.locked.is_poisoned()
    }

    /// Declares that the elements are whole again. A guard that is dropped without this leaves the poison.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<u8, 4>::create(&robust_shm::unique_name("array"))?;
    /// let mut guard = array.lock_ignoring_poison()?;
    /// guard.fill(0);
    /// robust_shm::ArrayGuard::clear_poison(&mut guard);
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn clear_poison(guard: &mut Self) {
        guard.locked.clear_poison();
    }

    /// If the array is poisoned, runs the closure, which repairs the elements, and then clears the poison. If the
    /// closure panics, the poison stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use robust_shm::{ArrayGuard, SharedArray};
    ///
    /// let array = SharedArray::<u8, 4>::create(&robust_shm::unique_name("recover"))?;
    /// let mut guard = array.try_lock_ignoring_poison_for(Duration::from_secs(1))?;
    /// ArrayGuard::recover(&mut guard, |elements| elements.fill(0));
    /// guard[0] = 1; // whole, whoever died before
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn recover(guard: &mut Self, repair: impl FnOnce(&mut [T; N])) {
        if Self::is_poisoned(guard) {
            repair(&mut *guard);
            Self::clear_poison(guard);
        }
    }
}

impl<T: Element, const N: usize> Drop for ArrayGuard<'_, T, N> {
    #[inline(always)]
    fn drop(&mut self) {
        self.locked.release_changed();
    }
}

impl<T: Element, const N: usize> Deref for ArrayGuard<'_, T, N> {
    type Target = [T; N];

    #[inline]
    fn deref(&self) -> &[T; N] {
        self.locked.array()
    }
}

impl<T: Element, const N: usize> DerefMut for ArrayGuard<'_, T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T; N] {
        self.locked.array_mut()
    }
}

impl<T: Element + fmt::Debug, const N: usize> fmt::Debug for ArrayGuard<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArrayGuard").field(&Shortened { shown: &self[..N.min(SHOWN)], len: N }).finish()
    }
}
