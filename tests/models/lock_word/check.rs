//! What is checked, in which worlds, and the search.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use stateright::{Checker, Model, Property};

use super::protocol::{At, Fault, MOST, Move, State, Thread, Word};

pub(crate) const EXCLUSION: &str = "at most one holds the lock, and the word names it";
pub(crate) const NOBODY_STRANDED: &str = "nobody sleeps while the lock is free";
pub(crate) const BIT_IS_SET: &str = "the waiters bit is set while anybody sleeps";
pub(crate) const HOLDER_KNOWS: &str = "who holds the lock knows that a holder died";
pub(crate) const FREE_LOCK_TELLS: &str = "a lock that is free tells that a holder died";
pub(crate) const NO_FALSE_POISON: &str = "no poison without a death";

/// A world to search through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct World {
    pub(crate) threads: usize,
    pub(crate) rounds: u8,
    pub(crate) deaths: u8,
    /// `try_lock` and timed locks as well. Which of the three operations a thread is in shows only where it would sleep:
    /// so one thread stands for all, and at such a place it may also give up.
    pub(crate) gives_up: bool,
    pub(crate) repairs: bool,
    /// Deaths may go unnoticed by the kernel; waiters look holders up, and have their heartbeat.
    pub(crate) unnoticed: bool,
    pub(crate) fault: Fault,
}

/// A state in which threads are sorted, and epochs that can never be equal to the current one again are all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Canonical(pub State);

impl Hash for Canonical {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.packed().hash(hasher);
    }
}

impl Canonical {
    pub(crate) fn new(state: State, threads: usize) -> Self {
        let state = Self::with_plain_epochs(state);
        Self(reordered(&state, order(&state, threads)))
    }

    fn with_plain_epochs(mut state: State) -> State {
        let epoch = std::mem::replace(&mut state.epoch, 1);
        for thread in &mut state.threads {
            // It only counts up. (That it comes round again after 2^32 acquisitions is outside the model.)
            let is_read = matches!(thread.at, At::StoreW | At::WakeOne | At::Clear);
            thread.epoch = u8::from(is_read && thread.epoch == epoch);
        }
        state
    }

    fn packed(&self) -> u128 {
        let state = &self.0;
        let mut all = u128::from(word_code(state.word));
        for bits in [u8::from(state.poison), u8::from(state.holder_died)] {
            all = all << 1 | u128::from(bits);
        }
        all = all << 2 | u128::from(state.deaths);
        state
            .threads
            .iter()
            .fold(all, |all, thread| all << 15 | u128::from(thread_code(thread)) << 3 | u128::from(thread.seen.owner))
    }
}

fn word_code(word: Word) -> u8 {
    word.owner << 2 | u8::from(word.waiters) << 1 | u8::from(word.died)
}

/// All of a thread but the identity of the holder that it has seen.
fn thread_code(thread: &Thread) -> u16 {
    let flags = [thread.seen.waiters, thread.seen.died, thread.epoch != 0, thread.remembers];
    flags.iter().fold((thread.at as u16) << 2 | u16::from(thread.rounds), |code, flag| code << 1 | u16::from(*flag))
}

/// Threads differ in nothing but their ids, so their order does not matter: this is the one that the search keeps.
fn order(state: &State, threads: usize) -> [usize; MOST] {
    let mut order = std::array::from_fn(|i| i);
    let mut keys = [0; MOST];
    for (i, key) in keys[..threads].iter_mut().enumerate() {
        let id = i as u8 + 1;
        let thread = &state.threads[i];
        let seen_by = state.threads.iter().filter(|other| other.seen.owner == id).count() as u16;
        *key = u32::from(thread_code(thread)) << 8
            | u32::from(thread.seen.owner == id) << 6
            | u32::from(thread.seen.owner == state.word.owner) << 5
            | u32::from(state.word.owner == id) << 4
            | u32::from(seen_by);
    }
    order[..threads].sort_unstable_by_key(|i: &usize| keys[*i]);
    order
}

fn reordered(state: &State, order: [usize; MOST]) -> State {
    let mut new_ids = [0; MOST + 1];
    for (new, old) in order.iter().enumerate() {
        new_ids[old + 1] = new as u8 + 1;
    }
    let mut result = *state;
    result.word.owner = new_ids[usize::from(state.word.owner)];
    for (new, old) in order.iter().enumerate() {
        result.threads[new] = state.threads[*old];
        result.threads[new].seen.owner = new_ids[usize::from(state.threads[*old].seen.owner)];
    }
    result
}

impl Model for World {
    type State = Canonical;
    /// The thread is meant as it stands in the state before.
    type Action = (usize, At, Move);

    fn init_states(&self) -> Vec<Canonical> {
        vec![Canonical::new(State::new(self.threads, self.rounds, self.deaths), self.threads)]
    }

