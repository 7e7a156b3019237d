//! Golden files of segments *in use*: with permits taken, with readers inside, with a holder and those who sleep, as format
//! version 2 has them. They say what users leave who are all killed at that moment; so whoever opens them finds nobody, and
//! nothing torn but what may be. How they are made anew stands in `tests/golden/README.md`.
#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread::{self, Scope};
use std::time::Duration;

use robust_shm::{Error, LockError, LockKind, SegmentInfo, SharedLock, SharedRwLock, SharedSemaphore};
use support::{Need, Scratch, asleep, has_robust_lists, own_tid, path, skip, until};

/// The one who is in all words, and the slot by which he came.
const SOMEBODY: u32 = 4242;
const SLOT: u32 = 1_000_001;
/// Where the lock's line is; and the word in each line, and what its user has there.
const LOCK: usize = 512;
const WORD: usize = 8;
const LINKS: std::ops::Range<usize> = 16..48;

struct InUse {
    file: &'static str,
    /// The lines in which somebody may be.
    lines: &'static [usize],
    /// Makes one of this name, and calls the function while it is in use.
    make: fn(&str, &dyn Fn()) -> Result<(), Error>,
    /// As others see it, while nobody has taken it over.
    look: fn(&SegmentInfo),
    /// Opens it when nobody is there any more.
    check: fn(&str),
}

const ALL: [InUse; 4] = [
    InUse {
        file: "taken-permits",
        lines: &[576, 640, 704],
        make: |name, during| {
            let options = SharedSemaphore::options().lock_kind(LockKind::Futex).persistent(true);
            let semaphore = options.create(name, 3)?;
            let _permits = [semaphore.acquire()?, semaphore.acquire()?, semaphore.acquire()?]; // where the first is, is chance
            during();
            Ok(())
        },
        look: |info| assert_eq!((info.permits(), info.available_permits()), (Some(3), Some(0))),
        check: |name| {
            let semaphore = SharedSemaphore::open(name).unwrap();
            assert_eq!(semaphore.available(), 3);
            let permits = [(); 3].map(|()| semaphore.try_acquire().unwrap());
            assert_eq!(permits.len() - semaphore.available(), 3);
        },
    },
    InUse {
        file: "readers-inside",
        lines: &[704, 768],
        make: |name, during| {
            let options = SharedRwLock::options().lock_kind(LockKind::Futex).persistent(true).readers(2);
            let lock = options.create(name)?;
            let _guards = [lock.read()?, lock.read()?];
            during();
            Ok(())
        },
        look: |info| assert_eq!((info.reader_slots(), info.active_readers()), (Some(2), Some(2))),
        check: |name| {
            let lock = SharedRwLock::open(name).unwrap();
            assert_eq!(lock.info().unwrap().active_readers(), Some(0));
            drop(lock.try_write().unwrap());
            drop([lock.try_read().unwrap(), lock.try_read().unwrap()]);
        },
    },
    // And one sleeps for it.
    InUse {
        file: "held-lock",
        lines: &[LOCK],
        make: |name, during| {
            let lock = SharedLock::options().lock_kind(LockKind::Futex).persistent(true).create(name)?;
            thread::scope(|scope| {
                let _guard = lock.lock()?;
                while_one_sleeps(scope, name, || drop(lock.lock().unwrap()), during);
                Ok(())
            })
        },
        look: |info| assert_eq!((info.holder_thread(), info.has_sleepers()), (Some(SOMEBODY), true)),
        check: |name| {
            let lock = SharedLock::open(name).unwrap();
            assert!(matches!(lock.try_lock(), Err(LockError::Poisoned { .. })));
            drop(lock.lock_recover(|| ()).unwrap());
            drop(lock.try_lock().unwrap());
        },
    },
    InUse {
        file: "awaited-condition",
        lines: &[LOCK],
        make: |name, during| {
            let lock = SharedLock::options().lock_kind(LockKind::Futex).persistent(true).create(name)?;
            thread::scope(|scope| {
                let wait = || drop(lock.condvar_at(1).wait(lock.lock().unwrap()).unwrap());
                while_one_sleeps(scope, name, wait, during);
                lock.condvar_at(1).notify_all(&lock.lock()?);
                Ok(())
            })
        },
        look: |info| assert_eq!((info.holder_thread(), info.has_sleepers()), (None, true)),
        check: |name| {
            let lock = SharedLock::open(name).unwrap();
            let condition = lock.condvar_at(1);
            let (guard, timeout) = condition.wait_for(lock.try_lock().unwrap(), Duration::from_millis(1)).unwrap();
            assert!(timeout.timed_out());
            condition.notify_all(&guard);
        },
    },
];

