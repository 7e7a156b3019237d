//! Waiting without the interpreter, so that other threads run meanwhile, and so that Ctrl-C ends it.

use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use robust_shm::LockError;
use robust_shm::dynamic::interruptible;

use crate::errors;
use crate::thread::OfThread;

/// How long to wait: for ever, if it is `None`.
#[derive(Clone, Copy)]
pub(crate) struct Timeout(Option<Duration>);

impl Timeout {
    pub(crate) const FOREVER: Self = Self(None);
    pub(crate) const NOW: Self = Self(Some(Duration::ZERO));

    /// In the library's words, where no time can be as long as this.
    pub(crate) fn most(self) -> Duration {
        self.0.unwrap_or(Duration::MAX)
    }

    pub(crate) fn is_over(self) -> bool {
        self.0 == Some(Duration::ZERO)
    }

    /// When it is over; `None`: never.
    pub(crate) fn deadline(self) -> Option<Instant> {
        self.0.and_then(|time| Instant::now().checked_add(time))
    }

    /// What is left of it.
    pub(crate) fn until(deadline: Option<Instant>) -> Self {
        Self(deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())))
    }
}

/// `None`, or seconds; negative ones are none, as everywhere in `multiprocessing`.
impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let Some(seconds) = object.extract::<Option<f64>>()? else { return Ok(Self::FOREVER) };
        if seconds.is_nan() {
            return Err(PyValueError::new_err("a timeout is a number of seconds, or None"));
        }
        Ok(Self(Duration::try_from_secs_f64(seconds.max(0.0)).ok()))
    }
}

/// What `now` gives, or, if that would block, what `later` waits for.
#[inline(always)]
pub(crate) fn wait<R>(
    py: Python<'_>,
    timeout: Timeout,
    now: impl FnOnce() -> Result<R, LockError>,
    later: impl FnOnce(Duration) -> Result<R, LockError>,
) -> PyResult<R> {
    match now() {
        Ok(got) => Ok(got),
        Err(error) => wait_after(py, error, timeout, later),
    }
}

/// What `later` waits for, if the first try has said that it would block.
#[cold]
pub(crate) fn wait_after<R>(
    py: Python<'_>,
    first: LockError,
    timeout: Timeout,
    later: impl FnOnce(Duration) -> Result<R, LockError>,
) -> PyResult<R> {
    match first {
        LockError::WouldBlock { .. } if !timeout.is_over() => detached(py, || later(timeout.most())),
        error => Err(errors::locking(py, error)),
    }
}

/// What `wait` gives, which other threads do not have to wait for, and which a signal's exception ends.
#[cold]
pub(crate) fn detached<R>(py: Python<'_>, wait: impl FnOnce() -> Result<R, LockError>) -> PyResult<R> {
    let wait = OfThread::new(wait);
    let waited = py.detach(move || {
        let mut raised = None;
        let mut ask = || {
            // `None`: the interpreter is about to end, and this thread with it.
            raised = Python::try_attach(|py| py.check_signals().err()).flatten();
            raised.is_some()
        };
        let got = interruptible(&mut ask, wait.into_inner());
        OfThread::new((got, raised))
    });
    match waited.into_inner() {
        (_, Some(raised)) => Err(raised), // what came at the same moment is given back
        (got, None) => got.map_err(|error| errors::locking(py, error)),
    }
}

/// `True`; or `False` where what was waited for did not come in time.
pub(crate) fn or_false(py: Python<'_>, waited: PyResult<()>) -> PyResult<bool> {
    match waited {
        Ok(()) => Ok(true),
        Err(error) if errors::is_late(py, &error) => Ok(false),
        Err(error) => Err(error),
    }
}
