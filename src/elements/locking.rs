//! The ways to the lock of what has elements in place.

/// The methods of `$handle` that lock, and give a `$guard` to a `$data`. `$of`: the parameters of both.
macro_rules! methods_that_lock {
    ($handle:ident, $guard:ident<$($of:ident),*>, $data:ty) => {
        /// Waits for the lock.
        ///
        /// # Errors
        ///
        /// [`LockError::Poisoned`] when a holder died or panicked and nobody has repaired the elements; the lock is then
        /// not held. [`LockError::WouldDeadlock`] when this thread holds it already, or [reads](Self::read) and
        /// would have to wait for itself to stop; [`LockError::Io`] when the thread cannot lock.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"lock\"), &[0; 3])?;")]
        /// samples.lock()?[1] = 5;
        /// assert_eq!(samples.to_vec()?, [0, 5, 0]);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline(always)]
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn lock(&self) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { locked: self.segment.lock_to_change(Wait::Forever)? })
        }

        /// Like [`lock`](Self::lock), but does not wait.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldBlock`] when anybody holds the lock; otherwise the same as [`lock`](Self::lock).
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"try-lock\"), &[0; 3])?;")]
        /// samples.try_lock()?.fill(1);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline(always)]
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn try_lock(&self) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { locked: self.segment.lock_to_change(Wait::No)? })
        }

        /// Like [`lock`](Self::lock), but waits for at most `timeout`. `Duration::MAX` means no deadline.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`] with the holder's thread id; otherwise the same as [`lock`](Self::lock).
        ///
        /// # Examples
        ///
        /// ```
        /// use std::time::Duration;
        ///
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"try-lock-for\"), &[0; 3])?;")]
        /// samples.try_lock_for(Duration::from_millis(100))?.fill(1);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn try_lock_for(&self, timeout: Duration) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { locked: self.segment.lock_to_change(Wait::at_most(timeout))? })
        }

        /// Like [`lock`](Self::lock), but waits until `deadline` at the latest.
        ///
        /// # Errors
        ///
        /// The same as [`try_lock_for`](Self::try_lock_for).
        ///
        /// # Examples
        ///
        /// ```
        /// use std::time::{Duration, Instant};
        ///
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"try-lock-until\"), &[0; 3])?;")]
        /// samples.try_lock_until(Instant::now() + Duration::from_millis(100))?.fill(1);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn try_lock_until(&self, deadline: Instant) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { locked: self.segment.lock_to_change(Wait::until(deadline))? })
        }

        /// Waits for the lock, whether the elements are poisoned or not.
        ///
        /// # Errors
        ///
        /// The same as [`lock`](Self::lock), except `Poisoned`.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("use robust_shm::{", stringify!($guard), ", ", stringify!($handle), "};")]
        ///
        #[doc = concat!("let samples = ", stringify!($handle), "::create_from(&robust_shm::unique_name(\"ignoring\"), &[0; 3])?;")]
        /// let mut guard = samples.lock_ignoring_poison()?;
        #[doc = concat!("if ", stringify!($guard), "::is_poisoned(&guard) {")]
        ///     println!("a holder died; what it left: {guard:?}");
        /// }
        /// # drop(guard);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline(always)]
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn lock_ignoring_poison(&self) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { locked: self.segment.lock_to_repair(Wait::Forever)? })
        }

        /// Like [`lock_ignoring_poison`](Self::lock_ignoring_poison), but does not wait.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldBlock`] when anybody holds the lock; otherwise the same as
        /// [`lock_ignoring_poison`](Self::lock_ignoring_poison).
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("use robust_shm::{", stringify!($guard), ", ", stringify!($handle), "};")]
        ///
        #[doc = concat!("let samples = ", stringify!($handle), "::create_from(&robust_shm::unique_name(\"try-ignoring\"), &[0; 3])?;")]
        /// let mut guard = samples.try_lock_ignoring_poison()?;
        #[doc = concat!(stringify!($guard), "::recover(&mut guard, |elements| elements.fill(0));")]
        /// # drop(guard);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[inline(always)]
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn try_lock_ignoring_poison(&self) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { locked: self.segment.lock_to_repair(Wait::No)? })
        }

        /// Like [`lock_ignoring_poison`](Self::lock_ignoring_poison), but waits for at most `timeout`.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`]; otherwise the same as
        /// [`lock_ignoring_poison`](Self::lock_ignoring_poison).
        ///
        /// # Examples
        ///
        /// ```
        /// use std::time::Duration;
        #[doc = concat!("use robust_shm::{", stringify!($guard), ", ", stringify!($handle), "};")]
        ///
        #[doc = concat!("let samples = ", stringify!($handle), "::create_from(&robust_shm::unique_name(\"try-ignoring-for\"), &[0; 3])?;")]
        /// let mut guard = samples.try_lock_ignoring_poison_for(Duration::from_millis(100))?;
        #[doc = concat!(stringify!($guard), "::recover(&mut guard, |elements| elements.fill(0));")]
        /// # drop(guard);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn try_lock_ignoring_poison_for(&self, timeout: Duration) -> Result<$guard<'_, $($of),*>, LockError> {
            Ok($guard { locked: self.segment.lock_to_repair(Wait::at_most(timeout))? })
        }

        /// Waits for the lock; if the elements are poisoned, runs the closure, which repairs the elements, and then clears the
        #[doc = concat!("poison: [`lock_ignoring_poison`](Self::lock_ignoring_poison), then [`", stringify!($guard), "::recover`]. If the closure")]
        /// panics, the poison stays.
        ///
        /// # Errors
        ///
        /// The same as [`lock_ignoring_poison`](Self::lock_ignoring_poison).
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"lock-recover\"), &[0; 3])?;")]
        /// let guard = samples.lock_recover(|elements| elements.fill(0))?;
        /// # drop(guard);
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn lock_recover(&self, repair: impl FnOnce(&mut $data)) -> Result<$guard<'_, $($of),*>, LockError> {
            let mut guard = self.lock_ignoring_poison()?;
            $guard::recover(&mut guard, repair);
            Ok(guard)
        }

        /// Whether a holder died or panicked and nobody has repaired the elements. A snapshot taken without the lock: it
        /// may be out of date when it returns.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"is-poisoned\"), &[0; 2])?;")]
        /// assert!(!samples.is_poisoned());
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        pub fn is_poisoned(&self) -> bool {
            self.segment.mutex().is_poisoned()
        }
    };
}
pub(crate) use methods_that_lock;
