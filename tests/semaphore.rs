//! Semaphores: so many at once and no more, whoever is killed; nobody sleeps beside a free permit.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use robust_shm::{Error, LockError, LockKind, SegmentInfo, SharedLock, SharedSemaphore, SharedValue, remove};
use support::Stopwatch;
#[cfg(target_os = "linux")]
use support::spawn_through;
use support::{Family, Random, Scratch, own_tid, play, ready_to_die, say, spawn, until, until_it_waits};

#[test]
fn child() {
    play(&[
        ("hold", hold),
        ("hold two", hold_two),
        ("want", want),
        ("hold beside a lock", hold_beside_a_lock),
        ("work", work),
        ("leak in a thread", leak_in_a_thread),
    ]);
}

const LONG: Duration = Duration::from_secs(60);

/// Makes two tests of what takes the kind of lock that permits are.
macro_rules! with_both_kinds {
    ($($(#[$attribute:meta])* $name:ident,)*) => {$(
        $(#[$attribute])*
        mod $name {
            use robust_shm::LockKind;

            #[cfg(target_os = "linux")]
            #[test]
            fn futex() {
                if super::support::has_robust_lists("permits are in them") {
                    super::$name(LockKind::Futex);
                }
            }

            #[test]
            fn file() {
                super::$name(LockKind::File);
            }
        }
    )*};
}

with_both_kinds! {
    permits_are_counted_and_numbered,
    a_thread_that_has_had_a_permit_gets_the_same_again,
    time_that_is_up,
    a_try_finds_the_deaths_that_nobody_waited_for,
    owned_permits_keep_their_handle,
    permits_of_the_killed_come_back_and_go_to_who_sleeps,
    a_permit_beside_a_lock_comes_back_too,
    what_is_leaked_with_its_handle_stays_taken,
    #[cfg(target_os = "linux")]
    namesakes_in_other_namespaces_have_permits_of_their_own,
    #[cfg(unix)]
    a_forked_child_gives_nothing_back,
    a_persistent_one_that_all_users_left_by_death_is_free_again,
    threads_of_one_handle_never_exceed_the_permits,
    a_storm_of_kills_loses_and_doubles_no_permit_and_leaves_nobody_asleep,
    an_observer_sees_and_takes_nothing,
}

fn create(kind: LockKind, name: &str, permits: usize) -> SharedSemaphore {
    SharedSemaphore::options().lock_kind(kind).create(name, permits).unwrap()
}

fn hold(name: &str) {
    let semaphore = SharedSemaphore::open(name).unwrap();
    let permit = semaphore.acquire().unwrap();
    say(permit.index());
    ready_to_die();
}

fn hold_two(name: &str) {
    let semaphore = SharedSemaphore::open(name).unwrap();
    let _permits = [semaphore.acquire().unwrap(), semaphore.acquire().unwrap()];
    say("both");
    ready_to_die();
}

fn want(name: &str) {
    let semaphore = SharedSemaphore::open(name).unwrap();
    say(own_tid());
    let permit = semaphore.acquire().unwrap();
    say(permit.index());
    support::pause();
}

fn hold_beside_a_lock(name: &str) {
    let (lock, semaphore) = (SharedLock::open(&format!("{name}-lock")).unwrap(), SharedSemaphore::open(name).unwrap());
    let _guard = lock.lock().unwrap();
    let _permit = semaphore.acquire().unwrap();
    say("both");
    ready_to_die();
}

fn leak_in_a_thread(name: &str) {
    let semaphore = SharedSemaphore::open(name).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(semaphore.acquire().unwrap()));
    });
    until("the permit of the thread that has ended", || (semaphore.available() == semaphore.permits()).then_some(()));
}

fn permits_are_counted_and_numbered(kind: LockKind) {
    let name = Scratch::new("permits");
    let semaphore = create(kind, &name, 3);
    assert_eq!((semaphore.permits(), semaphore.available()), (3, 3));
    let permits: Vec<_> = (0..3).map(|_| semaphore.acquire().unwrap()).collect();
    let mut indices: Vec<_> = permits.iter().map(robust_shm::Permit::index).collect();
    indices.sort_unstable();
    assert_eq!((indices, semaphore.available()), (vec![0, 1, 2], 0));
    let told = |error: LockError, what: &str| {
        let text = error.to_string();
        assert!(text.starts_with(&format!("permit of segment {:?} {what}", &*name)), "{text}");
        assert!(!text.contains("lock of") && !text.contains("use lock"), "{text}");
        error
    };
    let error = told(semaphore.try_acquire().unwrap_err(), "would block, because none is free; use acquire");
    assert!(matches!(error, LockError::WouldBlock { .. }));
    let error = told(semaphore.acquire().unwrap_err(), "would deadlock: this very thread has all of them");
    assert!(matches!(error, LockError::WouldDeadlock { .. }), "this thread has all of them");
    drop(permits);
    assert_eq!(semaphore.available(), 3);
    assert!(format!("{semaphore:?}").ends_with("permits: 3, available: 3 }"), "{semaphore:?}");
}

