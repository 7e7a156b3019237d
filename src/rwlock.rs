//! [`SharedRwLock`]: any number of readers, or one writer, of what is not in shared memory, or in another segment.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{Error, LockError};
use crate::face::{Face, HasPoison, HasReaders, StartsEmpty, methods_of_every_face};
use crate::segment::{ReadersOnly, Segment};
use crate::sync::mutex::Wait;

mod guard;
mod owned;

pub use guard::{RwLockReadGuard, RwLockWriteGuard};
pub use owned::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

/// A named lock between processes, for any number of readers or one writer.
///
/// [`SharedArray`](crate::SharedArray) and [`SharedSlice`](crate::SharedSlice) have one inside; this one is for what has none: a
/// directory of files, a device, several segments that must change together. A [`SharedValue`](crate::SharedValue) needs none,
/// because its readers never wait.
///
/// # Examples
///
/// Workers read a model that lies in files, any number of them at once. The program that brings a new one waits until nobody
/// reads, and nobody reads what is half-written, whoever is killed when:
///
/// ```
/// use robust_shm::SharedRwLock;
///
/// # let name = robust_shm::unique_name("model");
/// // a worker
/// let model = SharedRwLock::open_or_create(&name)?;
/// {
///     let _reading = model.read()?;
///     // read the files
/// }
///
/// // the program that brings a new one
/// let model = SharedRwLock::open_or_create(&name)?;
/// let _writing = model.write_recover(|| println!("the last one was killed: writing all files"))?;
/// // write the files
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// # What a kill does
///
/// **Of a reader**: nothing. A writer that waits for it goes on at once, and what is read was not changed. **Of a writer**: the
/// lock is poisoned, because what it guards may be half-changed; [`read`](Self::read) and [`write`](Self::write) fail until
/// somebody has repaired it. One that is killed while it still waits has changed nothing, and leaves nothing. **Of the last one**:
/// nobody is kept out by it.
///
/// # Who is next
///
/// Neither readers nor writers can keep the others out. A writer that waits lets no new reader in: those queue behind it,
/// and in front of the next writer.
///
/// A thread that reads and wants to write deadlocks, and is told so; it must stop reading first, and look again when it
/// writes. One that reads already and reads once more is let in, unless a writer waits for it.
#[must_use = "keep it: `let lock = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct SharedRwLock {
    segment: Segment<ReadersOnly>,
}

impl Face for SharedRwLock {
    type Contents = ReadersOnly;

    fn from_segment(segment: Segment<ReadersOnly>) -> Self {
        Self { segment }
    }
}

impl StartsEmpty for SharedRwLock {}
impl HasPoison for SharedRwLock {}
impl HasReaders for SharedRwLock {}

