//! The messages of lock errors: what is the matter, by whom, and what to do; and no more sides than there are.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use robust_shm::{LockError, SharedArray, SharedLock, SharedValue};
use support::{Scratch, play, ready_to_die, spawn, told};
#[cfg(target_os = "linux")]
use support::{fork, pause, say};

#[test]
fn child() {
    play(&[
        ("hold", hold),
        #[cfg(target_os = "linux")]
        ("hold in a fork", hold_in_a_fork),
    ]);
}

/// In a thread of the test harness.
fn hold(name: &str) {
    let value = SharedValue::<u32>::open(name).unwrap();
    let _guard = value.lock().unwrap();
    ready_to_die();
}

/// In the only thread of a process.
#[cfg(target_os = "linux")]
fn hold_in_a_fork(name: &str) {
    let value = SharedValue::<u32>::open(name).unwrap();
    let child = fork(|| {
        let _guard = value.lock().unwrap();
        say(std::process::id());
        pause();
    });
    child.join();
}

#[cfg(target_os = "linux")]
#[test]
fn a_timeout_names_the_thread_and_the_process_of_the_holder() {
    let name = Scratch::new("holder");
    let value = SharedValue::create(&name, 1u32).unwrap();
    let child = spawn("hold", &name);
    child.expect("ready");
    let error = value.try_lock_for(Duration::ZERO).unwrap_err();
    let LockError::TimedOut { holder: Some(thread), process, .. } = error else { panic!("{error}") };
    assert_ne!(thread, child.id(), "the harness runs tests in threads");
    assert_eq!(process, told(child.id()));
    let of_process = process.map_or_else(String::new, |process| format!(" of process {process}"));
    assert!(error.to_string().contains(&format!("held by thread {thread}{of_process}")), "{error}");
    child.kill();

    let child = spawn("hold in a fork", &name);
    let forked: u32 = child.hear().parse().unwrap();
    let error = value.try_lock_for(Duration::ZERO).unwrap_err();
    let LockError::TimedOut { holder, process, .. } = error else { panic!("{error}") };
    assert_eq!((holder, process), (Some(forked), told(forked)));
    let by = if process.is_some() { "process" } else { "thread" };
    assert!(error.to_string().contains(&format!("held by {by} {forked}")), "{error}");
    child.join();
}

#[test]
fn poison_speaks_of_what_is_poisoned() {
    let of_array = Scratch::new("array");
    let array = SharedArray::<u32, 4>::create(&of_array).unwrap();
    let of_lock = Scratch::new("lock");
    let lock = SharedLock::create(&of_lock).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| array.update(|_| panic!("to poison")))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| lock.with(|| panic!("to poison")))).is_err());
    let of_array = array.lock().unwrap_err();
    let of_lock = lock.lock().unwrap_err();
    assert!(matches!(of_array, LockError::Poisoned { kind: "SharedArray", .. }));
    assert!(matches!(of_lock, LockError::Poisoned { kind: "SharedLock", .. }));
    for (error, words, others) in [
        (&of_array, ["elements", "copy_from_slice", "lock_recover"], ["what it guards", "LockGuard"]),
        (&of_lock, ["what it guards", "poison(false)", "lock_recover"], ["elements", "copy_from_slice"]),
    ] {
        let message = error.to_string();
        assert!(message.contains("a holder died or panicked") && message.contains(error.name()), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!others.iter().any(|word| message.contains(word)), "{message}");
    }
}

/// "Expected it free, found it held" is no comparison.
#[test]
fn where_there_are_no_two_sides_none_are_shown() {
    let of_lock = Scratch::new("sides");
    let lock = SharedLock::create(&of_lock).unwrap();
    let of_flag = Scratch::new("sides");
    let flag = SharedValue::create(&of_flag, true).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(support::path(flag.name())).unwrap();
    const VALUE: u64 = 656;
    support::FileExt::write_all_at(&file, &[7], VALUE).unwrap();
    let _guard = lock.lock().unwrap();
    let messages = [
        lock.lock().unwrap_err().to_string(),
        lock.try_lock().unwrap_err().to_string(),
        flag.try_get().unwrap_err().to_string(),
        SharedLock::create(lock.name()).unwrap_err().to_string(),
        SharedLock::open("nobody-made-this").unwrap_err().to_string(),
    ];
    for message in messages {
        assert!(!message.contains("expected") && !message.contains("found it"), "{message}");
    }
}
