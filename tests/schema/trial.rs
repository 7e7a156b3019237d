//! What holds of every text and all bytes: also a fuzz target's (tests/fuzz/targets/schema.rs).

use robust_shm::dynamic::{Form, Schema};

/// A text that anybody may have written, and bytes that are to be read by it.
pub(crate) fn holds(text: &str, bytes: &[u8]) {
    let schema = match Schema::parse(text) {
        Ok(schema) => schema,
        Err(error) => {
            assert!(error.at <= text.len() && text.is_char_boundary(error.at), "{error} in {text:?}");
            return;
        }
    };
    // The canonical text is the schema's, however it came to be; and none is longer than what was read.
    let canonical = schema.to_string();
    assert!(canonical.len() <= 4096 && canonical.bytes().all(|byte| byte.is_ascii_graphic()), "{canonical:?}");
    let again = Schema::parse(&canonical).unwrap();
    assert_eq!(again, schema);
    assert!(schema.agrees(&again) && again.to_string() == canonical);
    parts_fit(&schema);

    // Any bytes can be asked about, and shown.
    assert_eq!(schema.allows(bytes), schema.size() == bytes.len() && reads(&schema, bytes));
    let shown = schema.show(bytes).to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    if schema.size() == bytes.len() {
        assert_eq!(shown.contains("<impossible "), !schema.allows(bytes), "{canonical}: {shown}");
    }
}

/// Sizes and offsets are the sums of those of the parts.
fn parts_fit(schema: &Schema) {
    match schema.form() {
        Form::Array { element, len } => {
            assert_eq!((schema.size(), schema.align()), (element.size() * len, element.align()));
            parts_fit(element);
        }
        Form::Struct { fields, .. } => {
            let end = fields.iter().fold(0, |at, field| {
                assert_eq!(field.offset(), at);
                parts_fit(field.schema());
                at + field.schema().size()
            });
            assert_eq!(schema.size(), end);
            assert_eq!(schema.align(), fields.iter().map(|field| field.schema().align()).max().unwrap());
        }
        Form::Enum { repr, .. } | Form::Primitive(repr) => assert_eq!(schema.size(), repr.size()),
        _ => unreachable!("a form that this test does not know"),
    }
}

/// Could Rust read that? Written without a look at how the library does it.
fn reads(schema: &Schema, bytes: &[u8]) -> bool {
    match schema.form() {
        Form::Array { element, len } => (0..if element.size() == 0 { 0 } else { len }).all(|at| {
            let from = at * element.size();
            reads(element, &bytes[from..from + element.size()])
        }),
        Form::Struct { fields, .. } => fields.iter().all(|field| {
            let from = field.offset();
            reads(field.schema(), &bytes[from..from + field.schema().size()])
        }),
        Form::Enum { repr, variants, .. } => {
            let number = variants.iter().map(|variant| variant.number().to_le_bytes());
            number.into_iter().any(|number| number[..repr.size()] == *bytes)
        }
        Form::Primitive(primitive) => match primitive.name() {
            "bool" => bytes == [0] || bytes == [1],
            "char" => char::from_u32(u32::from_le_bytes(bytes.try_into().unwrap())).is_some(),
            _ => true,
        },
        _ => unreachable!("a form that this test does not know"),
    }
}
