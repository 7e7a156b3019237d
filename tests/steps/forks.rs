//! Forks at every step of opening and leaving: by the very thread, as in a signal handler, and by another one.

use std::io::{Read, pipe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use robust_shm::{Error, SegmentInfo, SharedArray, SharedValue, remove, remove_orphans};

use crate::life::{become_nobody, of_root};
use crate::seccomp::{Refused, refuse};
use crate::support::{Body, Forked, end_with, exists, fork, member, path, until};

pub const ROLES: &[(&str, Body)] = &[
    ("forks in the middle", in_the_middle),
    ("forks elsewhere", elsewhere),
    ("forks elsewhere, private names", |family| {
        refuse(&[Refused { call: libc::SYS_linkat, only_if: Some((4, AT_EMPTY_PATH)), errno: libc::EPERM }]);
        elsewhere(family);
    }),
    ("forks elsewhere during a take-over", |family| while_a_child_stays(family, persistent, live, is_as_new)),
    ("forks elsewhere during a refusal", |family| while_a_child_stays(family, persistent, be_refused, is_as_new)),
    ("forks elsewhere during a removal", |family| while_a_child_stays(family, with_two_names, remove, is_removable)),
    ("forks elsewhere and keeps nothing", |family| while_a_child_stays(family, |_| (), come_and_go, has_no_user)),
    ("forks elsewhere during a sweep", |family| {
        while_a_child_stays(family, orphan_with_two_names, remove_all_orphans, are_both_gone);
    }),
    ("forks elsewhere over an orphan", |family| {
        while_a_child_stays(family, orphan_with_two_names, find_nothing, is_free_by_the_other_name);
    }),
    ("forks elsewhere during a leave after a fork", |family| {
        while_a_child_stays(family, persistent, leave_after_a_fork, is_free_by_the_other_name);
    }),
    ("forks elsewhere over what cannot be removed", |family| {
        while_a_child_stays(family, orphan, be_refused_a_mode, is_reusable);
    }),
    ("forks elsewhere over what cannot be made anew", |family| {
        while_a_child_stays(family, orphan, want_too_much, is_reusable);
    }),
    ("clones elsewhere while sharing is refused", clones_while_refused),
    ("exits in the middle", exits),
];

/// How many points are still to be passed, the one at which to fork included. 0: it has been, or is not to be.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static AT: Mutex<&str> = Mutex::new("");

/// The point at which to fork, whichever it is of those to come.
static STOP_WHEN: Mutex<Option<&str>> = Mutex::new(None);

/// Is this the point?
fn is_due(point: &'static str) -> bool {
    if STOP_WHEN.lock().unwrap().take_if(|due| *due == point).is_some() {
        return true;
    }
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
/// What the child opens at once, as a handler may: another file than those that were open when it was forked.
static STRANGER: AtomicI32 = AtomicI32::new(-1);

fn fork_here(point: &'static str) {
    if is_due(point) {
        // SAFETY: the child ends with `_exit`, having gone on with what this thread is at.
        #[allow(unsafe_code)]
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        CHILD.store(pid, Ordering::SeqCst);
        if pid == 0 {
            // SAFETY: a name that ends with NUL.
            #[allow(unsafe_code)]
            let stranger = unsafe { libc::memfd_create(c"stranger".as_ptr(), libc::MFD_CLOEXEC) };
            STRANGER.store(stranger, Ordering::SeqCst);
        }
    }
}

/// Nothing was written to it, and nobody has closed it.
fn stranger_is_untouched() -> bool {
    let path = format!("/proc/self/fd/{}", STRANGER.load(Ordering::SeqCst));
    let is_it = std::fs::read_link(&path).is_ok_and(|file| file.to_string_lossy().contains("stranger"));
    is_it && std::fs::metadata(&path).is_ok_and(|file| file.len() == 0)
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
            end_with(|| {
                assert_eq!(lived.map_err(|error| error.to_string()), Ok(()), "child at {point:?}");
                assert!(stranger_is_untouched(), "child at {point:?}");
            });
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

const FIRST_OF_LEAVING: &str = "close: unmapped";

fn have_forked(point: &'static str) {
    if is_due(point) {
        const LAST_OF_OPENING: &str = "register: belongs to a handle";
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

const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH as u32;

fn persistent(name: &str) {
    drop(SharedValue::options().persistent(true).create(name, 1u64).unwrap());
}

/// Whatever was met with, the name serves again, and can be freed.
fn is_as_new(name: &str) -> Result<(), Error> {
    live(name)?;
    remove(name)
}

/// Makes a segment that stays, and opens it.
fn come_and_go(name: &str) -> Result<(), Error> {
    for open in [|name| SharedValue::options().persistent(true).create(name, 1u64), SharedValue::open] {
        let value = open(name)?;
        HAS_HANDLE.store(true, Ordering::SeqCst);
        value.set(2).unwrap();
        HAS_HANDLE.store(false, Ordering::SeqCst);
    }
    Ok(())
}

/// What was being opened or left when the child was forked, the child has closed.
fn has_no_user(name: &str) -> Result<(), Error> {
    let users = if IS_USER.swap(false, Ordering::SeqCst) { 1 } else { 0 };
    until(&format!("{users} users after a fork at {:?}", AT.lock().unwrap()), || {
        let info = SegmentInfo::of(name);
        (!matches!(&info, Ok(info) if info.attached() != users)).then_some(info.map(drop))
    })?;
    remove(name)
}

fn other_name(name: &str) -> String {
    format!("{name}.other")
}

fn with_two_names(name: &str) {
    persistent(name);
    std::fs::hard_link(path(name), path(&other_name(name))).unwrap();
}

/// The file still has a name, and is removed by that.
fn is_removable(name: &str) -> Result<(), Error> {
    remove(&other_name(name))
}

/// What killed users leave, under the other name.
fn orphan_elsewhere(name: &str) {
    let value = SharedValue::options().mode(0o666).create(name, 1u64).unwrap();
    std::fs::hard_link(path(name), path(&other_name(name))).unwrap();
    drop(value);
}

/// Another program's sweep may take it away at any time.
fn orphan(name: &str) {
    orphan_elsewhere(name);
    let _ = std::fs::rename(path(&other_name(name)), path(name));
}

fn orphan_with_two_names(name: &str) {
    orphan_elsewhere(name);
    let _ = std::fs::hard_link(path(&other_name(name)), path(name));
}

fn remove_all_orphans(_: &str) -> Result<(), Error> {
    remove_orphans().map(drop)
}

fn are_both_gone(name: &str) -> Result<(), Error> {
    until(&format!("the end of an orphan after a fork at {:?}", AT.lock().unwrap()), || {
        let result = remove_orphans().map(drop);
        (result.is_err() || !exists(name) && !exists(&other_name(name))).then_some(result)
    })
}

fn find_nothing(name: &str) -> Result<(), Error> {
    match SharedValue::<u64>::open(name) {
        Err(Error::NotFound { .. }) => Ok(()),
        other => other.map(drop),
    }
}

/// By its other name, the file is an orphan that the next user takes away.
fn is_free_by_the_other_name(name: &str) -> Result<(), Error> {
    if *AT.lock().unwrap() == FIRST_OF_LEAVING && exists(name) {
        return remove(name).and_then(|()| remove(&other_name(name))); // the child is a user, too
    }
    // Whoever closes last, the thread or the child, takes the name along.
    until("the end of the name", || (!exists(name)).then_some(()));
    live(&other_name(name))
}

/// The only user, by a second description.
fn leave_after_a_fork(name: &str) -> Result<(), Error> {
    let left = LEFT.swap(0, Ordering::SeqCst);
    remove(name)?;
    let value = SharedValue::create(name, 1u64)?;
    std::fs::hard_link(path(name), path(&other_name(name))).unwrap();
    // SAFETY: the child ends at once.
    #[allow(unsafe_code)]
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        end_with(|| ());
    }
    Forked::adopt(pid).join();
    LEFT.store(left, Ordering::SeqCst);
    drop(value);
    Ok(())
}

fn be_refused_a_mode(name: &str) -> Result<(), Error> {
    become_nobody();
    match of_root().mode(0o600).open_or_create(name, 1u64) {
        Err(Error::ForeignOrphan { .. }) => Ok(()),
        other => other.map(drop),
    }
}

fn want_too_much(name: &str) -> Result<(), Error> {
    const LEN: usize = 1 << 42;
    become_nobody();
    match SharedArray::<u8, LEN>::options().mode(0o666).allow_owner(0).open_or_create(name) {
        Err(Error::OutOfSharedMemory { .. }) => Ok(()),
        other => other.map(drop),
    }
}

/// For the next one who may not remove it.
fn is_reusable(name: &str) -> Result<(), Error> {
    let reused = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                become_nobody();
                of_root().open_or_create(name, 1u64).map(drop)
            })
            .join()
            .unwrap()
    });
    reused?;
    let _ = std::fs::remove_file(path(name));
    Ok(())
}

