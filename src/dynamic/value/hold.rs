//! [`DynValueHold`]: the lock, for those who have a place for the copy.

use std::fmt;
use std::ops::Deref;

use super::DynValue;
use crate::dynamic::length::check_length;
use crate::error::LockError;
use crate::segment::{Holding, Leads};
use crate::sync::mutex::Wait;
use crate::sync::words::{Copied, Room};

/// The lock of a [`DynValue`], without a copy of the value: for bindings, whose callers have memory of their own. `L` is
/// `&DynValue` or `Arc<DynValue>`. A [`DynValueGuard`](super::DynValueGuard) has a copy, which it allocates at each lock.
///
/// Dropping it releases the lock, and commits nothing.
///
/// # Examples
///
/// ```
/// use robust_shm::dynamic::{DynValue, DynValueHold};
///
/// let value = DynValue::create(&robust_shm::unique_name("hold"), &"u32".parse().unwrap(), &[0; 4])?;
/// let mut mine = [0; 4];
/// let hold = value.hold()?;
/// hold.read(&mut mine);
/// mine[0] += 1;
/// assert!(DynValueHold::commit(hold, &mine).is_ok());
/// assert_eq!(value.lock()?.bytes(), [1, 0, 0, 0]);
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[must_use = "bind it: `let hold = ...` (`let _ = ...` drops it, and so releases the lock, at once)"]
pub struct DynValueHold<L: Deref<Target = DynValue>> {
    holding: Holding<L>,
    is_released: bool,
}

#[allow(private_bounds, reason = "only a reference to a handle, or an Arc of one, leads to it")]
impl<L: Leads<Target = DynValue>> DynValueHold<L> {
    #[inline(always)]
    pub(super) fn new(handle: L, wait: Wait) -> Result<Self, LockError> {
        let holding = Holding::new(
            handle,
            #[inline(always)]
            |segment| segment.lock(wait),
        )?;
        Ok(Self { holding, is_released: false })
    }
}

impl<L: Deref<Target = DynValue>> DynValueHold<L> {
    /// Copies the value, which nobody changes as long as this is held.
    ///
    /// # Panics
    ///
    /// When there is not as much room as the value has bytes.
    #[track_caller]
    #[inline]
    pub fn read(&self, into: &mut [u8]) {
        check_length(into.len(), self.holding.handle().size());
        Room(into).read_locked(&self.holding.locked().cell());
    }

    /// Commits these bytes, and releases the lock.
    ///
    /// # Errors
    ///
    /// As of [`DynValueGuard::commit`](super::DynValueGuard::commit): the lock is still held then, and this comes back.
    ///
    /// # Panics
    ///
    /// When these are not as many bytes as the value has; the lock is released then.
    #[track_caller]
    #[inline]
    pub fn commit(mut hold: Self, bytes: &[u8]) -> Result<(), (Self, LockError)> {
        let handle = hold.holding.handle();
        check_length(bytes.len(), handle.size());
        let result = if hold.holding.locked().is_of_this_process() {
            handle.check(bytes)
        } else {
            Err(LockError::NotHeld { name: handle.segment.shared_name() })
        };
        match result {
            Ok(()) => {
                hold.holding.locked().commit_and_release(bytes, 1);
                hold.is_released = true;
                Ok(())
            }
            Err(error) => Err((hold, error)),
        }
    }
}

impl<L: Deref<Target = DynValue>> Drop for DynValueHold<L> {
    fn drop(&mut self) {
        if !self.is_released {
            self.holding.locked().commit_and_release(&[], 0);
        }
    }
}

/// Shows the handle's name.
impl<L: Deref<Target = DynValue>> fmt::Debug for DynValueHold<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynValueHold").field(&self.holding.handle().name()).finish()
    }
}
