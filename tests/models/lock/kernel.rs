//! The kernel's part: futexes, the end of a thread, and time.
//!
//! `futex(2)` promises that the comparison and the falling asleep are one step, and the kernel's source (kernel/futex)
//! that a waiter's comparison comes after a full barrier, and a waker's look at the queue, too; who is woken sees what
//! the waker has done. A dead thread's list is walked as `exit_robust_list` does it: what is listed, then what is
//! pending; a pending word without an owner gets a wake-up, in case this thread had been given one.

use std::sync::atomic::Ordering;

use crate::event;
use crate::hashes::mixed;
use crate::memory::View;
use crate::permits;
use crate::run::{Run, State, block, step, with};
use crate::stubs::Lines;
use crate::successor;
use crate::waits;
use crate::world::{self, HEIR, LOCKER, OWNER_DIED, TID, WAITERS};

/// A thread that sleeps on a lock's word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sleeper {
    thread: usize,
    line: usize,
    /// At the gate, and not on the lock's word.
    at_gate: bool,
    /// On so many lines at once: a bit for each.
    many: u8,
    class: u32,
    until: u64,
    expected: u32,
    since: u64,
}

/// The longest that a free lock is kept.
const KEPT: u64 = 1_000_000;
/// The longest that a successor sleeps at once.
const NAP: u64 = 200_000;
/// The longest that a waiter waits before it looks at a death again.
const DOUBT: u64 = 2_000_000;
/// The longest that one sleeps who could miss a wake-up.
const BEAT: u64 = 100_000_000;
/// The longest that passes before somebody looks for a death, of which nobody is told: while nothing is lost, and else.
const OFTEN: u64 = 2_000_000;
const SELDOM: u64 = 128_000_000;

impl Sleeper {
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    pub(crate) fn hash(&self) -> u64 {
        let place = (self.line as u64) << 1 | u64::from(self.at_gate) | u64::from(self.many) << 32;
        let place = mixed(self.thread as u64, place);
        mixed(mixed(place, u64::from(self.class) << 32 | u64::from(self.expected)), self.until)
    }

    /// Does it sleep on a free word, and look again by itself?
    fn is_kept_away(&self) -> bool {
        let most = if self.expected & OWNER_DIED == 0 { KEPT } else { DOUBT };
        self.is_locker() && self.expected & TID == 0 && self.until <= self.since + most
    }

    /// Does it sleep for a moment only, whatever the word says?
    pub(crate) fn naps(&self) -> bool {
        self.is_locker() && self.until <= self.since + NAP
    }

    pub(crate) fn end(&self) -> u64 {
        self.until
    }

    /// Does it look again soon?
    pub(crate) fn ends_soon(&self, clock: u64) -> bool {
        self.until <= clock.saturating_add(DOUBT)
    }

    /// Does it sleep for the lock?
    pub(crate) fn is_locker(&self) -> bool {
        self.class & LOCKER != 0
    }

    fn is_on(&self, line: usize, classes: u32) -> bool {
        let is_there = if self.many == 0 { self.line == line && !self.at_gate } else { self.many >> line & 1 != 0 };
        is_there && self.class & classes != 0
    }
}

