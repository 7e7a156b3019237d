//! Has a thread died without the kernel having said so in the locks that it held?
//!
//! A thread that is told dead has its locks handed on, so "dead" must be certain. It is in each of these cases, and in no
//! other is it said:
//!
//! * **There is no thread of this id.** Ids are given out again, so "there is one" says little.
//! * **The thread of this id has no robust list registered.** Nobody takes a lock without one. The kernel strikes the
//!   registration out when the thread is done with user code for good, in `exit` and in `exec`, and has walked the list
//!   as far as it could; a thread that has got the id since and holds no robust lock may have none either. This is what
//!   tells of a **zombie**: the main thread of a process that nobody has waited for keeps its id, though the OOM reaper
//!   may have taken the memory that its list was in. It also tells of a main thread that has ended before the others.
//! * **The whole process of this id has ended**, as its pidfd tells. For those who may not ask the above: the registration
//!   of another user's thread is not shown.
//!
//! Whoever has been told so then changes the lock word from what names the dead thread, in one step. If the kernel comes
//! to it at last, it finds another word, and lets it be.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::process::thread_exists;

/// Is the thread of this id certainly dead, or another one that holds no lock? Two to five system calls.
pub(crate) fn is_gone(tid: u32) -> bool {
    !thread_exists(tid) || has_robust_list(tid).map_or_else(|_| process_has_ended(tid), |has_one| !has_one)
}

/// Is a robust list registered for this thread?
fn has_robust_list(tid: u32) -> io::Result<bool> {
    let mut head = ptr::null_mut::<libc::c_void>();
    let mut len = 0usize;
    // SAFETY: both pointers are to locals of the types that the call writes.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut len) };
    if result == 0 { Ok(!head.is_null()) } else { Err(io::Error::last_os_error()) }
}

/// Has every thread of the process with this main thread ended? `false` when it cannot be told (before Linux 5.3, in a
/// sandbox, or because it is no main thread).
fn process_has_ended(tid: u32) -> bool {
    // SAFETY: takes integers, and gives a descriptor of our own, which is closed at `exec`.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, tid, 0) };
    let Some(fd) = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0) else { return false };
    // SAFETY: just opened, and nobody else's.
    let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut asked = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd; with timeout 0 the call only looks.
    let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
    ready == 1 && asked.revents & libc::POLLIN != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    fn own_id() -> u32 {
        // SAFETY: takes nothing, cannot fail.
        unsafe { libc::gettid() }.unsigned_abs()
    }

    #[test]
    fn the_living_are_not_gone() {
        // As everybody does before he takes a lock: on musl, only that registers a list.
        crate::os::robust_list::of_this_thread(own_id()).unwrap();
        assert!(!is_gone(own_id()) && !process_has_ended(own_id()));
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        assert!(!process_has_ended(child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(is_gone(child.id()));
    }

    #[test]
    fn a_zombie_is_gone() {
        let mut child = Command::new("true").spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let stat = format!("/proc/{}/stat", child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(thread_exists(child.id()));
        assert!(is_gone(child.id()));
        assert!(process_has_ended(child.id()), "this needs Linux 5.3");
        child.wait().unwrap();
    }
}
