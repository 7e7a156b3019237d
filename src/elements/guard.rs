//! The guard of elements in place.

/// The guard of a `$handle` with elements of type `$element`: a `$data`, while the lock is held.
macro_rules! guard_of_elements {
    ([$($generics:tt)*] $handle:ident, $guard:ident<$($of:ident),*>, $element:ty, $data:ty) => {
        #[doc = concat!("The elements of a [`", stringify!($handle), "`], in place, while its lock is held; dropping the guard")]
        /// releases it, and poisons the elements if a panic that began under the guard is unwinding.
        ///
        /// That is told from [`std::thread::panicking`], when the guard is made and when it is dropped. So two kinds of
        /// unwinding count as a regular end: a second panic under a guard that was made while a first one was unwinding
        /// already, in a destructor, and is caught in there; and what is no panic of Rust's, as a C++ exception or
        #[doc = concat!("`pthread_exit`. [`update`](", stringify!($handle), "::update) is exact: it poisons unless its closure has")]
        /// returned.
        #[must_use = "bind it: `let _guard = ...` (`let _ = ...` drops it, and so releases the lock, at once)"]
        pub struct $guard<'a, $($generics)*> {
            locked: Locked<'a, ElementsOf<$data>>,
        }

        impl<$($generics)*> $guard<'_, $($of),*> {
            /// Whether an earlier holder died or panicked and nobody has repaired the elements.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"guard\"), &[0; 4])?;")]
            #[doc = concat!("assert!(!robust_shm::", stringify!($guard), "::is_poisoned(&samples.lock()?));")]
            /// # Ok::<(), robust_shm::Error>(())
            /// ```
            #[must_use]
            #[inline]
            pub fn is_poisoned(guard: &Self) -> bool {
                guard.locked.is_poisoned()
            }

            /// Declares that the elements are whole again. A guard that is dropped without this leaves the poison.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let samples = robust_shm::", stringify!($handle), "::create_from(&robust_shm::unique_name(\"guard\"), &[0; 4])?;")]
            /// let mut guard = samples.lock_ignoring_poison()?;
            /// guard.fill(0);
            #[doc = concat!("robust_shm::", stringify!($guard), "::clear_poison(&mut guard);")]
            /// # drop(guard);
            /// # Ok::<(), robust_shm::Error>(())
            /// ```
            pub fn clear_poison(guard: &mut Self) {
                guard.locked.clear_poison();
            }

            /// If the elements are poisoned, runs the closure, which repairs them, and then clears the poison. If the closure
            /// panics, the poison stays.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            #[doc = concat!("use robust_shm::{", stringify!($guard), ", ", stringify!($handle), "};")]
            ///
            #[doc = concat!("let samples = ", stringify!($handle), "::create_from(&robust_shm::unique_name(\"recover\"), &[0; 4])?;")]
            /// let mut guard = samples.try_lock_ignoring_poison_for(Duration::from_secs(1))?;
            #[doc = concat!(stringify!($guard), "::recover(&mut guard, |elements| elements.fill(0));")]
            /// guard[0] = 1; // whole, whoever died before
            /// # drop(guard);
            /// # Ok::<(), robust_shm::Error>(())
            /// ```
            pub fn recover(guard: &mut Self, repair: impl FnOnce(&mut $data)) {
                if Self::is_poisoned(guard) {
                    repair(&mut *guard);
                    Self::clear_poison(guard);
                }
            }
        }

        impl<$($generics)*> Drop for $guard<'_, $($of),*> {
            #[inline(always)]
            fn drop(&mut self) {
                self.locked.release_changed();
            }
        }

        impl<$($generics)*> Deref for $guard<'_, $($of),*> {
            type Target = $data;

            #[inline]
            fn deref(&self) -> &$data {
                self.locked.elements()
            }
        }

        impl<$($generics)*> DerefMut for $guard<'_, $($of),*> {
            #[inline]
            fn deref_mut(&mut self) -> &mut $data {
                self.locked.elements_mut()
            }
        }

        #[allow(private_interfaces, reason = "nobody else calls it")]
        impl<$($generics)*> crate::condvar::sealed::Sealed for $guard<'_, $($of),*> {
            fn wait(&mut self, which: usize, wait: Wait) -> Result<bool, LockError> {
                self.locked.wait_amid_changes(which, wait)
            }

            fn notify(&self, which: usize, whom: crate::sync::mutex::Whom) {
                self.locked.notify(which, whom);
            }

            fn is_of(&self, mutex: &crate::sync::mutex::Mutex) -> bool {
                self.locked.is_of(mutex)
            }
        }

        impl<$($generics)*> crate::condvar::ExclusiveGuard for $guard<'_, $($of),*> {
            type Data = $data;

            fn data(&mut self) -> &mut $data {
                self.locked.elements_mut()
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
pub(crate) use guard_of_elements;
