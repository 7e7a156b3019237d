//! How a process may end, and what is left of its segments then.
#![allow(unsafe_code)]

mod support;

use std::os::unix::process::CommandExt;
use std::sync::OnceLock;

use robust_shm::{Error, SegmentInfo, SharedValue};
use support::{Scratch, exists, play, spawn};

#[test]
fn child() {
    play(&[
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
}

fn end(name: &str, ending: fn()) {
    static KEPT: OnceLock<SharedValue<u64>> = OnceLock::new();
    KEPT.get_or_init(|| SharedValue::create(name, 1u64).unwrap());
    ending();
}

#[test]
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
