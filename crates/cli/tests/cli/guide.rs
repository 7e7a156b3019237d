//! The guide's page about this program: its sessions go as they are printed, and its table has every key.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use robust_shm::{SharedArray, SharedSemaphore, SharedValue};
use serde_json::Value;

use crate::support::{self, Scratch};
use crate::tool::{Directory, PROGRAM, run};

const PAGE: &str = include_str!("../../../../src/guide/command_line.md");

/// What is typed, and what comes of it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    typed: String,
    printed: Vec<String>,
}

/// The sessions of the page.
fn sessions() -> Vec<Vec<Step>> {
    let blocks = PAGE.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let session = |block: &str| {
        let mut steps: Vec<Step> = Vec::new();
        let mut is_document = false;
        for line in block.lines() {
            if let Some(typed) = line.strip_prefix("$ ") {
                is_document = typed.ends_with("<<'END'");
                steps.push(Step { typed: typed.to_owned(), printed: Vec::new() });
            } else if is_document {
                let typed = &mut steps.last_mut().unwrap().typed;
                *typed += "\n";
                *typed += line;
                is_document = line != "END";
            } else {
                steps.last_mut().unwrap().printed.push(plain(line));
            }
        }
        steps
    };
    blocks.map(session).collect()
}

/// Without what differs from one machine and moment to the next: numbers of processes and users, and blanks before them.
fn plain(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    // A row of `holders`: process, thread or none, command, user. A process may have a number as short as any other.
    let is_holder = matches!(words[..], [process, thread, _, user, ..]
        if is_number(process) && (is_number(thread) || thread == "-") && is_number(user));
    let word = |(at, word): (usize, &&str)| {
        let digits = word.trim_end_matches(';');
        let (before, behind) = (at.checked_sub(1).map(|before| words[before]), words.get(at + 1));
        let is_id = before == Some("process") || behind == Some(&"held") || digits.len() > 3 || is_holder;
        let is_age = word.strip_suffix('s').is_some_and(|age| age.parse::<u32>().is_ok());
        match () {
            () if is_age => "AGE".to_owned(),
            () if is_number(digits) && is_id => word.replace(digits, "ID"),
            () => (*word).to_owned(),
        }
    };
    words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn processes_may_have_short_numbers() {
    for (line, plain_line) in [
        ("  751   7  robust-shm  0  sleeping  the lock", "ID ID robust-shm ID sleeping the lock"),
        ("  751   -  robust-shm  0  sleeping", "ID - robust-shm ID sleeping"),
        ("acme-report lock - - 640 2 75 held 3s", "acme-report lock - - 640 2 ID held AGE"),
        ("it was still held by process 7; try again", "it was still held by process ID; try again"),
        ("7  3", "7 3"), // an element
    ] {
        assert_eq!(plain(line), plain_line);
    }
}

/// Plays a session in one shell, with names of its own in place of `acme-`.
fn play(session: &[Step], prefix: &str) -> Vec<Step> {
    const END: &str = "== end of step";
    let directory = Directory::new();
    std::os::unix::fs::symlink(PROGRAM, directory.path("robust-shm")).unwrap();
    let mut script = format!("PATH={}:$PATH; cd {}\n", directory.word(""), directory.word(""));
    for Step { typed, .. } in session {
        script += &typed.replace("acme-", prefix);
        script += "\n";
        // What a person waits for before the next line is typed.
        if let Some(command) = typed.strip_suffix(" &") {
            let name = command.split_whitespace().find(|word| word.starts_with("acme-")).unwrap_or("acme-nightly");
            let held = format!(
                "robust-shm holders --json {} 2>/dev/null | grep -q '\"held\":true'",
                name.replace("acme-", prefix)
            );
            // And the command has begun.
            script += &format!(
                "until {held} && pgrep -P $(pgrep -P $$ -n -x robust-shm) >/dev/null; do sleep 0.01; done; sleep 0.1\n"
            );
        }
        if typed.starts_with("kill -STOP") {
            script += "until grep -q '^State:.T' /proc/$!/status; do sleep 0.01; done\n";
        }
        script += &format!("echo '{END}'\n");
    }
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(format!("exec 2>&1\n{script}")).stdin(Stdio::null());
    let said = crate::tool::Running::start(bash).end();
    let end = format!("{END}\n");
    let parts = said.out.split(&end);
    let printed = parts.map(|part| part.replace(prefix, "acme-").lines().map(plain).collect::<Vec<_>>());
    session.iter().zip(printed).map(|(step, printed)| Step { typed: step.typed.clone(), printed }).collect()
}

#[test]
fn each_session_can_be_repeated() {
    if Command::new("bash")
        .arg("-c")
        .arg("command -v pgrep env rm")
        .output()
        .is_ok_and(|output| !output.status.success())
    {
        return support::skip(support::Need::System, "bash and pgrep");
    }
    let sessions = sessions();
    assert!(sessions.len() >= 4, "{sessions:?}");
    for session in sessions {
        let sweeps = |step: &Step| step.typed.starts_with("robust-shm gc");
        let play = || {
            let family = Scratch::new("guide");
            let mut played = play(&session, &format!("{}-", &*family));
            for step in played.iter_mut().filter(|step| sweeps(step)) {
                step.printed.retain(|line| line.starts_with("acme-")); // others leave something, too
            }
            played
        };
        if session.iter().any(sweeps) {
            // Whoever creates something sweeps as well.
            support::until("a session that nobody comes in the middle of", || (play() == session).then_some(()));
        } else {
            assert_eq!(play(), session);
        }
    }
}

/// The keys of the table, with the commands that have them.
fn documented() -> BTreeSet<(String, String)> {
    let rows =
        PAGE.lines().skip_while(|line| !line.starts_with("| key | ")).skip(2).take_while(|line| line.starts_with('|'));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let commands = match cells[2].trim_matches(['|', ' ']) {
            "all" => ["ls", "info", "holders", "show", "get", "add", "rm", "gc"].map(str::to_owned).to_vec(),
            commands => quoted(commands),
        };
        let keys = quoted(cells[0]);
        commands.into_iter().flat_map(move |command| keys.clone().into_iter().map(move |key| (key, command.clone())))
    })
    .collect()
}

