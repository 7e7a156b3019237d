//! Waits that may be interrupted: the program is asked, before each sleep after the first, whether to give up.
//!
//! That is when a signal has ended the last sleep, or a wake-up that was in vain, or the time after which every sleep ends
//! (`HEARTBEAT`), for a signal that came right before it. What is asked is a stranger: it may take long, lock, fork, and
//! unwind. So it is asked
//!
//! * when the word has just been seen to be another's, or to be such that nobody need act on it, and **never between a wake-up
//!   and the look that it is for**: what was given to this thread would lie there, with others asleep beside it;
//! * after whoever relies on this thread has been told otherwise (`successor.rs`), and before the word is named as pending once
//!   more, which a lock in it has overwritten;
//! * without the lock, by those who wait for what its holders do; with it by a writer who waits for readers, who keeps all
//!   others waiting anyway.
//!
//! Giving up is like giving up when the time is up. Only who waits for a condition has another way then, which never needed
//! the lock to be had at once: see `condition.rs`.
//!
//! What unwinds is caught here, and goes on when the wait has given back all that it had ([`Interruption::goes_on`]).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

/// What is asked, of which the thread knows the address.
type Ask<'a> = &'a mut dyn FnMut() -> bool;

thread_local! {
    // Without a destructor: so it also works in signal handlers, and in the destructors of other thread-locals.
    static ASKED: Cell<*mut ()> = const { Cell::new(ptr::null_mut()) };
}

/// The thread asks this, or nobody, until it is dropped.
struct Asking {
    before: *mut (),
}

impl Asking {
    fn begin(asked: *mut ()) -> Self {
        Self { before: ASKED.replace(asked) }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKED.set(self.before);
    }
}

/// Why a wait was given up.
#[derive(Debug)]
pub(super) struct Interruption(Option<Box<dyn Any + Send>>);

impl Interruption {
    /// To be called when nothing of the wait is left: goes on with what unwound, if anything did.
    pub(super) fn goes_on(self) {
        if let Some(panic) = self.0 {
            resume_unwind(panic);
        }
    }
}

/// Waits in `wait`, by whatever it calls, ask this.
pub(crate) fn while_asking<R>(mut ask: Ask<'_>, wait: impl FnOnce() -> R) -> R {
    let _asking = Asking::begin((&raw mut ask).cast());
    wait()
}

/// Is anybody asked?
pub(super) fn are_asked() -> bool {
    !ASKED.get().is_null()
}

/// Asks. While it does, nobody is asked.
pub(super) fn ask() -> Result<(), Interruption> {
    let Asking { before } = &Asking::begin(ptr::null_mut());
    // SAFETY: what `while_asking` has put there, which does not touch it, and takes it away before it returns; and nobody else
    // has it, because nobody is asked meanwhile.
    let Some(ask) = (unsafe { before.cast::<Ask<'_>>().as_mut() }) else { return Ok(()) };
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Interruption(None)),
        Err(panic) => Err(Interruption(Some(panic))),
    }
}
