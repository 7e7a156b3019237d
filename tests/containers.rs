//! Several PID namespaces on one `/dev/shm`: they share segments and locks, and hear of each other's deaths. Needs the right
//! to make namespaces.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod support;

use std::io;
use std::time::Duration;

use robust_shm::{
    ArrayGuard, Error, LockError, LockGuard, SegmentInfo, SharedArray, SharedLock, SharedValue, remove_orphans,
};
use support::{
    Family, Role, Scratch, can_unshare, end_with, exists, fork, member, pause, play, say, spawn, spawn_through, until,
    within_limit,
};

#[test]
fn child() {
    play(&[
        ("shares", shares),
        ("looks", looks),
        ("creates", creates),
        ("counts", counts),
        ("holds", holds),
        ("inherits", is_inherited),
        ("emigrates", emigrates),
        ("dies-holding", dies_holding),
        ("takes-over", takes_over),
        ("serves", serves),
    ]);
}

/// A shell's way into a new PID namespace with a `/proc` of its own.
const CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

fn can_contain() -> bool {
    can_unshare(&CONTAINER)
}

fn spawn_in_container(role: &str, name: &str) -> Role {
    spawn_through(&CONTAINER, role, name)
}

/// Uses what was made in another namespace, and has its lock held there, in every way.
fn shares(family: &str) {
    let [value, array, lock] = [0, 1, 2].map(|which| member(family, which));
    let value = SharedValue::<u64>::open(&value).unwrap();
    let array = SharedArray::<u64, 4>::open(&array).unwrap();
    let lock = SharedLock::open(&lock).unwrap();
    assert!(matches!(SharedValue::create(value.name(), 1u64), Err(Error::AlreadyExists { .. })));
    assert_eq!(value.update(|n| *n += 1).unwrap(), 6);
    array.lock().unwrap()[0] = 7;
    assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
    match lock.try_lock_for(Duration::from_millis(1)) {
        Err(LockError::TimedOut { process, .. }) => assert_eq!(process, None, "that id is another's here"),
        other => panic!("{other:?}"),
    }
    assert!(!lock.is_poisoned());
    // Live segments of the other namespace are nobody's orphans.
    let removed = remove_orphans().unwrap();
    assert!(!removed.iter().any(|name| name.starts_with(family)), "{removed:?}");
    say("waits");
    drop(lock.lock().unwrap());
    say("shared");
}

#[test]
fn a_segment_is_shared_with_another_pid_namespace() {
    if !can_contain() {
        return;
    }
    let family = Family::new("shares");
    let value = SharedValue::create(&family.member(0), 5u64).unwrap();
    let array = SharedArray::<u64, 4>::create(&family.member(1)).unwrap();
    let lock = SharedLock::create(&family.member(2)).unwrap();
    let guard = lock.lock().unwrap();
    let child = spawn_in_container("shares", family.name());
    child.expect("waits");
    assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })), "still held");
    drop(guard);
    child.expect("shared");
    child.join();
    assert_eq!((value.get(), array.get(0).unwrap()), (6, 7));
    assert!(lock.lock().is_ok());
    drop((value, array, lock));
    assert_eq!(family.living(), [""; 0]);
}

fn creates(name: &str) {
    let value = SharedValue::create(name, 5u64).unwrap();
    let guard = value.lock().unwrap();
    say("created");
    pause();
    drop(guard);
    assert_eq!(value.update(|v| *v += 1).unwrap(), 6);
    let (other, shared) = (SharedValue::<u64>::open(name).unwrap(), name.to_owned());
    std::thread::spawn(move || SharedValue::<u64>::open(&shared).unwrap().set(7).unwrap()).join().unwrap();
    assert_eq!(other.get(), 7);
    say("has released");
    pause();
}

#[test]
fn a_segment_made_in_a_container_works_outside() {
    if !can_contain() {
        return;
    }
    let name = Scratch::new("inside");
    let mut child = spawn_in_container("creates", &name);
    child.expect("created");
    let value = SharedValue::<u64>::open(&name).unwrap();
    assert!(matches!(value.try_lock(), Err(LockError::WouldBlock { .. })));
    child.go_on();
    child.expect("has released");
    assert_eq!(value.update(|n| *n += 1).unwrap(), 8);
    child.go_on();
    child.join();
    assert!(exists(&name), "the container is not the last one out");
    drop(value);
    assert!(!exists(&name));
}

