//! Waiting for what another holder does: a commit of a value, or a condition of a lock.

use std::io;
use std::sync::Arc;

use super::super::credit;
use super::super::robust_futex::Linked;
use super::super::waiting::{Failure, Wait};
use super::super::{changes, condition};
use super::held::Held;
use super::{Kind, Mutex};
use crate::error::{Awaited, LockError};
use crate::os;
use crate::os::thread::Thread;

pub(crate) use super::super::credit::Whom;

impl Mutex {
    /// Waits until a commit makes a change, or until the time is up.
    pub(crate) fn wait_for_change(&self, wait: Wait, is_changed: &dyn Fn() -> bool) -> Result<(), LockError> {
        loop {
            let me = self.as_waiter("could not wait for a change of the value")?;
            if self.spin.watch_for(wait.deadline(), is_changed) {
                return Ok(());
            }
            if !me.is_current() {
                continue; // in a child that a signal handler has forked
            }
            match changes::wait(self.word(), &me, wait, is_changed) {
                Ok(is_changed) => {
                    self.settle_anyhow();
                    return if is_changed { Ok(()) } else { Err(self.timed_out(Awaited::Change)) };
                }
                Err(Failure::Forked) => {} // as another process
                Err(failure) => return Err(self.explain(failure)),
            }
        }
    }

    pub(crate) fn timed_out(&self, awaited: Awaited) -> LockError {
        LockError::TimedOut { name: Arc::clone(&self.name), holder: None, process: None, awaited }
    }

    /// The calling thread, as one that can wait for what a holder does.
    fn as_waiter(&self, action: &'static str) -> Result<Thread, LockError> {
        match self.kind {
            Kind::Futex | Kind::File(_) => self.this_thread("could not prepare this thread for the lock"),
            Kind::OsMutex(_) => {
                let message = "its lock is of the kind OsMutex, for which nobody can sleep but for the lock itself; make the segment with LockKind::Futex or LockKind::File";
                Err(self.os_error(action, io::Error::new(io::ErrorKind::Unsupported, message)))
            }
        }
    }

    /// This process has come to the lock.
    fn settle_anyhow(&self) {
        match &self.kind {
            Kind::Futex | Kind::File(_) => self.settle(),
            Kind::OsMutex(_) => {}
        }
    }
}

impl<'a> Held<'a> {
    pub(crate) fn mutex(&self) -> &'a Mutex {
        self.mutex
    }

    /// Waits until the condition at this place among the lock's is notified, or the time is up: is it? The lock is released
    /// meanwhile, and held again after `Ok`. After an error it is not.
    pub(crate) fn wait(&mut self, which: usize, wait: Wait) -> Result<bool, LockError> {
        let mutex = self.mutex;
        if !mutex.is_held_since(self.generation) {
            return Err(LockError::NotHeld { name: Arc::clone(&mutex.name) });
        }
        let me = mutex.as_waiter("could not wait for a condition")?;
        let linked = if self.alone_in.0.is_known() { Linked::Alone } else { Linked::AmongOthers };
        let result = condition::wait(mutex.word(), &me, linked, which, wait.deadline());
        self.let_go();
        match result {
            Ok((linked, time_is_up)) => {
                *self = Held::new(mutex, mutex.owner(&me), &me, linked);
                Ok(time_is_up)
            }
            // In a child, which has the guard of its parent, and no lock. It may come back for no reason.
            Err(Failure::Forked) => {
                *self = mutex.lock(Wait::Forever)?;
                Ok(false)
            }
            Err(failure) => {
                os::thread::note_given_back();
                Err(mutex.explain(failure))
            }
        }
    }

    /// Notifies those who wait for the condition at this place among the lock's. Does nothing unless this thread holds the
    /// lock, or where nobody can wait.
    pub(crate) fn notify(&self, which: usize, whom: Whom) {
        let mutex = self.mutex;
        if !matches!(mutex.kind, Kind::OsMutex(_)) && mutex.is_held_since(self.generation) {
            credit::notify(&mutex.waits().conditions[which], whom);
        }
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.mutex.name)
    }

    /// Is this the lock of the segment that the mutex is of, be it by another handle?
    pub(crate) fn is_of(&self, mutex: &Mutex) -> bool {
        std::ptr::eq(self.mutex, mutex) || self.mutex.segment() == mutex.segment()
    }
}
