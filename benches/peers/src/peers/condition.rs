//! A pthread condition with a mutex, robust or not, both process-shared.

use std::mem::MaybeUninit;

use super::posix::initialise;
use crate::events::Signal;
use crate::sys;

/// What lies in the memory of both processes.
#[repr(C)]
struct Place {
    mutex: libc::pthread_mutex_t,
    condition: libc::pthread_cond_t,
    is_set: bool,
}

/// A flag that one sets and another waits for. Never unmapped.
pub struct PthreadCondition<const ROBUST: bool> {
    mutex: *mut libc::pthread_mutex_t,
    condition: *mut libc::pthread_cond_t,
    is_set: *mut bool,
}

impl<const ROBUST: bool> PthreadCondition<ROBUST> {
    fn locked(&self, action: impl FnOnce()) {
        // SAFETY: an initialised mutex. (Nobody dies with it here.)
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.mutex) }, 0);
        action();
        // SAFETY: held by this thread.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.mutex) }, 0);
    }
}

impl<const ROBUST: bool> Signal for PthreadCondition<ROBUST> {
    const WHO: &'static str = if ROBUST { "pthread condition, robust mutex" } else { "pthread condition" };

    fn create() -> Self {
        let place = sys::map(size_of::<Place>()).cast::<Place>().as_ptr();
        // SAFETY: in the mapping, as the next two.
        let mutex = unsafe { &raw mut (*place).mutex };
        // SAFETY: as above.
        let condition = unsafe { &raw mut (*place).condition };
        // SAFETY: as above.
        let is_set = unsafe { &raw mut (*place).is_set };
        initialise(mutex, ROBUST);
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: room for attributes.
        unsafe { libc::pthread_condattr_init(attributes.as_mut_ptr()) };
        // SAFETY: initialised above.
        unsafe { libc::pthread_condattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) };
        // SAFETY: room for a condition that stays there, and initialised attributes.
        assert_eq!(unsafe { libc::pthread_cond_init(condition, attributes.as_ptr()) }, 0);
        Self { mutex, condition, is_set }
    }

    #[inline]
    fn set(&self) {
        self.locked(|| {
            // SAFETY: the mutex is held.
            unsafe { self.is_set.write(true) };
            // SAFETY: an initialised condition.
            assert_eq!(unsafe { libc::pthread_cond_signal(self.condition) }, 0);
        });
    }

    #[inline]
    fn wait_and_clear(&self) {
        self.locked(|| {
            // SAFETY: the mutex is held.
            while unsafe { !self.is_set.read() } {
                // SAFETY: an initialised condition, and a mutex that is held.
                assert_eq!(unsafe { libc::pthread_cond_wait(self.condition, self.mutex) }, 0);
            }
            // SAFETY: the mutex is held.
            unsafe { self.is_set.write(false) };
        });
    }
}