const EACH: u64 = 20_000;

fn counts(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    for _ in 0..EACH {
        *value.lock().unwrap() += 1;
    }
}

#[test]
fn four_namespaces_and_their_parent_count_together() {
    if !can_contain() {
        return;
    }
    let name = Scratch::new("counts");
    let value = SharedValue::create(&name, 0u64).unwrap();
    let children: Vec<_> = (0..4).map(|_| spawn_in_container("counts", &name)).collect();
    counts(&name);
    children.into_iter().for_each(Role::join);
    assert_eq!(value.get(), 5 * EACH);
}

fn holds(family: &str) {
    let array = SharedArray::<u64, 4>::open(&member(family, 0)).unwrap();
    let lock = SharedLock::open(&member(family, 1)).unwrap();
    let mut guard = array.lock().unwrap();
    let _lock_guard = lock.lock().unwrap();
    guard[0] = 1;
    say("holds");
    pause();
}

fn is_inherited(family: &str) {
    let array = SharedArray::<u64, 4>::open(&member(family, 0)).unwrap();
    let lock = SharedLock::open(&member(family, 1)).unwrap();
    within_limit("the locks of the dead", move || {
        let mut guard = array.lock_ignoring_poison().unwrap();
        assert!(ArrayGuard::is_poisoned(&guard) && guard[0] == 1);
        guard[0] = 0;
        ArrayGuard::clear_poison(&mut guard);
        let mut guard = lock.lock_ignoring_poison().unwrap();
        assert!(LockGuard::is_poisoned(&guard));
        LockGuard::clear_poison(&mut guard);
    });
}

#[test]
fn a_killed_holders_locks_go_to_another_namespace() {
    if !can_contain() {
        return;
    }
    let family = Family::new("heirs");
    let array = SharedArray::<u64, 4>::create(&family.member(0)).unwrap();
    let _lock = SharedLock::create(&family.member(1)).unwrap();
    for holder_in_container in [true, false, true] {
        let holder = if holder_in_container {
            spawn_in_container("holds", family.name())
        } else {
            spawn("holds", family.name())
        };
        holder.expect("holds");
        let heir = if holder_in_container { None } else { Some(spawn_in_container("inherits", family.name())) };
        assert!(matches!(array.try_lock(), Err(LockError::WouldBlock { .. })));
        holder.kill();
        match heir {
            Some(heir) => heir.join(),
            None => is_inherited(family.name()),
        }
    }
}

#[test]
fn an_orphan_of_another_namespace_is_an_orphan() {
    if !can_contain() {
        return;
    }
    let name = Scratch::new("orphan");
    let orphan = || {
        let child = spawn_in_container("creates", &name);
        child.expect("created");
        assert!(matches!(SharedValue::create(&name, 1u64), Err(Error::AlreadyExists { .. })));
        child.kill(); // the container ends some time later
    };
    orphan();
    until("the end of the container", || (SharedValue::<u64>::open(&name).is_err() && !exists(&name)).then_some(()));
    orphan();
    let own = until("the end of the container", || SharedValue::create(&name, 1u64).ok());
    assert_eq!(own.get(), 1, "not the dead one's");
}

fn dies_holding(name: &str) {
    let value = SharedValue::<u64>::options().persistent(true).create(name, 7).unwrap();
    let _guard = value.lock().unwrap();
    say("holds");
    pause();
}

fn takes_over(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    assert_eq!(value.update(|v| *v += 1).unwrap(), 8, "the dead holder is no holder here");
    say("took over");
    pause();
}

/// What the header says.
fn namespace_in(name: &str) -> u64 {
    let bytes = std::fs::read(support::path(name)).unwrap();
    u64::from_ne_bytes(bytes[96..104].try_into().unwrap())
}

#[test]
#[cfg_attr(robust_shm_unix, ignore = "there, all processes are one namespace")]
fn a_persistent_segment_is_taken_over_in_another_namespace() {
    if !can_contain() {
        return;
    }
    let name = Scratch::new("moves");
    let holder = spawn("dies-holding", &name);
    holder.expect("holds");
    holder.kill();
    let mut child = spawn_in_container("takes-over", &name);
    child.expect("took over");
    let value = SharedValue::<u64>::open(&name).unwrap();
    assert_eq!(namespace_in(&name), u64::MAX, "several");
    child.go_on();
    child.join();
    drop(value);
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 8);
    assert_eq!(namespace_in(&name), u64::MAX, "for good");
    robust_shm::remove(&name).unwrap();
}