/// One thread meets what users have left: takes it over and leaves it, removes it, or is refused. Another forks
/// meanwhile, and its child stays. That keeps nobody from going on.
fn while_a_child_stays(
    family: &str,
    leave_behind: fn(&str),
    meet: fn(&str) -> Result<(), Error>,
    go_on: fn(&str) -> Result<(), Error>,
) {
    /// Somebody else's sweep may have left nothing to meet.
    const ATTEMPTS: usize = 10;
    robust_shm::watch_points(have_forked);
    for step in 1.. {
        let reached = (0..ATTEMPTS).any(|attempt| {
            let name = member(family, step * ATTEMPTS + attempt);
            leave_behind(&name);
            let (lived, child) = forked_at(step, || meet(&name));
            let point = *AT.lock().unwrap();
            lived.unwrap_or_else(|error| panic!("after a fork at {point:?}: {error}"));
            go_on(&name).unwrap_or_else(|error| panic!("later, after a fork at {point:?}: {error}"));
            child.is_some()
        });
        if !reached {
            assert!(step > 4, "{step} steps");
            return;
        }
    }
}

/// Has another thread do something, and forks when it comes to this step, if it does. The child stays until it is
/// dropped.
fn forked_at(step: usize, action: impl FnOnce() -> Result<(), Error> + Send) -> (Result<(), Error>, Option<Forked>) {
    IS_DUE.store(false, Ordering::SeqCst);
    HAS_FORKED.store(false, Ordering::SeqCst);
    LEFT.store(step, Ordering::SeqCst);
    let (child, lived) = std::thread::scope(|scope| {
        let thread = scope.spawn(action);
        until("the step", || (IS_DUE.load(Ordering::SeqCst) || thread.is_finished()).then_some(()));
        let child = IS_DUE.load(Ordering::SeqCst).then(|| fork(wait_for_the_end));
        HAS_FORKED.store(true, Ordering::SeqCst);
        (child, thread.join().unwrap())
    });
    LEFT.store(0, Ordering::SeqCst);
    (lived, child)
}

