//! Children that are forked and not started anew.

use super::{LIMIT, until};

/// A forked child of this process, which is killed when this is dropped before its end.
pub struct Forked {
    pid: libc::pid_t,
    has_ended: bool,
}

/// Forks; the child runs the body and ends, without destructors and exit hooks. For processes that play a role: the test
/// harness has other threads. Mind that the closure must not take things out of the parent: use `Option::take` in it.
pub fn fork(body: impl FnOnce()) -> Forked {
    // SAFETY: in a process with one thread that matters; the child ends with `_exit`.
    #[allow(unsafe_code)]
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        end_with(body);
    }
    Forked::adopt(pid)
}

/// In a new process: bounds its life by an alarm, runs the body, and ends with 0 if it did not panic.
pub fn end_with(body: impl FnOnce()) -> ! {
    // SAFETY: takes an integer.
    #[allow(unsafe_code)]
    unsafe {
        libc::alarm(LIMIT.as_secs() as libc::c_uint)
    };
    let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
    // SAFETY: ends the process.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(i32::from(!ok))
    }
}

impl Forked {
    /// Takes charge of a child that was made in another way.
    pub fn adopt(pid: libc::pid_t) -> Self {
        Self { pid, has_ended: false }
    }

    pub fn id(&self) -> libc::pid_t {
        self.pid
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: a signal to a child of ours that has not been waited for.
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(self.pid, signal) };
        assert_eq!(result, 0);
    }

    /// Has it ended? The status then is what `waitpid` says.
    pub fn try_wait(&mut self) -> Option<libc::c_int> {
        let mut status = 0;
        // SAFETY: a child of ours, and a place for its status.
        #[allow(unsafe_code)]
        let ended = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } == self.pid;
        self.has_ended = ended;
        ended.then_some(status)
    }

    /// Waits for the child to end by itself, successfully.
    pub fn join(mut self) {
        let status = until("the end of a forked child", || self.try_wait());
        assert_eq!(status, 0, "a forked child failed");
    }

    /// Kills with SIGKILL and waits for the end.
    pub fn kill(mut self) {
        self.signal(libc::SIGKILL);
        let status = until("the end of a killed child", || self.try_wait());
        assert_eq!(status, libc::SIGKILL, "a forked child ended by itself");
    }

    /// Leaves the child to itself and its alarm.
    pub fn forget(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.has_ended {
            // SAFETY: a child of ours that has not been waited for.
            #[allow(unsafe_code)]
            unsafe {
                libc::kill(self.pid, libc::SIGKILL)
            };
            // SAFETY: as above; no status is asked for.
            #[allow(unsafe_code)]
            unsafe {
                libc::waitpid(self.pid, std::ptr::null_mut(), 0)
            };
        }
    }
}
