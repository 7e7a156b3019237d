//! Waits with an end.

use std::sync::mpsc;
use std::time::Duration;

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
