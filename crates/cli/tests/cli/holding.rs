//! `holders`: whoever holds it, in whatever state.

use robust_shm::{LockError, SharedArray, SharedLock, SharedRwLock, SharedSemaphore, SharedValue};
use serde_json::{Value, json};

use crate::support::{self, Body, LIMIT, Scratch, has_ended, pause, ready_to_die, say, spawn, until, until_it_waits};
use crate::tool::run;

/// What children of these tests do.
pub(crate) const ROLES: [(&str, Body); 5] = [
    ("hold", |name| {
        let value = SharedValue::open_or_create(name, 7u64).unwrap();
        let _guard = value.lock().unwrap();
        ready_to_die();
    }),
    ("use", |name| {
        let _value = SharedValue::<u64>::open(name).unwrap();
        ready_to_die();
    }),
    ("wait", |name| match SharedValue::<u64>::open(name).unwrap().try_lock_for(LIMIT) {
        Ok(_) => say("held"),
        Err(LockError::TimedOut { .. }) => say("late"),
        Err(error) => panic!("{error}"),
    }),
    ("hold-by-another-thread", |name| {
        let value = SharedValue::open_or_create(name, 7u64).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = value.lock().unwrap();
                say(support::own_tid());
                ready_to_die();
            });
        });
    }),
    ("dump", hold_and_dump_core),
];

fn holders(name: &str) -> Value {
    run(&["holders", "--json", name]).json()
}

#[test]
fn the_holder_is_named_with_its_state() {
    let name = Scratch::new("held");
    let holder = spawn("hold", &name);
    holder.expect("ready");
    let user = spawn("use", &name);
    user.expect("ready");
    let said = until("all to be named", || {
        let said = run(&["holders", &name]);
        said.out.contains(&format!("{} ", user.id())).then_some(said)
    });
    assert_eq!(said.code, 0);
    let row = said.row(&holder.id().to_string());
    assert_eq!(row[4..], ["sleeping", "the", "lock"], "{said:?}");
    assert!(said.out.contains("2 handles are attached; nobody is asleep"), "{said:?}");
    assert_eq!(said.row(&user.id().to_string()).len(), 5, "and holds nothing: {said:?}");
    let json = holders(&name);
    assert_eq!([&json["format"], &json["held"], &json["kind"]], [&json!(1), &json!(true), &json!("value")]);
    assert_eq!(
        [&json["holders"][0]["process"], &json["holders"][0]["state"]],
        [&json!(holder.id()), &json!("sleeping")]
    );
}

/// Nothing happens, and nobody knows why: the most frequent riddle.
#[test]
fn a_stopped_holder_is_said_to_be_stopped() {
    let name = Scratch::new("stopped");
    let holder = spawn("hold", &name);
    holder.expect("ready");
    let waiter = spawn("wait", &name);
    until_it_waits(&waiter);
    holder.signal(libc::SIGSTOP);
    until("it to be stopped", || (holders(&name)["holders"][0]["state"] == json!("stopped")).then_some(()));
    let said = run(&["holders", &name]);
    assert!(said.row(&holder.id().to_string()).contains(&"stopped"), "{said:?}");
    assert!(said.out.contains("somebody may be asleep, waiting"), "{said:?}");
    assert_eq!(holders(&name)["sleepers"], json!(true));
    holder.signal(libc::SIGCONT);
    holder.kill();
    waiter.expect("held");
    waiter.join();
}

#[test]
fn a_killed_holder_is_none() {
    let name = Scratch::new("killed");
    let value = SharedValue::create(&name, 7u64).unwrap();
    let holder = spawn("hold", &name);
    holder.expect("ready");
    assert_eq!(run(&["holders", &name]).code, 0);
    holder.kill();
    let said = run(&["holders", &name]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("nobody holds the lock"), "{said:?}");
    assert_eq!(holders(&name)["holders"], json!([]));
    drop(value);
}

