//! What an event does, and what it is.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use robust_shm::{Error, LockError, LockKind, SegmentInfo, SharedEvent, SharedLock, remove};

use crate::support::{
    Body, FileExt, LIMIT, Scratch, assert_error, exists, own_tid, path, pause, say, spawn, until, until_all_sleep,
    until_it_waits, within_limit,
};

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("waits", crate::waits),
    ("sets and is killed", |name| {
        let event = SharedEvent::open(name).unwrap();
        event.set().unwrap();
        say("has set");
        pause();
    }),
];

/// The word: `W`, `S`, and the generation.
const WORD: u64 = 520;
const W: u32 = 1 << 31;
const S: u32 = 1 << 30;

fn word_of(name: &str) -> [u32; 2] {
    let bytes = std::fs::read(path(name)).unwrap();
    [0, 4].map(|at| u32::from_ne_bytes(std::array::from_fn(|i| bytes[WORD as usize + at + i])))
}

/// The kinds of lock whose line can be an event. With the second one, the kernel tells nobody of a death.
fn kinds() -> impl Iterator<Item = LockKind> {
    [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available())
}

fn create(name: &str, kind: LockKind) -> SharedEvent {
    SharedEvent::options().lock_kind(kind).create(name).unwrap()
}

#[test]
fn whoever_waits_in_whatever_process_goes_on_when_it_is_set() {
    kinds().for_each(whoever_waits_in_whatever_process_goes_on_when_it_is_set_of);
}

fn whoever_waits_in_whatever_process_goes_on_when_it_is_set_of(kind: LockKind) {
    let name = Scratch::new("all");
    let event = create(&name, kind);
    let waiters: Vec<_> = (0..4).map(|_| spawn("waits", &name)).collect();
    for waiter in &waiters {
        waiter.expect("waits");
        until_it_waits(waiter);
    }
    assert_eq!(word_of(&name), [W, 0]);
    event.set().unwrap();
    for mut waiter in waiters {
        waiter.expect("goes on");
        waiter.go_on();
        waiter.join();
    }
    assert_eq!(word_of(&name), [S, 1], "all have been told");
    // And who comes later.
    let waiter = spawn("waits", &name);
    waiter.expect("waits");
    waiter.expect("goes on");
}

#[test]
fn it_is_set_until_it_is_cleared() {
    kinds().for_each(it_is_set_until_it_is_cleared_of);
}

fn it_is_set_until_it_is_cleared_of(kind: LockKind) {
    let name = Scratch::new("set");
    let event = create(&name, kind);
    let other = SharedEvent::open(&name).unwrap();
    assert!(!event.is_set() && !other.is_set());
    event.clear().unwrap();
    for _ in 0..3 {
        event.set().unwrap();
        other.set().unwrap();
        assert!(event.is_set() && other.is_set());
        for _ in 0..3 {
            other.wait().unwrap();
            other.wait_for(Duration::ZERO).unwrap();
            other.wait_until(Instant::now()).unwrap();
        }
        other.clear().unwrap();
        assert!(!event.is_set() && !other.is_set());
    }
    assert_eq!(word_of(&name), [0, 3], "setting what is set is not counted");
}

#[test]
fn a_time_that_is_up_is_told_with_what_was_waited_for() {
    kinds().for_each(a_time_that_is_up_is_told_with_what_was_waited_for_of);
}

fn a_time_that_is_up_is_told_with_what_was_waited_for_of(kind: LockKind) {
    let name = Scratch::new("timed");
    let event = create(&name, kind);
    let start = Instant::now();
    let error = event.wait_for(Duration::from_millis(20)).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(matches!(error, LockError::TimedOut { holder: None, process: None, .. }));
    let message = error.to_string();
    assert!(
        message.contains("event of segment") && message.contains(&*name) && message.contains("not set"),
        "{message}"
    );
    assert!(!message.contains("lock") && !message.contains("held"), "{message}");
    let deadline = start.checked_sub(Duration::from_secs(1)).unwrap_or(start);
    assert!(matches!(event.wait_until(deadline), Err(LockError::TimedOut { .. })));
    assert!(matches!(event.wait_for(Duration::ZERO), Err(LockError::TimedOut { .. })));
    // Who has given up is in nobody's way.
    event.set().unwrap();
    assert_eq!(word_of(&name), [S, 1]);
}

