//! `Event`: one says that something has happened, and any number wait until it has.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use robust_shm::{LockError, SharedEvent};

use crate::errors::{locking, opening};
use crate::handle::Handle;
use crate::options::{Has, Settings};
use crate::waiting::{Timeout, detached};

/// Opens the event of that name, or creates it, not set.
#[pyclass(frozen, extends = Handle, module = "robust_shm")]
pub(crate) struct Event {
    handle: Arc<SharedEvent>,
}

impl Event {
    pub(crate) fn of(handle: SharedEvent, settings: &Settings) -> PyClassInitializer<Self> {
        let handle = Arc::new(handle);
        PyClassInitializer::from(Handle::new(handle.clone(), None, settings)).add_subclass(Self { handle })
    }
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (name, **options))]
    fn new(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<PyClassInitializer<Self>> {
        let settings = Settings::new(options, Has::Common)?;
        let handle =
            settings.common(SharedEvent::options()).open_or_create(name).map_err(|error| opening(py, error))?;
        Ok(Self::of(handle, &settings))
    }

    /// Creates it; `AlreadyExists` if there is one.
    #[staticmethod]
    #[pyo3(signature = (name, **options))]
    fn create(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<Self>> {
        let settings = Settings::new(options, Has::Common)?;
        let handle = settings.common(SharedEvent::options()).create(name).map_err(|error| opening(py, error))?;
        Py::new(py, Self::of(handle, &settings))
    }

    /// Opens it; `NotFound` if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, **options))]
    fn open(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<Self>> {
        let settings = Settings::new(options, Has::Common)?;
        let handle = settings.common(SharedEvent::options()).open(name).map_err(|error| opening(py, error))?;
        Py::new(py, Self::of(handle, &settings))
    }

    /// It has happened: all that wait go on.
    fn set(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.set().map_err(|error| locking(py, error))
    }

    /// It has not happened any more.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.clear().map_err(|error| locking(py, error))
    }

    /// Has it happened?
    fn is_set(&self) -> bool {
        self.handle.is_set()
    }

    /// Waits until it has happened: `True`. `False` after so many seconds.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<bool> {
        let timeout = timeout.unwrap_or(Timeout::FOREVER);
        if self.handle.is_set() {
            return Ok(true);
        }
        detached(py, || match self.handle.wait_for(timeout.most()) {
            Ok(()) => Ok(true),
            Err(LockError::TimedOut { .. }) => Ok(false),
            Err(error) => Err(error),
        })
    }

    fn __repr__(&self) -> String {
        format!("Event({:?})", self.handle.name())
    }
}
