//! Values of a schema, as JSON and as words of a command line.

use robust_shm::dynamic::{Field, Form, Primitive, Schema, Variant};
use serde_json::{Map, Number, Value};

/// The value that these bytes are, of which there are as many as the schema says. What no Rust program could read is a text
/// that says so. `text`: bytes are texts.
pub(crate) fn of_bytes(schema: &Schema, bytes: &[u8], text: bool) -> Value {
    match schema.form() {
        Form::Primitive(primitive) => {
            of_primitive(primitive, bytes).unwrap_or_else(|| schema.show(bytes).to_string().into())
        }
        Form::Array { element, .. } if text && is_byte(element) => text_of(bytes).into(),
        Form::Array { element, len } => {
            // Of elements without bytes there may be any number: one stands for all.
            let shown = if element.size() == 0 { len.min(1) } else { len };
            (0..shown).map(|at| of_bytes(element, &bytes[at * element.size()..][..element.size()], text)).collect()
        }
        Form::Struct { fields, .. } => {
            let value = |field: &Field| of_bytes(field.schema(), bytes_of(field, bytes), text);
            fields.iter().map(|field| (field.name().to_owned(), value(field))).collect::<Map<_, _>>().into()
        }
        _ => schema.show(bytes).to_string().into(), // an enum: its name
    }
}

/// Texts in arrays of bytes end at the last byte that is not 0.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

pub(crate) fn is_byte(schema: &Schema) -> bool {
    matches!(schema.form(), Form::Primitive(Primitive::U8))
}

fn bytes_of<'a>(field: &Field, bytes: &'a [u8]) -> &'a [u8] {
    &bytes[field.offset()..][..field.schema().size()]
}

/// `None`: no value of the type.
fn of_primitive(primitive: Primitive, bytes: &[u8]) -> Option<Value> {
    Some(match primitive {
        Primitive::F32 => {
            let number = f32::from_le_bytes(bytes.try_into().ok()?);
            // By way of its shortest text: 0.1 is 0.1, and not what is nearest to it in 64 bits.
            of_float(number.to_string().parse().unwrap_or(number.into()))
        }
        Primitive::F64 => of_float(f64::from_le_bytes(bytes.try_into().ok()?)),
        Primitive::Bool => match bytes[0] {
            0 => false.into(),
            1 => true.into(),
            _ => return None,
        },
        Primitive::Char => char::from_u32(u32::from_le_bytes(bytes.try_into().ok()?))?.to_string().into(),
        Primitive::U64 => u64::from_le_bytes(bytes.try_into().ok()?).into(),
        Primitive::U128 => u128::from_le_bytes(bytes.try_into().ok()?).to_string().into(),
        Primitive::I128 => integer(primitive, bytes).to_string().into(),
        _ => i64::try_from(integer(primitive, bytes)).ok()?.into(),
    })
}

/// JSON has no word for what is no number.
fn of_float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| Value::from(number.to_string()), Value::Number)
}

