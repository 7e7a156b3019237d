//! `Value`: one value, which is copied in and out, and never torn.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use robust_shm::dynamic::{DynValue, DynValueHold, Primitive, Schema};

use crate::callback::call;
use crate::codec::{self, Codec};
use crate::errors::{inside_already, invalid_value, locking, not_described, not_held, opening};
use crate::handle::Handle;
use crate::options::{Has, Settings};
use crate::scratch::scratch;
use crate::section::{Block, Section};
use crate::thread::Held;
use crate::waiting::{Timeout, wait, wait_after};

mod assigned;
mod changes;
pub(crate) mod direct;
mod fields;
mod initial;

use assigned::Assigned;
pub(crate) use changes::Changes;
pub(crate) use fields::make;

const WHERE_TO_ASSIGN: &str = "assign inside `with v:`, or use `set`, `add` or `update`";

/// Opens the value of that name, or creates it.
#[pyclass(frozen, subclass, extends = Handle, module = "robust_shm")]
pub(crate) struct Value {
    held: Held<DynValue, DynValueHold<&'static DynValue>, Option<Assigned>>,
    codec: Codec,
    /// Has the segment a schema? Else it is bytes, which nobody can check.
    is_described: bool,
    /// The commit that `wait_newer` last returned.
    seen: AtomicU64,
}

impl Value {
    fn of(py: Python<'_>, handle: DynValue) -> Self {
        let handle = Arc::new(handle);
        let codec = handle.schema().map_or_else(|| Codec::of_bytes(handle.size()), |schema| Codec::new(py, schema));
        let (is_described, seen) = (handle.schema().is_some(), AtomicU64::new(handle.commits()));
        Self { held: Held::new(handle), codec, is_described, seen }
    }

    fn initializer(self, settings: &Settings) -> PyClassInitializer<Self> {
        let schema = self.handle().schema().map(Schema::to_string);
        PyClassInitializer::from(Handle::new(self.handle().clone(), schema, settings)).add_subclass(self)
    }

    fn handle(&self) -> &Arc<DynValue> {
        self.held.handle()
    }

    #[inline]
    fn enter(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.held.enter(|handle| match handle.try_hold() {
            Ok(hold) => Ok(hold),
            Err(_) if self.held.is_mine() => Err(inside_already(py, handle.name())),
            Err(error) => wait_after(py, error, timeout, |most| handle.try_hold_for(most)),
        })
    }

    /// Enters, if nobody is inside.
    #[inline(always)]
    fn enter_at_once(&self) -> bool {
        self.held.enter(DynValue::try_hold).is_ok()
    }

    /// Commits what was assigned, unless the block has failed.
    #[inline]
    fn leave(&self, py: Python<'_>, failed: bool) -> PyResult<()> {
        match self.held.take_with_notes() {
            None => Err(not_held(py, self.handle().name(), "what the block has assigned is lost")),
            Some((hold, Some(assigned))) if !failed => commit(py, hold, assigned.bytes(self.codec.size())),
            Some(_) => Ok(()),
        }
    }

