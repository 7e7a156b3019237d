//! A signal handler at every step: what runs at a point here does what a handler could do that interrupts there.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use robust_shm::SegmentInfo;

use crate::nested::{Locks, NESTED, STEPS, Steps, assert_listed};
use crate::support::{Body, Family, Forked, asleep, fork, member, say, spawn, until};
use crate::walk::{BOUND, soon};

pub const ROLES: &[(&str, Body)] = &[
    ("lock in handlers", lock_at_every_point),
    ("die in a handler", |family| die_at_every_point(family, 0)),
    ("die in a handler that nests", |family| die_at_every_point(family, 1)),
    ("die in a handler that mixes", |family| die_at_every_point(family, 2)),
    ("die in a handler that asks", |family| die_at_every_point(family, 3)),
    ("die with a wake-up", die_with_a_wake_up),
    ("die before waking", die_before_waking),
];

const NEVER: usize = usize::MAX;
/// At whichever point.
const EACH: usize = usize::MAX - 1;

static LOCKS: OnceLock<Locks> = OnceLock::new();
/// Which of [`NESTED`] the handler does.
static PATTERN: AtomicUsize = AtomicUsize::new(0);
/// The point at which the handler comes, and the one in the handler at which the process is killed.
static COMES_AT: AtomicUsize = AtomicUsize::new(NEVER);
static DIES_AT: AtomicUsize = AtomicUsize::new(NEVER);
/// How many points were passed outside of the handler and in it.
static PASSED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static SEEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
/// 0: outside of the handler; 1: in it; 2: nobody counts.
static DEPTH: AtomicUsize = AtomicUsize::new(2);

/// Does a thread that waits first sleep, and only then count?
static COUNTS_FROM_WAKE_UP: AtomicBool = AtomicBool::new(false);

fn passed(point: &'static str) {
    let depth = DEPTH.load(Relaxed);
    let is_too_early = COUNTS_FROM_WAKE_UP.load(Relaxed) && PASSED[0].load(Relaxed) == 0 && point != "wait: awake";
    if depth == 2 || is_too_early {
        return;
    }
    SEEN.lock().unwrap().insert(point);
    let which = PASSED[depth].fetch_add(1, Relaxed);
    if depth == 1 {
        if which == DIES_AT.load(Relaxed) {
            // SAFETY: ends this process.
            #[allow(unsafe_code)]
            unsafe {
                libc::kill(std::process::id().cast_signed(), libc::SIGKILL)
            };
        }
    } else if [which, EACH].contains(&COMES_AT.load(Relaxed)) {
        DEPTH.store(1, Relaxed);
        let nested = NESTED[PATTERN.load(Relaxed)];
        nested(LOCKS.get().unwrap());
        DEPTH.store(0, Relaxed);
    }
}

fn set_up(family: &str) -> &'static Locks {
    robust_shm::watch_points(passed);
    LOCKS.get_or_init(|| Locks::new(family))
}

/// Runs what is interrupted; gives how many points it has, and the handler.
fn run(comes_at: usize, dies_at: usize, interrupted: impl FnOnce()) -> [usize; 2] {
    PASSED.iter().for_each(|passed| passed.store(0, Relaxed));
    COMES_AT.store(comes_at, Relaxed);
    DIES_AT.store(dies_at, Relaxed);
    DEPTH.store(0, Relaxed);
    interrupted();
    DEPTH.store(2, Relaxed);
    [0, 1].map(|depth| PASSED[depth].load(Relaxed))
}

fn for_all(locks: &'static Locks, patterns: std::ops::Range<usize>, mut check: impl FnMut(Steps)) {
    for pattern in patterns {
        PATTERN.store(pattern, Relaxed);
        for (which, steps) in STEPS.into_iter().enumerate() {
            let context = Context([pattern, which, NEVER]);
            check(steps);
            drop(context);
        }
    }
    assert_eq!(locks.take_all(), 0);
}

/// Says where it was when a test fails.
struct Context([usize; 3]);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let comes_at = COMES_AT.load(Relaxed).cast_signed();
            eprintln!("pattern, steps, dies at: {:?}; comes at {comes_at}", self.0.map(usize::cast_signed));
        }
    }
}

