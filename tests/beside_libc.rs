//! Our locks and libc's robust mutexes stand in one list of each thread. They are taken and released here together, in
//! every order, until the thread dies with some of each.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod support;

use std::mem::{MaybeUninit, size_of};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use robust_shm::{LockError, LockGuard, SharedLock};
use support::{Family, Random, fork, member, play, spawn};

#[test]
fn child() {
    play(&[
        ("alone", |family| observe(family, 1, 300_000)),
        ("alone-long", |family| observe(family, 1, 5_000_000)),
        ("rivals", |family| observe(family, 3, 60_000)),
        ("rivals-long", |family| observe(family, 3, 1_000_000)),
        ("any-moment", killed_at_any_moment),
        ("leaked", leaked),
        ("thread-ends", thread_ends),
        ("libc-times-out", libc_times_out),
    ]);
}

/// How many locks of each sort there are.
const LOCKS: usize = 8;

/// What the processes of one role share beside our segments: inherited through forks, at one address.
#[repr(C)]
struct Region {
    mutexes: [MaybeUninit<libc::pthread_mutex_t>; LOCKS],
    /// What each worker holds: bit n for mutex n, bit LOCKS + n for our lock n.
    held: [AtomicU64; 3],
    /// How many workers have done with waiting for locks.
    arrived: AtomicU64,
}

struct Libc {
    region: *mut Region,
}

// SAFETY: mutexes and atomics are made to be used by several threads; the region is changed through them only.
unsafe impl Sync for Libc {}

impl Libc {
    fn new() -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let (access, len) = (libc::PROT_READ | libc::PROT_WRITE, size_of::<Region>());
        // SAFETY: an anonymous mapping at an address of the kernel's choice.
        let region = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
        assert_ne!(region, libc::MAP_FAILED);
        let this = Self { region: region.cast() };
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        // SAFETY: room for the attributes.
        check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) });
        // SAFETY: initialised above.
        check(unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) });
        // SAFETY: initialised above.
        check(unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) });
        for which in 0..LOCKS {
            // SAFETY: room for a mutex that nobody uses yet, and initialised attributes.
            check(unsafe { libc::pthread_mutex_init(this.mutex(which), attributes.as_ptr()) });
        }
        this
    }

    fn mutex(&self, which: usize) -> *mut libc::pthread_mutex_t {
        assert!(which < LOCKS);
        // SAFETY: the region is mapped as long as this value; no reference is made.
        unsafe { (&raw mut (*self.region).mutexes[which]).cast() }
    }

    fn held(&self, worker: usize) -> &AtomicU64 {
        // SAFETY: mapped as long as this value, zero at first, and only used as an atomic.
        unsafe { &(*self.region).held[worker] }
    }

    fn arrived(&self) -> &AtomicU64 {
        // SAFETY: as in `held`.
        unsafe { &(*self.region).arrived }
    }

    /// The error number of a lock that waits, or does not.
    fn lock(&self, which: usize, waits: bool) -> libc::c_int {
        let mutex = self.mutex(which);
        if waits {
            // SAFETY: an initialised mutex.
            unsafe { libc::pthread_mutex_lock(mutex) }
        } else {
            // SAFETY: as above.
            unsafe { libc::pthread_mutex_trylock(mutex) }
        }
    }

    fn unlock(&self, which: usize) {
        // SAFETY: a mutex that this thread holds.
        check(unsafe { libc::pthread_mutex_unlock(self.mutex(which)) });
    }

    /// Says that what the mutex protects is whole again.
    fn make_consistent(&self, which: usize) {
        // SAFETY: a mutex that this thread has just got from a dead owner.
        check(unsafe { libc::pthread_mutex_consistent(self.mutex(which)) });
    }
}

impl Drop for Libc {
    fn drop(&mut self) {
        // SAFETY: made in `new`; nobody holds a mutex in it any more.
        unsafe { libc::munmap(self.region.cast(), size_of::<Region>()) };
    }
}

fn check(errno: libc::c_int) {
    assert_eq!(errno, 0, "{}", std::io::Error::from_raw_os_error(errno));
}

/// One thread's way through the locks, both sorts.
struct Walk<'a> {
    libc: &'a Libc,
    ours: &'a [SharedLock],
    guards: [Option<LockGuard<'a>>; LOCKS],
    held: u64,
    /// May it wait for a lock, while it holds none?
    may_wait: bool,
    /// May it meet locks of the dead?
    hears_of_deaths: bool,
}

