//! The elements of an array: from the file, as they are at this moment, or under the lock.

use robust_shm::dynamic::{DynSlice, DynSliceObserver, Schema};
use robust_shm::{LockError, LockKind};
use serde_json::{Value, json};

use super::Range;
use super::source::{PATIENCE, Picture, shown};
use crate::arguments::Show;
use crate::failure::{Failure, USAGE};
use crate::kind::Kind;
use crate::output::escape;
use crate::{hex, json};

pub(crate) struct Elements {
    observer: DynSliceObserver,
    name: String,
    schema: Option<Schema>,
    /// In bytes, of what is counted: elements of the segment, or of the type that they are read as.
    unit: usize,
    range: Range,
    text: bool,
    is_locked: bool,
    before: Option<Vec<u8>>,
}

impl Elements {
    pub(crate) fn new(observer: DynSliceObserver, arguments: &Show, as_type: Option<Schema>) -> Result<Self, Failure> {
        let name = arguments.name.clone();
        let size = observer.element_size();
        let total = size * observer.len();
        if let Some(schema) =
            as_type.as_ref().filter(|schema| schema.size() == 0 || !total.is_multiple_of(schema.size()))
        {
            let message = format!(
                "segment {name:?} has {total} bytes, which are no number of {schema} of {} bytes",
                schema.size()
            );
            return Err(Failure::new(USAGE, message));
        }
        let unit = as_type.as_ref().map_or(size, Schema::size);
        let schema = as_type.or_else(|| observer.schema().cloned());
        let (range, text, is_locked) = (arguments.range.unwrap_or(Range::ALL), arguments.text, arguments.lock);
        Ok(Self { observer, name, schema, unit, range, text, is_locked, before: None })
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.observer.is_removed()
    }

    /// `None`: they are what they were.
    pub(crate) fn look(&mut self) -> Result<Option<Picture>, Failure> {
        let total = self.observer.element_size() * self.observer.len();
        let range = self.range.within(total.checked_div(self.unit).unwrap_or(0));
        let bytes = self.read(range.start * self.unit, range.len() * self.unit)?;
        if self.before.as_ref() == Some(&bytes) {
            return Ok(None);
        }
        let picture = self.picture(&bytes, range);
        self.before = Some(bytes);
        Ok(Some(picture))
    }

    fn read(&self, from: usize, len: usize) -> Result<Vec<u8>, Failure> {
        if self.is_locked {
            return read_locked(&self.name, from, len);
        }
        // Whole elements of the segment, in which what is read as another type may begin anywhere.
        let size = self.observer.element_size().max(1);
        let first = from / size;
        let mut bytes = vec![0; (from + len).next_multiple_of(size) - first * size];
        self.observer.copy_unlocked(first, &mut bytes)?;
        bytes.drain(..from - first * size);
        bytes.truncate(len);
        Ok(bytes)
    }

    fn picture(&self, bytes: &[u8], range: std::ops::Range<usize>) -> Picture {
        let type_name = self.schema.as_ref().map_or_else(|| format!("{} bytes", self.unit), Schema::to_string);
        let marked = if self.is_locked { "" } else { ", unlocked" };
        let head = format!("{}: {} of {type_name}{marked}", escape(&self.name), range.len());
        let chunks = || bytes.chunks_exact(self.unit.max(1));
        let is_text = self.schema.as_ref().is_some_and(json::is_byte);
        let rows: Vec<String> = match &self.schema {
            Some(_) if is_text && self.text => vec![escape(&json::text_of(bytes))],
            Some(schema) if !is_text => {
                let width = range.end.to_string().len();
                let row = |(at, chunk): (usize, &[u8])| format!("{at:width$}  {}", shown(schema, chunk, self.text));
                range.clone().zip(chunks()).map(row).collect()
            }
            _ => hex::rows(bytes, range.start * self.unit).collect(),
        };
        let value = match &self.schema {
            Some(_) if is_text && self.text => Value::from(json::text_of(bytes)),
            Some(schema) => chunks().map(|chunk| json::of_bytes(schema, chunk, self.text)).collect(),
            None => chunks().map(hex::word).collect(),
        };
        let more = json!({
            "schema": self.schema.as_ref().map(Schema::to_string), "unlocked": !self.is_locked, "from": range.start, "to": range.end,
        });
        Picture { kind: Kind::Array, lines: std::iter::once(head).chain(rows).collect(), value, more }
    }
}

/// Beside other readers, where there can be any. Copied under the lock, and printed after it: the reader of a pipe may be slow.
fn read_locked(name: &str, from: usize, len: usize) -> Result<Vec<u8>, Failure> {
    let slice = DynSlice::open(name)?;
    let part = |bytes: &[u8]| bytes.get(from..from + len).map(<[u8]>::to_vec).unwrap_or_default();
    let bytes = if slice.info()?.lock_kind() == LockKind::OsMutex {
        slice.try_lock_for(PATIENCE).map(|guard| part(guard.as_bytes()))
    } else {
        slice.try_read_for(PATIENCE).map(|guard| part(guard.as_bytes()))
    };
    bytes.map_err(|error: LockError| error.into())
}
