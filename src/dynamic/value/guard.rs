//! [`DynValueGuard`]: the private copy, and its commit.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::DynValue;
use super::copy::PrivateCopy;
use crate::dynamic::length::Shown;
use crate::error::LockError;
use crate::segment::{Holding, Leads};
use crate::sync::mutex::Wait;
use crate::sync::words::{Copied, Room};

/// A private copy of a [`DynValue`], while its lock is held. `L` is `&DynValue` or `Arc<DynValue>`: one guard, borrowed or
/// owned.
///
/// Dropping it commits the copy, if it was used mutably and the schema [allows](crate::dynamic::Schema::allows) it, and discards it
/// otherwise; [`commit`](Self::commit) says which. A panic that begins under the guard commits nothing, and neither does the copy
/// of a guard in a forked child.
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so releases the lock, at once)"]
pub struct DynValueGuard<L: Deref<Target = DynValue>> {
    copy: PrivateCopy,
    end: End,
    holding: Holding<L>,
}

/// One that keeps its handle alive.
pub type OwnedDynValueGuard = DynValueGuard<Arc<DynValue>>;

/// What a guard that is dropped does with its copy.
#[derive(Clone, Copy)]
enum End {
    /// Nothing: it was not changed, or is not wanted.
    Discards,
    /// Commits it, if the schema allows.
    Checks,
    /// Commits it: the schema has allowed it, and it was not changed since.
    Commits,
}

#[allow(private_bounds, reason = "only a reference to a handle, or an Arc of one, leads to it")]
impl<L: Leads<Target = DynValue>> DynValueGuard<L> {
    pub(super) fn new(handle: L, wait: Wait) -> Result<Self, LockError> {
        let mut copy = PrivateCopy::of_zeros(handle.size()); // before the lock: memory may take its time
        let holding = Holding::new(handle, |segment| segment.lock(wait))?;
        Room(&mut copy).read_locked(&holding.locked().cell());
        Ok(Self { copy, end: End::Discards, holding })
    }
}

impl<L: Deref<Target = DynValue>> DynValueGuard<L> {
    /// The copy.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.copy
    }

    /// The copy, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.end = End::Checks;
        &mut self.copy
    }

    /// Commits the copy, changed or not, and releases the lock.
    ///
    /// # Errors
    ///
    /// The lock is still held then, and the guard comes back: [`LockError::InvalidValue`] when the schema does not
    /// [allow](crate::dynamic::Schema::allows) the bytes, or there is none; [`LockError::NotHeld`] when the guard is a copy in a forked
    /// child, which holds nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::LockError;
    /// use robust_shm::dynamic::{DynValue, DynValueGuard};
    ///
    /// let value = DynValue::create(&robust_shm::unique_name("commit"), &"bool".parse().unwrap(), &[0])?;
    /// let mut guard = value.lock()?;
    /// guard.bytes_mut()[0] = 2;
    /// let (mut guard, error) = DynValueGuard::commit(guard).unwrap_err();
    /// assert!(matches!(error, LockError::InvalidValue { .. }));
    /// guard.bytes_mut()[0] = 1;
    /// assert!(DynValueGuard::commit(guard).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[allow(clippy::result_large_err, reason = "the guard comes back")]
    pub fn commit(mut guard: Self) -> Result<(), (Self, LockError)> {
        let handle = guard.holding.handle();
        let result = if guard.holding.locked().is_held() {
            handle.check(&guard.copy)
        } else {
            Err(LockError::NotHeld { name: handle.segment.shared_name() })
        };
        match result {
            Ok(()) => {
                guard.end = End::Commits;
                Ok(())
            }
            Err(error) => Err((guard, error)),
        }
    }

    /// Releases the lock, and commits nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::{DynValue, DynValueGuard};
    ///
    /// let value = DynValue::create(&robust_shm::unique_name("discard"), &"u8".parse().unwrap(), &[7])?;
    /// let mut guard = value.lock()?;
    /// guard.bytes_mut()[0] = 8;
    /// DynValueGuard::discard(guard);
    /// assert_eq!(value.lock()?.bytes(), [7]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn discard(mut guard: Self) {
        guard.end = End::Discards;
    }
}

impl<L: Deref<Target = DynValue>> Drop for DynValueGuard<L> {
    fn drop(&mut self) {
        let commits = match self.end {
            End::Discards => false,
            End::Checks => self.holding.handle().check(&self.copy).is_ok(),
            End::Commits => true,
        };
        self.holding.locked().commit_and_release(&self.copy, usize::from(commits));
    }
}

impl<L: Deref<Target = DynValue>> fmt::Debug for DynValueGuard<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copy = Shown { schema: self.holding.handle().schema(), bytes: &self.copy };
        f.debug_tuple("DynValueGuard").field(&copy).finish()
    }
}
