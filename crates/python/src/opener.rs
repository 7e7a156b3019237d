//! Opening what is not known beforehand.

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use robust_shm::dynamic::{self, Any};

use crate::array::Array;
use crate::errors::opening;
use crate::event::Event;
use crate::lock::Lock;
use crate::options::Settings;
use crate::rwlock::RwLock;
use crate::semaphore::Semaphore;
use crate::value;

/// Opens the segment of that name, whatever it is: a `Value`, `Array`, `Lock`, `RwLock`, `Event` or `Semaphore`.
#[pyfunction]
pub(crate) fn open(py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
    let settings = Settings::default();
    Ok(match dynamic::open(name).map_err(|error| opening(py, error))? {
        Any::Value(handle) => value::make(py, handle, &settings)?,
        Any::Slice(handle) => Py::new(py, Array::of(py, handle, &settings))?.into_any(),
        Any::Lock(handle) => Py::new(py, Lock::of(handle, &settings))?.into_any(),
        Any::RwLock(handle) => Py::new(py, RwLock::of(handle, &settings))?.into_any(),
        Any::Event(handle) => Py::new(py, Event::of(handle, &settings))?.into_any(),
        Any::Semaphore(handle) => Py::new(py, Semaphore::of(handle, &settings))?.into_any(),
        other => return Err(PyNotImplementedError::new_err(format!("there is no class for {other:?}"))),
    })
}
