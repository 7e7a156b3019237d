//! Events.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use robust_shm::{Options, SharedEvent};

use crate::arguments::{handle, take_back, within};
use crate::code::rshm_code::RSHM_OK;
use crate::code::{Failure, call};
use crate::opening::{Handle, open};
use crate::options::rshm_options;

/// An event: one says that something has happened, and any number wait until it has.
pub struct rshm_event(SharedEvent);

impl Handle for rshm_event {
    type Shared = SharedEvent;

    fn options() -> Options<SharedEvent> {
        SharedEvent::options()
    }

    fn new(event: SharedEvent) -> Self {
        Self(event)
    }
}

/// Creates an event, which is not set. `options` may be a null pointer, here and below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_event_create(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_event,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.create(name)) }
}

/// Opens an event that there is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_event_open(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_event,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.open(name)) }
}

/// Opens the event that there is, or creates it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_event_open_or_create(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_event,
) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, |options, name| options.open_or_create(name)) }
}

/// Closes the handle, which may be a null pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_event_close(event: *mut rshm_event) {
    call(|| {
        // SAFETY: the caller's, as the header says.
        drop(unsafe { take_back(event) });
        Ok(RSHM_OK)
    });
}

unsafe fn with(
    event: *const rshm_event,
    action: impl FnOnce(&SharedEvent) -> Result<(), robust_shm::LockError>,
) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let event = unsafe { handle(event) }?;
        action(&event.0).map_err(Failure::from)?;
        Ok(RSHM_OK)
    })
}

/// Sets it: all who wait go on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_event_set(event: *const rshm_event) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { with(event, SharedEvent::set) }
}

/// Clears it: who waits from now on waits for the next `rshm_event_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_event_clear(event: *const rshm_event) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { with(event, SharedEvent::clear) }
}

/// 1: it is set; 0: it is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_event_is_set(event: *const rshm_event) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { event.as_ref() }.is_some_and(|event| event.0.is_set()).into()
}

/// Waits until it is set: `RSHM_TIMED_OUT` if that takes longer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_event_wait(event: *const rshm_event, timeout_ns: u64) -> c_int {
    let wait = |event: &SharedEvent| {
        let wait_for = |most| event.wait_for(most);
        within(timeout_ns, || event.wait(), || event.wait_for(std::time::Duration::ZERO), wait_for)
    };
    // SAFETY: the caller's, as the header says.
    unsafe { with(event, wait) }
}
