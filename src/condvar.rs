//! [`SharedCondvar`]: waiting, with a lock, for something that another holder of it says.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::LockError;
use crate::sync::mutex::{Mutex, Wait, Whom};

/// How many conditions each lock has.
const CONDITIONS: usize = 3;

/// One of the three conditions of a [`SharedLock`](crate::SharedLock), [`SharedArray`](crate::SharedArray) or
/// [`SharedSlice`](crate::SharedSlice): a holder of the lock waits until another one notifies it, and the lock is free
/// meanwhile.
///
/// As `std::sync::Condvar`, and as the `Condition` of Python's `multiprocessing`, which is a lock with a condition. It is a part
/// of the segment whose lock it belongs to, and needs no name of its own: [`condvar()`](crate::SharedLock::condvar) gives
/// the first, [`condvar_at(1)`](crate::SharedLock::condvar_at) and `condvar_at(2)` the others.
///
/// Notifying takes the guard, because it needs the lock: so a notification is a part of what the lock guards, and outlives
/// whoever gave it.
///
/// # Examples
///
/// **A bounded buffer**, which any number of programs fill and empty:
///
/// ```
/// use robust_shm::{LockError, SharedArray};
///
/// const ROOM: usize = 16;
/// const TAKEN: usize = ROOM; // behind the places: how many numbers were taken, and how many put
/// const PUT: usize = ROOM + 1;
///
/// fn put(buffer: &SharedArray<u64, { ROOM + 2 }>, item: u64) -> Result<(), LockError> {
///     let (not_empty, not_full) = (buffer.condvar_at(0), buffer.condvar_at(1));
///     let mut data = not_full.wait_while(buffer.lock()?, |data| data[PUT] - data[TAKEN] == ROOM as u64)?;
///     let place = data[PUT] as usize % ROOM;
///     data[place] = item;
///     data[PUT] += 1;
///     not_empty.notify_one(&data);
///     Ok(())
/// }
///
/// fn take(buffer: &SharedArray<u64, { ROOM + 2 }>) -> Result<u64, LockError> {
///     let (not_empty, not_full) = (buffer.condvar_at(0), buffer.condvar_at(1));
///     let mut data = not_empty.wait_while(buffer.lock()?, |data| data[PUT] == data[TAKEN])?;
///     let item = data[data[TAKEN] as usize % ROOM];
///     data[TAKEN] += 1;
///     not_full.notify_one(&data);
///     Ok(item)
/// }
///
/// let buffer = SharedArray::open_or_create(&robust_shm::unique_name("buffer"))?;
/// std::thread::scope(|scope| {
///     let producer = scope.spawn(|| (0..100).try_for_each(|item| put(&buffer, item)));
///     for item in 0..100 {
///         assert_eq!(take(&buffer)?, item);
///     }
///     producer.join().unwrap()
/// })?;
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// # When a process dies
///
/// | it is killed while it | then |
/// |---|---|
/// | waits, asleep or just woken | nothing: what it would have been woken for goes to another one who waits |
/// | has notified, and not yet released the lock | all who wait for any of the conditions are woken: they have [`Poisoned`](LockError::Poisoned), or, where nothing is poisoned, they are woken for no reason |
/// | has notified and released | those who were notified are woken |
///
/// # Limits
///
/// * **For no reason.** A wait may end without a notification, as everywhere: every death of a holder ends all waits, and that of
///   one who was notified may end some more.
///   [`wait_while`](Self::wait_while) looks again, and is the form to use.
/// * **A deadline** ends the waiting; then the lock must be had again, which takes as long as its holder takes.
/// * With [`LockKind::File`](crate::LockKind::File) the kernel tells nobody of deaths: those who wait find what a killed one
///   has left undone by themselves, within some tenths of a second. With [`LockKind::OsMutex`](crate::LockKind::OsMutex) all
///   waits are errors, and notifying does nothing.
#[derive(Clone, Copy)]
pub struct SharedCondvar<'a> {
    mutex: &'a Mutex,
    which: usize,
}

