//! The builder behind `options()`, and the lock kinds.

use std::marker::PhantomData;

use crate::kind::{Body, Kind, Word};
use crate::layout::USUAL_READERS;
use crate::schema::Schema;

/// How a segment's lock works. The creator chooses, the segment records it, openers follow.
///
/// [`default`](Self::default) is what a creator gets who chooses none, and [`is_available`](Self::is_available) says which
/// there are:
///
/// | | Linux | Windows | macOS, FreeBSD |
/// |---|---|---|---|
/// | `Futex` | default, where the kernel keeps robust lists | – | – |
/// | `File` | available; default where there are no such lists | default | default |
/// | `OsMutex` | available | – | – |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockKind {
    /// A futex in the kernel's robust list: as fast as a mutex inside one process, and handed over by the kernel at
    /// once when its holder dies. Its users may be in several PID namespaces. Of Linux alone, and the default there, where
    /// there are such lists.
    Futex,

    /// The same word without the list, for systems and sandboxes that have none; the default there, and to be had
    /// everywhere. As fast while nobody dies, and as fair. Its users may be in several PID namespaces.
    ///
    /// On Linux, macOS and FreeBSD the kernel tells by a file lock which *processes* are alive, and those who wait look at it: one of them each
    /// millisecond, for all. So
    ///
    /// * the death of a holder is noticed within **some milliseconds**; within 0.13 s if the waiter that looks for all
    ///   is killed with him, or stopped. Whoever comes for the lock, if only by `try_lock`, notices it at once;
    /// * only the end of a whole **process** counts: a thread that ends before it, with a leaked guard, keeps its lock;
    /// * while somebody waits for a long time, one process wakes up a thousand times a second for a moment;
    /// * no pointer stands in shared memory: who may write to the segment can change what it holds and hold up its
    ///   users, but not write elsewhere in their memory by way of the lock.
    ///
    /// On macOS and FreeBSD no call wakes who sleeps on a word of a file: each waiter looks by himself, soon and then each
    /// millisecond.
    ///
    /// On Windows those who wait for a lock look at nothing: they sleep on kernel objects, and the first of them is woken by the
    /// release, and **at once by the end of the holder's thread**, be it that its process lives on. Whoever waits for a
    /// commit, an event, a condition, a permit or readers looks for himself there, each millisecond. See
    /// [systems](crate::guide::systems).
    File,

    /// The operating system's own mutex, a process-shared `pthread_mutex_t`, by the crate `raw_sync`, on Linux: for programs whose
    /// waiters the C library and the kernel are to queue as they do, or that run where there are no robust futexes. Its
    /// users must all have the same C library; they may be in several PID namespaces.
    ///
    /// **Nobody is told of the death of a holder**, which is the promise that all else in this crate keeps:
    ///
    /// * A holder that is killed, or ends with a leaked guard, keeps the lock until every user of the segment has gone.
    ///   So does a process that is killed at the moment when the lock is handed to it: others may then sleep behind a
    ///   lock that is free, until somebody takes and releases it again.
    /// * Until then `lock`, and what takes the lock without a limit (`set`, `update`, `to_vec` …), **waits for ever**.
    ///   Use `try_lock_for`: it ends with [`TimedOut`](crate::LockError::TimedOut), which names the holder where it can.
    ///   Reading a value (`get`), opening, closing, listing and removing do not wait.
    /// * Nobody reads an array side by side ([`read`](crate::SharedArray::read) is an error), and there are no semaphores, events
    ///   or [`SharedRwLock`](crate::SharedRwLock)s: the C library's mutex is one, and nothing else.
    /// * The way out: end all users (the next one starts with a free lock, with all data if the segment is persistent,
    ///   poisoned if the holder may have been changing them), or [`remove`](crate::remove) the name and create anew.
    /// * A panic under a guard poisons as with other kinds: it unwinds, and releases.
    /// * On other systems there is none ([`is_available`](Self::is_available)). On Windows a mutex is an object of the session and
    ///   not of the segment, which `raw_sync` finds by a number that another program may have used, too; those of macOS and FreeBSD
    ///   cannot be in a segment.
    /// * A signal handler must not lock what the thread that it interrupts may be locking: C libraries allow no mutex
    ///   there. Nobody is in turn: the C library's mutex goes to whoever is first.
    OsMutex,
}

