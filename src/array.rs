//! [`SharedArray`]: many elements, changed in place.

use std::time::{Duration, Instant};

use crate::error::{Error, LockError};
use crate::face::{Face, HasPoison, StartsEmpty, methods_of_every_face};
use crate::identity::TypeName;
use crate::kind::{Kind, Shape};
use crate::layout;
use crate::segment::{ArrayOf, Contents, Locked, Segment};
use crate::sync::mutex::Wait;

mod access;
mod element;
mod guard;
mod options;
mod show;

pub use element::Element;
pub use guard::ArrayGuard;

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
    segment: Segment<ArrayOf<T, N>>,
}

impl<T: Element, const N: usize> Face for SharedArray<T, N> {
    type Contents = ArrayOf<T, N>;

    fn from_segment(segment: Segment<ArrayOf<T, N>>) -> Self {
        Self { segment }
    }
}

impl<T: Element, const N: usize> StartsEmpty for SharedArray<T, N> {}
impl<T: Element, const N: usize> HasPoison for SharedArray<T, N> {}

impl<T: Element, const N: usize> Contents for ArrayOf<T, N> {
    const SHAPE: Shape = {
        assert!(align_of::<T>() <= layout::PAGE, "the elements of a SharedArray are aligned to at most 4,096 bytes");
        Shape {
            kind: Kind::Array,
            elem_size: size_of::<T>() as u64,
            elem_align: align_of::<T>() as u64,
            len: Some(N as u64),
        }
    };