impl<'a> Walk<'a> {
    fn new(libc: &'a Libc, ours: &'a [SharedLock]) -> Self {
        Self { libc, ours, guards: [const { None }; LOCKS], held: 0, may_wait: true, hears_of_deaths: false }
    }

    /// Takes the lock, or releases it when it is held; waits for one that another holds only when nothing is held.
    fn step(&mut self, which: usize) {
        let bit = 1 << which;
        let waits = self.may_wait && self.held == 0;
        if self.held & bit != 0 {
            match which.checked_sub(LOCKS) {
                None => self.libc.unlock(which),
                Some(which) => self.guards[which] = None,
            }
            self.held &= !bit;
            return;
        }
        let taken = match which.checked_sub(LOCKS) {
            None => match self.libc.lock(which, waits) {
                0 => true,
                libc::EBUSY => false,
                libc::EOWNERDEAD if self.hears_of_deaths => {
                    self.libc.make_consistent(which);
                    true
                }
                other => panic!("mutex {which}: {}", std::io::Error::from_raw_os_error(other)),
            },
            Some(which) => {
                let lock = &self.ours[which];
                match if waits { lock.lock() } else { lock.try_lock() } {
                    Ok(guard) => {
                        self.guards[which] = Some(guard);
                        true
                    }
                    Err(LockError::WouldBlock { .. }) => false,
                    Err(LockError::Poisoned { .. }) if self.hears_of_deaths => false, // for the observer to repair
                    Err(error) => panic!("{error}"),
                }
            }
        };
        if taken {
            self.held |= bit;
        }
    }

    /// Walks for some steps, then waits until all the workers have done so, and then goes on without waiting until a few
    /// locks of both sorts are in hand.
    fn wander(&mut self, random: &mut Random, steps: u32, workers: u64) {
        for _ in 0..steps {
            self.step(random.below(2 * LOCKS));
        }
        for which in (0..2 * LOCKS).filter(|which| self.held & 1 << which != 0).collect::<Vec<_>>() {
            self.step(which);
        }
        self.may_wait = false;
        self.libc.arrived().fetch_add(1, Ordering::SeqCst);
        support::until("the others", || (self.libc.arrived().load(Ordering::SeqCst) >= workers).then_some(()));
        support::until("a few locks of both sorts", || {
            self.step(random.below(2 * LOCKS));
            let (libcs, ours) = (self.held & ((1 << LOCKS) - 1), self.held >> LOCKS);
            ((3..=4).contains(&self.held.count_ones()) && libcs != 0 && ours != 0).then_some(())
        });
    }
}

fn locks(family: &str) -> Vec<SharedLock> {
    (0..LOCKS).map(|which| SharedLock::create(&member(family, which)).unwrap()).collect()
}