impl LockKind {
    pub(crate) fn stored(self) -> u32 {
        match self {
            Self::Futex => 1,
            Self::File => 2,
            Self::OsMutex => 3,
        }
    }

    pub(crate) fn from_stored(number: u32) -> Option<Self> {
        [Self::Futex, Self::File, Self::OsMutex].into_iter().find(|kind| kind.stored() == number)
    }

    /// Can a segment of this kind have it? The C library's mutex says who holds it, and nothing else.
    pub(crate) fn serves(self, kind: Kind) -> bool {
        kind.word() == Word::Holder && kind.body() != Body::Readers || !self.is_the_c_librarys()
    }

    /// Can there be readers side by side? Each of their slots is a lock, too.
    pub(crate) fn has_readers(self) -> bool {
        !self.is_the_c_librarys()
    }

    /// Is the lock made by the C library, and so of use only to programs that have the same one?
    pub(crate) fn is_the_c_librarys(self) -> bool {
        match self {
            Self::Futex | Self::File => false,
            Self::OsMutex => true,
        }
    }
}

/// How to create or open a segment, when the plain forms do not fit. `H` is the handle that will come out:
/// [`SharedValue`](crate::SharedValue), [`SharedArray`](crate::SharedArray), [`SharedSlice`](crate::SharedSlice),
/// [`SharedLock`](crate::SharedLock), or another of them.
///
/// # Examples
///
/// ```
/// use robust_shm::SharedValue;
///
/// let name = robust_shm::unique_name("options");
/// let value = SharedValue::<u64>::options().mode(0o660).type_tag("acme.Counter/1").create(&name, 7)?;
/// assert_eq!(value.get(), 7);
///
/// // A program that states no tag, or another one, is told so.
/// assert!(SharedValue::<u64>::open(&name).is_err());
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[must_use = "options do nothing until create, open or open_or_create is called"]
pub struct Options<H> {
    pub(crate) settings: Settings,
    handle: PhantomData<fn() -> H>,
}

/// The options without the handle's type.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// As stated, as all that are `Option`s: an opener that states nothing follows the segment.
    pub(crate) mode: Option<u32>,
    pub(crate) persistent: Option<bool>,
    pub(crate) lock_kind: Option<LockKind>,
    pub(crate) poison: Option<bool>,
    pub(crate) readers: Option<usize>,
    pub(crate) allowed_owners: Vec<u32>,
    pub(crate) type_tag: Option<String>,
    /// Does an opener take whatever tag there is, of what has no elements?
    pub(crate) any_tag: bool,
    /// What the elements are made of.
    pub(crate) schema: Option<Schema>,
    pub(crate) reserve: bool,
}

/// For a segment that is created.
impl Settings {
    pub(crate) fn mode(&self) -> u32 {
        self.mode.unwrap_or(0o600)
    }

    pub(crate) fn persistent(&self) -> bool {
        self.persistent.unwrap_or(false)
    }

    pub(crate) fn lock_kind(&self) -> LockKind {
        self.lock_kind.unwrap_or_default()
    }

    pub(crate) fn poison(&self) -> bool {
        self.poison.unwrap_or(true)
    }

    /// How many slots for readers side by side, of what can have any.
    pub(crate) fn readers(&self) -> usize {
        self.readers.unwrap_or(if self.lock_kind().has_readers() { USUAL_READERS } else { 0 })
    }
}

