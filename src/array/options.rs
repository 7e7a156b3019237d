//! [`Options`] that lead to a [`SharedArray`].

use super::{Element, SharedArray};
use crate::error::Error;
use crate::options::Options;
use crate::segment::Segment;

impl<T: Element, const N: usize> Options<SharedArray<T, N>> {
    /// Whether an array that is created is poisoned when a holder dies or panics amid changes. `true` by default;
    /// `false` is for elements that mean something each by itself, as counters do: a death between two of them leaves
    /// nothing half-done. [`lock`](SharedArray::lock) then never says `Poisoned`, and the lock of a dead holder is
    /// handed over as ever. The segment records it, and an opener follows it, unless it states something else, which is
    /// [`Error::OptionMismatch`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    ///
    /// // Hits per minute, counted by workers that may be killed at any time.
    /// let hits = SharedArray::<u64, 60>::options().poison(false).open_or_create(&robust_shm::unique_name("hits"))?;
    /// hits.lock()?[17] += 1;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn poison(mut self, poison: bool) -> Self {
        self.settings.poison = Some(poison);
        self
    }

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
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
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
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
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
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
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
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
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
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create_from(&self, name: &str, elements: &[T; N]) -> Result<SharedArray<T, N>, Error> {
        Ok(SharedArray { segment: Segment::open_or_create(name, &self.settings, bytemuck::cast_slice(elements))? })
    }
}
