//! Forks at the wrong moment: among a program's own fork handlers, while others open, from a thread that is ending.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Barrier, Mutex};

use robust_shm::{LockError, SegmentInfo, SharedLock, SharedValue};
use support::{Family, Forked, Scratch, exists, fork, member, path, play, spawn, until};

#[test]
fn child() {
    play(&[
        ("own-handlers", own_handlers),
        ("handler-waits", handler_waits),
        ("first-calls", first_calls),
        ("while-opening", while_opening),
        ("late", forks_late),
        ("cloexec", close_on_exec),
        ("opens-only", opens_only),
        ("looks-first", looks_first),
        ("leaves", leaves),
        ("drops-late", drops_late),
        ("allocates", allocates),
        ("leaves-full", leaves_without_descriptors),
    ]);
}

fn attached(name: &str) -> usize {
    SegmentInfo::of(name).map_or(0, |info| info.attached())
}

// A program's own handlers, registered before the first handle, and so called while the crate has its fork under way.

static HANDLED: AtomicU32 = AtomicU32::new(0);
static TO_DROP: Mutex<Vec<SharedLock>> = Mutex::new(Vec::new());
static NAMES: Mutex<String> = Mutex::new(String::new());

/// Opens, locks and drops in each of the three handlers.
extern "C" fn use_handles() {
    let name = NAMES.lock().unwrap().clone();
    let value = SharedValue::<u64>::open(&member(&name, 0)).unwrap();
    value.update(|n| *n += 1).unwrap();
    drop(value);
    drop(TO_DROP.lock().unwrap().pop());
    drop(SharedLock::create(&format!("{name}.{}.own", std::process::id())).unwrap());
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn register(before: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    // SAFETY: the handlers are functions of this program.
    assert_eq!(unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) }, 0);
}

fn own_handlers(family: &str) {
    register(use_handles, use_handles, use_handles);
    family.clone_into(&mut NAMES.lock().unwrap());
    let value = SharedValue::create(&member(family, 0), 0u64).unwrap();
    TO_DROP.lock().unwrap().extend((1..10).map(|which| SharedLock::create(&member(family, which)).unwrap()));
    fork(|| {
        assert_eq!(HANDLED.load(Ordering::Relaxed), 2);
        assert_eq!(attached(&member(family, 0)), 2);
        drop(std::mem::take(&mut *TO_DROP.lock().unwrap()));
    })
    .join();
    assert_eq!((HANDLED.load(Ordering::Relaxed), value.get()), (2, 3));
    drop(std::mem::take(&mut *TO_DROP.lock().unwrap()));
}

/// Once, the crate's own handlers kept its registry locked in between, and the fork hung for ever.
#[test]
fn a_programs_own_fork_handlers_may_open_lock_and_drop() {
    let family = Family::new("handlers");
    spawn("own-handlers", family.name()).join();
    assert_eq!(family.living(), [""; 0]);
}

// A handler that waits for a thread that opens.

static MAY_OPEN: AtomicBool = AtomicBool::new(false);
static HAS_OPENED: AtomicBool = AtomicBool::new(false);

extern "C" fn wait_for_the_opener() {
    MAY_OPEN.store(true, Ordering::Relaxed);
    until("the other thread", || HAS_OPENED.load(Ordering::Relaxed).then_some(()));
}

extern "C" fn nothing() {}

fn handler_waits(name: &str) {
    register(wait_for_the_opener, nothing, nothing);
    let lock = SharedLock::create(name).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the fork", || MAY_OPEN.load(Ordering::Relaxed).then_some(()));
            let second = SharedLock::open(name).unwrap();
            drop(second.lock().unwrap());
            drop(second);
            HAS_OPENED.store(true, Ordering::Relaxed);
        });
        fork(|| drop(lock.lock().unwrap())).join();
    });
}

#[test]
fn a_fork_handler_may_wait_for_a_thread_that_opens_and_drops() {
    let name = Scratch::new("waits");
    spawn("handler-waits", &name).join();
    assert!(!exists(&name));
}

// First calls

fn first_calls(family: &str) {
    const THREADS: usize = 8;
    let start = Barrier::new(THREADS);
    let locks: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    SharedLock::create(&member(family, thread)).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut inherited = Some(locks);
    fork(|| {
        assert_eq!(attached(&member(family, 0)), 2);
        drop(inherited.take());
        assert_eq!(attached(&member(family, 0)), 1, "the child has left");
    })
    .join();
    // Without a sweep: the last one out takes each name along.
    drop(inherited);
    assert!((0..THREADS).all(|thread| !exists(&member(family, thread))));
}

/// Once, two threads that made the first call at once registered the handlers twice, and no child ever left.
#[test]
fn a_forked_child_leaves_however_many_threads_made_the_first_call() {
    for _ in 0..50 {
        let family = Family::new("first");
        spawn("first-calls", family.name()).join();
    }
}

// A fork while another thread opens

