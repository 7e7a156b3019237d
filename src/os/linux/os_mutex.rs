//! The operating system's own mutex: a `pthread_mutex_t` that processes share, as `raw_sync` makes, finds, waits for and
//! releases it. Done here is what that crate lacks: a try that never waits, and a wait that ends at a deadline of the monotonic
//! clock.

use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{clockid_t, pthread_mutex_t, timespec};
use raw_sync::locks::{LockImpl, LockInit};

use super::Deadline;
use super::futex::timespec_of;

/// How many bytes it takes: 40 on x86-64, 48 with glibc on 64-bit ARM.
pub(crate) const SIZE: usize = size_of::<pthread_mutex_t>();
pub(crate) const ALIGN: usize = align_of::<pthread_mutex_t>();

/// Is there one here?
#[allow(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
pub(crate) fn check() -> io::Result<()> {
    Ok(())
}

/// The bytes of a mutex that nobody holds.
///
/// They are made in private memory and copied to where the mutex is to be. POSIX says nothing of copied mutexes, so this asks
/// the C library: an initialised mutex that contains its own address, or anything else that belongs to a place, is not the
/// same at two places. (Those of glibc and musl are zeros and a type.) Processes map a shared mutex at different
/// addresses anyway.
pub(crate) fn fresh() -> io::Result<[u8; SIZE]> {
    /// Aligned as in a segment.
    #[repr(align(64))]
    struct Place([u8; SIZE]);
    let mut places = [Place([0; SIZE]), Place([0; SIZE])];
    for place in &mut places {
        // SAFETY: aligned, and as long; `raw_sync`'s object is dropped before the place moves.
        let made = unsafe { raw_sync::locks::Mutex::new(place.0.as_mut_ptr(), ptr::null_mut()) };
        let used = made.map(|(_, used)| used).map_err(|error| io::Error::other(error.to_string()))?;
        if used != SIZE {
            return Err(io::Error::other("raw_sync has put the mutex in another place"));
        }
    }
    let [one, other] = places;
    if one.0 != other.0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "this C library's mutexes cannot be made in advance"));
    }
    Ok(one.0)
}

/// A handle's access to the mutex in its mapping.
pub(crate) struct Mutex {
    raw: Box<dyn LockImpl>,
}

// SAFETY: `raw_sync`'s object holds the address of the mutex, which any thread may use, and a pointer to data that it
// never follows, and that nobody asks it for.
unsafe impl Send for Mutex {}
// SAFETY: as above; none of its methods that are used here changes it.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// # Safety
    ///
    /// There must be a mutex that began as [`fresh`] says, of this C library, and that stays mapped as long as this.
    pub(crate) unsafe fn attach(place: *mut u8) -> io::Result<Self> {
        prepare();
        // SAFETY: by the contract of this function; no data are asked for.
        let attached = unsafe { raw_sync::locks::Mutex::from_existing(place, ptr::null_mut()) };
        let (raw, _) = attached.map_err(|error| io::Error::other(error.to_string()))?;
        if raw.as_raw() != place.cast() {
            return Err(io::Error::other("raw_sync looks for the mutex in another place"));
        }
        Ok(Self { raw })
    }

    fn raw(&self) -> *mut pthread_mutex_t {
        self.raw.as_raw().cast()
    }

    /// Takes the mutex if it is free.
    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        // SAFETY: alive and initialised by the contract of `attach`.
        unsafe { try_lock(self.raw()) }
    }

    /// Waits for it, however long that takes.
    pub(crate) fn lock(&self) -> io::Result<()> {
        let guard = self.raw.lock().map_err(|error| io::Error::other(error.to_string()))?;
        mem::forget(guard); // released by `unlock`
        Ok(())
    }

    /// Takes the mutex, or gives up at the deadline.
    pub(crate) fn lock_until(&self, deadline: Deadline) -> io::Result<bool> {
        // SAFETY: as in `try_lock`.
        unsafe { lock_until(self.raw(), deadline) }
    }

    /// Releases it, for the thread that has it.
    pub(crate) fn unlock(&self) {
        // A failure means that somebody has damaged the mutex: there is nobody to tell, and a guard's drop must not panic.
        let _ = self.raw.release();
    }
}

/// `pthread_mutex_clocklock`: glibc has it since 2.30, musl not at all.
type ClockLock = unsafe extern "C" fn(*mut pthread_mutex_t, clockid_t, *const timespec) -> libc::c_int;

