//! Which segment a handle is of, and whether it is the one that was meant.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]
#![allow(unsafe_code)]

mod support;

#[cfg(target_os = "linux")]
use std::ffi::CString;
use std::fs::{self, OpenOptions};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use robust_shm::{Error, LockKind, SegmentInfo, SharedArray, SharedLock, SharedValue, remove};
use support::{FileExt, Scratch, exists, path, pause, play, ready_to_die, say, spawn};

#[test]
fn child() {
    play(&[
        #[cfg(target_os = "linux")]
        ("fork", fork_with_a_handle),
        ("attach", |name| {
            let _value = SharedValue::<u64>::open(name).unwrap();
            say("attached");
            pause();
        }),
        ("die-holding", |name| {
            let array = SharedArray::<u8, 4>::options().persistent(true).create(name).unwrap();
            let mut guard = array.lock().unwrap();
            guard[0] = 1;
            ready_to_die();
        }),
    ]);
}

fn persistent(prefix: &str, value: u64) -> Scratch {
    let name = Scratch::new(prefix);
    drop(SharedValue::options().persistent(true).create(&name, value).unwrap());
    name
}

/// Lets the names of two files change places.
#[cfg(target_os = "linux")]
fn exchange(one: &CString, other: &CString) {
    const RENAME_EXCHANGE: libc::c_uint = 2;
    let [from, to] = [one, other].map(|name| name.as_ptr());
    // SAFETY: paths that end with NUL.
    let result =
        unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, RENAME_EXCHANGE) };
    assert_eq!(result, 0);
}

/// Once, the name was opened again for mapping, and only the id was compared, which anybody who can read can copy.
#[cfg(target_os = "linux")]
#[test]
fn what_is_mapped_is_what_was_validated_though_the_name_leads_elsewhere_by_then() {
    if !support::is_linux("does not exchange names") {
        return;
    }
    const COMMITS: u64 = 640;
    let (name, copy) = (persistent("validated", 7), Scratch::new("copy"));
    fs::copy(path(&name), path(&copy)).unwrap();
    // The copy has the same id, and another count.
    let file = OpenOptions::new().write(true).open(path(&copy)).unwrap();
    file.write_all_at(&6u64.to_ne_bytes(), COMMITS).unwrap();
    let [one, other] = [&name, &copy].map(|name| CString::new(path(name).to_str().unwrap()).unwrap());
    let done = AtomicBool::new(false);
    let mut counts = [0, 0];
    std::thread::scope(|scope| {
        // Also when an assertion fails, or the scope would wait for good.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _done = Done(&done);
        scope.spawn(|| {
            // At no fixed distance, and rarely enough for an opener to come through: it begins anew at each exchange that
            // it notices, and gives up at last.
            for pause in (0..).map(|n| n * 7 % 97) {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                exchange(&one, &other);
                (0..pause * 100).for_each(|_| std::hint::spin_loop());
            }
        });
        for _ in 0..5_000 {
            let value = SharedValue::<u64>::open(&name).unwrap();
            let (validated, mapped) = (value.info().unwrap().commits().unwrap(), value.commits());
            counts[usize::from(mapped == 6)] += 1;
            assert_eq!(validated, mapped);
        }
    });
    assert!(counts.into_iter().all(|count| count > 0), "the names did not change places: {counts:?}");
}

#[test]
fn an_opener_that_states_what_the_segment_is_not_is_told_both_sides() {
    let name = Scratch::new("options");
    let _array = SharedArray::<u8, 4>::options().mode(support::WIDER_MODE).poison(false).create(&name).unwrap();
    let options = SharedArray::<u8, 4>::options;
    for (stated, option, expected, found) in [
        (options().persistent(true), "persistent", "true", "false"),
        (options().poison(true), "poison", "true", "false"),
        #[cfg(unix)]
        (options().mode(0o600), "mode", "0o600", "0o644"),
    ] {
        for error in [stated.open(&name).unwrap_err(), stated.open_or_create(&name).unwrap_err()] {
            assert!(matches!(&error, Error::OptionMismatch { option: named, .. } if *named == option), "{error:?}");
            let message = error.to_string();
            for side in [format!("expected {option}({expected})"), format!("found {option}({found})")] {
                assert!(message.contains(&side), "no {side:?}: {message}");
            }
        }
    }
    // Who states what is so, or nothing, is let in.
    let right = options().persistent(false).poison(false).mode(support::WIDER_MODE).lock_kind(LockKind::default());
    for stated in [right, options()] {
        assert!(!stated.open_or_create(&name).unwrap().was_created());
    }
    // A child that another test is just starting has the descriptions of those who have left until its `exec`.
    support::until("the refused openers to be gone", || {
        (SegmentInfo::of(&name).unwrap().attached() == 1).then_some(())
    });

    let kept = persistent("options", 7);
    let temporary = SharedValue::<u64>::options().persistent(false);
    assert!(matches!(temporary.open(&kept), Err(Error::OptionMismatch { .. })));
    assert_eq!(SharedValue::<u64>::open(&kept).unwrap().get(), 7);
}

