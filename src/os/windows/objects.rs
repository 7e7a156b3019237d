//! Kernel objects with names, which the processes of all sessions share.
//!
//! `Global\`, because a lock may be shared by a service and a desktop's program of the same user: with names of their own for
//! each session, neither would hear of the other's death, and each would take the other for dead. (Other than for named memory,
//! no privilege is needed for that.) Whoever may open them is the user, and the system, be it by an elevated program or not.

use std::io;
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_FILE_NOT_FOUND, GetLastError, SetLastError, WAIT_ABANDONED_0, WAIT_FAILED,
    WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::System::Threading::{
    CreateEventW, CreateMutexW, INFINITE, OpenMutexW, ReleaseMutex, SYNCHRONIZATION_SYNCHRONIZE, SetEvent,
    WaitForMultipleObjects,
};

use super::Deadline;
use super::access::Access;
use super::handle::{Handle, done, wide};

/// Ends in itself, or by whoever sets it.
#[derive(Debug)]
pub(super) struct Event(Handle);

/// Belongs to one thread at a time, and to the next one when that ends.
#[derive(Debug)]
pub(super) struct Mutex(Handle);

/// What can be waited for.
pub(super) trait Object {
    fn handle(&self) -> &Handle;
}

impl Object for Event {
    fn handle(&self) -> &Handle {
        &self.0
    }
}

impl Object for Mutex {
    fn handle(&self) -> &Handle {
        &self.0
    }
}

impl Event {
    /// `stays`: once it is set, it wakes all; else one, who resets it by that.
    pub(super) fn of(name: &str, stays: bool) -> io::Result<Self> {
        let full = full(name);
        // SAFETY: attributes that live as long as the process, and a text that ends with a NUL.
        let event = unsafe { CreateEventW(attributes(), i32::from(stays), 0, full.as_ptr()) };
        // SAFETY: a handle that the call has just made for us, or null.
        unsafe { Handle::or_last_error(event) }.map(Self).map_err(|error| explain("event", name, &error))
    }

    pub(super) fn set(&self) -> io::Result<()> {
        // SAFETY: the handle is open, with all rights.
        done(unsafe { SetEvent(self.0.raw()) })
    }
}

impl Mutex {
    pub(super) fn of(name: &str) -> io::Result<Self> {
        Self::make(name, false).map(|(mutex, _)| mutex).map_err(|error| explain("mutex", name, &error))
    }

    /// One that nobody has made before, and that belongs to the calling thread; `None` if there is something of this name.
    pub(super) fn of_this_thread(name: &str) -> io::Result<Option<Self>> {
        Self::make(name, true).map(|(mutex, is_new)| is_new.then_some(mutex))
    }

    fn make(name: &str, is_owned: bool) -> io::Result<(Self, bool)> {
        let full = full(name);
        // So that what is found behind the call is the call's.
        // SAFETY: takes an integer.
        unsafe { SetLastError(0) };
        // SAFETY: attributes that live as long as the process, and a text that ends with a NUL.
        let mutex = unsafe { CreateMutexW(attributes(), i32::from(is_owned), full.as_ptr()) };
        // SAFETY: takes nothing.
        let is_new = unsafe { GetLastError() } != ERROR_ALREADY_EXISTS;
        // SAFETY: a handle that the call has just made for us, or null.
        unsafe { Handle::or_last_error(mutex) }.map(|mutex| (Self(mutex), is_new))
    }

    /// One that somebody else has made, and still has.
    pub(super) fn that_exists(name: &str) -> io::Result<Option<Self>> {
        let full = full(name);
        // SAFETY: a text that ends with a NUL.
        let mutex = unsafe { OpenMutexW(SYNCHRONIZATION_SYNCHRONIZE, 0, full.as_ptr()) };
        // SAFETY: a handle that the call has just made for us, or null.
        match unsafe { Handle::or_last_error(mutex) } {
            Ok(mutex) => Ok(Some(Self(mutex))),
            Err(error) if error.raw_os_error() == Some(ERROR_FILE_NOT_FOUND.cast_signed()) => Ok(None),
            Err(error) => Err(explain("mutex", name, &error)),
        }
    }

    /// Takes it without waiting, unless it is another thread's.
    pub(super) fn try_take(&self) -> io::Result<bool> {
        wait_at_most(&[self], 0).map(|found| found.is_some())
    }

    /// Gives it back, which is this thread's.
    pub(super) fn give_back(&self) {
        // SAFETY: the handle is open. (It fails if the mutex is another's.)
        unsafe { ReleaseMutex(self.0.raw()) };
    }
}

