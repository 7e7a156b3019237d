//! What can be written, and what cannot.

use std::fs::OpenOptions;
use std::time::{Duration, Instant};

use robust_shm::dynamic::{DynValue, DynValueGuard};
use robust_shm::{LockError, SharedValue};

use crate::schema;
use crate::support::{FileExt, Scratch, assert_error, exists, path};

fn bytes_of(value: &DynValue) -> Vec<u8> {
    let mut bytes = vec![0; value.size()];
    value.get(&mut bytes);
    bytes
}

fn is_invalid<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::InvalidValue { .. }))
}

#[test]
fn what_the_schema_does_not_allow_is_not_written_in_any_way() {
    let name = Scratch::new("flag");
    let flag = SharedValue::create(&name, true).unwrap();
    let value = DynValue::open(&name).unwrap();
    assert!(is_invalid(value.set(&[2])));

    // Refused, it is still held, by the guard that comes back.
    let mut guard = value.lock().unwrap();
    guard.bytes_mut()[0] = 2;
    let (mut guard, error) = DynValueGuard::commit(guard).unwrap_err();
    assert!(error.to_string().contains("not a valid value of its schema"), "{error}");
    assert!(matches!(flag.try_lock(), Err(LockError::WouldBlock { .. } | LockError::WouldDeadlock { .. })));
    assert_eq!((guard.bytes(), flag.get()), (&[2][..], true));
    guard.bytes_mut()[0] = 0;
    DynValueGuard::commit(guard).unwrap();
    assert!(!flag.get() && flag.try_lock().is_ok());

    // A drop cannot say so.
    value.lock().unwrap().bytes_mut()[0] = 3;
    assert!(!flag.get() && flag.try_lock().is_ok());
    value.lock().unwrap().bytes_mut()[0] = 1;
    assert!(flag.get());

    // Not used mutably, or discarded: nothing. Committed: a commit, changed or not.
    let commits = value.commits();
    assert_eq!(value.lock().unwrap().bytes(), [1]);
    let mut guard = value.lock().unwrap();
    guard.bytes_mut()[0] = 0;
    DynValueGuard::discard(guard);
    assert_eq!((value.commits(), flag.get()), (commits, true));
    DynValueGuard::commit(value.lock().unwrap()).unwrap();
    assert_eq!(value.commits(), commits + 1);
}

#[test]
fn set_bytes_writes_what_the_caller_answers_for() {
    let name = Scratch::new("any-bytes");
    let flag = SharedValue::create(&name, true).unwrap();
    let value = DynValue::open(&name).unwrap();
    value.set_bytes(&[7]).unwrap();
    assert!(is_invalid(flag.try_get()) && is_invalid(flag.lock()));
    assert!(format!("{value:?}").contains("<impossible"), "{value:?}");
    // It is there to be looked at and repaired.
    let mut guard = value.lock().unwrap();
    assert_eq!(guard.bytes(), [7]);
    guard.bytes_mut()[0] = 1;
    DynValueGuard::commit(guard).unwrap();
    assert!(flag.get());
}

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
struct Unsaid(u32);

#[test]
fn what_has_no_schema_is_read_and_written_only_by_set_bytes() {
    let name = Scratch::new("unsaid");
    let typed = SharedValue::create(&name, Unsaid(7)).unwrap();
    let value = DynValue::open(&name).unwrap();
    assert_eq!((value.schema(), bytes_of(&value)), (None, 7u32.to_ne_bytes().to_vec()));
    assert!(value.set(&[0; 4]).unwrap_err().to_string().contains("set_bytes writes any"));
    let mut guard = value.lock().unwrap();
    guard.bytes_mut().fill(0);
    assert!(matches!(DynValueGuard::commit(guard), Err((_, LockError::InvalidValue { .. }))));
    value.lock().unwrap().bytes_mut().fill(0); // discarded, too
    assert_eq!(typed.get(), Unsaid(7));
    value.set_bytes(&8u32.to_ne_bytes()).unwrap();
    assert_eq!(typed.get(), Unsaid(8));
    assert!(format!("{value:?}").contains("<4 bytes>"), "{value:?}");
}

