//! [`Options`] that lead to a [`SharedValue`].

use super::SharedValue;
use crate::error::Error;
use crate::options::Options;
use crate::segment::Segment;
use crate::shareable::Shareable;

impl<T: Shareable> Options<SharedValue<T>> {
    /// See [`SharedValue::create`].
    ///
    /// # Errors
    ///
    /// As there.
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
        Ok(SharedValue { segment: Segment::create(name, &self.settings, bytemuck::bytes_of(&initial))? })
    }

    /// See [`SharedValue::open`].
    ///
    /// # Errors
    ///
    /// As there, and [`Error::ForeignOwner`] for a segment of a user that was not allowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedValue::<u8>::options().type_tag("acme/1").create(&name, 1)?;
    /// let opened = SharedValue::<u8>::options().type_tag("acme/1").open(&name)?;
    /// assert!(!opened.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(&self, name: &str) -> Result<SharedValue<T>, Error> {
        Ok(SharedValue { segment: Segment::open(name, &self.settings)? })
    }

    /// See [`SharedValue::open_or_create`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedValue::<u8>::options().open_or_create(&name, 1)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str, initial: T) -> Result<SharedValue<T>, Error> {
        Ok(SharedValue { segment: Segment::open_or_create(name, &self.settings, bytemuck::bytes_of(&initial))? })
    }
}