#[test]
fn what_no_clock_can_say_is_no_deadline() {
    let name = Scratch::new("forever");
    let event = SharedEvent::create(&name).unwrap();
    let thread = [AtomicU64::new(0)];
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            thread[0].store(own_tid() as u64, Ordering::SeqCst);
            event.wait_for(Duration::MAX)
        });
        until_all_sleep(&thread, LockKind::default());
        event.set().unwrap();
        waiter.join().unwrap().unwrap();
    });
}

/// As Python's: who sleeps goes on, although the event is clear again.
#[test]
fn who_sleeps_goes_on_even_if_it_is_cleared_at_once() {
    kinds().for_each(who_sleeps_goes_on_even_if_it_is_cleared_at_once_of);
}

fn who_sleeps_goes_on_even_if_it_is_cleared_at_once_of(kind: LockKind) {
    const WAITERS: usize = 16;
    const PULSES: usize = if cfg!(debug_assertions) { 300 } else { 3_000 };
    let name = Scratch::new("pulse");
    let event = create(&name, kind);
    let threads = [const { AtomicU64::new(0) }; WAITERS];
    let round = AtomicUsize::new(0);
    let returned = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in &threads {
            let (event, round, returned) = (&event, &round, &returned);
            scope.spawn(move || {
                for pulse in 0..PULSES {
                    while round.load(Ordering::SeqCst) < pulse {
                        std::thread::yield_now();
                    }
                    thread.store(own_tid() as u64, Ordering::SeqCst);
                    event.wait_for(LIMIT).unwrap();
                    thread.store(0, Ordering::SeqCst);
                    returned.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for pulse in 0..PULSES {
            until_all_sleep(&threads, kind);
            event.set().unwrap();
            event.clear().unwrap();
            until("all to have gone on", || (returned.load(Ordering::SeqCst) == WAITERS * (pulse + 1)).then_some(()));
            round.store(pulse + 1, Ordering::SeqCst);
        }
    });
    assert!(!event.is_set());
}

/// The one who takes clears first, and then looks; the one who puts sets last.
#[test]
fn nothing_that_was_put_is_left_when_the_event_is_cleared_first() {
    kinds().for_each(nothing_that_was_put_is_left_when_the_event_is_cleared_first_of);
}

fn nothing_that_was_put_is_left_when_the_event_is_cleared_first_of(kind: LockKind) {
    const ALL: u64 = if cfg!(debug_assertions) { 50_000 } else { 500_000 };
    let name = Scratch::new("bell");
    let event = create(&name, kind);
    let put = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ALL {
                    put.fetch_add(1, Ordering::Relaxed);
                    event.set().unwrap();
                }
            });
        }
        let mut taken = 0;
        while taken < 2 * ALL {
            event.wait_for(LIMIT).expect("something was put, and nobody told");
            event.clear().unwrap();
            taken += put.swap(0, Ordering::Relaxed);
        }
    });
}

#[test]
fn showing_it_only_looks() {
    let name = Scratch::new("shown");
    let event = SharedEvent::create(&name).unwrap();
    assert_eq!(format!("{event:?}"), format!("SharedEvent {{ name: {:?}, set: false }}", &*name));
    event.set().unwrap();
    assert_eq!(format!("{event:?}"), format!("SharedEvent {{ name: {:?}, set: true }}", &*name));
    assert_eq!(word_of(&name), [S, 1]);
}

#[test]
fn what_is_told_from_outside() {
    let name = Scratch::new("info");
    let event = SharedEvent::create(&name).unwrap();
    let info = event.info().unwrap();
    assert_eq!((info.kind(), info.type_name(), info.element_size(), info.length()), ("SharedEvent", "()", 0, 0));
    assert_eq!((info.bytes(), info.attached(), info.commits()), (640, 1, None));
    assert_eq!((info.is_set(), info.has_poison(), info.is_poisoned()), (Some(false), false, false));
    assert!(info.to_string().contains("SharedEvent, 640 bytes") && info.to_string().ends_with(", not set"), "{info}");
    event.set().unwrap();
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!((info.is_set(), info.holder_thread(), info.holder_process()), (Some(true), None, None));
    assert!(info.to_string().ends_with(", set") && format!("{info:?}").contains("is_set: Some(true)"), "{info:?}");
    let of_lock = Scratch::new("info-lock");
    assert_eq!(SharedLock::create(&of_lock).unwrap().info().unwrap().is_set(), None);
}

