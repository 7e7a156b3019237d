//! Holders that are killed.

use robust_shm::dynamic::{DynSlice, DynSliceGuard, DynValue};
use robust_shm::{LockError, SharedArray, SharedValue};

use crate::schema;
use crate::support::{Body, Scratch, ready_to_die, spawn, until};

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("hold-value", |name| {
        let value = DynValue::open(name).unwrap();
        let mut guard = value.lock().unwrap();
        guard.bytes_mut().fill(1);
        ready_to_die();
    }),
    ("hold-slice", |name| {
        let slice = std::sync::Arc::new(DynSlice::open(name).unwrap());
        let mut guard = slice.lock_owned().unwrap();
        guard.as_bytes_mut()[0] = 7;
        ready_to_die();
    }),
    ("read-slice", |name| {
        let slice = std::sync::Arc::new(DynSlice::open(name).unwrap());
        let _guard = slice.read_owned().unwrap();
        ready_to_die();
    }),
    ("hold-typed", |name| {
        let value = SharedValue::<u64>::open(name).unwrap();
        let mut guard = value.lock().unwrap();
        *guard = 1;
        ready_to_die();
    }),
];

fn kill(role: &str, name: &str) {
    let child = spawn(role, name);
    child.expect("ready");
    child.kill();
}

#[test]
fn a_killed_holder_commits_nothing_and_the_lock_goes_on() {
    let name = Scratch::new("killed");
    let typed = SharedValue::create(&name, 7u64).unwrap();
    let value = DynValue::open(&name).unwrap();
    for role in ["hold-value", "hold-typed"] {
        kill(role, &name);
        assert_eq!((typed.get(), typed.commits()), (7, 0));
        let guard = until("the lock", || value.try_lock().ok());
        assert_eq!(guard.bytes(), 7u64.to_ne_bytes());
        drop(guard);
        drop(typed.lock().unwrap());
    }
}

#[test]
fn a_killed_writer_poisons_and_a_killed_reader_does_not() {
    let name = Scratch::new("killed");
    let typed = SharedArray::<u8, 4>::create(&name).unwrap();
    let slice = DynSlice::open(&name).unwrap();
    kill("read-slice", &name);
    drop(until("the lock", || slice.try_lock().ok()));

    kill("hold-slice", &name);
    until("the news", || slice.is_poisoned().then_some(()).or_else(|| slice.try_lock().map(drop).err().map(drop)));
    assert!(matches!(slice.lock(), Err(LockError::Poisoned { .. })));
    assert!(matches!(typed.lock(), Err(LockError::Poisoned { .. })));
    let mut guard = slice.lock_ignoring_poison().unwrap();
    assert_eq!(guard.as_bytes(), [7, 0, 0, 0]);
    DynSliceGuard::recover(&mut guard, |bytes| bytes.fill(0));
    drop(guard);
    assert_eq!(typed.to_vec().unwrap(), [0; 4]);
}

#[test]
fn what_all_have_left_by_a_kill_is_made_anew() {
    let name = Scratch::new("orphan");
    drop(DynValue::create(&name, &schema("u64"), &[0; 8]).unwrap());
    let value = DynValue::create(&name, &schema("u64"), &[0; 8]).unwrap();
    let child = spawn("hold-value", &name);
    child.expect("ready");
    drop(value);
    child.kill();
    let made = until("the end of the orphan", || {
        let value = DynValue::open_or_create(&name, &schema("u64"), &[5; 8]).unwrap();
        value.was_created().then_some(value)
    });
    assert_eq!(made.lock().unwrap().bytes(), [5; 8]);
}
