//! What `Debug` shows of an array.

use std::fmt;

use super::{Element, SharedArray};
use crate::error::LockError;
use crate::sync::mutex::Wait;

/// Shows the name and the first elements. Never waits, and holds no lock while it formats: what it shows was copied
/// out.
impl<T: Element + fmt::Debug, const N: usize> fmt::Debug for SharedArray<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SharedArray");
        out.field("name", &self.name());
        let mut shown = Vec::with_capacity(N.min(SHOWN)); // before the lock: memory may take its time
        let copied = self.read(Wait::No, |elements| shown.extend_from_slice(&elements[..N.min(SHOWN)]));
        match copied {
            Ok(()) => out.field("data", &Shortened { shown: &shown, len: N }),
            Err(LockError::Poisoned { .. }) => out.field("data", &format_args!("<poisoned>")),
            Err(_) if self.is_poisoned() => out.field("data", &format_args!("<locked, poisoned>")),
            Err(_) => out.field("data", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

/// How many elements are shown.
pub(super) const SHOWN: usize = 16;

/// The first elements, and how many there are in all when that is more.
pub(super) struct Shortened<'a, T> {
    pub(super) shown: &'a [T],
    pub(super) len: usize,
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