fn a_thread_that_has_had_a_permit_gets_the_same_again(kind: LockKind) {
    let name = Scratch::new("home");
    let semaphore = create(kind, &name, 127);
    let first = semaphore.acquire().unwrap().index();
    assert!((0..10).all(|_| semaphore.acquire().unwrap().index() == first));
}

#[test]
fn a_number_that_cannot_be_and_one_that_is_not() {
    let name = Scratch::new("numbers");
    for number in [0, 128, usize::MAX] {
        for result in [SharedSemaphore::create(&name, number), SharedSemaphore::open_or_create(&name, number)] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
            let text = error.to_string();
            for word in [&*name, "1 to 127", &number.to_string()] {
                assert!(text.contains(word), "no {word}: {text}");
            }
        }
    }
    let _four = SharedSemaphore::create(&name, 4).unwrap();
    assert_eq!(SharedSemaphore::open(&name).unwrap().permits(), 4);
    let error = SharedSemaphore::open_exact(&name, 5).unwrap_err();
    assert!(matches!(error, Error::TypeMismatch { .. }), "{error:?}");
    for word in ["SharedSemaphore of 5 permits", "SharedSemaphore of 4 permits"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(matches!(SharedLock::open(&name), Err(Error::TypeMismatch { .. })));
    assert_eq!(SegmentInfo::of(&name).unwrap().kind(), "SharedSemaphore");
}

fn time_that_is_up(kind: LockKind) {
    let name = Scratch::new("timed");
    let semaphore = create(kind, &name, 1);
    let holder = spawn("hold", &name);
    holder.expect("0");
    let begun = Instant::now();
    let error = semaphore.try_acquire_for(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, LockError::TimedOut { .. }), "{error:?}");
    assert!(error.to_string().contains("timed out: it was still not to be had"), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(20));
    assert!(matches!(semaphore.try_acquire_until(Instant::now()), Err(LockError::TimedOut { .. })));
    holder.kill();
}

fn a_try_finds_the_deaths_that_nobody_waited_for(kind: LockKind) {
    let name = Scratch::new("try");
    let semaphore = create(kind, &name, 3);
    let holders = [spawn("hold", &name), spawn("hold two", &name)];
    for holder in &holders {
        holder.hear();
    }
    assert!(matches!(semaphore.try_acquire(), Err(LockError::WouldBlock { .. })));
    holders.into_iter().for_each(support::Role::kill);
    let permits: [_; 3] = std::array::from_fn(|_| semaphore.try_acquire().unwrap());
    assert_eq!((permits.len(), semaphore.available()), (3, 0));
}

fn owned_permits_keep_their_handle(kind: LockKind) {
    let name = Scratch::new("owned");
    let semaphore = Arc::new(create(kind, &name, 2));
    let permit = semaphore.acquire_owned().unwrap();
    let second = semaphore.try_acquire_owned_for(LONG).unwrap();
    assert!(semaphore.try_acquire_owned().is_err());
    drop(semaphore);
    assert_eq!(SharedSemaphore::open(&name).unwrap().available(), 0);
    assert_ne!(permit.index(), second.index());
}

fn permits_of_the_killed_come_back_and_go_to_who_sleeps(kind: LockKind) {
    let name = Scratch::new("killed");
    let semaphore = create(kind, &name, 3);
    for _ in 0..20 / support::COST_OF_A_PROCESS {
        let holders = [spawn("hold", &name), spawn("hold two", &name)];
        for holder in &holders {
            holder.hear();
        }
        let waiters: [_; 3] = std::array::from_fn(|_| spawn("want", &name));
        for waiter in &waiters {
            waiter.hear();
            until_it_waits(waiter);
        }
        let watch = Stopwatch::start();
        for holder in holders {
            holder.kill();
        }
        let mut indices: Vec<_> = waiters.iter().map(support::Role::hear).collect();
        watch.assert_nobody_waited_for_the_heartbeat();
        indices.sort_unstable();
        assert_eq!(indices, ["0", "1", "2"]);
        waiters.into_iter().for_each(support::Role::kill);
    }
    until("all permits", || (semaphore.available() == 3).then_some(()));
}

