//! A watch over the directory of segments: inotify(7).

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::DIRECTORY;

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
