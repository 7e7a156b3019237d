//! The event that stands in a lock line in the place of a lock, as its face uses it.

use super::super::event;
use super::{Mutex, Wait};
use crate::error::{Awaited, LockError};
use crate::os::thread::Thread;
use crate::sync::waiting::Failure;

/// The event in a mapping of that kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a>(&'a Mutex);

impl Mutex {
    #[inline(always)]
    pub(crate) fn event(&self) -> Event<'_> {
        Event(self)
    }
}

impl Event<'_> {
    #[inline(always)]
    pub(crate) fn is_set(self) -> bool {
        event::is_set(self.0.line())
    }

    #[inline(always)]
    pub(crate) fn wait(self, wait: impl FnOnce() -> Wait) -> Result<(), LockError> {
        match event::wait_fast(self.0.line()) {
            Ok(()) => Ok(()),
            Err(first) => self.wait_slow(first, wait()),
        }
    }

    #[cold]
    fn wait_slow(self, first: u64, wait: Wait) -> Result<(), LockError> {
        let is_over = || event::wait_fast(self.0.line()).is_ok();
        if self.0.spin.watch_for(wait.deadline(), is_over) {
            return Ok(());
        }
        self.as_thread("could not wait for the event", |me, slot| {
            event::wait_slow(self.0.line(), me, slot, first, wait.deadline())
        })
    }

    #[inline(always)]
    pub(crate) fn set(self) -> Result<(), LockError> {
        if event::set_fast(self.0.line()) { Ok(()) } else { self.set_slow() }
    }

    #[cold]
    fn set_slow(self) -> Result<(), LockError> {
        self.as_thread("could not set the event", |me, slot| event::set_slow(self.0.line(), me, slot))
    }

    #[inline(always)]
    pub(crate) fn clear(self) -> Result<(), LockError> {
        if event::clear_fast(self.0.line()) { Ok(()) } else { self.clear_slow() }
    }

    #[cold]
    fn clear_slow(self) -> Result<(), LockError> {
        self.as_thread("could not clear the event", |me, slot| event::clear_slow(self.0.line(), me, slot))
    }

    /// Takes steps as this thread, and anew as that of a child which is forked in the middle.
    fn as_thread(
        self,
        action: &'static str,
        steps: impl Fn(&Thread, u32) -> Result<(), Failure>,
    ) -> Result<(), LockError> {
        loop {
            let me = self.0.this_thread("could not prepare this thread for the event")?;
            let failure = match steps(&me, self.0.users.slot()) {
                Ok(()) => return Ok(()),
                Err(Failure::Forked) => continue,
                Err(failure) => failure,
            };
            return Err(match failure {
                Failure::Os(error) => self.0.os_error(action, error),
                Failure::TimedOut { .. } => self.0.timed_out(Awaited::Event),
                failure => self.0.explain_of(Awaited::Event, failure),
            });
        }
    }
}
