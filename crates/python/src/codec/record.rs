//! What a struct is in Python.

use std::fmt::Write;
use std::sync::Arc;

use pyo3::exceptions::{PyAttributeError, PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use robust_shm::dynamic::Schema;

use super::{Codec, Shape};
use crate::scratch::zeros;

/// A struct's value: a copy, whose fields are attributes, and which does not change.
#[pyclass(frozen, module = "robust_shm", name = "Record")]
pub(crate) struct Record {
    shape: Arc<Shape>,
    values: Py<PyTuple>,
}

impl Record {
    pub(super) fn bound<'py>(
        py: Python<'py>,
        shape: Arc<Shape>,
        values: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(Bound::new(py, Self { shape, values: values.clone().unbind() })?.into_any())
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.shape.schema
    }

    pub(super) fn values<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.values.bind(py).as_any()
    }

    fn at(&self, name: &Bound<'_, PyString>) -> Option<usize> {
        let field = self.shape.find(name.py(), name)?;
        self.shape.fields.iter().position(|it| std::ptr::eq(it, field))
    }

    /// Through the bytes, so that each value is what it would be when read.
    fn of<'py>(shape: &Arc<Shape>, values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let mut bytes = zeros(shape.schema.size())?;
        shape.encode(values, &mut bytes)?;
        super::decode::record(values.py(), shape, &bytes)
    }
}

/// What a pickle keeps: what to call, with the schema and the values.
type Reduced<'py> = (Bound<'py, PyAny>, (String, Py<PyTuple>));

/// A record of the schema, of a mapping or of values in the order of the fields.
#[pyfunction]
#[pyo3(name = "_record")]
pub(crate) fn make<'py>(schema: &str, values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let schema = super::parse(schema)?;
    match Codec::new(values.py(), &schema).shape() {
        Some(shape) => Record::of(shape, values),
        None => Err(PyTypeError::new_err(format!("{schema} is no struct"))),
    }
}

#[pymethods]
impl Record {
    /// The type, as a text.
    #[getter(_schema)]
    fn schema_text(&self) -> String {
        self.shape.schema.to_string()
    }

    fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        match self.at(name) {
            Some(at) => self.values.bind(name.py()).get_item(at),
            None => Err(PyAttributeError::new_err(format!("{name} is no field of {}", self.shape.schema))),
        }
    }

    fn __setattr__(&self, name: &Bound<'_, PyString>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyAttributeError::new_err(format!(
            "a record is a copy: inside `with v:`, assign `v.{name}`, or `v.value = record._replace({name}=..)`"
        )))
    }

    fn __getitem__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        match self.at(name) {
            Some(at) => self.values.bind(name.py()).get_item(at),
            None => Err(PyKeyError::new_err(name.clone().unbind())),
        }
    }

    fn __dir__(&self, py: Python<'_>) -> Vec<Py<PyString>> {
        let own = ["_asdict", "_replace", "_schema"].map(|name| PyString::intern(py, name).unbind());
        self.shape.fields.iter().map(|field| field.name.clone_ref(py)).chain(own).collect()
    }

    /// The fields and their values.
    fn _asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (field, value) in self.shape.fields.iter().zip(self.values.bind(py)) {
            dict.set_item(&field.name, value)?;
        }
        Ok(dict)
    }

    /// Another record, in which some fields have other values.
    #[pyo3(signature = (**fields))]
    fn _replace<'py>(&self, py: Python<'py>, fields: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        let all = self._asdict(py)?;
        if let Some(fields) = fields {
            all.update(fields.as_mapping())?;
        }
        Self::of(&self.shape, &all)
    }

    #[pyo3(signature = (**fields))]
    fn __replace__<'py>(&self, py: Python<'py>, fields: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        self._replace(py, fields)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Self>() {
            Ok(other) => {
                Ok(self.schema().agrees(other.get().schema()) && self.values.bind(py).eq(&other.get().values)?)
            }
            Err(_) => Ok(false),
        }
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.values.bind(py).hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let schema = self.shape.schema.to_string();
        let name = schema.split('{').next().filter(|name| !name.is_empty()).unwrap_or("Record");
        let mut text = format!("{name}(");
        for (at, (field, value)) in self.shape.fields.iter().zip(self.values.bind(py)).enumerate() {
            let between = if at == 0 { "" } else { ", " };
            let _ = write!(text, "{between}{}={}", field.name, value.repr()?);
        }
        text.push(')');
        Ok(text)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let make = py.import("robust_shm._native")?.getattr("_record")?;
        Ok((make, (self.schema_text(), self.values.clone_ref(py))))
    }
}
