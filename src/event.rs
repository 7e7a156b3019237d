//! [`SharedEvent`]: one says that something has happened, and any number wait until it has.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{Error, LockError};
use crate::face::{Face, StartsEmpty, methods_of_every_face};
use crate::kind::Kind;
use crate::options::Options;
use crate::segment::{Contents, EventOnly, Expected, Segment};
use crate::sync::mutex::{Event, Wait};

mod observer;

pub use observer::EventObserver;

/// A named event between processes: it is set or it is not, and any number wait until it is.
///
/// As Python's `Event`: [`set`](Self::set) lets all go on who wait, and all who come later, until somebody calls
/// [`clear`](Self::clear). Nobody holds an event and nobody uses it up, so there is nothing to give back, and no death can
/// take it along.
///
/// Whoever has waited sees all that was written before, by everybody who had set the event. Setting it when it is set
/// already counts, too.
///
/// # Examples
///
/// **Ready, and over.** One program prepares something, any number wait until it has, whichever is started first; and all
/// of them end when they are told:
///
/// ```
/// use std::time::Duration;
///
/// use robust_shm::SharedEvent;
///
/// // in the program that prepares
/// let (ready, over) = (SharedEvent::open_or_create("acme-ready")?, SharedEvent::open_or_create("acme-over")?);
/// // load the model, fill the cache
/// ready.set()?;
///
/// // in each worker
/// let (ready, over) = (SharedEvent::open_or_create("acme-ready")?, SharedEvent::open_or_create("acme-over")?);
/// ready.wait_for(Duration::from_secs(60))?; // an error that says so, if nobody has set it by then
/// # over.set()?;
/// while over.wait_for(Duration::from_millis(250)).is_err() {
///     // what is to be done four times a second, until it is over
/// }
///
/// // when all are to end
/// over.set()?;
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// **There is something to do.** Who works clears the event *first*, and then looks what there is: whatever comes after
/// the look sets the event again.
///
/// ```
/// use robust_shm::{SharedEvent, SharedValue};
/// # let (name, other) = (robust_shm::unique_name("orders"), robust_shm::unique_name("bell"));
///
/// let orders = SharedValue::open_or_create(&name, 0u64)?; // how many there are
/// let bell = SharedEvent::open_or_create(&other)?;
///
/// // who orders
/// orders.update(|orders| *orders += 1)?;
/// bell.set()?;
///
/// // who delivers
/// bell.wait()?;
/// bell.clear()?;
/// let mut taken = 0;
/// orders.update(|orders| taken = std::mem::take(orders))?;
/// assert_eq!(taken, 1);
/// # Ok::<(), robust_shm::Error>(())
/// ```
///
/// # When a process dies
///
/// | it is killed while it | then |
/// |---|---|
/// | waits, asleep or just woken | nothing: the others are woken as if it had not been there |
/// | sets the event | the event is not set, or it is set and **all** who sleep go on: what the dead one has not done, the first who looks does, or the one whom the kernel wakes |
/// | clears the event | it is cleared or not; those who were to go on do |
///
/// An event stays as it is when the one who has set it dies. It goes, as every segment, when its last user leaves: so who
/// sets an event for programs that are not there yet keeps its handle, or makes it with
/// [`persistent(true)`](crate::Options::persistent). A persistent event that was set is still set when somebody opens it
/// again.
///
/// # Limits
///
/// * A `wait` that sleeps when the event is set returns, even if it is cleared at once. One that was called a moment ago
///   and is on its way to sleep may miss that, as everywhere; so may, for some microseconds in three seconds, one whose
///   sleep ends by itself to look. It then notices at its next look.
/// * To hand on a thing to *one* of several, an event is not the right tool: all of them go on.
/// * [`set`](Self::set), [`clear`](Self::clear) and [`is_set`](Self::is_set) may be called in a signal handler, if the
///   thread that it interrupts has waited for an event or locked before, or has opened or created one of the segments: the
///   first time, a thread is looked up, which may allocate.
/// * With [`LockKind::File`](crate::LockKind::File) the kernel tells nobody that a setter was killed: those who sleep find what
///   it has set by themselves, within a tenth of a second. There are no events with
///   [`LockKind::OsMutex`](crate::LockKind::OsMutex).
#[must_use = "keep it: `let event = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct SharedEvent {
    segment: Segment<EventOnly>,
}

impl Face for SharedEvent {
    type Contents = EventOnly;

    fn from_segment(segment: Segment<EventOnly>) -> Self {
        Self { segment }
    }
}

impl StartsEmpty for SharedEvent {}

impl Options<SharedEvent> {
    /// As [`SharedEvent::observe`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn observe(&self, name: &str) -> Result<EventObserver, Error> {
        EventObserver::open(name, &self.settings)
    }
}

impl Contents for EventOnly {
    const KIND: Kind = Kind::Event;
    type Stated = ();
    type Extent = ();

