//! Elements in and out, without a guard.

/// The methods of a handle that has elements of type `$element` in place, as a `$data`.
macro_rules! methods_without_a_guard {
    ($handle:ident, $element:ty, $data:ty) => {
        /// One element, read under the lock.
        ///
        /// # Errors
        ///
        /// The same as [`lock`](Self::lock).
        ///
        /// # Panics
        ///
        /// When `index` is not less than the length.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"get\"), &[7, 8])?;")]
        /// assert_eq!(samples.get(1)?, 8);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline]
        #[track_caller]
        pub fn get(&self, index: usize) -> Result<$element, LockError> {
            check_index(index, self.len());
            self.segment.read(Wait::Forever, |elements| elements[index])
        }

        /// Writes one element under the lock.
        ///
        /// # Errors
        ///
        /// The same as [`lock`](Self::lock).
        ///
        /// # Panics
        ///
        /// When `index` is not less than the length.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"set\"), &[0; 2])?;")]
        /// samples.set(1, 9)?;
        /// assert_eq!(samples.to_vec()?, [0, 9]);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline]
        #[track_caller]
        pub fn set(&self, index: usize, value: $element) -> Result<(), LockError> {
            check_index(index, self.len());
            self.segment.write(index, value)
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
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"to-vec\"), &[1, 2])?;")]
        /// assert_eq!(samples.to_vec()?, vec![1, 2]);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        pub fn to_vec(&self) -> Result<Vec<$element>, LockError> {
            let mut copy = Vec::with_capacity(self.len()); // before the lock: memory may take its time
            self.segment.read(Wait::Forever, |elements| copy.extend_from_slice(elements))?;
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
        /// When `target` has another length.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"read-into\"), &[1, 2])?;")]
        /// let mut copy = [0; 2];
        /// samples.read_into(&mut copy)?;
        /// assert_eq!(copy, [1, 2]);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[track_caller]
        pub fn read_into(&self, target: &mut [$element]) -> Result<(), LockError> {
            check_len(target.len(), self.len());
            self.segment.read(Wait::Forever, |elements| target.copy_from_slice(elements))
        }

        /// Replaces all elements, under the lock. Since nothing old remains, this clears poison.
        ///
        /// # Errors
        ///
        /// The same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
        ///
        /// # Panics
        ///
        /// When `source` has another length.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"copy\"), &[0; 2])?;")]
        /// samples.copy_from_slice(&[5, 6])?;
        /// assert_eq!(samples.to_vec()?, [5, 6]);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[track_caller]
        pub fn copy_from_slice(&self, source: &[$element]) -> Result<(), LockError> {
            check_len(source.len(), self.len());
            self.segment.replace(source)
        }

        /// Runs the closure on the elements, in place, under the lock. The change cannot be rolled back: the elements are
        /// poisoned unless the closure returns, whether it panics or anything else unwinds it.
        ///
        /// # Errors
        ///
        /// The same as [`lock`](Self::lock).
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"update\"), &[3, 1, 2])?;")]
        /// let largest = samples.update(|elements| {
        ///     elements.sort();
        ///     elements[2]
        /// })?;
        /// assert_eq!(largest, 3);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline]
        pub fn update<R>(&self, change: impl FnOnce(&mut $data) -> R) -> Result<R, LockError> {
            self.segment.update(change)
        }
    };
}
pub(crate) use methods_without_a_guard;