fn while_opening(name: &str) {
    const FORKS: usize = 300;
    let kept = SharedValue::create(name, 0u64).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(SharedValue::<u64>::open(name).unwrap());
                    drop(SharedLock::create(&robust_shm::unique_name(name)).unwrap());
                }
            });
        }
        let (from_parent, to_children) = std::io::pipe().unwrap();
        let mut ends = Some((from_parent, to_children));
        let mut children = Vec::new();
        for _ in 0..FORKS {
            children.push(fork(|| {
                let (mut from_parent, to_children) = ends.take().unwrap();
                drop(to_children);
                let _ = std::io::Read::read(&mut from_parent, &mut [0]);
            }));
            if children.len() == 20 {
                // What the children have beside `kept` are handles that were open at the fork, two at most.
                let most = 20 * 3 + 1 + 2;
                assert!(attached(name) <= most, "{}", attached(name));
                drop(ends.replace({
                    let (reader, writer) = std::io::pipe().unwrap();
                    (reader, writer)
                }));
                children.drain(..).for_each(Forked::join);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(attached(name), 1);
    drop(kept);
    assert!(!exists(name));
}

#[test]
fn forks_while_other_threads_open_and_close_leave_nobody_who_counts() {
    let name = Scratch::new("opening");
    spawn("while-opening", &name).join();
    until("all names to go", || {
        robust_shm::remove_orphans().unwrap();
        let names = std::fs::read_dir(support::directory()).unwrap().flatten();
        let left = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(&*name.0)).count();
        (left == 0).then_some(())
    });
}

// A thread that is ending

struct ForksAtTheEnd(Cell<Option<SharedLock>>);

impl Drop for ForksAtTheEnd {
    fn drop(&mut self) {
        let mut lock = self.0.take();
        fork(|| {
            drop(lock.as_ref().unwrap().lock().unwrap());
            drop(lock.take());
        })
        .join();
        let lock = lock.unwrap();
        assert!(exists(lock.name()), "the child took it along");
        drop(lock.lock().unwrap());
    }
}

thread_local! {
    static AT_THE_END: ForksAtTheEnd = const { ForksAtTheEnd(Cell::new(None)) };
}

static WAITS: Mutex<Option<std::io::PipeReader>> = Mutex::new(None);
static HANDLE: Mutex<Option<SharedValue<u64>>> = Mutex::new(None);

/// Drops what it has inherited when its parent has done so.
extern "C" fn drop_after_the_parent() {
    let _ = std::io::Read::read(WAITS.lock().unwrap().as_mut().unwrap(), &mut [0]);
    drop(HANDLE.lock().unwrap().take());
}

fn drops_late(name: &str) {
    register(nothing, nothing, drop_after_the_parent);
    let (waits, mut lets_go) = std::io::pipe().unwrap();
    *WAITS.lock().unwrap() = Some(waits);
    *HANDLE.lock().unwrap() = Some(SharedValue::create(name, 1u64).unwrap());
    let child = fork(|| ());
    drop(HANDLE.lock().unwrap().take());
    std::io::Write::write_all(&mut lets_go, &[0]).unwrap();
    child.join();
    assert!(!exists(name), "each has left it to the other");
}

/// A child's own handler, which is called before the crate's, may be the last one out.
#[test]
fn a_childs_own_handler_takes_the_name_along() {
    spawn("drops-late", &Scratch::new("drops")).join();
}

fn forks_late(name: &str) {
    let lock = SharedLock::create(name).unwrap();
    std::thread::spawn(move || {
        // Registered first, and so destroyed last.
        AT_THE_END.with(|end| end.0.set(Some(lock)));
    })
    .join()
    .unwrap();
    assert!(!exists(name), "nobody is left");
}

#[test]
fn a_thread_that_is_ending_may_fork() {
    spawn("late", &Scratch::new("late")).join();
}

// What a child has

/// The descriptors of this process that stand for the segment, and their flags.
fn descriptors_of(name: &str) -> Vec<(RawFd, libc::c_int)> {
    let id = |path: &std::path::Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let segment = id(&path(name)).unwrap();
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let ours = entries.filter(|entry| id(&entry.path()) == Some(segment));
    ours.map(|entry| {
        let fd = entry.file_name().to_string_lossy().parse().unwrap();
        // SAFETY: takes integers.
        (fd, unsafe { libc::fcntl(fd, libc::F_GETFD) })
    })
    .collect()
}

fn close_on_exec(name: &str) {
    let value = SharedValue::create(name, 1u64).unwrap();
    let check = || {
        let all = descriptors_of(name);
        assert!(!all.is_empty() && all.iter().all(|(_, flags)| flags & libc::FD_CLOEXEC != 0), "{all:?}");
    };
    check();
    fork(|| {
        check();
        fork(check).join();
        // What it execs is no user: the name is its parent's alone.
        let status = std::process::Command::new("sleep").arg("0").status().unwrap();
        assert!(status.success());
    })
    .join();
    check();
    drop(value);
}