/// Was the sleep ended by a wake-up?
pub(crate) fn wait(word: usize, expected: u32, class: u32, until: u64) -> bool {
    step();
    let sleeps = with(|run| {
        run.fence(Ordering::SeqCst);
        let place = run.place(word).expect("a lock's word, or a gate");
        let at_gate = !run.is_word(place);
        let found = run.last(place).value as u32;
        let newest = run.places[place].len() - 1;
        let is_over = until <= run.clock;
        let me = run.me();
        me.view.0[place] = newest as u8;
        let sleeps = found == expected && !is_over;
        me.learns(u64::from(sleeps));
        if sleeps {
            let thread = run.current;
            let line = if at_gate { 0 } else { place / Run::PLACES };
            if run.ghost.deadline[thread].is_some_and(|deadline| until > deadline) {
                run.fail("LATE: asleep until after its own deadline".to_owned());
            }
            if run.ghost.readers.tries[thread] {
                run.fail("LATE: a try sleeps".to_owned());
            }
            let since = run.clock;
            run.sleepers.push(Sleeper { thread, line, at_gate, many: 0, class, until, expected, since });
            let sleeps_as_heir = class & HEIR != 0 && class != u32::MAX;
            run.ghost.waits_as_heir[thread] = sleeps_as_heir && run.is_heir(thread, line);
        }
        run.say(|run| {
            let expected = run.shown(place, u64::from(expected));
            if sleeps {
                format!("sleeps on {expected} in class {class}")
            } else {
                format!("does not sleep on {expected}")
            }
        });
        sleeps
    });
    with(|run| run.me().asks = run.world.asks);
    if sleeps {
        with(|run| run.me().was_woken = false);
        block();
        with(|run| {
            let deadline = run.ghost.deadline[run.current];
            let me = run.me();
            me.has_slept = true;
            me.awake_at = None;
            if me.seeks {
                me.looks_again(deadline);
            } else {
                me.learns(u64::from(me.was_woken));
            }
        });
    }
    sleeps && with(|run| run.me().was_woken)
}

/// Sleeps on a word that nobody else knows: time passes.
pub(crate) fn sleep_by_the_clock(until: u64) {
    step();
    with(|run| {
        run.clock = run.clock.max(until);
        run.me().has_slept = true;
        if run.ghost.readers.tries[run.current] {
            run.fail("LATE: a try sleeps".to_owned());
        }
        run.say(|_| "sleeps by the clock".to_owned());
    });
}

/// Who slept on many words stays in the queues of all but these until it runs.
fn linger(run: &mut Run, mut sleeper: Sleeper, woken_on: u8) {
    sleeper.many &= !woken_on;
    if sleeper.many != 0 {
        run.lingerers.push(sleeper);
    }
}

/// Sleeps on the first line's word, while that is 0, and on all of these at once. Was it woken?
pub(crate) fn wait_for_many(words: &[(usize, u32)], until: u64) -> bool {
    step();
    let sleeps = with(|run| {
        run.fence(Ordering::SeqCst);
        let mut sleeps = until > run.clock;
        for (word, expected) in words {
            let place = run.place(*word).expect("a permit");
            let newest = run.places[place].len() - 1;
            run.me().view.0[place] = newest as u8;
            sleeps &= run.last(place).value as u32 == *expected;
        }
        let thread = run.current;
        if run.ghost.deadline[thread].is_some_and(|deadline| until > deadline) || run.ghost.readers.tries[thread] {
            run.fail("LATE: asleep until after its own deadline".to_owned());
        }
        let asks = run.world.asks;
        let me = run.me();
        me.learns(u64::from(sleeps));
        (me.has_slept, me.asks, me.was_woken) = (true, asks, false);
        if sleeps {
            let many = (1 << run.world.lines) - 1;
            run.ghost.waits_as_heir[thread] = run.is_heir(thread, 0);
            let since = run.clock;
            let class = u32::MAX;
            run.sleepers.push(Sleeper { thread, line: 0, at_gate: false, many, class, until, expected: 0, since });
        }
        run.say(|_| if sleeps { "sleeps on all" } else { "does not sleep" }.to_owned());
        sleeps
    });
    if !sleeps {
        return false;
    }
    block();
    // It may be killed before it has left all queues.
    crate::run::private_step();
    with(|run| {
        let thread = run.current;
        run.lingerers.retain(|sleeper| sleeper.thread != thread);
        let me = run.me();
        me.awake_at = None;
        me.learns(u64::from(me.was_woken));
        me.was_woken
    })
}

