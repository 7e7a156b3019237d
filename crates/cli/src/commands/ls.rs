//! `ls`: one row for each segment.

use std::time::SystemTime;

use robust_shm::{Error, SegmentInfo, segments};
use serde_json::{Value, json};

use crate::arguments::Ls;
use crate::failure::Failure;
use crate::glob;
use crate::kind::{self, Kind};
use crate::output::{Out, escape};
use crate::state;
use crate::sys;
use crate::table::{self, Cell};

/// What a terminal shows of a type, or of a description; `info` shows all of it.
const TYPE_COLUMNS: usize = 32;

pub(crate) fn run(arguments: &Ls, out: &mut Out) -> Result<u8, Failure> {
    let is_meant = |name: &str| arguments.pattern.as_deref().is_none_or(|pattern| glob::fits(pattern, name));
    let me = sys::effective_uid();
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for info in segments() {
        match info {
            Ok(info) => {
                let is_of_kind = arguments.kind.is_none_or(|kind| Kind::of(&info) == Some(kind));
                if is_of_kind && is_meant(info.name()) && (arguments.all || info.owner() == me) {
                    found.push(info);
                }
            }
            // The directory itself.
            Err(error) if error.name().is_empty() => return Err(error.into()),
            Err(error) => {
                let is_shown = arguments.all || sys::owner_of_file(error.name()).is_ok_and(|owner| owner == me);
                if is_shown && arguments.kind.is_none() && is_meant(error.name()) {
                    damaged.push(error);
                }
            }
        }
    }
    found.sort_by(|one, other| one.name().cmp(other.name()));
    damaged.sort_by(|one, other| one.name().cmp(other.name()));
    if out.is_json() {
        for info in &found {
            out.object(&object(info))?;
        }
        for error in &damaged {
            let error_text = error.to_string();
            out.object(&json!({"name": error.name(), "state": state::of_failed(error), "error": error_text}))?;
        }
    } else {
        let now = SystemTime::now();
        let rows: Vec<_> = found.iter().map(|info| row(info, now)).chain(damaged.iter().map(row_of_damaged)).collect();
        let titles = ["NAME", "KIND", "TYPE", ">LEN", ">BYTES", ">USERS", ">HOLDER", "STATE", ">AGE"];
        table::print(out, titles, &rows)?;
    }
    out.flush()?;
    for error in &damaged {
        out.complain(error);
    }
    Ok(0)
}

/// The keys that `info` has, too.
pub(crate) fn object(info: &SegmentInfo) -> Value {
    let since = info.created().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    json!({
        "name": info.name(),
        "kind": kind::name_of(info),
        "state": state::word(info),
        "type": Some(info.type_name()).filter(|name| *name != "()"),
        "schema": info.schema().map(ToString::to_string),
        "tagged": info.has_type_tag(),
        "length": info.length(),
        "element_size": info.element_size(),
        "bytes": info.bytes(),
        "owner": info.owner(),
        "users": info.attached(),
        "holder": state::holder(info),
        "sleepers": info.has_sleepers(),
        "poisoned": info.is_poisoned(),
        "persistent": info.is_persistent(),
        "orphan": info.is_orphan(),
        "created": since.as_secs_f64(),
        "commits": info.commits(),
        "set": info.is_set(),
        "permits": info.permits(),
        "available": info.available_permits(),
        "reader_slots": info.reader_slots(),
        "readers": info.active_readers(),
    })
}

fn row(info: &SegmentInfo, now: SystemTime) -> [Cell; 9] {
    let kind = Kind::of(info);
    let name = || Some(info.type_name()).filter(|name| *name != "()").map(escape);
    let type_name = info.schema().map(ToString::to_string).or_else(name);
    let len = match kind {
        Some(Kind::Array) => Some(info.length()),
        Some(Kind::Semaphore) => info.permits().map(|permits| permits as u64),
        _ => None,
    };
    [
        escape(info.name()).into(),
        kind::name_of(info).into(),
        Cell::from(or_dash(type_name)).cut(TYPE_COLUMNS),
        or_dash(len).into(),
        info.bytes().into(),
        info.attached().into(),
        // A process of another namespace has no number here.
        or_dash(info.holder_process().map(|pid| pid.to_string()).or(info.holder_thread().map(|_| "?".to_owned())))
            .into(),
        state::of(info),
        age(now.duration_since(info.created()).unwrap_or_default().as_secs()).into(),
    ]
}

fn row_of_damaged(error: &Error) -> [Cell; 9] {
    let state = Cell::styled(state::of_failed(error), state::ALARMING);
    let dash = || Cell::from("-");
    [escape(error.name()).into(), dash(), dash(), dash(), dash(), dash(), dash(), state, dash()]
}

fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or("-".to_owned(), |text| text.to_string())
}

/// In the largest unit of which there is one.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}
