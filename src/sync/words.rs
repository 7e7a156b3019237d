//! Values as 64-bit words: how a `T` gets into a commit cell and out of it.

use std::mem::MaybeUninit;
use std::ptr;

use super::commit::CommitCell;
use crate::value::Shareable;

/// What a consistent copy of the cell came to: the number of the commit, and the value if its bytes are one.
pub(crate) struct Snapshot<T> {
    pub(crate) commit: u64,
    pub(crate) value: Option<T>,
}

/// Copies the last commit out; `None` when writers overtook the copy.
#[inline]
pub(crate) fn read<T: Shareable>(cell: &CommitCell<'_>) -> Option<Snapshot<T>> {
    let mut bits = Bits::<T>::new();
    let commit = cell.read(|index, word| bits.put(index, word))?;
    Some(Snapshot { commit, value: bits.check() })
}

/// Copies the last commit out, while the lock is held.
#[inline]
pub(crate) fn read_locked<T: Shareable>(cell: &CommitCell<'_>) -> Snapshot<T> {
    let mut bits = Bits::<T>::new();
    let commit = cell.read_locked(|index, word| bits.put(index, word));
    Snapshot { commit, value: bits.check() }
}

/// The bytes of a `T` before it is known that they are one. Zero at first, so that they are always initialised.
struct Bits<T: Shareable>(MaybeUninit<T::Bits>);

impl<T: Shareable> Bits<T> {
    #[inline]
    fn new() -> Self {
        const { assert!(size_of::<T::Bits>() == size_of::<T>(), "CheckedBitPattern::Bits must be as long as the type") };
        Self(MaybeUninit::zeroed())
    }

    #[inline]
    fn put(&mut self, index: usize, word: u64) {
        let len = (size_of::<T>() - index * 8).min(8);
        let start = self.0.as_mut_ptr().cast::<u8>();
        // SAFETY: a slot has just the words that a `T` needs, so `index * 8` is within `bits`.
        let to = unsafe { start.add(index * 8) };
        // SAFETY: at most the rest of `bits` is written, from a word of 8 bytes.
        unsafe { ptr::copy_nonoverlapping(word.to_ne_bytes().as_ptr(), to, len) };
    }

    #[inline]
    fn check(self) -> Option<T> {
        // SAFETY: initialised in `new`, and `Bits` accepts any bytes (`AnyBitPattern`).
        let bits = unsafe { self.0.assume_init() };
        T::is_valid_bit_pattern(&bits).then(|| {
            // SAFETY: valid as just checked, and of the same size and layout (`CheckedBitPattern`).
            unsafe { ptr::from_ref(&bits).cast::<T>().read_unaligned() }
        })
    }
}

/// Commits a value. The caller holds the lock.
#[inline]
pub(crate) fn commit<T: Shareable>(cell: &CommitCell<'_>, value: &T) {
    let bytes = bytemuck::bytes_of(value);
    cell.commit(|index| {
        let rest = &bytes[index * 8..];
        match rest.first_chunk::<8>() {
            Some(word) => u64::from_ne_bytes(*word),
            None => {
                let mut word = [0; 8];
                word[..rest.len()].copy_from_slice(rest);
                u64::from_ne_bytes(word)
            }
        }
    });
}
