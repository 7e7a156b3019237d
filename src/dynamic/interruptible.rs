//! [`interruptible`].

use crate::sync::interrupts;

/// Calls `wait`, in which every wait of this thread can be given up: of every type of this crate, it calls `ask` before each
/// sleep after its first, and ends with [`LockError::Interrupted`](crate::LockError::Interrupted) if that says `true`.
///
/// A signal ends a sleep, and so does a wake-up that was in vain. So a program whose signal handler sets a flag, as most do for
/// Ctrl-C, and whose `ask` looks at that, hears of it at once, and does not look at it again and again meanwhile; of a signal
/// that comes right before a sleep it hears when that is over, after 3 s at the latest. Binding to a language whose signal
/// handlers are run by its interpreter, `ask` is the place for that.
///
/// # What `ask` may do
///
/// It may take long, lock, wait (nobody is asked meanwhile, unless it calls this function), fork, and panic: then the panic goes
/// on out of the wait. It is never called when a lock or a permit, or a word of it, has just come to this thread: nobody waits
/// for it but those who would anyway.
///
/// Of nested calls, waits ask the innermost.
///
/// # What a wait that is given up leaves
///
/// Nothing, as one whose time is up. That of a [condition](crate::SharedCondvar) has given its lock up, too; who was
/// notified and does not go on leaves that to another one who waits. A writer who waits for readers to leave is asked while it
/// has kept new ones out.
///
/// # Limits
///
/// * [`LockKind::OsMutex`](crate::LockKind::OsMutex): the C library's waits go on after a signal, and nobody is asked.
/// * A signal ends the sleep of the thread that it comes to. One that is sent to the process comes to its first thread, unless
///   that one blocks it; other threads hear of it after 3 s at the latest, or have it passed on to them (`pthread_kill`).
/// * A `wait` for a permit goes on after a handler that was installed with `SA_RESTART`, and asks after 3 s at the latest.
/// * Nobody is asked in waits that are bounded: opening, and the millisecond for which a free lock is left to another.
/// * A signal handler that itself waits for something of this crate asks, too.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::time::Duration;
///
/// use robust_shm::{LockError, SharedEvent, dynamic};
///
/// static IS_OVER: AtomicBool = AtomicBool::new(false); // a handler of SIGINT sets it
///
/// let event = SharedEvent::create(&robust_shm::unique_name("interruptible"))?;
/// # IS_OVER.store(true, Ordering::Relaxed);
/// let waited = dynamic::interruptible(&mut || IS_OVER.load(Ordering::Relaxed), || event.wait());
/// if let Err(LockError::Interrupted { .. }) = waited {
///     println!("bye");
/// }
/// # Ok::<(), robust_shm::Error>(())
/// ```
pub fn interruptible<R>(ask: &mut dyn FnMut() -> bool, wait: impl FnOnce() -> R) -> R {
    interrupts::while_asking(ask, wait)
}
