//! `Array`: many elements of one type, in place.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySlice};
use robust_shm::LockError;
use robust_shm::dynamic::{DynSlice, DynSliceGuard, DynSliceReadGuard, Schema};

use crate::callback::call;
use crate::codec::Codec;
use crate::errors::not_held;
use crate::handle::Handle;
use crate::options::Settings;
use crate::reading::Reading;
use crate::scratch::scratch;
use crate::section::{Block, Exclusive, Poisonable, Section, leave};
use crate::waiting::{Timeout, wait};

pub(crate) mod forks;
mod index;
mod numpy;
mod opening;
mod views;

use index::Items;

type ReadGuard = DynSliceReadGuard<Arc<DynSlice>>;

impl Poisonable for DynSlice {
    type Guard = DynSliceGuard<&'static Self>;

    fn name(&self) -> &str {
        self.name()
    }

    #[inline]
    fn now(&'static self, even_poisoned: bool) -> Result<Self::Guard, LockError> {
        if even_poisoned { self.try_lock_ignoring_poison() } else { self.try_lock() }
    }

    fn within(&'static self, most: Duration, even_poisoned: bool) -> Result<Self::Guard, LockError> {
        if even_poisoned { self.try_lock_ignoring_poison_for(most) } else { self.try_lock_for(most) }
    }

    fn clear_poison(guard: &mut Self::Guard) {
        DynSliceGuard::clear_poison(guard);
    }
}

/// Opens the array of that name, or creates it: of zeros, or of the given elements.
#[pyclass(frozen, extends = Handle, module = "robust_shm")]
pub(crate) struct Array {
    pub(crate) lock: Exclusive<DynSlice>,
    reading: Reading<ReadGuard>,
    codec: Codec,
    views: views::Views,
    numpy: numpy::Arrays,
    noted: forks::Noted,
}

impl Array {
    pub(crate) fn of(py: Python<'_>, handle: DynSlice, settings: &Settings) -> PyClassInitializer<Self> {
        let handle = Arc::new(handle);
        let codec =
            handle.schema().map_or_else(|| Codec::of_bytes(handle.element_size()), |schema| Codec::new(py, schema));
        let base = Handle::new(handle.clone(), handle.schema().map(Schema::to_string), settings);
        let lock = Exclusive::new(handle);
        let (views, numpy, noted) = (views::Views::default(), numpy::Arrays::new(), forks::Noted::default());
        PyClassInitializer::from(base).add_subclass(Self {
            lock,
            reading: Reading::default(),
            codec,
            views,
            numpy,
            noted,
        })
    }

    fn name(&self) -> &str {
        self.lock.handle().name()
    }

    /// Leaves the block of the holder. Whatever is wrong with what it leaves behind, the lock is given back.
    pub(crate) fn leave(&self, py: Python<'_>, is_repaired: bool) -> PyResult<()> {
        if !self.lock.held().is_mine() {
            return self.lock.leave(py, is_repaired);
        }
        let frozen = self.numpy.freeze(py);
        let closed = self.views.close(py, self.name());
        self.lock.leave(py, is_repaired).and(frozen).and(closed)
    }

    /// `wait` gives the lock up, and takes it again: meanwhile nobody writes to `np`, and another block of this thread, in a
    /// signal's handler, has its own. Where it fails, the block has ended.
    pub(crate) fn pause(&self, py: Python<'_>, wait: impl FnOnce() -> PyResult<bool>) -> PyResult<bool> {
        if !self.lock.held().is_mine() {
            return wait();
        }
        let is_used = self.numpy.pause(py)?;
        let view = self.views.lay_aside();
        let waited = wait();
        if let Some(view) = view {
            self.views.take_up(view);
        }
        match &waited {
            Ok(_) if is_used => self.numpy.resume(py)?,
            Ok(_) => {}
            Err(error) => {
                if let Err(outlives) = self.views.close(py, self.name()) {
                    error.value(py).call_method1("add_note", (format!("robust_shm: {outlives}"),))?;
                }
            }
        }
        waited
    }

