//! Storms of kills: over a value that is watched, and over a buffer with two conditions. Processes are killed at random, again
//! and again; then those who write are all killed, and nobody may sleep beside what he waits for.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use robust_shm::{ArrayGuard, LockError, LockKind, SharedArray, SharedValue};

use crate::support::{Body, Forked, LIMIT, Random, Scratch, asleep, fork, kind, say, spawn_of, until};

pub(crate) const ROLES: &[(&str, Body)] =
    &[("storm over a value", over_a_value), ("storm over a buffer", over_a_buffer)];

const SLEEPERS: usize = 4;
const BUSY: usize = 3;

/// In memory that all have in common, beside the crate's: how often somebody went on, and how often somebody wrote.
#[repr(C)]
struct Ledger {
    gone_on: AtomicU64,
    done: AtomicU64,
}

impl Ledger {
    fn new() -> &'static Self {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing of ours.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<Self>(), access, flags, -1, 0) };
        assert!(memory != libc::MAP_FAILED);
        // SAFETY: page-aligned, long enough, zero, which atomics may be, and never unmapped.
        unsafe { &*memory.cast::<Self>() }
    }
}

/// A child that ends with its parent, whatever becomes of that.
fn child(body: impl FnOnce()) -> Forked {
    fork(|| {
        // SAFETY: takes an integer.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        body();
    })
}

fn seconds() -> u64 {
    let variable = std::env::var("ROBUST_SHM_STORM_SECONDS").ok();
    variable.map_or(3, |seconds| seconds.parse().expect("a number of seconds"))
}

/// Kills some of both sorts, at random, and replaces them. How many?
fn rage(
    random: &mut Random,
    sleepers: &mut Vec<Forked>,
    others: &mut Vec<Forked>,
    sleeper: &dyn Fn() -> Forked,
    busy: &dyn Fn(u64) -> Forked,
) -> u64 {
    let kills = random.below(12);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(random.below(1_500) as u64));
        let (all, next): (&mut Vec<_>, &dyn Fn(u64) -> Forked) =
            if random.below(3) == 0 { (&mut *sleepers, &|_| sleeper()) } else { (&mut *others, busy) };
        all.swap_remove(random.below(all.len())).kill();
        all.push(next(random.below(1 << 20) as u64));
    }
    kills as u64
}

/// All of them end by themselves. They do not while all sleep, and nobody would wake them.
fn all_go_on(mut sleepers: Vec<Forked>, what: &str) {
    // Where the kernel tells nobody, who sleeps looks by himself, each tenth of a second.
    let between_looks = Duration::from_millis(if kind() == LockKind::File { 700 } else { 20 });
    let mut last = None;
    until(what, || {
        let ended = |sleepers: &mut Vec<Forked>| {
            sleepers.retain_mut(|sleeper| sleeper.try_wait().inspect(|status| assert_eq!(*status, 0)).is_none());
        };
        ended(&mut sleepers);
        // Who has been woken does not sleep, however long it takes until he is let run.
        let sleeps: Option<Vec<_>> = sleepers.iter().map(|sleeper| asleep(sleeper.id())).collect();
        let sleeps = sleeps.filter(|all| !all.is_empty());
        assert!(sleeps.is_none() || sleeps != last, "{} hung: {what}", sleepers.len());
        last = sleeps;
        let end = Instant::now() + between_looks;
        while !sleepers.is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
            ended(&mut sleepers);
        }
        sleepers.is_empty().then_some(())
    });
}

/// Watchers wait for the value to be odd in its upper half, which says that the round is over.
fn over_a_value(name: &str) {
    let mut random = Random::new(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    let ledger = Ledger::new();
    let value = SharedValue::options().lock_kind(kind()).create(name, [0u64; 2]).unwrap();
    let watcher = |round: u64| {
        child(|| {
            let mut seen = u64::MAX;
            while value.wait_newer_for(&mut seen, LIMIT).unwrap()[0] < round {
                ledger.gone_on.fetch_add(1, SeqCst);
            }
        })
    };
    let writer = |seed: u64| {
        child(|| {
            let mut random = Random::new(seed);
            loop {
                if random.below(4) == 0 {
                    drop(value.lock().unwrap());
                } else {
                    let both = value.update(|both| both[1] += 1).unwrap();
                    assert!(both[1] > 0);
                }
                ledger.done.fetch_add(1, SeqCst);
                if random.below(4) == 0 {
                    std::thread::sleep(Duration::from_micros(random.below(200) as u64));
                }
            }
        })
    };
    let end = Instant::now() + Duration::from_secs(seconds());
    let (mut kills, mut round) = (0, 0);
    while Instant::now() < end {
        round += 1;
        let mut watchers: Vec<_> = (0..SLEEPERS).map(|_| watcher(round)).collect();
        let mut writers: Vec<_> = (0..BUSY).map(|n| writer(n as u64 + round)).collect();
        kills += rage(&mut random, &mut watchers, &mut writers, &|| watcher(round), &writer);
        std::thread::sleep(Duration::from_micros(random.below(1_500) as u64));
        kills += writers.len() as u64;
        // One of them says that the round is over, and all are killed, at whatever step.
        let last = child(|| {
            value.update(|both| both[0] = round).unwrap();
            std::thread::sleep(LIMIT);
        });
        until("the last commit", || (value.get()[0] == round).then_some(()));
        last.kill();
        writers.into_iter().for_each(Forked::kill);
        kills += 1;
        all_go_on(watchers, "all to see the last commit");
    }
    let (gone_on, done) = (ledger.gone_on.load(SeqCst), ledger.done.load(SeqCst));
    drop(value);
    say(format!("over: {kills} kills in {round} rounds, {done} writes, {gone_on} changes seen, 0 hung"));
}

/// Two numbers that are equal while nothing is torn: how many items there are. And whether the round is over.
type Buffer = SharedArray<u64, 3>;
const ROOM: u64 = 2;

fn guard<'a>(buffer: &'a Buffer, which: usize, must_wait: impl Fn(&[u64; 3]) -> bool) -> ArrayGuard<'a, u64, 3> {
    let mut guard = buffer.lock_recover(|items| items[1] = items[0]).unwrap();
    loop {
        assert_eq!(guard[0], guard[1], "torn");
        guard = match buffer.condvar_at(which).wait_while(guard, |items| must_wait(items)) {
            Ok(guard) => return guard,
            Err(LockError::Poisoned { .. }) => buffer.lock_recover(|items| items[1] = items[0]).unwrap(),
            Err(error) => panic!("{error}"),
        };
    }
}

