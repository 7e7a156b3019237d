//! Many handles, many processes, many segments, many waiters.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]
#![allow(unsafe_code)]

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use robust_shm::{Error, LockError, SegmentInfo, SharedArray, SharedLock, SharedValue, segments};
#[cfg(target_os = "linux")]
use support::fork;
use support::{
    COST_OF_A_PROCESS, Family, Role, Scratch, Stopwatch, exists, member, pause, play, say, spawn, until_it_waits,
};

#[test]
fn child() {
    play(&[
        ("four-handles", four_handles),
        #[cfg(target_os = "linux")]
        ("descriptors", descriptors),
        #[cfg(target_os = "linux")]
        ("ten-thousand", ten_thousand_segments),
        #[cfg(target_os = "linux")]
        ("persistent", persistent_at_the_limit),
        #[cfg(target_os = "linux")]
        ("fork-at-limit", fork_at_the_limit),
        #[cfg(target_os = "linux")]
        ("share-at-limit", |name| share_at_the_limit(name, false)),
        #[cfg(target_os = "linux")]
        ("share-persistent-at-limit", |name| share_at_the_limit(name, true)),
        ("four-waiters", four_waiters),
    ]);
}

// Many handles on one segment

const HANDLES: usize = 4;

fn four_handles(name: &str) {
    let handles = [0; HANDLES].map(|_| SharedValue::<u64>::open(name).unwrap());
    say("attached");
    pause();
    for handle in &handles {
        *handle.lock().unwrap() += 1;
    }
}

fn attached(name: &str) -> usize {
    SegmentInfo::of(name).unwrap().attached()
}

/// `processes` processes with four handles each; some are killed, the others go on.
fn attach(processes: usize) {
    let name = Scratch::new("handles");
    let value = SharedValue::create(&name, 0u64).unwrap();
    let mut children: Vec<_> = (0..processes).map(|_| spawn("four-handles", &name)).collect();
    children.iter().for_each(|child| child.expect("attached"));
    assert_eq!(attached(&name), processes * HANDLES + 1);
    let killed = children.split_off(processes - processes / 5);
    killed.into_iter().for_each(Role::kill);
    assert_eq!(attached(&name), children.len() * HANDLES + 1);
    let expected = (children.len() * HANDLES) as u64;
    // All at once: what each one waits for is its turn at the lock.
    children.iter_mut().for_each(Role::go_on);
    children.into_iter().for_each(Role::join);
    assert_eq!(value.get(), expected);
    assert_eq!(attached(&name), 1);
    drop(value);
    assert!(!exists(&name));
}

#[test]
fn a_thousand_handles_in_two_hundred_and_fifty_processes() {
    let _alone = alone();
    attach(250 / COST_OF_A_PROCESS);
}

/// To run it, where `ulimit -Hn` is 4096 or more: `cargo test --release --test scale -- --ignored`.
#[test]
#[ignore = "a thousand processes"]
fn four_thousand_handles_in_a_thousand_processes() {
    let _alone = alone();
    attach(1_000);
}

// Many segments in one process

/// Sets the number of descriptors that this process may have, and returns it: the system allows so many at most.
#[cfg(target_os = "linux")]
fn limit_files(most: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = most.min(limit.rlim_max);
    // SAFETY: the limits outlive the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
    limit.rlim_cur
}

/// For tests that need hundreds of descriptors: one after another, and with as many as the system allows.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    #[cfg(target_os = "linux")]
    limit_files(u64::MAX);
    alone
}

#[cfg(target_os = "linux")]
fn is_no_descriptor(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    source.raw_os_error() == Some(libc::EMFILE) && error.to_string().contains(error.name())
}

#[cfg(target_os = "linux")]
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
fn descriptors(family: &str) {
    limit_files(150);
    drop(SharedLock::create(&member(family, 0)).unwrap());
    let before = open_descriptors();
    // A spare descriptor or none: so that the limit is met at the first and at the second one of a handle.
    for spare in [None, Some(std::fs::File::open("/dev/null").unwrap())] {
        let mut handles = Vec::new();
        let error = loop {
            match SharedValue::create(&member(family, handles.len()), handles.len()) {
                Ok(handle) => handles.push(handle),
                Err(error) => break error,
            }
            assert!(handles.len() < 200, "the limit is not met");
        };
        assert!(is_no_descriptor(&error), "{error}");
        assert!(handles.len() > 50);
        let first = member(family, 0);
        let error = loop {
            match SharedValue::<usize>::open(&first) {
                Ok(handle) => handles.push(handle),
                Err(error) => break error,
            }
        };
        assert!(is_no_descriptor(&error), "{error}");
        // What is open goes on working.
        for (which, handle) in handles.iter().enumerate() {
            handle.update(|v| *v += 1).unwrap();
            assert!(handle.get() > 0, "{which}");
        }
        // With room for one more, it works again.
        handles.truncate(handles.len() - 2);
        drop(SharedValue::<usize>::open(&first).unwrap());
        drop(handles);
        drop(spare);
    }
    assert_eq!(open_descriptors(), before, "descriptors leak");
    say("done");
}

