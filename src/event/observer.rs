//! [`EventObserver`]: an event, for looking only.

use std::fmt;

use crate::error::Error;
use crate::observer::methods_of_every_observer;
use crate::options::Settings;
use crate::segment::{EventOnly, Observed};

/// A look at a [`SharedEvent`](crate::SharedEvent) by one who is no user of it, as a
/// [`ValueObserver`](crate::ValueObserver) is of a value: it changes nothing, hinders nobody, and keeps nothing alive.
/// Made by [`SharedEvent::observe`](crate::SharedEvent::observe). It cannot wait: who sets an event does not know of it.
///
/// # Examples
///
/// ```
/// use robust_shm::SharedEvent;
///
/// # let name = robust_shm::unique_name("ready");
/// let ready = SharedEvent::options().mode(0o644).create(&name)?;
/// let observer = SharedEvent::observe(&name)?; // in a monitor, perhaps of another user
/// assert!(!observer.is_set());
/// ready.set()?;
/// assert!(observer.is_set());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an observer that is dropped at once has observed nothing"]
pub struct EventObserver {
    observed: Observed<EventOnly>,
}

impl EventObserver {
    pub(super) fn open(name: &str, settings: &Settings) -> Result<Self, Error> {
        Ok(Self { observed: Observed::open(name, settings, &())? })
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.observed.is_set()
    }

    methods_of_every_observer!("SharedEvent::create(&name)", "SharedEvent::observe");
}

impl fmt::Debug for EventObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventObserver").field("name", &self.name()).field("set", &self.is_set()).finish()
    }
}
