//! Waiting for a change.

use std::time::{Duration, Instant};

use super::DynValue;
use crate::dynamic::length::check_length;
use crate::error::LockError;
use crate::sync::mutex::Wait;
use crate::value::read;

impl DynValue {
    /// Waits until there has been a commit since the one numbered `seen`, which is then set to its number, and copies the
    /// value: [`get_if_changed`](Self::get_if_changed) that sleeps.
    ///
    /// # Errors
    ///
    /// As [`SharedValue::wait_newer`](crate::SharedValue::wait_newer), but for `InvalidValue`.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn wait_newer(&self, seen: &mut u64, into: &mut [u8]) -> Result<(), LockError> {
        self.wait_for_newer(seen, into, || Wait::Forever)
    }

    /// Like [`wait_newer`](Self::wait_newer), but waits for at most `timeout`. `Duration::MAX` means no deadline.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`]; otherwise the same as [`wait_newer`](Self::wait_newer).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn wait_newer_for(&self, seen: &mut u64, into: &mut [u8], timeout: Duration) -> Result<(), LockError> {
        self.wait_for_newer(seen, into, || Wait::at_most(timeout))
    }

    /// Like [`wait_newer`](Self::wait_newer), but waits until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`wait_newer_for`](Self::wait_newer_for).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn wait_newer_until(&self, seen: &mut u64, into: &mut [u8], deadline: Instant) -> Result<(), LockError> {
        self.wait_for_newer(seen, into, || Wait::until(deadline))
    }

    #[track_caller]
    fn wait_for_newer(&self, seen: &mut u64, into: &mut [u8], wait: impl FnOnce() -> Wait) -> Result<(), LockError> {
        check_length(into.len(), self.size());
        self.segment.wait_for_newer(*seen, wait)?;
        *seen = read::copy(self, into).1;
        Ok(())
    }
}
