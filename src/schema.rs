//! [`Schema`]: the type of plain data, as a text.
//!
//! | file | what it does with a schema |
//! |---|---|
//! | `schema/parse.rs` | makes it of a text, which may be hostile |
//! | `schema/text.rs` | makes the text of it |
//! | `schema/difference.rs` | compares it with another one |
//! | `schema/bits.rs` | asks whether bytes are allowed, and shows them |

mod bits;
mod difference;
mod parse;
mod text;

pub use parse::SchemaError;

/// The longest text of a schema, in bytes.
pub(crate) const LONGEST_TEXT: usize = 4096;

/// How deep types may be nested in each other.
const DEEPEST: usize = 16;

/// The type of plain data: primitives, arrays, structs and enums without fields, as a text that every language can read.
///
/// ```text
/// type   = prim | array | struct | enum
/// prim   = u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 bool char     (usize and isize are written u64 and i64)
/// array  = "[" type ";" number "]"
/// struct = name? "{" name ":" type ("," name ":" type)* "}"
/// enum   = name? "(" integer-prim ")" "{" name "=" integer ("," name "=" integer)* "}"
/// name   = [A-Za-z_][A-Za-z0-9_]*
/// ```
///
/// Blanks may stand anywhere between these; none are written. Fields follow each other without a gap, because plain data
/// have none: so a field's offset is the sum of the sizes before it. At most 4,096 bytes, at most 16 types within each
/// other; no name twice in a struct or an enum, and no number twice.
///
/// # Examples
///
/// ```
/// use robust_shm::dynamic::Schema;
///
/// let point = Schema::parse("Point { x: f64, y: f64 }")?;
/// assert_eq!(point.to_string(), "Point{x:f64,y:f64}");
/// assert_eq!((point.size(), point.align()), (16, 8));
/// assert!(point.agrees(&Schema::parse("{x:f64,y:f64}")?)); // without a name: any
/// assert!(!point.agrees(&Schema::parse("Complex{x:f64,y:f64}")?));
/// assert_eq!(point.fields()[1].offset(), 8);
///
/// let error = Schema::parse("Point{x:f64,y:float}").unwrap_err();
/// assert_eq!(error.to_string(), "no schema: at byte 14, expected a type");
/// # Ok::<(), robust_shm::dynamic::SchemaError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Schema {
    node: Node,
    size: usize,
    align: usize,
    /// Are all bits allowed?
    any_bits: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Node {
    Primitive(Primitive),
    Array(Box<Schema>, usize),
    /// A name that is empty is none.
    Struct(String, Vec<Field>),
    Enum(String, Primitive, Vec<Variant>),
}

/// What a [`Schema`] is made of, one level deep.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Form<'a> {
    /// A number, a truth value or a character.
    Primitive(Primitive),
    /// So many of the same, one behind the other.
    Array {
        /// What they are.
        element: &'a Schema,
        /// How many.
        len: usize,
    },
    /// Fields, one behind the other.
    Struct {
        /// The type's name, if it has one.
        name: Option<&'a str>,
        /// At least one.
        fields: &'a [Field],
    },
    /// One of several numbers, which have names.
    Enum {
        /// The type's name, if it has one.
        name: Option<&'a str>,
        /// What the number is stored as.
        repr: Primitive,
        /// At least one.
        variants: &'a [Variant],
    },
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: String,
    schema: Schema,
    offset: usize,
}

impl Field {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Where it begins in the struct, in bytes.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }
}

/// A value that an enum can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    name: String,
    number: i128,
}

impl Variant {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number that stands for it.
    #[must_use]
    pub fn number(&self) -> i128 {
        self.number
    }
}

/// A type that has no parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // as Rust's
pub enum Primitive {
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    Bool,
    Char,
}