/// Says which points it has passed.
fn lock_at_every_point(family: &str) {
    let locks = set_up(family);
    for_all(locks, 0..NESTED.len(), |steps| {
        let [points, _] = run(EACH, NEVER, || steps(locks));
        assert_listed(0);
        // What one handler spoils, the next may mend: so, one at a time.
        for point in 0..points {
            run(point, NEVER, || steps(locks));
            assert_listed(0);
        }
    });
    SEEN.lock().unwrap().iter().for_each(say);
    say("that is all");
}

/// The points that are passed in handlers, and where they interrupt.
pub fn points() -> Vec<String> {
    let family = Family::new("handlers-points");
    let role = spawn("lock in handlers", family.name());
    let points = std::iter::from_fn(|| Some(role.hear()).filter(|line| line != "that is all")).collect();
    role.join();
    points
}

/// Everything can be had at once, whatever was held.
fn die_at_every_point(family: &str, pattern: usize) {
    let locks = set_up(family);
    for_all(locks, pattern..pattern + 1, |steps| {
        at_every_death(|point, dies_at| {
            let mut child = fork(|| {
                drop(locks.ours[0].lock().unwrap()); // looks the thread up: what follows is as in the parent
                run(point, dies_at, || steps(locks));
            });
            let status = until("a child's end", || child.try_wait());
            locks.take_all();
            status
        });
    });
}

/// Returns when the child sleeps, not for a moment only.
fn sleeps(child: &Forked) {
    let mut before = None;
    let mut times = 0;
    until("a child to wait", || {
        let now = asleep(child.id());
        times = if now.is_some() && now == before { times + 1 } else { 0 };
        before = now;
        (times == 10).then_some(())
    });
}

/// Another waits for our lock 0 as well, and gets it soon.
fn gets_it(mut waiter: Forked) {
    let start = Instant::now();
    let status = soon("the one that waits", || waiter.try_wait());
    assert_eq!(status, 0);
    assert!(start.elapsed() < BOUND, "nobody woke it: it helped itself");
}

fn wait_for_it(locks: &Locks) -> Forked {
    let waiter = fork(|| drop(locks.ours[0].lock_ignoring_poison().unwrap()));
    sleeps(&waiter);
    waiter
}

/// Lets the process die at each point of the handler, which comes at each point of something. Gives how many that has.
fn at_every_death(dies: impl Fn(usize, usize) -> libc::c_int) -> usize {
    for point in 0.. {
        for dies_at in 0.. {
            let context = Context([0, point, dies_at]);
            let status = dies(point, dies_at);
            assert!([0, libc::SIGKILL].contains(&status), "status {status}");
            drop(context);
            let lives = status == 0;
            if lives && dies_at == 0 {
                return point;
            }
            if lives {
                break;
            }
        }
    }
    unreachable!()
}

/// A waiter is woken, and killed in a handler before it has released the lock: the next one is woken.
fn die_with_a_wake_up(family: &str) {
    let locks = set_up(family);
    COUNTS_FROM_WAKE_UP.store(true, Relaxed);
    let points = at_every_death(|point, dies_at| {
        let guard = locks.ours[0].lock().unwrap();
        let mut victim = fork(|| {
            run(point, dies_at, || drop(locks.ours[0].lock_ignoring_poison().unwrap()));
        });
        sleeps(&victim);
        let waiter = wait_for_it(locks);
        drop(guard);
        let status = until("the victim's end", || victim.try_wait());
        gets_it(waiter);
        locks.take_all();
        status
    });
    assert!(points > 3, "{points}");
}

/// An unlocker is killed in a handler, maybe after it has released and before it wakes anybody.
fn die_before_waking(family: &str) {
    let locks = set_up(family);
    let points = at_every_death(|point, dies_at| {
        let (mut stay, mut go) = std::io::pipe().unwrap();
        let mut victim = fork(|| {
            let guard = locks.ours[0].lock().unwrap();
            stay.read_exact(&mut [0]).unwrap();
            run(point, dies_at, || drop(guard));
        });
        let name = member(family, 0);
        until("the victim to hold", || SegmentInfo::of(&name).unwrap().holder_thread().map(drop));
        let waiter = wait_for_it(locks);
        go.write_all(&[0]).unwrap();
        let status = until("the victim's end", || victim.try_wait());
        gets_it(waiter);
        locks.take_all();
        status
    });
    assert!(points > 3, "{points}");
}
