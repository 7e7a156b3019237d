//! [`SharedSlice`]: many elements, changed in place, as many as are asked for at run time.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::elements::{
    Element, Shortened, check_index, check_len, face_of_elements, guard_of_elements, methods_that_lock,
    methods_that_read, methods_without_a_guard, read_guard_of_elements, show,
};
use crate::error::{Error, LockError};
use crate::face::{Face, HasPoison, HasReaders, methods_of_every_face};
use crate::segment::{ElementsOf, Locked, Read, Segment};
use crate::sync::mutex::Wait;

mod options;

/// Elements of type `T` in a named segment, with a lock: a [`SharedArray`](crate::SharedArray) whose length is chosen when
/// it is created, and that whoever opens it need not know.
///
/// All else is as with arrays: the elements are changed in place, without a copy, and a writer that dies or panics poisons
/// them, until somebody repairs them under [`lock_recover`](Self::lock_recover), with [`SliceGuard::recover`], or by
/// [`copy_from_slice`](Self::copy_from_slice). The guard is a `&mut [T]`.
///
/// **Arrays and slices are the same segments.** A slice of 1,024 elements is opened as `SharedArray<T, 1024>`, too, and the
/// other way round, so that a program with a fixed length and one that takes any share one segment.
///
/// The length is read once, when the segment is opened, and compared with the size of the file. Nothing that others write
/// into the segment later moves it. It never changes: whoever needs more room creates another segment.
///
/// # Examples
///
/// Frames of a camera, as large as the camera says; the viewer takes what it finds:
///
/// ```
/// use robust_shm::SharedSlice;
///
/// # let name = robust_shm::unique_name("frames");
/// # let (width, height) = (640, 480);
/// // camera
/// let frame = SharedSlice::<u8>::open_or_create(&name, width * height)?;
/// frame.lock_recover(|pixels| pixels.fill(0))?[0] = 255; // black, if a camera was killed in the middle of a frame
///
/// // viewer
/// let frame = SharedSlice::<u8>::open(&name)?;
/// let mut pixels = vec![0; frame.len()];
/// frame.read_into(&mut pixels)?;
/// assert_eq!((pixels.len(), pixels[0]), (640 * 480, 255));
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// What one program has computed, for others to go on with; and one that knows how much it expects says so:
///
/// ```
/// use robust_shm::{Error, SharedArray, SharedSlice};
///
/// # let name = robust_shm::unique_name("weights");
/// let computed: Vec<f64> = (0..100).map(|n| f64::from(n).sqrt()).collect();
/// let weights = SharedSlice::create_from(&name, &computed)?;
///
/// assert_eq!(SharedSlice::<f64>::open(&name)?.get(49)?, 7.0);
/// assert_eq!(SharedArray::<f64, 100>::open(&name)?.get(49)?, 7.0);
/// assert!(matches!(SharedSlice::<f64>::open_exact(&name, 99), Err(Error::TypeMismatch { .. })));
/// # Ok::<(), Error>(())
/// ```
#[must_use = "keep it: `let slice = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct SharedSlice<T> {
    segment: Segment<ElementsOf<[T]>>,
}

face_of_elements!([T: Element] SharedSlice<T>, SliceGuard, SliceReadGuard, T, [T]);

// The bound stands on the functions and not on the block: so the compiler explains a missing derive.
impl<T> SharedSlice<T> {
    /// Creates a slice of `len` elements, filled with zeros. It may have none.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] while a live or a persistent segment has the name, [`Error::OutOfSharedMemory`], also when
    /// so many elements would be more than an address space, [`Error::InvalidName`], and what the operating system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// let slice = robust_shm::SharedSlice::<f64>::create(&robust_shm::unique_name("create"), 1_000)?;
    /// assert_eq!(slice.get(999)?, 0.0);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(name: &str, len: usize) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().create(name, len)
    }

    /// Creates a slice of these elements.
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
    /// let slice = SharedSlice::create_from(&robust_shm::unique_name("create-from"), &[1u8, 2, 3])?;
    /// assert_eq!(slice.to_vec()?, [1, 2, 3]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn create_from(name: &str, elements: &[T]) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().create_from(name, elements)
    }

    /// Opens a slice, or an array, that exists, however long it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when nobody holds such a segment, [`Error::TypeMismatch`] when it holds something else, and the
    /// errors for files that are not, or not quite, segments of ours.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedSlice};
    ///
    /// let name = robust_shm::unique_name("open");
    /// let slice = SharedSlice::<u16>::create(&name, 8)?;
    /// assert_eq!(SharedSlice::<u16>::open(&name)?.len(), 8);
    /// assert!(matches!(SharedSlice::<u32>::open(&name), Err(Error::TypeMismatch { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().open(name)
    }

    /// Opens a slice, or an array, that has just `len` elements.
    ///
    /// # Errors
    ///
    /// The same as [`open`](Self::open); [`Error::TypeMismatch`] also when it has another number of elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedSlice};
    ///
    /// let name = robust_shm::unique_name("open-exact");
    /// let slice = SharedSlice::<u16>::create(&name, 8)?;
    /// assert!(SharedSlice::<u16>::open_exact(&name, 8).is_ok());
    /// assert!(matches!(SharedSlice::<u16>::open_exact(&name, 9), Err(Error::TypeMismatch { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_exact(name: &str, len: usize) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().open_exact(name, len)
    }

    /// Opens a slice of `len` elements, or creates it filled with zeros. Of programs that do this at once, exactly one
    /// creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open_exact`](Self::open_exact), except `AlreadyExists` and `NotFound`.
    ///
    /// # Examples
    ///
    /// ```
    /// let slice = robust_shm::SharedSlice::<u64>::open_or_create(&robust_shm::unique_name("either"), 2)?;
    /// assert!(slice.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str, len: usize) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().open_or_create(name, len)
    }

    /// Opens a slice of as many elements, or creates it with these.
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
    /// let name = robust_shm::unique_name("either-from");
    /// let first = SharedSlice::open_or_create_from(&name, &[1, 2])?;
    /// let second = SharedSlice::open_or_create_from(&name, &[3, 4])?;
    /// assert_eq!(second.to_vec()?, [1, 2]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create_from(name: &str, elements: &[T]) -> Result<Self, Error>
    where
        T: Element,
    {
        Self::options().open_or_create_from(name, elements)
    }

    methods_of_every_face!("slice": "SharedSlice::<u8>"("&name, 4") where T: Element);
}

impl<T: Element> SharedSlice<T> {
    /// How many elements the slice has.
    ///
    /// # Examples
    ///
    /// ```
    /// let slice = robust_shm::SharedSlice::<u8>::create(&robust_shm::unique_name("len"), 4)?;
    /// assert_eq!(slice.len(), 4);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.segment.extent().len
    }

    /// Whether the slice has no elements at all.
    ///
    /// # Examples
    ///
    /// ```
    /// let slice = robust_shm::SharedSlice::<u8>::create(&robust_shm::unique_name("is-empty"), 4)?;
    /// assert!(!slice.is_empty());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
