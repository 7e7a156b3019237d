//! Locks for what is not in shared memory.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint};

use robust_shm::{LockGuard, Options, SharedLock};

use crate::arguments::{handle, take_back, within};
use crate::code::rshm_code::{RSHM_OK, RSHM_OWNER_DIED};
use crate::code::{Failure, call};
use crate::held::{Held, for_guards};
use crate::opening::{Handle, open};
use crate::options::rshm_options;

/// Take it although a holder died: the function then returns `RSHM_OWNER_DIED`, and the lock is held.
pub const RSHM_EVEN_POISONED: c_uint = 1;

/// A lock, for a file, a device, or several segments at once.
pub struct rshm_lock {
    lock: SharedLock,
    pub(crate) held: Held<LockGuard<'static>>,
}

impl Drop for rshm_lock {
    fn drop(&mut self) {
        drop(self.held.take());
    }
}

impl Handle for rshm_lock {
    type Shared = SharedLock;

    fn options() -> Options<SharedLock> {
        SharedLock::options()
    }

    fn more(options: Options<SharedLock>, given: &rshm_options) -> Options<SharedLock> {
        match given.poison() {
            Some(poison) => options.poison(poison),
            None => options,
        }
    }

    fn new(lock: SharedLock) -> Self {
        Self { lock, held: Held::nothing() }
    }
}

/// Creates a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_lock_create(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_lock,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.create(name)) }
}

/// Opens a lock that there is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_lock_open(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_lock,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.open(name)) }
}

/// Opens the lock that there is, or creates it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_lock_open_or_create(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_lock,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.open_or_create(name)) }
}

/// Closes the handle, which may be a null pointer. If this thread holds the lock, it gives it back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_lock_close(lock: *mut rshm_lock) {
    call(|| {
        // SAFETY: the caller's, as the header says.
        drop(unsafe { take_back(lock) });
        Ok(RSHM_OK)
    });
}

/// Takes the lock. `flags` is 0 or `RSHM_EVEN_POISONED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_lock_lock(lock: *const rshm_lock, timeout_ns: u64, flags: c_uint) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(lock) }?;
        // SAFETY: `give` has made it, and its guards stand beside it.
        let lock = unsafe { for_guards(&this.lock) };
        let guard = if flags & RSHM_EVEN_POISONED == 0 {
            within(timeout_ns, || lock.lock(), || lock.try_lock(), |most| lock.try_lock_for(most))
        } else {
            let wait_for = |most| lock.try_lock_ignoring_poison_for(most);
            within(timeout_ns, || lock.lock_ignoring_poison(), || lock.try_lock_ignoring_poison(), wait_for)
        }?;
        let is_poisoned = flags & RSHM_EVEN_POISONED != 0 && LockGuard::is_poisoned(&guard);
        this.held.put(guard);
        Ok(if is_poisoned { RSHM_OWNER_DIED } else { RSHM_OK })
    })
}

/// Gives it back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_lock_unlock(lock: *const rshm_lock) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let guard = unsafe { handle(lock) }?.held.take();
        drop(guard.ok_or_else(|| Failure::not_held("the lock"))?);
        Ok(RSHM_OK)
    })
}

/// Says that what it guards is in order again: for who holds it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_lock_clear_poison(lock: *const rshm_lock) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let cleared = unsafe { handle(lock) }?.held.with(LockGuard::clear_poison);
        cleared.ok_or_else(|| Failure::not_held("the lock"))?;
        Ok(RSHM_OK)
    })
}

/// 1: a holder died, and nobody has repaired since; 0: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_lock_is_poisoned(lock: *const rshm_lock) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { lock.as_ref() }.is_some_and(|this| this.lock.is_poisoned()).into()
}

impl rshm_lock {
    pub(crate) fn lock(&self) -> &SharedLock {
        &self.lock
    }
}
