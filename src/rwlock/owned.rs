//! [`OwnedRwLockReadGuard`] and [`OwnedRwLockWriteGuard`]: a read-write lock that is held, and its handle.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SharedRwLock;
use crate::error::LockError;
use crate::face::forms_with_owned_guards;
use crate::segment::{Handle, Holding, HoldingToRead, ReadersOnly, Segment};
use crate::sync::mutex::Wait;

/// A [`RwLockReadGuard`](crate::RwLockReadGuard) that keeps its lock's handle alive, for structures that keep one.
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so lets writers in, at once)"]
pub struct OwnedRwLockReadGuard {
    holding: HoldingToRead<Arc<SharedRwLock>>,
}

/// A [`RwLockWriteGuard`](crate::RwLockWriteGuard) that keeps its lock's handle alive, for structures that keep one.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use robust_shm::{OwnedRwLockWriteGuard, SharedRwLock};
///
/// struct Editing {
///     turn: OwnedRwLockWriteGuard, // no lifetime
/// }
///
/// let table = Arc::new(SharedRwLock::create(&robust_shm::unique_name("table"))?);
/// let reading = (table.read_owned()?, table.read_owned()?);
/// drop(reading);
/// let editing = Editing { turn: table.write_owned()? };
/// assert!(table.try_read().is_err());
/// # drop(editing);
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so lets the others in, at once)"]
pub struct OwnedRwLockWriteGuard {
    holding: Holding<Arc<SharedRwLock>>,
}

impl Handle for SharedRwLock {
    type Contents = ReadersOnly;

    fn segment(&self) -> &Segment<ReadersOnly> {
        &self.segment
    }
}

impl SharedRwLock {
    forms_with_owned_guards! {
        read read_owned() -> OwnedRwLockReadGuard::enter(Wait::Forever);
        try_read try_read_owned() -> OwnedRwLockReadGuard::enter(Wait::No);
        try_read_for try_read_owned_for(timeout: Duration) -> OwnedRwLockReadGuard::enter(Wait::at_most(timeout));
        try_read_until try_read_owned_until(deadline: Instant) -> OwnedRwLockReadGuard::enter(Wait::until(deadline));
        write write_owned() -> OwnedRwLockWriteGuard::to_change(Wait::Forever);
        try_write try_write_owned() -> OwnedRwLockWriteGuard::to_change(Wait::No);
        try_write_for try_write_owned_for(timeout: Duration) -> OwnedRwLockWriteGuard::to_change(Wait::at_most(timeout));
        try_write_until try_write_owned_until(deadline: Instant) -> OwnedRwLockWriteGuard::to_change(Wait::until(deadline));
        write_ignoring_poison write_owned_ignoring_poison() -> OwnedRwLockWriteGuard::to_repair(Wait::Forever);
        try_write_ignoring_poison try_write_owned_ignoring_poison() -> OwnedRwLockWriteGuard::to_repair(Wait::No);
        try_write_ignoring_poison_for try_write_owned_ignoring_poison_for(timeout: Duration)
            -> OwnedRwLockWriteGuard::to_repair(Wait::at_most(timeout));
    }

    /// Like [`write_recover`](Self::write_recover), with a guard that keeps the handle alive: for structures that keep one, and
    /// for bindings.
    ///
    /// # Errors
    ///
    /// The same as [`write_ignoring_poison`](Self::write_ignoring_poison).
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn write_owned_recover(self: &Arc<Self>, repair: impl FnOnce()) -> Result<OwnedRwLockWriteGuard, LockError> {
        let mut guard = self.write_owned_ignoring_poison()?;
        OwnedRwLockWriteGuard::recover(&mut guard, repair);
        Ok(guard)
    }
}

impl OwnedRwLockReadGuard {
    fn enter(handle: Arc<SharedRwLock>, wait: Wait) -> Result<Self, LockError> {
        Ok(Self { holding: HoldingToRead::new(handle, |segment| segment.enter(wait))? })
    }
}

impl Drop for OwnedRwLockReadGuard {
    fn drop(&mut self) {
        self.holding.release();
    }
}

impl fmt::Debug for OwnedRwLockReadGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRwLockReadGuard").finish_non_exhaustive()
    }
}

impl OwnedRwLockWriteGuard {
    fn to_change(handle: Arc<SharedRwLock>, wait: Wait) -> Result<Self, LockError> {
        Ok(Self { holding: Holding::new(handle, |segment| segment.lock_to_change(wait))? })
    }

    fn to_repair(handle: Arc<SharedRwLock>, wait: Wait) -> Result<Self, LockError> {
        Ok(Self { holding: Holding::new(handle, |segment| segment.lock_to_repair(wait))? })
    }

    /// As [`RwLockWriteGuard::is_poisoned`](crate::RwLockWriteGuard::is_poisoned).
    #[must_use]
    pub fn is_poisoned(guard: &Self) -> bool {
        guard.holding.locked().is_poisoned()
    }

    /// As [`RwLockWriteGuard::clear_poison`](crate::RwLockWriteGuard::clear_poison).
    pub fn clear_poison(guard: &mut Self) {
        guard.holding.change(|locked| locked.clear_poison());
    }

    /// As [`RwLockWriteGuard::recover`](crate::RwLockWriteGuard::recover).
    pub fn recover(guard: &mut Self, repair: impl FnOnce()) {
        if Self::is_poisoned(guard) {
            repair();
            Self::clear_poison(guard);
        }
    }
}

impl Drop for OwnedRwLockWriteGuard {
    fn drop(&mut self) {
        self.holding.locked().release_changed();
    }
}

impl fmt::Debug for OwnedRwLockWriteGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRwLockWriteGuard").field("poisoned", &Self::is_poisoned(self)).finish()
    }
}
