//! `holders`: who holds a segment at this moment, and who uses it.

use clap::builder::styling::Style;
use robust_shm::{Hold, SegmentInfo, User};
use serde_json::{Value, json};

use crate::failure::{Failure, NO};
use crate::kind;
use crate::output::{Out, escape};
use crate::process::Process;
use crate::state;
use crate::table::{self, Cell};

pub(crate) fn run(name: &str, out: &mut Out) -> Result<u8, Failure> {
    let info = SegmentInfo::of(name)?;
    let (mut named, mut unnamed) = (Vec::new(), Vec::new());
    for holder in info.holders() {
        match holder.process {
            Some(pid) => named.push((Process::look(pid, Some(holder.thread)), holder.hold)),
            None => unnamed.push(holder),
        }
    }
    let others = others(&info, &named);
    if out.is_json() {
        let known = named.iter().map(|(process, hold)| with_hold(process.json(), *hold));
        let unknown = unnamed.iter().map(|it| with_hold(json!({"process": null, "thread": it.thread}), it.hold));
        out.object(&json!({
            "name": info.name(),
            "kind": kind::name_of(&info),
            "held": state::is_held(&info),
            "holders": known.chain(unknown).collect::<Vec<_>>(),
            "other_users": others.iter().map(Process::json).collect::<Vec<_>>(),
            "users": info.attached(),
            "sleepers": info.has_sleepers(),
            "poisoned": info.is_poisoned(),
            "reader_slots": info.reader_slots(),
            "readers": info.active_readers(),
            "permits": info.permits(),
            "available": info.available_permits(),
        }))?;
    } else {
        let named = named.iter().map(|(process, hold)| row(process, words_for(*hold)));
        let rows: Vec<_> = named.chain(others.iter().map(|process| row(process, String::new()))).collect();
        if !rows.is_empty() {
            table::print(out, [">PROCESS", ">THREAD", "COMMAND", "UID", "STATE", "HOLDS"], &rows)?;
        }
        for holder in &unnamed {
            let words = words_for(holder.hold);
            out.line(format_args!("{words} is held by thread {}, which cannot be named from here", holder.thread))?;
        }
        for sentence in sentences(&info) {
            out.line(sentence)?;
        }
    }
    Ok(if state::is_held(&info) { 0 } else { NO })
}

fn others(info: &SegmentInfo, holders: &[(Process, Hold)]) -> Vec<Process> {
    let holds = |user: &User| holders.iter().any(|(holder, _)| holder.pid == user.pid);
    info.users().into_iter().filter(|user| !holds(user)).map(|user| Process::look(user.pid, None)).collect()
}

fn with_hold(mut holder: Value, hold: Hold) -> Value {
    let (word, index) = match hold {
        Hold::Permit { index, .. } => ("permit", Some(index)),
        Hold::Reader => ("reader", None),
        _ => ("lock", None),
    };
    if let Some(holder) = holder.as_object_mut() {
        holder.insert("holds".to_owned(), word.into());
        holder.insert("permit".to_owned(), index.into());
    }
    holder
}

fn words_for(hold: Hold) -> String {
    match hold {
        Hold::Permit { index, .. } => format!("permit {index}"),
        Hold::Reader => "a reader's part".to_owned(),
        _ => "the lock".to_owned(),
    }
}

fn row(process: &Process, holds: String) -> [Cell; 6] {
    let style = match process.state {
        "running" | "sleeping" => Style::new(),
        _ => state::ALARMING,
    };
    [
        process.pid.into(),
        process.thread.map_or("-".to_owned(), |thread| thread.to_string()).into(),
        escape(&process.command).into(),
        process.uid.map_or("-".to_owned(), |uid| uid.to_string()).into(),
        Cell::styled(process.state, style),
        Cell::styled(holds, state::BUSY),
    ]
}

/// What the table does not say.
fn sentences(info: &SegmentInfo) -> Vec<String> {
    let mut sentences = Vec::new();
    if let (Some(available), Some(permits)) = (info.available_permits(), info.permits()) {
        sentences.push(format!("{} of {permits} permits are taken", permits - available));
    }
    if info.holder_thread().is_none() && info.permits().is_none() && info.is_set().is_none() {
        sentences.push("nobody holds the lock".to_owned());
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
