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
//!   wait.
//! * [`SharedArray<T, N>`]: many elements, in place. **Poisoned** when a writer died or panicked.
//! * [`SharedLock`]: a lock for anything else.
//!
//! Structs of your own need a derive, and no padding: see [`Shareable`] and [`Element`].
//!
//! # Promises
//!
//! 1. **A killed process never hangs or corrupts anybody.** Whatever instruction it dies at, the kernel hands its locks
//!    over at once; nothing polls. (Who asks for [`LockKind::OsMutex`] does without.)
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
//! # Limits
//!
//! * 64-bit little-endian Linux. All users of a segment are in one PID namespace, unless its lock is a
//!   [`LockKind::OsMutex`]: thread ids in the lock mean nothing in another. A mismatch is [`Error::ForeignPidNamespace`].
//!   So is a namespace that cannot be found out (no `/proc`, and Linux before 6.11): only a process and its forked children
//!   share a lock there, and they do so also where the process has gone into a jail after it has opened.
//! * A thread holds at most 2,000 locks at once; the kernel reports the death of a holder for 2,048.
//! * The kernel does not report the death of a holder that calls `exec` from another thread than the main one, nor always
//!   that of one whose memory was taken when there was none left. A waiter notices within three seconds, and before it says
//!   that the time is up, if no new thread has been given the same id; `try_lock` does not look.
//! * **Fair within three times the sections of those before it, and 5 ms**: so long a waiter waits while others lock again
//!   and again, and as long as the scheduler takes. For that, a free lock is kept for up to 1 ms for one that was passed
//!   over: meanwhile `try_lock` finds it as good as held, and a wait whose time is up names no holder. Waits below 1 ms are
//!   decided by who is faster.
//! * A waiter that is stopped (`SIGSTOP`) just after it was woken leaves a free lock on which others sleep: whoever comes
//!   for it takes it, or else a sleeper finds it within three seconds.
//! * A forked child opens a file for each handle that it inherits, before `fork` returns there: some 15 to 35 µs each,
//!   which a program with thousands of handles may notice also when it forks only to `exec` (`posix_spawn` does none of
//!   it); the parent pays 2 µs. Where the child has no descriptor left, or the name is gone or out of reach (`chroot`), it
//!   counts as one user with its parent, and the name is left to the next sweep if the last of them cannot look at it.
//! * A program that closes descriptors which it did not open (as some daemons do) silently ends being a user: what it has
//!   mapped stays usable, but others may remove the segment, or take a lock that it holds for a dead one's. What it opens
//!   afterwards is in order, and no stranger's file that got the number is touched.
//! * What ends a process without exit hooks (`_exit`, `exec`, a signal) leaves the name of a segment whose last user it
//!   was until the name is next used, or the next sweep; `exit` and `quick_exit` take it along.
//! * Checkpoint and restore (CRIU) of a process is not supported while it has handles: the lock holds thread ids, and the
//!   kernel's list, file locks and the number of this process are not what they were. Close before, and open afterwards.
//! * A holder that dumps core is released when the dump is written, a stopped one (`SIGSTOP`) not at all:
//!   `try_lock_for` is the answer to both.
//! * The copy of a guard in a forked child still gives access to an array, without the lock; its drop does nothing.
//! * A signal handler may lock, whatever it interrupts, if it releases what it has locked before it returns, leaves `errno`
//!   as it was, and its thread has locked before (a thread's first lock may allocate). A lock that the interrupted code
//!   holds, takes or releases is `WouldDeadlock` in it. (`pthread` mutexes are not made for handlers: one that uses a
//!   robust one while a lock is being taken or released may have that lock's holder die unnoticed.)
//! * A signal handler may fork while its thread waits for a lock: the child goes on waiting as itself. One that has
//!   interrupted the few instructions in which a lock is taken or released must not.
//! * After a raw `clone` (not `fork`, or glibc's `_Fork`), parent and child count as one user, and the child can read
//!   values but not lock. It is told by a page that the kernel empties. Where it does not (Linux before 4.14, gVisor,
//!   qemu-user), it is told by its process id, and every lock costs a system call more.
//! * A guard takes a C++ exception, `pthread_exit`, and a panic that is caught in a destructor during another one for its
//!   regular end: see [`ValueGuard`]. The forms that take a closure do not.
//! * Relocking by the same thread is [`LockError::WouldDeadlock`], also through a second handle; deadlocks between
//!   threads are not detected.
//!
//! # Trust
//!
//! Peers are cooperating processes of one user: segments are made with mode 0600. Everything read at *opening* is
//! validated as hostile. After that, a peer with write access can truncate the file (`SIGBUS` at the next access), hold
//! locks for ever, and change contents; and because the kernel's list of held locks has its links in shared memory, as
//! for every robust `pthread` mutex, it can write anywhere in the memory of a process that locks (with
//! [`LockKind::OsMutex`] it is the C library that believes what stands in its mutex). So
//! [`mode(0o660)`](Options::mode) and [`allow_owner`](Options::allow_owner) grant those peers control of this process.
//!
//! Who may only *read* (mode 0644) can still hinder: a file lock that he takes keeps others from opening the segment, whose
//! calls then fail after five seconds, and keeps its last user from removing it. A user whom the mode has let in may not
//! remove a name of somebody else's; what he leaves as the last one out, he, or its owner, can use again or remove.
//!
//! # How it works
//!
//! The protocols are described where they are implemented: the bytes in `src/layout.rs`, the life of a segment in
//! `src/segment.rs`, the lock word in `src/sync/robust_futex.rs`, the operating system's mutex in
//! its place in `src/sync/os_mutex.rs`, how a thread waits in `src/sync/waiting.rs` and
//! `src/sync/patience.rs` (awake for some 10 µs, then asleep), whose turn it is in `src/sync/reservation.rs`, the commit cell in `src/sync/commit.rs`, the kernel's list in `src/os/linux/robust_list.rs`.

mod array;
mod error;
mod fault;
mod identity;
mod info;
mod layout;
mod lock;
mod name;
mod options;
mod os;
mod segment;
mod sync;
mod value;

pub use array::{ArrayGuard, Element, SharedArray};
pub use bytemuck;
pub use error::{Error, LockError};
#[cfg(robust_shm_fault)]
#[doc(hidden)]
pub use fault::{declared_points, watch_points};
pub use info::{SegmentInfo, Segments, User, segments};
pub use lock::{LockGuard, SharedLock};
pub use name::unique_name;
pub use options::{LockKind, Options};
pub use segment::{remove, remove_orphans};
pub use value::{Shareable, SharedValue, ValueGuard};

/// Compiles the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