/// A text of a later version is no schema, and neither is one that somebody has damaged.
#[test]
fn a_schema_that_is_not_understood_is_none_and_one_that_lies_about_the_size_is_damage() {
    let name = Scratch::new("text");
    drop(SharedValue::options().persistent(true).create(&name, [7u32; 2]).unwrap());
    let file = OpenOptions::new().write(true).open(path(&name)).unwrap();
    let write = |text: &[u8]| file.write_all_at(text, 704).unwrap();
    for text in [&b"<u32;2>"[..], b"[u32;2)", b"[u32;;]", b"\0\0\0\0\0\0\0"] {
        write(text);
        let value = DynValue::open(&name).unwrap();
        assert_eq!((value.schema(), value.size()), (None, 8));
        assert!(is_invalid(value.set(&[0; 8])));
        assert_eq!(SharedValue::<[u32; 2]>::open(&name).unwrap().get(), [7, 7]); // by the name
    }
    for text in [&b"[u32;3]"[..], b"[u16;2]", b"  u32  "] {
        write(text);
        assert_error!(DynValue::open(&name), NotASegment, &name, ["a damaged header with a schema of"]);
    }
    write(b"[i32;2]");
    assert_eq!(DynValue::open(&name).unwrap().schema().unwrap().to_string(), "[i32;2]");
    assert_error!(SharedValue::<[u32; 2]>::open(&name), TypeMismatch, &name, ["`[]`: u32", "`[]`: i32"]);
    robust_shm::remove(&name).unwrap();
}

#[test]
fn creation_asks_for_a_first_value_that_can_be() {
    let name = Scratch::new("first");
    let create = |text, initial: &[u8]| DynValue::create(&name, &schema(text), initial);
    let either = |text, initial: &[u8]| DynValue::open_or_create(&name, &schema(text), initial);
    for error in [create("u16", &[0]).unwrap_err(), either("u16", &[0; 3]).unwrap_err()] {
        crate::support::check(&error, &name, &["the first value", "one of 2 bytes"]);
    }
    for error in [create("bool", &[2]).unwrap_err(), either("(u8){A=1}", &[0]).unwrap_err()] {
        crate::support::check(&error, &name, &["the first value", "one that its schema allows", "<impossible"]);
    }
    assert_error!(create("[u8;65537]", &[0; 65_537]), InvalidArgument, &name, ["at most 65536 bytes", "65537 bytes"]);
    assert!(create("[u8;65536]", &[0; 65_536]).is_ok());
    assert!(create("[u8;0]", &[]).is_ok());
    assert!(!exists(&name));
}

#[test]
fn values_of_all_sizes_go_in_and_out() {
    for size in (0..100).chain([127, 128, 1_000, 4_096, 65_536]) {
        let name = Scratch::new("size");
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
        let value = DynValue::create(&name, &schema(&format!("[u8;{size}]")), &bytes).unwrap();
        assert_eq!(bytes_of(&value), bytes);
        let other: Vec<u8> = bytes.iter().rev().copied().collect();
        value.set(&other).unwrap();
        assert_eq!(bytes_of(&DynValue::open(&name).unwrap()), other);
        assert_eq!(value.lock().unwrap().bytes(), other);
        let observer = DynValue::observe(&name).unwrap();
        let mut seen = vec![0; observer.size()];
        observer.get(&mut seen);
        assert_eq!(seen, other);
    }
}

