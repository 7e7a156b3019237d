//! How much there is in a segment, and where.

use crate::kind::Kind;
use crate::layout::{self, Header};

/// What the header said when it was validated. What it says now is not asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measures {
    /// How many elements, or permits.
    pub(crate) count: usize,
    /// Of each, in bytes.
    pub(crate) elem_size: usize,
    /// How far from the lock line the data begin, in bytes.
    pub(crate) offset: usize,
}

impl Measures {
    /// This system's pointers have 64 bits (see `os/mod.rs`), and what does not fit into its memory is not mapped.
    pub(super) fn of(header: &Header) -> Self {
        Self {
            count: Kind::from_stored(header.kind).map_or(0, |kind| header.count(kind)) as usize,
            elem_size: header.elem_size as usize,
            offset: (header.data_offset as usize).saturating_sub(layout::LOCK_OFFSET),
        }
    }
}
