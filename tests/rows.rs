//! What `segments()` tells of each member of the family: idle, in use, and of the one after a kill, without touching it.

mod support;

use std::thread;
use std::time::Duration;

use robust_shm::{
    Error, LockKind, SegmentInfo, SharedArray, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore, SharedSlice,
    SharedValue, segments,
};
use support::{Scratch, exists, play, ready_to_die, spawn_of, until};

#[test]
fn child() {
    play(&[
        ("elements", |name| {
            let array = SharedArray::<u16, 5>::open(name).unwrap();
            let _guard = array.lock().unwrap();
            ready_to_die();
        }),
        ("permits", |name| {
            let semaphore = SharedSemaphore::open(name).unwrap();
            let _permit = semaphore.acquire().unwrap();
            ready_to_die();
        }),
        ("readers", |name| {
            let lock = SharedRwLock::open(name).unwrap();
            let _guards = [lock.read().unwrap(), lock.read().unwrap()];
            ready_to_die();
        }),
    ]);
}

fn kinds() -> impl Iterator<Item = LockKind> {
    [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available())
}

/// Its row in the list, which is what `SegmentInfo::of` says.
fn row(name: &str) -> SegmentInfo {
    let listed = segments().filter_map(Result::ok).find(|info| info.name() == name).expect("a row");
    let asked = SegmentInfo::of(name).unwrap();
    assert_eq!((listed.id(), listed.kind(), listed.length()), (asked.id(), asked.kind(), asked.length()));
    assert_eq!((listed.bytes(), listed.commits()), (asked.bytes(), asked.commits()));
    listed
}

/// What a row says of the use that is made of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use {
    commits: Option<u64>,
    /// Of how many, so many are free.
    permits: Option<(usize, usize)>,
    /// Of how many slots, so many are taken.
    readers: Option<(usize, usize)>,
    is_set: Option<bool>,
    is_held: bool,
    is_poisoned: bool,
}

impl Use {
    fn of(info: &SegmentInfo) -> Self {
        assert_eq!(info.permits().is_some(), info.available_permits().is_some());
        assert_eq!(info.reader_slots().is_some(), info.active_readers().is_some());
        Self {
            commits: info.commits(),
            permits: info.permits().zip(info.available_permits()),
            readers: info.reader_slots().zip(info.active_readers()),
            is_set: info.is_set(),
            is_held: info.holder_thread().is_some(),
            is_poisoned: info.is_poisoned(),
        }
    }
}

/// One member: as it is made, while `uses` calls the function, and afterwards.
fn check<H>(
    kind: &str,
    make: impl Fn(LockKind, &str) -> Result<H, Error>,
    idle: Use,
    uses: impl Fn(&H, &dyn Fn()),
    used: Use,
    after: Use,
) {
    for lock_kind in kinds() {
        let name = Scratch::new("row");
        let one = make(lock_kind, &name).unwrap();
        let info = row(&name);
        assert_eq!((info.kind(), info.lock_kind(), info.attached()), (kind, lock_kind, 1));
        assert_eq!((info.has_sleepers(), info.is_orphan()), (false, false));
        assert_eq!(Use::of(&info), idle, "{kind}, {lock_kind:?}: as it is made");
        uses(&one, &|| assert_eq!(Use::of(&row(&name)), used, "{kind}, {lock_kind:?}: in use"));
        assert_eq!(Use::of(&row(&name)), after, "{kind}, {lock_kind:?}: afterwards");
        drop(one);
        assert!(!exists(&name));
    }
}

const NOTHING: Use =
    Use { commits: None, permits: None, readers: None, is_set: None, is_held: false, is_poisoned: false };

#[test]
fn a_value() {
    let idle = Use { commits: Some(0), ..NOTHING };
    check(
        "SharedValue",
        |kind, name| SharedValue::options().lock_kind(kind).create(name, 7u64),
        idle,
        |value, during| {
            let mut guard = value.lock().unwrap();
            *guard = 8;
            during();
        },
        Use { is_held: true, ..idle },
        Use { commits: Some(1), ..idle },
    );
}