    fn type_name() -> TypeName {
        TypeName::of::<T>()
    }
}

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
    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] when a holder died or panicked and nobody has repaired the elements; the lock is then
    /// not held. [`LockError::WouldDeadlock`] when this thread holds it already; [`LockError::Io`] when the thread
    /// cannot lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<i32, 3>::create(&robust_shm::unique_name("lock"))?;
    /// array.lock()?[1] = 5;
    /// assert_eq!(array.to_vec()?, [0, 5, 0]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock(&self) -> Result<ArrayGuard<'_, T, N>, LockError> {
        self.lock_for(Wait::Forever)
    }

    /// Like [`lock`](Self::lock), but does not wait.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] when anybody holds the lock; otherwise the same as [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<i32, 3>::create(&robust_shm::unique_name("try-lock"))?;
    /// array.try_lock()?.fill(1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock(&self) -> Result<ArrayGuard<'_, T, N>, LockError> {
        self.lock_for(Wait::No)
    }

    /// Like [`lock`](Self::lock), but waits for at most `timeout`. `Duration::MAX` means no deadline.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] with the holder's thread id; otherwise the same as [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let array = robust_shm::SharedArray::<i32, 3>::create(&robust_shm::unique_name("try-lock-for"))?;
    /// array.try_lock_for(Duration::from_millis(100))?.fill(1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_for(&self, timeout: Duration) -> Result<ArrayGuard<'_, T, N>, LockError> {
        self.lock_for(Wait::at_most(timeout))
    }

    /// Like [`lock`](Self::lock), but waits until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`try_lock_for`](Self::try_lock_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let array = robust_shm::SharedArray::<i32, 3>::create(&robust_shm::unique_name("try-lock-until"))?;
    /// array.try_lock_until(Instant::now() + Duration::from_millis(100))?.fill(1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_until(&self, deadline: Instant) -> Result<ArrayGuard<'_, T, N>, LockError> {
        self.lock_for(Wait::until(deadline))
    }

    /// Waits for the lock, whether the array is poisoned or not.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock), except `Poisoned`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{ArrayGuard, SharedArray};
    ///
    /// let array = SharedArray::<i32, 3>::create(&robust_shm::unique_name("ignoring"))?;
    /// let mut guard = array.lock_ignoring_poison()?;
    /// if ArrayGuard::is_poisoned(&guard) {
    ///     println!("a holder died; what it left: {guard:?}");
    /// }
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock_ignoring_poison(&self) -> Result<ArrayGuard<'_, T, N>, LockError> {
        self.lock_either(Wait::Forever)
    }

    /// Like [`lock_ignoring_poison`](Self::lock_ignoring_poison), but does not wait.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] when anybody holds the lock; otherwise the same as
    /// [`lock_ignoring_poison`](Self::lock_ignoring_poison).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{ArrayGuard, SharedArray};
    ///
    /// let array = SharedArray::<i32, 3>::create(&robust_shm::unique_name("try-ignoring"))?;
    /// let mut guard = array.try_lock_ignoring_poison()?;
    /// ArrayGuard::recover(&mut guard, |elements| elements.fill(0));
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_ignoring_poison(&self) -> Result<ArrayGuard<'_, T, N>, LockError> {
        self.lock_either(Wait::No)
    }

    /// Like [`lock_ignoring_poison`](Self::lock_ignoring_poison), but waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`]; otherwise the same as
    /// [`lock_ignoring_poison`](Self::lock_ignoring_poison).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use robust_shm::{ArrayGuard, SharedArray};
    ///
    /// let array = SharedArray::<i32, 3>::create(&robust_shm::unique_name("try-ignoring-for"))?;
    /// let mut guard = array.try_lock_ignoring_poison_for(Duration::from_millis(100))?;
    /// ArrayGuard::recover(&mut guard, |elements| elements.fill(0));
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_ignoring_poison_for(&self, timeout: Duration) -> Result<ArrayGuard<'_, T, N>, LockError> {
        self.lock_either(Wait::at_most(timeout))
    }

    /// Waits for the lock; if the array is poisoned, runs the closure, which repairs the elements, and then clears the
    /// poison: [`lock_ignoring_poison`](Self::lock_ignoring_poison), then [`ArrayGuard::recover`]. If the closure
    /// panics, the poison stays.
    ///
    /// # Errors
    ///
    /// The same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<i32, 3>::create(&robust_shm::unique_name("lock-recover"))?;
    /// let guard = array.lock_recover(|elements| elements.fill(0))?;
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock_recover(&self, repair: impl FnOnce(&mut [T; N])) -> Result<ArrayGuard<'_, T, N>, LockError> {
        let mut guard = self.lock_ignoring_poison()?;
        ArrayGuard::recover(&mut guard, repair);
        Ok(guard)
    }

    #[inline(always)]
    fn lock_either(&self, wait: Wait) -> Result<ArrayGuard<'_, T, N>, LockError> {
        let mut locked = self.segment.lock(wait)?;
        locked.begin_changes();
        Ok(ArrayGuard { locked })
    }

    #[inline(always)]
    fn lock_for(&self, wait: Wait) -> Result<ArrayGuard<'_, T, N>, LockError> {
        let mut locked = self.lock_whole(wait)?;
        locked.begin_changes();
        Ok(ArrayGuard { locked })
    }

    /// Takes the lock if the elements are whole.
    #[inline(always)]
    fn lock_whole(&self, wait: Wait) -> Result<Locked<'_, ArrayOf<T, N>>, LockError> {
        let locked = self.segment.lock(wait)?;
        if locked.is_poisoned() {
            locked.release_or_poison();
            return Err(self.segment.poisoned_error());
        }
        Ok(locked)
    }

    /// Copies something out, under the lock. A death in it poisons nothing.
    #[inline(always)]
    fn read<R>(&self, wait: Wait, copy: impl FnOnce(&[T; N]) -> R) -> Result<R, LockError> {
        let locked = self.lock_whole(wait)?;
        let result = copy(locked.array()); // only copies, and so cannot panic
        locked.release_or_poison();
        Ok(result)
    }

    /// Whether a holder died or panicked and nobody has repaired the elements. A snapshot taken without the lock: it
    /// may be out of date when it returns.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<u8, 2>::create(&robust_shm::unique_name("is-poisoned"))?;
    /// assert!(!array.is_poisoned());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.segment.mutex().is_poisoned()
    }

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