/// Whether a wait came to its end because the time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeout(bool);

impl WaitTimeout {
    /// Was the time up, and nothing said until then?
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("timed-out"))?;
    /// let (_guard, timeout) = lock.condvar().wait_for(lock.lock()?, Duration::from_millis(10))?;
    /// assert!(timeout.timed_out());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

pub(crate) mod sealed {
    use crate::error::LockError;
    use crate::sync::mutex::{Mutex, Wait, Whom};

    /// What the conditions do with a guard.
    #[allow(private_interfaces, reason = "nobody else calls it")]
    pub trait Sealed {
        /// Is the time up? After an error the lock is not held, unless the guard still holds it when it is dropped.
        fn wait(&mut self, which: usize, wait: Wait) -> Result<bool, LockError>;

        fn notify(&self, which: usize, whom: Whom);

        /// Does it hold the lock of this one's segment?
        fn is_of(&self, mutex: &Mutex) -> bool;
    }
}

/// A guard that has a lock to itself, and may wait for a [condition](SharedCondvar) of it: [`LockGuard`](crate::LockGuard),
/// [`ArrayGuard`](crate::ArrayGuard), [`SliceGuard`](crate::SliceGuard), [`DynSliceGuard`](crate::dynamic::DynSliceGuard), and
/// [`OwnedLockGuard`](crate::OwnedLockGuard). Not for others to implement.
pub trait ExclusiveGuard: sealed::Sealed {
    /// What it guards: an array, a slice; of a lock, `()`.
    type Data: ?Sized;

    #[doc(hidden)]
    fn data(&mut self) -> &mut Self::Data;
}

