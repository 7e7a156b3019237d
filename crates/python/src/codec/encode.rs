//! Python's objects to bytes that the schema allows.

use pyo3::exceptions::{PyKeyError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};
use robust_shm::dynamic::Primitive;

use super::{Codec, Enum, Node, Record, Shape};

impl Codec {
    /// Runs Python code: an object is asked what it is as a number, for its items or its attributes.
    ///
    /// # Panics
    ///
    /// If there are not as many bytes as the type has.
    #[inline]
    pub(crate) fn encode(&self, value: &Bound<'_, PyAny>, into: &mut [u8]) -> PyResult<()> {
        assert_eq!(into.len(), self.size);
        match &self.node {
            Node::Primitive(primitive) => number(*primitive, value, into),
            Node::Bytes => bytes(value, into),
            Node::Array(element, len) => element.encode_all(value, *len, into),
            Node::Struct(shape) => shape.encode(value, into),
            Node::Enum(of) => of.encode(value, into),
        }
    }

    /// Exactly `len` of them.
    fn encode_all(&self, items: &Bound<'_, PyAny>, len: usize, into: &mut [u8]) -> PyResult<()> {
        let mut at = 0;
        for item in items.try_iter()? {
            if at == len {
                return Err(PyValueError::new_err(format!("expected {len} items, found more")));
            }
            self.encode(&item?, &mut into[at * self.size..][..self.size])?;
            at += 1;
        }
        if at < len {
            return Err(PyValueError::new_err(format!("expected {len} items, found {at}")));
        }
        Ok(())
    }
}

fn put<const N: usize>(into: &mut [u8], bytes: [u8; N]) {
    into.copy_from_slice(&bytes);
}

#[inline]
fn number(primitive: Primitive, value: &Bound<'_, PyAny>, into: &mut [u8]) -> PyResult<()> {
    match primitive {
        Primitive::I64 => put(into, value.extract::<i64>()?.to_ne_bytes()),
        Primitive::F64 => put(into, value.extract::<f64>()?.to_ne_bytes()),
        Primitive::F32 => put(into, single(value.extract()?)?.to_ne_bytes()),
        Primitive::U8 => put(into, [value.extract::<u8>()?]),
        Primitive::U16 => put(into, value.extract::<u16>()?.to_ne_bytes()),
        Primitive::U32 => put(into, value.extract::<u32>()?.to_ne_bytes()),
        Primitive::U64 => put(into, value.extract::<u64>()?.to_ne_bytes()),
        Primitive::U128 => put(into, value.extract::<u128>()?.to_ne_bytes()),
        Primitive::I8 => put(into, value.extract::<i8>()?.to_ne_bytes()),
        Primitive::I16 => put(into, value.extract::<i16>()?.to_ne_bytes()),
        Primitive::I32 => put(into, value.extract::<i32>()?.to_ne_bytes()),
        Primitive::I128 => put(into, value.extract::<i128>()?.to_ne_bytes()),
        Primitive::Bool => put(into, [u8::from(value.extract::<bool>()?)]),
        Primitive::Char => put(into, u32::from(value.extract::<char>()?).to_ne_bytes()),
        other => return Err(PyTypeError::new_err(format!("this version does not know {}", other.name()))),
    }
    Ok(())
}

/// As `struct.pack`, and unlike C: what is too large is no infinity.
fn single(number: f64) -> PyResult<f32> {
    let single = number as f32;
    if number.is_finite() && single.is_infinite() {
        return Err(PyOverflowError::new_err(format!("{number:e} is too large for f32")));
    }
    Ok(single)
}

/// Bytes, of which there may be fewer; zeros follow. Or numbers, exactly as many.
fn bytes(value: &Bound<'_, PyAny>, into: &mut [u8]) -> PyResult<()> {
    fn fill(from: &[u8], into: &mut [u8]) -> PyResult<()> {
        if from.len() > into.len() {
            return Err(PyValueError::new_err(format!("{} bytes at most, found {}", into.len(), from.len())));
        }
        let (front, rest) = into.split_at_mut(from.len());
        front.copy_from_slice(from);
        rest.fill(0);
        Ok(())
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return fill(bytes.as_bytes(), into);
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return fill(&bytes.to_vec(), into);
    }
    if value.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("expected bytes, found a str: encode it"));
    }
    // One by one: who says how many there are may say anything.
    Codec { size: 1, node: Node::Primitive(Primitive::U8) }.encode_all(value, into.len(), into)
}

