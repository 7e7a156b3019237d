//! [`SharedLock`]: a lock for something that is not in shared memory, or in another segment.

use std::fmt;
use std::time::{Duration, Instant};

use crate::condvar::conditions_of;
use crate::error::{Error, LockError};
use crate::face::{Face, HasPoison, StartsEmpty, methods_of_every_face};
use crate::kind::Kind;
use crate::segment::{Contents, Expected, LockOnly, Segment};
use crate::sync::mutex::Wait;

mod guard;
mod owned;

pub use guard::LockGuard;
pub use owned::OwnedLockGuard;

/// A named lock between processes.
///
/// [`SharedValue`](crate::SharedValue) and [`SharedArray`](crate::SharedArray) have a lock inside; this one is for what
/// has none: a file, a device, several segments that must change together.
///
/// A holder that dies or panics leaves the lock poisoned: what it guards may be half-changed. `lock` then fails until
/// somebody has repaired it: under [`lock_recover`](Self::lock_recover), or with [`LockGuard::recover`] under one of
/// the forms that ignore the poison ([`lock_ignoring_poison`](Self::lock_ignoring_poison) and its siblings).
///
/// # Examples
///
/// ```
/// use robust_shm::SharedLock;
///
/// let lock = SharedLock::open_or_create(&robust_shm::unique_name("lock"))?;
/// {
///     let _guard = lock.lock()?;
///     // nobody else is in here
/// }
/// lock.with(|| println!("the same, for one call"))?;
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// **One leads, the others stand by.** The lock guards nothing here: it only says who leads. So it is made without
/// [poison](crate::Options::poison), and when the leader ends, in whatever way, one of the others goes on at once:
///
/// ```
/// use robust_shm::SharedLock;
///
/// let leader = SharedLock::options().poison(false).open_or_create("acme-leader")?;
/// let _lead = leader.lock()?; // waits, for days if need be, until the leader has left or was killed
/// println!("process {} leads", std::process::id());
/// // the work of the leader, as long as `_lead` lives
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// `examples/leader.rs` does so with three processes, of which two are killed. A program that is to end when another
/// instance runs asks with [`try_lock`](Self::try_lock) in place of `lock`, and ends at `WouldBlock`; where there is
/// something to repair after a kill, with [`try_lock_ignoring_poison`](Self::try_lock_ignoring_poison).
#[must_use = "keep it: `let lock = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct SharedLock {
    segment: Segment<LockOnly>,
}

impl Face for SharedLock {
    type Contents = LockOnly;

    fn from_segment(segment: Segment<LockOnly>) -> Self {
        Self { segment }
    }
}

impl StartsEmpty for SharedLock {}
impl HasPoison for SharedLock {}

impl Contents for LockOnly {
    const KIND: Kind = Kind::Lock;
    type Stated = ();
    type Extent = ();

    fn expected((): &()) -> Expected {
        Expected::of_nothing(Kind::Lock)
    }
}

