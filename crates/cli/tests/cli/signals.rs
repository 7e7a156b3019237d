//! `lock` and signals: its command hears of those that it gets, and of its death.

use std::os::unix::process::CommandExt;

use robust_shm::SharedLock;

use crate::support::{Scratch, until};
use crate::tool::{Directory, Running, command, run};

/// A shell that says in a file that it is ready, and which signal comes to it. (`$0` is the file.)
const LISTENS: &str = "for s in HUP INT QUIT TERM USR1 USR2; do trap \"echo $s >\\\"$0\\\"; exit 42\" $s; done; \
                       echo ready >\"$0\"; while :; do sleep 0.01; done";

fn until_it_says(file: &std::path::Path, word: &str) {
    until(word, || std::fs::read_to_string(file).is_ok_and(|text| text.trim() == word).then_some(()));
}

#[test]
fn signals_go_to_the_command() {
    let directory = Directory::new();
    let name = Scratch::new("signals");
    let lock = SharedLock::create(&name).unwrap();
    for (signal, word) in [
        (libc::SIGHUP, "HUP"),
        (libc::SIGINT, "INT"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGTERM, "TERM"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
    ] {
        let file = directory.path(word);
        let running = Running::of(&["lock", &name, "--", "sh", "-c", LISTENS, file.to_str().unwrap()]);
        until_it_says(&file, "ready");
        running.signal(signal);
        let said = running.end();
        assert_eq!(said.code, 42, "{word}: {said:?}");
        until_it_says(&file, word);
        assert!(!lock.is_poisoned(), "{word}");
    }
    let running = Running::of(&["lock", &name, "--", "sleep", "1000"]);
    until("it to hold", || lock.info().unwrap().holder_process());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code, 143, "as the command has ended");
    assert!(!lock.is_poisoned());
}

/// Who waits for the lock has nothing to pass on, and holds nothing.
#[test]
fn who_still_waits_is_ended_by_a_signal() {
    let name = Scratch::new("waits");
    let lock = SharedLock::create(&name).unwrap();
    let guard = lock.lock().unwrap();
    let running = Running::of(&["lock", &name, "--", "echo", "never"]);
    until("it to sleep for the lock", || lock.info().unwrap().has_sleepers().then_some(()));
    running.until_asleep();
    running.signal(libc::SIGINT);
    let said = running.end();
    assert_eq!((said.code, &*said.out), (130, ""));
    drop(guard);
    assert!(lock.lock().is_ok() && !lock.is_poisoned());
}

/// What `nohup` and the like have set is set for the command, too.
#[test]
#[allow(unsafe_code, clippy::multiple_unsafe_ops_per_block)]
fn what_is_ignored_and_blocked_stays_so() {
    let name = Scratch::new("masks");
    let mut program = command(&["lock", &name, "--", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    // SAFETY: system calls only.
    unsafe {
        program.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            let mut set = std::mem::zeroed();
            libc::sigaddset(&raw mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
            Ok(())
        })
    };
    let said = Running::start(program).end();
    let mask = |which: &str| {
        let line = said.out.lines().find_map(|line| line.strip_prefix(which)).unwrap_or_else(|| panic!("{said:?}"));
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let bit = |signal: libc::c_int| 1u64 << (signal - 1);
    assert_eq!(mask("SigBlk:"), bit(libc::SIGUSR1), "{said:?}");
    assert_eq!(mask("SigIgn:") & (bit(libc::SIGHUP) | bit(libc::SIGPIPE)), bit(libc::SIGHUP), "{said:?}");
}

/// A parent that ignores the deaths of children would never hear of this one's.
#[test]
#[allow(unsafe_code, clippy::multiple_unsafe_ops_per_block)]
fn an_ignored_death_of_a_child_is_heard_of() {
    let name = Scratch::new("ignored");
    let mut program = command(&["lock", &name, "--", "sh", "-c", "exit 5"]);
    // SAFETY: a system call.
    unsafe {
        program.pre_exec(|| {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            Ok(())
        })
    };
    assert_eq!(Running::start(program).end().code, 5);
}

/// The choice of what the command gets.
#[test]
fn the_death_of_the_program_is_told_as_one_likes() {
    let directory = Directory::new();
    for (on_death, word) in [("term", "TERM"), ("kill", "ready"), ("none", "ready")] {
        let name = Scratch::new("death");
        let file = directory.path(on_death);
        let arguments =
            ["lock", &name, "--on-death", on_death, "--", "sh", "-c", &format!("echo $$ >\"$0.id\"; {LISTENS}")];
        let running = Running::of(&[&arguments[..], &[file.to_str().unwrap()]].concat());
        until_it_says(&file, "ready");
        let id: libc::pid_t =
            std::fs::read_to_string(directory.path(format!("{on_death}.id"))).unwrap().trim().parse().unwrap();
        running.signal(libc::SIGKILL);
        if on_death == "none" {
            let parent = || {
                std::fs::read_to_string(format!("/proc/{id}/stat"))
                    .unwrap()
                    .rsplit_once(") ")
                    .unwrap()
                    .1
                    .split(' ')
                    .nth(1)
                    .map(str::to_owned)
            };
            let before = running.id().to_string();
            until("the command to have another parent", || (parent().unwrap() != before).then_some(()));
            assert!(!crate::support::has_ended(id), "it goes on");
            // SAFETY: a signal to the command, which was there a moment ago and whose id nobody has collected.
            #[allow(unsafe_code)]
            let result = unsafe { libc::kill(id, libc::SIGKILL) };
            assert_eq!(result, 0);
        }
        assert_eq!(running.end().code, 137);
        until_it_says(&file, word);
    }
    assert_eq!(run(&["lock", "x", "--on-death", "segv", "--", "true"]).code, 125);
}
