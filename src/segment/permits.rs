//! The permits of a semaphore, as a handle has them.

use super::{Contents, Segment};
use crate::identity::TypeName;
use crate::kind::{Kind, Shape};
use crate::layout::LockLine;
use crate::sync::mutex::Permits;

/// As many permits as the segment says.
pub(crate) struct PermitsOnly;

impl Contents for PermitsOnly {
    type Len = usize;

    const SHAPE: Shape = Shape { kind: Kind::Semaphore, elem_size: 0, elem_align: 1, len: None, is_open: false };

    fn type_name() -> TypeName {
        TypeName::of::<()>()
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
