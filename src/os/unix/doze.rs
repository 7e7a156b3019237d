//! A short sleep.

use std::ptr;
use std::time::Duration;

/// Less than a second of it. `false`: a signal has ended it. (std's sleeps go on.)
pub(super) fn doze(pause: Duration) -> bool {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
    // SAFETY: a timespec that outlives the call; what is left of the time is not asked for.
    unsafe { libc::nanosleep(&raw const pause, ptr::null_mut()) == 0 }
}
