//! Reading side by side: the guard, and the ways to it.

/// The read guard of a `$handle` with elements of type `$element`: a `$data`, while nobody writes.
macro_rules! read_guard_of_elements {
    ([$($generics:tt)*] $handle:ident, $guard:ident<$($of:ident),*>, $element:ty, $data:ty) => {
        #[doc = concat!("The elements of a [`", stringify!($handle), "`], in place, beside any number of others who read. While it lives,")]
        /// nobody writes; whoever wants to waits until it is dropped.
        ///
        /// It stays on the thread that has taken it, and is over when that thread ends, even if it was leaked. Whoever reads and
        /// panics, or is killed, leaves nothing. The copy of one in a forked child keeps nobody out: see
        /// [the limits](crate::guide::limits).
        #[must_use = "bind it: `let guard = ...` (`let _ = ...` drops it, and so lets writers in, at once)"]
        pub struct $guard<'a, $($generics)*> {
            read: Read<'a, $data>,
        }

        impl<$($generics)*> Drop for $guard<'_, $($of),*> {
            #[inline(always)]
            fn drop(&mut self) {
                self.read.release();
            }
        }

        impl<$($generics)*> Deref for $guard<'_, $($of),*> {
            type Target = $data;

            #[inline]
            fn deref(&self) -> &$data {
                self.read.elements()
            }
        }

        impl<$($generics)*> fmt::Debug for $guard<'_, $($of),*>
        where
            $element: fmt::Debug,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($guard)).field(&Shortened::of(&**self)).finish()
            }
        }
    };
}
pub(crate) use read_guard_of_elements;

/// The methods of `$handle` that give a `$guard` to those who only read. `$of`: the parameters of both.
macro_rules! methods_that_read {
    ($handle:ident, $guard:ident<$($of:ident),*>) => {
        /// Waits until nobody writes, and reads beside any number of others.
        ///
        /// Who reads hinders no other reader, also in other processes: each has a slot of his own, and after the first time
        /// it costs about as much as an uncontended lock. If more threads read at once than there are
        /// [slots](crate::Options::readers), those that find none read one at a time.
        ///
        /// Whoever waits to write lets no new readers in, so that he is not kept out by those who come again and again.
        ///
        /// # Errors
        ///
        /// [`LockError::Poisoned`] when a *writer* died or panicked and nobody has repaired the elements.
        /// [`LockError::WouldDeadlock`] when this thread holds the lock, or reads already, and would have to wait for a writer
        /// that waits for it. [`LockError::Io`] when the thread cannot lock, and with
        /// [`LockKind::OsMutex`](crate::LockKind::OsMutex), where nobody reads side by side.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"read\"), &[7, 8, 9])?;")]
        /// let one = samples.read()?;
        /// let another = samples.read()?; // usually in another process
        /// assert_eq!((one[0], another.iter().sum::<i32>()), (7, 24));
        /// assert!(samples.try_lock().is_err());
        /// # drop((one, another));
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline(always)]
        #[must_use = "bind it: `let guard = ...?;` (without a binding, writers are let in at once)"]
        pub fn read(&self) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { read: self.segment.read_beside(Wait::Forever)? })
        }

        /// Like [`read`](Self::read), but does not wait.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldBlock`] when anybody holds the lock, which a reader does, too, for a moment when it reads for the
        /// first time; otherwise the same as [`read`](Self::read).
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"try-read\"), &[0; 3])?;")]
        /// assert_eq!(samples.try_read()?[2], 0);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline(always)]
        #[must_use = "bind it: `let guard = ...?;` (without a binding, writers are let in at once)"]
        pub fn try_read(&self) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { read: self.segment.read_beside(Wait::No)? })
        }

        /// Like [`read`](Self::read), but waits for at most `timeout`. `Duration::MAX` means no deadline.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`] with the writer's thread id; otherwise the same as [`read`](Self::read).
        ///
        /// # Examples
        ///
        /// ```
        /// use std::time::Duration;
        ///
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"try-read-for\"), &[0; 3])?;")]
        /// assert_eq!(samples.try_read_for(Duration::from_millis(100))?.len(), 3);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline]
        #[must_use = "bind it: `let guard = ...?;` (without a binding, writers are let in at once)"]
        pub fn try_read_for(&self, timeout: Duration) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { read: self.segment.read_beside(Wait::at_most(timeout))? })
        }

        /// Like [`read`](Self::read), but waits until `deadline` at the latest.
        ///
        /// # Errors
        ///
        /// The same as [`try_read_for`](Self::try_read_for).
        ///
        /// # Examples
        ///
        /// ```
        /// use std::time::{Duration, Instant};
        ///
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"try-read-until\"), &[0; 3])?;")]
        /// assert_eq!(samples.try_read_until(Instant::now() + Duration::from_millis(100))?[0], 0);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline]
        #[must_use = "bind it: `let guard = ...?;` (without a binding, writers are let in at once)"]
        pub fn try_read_until(&self, deadline: Instant) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { read: self.segment.read_beside(Wait::until(deadline))? })
        }
    };
}
pub(crate) use methods_that_read;
