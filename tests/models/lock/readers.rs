//! Worlds in which some read side by side, and others write: the first line is the lock, those behind it are the readers' slots.
//!
//! No writer beside anybody; what a writer wrote is seen by the next readers, and what readers do by the next writer. While the
//! data may be torn, the mask is empty, so that nobody reads them; what a writer's death has torn is poisoned, and nothing
//! else poisons. Who only tries does not sleep; and nobody is told that others are in his way when there are none: so the
//! slots, and the lock, come back from the dead.

use crate::beside;
use crate::hashes::mixed;
use crate::layout::{LockLine, ReaderLine};
use crate::memory::atomic::Ordering;
use crate::run::{Run, State, private_step, with};
use crate::stubs::Lines;
use crate::world::{How, OWNER_DIED, Outcome, Place, TID, begin_round, place, who};

/// A lock with readers side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) line: &'a ReaderLine,
    pub(crate) slots: &'a [LockLine],
}

/// How a thread reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// `None`: with the lock.
    pub(crate) slot: Option<usize>,
    /// Is the line linked alone?
    pub(crate) alone: bool,
}

/// What is true.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ghost {
    reads: [bool; Lines::THREADS],
    writes: [bool; Lines::THREADS],
    pub(crate) is_busy: [bool; Lines::THREADS],
    /// Nobody else was busy, or not yet quite dead, since the thread began.
    pub(crate) is_alone: [bool; Lines::THREADS],
    pub(crate) tries: [bool; Lines::THREADS],
    /// A writer died or panicked amid changes, and nobody has repaired them.
    may_be_poisoned: bool,
    holder_died: bool,
}

impl Ghost {
    pub(crate) fn hash(&self, hash: u64) -> u64 {
        let flags = [self.reads, self.writes, self.is_busy, self.is_alone];
        let flags = flags.as_flattened().iter().fold(0, |bits, flag| bits << 1 | u64::from(*flag));
        mixed(mixed(hash, flags), u64::from(self.may_be_poisoned) << 1 | u64::from(self.holder_died))
    }
}

/// The plain data: what the lock protects; behind that, what readers by each of the slots do, and those with the lock.
const DATA: usize = Lines::MOST;
const WITH_LOCK: usize = DATA + 3;

fn last_of(run: &Run, field: usize) -> u64 {
    run.last(field).value
}

fn poison(run: &Run) -> u64 {
    last_of(run, 3)
}

fn dirty(run: &Run) -> u64 {
    last_of(run, 4)
}

/// Something was written.
pub(crate) fn note_write(run: &mut Run) {
    let mask = last_of(run, run.reader_place());
    if mask != 0 && (dirty(run) != 0 || poison(run) != 0) {
        run.fail("OPEN: readers may come in, and the data may be torn".to_owned());
    }
    if poison(run) != 0 && !run.ghost.readers.may_be_poisoned {
        run.fail("POISON: and no writer died or panicked".to_owned());
    }
}

pub(crate) fn note_death(run: &mut Run, thread: usize) {
    let holds = run.ghost.owner[0] == Some(thread);
    let is_torn = holds && dirty(run) != 0;
    let ghost = &mut run.ghost.readers;
    ghost.holder_died |= holds;
    ghost.may_be_poisoned |= is_torn;
    (ghost.reads[thread], ghost.writes[thread], ghost.is_busy[thread]) = (false, false, false);
}

pub(crate) fn check_end(run: &mut Run) {
    let (word, drain) = (last_of(run, 0) as u32, last_of(run, run.reader_place() + 1));
    let is_free = word & (TID | OWNER_DIED) == 0;
    if is_free && drain != 0 && poison(run) == 0 && !run.ghost.readers.holder_died {
        run.fail("SHUT: the mask was not given back".to_owned());
    }
    let [first, second] = run.ghost.data[0];
    if first != second && poison(run) == 0 && (is_free || dirty(run) == 0) {
        run.fail("POISON: torn, and nobody will know".to_owned());
    }
}

pub(crate) fn body(thread: usize) {
    let world = with(|run| run.world);
    for round in 0..world.rounds {
        begin_round(thread, round);
        let how = with(|run| {
            run.me().seeks = false;
            let form = run.choose(if world.all_forms { 3 } else { 1 });
            let me = run.me();
            // What it remembers all along.
            me.round = round * 3 + form;
            me.history = me.round as u64;
            let how = match form {
                0 => How::Forever,
                1 => How::Until(run.clock + 1_000_000),
                _ => How::Try,
            };
            if let How::Until(deadline) = how {
                run.ghost.deadline[thread] = Some(deadline);
            }
            run.ghost.readers.tries[thread] = how == How::Try;
            run.ghost.may_die[thread] |= world.file;
            begin(run, thread);
            how
        });
        if thread < world.readers {
            read(thread, how);
        } else if world.waits() {
            beside::wait_or_put(thread);
        } else {
            write(thread, how);
        }
        with(|run| run.ghost.readers.is_busy[thread] = false);
    }
}

