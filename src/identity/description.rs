//! The text that says of what elements are made: the last bytes of a segment.

use crate::error::Error;
use crate::kind::{Body, Shape};
use crate::name::Name;
use crate::schema::Schema;

/// A text that describes the element, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) text: String,
    /// `None`: this version does not understand the text. It is shown, and not used.
    pub(crate) schema: Option<Schema>,
}

impl Description {
    /// What a program says of the elements of a segment that has this shape.
    pub(crate) fn of(name: &Name, shape: &Shape, schema: Schema) -> Result<Self, Error> {
        let refused = |expected: String, found: String| Error::InvalidArgument {
            name: name.shared(),
            what: "the schema of the element",
            expected,
            found,
        };
        if schema.size() as u64 != shape.elem_size {
            let found = format!("one of {} bytes, {},", schema.size(), shortened(&schema));
            return Err(refused(format!("one of {} bytes", shape.elem_size), found));
        }
        if !is_possible(shape, &schema) {
            let expected = "one without bool, char and enums, because elements are used in place, where any bits may come to stand (u8 and u32 can be described)";
            return Err(refused(expected.to_owned(), shortened(&schema)));
        }
        match schema.stored() {
            Ok(text) => Ok(Self { text, schema: Some(schema) }),
            Err(error) => Err(refused(error.expected.to_owned(), shortened(&schema))),
        }
    }

    /// What stands in the file of a segment that says of itself that it has this shape, or what is wrong with that.
    pub(crate) fn found(bytes: &[u8], shape: &Shape) -> Result<Option<Self>, String> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()) else {
            return Err("a schema that is not ASCII".to_owned());
        };
        let schema = Schema::parse(text).ok();
        if let Some(schema) = &schema {
            if schema.size() as u64 != shape.elem_size {
                return Err(format!("a schema of {} bytes for elements of {}", schema.size(), shape.elem_size));
            }
            if !is_possible(shape, schema) {
                return Err(format!("the schema {} of elements where any bits may come to stand", shortened(schema)));
            }
        }
        Ok(Some(Self { text: text.to_owned(), schema }))
    }
}

/// For a message.
fn shortened(schema: &Schema) -> String {
    const LONGEST: usize = 120;
    let text = schema.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Elements in place are plain data of any bits.
fn is_possible(shape: &Shape, schema: &Schema) -> bool {
    shape.kind.body() != Body::Elements || schema.allows_any_bits()
}
