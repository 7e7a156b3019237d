//! Locks with any number of readers, or one writer, for what is not in shared memory.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint};

use robust_shm::{Options, RwLockReadGuard, RwLockWriteGuard, SharedRwLock};

use crate::arguments::{handle, take_back, within};
use crate::code::rshm_code::{RSHM_OK, RSHM_OWNER_DIED, RSHM_WOULD_DEADLOCK};
use crate::code::{Failure, call};
use crate::held::{Held, HeldByMany, for_guards};
use crate::lock::RSHM_EVEN_POISONED;
use crate::opening::{Handle, open};
use crate::options::rshm_options;

/// A lock with any number of readers, or one writer.
pub struct rshm_rwlock {
    lock: SharedRwLock,
    writer: Held<RwLockWriteGuard<'static>>,
    readers: HeldByMany<RwLockReadGuard<'static>>,
}

impl Drop for rshm_rwlock {
    fn drop(&mut self) {
        drop(self.writer.take());
        self.readers.close();
    }
}

impl Handle for rshm_rwlock {
    type Shared = SharedRwLock;

    fn options() -> Options<SharedRwLock> {
        SharedRwLock::options()
    }

    fn more(mut options: Options<SharedRwLock>, given: &rshm_options) -> Options<SharedRwLock> {
        if let Some(poison) = given.poison() {
            options = options.poison(poison);
        }
        if let Some(readers) = given.readers() {
            options = options.readers(readers);
        }
        options
    }

    fn new(lock: SharedRwLock) -> Self {
        Self { lock, writer: Held::nothing(), readers: HeldByMany::nothing() }
    }
}

/// Creates a read-write lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_create(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_rwlock,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.create(name)) }
}

/// Opens a read-write lock that there is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_open(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_rwlock,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.open(name)) }
}

/// Opens the read-write lock that there is, or creates it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_open_or_create(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_rwlock,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.open_or_create(name)) }
}

/// Closes the handle, which may be a null pointer. What this thread holds is given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_close(lock: *mut rshm_rwlock) {
    call(|| {
        // SAFETY: the caller's, as the header says.
        drop(unsafe { take_back(lock) });
        Ok(RSHM_OK)
    });
}

/// Takes it alone. `flags` is 0 or `RSHM_EVEN_POISONED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_write(lock: *const rshm_rwlock, timeout_ns: u64, flags: c_uint) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(lock) }?;
        // SAFETY: `give` has made it, and its guards stand beside it.
        let lock = unsafe { for_guards(&this.lock) };
        let guard = if flags & RSHM_EVEN_POISONED == 0 {
            within(timeout_ns, || lock.write(), || lock.try_write(), |most| lock.try_write_for(most))
        } else {
            let wait_for = |most| lock.try_write_ignoring_poison_for(most);
            within(timeout_ns, || lock.write_ignoring_poison(), || lock.try_write_ignoring_poison(), wait_for)
        }?;
        let is_poisoned = flags & RSHM_EVEN_POISONED != 0 && RwLockWriteGuard::is_poisoned(&guard);
        this.writer.put(guard);
        Ok(if is_poisoned { RSHM_OWNER_DIED } else { RSHM_OK })
    })
}

/// Gives back what `rshm_rwlock_write` has taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_write_unlock(lock: *const rshm_rwlock) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let guard = unsafe { handle(lock) }?.writer.take();
        drop(guard.ok_or_else(|| Failure::not_held("the lock for writing"))?);
        Ok(RSHM_OK)
    })
}

/// Takes it beside other readers: once in each thread through one handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_read(lock: *const rshm_rwlock, timeout_ns: u64) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(lock) }?;
        if this.readers.has(0) {
            let message = "this thread reads already".into();
            return Err(Failure { code: RSHM_WOULD_DEADLOCK, message });
        }
        // SAFETY: `give` has made it, and its guards stand beside it.
        let lock = unsafe { for_guards(&this.lock) };
        let guard = within(timeout_ns, || lock.read(), || lock.try_read(), |most| lock.try_read_for(most))?;
        this.readers.put(0, guard);
        Ok(RSHM_OK)
    })
}

/// Gives back what `rshm_rwlock_read` has taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_read_unlock(lock: *const rshm_rwlock) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let guard = unsafe { handle(lock) }?.readers.take(0);
        drop(guard.ok_or_else(|| Failure::not_held("the lock for reading"))?);
        Ok(RSHM_OK)
    })
}

/// Says that what it guards is in order again: for who holds it for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_clear_poison(lock: *const rshm_rwlock) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let cleared = unsafe { handle(lock) }?.writer.with(RwLockWriteGuard::clear_poison);
        cleared.ok_or_else(|| Failure::not_held("the lock for writing"))?;
        Ok(RSHM_OK)
    })
}

/// 1: a writer died, and nobody has repaired since; 0: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_rwlock_is_poisoned(lock: *const rshm_rwlock) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { lock.as_ref() }.is_some_and(|this| this.lock.is_poisoned()).into()
}