    fn actions(&self, state: &Canonical, actions: &mut Vec<Self::Action>) {
        let state = &state.0;
        for (i, thread) in state.threads[..self.threads].iter().enumerate() {
            let mut may = |choice| actions.push((i, thread.at, choice));
            may(Move::Step);
            match thread.at {
                At::Idle if thread.rounds > 0 => may(Move::BeginSlowly),
                At::Look if self.gives_up && state.word.owner != 0 => may(Move::GiveUp),
                At::Asleep if self.gives_up || self.unnoticed => may(Move::TimeOut),
                At::Announce | At::Wait => {
                    may(Move::Spin);
                    if self.unnoticed {
                        may(Move::LookUp);
                    }
                }
                At::Release if self.repairs && state.poison => may(Move::Repair),
                At::WakeOne | At::KernelWakes => {
                    let sleepers = (0..self.threads).filter(|other| state.threads[*other].at == At::Asleep);
                    for sleeper in sleepers {
                        may(Move::Wake(sleeper as u8));
                        if self.fault == Fault::NoLastTry {
                            may(Move::WakeTooLate(sleeper as u8));
                        }
                    }
                }
                _ => {}
            }
            let can_die = !matches!(thread.at, At::Idle | At::KernelLooks | At::KernelWakes | At::Dead);
            if state.deaths > 0 && can_die {
                may(Move::Die);
                if self.unnoticed {
                    may(Move::Vanish);
                }
            }
        }
    }

    fn next_state(&self, state: &Canonical, (i, _, choice): Self::Action) -> Option<Canonical> {
        Some(Canonical::new(state.0.after(i, choice, self.fault)?, self.threads))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(EXCLUSION, |_, Canonical(state)| state.word_names_the_holder()),
            Property::always(NOBODY_STRANDED, |world: &Self, Canonical(state)| {
                world.unnoticed || !state.strands_a_sleeper()
            }),
            // Not a promise but the reason why the other one is kept: so it is asked of what is right only.
            Property::always(BIT_IS_SET, |world: &Self, Canonical(state)| {
                world.fault.is_wrong()
                    || state.word.waiters
                    || state.threads.iter().all(|thread| thread.at != At::Asleep)
            }),
            Property::always(HOLDER_KNOWS, |_, Canonical(state)| {
                !state.holder_died || state.poison || state.threads.iter().all(|thread| thread.at != At::Release)
            }),
            Property::always(FREE_LOCK_TELLS, |_, Canonical(state)| {
                !state.holder_died || state.poison || state.word.died || state.word.owner != 0
            }),
            Property::always(NO_FALSE_POISON, |_, Canonical(state)| state.holder_died || !state.poison),
        ]
    }
}

impl World {
    /// Searches the whole world, or until each property has a counterexample; returns those that have one.
    pub(crate) fn search(self) -> Vec<&'static str> {
        let start = std::time::Instant::now();
        let checker = self.checker().spawn_bfs().join();
        println!("{self:?}: {} states in {:.1?}", checker.unique_state_count(), start.elapsed());
        let mut failed: Vec<_> = checker.discoveries().into_iter().collect();
        failed.sort_by_key(|(name, _)| *name);
        for (name, path) in &failed {
            println!("not true: {name}");
            self.tell(path.clone().into_actions());
        }
        failed.into_iter().map(|(name, _)| name).collect()
    }
}

impl World {
    /// Prints a way through the states, with the threads named as they were at the start.
    fn tell(self, actions: Vec<(usize, At, Move)>) {
        let mut names = ["a", "b", "c", "d", "e"];
        let mut state = State::new(self.threads, self.rounds, self.deaths);
        for (i, at, choice) in actions {
            let Some(next) = state.after(i, choice, self.fault) else { return };
            let Word { owner, waiters, died } = next.word;
            let holder = (1..).zip(names).find(|(id, _)| *id == owner).map_or("0", |(_, name)| name);
            let marks = [("|W", waiters), ("|D", died)].map(|(mark, is_set)| if is_set { mark } else { "" }).concat();
            let what = match choice {
                Move::Step => format!("{at:?}"),
                Move::Wake(sleeper) => format!("{at:?} wakes {}", names[usize::from(sleeper)]),
                _ => format!("{at:?}: {choice:?}"),
            };
            println!("    {} {what:24} {holder}{marks}", names[i]);
            state = Canonical::new(next, self.threads).0;
            names = order(&Canonical::with_plain_epochs(next), self.threads).map(|old| names[old]);
        }
    }

    /// Every state that can be reached, by a search without stateright; `seen` is told each move: a thread, what it did,
    /// the state before and after.
    pub(crate) fn explore(
        self,
        canonical: fn(State, usize) -> State,
        mut seen: impl FnMut(usize, Move, &State, &State),
    ) -> HashSet<State> {
        let mut pending = vec![canonical(State::new(self.threads, self.rounds, self.deaths), self.threads)];
        let mut known: HashSet<_> = pending.iter().copied().collect();
        while let Some(state) = pending.pop() {
            let mut actions = Vec::new();
            self.actions(&Canonical(state), &mut actions);
            for (i, _, choice) in actions {
                let Some(next) = state.after(i, choice, self.fault) else { continue };
                seen(i, choice, &state, &next);
                let next = canonical(next, self.threads);
                if known.insert(next) {
                    pending.push(next);
                }
            }
        }
        known
    }
}
