//! Segments of other users: shown as far as their mode allows, and left alone.

use std::os::unix::process::CommandExt;

use robust_shm::{SharedArray, SharedEvent, SharedLock, SharedValue};

use crate::support::{self, Scratch, exists, is_root};
use crate::tool::{PROGRAM, Running, Said};

const STRANGER: u32 = 61_234;

/// Runs the program as a user who has nothing here.
fn as_stranger(arguments: &[&str]) -> Said {
    let mut command = std::process::Command::new(PROGRAM);
    command.args(arguments).uid(STRANGER).gid(STRANGER).current_dir("/");
    Running::start(command).end()
}

fn can_be_a_stranger() -> bool {
    if !is_root("only root can start a program as somebody else") {
        return false;
    }
    let mut command = std::process::Command::new(PROGRAM);
    let works = command.arg("--version").uid(STRANGER).gid(STRANGER).current_dir("/").output().is_ok();
    if !works {
        support::skip(support::Need::System, "a directory whose programs strangers may run");
    }
    works
}

#[test]
fn strangers_see_what_the_mode_allows() {
    if !can_be_a_stranger() {
        return;
    }
    let (open, closed) = (Scratch::new("open"), Scratch::new("closed"));
    let readable = SharedLock::options().mode(0o644).create(&open).unwrap();
    let _closed = SharedLock::create(&closed).unwrap();
    let _guard = readable.lock().unwrap();
    let mine = as_stranger(&["ls"]);
    assert!(mine.code == 0 && !mine.out.contains(&*open) && !mine.out.contains(&*closed), "{mine:?}");
    let all = as_stranger(&["ls", "--all"]);
    assert!(all.code == 0 && !all.out.contains(&*closed), "{all:?}");
    assert_eq!(all.row(&open)[7], "held");
    assert_eq!((as_stranger(&["holders", &open]).code, as_stranger(&["info", &open]).code), (0, 0));
    let value = Scratch::new("value");
    let _value = SharedValue::options().mode(0o644).create(&value, 7u64).unwrap();
    assert_eq!([as_stranger(&["show", &value]), as_stranger(&["get", &value])].map(|said| said.out), ["7\n", "7\n"]);
    let root = Running::of(&["ls", &open]).end();
    assert_eq!(root.row(&open)[0], &*open);
}

#[test]
fn strangers_are_told_that_they_may_not() {
    if !can_be_a_stranger() {
        return;
    }
    let (event, lock) = (Scratch::new("event"), Scratch::new("lock"));
    let _event = SharedEvent::options().mode(0o666).create(&event).unwrap();
    let _lock = SharedLock::create(&lock).unwrap();
    let (value, array) = (Scratch::new("value"), Scratch::new("array"));
    let _value = SharedValue::create(&value, 1u64).unwrap();
    let _array = SharedArray::<u8, 2>::options().mode(0o666).create(&array).unwrap();
    for (arguments, code) in [
        (&["info", &*lock][..], 5),
        (&["show", &lock], 5),
        (&["get", &value], 5),
        (&["set", &value, "1"], 5),
        (&["add", &value, "1"], 5),
        (&["show", "--lock", &array], 5),
        (&["holders", &lock], 5),
        (&["rm", &lock], 5),
        (&["wait", &lock, "--until", "free"], 5),
        (&["wait", &lock, "--until", "gone", "--timeout", "0"], 5),
        (&["lock", &lock, "--", "true"], 125),
        (&["create", &lock, "lock"], 5),
        // He may write, but the owner could be an enemy.
        (&["event", &event, "set"], 5),
        (&["wait", &event, "--until", "set"], 5),
        (&["rm", &event], 5),
    ] {
        let said = as_stranger(arguments);
        assert_eq!((said.code, &*said.out), (code, ""), "{arguments:?}: {said:?}");
        assert!(said.err.starts_with("robust-shm: "), "{said:?}");
    }
    let gc = as_stranger(&["gc"]);
    assert_eq!((gc.code, &*gc.out), (0, ""));
    assert!(exists(&event) && exists(&lock));
}
