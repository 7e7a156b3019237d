//! The fields of a struct as attributes of its value: for each schema there is a class of Python's, below `Value`, that has
//! a descriptor for each field.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use robust_shm::dynamic::DynValue;

use super::Value;
use crate::codec::Shape;
use crate::options::Settings;

/// The handle of a new value: an object of the class of its schema, if it is a struct.
pub(crate) fn make(py: Python<'_>, handle: DynValue, settings: &Settings) -> PyResult<Py<PyAny>> {
    let value = Value::of(py, handle);
    let Some(shape) = value.codec.shape().cloned() else {
        return Ok(Py::new(py, value.initializer(settings))?.into_any());
    };
    let opened = Opened(Mutex::new(Some((value, settings.to_reopen()))));
    Ok(class_of(py, &shape)?.call1((opened,))?.unbind())
}

/// What has been opened, on its way into an object of a class that only Python can make one of.
#[pyclass(frozen, module = "robust_shm._native")]
struct Opened(Mutex<Option<(Value, Settings)>>);

/// The base of these classes.
#[pyclass(frozen, subclass, extends = Value, module = "robust_shm._native")]
struct StructValue;

#[pymethods]
impl StructValue {
    #[new]
    fn new(opened: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        let opened = opened.cast::<Opened>().map_err(|_| PyTypeError::new_err("make it by robust_shm.Value"))?;
        let taken = opened.get().0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (value, settings) = taken.ok_or_else(|| PyTypeError::new_err("make it by robust_shm.Value"))?;
        Ok(value.initializer(&settings).add_subclass(Self))
    }
}

/// One for each schema, for as long as the interpreter runs.
fn class_of<'py>(py: Python<'py>, shape: &Arc<Shape>) -> PyResult<Bound<'py, PyAny>> {
    static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let classes = CLASSES.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    let schema = shape.schema().to_string();
    if let Some(class) = classes.get_item(&schema)? {
        return Ok(class);
    }
    let members = PyDict::new(py);
    members.set_item("__slots__", PyTuple::empty(py))?;
    members.set_item("__module__", "robust_shm")?;
    let base = py.get_type::<StructValue>();
    for (at, name) in shape.names().enumerate() {
        // What the class has already is that, but for what nobody calls on a value; `v.value` has all of them.
        let text = name.to_string();
        let is_free = !base.hasattr(name)? && !text.starts_with("__");
        if is_free || ["open", "create"].contains(&text.as_str()) {
            members.set_item(name, Field { shape: Arc::clone(shape), at })?;
        }
    }
    let class = py.get_type::<PyType>().call1(("Value", (base,), members))?;
    classes.set_item(schema, &class)?;
    Ok(class)
}

/// The descriptor of a field.
#[pyclass(frozen, module = "robust_shm._native")]
struct Field {
    shape: Arc<Shape>,
    at: usize,
}

#[pymethods]
impl Field {
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        value: &Bound<'py, PyAny>,
        _class: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if value.is_none() {
            return Ok(slf.clone().into_any()); // of the class itself
        }
        let (at, codec) = slf.get().shape.place(slf.get().at);
        value.cast::<Value>()?.get().with_bytes(|bytes| codec.decode(slf.py(), &bytes[at..][..codec.size()]))
    }

    fn __set__(&self, value: &Bound<'_, PyAny>, new: &Bound<'_, PyAny>) -> PyResult<()> {
        let (at, codec) = self.shape.place(self.at);
        value.cast::<Value>()?.get().assign_at(at, codec, new)
    }

    fn __delete__(&self, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyAttributeError::new_err("the fields of a struct stay"))
    }
}
