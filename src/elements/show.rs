//! What `Debug` shows of elements.

use std::fmt;

use crate::error::LockError;
use crate::segment::{Elements, ElementsOf, Segment};
use crate::sync::mutex::Wait;

/// How many elements are shown.
const SHOWN: usize = 16;

/// Shows the handle of this segment, which has `len` elements, as a `face`.
pub(crate) fn show<D: Elements<Element: fmt::Debug> + ?Sized>(
    face: &str,
    segment: &Segment<ElementsOf<D>>,
    len: usize,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut out = f.debug_struct(face);
    out.field("name", &segment.name());
    let mut shown = Vec::with_capacity(len.min(SHOWN)); // before the lock: memory may take its time
    let copied = segment.read(Wait::No, |elements| shown.extend_from_slice(&elements.as_slice()[..len.min(SHOWN)]));
    match copied {
        Ok(()) => out.field("data", &Shortened { shown: &shown, len }),
        Err(LockError::Poisoned { .. }) => out.field("data", &format_args!("<poisoned>")),
        Err(_) if segment.mutex().is_poisoned() => out.field("data", &format_args!("<locked, poisoned>")),
        Err(_) => out.field("data", &format_args!("<locked>")),
    };
    out.finish_non_exhaustive()
}

/// The first elements, and how many there are in all when that is more.
pub(crate) struct Shortened<'a, T> {
    shown: &'a [T],
    len: usize,
}

impl<'a, T> Shortened<'a, T> {
    pub(crate) fn of(elements: &'a [T]) -> Self {
        Self { shown: &elements[..elements.len().min(SHOWN)], len: elements.len() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shortened<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.shown);
        if self.len > self.shown.len() {
            list.entry(&format_args!("... ({} in all)", self.len));
        }
        list.finish()
    }
}
