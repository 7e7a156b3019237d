//! [`Options`] that lead to a [`SharedLock`].

use super::SharedLock;
use crate::error::Error;
use crate::options::Options;
use crate::segment::Segment;

impl Options<SharedLock> {
    /// Whether a lock that is created is poisoned when a holder dies or panics. `true` by default; `false` is for a lock
    /// that guards nothing which could be left half-done: it says who leads, or keeps others out for a while.
    /// [`lock`](SharedLock::lock) then never says `Poisoned`, and the lock of a dead holder is handed over as ever. The
    /// segment records it, and an opener follows it, unless it states something else, which is [`Error::OptionMismatch`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedLock;
    ///
    /// let turn = SharedLock::options().poison(false).open_or_create(&robust_shm::unique_name("turn"))?;
    /// let _mine = turn.lock()?; // also when the last one was killed in his turn
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn poison(mut self, poison: bool) -> Self {
        self.settings.poison = Some(poison);
        self
    }

    /// See [`SharedLock::create`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedLock;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedLock::options().mode(0o640).create(&name)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let lock = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(&self, name: &str) -> Result<SharedLock, Error> {
        Ok(SharedLock { segment: Segment::create(name, &self.settings, &[])? })
    }

    /// See [`SharedLock::open`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedLock;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedLock::options().type_tag("acme/1").create(&name)?;
    /// let opened = SharedLock::options().type_tag("acme/1").open(&name)?;
    /// assert!(!opened.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let lock = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(&self, name: &str) -> Result<SharedLock, Error> {
        Ok(SharedLock { segment: Segment::open(name, &self.settings)? })
    }

    /// See [`SharedLock::open_or_create`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedLock;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedLock::options().open_or_create(&name)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let lock = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str) -> Result<SharedLock, Error> {
        Ok(SharedLock { segment: Segment::open_or_create(name, &self.settings, &[])? })
    }
}
