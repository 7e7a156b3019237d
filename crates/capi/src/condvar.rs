//! Conditions: waiting for what another holder of the lock says.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint};
use std::time::Duration;

use robust_shm::{ExclusiveGuard, SharedCondvar};

use crate::arguments::{RSHM_FOREVER, handle};
use crate::array::rshm_array;
use crate::code::rshm_code::{RSHM_LATE, RSHM_OK};
use crate::code::{Done, Failure, call};
use crate::held::Held;
use crate::lock::rshm_lock;

/// One of the conditions of a lock, or of an array: made by `rshm_condvar_of_lock` and `rshm_condvar_of_array`. It is no handle:
/// nothing is to be closed, and it lasts as long as the lock.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rshm_condvar {
    /// Null, if it is an array's.
    pub lock: *const rshm_lock,
    /// Null, if it is a lock's.
    pub array: *const rshm_array,
    /// Which of the conditions: 0, 1 or 2.
    pub which: c_uint,
}

/// Of `rshm_condvar_notify`: all who wait.
pub const RSHM_ALL: c_uint = c_uint::MAX;

/// More threads than there can be (Linux's `PID_MAX_LIMIT`): whoever wants so many woken wants all.
const MOST_THREADS: c_uint = 1 << 22;

/// How many conditions a lock has.
const CONDITIONS: c_uint = 3;

/// One of the three conditions of a lock: 0, 1 or 2.
#[unsafe(no_mangle)]
pub extern "C" fn rshm_condvar_of_lock(lock: *const rshm_lock, which: c_uint) -> rshm_condvar {
    rshm_condvar { lock, array: std::ptr::null(), which }
}

/// One of the three conditions of an array: 0, 1 or 2.
#[unsafe(no_mangle)]
pub extern "C" fn rshm_condvar_of_array(array: *const rshm_array, which: c_uint) -> rshm_condvar {
    rshm_condvar { lock: std::ptr::null(), array, which }
}

fn wait<G: ExclusiveGuard>(condvar: SharedCondvar<'_>, held: &Held<G>, timeout_ns: u64) -> Done {
    let guard = held.take().ok_or_else(|| Failure::not_held("the lock"))?;
    let (guard, code) = if timeout_ns == RSHM_FOREVER {
        (condvar.wait(guard)?, RSHM_OK)
    } else {
        let (guard, timeout) = condvar.wait_for(guard, Duration::from_nanos(timeout_ns))?;
        (guard, if timeout.timed_out() { RSHM_LATE } else { RSHM_OK })
    };
    held.put(guard);
    Ok(code)
}

fn notify<G: ExclusiveGuard>(condvar: SharedCondvar<'_>, held: &Held<G>, count: c_uint) -> Done {
    let notify = |guard: &mut G| match count {
        MOST_THREADS.. => condvar.notify_all(guard),
        count => (0..count).for_each(|_| condvar.notify_one(guard)),
    };
    held.with(notify).ok_or_else(|| Failure::not_held("the lock"))?;
    Ok(RSHM_OK)
}

impl rshm_condvar {
    fn check(self) -> Result<usize, Failure> {
        if self.which < CONDITIONS {
            Ok(self.which as usize)
        } else {
            Err(Failure::invalid(format_args!("there are conditions 0 to {}, and no {}", CONDITIONS - 1, self.which)))
        }
    }
}

/// Gives the lock back, which this thread holds, waits until somebody notifies, and takes the lock again. `RSHM_LATE`: the time
/// was up, and the lock is held. After a negative code it is not: `RSHM_POISONED` among them. A wait may end for no reason: ask
/// again for what is waited for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_condvar_wait(condvar: rshm_condvar, timeout_ns: u64) -> c_int {
    call(|| {
        let which = condvar.check()?;
        if condvar.array.is_null() {
            // SAFETY: the caller's, as the header says.
            let lock = unsafe { handle(condvar.lock) }?;
            wait(lock.lock().condvar_at(which), &lock.held, timeout_ns)
        } else {
            // SAFETY: the caller's, as the header says.
            let array = unsafe { handle(condvar.array) }?;
            wait(array.array().condvar_at(which), &array.held, timeout_ns)
        }
    })
}

/// Ends the waits of so many, or of `RSHM_ALL`. This thread holds the lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_condvar_notify(condvar: rshm_condvar, count: c_uint) -> c_int {
    call(|| {
        let which = condvar.check()?;
        if condvar.array.is_null() {
            // SAFETY: the caller's, as the header says.
            let lock = unsafe { handle(condvar.lock) }?;
            notify(lock.lock().condvar_at(which), &lock.held, count)
        } else {
            // SAFETY: the caller's, as the header says.
            let array = unsafe { handle(condvar.array) }?;
            notify(array.array().condvar_at(which), &array.held, count)
        }
    })
}
