//! Locks of the kernel on a file, as a lock around every section: `flock`, and an open-file-description lock on a byte.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;

use super::{Peer, Room};

/// `flock`, or (`OFD`) `fcntl(F_OFD_SETLKW)` on the first byte.
pub struct FileLock<const OFD: bool> {
    file: File,
    room: Room<()>,
}

pub type Flock = FileLock<false>;
pub type OfdByte = FileLock<true>;

/// Unlocks when it is dropped.
pub struct FileLockGuard<'a, const OFD: bool>(&'a FileLock<OFD>);

impl<const OFD: bool> Drop for FileLockGuard<'_, OFD> {
    fn drop(&mut self) {
        self.0.set(libc::F_UNLCK, libc::LOCK_UN);
    }
}

impl<const OFD: bool> Peer for FileLock<OFD> {
    const WHO: &str = if OFD { "OFD lock of a byte" } else { "flock" };
    type Guard<'a> = FileLockGuard<'a, OFD>;

    fn hold(&self) -> FileLockGuard<'_, OFD> {
        self.set(libc::F_WRLCK, libc::LOCK_EX);
        FileLockGuard(self)
    }

    fn create() -> Self {
        let path = format!("/dev/shm/{}", robust_shm::unique_name("peers-file"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("a new file");
        fs::remove_file(path).expect("just made");
        Self { file, room: Room::new() }
    }

    /// By a description of its own: such locks are the description's.
    fn attach(&self) -> Self {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = OpenOptions::new().read(true).write(true).open(path).expect("inherited");
        Self { file, room: self.room }
    }

    fn locked<R>(&self, action: impl FnOnce(&mut u64) -> R) -> R {
        let _guard = self.hold();
        // SAFETY: the lock is held.
        action(unsafe { &mut *self.room.number() })
    }
}

impl<const OFD: bool> FileLock<OFD> {
    fn set(&self, kind: libc::c_int, operation: libc::c_int) {
        let result = if OFD {
            // SAFETY: all-zero bytes are a flock structure.
            let mut lock: libc::flock = unsafe { std::mem::zeroed() };
            (lock.l_type, lock.l_whence, lock.l_len) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short, 1);
            // SAFETY: an open descriptor, and a structure that outlives the call.
            unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLKW, &raw const lock) }
        } else {
            // SAFETY: an open descriptor.
            unsafe { libc::flock(self.file.as_raw_fd(), operation) }
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}