/// As many can be waited for at once, here.
const MOST: usize = 3;

/// Waits for the first of these, which is then taken if it is a mutex, and reset if it is an event of that kind; `None`: the
/// time is up.
pub(super) fn wait_for_any(objects: &[&dyn Object], until: Deadline) -> io::Result<Option<usize>> {
    loop {
        // Rounded up. The system waits by a clock of its own, which may be a little ahead.
        let left = until.remaining().as_nanos().div_ceil(1_000_000);
        let found = wait_at_most(objects, u32::try_from(left).unwrap_or(INFINITE - 1).min(INFINITE - 1))?;
        if found.is_some() || until.has_passed() {
            return Ok(found);
        }
    }
}

fn wait_at_most(objects: &[&dyn Object], millis: u32) -> io::Result<Option<usize>> {
    let mut handles = [ptr::null_mut(); MOST];
    for (place, object) in handles.iter_mut().zip(objects) {
        *place = object.handle().raw();
    }
    let count = objects.len().min(MOST) as u32;
    // Not alertable: nothing of the program's runs in this call.
    // SAFETY: so many handles, which are open.
    let answer = unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, millis) };
    let among = |first: u32| answer.checked_sub(first).filter(|index| *index < count).map(|index| index as usize);
    match answer {
        WAIT_FAILED => Err(io::Error::last_os_error()),
        WAIT_TIMEOUT => Ok(None),
        // A mutex whose owner has ended is as good as one that was given back: what depends on that is in the lock word.
        _ => Ok(among(WAIT_OBJECT_0).or_else(|| among(WAIT_ABANDONED_0))),
    }
}

fn full(name: &str) -> Vec<u16> {
    wide(format!("Global\\robust-shm-{name}").as_ref())
}

#[cold]
fn explain(what: &str, name: &str, error: &io::Error) -> io::Error {
    // ERROR_INVALID_HANDLE is what the system says of one of another type.
    let message = format!("cannot use the {what} Global\\robust-shm-{name}, or it is something else: {error}");
    io::Error::new(error.kind(), message)
}

/// Whoever may open what is made: this user, in all of his sessions, and the system.
fn attributes() -> *const SECURITY_ATTRIBUTES {
    static KNOWN: OnceLock<Option<Access>> = OnceLock::new();
    // Without it, whoever may open a process's objects by default.
    KNOWN
        .get_or_init(|| Access::of("(A;;GA;;;{user})(A;;GA;;;SY)").ok())
        .as_ref()
        .map_or(ptr::null(), Access::attributes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn name(what: &str) -> String {
        format!("test-{what}-{:x}", super::super::random_place())
    }

    fn soon() -> Deadline {
        Deadline::soon(Duration::from_secs(60))
    }

    #[test]
    fn what_somebody_else_has_made_of_another_type_is_an_error_that_names_it() {
        let name = name("squatter");
        let event = Event::of(&name, false).unwrap();
        let error = Mutex::of(&name).unwrap_err().to_string();
        assert!(error.contains(&name), "{error}");
        assert!(Mutex::that_exists(&name).is_err());
        drop(event);
        assert!(Mutex::that_exists(&name).unwrap().is_none());
        Mutex::of(&name).unwrap();
    }

    #[test]
    fn a_mutex_goes_to_the_next_when_its_thread_ends_and_an_event_to_one() {
        let name = name("life");
        let their = name.clone();
        std::thread::spawn(move || std::mem::forget(Mutex::of_this_thread(&their).unwrap())).join().unwrap();
        assert!(Mutex::of_this_thread(&name).unwrap().is_none());
        let mutex = Mutex::that_exists(&name).unwrap().unwrap();
        let event = Event::of(&format!("{name}-event"), false).unwrap();
        assert_eq!(wait_for_any(&[&event, &mutex], soon()).unwrap(), Some(1));
        mutex.give_back();
        event.set().unwrap();
        assert_eq!(wait_for_any(&[&event], soon()).unwrap(), Some(0));
        assert_eq!(wait_for_any(&[&event], Deadline::now()).unwrap(), None);
    }

    #[test]
    fn a_wait_is_not_over_before_its_time() {
        let event = Event::of(&name("never"), false).unwrap();
        let (start, end) = (Instant::now(), Deadline::soon(Duration::from_millis(20)));
        assert_eq!(wait_for_any(&[&event], end).unwrap(), None);
        assert!(end.has_passed() && start.elapsed() >= Duration::from_millis(20));
    }
}
