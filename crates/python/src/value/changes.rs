//! Waiting for another value.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use super::Value;
use crate::callback::{call, is_true};
use crate::errors::is_late;
use crate::scratch::scratch;
use crate::waiting::{Timeout, detached};

/// The latest value, as soon as it is newer than what was `seen`.
pub(super) fn newer<'py>(
    value: &Value,
    py: Python<'py>,
    seen: &AtomicU64,
    timeout: Timeout,
) -> PyResult<Bound<'py, PyAny>> {
    let mut last = seen.load(Ordering::Relaxed);
    let newer = newer_than(value, py, &mut last, timeout);
    seen.fetch_max(last, Ordering::Relaxed);
    newer
}

/// `seen` is advanced also where the value is invalid.
fn newer_than<'py>(value: &Value, py: Python<'py>, seen: &mut u64, timeout: Timeout) -> PyResult<Bound<'py, PyAny>> {
    scratch(value.codec.size(), |bytes| {
        if !value.handle().get_if_changed(seen, bytes) {
            detached(py, || value.handle().wait_newer_for(seen, bytes, timeout.most()))?;
        }
        value.codec.decode(py, bytes)
    })
}

pub(super) fn wait_while<'py>(
    value: &Value,
    predicate: &Bound<'py, PyAny>,
    timeout: Timeout,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, deadline) = (predicate.py(), timeout.deadline());
    let mut seen = u64::MAX; // none: so that the present value is the first
    loop {
        let now = newer_than(value, py, &mut seen, Timeout::until(deadline))?;
        if !is_true(&call(predicate, (&now,))?)? {
            return Ok(now);
        }
    }
}

/// What `v.changes()` returns: an iterator.
#[pyclass(frozen, module = "robust_shm")]
pub(crate) struct Changes {
    value: Py<Value>,
    seen: AtomicU64,
    timeout: Timeout,
}

impl Changes {
    pub(super) fn new(value: Py<Value>, timeout: Timeout) -> Self {
        let seen = AtomicU64::new(value.get().handle().commits());
        Self { value, seen, timeout }
    }
}

#[pymethods]
impl Changes {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match newer(self.value.get(), py, &self.seen, self.timeout) {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_late(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