/// The bytes of an integer, with its sign.
pub(crate) fn integer(primitive: Primitive, bytes: &[u8]) -> i128 {
    let negative = is_signed(primitive) && bytes.last().is_some_and(|byte| *byte > 127);
    let mut wide = [if negative { 255 } else { 0 }; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    i128::from_le_bytes(wide)
}

fn is_signed(primitive: Primitive) -> bool {
    primitive.name().starts_with('i')
}

/// The bytes for a word of the command line: a number, `true`, a character, a name of an enum; a text for bytes; else JSON.
pub(crate) fn bytes_of_word(schema: &Schema, word: &str) -> Result<Vec<u8>, String> {
    match schema.form() {
        Form::Primitive(Primitive::Bool) => match word {
            "true" | "1" => Ok(vec![1]),
            "false" | "0" => Ok(vec![0]),
            _ => Err(expected(schema, word)),
        },
        Form::Primitive(_) | Form::Enum { .. } => bytes_of_json(schema, &Value::from(word)),
        Form::Array { element, .. } if is_byte(element) => {
            let array = serde_json::from_str(word).ok().filter(Value::is_array);
            bytes_of_json(schema, &array.unwrap_or_else(|| word.into()))
        }
        _ => {
            let value = serde_json::from_str(word).map_err(|error| format!("expected JSON for {schema}, {error}"))?;
            bytes_of_json(schema, &value)
        }
    }
}

/// The bytes for a value, which must be one of the schema.
pub(crate) fn bytes_of_json(schema: &Schema, value: &Value) -> Result<Vec<u8>, String> {
    let wrong = || expected(schema, &shown(value));
    match (schema.form(), value) {
        (Form::Primitive(primitive), value) => primitive_of(primitive, value).ok_or_else(wrong),
        (Form::Enum { repr, variants, .. }, value) => {
            let is_meant = |variant: &&Variant| match value {
                Value::String(name) => variant.name() == name || name.parse() == Ok(variant.number()),
                number => number.to_string().parse() == Ok(variant.number()),
            };
            let variant = variants.iter().find(is_meant).ok_or_else(wrong)?;
            primitive_of(repr, &variant.number().to_string().into()).ok_or_else(wrong)
        }
        (Form::Array { element, len }, Value::Array(values)) if values.len() == len => {
            let parts: Result<Vec<Vec<u8>>, String> =
                values.iter().map(|value| bytes_of_json(element, value)).collect();
            Ok(parts?.concat())
        }
        (Form::Array { element, len }, Value::String(text)) if is_byte(element) && text.len() <= len => {
            let mut bytes = text.clone().into_bytes();
            bytes.resize(len, 0);
            Ok(bytes)
        }
        (Form::Struct { fields, .. }, Value::Object(values)) => {
            if let Some(unknown) = values.keys().find(|key| fields.iter().all(|field| field.name() != *key)) {
                return Err(format!("{schema} has no field {unknown:?}"));
            }
            let parts: Result<Vec<Vec<u8>>, String> = fields
                .iter()
                .map(|field| match values.get(field.name()) {
                    Some(value) => bytes_of_json(field.schema(), value),
                    // What fills a gap may be left out.
                    None if field.name().starts_with('_') => Ok(vec![0; field.schema().size()]),
                    None => Err(format!("the field {:?} of {schema} is missing", field.name())),
                })
                .collect();
            Ok(parts?.concat())
        }
        _ => Err(wrong()),
    }
}

/// Numbers may be texts, as those of 128 bits are.
fn primitive_of(primitive: Primitive, value: &Value) -> Option<Vec<u8>> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is) if primitive == Primitive::Bool => return Some(vec![u8::from(*is)]),
        _ => return None,
    };
    match primitive {
        Primitive::F32 => text.parse::<f32>().ok().map(|number| number.to_le_bytes().to_vec()),
        Primitive::F64 => text.parse::<f64>().ok().map(|number| number.to_le_bytes().to_vec()),
        Primitive::Bool => None,
        Primitive::Char => {
            let mut chars = text.chars();
            chars.next().filter(|_| chars.next().is_none()).map(|char| u32::from(char).to_le_bytes().to_vec())
        }
        Primitive::U128 => text.parse::<u128>().ok().map(|number| number.to_le_bytes().to_vec()),
        _ => integer_bytes(primitive, text.parse().ok()?),
    }
}

/// `None`: the type cannot be so large, or so small.
pub(crate) fn integer_bytes(primitive: Primitive, number: i128) -> Option<Vec<u8>> {
    let bytes = number.to_le_bytes()[..primitive.size()].to_vec();
    let is_whole = integer(primitive, &bytes) == number;
    is_whole.then_some(bytes)
}

