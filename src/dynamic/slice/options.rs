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

    /// Creates these elements, one behind the other, with these options.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create); [`Error::InvalidArgument`] when the bytes are no whole number of elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    /// use robust_shm::dynamic::DynSlice;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = DynSlice::options().create_from(&name, &"[u8;2]".parse().unwrap(), &[1, 2, 3, 4])?;
    /// assert_eq!(made.len(), 2);
    /// assert_eq!(SharedArray::<[u8; 2], 2>::open(&name)?.get(1)?, [3, 4]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn create_from(&self, name: &str, schema: &Schema, elements: &[u8]) -> Result<DynSlice, Error> {
        let len = count(name, schema, elements)?;
        self.create_with(name, &Some((schema.clone(), Some(len))), elements)
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

    /// Opens as many elements of this type, or creates these with these options.
    ///
    /// # Errors
    ///
    /// The same as [`open_or_create`](Self::open_or_create), and [`create_from`](Self::create_from).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynSlice;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = DynSlice::options().open_or_create_from(&name, &"u8".parse().unwrap(), &[1, 2])?;
    /// assert_eq!(made.lock()?.as_bytes(), [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create_from(&self, name: &str, schema: &Schema, elements: &[u8]) -> Result<DynSlice, Error> {
        let len = count(name, schema, elements)?;
        self.open_or_create_with(name, &Some((schema.clone(), Some(len))), elements)
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

/// How many elements are these?
fn count(name: &str, schema: &Schema, elements: &[u8]) -> Result<usize, Error> {
    match (elements.len().checked_div(schema.size()), elements.len().checked_rem(schema.size())) {
        (Some(count), Some(0)) => Ok(count),
        _ => Err(Error::InvalidArgument {
            name: name.into(),
            what: "the size of the first elements",
            expected: format!("a multiple of {} bytes", schema.size()),
            found: format!("{} bytes", elements.len()),
        }),
    }
}
