//! [`PrivateCopy`]: what the holder of a value works on.

use std::ops::{Deref, DerefMut};

/// Up to so many words are in the guard itself: an allocation takes longer than the lock. As words, because guards are moved,
/// and what is not aligned is moved slowly.
const WORDS: usize = 4;

/// The bytes of one value.
pub(super) enum PrivateCopy {
    Few([u64; WORDS], usize),
    Many(Box<[u8]>),
}

impl PrivateCopy {
    #[inline]
    pub(super) fn of_zeros(size: usize) -> Self {
        if size <= WORDS * 8 { Self::Few([0; WORDS], size) } else { Self::Many(vec![0; size].into_boxed_slice()) }
    }
}

impl Deref for PrivateCopy {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Few(words, len) => &bytemuck::cast_slice(words)[..*len],
            Self::Many(bytes) => bytes,
        }
    }
}

impl DerefMut for PrivateCopy {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Few(words, len) => &mut bytemuck::cast_slice_mut(words)[..*len],
            Self::Many(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_as_many_bytes_as_the_value_wherever_they_are() {
        const FEW: usize = WORDS * 8;
        for size in [0, 1, FEW - 1, FEW, FEW + 1, 255, 256, 257, 5_000] {
            let mut copy = PrivateCopy::of_zeros(size);
            assert_eq!(matches!(copy, PrivateCopy::Few(..)), size <= FEW, "{size}");
            copy.iter_mut().for_each(|byte| *byte += 1);
            assert_eq!(copy[..], vec![1; size][..]);
        }
    }
}