#[test]
fn elements() {
    let idle = Use { readers: Some((3, 0)), ..NOTHING };
    check(
        "SharedArray",
        |kind, name| SharedArray::<u16, 5>::options().lock_kind(kind).readers(3).create(name),
        idle,
        |array, during| array.update(|_| during()).unwrap(),
        Use { is_held: true, ..idle },
        idle,
    );
    // A slice is an array whose length nobody has stated.
    check(
        "SharedArray",
        |kind, name| SharedSlice::<u16>::options().lock_kind(kind).readers(3).create(name, 6),
        idle,
        |slice, during| {
            let _guards = [slice.read().unwrap(), slice.read().unwrap()];
            during();
        },
        Use { readers: Some((3, 2)), ..idle },
        idle,
    );
}

#[test]
fn locks() {
    check(
        "SharedLock",
        |kind, name| SharedLock::options().lock_kind(kind).create(name),
        NOTHING,
        |lock, during| lock.with(during).unwrap(),
        Use { is_held: true, ..NOTHING },
        NOTHING,
    );
    let idle = Use { readers: Some((2, 0)), ..NOTHING };
    let make = |kind, name: &str| SharedRwLock::options().lock_kind(kind).readers(2).create(name);
    check(
        "SharedRwLock",
        make,
        idle,
        |lock, during| {
            let _guard = lock.read().unwrap();
            during();
        },
        Use { readers: Some((2, 1)), ..idle },
        idle,
    );
    check(
        "SharedRwLock",
        make,
        idle,
        |lock, during| {
            let _guard = lock.write().unwrap();
            during();
        },
        Use { is_held: true, ..idle },
        idle,
    );
}

#[test]
fn permits_and_events() {
    let idle = Use { permits: Some((3, 3)), ..NOTHING };
    check(
        "SharedSemaphore",
        |kind, name| SharedSemaphore::options().lock_kind(kind).create(name, 3),
        idle,
        |semaphore, during| {
            let _permits = [semaphore.acquire().unwrap(), semaphore.acquire().unwrap()];
            during();
        },
        Use { permits: Some((3, 1)), ..idle },
        idle,
    );
    let clear = Use { is_set: Some(false), ..NOTHING };
    check(
        "SharedEvent",
        |kind, name| SharedEvent::options().lock_kind(kind).create(name),
        clear,
        |event, during| {
            event.set().unwrap();
            during();
            event.clear().unwrap();
            assert!(event.wait_for(Duration::from_millis(1)).is_err());
        },
        Use { is_set: Some(true), ..NOTHING },
        clear,
    );
}

/// One who waits for a condition holds nothing.
#[test]
fn one_who_waits_for_a_condition() {
    for kind in kinds() {
        let name = Scratch::new("row-waits");
        let lock = &SharedLock::options().lock_kind(kind).create(&name).unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| drop(lock.condvar().wait(lock.lock().unwrap()).unwrap()));
            let info = until("the sleep", || Some(row(&name)).filter(SegmentInfo::has_sleepers));
            until("the release", || row(&name).holder_thread().is_none().then_some(()));
            assert!(!info.is_poisoned());
            until("the end of the wait", || {
                lock.condvar().notify_all(&lock.lock().unwrap());
                waiter.is_finished().then_some(())
            });
        });
        until("nobody to sleep", || (!row(&name).has_sleepers()).then_some(()));
    }
}

/// The killed hold nothing, whether or not anybody has looked; and what they may have torn is told.
#[test]
fn what_the_killed_have_had() {
    let killed = |kind, role: &str, name: &str| {
        let child = spawn_of(kind, role, name);
        child.expect("ready");
        assert_eq!(row(name).attached(), 2, "{role}");
        child.kill();
        until("one user", || (row(name).attached() == 1).then_some(()));
        Use::of(&row(name))
    };
    for kind in kinds() {
        let name = Scratch::new("row-killed");
        let _array = SharedArray::<u16, 5>::options().lock_kind(kind).readers(3).create(&name).unwrap();
        let torn = Use { readers: Some((3, 0)), is_poisoned: true, ..NOTHING };
        assert_eq!(killed(kind, "elements", &name), torn);
        let name = Scratch::new("row-killed");
        let _semaphore = SharedSemaphore::options().lock_kind(kind).create(&name, 3).unwrap();
        assert_eq!(killed(kind, "permits", &name), Use { permits: Some((3, 3)), ..NOTHING });
        let name = Scratch::new("row-killed");
        let _lock = SharedRwLock::options().lock_kind(kind).readers(2).create(&name).unwrap();
        assert_eq!(killed(kind, "readers", &name), Use { readers: Some((2, 0)), ..NOTHING });
    }
}
