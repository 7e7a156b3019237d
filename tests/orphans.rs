//! What is left of users that were killed goes, and nothing else does.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use robust_shm::{Error, SegmentInfo, SharedLock, SharedValue, orphans, remove, remove_orphans};
use support::{Scratch, exists, play, ready_to_die, spawn, until};

#[test]
fn child() {
    play(&[("create", create), ("persist", persist)]);
}

fn create(name: &str) {
    let _value = SharedValue::create(name, 7u64).unwrap();
    ready_to_die();
}

fn persist(name: &str) {
    let value = SharedValue::<u64>::options().persistent(true).create(name, 7).unwrap();
    let _guard = value.lock().unwrap();
    ready_to_die();
}

/// Every creation sweeps, so these tests come one after another.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An orphan, as it is after SIGKILL. Any other program of this user that makes a segment takes it away: then another.
fn orphan(name: &str) -> SegmentInfo {
    until("an orphan", || {
        let child = spawn("create", name);
        child.expect("ready");
        child.kill();
        match SegmentInfo::of(name) {
            Ok(info) => Some(info),
            Err(Error::NotFound { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    })
}

#[test]
fn an_orphan_goes_when_its_name_is_used() {
    let _alone = alone();
    let name = Scratch::new("orphan");
    let info = orphan(&name);
    assert!(info.is_orphan() && info.to_string().contains("orphan"), "{info}");
    assert!(matches!(SharedValue::<u64>::open(&name), Err(Error::NotFound { .. })));
    assert!(!exists(&name));

    orphan(&name);
    // Even as something else: what is dead does not count.
    let lock = SharedLock::create(&name).unwrap();
    assert!(lock.was_created());
    drop(lock);

    orphan(&name);
    assert!(SharedValue::open_or_create(&name, 8u64).unwrap().was_created());
}

#[test]
fn an_orphan_goes_with_the_next_creation_of_anything() {
    let _alone = alone();
    for create in [SharedLock::create, SharedLock::open_or_create] {
        let name = Scratch::new("swept");
        orphan(&name);
        support::until("the sweep", || {
            let other = Scratch::new("other");
            let _other = create(&other).unwrap();
            (!exists(&name)).then_some(())
        });
    }
}

#[test]
fn remove_orphans_takes_dead_segments_and_no_others() {
    let _alone = alone();
    let (dead, live, kept) = (Scratch::new("dead"), Scratch::new("live"), Scratch::new("kept"));
    let _live = SharedValue::create(&live, 1u64).unwrap();
    drop(SharedValue::options().persistent(true).create(&kept, 1u64).unwrap());
    let stranger = Scratch::new("stranger");
    std::fs::write(support::path(&stranger), "not a segment").unwrap();
    let removed = until("a sweep that comes before any other program's", || {
        orphan(&dead);
        let removed = remove_orphans().unwrap();
        assert!(!exists(&dead));
        removed.contains(&dead.0).then_some(removed)
    });
    assert!(!removed.iter().any(|name| [&live.0, &kept.0, &stranger.0].contains(&name)));
    assert!(exists(&live) && exists(&kept) && exists(&stranger));
    remove(&kept).unwrap();
}

/// Asked as often as one likes: nothing goes by being asked for.
#[test]
fn orphans_are_named_before_they_are_removed() {
    let _alone = alone();
    let (dead, live, kept) = (Scratch::new("dead"), Scratch::new("live"), Scratch::new("kept"));
    let _live = SharedValue::create(&live, 1u64).unwrap();
    drop(SharedValue::options().persistent(true).create(&kept, 1u64).unwrap());
    let (half_made, stranger) = (Scratch::new("half.robust-shm-unfinished-1-0-0"), Scratch::new("stranger"));
    std::fs::write(support::path(&stranger), vec![0; 4096]).unwrap();
    let named = until("a look that comes before any other program's sweep", || {
        orphan(&dead);
        std::fs::write(support::path(&half_made), "").unwrap(); // now: who makes the orphan sweeps
        let twice = [orphans().unwrap(), orphans().unwrap()];
        twice.iter().all(|names| names.contains(&dead.0)).then_some(twice)
    });
    for other in [&live, &kept, &half_made, &stranger] {
        assert!(exists(other) && named.iter().all(|names| !names.contains(&other.0)), "{}", &**other);
    }
    until("what was named to go, and not to be named any more", || {
        remove_orphans().unwrap();
        (!exists(&dead) && !orphans().unwrap().contains(&dead.0)).then_some(())
    });
    remove(&kept).unwrap();
}

/// Where a segment cannot be made without a name, a killed creator leaves a private one, which is nobody's to know of.
#[cfg(target_os = "linux")]
#[test]
fn remove_orphans_takes_unfinished_segments_and_does_not_name_them() {
    let _alone = alone();
    let name = Scratch::new("half-made");
    let private = Scratch(format!("{}.robust-shm-unfinished-1-0-0", &*name));
    std::fs::write(support::path(&private), "").unwrap();
    let removed = remove_orphans().unwrap();
    assert!(!exists(&private));
    assert!(!removed.iter().any(|removed| removed.starts_with(&*name)), "{removed:?}");
}

#[test]
fn a_persistent_segment_stays_and_is_taken_over_after_a_kill() {
    let _alone = alone();
    let name = Scratch::new("persistent");
    let child = spawn("persist", &name);
    child.expect("ready");
    child.kill();
    let value = SharedValue::<u64>::open(&name).unwrap();
    assert!(!value.was_created());
    value.update(|v| *v += 1).unwrap();
    drop(value);
    assert!(matches!(SharedValue::create(&name, 1u64), Err(Error::AlreadyExists { .. })));
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 8);
    remove(&name).unwrap();
    assert!(!exists(&name));
}

/// Once, who opened in the middle of somebody else's take-over was told of a foreign PID namespace: when the programs of
/// a restarted container opened their persistent segment at the same time, all but one failed.
#[cfg(target_os = "linux")]
#[test]
fn who_comes_in_the_middle_of_a_take_over_waits_for_it() {
    use support::FileExt;
    const NAMESPACE: u64 = 96;

    let _alone = alone();
    let name = Scratch::new("taken-over");
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    let file = std::fs::File::options().read(true).write(true).open(support::path(&name)).unwrap();
    let mut ours = [0; 8];
    file.read_exact_at(&mut ours, NAMESPACE).unwrap();

    // What another program does meanwhile.
    file.lock().unwrap();
    file.write_all_at(&1u64.to_ne_bytes(), NAMESPACE).unwrap();
    let taker = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        file.write_all_at(&ours, NAMESPACE).unwrap();
        file.lock_shared().unwrap();
        file
    });
    let value = SharedValue::<u64>::open(&name);
    drop(taker.join().unwrap());
    assert_eq!(value.unwrap().get(), 7);
}

