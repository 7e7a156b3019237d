//! [`Options`] that lead to a [`SharedSemaphore`]: it has a number of permits.

use super::{SharedSemaphore, check_permits};
use crate::error::Error;
use crate::options::Options;
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
        self.create_with(name, Some(permits), &PermitsOnly::all_free(permits))
    }

    /// As [`SharedSemaphore::open_exact`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_exact(&self, name: &str, permits: usize) -> Result<SharedSemaphore, Error> {
        check_permits(name, permits)?;
        self.open_with(name, Some(permits))
    }

    /// As [`SharedSemaphore::open_or_create`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str, permits: usize) -> Result<SharedSemaphore, Error> {
        check_permits(name, permits)?;
        self.open_or_create_with(name, Some(permits), &PermitsOnly::all_free(permits))
    }
}