/// A process leaves its PID namespace by forking, and has the handle with it.
fn emigrates(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    let array = SharedArray::<u64, 4>::create(&format!("{name}.array")).unwrap();
    drop(value.lock().unwrap());
    // SAFETY: takes an integer; from here on this process makes no threads.
    let result = unsafe { libc::unshare(libc::CLONE_NEWPID) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let guard = value.lock().unwrap(); // this process itself stays where it was
    assert_ne!(namespace_in(name), u64::MAX);
    fork(|| {
        assert_eq!(std::process::id(), 1);
        assert!(matches!(value.try_lock(), Err(LockError::WouldBlock { .. })), "its parent's");
        assert_eq!(namespace_in(name), u64::MAX, "before it has named the lock");
        assert_eq!(array.get(0).unwrap(), 0);
        array.set(0, 3).unwrap();
        let own = SharedValue::create(&format!("{name}.own"), 1u64).unwrap();
        assert_eq!(own.update(|v| *v += 1).unwrap(), 2);
    })
    .join();
    drop(guard);
    assert_eq!(array.get(0).unwrap(), 3);
    say("has locked");
    pause();
}

#[test]
#[cfg_attr(robust_shm_unix, ignore = "there, all processes are one namespace")]
fn a_child_in_a_new_pid_namespace_locks_what_it_has_inherited() {
    if !support::is_linux("does not let a process move its children to a new PID namespace") {
        return;
    }
    if !can_contain() {
        return;
    }
    let family = Family::new("emigrates");
    let name = family.member(0);
    let value = SharedValue::create(&name, 5u64).unwrap();
    let mut child = spawn("emigrates", &name);
    child.expect("has locked");
    assert!(value.try_lock().is_ok());
    child.go_on();
    child.join();
    assert_eq!(family.living(), [name]);
}

fn looks(name: &str) {
    let info = SegmentInfo::of(name).unwrap();
    say(format!("orphan: {}", info.is_orphan()));
    assert_eq!(info.attached(), 1);
    assert_eq!(info.holder_process(), None, "an id from outside names somebody else here");
}

/// The first version read `/proc/locks`, which shows only the locks of processes that the reader's namespace can name.
#[test]
fn a_live_segment_of_another_namespace_is_not_called_an_orphan() {
    if !can_contain() {
        return;
    }
    let name = Scratch::new("live");
    let value = SharedValue::create(&name, 5u64).unwrap();
    let _guard = value.lock().unwrap();
    let child = spawn_in_container("looks", &name);
    child.expect("orphan: false");
    child.join();
}

/// A server that forks a worker and leaves, all in one container.
fn serves(name: &str) {
    let (mut from_server, to_worker) = io::pipe().unwrap();
    let (mut from_worker, to_server) = io::pipe().unwrap();
    let (mut to_worker, mut to_server) = (Some(to_worker), Some(to_server));
    let mut worker = None;
    // The server is a process of its own, because the end of process 1 would be the end of the container.
    fork(|| {
        let mut value = Some(SharedValue::create(name, 5u64).unwrap());
        worker = Some(fork(|| {
            let value = value.take();
            drop((to_worker.take(), to_server.take()));
            let _ = io::Read::read(&mut from_server, &mut [0]);
            drop(value);
        }));
        worker.take().unwrap().forget();
        end_with(|| ());
    })
    .join();
    drop(to_server.take());
    let info = SegmentInfo::of(name).unwrap();
    say(format!("orphan: {}", info.is_orphan()));
    assert!(SharedValue::<u64>::open(name).is_ok(), "the worker still uses it");
    drop(to_worker.take());
    let _ = io::Read::read(&mut from_worker, &mut [0]);
    until("the end of the worker", || (!exists(name)).then_some(()));
}

/// The worker's lock was taken by its parent, in the parent's name, and `/proc/locks`, which the first version read,
/// cannot name a dead process.
#[test]
fn a_worker_that_outlives_its_server_in_a_container_still_counts() {
    if !can_contain() {
        return;
    }
    let name = Scratch::new("serves");
    let child = spawn_in_container("serves", &name);
    child.expect("orphan: false");
    child.join();
}
