//! [`ValueGuard`]: the private copy, and its commit.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::segment::{Locked, ValueOf};
use crate::shareable::Shareable;

/// A private copy of the value of a [`SharedValue`](crate::SharedValue), held under its lock. Dropping it commits the
/// copy if it was used mutably; [`discard`](Self::discard), a panic that began under the guard, the exit of the process
/// and the copy in a forked child commit nothing.
///
/// Whether a panic began under the guard is told from [`std::thread::panicking`], when it is made and when it is
/// dropped. So two kinds of unwinding count as a regular end, and commit: a second panic under a guard that was made
/// while a first one was unwinding already, in a destructor, and is caught in there; and what is no panic of Rust's, as
/// a C++ exception or `pthread_exit`. [`update`](crate::SharedValue::update) and
/// [`try_update`](crate::SharedValue::try_update) are exact: they commit when their closure has returned, and not
/// otherwise.
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so releases the lock, at once)"]
pub struct ValueGuard<'a, T: Shareable> {
    pub(super) locked: Locked<'a, ValueOf<T>>,
    pub(super) copy: T,
    /// 1 once the copy was used mutably. A word for the reason that `Held` gives.
    pub(super) changed: usize,
}

impl<T: Shareable> ValueGuard<'_, T> {
    /// Releases the lock and commits nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{SharedValue, ValueGuard};
    ///
    /// let value = SharedValue::create(&robust_shm::unique_name("discard"), 1)?;
    /// let mut guard = value.lock()?;
    /// *guard = 99;
    /// ValueGuard::discard(guard);
    /// assert_eq!(value.get(), 1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn discard(mut guard: Self) {
        guard.changed = 0;
    }
}

impl<T: Shareable> Drop for ValueGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.locked.commit_and_release(&self.copy, self.changed);
    }
}

impl<T: Shareable> Deref for ValueGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.copy
    }
}

impl<T: Shareable> DerefMut for ValueGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.changed = 1;
        &mut self.copy
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for ValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValueGuard").field(&self.copy).finish()
    }
}

impl<T: Shareable + fmt::Display> fmt::Display for ValueGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.copy.fmt(f)
    }
}
