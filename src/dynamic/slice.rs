//! [`DynSlice`]: an array or a slice whose elements are known when the program runs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::length::Shown;
use crate::condvar::conditions_of;
use crate::error::{Error, LockError};
use crate::face::{Face, HasPoison, HasReaders, methods_of_every_face};
use crate::schema::Schema;
use crate::segment::{Bytes, Elements, ElementsOf, Handle, Segment};
use crate::sync::mutex::Wait;

mod guard;
mod observer;
mod options;

pub use guard::{DynSliceGuard, DynSliceReadGuard};
pub use observer::DynSliceObserver;

/// A [`SharedArray`](crate::SharedArray) or [`SharedSlice`](crate::SharedSlice) as the bytes of its elements, in place, for
/// programs that learn their type when they run.
///
/// It is the same segment, with the same lock, readers, poison and conditions. Elements are plain data of any bits, so there are
/// none that a schema does not allow.
///
/// # Examples
///
/// ```
/// use robust_shm::SharedSlice;
/// use robust_shm::dynamic::DynSlice;
///
/// let name = robust_shm::unique_name("samples");
/// let samples = SharedSlice::create_from(&name, &[1u16, 2, 3])?; // usually in another program
///
/// let bytes = DynSlice::open(&name)?; // of whatever type and length
/// assert_eq!((bytes.schema().unwrap().to_string().as_str(), bytes.len(), bytes.element_size()), ("u16", 3, 2));
/// bytes.lock()?.as_bytes_mut()[4..].copy_from_slice(&9u16.to_ne_bytes());
/// assert_eq!(samples.to_vec()?, [1, 2, 9]);
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[must_use = "keep it: `let slice = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct DynSlice {
    segment: Segment<ElementsOf<Bytes>>,
}

impl Face for DynSlice {
    type Contents = ElementsOf<Bytes>;

    fn from_segment(segment: Segment<ElementsOf<Bytes>>) -> Self {
        Self { segment }
    }
}

impl HasPoison for DynSlice {}
impl HasReaders for DynSlice {}

impl Handle for DynSlice {
    type Contents = ElementsOf<Bytes>;

    fn segment(&self) -> &Segment<ElementsOf<Bytes>> {
        &self.segment
    }
}

