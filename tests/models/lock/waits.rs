//! Worlds in which some wait for what a holder of the lock does: a commit, or a condition.
//!
//! Nobody sleeps when there was a commit that he has not seen, or when there is what he waits for, or when a holder died and
//! he has not been told; and of those who sleep for the lock, what is true in every world.

use crate::hashes::mixed;
use crate::memory::atomic::{AtomicU64, Ordering};
use crate::run::{Run, private_step, with};
use crate::stubs::Lines;
use crate::world::{How, Outcome, begin_round, place, who};

/// What is true.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ghost {
    /// The last commit that the thread has seen, while it waits for another.
    seen: [Option<u64>; Lines::THREADS],
    /// How many holders had died when the thread began to wait for the condition.
    pub(crate) knows_of: [Option<u8>; Lines::THREADS],
    /// Holders that died when they could have changed something.
    pub(crate) deaths: u8,
    in_section: [bool; Lines::THREADS],
    /// What the lock protects: how much there is to take.
    pub(crate) items: u8,
}

impl Ghost {
    pub(crate) fn hash(&self, mut hash: u64) -> u64 {
        for i in 0..Lines::THREADS {
            hash = mixed(hash, self.seen[i].map_or(0, |seen| seen + 1));
            hash = mixed(hash, self.knows_of[i].map_or(0, |deaths| u64::from(self.deaths - deaths) + 1));
            hash = mixed(hash, self.in_section[i].into());
        }
        mixed(hash, self.items.into())
    }
}

pub(crate) fn note_death(run: &mut Run, thread: usize) {
    if std::mem::take(&mut run.ghost.waits.in_section[thread]) {
        run.ghost.waits.deaths += 1;
    }
    run.ghost.waits.seen[thread] = None;
    run.ghost.waits.knows_of[thread] = None;
}

/// All who are alive sleep. Does anybody who should not?
pub(crate) fn wrong_sleeper(run: &Run) -> Option<String> {
    let commits =
        if run.world.watchers > 0 { run.last(run.places.len() - 1 - run.world.successor_places()).value } else { 0 };
    let ghost = &run.ghost.waits;
    for sleeper in run.sleepers.iter().filter(|sleeper| !sleeper.is_locker()) {
        let thread = sleeper.thread();
        if ghost.seen[thread].is_some_and(|seen| seen != commits) {
            return Some("LOST CHANGE: asleep, and there was a commit".to_owned());
        }
        if ghost.knows_of[thread].is_some() && ghost.items > 0 {
            return Some("LOST NOTIFICATION: asleep, and there is something to take".to_owned());
        }
        if ghost.knows_of[thread].is_some_and(|deaths| deaths != ghost.deaths) {
            return Some("UNTOLD: asleep, and a holder died".to_owned());
        }
    }
    None
}

pub(crate) fn body(thread: usize) {
    let world = with(|run| run.world);
    for round in 0..world.rounds {
        begin_round(thread, round);
        with(|run| run.me().seeks = false);
        let is_waiter = thread < world.watchers + world.consumers;
        let how = with(|run| {
            let timed = is_waiter && (world.gives_up || world.all_forms && run.choose(2) == 1);
            if timed { How::Until(run.clock + 1_000_000) } else { How::Forever }
        });
        // Who waits for a condition must have the lock again, however long that takes.
        if let How::Until(deadline) = how
            && thread < world.watchers
        {
            with(|run| run.ghost.deadline[thread] = Some(deadline));
        }
        match () {
            () if thread < world.watchers => watch(thread, how),
            () if world.watchers > 0 => write(),
            () if is_waiter => take(thread, how),
            () => put(),
        }
    }
}

fn commits() -> &'static AtomicU64 {
    let commits: *const AtomicU64 = with(|run| std::ptr::from_ref(run.memory.commits()));
    // SAFETY: in a box that lives as long as the search.
    unsafe { &*commits }
}

