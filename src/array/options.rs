//! [`Options`] that lead to a [`SharedArray`]: it can have first elements.

use super::SharedArray;
use crate::dynamic::Described;
use crate::elements::Element;
use crate::error::Error;
use crate::options::Options;

impl<T: Element, const N: usize> Options<SharedArray<T, N>> {
    /// Creates the array with these elements and options.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedArray::options().mode(0o640).create_from(&name, &[1, 2])?;
    /// assert_eq!(made.to_vec()?, [1, 2]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
    pub fn create_from(&self, name: &str, elements: &[T; N]) -> Result<SharedArray<T, N>, Error> {
        self.create_with(name, &(), bytemuck::cast_slice(elements))
    }

    /// Opens the array, or creates it with these elements and options.
    ///
    /// # Errors
    ///
    /// The same as [`open_or_create`](Self::open_or_create).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedArray::options().open_or_create_from(&name, &[1, 2])?;
    /// assert_eq!(made.to_vec()?, [1, 2]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create_from(&self, name: &str, elements: &[T; N]) -> Result<SharedArray<T, N>, Error> {
        self.open_or_create_with(name, &(), bytemuck::cast_slice(elements))
    }
}

// The bound stands on the function and not on the block: so the compiler explains what is missing.
impl<T: Element, const N: usize> Options<SharedArray<T, N>> {
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
    /// use robust_shm::{SharedArray, describe};
    ///
    /// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    /// #[repr(C)]
    /// struct Sample { at: f64, sensor: u64 }
    /// describe!(Sample { at: f64, sensor: u64 });
    ///
    /// let name = robust_shm::unique_name("described");
    /// let samples = SharedArray::<Sample, 8>::options().described().create(&name)?;
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
