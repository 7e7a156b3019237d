//! The text of a schema: the canonical one, without blanks.

use std::fmt;

use super::{Node, Schema};

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Primitive(primitive) => f.write_str(primitive.name()),
            Node::Array(element, len) => write!(f, "[{element};{len}]"),
            Node::Struct(name, fields) => {
                write!(f, "{name}{{")?;
                for (at, field) in fields.iter().enumerate() {
                    write!(f, "{}{}:{}", if at == 0 { "" } else { "," }, field.name, field.schema)?;
                }
                f.write_str("}")
            }
            Node::Enum(name, repr, variants) => {
                write!(f, "{name}({}){{", repr.name())?;
                for (at, variant) in variants.iter().enumerate() {
                    write!(f, "{}{}={}", if at == 0 { "" } else { "," }, variant.name, variant.number)?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Schema {
    /// What Rust calls the type; what has no name, the text.
    pub(crate) fn rust_name(&self) -> String {
        match &self.node {
            Node::Primitive(primitive) => primitive.name().to_owned(),
            Node::Array(element, len) => format!("[{}; {len}]", element.rust_name()),
            Node::Struct(name, _) | Node::Enum(name, ..) if !name.is_empty() => name.clone(),
            Node::Struct(..) | Node::Enum(..) => self.to_string(),
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({self})")
    }
}
