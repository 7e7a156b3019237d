//! Who waits for a lock gets it, however often others lock it again meanwhile; and what says whose turn it is may be
//! anything.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "for the parts that need Linux"))]
#![allow(unsafe_code)]

mod support;

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use robust_shm::{LockError, LockKind, SharedArray, SharedLock, SharedSemaphore, SharedValue};
use support::{Family, FileExt, LIMIT, Scratch, asleep, member, path, play, say, spawn, until};

const LOCK_WORD: u64 = 520;
const RESERVATION: u64 = 572;
const W: u32 = 1 << 31;

#[test]
fn child() {
    play(&[
        ("hog a value", |family| {
            let value = SharedValue::<u64>::open(&member(family, 0)).unwrap();
            hog(family, || value.lock().unwrap());
        }),
        ("hog an array", |family| {
            let array = SharedArray::<u64, 4>::open(&member(family, 0)).unwrap();
            hog(family, || array.lock().unwrap());
        }),
        ("hog a lock", |family| {
            let lock = SharedLock::open(&member(family, 0)).unwrap();
            hog(family, || lock.lock().unwrap());
        }),
        ("hog by tries", |family| {
            let lock = SharedLock::open(&member(family, 0)).unwrap();
            hog(family, || until("a try", || lock.try_lock().ok()));
        }),
        ("hog by short waits", |family| {
            let lock = SharedLock::open(&member(family, 0)).unwrap();
            hog(family, || until("a wait", || lock.try_lock_for(Duration::from_micros(300)).ok()));
        }),
        ("hog permits", |family| {
            let semaphore = SharedSemaphore::open(&member(family, 0)).unwrap();
            let which = SharedValue::<usize>::open(&member(family, 1)).unwrap().update(|next| *next += 1).unwrap();
            let turns = SharedValue::create(&member(family, 2 + which), 0u64).unwrap();
            say("begins");
            loop {
                let permit = semaphore.acquire().unwrap();
                turns.update(|turns| *turns += 1).unwrap();
                thread::sleep(Duration::from_millis(1));
                drop(permit);
            }
        }),
        #[cfg(target_os = "linux")]
        ("wait in turns with a handler", wait_with_a_handler),
    ]);
}

/// Locks again and again, with nothing in between, and counts how often in member 1, until the value of member 2 says so.
fn hog<G>(family: &str, lock: impl Fn() -> G) {
    let rounds = SharedValue::<u64>::open(&member(family, 1)).unwrap();
    let is_over = SharedValue::<u8>::open(&member(family, 2)).unwrap();
    say("begins");
    while is_over.get() == 0 {
        let guard = lock();
        rounds.set(rounds.get() + 1).unwrap();
        thread::sleep(Duration::from_millis(2));
        drop(guard);
    }
}

/// As often may others have the lock while one waits, on the average. Without a rule it is more than a thousand times; with
/// only a part of it, some hundreds; with all of it two or three times, and some tens on a machine that is very busy.
const PASSED_OVER: u64 = 40;
const WAITS: u64 = 10;

/// Has so many threads, each with a handle of its own, want the lock now and then, while one process hogs it.
fn want_it_beside<H: Send, G>(role: &str, family: &Family, handles: Vec<H>, lock: fn(&H) -> G) {
    let rounds = SharedValue::create(&family.member(1), 0u64).unwrap();
    let is_over = SharedValue::create(&family.member(2), 0u8).unwrap();
    let hog = spawn(role, family.name());
    hog.expect("begins");
    until("the hog", || (rounds.get() > 0).then_some(()));
    thread::scope(|scope| {
        for handle in handles {
            scope.spawn(|| {
                let handle = handle;
                let mut passed_over = 0;
                for _ in 0..WAITS {
                    let before = rounds.get();
                    drop(lock(&handle));
                    passed_over += rounds.get() - before;
                    assert!(passed_over <= WAITS * PASSED_OVER, "{role}: passed over {passed_over} times");
                    let now = rounds.get();
                    until("the hog to go on", || (rounds.get() > now + 1).then_some(()));
                }
            });
        }
    });
    is_over.set(1).unwrap();
    hog.join();
}

#[test]
fn who_wants_a_value_gets_it_from_one_that_locks_it_again_and_again() {
    let family = Family::new("fair-value");
    let _creator = SharedValue::create(&family.member(0), 0u64).unwrap();
    for waiters in [1, 4] {
        let handles = (0..waiters).map(|_| SharedValue::<u64>::open(&family.member(0)).unwrap()).collect();
        want_it_beside("hog a value", &family, handles, |value| drop(value.lock().unwrap()));
    }
}

#[test]
fn who_wants_an_array_gets_it_from_one_that_locks_it_again_and_again() {
    let family = Family::new("fair-array");
    let array = SharedArray::<u64, 4>::create(&family.member(0)).unwrap();
    want_it_beside("hog an array", &family, vec![array], |array| drop(array.lock().unwrap()));
}