/// Takes everything, and expects to hear of a death exactly where `dead` says; leaves all repaired.
fn take_all(libc: &Libc, ours: &[SharedLock], dead: u64) {
    for (which, lock) in ours.iter().enumerate() {
        let found = libc.lock(which, false);
        let expected = if dead & 1 << which != 0 { libc::EOWNERDEAD } else { 0 };
        assert_eq!(found, expected, "mutex {which} of {dead:#x}");
        repair(libc, which, found);
        let is_poisoned = match lock.try_lock() {
            Ok(_) => false,
            Err(LockError::Poisoned { .. }) => true,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(is_poisoned, dead & 1 << (LOCKS + which) != 0, "lock {which} of {dead:#x}");
        drop(lock.lock_recover(|| ()).unwrap());
    }
}

fn repair(libc: &Libc, which: usize, found: libc::c_int) {
    if found == libc::EOWNERDEAD {
        libc.make_consistent(which);
    } else {
        check(found);
    }
    libc.unlock(which);
}

/// Workers wander and are killed with what they then hold; everything is reported to the observer, nothing else is.
fn observe(family: &str, workers: usize, steps: u32) {
    let libc = Libc::new();
    let ours = locks(family);
    const ROUNDS: u32 = 3;
    for round in 0..u64::from(ROUNDS) {
        libc.arrived().store(0, Ordering::SeqCst);
        let children: Vec<_> = (0..workers)
            .map(|worker| {
                fork(|| {
                    let mut random = Random::new(round * 100 + worker as u64);
                    let mut walk = Walk::new(&libc, &ours);
                    walk.wander(&mut random, steps / ROUNDS, workers as u64);
                    libc.held(worker).store(walk.held, Ordering::SeqCst);
                    loop {
                        // SAFETY: waits for the SIGKILL.
                        unsafe { libc::pause() };
                    }
                })
            })
            .collect();
        let dead = (0..workers).fold(0, |all, worker| {
            let held =
                support::until("a worker", || Some(libc.held(worker).swap(0, Ordering::SeqCst)).filter(|h| *h != 0));
            assert_eq!(all & held, 0, "held by two");
            all | held
        });
        children.into_iter().for_each(support::Forked::kill);
        take_all(&libc, &ours, dead);
    }
}

#[test]
fn everything_held_of_both_sorts_is_reported_after_hundreds_of_thousands_of_orders() {
    if !support::has_robust_lists("the C library has ours in one") {
        return;
    }
    let family = Family::new("beside");
    spawn("alone", family.name()).join();
}

#[test]
fn the_same_with_three_processes_that_contend() {
    if !support::has_robust_lists("the C library has ours in one") {
        return;
    }
    let family = Family::new("beside-rivals");
    spawn("rivals", family.name()).join();
}

/// To run it: `cargo test --release --test beside_libc -- --ignored`.
#[test]
#[ignore = "millions of steps"]
fn everything_held_of_both_sorts_is_reported_after_millions_of_orders() {
    if !support::has_robust_lists("the C library has ours in one") {
        return;
    }
    let family = Family::new("beside-long");
    spawn("alone-long", family.name()).join();
    spawn("rivals-long", family.name()).join();
}

/// Killed in the middle of whatever it does: what was held is not known, but all of it can be had at once.
fn killed_at_any_moment(family: &str) {
    let libc = Libc::new();
    let ours = locks(family);
    let mut deaths = 0;
    for round in 0..60 {
        let children: Vec<_> = (0..2)
            .map(|worker| {
                fork(|| {
                    let mut random = Random::new(1_000 + 2 * round + worker as u64);
                    let mut walk = Walk { hears_of_deaths: true, ..Walk::new(&libc, &ours) };
                    loop {
                        walk.step(random.below(2 * LOCKS));
                        libc.held(worker).fetch_add(1, Ordering::Relaxed); // here: the steps
                    }
                })
            })
            .collect();
        for worker in 0..2 {
            support::until("a worker", || (libc.held(worker).load(Ordering::Relaxed) > 100).then_some(()));
        }
        std::thread::sleep(Duration::from_micros(500 * round));
        // One after the other: the second may be about to get something from the first.
        children.into_iter().for_each(support::Forked::kill);
        for (which, lock) in ours.iter().enumerate() {
            let start = support::Stopwatch::start();
            let found = libc.lock(which, false);
            deaths += u32::from(found == libc::EOWNERDEAD);
            repair(&libc, which, found);
            match lock.try_lock() {
                Ok(_) | Err(LockError::Poisoned { .. }) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
            drop(lock.lock_recover(|| deaths += 1).unwrap());
            start.assert_nobody_waited_for_the_heartbeat();
        }
        for worker in 0..2 {
            libc.held(worker).store(0, Ordering::Relaxed);
        }
    }
    assert!(deaths > 60, "{deaths}");
}

#[test]
fn a_kill_at_any_moment_leaves_locks_of_both_sorts_to_be_had() {
    if !support::has_robust_lists("the C library has ours in one") {
        return;
    }
    let family = Family::new("any-moment");
    spawn("any-moment", family.name()).join();
}

/// A guard is leaked and its handle dropped. Its node stays in the list, and libc writes to it when a neighbour comes
/// and goes: so it must stay mapped, for as long as the thread lives, and however many handles come and go meanwhile.
fn leaked(family: &str) {
    let libc = Libc::new();
    for round in 0..20 {
        let lock = SharedLock::create(&member(family, round)).unwrap();
        let guard = lock.lock().unwrap();
        if round % 2 == 0 {
            check(libc.lock(0, true));
        }
        std::mem::forget(guard);
        drop(lock);
        if round % 2 == 0 {
            libc.unlock(0);
        }
        for which in 0..LOCKS {
            check(libc.lock(which, true));
        }
        for which in (0..LOCKS).rev() {
            libc.unlock((which + round) % LOCKS);
        }
        let other = SharedLock::create(&member(family, 100)).unwrap();
        drop(other.lock().unwrap());
    }
}

#[test]
fn a_leaked_guard_whose_handle_is_gone_harms_no_unrelated_mutex() {
    if !support::has_robust_lists("the C library has ours in one") {
        return;
    }
    let family = Family::new("leaked");
    spawn("leaked", family.name()).join();
    assert_eq!(family.living(), [""; 0]);
}

fn thread_ends(family: &str) {
    let libc = Libc::new();
    let ours = locks(family);
    for seed in 0..30 {
        let dead = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let mut random = Random::new(seed);
                let mut walk = Walk::new(&libc, &ours);
                walk.wander(&mut random, 2_000, 1);
                walk.guards.into_iter().for_each(std::mem::forget);
                walk.held
            });
            worker.join().unwrap()
        });
        take_all(&libc, &ours, dead);
    }
}