fn expected(schema: &Schema, found: &str) -> String {
    format!("expected a value of {schema}, found {found}")
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CROSSING: &str =
        "Crossing{cars:[u16;2],light:Light(u8){Red=0,Green=6},open:bool,plate:[u8;4],sign:char,_pad:[u8;2]}";

    fn schema(text: &str) -> Schema {
        Schema::parse(text).unwrap()
    }

    #[test]
    fn there_and_back() {
        for (text, value) in [
            ("i64", json!(-7)),
            ("u64", json!(u64::MAX)),
            ("i8", json!(-128)),
            ("u128", json!(u128::MAX.to_string())),
            ("i128", json!(i128::MIN.to_string())),
            ("f32", json!(0.1)),
            ("f64", json!(1e300)),
            ("f64", json!("NaN")),
            ("f64", json!("inf")),
            ("f32", json!("-inf")),
            ("bool", json!(true)),
            ("char", json!("ö")),
            ("[[i16;2];2]", json!([[1, 2], [-3, 4]])),
            ("(i8){Low=-128}", json!("Low")),
            ("[u8;3]", json!([1, 2, 3])),
            (
                CROSSING,
                json!({"cars": [1, 2], "light": "Green", "open": false, "plate": [65, 66, 0, 0], "sign": "x", "_pad": [0, 0]}),
            ),
        ] {
            let schema = schema(text);
            let bytes = bytes_of_json(&schema, &value).unwrap();
            assert!(schema.allows(&bytes), "{text}");
            assert_eq!(of_bytes(&schema, &bytes, false), value, "{text}");
        }
    }

    #[test]
    fn fields_stand_in_their_order() {
        let bytes = bytes_of_word(&schema("{z:u8,a:u8}"), r#"{"a": 1, "z": 2}"#).unwrap();
        assert_eq!(bytes, [2, 1]);
        assert_eq!(of_bytes(&schema("{z:u8,a:u8}"), &bytes, false).to_string(), r#"{"z":2,"a":1}"#);
    }

    #[test]
    fn words_are_values() {
        for (text, word, bytes) in [
            ("u16", "513", &[1, 2][..]),
            ("i16", "-2", &[254, 255]),
            ("bool", "true", &[1]),
            ("bool", "0", &[0]),
            ("char", "x", &[b'x', 0, 0, 0]),
            ("char", "7", &[b'7', 0, 0, 0]),
            ("[u8;4]", "ab", &[b'a', b'b', 0, 0]),
            ("[u8;2]", "[7, 8]", &[7, 8]),
            ("[u8;4]", "[", &[b'[', 0, 0, 0]),
            ("(u8){Red=0,Green=6}", "Green", &[6]),
            ("(u8){Red=0,Green=6}", "6", &[6]),
            ("[u8;0]", "", &[]),
            ("{a:u8,_pad:[u8;2]}", r#"{"a": 5}"#, &[5, 0, 0]),
        ] {
            assert_eq!(bytes_of_word(&schema(text), word).as_deref(), Ok(bytes), "{text} {word}");
        }
        assert_eq!(bytes_of_word(&schema("f64"), "1.5").unwrap(), 1.5f64.to_le_bytes());
    }

    #[test]
    fn what_is_no_value_is_refused_with_both_sides() {
        for (text, word, words) in [
            ("u8", "256", "expected a value of u8, found \"256\""),
            ("u8", "-1", "found \"-1\""),
            ("i8", "128", "of i8"),
            ("u32", "", "of u32"),
            ("f64", "one", "of f64"),
            ("bool", "yes", "of bool, found yes"),
            ("char", "ab", "of char"),
            ("[u8;2]", "abc", "found \"abc\""),
            ("[u8;2]", "[1,2,3]", "found [1,2,3]"),
            ("[u16;2]", "ab", "expected JSON for [u16;2]"),
            ("(u8){Red=0}", "Blue", "found \"Blue\""),
            ("{a:u8}", "{}", "the field \"a\" of {a:u8} is missing"),
            ("{a:u8}", r#"{"a":1,"b":2}"#, "no field \"b\""),
            ("{a:bool}", r#"{"a":1}"#, "of bool, found 1"),
            ("{a:u8}", "[1]", "of {a:u8}"),
        ] {
            let error = bytes_of_word(&schema(text), word).unwrap_err();
            assert!(error.contains(words), "{text} {word}: {error}");
        }
    }

    #[test]
    fn what_no_program_could_have_written_is_shown_as_that() {
        let shown = |text: &str, bytes: &[u8]| of_bytes(&schema(text), bytes, false);
        assert_eq!(shown("bool", &[7]), json!("<impossible 7>"));
        assert_eq!(shown("{a:char}", &[255; 4]), json!({"a": "<impossible 4294967295>"}));
        assert_eq!(shown("(u8){Red=0}", &[1]), json!("<impossible 1>"));
        assert_eq!(shown("[[u8;0];9999999999]", &[]), json!([[]]), "soon");
    }

    #[test]
    fn bytes_are_texts_if_one_likes() {
        let shown = |bytes: &[u8]| of_bytes(&schema("{name:[u8;4]}"), bytes, true);
        assert_eq!(
            [shown(b"ab\0\0"), shown(b"\0\0\0\0"), shown(b"a\0b\0")],
            [json!({"name": "ab"}), json!({"name": ""}), json!({"name": "a\0b"})]
        );
        assert_eq!(shown(&[0xff, b'x', 0, 0]), json!({"name": "\u{fffd}x"}));
    }
}