#[test]
fn an_event_is_no_lock_and_a_lock_no_event() {
    let (of_event, of_lock) = (Scratch::new("event"), Scratch::new("lock"));
    let _event = SharedEvent::create(&of_event).unwrap();
    let _lock = SharedLock::create(&of_lock).unwrap();
    assert_error!(SharedLock::open(&of_event), TypeMismatch, &of_event, ["expected SharedLock", "found SharedEvent"]);
    assert_error!(SharedEvent::open(&of_lock), TypeMismatch, &of_lock, ["expected SharedEvent", "found SharedLock"]);
    assert_error!(SharedEvent::create(&of_event), AlreadyExists, &of_event, [""]);
    let tagged = SharedEvent::options().type_tag("acme.Go/1");
    assert_error!(tagged.open(&of_event), TypeMismatch, &of_event, ["type_tag \"acme.Go/1\"", "without a type_tag"]);
}

#[test]
fn there_is_none_in_a_mutex_of_the_c_library() {
    let name = Scratch::new("os-mutex");
    let options = SharedEvent::options().lock_kind(LockKind::OsMutex);
    let words = ["no SharedEvent with LockKind::OsMutex", "state another kind, or none"];
    assert_error!(options.create(&name), Lock, &name, words);
    assert_error!(options.open_or_create(&name), Lock, &name, words);
    assert!(!exists(&name));
    assert_error!(options.open(&name), NotFound, &name, [""]);
    let _event = SharedEvent::create(&name).unwrap();
    let default = format!("LockKind::{:?}", LockKind::default());
    let both = ["LockKind::OsMutex", &default];
    assert_error!(options.open_or_create(&name), OptionMismatch, &name, both);
    assert_error!(options.open(&name), OptionMismatch, &name, both);
}

#[test]
fn a_header_that_says_what_cannot_be_is_damaged() {
    for (at, bytes, word) in [
        (52, [3u32, 1], "lock kind OsMutex for a SharedEvent"),
        (56, [5, 2], "a SharedEvent that is not to be poisoned"),
        (80, [1, 0], "1 elements of 0 bytes for a Event"),
        (576, [1, 0], "a wait line of zeros"),
    ] {
        let name = Scratch::new("damaged");
        drop(SharedEvent::options().persistent(true).create(&name).unwrap());
        let file = std::fs::File::options().write(true).open(path(&name)).unwrap();
        file.write_all_at(&bytes[0].to_ne_bytes(), at).unwrap();
        if at == 52 {
            file.write_all_at(&1u32.to_ne_bytes(), 260).unwrap(); // glibc's, or so it says
        }
        let error = SharedEvent::open(&name).unwrap_err();
        assert!(matches!(error, Error::NotASegment { .. } | Error::UnsupportedFormat { .. }), "{error:?}");
        crate::support::check(&error, &name, &[word]);
        remove(&name).unwrap();
    }
}

/// Whatever somebody has written there: nobody hangs who must not, nobody runs in circles, and nobody is taken for a holder.
#[test]
fn a_word_that_nobody_of_ours_has_written_does_no_harm() {
    for low in [7, W | 7, S | 7, W | S | 7, S - 1, u32::MAX] {
        for high in [0, 1, u32::MAX] {
            let name = Scratch::new("strange");
            let event = SharedEvent::options().persistent(true).create(&name).unwrap();
            let file = std::fs::File::options().write(true).open(path(&name)).unwrap();
            file.write_all_at(&low.to_ne_bytes(), WORD).unwrap();
            file.write_all_at(&high.to_ne_bytes(), WORD + 4).unwrap();
            assert_eq!(event.is_set(), low & S != 0);
            let info = event.info().unwrap();
            assert_eq!((info.is_set(), info.holder_thread()), (Some(low & S != 0), None));
            assert_eq!(event.wait_for(Duration::from_millis(1)).is_ok(), low & S != 0);
            // Its users have all gone, and it is taken over.
            drop(event);
            let event = SharedEvent::open(&name).unwrap();
            assert_eq!(event.is_set(), low & S != 0);
            event.set().unwrap();
            event.wait().unwrap();
            event.clear().unwrap();
            assert!(!event.is_set() && event.wait_for(Duration::from_millis(1)).is_err());
            drop(event);
            remove(&name).unwrap();
        }
    }
}