    /// The value as the holder sees it, or else the last commit.
    #[inline]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.with_bytes(|bytes| self.codec.decode(py, bytes))
    }

    #[inline]
    fn is_number(&self) -> bool {
        self.codec.primitive().is_some()
    }

    /// What `use_` makes of the bytes: of the holder's, or else of the last commit.
    #[inline]
    fn with_bytes<R>(&self, use_: impl FnOnce(&[u8]) -> R) -> R {
        scratch(self.codec.size(), |bytes| {
            // Copied, because what is made of it may run Python code, and that may come back here.
            let copied = self.held.with_notes(|hold, assigned| match assigned {
                Some(assigned) => bytes.copy_from_slice(assigned.bytes(bytes.len())),
                None => hold.read(bytes),
            });
            if copied.is_none() {
                self.handle().get(bytes);
            }
            use_(bytes)
        })
    }

    #[inline]
    fn assign(&self, new: &Bound<'_, PyAny>) -> PyResult<()> {
        self.assign_at(0, &self.codec, new)
    }

    /// Of the part of the value that is `codec`'s.
    #[inline]
    fn assign_at(&self, at: usize, codec: &Codec, new: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = new.py();
        if !self.is_described {
            return Err(not_described(py, self.handle().name()));
        }
        scratch(codec.size(), |bytes| {
            // Whoever does not hold the lock hears of that, whatever the value is.
            codec.encode(new, bytes).or_else(|error| if self.held.is_mine() { Err(error) } else { Ok(()) })?;
            let written = self.held.with_notes(|hold, assigned| {
                let size = self.codec.size();
                let assigned = assigned.get_or_insert_with(|| {
                    let mut whole = Assigned::of_zeros(size);
                    if bytes.len() < size {
                        hold.read(whole.bytes_mut(size));
                    }
                    whole
                });
                assigned.bytes_mut(size)[at..][..bytes.len()].copy_from_slice(bytes);
            });
            written.ok_or_else(|| not_held(py, self.handle().name(), WHERE_TO_ASSIGN))
        })
    }

    /// Lock, change, commit, unlock; an error changes nothing.
    #[inline]
    fn change<R>(&self, py: Python<'_>, change: impl FnOnce(&mut [u8]) -> PyResult<R>) -> PyResult<R> {
        let hold = wait(py, Timeout::FOREVER, || self.handle().try_hold(), |most| self.handle().try_hold_for(most))?;
        scratch(self.codec.size(), |bytes| {
            hold.read(bytes);
            let changed = change(bytes)?;
            commit(py, hold, bytes)?;
            Ok(changed)
        })
    }
}

/// The schema allows the bytes, because `Codec::encode` has written them.
#[inline]
fn commit(py: Python<'_>, hold: DynValueHold<&DynValue>, bytes: &[u8]) -> PyResult<()> {
    DynValueHold::commit(hold, bytes).map_err(|(hold, error)| {
        drop(hold);
        locking(py, error)
    })
}

#[pymethods]
#[allow(clippy::new_ret_no_self, reason = "that of a struct is of a class of its own")]
impl Value {
    #[new]
    #[pyo3(signature = (name, r#type, initial = None, **options))]
    fn new(
        py: Python<'_>,
        name: &str,
        r#type: &Bound<'_, PyAny>,
        initial: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let settings = Settings::new(options, Has::Common)?;
        let schema = codec::schema_of(r#type)?;
        let bytes = initial::initial(py, name, &schema, initial)?;
        let options = settings.common(DynValue::options());
        let handle = options.open_or_create(name, &schema, &bytes).map_err(|error| opening(py, error))?;
        make(py, handle, &settings)
    }

    /// Creates it; `AlreadyExists` if there is one.
    #[staticmethod]
    #[pyo3(signature = (name, r#type, initial = None, **options))]
    fn create(
        py: Python<'_>,
        name: &str,
        r#type: &Bound<'_, PyAny>,
        initial: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let settings = Settings::new(options, Has::Common)?;
        let schema = codec::schema_of(r#type)?;
        let bytes = initial::initial(py, name, &schema, initial)?;
        let options = settings.common(DynValue::options());
        let handle = options.create(name, &schema, &bytes).map_err(|error| opening(py, error))?;
        make(py, handle, &settings)
    }

    /// Opens it, whatever its type is, or only if it is this one; `NotFound` if there is none.
    #[staticmethod]
    #[pyo3(signature = (name, r#type = None, **options))]
    fn open(
        py: Python<'_>,
        name: &str,
        r#type: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let settings = Settings::new(options, Has::Common)?;
        let options = settings.common(DynValue::options());
        let handle = match r#type {
            Some(kind) => options.open_as(name, &codec::schema_of(kind)?),
            None => options.open(name),
        };
        make(py, handle.map_err(|error| opening(py, error))?, &settings)
    }

    /// The last commit, without waiting; also inside `with v:`.
    fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        scratch(self.codec.size(), |bytes| {
            self.handle().get(bytes);
            self.codec.decode(py, bytes)
        })
    }

    /// Lock, assign, unlock.
    fn set(&self, new: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = new.py();
        if !self.is_described {
            return Err(not_described(py, self.handle().name()));
        }
        scratch(self.codec.size(), |bytes| {
            self.codec.encode(new, bytes)?;
            self.change(py, |into| {
                into.copy_from_slice(bytes);
                Ok(())
            })
        })
    }