impl SharedLock {
    /// Creates the lock, free.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::create`](crate::SharedValue::create).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("create"))?;
    /// assert!(lock.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let lock = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(name: &str) -> Result<Self, Error> {
        Self::options().create(name)
    }

    /// Opens a lock that exists.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::open`](crate::SharedValue::open).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedLock};
    ///
    /// assert!(matches!(SharedLock::open("nobody-made-this"), Err(Error::NotFound { .. })));
    /// ```
    #[must_use = "keep it: `let lock = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Opens the lock, or creates it.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::open_or_create`](crate::SharedValue::open_or_create).
    ///
    /// # Examples
    ///
    /// ```
    /// let name = robust_shm::unique_name("either");
    /// let first = robust_shm::SharedLock::open_or_create(&name)?;
    /// let second = robust_shm::SharedLock::open_or_create(&name)?;
    /// assert!(first.was_created() && !second.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let lock = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str) -> Result<Self, Error> {
        Self::options().open_or_create(name)
    }

    methods_of_every_face!("lock": "SharedLock"("&name"));
    conditions_of!("robust_shm::SharedLock::create(&robust_shm::unique_name(\"conditions\"))");

    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] when a holder died or panicked and nobody has repaired what it left; the lock is then
    /// not held. [`LockError::WouldDeadlock`] when this thread holds it already; [`LockError::Io`] when the thread
    /// cannot lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{LockError, SharedLock};
    ///
    /// let lock = SharedLock::create(&robust_shm::unique_name("lock"))?;
    /// let guard = lock.lock()?;
    /// assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })));
    /// drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock(&self) -> Result<LockGuard<'_>, LockError> {
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
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("try-lock"))?;
    /// assert!(lock.try_lock().is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock(&self) -> Result<LockGuard<'_>, LockError> {
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
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("try-lock-for"))?;
    /// assert!(lock.try_lock_for(Duration::from_millis(100)).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_for(&self, timeout: Duration) -> Result<LockGuard<'_>, LockError> {
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
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("try-lock-until"))?;
    /// assert!(lock.try_lock_until(Instant::now() + Duration::from_millis(100)).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_until(&self, deadline: Instant) -> Result<LockGuard<'_>, LockError> {
        self.lock_for(Wait::until(deadline))
    }

    /// Waits for the lock, whether it is poisoned or not.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock), except `Poisoned`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{LockGuard, SharedLock};
    ///
    /// let lock = SharedLock::create(&robust_shm::unique_name("ignoring"))?;
    /// let guard = lock.lock_ignoring_poison()?;
    /// assert!(!LockGuard::is_poisoned(&guard));
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock_ignoring_poison(&self) -> Result<LockGuard<'_>, LockError> {
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
    /// One instance at a time, also after one was killed:
    ///
    /// ```
    /// use robust_shm::{LockError, LockGuard, SharedLock};
    ///
    /// let lock = SharedLock::open_or_create(&robust_shm::unique_name("only-instance"))?;
    /// match lock.try_lock_ignoring_poison() {
    ///     Ok(mut guard) => {
    ///         LockGuard::recover(&mut guard, || println!("the last instance died: looking at what it left"));
    ///         // work, as long as the guard lives
    ///     }
    ///     Err(LockError::WouldBlock { .. }) => println!("another instance is running"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_ignoring_poison(&self) -> Result<LockGuard<'_>, LockError> {
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
    ///
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("try-ignoring-for"))?;
    /// assert!(lock.try_lock_ignoring_poison_for(Duration::from_millis(100)).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn try_lock_ignoring_poison_for(&self, timeout: Duration) -> Result<LockGuard<'_>, LockError> {
        self.lock_either(Wait::at_most(timeout))
    }

    /// Waits for the lock; if it is poisoned, runs the closure, which repairs what the lock guards, and then clears the
    /// poison: [`lock_ignoring_poison`](Self::lock_ignoring_poison), then [`LockGuard::recover`]. If the closure
    /// panics, the poison stays.
    ///
    /// # Errors
    ///
    /// The same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("recover"))?;
    /// let guard = lock.lock_recover(|| println!("a holder died: checking the file"))?;
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
    pub fn lock_recover(&self, repair: impl FnOnce()) -> Result<LockGuard<'_>, LockError> {
        let mut guard = self.lock_ignoring_poison()?;
        LockGuard::recover(&mut guard, repair);
        Ok(guard)
    }

    /// Runs the closure under the lock. The lock is poisoned unless the closure returns, whether it panics or anything
    /// else unwinds it.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("with"))?;
    /// assert_eq!(lock.with(|| 6 * 7)?, 42);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn with<R>(&self, action: impl FnOnce() -> R) -> Result<R, LockError> {
        Ok(self.segment.lock_whole(Wait::Forever)?.run(action))
    }

    #[inline(always)]
    fn lock_either(&self, wait: Wait) -> Result<LockGuard<'_>, LockError> {
        Ok(LockGuard { locked: self.segment.lock(wait)?.begun(), nothing: () })
    }

    #[inline(always)]
    fn lock_for(&self, wait: Wait) -> Result<LockGuard<'_>, LockError> {
        Ok(LockGuard { locked: self.segment.lock_whole(wait)?.begun(), nothing: () })
    }

    /// Takes the lock if it is not poisoned.
    /// Whether a holder died or panicked and nobody has repaired what it left. A snapshot taken without the lock: it
    /// may be out of date when it returns.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("is-poisoned"))?;
    /// assert!(!lock.is_poisoned());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.segment.mutex().is_poisoned()
    }
}

/// Shows the name and whether the lock is free. It never takes the lock: what it shows may be out of date.
impl fmt::Debug for SharedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mutex = self.segment.mutex();
        let state = match (mutex.is_locked(), mutex.is_poisoned()) {
            (false, false) => "free",
            (false, true) => "poisoned",
            (true, false) => "locked",
            (true, true) => "locked, poisoned",
        };
        f.debug_struct("SharedLock").field("name", &self.name()).field("state", &format_args!("<{state}>")).finish()
    }
}