/// The kind of a panic that tells the caller of his mistake, at his line.
#[test]
fn bytes_of_another_length_are_a_mistake_of_the_caller() {
    let name = Scratch::new("length");
    let value = DynValue::create(&name, &schema("u32"), &[0; 4]).unwrap();
    let observer = DynValue::observe(&name).unwrap();
    let mut seen = u64::MAX;
    let mut of = |action: &mut dyn FnMut(&mut [u8], &mut u64)| {
        let mut bytes = [0; 3];
        let (file, _, panic) = crate::support::panic_of(|| action(&mut bytes, &mut seen));
        assert!(file.ends_with("values.rs"), "{file}");
        assert!(panic.contains("4 bytes are needed, got 3"), "{panic}");
    };
    of(&mut |bytes, _| value.get(bytes));
    of(&mut |bytes, _| value.set(bytes).unwrap());
    of(&mut |bytes, _| value.set_bytes(bytes).unwrap());
    of(&mut |bytes, seen| assert!(value.get_if_changed(seen, bytes)));
    of(&mut |bytes, seen| value.wait_newer(seen, bytes).unwrap());
    of(&mut |bytes, _| observer.get(bytes));
    of(&mut |bytes, seen| assert!(observer.get_if_changed(seen, bytes)));
    assert!(value.try_lock().is_ok(), "nobody holds the lock");
}

#[test]
fn who_waits_for_a_change_gets_the_bytes() {
    let name = Scratch::new("newer");
    let typed = SharedValue::create(&name, 1u16).unwrap();
    let value = DynValue::open(&name).unwrap();
    let (mut seen, mut bytes) = (u64::MAX, [0; 2]);
    value.wait_newer(&mut seen, &mut bytes).unwrap(); // what there is
    assert_eq!((seen, u16::from_ne_bytes(bytes)), (0, 1));
    assert!(!value.get_if_changed(&mut seen, &mut bytes));
    let late = value.wait_newer_for(&mut seen, &mut bytes, Duration::from_millis(1));
    assert!(matches!(late, Err(LockError::TimedOut { .. })) && seen == 0);
    let late = value.wait_newer_until(&mut seen, &mut bytes, Instant::now());
    assert!(matches!(late, Err(LockError::TimedOut { .. })) && seen == 0);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            value.wait_newer(&mut seen, &mut bytes).unwrap();
            (seen, u16::from_ne_bytes(bytes))
        });
        typed.set(9).unwrap();
        assert_eq!(waiter.join().unwrap(), (1, 9));
    });
    typed.set(10).unwrap();
    let observer = DynValue::observe(&name).unwrap();
    let (mut seen, mut bytes) = (1, [0; 2]);
    assert!(value.get_if_changed(&mut seen, &mut bytes) && seen == 2 && u16::from_ne_bytes(bytes) == 10);
    let (mut seen, mut bytes) = (1, [0; 2]);
    assert!(observer.get_if_changed(&mut seen, &mut bytes) && !observer.get_if_changed(&mut seen, &mut bytes));
    assert_eq!((seen, u16::from_ne_bytes(bytes), observer.commits()), (2, 10, 2));
}

#[test]
fn options_are_those_of_a_value() {
    let name = Scratch::new("options");
    let value = DynValue::options()
        .mode(crate::support::WIDER_MODE)
        .persistent(true)
        .create(&name, &schema("u8"), &[7])
        .unwrap();
    let info = value.info().unwrap();
    assert!(info.is_persistent() && !info.has_poison() && info.schema() == Some(&schema("u8")));
    drop(value);
    #[cfg(unix)]
    assert_error!(DynValue::options().mode(0o600).open(&name), OptionMismatch, &name, ["mode(0o600)", "mode(0o644)"]);
    assert_error!(DynValue::options().persistent(false).observe(&name), OptionMismatch, &name, ["persistent(false)"]);
    let opened = DynValue::options().persistent(true).open_as(&name, &schema("u8")).unwrap();
    assert_eq!((bytes_of(&opened), opened.was_created(), opened.name()), (vec![7], false, &*name));
    robust_shm::remove(&name).unwrap();
    assert!(opened.is_removed());
}
