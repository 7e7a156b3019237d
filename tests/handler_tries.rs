//! A signal handler that tries everything there is, of every member of the family, while its thread is in the middle of
//! using the same: at the whim of a timer, tens of thousands of times. No try waits, nothing is torn, nothing is had by two,
//! and when all is over nothing is left.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/deaths.rs"]
mod deaths;
mod support;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use deaths::{handle, robust_list_is_empty};
use robust_shm::{
    LockError, LockKind, SharedArray, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore, SharedSlice, SharedValue,
};
use support::{Family, kind, member, play, spawn_of};

const TICKS: usize = if cfg!(debug_assertions) { 30_000 } else { 100_000 };
const PERMITS: usize = 2;

struct All {
    value: SharedValue<[u64; 4]>,
    array: SharedArray<u64, 4>,
    slice: SharedSlice<u64>,
    lock: SharedLock,
    rwlock: SharedRwLock,
    semaphore: SharedSemaphore,
    event: SharedEvent,
    /// Has somebody this permit, or the lock?
    taken: [AtomicBool; PERMITS],
    is_locked: AtomicBool,
    /// How often the handler has had something, by what it is.
    had: [AtomicUsize; WHAT],
}

/// What a handler can have.
const WHAT: usize = 7;
static ALL: OnceLock<All> = OnceLock::new();
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl All {
    fn new(family: &str) -> Self {
        let name = |which| member(family, which);
        Self {
            value: SharedValue::options().lock_kind(kind()).create(&name(0), [0; 4]).unwrap(),
            array: SharedArray::options().lock_kind(kind()).create(&name(1)).unwrap(),
            slice: SharedSlice::options().lock_kind(kind()).readers(1).create(&name(2), 4).unwrap(),
            lock: SharedLock::options().lock_kind(kind()).create(&name(3)).unwrap(),
            rwlock: SharedRwLock::options().lock_kind(kind()).create(&name(4)).unwrap(),
            semaphore: SharedSemaphore::options().lock_kind(kind()).create(&name(5), PERMITS).unwrap(),
            event: SharedEvent::options().lock_kind(kind()).create(&name(6)).unwrap(),
            taken: Default::default(),
            is_locked: AtomicBool::new(false),
            had: Default::default(),
        }
    }

    /// The steps of a thread that may be interrupted anywhere.
    fn use_all(&self) {
        self.value.update(|elements| advance(elements)).unwrap();
        assert_whole(&self.value.get());
        *self.value.lock().unwrap() = [0; 4];
        self.array.update(|elements| advance(elements)).unwrap();
        assert_whole(&*self.array.read().unwrap());
        advance(&mut self.slice.lock().unwrap());
        {
            let (one, other) = (self.slice.read().unwrap(), self.array.read().unwrap());
            assert_whole(&one);
            assert_whole(&*other);
        }
        drop(self.rwlock.read().unwrap());
        drop(self.rwlock.write().unwrap());
        self.lock.with(|| alone(&self.is_locked)).unwrap();
        let permits = [(); PERMITS].map(|()| self.semaphore.acquire().unwrap());
        permits.iter().for_each(|permit| self.taken[permit.index()].store(true, Relaxed));
        permits.iter().for_each(|permit| self.taken[permit.index()].store(false, Relaxed));
        drop(permits);
        self.event.set().unwrap();
        self.event.wait().unwrap();
        self.event.clear().unwrap();
        let _ = self.event.wait_for(Duration::from_micros(30));
        let seen = &mut self.value.commits();
        let _ = self.value.wait_newer_for(seen, Duration::from_micros(30));
        drop(self.lock.condvar().wait_for(self.lock.lock().unwrap(), Duration::from_micros(30)).unwrap());
        let guard = self.array.lock().unwrap();
        drop(self.array.condvar_at(1).wait_for(guard, Duration::from_micros(30)).unwrap());
    }

    fn try_all(&self) {
        let had: [bool; WHAT] = [
            had(self.value.try_lock(), |mut guard| advance(&mut *guard)),
            had(self.array.try_lock(), |mut guard| {
                advance(&mut *guard);
                self.array.condvar_at(1).notify_all(&guard);
            }),
            had(self.array.try_read(), |guard| assert_whole(&*guard)),
            had(self.slice.try_read(), |guard| assert_whole(&guard)),
            had(self.rwlock.try_write(), |guard| {
                assert!(self.rwlock.try_read().is_err());
                drop(guard);
                had(self.rwlock.try_read(), drop);
            }),
            had(self.lock.try_lock(), |guard| {
                alone(&self.is_locked);
                self.lock.condvar().notify_one(&guard);
            }),
            had(self.semaphore.try_acquire(), |permit| alone(&self.taken[permit.index()])),
        ];
        had.iter().zip(&self.had).filter(|(had, _)| **had).for_each(|(_, count)| _ = count.fetch_add(1, Relaxed));
        assert_whole(&self.value.get());
        // Not cleared: what it interrupts may be about to wait for it.
        self.event.set().unwrap();
        assert!(self.event.is_set());
    }
}