/// Two permits, and many who take one again and again. Without a rule, some of them have both, and most have none for hundreds of
/// turns.
#[test]
#[cfg_attr(
    any(robust_shm_unix, not(target_os = "linux")),
    ignore = "nobody is woken there: who sleeps comes when he looks"
)]
fn who_wants_a_permit_gets_one_beside_those_that_take_one_again_and_again() {
    const HOGS: usize = 8;
    const TURNS: u64 = 20;
    /// As many turns more may the others have, on the average.
    const MORE: u64 = 3;
    for kind in [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available()) {
        let family = Family::new("fair-permits");
        let _semaphore = SharedSemaphore::options().lock_kind(kind).create(&family.member(0), 2).unwrap();
        let _next = SharedValue::create(&family.member(1), 0usize).unwrap();
        let hogs: Vec<_> = (0..HOGS).map(|_| spawn("hog permits", family.name())).collect();
        hogs.iter().for_each(|hog| hog.expect("begins"));
        let turns: Vec<_> =
            (0..HOGS).map(|which| SharedValue::<u64>::open(&family.member(3 + which)).unwrap()).collect();
        let all = || turns.iter().map(SharedValue::get).collect::<Vec<_>>();
        let before = all();
        until("the turns of each", || {
            let had: Vec<u64> = all().iter().zip(&before).map(|(now, before)| now - before).collect();
            let (least, sum) = (*had.iter().min().unwrap(), had.iter().sum::<u64>());
            assert!(sum <= MORE * HOGS as u64 * TURNS, "{kind:?}: {had:?}");
            (least >= TURNS).then(|| println!("{kind:?}: {had:?}"))
        });
        hogs.into_iter().for_each(support::Role::kill);
    }
}

#[test]
fn who_wants_a_lock_gets_it_from_those_that_lock_it_in_whatever_way() {
    for role in ["hog a lock", "hog by tries", "hog by short waits"] {
        let family = Family::new("fair-lock");
        let lock = SharedLock::create(&family.member(0)).unwrap();
        want_it_beside(role, &family, vec![lock], |lock| drop(lock.lock().unwrap()));
    }
}

#[test]
fn who_waits_for_a_bounded_time_gets_it_as_well() {
    let family = Family::new("fair-timed");
    let lock = SharedLock::create(&family.member(0)).unwrap();
    want_it_beside("hog a lock", &family, vec![lock], |lock| drop(lock.try_lock_for(LIMIT).unwrap()));
}

#[cfg(target_os = "linux")]
fn write(name: &str, offset: u64, word: u32) {
    let file = std::fs::File::options().write(true).open(path(name)).unwrap();
    file.write_all_at(&word.to_ne_bytes(), offset).unwrap();
}

#[cfg(target_os = "linux")]
fn reservation(name: &str) -> u32 {
    let mut word = [0; 4];
    std::fs::File::open(path(name)).unwrap().read_exact_at(&mut word, RESERVATION).unwrap();
    u32::from_ne_bytes(word)
}

/// All ones; a token and a stamp of some time; a dead thread's that was never stamped; a stamp without a token.
const NOISE: [u32; 5] = [u32::MAX, 0x1234_5678, 0x4321_0000, 1, 0xffff];

