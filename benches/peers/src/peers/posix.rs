//! pthread mutexes, process-shared, with and without robustness.

use super::{Peer, Room};

pub struct Pthread<const ROBUST: bool> {
    room: Room<libc::pthread_mutex_t>,
}

/// Unlocks when it is dropped.
pub struct PthreadGuard<'a, const ROBUST: bool>(&'a Pthread<ROBUST>);

impl<const ROBUST: bool> Drop for PthreadGuard<'_, ROBUST> {
    #[inline]
    fn drop(&mut self) {
        self.0.unlock();
    }
}

pub type PthreadShared = Pthread<false>;
pub type PthreadRobust = Pthread<true>;

impl<const ROBUST: bool> Peer for Pthread<ROBUST> {
    const WHO: &str = if ROBUST { "pthread robust" } else { "pthread shared" };
    type Guard<'a> = PthreadGuard<'a, ROBUST>;

    #[inline]
    fn hold(&self) -> PthreadGuard<'_, ROBUST> {
        self.lock();
        PthreadGuard(self)
    }

    fn create() -> Self {
        let new = Self { room: Room::new() };
        initialise(new.room.lock(), ROBUST);
        new
    }

    fn attach(&self) -> Self {
        Self { room: self.room }
    }

    #[inline]
    fn locked<R>(&self, action: impl FnOnce(&mut u64) -> R) -> R {
        let _guard = self.hold();
        // SAFETY: the lock is held.
        action(unsafe { &mut *self.room.number() })
    }
}

impl<const ROBUST: bool> Pthread<ROBUST> {
    /// Locks; a dead holder's lock is made consistent.
    #[inline]
    pub fn lock(&self) {
        // SAFETY: an initialised mutex.
        match unsafe { libc::pthread_mutex_lock(self.room.lock()) } {
            0 => {}
            libc::EOWNERDEAD => self.make_consistent(),
            error => panic!("pthread_mutex_lock: {error}"),
        }
    }

    #[inline]
    pub fn try_lock(&self) -> bool {
        // SAFETY: an initialised mutex.
        unsafe { libc::pthread_mutex_trylock(self.room.lock()) == 0 }
    }

    #[inline]
    pub fn unlock(&self) {
        // SAFETY: held by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.room.lock()) }, 0);
    }

    #[cold]
    fn make_consistent(&self) {
        // SAFETY: held by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_consistent(self.room.lock()) }, 0);
    }
}

pub fn initialise(mutex: *mut libc::pthread_mutex_t, robust: bool) {
    let mut attributes = std::mem::MaybeUninit::uninit();
    // SAFETY: room for attributes.
    unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) };
    // SAFETY: initialised above.
    unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) };
    if robust {
        // SAFETY: initialised above.
        unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) };
    }
    // SAFETY: room for a mutex that does not move any more, and initialised attributes.
    assert_eq!(unsafe { libc::pthread_mutex_init(mutex, attributes.as_ptr()) }, 0);
}
