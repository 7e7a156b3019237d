//! Named, typed shared memory between unrelated processes, that survives `kill -9`.
//!
//! ```
//! use robust_shm::SharedValue;
//!
//! // Any program of the same user; the lock is inside the value.
//! let balance = SharedValue::open_or_create("acme-balance", 200i64)?;
//! *balance.lock()? += 1;
//! println!("{}", balance.get());
//! # Ok::<(), robust_shm::Error>(())
//! ```
//!
//! * [`SharedValue<T>`]: one value. Guards work on a copy and commit it at once: it is **never torn**. Readers never
//!   wait, and [observers](ValueObserver) are not even users.
//! * [`SharedArray<T, N>`]: many elements, in place. **Poisoned** when a writer died or panicked.
//! * [`SharedSlice<T>`]: the same, with a length that is chosen at run time, and that openers read from the segment.
//! * [`SharedLock`]: a lock for anything else; [`SharedRwLock`]: one with any number of readers, or one writer.
//! * [`SharedCondvar`]: three conditions in each lock, array and slice: waiting for what another holder says.
//! * [`SharedSemaphore`]: so many at once; permits come back from the killed.
//! * [`SharedEvent`]: one says that something has happened, and any number **wait** until it has.
//! * [`dynamic`]: the same segments for programs that learn their types when they run: tools, bindings of other languages.
//!
//! Structs of your own need a derive, and no padding: see [`Shareable`] and [`Element`]. [`describe!`] has the segment say of
//! what they are made.
//!
//! # Promises
//!
//! 1. **A killed process never hangs or corrupts anybody.** Whatever instruction it dies at, its locks are handed over: on
//!    Linux and Windows at once, where nobody polls for that; with [`LockKind::File`] on any Unix within some milliseconds. (Who
//!    asks for [`LockKind::OsMutex`] does without.)
//! 2. **A value is never torn.** A holder that is killed or panics commits nothing. An early `return` or `?` commits, as
//!    with any mutex; [`SharedValue::try_update`] rolls back on `Err`.
//! 3. **Reading a value never blocks**, even while a writer is hung, stopped or dead.
//! 4. **Data in place say when they may be torn**: [`LockError::Poisoned`], until somebody repairs under the lock. Readers
//!    that die tear nothing, and what cannot be torn is made with [`poison(false)`](Options::poison).
//! 5. **Opening is safe.** Nobody sees a half-made segment; a wrong type, a foreign, truncated or hostile file is a clear
//!    error before anything is dereferenced.
//! 6. **No litter.** A segment goes when its last user closes it or exits. If the last user was killed, it goes when its
//!    name is next used, when the same user next creates segments (each creation looks at some fifty to a hundred files,
//!    and the next one at others), or by [`remove_orphans`]. [Persistent](Options::persistent) segments stay until [`remove`]d.
//!
//! # More
//!
//! The [guide] tells [which type fits](guide::choosing), what happens at each point where a process can die and how to
//! [repair](guide::recovery), how [structs](guide::structs) are shared, the [limits and the trust model](guide::limits),
//! what [differs](guide::systems) on Windows, macOS and FreeBSD, what things [cost](guide::performance), and has [recipes](guide::recipes), help for those who come from
//! [Python](guide::python), [C and Boost](guide::porting), the [errors](guide::errors) by their messages, and the [house from inside](guide::internals).

mod array;
mod condvar;
pub mod dynamic;
mod elements;
mod error;
mod event;
mod face;
mod fault;
pub mod guide;
mod identity;
mod info;
mod kind;
mod layout;
mod lock;
mod name;
mod observer;
mod options;
mod os;
mod rwlock;
mod schema;
mod segment;
mod semaphore;
mod shareable;
mod slice;
mod sync;
mod value;

pub use array::{ArrayGuard, ArrayReadGuard, SharedArray};
/// The version that this crate's bounds are of, to name its traits. To *derive* them, a program needs bytemuck as a
/// dependency of its own, with the feature `derive`.
pub use bytemuck;
pub use condvar::{ExclusiveGuard, SharedCondvar, WaitTimeout};
pub use elements::Element;
pub use error::{Error, LockError};
pub use event::{EventObserver, SharedEvent};
#[cfg(robust_shm_fault)]
#[doc(hidden)]
pub use fault::{declared_points, watch_points};
pub use info::{Hold, Holder, SegmentInfo, Segments, User, segments};
pub use lock::{LockGuard, OwnedLockGuard, SharedLock};
pub use options::{LockKind, Options};
pub use rwlock::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLockReadGuard, RwLockWriteGuard, SharedRwLock};
pub use segment::{orphans, remove, remove_orphans, unique_name};
pub use semaphore::{OwnedPermit, Permit, SemaphoreObserver, SharedSemaphore};
pub use shareable::Shareable;
pub use slice::{SharedSlice, SliceGuard, SliceReadGuard};
pub use value::{SharedValue, ValueGuard, ValueObserver};

/// Compiles the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
