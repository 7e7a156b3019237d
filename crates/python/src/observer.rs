//! Looking at a segment without being one of its users.

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use robust_shm::dynamic::{self, AnyObserver, DynValueObserver, Schema};

use crate::codec::Codec;
use crate::errors::opening;
use crate::scratch::scratch;
use crate::segments::SegmentInfo;

/// Looks at the value, event or semaphore of that name. It cannot write, does not keep the segment, and needs only the
/// permission to read.
#[pyfunction]
pub(crate) fn observe(py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
    Ok(match dynamic::observe(name).map_err(|error| opening(py, error))? {
        AnyObserver::Value(it) => {
            let codec = it.schema().map_or_else(|| Codec::of_bytes(it.size()), |schema| Codec::new(py, schema));
            Py::new(py, ValueObserver { it, codec })?.into_any()
        }
        AnyObserver::Event(it) => Py::new(py, EventObserver { it })?.into_any(),
        AnyObserver::Semaphore(it) => Py::new(py, SemaphoreObserver { it })?.into_any(),
        _ => {
            let text = format!("segment {name:?} cannot be observed: only values, events and semaphores can");
            return Err(PyNotImplementedError::new_err(text));
        }
    })
}

/// A value that cannot be written.
#[pyclass(frozen, module = "robust_shm")]
pub(crate) struct ValueObserver {
    it: DynValueObserver,
    codec: Codec,
}

#[pymethods]
impl ValueObserver {
    #[getter]
    fn name(&self) -> &str {
        self.it.name()
    }

    #[getter]
    fn schema(&self) -> Option<String> {
        self.it.schema().map(Schema::to_string)
    }

    /// The last commit.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py)
    }

    /// The last commit.
    fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        scratch(self.codec.size(), |bytes| {
            self.it.get(bytes);
            self.codec.decode(py, bytes)
        })
    }

    /// How many commits there have been.
    #[getter]
    fn commits(&self) -> u64 {
        self.it.commits()
    }

    /// Is the segment removed?
    #[getter]
    fn is_removed(&self) -> bool {
        self.it.is_removed()
    }

    fn info(&self, py: Python<'_>) -> PyResult<SegmentInfo> {
        self.it.info().map(SegmentInfo::new).map_err(|error| opening(py, error))
    }
}

/// An event that cannot be set.
#[pyclass(frozen, module = "robust_shm")]
pub(crate) struct EventObserver {
    it: robust_shm::EventObserver,
}

#[pymethods]
impl EventObserver {
    #[getter]
    fn name(&self) -> &str {
        self.it.name()
    }

    /// Has it happened?
    fn is_set(&self) -> bool {
        self.it.is_set()
    }

    /// Is the segment removed?
    #[getter]
    fn is_removed(&self) -> bool {
        self.it.is_removed()
    }

    fn info(&self, py: Python<'_>) -> PyResult<SegmentInfo> {
        self.it.info().map(SegmentInfo::new).map_err(|error| opening(py, error))
    }
}

/// A semaphore whose permits cannot be had.
#[pyclass(frozen, module = "robust_shm")]
pub(crate) struct SemaphoreObserver {
    it: robust_shm::SemaphoreObserver,
}

#[pymethods]
impl SemaphoreObserver {
    #[getter]
    fn name(&self) -> &str {
        self.it.name()
    }

    /// How many there are.
    #[getter]
    fn permits(&self) -> usize {
        self.it.permits()
    }

    /// How many are free at this moment.
    #[getter]
    fn available(&self) -> usize {
        self.it.available()
    }

    /// Is the segment removed?
    #[getter]
    fn is_removed(&self) -> bool {
        self.it.is_removed()
    }

    fn info(&self, py: Python<'_>) -> PyResult<SegmentInfo> {
        self.it.info().map(SegmentInfo::new).map_err(|error| opening(py, error))
    }
}
