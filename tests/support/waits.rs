//! Waits with an end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use robust_shm::LockKind;

use super::asleep;
use super::patience::Patience;

/// Waits for a condition; fails after [`LIMIT`], or sooner when nobody does anything.
#[track_caller]
pub fn until<R>(what: &str, mut condition: impl FnMut() -> Option<R>) -> R {
    let mut patience = Patience::new();
    loop {
        if let Some(result) = condition() {
            return result;
        }
        patience.check(what);
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Runs the body on a thread and fails if it takes longer than [`LIMIT`], or does nothing: for what must not hang.
pub fn within_limit<R: Send + 'static>(what: &str, body: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = sender.send(body());
    });
    let mut patience = Patience::new();
    loop {
        match receiver.recv_timeout(patience.next()) {
            Ok(result) => {
                thread.join().unwrap();
                return result;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().unwrap_err()),
            Err(mpsc::RecvTimeoutError::Timeout) => patience.check(what),
        }
    }
}

/// Waits until all these threads sleep, at a segment with a lock of this kind. Each of them has stored its [`own_tid`] before;
/// 0 stands for one that does not wait yet.
///
/// [`own_tid`]: super::own_tid
pub fn until_all_sleep(threads: &[AtomicU64], kind: LockKind) {
    let sleeps = |thread: &AtomicU64| match thread.load(Ordering::SeqCst) {
        0 => false,
        thread => asleep(thread as i32).is_some(),
    };
    // The kernel wakes them: all sleep at once.
    let is_woken = cfg!(all(target_os = "linux", not(robust_shm_unix))) && kind == LockKind::Futex;
    // Otherwise they look by themselves, and of many some are always awake: each has slept.
    let mut awake: Vec<_> = threads.iter().collect();
    until("the sleep of all", || {
        if is_woken {
            return threads.iter().all(sleeps).then_some(());
        }
        awake.retain(|thread| !sleeps(thread));
        awake.is_empty().then_some(())
    });
}
