//! [`SharedValue`]: one value that is never torn.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{Error, LockError};
use crate::face::{Face, methods_of_every_face};
use crate::segment::{Segment, ValueOf};
use crate::shareable::Shareable;
use crate::sync::commit::CommitCell;
use crate::sync::mutex::Wait;
use crate::sync::words::{Copied, Unchecked};

mod changes;
mod guard;
mod observer;
mod options;
pub(crate) mod read;

pub use guard::ValueGuard;
pub use observer::ValueObserver;
use read::{Source, invalid_value};

/// One value of type `T` in a named segment, with its lock.
///
/// Any program of the same user opens it by name. Writers work on a private copy and commit it at once, so the value is
/// whole at every moment, whoever is killed at whatever instruction; readers never wait.
///
/// The segment goes when its last user drops the handle or exits; one whose last user was killed goes when its name is
/// used again, with one of the next creations of any segment, or by [`remove_orphans`](crate::remove_orphans).
///
/// # Examples
///
/// ```
/// use robust_shm::SharedValue;
///
/// let name = robust_shm::unique_name("value");
/// let value = SharedValue::create(&name, 40u64)?;
/// *value.lock()? += 1; // lock, change a copy, commit
/// value.update(|v| *v += 1)?; // the same
///
/// let elsewhere = SharedValue::<u64>::open(&name)?; // usually in another program
/// assert_eq!(elsewhere.get(), 42);
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// **A configuration, and those who watch it**: who waits for a change sleeps until there is one. There is more of that at
/// [`wait_newer`](Self::wait_newer).
///
/// ```no_run
/// use robust_shm::SharedValue;
///
/// let workers = SharedValue::open_or_create("acme-workers", 4u32)?;
/// let mut seen = u64::MAX;
/// loop {
///     println!("{} workers", workers.wait_newer(&mut seen)?); // at once the first time, then after each change
/// }
/// # #[expect(unreachable_code)]
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// More than 64 KiB does not compile; larger things are arrays:
///
/// ```compile_fail
/// let value = robust_shm::SharedValue::create("too-large", [0u8; 65_537]);
/// ```
///
/// Nor does an alignment of more than 4,096, which no mapping is sure to have:
///
/// ```compile_fail
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C, align(8192))]
/// struct Odd([u8; 8192]);
/// let value = robust_shm::SharedValue::create("too-aligned", Odd([0; 8192]));
/// ```
#[must_use = "keep it: `let value = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct SharedValue<T> {
    segment: Segment<ValueOf<T>>,
}

impl<T: Shareable> Face for SharedValue<T> {
    type Contents = ValueOf<T>;

    fn from_segment(segment: Segment<ValueOf<T>>) -> Self {
        Self { segment }
    }
}

// The bound stands on the functions and not on the block: so the compiler explains a missing derive.
impl<T> SharedValue<T> {
    /// Creates the segment with its first value.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] while a live or a persistent segment has the name, [`Error::OutOfSharedMemory`],
    /// [`Error::InvalidName`], and what the operating system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedValue};
    ///
    /// let name = robust_shm::unique_name("create");
    /// let value = SharedValue::create(&name, 1.5f64)?;
    /// assert!(matches!(SharedValue::create(&name, 2.5f64), Err(Error::AlreadyExists { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(name: &str, initial: T) -> Result<Self, Error>
    where
        T: Shareable,
    {
        Self::options().create(name, initial)
    }

    /// Opens a segment that another program, or this one, has created.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when nobody holds such a segment, [`Error::TypeMismatch`] when it holds something else (the
    /// fields of a struct are not compared: see [`Options::type_tag`](crate::Options::type_tag)), and the errors for
    /// files that are not, or not quite, segments of ours: see [`Error`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedValue};
    ///
    /// assert!(matches!(SharedValue::<i32>::open("nobody-made-this"), Err(Error::NotFound { .. })));
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error>
    where
        T: Shareable,
    {
        Self::options().open(name)
    }

