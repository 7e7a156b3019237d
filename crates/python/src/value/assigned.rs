//! What a block has assigned to a value so far.

/// So many bytes need no allocation, which takes longer than the lock.
const FEW: usize = 32;

/// The bytes of one value, whose size is known elsewhere.
pub(super) enum Assigned {
    Few(Aligned),
    Many(Box<[u8]>),
}

/// As words, because it is moved, and what is not aligned is moved slowly.
#[repr(align(8))]
pub(super) struct Aligned([u8; FEW]);

impl Assigned {
    #[inline]
    pub(super) fn of_zeros(size: usize) -> Self {
        if size <= FEW { Self::Few(Aligned([0; FEW])) } else { Self::Many(vec![0; size].into()) }
    }

    #[inline]
    pub(super) fn bytes(&self, size: usize) -> &[u8] {
        match self {
            Self::Few(few) => &few.0[..size],
            Self::Many(bytes) => bytes,
        }
    }

    #[inline]
    pub(super) fn bytes_mut(&mut self, size: usize) -> &mut [u8] {
        match self {
            Self::Few(few) => &mut few.0[..size],
            Self::Many(bytes) => bytes,
        }
    }
}
