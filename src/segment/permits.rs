//! The permits of a semaphore, as a handle has them.

use super::{Contents, Expected, Segment};
use crate::kind::Kind;
use crate::layout::LockLine;
use crate::sync::mutex::Permits;

/// As many permits as the segment says.
pub(crate) struct PermitsOnly;

impl Contents for PermitsOnly {
    const KIND: Kind = Kind::Semaphore;
    /// How many.
    type Stated = Option<usize>;
    type Extent = usize;

    fn expected(permits: &Option<usize>) -> Expected {
        let mut expected = Expected::of_nothing(Kind::Semaphore);
        expected.shape.len = permits.map(|permits| permits as u64);
        expected
    }
}

impl PermitsOnly {
    /// So many permits that nobody holds.
    pub(crate) fn all_free(count: usize) -> Vec<u8> {
        LockLine::of_permit().repeat(count)
    }
}

impl Segment<PermitsOnly> {
    #[inline(always)]
    pub(crate) fn permits(&self) -> Permits<'_> {
        self.mapping.permits()
    }
}
