//! What a segment says that it holds: kind, element size and alignment, length, a readable type name or tag, and of what
//! the type is made, if it says that.
//!
//! The name is a safety net and no proof: compiler versions may print a type differently, and two types may share a
//! name. Deployed programs state a `type_tag` instead, or describe their types.

use std::fmt;
use std::sync::Arc;

use crate::kind::{Body, Open, Shape};
use crate::schema::Schema;

mod description;
mod mismatch;

pub(crate) use description::Description;

/// The bytes that the header reserves for the type name.
pub(crate) const TYPE_NAME_LEN: usize = 128;

/// A type name or tag as the header stores it: at most [`TYPE_NAME_LEN`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeName {
    pub(crate) text: String,
    pub(crate) is_tag: bool,
}

impl TypeName {
    /// The name of `T` without module paths and lifetimes, so that `producer::Point` and `consumer::Point` agree.
    pub(crate) fn of<T>() -> Self {
        Self { text: fit(&strip_paths(std::any::type_name::<T>())), is_tag: false }
    }

    /// Of a type that is described so, as Rust calls it; what has no name is called by the description.
    pub(crate) fn of_schema(schema: &Schema) -> Self {
        Self { text: fit(&schema.rust_name()), is_tag: false }
    }

    pub(crate) fn tag(tag: &str) -> Self {
        Self { text: fit(tag), is_tag: true }
    }
}

/// What a program expects, or what a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) shape: Shape,
    pub(crate) type_name: TypeName,
    /// Of what the element is made. Behind a pointer: an identity is moved often.
    pub(crate) description: Option<Arc<Description>>,
}

impl Identity {
    /// As far as this program understands it.
    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.description.as_ref()?.schema.as_ref()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.type_name.text.escape_debug(); // whoever wrote it may have meant a terminal to obey it
        write!(f, "{}", self.shape.in_rust(&name))?;
        match self.shape.kind.body() {
            Body::Nothing => {}
            _ if self.shape.open == Open::Type => f.write_str(" of any type")?,
            _ => write!(f, " ({})", self.shape)?,
        }
        if self.type_name.is_tag {
            write!(f, " with type_tag \"{name}\"")?;
        }
        Ok(())
    }
}

/// Drops every `path::` in front of an identifier, and lifetimes.
fn strip_paths(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut word_start = 0; // where the identifier that is being copied begins in `out`
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("::") {
            // `a::b`: forget `a`. Behind `>` (`<A as B>::C`) there is no identifier to forget.
            out.truncate(word_start);
            rest = after;
        } else if c == '\'' {
            rest = rest[1..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            rest = rest.strip_prefix(", ").or_else(|| rest.strip_prefix(' ')).unwrap_or(rest);
            word_start = out.len();
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            if !(c.is_alphanumeric() || c == '_') {
                word_start = out.len();
            }
        }
    }
    // A lifetime that was the only argument leaves `<>`, one that was the last leaves `, >`.
    out.replace("<>", "").replace(", >", ">")
}

/// Shortens a text to what the header can store: a prefix and a hash of the whole.
fn fit(text: &str) -> String {
    if text.len() <= TYPE_NAME_LEN {
        return text.to_owned();
    }
    let mut keep = TYPE_NAME_LEN - "#0123456789abcdef".len();
    while !text.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}#{:016x}", &text[..keep], fnv1a(text.as_bytes()))
}

/// The 64-bit FNV-1a hash (Fowler, Noll, Vo; RFC 9923): stable across builds, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_paths_and_lifetimes_do_not_count() {
        for (full, short) in [
            ("i32", "i32"),
            ("producer::model::Point", "Point"),
            ("[producer::Point; 4]", "[Point; 4]"),
            ("a::Pair<b::c::Left, d::Right>", "Pair<Left, Right>"),
            ("a::Tagged<'static, b::T>", "Tagged<T>"),
            ("a::Phantom<'_>", "Phantom"),
            ("(a::B, c::D)", "(B, D)"),
            ("core::num::wrapping::Wrapping<u8>", "Wrapping<u8>"),
        ] {
            assert_eq!(strip_paths(full), short, "{full}");
        }
    }

    #[test]
    fn long_names_keep_a_prefix_and_differ_by_their_hash() {
        let (a, b) = (format!("{}a", "T".repeat(300)), format!("{}b", "T".repeat(300)));
        assert_eq!(fit(&a).len(), TYPE_NAME_LEN);
        assert_eq!(fit(&a[..TYPE_NAME_LEN]), a[..TYPE_NAME_LEN], "there is room for all of it");
        assert!(fit(&a).starts_with("TTTT"));
        assert_ne!(fit(&a), fit(&b));
        assert!(fit(&"ü".repeat(200)).len() <= TYPE_NAME_LEN);
    }

    #[test]
    fn fnv1a_gives_the_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
