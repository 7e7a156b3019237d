//! `Condition`: waiting for what another holder of a lock says.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use robust_shm::{ExclusiveGuard, SharedCondvar};

use crate::array::Array;
use crate::callback::{call, is_true};
use crate::errors::not_held;
use crate::lock::Lock;
use crate::section::{Exclusive, Poisonable, leave};
use crate::waiting::{Timeout, detached};

/// More threads than there can be (Linux's `PID_MAX_LIMIT`): whoever wants so many woken wants all.
const MOST_THREADS: usize = 1 << 22;

const INSIDE: &str = "call this inside `with condition:`, or inside the block of its lock";

/// One of the three conditions of a lock or an array.
#[pyclass(frozen, module = "robust_shm")]
pub(crate) struct Condition {
    of: Of,
    index: usize,
}

enum Of {
    Lock(Py<Lock>),
    Array(Py<Array>),
}

impl Condition {
    fn wait_until(&self, py: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        match &self.of {
            Of::Lock(lock) => {
                let lock = &lock.get().lock;
                wait(py, lock, lock.handle().condvar_at(self.index), timeout)
            }
            Of::Array(array) => {
                let lock = &array.get().lock;
                array.get().pause(py, || wait(py, lock, lock.handle().condvar_at(self.index), timeout))
            }
        }
    }

    /// `most`: how many at most.
    fn wake(&self, py: Python<'_>, most: Option<usize>) -> PyResult<()> {
        match &self.of {
            Of::Lock(lock) => {
                let lock = &lock.get().lock;
                notify(py, lock, lock.handle().condvar_at(self.index), most)
            }
            Of::Array(array) => {
                let lock = &array.get().lock;
                notify(py, lock, lock.handle().condvar_at(self.index), most)
            }
        }
    }
}

/// Gives the lock up while it waits. Where the wait fails, it is not taken again: the block that it is in has ended then.
fn wait<L>(py: Python<'_>, lock: &Exclusive<L>, condition: SharedCondvar<'_>, timeout: Timeout) -> PyResult<bool>
where
    L: Poisonable,
    L::Guard: ExclusiveGuard,
{
    let guard = lock.held().take().ok_or_else(|| not_held(py, lock.handle().name(), INSIDE))?;
    let (guard, waited) = detached(py, || condition.wait_for(guard, timeout.most()))?;
    lock.held().put(guard);
    Ok(!waited.timed_out())
}

fn notify<L>(py: Python<'_>, lock: &Exclusive<L>, condition: SharedCondvar<'_>, most: Option<usize>) -> PyResult<()>
where
    L: Poisonable,
    L::Guard: ExclusiveGuard,
{
    let notified = lock.held().with(|guard| match most {
        Some(most) if most < MOST_THREADS => (0..most).for_each(|_| condition.notify_one(guard)),
        _ => condition.notify_all(guard),
    });
    notified.ok_or_else(|| not_held(py, lock.handle().name(), INSIDE))
}

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (lock, index = 0))]
    fn new(lock: &Bound<'_, PyAny>, index: usize) -> PyResult<Self> {
        if index > 2 {
            return Err(PyValueError::new_err(format!("a lock has the conditions 0, 1 and 2, and no {index}")));
        }
        let of = if let Ok(lock) = lock.cast::<Lock>() {
            Of::Lock(lock.clone().unbind())
        } else if let Ok(array) = lock.cast::<Array>() {
            Of::Array(array.clone().unbind())
        } else {
            return Err(PyTypeError::new_err("conditions belong to a Lock or an Array"));
        };
        Ok(Self { of, index })
    }

    /// Gives the lock back, waits until somebody notifies, and takes it again: `True`. `False` after so many seconds. Now
    /// and then it returns without a reason: look again at what you wait for.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<bool> {
        self.wait_until(py, timeout.unwrap_or(Timeout::FOREVER))
    }

    /// Waits until `predicate()` is true, and returns what it said last. It is called with the lock held.
    #[pyo3(signature = (predicate, timeout = None))]
    fn wait_for<'py>(&self, predicate: &Bound<'py, PyAny>, timeout: Option<Timeout>) -> PyResult<Bound<'py, PyAny>> {
        let deadline = timeout.unwrap_or(Timeout::FOREVER).deadline();
        loop {
            let left = Timeout::until(deadline);
            let said = call(predicate, ())?;
            if is_true(&said)? || left.is_over() {
                return Ok(said);
            }
            self.wait_until(predicate.py(), left)?;
        }
    }

    /// So many of those who wait go on, when the lock is given back.
    #[pyo3(signature = (n = 1))]
    fn notify(&self, py: Python<'_>, n: usize) -> PyResult<()> {
        self.wake(py, Some(n))
    }

    /// All go on who wait.
    fn notify_all(&self, py: Python<'_>) -> PyResult<()> {
        self.wake(py, None)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let py = slf.py();
        match &slf.get().of {
            Of::Lock(lock) => lock.get().lock.enter(py, Timeout::FOREVER, false)?,
            Of::Array(array) => array.get().lock.enter(py, Timeout::FOREVER, false)?,
        }
        Ok(slf)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        leave(value, |_| match &self.of {
            Of::Lock(lock) => lock.get().lock.leave(py, false),
            Of::Array(array) => array.get().leave(py, false),
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (Py<PyAny>, usize)) {
        let (py, this) = (slf.py(), slf.get());
        let of = match &this.of {
            Of::Lock(lock) => lock.clone_ref(py).into_any(),
            Of::Array(array) => array.clone_ref(py).into_any(),
        };
        (slf.get_type().into_any(), (of, this.index))
    }
}
