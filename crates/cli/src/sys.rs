//! What this program asks the system for that std has no words for.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// Where the segments of all users are. The library finds them by itself: this is for the watch.
const DIRECTORY: &str = "/dev/shm";

/// The effective user id.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() }
}

/// Whom a segment's file belongs to, whatever is in it.
pub(crate) fn owner_of_file(name: &str) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(std::path::Path::new(DIRECTORY).join(name)).map(|status| status.uid())
}

/// A watch over the directory of segments.
#[derive(Debug)]
pub(crate) struct Watch(File);

impl Watch {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes an integer.
        let descriptor = unsafe { libc::inotify_init1(libc::IN_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: open, and nobody else's.
        let file = unsafe { File::from_raw_fd(descriptor) };
        let path = CString::new(DIRECTORY)?;
        // Names come and go; a file is written by who makes it anew in place of another, and closed by who is killed.
        let events = libc::IN_CREATE
            | libc::IN_DELETE
            | libc::IN_MOVE
            | libc::IN_ATTRIB
            | libc::IN_MODIFY
            | libc::IN_CLOSE_WRITE;
        // SAFETY: the descriptor is open, and the path ends with a NUL and outlives the call.
        let watched = unsafe { libc::inotify_add_watch(file.as_raw_fd(), path.as_ptr(), events) };
        if watched < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(file)) }
    }

    /// Also hears of what happens to the file that has this name now, by whatever name it is open: its creator has made it
    /// before it had any.
    pub(crate) fn add(&self, name: &str) {
        let Ok(path) = CString::new(format!("{DIRECTORY}/{name}")) else { return };
        let events = libc::IN_ATTRIB | libc::IN_MODIFY | libc::IN_CLOSE_WRITE | libc::IN_DONT_FOLLOW;
        // SAFETY: the descriptor is open, and the path ends with a NUL and outlives the call. That there is no such file is fine.
        unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), events) };
    }

    /// Sleeps until something happens to a file of this name, or until then. Did something?
    pub(crate) fn wait_for(&mut self, name: &str, deadline: Option<Instant>) -> io::Result<bool> {
        loop {
            if !is_readable(&self.0, deadline)? {
                return Ok(false);
            }
            let mut buffer = [0; 4096];
            let len = self.0.read(&mut buffer)?;
            if Events(&buffer[..len]).any(|event| event.is_none_or(|of| of == name)) {
                return Ok(true);
            }
        }
    }
}

/// Waits until there is something to read, or until then.
fn is_readable(file: &File, deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // Rounded up: else the last millisecond would be spent awake.
        let timeout = left.map_or(-1, |left| {
            let rounded = left.saturating_add(Duration::from_nanos(999_999)).as_millis();
            libc::c_int::try_from(rounded).unwrap_or(libc::c_int::MAX)
        });
        let mut one = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure, which outlives the call.
        match unsafe { libc::poll(&raw mut one, 1, timeout) } {
            0 if left.is_some_and(|left| left.as_millis() > libc::c_int::MAX as u128) => {}
            0 => return Ok(false),
            1.. => return Ok(true),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// What inotify(7) has written: the names of the files that something has happened to; `None` for the whole directory, or
/// when events were lost.
struct Events<'a>(&'a [u8]);

impl<'a> Iterator for Events<'a> {
    type Item = Option<&'a OsStr>;

    fn next(&mut self) -> Option<Self::Item> {
        // Watch (4 bytes), mask (4), cookie (4), length of the name (4), the name with NULs behind it.
        let (head, rest) = self.0.split_at_checked(16)?;
        let len = u32::from_ne_bytes([head[12], head[13], head[14], head[15]]) as usize;
        let (name, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(CStr::from_bytes_until_nul(name).ok().map(|name| OsStr::from_bytes(name.to_bytes())))
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    pub(crate) fn of(signals: &[libc::c_int]) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: makes it an empty set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised by the call above.
        let mut set = unsafe { set.assume_init() };
        for signal in signals {
            // SAFETY: a set, and a number of which a wrong one is an error without consequence.
            unsafe { libc::sigaddset(&raw mut set, *signal) };
        }
        Self(set)
    }

    /// From now on these signals wait to be taken by [`wait`](Self::wait). Gives those that did so before. Of the calling thread.
    pub(crate) fn block(&self) -> io::Result<Self> {
        self.change_mask(libc::SIG_BLOCK)
    }

    /// From now on these are blocked, and no others.
    pub(crate) fn set_as_mask(&self) -> io::Result<()> {
        self.change_mask(libc::SIG_SETMASK).map(drop)
    }

    fn change_mask(&self, how: libc::c_int) -> io::Result<Self> {
        let mut before = Self::of(&[]);
        // SAFETY: both are sets that outlive the call.
        let result = unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut before.0) };
        if result == 0 { Ok(before) } else { Err(io::Error::from_raw_os_error(result)) }
    }

    /// Waits for one of these, which are blocked.
    pub(crate) fn wait(&self) -> io::Result<Signal> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        loop {
            // SAFETY: a set, and room for the answer, which outlive the call.
            let number = unsafe { libc::sigwaitinfo(&raw const self.0, info.as_mut_ptr()) };
            if number > 0 {
                // SAFETY: written by the call; all-zero bytes were one, too.
                let info = unsafe { info.assume_init() };
                return Ok(Signal { number, is_of_the_terminal: info.si_code == libc::SI_KERNEL });
            }
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            }
        }
    }
}