impl SharedCondvar<'_> {
    /// Waits for a notification, or for nothing at all: see [`wait_while`](Self::wait_while), which looks again.
    ///
    /// # Errors
    ///
    /// After each, the lock is not held. [`LockError::Poisoned`] when a holder died or panicked meanwhile, or had before and
    /// the guard was taken regardless; [`LockError::NotHeld`] when the guard is a copy in a forked child; [`LockError::Io`]
    /// when the thread cannot sleep or lock, and always with [`LockKind::OsMutex`](crate::LockKind::OsMutex).
    ///
    /// # Panics
    ///
    /// When the guard is that of another segment.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedSlice;
    ///
    /// let cells = SharedSlice::<u32>::create(&robust_shm::unique_name("wait"), 1)?;
    /// std::thread::scope(|scope| {
    ///     let waiter = scope.spawn(|| {
    ///         let mut guard = cells.lock()?;
    ///         while guard[0] == 0 {
    ///             guard = cells.condvar().wait(guard)?;
    ///         }
    ///         Ok(guard[0])
    ///     });
    ///     let mut guard = cells.lock()?;
    ///     guard[0] = 7;
    ///     cells.condvar().notify_one(&guard);
    ///     drop(guard);
    ///     assert_eq!(waiter.join().unwrap()?, 7);
    ///     Ok::<(), robust_shm::LockError>(())
    /// })?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn wait<G: ExclusiveGuard>(&self, mut guard: G) -> Result<G, LockError> {
        self.check(&guard);
        guard.wait(self.which, Wait::Forever)?;
        Ok(guard)
    }

    /// Waits while the condition is true of what is guarded; `()` for a lock. It is asked under the lock.
    ///
    /// # Errors
    ///
    /// The same as [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// The same as [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    ///
    /// let counts = SharedArray::<u32, 2>::create(&robust_shm::unique_name("wait-while"))?;
    /// std::thread::scope(|scope| {
    ///     let waiter = scope.spawn(|| counts.condvar().wait_while(counts.lock()?, |c| c[0] < 3).map(|guard| guard[0]));
    ///     for _ in 0..3 {
    ///         let mut guard = counts.lock()?;
    ///         guard[0] += 1;
    ///         counts.condvar().notify_all(&guard);
    ///     }
    ///     assert_eq!(waiter.join().unwrap()?, 3);
    ///     Ok::<(), robust_shm::LockError>(())
    /// })?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_while<G: ExclusiveGuard>(
        &self,
        mut guard: G,
        mut condition: impl FnMut(&mut G::Data) -> bool,
    ) -> Result<G, LockError> {
        self.check(&guard);
        while condition(guard.data()) {
            guard.wait(self.which, Wait::Forever)?;
        }
        Ok(guard)
    }

    /// Like [`wait`](Self::wait), but for at most `timeout`, and then for the lock. `Duration::MAX` means no deadline.
    ///
    /// # Errors
    ///
    /// The same as [`wait`](Self::wait). That the time is up is none: the guard comes back with the answer.
    ///
    /// # Panics
    ///
    /// The same as [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("wait-for"))?;
    /// let (guard, timeout) = lock.condvar().wait_for(lock.lock()?, Duration::from_millis(10))?;
    /// assert!(timeout.timed_out());
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_for<G: ExclusiveGuard>(&self, guard: G, timeout: Duration) -> Result<(G, WaitTimeout), LockError> {
        self.wait_timed(guard, Wait::at_most(timeout))
    }

    /// Like [`wait_for`](Self::wait_for), but until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`wait_for`](Self::wait_for).
    ///
    /// # Panics
    ///
    /// The same as [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("wait-until"))?;
    /// let deadline = Instant::now() + Duration::from_millis(10);
    /// let (guard, timeout) = lock.condvar().wait_until(lock.lock()?, deadline)?;
    /// assert!(timeout.timed_out() && Instant::now() >= deadline);
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_until<G: ExclusiveGuard>(&self, guard: G, deadline: Instant) -> Result<(G, WaitTimeout), LockError> {
        self.wait_timed(guard, Wait::until(deadline))
    }

    /// Like [`wait_while`](Self::wait_while), but for at most `timeout`, and then for the lock. When the time is up, the
    /// condition is asked once more: only if it is true still, the answer is that the time was up.
    ///
    /// # Errors
    ///
    /// The same as [`wait_for`](Self::wait_for).
    ///
    /// # Panics
    ///
    /// The same as [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cells = robust_shm::SharedSlice::<u32>::create(&robust_shm::unique_name("wait-while-for"), 1)?;
    /// let wait = Duration::from_millis(10);
    /// let (guard, timeout) = cells.condvar().wait_while_for(cells.lock()?, wait, |cells| cells[0] == 0)?;
    /// assert!(timeout.timed_out() && guard[0] == 0);
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_while_for<G: ExclusiveGuard>(
        &self,
        guard: G,
        timeout: Duration,
        condition: impl FnMut(&mut G::Data) -> bool,
    ) -> Result<(G, WaitTimeout), LockError> {
        self.wait_while_timed(guard, Wait::at_most(timeout), condition)
    }

    /// Like [`wait_while_for`](Self::wait_while_for), but until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`wait_for`](Self::wait_for).
    ///
    /// # Panics
    ///
    /// The same as [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let cells = robust_shm::SharedSlice::<u32>::create(&robust_shm::unique_name("wait-while-until"), 1)?;
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// let (guard, timeout) = cells.condvar().wait_while_until(cells.lock()?, deadline, |cells| cells[0] > 0)?;
    /// assert!(!timeout.timed_out());
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_while_until<G: ExclusiveGuard>(
        &self,
        guard: G,
        deadline: Instant,
        condition: impl FnMut(&mut G::Data) -> bool,
    ) -> Result<(G, WaitTimeout), LockError> {
        self.wait_while_timed(guard, Wait::until(deadline), condition)
    }

    /// Has one of those who wait go on, when the lock is released. If nobody waits, nothing is left of it. Costs two stores.
    ///
    /// # Panics
    ///
    /// When the guard is that of another segment.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("notify-one"))?;
    /// let guard = lock.lock()?;
    /// lock.condvar().notify_one(&guard);
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn notify_one<G: ExclusiveGuard>(&self, guard: &G) {
        self.check(guard);
        guard.notify(self.which, Whom::One);
    }

    /// Has all of those who wait go on, one after the other: each has the lock before the next one is woken.
    ///
    /// # Panics
    ///
    /// When the guard is that of another segment.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("notify-all"))?;
    /// let guard = lock.lock()?;
    /// lock.condvar_at(2).notify_all(&guard);
    /// # drop(guard);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn notify_all<G: ExclusiveGuard>(&self, guard: &G) {
        self.check(guard);
        guard.notify(self.which, Whom::Everybody);
    }

    #[track_caller]
    fn wait_timed<G: ExclusiveGuard>(&self, mut guard: G, wait: Wait) -> Result<(G, WaitTimeout), LockError> {
        self.check(&guard);
        let time_is_up = guard.wait(self.which, wait)?;
        Ok((guard, WaitTimeout(time_is_up)))
    }

    #[track_caller]
    fn wait_while_timed<G: ExclusiveGuard>(
        &self,
        mut guard: G,
        wait: Wait,
        mut condition: impl FnMut(&mut G::Data) -> bool,
    ) -> Result<(G, WaitTimeout), LockError> {
        self.check(&guard);
        let mut time_is_up = false;
        while condition(guard.data()) {
            if time_is_up {
                return Ok((guard, WaitTimeout(true)));
            }
            time_is_up = guard.wait(self.which, wait)?;
        }
        Ok((guard, WaitTimeout(false)))
    }

    #[track_caller]
    fn check<G: ExclusiveGuard>(&self, guard: &G) {
        assert!(
            guard.is_of(self.mutex),
            "the condition is one of segment {:?}, and the guard holds the lock of another; give it the guard of the lock that the condition belongs to",
            self.mutex.name()
        );
    }
}