fn over_a_buffer(name: &str) {
    let mut random = Random::new(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    let ledger = Ledger::new();
    let buffer = Buffer::options().lock_kind(kind()).create(name).unwrap();
    let change = |guard: &mut ArrayGuard<'_, u64, 3>, by: i64| {
        guard[0] = guard[0].wrapping_add_signed(by);
        guard[1] = guard[1].wrapping_add_signed(by);
    };
    let consumer = |round: u64| {
        child(|| {
            loop {
                let mut guard = guard(&buffer, 0, |items| items[0] == 0 && items[2] < round);
                if guard[2] >= round {
                    return;
                }
                change(&mut guard, -1);
                buffer.condvar_at(1).notify_one(&guard);
                drop(guard);
                ledger.gone_on.fetch_add(1, SeqCst);
            }
        })
    };
    let producer = |seed: u64| {
        child(|| {
            let mut random = Random::new(seed);
            loop {
                let mut guard = guard(&buffer, 1, |items| items[0] == ROOM);
                change(&mut guard, 1);
                if random.below(8) == 0 {
                    buffer.condvar().notify_all(&guard);
                } else {
                    buffer.condvar().notify_one(&guard);
                }
                drop(guard);
                ledger.done.fetch_add(1, SeqCst);
                if random.below(4) == 0 {
                    std::thread::sleep(Duration::from_micros(random.below(200) as u64));
                }
            }
        })
    };
    let end = Instant::now() + Duration::from_secs(seconds());
    let (mut kills, mut round) = (0, 0);
    while Instant::now() < end {
        round += 1;
        let mut consumers: Vec<_> = (0..SLEEPERS).map(|_| consumer(round)).collect();
        let mut producers: Vec<_> = (0..BUSY).map(|n| producer(n as u64 + round)).collect();
        kills += rage(&mut random, &mut consumers, &mut producers, &|| consumer(round), &producer);
        std::thread::sleep(Duration::from_micros(random.below(1_500) as u64));
        kills += producers.len() as u64 + 1;
        producers.into_iter().for_each(Forked::kill);
        let last = child(|| {
            let mut guard = buffer.lock_recover(|items| items[1] = items[0]).unwrap();
            guard[2] = round;
            buffer.condvar().notify_all(&guard);
            drop(guard);
            std::thread::sleep(LIMIT);
        });
        until("the end of the round", || {
            let guard = buffer.lock_ignoring_poison().unwrap();
            (guard[2] == round).then_some(())
        });
        last.kill();
        all_go_on(consumers, "all to be told that it is over");
    }
    let (gone_on, done) = (ledger.gone_on.load(SeqCst), ledger.done.load(SeqCst));
    drop(buffer);
    say(format!("over: {kills} kills in {round} rounds, {done} items put, {gone_on} taken, 0 hung"));
}

fn storm(kind: LockKind, role: &str) {
    if kind.is_available() {
        let name = Scratch::new("storm");
        let role = spawn_of(kind, role, &name);
        println!("{}", role.hear());
        role.join();
        assert!(!crate::support::exists(&name));
    }
}

#[test]
fn a_storm_of_kills_leaves_nobody_asleep_beside_a_commit() {
    storm(LockKind::Futex, "storm over a value");
}

#[test]
fn a_storm_of_kills_leaves_nobody_asleep_beside_an_item() {
    storm(LockKind::Futex, "storm over a buffer");
}

#[test]
fn a_storm_of_kills_of_which_nobody_is_told_leaves_nobody_asleep_beside_a_commit() {
    storm(LockKind::File, "storm over a value");
}

#[test]
fn a_storm_of_kills_of_which_nobody_is_told_leaves_nobody_asleep_beside_an_item() {
    storm(LockKind::File, "storm over a buffer");
}