impl Primitive {
    /// Each with its name, and its size and alignment in bytes.
    const TABLE: [(Self, &'static str, usize); 14] = [
        (Self::U8, "u8", 1),
        (Self::U16, "u16", 2),
        (Self::U32, "u32", 4),
        (Self::U64, "u64", 8),
        (Self::U128, "u128", 16),
        (Self::I8, "i8", 1),
        (Self::I16, "i16", 2),
        (Self::I32, "i32", 4),
        (Self::I64, "i64", 8),
        (Self::I128, "i128", 16),
        (Self::F32, "f32", 4),
        (Self::F64, "f64", 8),
        (Self::Bool, "bool", 1),
        (Self::Char, "char", 4),
    ];

    fn named(name: &str) -> Option<Self> {
        let name = match name {
            "usize" => "u64",
            "isize" => "i64",
            name => name,
        };
        Self::TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// As Rust calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::TABLE[self as usize].1
    }

    /// In bytes; its alignment is the same.
    #[must_use]
    pub fn size(self) -> usize {
        Self::TABLE[self as usize].2
    }

    /// Has it a sign, if it is an integer?
    fn signed(self) -> Option<bool> {
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 | Self::U128 => Some(false),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 | Self::I128 => Some(true),
            Self::F32 | Self::F64 | Self::Bool | Self::Char => None,
        }
    }

    /// Is it an integer?
    #[must_use]
    pub fn is_integer(self) -> bool {
        self.signed().is_some()
    }

    /// Can an integer of this type be `number`?
    fn holds(self, number: i128) -> bool {
        let bits = 8 * self.size() as u32;
        match self.signed() {
            Some(true) => bits == 128 || (-1i128 << (bits - 1)..1i128 << (bits - 1)).contains(&number),
            Some(false) => number >= 0 && (bits == 128 || number < 1i128 << bits),
            None => false,
        }
    }
}

impl Schema {
    /// That of a type which needs no description, because its name says all: a primitive, or an array of such. The full
    /// name of another crate's type has a `::` in it, so that none can be taken for one.
    pub(crate) fn of_name<T>() -> Option<Self> {
        let schema = Self::parse(std::any::type_name::<T>()).ok()?;
        (schema.is_of_primitives() && schema.size == size_of::<T>() && schema.align == align_of::<T>())
            .then_some(schema)
    }

    fn is_of_primitives(&self) -> bool {
        match &self.node {
            Node::Primitive(_) => true,
            Node::Array(element, _) => element.is_of_primitives(),
            Node::Struct(..) | Node::Enum(..) => false,
        }
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The alignment of its largest primitive, in bytes.
    #[must_use]
    pub fn align(&self) -> usize {
        self.align
    }

    /// What it is made of.
    #[must_use]
    pub fn form(&self) -> Form<'_> {
        fn named(name: &str) -> Option<&str> {
            (!name.is_empty()).then_some(name)
        }
        match &self.node {
            Node::Primitive(primitive) => Form::Primitive(*primitive),
            Node::Array(element, len) => Form::Array { element, len: *len },
            Node::Struct(name, fields) => Form::Struct { name: named(name), fields },
            Node::Enum(name, repr, variants) => Form::Enum { name: named(name), repr: *repr, variants },
        }
    }

    /// The fields of a struct, in the order of their bytes; of anything else there are none.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match &self.node {
            Node::Struct(_, fields) => fields,
            _ => &[],
        }
    }

    /// Is every pattern of bits a value? Not with a `bool`, a `char` or an enum in it.
    #[must_use]
    pub fn allows_any_bits(&self) -> bool {
        self.any_bits
    }

    /// The text that is stored with data of this type.
    ///
    /// # Errors
    ///
    /// One that nobody could read: too long or too deep, or with a name that other languages cannot spell.
    pub(crate) fn stored(&self) -> Result<String, SchemaError> {
        let text = self.to_string();
        Self::parse(&text).map(|_| text)
    }

    fn primitive(primitive: Primitive) -> Self {
        let size = primitive.size();
        let any_bits = !matches!(primitive, Primitive::Bool | Primitive::Char);
        Self { node: Node::Primitive(primitive), size, align: size, any_bits }
    }

    /// `None`: no machine has so many bytes.
    fn array(element: Self, len: usize) -> Option<Self> {
        let size = element.size.checked_mul(len).filter(|size| isize::try_from(*size).is_ok())?;
        let (align, any_bits) = (element.align, element.any_bits || len == 0);
        Some(Self { node: Node::Array(Box::new(element), len), size, align, any_bits })
    }

    /// `None`: no machine has so many bytes.
    fn structure(name: String, parts: Vec<(String, Self)>) -> Option<Self> {
        let (mut size, mut align, mut any_bits) = (0usize, 1, true);
        let mut fields = Vec::with_capacity(parts.len());
        for (name, schema) in parts {
            let offset = size;
            size = size.checked_add(schema.size).filter(|size| isize::try_from(*size).is_ok())?;
            align = align.max(schema.align);
            any_bits &= schema.any_bits;
            fields.push(Field { name, schema, offset });
        }
        Some(Self { node: Node::Struct(name, fields), size, align, any_bits })
    }

    fn enumeration(name: String, repr: Primitive, variants: Vec<Variant>) -> Self {
        let size = repr.size();
        Self { node: Node::Enum(name, repr, variants), size, align: size, any_bits: false }
    }

    /// What [`describe!`](macro@crate::describe) builds arrays from.
    pub(crate) fn of_array(element: Self, len: usize) -> Self {
        Self::array(element, len).expect("a type of this program has a size")
    }

    /// What [`describe!`](macro@crate::describe) builds structs from.
    #[doc(hidden)]
    #[must_use]
    pub fn of_struct(name: &str, fields: &[(&str, Self)]) -> Self {
        let fields = fields.iter().map(|(name, schema)| (plain(name), schema.clone())).collect();
        Self::structure(plain(name), fields).expect("a type of this program has a size")
    }

    /// What [`describe!`](macro@crate::describe) builds enums from.
    ///
    /// # Panics
    ///
    /// When `repr` is no integer type.
    #[doc(hidden)]
    #[must_use]
    pub fn of_enum(name: &str, repr: &str, variants: &[(&str, i128)]) -> Self {
        let repr =
            Primitive::named(repr).filter(|repr| repr.is_integer()).expect("the enum is described by an integer type");
        let variants = variants.iter().map(|(name, number)| Variant { name: plain(name), number: *number }).collect();
        Self::enumeration(plain(name), repr, variants)
    }
}