#[test]
fn cloned_options_state_what_the_original_states() {
    let name = Scratch::new("cloned");
    let options = SharedValue::<u64>::options().type_tag("acme.count").mode(support::WIDER_MODE).persistent(true);
    let value = options.clone().create(&name, 7).unwrap();
    let info = value.info().unwrap();
    assert!(info.has_type_tag() && info.is_persistent(), "{info}");
    assert!(options.open(&name).is_ok(), "the original has changed");
    let other = SharedValue::<u64>::options().type_tag("acme.sum").clone();
    assert!(matches!(other.open(&name), Err(Error::TypeMismatch { .. })));
}

#[cfg(unix)]
#[test]
fn a_handle_knows_whether_its_name_is_gone() {
    let name = Scratch::new("removed");
    let value = SharedValue::create(&name, 7u64).unwrap();
    assert!(!value.is_removed());
    // As systemd does.
    fs::remove_file(path(&name)).unwrap();
    assert!(value.is_removed());
    let successor = SharedArray::<u8, 4>::create(&name).unwrap();
    assert!(value.is_removed() && !successor.is_removed());
    // The picture is of the handle's own segment.
    let info = value.info().unwrap();
    assert_eq!((info.kind(), info.attached(), info.name()), ("SharedValue", 1, &*name));
    assert_eq!(successor.info().unwrap().kind(), "SharedArray");
    let again = SharedArray::<u8, 4>::open(&name).unwrap();
    assert_eq!((again.info().unwrap().attached(), successor.info().unwrap().attached()), (2, 2));
    remove(&name).unwrap();
    assert!(successor.is_removed() && again.is_removed());

    let lock = SharedLock::create(&name).unwrap();
    let elsewhere = Scratch::new("elsewhere");
    fs::rename(path(&name), path(&elsewhere)).unwrap();
    assert!(lock.is_removed(), "nobody finds it by that name");
    assert_eq!(lock.info().unwrap().kind(), "SharedLock");
    drop(lock);
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(robust_shm_unix, ignore = "nothing tells there who uses a file")]
fn the_users_of_a_segment_have_names() {
    if !support::is_linux("has no table of file locks") {
        return;
    }
    let name = Scratch::new("users");
    let value = SharedValue::create(&name, 7u64).unwrap();
    let mut child = spawn("attach", &name);
    child.expect("attached");
    let mut expected = vec![std::process::id(), child.id()];
    expected.sort_unstable();
    let users = support::until("a table of locks that has both", || {
        let users = SegmentInfo::of(&name).unwrap().users();
        (users.iter().map(|user| user.pid).collect::<Vec<_>>() == expected).then_some(users)
    });
    // SAFETY: takes nothing.
    let me = unsafe { libc::geteuid() };
    assert!(users.iter().all(|user| user.uid == me && !user.command.is_empty()), "{users:?}");
    // Once more until: while others lock and unlock, the kernel's table may be read with a line left out.
    let are = |count| (value.info().unwrap().users().len() == count).then_some(());
    support::until("two in the handle's picture", || are(2));
    child.go_on();
    child.join();
    let again = SharedValue::<u64>::open(&name).unwrap();
    support::until("one, who has two handles", || are(1));
    drop(again);
    spawn("fork", &name).join();
}

/// A child that goes on with its parent's handle is a user of its own.
#[cfg(target_os = "linux")]
fn fork_with_a_handle(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    let child = support::fork(|| {
        support::until("the child to be named", || {
            let users = value.info().unwrap().users();
            users.iter().any(|user| user.pid == std::process::id()).then_some(())
        });
    });
    child.join();
    drop(value);
}

#[test]
fn a_persistent_segment_without_users_is_no_orphan() {
    let name = persistent("kept", 7);
    // A child that another test is just starting has the creator's description until its `exec`.
    let info = support::until("the creator to be gone", || {
        Some(SegmentInfo::of(&name).unwrap()).filter(|info| info.attached() == 0)
    });
    assert!(info.is_persistent() && !info.is_orphan());
    assert!(!info.to_string().contains("orphan"), "{info}");
}

/// Whether the kernel has marked the dead holder, or was no longer there to do so.
#[test]
fn a_take_over_keeps_the_poison() {
    const LOCK_WORD: u64 = 520;
    for lost_power in [false, true] {
        let name = Scratch::new("poisoned");
        let child = spawn("die-holding", &name);
        child.expect("ready");
        child.kill();
        assert!(SegmentInfo::of(&name).unwrap().is_poisoned(), "whether or not anybody has looked after the death");
        if lost_power {
            let file = OpenOptions::new().write(true).open(path(&name)).unwrap();
            file.write_all_at(&0x3fff_fff0u32.to_ne_bytes(), LOCK_WORD).unwrap();
        }
        for _ in 0..2 {
            let array = SharedArray::<u8, 4>::open(&name).unwrap();
            assert!(array.is_poisoned() && array.lock().is_err());
        }
        let array = SharedArray::<u8, 4>::open(&name).unwrap();
        drop(array.lock_recover(|_| {}).unwrap());
        assert!(!array.is_poisoned());
        drop(array);
        assert!(exists(&name));
    }
}
