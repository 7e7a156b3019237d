//! Forks at every step of opening and leaving: by the very thread, as in a signal handler, and by another one.

use std::io::{Read, pipe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use robust_shm::{Error, SharedValue};

use crate::support::{Body, Forked, end_with, exists, fork, member, until};

pub const ROLES: &[(&str, Body)] = &[
    ("forks in the middle", in_the_middle),
    ("forks elsewhere", elsewhere),
    ("forks elsewhere during a take-over", |family| while_a_child_stays(family, live)),
    ("forks elsewhere during a refusal", |family| while_a_child_stays(family, be_refused)),
    ("exits in the middle", exits),
];

/// How many points are still to be passed, the one at which to fork included. 0: it has been, or is not to be.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static AT: Mutex<&str> = Mutex::new("");

/// Is this the point?
fn is_due(point: &'static str) -> bool {
    let before = LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if before == Ok(1) {
        *AT.lock().unwrap() = point;
    }
    before == Ok(1)
}

static HAS_HANDLE: AtomicBool = AtomicBool::new(false);

/// Opens or makes a segment, and leaves it.
fn live(name: &str) -> Result<(), Error> {
    let value = SharedValue::open_or_create(name, 1u64)?;
    HAS_HANDLE.store(true, Ordering::SeqCst);
    value.set(2).unwrap();
    HAS_HANDLE.store(false, Ordering::SeqCst);
    drop(value);
    Ok(())
}

static CHILD: AtomicI32 = AtomicI32::new(0);

fn fork_here(point: &'static str) {
    if is_due(point) {
        // SAFETY: the child ends with `_exit`, having gone on with what this thread is at.
        #[allow(unsafe_code)]
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        CHILD.store(pid, Ordering::SeqCst);
    }
}

/// Parent and child go on with what was interrupted.
fn in_the_middle(family: &str) {
    robust_shm::watch_points(fork_here);
    let me = std::process::id();
    for step in 1.. {
        let name = member(family, step);
        CHILD.store(-1, Ordering::SeqCst);
        LEFT.store(step, Ordering::SeqCst);
        let lived = live(&name);
        let point = *AT.lock().unwrap();
        if std::process::id() != me {
            end_with(|| assert_eq!(lived.map_err(|error| error.to_string()), Ok(()), "child at {point:?}"));
        }
        assert_eq!(lived.map_err(|error| error.to_string()), Ok(()), "parent at {point:?}");
        if LEFT.swap(0, Ordering::SeqCst) != 0 {
            assert!(step > 20, "{step} steps");
            return;
        }
        Forked::adopt(CHILD.load(Ordering::SeqCst)).join();
        assert!(!exists(&name), "left over after a fork at {point:?}");
    }
}

/// Did the thread have a handle at the point?
static IS_USER: AtomicBool = AtomicBool::new(false);
static IS_DUE: AtomicBool = AtomicBool::new(false);
static HAS_FORKED: AtomicBool = AtomicBool::new(false);

fn have_forked(point: &'static str) {
    if is_due(point) {
        const LAST_OF_OPENING: &str = "register: belongs to a handle";
        const FIRST_OF_LEAVING: &str = "close: unmapped";
        let at_an_end = [LAST_OF_OPENING, FIRST_OF_LEAVING].contains(&point);
        IS_USER.store(HAS_HANDLE.load(Ordering::SeqCst) || at_an_end, Ordering::SeqCst);
        IS_DUE.store(true, Ordering::SeqCst);
        until("the fork", || HAS_FORKED.load(Ordering::SeqCst).then_some(()));
    }
}

/// One thread opens and leaves; another forks meanwhile. Unless the first had a handle just then, the child is no user.
fn elsewhere(family: &str) {
    robust_shm::watch_points(have_forked);
    for step in 1.. {
        let name = member(family, step);
        IS_DUE.store(false, Ordering::SeqCst);
        HAS_FORKED.store(false, Ordering::SeqCst);
        LEFT.store(step, Ordering::SeqCst);
        let (mut from_parent, to_child) = pipe().unwrap();
        let mut to_child = Some(to_child);
        let child = std::thread::scope(|scope| {
            let thread = scope.spawn(|| live(&name));
            until("the step", || (IS_DUE.load(Ordering::SeqCst) || thread.is_finished()).then_some(()));
            let child = IS_DUE.load(Ordering::SeqCst).then(|| {
                fork(|| {
                    drop(to_child.take());
                    let _ = from_parent.read(&mut [0]);
                    std::process::exit(0); // leaves, if it is a user
                })
            });
            HAS_FORKED.store(true, Ordering::SeqCst);
            thread.join().unwrap().unwrap();
            child
        });
        let Some(child) = child else {
            assert!(step > 20, "{step} steps");
            return;
        };
        LEFT.store(0, Ordering::SeqCst);
        let point = *AT.lock().unwrap();
        let is_user = IS_USER.load(Ordering::SeqCst);
        if is_user {
            assert!(exists(&name), "after a fork at {point:?}");
        } else {
            // Whoever closes last, the thread or the child, takes the name along.
            until(&format!("the end of the name after a fork at {point:?}"), || (!exists(&name)).then_some(()));
        }
        drop(to_child);
        child.join();
        assert!(!exists(&name), "left over after a fork at {point:?}");
    }
}

/// Opens a segment as what it is not.
fn be_refused(name: &str) -> Result<(), Error> {
    match SharedValue::<u32>::open(name) {
        Err(Error::TypeMismatch { .. }) => Ok(()),
        other => other.map(drop),
    }
}

/// One thread meets what users have left: takes it over and leaves it, or is refused. Another forks meanwhile, and its
/// child stays. That keeps nobody from opening the segment.
fn while_a_child_stays(family: &str, meet: fn(&str) -> Result<(), Error>) {
    robust_shm::watch_points(have_forked);
    for step in 1.. {
        let name = member(family, step);
        LEFT.store(0, Ordering::SeqCst);
        drop(SharedValue::options().persistent(true).create(&name, 1u64).unwrap());
        IS_DUE.store(false, Ordering::SeqCst);
        HAS_FORKED.store(false, Ordering::SeqCst);
        LEFT.store(step, Ordering::SeqCst);
        let (mut from_parent, to_child) = pipe().unwrap();
        let mut to_child = Some(to_child);
        let (child, lived) = std::thread::scope(|scope| {
            let thread = scope.spawn(|| meet(&name));
            until("the step", || (IS_DUE.load(Ordering::SeqCst) || thread.is_finished()).then_some(()));
            let child = IS_DUE.load(Ordering::SeqCst).then(|| {
                fork(|| {
                    drop(to_child.take());
                    let _ = from_parent.read(&mut [0]);
                })
            });
            HAS_FORKED.store(true, Ordering::SeqCst);
            (child, thread.join().unwrap())
        });
        LEFT.store(0, Ordering::SeqCst);
        let point = *AT.lock().unwrap();
        lived.unwrap_or_else(|error| panic!("after a fork at {point:?}: {error}"));
        live(&name).unwrap_or_else(|error| panic!("later, after a fork at {point:?}: {error}"));
        robust_shm::remove(&name).unwrap();
        let Some(child) = child else {
            assert!(step > 4, "{step} steps");
            return;
        };
        drop(to_child);
        child.join();
    }
}

fn exit_here(point: &'static str) {
    if is_due(point) {
        // SAFETY: runs the exit hooks, as a signal handler might that interrupts this thread.
        #[allow(unsafe_code)]
        unsafe {
            libc::exit(3)
        };
    }
}

/// The exit hook finds the process in the middle of something, and waits for nothing.
fn exits(family: &str) {
    for step in 1.. {
        let name = member(family, step);
        // SAFETY: this process has one thread that matters; the child ends by `exit` or `_exit`.
        #[allow(unsafe_code)]
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            end_with(|| {
                LEFT.store(step, Ordering::SeqCst);
                robust_shm::watch_points(exit_here);
                live(&name).unwrap();
            });
        }
        let mut child = Forked::adopt(pid);
        let status = until("the end of the child", || child.try_wait());
        robust_shm::remove_orphans().unwrap();
        assert!(!exists(&name), "left over after an exit at step {step}");
        if status == 0 {
            assert!(step > 20, "{step} steps");
            return;
        }
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 3, "step {step}: {status:#x}");
    }
}