/// Methods that lock or read, each with a form whose guard keeps the handle alive. `$take`: makes the `$held` of a handle.
macro_rules! methods_with_guards {
    ($held:ident, $take:ident: $(
        $(#[$doc:meta])* $borrowed:ident $owned:ident ($($argument:ident: $type:ty)?) $wait:expr;
    )*) => {$(
        $(#[$doc])*
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn $borrowed(&self $(, $argument: $type)?) -> Result<$held<&Self>, LockError> {
            $held::$take(self, $wait)
        }

        #[doc = concat!("Like [`", stringify!($borrowed), "`](Self::", stringify!($borrowed), "), with a guard that keeps the handle alive.")]
        ///
        /// # Errors
        ///
        #[doc = concat!("The same as [`", stringify!($borrowed), "`](Self::", stringify!($borrowed), ").")]
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn $owned(self: &Arc<Self> $(, $argument: $type)?) -> Result<$held<Arc<Self>>, LockError> {
            $held::$take(Arc::clone(self), $wait)
        }
    )*};
}

impl DynSlice {
    /// Creates `len` elements of this type, filled with zeros.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::create`](crate::SharedSlice::create); [`Error::InvalidArgument`] when the schema has a `bool`, a
    /// `char` or an enum in it: elements are used in place, where any bits may come to stand. Use `u8` or `u32`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    /// use robust_shm::dynamic::{DynSlice, Schema};
    ///
    /// let name = robust_shm::unique_name("create");
    /// let slice = DynSlice::create(&name, &Schema::parse("f64")?, 1_000)?;
    /// assert_eq!(SharedArray::<f64, 1_000>::open(&name)?.get(999)?, 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(name: &str, schema: &Schema, len: usize) -> Result<Self, Error> {
        Self::options().create(name, schema, len)
    }

    /// Opens an array or a slice, of whatever elements, however long it is, and whatever its
    /// [tag](crate::Options::type_tag) is, unless the options state one.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::open`](crate::SharedSlice::open); [`Error::TypeMismatch`] when it has no elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynSlice;
    ///
    /// let name = robust_shm::unique_name("open");
    /// let array = robust_shm::SharedArray::<u32, 4>::create(&name)?;
    /// assert_eq!(DynSlice::open(&name)?.len(), 4);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Opens an array or a slice of elements of this type, however long it is. What the segment says of them must
    /// [agree](Schema::agrees), or, if it says nothing, the type's name must be the same.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::TypeMismatch`] names the first field that differs.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::{DynSlice, Schema};
    ///
    /// let name = robust_shm::unique_name("open-as");
    /// let array = robust_shm::SharedArray::<u32, 4>::create(&name)?;
    /// assert!(DynSlice::open_as(&name, &Schema::parse("u32")?).is_ok());
    /// assert!(DynSlice::open_as(&name, &Schema::parse("f32")?).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_as(name: &str, schema: &Schema) -> Result<Self, Error> {
        Self::options().open_as(name, schema)
    }

    /// Opens `len` elements of this type, or creates them, filled with zeros. Of programs that do this at once, exactly one
    /// creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open_as`](Self::open_as), except `AlreadyExists` and `NotFound`; and
    /// [`Error::TypeMismatch`] for another length.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::{DynSlice, Schema};
    ///
    /// let name = robust_shm::unique_name("either");
    /// let first = DynSlice::open_or_create(&name, &Schema::parse("[f32;3]")?, 10)?;
    /// let second = DynSlice::open_or_create(&name, &Schema::parse("[f32;3]")?, 10)?;
    /// assert!(first.was_created() && !second.was_created());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "keep it: `let slice = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str, schema: &Schema, len: usize) -> Result<Self, Error> {
        Self::options().open_or_create(name, schema, len)
    }

    /// Looks at elements without being a user of them: see [`DynSliceObserver`].
    ///
    /// # Errors
    ///
    /// As [`SharedValue::observe`](crate::SharedValue::observe), of an array or a slice of whatever elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynSlice;
    ///
    /// let name = robust_shm::unique_name("observe");
    /// let array = robust_shm::SharedArray::create_from(&name, &[7u8, 8, 9])?;
    /// let mut bytes = [0; 2];
    /// DynSlice::observe(&name)?.copy_unlocked(1, &mut bytes)?;
    /// assert_eq!(bytes, [8, 9]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn observe(name: &str) -> Result<DynSliceObserver, Error> {
        Self::options().observe(name)
    }

    methods_of_every_face!("slice": "dynamic::DynSlice"("&name, &\"u8\".parse().unwrap(), 4"));
    conditions_of!(
        "robust_shm::dynamic::DynSlice::create(&robust_shm::unique_name(\"conditions\"), &\"u8\".parse().unwrap(), 4)"
    );

    /// What the elements are made of, if the segment says it, or [`open_as`](Self::open_as) did.
    #[must_use]
    pub fn schema(&self) -> Option<&Schema> {
        self.segment.schema()
    }

    /// How many bytes an element has.
    #[must_use]
    pub fn element_size(&self) -> usize {
        self.segment.extent().len.elem_size
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segment.extent().len.len
    }

    /// Whether there are no elements at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a holder died or panicked and nobody has repaired the elements. A snapshot taken without the lock: it may be
    /// out of date when it returns.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.segment.mutex().is_poisoned()
    }

    methods_with_guards! {
        DynSliceGuard, to_change:

        /// Waits for the lock.
        ///
        /// # Errors
        ///
        /// As [`SharedSlice::lock`](crate::SharedSlice::lock).
        ///
        /// # Examples
        ///
        /// ```
        /// use std::sync::Arc;
        ///
        /// use robust_shm::dynamic::{DynSlice, DynSliceGuard};
        ///
        /// let name = robust_shm::unique_name("lock");
        /// let slice = Arc::new(DynSlice::create(&name, &"u8".parse().unwrap(), 3)?);
        /// slice.lock()?.as_bytes_mut()[1] = 7;
        ///
        /// let mut owned: DynSliceGuard<Arc<DynSlice>> = slice.lock_owned()?; // no lifetime
        /// owned.as_bytes_mut()[2] = 8;
        /// assert_eq!(owned.as_bytes(), [0, 7, 8]);
        /// # drop(owned);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        lock lock_owned() Wait::Forever;

        /// Like [`lock`](Self::lock), but does not wait.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldBlock`] when anybody holds the lock; otherwise the same as [`lock`](Self::lock).
        try_lock try_lock_owned() Wait::No;

        /// Like [`lock`](Self::lock), but waits for at most `timeout`. `Duration::MAX` means no deadline.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`] with the holder's thread id; otherwise the same as [`lock`](Self::lock).
        try_lock_for try_lock_owned_for(timeout: Duration) Wait::at_most(timeout);

        /// Like [`lock`](Self::lock), but waits until `deadline` at the latest.
        ///
        /// # Errors
        ///
        /// The same as [`try_lock_for`](Self::try_lock_for).
        try_lock_until try_lock_owned_until(deadline: Instant) Wait::until(deadline);
    }

    methods_with_guards! {
        DynSliceGuard, to_repair:

        /// Waits for the lock, whether the elements are poisoned or not.
        ///
        /// # Errors
        ///
        /// The same as [`lock`](Self::lock), except `Poisoned`.
        lock_ignoring_poison lock_owned_ignoring_poison() Wait::Forever;

        /// Like [`lock_ignoring_poison`](Self::lock_ignoring_poison), but does not wait.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldBlock`] when anybody holds the lock; otherwise the same as
        /// [`lock_ignoring_poison`](Self::lock_ignoring_poison).
        try_lock_ignoring_poison try_lock_owned_ignoring_poison() Wait::No;

        /// Like [`lock_ignoring_poison`](Self::lock_ignoring_poison), but waits for at most `timeout`.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`]; otherwise the same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
        try_lock_ignoring_poison_for try_lock_owned_ignoring_poison_for(timeout: Duration) Wait::at_most(timeout);
    }

    /// Waits for the lock; if the elements are poisoned, runs the closure, which repairs them, and then clears the poison. If
    /// the closure panics, the poison stays.
    ///
    /// # Errors
    ///
    /// The same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynSlice;
    ///
    /// let slice = DynSlice::create(&robust_shm::unique_name("recover"), &"u8".parse().unwrap(), 3)?;
    /// let guard = slice.lock_recover(|bytes| bytes.fill(0))?;
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock_recover(&self, repair: impl FnOnce(&mut [u8])) -> Result<DynSliceGuard<&Self>, LockError> {
        let mut guard = self.lock_ignoring_poison()?;
        DynSliceGuard::recover(&mut guard, repair);
        Ok(guard)
    }

    /// Like [`lock_recover`](Self::lock_recover), with a guard that keeps the handle alive.
    ///
    /// # Errors
    ///
    /// The same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock_owned_recover(
        self: &Arc<Self>,
        repair: impl FnOnce(&mut [u8]),
    ) -> Result<DynSliceGuard<Arc<Self>>, LockError> {
        let mut guard = self.lock_owned_ignoring_poison()?;
        DynSliceGuard::recover(&mut guard, repair);
        Ok(guard)
    }

    methods_with_guards! {
        DynSliceReadGuard, new:

        /// Waits until nobody writes, and reads beside any number of others.
        ///
        /// # Errors
        ///
        /// As [`SharedSlice::read`](crate::SharedSlice::read).
        ///
        /// # Examples
        ///
        /// ```
        /// use robust_shm::dynamic::DynSlice;
        ///
        /// let slice = DynSlice::create(&robust_shm::unique_name("read"), &"u8".parse().unwrap(), 3)?;
        /// let (one, another) = (slice.read()?, slice.read()?);
        /// assert_eq!(one.as_bytes(), another.as_bytes());
        /// # drop((one, another));
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        read read_owned() Wait::Forever;

        /// Like [`read`](Self::read), but does not wait.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldBlock`] when anybody holds the lock; otherwise the same as [`read`](Self::read).
        try_read try_read_owned() Wait::No;

        /// Like [`read`](Self::read), but waits for at most `timeout`. `Duration::MAX` means no deadline.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`] with the writer's thread id; otherwise the same as [`read`](Self::read).
        try_read_for try_read_owned_for(timeout: Duration) Wait::at_most(timeout);

        /// Like [`read`](Self::read), but waits until `deadline` at the latest.
        ///
        /// # Errors
        ///
        /// The same as [`try_read_for`](Self::try_read_for).
        try_read_until try_read_owned_until(deadline: Instant) Wait::until(deadline);
    }
}

/// Shows the name, how many elements there are, and the first of them. Never waits.
impl fmt::Debug for DynSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("DynSlice");
        out.field("name", &self.name()).field("len", &self.len());
        match self.try_lock_to_look() {
            Ok(bytes) => out.field("first", &bytes.as_deref().map(|bytes| Shown { schema: self.schema(), bytes })),
            Err(LockError::Poisoned { .. }) => out.field("first", &format_args!("<poisoned>")),
            Err(_) => out.field("first", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

impl DynSlice {
    /// A copy of the first element, if there is one.
    fn try_lock_to_look(&self) -> Result<Option<Vec<u8>>, LockError> {
        if self.is_empty() {
            return Ok(None);
        }
        let size = self.element_size();
        let mut first = vec![0; size]; // before the lock: memory may take its time
        self.segment.read(Wait::No, |bytes| first.copy_from_slice(&bytes.as_slice()[..size]))?;
        Ok(Some(first))
    }
}