/// Calls the function when another thread sleeps because of this segment.
fn while_one_sleeps<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    wait: impl FnOnce() + Send + 'scope,
    during: &dyn Fn(),
) {
    let (is, id) = channel();
    scope.spawn(move || {
        is.send(own_tid()).unwrap();
        wait();
    });
    let id = id.recv().unwrap();
    until("the sleep", || asleep(id).filter(|_| SegmentInfo::of(name).unwrap().has_sleepers()));
    during();
}

fn kept(one: &InUse) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(one.file).with_extension("shm")
}

/// The bytes of one in use, with one value in everything that is another each time. `None`: not on this system.
fn made_anew(one: &InUse) -> Option<Vec<u8>> {
    let name = Scratch::new(one.file);
    let taken = std::cell::Cell::new(Vec::new());
    if let Err(error) = (one.make)(&name, &|| taken.set(fs::read(path(&name)).unwrap())) {
        assert!(matches!(&error, Error::Lock { .. }), "{error}");
        skip(Need::System, error);
        return None;
    }
    let mut bytes = taken.take();
    for line in one.lines {
        name_somebody(&mut bytes[line + WORD..line + WORD + 8]);
    }
    let mut set = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    set(32, b"of no randomness"); // the id
    set(96, &4_026_531_836u64.to_le_bytes()); // the first PID namespace of a machine
    set(104, &1_767_225_600_000_000_000u64.to_le_bytes()); // created when 2026 began
    set(112, &4242u32.to_le_bytes()); // by this process
    set(116, &1000u32.to_le_bytes()); // of this user
    set(LOCK + LINKS.start, &[0; LINKS.end - LINKS.start]);
    for line in one.lines {
        set(line + LINKS.start, &[0; LINKS.end - LINKS.start]);
    }
    Some(bytes)
}

/// In a word that names anybody.
fn name_somebody(word: &mut [u8]) {
    const TID: u32 = libc::FUTEX_TID_MASK;
    let low = u32::from_le_bytes(word[..4].try_into().unwrap());
    if low & TID != 0 {
        word[..4].copy_from_slice(&(low & !TID | SOMEBODY).to_le_bytes());
        word[4..].copy_from_slice(&SLOT.to_le_bytes());
    }
}

#[test]
fn the_bytes_of_segments_in_use_are_those_of_the_kept_ones() {
    for one in &ALL {
        let Some(new) = made_anew(one) else { continue };
        let old = fs::read(kept(one)).unwrap();
        let differ: Vec<_> = (0..new.len().min(old.len())).filter(|at| new[*at] != old[*at]).collect();
        assert!(differ.is_empty() && new.len() == old.len(), "{}: {differ:?}", one.file);
    }
}

/// It is looked at, and then opened by the first one who comes after all have died.
#[test]
fn kept_segments_show_who_is_there_and_have_nobody_when_all_have_died() {
    if !has_robust_lists("the kept segments have such locks") {
        return;
    }
    for one in &ALL {
        let name = Scratch::new(one.file);
        let mut file = File::create_new(path(&name)).unwrap();
        file.write_all(&fs::read(kept(one)).unwrap()).unwrap();
        drop(file);
        (one.look)(&SegmentInfo::of(&name).unwrap());
        (one.check)(&name);
    }
}

#[test]
#[ignore = "makes the files anew: for another format version, or a new kind of segment"]
fn make() {
    for one in &ALL {
        fs::write(kept(one), made_anew(one).expect("futexes")).unwrap();
    }
}
