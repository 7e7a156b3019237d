//! The commit cell of a value, where it is mapped.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::{Segment, ValueOf};
use crate::layout::{self, CommitLine};
use crate::sync::commit::CommitCell;

impl<T> Segment<ValueOf<T>> {
    /// The commit cell in the mapping.
    #[inline(always)]
    pub(crate) fn cell(&self) -> CommitCell<'_> {
        // SAFETY: within the length that was checked when mapping.
        let body = unsafe { self.mapping.base.add(layout::BODY_OFFSET) };
        // SAFETY: the body of a segment with a `T` in it, mapped as long as `self`.
        unsafe { cell_at::<T>(body) }
    }
}

/// The commit cell of a `T`, given where the body of its segment begins.
///
/// # Safety
///
/// The segment was opened with the shape of a `T`, and stays mapped for `'a`.
#[inline(always)]
pub(super) unsafe fn cell_at<'a, T>(body: NonNull<u8>) -> CommitCell<'a> {
    // SAFETY: a value's segment has a commit line there, made of atomics.
    let line = unsafe { body.cast::<CommitLine>().as_ref() };
    let slot = |offset: usize| {
        // SAFETY: slots stand behind the start of the body, and the mapping is as long as the shape needs.
        let slot = unsafe { body.add(offset - layout::BODY_OFFSET) };
        let words = NonNull::slice_from_raw_parts(slot.cast::<AtomicU64>(), layout::words(size_of::<T>()));
        // SAFETY: the shape was checked when opening, so both slots have room for a `T`, 8-aligned.
        unsafe { words.as_ref() }
    };
    let [even, odd] = layout::slot_offsets(size_of::<T>());
    let slots = [slot(even), slot(odd)];
    let begun = (!layout::is_small(size_of::<T>())).then_some(&line.begun);
    CommitCell { commits: &line.commits, begun, slots }
}