    fn leave_reading(&self, py: Python<'_>) -> PyResult<()> {
        let closed = self.views.close(py, self.name());
        self.reading.leave(py, self.name()).and(closed)
    }

    /// What `copy` copies from all bytes: with the lock that this thread has, or else with one to read.
    fn with_bytes<R>(&self, py: Python<'_>, copy: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
        let mut copy = Some(copy);
        let mut call = |bytes: &[u8]| copy.take().map(|copy| copy(bytes));
        let mut copied = self.lock.held().with(|guard| call(guard.as_bytes())).flatten();
        if copied.is_none() {
            copied = self.reading.with(|guard| call(guard.as_bytes())).flatten();
        }
        match copied {
            Some(copied) => Ok(copied),
            None => {
                let handle = self.lock.handle();
                let guard = wait(py, Timeout::FOREVER, || handle.try_read(), |most| handle.try_read_for(most))?;
                Ok(call(guard.as_bytes()).expect("not called yet"))
            }
        }
    }

    /// `write` writes to all bytes. Only for the holder.
    fn with_bytes_mut<R>(&self, py: Python<'_>, write: impl FnOnce(&mut [u8]) -> R) -> PyResult<R> {
        let written = self.lock.held().with(|guard| write(guard.as_bytes_mut()));
        written.ok_or_else(|| not_held(py, self.name(), "assign inside `with a:`, or use `set`, `add` or `update`"))
    }

    fn element<'py>(&self, py: Python<'py>, at: usize) -> PyResult<Bound<'py, PyAny>> {
        let size = self.codec.size();
        scratch(size, |bytes| {
            self.with_bytes(py, |all| bytes.copy_from_slice(&all[at * size..][..size]))?;
            self.codec.decode(py, bytes)
        })
    }

    fn assign(&self, at: usize, new: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, size) = (new.py(), self.codec.size());
        if !self.lock.held().is_mine() {
            return self.with_bytes_mut(py, |_| ());
        }
        scratch(size, |bytes| {
            self.codec.encode(new, bytes)?;
            self.with_bytes_mut(py, |all| all[at * size..][..size].copy_from_slice(bytes))
        })
    }

    /// In one block of its own.
    fn change<'py>(
        &self,
        py: Python<'py>,
        index: isize,
        change: impl FnOnce(Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let at = self.position(index)?;
        self.lock.enter(py, Timeout::FOREVER, false)?;
        let changed = self.element(py, at).and_then(change).and_then(|new| self.assign(at, &new));
        let changed = changed.and_then(|()| self.element(py, at));
        let left = self.leave(py, false);
        changed.and_then(|value| left.map(|()| value))
    }

    fn len(&self) -> usize {
        self.lock.handle().len()
    }

    fn position(&self, index: isize) -> PyResult<usize> {
        let at = if index < 0 { index.checked_add_unsigned(self.len()) } else { Some(index) };
        let at = at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < self.len());
        at.ok_or_else(|| PyIndexError::new_err(format!("no element {index}: there are {}", self.len())))
    }
}

