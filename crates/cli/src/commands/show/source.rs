//! What is shown, looked at again and again. No look makes this program a user of the segment, but that of `--lock`.

use std::time::Duration;

use robust_shm::SegmentInfo;
use robust_shm::dynamic::{DynSlice, DynValue, DynValueObserver, Schema};
use serde_json::{Value, json};

use super::elements::Elements;
use crate::arguments::Show;
use crate::failure::{Failure, USAGE};
use crate::kind::Kind;
use crate::output::{escape, printable};
use crate::table::Cell;
use crate::{hex, json, state};

/// How it looked at one moment.
pub(crate) struct Picture {
    pub(crate) kind: Kind,
    /// For people.
    pub(crate) lines: Vec<String>,
    /// For programs, with further keys.
    pub(crate) value: Value,
    pub(crate) more: Value,
}

impl Picture {
    /// Cuts it to what a terminal has room for.
    pub(crate) fn fit(&mut self, rows: usize, columns: usize) {
        if self.lines.len() >= rows {
            self.lines.truncate(rows.saturating_sub(2).max(1));
            self.lines.push("…".to_owned());
        }
        for line in &mut self.lines {
            *line = Cell::from(&*line).cut(columns).text().to_owned();
        }
    }
}

pub(crate) enum Source {
    Value(Box<Observed>),
    Elements(Box<Elements>),
    /// What has a state, and no contents.
    State {
        name: String,
        before: Option<String>,
    },
}

/// A value, and what was seen of it.
pub(crate) struct Observed {
    observer: DynValueObserver,
    schema: Option<Schema>,
    text: bool,
    seen: u64,
    bytes: Vec<u8>,
}

impl Source {
    pub(crate) fn open(arguments: &Show, as_type: Option<Schema>) -> Result<Self, Failure> {
        let name = &arguments.name;
        let info = SegmentInfo::of(name)?;
        // To look at a stranger's is no danger.
        let owner = info.owner();
        match Kind::of(&info) {
            Some(Kind::Value) => {
                Self::of_value(DynValue::options().allow_owner(owner).observe(name)?, arguments, as_type)
            }
            Some(Kind::Array) => {
                let observer = DynSlice::options().allow_owner(owner).observe(name)?;
                Ok(Self::Elements(Box::new(Elements::new(observer, arguments, as_type)?)))
            }
            _ if as_type.is_some() => {
                let message = format!("segment {name:?} has no contents that could be read as a type");
                Err(Failure::new(USAGE, message))
            }
            _ => Ok(Self::State { name: name.clone(), before: None }),
        }
    }

    fn of_value(observer: DynValueObserver, arguments: &Show, as_type: Option<Schema>) -> Result<Self, Failure> {
        if arguments.range.is_some() {
            return Err(Failure::new(USAGE, "a value has no range: only arrays do"));
        }
        let size = observer.size();
        if let Some(schema) = as_type.as_ref().filter(|schema| schema.size() != size) {
            let message =
                format!("segment {:?} has {size} bytes, and {schema} would have {}", arguments.name, schema.size());
            return Err(Failure::new(USAGE, message));
        }
        let schema = as_type.or_else(|| observer.schema().cloned());
        // No value has been committed so often: the first look is one at something new.
        let observed = Observed { schema, text: arguments.text, seen: u64::MAX, bytes: vec![0; size], observer };
        Ok(Self::Value(Box::new(observed)))
    }

    /// `None`: nothing has changed since the last look.
    pub(crate) fn look(&mut self) -> Result<Option<Picture>, Failure> {
        match self {
            Self::Value(observed) => {
                let Observed { observer, schema, text, seen, bytes } = &mut **observed;
                if !observer.get_if_changed(seen, bytes) {
                    return Ok(None);
                }
                let (lines, value) = picture_of_value(schema.as_ref(), bytes, *text);
                let more = json!({ "schema": schema.as_ref().map(Schema::to_string), "commits": *seen });
                Ok(Some(Picture { kind: Kind::Value, lines, value, more }))
            }
            Self::Elements(elements) => elements.look(),
            Self::State { name, before } => {
                let info = SegmentInfo::of(name)?;
                let line = state::of(&info).text().to_owned();
                if before.as_ref() == Some(&line) {
                    return Ok(None);
                }
                *before = Some(line.clone());
                let Some(kind) = Kind::of(&info) else { return Ok(None) };
                let more = json!({ "holder": state::holder(&info), "available": info.available_permits(), "readers": info.active_readers() });
                Ok(Some(Picture { kind, lines: vec![line], value: state::word(&info).into(), more }))
            }
        }
    }

    /// Is there no such segment any more?
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Value(observed) => observed.observer.is_removed(),
            Self::Elements(elements) => elements.is_gone(),
            Self::State { name, .. } => SegmentInfo::of(name).is_err(),
        }
    }
}

/// A value as people see it, and as programs do.
fn picture_of_value(schema: Option<&Schema>, bytes: &[u8], text: bool) -> (Vec<String>, Value) {
    match schema {
        None => (hex::rows(bytes, 0).collect(), Value::from(hex::word(bytes))),
        Some(schema) => (vec![shown(schema, bytes, text)], json::of_bytes(schema, bytes, text)),
    }
}

/// As Rust writes it; with `text` as JSON, in which bytes are texts.
pub(crate) fn shown(schema: &Schema, bytes: &[u8], text: bool) -> String {
    if !text {
        return printable(&schema.show(bytes).to_string()).into_owned();
    }
    match json::of_bytes(schema, bytes, true) {
        Value::String(text) => escape(&text),
        value => printable(&value.to_string()).into_owned(),
    }
}

/// How long `--lock` waits for what somebody else may hold.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
