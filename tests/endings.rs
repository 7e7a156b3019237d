//! How a process may end, and what is left of its segments then.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod support;

use std::os::unix::process::CommandExt;
use std::sync::OnceLock;

use robust_shm::{Error, SegmentInfo, SharedValue};
use support::{Scratch, exists, play, spawn};

#[test]
fn child() {
    play(&[
        ("late", |name| opens_late(name, || std::process::exit(0))),
        // SAFETY: ends the process, as below.
        ("late, quick", |name| opens_late(name, || unsafe { quick_exit(0) })),
        // SAFETY: ends the process, as the next but one.
        ("quick_exit", |name| end(name, || unsafe { quick_exit(0) })),
        ("exit", |name| end(name, || std::process::exit(0))),
        // SAFETY: as above.
        ("_exit", |name| end(name, || unsafe { libc::_exit(0) })),
        ("exec", |name| end(name, || panic!("{}", std::process::Command::new("true").exec()))),
    ]);
}

unsafe extern "C" {
    fn quick_exit(status: libc::c_int) -> !;
    fn at_quick_exit(hook: extern "C" fn()) -> libc::c_int;
}

fn end(name: &str, ending: fn()) {
    static KEPT: OnceLock<SharedValue<u64>> = OnceLock::new();
    KEPT.get_or_init(|| SharedValue::create(name, 1u64).unwrap());
    ending();
}

/// A hook of the program's own that is there before the library's is called after it.
fn opens_late(name: &str, ending: fn()) {
    static NAME: OnceLock<String> = OnceLock::new();
    extern "C" fn open() {
        std::mem::forget(SharedValue::create(NAME.get().unwrap(), 1u64).unwrap());
    }
    NAME.get_or_init(|| name.to_owned());
    // SAFETY: a function of this program.
    assert_eq!(unsafe { libc::atexit(open) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { at_quick_exit(open) }, 0);
    drop(SharedValue::create(&format!("{name}-first"), 1u64).unwrap());
    ending();
}

#[test]
#[cfg_attr(robust_shm_unix, ignore = "quick_exit runs no hook there")]
fn what_is_opened_amid_an_exit_goes_with_it() {
    for role in ["late", "late, quick"] {
        let name = Scratch::new("ends");
        spawn(role, &name).join();
        assert!(!exists(&name), "{role}");
    }
}

#[test]
#[cfg_attr(robust_shm_unix, ignore = "quick_exit runs no hook there")]
fn exit_and_quick_exit_take_the_name_along() {
    for role in ["exit", "quick_exit"] {
        let name = Scratch::new("ends");
        spawn(role, &name).join();
        assert!(!exists(&name), "{role}");
    }
}

/// Nothing of this process runs any more then: it is as if it had been killed.
#[test]
fn what_ends_without_exit_hooks_leaves_an_orphan_for_whoever_comes_next() {
    for role in ["_exit", "exec"] {
        let name = Scratch::new("ends");
        spawn(role, &name).join();
        if exists(&name) {
            assert!(SegmentInfo::of(&name).is_ok_and(|info| info.attached() == 0), "{role}");
        }
        assert!(matches!(SharedValue::<u64>::open(&name), Err(Error::NotFound { .. })), "{role}");
        assert!(!exists(&name), "{role}");
    }
}
