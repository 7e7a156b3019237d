//! Values as Python sees them, and their bytes.
//!
//! | file | |
//! |---|---|
//! | `codec/decode.rs` | bytes to Python's objects |
//! | `codec/encode.rs` | Python's objects to bytes that the schema allows |
//! | `codec/record.rs` | what a struct is in Python |

use std::sync::Arc;

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use robust_shm::dynamic::{Form, Primitive, Schema};

use crate::callback::call;
use crate::once::once;

mod decode;
mod encode;
mod record;

pub(crate) use record::{Record, make};

/// A schema, made ready for reading and writing.
pub(crate) struct Codec {
    size: usize,
    node: Node,
}

enum Node {
    Primitive(Primitive),
    /// An array of `u8`: Python's `bytes`. Also what has no schema.
    Bytes,
    Array(Box<Codec>, usize),
    Struct(Arc<Shape>),
    Enum(Enum),
}

/// A struct.
pub(crate) struct Shape {
    schema: Schema,
    fields: Vec<Field>,
}

struct Field {
    name: Py<PyString>,
    offset: usize,
    codec: Codec,
}

struct Enum {
    repr: Primitive,
    variants: Vec<(Py<PyString>, i128)>,
}

impl Codec {
    pub(crate) fn new(py: Python<'_>, schema: &Schema) -> Self {
        let node = match schema.form() {
            Form::Primitive(primitive) => Node::Primitive(primitive),
            Form::Array { element, .. } if matches!(element.form(), Form::Primitive(Primitive::U8)) => Node::Bytes,
            Form::Array { element, len } => Node::Array(Box::new(Self::new(py, element)), len),
            Form::Struct { .. } => Node::Struct(Arc::new(Shape::new(py, schema))),
            Form::Enum { repr, variants, .. } => {
                let named = |name| PyString::intern(py, name).unbind();
                let variants = variants.iter().map(|it| (named(it.name()), it.number())).collect();
                Node::Enum(Enum { repr, variants })
            }
            _ => Node::Bytes,
        };
        Self { size: schema.size(), node }
    }

    /// Of data that nobody has described.
    pub(crate) fn of_bytes(size: usize) -> Self {
        Self { size, node: Node::Bytes }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Of a number, what it is stored as.
    pub(crate) fn primitive(&self) -> Option<Primitive> {
        match self.node {
            Node::Primitive(primitive) => Some(primitive),
            _ => None,
        }
    }

    /// Of a struct.
    pub(crate) fn shape(&self) -> Option<&Arc<Shape>> {
        match &self.node {
            Node::Struct(shape) => Some(shape),
            _ => None,
        }
    }
}

impl Shape {
    fn new(py: Python<'_>, schema: &Schema) -> Self {
        let field = |field: &robust_shm::dynamic::Field| Field {
            name: PyString::intern(py, field.name()).unbind(),
            offset: field.offset(),
            codec: Codec::new(py, field.schema()),
        };
        Self { schema: schema.clone(), fields: schema.fields().iter().map(field).collect() }
    }

    /// Which field has the name?
    fn find(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> Option<&Field> {
        // Names of attributes are interned as a rule, and so are ours.
        let same = self.fields.iter().find(|field| field.name.is(name));
        same.or_else(|| self.fields.iter().find(|field| field.name.bind(py).as_any().eq(name).unwrap_or(false)))
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Py<PyString>> {
        self.fields.iter().map(|field| &field.name)
    }

    /// Where the bytes of a field are, and how they are written.
    pub(crate) fn place(&self, at: usize) -> (usize, &Codec) {
        (self.fields[at].offset, &self.fields[at].codec)
    }
}

/// What a schema is made of, for Python code: `("primitive", "f64")`, `("array", element, 3)`, `("struct", [("x", …)])`,
/// `("enum", "u8")`.
#[pyfunction]
#[pyo3(name = "_describe")]
pub(crate) fn describe<'py>(py: Python<'py>, schema: &str) -> PyResult<Bound<'py, PyAny>> {
    fn form<'py>(py: Python<'py>, schema: &Schema) -> PyResult<Bound<'py, PyAny>> {
        match schema.form() {
            Form::Primitive(primitive) => ("primitive", primitive.name()).into_bound_py_any(py),
            Form::Array { element, len } => ("array", form(py, element)?, len).into_bound_py_any(py),
            Form::Enum { repr, .. } => ("enum", repr.name()).into_bound_py_any(py),
            Form::Struct { fields, .. } => {
                let field =
                    |field: &robust_shm::dynamic::Field| Ok((field.name().to_owned(), form(py, field.schema())?));
                ("struct", fields.iter().map(field).collect::<PyResult<Vec<_>>>()?).into_bound_py_any(py)
            }
            _ => ("other",).into_bound_py_any(py),
        }
    }
    form(py, &parse(schema)?)
}

/// The schema of a text; `ValueError` if it is none.
pub(crate) fn parse(schema: &str) -> PyResult<Schema> {
    Schema::parse(schema).map_err(|error| PyValueError::new_err(format!("{schema:?} is {error}")))
}

/// The schema of a type in any of Python's words for one.
pub(crate) fn schema_of(kind: &Bound<'_, PyAny>) -> PyResult<Schema> {
    static TRANSLATE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = kind.py();
    let import = || Ok(py.import("robust_shm._types")?.getattr("schema_of")?.unbind());
    let translate = once(&TRANSLATE, py, import)?;
    parse(&call(translate.bind(py), (kind,))?.extract::<String>()?)
}
