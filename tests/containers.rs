//! Several PID namespaces on one `/dev/shm`: thread ids in a lock mean nothing across them, so whoever is in another one
//! than the creator is told so, and does no harm. Needs the right to make namespaces.
#![allow(unsafe_code)]

mod support;

use std::io;

use robust_shm::{Error, LockError, SegmentInfo, SharedArray, SharedLock, SharedValue, remove_orphans};
use support::{
    Family, Role, Scratch, can_unshare, end_with, exists, fork, member, pause, play, say, spawn, spawn_through, until,
};

#[test]
fn child() {
    play(&[
        ("refused", refused),
        ("looks", looks),
        ("creates", creates),
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

fn is_foreign<R>(result: Result<R, Error>) -> bool {
    let Err(error) = result else { return false };
    let message = error.to_string();
    assert!(message.contains("PID namespace"), "{message}");
    assert!(message.contains("run both programs in one PID namespace"), "says what to do: {message}");
    matches!(error, Error::ForeignPidNamespace { .. })
}

/// Opens what was made in another namespace, in every way.
fn refused(family: &str) {
    let [value, array, lock] = [0, 1, 2].map(|which| member(family, which));
    for _ in 0..3 {
        assert!(is_foreign(SharedValue::<u64>::open(&value)));
        assert!(is_foreign(SharedValue::open_or_create(&value, 1u64)));
        assert!(is_foreign(SharedArray::<u64, 4>::open(&array)));
        assert!(is_foreign(SharedLock::open(&lock)));
        assert!(matches!(SharedValue::create(&value, 1u64), Err(Error::AlreadyExists { .. })));
    }
    // Live segments of the other namespace are nobody's orphans.
    let removed = remove_orphans().unwrap();
    assert!(!removed.iter().any(|name| name.starts_with(family)), "{removed:?}");
    drop(SharedLock::create(&member(family, 3)).unwrap()); // sweeps
    say("refused");
}

#[test]
fn a_segment_of_another_pid_namespace_is_refused_and_left_alone() {
    if !can_contain() {
        return;
    }
    let family = Family::new("foreign");
    let value = SharedValue::create(&family.member(0), 5u64).unwrap();
    let array = SharedArray::<u64, 4>::create(&family.member(1)).unwrap();
    let lock = SharedLock::create(&family.member(2)).unwrap();
    let guard = lock.lock().unwrap();
    let child = spawn_in_container("refused", family.name());
    child.expect("refused");
    child.join();
    assert_eq!(family.living().len(), 3, "{:?}", family.living());
    assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })), "still held");
    drop(guard);
    value.set(6).unwrap();
    assert_eq!(SharedValue::<u64>::open(&family.member(0)).unwrap().get(), 6);
    drop((value, array, lock));
    assert_eq!(family.living(), [""; 0]);
}

fn creates(name: &str) {
    let value = SharedValue::create(name, 5u64).unwrap();
    let guard = value.lock().unwrap();
    say("created");
    pause();
    drop(guard);
    assert_eq!(value.update(|v| *v += 1).unwrap(), 6, "works among the processes of one container");
    let (other, shared) = (SharedValue::<u64>::open(name).unwrap(), name.to_owned());
    std::thread::spawn(move || SharedValue::<u64>::open(&shared).unwrap().set(7).unwrap()).join().unwrap();
    assert_eq!(other.get(), 7);
}

#[test]
fn a_segment_made_in_a_container_works_there_and_is_refused_outside() {
    if !can_contain() {
        return;
    }
    let name = Scratch::new("inside");
    let mut child = spawn_in_container("creates", &name);
    child.expect("created");
    assert!(is_foreign(SharedValue::<u64>::open(&name)));
    assert!(matches!(SharedValue::create(&name, 1u64), Err(Error::AlreadyExists { .. })));
    remove_orphans().unwrap();
    assert!(exists(&name));
    child.go_on();
    child.join();
    assert!(!exists(&name), "the last one out is the container");
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

#[test]
fn a_persistent_segment_moves_to_the_namespace_of_whoever_takes_it_over() {
    if !can_contain() {
        return;
    }
    let name = Scratch::new("moves");
    let holder = spawn("dies-holding", &name);
    holder.expect("holds");
    holder.kill();
    let mut child = spawn_in_container("takes-over", &name);
    child.expect("took over");
    assert!(is_foreign(SharedValue::<u64>::open(&name)), "now it is the container's");
    child.go_on();
    child.join();
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 8, "and now ours again");
    robust_shm::remove(&name).unwrap();
}

/// A process leaves its PID namespace by forking: it still has the handle, the ids in its lock mean nothing any more.
fn emigrates(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    let array = SharedArray::<u64, 4>::create(&format!("{name}.array")).unwrap();
    drop(value.lock().unwrap());
    // SAFETY: takes an integer; from here on this process makes no threads.
    let result = unsafe { libc::unshare(libc::CLONE_NEWPID) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    drop(value.lock().unwrap()); // this process itself stays where it was
    fork(|| {
        assert_eq!(std::process::id(), 1);
        for result in [value.lock(), value.try_lock(), value.try_lock_for(std::time::Duration::from_millis(1))] {
            let error = result.unwrap_err();
            assert!(matches!(error, LockError::Io { .. }), "{error}");
            assert!(error.to_string().contains("PID namespace"), "{error}");
        }
        assert!(matches!(value.set(9), Err(LockError::Io { .. })));
        assert!(matches!(value.update(|v| *v += 1), Err(LockError::Io { .. })));
        assert!(matches!(array.get(0), Err(LockError::Io { .. })));
        assert_eq!((value.get(), value.commits()), (5, 0), "reading needs no lock");
        // Segments of its own work.
        let own = SharedValue::create(&format!("{name}.own"), 1u64).unwrap();
        assert_eq!(own.update(|v| *v += 1).unwrap(), 2);
        drop((own, value.name()));
    })
    .join();
    value.set(6).unwrap();
    say("did not lock");
    pause();
}

#[test]
fn a_child_in_a_new_pid_namespace_reads_an_inherited_value_and_cannot_lock_it() {
    if !can_contain() {
        return;
    }
    let family = Family::new("emigrates");
    let name = family.member(0);
    let value = SharedValue::create(&name, 5u64).unwrap();
    let mut child = spawn("emigrates", &name);
    child.expect("did not lock");
    assert_eq!(value.get(), 6);
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
