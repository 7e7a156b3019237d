//! [`LockError`], for locking.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::chain;
use crate::kind;

/// Why a lock was not taken, or the data behind it not handed out.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// `try_lock` found the lock held, or kept for a moment for a waiter that had been passed over.
    /// Of a semaphore: `try_acquire` found no permit that nobody has.
    #[error("{awaited} of segment {name:?} would block, because {}", why_it_would_block(*awaited))]
    #[non_exhaustive]
    WouldBlock {
        /// The segment.
        name: Arc<str>,
        #[doc(hidden)]
        awaited: Awaited,
    },

    /// The lock stayed held, the event was not set, the value not changed, until the deadline.
    #[error("{awaited} of segment {name:?} timed out: it was still {}", State { awaited: *awaited, thread: *holder, process: *process })]
    #[non_exhaustive]
    TimedOut {
        /// The segment.
        name: Arc<str>,
        /// The thread id (`gettid`) of the holder when the time was up; `None` if there was none, because the lock had
        /// just come free and was kept for a moment for another waiter, or if it could not be told; and of an event or
        /// a change, which nobody holds.
        holder: Option<u32>,
        /// The id of the process that the thread belongs to, if it could be told.
        process: Option<u32>,
        #[doc(hidden)]
        awaited: Awaited,
    },

    /// The thread that asks for the lock is the one that holds it, or that reads and would have to stop first.
    /// Of a semaphore: the thread that asks for a permit has all of them.
    #[error("{awaited} of segment {name:?} would deadlock: this very thread {}", why_it_would_deadlock(*awaited))]
    #[non_exhaustive]
    WouldDeadlock {
        /// The segment.
        name: Arc<str>,
        #[doc(hidden)]
        awaited: Awaited,
    },

    /// The program has given the wait up, in [`dynamic::interruptible`](crate::dynamic::interruptible).
    #[error("a wait at segment {name:?} was interrupted: this program was asked, and gave it up")]
    #[non_exhaustive]
    Interrupted {
        /// The segment.
        name: Arc<str>,
    },

    /// A holder died or panicked while it could change the data in place, or what a lock guards.
    #[error("lock of segment {name:?} is poisoned: a holder died or panicked {}", kind::repair_of(kind))]
    #[non_exhaustive]
    Poisoned {
        /// The segment.
        name: Arc<str>,
        /// What is poisoned: `"SharedArray"`, also for a slice, `"SharedLock"` or `"SharedRwLock"`, as
        /// [`SegmentInfo::kind`](crate::SegmentInfo::kind).
        kind: &'static str,
    },

    /// A guard was given to a wait in a process that does not hold the lock: a child that was forked with a copy of it.
    #[error("lock of segment {name:?} is not held: the guard is a copy in a forked child; take the lock in the child")]
    #[non_exhaustive]
    NotHeld {
        /// The segment.
        name: Arc<str>,
    },

    /// The bytes in the segment are not a valid value of the type.
    #[error("value in segment {name:?} is invalid: its bytes are not a valid {expected}; write a good one with set")]
    #[non_exhaustive]
    InvalidValue {
        /// The segment.
        name: Arc<str>,
        /// The type, as `std::any::type_name` writes it.
        expected: &'static str,
    },

    /// The operating system cannot lock for this thread.
    #[error("{action} of segment {name:?}: {source}")]
    #[non_exhaustive]
    Io {
        /// The segment.
        name: Arc<str>,
        /// What failed, as "could not take the lock".
        action: &'static str,
        /// What the operating system said. The message ends with it, so `source()` does not return it.
        source: io::Error,
        #[doc(hidden)]
        #[source]
        below: Option<Infallible>,
    },
}

impl LockError {
    /// `action` is a clause, as "could not take the lock", that "of segment" and the name follow.
    pub(crate) fn io(name: Arc<str>, action: &'static str, source: io::Error) -> Self {
        Self::Io { name, action, source, below: None }
    }

    /// The name of the segment that the error is about.
    ///
    /// # Examples
    ///
    /// ```
    /// let name = robust_shm::unique_name("name");
    /// let lock = robust_shm::SharedLock::create(&name)?;
    /// let _guard = lock.lock()?;
    /// assert_eq!(lock.lock().unwrap_err().name(), name);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::WouldBlock { name, .. }
            | Self::TimedOut { name, .. }
            | Self::WouldDeadlock { name, .. }
            | Self::Interrupted { name, .. }
            | Self::Poisoned { name, .. }
            | Self::NotHeld { name }
            | Self::InvalidValue { name, .. }
            | Self::Io { name, .. } => name,
        }
    }

    fn variant(&self) -> &'static str {
        match self {
            Self::WouldBlock { .. } => "WouldBlock",
            Self::TimedOut { .. } => "TimedOut",
            Self::WouldDeadlock { .. } => "WouldDeadlock",
            Self::Interrupted { .. } => "Interrupted",
            Self::Poisoned { .. } => "Poisoned",
            Self::NotHeld { .. } => "NotHeld",
            Self::InvalidValue { .. } => "InvalidValue",
            Self::Io { .. } => "Io",
        }
    }
}

impl fmt::Debug for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.variant())?;
        chain::write(self, f)
    }
}

/// What was waited for.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    Lock,
    Event,
    Permit,
    Change,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "lock",
            Self::Event => "event",
            Self::Permit => "permit",
            Self::Change => "change of the value",
        })
    }
}

fn why_it_would_block(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Permit => "none is free; use acquire or try_acquire_for to wait",
        _ => "it is held; use lock or try_lock_for to wait, unless the holder is this very thread",
    }
}

fn why_it_would_deadlock(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Permit => "has all of them already, perhaps through other handles; drop one of them first",
        _ => "holds it already, or reads, perhaps through another handle; drop that guard first",
    }
}

/// How it was when the time was up, and what to do.
struct State {
    awaited: Awaited,
    thread: Option<u32>,
    process: Option<u32>,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.awaited == Awaited::Permit {
            return f.write_str("not to be had; try again, or see who uses the segment (SegmentInfo::users)");
        }
        if self.awaited == Awaited::Event {
            return f.write_str("not set; try again, or see whether the program that sets it is running");
        }
        if self.awaited == Awaited::Change {
            return f.write_str("awaited; try again, or see whether the program that changes it is running");
        }
        match (self.thread, self.process) {
            (Some(thread), Some(process)) if thread == process => {
                write!(f, "held by process {process}; try again, or see what that is doing")
            }
            (Some(thread), Some(process)) => {
                write!(f, "held by thread {thread} of process {process}; try again, or see what that is doing")
            }
            (Some(thread), None) => write!(f, "held by thread {thread}; try again, or see what that is doing"),
            (None, _) => f.write_str(
                "taken by one that could not be told, or kept for one that had waited for longer; try again",
            ),
        }
    }
}