#[cfg(target_os = "linux")]
#[test]
fn at_the_descriptor_limit_creating_and_opening_are_errors_and_everything_goes() {
    let family = Family::new("descriptors");
    let child = spawn("descriptors", family.name());
    child.expect("done");
    child.join();
    assert_eq!(family.living(), [""; 0]);
}

/// Persistent segments stay: so a creation that fails at its second descriptor must take its segment back.
#[cfg(target_os = "linux")]
fn persistent_at_the_limit(family: &str) {
    limit_files(60);
    let mut handles = Vec::new();
    for spare in [None, Some(std::fs::File::open("/dev/null").unwrap())] {
        let failed = loop {
            let name = member(family, handles.len());
            match SharedValue::options().persistent(true).create(&name, 7u64) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    assert!(is_no_descriptor(&error), "{error}");
                    break name;
                }
            }
        };
        assert!(!exists(&failed), "{failed} exists after a creation that failed");
        drop(spare);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_failed_creation_leaves_no_persistent_segment() {
    let family = Family::new("persistent");
    spawn("persistent", family.name()).join();
}

/// A fork at the descriptor limit has no room for the child's own presence. Then the child counts with its parent.
#[cfg(target_os = "linux")]
fn fork_at_the_limit(family: &str) {
    limit_files(40);
    let mut handles = Vec::new();
    while let Ok(handle) = SharedValue::create(&member(family, handles.len()), 1u64) {
        handles.push(handle);
    }
    let mut handles = Some(handles);
    fork(|| {
        let handles = handles.take().unwrap();
        for handle in &handles {
            handle.update(|v| *v += 1).unwrap();
        }
        drop(handles);
    })
    .join();
    let handles = handles.unwrap();
    for (which, handle) in handles.iter().enumerate() {
        assert!(exists(&member(family, which)), "the child took it along");
        assert_eq!(handle.get(), 2);
    }
}

/// The child then locks, and its parent leaves: the description that both have still stands for the child.
#[cfg(target_os = "linux")]
fn share_at_the_limit(name: &str, persistent: bool) {
    let (mut from_child, to_parent) = std::io::pipe().unwrap();
    let (mut from_parent, to_child) = std::io::pipe().unwrap();
    let mut array = Some(SharedArray::<u64, 2>::options().persistent(persistent).create(name).unwrap());
    let devices: Vec<_> = {
        limit_files(40);
        std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
    };
    let (mut to_parent, mut to_child) = (Some(to_parent), Some(to_child));
    let child = fork(|| {
        drop(to_child.take());
        let array = array.take().unwrap();
        let guard = array.lock().unwrap();
        drop(to_parent.take()); // says so
        let _ = std::io::Read::read(&mut from_parent, &mut [0]);
        assert_eq!(*guard, [0; 2], "somebody else was in");
    });
    drop((devices, to_parent));
    assert_eq!(std::io::Read::read(&mut from_child, &mut [0]).unwrap(), 0);
    drop(array.take());
    let again = SharedArray::<u64, 2>::open(name).unwrap();
    let attempt = again.try_lock_ignoring_poison_for(Duration::from_millis(50));
    assert!(matches!(attempt, Err(LockError::TimedOut { .. })), "{attempt:?}");
    drop(to_child);
    child.join();
    assert!(again.lock().is_ok());
}

/// The parent's leaving once took the segment along, or, if that was persistent, let a newcomer take the lock that the
/// child was holding.
#[cfg(target_os = "linux")]
#[test]
fn a_child_that_shares_its_parents_description_keeps_the_segment_and_its_lock() {
    for role in ["share-at-limit", "share-persistent-at-limit"] {
        spawn(role, &Scratch::new("shared")).join();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_fork_at_the_descriptor_limit_takes_nothing_from_the_parent() {
    let family = Family::new("fork-at-limit");
    spawn("fork-at-limit", family.name()).join();
    // Nobody could tell that he was the last: so what is left is for a sweep.
    support::until("the sweep", || {
        robust_shm::remove_orphans().unwrap();
        family.living().is_empty().then_some(())
    });
}

#[test]
fn a_hundred_and_fifty_segments_are_listed_and_go_one_by_one() {
    const SEGMENTS: usize = 150;
    let _alone = alone();
    let family = Family::new("segments");
    let arrays: Vec<_> =
        (0..SEGMENTS).map(|which| SharedArray::<u8, 100>::create(&family.member(which)).unwrap()).collect();
    let listed = || segments().flatten().filter(|info| info.name().starts_with(family.name())).count();
    assert_eq!(listed(), SEGMENTS);
    for (left, array) in (0..SEGMENTS).rev().zip(arrays) {
        drop(array);
        if left % 50 == 0 {
            assert_eq!(listed(), left);
        }
    }
}

/// The first version read `/proc/locks`, which the kernel tells in pieces, between which other locks come and go.
#[test]
fn a_live_segment_is_never_called_an_orphan_while_others_come_and_go() {
    let _alone = alone();
    let family = Family::new("churn");
    let _live: Vec<_> = (0..200).map(|which| SharedLock::create(&family.member(which)).unwrap()).collect();
    let end = Instant::now() + Duration::from_secs(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < end {
                let batch = [0; 40].map(|_| SharedLock::open(&family.member(1)).unwrap());
                drop(batch);
            }
        });
        let (mut looks, mut wrong) = (0, 0);
        while Instant::now() < end {
            wrong += u32::from(SegmentInfo::of(&family.member(looks % 200)).unwrap().is_orphan());
            looks += 1;
        }
        assert_eq!(wrong, 0, "of {looks} looks");
    });
}

