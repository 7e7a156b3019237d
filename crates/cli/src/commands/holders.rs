//! `holders`: who holds a segment at this moment, and who uses it.

use robust_shm::SegmentInfo;
use serde_json::json;

use crate::failure::{Failure, NO};
use crate::kind;
use crate::output::{Out, escape};
use crate::process::Process;
use crate::state;
use crate::table::{self, Cell};

pub(crate) fn run(name: &str, out: &mut Out) -> Result<u8, Failure> {
    let info = SegmentInfo::of(name)?;
    let holder = info.holder_process().map(|pid| Process::look(pid, info.holder_thread()));
    let others = others(&info, holder.as_ref());
    if out.is_json() {
        let processes = |all: &[Process]| all.iter().map(Process::json).collect::<Vec<_>>();
        out.object(&json!({
            "name": info.name(),
            "kind": kind::name_of(&info),
            "held": state::is_held(&info),
            "holder": holder.as_ref().map_or_else(|| state::holder(&info), Process::json),
            "other_users": processes(&others),
            "users": info.attached(),
            "sleepers": info.has_sleepers(),
            "poisoned": info.is_poisoned(),
            "reader_slots": info.reader_slots(),
            "readers": info.active_readers(),
            "permits": info.permits(),
            "available": info.available_permits(),
        }))?;
    } else {
        let rows: Vec<_> =
            holder.iter().map(|it| (it, true)).chain(others.iter().map(|it| (it, false))).map(row).collect();
        if !rows.is_empty() {
            table::print(out, [">PROCESS", ">THREAD", "COMMAND", "UID", "STATE", "HOLDS"], &rows)?;
        }
        for sentence in sentences(&info) {
            out.line(sentence)?;
        }
    }
    Ok(if state::is_held(&info) { 0 } else { NO })
}

fn others(info: &SegmentInfo, holder: Option<&Process>) -> Vec<Process> {
    let users = info.users().into_iter().filter(|user| holder.is_none_or(|holder| holder.pid != user.pid));
    users.map(|user| Process::look(user.pid, None)).collect()
}

fn row((process, holds): (&Process, bool)) -> [Cell; 6] {
    let style = match process.state {
        "running" | "sleeping" => clap::builder::styling::Style::new(),
        _ => state::ALARMING,
    };
    [
        process.pid.into(),
        process.thread.map_or("-".to_owned(), |thread| thread.to_string()).into(),
        escape(&process.command).into(),
        process.uid.map_or("-".to_owned(), |uid| uid.to_string()).into(),
        Cell::styled(process.state, style),
        Cell::styled(if holds { "the lock" } else { "" }, state::BUSY),
    ]
}

/// What the table does not say.
fn sentences(info: &SegmentInfo) -> Vec<String> {
    let mut sentences = Vec::new();
    if let (Some(available), Some(permits)) = (info.available_permits(), info.permits()) {
        sentences.push(format!("{} of {permits} permits are taken", permits - available));
    }
    match (info.holder_thread(), info.holder_process()) {
        (Some(thread), None) => sentences.push(format!("held by thread {thread}, which cannot be named from here")),
        (None, _) if info.permits().is_none() && info.is_set().is_none() => {
            sentences.push("nobody holds the lock".to_owned())
        }
        _ => {}
    }
    if let (Some(readers), Some(slots)) = (info.active_readers(), info.reader_slots()) {
        sentences.push(format!("{readers} read, of {slots} who can side by side"));
    }
    let users = match info.attached() {
        1 => "1 handle is attached".to_owned(),
        count => format!("{count} handles are attached"),
    };
    sentences.push(format!(
        "{users}; {} asleep, waiting",
        if info.has_sleepers() { "somebody may be" } else { "nobody is" }
    ));
    if info.is_poisoned() {
        sentences.push("poisoned: a holder died or panicked, and nobody has repaired what it left".to_owned());
    }
    sentences
}
