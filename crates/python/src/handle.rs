//! What every handle has: its name, its state, and pickling, which opens it once more.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use robust_shm::Error;

use crate::errors::{no_pickle, opening};
use crate::options::Settings;
use crate::segments::SegmentInfo;
use crate::value::Value;

/// What the library's handles have in common.
pub(crate) trait Opened: Send + Sync {
    fn name(&self) -> &str;
    fn was_created(&self) -> bool;
    fn is_removed(&self) -> bool;
    fn info(&self) -> Result<robust_shm::SegmentInfo, Error>;
}

macro_rules! opened {
    ($($handle:ty),+) => {
        $(impl Opened for $handle {
            fn name(&self) -> &str {
                self.name()
            }
            fn was_created(&self) -> bool {
                self.was_created()
            }
            fn is_removed(&self) -> bool {
                self.is_removed()
            }
            fn info(&self) -> Result<robust_shm::SegmentInfo, Error> {
                self.info()
            }
        })+
    };
}
opened!(robust_shm::dynamic::DynValue, robust_shm::dynamic::DynSlice);
opened!(robust_shm::SharedEvent, robust_shm::SharedSemaphore, robust_shm::SharedLock, robust_shm::SharedRwLock);

/// The base of all classes that open a segment. The segment goes when nobody has a handle of it any more.
#[pyclass(frozen, subclass, weakref, module = "robust_shm")]
pub(crate) struct Handle {
    it: Arc<dyn Opened>,
    /// As a text, where the segment has one.
    schema: Option<String>,
    settings: Settings,
}

impl Handle {
    pub(crate) fn new(it: Arc<dyn Opened>, schema: Option<String>, settings: &Settings) -> Self {
        Self { it, schema, settings: settings.to_reopen() }
    }
}

#[pymethods]
impl Handle {
    /// The segment's name.
    #[getter]
    fn name(&self) -> &str {
        self.it.name()
    }

    /// Did this handle create the segment?
    #[getter]
    fn was_created(&self) -> bool {
        self.it.was_created()
    }

    /// Is the segment removed, so that nobody can open it any more? Who has it open can go on.
    #[getter]
    fn is_removed(&self) -> bool {
        self.it.is_removed()
    }

    /// The type of the data, as a text; `None` if the segment does not say it.
    #[getter]
    fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// What can be told about the segment at this moment.
    fn info(&self, py: Python<'_>) -> PyResult<SegmentInfo> {
        self.it.info().map(SegmentInfo::new).map_err(|error| opening(py, error))
    }

    /// Pickled, and copied, as how to open it once more.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Reduced<'py>> {
        let (py, this) = (slf.py(), slf.get());
        let is_held = slf.getattr_opt("is_held")?.map_or(Ok(false), |held| held.extract())?;
        let why = match (is_held, this.is_removed()) {
            (true, _) => "this thread holds its lock",
            (false, true) => "it is removed, and nobody can open it",
            (false, false) => {
                let open = py.import("robust_shm._native")?.getattr("_open")?;
                let arguments = match &this.schema {
                    Some(schema) => PyTuple::new(py, [this.name(), schema])?,
                    None => PyTuple::new(py, [this.name()])?,
                };
                // A value's class may be one of its schema, which nobody can import.
                let class = if slf.cast::<Value>().is_ok() { py.get_type::<Value>() } else { slf.get_type() };
                return Ok((open, (class, arguments, this.settings.keywords(py)?)));
            }
        };
        Err(no_pickle(py, this.name(), why))
    }
}

type Reduced<'py> = (Bound<'py, PyAny>, (Bound<'py, PyType>, Bound<'py, PyTuple>, Bound<'py, PyDict>));

/// What a pickle calls.
#[pyfunction]
#[pyo3(name = "_open")]
pub(crate) fn reopen<'py>(
    class: &Bound<'py, PyType>,
    arguments: Bound<'py, PyTuple>,
    settings: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    if !class.is_subclass_of::<Handle>()? {
        return Err(PyTypeError::new_err("not a class of handles"));
    }
    class.getattr("open")?.call(arguments, Some(settings))
}
