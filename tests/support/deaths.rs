//! How soon the end of a holder is noticed, and what the kernel says about a process.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

use std::time::Duration;

use robust_shm::{LockError, LockKind, SharedLock};

use crate::support::{LIMIT, Role, Stopwatch};

/// What is certainly later than the heartbeat, and sooner than the limit of any wait here.
pub(crate) const WITH_HEARTBEAT: Duration = Duration::from_secs(20);

/// Waits for a lock whose holder is gone. A look at the holder is also taken when the time is up, so the wait is for
/// longer than is allowed.
pub(crate) fn wait_for_poison(lock: &SharedLock) {
    let start = Stopwatch::start();
    assert!(is_poisoned(lock.try_lock_for(LIMIT)));
    let waited = start.waited();
    assert!(waited < WITH_HEARTBEAT, "{waited:?}: nobody noticed");
}

pub(crate) fn is_poisoned<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::Poisoned { .. }))
}

pub(crate) fn would_block<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::WouldBlock { .. }))
}

pub(crate) fn times_out<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::TimedOut { .. }))
}

/// Is the process in this state? `T`: stopped, `Z`: ended, and not waited for.
#[cfg(target_os = "linux")]
pub(crate) fn has_state(child: &Role, state: char) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with(state)
}

/// Does this thread's robust list hold nothing? Only Linux has one.
#[cfg(not(target_os = "linux"))]
pub(crate) fn robust_list_is_empty() -> bool {
    true
}

/// Does this thread's robust list hold nothing?
#[cfg(target_os = "linux")]
pub(crate) fn robust_list_is_empty() -> bool {
    let mut head = std::ptr::null_mut::<usize>();
    let mut len = 0usize;
    // SAFETY: 0 is the calling thread; both pointers are to locals of the types that the call writes.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    if result != 0 {
        assert!(!LockKind::Futex.is_available());
        return true; // there is none
    }
    if head.is_null() {
        return true; // musl says where it is when a thread first needs it
    }
    // SAFETY: the kernel returned the address of this thread's head, which begins with the first link.
    let first = unsafe { head.read() };
    first == head.addr()
}

/// Lets a function handle a signal.
#[cfg(unix)]
pub(crate) fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all-zero bytes are an action without flags: system calls are interrupted and not restarted.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: the action outlives the call, and the handler has the right type.
    let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    assert_eq!(result, 0);
}