#[test]
fn the_thread_is_named_that_holds() {
    let name = Scratch::new("thread");
    let holder = spawn("hold-by-another-thread", &name);
    let thread: u32 = holder.hear().parse().unwrap();
    let json = holders(&name);
    assert_eq!([&json["holders"][0]["process"], &json["holders"][0]["thread"]], [&json!(holder.id()), &json!(thread)]);
    let said = run(&["holders", &name]);
    assert_eq!(said.row(&holder.id().to_string())[1], thread.to_string());
    holder.kill();
}

/// So large that it takes a while: who dumps holds on.
#[allow(unsafe_code)]
fn hold_and_dump_core(name: &str) {
    let (name, directory) = name.split_once(' ').unwrap();
    let value = SharedValue::open_or_create(name, 7u64).unwrap();
    let _guard = value.lock().unwrap();
    std::env::set_current_dir(directory).unwrap();
    let large = vec![1u8; 400 << 20];
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a structure that outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const unlimited) };
    say("ready");
    pause();
    std::hint::black_box(&large);
    std::process::abort();
}

#[test]
fn a_holder_that_dumps_core_is_said_to_do_so() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with(['|', '/', '@']) || pattern.trim().is_empty() {
        return support::skip(support::Need::System, format!("cores that stay in the directory, not {pattern:?}"));
    }
    let directory = crate::tool::Directory::new();
    until("a dump that is seen", || {
        let name = Scratch::new("dumps");
        let mut holder = spawn("dump", &format!("{} {}", &*name, directory.word("")));
        holder.expect("ready");
        holder.go_on();
        let mut seen = Value::Null;
        while seen != json!("dumping core") && !has_ended(holder.id().cast_signed()) {
            seen = holders(&name)["holders"][0]["state"].clone();
        }
        holder.wait_for_end();
        holder.wait_for_end();
        (seen == json!("dumping core")).then_some(())
    });
}

#[test]
fn readers_and_permits_are_counted() {
    let [array, lock, semaphore] = ["array", "rwlock", "semaphore"].map(Scratch::new);
    let array_handle = SharedArray::<u8, 4>::create(&array).unwrap();
    let lock_handle = SharedRwLock::create(&lock).unwrap();
    let semaphore_handle = SharedSemaphore::create(&semaphore, 3).unwrap();
    for name in [&array, &lock, &semaphore] {
        assert_eq!(run(&["holders", name]).code, 1);
    }
    let (_read, _also_read, permit) =
        (array_handle.read().unwrap(), lock_handle.read().unwrap(), semaphore_handle.acquire().unwrap());
    for name in [&array, &lock] {
        let said = run(&["holders", name]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("1 read, of 32 who can side by side"), "{said:?}");
        let json = holders(name);
        let me = std::process::id();
        assert_eq!(
            [&json["readers"], &json["holders"][0]["process"], &json["holders"][0]["holds"]],
            [&json!(1), &json!(me), &json!("reader")]
        );
        assert!(said.row(&me.to_string()).contains(&"reader's"), "{said:?}");
    }
    let said = run(&["holders", &semaphore]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("1 of 3 permits are taken"), "{said:?}");
    let json = holders(&semaphore);
    assert_eq!([&json["available"], &json["holders"][0]["permit"]], [&json!(2), &json!(permit.index())]);
    assert_eq!(said.row(&std::process::id().to_string())[5..], ["permit", &permit.index().to_string()], "{said:?}");
}

#[test]
fn poison_is_told() {
    let name = Scratch::new("poisoned");
    let lock = SharedLock::create(&name).unwrap();
    let _ = std::panic::catch_unwind(|| lock.with(|| panic!("on purpose")));
    let said = run(&["holders", &name]);
    assert!(said.code == 1 && said.out.contains("poisoned: a holder died or panicked"), "{said:?}");
    assert_eq!(run(&["ls", &name]).row(&name)[7], "poisoned");
}
