//! A lock that nobody has mapped, or that this program only looks at, by its kind.

use std::io;
use std::mem::offset_of;

use super::super::poison::Poison;
use super::super::{event, os_mutex, robust_futex, word};
use crate::layout::{LockBytes, LockLine, SEVERAL_NAMESPACES};
use crate::options::LockKind;
use crate::os::{kernel, namespace, thread};

/// Does this system have locks of this kind?
pub(crate) fn check_available(kind: LockKind) -> io::Result<()> {
    kernel::check()?;
    match kind {
        LockKind::Futex => thread::current().map(drop).map_err(|error| {
            let message = format!(
                "{error}; LockKind::Futex needs that, and a segment that is created with LockKind::File does not"
            );
            io::Error::new(error.kind(), message)
        }),
        LockKind::File => Ok(()),
        LockKind::OsMutex => crate::os::os_mutex::check(),
    }
}

impl LockKind {
    /// Does this system have locks of this kind, so that a segment with such a lock can be created and opened here?
    ///
    /// `File` is on every system. `Futex` is on Linux, unless an emulator or a sandbox keeps robust lists from the program. Where
    /// one is not available, to create with it is [`Error::Lock`](crate::Error::Lock), whose source says why.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::LockKind;
    ///
    /// assert!(LockKind::default().is_available());
    /// ```
    #[must_use]
    pub fn is_available(self) -> bool {
        check_available(self).is_ok()
    }
}

impl Default for LockKind {
    /// What a creator gets who asks for none: `Futex` where that [is available](Self::is_available), which is on Linux; else,
    /// and always on Windows, macOS and FreeBSD, `File`.
    fn default() -> Self {
        if Self::Futex.is_available() { Self::Futex } else { Self::File }
    }
}

/// The line of a free lock, for a segment that has no name yet.
pub(crate) fn new(kind: LockKind) -> io::Result<LockBytes> {
    check_available(kind)?;
    match kind {
        LockKind::Futex => Ok(LockLine::of_futex()),
        LockKind::File => Ok([0; size_of::<LockBytes>()]),
        LockKind::OsMutex => os_mutex::new_line(),
    }
}

/// Does the lock line name this slot, as that of its holder, or of a dead one?
pub(crate) fn names(line: &LockBytes, slot: u32) -> bool {
    word::high(robust_futex::word_in(line)) == slot
}

/// What the lock line of a segment that nobody uses any more must say, given what it says: a holder in it is gone, and so
/// is whoever it was kept for.
pub(crate) fn after_all_users_left(kind: LockKind, line: &LockBytes, rule: Poison) -> io::Result<LockBytes> {
    match kind {
        LockKind::Futex | LockKind::File => Ok(robust_futex::after_all_users_left(line)),
        LockKind::OsMutex => os_mutex::after_all_users_left(line, rule),
    }
}

/// What the line of a permit, or of a reader, must say of which no user is left: a holder in it is gone, and it is free then.
pub(crate) fn further_after_all_users_left(line: &LockBytes) -> LockBytes {
    let mut next = *line;
    if word::holder_in(robust_futex::word_in(line)).is_some() || word::says_owner_died(robust_futex::word_in(line)) {
        let at = offset_of!(LockLine, word);
        next[at..at + 8].fill(0);
    }
    next
}

/// Is nobody in the line of a permit, or of a reader, whose word this is? As [`LockState::of`].
pub(crate) fn is_free(kind: LockKind, seen: u64, used_in: u64, is_present: impl FnOnce(u32) -> bool) -> bool {
    let is_owned = word::holder_in(seen).is_some();
    match kind {
        // Nobody else may have asked.
        LockKind::File => !is_owned || !is_present(word::high(seen)),
        LockKind::Futex | LockKind::OsMutex => {
            let may_live =
                || used_in == SEVERAL_NAMESPACES && word::says_owner_died(seen) && is_present(word::high(seen));
            !is_owned && !may_live()
        }
    }
}

/// May somebody sleep on the word of this line? With the C library's mutex, nobody but that knows.
pub(crate) fn may_have_sleepers(kind: LockKind, line: &LockBytes) -> bool {
    !kind.is_the_c_librarys() && word::low(robust_futex::word_in(line)) & word::WAITERS != 0
}

/// What a lock line says to somebody who looks at the segment from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockState {
    /// The holder's thread id, in its own PID namespace.
    pub(crate) holder: Option<u32>,
    /// The same, if that is ours: an id of another one would name a stranger here.
    pub(crate) holder_here: Option<u32>,
    pub(crate) poisoned: bool,
}

/// The word of a line outside of any mapping.
pub(crate) fn word_in(line: &LockBytes) -> u64 {
    robust_futex::word_in(line)
}

/// Whom a line outside of any mapping names.
pub(crate) fn holder_in(line: &LockBytes) -> Option<u32> {
    word::holder_in(word_in(line))
}

/// Is the event set, whose word this is?
pub(crate) fn says_set(seen: u64) -> bool {
    event::says_set(seen)
}

impl LockState {
    /// Of what nobody ever holds.
    pub(crate) const FREE: Self = Self { holder: None, holder_here: None, poisoned: false };

    /// `used_in`: the PID namespace that the header names. `is_present`: does a user have this slot?
    pub(crate) fn of(
        kind: LockKind,
        line: &LockBytes,
        used_in: u64,
        rule: Poison,
        is_present: impl FnOnce(u32) -> bool,
    ) -> Self {
        let poisoned = |owner_died| {
            rule.is_told_by(owner_died, line[offset_of!(LockLine, poison)], line[offset_of!(LockLine, dirty)])
        };
        match kind {
            LockKind::Futex => {
                let seen = robust_futex::word_in(line);
                let holder = word::holder_in(seen);
                let holder_here = holder.filter(|_| used_in == namespace::pid_namespace());
                // As in `users.rs`.
                let owner_died =
                    word::says_owner_died(seen) && (used_in != SEVERAL_NAMESPACES || !is_present(word::high(seen)));
                Self { holder, holder_here, poisoned: poisoned(owner_died) }
            }
            LockKind::File => {
                let seen = robust_futex::word_in(line);
                let holder = word::holder_in(seen);
                // Nobody else may have asked.
                let is_gone = holder.is_some() && !is_present(word::high(seen));
                let holder = holder.filter(|_| !is_gone);
                let holder_here = holder.filter(|_| used_in == namespace::pid_namespace());
                Self { holder, holder_here, poisoned: poisoned(is_gone || word::says_owner_died(seen)) }
            }
            LockKind::OsMutex => {
                let record = os_mutex::Record::in_bytes(line);
                Self { holder: record.thread(), holder_here: record.thread_here(), poisoned: poisoned(false) }
            }
        }
    }
}
