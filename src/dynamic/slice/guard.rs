//! [`DynSliceGuard`] and [`DynSliceReadGuard`]: the bytes of the elements, in place.

use std::fmt;
use std::ops::Deref;

use super::DynSlice;
use crate::condvar::{ExclusiveGuard, sealed::Sealed};
use crate::error::LockError;
use crate::segment::{Holding, HoldingToRead, Leads};
use crate::sync::mutex::{Mutex, Wait, Whom};

/// The bytes of the elements of a [`DynSlice`], in place, while its lock is held. `L` is `&DynSlice` or `Arc<DynSlice>`: one
/// guard, borrowed or owned.
///
/// As a [`SliceGuard`](crate::SliceGuard), it poisons the elements if a panic that began under it is unwinding when it is
/// dropped; and so does a death.
#[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so releases the lock, at once)"]
pub struct DynSliceGuard<L: Deref<Target = DynSlice>> {
    holding: Holding<L>,
}

#[allow(private_bounds, reason = "only a reference to a handle, or an Arc of one, leads to it")]
impl<L: Leads<Target = DynSlice>> DynSliceGuard<L> {
    pub(super) fn to_change(handle: L, wait: Wait) -> Result<Self, LockError> {
        Ok(Self { holding: Holding::new(handle, |segment| segment.lock_to_change(wait))? })
    }

    pub(super) fn to_repair(handle: L, wait: Wait) -> Result<Self, LockError> {
        Ok(Self { holding: Holding::new(handle, |segment| segment.lock_to_repair(wait))? })
    }
}

impl<L: Deref<Target = DynSlice>> DynSliceGuard<L> {
    /// The bytes of all elements.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.holding.bytes()
    }

    /// The bytes of all elements, to be changed.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.holding.bytes_mut()
    }

    /// Where they begin, for bindings. They may be read and written through it as long as the guard lives, by whoever would
    /// have borrowed the guard.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.as_bytes_mut().as_mut_ptr()
    }

    /// Whether an earlier holder died or panicked and nobody has repaired the elements.
    #[must_use]
    pub fn is_poisoned(guard: &Self) -> bool {
        guard.holding.locked().is_poisoned()
    }

    /// Declares that the elements are whole again. A guard that is dropped without this leaves the poison.
    pub fn clear_poison(guard: &mut Self) {
        guard.holding.change(|locked| locked.clear_poison());
    }

    /// If the elements are poisoned, runs the closure, which repairs them, and then clears the poison. If the closure
    /// panics, the poison stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::{DynSlice, DynSliceGuard};
    ///
    /// let slice = DynSlice::create(&robust_shm::unique_name("recover"), &"u8".parse().unwrap(), 3)?;
    /// let mut guard = slice.lock_ignoring_poison()?;
    /// if DynSliceGuard::is_poisoned(&guard) {
    ///     println!("a holder died; what it left: {:?}", guard.as_bytes());
    /// }
    /// DynSliceGuard::recover(&mut guard, |bytes| bytes.fill(0));
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn recover(guard: &mut Self, repair: impl FnOnce(&mut [u8])) {
        if Self::is_poisoned(guard) {
            repair(guard.as_bytes_mut());
            Self::clear_poison(guard);
        }
    }
}

impl<L: Deref<Target = DynSlice>> Drop for DynSliceGuard<L> {
    fn drop(&mut self) {
        self.holding.locked().release_changed();
    }
}

#[allow(private_interfaces, reason = "nobody else calls it")]
impl<L: Deref<Target = DynSlice>> Sealed for DynSliceGuard<L> {
    fn wait(&mut self, which: usize, wait: Wait) -> Result<bool, LockError> {
        self.holding.change(|locked| locked.wait_amid_changes(which, wait))
    }

    fn notify(&self, which: usize, whom: Whom) {
        self.holding.locked().notify(which, whom);
    }

    fn is_of(&self, mutex: &Mutex) -> bool {
        self.holding.locked().is_of(mutex)
    }
}

impl<L: Deref<Target = DynSlice>> ExclusiveGuard for DynSliceGuard<L> {
    type Data = [u8];

    fn data(&mut self) -> &mut [u8] {
        self.as_bytes_mut()
    }
}

impl<L: Deref<Target = DynSlice>> fmt::Debug for DynSliceGuard<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynSliceGuard").field("poisoned", &Self::is_poisoned(self)).finish_non_exhaustive()
    }
}

/// The bytes of the elements of a [`DynSlice`], in place, beside any number of others who read. While it lives, nobody writes.
/// `L` is `&DynSlice` or `Arc<DynSlice>`.
#[must_use = "bind it: `let guard = ...` (`let _ = ...` drops it, and so lets writers in, at once)"]
pub struct DynSliceReadGuard<L: Deref<Target = DynSlice>> {
    holding: HoldingToRead<L>,
}

#[allow(private_bounds, reason = "only a reference to a handle, or an Arc of one, leads to it")]
impl<L: Leads<Target = DynSlice>> DynSliceReadGuard<L> {
    pub(super) fn new(handle: L, wait: Wait) -> Result<Self, LockError> {
        Ok(Self { holding: HoldingToRead::new(handle, |segment| segment.enter(wait))? })
    }
}

impl<L: Deref<Target = DynSlice>> DynSliceReadGuard<L> {
    /// The bytes of all elements.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.holding.bytes()
    }

    /// Where they begin, for bindings. They may be read through it as long as the guard lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.as_bytes().as_ptr()
    }
}

impl<L: Deref<Target = DynSlice>> Drop for DynSliceReadGuard<L> {
    fn drop(&mut self) {
        self.holding.release();
    }
}

impl<L: Deref<Target = DynSlice>> fmt::Debug for DynSliceReadGuard<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynSliceReadGuard").finish_non_exhaustive()
    }
}
