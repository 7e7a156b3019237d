//! [`Options`] that lead to a [`SharedValue`]: it needs a first value.

use super::SharedValue;
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
        self.create_with(name, None, bytemuck::bytes_of(&initial))
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
        self.open_or_create_with(name, None, bytemuck::bytes_of(&initial))
    }
}
