//! `create`: a segment that stays.

use robust_shm::dynamic::{DynSlice, DynValue, Schema};
use robust_shm::{SharedEvent, SharedLock, SharedRwLock, SharedSemaphore};

use crate::arguments::Create;
use crate::failure::{Failure, USAGE};
use crate::json;

/// Persistent, all of them: else they would go with this process.
pub(crate) fn run(arguments: &Create) -> Result<u8, Failure> {
    let Create { name, kind, value, len } = arguments;
    let usage = |sentence: &str| Err(Failure::new(USAGE, sentence));
    match (&**kind, value, len) {
        ("lock", None, None) => drop(SharedLock::options().persistent(true).create(name)?),
        ("rwlock", None, None) => drop(SharedRwLock::options().persistent(true).create(name)?),
        ("event", None, None) => drop(SharedEvent::options().persistent(true).create(name)?),
        ("semaphore", Some(permits), None) => match permits.parse() {
            Ok(permits) => drop(SharedSemaphore::options().persistent(true).create(name, permits)?),
            Err(_) => return usage("a semaphore has a number of permits: robust-shm create NAME semaphore 4"),
        },
        ("semaphore", ..) => return usage("say how many permits: robust-shm create NAME semaphore 4"),
        ("lock" | "rwlock" | "event", ..) => return usage("locks and events have neither a value nor a length"),
        (text, value, len) => {
            let schema = Schema::parse(text).map_err(|error| {
                Failure::new(
                    USAGE,
                    format_args!("{text:?} is neither lock, rwlock, event, semaphore nor a type: {error}"),
                )
            })?;
            match (value, len) {
                (Some(_), Some(_)) => return usage("an array begins with zeros, and has no first value"),
                (None, Some(len)) => drop(DynSlice::options().persistent(true).create(name, &schema, *len)?),
                (value, None) => {
                    let initial = initial(&schema, value.as_deref())?;
                    drop(DynValue::options().persistent(true).create(name, &schema, &initial)?);
                }
            }
        }
    }
    Ok(0)
}

/// The bytes of the first value: zero, if that is one.
fn initial(schema: &Schema, word: Option<&str>) -> Result<Vec<u8>, Failure> {
    let bytes = match word {
        Some(word) => json::bytes_of_word(schema, word).map_err(|error| Failure::new(USAGE, error))?,
        None => vec![0; schema.size()],
    };
    if schema.allows(&bytes) {
        return Ok(bytes);
    }
    Err(Failure::new(USAGE, format_args!("say the first value: zeros are no {schema}")))
}