pub(crate) fn wake(word: usize, classes: u32) -> bool {
    step();
    with(|run| {
        run.fence(Ordering::SeqCst);
        let place = run.place(word).expect("a lock's word, or a ring");
        let (line, is_word) = (place / Run::PLACES, run.is_word(place));
        let mut matching = [0; 2 * Lines::THREADS];
        let mut count = 0;
        for (i, sleeper) in run.sleepers.iter().chain(&run.lingerers).enumerate() {
            if if is_word { sleeper.is_on(line, classes) } else { sleeper.at_gate } {
                matching[count] = i;
                count += 1;
            }
        }
        run.me().learns(u64::from(count > 0));
        if count == 0 {
            run.say(|_| format!("wakes nobody of {classes:#x}"));
            return false;
        }
        let chosen = matching[run.choose(count)];
        let sleepers = run.sleepers.len();
        if chosen >= sleepers {
            let lingerer = &mut run.lingerers[chosen - sleepers];
            lingerer.many &= !(1 << line);
            let thread = lingerer.thread;
            if lingerer.many == 0 {
                run.lingerers.remove(chosen - sleepers);
            }
            run.threads[thread].was_woken = true;
            run.say(|_| format!("wakes T{}, which was awake", thread + 1));
            return true;
        }
        let sleeper = run.sleepers.remove(chosen);
        let woken = sleeper.thread;
        linger(run, sleeper, 1 << line);
        run.say(|_| format!("wakes T{}", woken + 1));
        let view = run.me().view;
        run.threads[woken].view.join(&view);
        run.threads[woken].state = State::Ready;
        run.threads[woken].was_woken = true;
        run.ghost.is_lossy |= run.threads[woken].is_stopped;
        true
    })
}

pub(crate) fn wake_all(word: usize) {
    wake_all_of(word, u32::MAX);
}

pub(crate) fn wake_all_of(word: usize, classes: u32) {
    step();
    with(|run| {
        run.fence(Ordering::SeqCst);
        let line = run.place(word).expect("a line's word") / Run::PLACES;
        let view = run.me().view;
        let (woken, others): (Vec<_>, _) = run.sleepers.iter().partition(|sleeper| sleeper.is_on(line, classes));
        run.sleepers = others;
        run.say(|_| format!("wakes {}", woken.len()));
        for sleeper in woken {
            let thread = &mut run.threads[sleeper.thread];
            thread.view.join(&view);
            thread.state = State::Ready;
            thread.was_woken = true;
        }
    });
}

/// Moves all from the gate to the lock's word, while the gate is as expected.
pub(crate) fn move_all(gate: usize, expected: u32, word: usize) {
    step();
    with(|run| {
        run.fence(Ordering::SeqCst);
        let line = run.place(word).expect("a lock's word") / Run::PLACES;
        let place = run.place(gate).expect("a gate");
        if run.last(place).value as u32 != expected {
            run.fail("the gate was counted by one who does not hold the lock".to_owned());
        }
        run.say(|_| "moves all from the gate".to_owned());
        for sleeper in run.sleepers.iter_mut().filter(|sleeper| sleeper.at_gate) {
            (sleeper.at_gate, sleeper.line) = (false, line);
        }
    });
}

impl Run {
    /// Does the thread, which holds the lock, sleep until a reader leaves?
    pub(crate) fn waits_for_readers(&self, thread: usize) -> bool {
        self.world.readers > 0 && self.sleepers.iter().any(|sleeper| sleeper.thread == thread && sleeper.line > 0)
    }
}

impl Run {
    /// Does the thread look again by itself?
    fn sleeps_for_a_moment(&self, thread: usize) -> bool {
        let is_short = |sleeper: &Sleeper| sleeper.thread == thread && sleeper.until <= sleeper.since + KEPT;
        self.world.reads_twice && self.sleepers.iter().any(is_short)
    }
}

fn end_sleep(run: &mut Run, sleeper: usize, why: &str) -> Sleeper {
    let sleeper = run.sleepers.remove(sleeper);
    run.threads[sleeper.thread].was_woken = false;
    linger(run, sleeper, 0);
    run.threads[sleeper.thread].state = State::Ready;
    run.ghost.waits_as_heir[sleeper.thread] = false;
    event::looks_by_itself(run, sleeper.thread);
    run.say(|_| format!("-- T{}: {why}", sleeper.thread + 1));
    sleeper
}