impl<'a> SharedCondvar<'a> {
    /// # Panics
    ///
    /// If there is none at this place.
    #[track_caller]
    pub(crate) fn new(mutex: &'a Mutex, which: usize) -> Self {
        assert!(which < CONDITIONS, "there is no condition {which}: a lock has the conditions 0, 1 and 2");
        Self { mutex, which }
    }
}

/// Shows the name of the segment, and which of its conditions it is.
impl fmt::Debug for SharedCondvar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCondvar").field("name", &self.mutex.name()).field("index", &self.which).finish()
    }
}

/// The ways of a `$handle`, made so in an example, to its conditions.
macro_rules! conditions_of {
    ($example:expr) => {
        /// The first of the lock's three conditions: see [`SharedCondvar`](crate::SharedCondvar).
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let one = ", $example, "?;")]
        /// one.condvar().notify_all(&one.lock()?);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use]
        pub fn condvar(&self) -> crate::condvar::SharedCondvar<'_> {
            self.condvar_at(0)
        }

        /// The condition number 0, 1 or 2 of the lock. Programs agree about what each is for.
        ///
        /// # Panics
        ///
        /// When `index` is 3 or more.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let one = ", $example, "?;")]
        /// let (not_empty, not_full) = (one.condvar_at(0), one.condvar_at(1));
        /// # not_empty.notify_one(&one.lock()?);
        /// # not_full.notify_one(&one.lock()?);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use]
        #[track_caller]
        pub fn condvar_at(&self, index: usize) -> crate::condvar::SharedCondvar<'_> {
            crate::condvar::SharedCondvar::new(self.segment.mutex(), index)
        }
    };
}
pub(crate) use conditions_of;

/// The same, of one whose elements are zero at first.
macro_rules! conditions_of_elements {
    ($handle:ident) => {
        crate::condvar::conditions_of!(concat!(
            "robust_shm::",
            stringify!($handle),
            "::create_from(&robust_shm::unique_name(\"conditions\"), &[0; 4])"
        ));
    };
}
pub(crate) use conditions_of_elements;
