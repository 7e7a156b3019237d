//! `RwLock`: any number of readers, or one writer, of what is not in shared memory, or in another segment.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use robust_shm::{LockError, Options, OwnedRwLockReadGuard, RwLockWriteGuard, SharedRwLock};

use crate::errors::opening;
use crate::handle::Handle;
use crate::options::{Has, Settings};
use crate::reading::Reading;
use crate::section::{Block, Exclusive, Poisonable, Section};
use crate::waiting::Timeout;

impl Poisonable for SharedRwLock {
    type Guard = RwLockWriteGuard<'static>;

    fn name(&self) -> &str {
        self.name()
    }

    fn now(&'static self, even_poisoned: bool) -> Result<Self::Guard, LockError> {
        if even_poisoned { self.try_write_ignoring_poison() } else { self.try_write() }
    }

    fn within(&'static self, most: Duration, even_poisoned: bool) -> Result<Self::Guard, LockError> {
        if even_poisoned { self.try_write_ignoring_poison_for(most) } else { self.try_write_for(most) }
    }

    fn clear_poison(guard: &mut Self::Guard) {
        RwLockWriteGuard::clear_poison(guard);
    }
}

/// Opens the lock of that name, or creates it.
#[pyclass(frozen, extends = Handle, module = "robust_shm")]
pub(crate) struct RwLock {
    reading: Reading<OwnedRwLockReadGuard>,
    lock: Exclusive<SharedRwLock>,
}

impl RwLock {
    pub(crate) fn of(handle: SharedRwLock, settings: &Settings) -> PyClassInitializer<Self> {
        let handle = Arc::new(handle);
        let base = Handle::new(handle.clone(), None, settings);
        PyClassInitializer::from(base).add_subclass(Self { reading: Reading::default(), lock: Exclusive::new(handle) })
    }

    fn options(settings: &Settings) -> Options<SharedRwLock> {
        let options = settings.common(SharedRwLock::options());
        let options = settings.poison().into_iter().fold(options, Options::<SharedRwLock>::poison);
        settings.readers().into_iter().fold(options, Options::<SharedRwLock>::readers)
    }
}

#[pymethods]
impl RwLock {
    #[new]
    #[pyo3(signature = (name, **options))]
    fn new(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<PyClassInitializer<Self>> {
        let settings = Settings::new(options, Has::PoisonAndReaders)?;
        let handle = Self::options(&settings).open_or_create(name).map_err(|error| opening(py, error))?;
        Ok(Self::of(handle, &settings))
    }

    /// Creates it; `AlreadyExists` if there is one.
    #[staticmethod]
    #[pyo3(signature = (name, **options))]
    fn create(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<Self>> {
        let settings = Settings::new(options, Has::PoisonAndReaders)?;
        let handle = Self::options(&settings).create(name).map_err(|error| opening(py, error))?;
        Py::new(py, Self::of(handle, &settings))
    }

    /// Opens it; `NotFound` if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, **options))]
    fn open(py: Python<'_>, name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<Self>> {
        let settings = Settings::new(options, Has::PoisonAndReaders)?;
        let handle = Self::options(&settings).open(name).map_err(|error| opening(py, error))?;
        Py::new(py, Self::of(handle, &settings))
    }

    /// A block of one of the readers.
    #[pyo3(signature = (timeout = None))]
    fn read(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        Section::new(slf.clone().into_any().unbind(), Box::new(Read(slf.unbind())), timeout)
    }

    /// The block of the writer.
    #[pyo3(signature = (timeout = None))]
    fn write(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        let block = Write { of: slf.clone().unbind(), even_poisoned: false };
        Section::new(slf.into_any().unbind(), Box::new(block), timeout)
    }

    /// The writer's block, entered also when the lock is poisoned, and that clears the poison when it ends without an
    /// exception.
    #[pyo3(signature = (timeout = None))]
    fn recover(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        let block = Write { of: slf.clone().unbind(), even_poisoned: true };
        Section::new(slf.into_any().unbind(), Box::new(block), timeout)
    }

    /// Is this thread inside, reading or writing, through this handle?
    #[getter]
    fn is_held(&self) -> bool {
        self.lock.held().is_mine() || self.reading.is_mine()
    }

    /// Did a writer die?
    #[getter]
    fn is_poisoned(&self) -> bool {
        self.lock.handle().is_poisoned()
    }

    fn __repr__(&self) -> String {
        format!("RwLock({:?})", self.lock.handle().name())
    }
}

struct Read(Py<RwLock>);

impl Block for Read {
    fn enter(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        let this = self.0.get();
        let handle = this.lock.handle();
        this.reading.enter(
            py,
            handle.name(),
            timeout,
            || handle.try_read_owned(),
            |most| handle.try_read_owned_for(most),
        )
    }

    fn leave(&self, py: Python<'_>, _exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.get().reading.leave(py, self.0.get().lock.handle().name())
    }
}

struct Write {
    of: Py<RwLock>,
    even_poisoned: bool,
}

impl Block for Write {
    fn enter(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.of.get().lock.enter(py, timeout, self.even_poisoned)
    }

    fn leave(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.of.get().lock.leave(py, self.even_poisoned && exception.is_none())
    }
}