/// Is it had, in one way or another? A try says why not, and does not wait.
#[track_caller]
fn had<G>(tried: Result<G, LockError>, then: impl FnOnce(G)) -> bool {
    match tried {
        Ok(guard) => {
            then(guard);
            true
        }
        Err(LockError::WouldBlock { .. } | LockError::WouldDeadlock { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn alone(has_it: &AtomicBool) {
    assert!(!has_it.swap(true, Relaxed), "had by two");
    has_it.store(false, Relaxed);
}

/// Torn in between.
fn advance(elements: &mut [u64]) {
    assert_whole(elements);
    for element in elements {
        *element = element.wrapping_add(1);
        std::hint::black_box(element);
    }
}

#[track_caller]
fn assert_whole(elements: &[u64]) {
    assert!(elements.iter().all(|element| *element == elements[0]), "torn: {elements:?}");
}

extern "C" fn ticks(_signal: libc::c_int) {
    // SAFETY: the address of this thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    ALL.get().unwrap().try_all();
    COUNT.fetch_add(1, Relaxed);
    wind(TIMER.load(Relaxed));
    // SAFETY: as above.
    unsafe { *errno = before };
}

static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(std::ptr::null_mut());

/// It goes off once, soon. Not at an interval: where the handler takes longer than that, its thread would come to nothing else.
fn wind(timer: libc::timer_t) {
    let (soon, never) = (libc::timespec { tv_sec: 0, tv_nsec: 31_000 }, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    let once = libc::itimerspec { it_interval: never, it_value: soon };
    // SAFETY: a timer of ours; the time outlives the call.
    assert_eq!(unsafe { libc::timer_settime(timer, 0, &raw const once, std::ptr::null_mut()) }, 0);
}

/// Sends SIGALRM to this thread, which the handler has it do again.
fn start_timer() {
    // SAFETY: all-zero bytes are an event without a notification.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = libc::SIGALRM;
    event.sigev_notify_thread_id = support::own_tid();
    let mut timer = std::ptr::null_mut();
    // SAFETY: the event outlives the call, which writes the timer.
    assert_eq!(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) }, 0);
    TIMER.store(timer, Relaxed);
    wind(timer);
}

fn interrupted(family: &str) {
    let all = ALL.get_or_init(|| All::new(family));
    all.use_all(); // a thread's first lock may allocate: so not in the handler
    all.try_all();
    handle(libc::SIGALRM, ticks);
    start_timer();
    let mut is_interrupted = 0;
    while COUNT.load(Relaxed) < TICKS {
        all.use_all();
        is_interrupted += 1;
    }
    handle(libc::SIGALRM, nothing);
    assert!(is_interrupted > 0 && robust_list_is_empty());
    // Each was had, and each can be had now.
    let had: Vec<_> = all.had.iter().map(|count| count.load(Relaxed)).collect();
    assert!(had.iter().all(|count| *count > 0), "{had:?}");
    assert_eq!(all.semaphore.available(), PERMITS);
    all.use_all();
    assert!(!all.array.is_poisoned() && !all.slice.is_poisoned() && !all.lock.is_poisoned());
}

extern "C" fn nothing(_signal: libc::c_int) {}

#[test]
fn child() {
    play(&[("interrupted", interrupted)]);
}

#[test]
fn tries_in_a_handler_neither_wait_nor_tear_anything_of_what_they_interrupt() {
    for kind in [LockKind::Futex, LockKind::File].into_iter().filter(|kind| kind.is_available()) {
        let family = Family::new("handler-tries");
        spawn_of(kind, "interrupted", family.name()).join();
    }
}
