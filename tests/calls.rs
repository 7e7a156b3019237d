//! Windows: to lock and to unlock what nobody waits for asks nothing of the system.
//!
//! Wine is what can show it: each use of an object and each wait is a request to its server, which writes a line for each into
//! the file that `ROBUST_SHM_TEST_TRACE` names, as `platforms/wine.sh` has started it. Windows itself has no such thing. (On
//! Linux a tracer counts: `waits/calls.rs`.)
#![cfg(windows)]

mod support;

use std::fs::{self, File};
use std::path::PathBuf;

use robust_shm::{SharedArray, SharedLock, SharedValue, unique_name};
use support::{Need, Scratch, play, skip, spawn};

const ROUNDS: usize = 10_000;

#[test]
fn child() {
    play(&[("locks", |said| between_marks(said, lock_each_kind)), ("opens", |said| between_marks(said, open))]);
}

/// What is counted, so many times, between its two marks.
type Body = fn(rounds: usize, mark: &dyn Fn(&str));

/// The body makes two marks, which are requests with a name: files that nobody else makes.
fn between_marks(said: &str, body: Body) {
    let (name, rounds) = said.split_once(' ').unwrap();
    let path = |which: &str| std::env::temp_dir().join(format!("{name}-{which}"));
    body(rounds.parse().unwrap(), &|which| drop(File::create(path(which)).unwrap()));
    ["begin", "end"].iter().for_each(|which| fs::remove_file(path(which)).unwrap());
}

fn lock_each_kind(rounds: usize, mark: &dyn Fn(&str)) {
    let names = [0; 3].map(|_| Scratch::new("calls"));
    let lock = SharedLock::create(&names[0]).unwrap();
    let value = SharedValue::create(&names[1], 0u64).unwrap();
    let array = SharedArray::<u64, 4>::create(&names[2]).unwrap();
    let round = || {
        drop(lock.lock().unwrap());
        value.update(|value| *value += 1).unwrap();
        array.set(1, 7).unwrap();
    };
    round(); // makes the thread known
    mark("begin");
    (0..rounds).for_each(|_| round());
    mark("end");
    assert_eq!(value.get(), rounds as u64 + 1);
}

fn open(rounds: usize, mark: &dyn Fn(&str)) {
    let name = Scratch::new("calls");
    let _lock = SharedLock::create(&name).unwrap();
    mark("begin");
    (0..rounds).for_each(|_| drop(SharedLock::open(&name).unwrap()));
    mark("end");
}

/// How much the thread that plays the role asks between its marks; `None`: nobody writes that down. (What others ask meanwhile
/// is not counted: the services of Wine never rest.)
fn requests(role: &str, rounds: usize) -> Option<usize> {
    let Some(trace) = std::env::var_os("ROBUST_SHM_TEST_TRACE").map(PathBuf::from) else {
        skip(Need::System, "a trace of what Wine's server is asked");
        return None;
    };
    let name = unique_name("robust-shm-mark");
    spawn(role, &format!("{name} {rounds}")).join(); // within the limit of all tests
    let text = String::from_utf8_lossy(&fs::read(trace).unwrap()).into_owned();
    let mark = |line: &str, which: &str| line.contains("create_file(") && line.contains(&format!("{name}-{which}"));
    let mut lines = text.lines().skip_while(|line| !mark(line, "begin"));
    let thread = lines.next().expect("a mark in the trace").split(": ").next().unwrap();
    let mut is_over = false;
    let asked = lines.take_while(|line| {
        is_over = mark(line, "end");
        !is_over
    });
    let count = asked.filter(|line| line.split_once(": ").is_some_and(|(of, rest)| of == thread && is_request(rest)));
    let count = count.count();
    assert!(is_over, "the second mark is in the trace");
    Some(count)
}

/// `close_handle( handle=0024 )`, and not the answer, `close_handle() = 0`.
fn is_request(text: &str) -> bool {
    text.split_once("( ").is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

#[test]
fn what_nobody_waits_for_costs_no_call() {
    let Some(few) = requests("locks", 1) else { return };
    let many = requests("locks", ROUNDS).unwrap();
    println!("requests: {few} beside one round, {many} beside {ROUNDS}");
    assert_eq!(few, many, "beside one round, and beside {ROUNDS}");
}

/// Else there would be none, whatever is counted.
#[test]
fn what_counts_requests_counts_them() {
    let Some(none) = requests("opens", 0) else { return };
    let ten = requests("opens", 10).unwrap();
    println!("requests: {none} beside nothing, {ten} beside ten handles that open and go");
    assert!(ten > none + 10, "{none} beside nothing, {ten} beside ten handles");
}
