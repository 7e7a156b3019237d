//! An event that two processes set for each other, on one core and on two; and what it costs when nobody waits.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use raw_sync::Timeout;
use raw_sync::events::{Event, EventImpl, EventInit, EventState};
use robust_shm::{SharedEvent, unique_name};

use crate::effort::Effort;
use crate::report::{Limit, Part, Row};
use crate::uncontended::{Field, rows};
use crate::{foreign, sys, team};

const ROUNDS: usize = 9;
const MS: u64 = 100;

const LOOK: &str = "look at an event that is set";
const SET: &str = "set and clear, nobody waits";
const LOAD: &str = "floor: an atomic load";
const TWO: &str = "floor: two compare-exchanges";
pub const FUTEX: &str = "bare futex";
pub const BOUNDED: &str = "bare futex, no sleep longer than 3 s";
const EVENTFD: &str = "eventfd";
const RAW: &str = "raw_sync Event";
const PYTHON: &str = "Python multiprocessing.Event";

/// Something that one process sets, and another waits for and clears.
pub trait Signal {
    const WHO: &'static str;

    fn create() -> Self;
    fn set(&self);
    fn wait_and_clear(&self);
}

impl Signal for SharedEvent {
    const WHO: &'static str = "SharedEvent";

    fn create() -> Self {
        Self::create(&unique_name("peers")).expect("a new name")
    }

    #[inline]
    fn set(&self) {
        Self::set(self).expect("a thread that can lock");
    }

    #[inline]
    fn wait_and_clear(&self) {
        self.wait().expect("a thread that can lock");
        self.clear().expect("a thread that can lock");
    }
}

/// The least that can be: a word, and two system calls. `BOUNDS`: and a deadline for each sleep, as one needs who is to
/// find by himself what nobody tells him.
pub struct BareFutex<const BOUNDS: bool>(&'static AtomicU32);

impl<const BOUNDS: bool> BareFutex<BOUNDS> {
    const LONGEST_S: i64 = 3;

    fn wake(&self) {
        // SAFETY: a live, aligned word.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
    }

    fn wait(&self) {
        let mut end = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mut until = std::ptr::null();
        if BOUNDS {
            // SAFETY: room for a time.
            unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut end) };
            end.tv_sec += Self::LONGEST_S;
            until = &raw const end;
        }
        let (word, operation, all) = (self.0.as_ptr(), libc::FUTEX_WAIT_BITSET, libc::FUTEX_BITSET_MATCH_ANY);
        // SAFETY: a live, aligned word; no time, or one that outlives the call; the second word is not used.
        unsafe { libc::syscall(libc::SYS_futex, word, operation, 0, until, std::ptr::null::<u32>(), all) };
    }
}

impl<const BOUNDS: bool> Signal for BareFutex<BOUNDS> {
    const WHO: &'static str = if BOUNDS { BOUNDED } else { FUTEX };

    fn create() -> Self {
        // SAFETY: a new mapping, zero, and never unmapped.
        Self(unsafe { sys::map(size_of::<AtomicU32>()).cast().as_ref() })
    }

    #[inline]
    fn set(&self) {
        self.0.store(1, Ordering::Release);
        self.wake();
    }