fn a_permit_beside_a_lock_comes_back_too(kind: LockKind) {
    let name = Scratch::new("beside");
    let lock_name = Scratch(format!("{}-lock", &*name));
    let lock = SharedLock::options().lock_kind(kind).poison(false).create(&lock_name).unwrap();
    let semaphore = create(kind, &name, 1);
    let holder = spawn("hold beside a lock", &name);
    holder.expect("both");
    assert!(semaphore.try_acquire().is_err() && lock.try_lock().is_err());
    holder.kill();
    let _guard = lock.try_lock_for(LONG).unwrap();
    let permit = semaphore.try_acquire_for(LONG).unwrap();
    drop(permit);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_leaked_permit_comes_back_with_the_end_of_its_thread() {
    if !support::reports_ends_of_threads() {
        return;
    }
    let name = Scratch::new("leaked");
    let _semaphore = SharedSemaphore::create(&name, 2).unwrap();
    spawn("leak in a thread", &name).join();
}

fn what_is_leaked_with_its_handle_stays_taken(kind: LockKind) {
    let name = Scratch::new("leak");
    let keeper = create(kind, &name, 2);
    let leaked = SharedSemaphore::open(&name).unwrap();
    std::mem::forget(leaked.acquire().unwrap());
    drop(leaked); // the mapping stays: the kernel may write to it
    assert_eq!(keeper.available(), 1);
    drop(keeper.acquire().unwrap());
}

/// Each is process 1 of a PID namespace of its own, so that the kernel takes them for one another.
#[cfg(target_os = "linux")]
fn namesakes_in_other_namespaces_have_permits_of_their_own(kind: LockKind) {
    const CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !support::can_unshare(&CONTAINER) {
        return;
    }
    let name = Scratch::new("namesakes");
    let semaphore = create(kind, &name, 3);
    let holders: [_; 3] = std::array::from_fn(|_| spawn_through(&CONTAINER, "hold", &name));
    let mut indices = holders.each_ref().map(support::Role::hear);
    indices.sort_unstable();
    assert_eq!(indices, ["0", "1", "2"]);
    for (left, holder) in holders.into_iter().enumerate().map(|(killed, holder)| (2 - killed, holder)) {
        assert!(semaphore.try_acquire().is_err());
        holder.kill();
        std::mem::forget(semaphore.try_acquire_for(LONG).unwrap());
        assert_eq!(semaphore.available(), 0, "{left} still live");
    }
    assert!(matches!(semaphore.try_acquire_for(LONG), Err(LockError::WouldDeadlock { .. })));
}

#[test]
fn there_is_none_with_a_mutex_of_the_c_library() {
    let name = Scratch::new("os-mutex");
    let error = SharedSemaphore::options().lock_kind(LockKind::OsMutex).create(&name, 1).unwrap_err();
    assert!(error.to_string().contains("they need LockKind::Futex or LockKind::File"), "{error}");
    assert!(!support::exists(&name));
}

/// The copy of a permit in a forked child is none.
#[cfg(unix)]
fn a_forked_child_gives_nothing_back(kind: LockKind) {
    let name = Scratch::new("forked");
    let semaphore = create(kind, &name, 1);
    let mut permit = Some(semaphore.acquire().unwrap());
    let copy = &mut permit;
    let child = support::fork(|| {
        drop(copy.take());
        assert_eq!(semaphore.available(), 0);
        assert!(matches!(semaphore.try_acquire(), Err(LockError::WouldBlock { .. })));
    });
    child.join();
    assert_eq!(semaphore.available(), 0);
    drop(permit);
    assert_eq!(semaphore.available(), 1);
}

fn a_persistent_one_that_all_users_left_by_death_is_free_again(kind: LockKind) {
    let name = Scratch::new("persistent");
    drop(SharedSemaphore::options().lock_kind(kind).persistent(true).create(&name, 2).unwrap());
    let holder = spawn("hold two", &name);
    holder.expect("both");
    holder.kill();
    let semaphore = SharedSemaphore::open(&name).unwrap();
    assert_eq!(semaphore.available(), 2);
    drop([semaphore.acquire().unwrap(), semaphore.acquire().unwrap()]);
    drop(semaphore);
    remove(&name).unwrap();
}

fn threads_of_one_handle_never_exceed_the_permits(kind: LockKind) {
    let name = Scratch::new("threads");
    let semaphore = create(kind, &name, 2);
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                for turn in 0..4_000 {
                    let permit = semaphore.acquire().unwrap();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if turn % 7 == 0 {
                        std::thread::yield_now();
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            });
        }
    });
    assert_eq!((most.into_inner(), semaphore.available()), (2, 2));
}

