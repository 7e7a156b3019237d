//! [`Options`] that lead to a [`SharedArray`].

use bytemuck::Pod;

use super::SharedArray;
use crate::error::Error;
use crate::options::Options;
use crate::segment::Segment;

impl<T: Pod + Send + Sync, const N: usize> Options<SharedArray<T, N>> {
    /// See [`SharedArray::create`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedArray::<u8, 4>::options().mode(0o640).create(&name)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn create(&self, name: &str) -> Result<SharedArray<T, N>, Error> {
        Ok(SharedArray { segment: Segment::create(name, &self.settings, &[])? })
    }

    /// See [`SharedArray::create_from`].
    ///
    /// # Errors
    ///
    /// As there.
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
    pub fn create_from(&self, name: &str, elements: &[T; N]) -> Result<SharedArray<T, N>, Error> {
        Ok(SharedArray { segment: Segment::create(name, &self.settings, bytemuck::cast_slice(elements))? })
    }

    /// See [`SharedArray::open`].
    ///
    /// # Errors
    ///
    /// As there, and [`Error::ForeignOwner`] for a segment of a user that was not allowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedArray::<u8, 4>::options().type_tag("acme/1").create(&name)?;
    /// let opened = SharedArray::<u8, 4>::options().type_tag("acme/1").open(&name)?;
    /// assert!(!opened.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn open(&self, name: &str) -> Result<SharedArray<T, N>, Error> {
        Ok(SharedArray { segment: Segment::open(name, &self.settings)? })
    }

    /// See [`SharedArray::open_or_create`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedArray::<u8, 4>::options().open_or_create(&name)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn open_or_create(&self, name: &str) -> Result<SharedArray<T, N>, Error> {
        Ok(SharedArray { segment: Segment::open_or_create(name, &self.settings, &[])? })
    }

    /// See [`SharedArray::open_or_create_from`].
    ///
    /// # Errors
    ///
    /// As there.
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
    pub fn open_or_create_from(&self, name: &str, elements: &[T; N]) -> Result<SharedArray<T, N>, Error> {
        Ok(SharedArray { segment: Segment::open_or_create(name, &self.settings, bytemuck::cast_slice(elements))? })
    }
}
