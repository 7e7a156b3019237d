//! [`Options`] that lead to a [`SharedArray`]: it can have first elements.

use super::SharedArray;
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