#[cfg(target_os = "linux")]
#[test]
fn whatever_a_reservation_says_everybody_gets_through() {
    let name = Scratch::new("noise");
    let lock = SharedLock::create(&name).unwrap();
    let by_lock = || drop(lock.lock().unwrap());
    let by_waits = || {
        let short = Duration::from_micros(50);
        drop(until("a short wait", || lock.try_lock_for(short).ok()));
    };
    let by_tries = || drop(until("a try", || lock.try_lock().ok()));
    let by_wait = || drop(lock.try_lock_for(LIMIT).unwrap());
    for noise in NOISE {
        for get_through in [&by_lock as &dyn Fn(), &by_waits, &by_tries, &by_wait] {
            write(&name, RESERVATION, noise);
            write(&name, LOCK_WORD, W);
            get_through();
            assert_eq!(reservation(&name), 0, "{noise:#x}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_lock_that_is_kept_a_try_fails_and_a_wait_that_ends_names_no_holder() {
    let name = Scratch::new("kept");
    let lock = SharedLock::create(&name).unwrap();
    let mut seen = (false, false);
    // It is kept for a millisecond, and this thread may be kept from running for as long.
    until("both", || {
        for wait in [None, Some(Duration::ZERO)] {
            write(&name, RESERVATION, 0x4321_0000);
            write(&name, LOCK_WORD, W);
            match wait.map_or_else(|| lock.try_lock(), |wait| lock.try_lock_for(wait)) {
                Err(LockError::WouldBlock { .. }) => seen.0 = true,
                Err(LockError::TimedOut { holder, .. }) => {
                    assert_eq!(holder, None);
                    seen.1 = true;
                }
                Err(error) => panic!("{error}"),
                Ok(_) => {}
            }
        }
        (seen == (true, true)).then_some(())
    });
    drop(lock.lock().unwrap());
}

/// Wakes those that sleep on the lock, which stays as it is: they find themselves passed over.
#[cfg(target_os = "linux")]
fn pass_over(name: &str) {
    let memory = shared_memory::ShmemConf::new().os_id(name).open().unwrap();
    let word = memory.as_ptr().wrapping_add(LOCK_WORD as usize);
    // SAFETY: the mapping is longer than that; waking touches no memory.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX) };
    assert!(woken >= 0);
}

#[cfg(target_os = "linux")]
fn thread_id() -> i32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::gettid() }
}

#[cfg(target_os = "linux")]
#[test]
fn a_waiter_that_gives_up_leaves_no_reservation() {
    if !support::has_shared_memory_objects("maps an object by name") {
        return;
    }
    let name = Scratch::new("gives-up");
    let lock = SharedLock::create(&name).unwrap();
    let guard = lock.lock().unwrap();
    thread::scope(|scope| {
        let waiter =
            scope.spawn(|| SharedLock::open(&name).unwrap().try_lock_for(Duration::from_millis(300)).map(drop));
        let mut was_reserved = false;
        while !waiter.is_finished() {
            pass_over(&name);
            was_reserved |= reservation(&name) != 0;
            thread::sleep(Duration::from_millis(2));
        }
        assert!(matches!(waiter.join().unwrap(), Err(LockError::TimedOut { holder: Some(_), .. })));
        assert!(was_reserved);
    });
    assert_eq!(reservation(&name), 0);
    drop(guard);
    assert!(lock.try_lock().is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn who_was_passed_over_has_it_before_who_slept_longer() {
    if !support::has_shared_memory_objects("maps an object by name") {
        return;
    }
    let name = Scratch::new("inherits");
    let lock = SharedLock::create(&name).unwrap();
    let guard = lock.lock().unwrap();
    let (ids, id) = std::sync::mpsc::channel();
    let (turns, turn) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let wait = |who| {
            let (ids, turns, name) = (ids.clone(), turns.clone(), &name);
            scope.spawn(move || {
                let lock = SharedLock::open(name).unwrap();
                ids.send(thread_id()).unwrap();
                let _guard = lock.lock().unwrap();
                turns.send(who).unwrap();
            });
            let thread = id.recv().unwrap();
            until("the waiter to sleep", || asleep(thread));
            thread
        };
        let heir = wait("heir");
        until("the reservation", || {
            pass_over(&name);
            thread::sleep(Duration::from_millis(1));
            (reservation(&name) != 0).then_some(())
        });
        // Whoever is woken without need comes behind those who sleep on.
        let other = wait("other");
        pass_over(&name);
        until("both to sleep again", || asleep(heir).and(asleep(other)));
        assert_ne!(reservation(&name), 0);
        drop(guard);
    });
    assert_eq!([turn.recv().unwrap(), turn.recv().unwrap()], ["heir", "other"]);
    assert_eq!(reservation(&name), 0);
}

#[cfg(target_os = "linux")]
static FOR_HANDLER: OnceLock<SharedValue<u64>> = OnceLock::new();

#[cfg(target_os = "linux")]
extern "C" fn lock_in_between(_signal: libc::c_int) {
    match FOR_HANDLER.get().unwrap().try_lock_for(LIMIT) {
        Ok(mut guard) => *guard += 1,
        // The signal came while the thread held the lock.
        Err(error) => assert!(matches!(error, LockError::WouldDeadlock { .. }), "{error}"),
    }
}

/// Wants the hogged value, while signals come whose handler wants it, too.
#[cfg(target_os = "linux")]
fn wait_with_a_handler(family: &str) {
    let value = FOR_HANDLER.get_or_init(|| SharedValue::open(&member(family, 0)).unwrap());
    // SAFETY: all-zero bytes are an action without flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = lock_in_between as *const () as usize;
    // SAFETY: the action outlives the call, and the handler has the right type.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }, 0);
    // SAFETY: takes nothing.
    let me = unsafe { libc::pthread_self() } as usize;
    let (stay, is_over) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_over.recv_timeout(Duration::from_millis(3)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // SAFETY: that thread waits for the end of this scope.
                unsafe { libc::pthread_kill(me as libc::pthread_t, libc::SIGUSR1) };
            }
        });
        let _stay = stay;
        let mut waits = 0;
        // So that the handler has had it, too.
        while waits < WAITS || value.get() == 0 {
            drop(value.lock().unwrap());
            waits += 1;
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_handler_may_want_the_very_lock_that_its_thread_waits_for() {
    let family = Family::new("fair-handler");
    let value = SharedValue::create(&family.member(0), 0u64).unwrap();
    let _rounds = SharedValue::create(&family.member(1), 0u64).unwrap();
    let is_over = SharedValue::create(&family.member(2), 0u8).unwrap();
    let hog = spawn("hog a value", family.name());
    hog.expect("begins");
    spawn("wait in turns with a handler", family.name()).join();
    is_over.set(1).unwrap();
    hog.join();
    assert!(value.get() > 0);
    assert!(value.try_lock().is_ok());
    assert_eq!(reservation(&family.member(0)), 0);
}
