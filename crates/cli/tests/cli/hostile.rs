//! Names, tags, program names and files of strangers: shown, and harmless.

use std::os::unix::fs::FileExt;

use robust_shm::{SharedLock, SharedValue};
use serde_json::json;

use crate::support::{self, Body, Scratch, path, ready_to_die, spawn, until};
use crate::tool::{Running, command, run};

pub(crate) const ROLES: [(&str, Body); 1] = [("with-a-bad-name", |name| {
    let value = SharedValue::open_or_create(name, 7u64).unwrap();
    let _guard = value.lock().unwrap();
    std::fs::write("/proc/self/comm", "\u{1b}[2J\nroot").unwrap();
    ready_to_die();
})];

/// Clears the screen, ends the line, sets the title, writes from right to left.
const HOSTILE: &str = "\u{1b}[2J\n\r\u{1b}]0;owned\u{7}\u{202e}\u{9b}31m";

/// All that there is of colour is ours.
fn assert_harmless(text: &str) {
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\u{1b}') {
        assert!(!before.contains(is_harmful), "{text:?}");
        let end = behind.find(|char: char| char.is_ascii_alphabetic()).unwrap();
        let is_colour = behind.starts_with('[') && behind[end..].starts_with('m');
        assert!(is_colour && behind[1..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b';'), "{text:?}");
        rest = &behind[end..];
    }
    assert!(!rest.contains(is_harmful), "{text:?}");
}

fn is_harmful(char: char) -> bool {
    char.is_control() && char != '\n' || char == '\u{202e}'
}

#[test]
fn names_and_tags_do_nothing_to_a_terminal() {
    let name = Scratch::new(HOSTILE);
    let _value = SharedValue::options().type_tag(HOSTILE).create(&name, 1u64).unwrap();
    let other = Scratch::new("other");
    let pattern = name.0.replace(HOSTILE, "*");
    for arguments in [
        &["ls", &*pattern][..],
        &["info", &name],
        &["holders", &name],
        &["create", &name, "lock"],
        &["wait", &name, "--until", "gone", "--timeout", "0"],
        &["wait", &name, "--until", "set"],
        &["lock", &name, "--", "true"],
        &["lock", &other, "--", HOSTILE],
        &["rm", "--if-unused", &name],
    ] {
        for colours in ["0", "1"] {
            let mut program = command(arguments);
            program.env("CLICOLOR_FORCE", colours);
            let said = Running::start(program).end();
            assert_harmless(&said.out);
            assert_harmless(&said.err);
            assert!(said.err.lines().count() <= 1, "one line for each complaint: {said:?}");
        }
    }
    let said = run(&["ls", &pattern]);
    assert_eq!(said.out.lines().count(), 2, "a name is one row: {said:?}");
    assert!(said.out.contains("\\u{1b}[2J\\n\\r"), "and can be told: {said:?}");
    let json = run(&["ls", "--json", &pattern]).json();
    assert_eq!([&json["name"], &json["type"]], [&json!(name.0), &json!(HOSTILE)], "for scripts it is what it is");
    assert!(!run(&["names"]).out.contains('\u{1b}'));
}

#[test]
fn neither_do_the_names_of_programs() {
    let name = Scratch::new("program");
    let child = spawn("with-a-bad-name", &name);
    child.expect("ready");
    let said = until("it to be named", || {
        let said = run(&["holders", &name]);
        said.out.contains("\\u{1b}[2J\\nroot").then_some(said)
    });
    assert_harmless(&said.out);
    let said = until("it to be named", || {
        let said = run(&["info", &name]);
        said.out.contains("\\u{1b}[2J\\nroot").then_some(said)
    });
    assert_harmless(&said.out);
    child.kill();
}

/// A program of another version, a disk that was full, somebody's joke: each is a row, and the others are listed.
#[test]
fn damaged_segments_are_rows() {
    let family = support::Family::new("damaged");
    let names: Vec<String> = (0..4).map(|which| family.member(which)).collect();
    for name in &names {
        SharedLock::options().persistent(true).create(name).map(drop).unwrap();
    }
    let file = |which: usize| std::fs::OpenOptions::new().write(true).open(path(&names[which])).unwrap();
    file(1).set_len(600).unwrap(); // truncated
    file(2).write_all_at(&99u32.to_ne_bytes(), 8).unwrap(); // another format
    file(3).write_all_at(&[255; 8], 48).unwrap(); // no such kind
    let pattern = format!("{}*", family.name());
    let said = run(&["ls", &pattern]);
    assert_eq!((said.code, said.out.lines().count()), (0, 5), "{said:?}");
    let state = |which: usize| said.row(&names[which])[7].to_owned();
    assert_eq!([state(0), state(1), state(2)], ["free", "damaged", "unsupported"], "{said:?}");
    assert_eq!(said.err.lines().count(), 3, "{said:?}");
    assert!(said.err.contains("is truncated") && said.err.contains("format version 99"), "{said:?}");
    let all = run(&["ls", "--json", &pattern]).all_json();
    let damaged: Vec<_> = all.iter().filter(|row| !row["error"].is_null()).collect();
    assert_eq!((all.len(), damaged.len(), &damaged[0]["format"]), (4, 3, &json!(1)));
    for name in &names[1..] {
        for command in [&["info", name][..], &["holders", name]] {
            assert_eq!(run(command).code, 6, "{command:?}");
        }
        assert_eq!(run(&["rm", name]).code, 0, "what is damaged can be removed");
    }
}

/// It is not ours to touch, whatever is asked for.
#[test]
fn files_that_are_no_segments_are_left_alone() {
    let name = Scratch::new("stranger");
    std::fs::write(path(&name), "not a segment").unwrap();
    assert_eq!(run(&["ls", &name]).out.lines().count(), 1);
    for arguments in [&["info", &*name][..], &["holders", &name], &["rm", &name]] {
        let said = run(arguments);
        assert_eq!(said.code, 65, "{said:?}");
    }
    assert_eq!(run(&["lock", &name, "--", "true"]).code, 125);
    assert_eq!(run(&["create", &name, "lock"]).code, 65);
    assert_eq!(run(&["wait", &name, "--until", "exists", "--timeout", "0"]).code, 124, "no segment");
    assert_eq!(std::fs::read(path(&name)).unwrap(), b"not a segment");
}