    /// As they are stored.
    fn get_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.with_bytes(|bytes| PyBytes::new(py, bytes))
    }

    /// For a value without a schema: nobody checks that they are a value of its type but who calls this.
    fn set_bytes(&self, py: Python<'_>, new: &[u8]) -> PyResult<()> {
        if new.len() != self.codec.size() {
            let text = format!("expected {} bytes, found {}", self.codec.size(), new.len());
            return Err(invalid_value(py, &text));
        }
        crate::waiting::detached(py, || self.handle().set_bytes(new))
    }

    /// Lock, add, unlock. Returns the sum.
    fn add<'py>(&self, by: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = by.py();
        match self.codec.primitive() {
            Some(Primitive::I64) => {
                let by: i64 = by.extract()?;
                let sum = self.change(py, |bytes| {
                    let bytes: &mut [u8; 8] = bytes.try_into()?;
                    let sum = i64::from_ne_bytes(*bytes).checked_add(by);
                    let sum = sum.ok_or_else(|| PyOverflowError::new_err("the sum is no i64"))?;
                    *bytes = sum.to_ne_bytes();
                    Ok(sum)
                })?;
                Ok(sum.into_pyobject(py)?.into_any())
            }
            Some(Primitive::F64) => {
                let by: f64 = by.extract()?;
                let sum = self.change(py, |bytes| {
                    let bytes: &mut [u8; 8] = bytes.try_into()?;
                    let sum = f64::from_ne_bytes(*bytes) + by;
                    *bytes = sum.to_ne_bytes();
                    Ok(sum)
                })?;
                Ok(sum.into_pyobject(py)?.into_any())
            }
            _ => self.update_by(py, |old| old.add(by)),
        }
    }

    /// Lock, call with the value, assign what it returns, unlock. An exception changes nothing.
    fn update<'py>(&self, change: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.update_by(change.py(), |old| call(change, (old,)))
    }

    /// How many commits there have been.
    #[getter]
    fn commits(&self) -> u64 {
        self.handle().commits()
    }

    /// A block: `with v.lock(timeout=1):`.
    #[pyo3(signature = (timeout = None))]
    fn lock(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Section {
        Section::new(slf.clone().into_any().unbind(), Box::new(Locking(slf.unbind())), timeout)
    }

    /// Does this thread hold it, through this handle?
    #[getter]
    fn is_held(&self) -> bool {
        self.held.is_mine()
    }

    /// Waits for a commit that this handle has not returned yet from here. `TimedOut` after so many seconds.
    #[pyo3(signature = (timeout = None))]
    fn wait_newer<'py>(&self, py: Python<'py>, timeout: Option<Timeout>) -> PyResult<Bound<'py, PyAny>> {
        changes::newer(self, py, &self.seen, timeout.unwrap_or(Timeout::FOREVER))
    }

    /// Waits as long as `predicate(value)` is true, and returns the value for which it is not.
    #[pyo3(signature = (predicate, timeout = None))]
    fn wait_while<'py>(&self, predicate: &Bound<'py, PyAny>, timeout: Option<Timeout>) -> PyResult<Bound<'py, PyAny>> {
        changes::wait_while(self, predicate, timeout.unwrap_or(Timeout::FOREVER))
    }

    /// The values from now on: always the latest, so that commits may be skipped. Ends when none came for so many seconds.
    #[pyo3(signature = (timeout = None))]
    fn changes(slf: Bound<'_, Self>, timeout: Option<Timeout>) -> Changes {
        Changes::new(slf.unbind(), timeout.unwrap_or(Timeout::FOREVER))
    }

    fn __repr__(&self) -> String {
        let schema = self.handle().schema().map_or_else(|| "?".to_owned(), Schema::to_string);
        format!("Value({:?}, {schema:?})", self.handle().name())
    }
}

impl Value {
    fn update_by<'py>(
        &self,
        py: Python<'py>,
        change: impl FnOnce(Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.enter(py, Timeout::FOREVER)?;
        let changed = self.value(py).and_then(change).and_then(|new| self.assign(&new)).and_then(|()| self.value(py));
        match changed {
            Ok(value) => self.leave(py, false).map(|()| value),
            Err(error) => {
                drop(self.leave(py, true)); // the error says more
                Err(error)
            }
        }
    }
}

struct Locking(Py<Value>);

impl Block for Locking {
    fn enter(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()> {
        self.0.get().enter(py, timeout)
    }

    fn leave(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.get().leave(py, exception.is_some())
    }
}
