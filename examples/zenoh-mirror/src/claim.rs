//! A name is mirrored once on a machine, in one direction.

use std::sync::Arc;

use robust_shm::{LockError, OwnedLockGuard, SharedLock};

use crate::Failure;

/// The right to mirror a value, which belongs to the thread that took it. So no copy is shown as if it were an original: what
/// went from machine to machine in a circle would never rest. The kernel takes it back from a mirror that is killed.
pub(crate) struct Claim {
    _held: OwnedLockGuard,
}

impl Claim {
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        // What it guards cannot be half-done.
        let lock = Arc::new(SharedLock::options().poison(false).open_or_create(&format!("{name}.mirror"))?);
        match lock.try_lock_owned() {
            Ok(held) => Ok(Self { _held: held }),
            Err(LockError::WouldBlock { .. }) => {
                let by = lock.info().ok().and_then(|info| info.holder_process());
                let by = by.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"));
                Err(format!("{name:?} is mirrored on this machine already, by {by}").into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