    fn expected((): &()) -> Expected {
        Expected::of_nothing(Kind::Event)
    }
}

impl SharedEvent {
    /// Creates the event, not set.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::create`](crate::SharedValue::create).
    ///
    /// # Examples
    ///
    /// ```
    /// let event = robust_shm::SharedEvent::create(&robust_shm::unique_name("create"))?;
    /// assert!(event.was_created() && !event.is_set());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let event = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(name: &str) -> Result<Self, Error> {
        Self::options().create(name)
    }

    /// Opens an event that exists, set or not.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::open`](crate::SharedValue::open).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedEvent};
    ///
    /// assert!(matches!(SharedEvent::open("nobody-made-this"), Err(Error::NotFound { .. })));
    /// ```
    #[must_use = "keep it: `let event = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Opens the event, or creates it.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::open_or_create`](crate::SharedValue::open_or_create).
    ///
    /// # Examples
    ///
    /// ```
    /// let name = robust_shm::unique_name("either");
    /// let first = robust_shm::SharedEvent::open_or_create(&name)?;
    /// let second = robust_shm::SharedEvent::open_or_create(&name)?;
    /// assert!(first.was_created() && !second.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let event = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str) -> Result<Self, Error> {
        Self::options().open_or_create(name)
    }

    /// A look at an event by one who is no user of it: see [`EventObserver`].
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); it is enough that this user may read the segment.
    pub fn observe(name: &str) -> Result<EventObserver, Error> {
        Self::options().observe(name)
    }

    methods_of_every_face!("event": "SharedEvent"("&name"));

    /// Sets the event: all who wait go on, and so do all who come, until it is cleared.
    ///
    /// # Errors
    ///
    /// [`LockError::Io`] when somebody sleeps, and this thread cannot see to it that he is woken whatever happens: as where
    /// it cannot lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = robust_shm::SharedEvent::create(&robust_shm::unique_name("set"))?;
    /// event.set()?;
    /// event.set()?;
    /// assert!(event.is_set());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn set(&self) -> Result<(), LockError> {
        self.event().set()
    }

    /// Clears the event: who comes now waits until it is set again. Who slept when it was set goes on all the same.
    ///
    /// # Errors
    ///
    /// The same as [`set`](Self::set).
    ///
    /// # Examples
    ///
    /// ```
    /// let event = robust_shm::SharedEvent::create(&robust_shm::unique_name("clear"))?;
    /// event.set()?;
    /// event.clear()?;
    /// assert!(!event.is_set());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn clear(&self) -> Result<(), LockError> {
        self.event().clear()
    }

    /// Whether the event is set. Costs one load; if it says yes, what was written before the event was set is seen.
    ///
    /// # Examples
    ///
    /// ```
    /// let over = robust_shm::SharedEvent::create(&robust_shm::unique_name("is-set"))?;
    /// over.set()?;
    /// while !over.is_set() {
    ///     // work
    /// }
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.event().is_set()
    }

    /// Waits until the event is set. If it is, that costs one load.
    ///
    /// # Errors
    ///
    /// [`LockError::Io`] when the thread would have to sleep and cannot: as where it cannot lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedEvent;
    ///
    /// let go = SharedEvent::create(&robust_shm::unique_name("wait"))?;
    /// std::thread::scope(|scope| {
    ///     let waiter = scope.spawn(|| go.wait());
    ///     go.set()?;
    ///     waiter.join().unwrap()
    /// })?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn wait(&self) -> Result<(), LockError> {
        self.event().wait(|| Wait::Forever)
    }

    /// Like [`wait`](Self::wait), but for at most `timeout`. `Duration::MAX` means no deadline.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], without a holder; otherwise the same as [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use robust_shm::{LockError, SharedEvent};
    ///
    /// let event = SharedEvent::create(&robust_shm::unique_name("wait-for"))?;
    /// assert!(matches!(event.wait_for(Duration::from_millis(10)), Err(LockError::TimedOut { .. })));
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn wait_for(&self, timeout: Duration) -> Result<(), LockError> {
        self.event().wait(|| Wait::at_most(timeout))
    }

    /// Like [`wait`](Self::wait), but until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`wait_for`](Self::wait_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use robust_shm::SharedEvent;
    ///
    /// let event = SharedEvent::create(&robust_shm::unique_name("wait-until"))?;
    /// event.set()?;
    /// event.wait_until(Instant::now() + Duration::from_secs(1))?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn wait_until(&self, deadline: Instant) -> Result<(), LockError> {
        self.event().wait(|| Wait::until(deadline))
    }

    #[inline(always)]
    fn event(&self) -> Event<'_> {
        self.segment.mutex().event()
    }
}

/// Shows the name and whether the event is set.
impl fmt::Debug for SharedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedEvent").field("name", &self.name()).field("set", &self.is_set()).finish()
    }
}