#[test]
fn it_stays_set_when_its_setter_is_killed_and_when_all_have_left() {
    let name = Scratch::new("stays");
    let event = SharedEvent::options().persistent(true).create(&name).unwrap();
    let setter = spawn("sets and is killed", &name);
    setter.expect("has set");
    setter.kill();
    assert!(event.is_set());
    event.wait().unwrap();
    drop(event);
    let event = SharedEvent::open(&name).unwrap();
    event.wait().unwrap();
    assert_eq!(word_of(&name), [S, 1]);
    event.clear().unwrap();
    drop(event);
    assert!(!SharedEvent::open(&name).unwrap().is_set());
    remove(&name).unwrap();
}

#[test]
fn it_goes_with_its_last_user() {
    let name = Scratch::new("goes");
    let event = SharedEvent::create(&name).unwrap();
    event.set().unwrap();
    drop(event);
    assert!(!exists(&name));
    assert!(!SharedEvent::open_or_create(&name).unwrap().is_set(), "another one");
}

/// The first who has died waits no more; the others are told all the same.
#[test]
fn the_killed_who_slept_are_in_nobodys_way() {
    kinds().for_each(the_killed_who_slept_are_in_nobodys_way_of);
}

fn the_killed_who_slept_are_in_nobodys_way_of(kind: LockKind) {
    let name = Scratch::new("killed");
    let event = create(&name, kind);
    for killed in [1, 3] {
        let waiters: Vec<_> = (0..4).map(|_| spawn("waits", &name)).collect();
        for waiter in &waiters {
            waiter.expect("waits");
            until_it_waits(waiter);
        }
        let mut waiters = waiters.into_iter();
        waiters.by_ref().take(killed).for_each(crate::support::Role::kill);
        event.set().unwrap();
        for mut waiter in waiters {
            waiter.expect("goes on");
            waiter.go_on();
            waiter.join();
        }
        event.clear().unwrap();
    }
    // And if all are.
    let waiter = spawn("waits", &name);
    waiter.expect("waits");
    until_it_waits(&waiter);
    waiter.kill();
    assert_eq!(word_of(&name)[0], W);
    event.set().unwrap();
    assert_eq!(word_of(&name)[0], S);
}

/// As if the setter had died before he had woken anybody, and the kernel had told nobody.
#[test]
fn who_sleeps_looks_by_himself_in_the_end() {
    for kind in kinds() {
        let name = Scratch::new("untold");
        let event = create(&name, kind);
        let waiters: Vec<_> = (0..3).map(|_| spawn("waits", &name)).collect();
        for waiter in &waiters {
            waiter.expect("waits");
            until_it_waits(waiter);
        }
        let file = std::fs::File::options().write(true).open(path(&name)).unwrap();
        file.write_all_at(&(u64::from(S | W) | 1 << 32).to_ne_bytes(), WORD).unwrap();
        for mut waiter in waiters {
            waiter.expect("goes on");
            waiter.go_on();
            waiter.join();
        }
        assert_eq!(word_of(&name), [S, 1]);
        assert!(event.is_set());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn one_who_is_stopped_asleep_looks_when_he_goes_on() {
    let name = Scratch::new("stopped");
    let event = SharedEvent::create(&name).unwrap();
    let mut waiter = spawn("waits", &name);
    waiter.expect("waits");
    until_it_waits(&waiter);
    waiter.signal(libc::SIGSTOP);
    until("the stop", || crate::deaths::has_state(&waiter, 'T').then_some(()));
    event.set().unwrap();
    event.clear().unwrap();
    waiter.signal(libc::SIGCONT);
    waiter.expect("goes on");
    waiter.go_on();
    waiter.join();
}

#[test]
fn many_set_and_clear_at_once_and_nobody_is_left() {
    kinds().for_each(many_set_and_clear_at_once_and_nobody_is_left_of);
}

fn many_set_and_clear_at_once_and_nobody_is_left_of(kind: LockKind) {
    within_limit("the end of all", move || {
        const ROUNDS: usize = if cfg!(debug_assertions) { 3_000 } else { 100_000 };
        let name = Scratch::new("many");
        let event = create(&name, kind);
        std::thread::scope(|scope| {
            let busy: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for round in 0..ROUNDS {
                            event.set().unwrap();
                            if round % 3 == 0 {
                                event.clear().unwrap();
                            }
                        }
                    })
                })
                .collect();
            let waiters: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..ROUNDS).for_each(|_| event.wait().unwrap()))).collect();
            busy.into_iter().for_each(|thread| thread.join().unwrap());
            event.set().unwrap();
            waiters.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(word_of(&name)[0], S);
    });
}
