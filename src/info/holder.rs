//! [`Holder`]: a thread that holds a segment.

use super::SegmentInfo;
use crate::kind::Body;
use crate::os::process;

/// A thread that holds a segment: its lock, a permit, or a part of it as a reader.
///
/// # Examples
///
/// ```
/// use robust_shm::{Hold, SharedSemaphore};
///
/// let semaphore = SharedSemaphore::create(&robust_shm::unique_name("holder"), 2)?;
/// let permit = semaphore.acquire()?;
/// for holder in semaphore.info()?.holders() {
///     println!("thread {} of process {:?}", holder.thread, holder.process);
///     assert!(matches!(holder.hold, Hold::Permit { index, .. } if index == permit.index()));
/// }
/// # drop(permit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Holder {
    /// The thread's id, as its system calls it (on Linux `gettid`, in its own PID namespace; on macOS the lower 30 bits).
    pub thread: u32,
    /// The process that it belongs to, in the PID namespace of whoever asks, when the system tells: on Linux in `/proc`, on macOS
    /// and FreeBSD never.
    pub process: Option<u32>,
    /// What it has.
    pub hold: Hold,
}

/// What a [`Holder`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hold {
    /// The lock; also as a reader who reads alone, because all slots for readers are taken.
    Lock,
    /// A slot for readers side by side.
    Reader,
    /// A permit of a semaphore.
    #[non_exhaustive]
    Permit {
        /// Its number, as of [`Permit::index`](crate::Permit::index).
        index: usize,
    },
}

impl SegmentInfo {
    /// The threads that held it: its lock, permits, or slots for readers. To which processes they belong is looked up when
    /// this is called.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Hold, SharedRwLock};
    ///
    /// let lock = SharedRwLock::create(&robust_shm::unique_name("holders"))?;
    /// assert!(lock.info()?.holders().is_empty());
    /// let _reading = lock.read()?;
    /// assert_eq!(lock.info()?.holders()[0].hold, Hold::Reader);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        let are_permits = self.shape.kind.body() == Body::Permits;
        let lock = self.holder_thread.map(|thread| Holder { thread, process: self.holder_process, hold: Hold::Lock });
        let further = self.further_holders.iter().map(|(index, thread)| Holder {
            thread: *thread,
            process: self.is_here.then(|| process::process_of(*thread)).flatten(),
            hold: if are_permits { Hold::Permit { index: *index } } else { Hold::Reader },
        });
        lock.into_iter().chain(further).collect()
    }
}