/// In a child: stays until it is killed, at the latest with its parent.
fn wait_for_the_end() {
    // SAFETY: takes integers.
    #[allow(unsafe_code)]
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
    loop {
        // SAFETY: takes nothing.
        #[allow(unsafe_code)]
        unsafe {
            libc::pause()
        };
    }
}

/// One thread is kept from becoming a user by somebody who removes the segment, it seems. Another one has made a child
/// meanwhile that has heard of nothing, as in the middle of a fork: it has what was opened, and stays.
fn clones_while_refused(family: &str) {
    robust_shm::watch_points(have_forked);
    let name = member(family, 0);
    persistent(&name);
    let removing = std::fs::File::options().read(true).write(true).open(path(&name)).unwrap();
    removing.lock().unwrap();
    let (opened, child) = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            STOP_WHEN.lock().unwrap().replace("register: shared");
            SharedValue::<u64>::open(&name)
        });
        until("the step", || (IS_DUE.load(Ordering::SeqCst) || thread.is_finished()).then_some(()));
        // SAFETY: SIGCHLD and zeros for all else is a plain fork, of which no handler hears.
        #[allow(unsafe_code)]
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        assert!(pid >= 0);
        if pid == 0 {
            end_with(wait_for_the_end);
        }
        removing.unlock().unwrap();
        HAS_FORKED.store(true, Ordering::SeqCst);
        (thread.join().unwrap(), Forked::adopt(pid as libc::pid_t))
    });
    assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 1, "the handle");
    drop(opened.unwrap());
    assert_eq!(SegmentInfo::of(&name).unwrap().attached(), 0);
    drop(child);
    remove(&name).unwrap();
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
