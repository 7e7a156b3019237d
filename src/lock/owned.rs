//! [`OwnedLockGuard`]: a lock that is held, and its handle.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SharedLock;
use crate::condvar::{ExclusiveGuard, sealed::Sealed};
use crate::error::LockError;
use crate::face::forms_with_owned_guards;
use crate::segment::{Handle, Holding, LockOnly, Segment};
use crate::sync::mutex::{Mutex, Wait, Whom};

/// A [`LockGuard`](crate::LockGuard) that keeps its lock's handle alive, for structures that keep one.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use robust_shm::{OwnedLockGuard, SharedLock};
///
/// struct Printing {
///     turn: OwnedLockGuard, // no lifetime
/// }
///
/// let printer = Arc::new(SharedLock::create(&robust_shm::unique_name("printer"))?);
/// let printing = Printing { turn: printer.lock_owned()? };
/// assert!(printer.try_lock().is_err());
/// drop(printing);
/// assert!(printer.try_lock().is_ok());
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so releases the lock, at once)"]
pub struct OwnedLockGuard {
    holding: Holding<Arc<SharedLock>>,
    /// What [`ExclusiveGuard::data`] refers to.
    nothing: (),
}

impl Handle for SharedLock {
    type Contents = LockOnly;

    fn segment(&self) -> &Segment<LockOnly> {
        &self.segment
    }
}

impl SharedLock {
    forms_with_owned_guards! {
        lock lock_owned() -> OwnedLockGuard::of_whole(Wait::Forever);
        try_lock try_lock_owned() -> OwnedLockGuard::of_whole(Wait::No);
        try_lock_for try_lock_owned_for(timeout: Duration) -> OwnedLockGuard::of_whole(Wait::at_most(timeout));
        try_lock_until try_lock_owned_until(deadline: Instant) -> OwnedLockGuard::of_whole(Wait::until(deadline));
        lock_ignoring_poison lock_owned_ignoring_poison() -> OwnedLockGuard::of_either(Wait::Forever);
        try_lock_ignoring_poison try_lock_owned_ignoring_poison() -> OwnedLockGuard::of_either(Wait::No);
        try_lock_ignoring_poison_for try_lock_owned_ignoring_poison_for(timeout: Duration)
            -> OwnedLockGuard::of_either(Wait::at_most(timeout));
    }

    /// Like [`lock_recover`](Self::lock_recover), with a guard that keeps the handle alive: for structures that keep one, and for
    /// bindings.
    ///
    /// # Errors
    ///
    /// The same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock_owned_recover(self: &Arc<Self>, repair: impl FnOnce()) -> Result<OwnedLockGuard, LockError> {
        let mut guard = self.lock_owned_ignoring_poison()?;
        OwnedLockGuard::recover(&mut guard, repair);
        Ok(guard)
    }
}

impl OwnedLockGuard {
    fn of_whole(handle: Arc<SharedLock>, wait: Wait) -> Result<Self, LockError> {
        let holding = Holding::new(handle, |segment| Ok(segment.lock_whole(wait)?.begun()))?;
        Ok(Self { holding, nothing: () })
    }

    fn of_either(handle: Arc<SharedLock>, wait: Wait) -> Result<Self, LockError> {
        let holding = Holding::new(handle, |segment| Ok(segment.lock(wait)?.begun()))?;
        Ok(Self { holding, nothing: () })
    }

    /// As [`LockGuard::is_poisoned`](crate::LockGuard::is_poisoned).
    #[must_use]
    pub fn is_poisoned(guard: &Self) -> bool {
        guard.holding.locked().is_poisoned()
    }

    /// As [`LockGuard::clear_poison`](crate::LockGuard::clear_poison).
    pub fn clear_poison(guard: &mut Self) {
        guard.holding.change(|locked| locked.clear_poison());
    }

    /// As [`LockGuard::recover`](crate::LockGuard::recover).
    pub fn recover(guard: &mut Self, repair: impl FnOnce()) {
        if Self::is_poisoned(guard) {
            repair();
            Self::clear_poison(guard);
        }
    }
}

impl Drop for OwnedLockGuard {
    fn drop(&mut self) {
        self.holding.locked().release_begun();
    }
}

#[allow(private_interfaces, reason = "nobody else calls it")]
impl Sealed for OwnedLockGuard {
    fn wait(&mut self, which: usize, wait: Wait) -> Result<bool, LockError> {
        self.holding.change(|locked| locked.wait_begun(which, wait))
    }

    fn notify(&self, which: usize, whom: Whom) {
        self.holding.locked().notify(which, whom);
    }

    fn is_of(&self, mutex: &Mutex) -> bool {
        self.holding.locked().is_of(mutex)
    }
}

impl ExclusiveGuard for OwnedLockGuard {
    type Data = ();

    fn data(&mut self) -> &mut () {
        &mut self.nothing
    }
}

impl fmt::Debug for OwnedLockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLockGuard").field("poisoned", &Self::is_poisoned(self)).finish()
    }
}
