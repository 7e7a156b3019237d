//! `lock`: its command runs alone, and its exit code is the command's.

use robust_shm::{SegmentInfo, SharedLock, SharedRwLock, SharedSemaphore, remove};
use serde_json::json;

use crate::support::{Scratch, exists, until};
use crate::tool::{Directory, PROGRAM, Running, run};

#[test]
fn the_exit_code_is_the_commands() {
    let name = Scratch::new("code");
    for (script, code) in [("true", 0), ("exit 7", 7), ("exit 124", 124), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        let said = run(&["lock", &name, "--", "sh", "-c", script]);
        assert_eq!((said.code, &*said.err), (code, ""), "{script}");
    }
    assert!(!exists(&name), "the last user has taken it along, and nothing was poisoned");
    let said = run(&["lock", &name, "--", "/no-such-program"]);
    assert!(said.code == 127 && said.err.contains("no-such-program"), "{said:?}");
    let directory = Directory::new();
    std::fs::write(directory.path("text"), "no program").unwrap();
    assert_eq!(run(&["lock", &name, "--", &directory.word("text")]).code, 126);
    assert_eq!(run(&["lock", &name]).code, 125, "no code that could be a command's");
    assert_eq!(run(&["lock", "a/b", "--", "true"]).code, 125);
}

#[test]
fn the_command_has_its_arguments_and_the_output() {
    let name = Scratch::new("arguments");
    let said = run(&["lock", &name, "--", "printf", "%s|", "a b", "--json", "-E"]);
    assert_eq!((&*said.out, said.code), ("a b|--json|-E|", 0));
}

#[test]
fn it_holds_while_the_command_runs() {
    let name = Scratch::new("held");
    let said = run(&["lock", &name, "--", PROGRAM, "holders", "--json", &name]);
    let json = said.json();
    assert_eq!([&json["held"], &json["holders"][0]["command"]], [&json!(true), &json!("robust-shm")]);
    assert_eq!(said.code, 0);
}

/// Eight at once count in a file, which nothing but the lock guards.
#[test]
fn nobody_else_runs_meanwhile() {
    const PROCESSES: usize = 8;
    const ROUNDS: usize = 5;
    let (name, directory) = (Scratch::new("count"), Directory::new());
    let file = directory.word("count");
    std::fs::write(&file, "0").unwrap();
    let script = format!(
        "for i in $(seq {ROUNDS}); do \"$1\" lock \"$2\" -- sh -c 'n=$(cat \"$0\"); echo $((n+1)) >\"$0\"' \"$3\" || exit; done"
    );
    let running = std::iter::repeat_with(|| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, "sh", PROGRAM, &name, &file]);
        Running::start(shell)
    });
    let running: Vec<Running> = running.take(PROCESSES).collect();
    running.into_iter().for_each(|running| assert_eq!(running.end().code, 0));
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), (PROCESSES * ROUNDS).to_string());
}

#[test]
fn who_is_late_exits_with_the_code_for_it() {
    let name = Scratch::new("late");
    let lock = SharedLock::create(&name).unwrap();
    let guard = lock.lock().unwrap();
    for (timeout, more, code) in
        [("0", &[][..], 124), ("0.01", &[], 124), ("0", &["-E", "9"], 9), ("0", &["--exit-code", "0"], 0)]
    {
        let arguments = ["lock", &name, "--timeout", timeout];
        let said = run(&[&arguments[..], more, &["--", "echo", "never"]].concat());
        assert_eq!((said.code, &*said.out), (code, ""), "{said:?}");
        assert!(said.err.contains("it was still held by"), "{said:?}");
    }
    drop(guard);
    assert_eq!(run(&["lock", &name, "--timeout", "60", "--", "echo", "now"]).out, "now\n");
}

#[test]
fn a_permit_is_one_of_several() {
    let name = Scratch::new("permits");
    let semaphore = SharedSemaphore::create(&name, 2).unwrap();
    let (mine, other) = (semaphore.acquire().unwrap(), semaphore.acquire().unwrap());
    assert_eq!(run(&["lock", &name, "--timeout", "0", "--", "true"]).code, 124);
    drop(mine);
    let said = run(&["lock", &name, "--", PROGRAM, "holders", "--json", &name]);
    assert_eq!((said.code, &said.json()["available"]), (0, &json!(0)), "{said:?}");
    assert_eq!(semaphore.available(), 1);
    drop(other);
}

