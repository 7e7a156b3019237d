//! What a value is created with.

use pyo3::prelude::*;
use robust_shm::dynamic::Schema;

use crate::codec::Codec;
use crate::errors::invalid_value;
use crate::scratch::zeros;

/// What a value begins with where nothing is said.
pub(super) fn initial(
    py: Python<'_>,
    name: &str,
    schema: &Schema,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<u8>> {
    let mut bytes = zeros(schema.size())?;
    match value {
        Some(value) => Codec::new(py, schema).encode(value, &mut bytes)?,
        None if !schema.allows(&bytes) => {
            let text = format!(
                "value in segment {name:?} cannot begin with zeros, which are no {schema}: state an initial one"
            );
            return Err(invalid_value(py, &text));
        }
        None => {}
    }
    Ok(bytes)
}
