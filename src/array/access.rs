//! Elements in and out, without a guard.

use super::{Element, SharedArray};
use crate::error::LockError;
use crate::sync::mutex::Wait;

impl<T: Element, const N: usize> SharedArray<T, N> {
    /// One element, read under the lock.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// When `index` is not less than `N`.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::create_from(&robust_shm::unique_name("get"), &[7, 8])?;
    /// assert_eq!(array.get(1)?, 8);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&self, index: usize) -> Result<T, LockError> {
        check_index(index, N);
        self.read(Wait::Forever, |elements| elements[index])
    }

    /// Writes one element under the lock.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// When `index` is not less than `N`.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<u8, 2>::create(&robust_shm::unique_name("set"))?;
    /// array.set(1, 9)?;
    /// assert_eq!(array.to_vec()?, [0, 9]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn set(&self, index: usize, value: T) -> Result<(), LockError> {
        check_index(index, N);
        self.lock()?[index] = value;
        Ok(())
    }

    /// A copy of all elements, read under the lock.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::create_from(&robust_shm::unique_name("to-vec"), &[1, 2])?;
    /// assert_eq!(array.to_vec()?, vec![1, 2]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn to_vec(&self) -> Result<Vec<T>, LockError> {
        let mut copy = Vec::with_capacity(N); // before the lock: memory may take its time
        self.read(Wait::Forever, |elements| copy.extend_from_slice(elements))?;
        Ok(copy)
    }

    /// Copies all elements into `target`, under the lock.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// When `target` does not have just `N` elements.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::create_from(&robust_shm::unique_name("read-into"), &[1, 2])?;
    /// let mut copy = [0; 2];
    /// array.read_into(&mut copy)?;
    /// assert_eq!(copy, [1, 2]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn read_into(&self, target: &mut [T]) -> Result<(), LockError> {
        check_len(target.len(), N);
        self.read(Wait::Forever, |elements| target.copy_from_slice(elements))
    }

    /// Replaces all elements, under the lock. Since nothing old remains, this clears poison.
    ///
    /// # Errors
    ///
    /// The same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
    ///
    /// # Panics
    ///
    /// When `source` does not have just `N` elements.
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::<i32, 2>::create(&robust_shm::unique_name("copy"))?;
    /// array.copy_from_slice(&[5, 6])?;
    /// assert_eq!(array.to_vec()?, [5, 6]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn copy_from_slice(&self, source: &[T]) -> Result<(), LockError> {
        check_len(source.len(), N);
        // Without a guard: one that passes through memory holds the copy up for longer than the lock takes.
        let mut locked = self.segment.lock(Wait::Forever)?;
        locked.begin_changes();
        locked.array_mut().copy_from_slice(source); // cannot panic: the length was checked
        if locked.is_poisoned() {
            locked.clear_poison();
        }
        locked.release_changed();
        Ok(())
    }

    /// Runs the closure on the elements, in place, under the lock. The change cannot be rolled back: the array is
    /// poisoned unless the closure returns, whether it panics or anything else unwinds it.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let array = robust_shm::SharedArray::create_from(&robust_shm::unique_name("update"), &[3, 1, 2])?;
    /// let largest = array.update(|elements| {
    ///     elements.sort();
    ///     elements[2]
    /// })?;
    /// assert_eq!(largest, 3);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn update<R>(&self, change: impl FnOnce(&mut [T; N]) -> R) -> Result<R, LockError> {
        Ok(self.lock_whole(Wait::Forever)?.run(change))
    }
}

#[inline]
#[track_caller]
fn check_index(index: usize, len: usize) {
    assert!(index < len, "index out of bounds: the len is {len} but the index is {index}");
}

#[track_caller]
fn check_len(found: usize, expected: usize) {
    assert!(found == expected, "a slice of {expected} elements is needed to copy the whole array, got {found}");
}
