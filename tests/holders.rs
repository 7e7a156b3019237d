//! Whoever looks from outside is told who holds what: the lock, which permit, a reader's slot.

mod support;

use robust_shm::{Hold, Holder, LockKind, SegmentInfo, SharedArray, SharedLock, SharedRwLock, SharedSemaphore};
use support::{Role, Scratch, own_tid, play, ready_to_die, say, spawn, told, until};
#[cfg(target_os = "linux")]
use support::{can_unshare, spawn_through};

#[test]
fn child() {
    play(&[
        ("lock", |name| {
            let lock = SharedLock::open(name).unwrap();
            let _guard = lock.lock().unwrap();
            ready_to_die()
        }),
        ("permits", |name| {
            let semaphore = SharedSemaphore::open(name).unwrap();
            let (one, other) = (semaphore.acquire().unwrap(), semaphore.acquire().unwrap());
            say(format!("{} {}", one.index(), other.index()));
            ready_to_die()
        }),
        ("read", |name| {
            let array = SharedArray::<u64, 4>::open(name).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let _reading = array.read().unwrap();
                    say(own_tid());
                    ready_to_die()
                });
            });
        }),
    ]);
}

fn holders(name: &str) -> Vec<Holder> {
    SegmentInfo::of(name).unwrap().holders()
}

/// Which thread, of which process.
fn who(holder: &Holder) -> (u32, Option<u32>) {
    (holder.thread, holder.process)
}

fn of_its_own(child: &Role) -> (u32, Option<u32>) {
    (child.hear().parse().unwrap(), told(child.id()))
}

#[test]
fn the_lock() {
    let kinds = [LockKind::default(), LockKind::File, LockKind::OsMutex];
    for kind in kinds.into_iter().filter(|kind| kind.is_available()) {
        let name = Scratch::new("lock");
        let lock = SharedLock::options().lock_kind(kind).create(&name).unwrap();
        assert!(holders(&name).is_empty());
        let child = spawn("lock", &name);
        child.expect("ready");
        let [holder] = holders(&name)[..] else { panic!("{:?}", lock.info()) };
        assert_eq!((holder.process, holder.hold), (told(child.id()), Hold::Lock), "{kind:?}");
        assert_eq!(lock.info().unwrap().holder_thread(), Some(holder.thread));
        child.kill();
    }
}

#[test]
fn permits_with_their_numbers() {
    for kind in [LockKind::default(), LockKind::File] {
        let name = Scratch::new("permits");
        let semaphore = SharedSemaphore::options().lock_kind(kind).create(&name, 4).unwrap();
        let mine = semaphore.acquire().unwrap();
        let child = spawn("permits", &name);
        let said = child.hear();
        let indices: Vec<usize> = said.split(' ').map(|index| index.parse().unwrap()).collect();
        let all = holders(&name);
        assert_eq!(all.len(), 3, "{all:?}");
        for (index, process) in [(mine.index(), std::process::id()), (indices[0], child.id()), (indices[1], child.id())]
        {
            let has_it = |it: &&Holder| matches!(it.hold, Hold::Permit { index: its, .. } if its == index);
            assert_eq!(all.iter().find(has_it).unwrap().process, told(process), "permit {index} of {all:?}");
        }
        child.kill();
        until("the dead to hold nothing", || (holders(&name).len() == 1).then_some(()));
        drop(mine);
        assert!(holders(&name).is_empty());
    }
}

/// The same number is somebody else's in each namespace.
#[cfg(target_os = "linux")]
#[test]
fn nobody_is_named_whose_id_may_be_of_another_namespace() {
    const APART: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];
    if !can_unshare(&APART) {
        return;
    }
    let name = Scratch::new("apart");
    let semaphore = SharedSemaphore::create(&name, 3).unwrap();
    let _mine = semaphore.acquire().unwrap();
    assert_eq!(holders(&name)[0].process, told(std::process::id()));
    let child = spawn_through(&APART, "permits", &name);
    let _ = child.hear();
    let all = holders(&name);
    assert!(all.len() == 3 && all.iter().all(|holder| holder.process.is_none()), "{all:?}");
    child.kill();
}

#[test]
fn readers_and_a_writer() {
    let (array, lock) = (Scratch::new("array"), Scratch::new("rwlock"));
    let handle = SharedArray::<u64, 4>::create(&array).unwrap();
    let child = spawn("read", &array);
    let reader = of_its_own(&child);
    assert_eq!(holders(&array).iter().map(who).collect::<Vec<_>>(), [reader], "the thread, and not the first one");
    assert_eq!(holders(&array)[0].hold, Hold::Reader);
    let mine = handle.read().unwrap();
    let me = (own_tid().cast_unsigned(), told(std::process::id()));
    let all: Vec<_> = holders(&array).iter().map(who).collect();
    assert!(all.len() == 2 && all.contains(&me) && all.contains(&reader), "{all:?}");
    drop(mine);
    child.kill();
    until("the dead to hold nothing", || holders(&array).is_empty().then_some(()));

    let handle = SharedRwLock::create(&lock).unwrap();
    let _writing = handle.write().unwrap();
    assert_eq!(holders(&lock).iter().map(|it| (who(it), it.hold)).collect::<Vec<_>>(), [(me, Hold::Lock)]);
}
