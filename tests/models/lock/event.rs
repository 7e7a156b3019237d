//! Worlds in which the first line is an event: what the threads do with it, and what must be true.
//!
//! Nobody sleeps when the event is set, or was set while he slept; nobody says that it was and nobody that his time is up
//! when it is not so; and who waits or clears knows of all that those wrote before who had set it until then. For that, each
//! setter has data of its own: those of a line that is nobody's lock here.

use crate::hashes::mixed;
use crate::run::{Run, with};
use crate::stubs::Lines;
use crate::world::{OWNER_DIED, begin_round, give_back, line, take, who};

const SET: u64 = OWNER_DIED as u64;

/// What a thread asks of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Set,
    Clear,
    /// Until then, if at all.
    Wait(Option<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Done,
    TimedOut,
    Interrupted,
}

/// What is true of the event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ghost {
    /// It was set while the thread slept, and has not returned since.
    must_return: [bool; Lines::THREADS],
    /// It was set, or became so, since the thread began to wait.
    may_return: [bool; Lines::THREADS],
    /// The thread is setting it, and has changed the word already.
    has_set: [bool; Lines::THREADS],
    /// Who knows of this value of the word must know of this change of that line's data.
    published: Vec<(usize, usize, u8)>,
}

impl Ghost {
    pub(crate) fn hash(&self, hash: u64) -> u64 {
        let flags = [self.must_return, self.may_return, self.has_set];
        let hash = flags.iter().flatten().fold(hash, |hash, flag| mixed(hash, u64::from(*flag)));
        let mut newest = [0; Lines::MOST];
        for (_, line, change) in &self.published {
            newest[*line] = *change;
        }
        newest.iter().fold(hash, |hash, change| mixed(hash, u64::from(*change)))
    }
}

/// Where the setter has its data.
fn data_of(run: &Run, thread: usize) -> Option<usize> {
    (thread < run.world.setters).then_some(1 + thread)
}

fn publish(run: &mut Run, thread: usize) {
    if let Some(data) = data_of(run, thread) {
        let value = run.places[0].len() - 1;
        let change = run.changes[data];
        run.ghost.event.published.push((value, data, change));
    }
}

/// The word was changed.
pub(crate) fn note_write(run: &mut Run, before: u64, value: u64) {
    if value as u32 & !(libc::FUTEX_WAITERS | OWNER_DIED) != 0 {
        run.fail("somebody is named in the word".to_owned());
    }
    if before & SET == 0 && value & SET != 0 {
        for i in 0..run.sleepers.len() {
            let thread = run.sleepers[i].thread();
            run.ghost.event.must_return[thread] = true;
        }
        run.ghost.event.may_return = [true; Lines::THREADS];
    }
    let me = run.current;
    if value & SET != 0 && run.ghost.event.has_set[me] {
        run.ghost.event.has_set[me] = false;
        publish(run, me);
    }
}

fn is_set(run: &Run) -> bool {
    run.last(0).value & SET != 0
}

/// Must the sleeper be woken?
pub(crate) fn is_due(run: &Run, thread: usize) -> bool {
    is_set(run) || run.ghost.event.must_return[thread]
}

/// A sleep has ended by itself. If the look that follows is late, the sleeper is as one that was on its way to sleep: it finds
/// the generation changed when it looks again.
pub(crate) fn looks_by_itself(run: &mut Run, thread: usize) {
    run.ghost.event.must_return[thread] &= run.world.budget.stale == 0;
}

/// What each thread does.
pub(crate) fn body(thread: usize) {
    let world = with(|run| run.world);
    if with(|run| data_of(run, thread)).is_none() {
        begin(thread, 0);
        let timed = with(|run| world.all_forms && run.choose(2) == 1);
        let deadline = timed.then(|| with(|run| run.clock) + 1_000_000);
        wait(thread, deadline);
        return;
    }
    for round in 0..world.rounds {
        begin(thread, round);
        if with(|run| run.choose(2)) == 0 {
            set(thread);
        } else {
            ask(Asked::Clear);
            with(check_knows);
        }
    }
}

fn begin(thread: usize, round: usize) {
    begin_round(thread, round);
    with(|run| run.me().seeks = false);
}

fn ask(what: Asked) -> Told {
    let (subject, me) = who();
    with(|run| {
        // Also who names nothing as pending.
        run.ghost.may_die[run.current] = true;
        run.say(|_| format!("{what:?}"));
    });
    let told = (subject.event)(line(0), me, what);
    with(|run| run.say(|_| format!("{what:?}: {told:?}")));
    told
}

fn wait(thread: usize, deadline: Option<u64>) {
    with(|run| {
        run.ghost.deadline[thread] = deadline;
        run.ghost.event.may_return[thread] = is_set(run);
    });
    let told = ask(Asked::Wait(deadline));
    with(|run| {
        let event = &mut run.ghost.event;
        let (may, must) = (event.may_return[thread], std::mem::take(&mut event.must_return[thread]));
        match told {
            // A load may be late.
            Told::Done if !may && run.world.budget.stale == 0 => run.fail("RETURNED: the event was not set".to_owned()),
            Told::Done => check_knows(run),
            Told::TimedOut if must && run.world.budget.stale == 0 => {
                run.fail("TIMED OUT: the event was set while it slept".to_owned())
            }
            Told::TimedOut if deadline.is_none_or(|deadline| deadline > run.clock) => {
                run.fail("TIMED OUT: too soon".to_owned());
            }
            Told::TimedOut | Told::Interrupted => {}
        }
    });
}

fn set(thread: usize) {
    with(|run| {
        run.ghost.event.has_set[thread] = true;
        let data = data_of(run, thread).expect("a setter");
        run.access(data, true);
    });
    ask(Asked::Set);
    with(|run| {
        run.ghost.event.has_set[thread] = false;
        publish(run, thread);
    });
}

/// Has this thread seen what the setters wrote, whose settings it has seen?
fn check_knows(run: &mut Run) {
    let seen = usize::from(run.me().view.0[0]);
    for i in 0..run.ghost.event.published.len() {
        let (value, data, change) = run.ghost.event.published[i];
        if value <= seen && run.known(data) < change {
            run.fail("UNSEEN: what was written before the event was set".to_owned());
        }
    }
}

/// A signal handler that uses the event, or a lock.
pub(crate) fn handle() {
    match with(|run| run.choose(3)) {
        0 => {
            let alone = take(Lines::MOST - 1);
            give_back(Lines::MOST - 1, alone);
        }
        1 => _ = ask(Asked::Set),
        _ => _ = ask(Asked::Clear),
    }
}
