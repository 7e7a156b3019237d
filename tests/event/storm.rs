//! Kills over one event. A storm: processes wait, set and clear, and are killed at random; then those who set and clear
//! are all killed; and nobody may sleep if the event is set.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use robust_shm::{LockKind, SharedEvent};

use crate::support::{Body, Forked, LIMIT, Random, Scratch, asleep, fork, kind, say, spawn, spawn_of, until};

pub(crate) const ROLES: &[(&str, Body)] = &[("storm", rage), ("strike", strike)];

const WAITERS: usize = 4;
const BUSY: usize = 3;
const SLEEPERS: usize = 3;

/// In memory that all have in common, beside the crate's.
#[repr(C)]
struct Ledger {
    /// The round that is over.
    over: AtomicU64,
    /// How often somebody went on, and how often somebody set or cleared.
    gone_on: AtomicU64,
    done: AtomicU64,
    /// How often somebody began to wait; the round for which a setter is ready, and the one in which it may set.
    waiting: AtomicU64,
    ready: AtomicU64,
    go: AtomicU64,
    /// How often each of the sleepers has gone on.
    rounds: [AtomicU64; SLEEPERS],
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

/// Ends with its parent, whatever becomes of that.
fn follow() {
    // SAFETY: takes integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn waiter(ledger: &'static Ledger, event: &SharedEvent, round: u64) -> Forked {
    fork(|| {
        follow();
        loop {
            event.wait_for(LIMIT).unwrap();
            ledger.gone_on.fetch_add(1, SeqCst);
            if ledger.over.load(SeqCst) == round {
                return;
            }
        }
    })
}

fn busy(ledger: &'static Ledger, event: &SharedEvent, seed: u64) -> Forked {
    fork(|| {
        follow();
        let mut random = Random::new(seed);
        loop {
            if random.below(2) == 0 { event.set() } else { event.clear() }.unwrap();
            ledger.done.fetch_add(1, SeqCst);
            if random.below(4) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(200) as u64));
            }
        }
    })
}

fn seconds() -> u64 {
    let variable = std::env::var("ROBUST_SHM_STORM_SECONDS").ok();
    variable.map_or(3, |seconds| seconds.parse().expect("a number of seconds"))
}

fn rage(name: &str) {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let mut random = Random::new(seed);
    let ledger = Ledger::new();
    let event = SharedEvent::options().lock_kind(kind()).create(name).unwrap();
    // Where the kernel tells nobody, who sleeps looks by himself, each tenth of a second.
    let between_looks = Duration::from_millis(if kind() == LockKind::File { 500 } else { 20 });
    let end = Instant::now() + Duration::from_secs(seconds());
    let (mut kills, mut found_set) = (0u64, 0u64);
    let mut rounds = 0;
    while Instant::now() < end {
        rounds += 1;
        let mut seed_of_next = || random.below(usize::MAX >> 34) as u64;
        let mut waiters: Vec<_> = (0..WAITERS).map(|_| waiter(ledger, &event, rounds)).collect();
        let mut others: Vec<_> = (0..BUSY).map(|_| busy(ledger, &event, seed_of_next())).collect();
        for _ in 0..random.below(12) {
            std::thread::sleep(Duration::from_micros(random.below(1_500) as u64));
            if random.below(3) == 0 {
                waiters.swap_remove(random.below(WAITERS)).kill();
                waiters.push(waiter(ledger, &event, rounds));
            } else {
                others.swap_remove(random.below(BUSY)).kill();
                let seed = random.below(1 << 20) as u64;
                others.push(busy(ledger, &event, seed));
            }
            kills += 1;
        }
        std::thread::sleep(Duration::from_micros(random.below(1_500) as u64));
        kills += others.len() as u64;
        others.into_iter().for_each(Forked::kill);
        ledger.over.store(rounds, SeqCst);
        if event.is_set() {
            found_set += 1;
        } else {
            event.set().unwrap();
        }
        let mut last = None;
        until("all to go on", || {
            waiters.retain_mut(|waiter| waiter.try_wait().inspect(|status| assert_eq!(*status, 0)).is_none());
            // Who has been woken does not sleep, however long it takes until he is let run.
            let sleeps: Option<Vec<_>> = waiters.iter().map(|waiter| asleep(waiter.id())).collect();
            let sleeps = sleeps.filter(|all| !all.is_empty());
            if sleeps.is_some() && sleeps == last {
                panic!("{} hung, seed {seed}: all sleep, and the event is set", waiters.len());
            }
            last = sleeps;
            let end = Instant::now() + between_looks;
            while !waiters.is_empty() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
                waiters.retain_mut(|waiter| waiter.try_wait().inspect(|status| assert_eq!(*status, 0)).is_none());
            }
            waiters.is_empty().then_some(())
        });
    }
    let (gone_on, done) = (ledger.gone_on.load(SeqCst), ledger.done.load(SeqCst));
    drop(event);
    say(format!(
        "over: {kills} kills in {rounds} rounds, of which {found_set} ended with the event set; {done} settings and clearings, \
         {gone_on} waits that came to an end, 0 hung"
    ));
}

