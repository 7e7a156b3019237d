//! [`Options`] that lead to a [`SharedSemaphore`]: it has a number of permits.

use std::io;
use std::sync::Arc;

use super::{SemaphoreObserver, SharedSemaphore, check_permits};
use crate::error::{Error, LockError};
use crate::options::{LockKind, Options};
use crate::segment::PermitsOnly;

impl Options<SharedSemaphore> {
    /// As [`SharedSemaphore::create`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(&self, name: &str, permits: usize) -> Result<SharedSemaphore, Error> {
        check_permits(name, permits)?;
        self.check_lock_kind(name)?;
        self.create_with(name, &Some(permits), &PermitsOnly::all_free(permits))
    }

    /// As [`SharedSemaphore::open_exact`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_exact(&self, name: &str, permits: usize) -> Result<SharedSemaphore, Error> {
        check_permits(name, permits)?;
        self.open_with(name, &Some(permits))
    }

    /// As [`SharedSemaphore::open_or_create`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str, permits: usize) -> Result<SharedSemaphore, Error> {
        check_permits(name, permits)?;
        self.check_lock_kind(name)?;
        self.open_or_create_with(name, &Some(permits), &PermitsOnly::all_free(permits))
    }

    /// As [`SharedSemaphore::observe`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn observe(&self, name: &str) -> Result<SemaphoreObserver, Error> {
        SemaphoreObserver::open(name, &self.settings)
    }

    /// For one that is created: its permits are locks that come back from the dead.
    fn check_lock_kind(&self, name: &str) -> Result<(), Error> {
        if self.settings.lock_kind() != LockKind::OsMutex {
            return Ok(());
        }
        let message = "the permits of a semaphore come back from whoever dies, of which nobody is told with \
                       LockKind::OsMutex: they need LockKind::Futex or LockKind::File";
        let source = io::Error::new(io::ErrorKind::Unsupported, message);
        Err(LockError::io(Arc::from(name), "could not create the lock", source).into())
    }
}
