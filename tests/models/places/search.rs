//! Every order of the steps: one execution after another, by trying again from the start with the next choice.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, Yielder};

use crate::Subject;
use crate::hashes::{Seen, mixed};
use crate::kernel::{self, Id, Thing};
use crate::stubs::{Deadline, Line};

#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) threads: usize,
    pub(crate) rounds: usize,
    pub(crate) kills: u8,
    /// Threads that are stopped for good.
    pub(crate) stops: u8,
    /// While they sleep.
    pub(crate) stops_sleepers: bool,
    /// Waits whose time is up.
    pub(crate) timeouts: u8,
    /// Times that the clock is found to have gone on.
    pub(crate) jumps: u8,
    /// Times that another thread goes on although this one could.
    pub(crate) preemptions: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Asleep { ids: Vec<Id>, until: Deadline },
    Dying,
    Gone,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Else,
    ByTheTime,
    ByTheBeat,
}

pub(crate) struct Thread {
    pub(crate) state: State,
    pub(crate) is_stopped: bool,
    pub(crate) number: u32,
    pub(crate) answer: Option<usize>,
    pub(crate) ended: Ended,
    pub(crate) timed_out: bool,
    /// All that it has learnt since its round began.
    history: u64,
    yielder: *const Yielder<(), ()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Go(usize),
    Kill(usize),
    Stop(usize),
    TimeOut(usize),
    /// The one waits for a moment only.
    Moment(usize),
    /// The one looks by himself.
    Beat(usize),
    /// Time has gone on.
    Jump,
    Abandon(Id),
    Close(usize),
}

pub(crate) struct Report {
    pub(crate) executions: usize,
    pub(crate) states: usize,
    pub(crate) failure: Option<String>,
}

pub(crate) struct Search {
    pub(crate) world: World,
    subject: &'static Subject,
    line: Box<Line>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) things: Vec<Thing>,
    names: HashMap<String, Id>,
    /// In the order in which they began to.
    pub(crate) waiters: Vec<usize>,
    pub(crate) current: usize,
    clock: u64,
    owner: Option<usize>,
    left: World,
    has_stopped: bool,
    beats: usize,
    moments: usize,
    pub(crate) is_ending: bool,
    failure: Option<String>,
    log: Option<String>,
    /// Choices made, and of how many.
    made: Vec<(u8, u8)>,
    at: usize,
    first_process: usize,
    seen: Seen,
    stacks: Vec<DefaultStack>,
}

/// So that each has processes of its own.
static SEARCHES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static RUN: Cell<*mut Search> = const { Cell::new(std::ptr::null_mut()) };
}

/// The search that this is in. `use_it` must not let another coroutine run.
pub(crate) fn with<R>(use_it: impl FnOnce(&mut Search) -> R) -> R {
    let run = RUN.get();
    assert!(!run.is_null(), "outside of a search");
    // SAFETY: set by `execute`, which does not touch it while a coroutine runs; `use_it` neither switches nor calls this.
    use_it(unsafe { &mut *run })
}

/// Comes before each access that others could notice.
pub(crate) fn step() {
    if with(|run| run.is_ending) {
        return;
    }
    with(|run| run.learns(1));
    block();
}

/// Lets others go on, until this one's turn comes.
pub(crate) fn block() {
    let yielder = with(|run| run.me().yielder);
    // SAFETY: of the running coroutine, which is alive as long as it runs.
    unsafe { (*yielder).suspend(()) };
}

impl Search {
    /// Threads.
    pub(crate) const MOST: usize = 4;
    /// So often may those look by themselves of whom one is stopped, in all: once to find out. If he was awake, he may have heard
    /// of the first release, and so the next one is needed to find out.
    fn beats(&self) -> usize {
        let least = if self.world.stops_sleepers { 1 } else { 2 };
        // Who has found out may die before the others are told.
        least + usize::from(self.world.kills)
    }

    pub(crate) fn new(world: World, subject: &'static Subject) -> Self {
        Self {
            world,
            subject,
            line: Box::default(),
            threads: Vec::new(),
            things: Vec::new(),
            names: HashMap::new(),
            waiters: Vec::new(),
            current: 0,
            clock: 0,
            owner: None,
            left: world,
            has_stopped: false,
            beats: 0,
            moments: 0,
            is_ending: false,
            failure: None,
            log: None,
            made: Vec::new(),
            at: 0,
            first_process: SEARCHES.fetch_add(1, Ordering::Relaxed) % 64 * Self::MOST,
            seen: Seen::default(),
            stacks: Vec::new(),
        }
    }

