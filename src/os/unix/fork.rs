//! What happens around `fork`, in one registration: the child is told from its parent, loses what a thread cannot
//! inherit, and whoever opens files learns whether a fork has come in between.
//!
//! No lock is held across a fork: a program's own handlers run in between, in any order, and may open and drop handles or
//! wait for threads that do.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::generation::{self, FORKS_BEGUN, FORKS_OVER};
use super::{Deadline, namespace, robust_list, thread};

/// How many forks have begun in this process and its ancestors. What is made after [`forks_begun_and_over`] has said a number,
/// and known to `in_child` before this says another, is in no child that does not know of it. (Not after this has said it: a
/// fork that has begun may copy the process at any later moment.)
pub(crate) fn forks_begun() -> u32 {
    FORKS_BEGUN.load(Ordering::SeqCst)
}

/// [`forks_begun`], when none is under way. After some milliseconds, even so: a program's own handlers may be waiting for
/// the caller, or be the caller. What is made then and not known before that fork copies the process is left open in its child.
pub(crate) fn forks_begun_and_over() -> u32 {
    const PATIENCE: Duration = Duration::from_millis(10);
    let mut end = None;
    loop {
        let begun = forks_begun();
        if begun == FORKS_OVER.load(Ordering::SeqCst) || end.is_some_and(Deadline::has_passed) {
            return begun;
        }
        end = end.or_else(|| Deadline::after(PATIENCE));
        std::thread::yield_now();
    }
}

/// Sees to it that [`begin_child`] is called by `in_child` in every forked child. Once for a process and its children,
/// also if threads come at once; nobody goes on before it is so.
pub(crate) fn install(in_child: extern "C" fn()) -> io::Result<()> {
    const NOT_YET: u8 = 0;
    const UNDER_WAY: u8 = 1;
    const DONE: u8 = 2;
    /// Enough for any other thread, unless there is none any more: a fork can come in between.
    const YIELDS: u32 = 10_000;
    static STATE: AtomicU8 = AtomicU8::new(NOT_YET);
    for _ in 0..YIELDS {
        // Acquire pairs with the Release below.
        match STATE.compare_exchange(NOT_YET, UNDER_WAY, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => break,
            Err(DONE) => return Ok(()),
            Err(_) => std::thread::yield_now(),
        }
    }
    let result = register(in_child);
    if result.is_ok() {
        generation::hears_of_forks();
    }
    STATE.store(if result.is_ok() { DONE } else { NOT_YET }, Ordering::Release);
    result
}

/// Registering twice does no harm: see [`begin_child`].
fn register(in_child: extern "C" fn()) -> io::Result<()> {
    // libc holds a lock meanwhile that a fork by a signal handler would wait for.
    let result = without_signals(|| {
        // SAFETY: the handlers are functions of this crate, which is never unloaded.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) }
    });
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

fn without_signals<R>(action: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointer is to room for a set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the first is a set, the second room for one.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let result = action();
    // SAFETY: the call above has written the set; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}

extern "C" fn before() {
    let _ = generation::generation();
    namespace::prepare_fork();
    FORKS_BEGUN.fetch_add(1, Ordering::SeqCst);
}

/// Also when the fork has failed.
extern "C" fn in_parent() {
    FORKS_OVER.fetch_add(1, Ordering::SeqCst);
}

/// In the child, first of all. `false`: it has been called in this process already, because a fork came between a
/// registration and the news of it, and the handler is there twice.
pub(crate) fn begin_child() -> bool {
    let begun = FORKS_BEGUN.load(Ordering::SeqCst);
    if FORKS_OVER.swap(begun, Ordering::SeqCst) == begun {
        return false;
    }
    let parent = generation::begin_child();
    // Else a handler of the program's came before this one, and has locked already: see `thread::look_up`.
    if thread::cached().is_none() {
        robust_list::empty_inherited(thread::inherited_list());
    }
    namespace::inherit(parent, generation::generation());
    true
}
