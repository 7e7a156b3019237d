//! `lock`, killed at each step of starting its command: the command never runs without the lock, and who comes next is told.

use robust_shm::{SharedLock, remove};

use crate::support::{Scratch, until};
use crate::tool::{Directory, Running, command, run};

/// Where it dies, and whether it has the lock by then.
const STEPS: [(&str, bool); 8] = [
    ("begun", false),
    ("open", false),
    ("held", true),
    ("signals blocked", true),
    ("forked", true),
    ("death signal set", true),
    ("started", true),
    ("ended", true),
];

#[test]
fn killed_at_each_step_it_leaves_no_command_and_no_riddle() {
    if !cfg!(debug_assertions) {
        return; // there are no steps in what is released
    }
    for (step, holds) in STEPS {
        for is_last in [false, true] {
            let (name, directory) = (Scratch::new("step"), Directory::new());
            let other = (!is_last).then(|| SharedLock::create(&name).unwrap());
            let file = directory.word("ran");
            // What ends only when it is ended, unless the step is behind its end.
            let script = if step == "ended" { "echo ran >\"$0\"" } else { "echo ran >\"$0\"; exec sleep 1000" };
            let mut program = command(&["lock", &name, "--", "sh", "-c", script, &file]);
            program.env("ROBUST_SHM_TEST_DIE_AT", step);
            let said = Running::start(program).end(); // all that had its output have ended
            assert_eq!((said.code, &*said.err), (137, ""), "{step}");
            let has_run = std::path::Path::new(&file).exists();
            assert!(has_run || step != "ended", "{step}");
            assert!(!has_run || holds, "{step}: without the lock");
            if matches!(step, "begun" | "open" | "held" | "signals blocked") {
                assert!(!has_run, "{step}: it was not started yet");
            }

            // With another user, the lock knows; else it goes, and a new one is free.
            let next = run(&["lock", &name, "--", "true"]).code;
            assert_eq!(next, if holds && other.is_some() { 123 } else { 0 }, "{step}");
            if other.is_some() {
                assert_eq!(run(&["lock", &name, "--recover", "true", "--", "true"]).code, 0, "{step}");
                assert_eq!(run(&["lock", &name, "--", "true"]).code, 0, "{step}");
            }
        }
    }
}

/// A waiter is not left behind, whenever the holder dies.
#[test]
fn who_waits_behind_it_goes_on() {
    if !cfg!(debug_assertions) {
        return;
    }
    for (step, _) in STEPS.iter().filter(|(_, holds)| *holds) {
        let name = Scratch::new("behind");
        SharedLock::options().persistent(true).create(&name).map(drop).unwrap();
        let lock = SharedLock::open(&name).unwrap();
        let guard = lock.lock().unwrap();
        let mut dies = command(&["lock", &name, "--", "true"]);
        dies.env("ROBUST_SHM_TEST_DIE_AT", step);
        let dies = Running::start(dies);
        until("the first to sleep", || lock.info().unwrap().has_sleepers().then_some(()));
        dies.until_asleep();
        let next = Running::of(&["lock", &name, "--recover", "echo repaired", "--", "echo", "ran"]);
        next.until_asleep();
        drop(guard);
        assert_eq!(dies.end().code, 137, "{step}");
        let said = next.end();
        assert_eq!((said.code, &*said.out), (0, "repaired\nran\n"), "{step}: {said:?}");
        remove(&name).unwrap();
    }
}

/// It has the lock, and not yet a command: a signal ends it as it ends any program, and yet nobody is told that something may
/// be half-done.
#[test]
fn a_signal_before_the_command_poisons_nothing() {
    if !cfg!(debug_assertions) {
        return;
    }
    for (step, signal, code) in [
        ("begun", libc::SIGTERM, 143),
        ("open", libc::SIGTERM, 143),
        ("held", libc::SIGTERM, 143),
        ("held", libc::SIGINT, 130),
        ("held", libc::SIGUSR1, 138),
        ("signals blocked", libc::SIGTERM, 143), // the command gets it
        ("started", libc::SIGINT, 130),
    ] {
        let (name, directory) = (Scratch::new("signal"), Directory::new());
        let lock = SharedLock::create(&name).unwrap();
        let file = directory.word("ran");
        let mut program = command(&["lock", &name, "--", "sh", "-c", "echo ran >\"$0\"; exec sleep 1000", &file]);
        program.env("ROBUST_SHM_TEST_DIE_AT", format!("{step}:{signal}"));
        let said = Running::start(program).end();
        assert_eq!((said.code, &*said.err), (code, ""), "{step}");
        assert!(!lock.is_poisoned(), "{step}");
        let may_run = matches!(step, "signals blocked" | "started");
        assert!(may_run || !std::path::Path::new(&file).exists(), "{step}");
        assert!(lock.try_lock().is_ok(), "{step}");
    }
}

/// Who only waits for a lock has it for a moment, too.
#[test]
fn a_signal_to_one_who_waits_until_it_is_free_poisons_nothing() {
    if !cfg!(debug_assertions) {
        return;
    }
    let name = Scratch::new("free");
    let lock = SharedLock::create(&name).unwrap();
    let mut program = command(&["wait", &name, "--until", "free"]);
    program.env("ROBUST_SHM_TEST_DIE_AT", format!("waited:{}", libc::SIGTERM));
    assert_eq!(Running::start(program).end().code, 143);
    assert!(!lock.is_poisoned() && lock.try_lock().is_ok());
}
