//! The commit cell of a value, where it is mapped.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::{Contents, Expected, Extent, Measures, Segment};
use crate::error::LockError;
use crate::kind::{Kind, Open, Shape};
use crate::layout::{self, CommitLine};
use crate::schema::Schema;
use crate::shareable::Shareable;
use crate::sync::commit::CommitCell;
use crate::sync::mutex::Wait;
use crate::sync::words::Copied;

/// One `T` in a commit cell.
pub(crate) struct ValueOf<T>(PhantomData<T>);

/// Contents that are in a commit cell.
///
/// # Safety
///
/// Their kind has a commit line, and what is expected of a segment has this size.
pub(crate) unsafe trait InCell: Contents {
    /// In bytes, also of what is not of the type alone.
    fn size(extent: Self::Extent) -> usize;
}

impl<T: Shareable> Contents for ValueOf<T> {
    const KIND: Kind = Kind::Value;
    type Stated = ();
    type Extent = ();

    fn expected((): &()) -> Expected {
        const {
            assert!(
                size_of::<T>() <= layout::MAX_VALUE,
                "a SharedValue holds at most 64 KiB: use a SharedArray or a SharedSlice"
            );
            assert!(align_of::<T>() <= layout::PAGE, "a SharedValue is aligned to at most 4,096 bytes");
        }
        let (elem_size, elem_align) = (size_of::<T>() as u64, align_of::<T>() as u64);
        Expected::of::<T>(Shape { kind: Kind::Value, elem_size, elem_align, len: Some(1), open: Open::Nothing })
    }
}

// SAFETY: a value has a commit line, and is as large as is expected above.
unsafe impl<T: Shareable> InCell for ValueOf<T> {
    #[inline(always)]
    fn size((): ()) -> usize {
        size_of::<T>()
    }
}

/// A value whose type is known when the program runs.
pub(crate) struct AnyValue;

impl Contents for AnyValue {
    const KIND: Kind = Kind::Value;
    /// What the value is; `None`: whatever it is.
    type Stated = Option<Schema>;
    type Extent = ElementSize;

    fn expected(stated: &Self::Stated) -> Expected {
        match stated {
            Some(schema) => Expected::of_schema(Kind::Value, schema, Some(1)),
            None => Expected::of_any(Kind::Value),
        }
    }
}

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ElementSize(pub(crate) usize);

impl<C> Extent<C> for ElementSize {
    #[inline(always)]
    fn new(measures: Measures) -> Self {
        Self(measures.elem_size)
    }
}

// SAFETY: a value has a commit line, and is as large as the header says, with which the size of the file was compared.
unsafe impl InCell for AnyValue {
    #[inline(always)]
    fn size(ElementSize(size): ElementSize) -> usize {
        size
    }
}

impl<C: InCell> Segment<C> {
    /// The commit cell in the mapping.
    #[inline(always)]
    pub(crate) fn cell(&self) -> CommitCell<'_> {
        // SAFETY: within the length that was checked when mapping.
        let body = unsafe { self.mapping.base.add(layout::BODY_OFFSET) };
        // SAFETY: the body of a segment with a value of this size in it, mapped as long as `self`.
        unsafe { cell_at(body, C::size(self.extent())) }
    }

    /// How many commits there have been.
    #[inline]
    pub(crate) fn commits(&self) -> u64 {
        self.cell().commits()
    }

    /// Waits until there is another commit than the one numbered `seen`.
    pub(crate) fn wait_for_newer(&self, seen: u64, wait: impl FnOnce() -> Wait) -> Result<(), LockError> {
        if self.commits() != seen {
            return Ok(());
        }
        self.mutex().wait_for_change(wait(), &|| self.commits() != seen)
    }

    /// A consistent copy of the last commit, although writers overtook one; returns its number.
    ///
    /// Copying is tried again and, in turns, `try_lock`: if the lock is free, nobody can overtake; if it is not, its holder
    /// commits, or it is stuck, and then a copy succeeds. No turn waits.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_among_writers(&self, bytes: &mut impl Copied) -> u64 {
        const COPIES_FIRST: u32 = 16;
        let mut failures = 1;
        loop {
            if let Some(commit) = bytes.read(&self.cell()) {
                return commit;
            }
            failures += 1;
            if failures < COPIES_FIRST {
                std::hint::spin_loop();
                continue;
            }
            if let Ok(locked) = self.lock(Wait::No) {
                // Without the check: counters that somebody has damaged would never pass it.
                let commit = bytes.read_locked(&locked.cell());
                locked.release_or_poison();
                return commit;
            }
        }
    }
}

/// The commit cell of a value of so many bytes, given where the body of its segment begins.
///
/// # Safety
///
/// The segment was opened with a value of that size, and stays mapped for `'a`.
#[inline(always)]
pub(super) unsafe fn cell_at<'a>(body: NonNull<u8>, size: usize) -> CommitCell<'a> {
    // SAFETY: a value's segment has a commit line there, made of atomics.
    let line = unsafe { body.cast::<CommitLine>().as_ref() };
    let slot = |offset: usize| {
        // SAFETY: slots stand behind the start of the body, and the mapping is as long as the shape needs.
        let slot = unsafe { body.add(offset - layout::BODY_OFFSET) };
        let words = NonNull::slice_from_raw_parts(slot.cast::<AtomicU64>(), layout::words(size));
        // SAFETY: the shape was checked when opening, so both slots have room for the value, 8-aligned.
        unsafe { words.as_ref() }
    };
    let [even, odd] = layout::slot_offsets(size);
    let slots = [slot(even), slot(odd)];
    let begun = (!layout::is_small(size)).then_some(&line.begun);
    CommitCell { commits: &line.commits, begun, slots }
}
