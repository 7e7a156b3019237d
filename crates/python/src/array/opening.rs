//! Opening and creating arrays.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};
use robust_shm::Options;
use robust_shm::dynamic::{DynSlice, Schema};

use super::Array;
use crate::codec::{self, Codec};
use crate::errors;
use crate::options::{Has, Settings};
use crate::scratch::zeros;

/// What an array is created with.
struct Contents {
    schema: Schema,
    len: usize,
    /// `None`: zeros.
    elements: Option<Vec<u8>>,
}

impl Contents {
    fn new(kind: &Bound<'_, PyAny>, size_or_elements: &Bound<'_, PyAny>) -> PyResult<Self> {
        let schema = codec::schema_of(kind)?;
        match size_or_elements.extract::<usize>() {
            Ok(len) => return Ok(Self { schema, len, elements: None }),
            Err(error) if size_or_elements.is_instance_of::<PyInt>() => return Err(error),
            Err(_) => {}
        }
        let elements: Vec<Bound<'_, PyAny>> = size_or_elements.try_iter()?.collect::<PyResult<_>>()?;
        let codec = Codec::new(kind.py(), &schema);
        let mut bytes = zeros(elements.len().saturating_mul(codec.size()))?;
        for (at, element) in elements.iter().enumerate() {
            codec.encode(element, &mut bytes[at * codec.size()..][..codec.size()])?;
        }
        Ok(Self { schema, len: elements.len(), elements: Some(bytes) })
    }
}

fn options(settings: &Settings) -> Options<DynSlice> {
    let options = settings.common(DynSlice::options());
    let options = settings.poison().into_iter().fold(options, Options::<DynSlice>::poison);
    settings.readers().into_iter().fold(options, Options::<DynSlice>::readers)
}

pub(super) fn open_or_create(
    name: &str,
    kind: &Bound<'_, PyAny>,
    size_or_elements: &Bound<'_, PyAny>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<PyClassInitializer<Array>> {
    let (py, settings) = (kind.py(), Settings::new(keywords, Has::PoisonAndReaders)?);
    let Contents { schema, len, elements } = Contents::new(kind, size_or_elements)?;
    let handle = match elements {
        Some(elements) => options(&settings).open_or_create_from(name, &schema, &elements),
        None => options(&settings).open_or_create(name, &schema, len),
    };
    Ok(Array::of(py, handle.map_err(|error| errors::opening(py, error))?, &settings))
}

pub(super) fn create(
    name: &str,
    kind: &Bound<'_, PyAny>,
    size_or_elements: &Bound<'_, PyAny>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<PyClassInitializer<Array>> {
    let (py, settings) = (kind.py(), Settings::new(keywords, Has::PoisonAndReaders)?);
    let Contents { schema, len, elements } = Contents::new(kind, size_or_elements)?;
    let handle = match elements {
        Some(elements) => options(&settings).create_from(name, &schema, &elements),
        None => options(&settings).create(name, &schema, len),
    };
    Ok(Array::of(py, handle.map_err(|error| errors::opening(py, error))?, &settings))
}

pub(super) fn open(
    py: Python<'_>,
    name: &str,
    kind: Option<&Bound<'_, PyAny>>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<PyClassInitializer<Array>> {
    let settings = Settings::new(keywords, Has::PoisonAndReaders)?;
    let handle = match kind {
        Some(kind) => options(&settings).open_as(name, &codec::schema_of(kind)?),
        None => options(&settings).open(name),
    };
    Ok(Array::of(py, handle.map_err(|error| errors::opening(py, error))?, &settings))
}