/// The thread begins something.
pub(crate) fn begin(run: &mut Run, thread: usize) {
    let is_there = |i: usize| match run.threads[i].state {
        State::Fresh | State::Gone => false,
        State::Ready | State::Asleep => run.ghost.readers.is_busy[i],
        State::Killed { .. } | State::Walked => true,
    };
    let is_alone = (0..run.threads.len()).all(|i| i == thread || !is_there(i));
    let ghost = &mut run.ghost.readers;
    ghost.is_alone = [false; Lines::THREADS];
    (ghost.is_busy[thread], ghost.is_alone[thread]) = (true, is_alone);
}

pub(crate) fn side() -> Side<'static> {
    let (line, slots): (*const ReaderLine, *const [LockLine]) = with(|run| {
        (std::ptr::from_ref(run.memory.readers()), std::ptr::from_ref(run.memory.slots(run.world.lines - 1)))
    });
    // SAFETY: in a box that lives as long as the search.
    let line = unsafe { &*line };
    // SAFETY: as above.
    Side { place: place(0), line, slots: unsafe { &*slots } }
}

/// On the way to the lock, all that a thread remembers is known.
pub(crate) fn seek(lock: impl FnOnce() -> Outcome) -> Outcome {
    let set_out = |seeks| {
        with(|run| {
            let deadline = run.ghost.deadline[run.current];
            let me = run.me();
            me.history = mixed(me.round as u64, deadline.unwrap_or_default());
            me.timers = [0; 3];
            (me.seeks, me.has_slept, me.asks, me.was_woken, me.awake_at) = (seeks, false, false, false, None);
        });
    };
    set_out(true);
    let outcome = lock();
    set_out(false);
    with(|run| {
        run.say(|_| format!("the lock: {outcome:?}"));
        let is_alone = outcome == Outcome::Locked { alone: true };
        run.me().learns(u64::from(is_alone) << 1 | u64::from(matches!(outcome, Outcome::Locked { .. })));
    });
    outcome
}

fn has_ended(run: &mut Run, how: How, outcome: Outcome) {
    let is_right = match outcome {
        Outcome::WouldBlock => how == How::Try,
        Outcome::TimedOut => matches!(how, How::Until(deadline) if deadline <= run.clock),
        Outcome::Interrupted => true,
        Outcome::Poisoned => true, // it was; somebody may have repaired it since
        _ => false,
    };
    if !is_right {
        run.fail(format!("{how:?} ends with {outcome:?}"));
    }
    // For an heir, the lock is kept for a moment, dead or not; and looks that are late may find who is no more.
    let may_be = last_of(run, 5) != 0 || run.world.unnoticed || run.world.budget.stale > 0;
    if outcome != Outcome::Poisoned && run.ghost.readers.is_alone[run.current] && !may_be {
        run.fail(format!("ALONE: {how:?} ends with {outcome:?}, and nobody is in the way"));
    }
}

pub(crate) fn remember(run: &mut Run, what: u64) {
    let me = run.me();
    me.history = mixed(me.round as u64, what);
    me.timers = [0; 3];
    (me.has_slept, me.asks, me.was_woken, me.awake_at) = (false, false, false, None);
}

fn read(thread: usize, how: How) {
    let (subject, me) = who();
    with(|run| run.say(|_| format!("wants to read: {how:?}")));
    let outcome = (subject.read)(side(), me, how);
    with(|run| run.say(|_| format!("reads: {outcome:?}")));
    let reading = match outcome {
        Ok(reading) => reading,
        Err(outcome) => return with(|run| has_ended(run, how, outcome)),
    };
    with(|run| {
        remember(run, 1 + u64::from(reading.alone) + 2 * reading.slot.map_or(0, |slot| slot as u64 + 1));
        look(run, thread, reading);
        let may_be = run.world.unnoticed || run.world.budget.stale > 0;
        if reading.slot.is_none() && run.world.lines > 1 && run.ghost.readers.is_alone[thread] && !may_be {
            run.fail("ALONE: there was no slot, and nobody in any".to_owned());
        }
    });
    private_step();
    if with(|run| run.world.reads_twice && run.choose(2) == 1) {
        read_once_more(thread, how);
    }
    with(|run| {
        look(run, thread, reading);
        run.ghost.readers.reads[thread] = false;
    });
    (subject.end_reading)(side(), me, reading);
    with(|run| run.say(|_| "has read".to_owned()));
}

/// Inside of a read, or to write there, which nobody can.
fn read_once_more(thread: usize, how: How) {
    let (subject, me) = who();
    with(|run| {
        run.me().round += 100;
        run.say(|_| "wants to read once more".to_owned());
    });
    let writes = with(|run| run.world.writes_too && run.choose(2) == 1);
    let outcome = if writes {
        (subject.write)(side(), me, how).map(|_| panic!("writes what it reads"))
    } else {
        (subject.read)(side(), me, how)
    };
    with(|run| run.say(|_| format!("reads once more: {outcome:?}")));
    match outcome {
        Ok(reading) => {
            with(|run| look(run, thread, reading));
            (subject.end_reading)(side(), me, reading);
        }
        Err(Outcome::WouldDeadlock) => {}
        Err(outcome) => with(|run| has_ended(run, how, outcome)),
    }
    with(|run| {
        run.me().round -= 100;
        remember(run, 99);
    });
}

