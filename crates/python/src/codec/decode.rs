//! Bytes to Python's objects.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use robust_shm::dynamic::Primitive;

use super::{Codec, Enum, Node, Record, Shape};
use crate::errors;
use crate::scratch::room_for;

impl Codec {
    /// # Panics
    ///
    /// If there are not as many bytes as the type has.
    #[inline]
    pub(crate) fn decode<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        assert_eq!(bytes.len(), self.size);
        match &self.node {
            Node::Primitive(primitive) => number(py, *primitive, bytes),
            Node::Bytes => Ok(PyBytes::new(py, bytes).into_any()),
            Node::Array(element, len) => Ok(PyTuple::new(py, element.decode_all(py, *len, bytes)?)?.into_any()),
            Node::Struct(shape) => record(py, shape, bytes),
            Node::Enum(of) => of.decode(py, bytes),
        }
    }

    /// So many of them, which stand one behind the other. There may be more than bytes, if they have none.
    pub(crate) fn decode_all<'py>(
        &self,
        py: Python<'py>,
        len: usize,
        bytes: &[u8],
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut items = room_for(len)?;
        for i in 0..len {
            items.push(self.decode(py, &bytes[i * self.size..][..self.size])?);
        }
        Ok(items)
    }
}

pub(super) fn record<'py>(py: Python<'py>, shape: &std::sync::Arc<Shape>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let values: PyResult<Vec<_>> =
        shape.fields.iter().map(|field| field.codec.decode(py, &bytes[field.offset..][..field.codec.size])).collect();
    Record::bound(py, shape.clone(), &PyTuple::new(py, values?)?)
}

impl Enum {
    fn decode<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let number = integer(self.repr, bytes);
        match self.variants.iter().find(|variant| variant.1 == number) {
            Some((name, _)) => Ok(name.bind(py).clone().into_any()),
            None => Err(errors::invalid_value(py, &format!("{number} is none of the enum's numbers"))),
        }
    }
}

/// The first `N` bytes.
#[inline]
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("as many bytes as the type has")
}

#[inline]
fn number<'py>(py: Python<'py>, primitive: Primitive, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match primitive {
        Primitive::I64 => i64::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::F64 => f64::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::F32 => f32::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::U8 => bytes[0].into_bound_py_any(py),
        Primitive::U16 => u16::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::U32 => u32::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::U64 => u64::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::U128 => u128::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::I8 => i8::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::I16 => i16::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::I32 => i32::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::I128 => i128::from_ne_bytes(first(bytes)).into_bound_py_any(py),
        Primitive::Bool => match bytes[0] {
            0 => false.into_bound_py_any(py),
            1 => true.into_bound_py_any(py),
            other => Err(errors::invalid_value(py, &format!("{other} is no bool"))),
        },
        Primitive::Char => match char::from_u32(u32::from_ne_bytes(first(bytes))) {
            Some(char) => char.into_bound_py_any(py),
            None => Err(errors::invalid_value(py, "the number is no character")),
        },
        other => Err(errors::invalid_value(py, &format!("this version does not know {}", other.name()))),
    }
}

/// The number of an enum.
fn integer(repr: Primitive, bytes: &[u8]) -> i128 {
    match repr {
        Primitive::U8 => bytes[0].into(),
        Primitive::U16 => u16::from_ne_bytes(first(bytes)).into(),
        Primitive::U32 => u32::from_ne_bytes(first(bytes)).into(),
        Primitive::U64 => u64::from_ne_bytes(first(bytes)).into(),
        Primitive::I8 => i8::from_ne_bytes(first(bytes)).into(),
        Primitive::I16 => i16::from_ne_bytes(first(bytes)).into(),
        Primitive::I32 => i32::from_ne_bytes(first(bytes)).into(),
        Primitive::I64 => i64::from_ne_bytes(first(bytes)).into(),
        // Numbers of enums are `i128` in a schema, and as bits these are the same.
        _ => i128::from_ne_bytes(first(bytes)),
    }
}
