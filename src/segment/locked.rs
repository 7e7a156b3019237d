//! A segment whose lock is held: the only way to its contents other than a value's lock-free snapshot.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::cell::{InCell, cell_at};
use super::{AnyValue, Contents, LockOnly, Segment, ValueOf};
use crate::error::LockError;
use crate::layout;
use crate::shareable::Shareable;
use crate::sync::commit::CommitCell;
use crate::sync::mutex::{End, Held, Line, Mutex, Owed, ReadersAfter, Section, Wait, Whom};
use crate::sync::words;

/// The lock of a segment with the contents `C`, held by this thread. Whoever has it calls
/// [`release_or_poison`](Self::release_or_poison), or commits and releases, on drop.
#[derive(Debug)]
pub(crate) struct Locked<'a, C: Contents> {
    pub(super) held: Held<'a>,
    /// Of the contents.
    pub(super) extent: C::Extent,
    /// The contents behind that lock line: only [`Segment::lock`] makes this.
    contents: PhantomData<fn() -> C>,
}

impl<'a, C: Contents> Locked<'a, C> {
    /// `held`: its lock.
    #[inline(always)]
    pub(super) fn of(segment: &Segment<C>, held: Held<'a>) -> Self {
        Locked { held, extent: segment.extent(), contents: PhantomData }
    }

    /// Does this thread hold it? Not if this is the copy of a guard in a forked child.
    pub(crate) fn is_held(&self) -> bool {
        self.held.is_held()
    }

    /// See [`Held::is_of_this_process`].
    #[inline]
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.held.is_of_this_process()
    }

    /// Another that is the same, of which one only may be used.
    #[inline(always)]
    pub(super) fn twin(&self) -> Self {
        Locked { held: self.held.twin(), extent: self.extent, contents: PhantomData }
    }
}

impl<C: Contents> Segment<C> {
    /// Takes the lock, poisoned or not.
    #[inline(always)]
    pub(crate) fn lock(&self, wait: Wait) -> Result<Locked<'_, C>, LockError> {
        match self.mutex().lock(wait) {
            Ok(held) => Ok(Locked::of(self, held)),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock if nothing may be torn.
    #[inline(always)]
    pub(crate) fn lock_whole(&self, wait: Wait) -> Result<Locked<'_, C>, LockError> {
        let locked = self.lock(wait)?;
        if locked.is_poisoned() {
            locked.release_or_poison();
            return Err(self.poisoned_error());
        }
        Ok(locked)
    }
}

impl<C: Contents> Locked<'_, C> {
    #[inline(always)]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.held.is_poisoned()
    }

    #[inline(always)]
    pub(crate) fn clear_poison(&mut self) {
        self.held.clear_poison();
    }

    /// Waits until the condition at this place among the lock's is notified, or the time is up: is it? After an error, the
    /// lock is not held, or will be released as ever.
    pub(crate) fn wait(&mut self, which: usize, wait: Wait) -> Result<bool, LockError> {
        let time_is_up = self.held.wait(which, wait)?;
        self.refuse_poison()?;
        Ok(time_is_up)
    }

    /// In a child that was forked amid a wait.
    pub(super) fn lock_again(&mut self) -> Result<(), LockError> {
        self.held.let_go();
        self.held = self.held.mutex().lock(Wait::Forever)?;
        self.refuse_poison()
    }

    fn refuse_poison(&mut self) -> Result<(), LockError> {
        if !self.is_poisoned() {
            return Ok(());
        }
        self.release_or_poison();
        self.held.let_go();
        Err(LockError::Poisoned { name: self.held.name(), kind: C::KIND.name() })
    }

    pub(crate) fn notify(&self, which: usize, whom: Whom) {
        self.held.notify(which, whom);
    }

    pub(crate) fn is_of(&self, mutex: &Mutex) -> bool {
        self.held.is_of(mutex)
    }

    /// Runs something that is not ours, before there is a guard: if it panics, the lock is released.
    #[inline(always)]
    pub(crate) fn releasing_on_panic<R>(&self, foreign: impl FnOnce() -> R) -> R {
        struct ReleaseOnUnwind<'a, C: Contents>(&'a Locked<'a, C>);
        impl<C: Contents> Drop for ReleaseOnUnwind<'_, C> {
            fn drop(&mut self) {
                self.0.release_or_poison();
            }
        }
        let release = ReleaseOnUnwind(self);
        let result = foreign();
        std::mem::forget(release);
        result
    }

    /// Releases the lock, if this thread holds it; poisons first if a panic that began under it is unwinding.
    #[inline(always)]
    pub(crate) fn release_or_poison(&self) {
        self.held.release_or_poison(Section { changes: false, was_broken_off: false, readers: ReadersAfter::AsBefore });
    }
}