/// A segment that is just being removed is what it is no longer: nobody is refused for it.
#[cfg(target_os = "linux")]
#[test]
fn who_comes_in_the_middle_of_a_removal_is_not_refused() {
    use std::sync::mpsc;

    let _alone = alone();
    let name = Scratch::new("dying");
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    // What whoever removes it does: this is its only user no more, and the name is still there.
    let file = std::fs::File::options().read(true).write(true).open(support::path(&name)).unwrap();
    file.lock().unwrap();
    let (sender, thread_id) = mpsc::channel();
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| {
            sender.send(support::own_tid()).unwrap();
            SharedValue::<u32>::open(&name).map(drop)
        });
        let id = thread_id.recv().unwrap();
        until("the opener to pause, or to give up", || {
            support::asleep(id).map(drop).or_else(|| opener.is_finished().then_some(()))
        });
        std::fs::remove_file(support::path(&name)).unwrap();
        let opened = opener.join().unwrap();
        drop(file); // only now: else the opener might find an orphan in what it has just opened
        assert!(matches!(opened, Err(Error::NotFound { .. })), "{opened:?}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_take_over_keeps_the_lock_for_nobody() {
    use support::FileExt;
    const RESERVATION: u64 = 572;

    let _alone = alone();
    let name = Scratch::new("reserved");
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    let file = std::fs::File::options().read(true).write(true).open(support::path(&name)).unwrap();
    file.write_all_at(&u32::MAX.to_ne_bytes(), RESERVATION).unwrap();
    let value = SharedValue::<u64>::open(&name).unwrap();
    let mut found = [0; 4];
    file.read_exact_at(&mut found, RESERVATION).unwrap();
    assert_eq!(u32::from_ne_bytes(found), 0);
    assert_eq!(*value.try_lock().unwrap(), 7);
}

/// Who waited when the machine lost its power would be named for good. But one whose program has closed its descriptors waits
/// still, and has the line in its list.
#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(robust_shm_unix, ignore = "nothing tells there what others have mapped")]
fn a_take_over_forgets_who_comes_next_unless_he_is_there() {
    use support::FileExt;
    const SUCCESSOR: u64 = 448;
    const WORD: u64 = SUCCESSOR + 8;
    const NOBODY: u32 = 0x3fff_fff0;

    let _alone = alone();
    let name = Scratch::new("successor");
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    let file = std::fs::File::options().read(true).write(true).open(support::path(&name)).unwrap();
    // SAFETY: to the end of the test, and nobody reads it.
    #[allow(unsafe_code)]
    let map = || unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, fd, 0)
    };
    for (tid, is_mapped, stays) in
        [(NOBODY, false, false), (support::own_tid() as u32, false, false), (support::own_tid() as u32, true, true)]
    {
        let line = [0x11; 64];
        file.write_all_at(&line, SUCCESSOR).unwrap();
        file.write_all_at(&tid.to_ne_bytes(), WORD).unwrap();
        if is_mapped {
            assert_ne!(map(), libc::MAP_FAILED);
        }
        drop(SharedValue::<u64>::open(&name).unwrap());
        let mut found = [0; 64];
        file.read_exact_at(&mut found, SUCCESSOR).unwrap();
        assert_eq!(found == [0; 64], !stays, "{tid}");
        assert_eq!(found[8..12] == tid.to_ne_bytes(), stays, "{tid}");
    }
}
