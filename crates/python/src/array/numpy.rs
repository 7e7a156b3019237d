//! `a.np`: the elements in place, as numpy's array.
//!
//! It is made once for each handle, and is writable from when a block first asks for it until the end of that block.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyMemoryView;

use super::{Array, forks, views};
use crate::errors::not_held;
use crate::once::once;

pub(super) struct Arrays {
    writable: PyOnceLock<Writable>,
    read_only: PyOnceLock<Py<PyAny>>,
    /// Has the present block of the holder asked for it?
    is_used: AtomicBool,
}

struct Writable {
    array: Py<PyAny>,
    /// The bound method: looking it up takes longer than the call.
    set_flags: Py<PyAny>,
}

impl Arrays {
    pub(super) const fn new() -> Self {
        Self { writable: PyOnceLock::new(), read_only: PyOnceLock::new(), is_used: AtomicBool::new(false) }
    }

    /// At the end of a block: nobody writes to the array any more.
    #[inline]
    pub(super) fn freeze(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_used.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        match self.writable.get(py) {
            Some(writable) => writable.set_flags.bind(py).call1((false,)).map(drop),
            None => Ok(()),
        }
    }

    /// For a holder who gives the lock up while it waits, and takes it again: was it used?
    pub(super) fn pause(&self, py: Python<'_>) -> PyResult<bool> {
        let is_used = self.is_used.load(Ordering::Relaxed);
        self.freeze(py).map(|()| is_used)
    }

    /// For the same one, who holds the lock again.
    pub(super) fn resume(&self, py: Python<'_>) -> PyResult<()> {
        self.is_used.store(true, Ordering::Relaxed);
        match self.writable.get(py) {
            Some(writable) => writable.set_flags.bind(py).call1((true,)).map(drop),
            None => Ok(()),
        }
    }
}

pub(super) fn array<'py>(of: &Bound<'py, Array>) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (of.py(), of.get());
    if !this.lock.held().is_mine() {
        if !this.reading.is_mine() {
            return Err(not_held(py, this.name(), "ask inside `with a:` or `with a.read():`, or copy it by `a[:]`"));
        }
        return Ok(once(&this.numpy.read_only, py, || make(of).map(Bound::unbind))?.bind(py).clone());
    }
    let writable = once(&this.numpy.writable, py, || -> PyResult<_> {
        let array = make(of)?;
        forks::note(of)?;
        Ok(Writable { set_flags: array.getattr("setflags")?.unbind(), array: array.unbind() })
    })?;
    if !this.numpy.is_used.swap(true, Ordering::Relaxed) {
        writable.set_flags.bind(py).call1((true,))?;
    }
    Ok(writable.array.bind(py).clone())
}

fn make<'py>(of: &Bound<'py, Array>) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (of.py(), of.get());
    let span = Bound::new(py, views::span(of)?)?;
    let memory = PyMemoryView::from(span.as_any())?;
    let schema = this.lock.handle().schema().map(ToString::to_string);
    py.import("robust_shm._types")?.getattr("ndarray")?.call1((memory, schema, this.len()))
}

/// What `np.asarray(a)` asks for. Outside of a block there is only a copy, and only for who says that he wants one.
pub(super) fn converted<'py>(
    of: &Bound<'py, Array>,
    dtype: Option<&Bound<'py, PyAny>>,
    copy: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (of.py(), of.get());
    if copy == Some(true) && !this.lock.held().is_mine() && !this.reading.is_mine() {
        let reading = Array::read(of.clone(), None);
        reading.__enter__(py)?;
        let copied = converted(of, dtype, copy);
        return this.leave_reading(py).and(copied);
    }
    let array = array(of)?;
    let other = dtype.filter(|dtype| !array.getattr("dtype").and_then(|it| it.eq(dtype)).unwrap_or(false));
    match (other, copy) {
        (None, Some(true)) => array.call_method0("copy"),
        (None, _) => Ok(array),
        (Some(_), Some(false)) => Err(PyValueError::new_err("another dtype needs a copy")),
        (Some(dtype), _) => array.call_method1("astype", (dtype,)),
    }
}
