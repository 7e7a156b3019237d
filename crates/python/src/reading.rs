//! The guards of those who read through one handle: many threads at the same time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use robust_shm::LockError;

use crate::errors::{not_held, would_deadlock};
use crate::thread::OfThread;
use crate::waiting::{Timeout, wait};

/// At most one for each thread.
pub(crate) struct Reading<G> {
    guards: Mutex<Vec<OfThread<G>>>,
}

impl<G> Default for Reading<G> {
    fn default() -> Self {
        Self { guards: Mutex::new(Vec::new()) }
    }
}

impl<G> Reading<G> {
    /// Nobody waits, or runs Python code, while it is locked.
    fn guards(&self) -> MutexGuard<'_, Vec<OfThread<G>>> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_mine(&self) -> bool {
        self.guards().iter().any(OfThread::is_mine)
    }

    pub(crate) fn enter(
        &self,
        py: Python<'_>,
        name: &str,
        timeout: Timeout,
        now: impl FnOnce() -> Result<G, LockError>,
        later: impl FnOnce(Duration) -> Result<G, LockError>,
    ) -> PyResult<()> {
        if self.is_mine() {
            return Err(would_deadlock(py, name, "this very thread is reading already"));
        }
        let guard = wait(py, timeout, now, later)?;
        self.guards().push(OfThread::new(guard));
        Ok(())
    }

    pub(crate) fn leave(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let guard = {
            let mut guards = self.guards();
            guards.iter().position(OfThread::is_mine).map(|at| guards.swap_remove(at))
        };
        match guard {
            Some(_) => Ok(()), // gives it back
            None => Err(not_held(py, name, "this thread is not reading")),
        }
    }

    /// What `action` makes of this thread's guard. It must not run Python code.
    pub(crate) fn with<R>(&self, action: impl FnOnce(&G) -> R) -> Option<R> {
        self.guards().iter().find_map(OfThread::get).map(action)
    }
}
