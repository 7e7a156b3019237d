//! Worlds with a semaphore: the first line is the bell, those behind it are the permits.
//!
//! No permit is held by two, and none is lost: at the end, all are free. Nobody sleeps beside a free one, also if who was
//! woken is killed. Who only tries does not sleep, and nobody is refused who is alone.

use crate::layout::{BellLine, LockLine};
use crate::memory::atomic::AtomicU64;
use crate::readers::begin;
use crate::run::{Run, private_step, stand_still, with};
use crate::stubs::Lines;
use crate::world::{How, Outcome, TID, begin_round, place, who};

/// A semaphore.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Semaphore<'a> {
    pub(crate) bell: &'a BellLine,
    pub(crate) permits: &'a [LockLine],
    pub(crate) namespace: &'a AtomicU64,
}

/// Behind the plain data of the lines: what is done with each permit.
const DATA: usize = Lines::MOST;

fn semaphore() -> Semaphore<'static> {
    let permits: *const [LockLine] = with(|run| std::ptr::from_ref(run.memory.slots(run.world.lines - 1)));
    let first = place(0);
    let bell: *const BellLine = std::ptr::from_ref(first.line).cast();
    // SAFETY: in a box that lives as long as the search.
    let permits = unsafe { &*permits };
    // SAFETY: of the same size and alignment, and made of atomics.
    Semaphore { bell: unsafe { &*bell }, permits, namespace: first.namespace }
}

pub(crate) fn body(thread: usize) {
    let world = with(|run| run.world);
    for round in 0..world.rounds {
        begin_round(thread, round);
        let how = with(|run| {
            run.me().seeks = false;
            let form = run.choose(if world.all_forms { 3 } else { 1 });
            let me = run.me();
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
            run.say(|_| format!("wants a permit: {how:?}"));
            how
        });
        let (subject, me) = who();
        let outcome = (subject.acquire)(semaphore(), me, how);
        with(|run| {
            run.say(|_| format!("{outcome:?}"));
            if run.is_heir(thread, 0) {
                run.fail("a reservation is left".to_owned());
            }
        });
        match outcome {
            Ok((index, alone)) => {
                with(|run| {
                    take(run, thread, index);
                    let me = run.me();
                    me.history = (me.round as u64) << 8 | (index as u64) << 1 | u64::from(alone);
                    me.timers = [0; 3];
                    (me.has_slept, me.asks, me.was_woken, me.awake_at) = (false, false, false, None);
                });
                private_step();
                if with(|run| run.world.keeps && run.choose(2) == 1) {
                    with(|run| {
                        run.say(|_| "keeps it".to_owned());
                        run.me().is_stopped = true;
                    });
                    stand_still();
                }
                with(|run| run.ghost.permits[index] = None);
                (subject.release)(semaphore(), me, index, alone);
                with(|run| run.say(|_| "has given it back".to_owned()));
            }
            Err(outcome) => with(|run| check_refusal(run, thread, how, outcome)),
        }
        with(|run| run.ghost.readers.is_busy[thread] = false);
    }
}

fn take(run: &mut Run, thread: usize, index: usize) {
    if let Some(other) = run.ghost.permits[index].filter(|other| run.threads[*other].is_alive()) {
        run.fail(format!("DOUBLED: T{} has this permit, too", other + 1));
    }
    run.ghost.permits[index] = Some(thread);
    run.access(DATA + index, true);
}

fn check_refusal(run: &mut Run, thread: usize, how: How, outcome: Outcome) {
    let is_right = match outcome {
        Outcome::WouldBlock => how == How::Try,
        Outcome::TimedOut => matches!(how, How::Until(deadline) if deadline <= run.clock),
        Outcome::Interrupted => true,
        _ => false,
    };
    if !is_right {
        run.fail(format!("{how:?} ends with {outcome:?}"));
    }
    // For an heir, permits are kept for a moment, dead or not.
    let is_kept = run.last(5).value != 0;
    if run.ghost.readers.is_alone[thread] && run.world.budget.stale == 0 && !is_kept {
        run.fail(format!("ALONE: {how:?} ends with {outcome:?}, and nobody has any"));
    }
}

/// All who are alive sleep. Does anybody who should not?
pub(crate) fn wrong_sleeper(run: &Run) -> Option<&'static str> {
    let is_free = |line: usize| run.last(line * Run::PLACES).value as u32 & TID == 0;
    let is_any_free = (1..run.world.lines).any(is_free);
    if is_any_free {
        return Some("LOST: asleep, and a permit is free");
    }
    (!run.world.keeps).then_some("LOST: asleep, and no permit comes back")
}
