//! [`Permit`] and [`OwnedPermit`]: a permit that this thread has.

use std::fmt;
use std::sync::Arc;

use super::SharedSemaphore;
use crate::sync::mutex::Taken;

/// A permit of a [`SharedSemaphore`], given back when it is dropped.
///
/// It stays on the thread that has taken it, and comes back when that thread ends, even if it was leaked. The copy of one in a
/// forked child is none.
#[must_use = "bind it: `let permit = ...` (`let _ = ...` drops it, and so gives it back, at once)"]
pub struct Permit<'a> {
    pub(super) semaphore: &'a SharedSemaphore,
    pub(super) taken: Taken,
}

/// A [`Permit`] that keeps its semaphore's handle alive, for structures that keep one.
///
/// # Examples
///
/// ```
/// use robust_shm::{OwnedPermit, SharedSemaphore};
/// use std::sync::Arc;
///
/// struct Worker {
///     permit: OwnedPermit,
/// }
///
/// # let name = robust_shm::unique_name("workers");
/// let workers = Arc::new(SharedSemaphore::open_or_create(&name, 8)?);
/// let worker = Worker { permit: workers.acquire_owned()? };
/// println!("worker {}", worker.permit.index());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "bind it: `let permit = ...` (`let _ = ...` drops it, and so gives it back, at once)"]
pub struct OwnedPermit {
    pub(super) semaphore: Arc<SharedSemaphore>,
    pub(super) taken: Taken,
}

macro_rules! methods_of_permits {
    ($permit:ty, $name:literal) => {
        impl $permit {
            /// Which of the permits it is, from 0 on: nobody else has the same meanwhile.
            #[must_use]
            pub fn index(&self) -> usize {
                self.taken.index()
            }
        }

        impl Drop for $permit {
            #[inline(always)]
            fn drop(&mut self) {
                self.semaphore.segment.permits().release(&self.taken);
            }
        }

        impl fmt::Debug for $permit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).field("index", &self.index()).finish_non_exhaustive()
            }
        }
    };
}
methods_of_permits!(Permit<'_>, "Permit");
methods_of_permits!(OwnedPermit, "OwnedPermit");
