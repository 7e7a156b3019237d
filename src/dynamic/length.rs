//! What the faces here have in common: a length that must fit, and how bytes are shown.

use std::fmt;

use crate::schema::Schema;

#[track_caller]
#[inline]
pub(super) fn check_length(found: usize, expected: usize) {
    assert!(found == expected, "{expected} bytes are needed, got {found}");
}

/// Bytes of a value or an element, as `Debug` shows them.
pub(super) struct Shown<'a> {
    pub(super) schema: Option<&'a Schema>,
    pub(super) bytes: &'a [u8],
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schema {
            Some(schema) => write!(f, "{}", schema.show(self.bytes)),
            None => write!(f, "<{} bytes>", self.bytes.len()),
        }
    }
}
