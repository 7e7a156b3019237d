//! [`Options`] that lead to a [`SharedSlice`]: it has a length, or first elements.

use super::SharedSlice;
use crate::dynamic::Described;
use crate::elements::Element;
use crate::error::Error;
use crate::options::Options;

impl<T: Element> Options<SharedSlice<T>> {
    /// Creates a slice of `len` elements with these options, filled with zeros.
    ///
    /// # Errors
    ///
    /// The same as [`SharedSlice::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedSlice;
    ///
    /// // Counters that each mean something by themselves; pages are taken when they are first used.
    /// let options = SharedSlice::<u64>::options().poison(false).reserve(false);
    /// let counters = options.create(&robust_shm::unique_name("options"), 1_000_000)?;
    /// counters.update(|counters| counters[999_999] += 1)?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(&self, name: &str, len: usize) -> Result<SharedSlice<T>, Error> {
        self.create_with(name, &Some(len), &[])
    }

    /// Creates a slice of these elements with these options.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedSlice;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedSlice::options().mode(0o640).create_from(&name, &[1, 2])?;
    /// assert_eq!(made.to_vec()?, [1, 2]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn create_from(&self, name: &str, elements: &[T]) -> Result<SharedSlice<T>, Error> {
        self.create_with(name, &Some(elements.len()), bytemuck::cast_slice(elements))
    }

    /// Opens a slice, or an array, that has just `len` elements. ([`open`](Self::open) takes any number.)
    ///
    /// # Errors
    ///
    /// The same as [`open`](Self::open).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedSlice;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let tagged = SharedSlice::<u8>::options().type_tag("acme.Frame/1");
    /// let made = tagged.create(&name, 4)?;
    /// assert!(tagged.open_exact(&name, 4).is_ok() && tagged.open_exact(&name, 5).is_err());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_exact(&self, name: &str, len: usize) -> Result<SharedSlice<T>, Error> {
        self.open_with(name, &Some(len))
    }

    /// Opens a slice of `len` elements, or creates it with these options, filled with zeros. Of programs that do this at
    /// once, exactly one creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open_exact`](Self::open_exact), except `AlreadyExists` and `NotFound`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedSlice;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedSlice::<u8>::options().mode(0o640).open_or_create(&name, 3)?;
    /// assert_eq!(made.len(), 3);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str, len: usize) -> Result<SharedSlice<T>, Error> {
        self.open_or_create_with(name, &Some(len), &[])
    }

    /// Opens a slice of as many elements, or creates it with these and with these options.
    ///
    /// # Errors
    ///
    /// The same as [`open_or_create`](Self::open_or_create).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedSlice;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedSlice::options().mode(0o640).open_or_create_from(&name, &[1, 2])?;
    /// assert_eq!(made.to_vec()?, [1, 2]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create_from(&self, name: &str, elements: &[T]) -> Result<SharedSlice<T>, Error> {
        self.open_or_create_with(name, &Some(elements.len()), bytemuck::cast_slice(elements))
    }
}

// The bound stands on the function and not on the block: so the compiler explains what is missing.
impl<T: Element> Options<SharedSlice<T>> {
    /// Has the segment say of what its elements are made, so that other languages and the command line can read them; and
    /// compares that with what is found, field by field, in the place of the type's name.
    ///
    /// Numbers and arrays of them say it by themselves. Of a struct or an enum, [`describe!`](macro@crate::describe) does.
    /// A program that does not describe its type goes by the name, as without.
    ///
    /// # Errors
    ///
    /// When the segment is created or opened: [`Error::InvalidArgument`] for a description that is longer than 4,096 bytes,
    /// or not of this type; [`Error::TypeMismatch`] names the first field that differs.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{SharedSlice, describe};
    ///
    /// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    /// #[repr(C)]
    /// struct Sample { at: f64, sensor: u64 }
    /// describe!(Sample { at: f64, sensor: u64 });
    ///
    /// let name = robust_shm::unique_name("described");
    /// let samples = SharedSlice::<Sample>::options().described().create(&name, 8)?;
    /// assert_eq!(samples.info()?.schema().unwrap().to_string(), "Sample{at:f64,sensor:u64}");
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn described(mut self) -> Self
    where
        T: Described,
    {
        self.settings.schema = Some(T::schema());
        self
    }
}