#[pymethods]
impl Array {
    #[new]
    #[pyo3(signature = (name, r#type, size_or_elements, **options))]
    fn new(
        name: &str,
        r#type: &Bound<'_, PyAny>,
        size_or_elements: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        opening::open_or_create(name, r#type, size_or_elements, options)
    }

    /// Creates it; `AlreadyExists` if there is one.
    #[staticmethod]
    #[pyo3(signature = (name, r#type, size_or_elements, **options))]
    fn create(
        py: Python<'_>,
        name: &str,
        r#type: &Bound<'_, PyAny>,
        size_or_elements: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<Self>> {
        Py::new(py, opening::create(name, r#type, size_or_elements, options)?)
    }

    /// Opens it, whatever its type is, or only if it is this one, with as many elements as it has; `NotFound` if there is
    /// none.
    #[staticmethod]
    #[pyo3(signature = (name, r#type = None, **options))]
    fn open(
        py: Python<'_>,
        name: &str,
        r#type: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<Self>> {
        Py::new(py, opening::open(py, name, r#type, options)?)
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    /// An element; or a list of several. Outside of a block, it takes the lock to read.
    fn __getitem__<'py>(&self, py: Python<'py>, index: Index<'py>) -> PyResult<Bound<'py, PyAny>> {
        match index {
            Index::One(index) => self.element(py, self.position(index)?),
            Index::Several(slice) => Ok(self.copy(py, Items::of(&slice, self.len())?)?.into_any()),
        }
    }

    fn __setitem__(&self, index: Index<'_>, new: &Bound<'_, PyAny>) -> PyResult<()> {
        match index {
            Index::One(index) => self.assign(self.position(index)?, new),
            Index::Several(slice) => self.paste(Items::of(&slice, self.len())?, new),
        }
    }

    /// Over a copy of all elements, which belong together.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.copy(py, Items::all(self.len()))?.try_iter()?.into_any())
    }

    /// Lock, assign, unlock.
    fn set(&self, index: isize, new: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(new.py(), index, |_| Ok(new.clone())).map(drop)
    }

    /// Lock, add, unlock. Returns the sum.
    fn add<'py>(&self, index: isize, by: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.change(by.py(), index, |old| old.add(by))
    }

    /// Lock, call with the element, assign what it returns, unlock.
    fn update<'py>(&self, index: isize, change: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.change(change.py(), index, |old| call(change, (old,)))
    }

    /// The elements in place, until the end of the block, writable if that may write.
    fn view<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        views::view(slf)
    }

    /// The elements in place, as numpy's array, writable until the end of the block, if that may write.
    #[getter]
    fn np<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        numpy::array(slf)
    }

    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        numpy::converted(slf, dtype, copy)
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
        leave(value, |_| self.leave(py, false))
    }

    /// A block: `with a.lock(timeout=1):`.
    #[pyo3(signature = (timeout = None))]
    fn lock(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        let block = Locking { of: slf.clone().unbind(), even_poisoned: false };
        Section::new(slf.into_any().unbind(), Box::new(block), timeout)
    }

    /// A block that is entered also when the array is poisoned, and that clears the poison when it ends without an exception.
    #[pyo3(signature = (timeout = None))]
    fn recover(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        let block = Locking { of: slf.clone().unbind(), even_poisoned: true };
        Section::new(slf.into_any().unbind(), Box::new(block), timeout)
    }

    /// A block of one of the readers.
    #[pyo3(signature = (timeout = None))]
    fn read(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        Section::new(slf.clone().into_any().unbind(), Box::new(Read(slf.unbind())), timeout)
    }

    /// Is this thread inside, writing or reading, through this handle?
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
        let schema = self.lock.handle().schema().map_or_else(|| "?".to_owned(), Schema::to_string);
        format!("Array({:?}, {schema:?}, {})", self.name(), self.len())
    }
}

#[derive(FromPyObject)]
enum Index<'py> {
    One(isize),
    Several(Bound<'py, PySlice>),
}

struct Locking {
    of: Py<Array>,
    even_poisoned: bool,
}

impl Block for Locking {
    fn enter(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.of.get().lock.enter(py, timeout, self.even_poisoned)
    }

    fn leave(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.of.get().leave(py, self.even_poisoned && exception.is_none())
    }
}

struct Read(Py<Array>);

impl Block for Read {
    fn enter(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        let this = self.0.get();
        let handle = this.lock.handle();
        this.reading.enter(py, this.name(), timeout, || handle.try_read_owned(), |most| handle.try_read_owned_for(most))
    }

    fn leave(&self, py: Python<'_>, _exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.get().leave_reading(py)
    }
}