fn watch(thread: usize, how: How) {
    let (subject, me) = who();
    let seen = commits().load(Ordering::Acquire);
    with(|run| {
        run.ghost.waits.seen[thread] = Some(seen);
        run.say(|_| format!("waits for a commit after {seen}: {how:?}"));
    });
    let outcome = (subject.watch)(place(0), me, how, &|| commits().load(Ordering::Acquire) != seen);
    with(|run| {
        run.ghost.waits.seen[thread] = None;
        run.say(|_| format!("{outcome:?}"));
        let is_late = matches!(how, How::Until(deadline) if deadline <= run.clock);
        match outcome {
            Outcome::Locked { .. } | Outcome::Interrupted => {}
            Outcome::TimedOut if is_late => {}
            _ => run.fail(format!("{how:?} ends with {outcome:?}")),
        }
    });
}

/// `None`: it was given up.
fn lock() -> Option<bool> {
    let (subject, me) = who();
    match (subject.lock)(place(0), me, How::Forever) {
        Outcome::Locked { alone } => {
            enter();
            Some(alone)
        }
        Outcome::Interrupted => None,
        outcome => {
            with(|run| run.fail(format!("the lock: {outcome:?}")));
            None
        }
    }
}

pub(crate) fn enter() {
    with(|run| {
        let me = run.current;
        if let Some(other) = (0..run.threads.len()).find(|i| *i != me && run.ghost.waits.in_section[*i]) {
            run.fail(format!("EXCLUSION: T{} holds the lock, too", other + 1));
        }
        run.ghost.waits.in_section[me] = true;
        run.access(0, true);
    });
}

pub(crate) fn leave() {
    with(|run| {
        run.access(0, true);
        run.ghost.waits.in_section[run.current] = false;
    });
}

fn write() {
    let (subject, me) = who();
    let Some(alone) = lock() else { return };
    private_step();
    let commits_it = with(|run| !run.world.gives_up && (!run.world.discards || run.choose(2) == 0));
    let commit = || {
        let next = commits().load(Ordering::Relaxed) + 1;
        commits().store(next, Ordering::Release);
    };
    leave();
    (subject.unlock)(place(0), me, alone, true, commits_it.then_some(&commit as &dyn Fn()));
    with(|run| run.say(|_| "released".to_owned()));
}

fn take(thread: usize, how: How) {
    let (subject, me) = who();
    let Some(mut alone) = lock() else { return };
    while with(|run| run.ghost.waits.items == 0) {
        with(|run| {
            run.ghost.waits.knows_of[thread] = Some(run.ghost.waits.deaths);
            run.say(|_| format!("waits for the condition: {how:?}"));
        });
        leave();
        let outcome;
        (alone, outcome) = (subject.wait)(place(0), me, alone, how);
        with(|run| {
            run.ghost.waits.knows_of[thread] = None;
            run.say(|_| format!("{outcome:?}"));
        });
        if outcome == Outcome::Interrupted {
            return;
        }
        enter();
        match outcome {
            Outcome::Locked { .. } => {}
            Outcome::TimedOut if matches!(how, How::Until(deadline) if deadline <= with(|run| run.clock)) => break,
            _ => with(|run| run.fail(format!("{how:?} ends with {outcome:?}"))),
        }
    }
    private_step();
    with(|run| run.ghost.waits.items = run.ghost.waits.items.saturating_sub(1));
    private_step();
    leave();
    (subject.unlock)(place(0), me, alone, false, None);
    with(|run| run.say(|_| "has taken".to_owned()));
}

fn put() {
    let (subject, me) = who();
    let Some(alone) = lock() else { return };
    private_step();
    with(|run| run.ghost.waits.items += 1);
    private_step();
    (subject.notify)(place(0), with(|run| run.world.notifies_all));
    private_step();
    leave();
    (subject.unlock)(place(0), me, alone, false, None);
    with(|run| run.say(|_| "has put".to_owned()));
}