/// Runs a closure that is not ours under a lock, and then `leave`, which is told whether the closure was broken off. That
/// is so whatever unwinds it: a panic, also one within another panic, or what is none of Rust's, as a C++ exception or
/// `pthread_exit`, of which `panicking` knows nothing.
#[inline(always)]
pub(super) fn run<L, R>(locked: L, leave: impl Fn(&L, bool), action: impl FnOnce(&mut L) -> R) -> R {
    struct Leave<L, F: Fn(&L, bool)> {
        locked: L,
        leave: F,
        was_broken_off: bool,
    }
    impl<L, F: Fn(&L, bool)> Drop for Leave<L, F> {
        #[inline(always)]
        fn drop(&mut self) {
            (self.leave)(&self.locked, self.was_broken_off);
        }
    }
    let mut section = Leave { locked, leave, was_broken_off: true };
    let result = action(&mut section.locked);
    section.was_broken_off = false;
    result
}

impl Locked<'_, LockOnly> {
    /// From here on what the lock guards may be half-changed, as far as we know.
    #[inline(always)]
    pub(crate) fn begun(mut self) -> Self {
        self.held.begin_changes();
        self
    }

    /// Releases the lock, of a section that has [begun](Self::begun), if this thread holds it; poisons first if a panic that
    /// began under it is unwinding.
    #[inline(always)]
    pub(crate) fn release_begun(&self) {
        self.leave(false);
    }

    #[inline(always)]
    fn leave(&self, was_broken_off: bool) {
        self.held.release_or_poison(Section { changes: true, was_broken_off, readers: ReadersAfter::AsBefore });
    }

    /// [`wait`](Self::wait) in a section that has [begun](Self::begun). A death meanwhile leaves nothing half-changed.
    pub(crate) fn wait_begun(&mut self, which: usize, wait: Wait) -> Result<bool, LockError> {
        self.held.end_changes(ReadersAfter::AsBefore);
        let time_is_up = self.wait(which, wait)?;
        self.held.begin_changes();
        Ok(time_is_up)
    }

    /// Runs the closure and releases the lock; poisons it first unless the closure returns.
    #[inline(always)]
    pub(crate) fn run<R>(self, action: impl FnOnce() -> R) -> R {
        run(self.begun(), Self::leave, |_| action())
    }
}

/// Where the lock line is in the mapping, of which it is a part.
#[inline(always)]
pub(super) fn lock_line(line: Line<'_>) -> NonNull<u8> {
    line.pointer().cast()
}

/// Where the body of a segment begins, found from the lock line, which whoever holds the lock has at hand.
#[inline(always)]
pub(super) fn body(line: Line<'_>) -> NonNull<u8> {
    // SAFETY: the lock line is a part of a mapping, in which the body has this distance from it.
    unsafe { lock_line(line).add(layout::BODY_OFFSET - layout::LOCK_OFFSET) }
}

impl<C: InCell> Locked<'_, C> {
    /// The commit cell.
    #[inline(always)]
    pub(crate) fn cell(&self) -> CommitCell<'_> {
        // SAFETY: the body of a segment with a value of this size in it, mapped while the lock is held.
        unsafe { cell_at(body(self.held.line()), C::size(self.extent)) }
    }

    /// If this thread holds the lock: has `commit` put another value into the cell if it was `changed` (1 or 0) and no panic
    /// that began under the lock is unwinding, and releases.
    #[inline(always)]
    fn release_with(&self, changed: usize, commit: impl FnOnce(&CommitCell<'_>) + Copy) {
        let size = C::size(self.extent);
        let commits = move |end| changed != 0 && end != End::Panic;
        self.held.release(move |line, end| {
            let owed = owed(line, end, commits(end));
            if commits(end) {
                // SAFETY: as in `cell`.
                commit(&unsafe { cell_at(body(line), size) });
            }
            owed
        });
    }
}

impl<T: Shareable> Locked<'_, ValueOf<T>> {
    /// If this thread holds the lock: commits the value if it was `changed` (1 or 0) and no panic that began under the
    /// lock is unwinding, and releases.
    #[inline(always)]
    pub(crate) fn commit_and_release(&self, value: &T, changed: usize) {
        if size_of::<T>() <= COMMIT_IN_REGISTERS {
            let value = *value;
            self.release_with(changed, move |cell| words::commit(cell, &value));
        } else {
            self.release_with(changed, move |cell| words::commit(cell, value));
        }
    }
}

impl Locked<'_, AnyValue> {
    /// As of a value whose type is known: given its bytes, which are as many as it has.
    #[inline]
    pub(crate) fn commit_and_release(&self, bytes: &[u8], changed: usize) {
        self.release_with(changed, move |cell| words::commit_bytes(cell, bytes));
    }
}

/// What one who commits owes to those who wait for that, noted before he does.
#[inline(always)]
fn owed(line: Line<'_>, end: End, commits: bool) -> Owed {
    if commits && end != End::Simple { line.note_what_is_owed() } else { Owed::NOTHING }
}

/// A value of at most this many bytes is copied into the closure of its commit, rather than referred to: see
/// [`Held::release`].
const COMMIT_IN_REGISTERS: usize = 16;