pub(crate) fn time_out(run: &mut Run, sleeper: usize) {
    let sleeper = end_sleep(run, sleeper, "its time is up");
    run.clock = run.clock.max(sleeper.until);
}

pub(crate) fn interrupt(run: &mut Run, sleeper: usize) {
    let sleeper = end_sleep(run, sleeper, "is interrupted by a signal");
    if run.world.libc {
        // The handler runs when the thread has left all queues.
        run.lingerers.retain(|lingerer| lingerer.thread != sleeper.thread);
        run.memory.heads[sleeper.thread][2] = 0;
    }
}

pub(crate) fn kill_sleeper(run: &mut Run, sleeper: usize) {
    let sleeper = end_sleep(run, sleeper, "DIES asleep");
    run.ghost.is_lossy |= run.world.file && run.watcher == Some(sleeper.thread);
    world::die(run, sleeper.thread, true);
}

/// It keeps what it has: its place in the queue, and the byte of the watcher. Its time is never up.
pub(crate) fn stop_sleeper(run: &mut Run, sleeper: usize) {
    let sleeper = &mut run.sleepers[sleeper];
    sleeper.until = u64::MAX;
    let Sleeper { thread, line, .. } = *sleeper;
    run.threads[thread].is_stopped = true;
    run.ghost.is_lossy |= run.world.file || run.last(line * Run::PLACES).value as u32 & TID == 0;
    if run.world.stops {
        run.clock += successor::RELIED_ON;
    }
    run.say(|_| format!("-- T{}: is STOPPED asleep", thread + 1));
}

/// All who are alive sleep: is that right? Then the first timer ends a sleep; `false`: they may sleep for ever.
pub(crate) fn nobody_can_go_on(run: &mut Run) -> bool {
    if run.world.setters == 0 {
        return nobody_can_lock(run);
    }
    let ends_soon = |i: &usize| run.ghost.deadline[run.sleepers[*i].thread].is_some();
    let is_due = |i: &usize| {
        let thread = run.sleepers[*i].thread;
        event::is_due(run, thread) && !run.threads[thread].is_stopped
    };
    let overdue = (0..run.sleepers.len()).find(is_due);
    match overdue {
        Some(_) if !run.ghost.is_lossy => {
            run.fail("LOST: asleep, and the event is or was set".to_owned());
            false
        }
        Some(sleeper) => {
            time_out(run, sleeper); // the heartbeat
            true
        }
        None => match (0..run.sleepers.len()).filter(ends_soon).min_by_key(|i| run.sleepers[*i].until) {
            Some(sleeper) => {
                time_out(run, sleeper);
                true
            }
            None => false,
        },
    }
}