impl SharedRwLock {
    /// Creates the lock, free.
    ///
    /// # Errors
    ///
    /// The same as [`SharedLock::create`](crate::SharedLock::create).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("create"))?;
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
    /// The same as [`SharedLock::open`](crate::SharedLock::open).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedRwLock};
    ///
    /// assert!(matches!(SharedRwLock::open("nobody-made-this"), Err(Error::NotFound { .. })));
    /// ```
    #[must_use = "keep it: `let lock = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Opens the lock, or creates it.
    ///
    /// # Errors
    ///
    /// The same as [`SharedLock::open_or_create`](crate::SharedLock::open_or_create).
    ///
    /// # Examples
    ///
    /// ```
    /// let name = robust_shm::unique_name("either");
    /// let first = robust_shm::SharedRwLock::open_or_create(&name)?;
    /// let second = robust_shm::SharedRwLock::open_or_create(&name)?;
    /// assert!(first.was_created() && !second.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let lock = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str) -> Result<Self, Error> {
        Self::options().open_or_create(name)
    }

    methods_of_every_face!("lock": "SharedRwLock"("&name"));

    /// Waits until nobody writes, and reads beside any number of others.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] when a *writer* died or panicked and nobody has repaired what it left.
    /// [`LockError::WouldDeadlock`] when this thread writes, or reads already, and would have to wait for a writer that waits
    /// for it. [`LockError::Io`] when the thread cannot lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("read"))?;
    /// let (_one, _another) = (lock.read()?, lock.read()?);
    /// assert!(lock.try_write().is_err());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, writers are let in at once)"]
    pub fn read(&self) -> Result<RwLockReadGuard<'_>, LockError> {
        self.read_for(Wait::Forever)
    }

    /// Like [`read`](Self::read), but does not wait.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] when anybody writes, or waits to write, or is just let in to read for the first time; otherwise
    /// the same as [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("try-read"))?;
    /// assert!(lock.try_read().is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, writers are let in at once)"]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_>, LockError> {
        self.read_for(Wait::No)
    }

    /// Like [`read`](Self::read), but waits for at most `timeout`. `Duration::MAX` means no deadline.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] with the writer's thread id; otherwise the same as [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("try-read-for"))?;
    /// assert!(lock.try_read_for(Duration::from_millis(100)).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, writers are let in at once)"]
    pub fn try_read_for(&self, timeout: Duration) -> Result<RwLockReadGuard<'_>, LockError> {
        self.read_for(Wait::at_most(timeout))
    }

    /// Like [`read`](Self::read), but waits until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`try_read_for`](Self::try_read_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("try-read-until"))?;
    /// assert!(lock.try_read_until(Instant::now() + Duration::from_millis(100)).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, writers are let in at once)"]
    pub fn try_read_until(&self, deadline: Instant) -> Result<RwLockReadGuard<'_>, LockError> {
        self.read_for(Wait::until(deadline))
    }

    #[inline(always)]
    fn read_for(&self, wait: Wait) -> Result<RwLockReadGuard<'_>, LockError> {
        Ok(RwLockReadGuard { reading: self.segment.enter(wait)? })
    }

    /// Waits until nobody reads or writes, and lets nobody in.
    ///
    /// # Errors
    ///
    /// [`LockError::Poisoned`] when another writer died or panicked and nobody has repaired what it left; nothing is held then.
    /// [`LockError::WouldDeadlock`] when this thread reads or writes already; [`LockError::Io`] when the thread cannot lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{LockError, SharedRwLock};
    ///
    /// let lock = SharedRwLock::create(&robust_shm::unique_name("write"))?;
    /// let reading = lock.read()?;
    /// assert!(matches!(lock.write(), Err(LockError::WouldDeadlock { .. })));
    /// drop(reading);
    /// let _writing = lock.write()?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_>, LockError> {
        self.write_for(Wait::Forever)
    }

    /// Like [`write`](Self::write), but does not wait.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] when anybody reads or writes; otherwise the same as [`write`](Self::write).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("try-write"))?;
    /// assert!(lock.try_write().is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_>, LockError> {
        self.write_for(Wait::No)
    }

    /// Like [`write`](Self::write), but waits for at most `timeout`. `Duration::MAX` means no deadline.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] with the thread id of the writer, or of a reader; otherwise the same as
    /// [`write`](Self::write).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("try-write-for"))?;
    /// assert!(lock.try_write_for(Duration::from_millis(100)).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn try_write_for(&self, timeout: Duration) -> Result<RwLockWriteGuard<'_>, LockError> {
        self.write_for(Wait::at_most(timeout))
    }

    /// Like [`write`](Self::write), but waits until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`try_write_for`](Self::try_write_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("try-write-until"))?;
    /// assert!(lock.try_write_until(Instant::now() + Duration::from_millis(100)).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn try_write_until(&self, deadline: Instant) -> Result<RwLockWriteGuard<'_>, LockError> {
        self.write_for(Wait::until(deadline))
    }

    #[inline(always)]
    fn write_for(&self, wait: Wait) -> Result<RwLockWriteGuard<'_>, LockError> {
        Ok(RwLockWriteGuard { locked: self.segment.lock_to_change(wait)? })
    }

    /// Like [`write`](Self::write), whether it is poisoned or not.
    ///
    /// # Errors
    ///
    /// The same as [`write`](Self::write), except `Poisoned`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{RwLockWriteGuard, SharedRwLock};
    ///
    /// let lock = SharedRwLock::create(&robust_shm::unique_name("ignoring"))?;
    /// let guard = lock.write_ignoring_poison()?;
    /// assert!(!RwLockWriteGuard::is_poisoned(&guard));
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn write_ignoring_poison(&self) -> Result<RwLockWriteGuard<'_>, LockError> {
        self.write_either(Wait::Forever)
    }

    /// Like [`write_ignoring_poison`](Self::write_ignoring_poison), but does not wait.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] when anybody reads or writes; otherwise the same as
    /// [`write_ignoring_poison`](Self::write_ignoring_poison).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("try-ignoring"))?;
    /// assert!(lock.try_write_ignoring_poison().is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline(always)]
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn try_write_ignoring_poison(&self) -> Result<RwLockWriteGuard<'_>, LockError> {
        self.write_either(Wait::No)
    }

    /// Like [`write_ignoring_poison`](Self::write_ignoring_poison), but waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`]; otherwise the same as [`write_ignoring_poison`](Self::write_ignoring_poison).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("try-ignoring-for"))?;
    /// assert!(lock.try_write_ignoring_poison_for(Duration::from_millis(100)).is_ok());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn try_write_ignoring_poison_for(&self, timeout: Duration) -> Result<RwLockWriteGuard<'_>, LockError> {
        self.write_either(Wait::at_most(timeout))
    }

    /// Waits until nobody reads or writes; if the lock is poisoned, runs the closure, which repairs what it guards, and then
    /// clears the poison. If the closure panics, the poison stays.
    ///
    /// # Errors
    ///
    /// The same as [`write_ignoring_poison`](Self::write_ignoring_poison).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("recover"))?;
    /// let guard = lock.write_recover(|| println!("a writer died: checking the files"))?;
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "bind it: `let _guard = ...?;` (without a binding, the others are let in at once)"]
    pub fn write_recover(&self, repair: impl FnOnce()) -> Result<RwLockWriteGuard<'_>, LockError> {
        let mut guard = self.write_ignoring_poison()?;
        RwLockWriteGuard::recover(&mut guard, repair);
        Ok(guard)
    }

    #[inline(always)]
    fn write_either(&self, wait: Wait) -> Result<RwLockWriteGuard<'_>, LockError> {
        Ok(RwLockWriteGuard { locked: self.segment.lock_to_repair(wait)? })
    }

    /// Whether a writer died or panicked and nobody has repaired what it left. A snapshot: it may be out of date when it returns.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedRwLock::create(&robust_shm::unique_name("is-poisoned"))?;
    /// assert!(!lock.is_poisoned());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.segment.mutex().is_poisoned()
    }
}

/// Shows the name, how many read, and whether it is poisoned. It never waits: what it shows may be out of date.
impl fmt::Debug for SharedRwLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRwLock")
            .field("name", &self.name())
            .field("readers", &self.segment.readers().active())
            .field("poisoned", &self.is_poisoned())
            .finish()
    }
}
