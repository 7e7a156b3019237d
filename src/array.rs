//! [`SharedArray`]: many elements, changed in place.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::elements::{
    Element, Shortened, check_index, check_len, face_of_elements, guard_of_elements, methods_that_lock,
    methods_that_read, methods_without_a_guard, read_guard_of_elements, show,
};
use crate::error::{Error, LockError};
use crate::face::{Face, HasPoison, HasReaders, StartsEmpty, methods_of_every_face};
use crate::segment::{ElementsOf, Locked, Read, Segment};
use crate::sync::mutex::Wait;

mod options;

/// `N` elements of type `T` in a named segment, with a lock.
///
/// The elements are changed in place, without a copy, so a writer that dies or panics may leave them half-changed. (A
/// process that only reads, with [`get`](Self::get), [`to_vec`](Self::to_vec) or [`read_into`](Self::read_into),
/// damages nothing.) The array is then poisoned: `lock` fails until somebody repairs it, usually under
/// [`lock_recover`](Self::lock_recover); or takes the lock by one of the forms that ignore the poison
/// ([`lock_ignoring_poison`](Self::lock_ignoring_poison) and its siblings), looks, and repairs with
/// [`ArrayGuard::recover`] or says [`ArrayGuard::clear_poison`]; or rewrites all of it with
/// [`copy_from_slice`](Self::copy_from_slice).
///
/// `T` is any plain data type, see [`Element`], aligned to at most 4,096 bytes. An array of any size is created and
/// opened without ever standing on the stack.
///
/// # Examples
///
/// ```
/// use robust_shm::SharedArray;
///
/// let name = robust_shm::unique_name("array");
/// let squares = SharedArray::<i32, 4>::create(&name)?;
/// for (square, n) in squares.lock()?.iter_mut().zip(5..) {
///     *square = n * n;
/// }
/// let elsewhere = SharedArray::<i32, 4>::open(&name)?; // usually in another program
/// assert_eq!(elsewhere.to_vec()?, [25, 36, 49, 64]);
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// **Counters** cannot be half-changed: each is right by itself, whoever dies between two of them. So they are made
/// without [poison](crate::Options::poison), and a worker that is killed ends nobody else:
///
/// ```
/// use robust_shm::SharedArray;
///
/// const REQUESTS: usize = 0;
/// const ERRORS: usize = 1;
/// let name = robust_shm::unique_name("counters");
/// let counters = SharedArray::<u64, 2>::options().poison(false).open_or_create(&name)?;
/// counters.update(|count| count[REQUESTS] += 1)?;
/// counters.update(|count| count[ERRORS] += 1)?;
/// println!("{} of {}", counters.get(ERRORS)?, counters.get(REQUESTS)?);
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[must_use = "keep it: `let array = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct SharedArray<T, const N: usize> {
    segment: Segment<ElementsOf<[T; N]>>,
}

face_of_elements!([T: Element, const N: usize] SharedArray<T, N>, ArrayGuard, ArrayReadGuard, T, [T; N]);

impl<T: Element, const N: usize> StartsEmpty for SharedArray<T, N> {}

// The bound stands on the functions and not on the block: so the compiler explains a missing derive.
impl<T, const N: usize> SharedArray<T, N> {
    /// How many elements the array has.
    pub const LEN: usize = N;

    /// Creates the array, filled with zeros.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] while a live or a persistent segment has the name, [`Error::OutOfSharedMemory`],
    /// [`Error::InvalidName`], and what the operating system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<f64, 1_000>::create(&robust_shm::unique_name("create"))?;
    /// assert_eq!(array.get(999)?, 0.0);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(name: &str) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().create(name)
    }

    /// Creates the array with these elements.
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
    /// let array = SharedArray::create_from(&robust_shm::unique_name("create-from"), &[1u8, 2, 3])?;
    /// assert_eq!(array.to_vec()?, [1, 2, 3]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
    pub fn create_from(name: &str, elements: &[T; N]) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().create_from(name, elements)
    }

    /// Opens an array that exists.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when nobody holds such a segment, [`Error::TypeMismatch`] when it holds something else or
    /// another number of elements, and the errors for files that are not, or not quite, segments of ours.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedArray};
    ///
    /// let name = robust_shm::unique_name("open");
    /// let array = SharedArray::<u16, 8>::create(&name)?;
    /// assert!(SharedArray::<u16, 8>::open(&name).is_ok());
    /// assert!(matches!(SharedArray::<u16, 9>::open(&name), Err(Error::TypeMismatch { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().open(name)
    }

    /// Opens the array, or creates it filled with zeros. Of programs that do this at once, exactly one creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open`](Self::open), except `AlreadyExists` and `NotFound`.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<u64, 2>::open_or_create(&robust_shm::unique_name("either"))?;
    /// assert!(array.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().open_or_create(name)
    }

    /// Opens the array, or creates it with these elements.
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
    /// let name = robust_shm::unique_name("either-from");
    /// let first = SharedArray::open_or_create_from(&name, &[1, 2])?;
    /// let second = SharedArray::open_or_create_from(&name, &[3, 4])?;
    /// assert_eq!(second.to_vec()?, [1, 2]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let array = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create_from(name: &str, elements: &[T; N]) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().open_or_create_from(name, elements)
    }

    methods_of_every_face!("array": "SharedArray::<u8, 4>"("&name") where T: Element);
}

impl<T: Element, const N: usize> SharedArray<T, N> {
    /// How many elements the array has: `N`.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<u8, 4>::create(&robust_shm::unique_name("array"))?;
    /// assert_eq!(array.len(), 4);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    pub const fn len(&self) -> usize {
        N
    }

    /// Whether the array has no elements at all.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<u8, 4>::create(&robust_shm::unique_name("array"))?;
    /// assert!(!array.is_empty());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        N == 0
    }
}