fn nobody_can_lock(run: &mut Run) -> bool {
    if run.world.permits > 0 && !run.world.file {
        // A kill may cost those on the ring a beat.
        let beats = |i: &usize| run.world.rings && run.sleepers[*i].until <= run.sleepers[*i].since + BEAT;
        let next = (0..run.sleepers.len()).filter(beats).min_by_key(|i| run.sleepers[*i].until);
        let wrong = permits::wrong_sleeper(run);
        return match (wrong, next) {
            (Some(_), Some(sleeper)) if run.budget.deaths < run.world.budget.deaths => {
                time_out(run, sleeper);
                true
            }
            (Some(what), _) => {
                run.fail(what.to_owned());
                true
            }
            (None, _) => false,
        };
    }
    if run.world.file {
        somebody_looks(run);
        return true;
    }
    if run.world.waits() && !run.ghost.is_lossy {
        if let Some(what) = waits::wrong_sleeper(run) {
            run.fail(what);
            return false;
        }
        // Those who wait for nothing that comes may sleep for ever.
        if !run.sleepers.iter().any(Sleeper::is_locker) {
            return false;
        }
    }
    if let Some(sleeper) = successor::first_who_naps(run) {
        time_out(run, sleeper);
        return true;
    }
    // Where deaths go unnoticed, there is the heartbeat.
    let all = if run.ghost.is_lossy { 0 } else { run.sleepers.len() };
    for i in 0..all {
        let sleeper = run.sleepers[i];
        if !sleeper.is_locker() || run.threads[sleeper.thread].is_stopped {
            continue;
        }
        let word = run.last(sleeper.line * Run::PLACES).value;
        let names = |thread: &crate::run::Thread| thread.tid == word as u32 & TID && thread.slot == (word >> 32) as u32;
        if word as u32 & TID == 0 {
            let others = run.sleepers.iter().filter(|other| other.line == sleeper.line);
            if !others.clone().any(Sleeper::is_kept_away) {
                run.fail("LOST WAKE-UP: asleep, the lock free, and nobody will wake anybody".to_owned());
                return true;
            }
            let is_dead = word as u32 & OWNER_DIED != 0; // and kept for nobody
            if !is_dead && run.ghost.waits_as_heir[sleeper.thread] && run.is_heir(sleeper.thread, sleeper.line) {
                run.fail("STALL: the lock is free and kept, and the heir sleeps".to_owned());
                return true;
            }
        } else if let Some(holder) = (0..run.threads.len()).find(|i| names(&run.threads[*i]))
            && run.threads[holder].state == State::Asleep
        {
            // Of the two, the holder is the one to be asked about; and a reader who wants to read once more is told soon.
            if sleeper.line == 0 && run.waits_for_readers(holder) || sleeper.line > 0 && run.sleeps_for_a_moment(holder)
            {
                continue;
            }
            run.fail("DEADLOCK: the holder sleeps".to_owned());
            return true;
        } else if !run.world.unnoticed {
            run.fail("LOST: the holder is gone, and the lock was not handed over".to_owned());
            return true;
        }
    }
    let can_wake = |i: &usize| !run.threads[run.sleepers[*i].thread].is_stopped;
    let Some(first) = (0..run.sleepers.len()).filter(can_wake).min_by_key(|i| run.sleepers[*i].until) else {
        return false;
    };
    if run.world.waits() && run.ghost.beats == 0 {
        return false;
    }
    run.ghost.beats = run.ghost.beats.saturating_sub(u8::from(run.world.waits()));
    time_out(run, first);
    true
}

/// Where nobody is told of deaths: does somebody look soon? What is lost with one who dies is found by those who look seldom.
fn somebody_looks(run: &mut Run) {
    run.sleepers.retain(|sleeper| !run.threads[sleeper.thread].is_stopped);
    let Some(first) = (0..run.sleepers.len()).min_by_key(|i| run.sleepers[*i].until) else { return };
    let soonest = run.sleepers.iter().map(|sleeper| sleeper.until - sleeper.since).min().expect("as above");
    let most = if run.ghost.is_lossy { SELDOM } else { OFTEN };
    if soonest > most {
        run.fail(format!("SLOW: nobody looks for {} ms", soonest / 1_000_000));
        return;
    }
    let holders =
        |run: &Run, i: usize| run.names(0, i) && run.threads[i].state == State::Asleep && !run.waits_for_readers(i);
    if (0..run.threads.len()).any(|i| holders(run, i)) {
        run.fail("DEADLOCK: the holder sleeps".to_owned());
        return;
    }
    time_out(run, first);
}

/// A system call that tells whether a thread exists. "No" comes after all that it did.
pub(crate) fn thread_exists(tid: u32) -> bool {
    step();
    with(|run| {
        let here = run.me().namespace;
        let exists = !has_ended(run, |thread| thread.tid == tid && thread.namespace == here);
        run.say(|_| format!("asks for thread {tid}: {exists}"));
        exists
    })
}

/// Does nobody have this presence byte? "Yes" comes after all that its process did.
pub(crate) fn is_free(slot: u32) -> bool {
    step();
    with(|run| {
        let is_free = has_ended(run, |thread| thread.slot == slot);
        run.say(|_| format!("asks for slot {slot}: {}", if is_free { "free" } else { "taken" }));
        is_free
    })
}