impl Enum {
    fn encode(&self, value: &Bound<'_, PyAny>, into: &mut [u8]) -> PyResult<()> {
        let py = value.py();
        let number = match value.cast::<PyString>() {
            Ok(name) => self.variants.iter().find(|it| it.0.bind(py).as_any().eq(name).unwrap_or(false)).map(|it| it.1),
            Err(_) => {
                let number = value.extract::<i128>()?;
                self.variants.iter().find(|it| it.1 == number).map(|it| it.1)
            }
        };
        let Some(number) = number else {
            let names: Vec<String> = self.variants.iter().map(|it| format!("{} = {}", it.0, it.1)).collect();
            return Err(PyValueError::new_err(format!(
                "expected one of {}, found {}",
                names.join(", "),
                value.repr()?
            )));
        };
        // The parser has seen to it that it fits.
        let bytes = number.to_le_bytes();
        into.copy_from_slice(&bytes[..self.repr.size()]);
        if cfg!(target_endian = "big") {
            into.reverse();
        }
        Ok(())
    }
}

impl Shape {
    /// A record, a mapping, a tuple or list in the order of the fields, or anything with attributes or items of their names.
    /// Fields whose name begins with `_` may be missing in a mapping: they are zeros.
    pub(super) fn encode(&self, value: &Bound<'_, PyAny>, into: &mut [u8]) -> PyResult<()> {
        if let Ok(record) = value.cast::<Record>() {
            return self.encode_record(record, into);
        }
        if let Ok(fields) = value.cast::<PyDict>() {
            return self.encode_mapping(fields, into);
        }
        if value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyList>() {
            return self.encode_sequence(value, into);
        }
        for field in &self.fields {
            let name = field.name.bind(value.py());
            let item = value.getattr(name).or_else(|_| value.get_item(name)).map_err(|_| {
                PyTypeError::new_err(format!(
                    "expected {}, found {}, which has no {name}",
                    self.schema,
                    value.get_type()
                ))
            })?;
            field.codec.encode(&item, &mut into[field.offset..][..field.codec.size])?;
        }
        Ok(())
    }

    fn encode_record(&self, record: &Bound<'_, Record>, into: &mut [u8]) -> PyResult<()> {
        if !record.get().schema().agrees(&self.schema) {
            let found = record.get().schema();
            return Err(PyTypeError::new_err(format!("expected {}, found {found}", self.schema)));
        }
        self.encode_sequence(record.get().values(record.py()), into)
    }

    fn encode_sequence(&self, values: &Bound<'_, PyAny>, into: &mut [u8]) -> PyResult<()> {
        let len = values.len()?;
        if len != self.fields.len() {
            return Err(PyValueError::new_err(format!("expected {} fields, found {len}", self.fields.len())));
        }
        for (at, field) in self.fields.iter().enumerate() {
            field.codec.encode(&values.get_item(at)?, &mut into[field.offset..][..field.codec.size])?;
        }
        Ok(())
    }

    fn encode_mapping(&self, values: &Bound<'_, PyDict>, into: &mut [u8]) -> PyResult<()> {
        for name in values.keys() {
            if !self.fields.iter().any(|field| field.name.bind(values.py()).as_any().eq(&name).unwrap_or(false)) {
                return Err(PyKeyError::new_err(format!("{name} is no field of {}", self.schema)));
            }
        }
        for field in &self.fields {
            let name = field.name.bind(values.py());
            let bytes = &mut into[field.offset..][..field.codec.size];
            match values.get_item(name)? {
                Some(value) => field.codec.encode(&value, bytes)?,
                None if name.to_cow()?.starts_with('_') => bytes.fill(0),
                None => return Err(PyKeyError::new_err(format!("the field {name} of {}", self.schema))),
            }
        }
        Ok(())
    }
}