const PERMITS: usize = 2;

/// What workers are told and tell, beside what they share.
struct Stage {
    /// Even: work. Odd: rest.
    phase: SharedValue<u64>,
    /// How many have come to rest, in all phases.
    resting: SharedValue<u64>,
    /// Who has the permit.
    owners: [SharedValue<u32>; PERMITS],
}

impl Stage {
    fn of(member: impl Fn(usize) -> String) -> Self {
        Self {
            phase: SharedValue::open_or_create(&member(1), 0).unwrap(),
            resting: SharedValue::open_or_create(&member(2), 0).unwrap(),
            owners: std::array::from_fn(|which| SharedValue::open_or_create(&member(3 + which), 0).unwrap()),
        }
    }
}

/// Writes its process id for its permit and looks whether it stays; rests when it is told to, without a permit.
fn work(family: &str) {
    let semaphore = SharedSemaphore::open(&support::member(family, 0)).unwrap();
    let Stage { phase, resting, owners } = Stage::of(|which| support::member(family, which));
    let me = std::process::id();
    let mut random = Random::new(u64::from(me));
    loop {
        let now = phase.get();
        if now % 2 == 1 {
            resting.update(|resting| *resting += 1).unwrap();
            while phase.get() == now {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        // No deadlines: they would wake who has been forgotten.
        let permit = semaphore.acquire().unwrap();
        let owner = &owners[permit.index()];
        owner.set(me).unwrap();
        if random.below(3) == 0 {
            std::thread::sleep(Duration::from_micros(random.below(300) as u64));
        }
        assert_eq!(owner.get(), me, "two have the same permit");
        drop(permit);
    }
}

/// After each kill all are told to rest: so all permits come free, and whoever still sleeps for one sleeps beside them.
///
/// `ROBUST_SHM_SEMAPHORE_KILLS=20000` is the long form.
fn a_storm_of_kills_loses_and_doubles_no_permit_and_leaves_nobody_asleep(kind: LockKind) {
    const WORKERS: usize = 6;
    let kills = std::env::var("ROBUST_SHM_SEMAPHORE_KILLS")
        .map_or(200 / support::COST_OF_A_PROCESS, |text| text.parse().unwrap());
    let family = Family::new("storm");
    let semaphore = create(kind, &family.member(0), PERMITS);
    let stage = Stage::of(|which| family.member(which));
    let mut random = Random::new(7);
    let mut workers: Vec<_> = (0..WORKERS).map(|_| spawn("work", family.name())).collect();
    for kill in 1..=kills {
        std::thread::sleep(Duration::from_micros(random.below(3_000) as u64));
        let victim = random.below(WORKERS);
        std::mem::replace(&mut workers[victim], spawn("work", family.name())).kill();
        let watch = Stopwatch::start();
        stage.phase.update(|phase| *phase += 1).unwrap();
        until("the rest of all", || (stage.resting.get() == (kill * WORKERS) as u64).then_some(()));
        watch.assert_nobody_waited_for_the_heartbeat();
        assert_eq!(semaphore.available(), PERMITS);
        stage.phase.update(|phase| *phase += 1).unwrap();
    }
    workers.into_iter().for_each(support::Role::kill);
    until("all permits", || (semaphore.available() == PERMITS).then_some(()));
    drop([semaphore.acquire().unwrap(), semaphore.acquire().unwrap()]);
}

/// Whoever only looks sees what users see, takes nothing, and is none of them.
fn an_observer_sees_and_takes_nothing(kind: LockKind) {
    let name = Scratch::new("observed");
    let semaphore = SharedSemaphore::options().lock_kind(kind).mode(support::WIDER_MODE).create(&name, 3).unwrap();
    let observer = SharedSemaphore::observe(&name).unwrap();
    let permit = semaphore.acquire().unwrap();
    assert_eq!((observer.available(), observer.permits(), observer.attached().unwrap()), (2, 3, 1));
    drop(permit);
    let holder = spawn("hold two", &name);
    holder.expect("both");
    assert_eq!((observer.available(), observer.attached().unwrap()), (1, 2));
    holder.kill();
    until("the permits of the killed", || (observer.available() == 3).then_some(()));
    drop(semaphore);
    assert!(observer.is_removed());
    assert!(matches!(SharedSemaphore::observe(&name), Err(Error::NotFound { .. })));
}
