//! [`Options`] that lead to a [`SharedValue`]: it needs a first value.

use super::SharedValue;
use super::observer::ValueObserver;
use crate::error::Error;
use crate::options::Options;
use crate::shareable::Shareable;

impl<T: Shareable> Options<SharedValue<T>> {
    /// Creates the segment with its first value and these options.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedValue::<u8>::options().mode(0o640).create(&name, 1)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(&self, name: &str, initial: T) -> Result<SharedValue<T>, Error> {
        self.create_with(name, &(), bytemuck::bytes_of(&initial))
    }

    /// Opens the segment, or creates it with `initial` and these options. Of programs that do this at once, exactly one
    /// creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open`](Self::open), except `AlreadyExists` and `NotFound`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedValue::<u8>::options().mode(0o640).open_or_create(&name, 1)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str, initial: T) -> Result<SharedValue<T>, Error> {
        self.open_or_create_with(name, &(), bytemuck::bytes_of(&initial))
    }

    /// Looks at a value without being a user of it: see [`ValueObserver`]. As with [`open`](Self::open), an option that is
    /// stated must be the segment's.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::observe`], [`Error::OptionMismatch`] and
    /// [`Error::ForeignOwner`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let level = SharedValue::<u8>::options().type_tag("acme.Level/1");
    /// let value = level.clone().mode(0o644).create(&name, 1)?;
    /// let observer = level.allow_owner(0).observe(&name)?; // also if root runs the service
    /// assert_eq!(observer.get(), 1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn observe(&self, name: &str) -> Result<ValueObserver<T>, Error> {
        ValueObserver::open(name, &self.settings)
    }
}