impl<H> Options<H> {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            mode: None,
            persistent: None,
            lock_kind: None,
            poison: None,
            readers: None,
            allowed_owners: Vec::new(),
            type_tag: None,
            any_tag: false,
            schema: None,
            reserve: true,
        };
        Self { settings, handle: PhantomData }
    }

    /// The permission bits of a segment that is created; 0600 by default, and the umask does not narrow them. Whoever
    /// may write **controls this process**: see the trust model in the [crate documentation](crate::guide::limits#trust). The owner
    /// always keeps read and write permission; bits above 0777 are ignored. An opener that states a mode wants exactly
    /// that one: see [`Error::OptionMismatch`](crate::Error::OptionMismatch).
    ///
    /// On Windows a segment is its user's alone, and a creation with another mode than 0600 fails. On macOS and FreeBSD
    /// a mode lets nobody in, because the directory is one user's: see [systems](crate::guide::systems).
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::options().mode(0o600).create(&robust_shm::unique_name("options"))?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn mode(mut self, mode: u32) -> Self {
        self.settings.mode = Some(mode & 0o777 | 0o600);
        self
    }

    /// Whether a segment that is created stays when its last user has left, until [`remove`](crate::remove) is called
    /// or the machine restarts (on Windows, macOS and FreeBSD it stays then, too: [systems](crate::guide::systems)). `false` by
    /// default; an opener follows what it finds, unless it states something else, which is
    /// [`Error::OptionMismatch`](crate::Error::OptionMismatch).
    ///
    /// # Examples
    ///
    /// ```
    /// let name = robust_shm::unique_name("options");
    /// drop(robust_shm::SharedLock::options().persistent(true).create(&name)?);
    /// robust_shm::remove(&name)?; // it was still there
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.settings.persistent = Some(persistent);
        self
    }

    /// The lock of a segment that is created. An opener follows what it finds, unless it states something else, which is
    /// [`Error::OptionMismatch`](crate::Error::OptionMismatch).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{LockKind, SharedLock};
    ///
    /// let lock = SharedLock::options().lock_kind(LockKind::File).create(&robust_shm::unique_name("options"))?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn lock_kind(mut self, kind: LockKind) -> Self {
        self.settings.lock_kind = Some(kind);
        self
    }

    /// Accepts a segment that this user owns, beside those of the process's own effective user. May be called several
    /// times. That user can then **control this process**: see the trust model in the [crate
    /// documentation](crate::guide::limits#trust).
    ///
    /// On Windows, macOS and FreeBSD each user has a directory of his own, in which there are no other owners' segments.
    ///
    /// # Examples
    ///
    /// ```
    /// let name = robust_shm::unique_name("options");
    /// let lock = robust_shm::SharedLock::options().allow_owner(0).open_or_create(&name)?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn allow_owner(mut self, uid: u32) -> Self {
        self.settings.allowed_owners.push(uid);
        self
    }

    /// States what the bytes mean, in place of the type's name: any text that all programs agree on, best with a
    /// version, as `"acme.Point/1"`. The type's own name is a safety net only: compilers may print it differently, and
    /// two types may share it. Sizes, alignment and length are always compared.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::options().type_tag("acme.Printer/1").create(&robust_shm::unique_name("options"))?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn type_tag(mut self, tag: &str) -> Self {
        self.settings.type_tag = Some(tag.to_owned());
        self
    }

    /// Whether creation reserves the memory at once. `true` by default: a full `/dev/shm` (elsewhere: a full
    /// disk) is then an error of `create`. With `false` pages are taken at first use, and the process gets a **`SIGBUS`** if there is none left.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::options().reserve(false).create(&robust_shm::unique_name("options"))?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn reserve(mut self, reserve: bool) -> Self {
        self.settings.reserve = reserve;
        self
    }
}

impl<H> Clone for Options<H> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), handle: PhantomData }
    }
}

impl<H> std::fmt::Debug for Options<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Options").field(&self.settings).finish()
    }
}