    #[inline]
    fn wait_and_clear(&self) {
        while self.0.load(Ordering::Acquire) == 0 {
            self.wait();
        }
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Reading it clears it.
struct EventFd(libc::c_int);

impl Signal for EventFd {
    const WHO: &'static str = EVENTFD;

    fn create() -> Self {
        // SAFETY: integers.
        let descriptor = unsafe { libc::eventfd(0, 0) };
        assert!(descriptor >= 0);
        Self(descriptor)
    }

    #[inline]
    fn set(&self) {
        let one = 1u64;
        // SAFETY: eight bytes.
        let written = unsafe { libc::write(self.0, (&raw const one).cast(), 8) };
        assert_eq!(written, 8);
    }

    #[inline]
    fn wait_and_clear(&self) {
        let mut count = 0u64;
        // SAFETY: room for eight bytes.
        let read = unsafe { libc::read(self.0, (&raw mut count).cast(), 8) };
        assert_eq!(read, 8);
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: its own.
        unsafe { libc::close(self.0) };
    }
}

struct RawEvent(Box<dyn EventImpl>);

impl Signal for RawEvent {
    const WHO: &'static str = RAW;

    fn create() -> Self {
        let room = sys::map(4096);
        // SAFETY: more than enough, zero, and never unmapped.
        let (event, used) = unsafe { Event::new(room.as_ptr(), false) }.expect("a new event");
        assert!(used <= 4096);
        Self(event)
    }

    #[inline]
    fn set(&self) {
        self.0.set(EventState::Signaled).expect("an event");
    }

    #[inline]
    fn wait_and_clear(&self) {
        self.0.wait(Timeout::Infinite).expect("an event");
        self.0.set(EventState::Clear).expect("an event");
    }
}

pub fn measure(effort: Effort) -> Part {
    let mut part = Part { name: "events", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    for cores in [2, 1].into_iter().filter(|cores| *cores <= sys::cores()) {
        let case = format!("to and fro, {cores} core{}", if cores == 1 { "" } else { "s" });
        if effort.wants(&case) {
            part.rows.extend(to_and_fro(&case, cores, effort));
            part.rows.extend(foreign::python_event(&case, cores, effort));
            bars(&mut part, &case, cores);
        }
    }
    quiet(&mut part, effort);
    part
}

fn how(effort: Effort) -> String {
    let (rounds, ms) = (effort.rounds(ROUNDS), effort.ms(MS));
    format!(
        "{rounds} rounds over all contenders, {ms} ms each; two processes, pinned to one core each or to the same one: one \
         sets an event, the other waits for it, clears it and sets a second one; time of one hand-over. What nobody waits \
         for: processor time of one process"
    )
}

fn bars(part: &mut Part, case: &str, cores: usize) {
    part.bar(case, SharedEvent::WHO, FUTEX, Limit::AtMost(if cores == 1 { 1.10 } else { 1.15 }));
    part.bar(case, SharedEvent::WHO, EVENTFD, Limit::AtMost(1.15));
    part.bar(case, SharedEvent::WHO, RAW, Limit::AtMost(1.0));
    part.bar(case, SharedEvent::WHO, PYTHON, Limit::AtMost(0.1));
}

pub type Play = fn(usize, u64) -> f64;

fn to_and_fro(case: &str, cores: usize, effort: Effort) -> Vec<Row> {
    let contenders: [(&str, Play); 5] = [
        (SharedEvent::WHO, play::<SharedEvent>),
        (FUTEX, play::<BareFutex<false>>),
        (BOUNDED, play::<BareFutex<true>>),
        (EVENTFD, play::<EventFd>),
        (RAW, play::<RawEvent>),
    ];
    to_and_fro_of(case, cores, effort, &contenders)
}

pub fn to_and_fro_of(case: &str, cores: usize, effort: Effort, contenders: &[(&str, Play)]) -> Vec<Row> {
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, (_, play)) in contenders.iter().enumerate() {
            rounds[which].push(play(cores, effort.ms(MS)));
        }
    }
    contenders.iter().zip(rounds).map(|((who, _), rounds)| Row::new(case, who, "ns", rounds)).collect()
}

/// Nanoseconds of one hand-over, on so many cores, measured for so many milliseconds.
pub fn play<S: Signal>(cores: usize, ms: u64) -> f64 {
    let signals = [S::create(), S::create()];
    let outcome = team::run(2, ms, |member| {
        sys::pin(member.which % cores);
        let [mine, other] = if member.which == 0 { [&signals[0], &signals[1]] } else { [&signals[1], &signals[0]] };
        if member.which == 0 {
            other.set();
        }
        member.repeat(|_| {
            mine_after(other, mine);
        });
        // The other one may be waiting for its last.
        mine.set();
    });
    outcome.seconds * 1e9 / outcome.total() as f64
}

#[inline]
fn mine_after<S: Signal>(theirs: &S, mine: &S) {
    theirs.wait_and_clear();
    mine.set();
}

fn quiet(part: &mut Part, effort: Effort) {
    let event = <SharedEvent as Signal>::create();
    let (eventfd, raw) = (EventFd::create(), RawEvent::create());
    let word = AtomicU64::new(1);
    let other = <SharedEvent as Signal>::create();
    event.set().expect("nobody waits");
    let mut field = Field(Vec::new());
    field.add(LOOK, "SharedEvent::is_set", || _ = black_box(black_box(&event).is_set()));
    field.add(LOOK, "SharedEvent::wait", || black_box(&event).wait().expect("it is set"));
    field.add(LOOK, LOAD, || _ = black_box(black_box(&word).load(Ordering::Acquire)));
    field.add(SET, SharedEvent::WHO, || {
        black_box(&other).set().expect("nobody waits");
        black_box(&other).clear().expect("nobody waits");
    });
    field.add(SET, TWO, || {
        let word = black_box(&word);
        let _ = word.compare_exchange(1, 2, Ordering::Release, Ordering::Relaxed);
        let _ = word.compare_exchange(2, 1, Ordering::AcqRel, Ordering::Relaxed);
    });
    field.add(SET, EVENTFD, || {
        black_box(&eventfd).set();
        black_box(&eventfd).wait_and_clear();
    });
    field.add(SET, RAW, || {
        black_box(&raw).set();
        black_box(&raw).wait_and_clear();
    });
    field.0.retain(|contender| effort.wants(contender.case));
    sys::pin(1);
    part.rows.extend(rows(field, effort));
    sys::unpin();
    part.bar(LOOK, "SharedEvent::is_set", LOAD, Limit::AtMost(2.0));
    part.bar(LOOK, "SharedEvent::wait", LOAD, Limit::AtMost(3.0));
    part.bar(SET, SharedEvent::WHO, TWO, Limit::AtMost(1.75));
    part.bar(SET, SharedEvent::WHO, EVENTFD, Limit::AtMost(0.1));
}