/// A signal that has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal {
    pub(crate) number: libc::c_int,
    /// From the keyboard, by the kernel: then all of the foreground group have it.
    pub(crate) is_of_the_terminal: bool,
}

/// Undoes that the deaths of children are ignored: they would then be collected by nobody, and not be heard of.
pub(crate) fn hear_of_children() {
    // SAFETY: the default is no handler, so nothing of ours is called.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn signal(child: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes integers.
    let result = unsafe { libc::kill(child.cast_signed(), signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the child does before it becomes the program: it asks for a signal at the end of this thread, and has the signals
/// blocked that this program found blocked.
pub(crate) fn before_exec(command: &mut Command, mask: Signals, death_signal: Option<libc::c_int>) {
    let parent = std::process::id();
    let prepare = move || {
        die_at("forked", parent);
        if let Some(signal) = death_signal {
            set_death_signal(signal, parent)?;
            die_at("death signal set", parent);
        }
        mask.set_as_mask()
    };
    // SAFETY: makes system calls only, and allocates nothing: a signal handler could do it.
    unsafe { command.pre_exec(prepare) };
}

/// From now on, this process gets the signal when the thread that has started it ends. An error: `parent` has ended before.
fn set_death_signal(signal: libc::c_int, parent: u32) -> io::Result<()> {
    // SAFETY: this question takes an integer more.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes nothing, cannot fail.
    let is_there = unsafe { libc::getppid() }.cast_unsigned() == parent;
    if is_there { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// For tests, which kill this program at each of its steps: `SIGKILL`s the process if the environment says so. Between a
/// fork and an exec that is the parent.
#[cfg(debug_assertions)]
pub(crate) fn die_at(step: &str, process: u32) {
    if std::env::var_os("ROBUST_SHM_TEST_DIE_AT").is_some_and(|at| at == step) {
        let _ = signal(process, libc::SIGKILL);
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn die_at(_step: &str, _process: u32) {}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    /// A creator has made the file before it had a name. Who listens for the name only does not hear that he is killed.
    #[test]
    fn the_end_of_a_creator_is_heard() {
        let unnamed = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(DIRECTORY).unwrap();
        let name = robust_shm::unique_name("robust-shm-cli-watch");
        let path = format!("{DIRECTORY}/{name}");
        let (from, to) = (format!("/proc/self/fd/{}", unnamed.as_raw_fd()), CString::new(&*path).unwrap());
        let from = CString::new(from).unwrap();
        let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
        // SAFETY: two paths with NULs at their ends, which outlive the call.
        assert_eq!(unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), follow) }, 0);
        let mut watch = Watch::new().unwrap();
        watch.add(&name);
        drop(unnamed);
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_heard = watch.wait_for(&name, Some(deadline));
        std::fs::remove_file(&path).unwrap();
        assert!(is_heard.unwrap());
    }
}
