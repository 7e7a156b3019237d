//! `Semaphore`: so many at once.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use robust_shm::{OwnedPermit, SharedSemaphore};

use crate::errors::{not_held, opening};
use crate::handle::Handle;
use crate::options::{Has, Settings};
use crate::thread::OfThread;
use crate::waiting::{Timeout, wait};

/// Opens the semaphore of that name, or creates it with so many permits.
#[pyclass(frozen, extends = Handle, module = "robust_shm")]
pub(crate) struct Semaphore {
    handle: Arc<SharedSemaphore>,
    /// Those of the blocks `with semaphore:`, the inner behind the outer ones.
    permits: Mutex<Vec<OfThread<OwnedPermit>>>,
}

impl Semaphore {
    pub(crate) fn of(handle: SharedSemaphore, settings: &Settings) -> PyClassInitializer<Self> {
        let handle = Arc::new(handle);
        let base = Handle::new(handle.clone(), None, settings);
        PyClassInitializer::from(base).add_subclass(Self { handle, permits: Mutex::default() })
    }

    fn take(&self, py: Python<'_>, timeout: Timeout) -> PyResult<OwnedPermit> {
        wait(py, timeout, || self.handle.try_acquire_owned(), |most| self.handle.try_acquire_owned_for(most))
    }
}

#[pymethods]
impl Semaphore {
    #[new]
    #[pyo3(signature = (name, permits = 1, **options))]
    fn new(
        py: Python<'_>,
        name: &str,
        permits: usize,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let settings = Settings::new(options, Has::Common)?;
        let options = settings.common(SharedSemaphore::options());
        let handle = options.open_or_create(name, permits).map_err(|error| opening(py, error))?;
        Ok(Self::of(handle, &settings))
    }

    /// Creates it; `AlreadyExists` if there is one.
    #[staticmethod]
    #[pyo3(signature = (name, permits = 1, **options))]
    fn create(py: Python<'_>, name: &str, permits: usize, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<Self>> {
        let settings = Settings::new(options, Has::Common)?;
        let options = settings.common(SharedSemaphore::options());
        let handle = options.create(name, permits).map_err(|error| opening(py, error))?;
        Py::new(py, Self::of(handle, &settings))
    }

    /// Opens it, with as many permits as it has; `NotFound` if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, **options))]
    fn open(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<Self>> {
        let settings = Settings::new(options, Has::Common)?;
        let handle = settings.common(SharedSemaphore::options()).open(name).map_err(|error| opening(py, error))?;
        Py::new(py, Self::of(handle, &settings))
    }

    /// How many there are.
    #[getter]
    fn permits(&self) -> usize {
        self.handle.permits()
    }

    /// How many are free at this moment.
    #[getter]
    fn available(&self) -> usize {
        self.handle.available()
    }

    /// A permit, of this thread. `TimedOut` after so many seconds.
    #[pyo3(signature = (timeout = None))]
    fn acquire(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<Permit> {
        let permit = self.take(py, timeout.unwrap_or(Timeout::FOREVER))?;
        Ok(Permit {
            index: permit.index(),
            name: self.handle.name().into(),
            permit: Mutex::new(Some(OfThread::new(permit))),
        })
    }

    /// The permit's number, from 0: nobody else has the same at the same time.
    fn __enter__(&self, py: Python<'_>) -> PyResult<usize> {
        let permit = self.take(py, Timeout::FOREVER)?;
        let index = permit.index();
        self.permits.lock().unwrap_or_else(PoisonError::into_inner).push(OfThread::new(permit));
        Ok(index)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let permit = {
            let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
            permits.iter().rposition(OfThread::is_mine).map(|at| permits.remove(at))
        };
        match permit {
            None if kind.is_none() => {
                Err(not_held(py, self.handle.name(), "it has no permit of a block that ends here"))
            }
            _ => Ok(()), // gives it back
        }
    }

    fn __repr__(&self) -> String {
        format!("Semaphore({:?}, {})", self.handle.name(), self.handle.permits())
    }
}

/// One of a semaphore's permits: given back at the end of a block, by `release`, or when nobody refers to it any more.
#[pyclass(frozen, module = "robust_shm")]
pub(crate) struct Permit {
    /// From 0: nobody else has the same at the same time.
    #[pyo3(get)]
    index: usize,
    name: Box<str>,
    permit: Mutex<Option<OfThread<OwnedPermit>>>,
}

#[pymethods]
impl Permit {
    /// Gives it back. Once only, and by the thread that has it.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        // An exception that is made may run Python code, which may come back here: not while this is locked.
        let mine = self.permit.lock().unwrap_or_else(PoisonError::into_inner).take_if(|permit| permit.is_mine());
        match mine {
            Some(_) => Ok(()),
            None => Err(not_held(py, &self.name, "the permit is given back already, or another thread's")),
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match self.release(py) {
            Err(_) if !kind.is_none() => Ok(()), // the exception goes on
            released => released,
        }
    }

    fn __repr__(&self) -> String {
        format!("Permit({:?}, index={})", self.name, self.index)
    }
}
