//! Windows: to lock and to unlock what nobody waits for asks nothing of the system.
//!
//! Wine is what can show it: told to, it writes a line for each request to its server, without which no object is used and
//! nothing is waited for. (Windows itself ignores that, and there the test shows nothing.)
#![cfg(windows)]

use std::process::Command;

use robust_shm::{SharedArray, SharedLock, SharedValue, unique_name};

const PAIRS: usize = 10_000;

/// The requests between the two lines that the child writes.
fn requests(pairs: usize) -> usize {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env("ROBUST_SHM_PAIRS", pairs.to_string())
        .env("WINEDEBUG", "+server")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let between = errors.split("-- begin").nth(1).and_then(|rest| rest.split("-- end").next()).unwrap();
    between.lines().count()
}

#[test]
fn child() {
    let Ok(pairs) = std::env::var("ROBUST_SHM_PAIRS") else { return };
    let lock = SharedLock::create(&unique_name("calls")).unwrap();
    let value = SharedValue::create(&unique_name("calls"), 0u64).unwrap();
    let array = SharedArray::<u64, 4>::create(&unique_name("calls")).unwrap();
    let pair = || {
        drop(lock.lock().unwrap());
        value.update(|value| *value += 1).unwrap();
        array.set(1, 7).unwrap();
    };
    pair(); // makes the thread known
    eprintln!("-- begin");
    (0..pairs.parse().unwrap()).for_each(|_| pair());
    eprintln!("-- end");
}

#[test]
fn what_nobody_waits_for_costs_no_call() {
    let (few, many) = (requests(1), requests(PAIRS));
    println!("requests: {few} beside one pair of each kind, {many} beside {PAIRS}");
    // What the system does by itself meanwhile.
    assert!(many < few + PAIRS / 100, "{few} beside one, {many} beside {PAIRS}");
}