    /// Opens the segment, or creates it with `initial` if there is none. Of programs that do this at once, exactly one
    /// creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open`](Self::open), except `AlreadyExists` and `NotFound`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("open-or-create");
    /// let first = SharedValue::open_or_create(&name, 'a')?;
    /// let second = SharedValue::open_or_create(&name, 'b')?;
    /// assert!(first.was_created() && !second.was_created());
    /// assert_eq!(second.get(), 'a');
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str, initial: T) -> Result<Self, Error>
    where
        T: Shareable,
    {
        Self::options().open_or_create(name, initial)
    }

    /// Looks at a value without being a user of it: see [`ValueObserver`].
    ///
    /// # Errors
    ///
    /// The same as [`open`](Self::open), but that a segment whose users were all killed is there as long as its name is;
    /// and [`Error::PermissionDenied`] only where the mode does not allow this user to *read*.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("observe");
    /// let value = SharedValue::create(&name, 40u64)?;
    /// let observer = SharedValue::<u64>::observe(&name)?; // usually in a monitor
    /// value.update(|v| *v += 2)?;
    /// assert_eq!(observer.get(), 42);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn observe(name: &str) -> Result<ValueObserver<T>, Error>
    where
        T: Shareable,
    {
        Self::options().observe(name)
    }

    methods_of_every_face!("value": "SharedValue::<u64>"("&name, 7") where T: Shareable);
}

