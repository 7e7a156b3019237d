//! Bytes, read by a schema.

use std::fmt;

use super::{Node, Primitive, Schema};

impl Schema {
    /// Could a Rust program whose type this is read these bytes? A `bool` must be 0 or 1, a `char` a Unicode scalar value,
    /// an enum one of its numbers. Of another length than [`size`](Self::size), none are allowed.
    ///
    /// Whoever writes without the compiler's help asks this before.
    #[must_use]
    #[inline]
    pub fn allows(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.size && (self.any_bits || self.allows_sized(bytes))
    }

    /// `bytes` are as many as the size.
    fn allows_sized(&self, bytes: &[u8]) -> bool {
        if self.any_bits {
            return true;
        }
        match &self.node {
            Node::Primitive(primitive) => match primitive {
                Primitive::Bool => bytes[0] < 2,
                Primitive::Char => {
                    u32::try_from(integer(*primitive, bytes)).is_ok_and(|code| char::from_u32(code).is_some())
                }
                _ => true,
            },
            Node::Array(element, _) => bytes.chunks_exact(element.size).all(|chunk| element.allows_sized(chunk)),
            Node::Struct(_, fields) => fields.iter().all(|field| field.schema.allows_sized(field.of(bytes))),
            Node::Enum(_, repr, variants) => {
                let number = integer(*repr, bytes);
                variants.iter().any(|variant| variant.number == number)
            }
        }
    }

    /// The bytes as Rust's `Debug` would write a value of the type, in one line. What is not [allowed](Self::allows) is shown
    /// as `<impossible …>`, and bytes of another length as how many they are.
    pub fn show<'a>(&'a self, bytes: &'a [u8]) -> impl fmt::Display + 'a {
        Shown(self, bytes)
    }
}

impl super::Field {
    /// Its bytes, among the struct's.
    fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.offset..][..self.schema.size]
    }
}

struct Shown<'a>(&'a Schema, &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(schema, bytes) = self;
        if bytes.len() == schema.size {
            schema.write(bytes, f)
        } else {
            write!(f, "<{} bytes, not {}>", bytes.len(), schema.size)
        }
    }
}

impl Schema {
    /// `bytes` are as many as the size.
    fn write(&self, bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Primitive(primitive) => write_primitive(*primitive, bytes, f),
            Node::Array(element, len) => {
                f.write_str("[")?;
                // Of elements without bytes there may be any number: one stands for all.
                for at in 0..if element.size == 0 { (*len).min(1) } else { *len } {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    element.write(&bytes[at * element.size..][..element.size], f)?;
                }
                f.write_str("]")
            }
            Node::Struct(name, fields) => {
                write!(f, "{name}{}{{ ", if name.is_empty() { "" } else { " " })?;
                for (at, field) in fields.iter().enumerate() {
                    write!(f, "{}{}: ", if at == 0 { "" } else { ", " }, field.name)?;
                    field.schema.write(field.of(bytes), f)?;
                }
                f.write_str(" }")
            }
            Node::Enum(_, repr, variants) => {
                let number = integer(*repr, bytes);
                match variants.iter().find(|variant| variant.number == number) {
                    Some(variant) => f.write_str(&variant.name),
                    None => write!(f, "<impossible {number}>"),
                }
            }
        }
    }
}

fn write_primitive(primitive: Primitive, bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = integer(primitive, bytes);
    match primitive {
        Primitive::F32 => write!(f, "{:?}", f32::from_bits(number as u32)),
        Primitive::F64 => write!(f, "{:?}", f64::from_bits(number as u64)),
        Primitive::Bool if bytes[0] < 2 => write!(f, "{}", bytes[0] == 1),
        Primitive::Char => match u32::try_from(number).ok().and_then(char::from_u32) {
            Some(c) => write!(f, "{c:?}"),
            None => write!(f, "<impossible {number}>"),
        },
        Primitive::Bool => write!(f, "<impossible {number}>"),
        Primitive::U128 => write!(f, "{}", number as u128),
        _ => write!(f, "{number}"),
    }
}

/// The bytes of a primitive as an integer. There are no big-endian targets.
fn integer(primitive: Primitive, bytes: &[u8]) -> i128 {
    let negative = primitive.signed() == Some(true) && bytes.last().is_some_and(|byte| *byte > 127);
    let mut wide = [if negative { 255 } else { 0 }; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    i128::from_le_bytes(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        Schema::parse(text).unwrap()
    }

    #[test]
    fn shown_as_rust_shows_it() {
        for (text, bytes, shown) in [
            ("i16", &(-3i16).to_le_bytes()[..], format!("{:?}", -3i16)),
            ("u128", &u128::MAX.to_le_bytes(), format!("{:?}", u128::MAX)),
            ("i128", &i128::MIN.to_le_bytes(), format!("{:?}", i128::MIN)),
            ("f32", &1.5f32.to_le_bytes(), format!("{:?}", 1.5f32)),
            ("f64", &1e300f64.to_le_bytes(), format!("{:?}", 1e300)),
            ("f64", &f64::NAN.to_le_bytes(), format!("{:?}", f64::NAN)),
            ("char", &u32::from('\u{1b}').to_le_bytes(), format!("{:?}", '\u{1b}')),
            ("char", &0xD800u32.to_le_bytes(), "<impossible 55296>".to_owned()),
            ("bool", &[7], "<impossible 7>".to_owned()),
            ("[[u8;2];2]", &[1, 2, 3, 4], format!("{:?}", [[1, 2], [3, 4]])),
            ("[[u8;0];9999999999]", &[], "[[]]".to_owned()),
            ("P{x:u8,on:bool}", &[1, 1], "P { x: 1, on: true }".to_owned()),
            ("{x:u8}", &[1], "{ x: 1 }".to_owned()),
            ("(i8){Low=-128}", &[128], "Low".to_owned()),
            ("(u8){Low=1}", &[2], "<impossible 2>".to_owned()),
            ("u32", &[1, 2], "<2 bytes, not 4>".to_owned()),
        ] {
            assert_eq!(schema(text).show(bytes).to_string(), shown);
        }
    }

    #[test]
    fn what_rust_could_not_read_is_not_allowed() {
        let crossing = schema("{cars:[u16;2],light:(u8){Red=0,Green=6},open:[bool;2],_pad:u8,sign:char}");
        let mut bytes = [9, 9, 9, 9, 6, 0, 1, 255, b'x', 0, 0, 0];
        assert!(crossing.allows(&bytes) && !crossing.allows_any_bits());
        for (at, wrong) in [(4, 1), (5, 2), (6, 255), (10, 0x11)] {
            let right = std::mem::replace(&mut bytes[at], wrong);
            assert!(!crossing.allows(&bytes), "{at}");
            bytes[at] = right;
        }
        for len in [0, 1, 11] {
            assert!(!crossing.allows(&bytes[..len]) && !schema("[u8;12]").allows(&bytes[..len]));
        }
        assert!(schema("[u8;12]").allows(&bytes) && schema("[u8;12]").allows_any_bits());
        assert!(schema("[bool;0]").allows(&[]) && schema("[{a:[bool;0]};3]").allows(&[]));
    }
}