#[test]
fn every_key_is_documented_and_there() {
    let (value, semaphore, gone) = (Scratch::new("value"), Scratch::new("semaphore"), Scratch::new("gone"));
    let handle = SharedValue::create(&value, 1u64).unwrap();
    let (array, number) = (Scratch::new("array"), Scratch::new("number"));
    let _array = SharedArray::<u16, 2>::create(&array).unwrap();
    let _number = SharedValue::create(&number, 1u64).unwrap();
    let _semaphore = SharedSemaphore::create(&semaphore, 1).unwrap();
    robust_shm::SharedLock::options().persistent(true).create(&gone).map(drop).unwrap();
    std::fs::write(support::path(&gone), &std::fs::read(support::path(&gone)).unwrap()[..600]).unwrap();
    let _guard = handle.lock().unwrap();
    let orphan = Scratch::new("orphan");
    let gc = support::until("an orphan that nobody else removes", || {
        let child = support::spawn("hold", &orphan);
        child.expect("ready");
        child.kill();
        run(&["gc", "--json", "--dry-run"]).all_json().into_iter().find(|row| row["name"] == *orphan)
    });
    let mut found = BTreeSet::new();
    let mut note = |command: &str, object: &Value| {
        found.extend(object.as_object().unwrap().keys().map(|key| (key.clone(), command.to_owned())));
    };
    for name in [&value, &semaphore] {
        note("info", &run(&["info", "--json", name]).json());
        note("holders", &run(&["holders", "--json", name]).json());
    }
    for name in [&value, &semaphore, &array] {
        note("show", &run(&["show", "--json", name]).json());
    }
    note("get", &run(&["get", "--json", &value]).json());
    note("add", &run(&["add", "--json", &number, "1"]).json());
    let listed = run(&["ls", "--json"]).all_json();
    for name in [&value, &semaphore, &gone] {
        note("ls", listed.iter().find(|row| row["name"] == **name).unwrap());
    }
    note("rm", &run(&["rm", "--json", &gone]).json());
    note("gc", &gc);
    assert_eq!(found, documented());
}
