//! A segment whose lock is held: the only way to its contents other than a value's lock-free snapshot.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::{ArrayOf, Segment, ValueOf};
use crate::error::LockError;
use crate::layout;
use crate::sync::commit::CommitCell;
use crate::sync::mutex::{End, Held, Line, Wait};
use crate::sync::words;
use crate::value::Shareable;

/// The lock of a segment with the contents `C`, held by this thread. Whoever has it calls
/// [`release_or_poison`](Self::release_or_poison), or commits and releases, on drop.
#[derive(Debug)]
pub(crate) struct Locked<'a, C> {
    held: Held<'a>,
    /// The contents behind that lock line: only [`Segment::lock`] makes this.
    contents: PhantomData<fn() -> C>,
}

impl<C> Segment<C> {
    /// Takes the lock, poisoned or not.
    #[inline(always)]
    pub(crate) fn lock(&self, wait: Wait) -> Result<Locked<'_, C>, LockError> {
        match self.mutex().lock(wait) {
            Ok(held) => Ok(Locked { held, contents: PhantomData }),
            Err(error) => Err(error),
        }
    }
}

impl<C> Locked<'_, C> {
    #[inline(always)]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.held.is_poisoned()
    }

    #[inline(always)]
    pub(crate) fn clear_poison(&mut self) {
        self.held.clear_poison();
    }

    pub(crate) fn poisoned_error(&self) -> LockError {
        self.held.poisoned_error()
    }

    /// Runs something that is not ours, before there is a guard: if it panics, the lock is released.
    #[inline(always)]
    pub(crate) fn or_release<R>(&self, foreign: impl FnOnce() -> R) -> R {
        struct ReleaseOnUnwind<'a, C>(&'a Locked<'a, C>);
        impl<C> Drop for ReleaseOnUnwind<'_, C> {
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
        self.held.release_or_poison();
    }
}

/// Where the body of a segment begins, found from the lock line, which whoever holds the lock has at hand.
#[inline(always)]
fn body(line: Line<'_>) -> NonNull<u8> {
    // SAFETY: the lock line is a part of a mapping in which the body follows it.
    unsafe { line.pointer().add(1) }.cast()
}

impl<T> Locked<'_, ValueOf<T>> {
    /// The commit cell.
    #[inline(always)]
    pub(crate) fn cell(&self) -> CommitCell<'_> {
        // SAFETY: the body of a segment with a `T` in it, mapped while the lock is held.
        unsafe { super::cell_at::<T>(body(self.held.line())) }
    }

    /// If this thread holds the lock: commits the value if it was `changed` (1 or 0) and no panic that began under the
    /// lock is unwinding, and releases.
    #[inline(always)]
    pub(crate) fn commit_and_release(&self, value: &T, changed: usize)
    where
        T: Shareable,
    {
        // SAFETY: as in `cell`.
        let cell = |line| unsafe { super::cell_at::<T>(body(line)) };
        if size_of::<T>() <= IN_REGISTERS {
            let value = *value;
            self.held.release(move |line, end| {
                if changed != 0 && end == End::Regular {
                    words::commit(&cell(line), &value);
                }
            });
        } else {
            self.held.release(|line, end| {
                if changed != 0 && end == End::Regular {
                    words::commit(&cell(line), value);
                }
            });
        }
    }
}

/// The largest value in bytes that is copied rather than referred to at its commit: see [`Held::release`].
const IN_REGISTERS: usize = 16;

impl<T: bytemuck::Pod, const N: usize> Locked<'_, ArrayOf<T, N>> {
    /// From the start of the body, in bytes.
    const DATA_OFFSET: usize =
        layout::BODY_OFFSET.next_multiple_of(if align_of::<T>() > 64 { align_of::<T>() } else { 64 })
            - layout::BODY_OFFSET;

    #[inline(always)]
    fn cell(&self) -> &UnsafeCell<[T; N]> {
        // SAFETY: within the mapping, whose length was checked against the shape.
        let data = unsafe { body(self.held.line()).add(Self::DATA_OFFSET) };
        // SAFETY: the shape was checked when opening: N elements stand there, aligned, and any bytes are a `T`.
        unsafe { data.cast().as_ref() }
    }

    /// The elements.
    #[inline(always)]
    pub(crate) fn array(&self) -> &[T; N] {
        // SAFETY: the lock is held, and mutable access needs a `&mut self`: nobody writes meanwhile.
        unsafe { &*self.cell().get() }
    }

    /// The elements, for writing.
    #[inline(always)]
    pub(crate) fn array_mut(&mut self) -> &mut [T; N] {
        // SAFETY: the lock is held and `self` borrowed exclusively: nobody else reads or writes meanwhile.
        unsafe { &mut *self.cell().get() }
    }
}
