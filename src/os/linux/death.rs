//! Has a thread of our PID namespace died?

use std::io;
use std::ptr;

use super::process::thread_exists;

/// Is the thread of this id certainly dead, or another one that holds no lock?
///
/// It is when there is no such thread; and when it has no robust list registered. The kernel strikes the registration out
/// when the thread is done with user code for good, in `exit` and in `exec`, and has walked the list as far as it could;
/// a thread that has got the id since and holds no robust lock may have none either. That of another user's thread is not
/// shown.
///
/// Whoever has been told so then changes the lock word from what names the dead thread, in one step. If the kernel comes
/// to it at last, it finds another word, and lets it be.
pub(crate) fn is_dead_thread(tid: u32) -> bool {
    !thread_exists(tid) || matches!(has_robust_list(tid), Ok(false))
}

/// Has the thread ended that has made itself known by this id, where threads do that?
#[inline(always)]
pub(crate) fn has_ended(_tid: u32) -> bool {
    false
}

/// Is a robust list registered for this thread?
fn has_robust_list(tid: u32) -> io::Result<bool> {
    let mut head = ptr::null_mut::<libc::c_void>();
    let mut len = 0usize;
    // SAFETY: both pointers are to locals of the types that the call writes.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut len) };
    if result == 0 { Ok(!head.is_null()) } else { Err(io::Error::last_os_error()) }
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

    /// As everybody asks before he takes a lock: on musl, only that registers a list.
    fn are_there_lists() -> bool {
        crate::os::robust_list::of_this_thread(own_id()).is_ok()
    }

    #[test]
    fn the_living_are_not_dead() {
        if !are_there_lists() {
            return;
        }
        assert!(!is_dead_thread(own_id()));
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        assert!(thread_exists(child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(is_dead_thread(child.id()));
    }

    #[test]
    fn a_zombie_is_dead() {
        if !are_there_lists() {
            return;
        }
        let mut child = Command::new("true").spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let stat = format!("/proc/{}/stat", child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(thread_exists(child.id()));
        assert!(is_dead_thread(child.id()));
        child.wait().unwrap();
    }
}