impl<T: Shareable> SharedValue<T> {
    /// The value: a consistent copy of the last commit. `get` takes no lock, and never waits for a writer that is slow,
    /// stopped or dead.
    ///
    /// # Panics
    ///
    /// When the bytes in the segment are not a valid `T`, which needs a peer that wrote something else on purpose.
    /// [`try_get`](Self::try_get) returns an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("get"), true)?;
    /// assert_eq!(value.get(), true);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&self) -> T {
        read::get(self)
    }

    /// Like [`get`](Self::get), but returns an error when the bytes are not a valid `T`.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidValue`] when the bytes in the segment are not a valid `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("try-get"), 'x')?;
    /// assert_eq!(value.try_get()?, 'x');
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn try_get(&self) -> Result<T, LockError> {
        read::try_get(self)
    }

    /// The value, if there has been a commit since the one numbered `seen`; `seen` is then set to its number. `None`
    /// while the number of commits is still `seen`. A `seen` of `u64::MAX` means "I have seen none yet".
    ///
    /// # Panics
    ///
    /// The same as [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("changed"), 1)?;
    /// let mut seen = value.commits();
    /// assert_eq!(value.get_if_changed(&mut seen), None);
    /// value.set(2)?;
    /// assert_eq!(value.get_if_changed(&mut seen), Some(2));
    /// assert_eq!(value.get_if_changed(&mut seen), None);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_if_changed(&self, seen: &mut u64) -> Option<T> {
        read::get_if_changed(self, seen)
    }

    /// Replaces the value. The old value is not looked at, so this also repairs one that is invalid.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock), except `InvalidValue`.
    ///
    /// # Examples
    ///
    /// ```
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("set"), [0u8; 4])?;
    /// value.set(*b"done")?;
    /// assert_eq!(&value.get(), b"done");
    /// // `value.set(f(value.get()))` would lose what others commit in between: that is what `update` is for.
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn set(&self, value: T) -> Result<(), LockError> {
        let locked = self.segment.lock(Wait::Forever)?;
        locked.commit_and_release(&value, 1);
        Ok(())
    }

    /// Changes the value under the lock, and returns what was committed. If the closure does not return, because it
    /// panics or something else unwinds it, nothing is committed.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("update"), 20)?;
    /// assert_eq!(value.update(|v| *v += 1)?, 21);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn update(&self, change: impl FnOnce(&mut T)) -> Result<T, LockError> {
        let mut guard = self.lock()?;
        change(&mut guard.copy);
        guard.changed = 1; // only now: whatever unwinds the closure commits nothing
        Ok(guard.copy)
    }

    /// Changes the value under the lock if the closure succeeds; an `Err` rolls back, and so does whatever unwinds it.
    ///
    /// # Errors
    ///
    /// The closure's, and those of [`lock`](Self::lock) made into them.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedValue};
    ///
    /// let balance = SharedValue::create(&robust_shm::unique_name("try-update"), 100i64)?;
    /// let taken: Result<i64, Box<dyn std::error::Error>> = balance.try_update(|b| {
    ///     *b -= 150;
    ///     if *b < 0 { Err("not enough money")? }
    ///     Ok(150)
    /// });
    /// assert!(taken.is_err());
    /// assert_eq!(balance.get(), 100);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn try_update<R, E: From<LockError>>(&self, change: impl FnOnce(&mut T) -> Result<R, E>) -> Result<R, E> {
        let mut guard = self.lock()?;
        let result = change(&mut guard.copy);
        guard.changed = usize::from(result.is_ok()); // only now, as in `update`
        result
    }

    /// Waits for the lock and gives a private copy of the value, which is committed when the guard is dropped, if it
    /// was used mutably. A panic that begins under the guard commits nothing; an early `return` or `?` does.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldDeadlock`] when this thread holds the lock already, [`LockError::InvalidValue`] when the bytes
    /// in the segment are not a valid `T`, [`LockError::Io`] when the thread cannot lock (it holds 2,000 locks; it is
    /// of a process that was made by a raw `clone`). Never `Poisoned`: a value is whole whoever died.
    ///
    /// # Examples
    ///
    /// ```
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("lock"), 1)?;
    /// {
    ///     let mut guard = value.lock()?;
    ///     *guard += 1;
    ///     assert_eq!((*guard, value.get()), (2, 1)); // others still see the last commit
    /// }
    /// assert_eq!(value.get(), 2);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock(&self) -> Result<ValueGuard<'_, T>, LockError> {
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
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("try-lock"), 1)?;
    /// let guard = value.try_lock()?;
    /// assert!(matches!(value.try_lock(), Err(robust_shm::LockError::WouldBlock { .. })));
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock(&self) -> Result<ValueGuard<'_, T>, LockError> {
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
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("try-lock-for"), 1)?;
    /// *value.try_lock_for(Duration::from_millis(100))? += 1;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_for(&self, timeout: Duration) -> Result<ValueGuard<'_, T>, LockError> {
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
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("try-lock-until"), 1)?;
    /// *value.try_lock_until(Instant::now() + Duration::from_millis(100))? += 1;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_until(&self, deadline: Instant) -> Result<ValueGuard<'_, T>, LockError> {
        self.lock_for(Wait::until(deadline))
    }

    #[inline(always)]
    fn lock_for(&self, wait: Wait) -> Result<ValueGuard<'_, T>, LockError> {
        let locked = self.segment.lock(wait)?;
        let mut bytes = Unchecked::new();
        bytes.read_locked(&locked.cell());
        match locked.releasing_on_panic(|| bytes.check()) {
            Some(copy) => Ok(ValueGuard { locked, copy, changed: 0 }),
            None => {
                locked.release_or_poison();
                Err(self.invalid_value())
            }
        }
    }

    /// How many commits all programs have made since the creation; 0 at first.
    ///
    /// # Examples
    ///
    /// ```
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("commits"), 1)?;
    /// value.set(2)?;
    /// assert_eq!(value.commits(), 1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn commits(&self) -> u64 {
        self.segment.commits()
    }

    #[cold]
    fn invalid_value(&self) -> LockError {
        invalid_value::<T>(self.segment.shared_name())
    }
}

impl<T: Shareable> Source for SharedValue<T> {
    #[inline(always)]
    fn cell(&self) -> (CommitCell<'_>, bool) {
        (self.segment.cell(), true) // while it is used, nobody makes another in its place
    }

    #[inline(always)]
    fn is_there(&self) -> bool {
        true
    }

    #[inline(always)]
    fn read_among_writers(&self, bytes: &mut impl Copied) -> u64 {
        self.segment.read_among_writers(bytes)
    }

    #[cold]
    fn no_value(&self) -> LockError {
        self.invalid_value()
    }
}

/// Shows the name and the value; never waits.
impl<T: Shareable + fmt::Debug> fmt::Debug for SharedValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SharedValue");
        out.field("name", &self.name());
        match self.try_get() {
            Ok(value) => out.field("value", &value),
            Err(_) => out.field("value", &format_args!("<invalid>")),
        };
        out.finish_non_exhaustive()
    }
}
