//! The state of a segment in a word, and in a colour, which is never the only sign.

use clap::builder::styling::{AnsiColor, Style};
use robust_shm::{Error, SegmentInfo};
use serde_json::Value;

use crate::table::Cell;

pub(crate) const ALARMING: Style = AnsiColor::Red.on_default().bold();
pub(crate) const BUSY: Style = AnsiColor::Yellow.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const FAINT: Style = Style::new().dimmed();

/// As `ls` shows it.
pub(crate) fn of(info: &SegmentInfo) -> Cell {
    let (word, style) = word_for(info);
    match (word, info.available_permits(), info.permits(), info.active_readers()) {
        ("free" | "taken", Some(available), Some(permits), _) => {
            Cell::styled(format!("{available} of {permits} free"), style)
        }
        ("read", _, _, Some(1)) => Cell::styled("1 reader", style),
        ("read", _, _, Some(readers)) => Cell::styled(format!("{readers} readers"), style),
        _ => Cell::styled(word, style),
    }
}

/// As JSON has it: `free`, `held`, `read`, `taken`, `set`, `clear`, `poisoned`, `orphan`.
pub(crate) fn word(info: &SegmentInfo) -> &'static str {
    word_for(info).0
}

fn word_for(info: &SegmentInfo) -> (&'static str, Style) {
    if info.is_orphan() {
        return ("orphan", FAINT); // what it is poisoned by goes with it
    }
    if info.is_poisoned() {
        return ("poisoned", ALARMING);
    }
    match (info.is_set(), info.available_permits(), info.active_readers()) {
        (Some(true), ..) => ("set", GOOD),
        (Some(false), ..) => ("clear", Style::new()),
        (_, Some(0), _) => ("taken", BUSY),
        _ if info.holder_thread().is_some() => ("held", BUSY),
        (.., Some(1..)) => ("read", BUSY),
        _ => ("free", Style::new()),
    }
}

/// Does somebody hold the lock, a permit, or read?
pub(crate) fn is_held(info: &SegmentInfo) -> bool {
    let is_taken = info.available_permits().zip(info.permits()).is_some_and(|(available, permits)| available < permits);
    info.holder_thread().is_some() || info.active_readers().is_some_and(|readers| readers > 0) || is_taken
}

/// Of what cannot be looked at: `unsupported` for another format, else `damaged`.
pub(crate) fn of_failed(error: &Error) -> &'static str {
    match error {
        Error::UnsupportedFormat { .. } => "unsupported",
        _ => "damaged",
    }
}

/// The holder of the lock, as JSON: null where it has none.
pub(crate) fn holder(info: &SegmentInfo) -> Value {
    info.holder_thread()
        .map_or(Value::Null, |thread| serde_json::json!({"thread": thread, "process": info.holder_process()}))
}
