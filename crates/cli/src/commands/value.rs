//! `get`, `set` and `add`: a value, for scripts.

use robust_shm::dynamic::{DynValue, DynValueGuard, Form, Primitive, Schema};
use robust_shm::{LockError, SegmentInfo};
use serde_json::{Value, json};

use crate::arguments::{Add, Get, Set};
use crate::failure::{Failure, WRONG_TYPE};
use crate::output::{Out, escape, printable};
use crate::{hex, json};

/// Reads without the lock.
pub(crate) fn get(arguments: &Get, out: &mut Out) -> Result<u8, Failure> {
    let name = &arguments.name;
    // To look at a stranger's is no danger.
    let observer = DynValue::options().allow_owner(SegmentInfo::of(name)?.owner()).observe(name)?;
    let mut bytes = vec![0; observer.size()];
    let mut commits = u64::MAX; // nothing has been changed so often: what is there is new
    observer.get_if_changed(&mut commits, &mut bytes);
    let value = match observer.schema() {
        Some(schema) => json::of_bytes(schema, &bytes, arguments.text),
        None => hex::word(&bytes).into(),
    };
    if out.is_json() {
        let schema = observer.schema().map(Schema::to_string);
        out.object(&json!({"name": name, "value": value, "schema": schema, "commits": commits}))?;
    } else {
        out.line(bare(&value))?;
    }
    Ok(0)
}

/// Without quotation marks around it.
fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        other => printable(&other.to_string()).into_owned(),
    }
}

pub(crate) fn set(arguments: &Set) -> Result<u8, Failure> {
    let value = DynValue::open(&arguments.name)?;
    let bytes = json::bytes_of_word(schema_of(&value)?, &arguments.value);
    let bytes = bytes.map_err(|error| Failure::new(WRONG_TYPE, error))?;
    value.set(&bytes)?;
    Ok(0)
}

/// Adds under the lock, and prints the sum.
pub(crate) fn add(arguments: &Add, out: &mut Out) -> Result<u8, Failure> {
    let value = DynValue::open(&arguments.name)?;
    let schema = schema_of(&value)?;
    let mut guard = value.lock()?;
    let sum = match sum_of(schema, guard.bytes(), &arguments.number) {
        Ok(sum) => sum,
        Err(message) => {
            DynValueGuard::discard(guard);
            return Err(Failure::new(WRONG_TYPE, message));
        }
    };
    guard.bytes_mut().copy_from_slice(&sum);
    DynValueGuard::commit(guard).map_err(|(guard, error): (_, LockError)| {
        DynValueGuard::discard(guard);
        error
    })?;
    let sum = json::of_bytes(schema, &sum, false);
    if out.is_json() {
        out.object(&json!({"name": arguments.name, "value": sum}))?;
    } else {
        out.line(bare(&sum))?;
    }
    Ok(0)
}

fn schema_of(value: &DynValue) -> Result<&Schema, Failure> {
    let name = value.name();
    value.schema().ok_or_else(|| {
        Failure::new(
            WRONG_TYPE,
            format_args!("segment {name:?} has no schema, which would say what may be written: see describe!"),
        )
    })
}

/// The bytes of the sum, if there is one of this type.
fn sum_of(schema: &Schema, bytes: &[u8], number: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("expected a number of {schema} to add, found {number:?}");
    let too_large = || format!("the sum would be no {schema}: {} and {number}", schema.show(bytes));
    match schema.form() {
        Form::Primitive(Primitive::F64) => {
            let sum = f64::from_le_bytes(bytes.try_into().map_err(|_| wrong())?)
                + number.parse::<f64>().map_err(|_| wrong())?;
            Ok(sum.to_le_bytes().to_vec())
        }
        Form::Primitive(Primitive::F32) => {
            let sum = f32::from_le_bytes(bytes.try_into().map_err(|_| wrong())?)
                + number.parse::<f32>().map_err(|_| wrong())?;
            Ok(sum.to_le_bytes().to_vec())
        }
        Form::Primitive(Primitive::U128) => {
            let before = u128::from_le_bytes(bytes.try_into().map_err(|_| wrong())?);
            let sum = before.checked_add_signed(number.parse().map_err(|_| wrong())?).ok_or_else(too_large)?;
            Ok(sum.to_le_bytes().to_vec())
        }
        Form::Primitive(primitive) if primitive.is_integer() => {
            let sum = json::integer(primitive, bytes).checked_add(number.parse().map_err(|_| wrong())?);
            sum.and_then(|sum| json::integer_bytes(primitive, sum)).ok_or_else(too_large)
        }
        _ => Err(format!("there is nothing to add to a {schema}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_the_type_or_are_none() {
        let sum = |text: &str, before: &[u8], number: &str| sum_of(&Schema::parse(text).unwrap(), before, number);
        assert_eq!(sum("u8", &[250], "5"), Ok(vec![255]));
        assert_eq!(sum("i8", &[0x80], "255"), Ok(vec![0x7f]));
        assert_eq!(sum("u64", &u64::MAX.to_le_bytes(), "-1"), Ok((u64::MAX - 1).to_le_bytes().to_vec()));
        assert_eq!(sum("u128", &u128::MAX.to_le_bytes(), "-1"), Ok((u128::MAX - 1).to_le_bytes().to_vec()));
        assert_eq!(sum("f64", &1.5f64.to_le_bytes(), "-0.5"), Ok(1f64.to_le_bytes().to_vec()));
        assert_eq!(sum("f32", &1.5f32.to_le_bytes(), "1"), Ok(2.5f32.to_le_bytes().to_vec()));
        for (text, before, number, words) in [
            ("u8", &[250][..], "6", "the sum would be no u8: 250 and 6"),
            ("u8", &[0], "-1", "would be no u8"),
            ("i128", &i128::MAX.to_le_bytes(), "1", "would be no i128"),
            ("u128", &u128::MAX.to_le_bytes(), "1", "would be no u128"),
            ("u8", &[0], "1.5", "expected a number of u8"),
            ("f64", &[0; 8], "one", "expected a number of f64"),
            ("bool", &[0], "1", "nothing to add to a bool"),
            ("[u8;1]", &[0], "1", "nothing to add"),
        ] {
            let error = sum(text, before, number).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