#[test]
fn readers_run_side_by_side_and_writers_alone() {
    let name = Scratch::new("rwlock");
    let said = run(&[
        "lock", "--read", &name, "--", PROGRAM, "lock", "--read", &name, "--", PROGRAM, "holders", "--json", &name,
    ]);
    assert_eq!((said.code, &said.json()["readers"]), (0, &json!(2)), "{said:?}");
    assert!(!exists(&name));
    let lock = SharedRwLock::create(&name).unwrap();
    let reading = lock.read().unwrap();
    assert_eq!(run(&["lock", &name, "--timeout", "0", "--", "true"]).code, 124, "all of it");
    assert_eq!(run(&["lock", "--read", &name, "--timeout", "0", "--", "true"]).code, 0);
    drop(reading);
    assert_eq!(run(&["lock", &name, "--timeout", "0", "--", "true"]).code, 0);
    let plain = Scratch::new("plain");
    let _plain = SharedLock::create(&plain).unwrap();
    assert_eq!(run(&["lock", "--read", &plain, "--", "true"]).code, 125, "a lock has no readers");
}

/// Kills the program while its command runs under this lock.
fn die(name: &str, options: &[&str]) {
    let running = Running::of(&[&["lock", name], options, &["--", "sleep", "1000"]].concat());
    until("it to hold", || SegmentInfo::of(name).ok()?.holder_process().filter(|holder| *holder == running.id()));
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, 137); // and the command, which has its output, has ended
}

#[test]
fn a_killed_one_leaves_poison_and_takes_its_command_along() {
    let name = Scratch::new("poison");
    die(&name, &["--persistent"]);
    let said = run(&["lock", &name, "--", "echo", "never"]);
    assert_eq!((said.code, &*said.out), (123, ""));
    assert!(said.err.contains("poisoned") && said.err.contains("--recover COMMAND"), "{said:?}");

    let said = run(&["lock", &name, "--ignore-poison", "--", "echo", "anyway"]);
    assert_eq!((said.code, &*said.out), (0, "anyway\n"));
    let said = run(&["lock", &name, "--recover", "echo tried; false", "--", "echo", "never"]);
    assert_eq!((said.code, &*said.out), (123, "tried\n"), "{said:?}");
    assert!(said.err.contains("the repair has failed with 1"), "{said:?}");
    assert_eq!(run(&["lock", &name, "--", "true"]).code, 123, "still");

    let said = run(&["lock", &name, "--recover", "echo repaired", "--", "echo", "then"]);
    assert_eq!((said.code, &*said.out), (0, "repaired\nthen\n"), "{said:?}");
    let said = run(&["lock", &name, "--recover", "echo nothing to do", "--", "echo", "whole"]);
    assert_eq!((said.code, &*said.out), (0, "whole\n"), "{said:?}");
    remove(&name).unwrap();
}

/// Which is why `--persistent` is there, and the help says so.
#[test]
fn a_lock_that_nobody_else_has_open_forgets() {
    let name = Scratch::new("forgets");
    die(&name, &[]);
    assert_eq!(run(&["lock", &name, "--", "true"]).code, 0);
    let lock = SharedLock::create(&name).unwrap();
    die(&name, &[]);
    assert_eq!(run(&["lock", &name, "--", "true"]).code, 123, "another user has kept it");
    drop(lock);
    assert!(run(&["lock", "--help"]).out.contains("with --persistent it stays, and remembers"));
}

#[test]
fn a_read_write_lock_is_repaired_as_well() {
    let name = Scratch::new("rwlock");
    let lock = SharedRwLock::create(&name).unwrap();
    die(&name, &[]);
    assert_eq!(run(&["lock", &name, "--", "true"]).code, 123);
    assert_eq!(run(&["lock", "--read", &name, "--", "true"]).code, 123, "readers are told, too");
    assert_eq!(run(&["lock", &name, "--recover", "true", "--", "true"]).code, 0);
    assert!(!lock.is_poisoned());
}
