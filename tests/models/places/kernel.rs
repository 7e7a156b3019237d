//! Objects with names, and who waits for them.
//!
//! An object is there as long as anybody has a handle of it. A mutex, or an event for one, goes to the one that has waited longest,
//! in the step in which it becomes free; a stopped thread is given nothing. The mutexes of one who ends are given up one by
//! one, in any order, and then his handles are closed.

use crate::search::{Ended, Search, State, block, with};
use crate::stubs::Deadline;

pub(crate) type Id = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Event { stays: bool },
    Mutex,
}

#[derive(Clone, Debug)]
pub(crate) struct Thing {
    kind: Kind,
    handles: [u8; Search::MOST],
    pub(crate) owner: Option<usize>,
    depth: u8,
    is_set: bool,
}

impl Thing {
    pub(crate) fn new() -> Self {
        Self { kind: Kind::Mutex, handles: [0; Search::MOST], owner: None, depth: 0, is_set: false }
    }

    fn is_there(&self) -> bool {
        self.handles.iter().any(|handles| *handles > 0)
    }

    pub(crate) fn as_number(&self) -> u64 {
        let handles = self.handles.iter().fold(0, |sum, handles| sum << 8 | u64::from(*handles));
        let owner = self.owner.map_or(0, |owner| owner as u64 + 1);
        handles << 16 | owner << 8 | u64::from(self.depth) << 1 | u64::from(self.is_set)
    }
}

/// The object, and whether it is new; `None`: there is none, and none is to be made.
pub(crate) fn open(run: &mut Search, name: &str, kind: Kind, makes: bool) -> Option<(Id, bool)> {
    let id = run.id_of(name);
    let current = run.current;
    let thing = &mut run.things[id];
    let is_new = !thing.is_there();
    if is_new {
        if !makes {
            run.say(|| format!("finds no {name}"));
            return None;
        }
        *thing = Thing { kind, ..Thing::new() };
    }
    assert_eq!(thing.kind, kind, "{name}");
    thing.handles[current] += 1;
    run.say(|| format!("opens {name}"));
    run.learns(u64::from(is_new));
    Some((id, is_new))
}

pub(crate) fn close(run: &mut Search, id: Id) {
    let current = run.current;
    if !run.is_ending {
        run.things[id].handles[current] -= 1;
    }
}

/// The calling thread has made it for itself.
pub(crate) fn own(run: &mut Search, id: Id) {
    (run.things[id].owner, run.things[id].depth) = (Some(run.current), 1);
}

/// Takes it for this thread, if it is there to be taken.
fn takes(run: &mut Search, id: Id, thread: usize) -> bool {
    let thing = &mut run.things[id];
    match thing.kind {
        Kind::Mutex if thing.owner.is_none_or(|owner| owner == thread) => {
            (thing.owner, thing.depth) = (Some(thread), thing.depth + 1);
            true
        }
        Kind::Event { stays } if thing.is_set => {
            thing.is_set = stays;
            true
        }
        _ => false,
    }
}

pub(crate) fn set(run: &mut Search, id: Id) {
    run.things[id].is_set = true;
    run.say_name("sets", id);
    hand_out(run, id);
}

pub(crate) fn give_back(run: &mut Search, id: Id) {
    if run.is_ending {
        return;
    }
    let current = run.current;
    let thing = &mut run.things[id];
    if thing.owner != Some(current) {
        run.fail("gives back what is another's");
        return;
    }
    thing.depth -= 1;
    if thing.depth == 0 {
        thing.owner = None;
    }
    run.say_name("gives back", id);
    hand_out(run, id);
}

/// To those who wait for it, in their order.
fn hand_out(run: &mut Search, id: Id) {
    for thread in run.waiters.clone() {
        let State::Asleep { ids, .. } = &run.threads[thread].state else { unreachable!("waits") };
        let Some(index) = ids.iter().position(|wanted| *wanted == id) else { continue };
        if run.threads[thread].is_stopped || !takes(run, id, thread) {
            continue;
        }
        wake(run, thread, Some(index), Ended::Else);
    }
}

pub(crate) fn wake(run: &mut Search, thread: usize, answer: Option<usize>, ended: Ended) {
    run.waiters.retain(|waiter| *waiter != thread);
    let woken = &mut run.threads[thread];
    (woken.state, woken.answer, woken.ended) = (State::Ready, answer, ended);
    run.say(|| format!("-> {thread} wakes: {answer:?}"));
}

pub(crate) fn wait(ids: &[Id], until: Deadline) -> Option<usize> {
    let found = with(|run| {
        if run.is_ending {
            return Some(None);
        }
        run.me().ended = Ended::Else;
        let current = run.current;
        let found = (0..ids.len()).find(|index| takes(run, ids[*index], current));
        if found.is_some() || until == Deadline::NOW {
            run.learns(found.map_or(9, |index| index as u64));
            let names: Vec<_> = ids.iter().map(|id| run.name(*id)).collect();
            run.say(|| format!("waits for {names:?}: {found:?} at once"));
            return Some(found);
        }
        run.waiters.push(current);
        run.me().state = State::Asleep { ids: ids.to_vec(), until };
        let names: Vec<_> = ids.iter().map(|id| run.name(*id)).collect();
        run.say(|| format!("sleeps for {names:?}"));
        None
    });
    if let Some(found) = found {
        return found;
    }
    block();
    with(|run| {
        let answer = run.me().answer;
        let ended = run.me().ended as u64;
        run.learns(answer.map_or(9, |index| index as u64) << 4 | ended);
        answer
    })
}

/// What the kernel has still to give up of one who ends.
pub(crate) fn owned_by(run: &Search, thread: usize) -> Vec<Id> {
    (0..run.things.len()).filter(|id| run.things[*id].owner == Some(thread)).collect()
}

pub(crate) fn abandon(run: &mut Search, id: Id) {
    (run.things[id].owner, run.things[id].depth) = (None, 0);
    run.say_name("gives up, dead,", id);
    hand_out(run, id);
}

pub(crate) fn close_all(run: &mut Search, thread: usize) {
    for thing in &mut run.things {
        thing.handles[thread] = 0;
        if !thing.is_there() {
            *thing = Thing::new();
        }
    }
    run.say(|| "is gone".to_owned());
}

/// Are the files of this thread's process closed?
pub(crate) fn is_absent(thread: usize) -> bool {
    crate::search::step();
    with(|run| {
        let is_absent = run.threads[thread].state == State::Gone;
        run.learns(u64::from(is_absent));
        is_absent
    })
}
