//! Semaphores.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use robust_shm::{Options, Permit, SharedSemaphore};

use crate::arguments::{handle, take_back, within, write};
use crate::code::rshm_code::RSHM_OK;
use crate::code::{Failure, call};
use crate::held::{HeldByMany, for_guards};
use crate::opening::{Handle, open};
use crate::options::rshm_options;

/// A number of permits, each with an index. They come back when their holder is killed, or its thread ends.
pub struct rshm_semaphore {
    semaphore: SharedSemaphore,
    permits: HeldByMany<Permit<'static>>,
}

impl Drop for rshm_semaphore {
    fn drop(&mut self) {
        self.permits.close();
    }
}

impl Handle for rshm_semaphore {
    type Shared = SharedSemaphore;

    fn options() -> Options<SharedSemaphore> {
        SharedSemaphore::options()
    }

    fn new(semaphore: SharedSemaphore) -> Self {
        Self { semaphore, permits: HeldByMany::nothing() }
    }
}

/// Creates a semaphore of so many permits, 1 to 127.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_semaphore_create(
    name: *const c_char,
    permits: usize,
    options: *const rshm_options,
    out: *mut *mut rshm_semaphore,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.create(name, permits)) }
}

/// Opens a semaphore that there is, of however many permits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_semaphore_open(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_semaphore,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.open(name)) }
}

/// Opens the semaphore that there is, if it has so many permits, or creates it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_semaphore_open_or_create(
    name: *const c_char,
    permits: usize,
    options: *const rshm_options,
    out: *mut *mut rshm_semaphore,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.open_or_create(name, permits)) }
}

/// Closes the handle, which may be a null pointer. The permits of this thread are given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_semaphore_close(semaphore: *mut rshm_semaphore) {
    call(|| {
        // SAFETY: the caller's, as the header says.
        drop(unsafe { take_back(semaphore) });
        Ok(RSHM_OK)
    });
}

/// Takes a permit; `index`, if it is not null, is then which one. A permit is of the thread that has taken it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_semaphore_acquire(
    semaphore: *const rshm_semaphore,
    timeout_ns: u64,
    index: *mut usize,
) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(semaphore) }?;
        // SAFETY: `give` has made it, and its permits stand beside it.
        let semaphore = unsafe { for_guards(&this.semaphore) };
        let wait_for = |most| semaphore.try_acquire_for(most);
        let permit = within(timeout_ns, || semaphore.acquire(), || semaphore.try_acquire(), wait_for)?;
        let which = permit.index();
        this.permits.put(which, permit);
        // SAFETY: the caller's, as the header says.
        unsafe { write(index, which) };
        Ok(RSHM_OK)
    })
}

/// Gives back the permit with that index, which this thread has taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_semaphore_release(semaphore: *const rshm_semaphore, index: usize) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let permit = unsafe { handle(semaphore) }?.permits.take(index);
        drop(permit.ok_or_else(|| Failure::not_held("this permit"))?);
        Ok(RSHM_OK)
    })
}

/// How many permits nobody has, at this moment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_semaphore_available(semaphore: *const rshm_semaphore) -> usize {
    // SAFETY: the caller's, as the header says.
    unsafe { semaphore.as_ref() }.map_or(0, |this| this.semaphore.available())
}

/// How many permits there are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_semaphore_permits(semaphore: *const rshm_semaphore) -> usize {
    // SAFETY: the caller's, as the header says.
    unsafe { semaphore.as_ref() }.map_or(0, |this| this.semaphore.permits())
}
