//! [`DynSliceObserver`]: elements of whatever type, for looking only.

use std::fmt;

use crate::error::Error;
use crate::observer::methods_of_every_observer;
use crate::options::Settings;
use crate::schema::Schema;
use crate::segment::{Bytes, ElementsOf, Observed};

/// A look at an array or a slice by one who is no user of it, for tools that say what they show: without the lock, what is
/// copied **may be half-changed**.
///
/// What is copied is read from the file. So the observer hinders nobody, keeps nothing alive, and is told of a file that was
/// shortened instead of being ended by it.
#[must_use = "an observer that is dropped at once has observed nothing"]
pub struct DynSliceObserver {
    observed: Observed<ElementsOf<Bytes>>,
}

impl DynSliceObserver {
    pub(crate) fn open(name: &str, settings: &Settings) -> Result<Self, Error> {
        Ok(Self { observed: Observed::open(name, settings, &None)? })
    }

    /// What the elements are made of, if the segment says it.
    #[must_use]
    pub fn schema(&self) -> Option<&Schema> {
        self.observed.schema()
    }

    /// How many bytes an element has.
    #[must_use]
    pub fn element_size(&self) -> usize {
        self.observed.count().elem_size
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.observed.count().len
    }

    /// Whether there are no elements at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies elements, from number `from` on, as many as `into` has room for, **without the lock**: a writer may be in the
    /// middle of changing them.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] when somebody has shortened the file; [`Error::Io`] when another segment was made in its place,
    /// or the operating system does not let it be read.
    ///
    /// # Panics
    ///
    /// When `into` has room for a part of an element, or for more than there are from there on.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynSlice;
    ///
    /// let name = robust_shm::unique_name("unlocked");
    /// let slice = robust_shm::SharedSlice::create_from(&name, &[1u16, 2, 3])?;
    /// let observer = DynSlice::observe(&name)?;
    /// let mut bytes = [0; 4];
    /// observer.copy_unlocked(1, &mut bytes)?;
    /// assert_eq!(bytes, [2, 0, 3, 0]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn copy_unlocked(&self, from: usize, into: &mut [u8]) -> Result<(), Error> {
        let (size, len) = (self.element_size(), self.len());
        assert!(
            into.len().is_multiple_of(size.max(1)),
            "{} bytes are no whole number of elements of {size}",
            into.len()
        );
        let count = into.len().checked_div(size).unwrap_or(0);
        assert!(from <= len && count <= len - from, "out of bounds: {count} elements from number {from} on, of {len}");
        self.observed.copy_unlocked(from as u64 * size as u64, into)
    }

    methods_of_every_observer!("SharedSlice::<u8>::create(&name, 7)", "dynamic::DynSlice::observe");
}

/// Shows the name, and how many elements there are.
impl fmt::Debug for DynSliceObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynSliceObserver").field("name", &self.name()).field("len", &self.len()).finish_non_exhaustive()
    }
}