#[test]
fn the_presences_of_parents_and_children_are_closed_on_exec() {
    spawn("cloexec", &Scratch::new("cloexec")).join();
}

/// Only opens: so that nothing else has told the crate of forks.
fn opens_only(name: &str) {
    let mut value = Some(SharedValue::<u64>::open(name).unwrap());
    let guard = value.as_ref().unwrap().lock().unwrap();
    fork(|| {
        assert_eq!(attached(name), 3, "the test, its child, and this child of that");
        let value = value.as_ref().unwrap();
        assert!(matches!(value.try_lock(), Err(LockError::WouldBlock { .. })));
    })
    .join();
    drop(guard);
    fork(|| {
        drop(value.take());
        assert_eq!(attached(name), 2);
    })
    .join();
    assert_eq!(attached(name), 2, "the parent is a user still");
    static KEPT: std::sync::OnceLock<SharedValue<u64>> = std::sync::OnceLock::new();
    KEPT.set(value.unwrap()).unwrap();
    support::say("kept");
    support::pause();
}

#[test]
fn a_program_that_only_opens_has_its_hooks() {
    let name = Scratch::new("opens");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let mut child = spawn("opens-only", &name);
    child.expect("kept");
    drop(value);
    assert!(exists(&name));
    child.go_on();
    child.join();
    assert!(!exists(&name), "its exit hook takes the name along");
}

/// A process that has only looked at segments, and then forks: its child is no raw clone.
fn looks_first(name: &str) {
    assert!(SegmentInfo::of(name).is_err());
    drop(SharedLock::create(&format!("{name}.keep")).unwrap());
    fork(|| {
        let lock = SharedLock::create(name).unwrap();
        drop(lock.lock().unwrap());
        fork(|| drop(lock.lock().unwrap())).join();
    })
    .join();
}

#[test]
fn the_child_of_a_process_that_has_only_looked_may_lock() {
    spawn("looks-first", &Scratch::new("looks")).join();
}

/// Parent and child share a description as long as the child has not come to its own; whoever is the last one out takes
/// the name along, also where it never does.
fn leaves(family: &str) {
    let [first, second] = [0, 1].map(|which| member(family, which));
    let mut values = Some([&first, &second].map(|name| SharedValue::create(name, 1u64).unwrap()));
    let limit = |most: u64| {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: 4_096 };
        // SAFETY: the limits outlive the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    };
    limit(3); // no descriptor for a presence of the child's own
    let (gone, child_is_gone) = (&first, &second);
    fork(|| {
        limit(4_096);
        let [first, second] = values.take().unwrap();
        assert_eq!(attached(first.name()), 1, "one description for both");
        first.update(|n| *n += 1).unwrap();
        drop(second);
        assert!(exists(child_is_gone), "the parent is left");
        drop(first);
    })
    .join();
    limit(4_096);
    let [first, second] = values.take().unwrap();
    assert_eq!(first.get(), 2);
    drop(first);
    assert!(!exists(gone), "the parent is the last");
    drop(second);
    assert!(!exists(child_is_gone));
}

#[test]
fn the_last_of_those_who_share_a_description_takes_the_name_along() {
    let family = Family::new("leaves");
    spawn("leaves", family.name()).join();
    assert_eq!(family.living(), [""; 0]);
}

/// After a fork, leaving takes a second description.
fn leaves_without_descriptors(name: &str) {
    let value = SharedValue::create(name, 1u64).unwrap();
    fork(|| ()).join();
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: the limits outlive the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    // SAFETY: takes integers.
    while unsafe { libc::dup(libc::STDERR_FILENO) } >= 0 {}
    drop(value);
    assert!(!exists(name), "left behind for want of a descriptor");
}

/// Once, it was left to the next sweep.
#[test]
fn a_process_that_has_no_descriptor_left_takes_the_name_along() {
    spawn("leaves-full", &Scratch::new("leaves")).join();
}

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<i32> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocates(name: &str) {
    let value = SharedValue::create(name, 1u64).unwrap();
    let second = SharedValue::<u64>::open(name).unwrap();
    drop(value.lock().unwrap());
    fork_and_count();
    // The child's own then have numbers that the parent has never had.
    let others: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    fork_and_count();
    drop((value, second, others));
}

fn fork_and_count() {
    let before = ALLOCATIONS.get();
    // SAFETY: the child ends at once.
    let child = unsafe { libc::fork() };
    let made = ALLOCATIONS.get() - before;
    if child == 0 {
        // SAFETY: ends the process.
        unsafe { libc::_exit(made) };
    }
    let mut child = Forked::adopt(child);
    let status = until("the end of the child", || child.try_wait());
    assert_eq!((made, libc::WEXITSTATUS(status)), (0, 0), "allocations in parent and child");
}

/// The fork may come from a signal handler that has interrupted an allocation: the child's own would use its half-changed
/// state.
#[test]
fn a_fork_with_handles_allocates_nothing() {
    spawn("allocates", &Scratch::new("allocates")).join();
}
