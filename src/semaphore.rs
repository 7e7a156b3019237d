//! [`SharedSemaphore`]: a number of permits, which come back from whoever is killed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, LockError};
use crate::face::{Face, methods_of_every_face};
use crate::layout::MAX_PERMITS;
use crate::segment::{PermitsOnly, Segment};
use crate::sync::habits::Homes;
use crate::sync::mutex::{Taken, Wait};

mod observer;
mod options;
mod permit;

pub use observer::SemaphoreObserver;
pub use permit::{OwnedPermit, Permit};

/// So many at once, and no more, of all the processes that open it by name.
///
/// Each of its permits has a number, and a [`Permit`] knows [its own](Permit::index): so they can stand for things of which
/// there are a few, as the GPUs of a machine, ports, or directories of workers. A permit comes back when it is dropped; when the
/// thread ends that has it; and, whatever else happens, when its process dies.
///
/// # Examples
///
/// Any number of programs share the four GPUs of a machine. No two have the same at a time, and who is killed with one leaves it
/// to the next:
///
/// ```
/// use robust_shm::SharedSemaphore;
///
/// # let name = robust_shm::unique_name("gpus");
/// let gpus = SharedSemaphore::open_or_create(&name, 4)?;
/// let gpu = gpus.acquire()?; // waits while all four are taken
/// println!("computing on GPU {}", gpu.index());
/// assert_eq!(gpus.available(), 3);
/// drop(gpu);
/// assert_eq!(gpus.available(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What it is not
///
/// There is no `release` that adds a permit which nobody had, and nothing to poison: what a permit stands for is free again
/// as it was left. Who needs to know that the last one died with it uses [`SharedLock`](crate::SharedLock)s.
///
/// A thread may have several permits. If several threads take them one by one until they have enough, they can all wait
/// for each other, as with any lock; only a thread that holds *all* and asks for one more is told.
///
/// # Who is next
///
/// Who wants a permit looks at all of them, from the one that its thread had last; so while there are enough, no two processes
/// touch the same memory. Whoever waits is woken when one comes free; one who comes at that moment may be first, but not again and
/// again: once somebody has waited for a millisecond in vain, those who come leave free permits for as long to those who wait. (A
/// [`try_acquire`](Self::try_acquire) then finds none.)
///
/// # What a kill does
///
/// Killed with a permit: the kernel frees it, and wakes one who waits. Killed while it waits, or just after it was woken: the
/// wake-up goes to the next. In no case is a permit lost, or does anybody sleep beside a free one. (Linux before 5.16, and
/// sandboxes without `futex_waitv`: for a tenth of a second, if the one who released was killed in the middle of it.)
///
/// Where there are no robust lists, permits are of [`LockKind::File`](crate::LockKind::File): those who want one look which
/// of the holders' *processes* are alive, and find a dead one's permit within some milliseconds; a thread that ends before
/// its process, with a leaked permit, keeps it.
#[must_use = "keep it: `let semaphore = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct SharedSemaphore {
    segment: Segment<PermitsOnly>,
    homes: Homes,
}

impl Face for SharedSemaphore {
    type Contents = PermitsOnly;

    fn from_segment(segment: Segment<PermitsOnly>) -> Self {
        Self { segment, homes: Homes::default() }
    }
}

/// The forms of [`SharedSemaphore::acquire`]: borrowing, and owning.
macro_rules! forms_of_acquire {
    ($($(#[$doc:meta])* $borrowing:ident $owning:ident ($($argument:ident: $type:ty)?) $wait:expr;)*) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            #[must_use = "bind it: `let permit = ...?;` (without a binding, it is given back at once)"]
            pub fn $borrowing(&self, $($argument: $type)?) -> Result<Permit<'_>, LockError> {
                Ok(Permit { semaphore: self, taken: self.take($wait)? })
            }

            #[doc = concat!("[`", stringify!($borrowing), "`](Self::", stringify!($borrowing), ") for a permit that keeps the handle alive.")]
            ///
            /// # Errors
            ///
            #[doc = concat!("As [`", stringify!($borrowing), "`](Self::", stringify!($borrowing), ").")]
            #[must_use = "bind it: `let permit = ...?;` (without a binding, it is given back at once)"]
            pub fn $owning(self: &Arc<Self>, $($argument: $type)?) -> Result<OwnedPermit, LockError> {
                Ok(OwnedPermit { taken: self.take($wait)?, semaphore: Arc::clone(self) })
            }
        )*
    };
}

impl SharedSemaphore {
    /// Creates a semaphore of so many permits, 1 to 127, of which nobody has any.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] if there is one of this name; [`Error::InvalidArgument`] for another number of permits; see
    /// [`Error`].
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(name: &str, permits: usize) -> Result<Self, Error> {
        Self::options().create(name, permits)
    }

    /// Opens a semaphore, of however many permits.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is none; see [`Error`].
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Opens a semaphore of just so many permits.
    ///
    /// # Errors
    ///
    /// [`Error::TypeMismatch`] if it has another number of them; else as [`open`](Self::open).
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_exact(name: &str, permits: usize) -> Result<Self, Error> {
        Self::options().open_exact(name, permits)
    }

    /// Opens a semaphore of just so many permits, or creates it.
    ///
    /// # Errors
    ///
    /// [`Error::TypeMismatch`] if there is one with another number of them; else as [`create`](Self::create).
    #[must_use = "keep it: `let semaphore = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str, permits: usize) -> Result<Self, Error> {
        Self::options().open_or_create(name, permits)
    }

    /// A look at a semaphore by one who is no user of it: see [`SemaphoreObserver`].
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); it is enough that this user may read the segment.
    pub fn observe(name: &str) -> Result<SemaphoreObserver, Error> {
        Self::options().observe(name)
    }

    methods_of_every_face!("semaphore": "SharedSemaphore"("&name, 4"));

    forms_of_acquire! {
        /// Takes a permit; waits while there is none.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldDeadlock`] if this very thread has all of them.
        acquire acquire_owned() Wait::Forever;

        /// Takes a permit if there is one.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldBlock`] if there is none.
        try_acquire try_acquire_owned() Wait::No;

        /// Takes a permit; waits for so long at most.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`], or as [`acquire`](Self::acquire).
        try_acquire_for try_acquire_owned_for(timeout: Duration) Wait::at_most(timeout);

        /// Takes a permit; waits until then at most.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`], or as [`acquire`](Self::acquire).
        try_acquire_until try_acquire_owned_until(deadline: Instant) Wait::until(deadline);
    }

    #[inline(always)]
    fn take(&self, wait: Wait) -> Result<Taken, LockError> {
        self.segment.permits().acquire(&self.homes, wait)
    }

    /// How many permits nobody has: a moment's picture, already old when it is returned. For people, not for decisions:
    /// those are what [`try_acquire`](Self::try_acquire) is for.
    #[must_use]
    pub fn available(&self) -> usize {
        self.segment.permits().available()
    }

    /// How many permits there are.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.segment.permits().count()
    }
}

impl fmt::Debug for SharedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSemaphore")
            .field("name", &self.name())
            .field("permits", &self.permits())
            .field("available", &self.available())
            .finish()
    }
}

/// Says so if there cannot be a semaphore of so many permits.
fn check_permits(name: &str, permits: usize) -> Result<(), Error> {
    if (1..=MAX_PERMITS).contains(&permits) {
        return Ok(());
    }
    Err(Error::InvalidArgument {
        name: name.into(),
        what: "the number of permits",
        expected: format!("1 to {MAX_PERMITS}"),
        found: permits.to_string(),
    })
}