/// A look of a reader at the data.
fn look(run: &mut Run, thread: usize, reading: Reading) {
    run.ghost.readers.reads[thread] = true;
    if let Some(writer) = run.ghost.readers.writes.iter().position(|writes| *writes) {
        run.fail(format!("EXCLUSION: T{} writes what is read", writer + 1));
    }
    let [first, second] = run.ghost.data[0];
    if first != second {
        run.fail("TORN: and read".to_owned());
    }
    run.access(DATA, false);
    run.access(reading.slot.map_or(WITH_LOCK, |slot| DATA + 1 + slot), true);
}

fn write(thread: usize, how: How) {
    let (subject, me) = who();
    with(|run| run.say(|_| format!("wants to write: {how:?}")));
    let outcome = (subject.write)(side(), me, how);
    with(|run| run.say(|_| format!("writes: {outcome:?}")));
    let alone = match outcome {
        Ok(alone) => alone,
        Err(outcome) => return with(|run| has_ended(run, how, outcome)),
    };
    with(|run| remember(run, 50 + u64::from(alone)));
    let (is_poisoned, next) = with(|run| begin_writing(run, thread));
    let put = |word: usize| put(word, next);
    put(0);
    let panics = with(|run| run.world.panics && run.choose(2) == 1);
    if !panics {
        put(1);
        private_step();
        if is_poisoned {
            place(0).line.poison.store(0, Ordering::Relaxed);
        }
    }
    with(|run| {
        end_writing(run, thread, panics);
        if panics {
            run.say(|_| "panics".to_owned());
        }
    });
    (subject.end_writing)(side(), me, alone, panics);
    with(|run| run.say(|_| "has written".to_owned()));
}

/// The thread has the data to itself: are they poisoned, and what comes next?
pub(crate) fn begin_writing(run: &mut Run, thread: usize) -> (bool, u64) {
    let ghost = &mut run.ghost.readers;
    let other = (0..Lines::THREADS).find(|i| ghost.reads[*i] || ghost.writes[*i]);
    ghost.writes[thread] = true;
    if let Some(other) = other {
        run.fail(format!("EXCLUSION: T{} is there, too", other + 1));
    }
    let [first, second] = run.ghost.data[0];
    let is_poisoned = poison(run) != 0;
    if first != second && !is_poisoned {
        run.fail("POISON: torn, and the writer does not know".to_owned());
    }
    for readers in DATA + 1..=WITH_LOCK {
        run.access(readers, false);
    }
    run.me().learns(u64::from(is_poisoned) << 1 | first);
    (is_poisoned, 1 - first)
}

/// Half of what is next.
pub(crate) fn put(word: usize, next: u64) {
    private_step();
    with(|run| {
        run.access(DATA, true);
        run.ghost.data[0][word] = next;
    });
}

/// It leaves the data to others.
pub(crate) fn end_writing(run: &mut Run, thread: usize, panics: bool) {
    run.ghost.readers.may_be_poisoned = panics;
    run.ghost.readers.writes[thread] = false;
}

/// A signal handler that tries to read, or to write, what its thread is in the middle of.
pub(crate) fn handle() {
    let (subject, me) = who();
    let (thread, mut before, ghost, writes) = with(|run| {
        let (thread, before) = (run.current, run.me().clone());
        let ghost = (run.ghost.readers.reads[thread], run.ghost.readers.tries[thread]);
        run.ghost.readers.tries[thread] = true;
        let writes = run.choose(2) == 1;
        // All that it knows is what it interrupts, and what it tries.
        run.me().round = mixed(before.history, writes.into()) as usize;
        (thread, before, ghost, writes)
    });
    let outcome = if writes {
        (subject.write)(side(), me, How::Try).map(|alone| {
            let (_, next) = with(|run| begin_writing(run, thread));
            put(0, next);
            put(1, next);
            with(|run| end_writing(run, thread, false));
            (subject.end_writing)(side(), me, alone, false);
        })
    } else {
        (subject.read)(side(), me, How::Try).map(|reading| {
            with(|run| {
                look(run, thread, reading);
                run.ghost.readers.reads[thread] = ghost.0;
            });
            (subject.end_reading)(side(), me, reading);
        })
    };
    with(|run| {
        run.say(|_| format!("tried: {outcome:?}"));
        if !matches!(outcome, Ok(()) | Err(Outcome::WouldBlock | Outcome::WouldDeadlock)) {
            run.fail(format!("a try in a handler ends with {outcome:?}"));
        }
        (run.ghost.readers.reads[thread], run.ghost.readers.tries[thread]) = ghost;
        // What is interrupted knows what it has known.
        let me = run.me();
        (before.view, before.acquired, before.released) = (me.view, me.acquired, me.released);
        before.home = me.home;
        *me = before;
        me.learns(u64::from(outcome.is_ok()));
    });
}
