//! `Lock`: a lock for something that is not in shared memory, or in another segment.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use robust_shm::{LockError, LockGuard, Options, SharedLock};

use crate::errors::opening;
use crate::handle::Handle;
use crate::options::{Has, Settings};
use crate::section::{Block, Exclusive, Poisonable, Section, leave};
use crate::waiting::{Timeout, or_false};

impl Poisonable for SharedLock {
    type Guard = LockGuard<'static>;

    fn name(&self) -> &str {
        self.name()
    }

    fn now(&'static self, even_poisoned: bool) -> Result<Self::Guard, LockError> {
        if even_poisoned { self.try_lock_ignoring_poison() } else { self.try_lock() }
    }

    fn within(&'static self, most: Duration, even_poisoned: bool) -> Result<Self::Guard, LockError> {
        if even_poisoned { self.try_lock_ignoring_poison_for(most) } else { self.try_lock_for(most) }
    }

    fn clear_poison(guard: &mut Self::Guard) {
        LockGuard::clear_poison(guard);
    }
}

/// Opens the lock of that name, or creates it.
#[pyclass(frozen, extends = Handle, module = "robust_shm")]
pub(crate) struct Lock {
    pub(crate) lock: Exclusive<SharedLock>,
}

impl Lock {
    pub(crate) fn of(handle: SharedLock, settings: &Settings) -> PyClassInitializer<Self> {
        let handle = Arc::new(handle);
        let base = Handle::new(handle.clone(), None, settings);
        PyClassInitializer::from(base).add_subclass(Self { lock: Exclusive::new(handle) })
    }

    fn options(settings: &Settings) -> Options<SharedLock> {
        let options = settings.common(SharedLock::options());
        settings.poison().into_iter().fold(options, Options::<SharedLock>::poison)
    }
}

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (name, **options))]
    fn new(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<PyClassInitializer<Self>> {
        let settings = Settings::new(options, Has::Poison)?;
        let handle = Self::options(&settings).open_or_create(name).map_err(|error| opening(py, error))?;
        Ok(Self::of(handle, &settings))
    }

    /// Creates it; `AlreadyExists` if there is one.
    #[staticmethod]
    #[pyo3(signature = (name, **options))]
    fn create(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<Self>> {
        let settings = Settings::new(options, Has::Poison)?;
        let handle = Self::options(&settings).create(name).map_err(|error| opening(py, error))?;
        Py::new(py, Self::of(handle, &settings))
    }

    /// Opens it; `NotFound` if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, **options))]
    fn open(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<Self>> {
        let settings = Settings::new(options, Has::Poison)?;
        let handle = Self::options(&settings).open(name).map_err(|error| opening(py, error))?;
        Py::new(py, Self::of(handle, &settings))
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().lock.enter(slf.py(), Timeout::FOREVER, false)?;
        Ok(slf)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        leave(value, |_| self.lock.leave(py, false))
    }

    /// A block: `with lock.lock(timeout=1):`.
    #[pyo3(signature = (timeout = None))]
    fn lock(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        let block = Locking { of: slf.clone().unbind(), even_poisoned: false };
        Section::new(slf.into_any().unbind(), Box::new(block), timeout)
    }

    /// A block that is entered also when the lock is poisoned, and that clears the poison when it ends without an exception.
    #[pyo3(signature = (timeout = None))]
    fn recover(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        let block = Locking { of: slf.clone().unbind(), even_poisoned: true };
        Section::new(slf.into_any().unbind(), Box::new(block), timeout)
    }

    /// Takes the lock, until `release`: `True`. `False` if it is not to be had within so many seconds, or now.
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<Timeout>) -> PyResult<bool> {
        let timeout = if block { timeout.unwrap_or(Timeout::FOREVER) } else { Timeout::NOW };
        or_false(py, self.lock.enter(py, timeout, false))
    }

    /// Gives the lock back. `NotHeld` if this thread does not hold it.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.lock.leave(py, false)
    }

    /// Does this thread hold it, through this handle?
    #[getter]
    fn is_held(&self) -> bool {
        self.lock.held().is_mine()
    }

    /// Did a holder die?
    #[getter]
    fn is_poisoned(&self) -> bool {
        self.lock.handle().is_poisoned()
    }

    fn __repr__(&self) -> String {
        format!("Lock({:?})", self.lock.handle().name())
    }
}

struct Locking {
    of: Py<Lock>,
    even_poisoned: bool,
}

impl Block for Locking {
    fn enter(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.of.get().lock.enter(py, timeout, self.even_poisoned)
    }

    fn leave(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.of.get().lock.leave(py, self.even_poisoned && exception.is_none())
    }
}
