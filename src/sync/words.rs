//! Values as 64-bit words: how a `T` gets into a commit cell and out of it.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::Ordering;

use super::bulk;
use super::commit::CommitCell;
use crate::layout::words;
use crate::shareable::Shareable;

/// Bytes that a commit is copied to.
pub(crate) trait Copied {
    /// Copies the last commit; gives its number, or `None` when writers overtook the copy.
    fn read(&mut self, cell: &CommitCell<'_>) -> Option<u64>;

    /// Copies the last commit, while the lock is held; gives its number.
    fn read_locked(&mut self, cell: &CommitCell<'_>) -> u64;
}

/// The bytes of a `T`, copied out of a cell, before it is known that they are one.
///
/// It stays where it is while it is filled and checked, because each move of a large value would be one more copy.
pub(crate) struct Unchecked<T: Shareable>(MaybeUninit<T>);

impl<T: Shareable> Unchecked<T> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        const {
            assert!(size_of::<T::Bits>() == size_of::<T>(), "CheckedBitPattern::Bits must be as large as the type");
            assert!(align_of::<T::Bits>() <= align_of::<T>(), "CheckedBitPattern::Bits must fit where the type does");
        };
        Self(MaybeUninit::uninit())
    }

    #[inline(always)]
    fn fill(&mut self, cell: &CommitCell<'_>, n: u64) {
        // SAFETY: the room for a `T`, which is ours.
        unsafe { fill(self.0.as_mut_ptr().cast(), size_of::<T>(), cell, n) };
    }

    /// The value, if the bytes are one. To be called after a copy that succeeded.
    #[inline(always)]
    pub(crate) fn check(&self) -> Option<T> {
        // SAFETY: `fill` has written every byte; `Bits` accepts any (`AnyBitPattern`), and fits, as asserted in `new`.
        let bits = unsafe { &*self.0.as_ptr().cast::<T::Bits>() };
        // SAFETY: valid, as is just being checked.
        T::is_valid_bit_pattern(bits).then(|| unsafe { self.0.assume_init_read() })
    }
}

impl<T: Shareable> Copied for Unchecked<T> {
    #[inline(always)]
    fn read(&mut self, cell: &CommitCell<'_>) -> Option<u64> {
        prefetch(cell);
        cell.read(|n| self.fill(cell, n))
    }

    #[inline(always)]
    fn read_locked(&mut self, cell: &CommitCell<'_>) -> u64 {
        let n = cell.last_locked();
        self.fill(cell, n);
        n
    }
}

/// Room for the bytes of a value whose size is known when the program runs.
pub(crate) struct Room<'a>(pub(crate) &'a mut [u8]);

impl Room<'_> {
    #[inline(always)]
    fn fill(&mut self, cell: &CommitCell<'_>, n: u64) {
        assert!(words(self.0.len()) == cell.slots[0].len(), "a cell for as many bytes");
        // SAFETY: so many bytes are ours, and the cell is for them.
        unsafe { fill(self.0.as_mut_ptr(), self.0.len(), cell, n) };
    }
}

impl Copied for Room<'_> {
    #[inline(always)]
    fn read(&mut self, cell: &CommitCell<'_>) -> Option<u64> {
        prefetch(cell);
        cell.read(|n| self.fill(cell, n))
    }

    #[inline(always)]
    fn read_locked(&mut self, cell: &CommitCell<'_>) -> u64 {
        let n = cell.last_locked();
        self.fill(cell, n);
        n
    }
}

#[inline(always)]
fn prefetch(cell: &CommitCell<'_>) {
    if cell.begun.is_some() {
        // Both: which one it will be says a line that may be on its way from a writer's core, and so may the slot.
        // One after the other, a reader of 64 bytes among writers came to a third.
        cell.slots.into_iter().for_each(bulk::prefetch);
    }
}

/// Writes each of the `size` bytes of a value, from the slot of commit `n`.
///
/// # Safety
///
/// `start` is room for so many bytes, which nobody else uses meanwhile; and the cell is of a value of this size.
#[inline(always)]
unsafe fn fill(start: *mut u8, size: usize, cell: &CommitCell<'_>, n: u64) {
    if let ([even], [odd]) = (cell.slots[0], cell.slots[1]) {
        // Both, and then a choice: so the processor need not know `n` before it loads.
        let (even, odd) = (even.load(Ordering::Relaxed), odd.load(Ordering::Relaxed));
        let word = if n & 1 == 0 { even } else { odd };
        if size == 8 {
            // SAFETY: there is room for so many bytes. (Of a size that only the program knows, this is a call less.)
            return unsafe { start.cast::<u64>().write_unaligned(word) };
        }
        // SAFETY: a value has at most the eight bytes of a word when one word is all that it needs.
        return unsafe { ptr::copy_nonoverlapping(word.to_ne_bytes().as_ptr(), start, size) };
    }
    let (whole, rest) = cell.slot(n).split_at(size / 8);
    // SAFETY: there is room for so many whole words, by the contract of this function.
    unsafe { bulk::load(whole, start) };
    if let [last] = rest {
        let bytes = last.load(Ordering::Relaxed).to_ne_bytes();
        // SAFETY: within the room: the whole words are less than all of it.
        let end = unsafe { start.add(whole.len() * 8) };
        // SAFETY: just what is left of the room, from a word that has more.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), end, size % 8) };
    }
}

/// [`Unchecked`], for a large value, at some distance from its neighbours on the stack.
///
/// Whoever returns such a value copies it once more, often to just behind. On processors of AMD's, `rep movsb`, which C
/// libraries use for some kilobytes, is 27 times slower when the two places are a few bytes apart modulo 4,096 (measured on
/// an EPYC: 4 KiB in 1,150 ns instead of 42).
#[repr(C)]
pub(crate) struct Spaced<T: Shareable> {
    _before: MaybeUninit<[u8; 64]>,
    pub(crate) bytes: Unchecked<T>,
    _behind: MaybeUninit<[u8; 64]>,
}

impl<T: Shareable> Spaced<T> {
    /// From this size on it is worth it.
    pub(crate) const SIZE: usize = 1_024;

    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { _before: MaybeUninit::uninit(), bytes: Unchecked::new(), _behind: MaybeUninit::uninit() }
    }
}

/// Commits a value. The caller holds the lock.
#[inline]
pub(crate) fn commit<T: Shareable>(cell: &CommitCell<'_>, value: &T) {
    commit_bytes(cell, bytemuck::bytes_of(value));
}

/// Commits as many bytes as the cell is for. The caller holds the lock.
#[inline(always)]
pub(crate) fn commit_bytes(cell: &CommitCell<'_>, bytes: &[u8]) {
    cell.commit(
        #[inline(always)]
        |slot| {
            let (whole, rest) = slot.split_at(bytes.len() / 8);
            // SAFETY: `bytes` has so many whole words.
            unsafe { bulk::store(whole, bytes.as_ptr()) };
            if let [last] = rest {
                let left = &bytes[whole.len() * 8..];
                let mut word = [0; 8];
                word[..left.len()].copy_from_slice(left);
                last.store(u64::from_ne_bytes(word), Ordering::Relaxed);
                crate::fault::point!("commit: last bytes written");
            }
        },
    );
}