/// Creates segments until there are so many, or the first error.
#[cfg(target_os = "linux")]
fn create_more(family: &str, values: &mut Vec<SharedValue<usize>>, most: usize) -> Result<(), Error> {
    while values.len() < most {
        values.push(SharedValue::create(&member(family, values.len()), values.len())?);
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn ten_thousand_segments(family: &str) {
    const MANY: usize = 10_000;
    let mut start = Instant::now();
    let mut lap = |what: &str| {
        let took = start.elapsed();
        start = Instant::now();
        say(format!("{what}: {took:?}"));
    };
    limit_files(1_024);
    let mut values = Vec::new();
    let error = create_more(family, &mut values, MANY).unwrap_err();
    assert!(is_no_descriptor(&error) && values.len() > 400, "{error}");
    // Each handle takes two descriptors.
    let most = MANY.min((limit_files(u64::MAX) as usize - 50) / 2);
    say(format!("{most} segments"));
    lap("the first few hundred, and an error");
    create_more(family, &mut values, most).unwrap();
    lap("created");
    for (which, value) in values.iter().enumerate() {
        assert_eq!(value.update(|v| *v += 1).unwrap(), which + 1);
    }
    lap("updated");
    for (which, value) in values.iter().enumerate() {
        assert_eq!(SharedValue::<usize>::open(value.name()).unwrap().get(), which + 1);
    }
    lap("opened and closed once more");
    assert_eq!(segments().flatten().filter(|info| info.name().starts_with(family)).count(), most);
    lap("listed");
    assert!(!robust_shm::remove_orphans().unwrap().iter().any(|name| name.starts_with(family)));
    lap("searched for orphans");
    let mut inherited = Some(values);
    fork(|| drop(inherited.take())).join();
    lap("forked, and closed in the child");
    let values = inherited.unwrap();
    assert!((0..most).all(|which| exists(&member(family, which))), "the child took some along");
    drop(values);
    lap("closed");
    say("done");
}

/// To run it: `cargo test --release --test scale ten_thousand_segments -- --ignored --nocapture`. Where `ulimit -Hn` is
/// less than 20,050, there are fewer; at 30,050 the forked child has a presence of its own in each.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "ten thousand segments"]
fn ten_thousand_segments_in_one_process() {
    let family = Family::new("ten-thousand");
    let child = spawn("ten-thousand", family.name());
    loop {
        let line = child.hear();
        println!("{line}");
        if line == "done" {
            break;
        }
    }
    child.join();
    // With too few descriptors for the forked child, parent and child were one user each, and a sweep takes what is left.
    support::until("the sweep", || {
        robust_shm::remove_orphans().unwrap();
        family.living().is_empty().then_some(())
    });
}

// Many waiters at one lock

const THREADS: usize = 4;

fn four_waiters(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // A killed neighbour may have held it for a moment.
                drop(lock.lock_ignoring_poison().unwrap());
                say("had it");
            });
        }
        say("has threads");
    });
}

/// Processes whose four threads wait at one lock. Half of them are killed while it is held; then it is released, and
/// more are killed while it goes from hand to hand: everybody else still gets it.
fn wait_and_die(rounds: usize, processes: usize) {
    for round in 0..rounds {
        let name = Scratch::new("waiters");
        let lock = SharedLock::create(&name).unwrap();
        let guard = lock.lock().unwrap();
        let mut children: Vec<_> = (0..processes).map(|_| spawn("four-waiters", &name)).collect();
        children.iter().for_each(|child| child.expect("has threads"));
        children.iter().for_each(until_it_waits);
        for _ in 0..processes / 2 {
            children.swap_remove((round * 7 + children.len() / 3) % children.len()).kill();
        }
        assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock { .. })));
        drop(guard);
        let start = Stopwatch::start();
        for _ in 0..processes / 5 {
            drop(children.swap_remove(0)); // killed, wherever it is by now
        }
        for child in children {
            for _ in 0..THREADS {
                child.expect("had it");
            }
            child.join();
        }
        assert!(lock.lock_ignoring_poison().is_ok());
        start.assert_nobody_waited_for_the_heartbeat(); // else a wake-up was lost
    }
}

#[test]
fn of_a_hundred_waiters_the_killed_ones_take_no_wake_up_with_them() {
    let _alone = alone();
    wait_and_die(4, 25);
}

/// To run it: `cargo test --release --test scale -- --ignored`.
#[test]
#[ignore = "a hundred rounds"]
fn of_ten_thousand_waiters_the_killed_ones_take_no_wake_up_with_them() {
    wait_and_die(100, 25);
}
