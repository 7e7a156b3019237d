//! `info`: all that is known about one segment.

use std::time::SystemTime;

use robust_shm::{SegmentInfo, User};
use serde_json::{Value, json};

use super::ls;
use crate::failure::Failure;
use crate::output::{Out, escape};
use crate::table::{self, Cell};

pub(crate) fn run(name: &str, out: &mut Out) -> Result<u8, Failure> {
    let info = SegmentInfo::of(name)?;
    let object = object(&info);
    if out.is_json() {
        out.object(&object)?;
        return Ok(0);
    }
    let rows: Vec<[Cell; 2]> =
        object.as_object().into_iter().flatten().filter_map(|(key, value)| row(key, value)).collect();
    table::print(out, ["FIELD", "VALUE"], &rows)?;
    Ok(0)
}

fn object(info: &SegmentInfo) -> Value {
    let mut object = ls::object(info);
    let process = |user: User| json!({"process": user.pid, "command": user.command, "uid": user.uid});
    let more = json!({
        "id": format!("{:032x}", info.id()),
        "mode": format!("{:04o}", info.mode()),
        "alignment": info.element_alignment(),
        "creator": info.creator(),
        "lock": format!("{:?}", info.lock_kind()),
        "can_be_poisoned": info.has_poison(),
        "processes": info.users().into_iter().map(process).collect::<Vec<_>>(),
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

/// What a segment of its kind does not have is left out.
fn row(key: &str, value: &Value) -> Option<[Cell; 2]> {
    let shown = match (key, value) {
        (_, Value::Null) => return None,
        ("created", Value::Number(seconds)) => moment(seconds.as_f64()?),
        ("holder", holder) => match holder["process"].as_u64() {
            Some(process) => format!("thread {} of process {process}", holder["thread"]),
            None => format!("thread {}, of a process that cannot be named here", holder["thread"]),
        },
        ("processes", Value::Array(processes)) => processes.iter().map(process).collect::<Vec<_>>().join(", "),
        (_, Value::Bool(is)) => if *is { "yes" } else { "no" }.to_owned(),
        (_, Value::String(text)) => escape(text),
        (_, other) => other.to_string(),
    };
    Some([key.replace('_', " ").into(), shown.into()])
}

fn process(one: &Value) -> String {
    let command = one["command"].as_str().unwrap_or_default();
    format!("{} ({}, uid {})", one["process"], escape(command), one["uid"])
}

/// In UTC, and how long ago.
fn moment(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    format!("{} UTC, {:.3} s ago", civil(seconds as u64), (now - seconds).max(0.0))
}

/// The date and time of so many seconds since 1970, by the calendar of 400 years, which begin in March.
fn civil(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month, early) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1, u64::from(month >= 10));
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}", year + era * 400 + early)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn seconds_have_dates() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (1_709_251_200, "2024-03-01 00:00:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (1_767_225_599, "2025-12-31 23:59:59"),
        ] {
            assert_eq!(civil(seconds), date);
        }
    }
}
