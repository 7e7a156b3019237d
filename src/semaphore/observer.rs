//! [`SemaphoreObserver`]: a semaphore, for looking only.

use std::fmt;

use crate::error::Error;
use crate::observer::methods_of_every_observer;
use crate::options::Settings;
use crate::segment::{Observed, PermitsOnly};

/// A look at a [`SharedSemaphore`](crate::SharedSemaphore) by one who is no user of it, as a
/// [`ValueObserver`](crate::ValueObserver) is of a value: it changes nothing, hinders nobody, and keeps nothing alive.
/// Made by [`SharedSemaphore::observe`](crate::SharedSemaphore::observe). It takes no permit.
///
/// # Examples
///
/// ```
/// use robust_shm::SharedSemaphore;
///
/// # let name = robust_shm::unique_name("gpus");
/// let gpus = SharedSemaphore::options().mode(0o644).create(&name, 4)?;
/// let observer = SharedSemaphore::observe(&name)?; // in a monitor, perhaps of another user
/// let _gpu = gpus.acquire()?;
/// assert_eq!((observer.available(), observer.permits()), (3, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an observer that is dropped at once has observed nothing"]
pub struct SemaphoreObserver {
    observed: Observed<PermitsOnly>,
}

impl SemaphoreObserver {
    pub(super) fn open(name: &str, settings: &Settings) -> Result<Self, Error> {
        Ok(Self { observed: Observed::open(name, settings, &None)? })
    }

    /// How many permits nobody has: a moment's picture.
    #[must_use]
    pub fn available(&self) -> usize {
        self.observed.available()
    }

    /// How many permits there are.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.observed.permits()
    }

    methods_of_every_observer!("SharedSemaphore::create(&name, 4)", "SharedSemaphore::observe");
}

impl fmt::Debug for SemaphoreObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphoreObserver")
            .field("name", &self.name())
            .field("permits", &self.permits())
            .field("available", &self.available())
            .finish()
    }
}