/// Waits for the event in each round, and then for the end of that.
fn sleeper(ledger: &'static Ledger, event: &SharedEvent, which: usize) -> Forked {
    fork(|| {
        follow();
        for round in 1.. {
            ledger.waiting.fetch_add(1, SeqCst);
            event.wait_for(LIMIT).unwrap();
            ledger.rounds[which].store(round, SeqCst);
            while ledger.over.load(SeqCst) < round {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
    })
}

/// Sets the event as soon as it may.
fn setter(ledger: &'static Ledger, event: &SharedEvent, round: u64) -> Forked {
    fork(|| {
        follow();
        ledger.ready.store(round, SeqCst);
        while ledger.go.load(SeqCst) < round {
            std::hint::spin_loop();
        }
        event.set().unwrap();
        std::thread::sleep(LIMIT);
    })
}

/// Everybody sleeps; one sets the event, and is killed a moment later. If it is set, all go on, and nobody helps them.
fn strike(name: &str) {
    const LONGEST: usize = 12_000;
    let (ledger, event) = (Ledger::new(), SharedEvent::create(name).unwrap());
    let mut random = Random::new(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    let waiters: Vec<_> = (0..SLEEPERS).map(|which| sleeper(ledger, &event, which)).collect();
    // Who has been woken does not sleep, however long it takes until he is let run.
    let sleeps = |before: u64| {
        let still = waiters.iter().zip(&ledger.rounds).filter(|(_, done)| done.load(SeqCst) < before);
        still.map(|(waiter, _)| asleep(waiter.id())).collect::<Option<Vec<_>>>()
    };
    let end = Instant::now() + Duration::from_secs(seconds());
    let (mut round, mut left) = (0, 0u64);
    while Instant::now() < end {
        round += 1;
        until("all to sleep", || {
            (ledger.waiting.load(SeqCst) == SLEEPERS as u64 * round && sleeps(u64::MAX).is_some()).then_some(())
        });
        let setter = setter(ledger, &event, round);
        until("the setter", || (ledger.ready.load(SeqCst) == round).then_some(()));
        let strike_at = Instant::now() + Duration::from_nanos(random.below(LONGEST) as u64);
        ledger.go.store(round, SeqCst);
        while Instant::now() < strike_at {}
        setter.kill();
        if event.is_set() {
            left += 1;
        } else {
            event.set().unwrap();
        }
        let (mut last, mut next_look) = (None, Instant::now());
        until("all to go on", || {
            let all_have = ledger.rounds.iter().all(|done| done.load(SeqCst) == round);
            if !all_have && Instant::now() >= next_look {
                let now = sleeps(round).filter(|all| !all.is_empty());
                assert!(now.is_none() || now != last, "hung: all who are left sleep, and the event is set");
                (last, next_look) = (now, Instant::now() + Duration::from_millis(20));
            }
            all_have.then_some(())
        });
        event.clear().unwrap();
        ledger.over.store(round, SeqCst);
    }
    waiters.into_iter().for_each(Forked::kill);
    drop(event);
    say(format!("over: {round} setters killed as they set, {left} of them behind that, 0 hung"));
}

#[test]
fn a_setter_that_is_killed_as_it_sets_leaves_nobody_asleep() {
    if !LockKind::Futex.is_available() {
        return; // nobody is told of a death then: see the storm
    }
    let name = Scratch::new("strike");
    let role = spawn("strike", &name);
    println!("{}", role.hear());
    role.join();
    assert!(!crate::support::exists(&name));
}

#[test]
fn a_storm_of_kills_leaves_nobody_asleep_beside_a_set_event() {
    if LockKind::Futex.is_available() {
        storm(LockKind::Futex);
    }
}

#[test]
fn a_storm_of_kills_of_which_nobody_is_told_does_not_either() {
    storm(LockKind::File);
}

fn storm(kind: LockKind) {
    let name = Scratch::new("storm");
    let role = spawn_of(kind, "storm", &name);
    println!("{}", role.hear());
    role.join();
    assert!(!crate::support::exists(&name));
}