    pub(crate) fn run(mut self) -> Report {
        self.line.number.as_ptr().expose_provenance();
        std::ptr::from_ref(&*self.line).expose_provenance();
        let mut executions = 0;
        loop {
            self.execute();
            executions += 1;
            if self.failure.is_some() {
                self.log = Some(String::new());
                self.execute();
                let what = self.failure.take().expect("it can be repeated");
                let steps = self.log.take().unwrap_or_default();
                return Report { executions, states: self.seen.len(), failure: Some(format!("{steps}{what}")) };
            }
            // The next choice.
            loop {
                match self.made.pop() {
                    Some((choice, of)) if choice + 1 < of => {
                        self.made.push((choice + 1, of));
                        break;
                    }
                    Some(_) => {}
                    None => return Report { executions, states: self.seen.len(), failure: None },
                }
            }
        }
    }

    fn execute(&mut self) {
        RUN.set(self);
        self.begin();
        let body = self.subject.body;
        let mut work: Vec<Coroutine<(), (), (), DefaultStack>> = (0..self.world.threads)
            .map(|i| {
                let stack = self.stacks.pop().unwrap_or_else(|| DefaultStack::new(64 * 1024).expect("memory"));
                Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
                    with(|run| run.me().yielder = yielder);
                    step();
                    body(i);
                })
            })
            .collect();
        let mut steps = 0;
        while self.failure.is_none() {
            steps += 1;
            if steps > 3_000 {
                self.fail("somebody runs in circles");
                break;
            }
            let Some(action) = self.decide() else { break };
            match action {
                Action::Go(i) => {
                    self.current = i;
                    if work[i].resume(()).as_return().is_some() {
                        self.threads[i].state = State::Done;
                        self.say(|| "is done".to_owned());
                    }
                }
                Action::Kill(i) => {
                    self.left.kills -= 1;
                    self.current = i;
                    self.say(|| "DIES".to_owned());
                    self.kill(i);
                }
                Action::Stop(i) => {
                    self.left.stops -= 1;
                    (self.has_stopped, self.threads[i].is_stopped) = (true, true);
                    self.current = i;
                    self.say(|| "is STOPPED".to_owned());
                }
                Action::TimeOut(i) => {
                    self.left.timeouts -= 1;
                    self.threads[i].timed_out = true;
                    kernel::wake(self, i, None, Ended::ByTheTime);
                }
                Action::Moment(i) => {
                    self.moments += 1;
                    if self.moments > 20 {
                        self.fail("waits again and again for a moment");
                    }
                    kernel::wake(self, i, None, Ended::Else);
                }
                Action::Beat(i) => {
                    self.beats += 1;
                    self.clock += 1_000_000_000;
                    if self.beats > self.beats() {
                        self.fail("LATE: they look by themselves again and again");
                    }
                    kernel::wake(self, i, None, Ended::ByTheBeat);
                }
                Action::Jump => {
                    self.left.jumps -= 1;
                    self.clock += 500_000_000;
                    self.say(|| "(0.5 s later)".to_owned());
                }
                Action::Abandon(id) => kernel::abandon(self, id),
                Action::Close(i) => {
                    self.current = i;
                    kernel::close_all(self, i);
                    self.threads[i].state = State::Gone;
                }
            }
        }
        self.is_ending = true;
        for mut work in work {
            work.force_unwind();
            self.stacks.push(work.into_stack());
        }
        (self.subject.forget)();
        self.is_ending = false;
    }

    fn begin(&mut self) {
        let line = &*self.line;
        line.word.0.reset();
        line.number.reset();
        line.queue.reset();
        line.told.reset();
        line.epoch.reset();
        line.lockers.reset();
        let thread = || Thread {
            state: State::Ready,
            is_stopped: false,
            number: 0,
            answer: None,
            ended: Ended::Else,
            timed_out: false,
            history: 0,
            yielder: std::ptr::null(),
        };
        self.threads = (0..self.world.threads).map(|_| thread()).collect();
        self.things.fill(Thing::new());
        self.waiters.clear();
        (self.current, self.clock, self.owner, self.left) = (0, 0, None, self.world);
        (self.has_stopped, self.beats, self.moments, self.failure, self.at) = (false, 0, 0, None, 0);
    }

    fn kill(&mut self, i: usize) {
        self.waiters.retain(|waiter| *waiter != i);
        self.threads[i].state = State::Dying;
        self.threads[i].history = 0;
    }

    /// What happens next; `None`: nothing, or what has been seen.
    fn decide(&mut self) -> Option<Action> {
        let mut actions = Vec::new();
        let go = |thread: &Thread| thread.state == State::Ready && !thread.is_stopped;
        let may_switch = self.left.preemptions != Some(0) || !go(&self.threads[self.current]);
        for (i, thread) in self.threads.iter().enumerate() {
            if go(thread) && (may_switch || i == self.current) {
                actions.push(Action::Go(i));
            }
            if thread.state == State::Dying {
                let owned = kernel::owned_by(self, i);
                actions.extend(owned.iter().map(|id| Action::Abandon(*id)));
                if owned.is_empty() {
                    actions.push(Action::Close(i));
                }
            }
        }
        if actions.is_empty() {
            self.when_nobody_goes_on(&mut actions)?;
        }
        for (i, thread) in self.threads.iter().enumerate() {
            let is_asleep = matches!(thread.state, State::Asleep { .. });
            if thread.is_stopped || thread.state != State::Ready && !is_asleep {
                continue;
            }
            if self.left.kills > 0 {
                actions.push(Action::Kill(i));
            }
            if self.left.stops > 0 && self.owner != Some(i) && (is_asleep || !self.world.stops_sleepers) {
                actions.push(Action::Stop(i));
            }
            if is_asleep && self.left.timeouts > 0 {
                actions.push(Action::TimeOut(i));
            }
        }
        if self.left.jumps > 0 && self.has_stopped && self.line.told.now() != 0 {
            actions.push(Action::Jump);
        }
        let chosen = self.choose(&actions)?;
        if let (Action::Go(i), Some(left)) = (actions[chosen], self.left.preemptions.as_mut())
            && i != self.current
            && go(&self.threads[self.current])
        {
            *left -= 1;
        }
        Some(actions[chosen])
    }

    /// Do all sleep who are left? Then either somebody's time comes, or this is the end.
    fn when_nobody_goes_on(&mut self, actions: &mut Vec<Action>) -> Option<()> {
        let asleep = |thread: &Thread, wanted| {
            matches!(&thread.state, State::Asleep { until, .. } if *until == wanted) && !thread.is_stopped
        };
        for (wanted, action) in
            [(Deadline::SOON, Action::Moment as fn(usize) -> Action), (Deadline::BEAT, Action::Beat)]
        {
            let who = (0..self.threads.len()).filter(|i| asleep(&self.threads[*i], wanted));
            actions.extend(who.map(action));
            if !actions.is_empty() {
                break;
            }
        }
        if actions.is_empty() {
            return None; // all are done, gone or stopped
        }
        if let Action::Beat(_) = actions[0] {
            if self.owner.is_some_and(|owner| self.threads[owner].is_stopped) {
                return None; // the holder's own business
            }
            if !self.has_stopped {
                self.fail("STRANDED: all sleep, and nothing will come");
                return None;
            }
        }
        Some(())
    }

    fn choose(&mut self, actions: &[Action]) -> Option<usize> {
        if self.at < self.made.len() {
            let (choice, of) = self.made[self.at];
            assert_eq!(usize::from(of), actions.len(), "an execution cannot be repeated");
            self.at += 1;
            return Some(choice.into());
        }
        if self.log.is_none() && !self.seen.insert(self.hash()) {
            return None;
        }
        self.made.push((0, actions.len() as u8));
        self.at += 1;
        Some(0)
    }

    fn hash(&self) -> u64 {
        let line = &*self.line;
        let mut hash = line.word.0.now();
        let mut add = |value: u64| hash = mixed(hash, value);
        add(line.number.now());
        add(u64::from(line.queue.now()) << 32 | u64::from(line.told.now()));
        add(u64::from(line.epoch.now()) << 32 | u64::from(line.lockers.now()));
        add(self.clock);
        add(self.owner.map_or(9, |owner| owner as u64));
        for thread in &self.threads {
            add(match &thread.state {
                State::Ready => 1,
                State::Asleep { ids, until } => {
                    ids.iter().fold(u64::from(until.0) + 2, |sum, id| sum << 8 | *id as u64)
                }
                State::Dying => 5,
                State::Gone => 6,
                State::Done => 7,
            });
            add(thread.history);
            let answer = thread.answer.map_or(9, |answer| answer as u64);
            add(u64::from(thread.number) << 16
                | answer << 8
                | (thread.ended as u64) << 4
                | u64::from(thread.timed_out) << 1
                | u64::from(thread.is_stopped));
        }
        for waiter in &self.waiters {
            add(*waiter as u64);
        }
        for thing in &self.things {
            add(thing.as_number());
        }
        let left = &self.left;
        let preemptions = left.preemptions.map_or(0, |left| u64::from(left) << 8 | self.current as u64);
        add(u64::from(left.kills) << 24
            | u64::from(left.stops) << 16
            | u64::from(left.timeouts) << 8
            | u64::from(left.jumps));
        add(preemptions << 32 | (self.beats as u64) << 16 | (self.moments as u64) << 8 | u64::from(self.has_stopped));
        hash
    }

    /// Which of all processes of all searches the running thread is.
    pub(crate) fn process(&self) -> usize {
        self.processes().start + self.current
    }

    pub(crate) fn processes(&self) -> std::ops::Range<usize> {
        self.first_process..self.first_process + Self::MOST
    }

    pub(crate) fn me(&mut self) -> &mut Thread {
        &mut self.threads[self.current]
    }

    pub(crate) fn line(&self) -> &'static Line {
        let line = std::ptr::from_ref(&*self.line);
        // SAFETY: in a box of its own, made of atomics, for as long as anything runs that has it.
        unsafe { &*line }
    }

    pub(crate) fn learns(&mut self, value: u64) {
        self.me().history = mixed(self.me().history, value);
    }

    pub(crate) fn begin_round(&mut self, round: usize) {
        self.me().history = round as u64;
    }

    /// Of a wait of which the caller's last sleep was a part.
    pub(crate) fn how_the_wait_ended(&mut self) -> Ended {
        if self.me().timed_out { Ended::ByTheTime } else { self.me().ended }
    }

    pub(crate) fn read_clock(&mut self) -> u64 {
        let clock = self.clock;
        self.learns(clock);
        clock
    }

    pub(crate) fn id_of(&mut self, name: &str) -> Id {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        self.names.insert(name.to_owned(), self.things.len());
        self.things.push(Thing::new());
        self.things.len() - 1
    }

    pub(crate) fn name(&self, id: Id) -> String {
        let is_wanted = |known: &&String| self.log.is_some() && self.names[*known] == id;
        self.names.keys().find(is_wanted).cloned().unwrap_or_default()
    }

    /// The calling thread has the lock, and was told that the last holder died, or not.
    pub(crate) fn acquires(&mut self, died: bool) {
        let is_dead = |thread: &Thread| matches!(thread.state, State::Dying | State::Gone);
        match self.owner {
            Some(owner) if !is_dead(&self.threads[owner]) => self.fail("TWO in the section"),
            Some(_) if !died => self.fail("is not told that the last holder died"),
            None if died => self.fail("is told of a death that was none"),
            _ => {}
        }
        self.owner = Some(self.current);
        self.say(|| "HAS the lock".to_owned());
    }

    pub(crate) fn releases(&mut self) {
        self.owner = None;
        self.say(|| "has released it".to_owned());
    }

    pub(crate) fn fail(&mut self, what: &str) {
        let current = self.current;
        self.failure.get_or_insert_with(|| format!("{what} ({current})"));
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        let (word, current) = (self.line.word.0.now(), self.current);
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{word:12x}  {current} {}", what());
        }
    }

    pub(crate) fn say_name(&mut self, what: &str, id: Id) {
        let name = self.name(id);
        self.say(|| format!("{what} {name}"));
    }
}