#[test]
fn a_thread_that_ends_with_locks_of_both_sorts_is_an_owner_that_died() {
    if !support::has_robust_lists("the C library has ours in one") {
        return;
    }
    let family = Family::new("thread-ends");
    spawn("thread-ends", family.name()).join();
}

/// glibc's timed lock of a robust mutex may leave `list_op_pending` set when it times out, and the mutex may then go
/// away. Our locks keep what they find there; nothing comes of it.
fn libc_times_out(family: &str) {
    let ours = locks(family);
    let dead = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let libc = Libc::new();
            check(libc.lock(0, true));
            let past = libc::timespec { tv_sec: 1, tv_nsec: 0 };
            std::thread::scope(|inner| {
                let timed_out = inner.spawn(|| {
                    // SAFETY: an initialised mutex that lives until the end of the scope, and a point in time.
                    let result = unsafe { libc::pthread_mutex_timedlock(libc.mutex(0), &raw const past) };
                    assert_eq!(result, libc::ETIMEDOUT);
                    for lock in &ours {
                        drop(lock.lock().unwrap());
                    }
                    std::mem::forget(ours[3].lock().unwrap());
                });
                // The end of a scope waits for the closure only, and the kernel reports the lock when the thread ends.
                timed_out.join().unwrap();
            });
            libc.unlock(0);
            1 << (LOCKS + 3)
        });
        worker.join().unwrap()
    });
    take_all(&Libc::new(), &ours, dead);
}

#[test]
fn a_timeout_of_libcs_lock_is_nothing_to_ours() {
    if !support::has_robust_lists("the C library has ours in one") {
        return;
    }
    let family = Family::new("libc-times-out");
    spawn("libc-times-out", family.name()).join();
}

/// The kernel reports the death of a holder for 2,048 locks at most.
#[test]
fn beyond_two_thousand_held_locks_there_are_none_until_one_is_released() {
    if !support::has_robust_lists("the C library has ours in one") {
        return;
    }
    const MOST: usize = 2_000;
    let family = Family::new("very-many");
    let lock = SharedLock::create(family.name()).unwrap();
    let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    // SAFETY: room for the attributes.
    check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) });
    // SAFETY: initialised above.
    check(unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) });
    let mut mutexes: Vec<MaybeUninit<libc::pthread_mutex_t>> = (0..MOST).map(|_| MaybeUninit::uninit()).collect();
    for mutex in &mut mutexes {
        // SAFETY: room for a mutex that stays where it is, and initialised attributes.
        check(unsafe { libc::pthread_mutex_init(mutex.as_mut_ptr(), attributes.as_ptr()) });
        // SAFETY: initialised above.
        check(unsafe { libc::pthread_mutex_lock(mutex.as_mut_ptr()) });
    }
    let error = lock.lock().unwrap_err();
    assert!(matches!(error, LockError::Io { .. }) && error.to_string().contains("2,000"), "{error}");
    let (last, others) = mutexes.split_last_mut().unwrap();
    // SAFETY: held by this thread.
    check(unsafe { libc::pthread_mutex_unlock(last.as_mut_ptr()) });
    let guard = lock.lock().unwrap();
    drop(guard);
    for mutex in others {
        // SAFETY: as above.
        check(unsafe { libc::pthread_mutex_unlock(mutex.as_mut_ptr()) });
    }
    drop(lock.lock().unwrap());
}