/// Its address, once it has been looked up: see [`prepare`].
static CLOCK_LOCK: AtomicUsize = AtomicUsize::new(0);

/// Looks up what [`lock_until`] would like to have. Not when it needs it: that may be in the child of a fork by a program
/// with threads, and the dynamic linker has locks of its own.
fn prepare() {
    // SAFETY: the name is a C string; nothing is called yet.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"pthread_mutex_clocklock".as_ptr()) };
    CLOCK_LOCK.store(found.addr(), Ordering::Relaxed);
}

fn clock_lock() -> Option<ClockLock> {
    let address = ptr::with_exposed_provenance::<()>(CLOCK_LOCK.load(Ordering::Relaxed));
    if address.is_null() {
        return None;
    }
    // SAFETY: the address of the C library's function of that name, which has this signature wherever it exists.
    Some(unsafe { mem::transmute::<*const (), ClockLock>(address) })
}

/// Takes the mutex if it is free.
///
/// # Safety
///
/// An initialised mutex that stays mapped.
unsafe fn try_lock(mutex: *mut pthread_mutex_t) -> io::Result<bool> {
    // SAFETY: by the contract of this function.
    match unsafe { libc::pthread_mutex_trylock(mutex) } {
        0 => Ok(true),
        libc::EBUSY => Ok(false),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Takes the mutex, or gives up at the deadline.
///
/// `raw_sync` adds the timeout to the time of day without carrying nanoseconds into seconds, so that a part of its timed
/// waits fails at once; and when somebody sets the clock, its waits end early or go on for as long as the clock was put
/// back. Here the clock is the one that nobody sets, where the C library can wait by it. Where it cannot, each wait that
/// ends early goes on, and only a clock that is put back during a wait delays its end (with musl not even that: it sleeps
/// for a span of time).
///
/// # Safety
///
/// As for [`try_lock`].
unsafe fn lock_until(mutex: *mut pthread_mutex_t, deadline: Deadline) -> io::Result<bool> {
    loop {
        let errno = match clock_lock() {
            // SAFETY: by the contract of this function, and with a timespec that outlives the call.
            Some(clock_lock) => unsafe { clock_lock(mutex, libc::CLOCK_MONOTONIC, &timespec_of(deadline)) },
            // SAFETY: as above.
            None => unsafe { libc::pthread_mutex_timedlock(mutex, &time_of_day(deadline)) },
        };
        match errno {
            0 => return Ok(true),
            libc::ETIMEDOUT if deadline.has_passed() => return Ok(false),
            libc::ETIMEDOUT => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// What the clock on the wall will say at the deadline, if nobody sets it.
fn time_of_day(deadline: Deadline) -> timespec {
    const NANOS_PER_SECOND: libc::c_long = 1_000_000_000;
    let left = deadline.remaining();
    let mut now = MaybeUninit::<timespec>::zeroed();
    // SAFETY: the pointer is to a timespec that may be written.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, now.as_mut_ptr()) };
    // SAFETY: zero bytes are a timespec, whether or not the call has written one.
    let now = unsafe { now.assume_init() };
    let nanos = now.tv_nsec + libc::c_long::from(left.subsec_nanos());
    let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    timespec {
        tv_sec: now.tv_sec.saturating_add(seconds).saturating_add(nanos / NANOS_PER_SECOND),
        tv_nsec: nanos % NANOS_PER_SECOND,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_by_the_clock_on_the_wall_carries_nanoseconds_and_is_not_early() {
        let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
        // SAFETY: initialised, and alive to the end of the test.
        assert!(unsafe { try_lock(&raw mut mutex) }.unwrap());
        // Whatever the time is, some of these carry: with raw_sync, these fail at once.
        for millis in [1u64, 30, 60, 90, 999] {
            let timespec = time_of_day(Deadline::after(Duration::from_millis(millis)).unwrap());
            assert!((0..1_000_000_000).contains(&timespec.tv_nsec), "{}", timespec.tv_nsec);
        }
        assert_eq!(clock_lock().is_none(), CLOCK_LOCK.load(Ordering::Relaxed) == 0);
        for found in [0, usize::MAX] {
            match found {
                0 => CLOCK_LOCK.store(0, Ordering::Relaxed),
                _ => prepare(),
            }
            let deadline = Deadline::after(Duration::from_millis(20)).unwrap();
            // SAFETY: as above.
            assert!(!unsafe { lock_until(&raw mut mutex, deadline) }.unwrap());
            assert!(deadline.has_passed());
        }
    }
}
