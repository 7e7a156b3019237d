//! [`Options`] that lead to a [`DynSlice`]: its elements have a schema, and it has a length.

use super::{DynSlice, DynSliceObserver};
use crate::error::Error;
use crate::options::Options;
use crate::schema::Schema;

impl Options<DynSlice> {
    /// Creates `len` elements of this type with these options, filled with zeros.
    ///
    /// # Errors
    ///
    /// The same as [`DynSlice::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynSlice;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = DynSlice::options().readers(0).poison(false).create(&name, &"u64".parse().unwrap(), 60)?;
    /// assert_eq!(made.len(), 60);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(&self, name: &str, schema: &Schema, len: usize) -> Result<DynSlice, Error> {
        self.create_with(name, &Some((schema.clone(), Some(len))), &[])
    }

    /// Opens an array or a slice of elements of this type with these options.
    ///
    /// # Errors
    ///
    /// The same as [`DynSlice::open_as`], and [`Error::OptionMismatch`].
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_as(&self, name: &str, schema: &Schema) -> Result<DynSlice, Error> {
        self.open_with(name, &Some((schema.clone(), None)))
    }

    /// Opens `len` elements of this type, or creates them with these options, filled with zeros.
    ///
    /// # Errors
    ///
    /// The same as [`DynSlice::open_or_create`], and [`Error::OptionMismatch`].
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str, schema: &Schema, len: usize) -> Result<DynSlice, Error> {
        self.open_or_create_with(name, &Some((schema.clone(), Some(len))), &[])
    }

    /// Looks at an array or a slice of whatever elements without being a user of it: see [`DynSliceObserver`].
    ///
    /// # Errors
    ///
    /// The same as [`DynSlice::observe`], and [`Error::OptionMismatch`].
    pub fn observe(&self, name: &str) -> Result<DynSliceObserver, Error> {
        DynSliceObserver::open(name, &self.settings)
    }
}