/// A name that is a keyword of Rust's is none in other languages.
fn plain(name: &str) -> String {
    name.strip_prefix("r#").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_primitives_is_in_order() {
        for (at, (primitive, name, size)) in Primitive::TABLE.into_iter().enumerate() {
            assert_eq!((primitive as usize, primitive.name(), primitive.size()), (at, name, size));
        }
    }

    #[test]
    fn what_needs_no_description() {
        let text = |schema: Option<Schema>| schema.map(|schema| schema.to_string());
        assert_eq!(text(Schema::of_name::<[[u8; 4]; 2]>()).as_deref(), Some("[[u8;4];2]"));
        assert_eq!(text(Schema::of_name::<usize>()).as_deref(), Some("u64"));
        #[allow(non_camel_case_types, dead_code)]
        struct i64(u8);
        assert_eq!(Schema::of_name::<i64>(), None); // its full name has a path
        assert_eq!(Schema::of_name::<[i64; 4]>(), None);
        assert_eq!(Schema::of_name::<std::num::Wrapping<u8>>(), None);
        assert_eq!(Schema::of_name::<(u8, u8)>(), None);
        assert_eq!(Schema::of_name::<&u8>(), None);
    }

    #[test]
    fn which_numbers_an_integer_holds() {
        assert!(Primitive::U8.holds(255) && !Primitive::U8.holds(256) && !Primitive::U8.holds(-1));
        assert!(Primitive::I8.holds(-128) && Primitive::I8.holds(127) && !Primitive::I8.holds(128));
        assert!(Primitive::U64.holds(u64::MAX.into()) && !Primitive::U64.holds(1 << 64));
        assert!(Primitive::I128.holds(i128::MIN) && Primitive::U128.holds(i128::MAX) && !Primitive::U128.holds(-1));
        assert!(!Primitive::F64.holds(0) && !Primitive::Bool.holds(0));
    }

    #[test]
    fn what_nobody_could_read_is_not_stored() {
        let long = Schema::of_struct(&"a".repeat(LONGEST_TEXT), &[("b", Schema::primitive(Primitive::U8))]);
        assert_eq!(long.stored().unwrap_err().expected, "at most 4,096 bytes");
        let mut deep = Schema::primitive(Primitive::U8);
        for _ in 0..DEEPEST - 1 {
            deep = Schema::of_array(deep, 1);
        }
        assert!(deep.stored().is_ok());
        assert_eq!(Schema::of_array(deep, 1).stored().unwrap_err().expected, "at most 16 types within each other");
        let unspellable = Schema::of_struct("Größe", &[("b", Schema::primitive(Primitive::U8))]);
        assert_eq!(unspellable.stored().unwrap_err().expected, "a type");
        let keyword = Schema::of_struct("r#struct", &[("r#type", Schema::primitive(Primitive::U8))]);
        assert_eq!(keyword.stored().unwrap(), "struct{type:u8}");
    }
}