/// Takes the byte of the watcher, if nobody has it.
pub(crate) fn try_watch() -> bool {
    step();
    with(|run| {
        let is_free = run.watcher.is_none();
        if is_free {
            run.watcher = Some(run.current);
        }
        run.me().learns(u64::from(is_free));
        run.say(|_| format!("wants to watch: {is_free}"));
        is_free
    })
}

pub(crate) fn stop_watching() {
    step();
    with(|run| {
        if run.watcher == Some(run.current) {
            run.watcher = None;
        }
        run.say(|_| "stops watching".to_owned());
    });
}

/// Have all these threads ended? If so, all that they did is seen.
fn has_ended(run: &mut Run, is_meant: impl Fn(&crate::run::Thread) -> bool) -> bool {
    let has_ended = !run.threads.iter().any(|thread| is_meant(thread) && thread.state != State::Gone);
    if has_ended {
        let mut last = View::default();
        for thread in run.threads.iter().filter(|thread| is_meant(thread)) {
            last.join(&thread.view);
        }
        run.me().view.join(&last);
    }
    run.me().learns(u64::from(has_ended));
    has_ended
}

/// The end of a thread of which the kernel does not walk the list.
pub(crate) fn vanish(thread: usize) {
    step();
    with(|run| {
        run.threads[thread].state = State::Gone;
        if run.watcher == Some(thread) {
            run.watcher = None;
        }
    });
}

/// The end of a thread.
pub(crate) fn exit_walk(thread: usize) {
    const PI: usize = 1;
    let head = with(|run| run.memory.heads[thread].as_ptr().addr());
    let pending = with(|run| run.word_at(head + 16)) & !PI;
    let mut entry = with(|run| run.word_at(head)) & !PI;
    let mut walked = 0;
    while entry != head {
        walked += 1;
        if walked > Lines::MOST {
            with(|run| run.fail("the robust list has no end".to_owned()));
            crate::run::stop();
        }
        let next = with(|run| run.word_at(entry)) & !PI;
        if entry != pending {
            handle_death(entry, false);
        }
        entry = next;
    }
    if pending != 0 {
        handle_death(pending, true);
    }
    if with(|run| run.world.several) {
        step(); // its files are closed later
    }
    with(|run| {
        run.say(|_| "is gone".to_owned());
        run.threads[thread].state = State::Gone;
        for line in 0..run.world.lines {
            if run.names(line, thread) {
                run.fail("a death was not handed over".to_owned());
            }
        }
        successor::check_gone(run, thread);
    });
}

fn handle_death(node: usize, pending: bool) {
    let word = node.wrapping_add_signed(Lines::FUTEX_OFFSET);
    step();
    let wakes = with(|run| {
        let is_futex = |place: &usize| run.is_word(*place) || run.is_successor(*place);
        let Some(place) = run.place(word).filter(is_futex) else {
            run.fail("the kernel finds no lock behind a link".to_owned());
            return false;
        };
        let tid = run.me().tid;
        let mark = |value: u64| {
            let (low, high) = (value as u32, value >> 32 << 32);
            (low & TID == tid).then_some(high | u64::from(low & WAITERS | OWNER_DIED))
        };
        match run.modify(place, mark, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(before) => {
                if run.is_successor(place) {
                    // The kernel's compare-exchange of a futex is a full barrier: what is pending is looked at behind it. Where it
                    // makes no difference, none is believed in.
                    run.fence(Ordering::SeqCst);
                }
                before as u32 & WAITERS != 0
            }
            Err(found) => pending && found as u32 & TID == 0,
        }
    });
    if wakes {
        wake(word, u32::MAX);
    }
}

/// A thread's regular end: the kernel walks its list, too, and must find nothing.
pub(crate) fn regular_end(thread: usize) {
    with(|run| {
        let head = &run.memory.heads[thread];
        let (address, [first, _, pending]) = (head.as_ptr().addr(), *head);
        if first != address || pending != 0 {
            run.fail("something is left in the robust list".to_owned());
        }
        run.threads[thread].state = State::Gone;
        world::forget(run, thread);
    });
}
