//! What `/proc` tells of a process, or of one of its threads.

use std::fs;

use serde_json::{Value, json};

/// A process, or a thread, as it is at this moment.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The thread that is meant, if it is one of several.
    pub(crate) thread: Option<u32>,
    pub(crate) command: String,
    pub(crate) state: &'static str,
    pub(crate) uid: Option<u32>,
}

impl Process {
    /// With the state of this thread, or of the first one.
    pub(crate) fn look(pid: u32, thread: Option<u32>) -> Self {
        let of = format!("/proc/{pid}/task/{}", thread.unwrap_or(pid));
        // The last ')' ends the command, in which anything can stand.
        let stat = fs::read(format!("{of}/stat")).unwrap_or_default();
        let letter = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
        let status = fs::read(format!("{of}/status")).unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let is_dumping = field("CoreDumping:") == Some("1");
        let effective = |ids: &str| ids.split_whitespace().nth(1)?.parse().ok();
        let command = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self {
            pid,
            thread,
            command: String::from_utf8_lossy(command.trim_ascii_end()).into_owned(),
            state: if is_dumping { "dumping core" } else { letter.map_or("gone", |letter| word_for(*letter)) },
            uid: field("Uid:").and_then(effective),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "process": self.pid, "thread": self.thread, "command": self.command, "state": self.state, "uid": self.uid,
        })
    }
}

/// proc_pid_stat(5), the third field.
fn word_for(letter: u8) -> &'static str {
    match letter {
        b'R' => "running",
        b'S' => "sleeping",
        b'D' => "waiting for the disk",
        b'T' => "stopped",
        b't' => "stopped by a debugger",
        b'I' => "idle",
        b'Z' | b'X' | b'x' => "dead",
        _ => "unknown",
    }
}
