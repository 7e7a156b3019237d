//! One execution after another: every choice that there is, by trying again from the start.
//!
//! Threads are coroutines. Before each access that others could notice, the checker decides who goes on; where there is
//! more than one answer (who goes on, who dies, which value is loaded, who is woken) a choice is noted, and the next
//! execution repeats the choices of the last one but for the last that has another answer. An execution ends early in a
//! state that was seen before: a thread's part of it is what it has read and chosen since its last operation began,
//! because that decides what it does next.

use std::cell::Cell;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, Yielder};

use crate::hashes::{Seen, mixed};
use crate::kernel::{self, Sleeper};
use crate::memory::{Message, VIEW, View};
use crate::stubs::Lines;
use crate::successor;
use crate::world::{self, Ghost, Subject, World};

/// No execution takes so many decisions, unless somebody runs in circles.
const ENDLESS: usize = 3_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Has not begun.
    Fresh,
    Ready,
    Asleep,
    /// Has been killed; what the kernel does about it has not begun.
    Killed {
        noticed: bool,
    },
    /// The kernel walks its list.
    Walked,
    Gone,
}

/// What the checker knows of a thread.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) tid: u32,
    pub(crate) state: State,
    /// All that it has learnt since its operation began, as a hash.
    pub(crate) history: u64,
    pub(crate) view: View,
    /// What an acquire fence would make visible.
    pub(crate) acquired: View,
    /// What a relaxed store publishes.
    pub(crate) released: View,
    /// The holder that its handle has last seen alive.
    pub(crate) last_seen_alive: u64,
    /// Threads of one process have one slot.
    pub(crate) process: usize,
    pub(crate) slot: u32,
    pub(crate) namespace: u64,
    pub(crate) remembered_slot: u32,
    /// The line of many that it had last, from 1 on.
    pub(crate) home: usize,
    /// Which of its operations it is in.
    pub(crate) round: usize,
    /// In the middle of what has looks at the word with which nothing begins anew, as what a candidate for the successor does; and what that one has remembered.
    pub(crate) is_amid: bool,
    pub(crate) candidate: u64,
    /// It is on its way to the lock, and so is in a loop that begins with a look at the word.
    pub(crate) seeks: bool,
    pub(crate) has_slept: bool,
    /// Since the program was last asked whether to give up.
    pub(crate) asks: bool,
    pub(crate) was_woken: bool,
    /// The first look at the clock after the last sleep.
    pub(crate) awake_at: Option<u64>,
    /// What it remembers of the time while it sleeps.
    pub(crate) timers: [u64; 3],
    /// Signal handlers that it is in.
    pub(crate) depth: usize,
    /// For good, by SIGSTOP.
    pub(crate) is_stopped: bool,
    yielder: *const Yielder<(), ()>,
}

impl Thread {
    pub(crate) fn learns(&mut self, value: u64) {
        self.history = mixed(self.history, value);
    }

    /// A waiter looks at the word. Of what it has learnt before it remembers this.
    pub(crate) fn looks_again(&mut self, deadline: Option<u64>) {
        let is_up = deadline.is_some_and(|deadline| self.awake_at.is_some_and(|now| deadline <= now));
        let flags = u64::from(self.has_slept) | u64::from(is_up) << 1 | u64::from(self.was_woken) << 2;
        self.history = mixed(mixed(self.round as u64, 8 | flags), deadline.unwrap_or_default());
    }

    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.state, State::Fresh | State::Ready | State::Asleep)
    }
}

/// How much of what is rare may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) deaths: u8,
    /// Sleeps whose time is up while others could go on.
    pub(crate) timeouts: u8,
    /// Sleeps that end for no reason.
    pub(crate) signals: u8,
    /// Times that the clock is found to have gone on.
    pub(crate) jumps: u8,
    /// Loads of other values than the last.
    pub(crate) stale: u8,
    /// Signal handlers.
    pub(crate) handlers: u8,
    /// Times that the program gives up a wait, when it is asked.
    pub(crate) interruptions: u8,
    /// Times that another thread goes on although this one could.
    pub(crate) preemptions: Option<u8>,
}

type Work = Coroutine<(), (), (), DefaultStack>;

/// The search through a world.
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) subject: &'static Subject,
    pub(crate) memory: Box<Lines>,
    pub(crate) places: Vec<Vec<Message>>,
    /// How often the plain data of each line have changed, and what belongs to none.
    pub(crate) changes: [u8; 2 * Lines::MOST],
    /// What all SeqCst fences have in common.
    pub(crate) fences: View,
    pub(crate) threads: Vec<Thread>,
    pub(crate) sleepers: Vec<Sleeper>,
    /// Who sleeps no more, and is in the queues of other words until he runs.
    pub(crate) lingerers: Vec<Sleeper>,
    /// Who has the byte of the one who looks for deaths.
    pub(crate) watcher: Option<usize>,
    pub(crate) clock: u64,
    pub(crate) budget: Budget,
    pub(crate) ghost: Ghost,
    pub(crate) current: usize,
    next: Option<usize>,
    choices: Choices,
    pruned: bool,
    decisions: usize,
    failure: Option<String>,
    log: Option<Vec<String>>,
    seen: Seen,
    stacks: Vec<DefaultStack>,
    /// For random walks.
    random: Option<u64>,
}

/// What a search has found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) executions: usize,
    pub(crate) states: usize,
    pub(crate) failure: Option<(String, Vec<String>)>,
}

#[derive(Default)]
struct Choices {
    made: Vec<(u16, u16)>,
    at: usize,
}

impl Choices {
    fn are_new(&self) -> bool {
        self.at == self.made.len()
    }

    /// Goes on to the next execution; `false`: there is none.
    fn advance(&mut self) -> bool {
        while let Some((choice, of)) = self.made.pop() {
            if choice + 1 < of {
                self.made.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

thread_local! {
    static RUN: Cell<*mut Run> = const { Cell::new(std::ptr::null_mut()) };
}

/// The search that this is in. `use_it` must not let another coroutine run.
pub(crate) fn with<R>(use_it: impl FnOnce(&mut Run) -> R) -> R {
    let run = RUN.get();
    assert!(!run.is_null(), "outside of a search");
    // SAFETY: set by `execute` for as long as it borrows the run, and it does not touch it while a coroutine runs; two
    // uses never overlap, because `use_it` is not left for another coroutine and does not call `with`.
    use_it(unsafe { &mut *run })
}

/// Gives the processor back to `execute`, which goes on with the next one.
fn suspend() {
    let yielder = with(|run| run.me().yielder);
    // SAFETY: the yielder of the running coroutine, which is alive as long as it runs.
    unsafe { (*yielder).suspend(()) };
}

/// Ends the execution from within a coroutine.
pub(crate) fn stop() -> ! {
    loop {
        with(|run| run.next = None);
        suspend();
    }
}

/// Comes before each access that others could notice: a handler may run, the thread may die, others may go on.
pub(crate) fn step() {
    private_step();
    yield_now();
}

fn yield_now() {
    let goes_on = with(|run| {
        run.next = run.decide(Some(run.current));
        // It may have been killed with another thread of its process.
        run.next == Some(run.current) && !matches!(run.me().state, State::Killed { .. })
    });
    if !goes_on {
        suspend();
    }
}

/// As one who was stopped for good.
pub(crate) fn stand_still() {
    yield_now();
}

/// Comes before each store that only the thread's own death, or its signal handler, can make visible.
pub(crate) fn private_step() {
    if with(Run::is_interrupted) {
        world::handle_signal();
    }
    if let Some(noticed) = with(Run::dies) {
        if !noticed && with(|run| run.world.file) {
            with(|run| {
                run.say(|_| "is STOPPED".to_owned());
                run.me().is_stopped = true;
            });
            return yield_now();
        }
        with(|run| {
            run.say(|_| format!("DIES{}", if noticed { "" } else { " unnoticed" }));
            world::die(run, run.current, noticed);
            run.next = None;
        });
        loop {
            // Another one goes on: `execute` decides who.
            suspend();
        }
    }
}

/// Sleeps until woken.
pub(crate) fn block() {
    with(|run| {
        run.me().state = State::Asleep;
        run.next = None;
    });
    suspend();
}

pub(crate) fn read_clock() -> u64 {
    with(|run| {
        if run.budget.jumps > 0 && run.choose(2) == 1 {
            run.budget.jumps -= 1;
            run.clock += 1_100_000;
            run.say(|_| "finds that 1.1 ms have passed".to_owned());
        }
        let clock = run.clock;
        run.me().learns(clock);
        run.me().awake_at.get_or_insert(clock);
        clock
    })
}

impl Run {
    pub(crate) fn new(world: World, subject: &'static Subject) -> Self {
        // SAFETY: zero bytes are lock lines (all of them atomics and numbers) and list heads.
        let memory: Box<Lines> = unsafe { Box::<Lines>::new_zeroed().assume_init() };
        std::ptr::from_ref(&*memory).expose_provenance();
        Self {
            world,
            subject,
            memory,
            places: vec![
                Vec::new();
                Self::PLACES * world.lines
                    + world.wait_places()
                    + world.reader_places()
                    + world.successor_places()
            ],
            changes: Default::default(),
            fences: View::default(),
            threads: Vec::new(),
            sleepers: Vec::new(),
            lingerers: Vec::new(),
            watcher: None,
            clock: 0,
            budget: Budget::default(),
            ghost: Ghost::default(),
            current: 0,
            next: None,
            choices: Choices::default(),
            pruned: false,
            decisions: 0,
            failure: None,
            log: None,
            seen: Seen::default(),
            stacks: Vec::new(),
            random: None,
        }
    }

    pub(crate) fn me(&mut self) -> &mut Thread {
        &mut self.threads[self.current]
    }

    /// One of so many ways to go on. What thread it belongs to remembers it.
    pub(crate) fn choose(&mut self, count: usize) -> usize {
        let choice = self.choose_in_secret(count);
        if count > 1 {
            self.me().learns(choice as u64);
        }
        choice
    }

    /// The same for what is rare.
    fn choose_rarely(&mut self, count: usize) -> usize {
        if self.random.is_some() && self.choices.are_new() && self.random_below(24) != 1 {
            self.choices.made.push((0, count as u16));
            self.choices.at += 1;
            self.me().learns(0);
            return 0;
        }
        self.choose(count)
    }

    fn choose_in_secret(&mut self, count: usize) -> usize {
        if count <= 1 {
            return 0;
        }
        if self.random.is_some() && self.choices.are_new() {
            let choice = self.random_below(count);
            self.choices.made.push((choice as u16, count as u16));
            self.choices.at += 1;
            return choice;
        }
        if self.choices.are_new() {
            self.choices.made.push((0, count as u16));
        }
        let (choice, of) = self.choices.made[self.choices.at];
        assert_eq!(usize::from(of), count, "an execution that cannot be repeated");
        self.choices.at += 1;
        usize::from(choice)
    }

    fn random_below(&mut self, count: usize) -> usize {
        let state = self.random.as_mut().expect("a random walk");
        *state = mixed(*state, 1);
        // Half of the time what comes first, which is: to go on.
        if *state & 1 == 0 { 0 } else { (*state >> 8) as usize % count }
    }

    fn is_interrupted(&mut self) -> bool {
        let nests = self.world.is_nesting && (self.current == 0 || self.world.setters > 0);
        let may_be = nests && self.budget.handlers > 0 && self.me().is_alive() && self.me().depth < 2;
        may_be && self.choose_rarely(2) == 1
    }

    /// Does the current thread die here? And will the kernel report it?
    fn dies(&mut self) -> Option<bool> {
        if self.budget.deaths == 0 || !self.me().is_alive() || !self.ghost.may_die[self.current] {
            return None;
        }
        let is_holder = self.ghost.owner[0] == Some(self.current);
        // Unnoticed; or stopped, which is the holder's own business.
        let has_other = self.world.unnoticed || self.world.file && !self.ghost.owner.contains(&Some(self.current));
        let choice = self.choose_rarely(if has_other { 3 } else { 2 });
        if choice == 0 {
            return None;
        }
        self.budget.deaths -= 1;
        self.ghost.is_lossy |= choice == 2 && !is_holder || self.world.file && (!is_holder || self.me().seeks);
        Some(choice == 1)
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.say(|_| format!("*** {what}"));
        self.failure.get_or_insert(what);
    }

    pub(crate) fn say(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.log.is_some() {
            let line = format!("T{} {}", self.current + 1, what(self));
            self.log.iter_mut().for_each(|log| log.push(line.clone()));
        }
    }

    /// Who goes on?
    fn decide(&mut self, running: Option<usize>) -> Option<usize> {
        loop {
            if self.failure.is_some() || self.pruned {
                return None;
            }
            self.decisions += 1;
            if self.decisions > ENDLESS {
                self.fail("runs in circles".to_owned());
                return None;
            }
            if self.random.is_none() && self.choices.are_new() && self.log.is_none() {
                let state = self.hash(running);
                if !self.seen.insert(state) {
                    self.pruned = true;
                    return None;
                }
            }
            let mut ready = [0; Lines::THREADS];
            let mut count = 0;
            let is_running = running.is_some_and(|i| self.may_run(i));
            let first = running.into_iter().chain((0..self.threads.len()).filter(|i| Some(*i) != running));
            for i in first {
                let is_preempted = is_running && Some(i) != running;
                if self.may_run(i) && !(is_preempted && self.budget.preemptions == Some(0)) {
                    ready[count] = i;
                    count += 1;
                }
            }
            if count == 0 {
                if self.sleepers.is_empty() {
                    return None;
                }
                self.say_time_passes();
                if !kernel::nobody_can_go_on(self) {
                    return None;
                }
                continue;
            }
            let sleepers = self.sleepers.len();
            let may_die = self.budget.deaths > 0;
            let may_stop = may_die && (self.world.file || self.world.stops);
            let rare = [self.budget.timeouts > 0, self.budget.signals > 0, may_die, may_stop];
            let events = rare.iter().filter(|may| **may).count() * sleepers;
            let choice = self.choose_in_secret(count + events);
            if choice < count {
                if is_running && choice > 0 {
                    self.budget.preemptions = self.budget.preemptions.map(|left| left - 1);
                }
                return Some(ready[choice]);
            }
            let (kind, sleeper) = ((choice - count) / sleepers, (choice - count) % sleepers);
            let thread = self.sleepers[sleeper].thread();
            let kind = (0..rare.len()).filter(|kind| rare[*kind]).nth(kind).expect("one of those");
            // That a holder is stopped is the holder's own business.
            if self.threads[thread].is_stopped || kind == 3 && self.ghost.owner.contains(&Some(thread)) {
                continue;
            }
            if self.world.successors && !successor::may_end(self, kind, sleeper) {
                continue;
            }
            match kind {
                0 => {
                    self.budget.timeouts -= 1;
                    kernel::time_out(self, sleeper);
                }
                1 => {
                    self.budget.signals -= 1;
                    kernel::interrupt(self, sleeper);
                }
                2 => {
                    self.budget.deaths -= 1;
                    kernel::kill_sleeper(self, sleeper);
                }
                _ => {
                    self.budget.deaths -= 1;
                    kernel::stop_sleeper(self, sleeper);
                }
            }
        }
    }

    fn say_time_passes(&mut self) {
        if let Some(log) = &mut self.log {
            log.push("-- nobody can go on".to_owned());
        }
    }

    fn may_run(&self, i: usize) -> bool {
        if self.threads[i].is_stopped {
            return false;
        }
        match self.threads[i].state {
            // Threads are alike: so they begin in this order.
            State::Fresh => {
                i == 0
                    || (self.threads[i - 1].state != State::Fresh
                        && (!(self.world.namesakes || self.world.reuses_slots)
                            || self.threads[i].tid != self.threads[i - 1].tid
                            || self.threads[i - 1].state == State::Gone))
            }
            State::Ready | State::Walked | State::Killed { .. } => true,
            State::Asleep | State::Gone => false,
        }
    }

    /// Repeats the choices that were made, and goes on from there.
    fn execute(&mut self) {
        self.begin();
        RUN.set(&raw mut *self);
        let mut works: [Option<Work>; Lines::THREADS] = Default::default();
        let mut next = self.decide(None);
        while let Some(i) = next {
            // Only through the pointer from here on: the coroutine uses it, too.
            let started = with(|run| {
                run.current = i;
                run.prepare(i, &mut works[i])
            });
            if started {
                works[i].as_mut().expect("prepared").resume(());
            }
            next = with(|run| match run.next.take() {
                Some(next) => Some(next),
                None => run.decide(None),
            });
        }
        RUN.set(std::ptr::null_mut());
        for mut work in works.into_iter().flatten() {
            self.put_away(&mut work);
            self.stacks.push(work.into_stack());
        }
        if self.failure.is_none() && !self.pruned {
            world::check_end(self);
        }
    }

    fn put_away(&mut self, work: &mut Work) {
        if !work.done() {
            // SAFETY: what its frames hold are numbers and references; nothing needs to be dropped.
            unsafe { work.force_reset() };
        }
    }

    /// Makes the coroutine of a thread, or of the kernel's work on a dead one.
    fn prepare(&mut self, i: usize, work: &mut Option<Work>) -> bool {
        let body: fn(usize) = match self.threads[i].state {
            State::Fresh => {
                self.threads[i].state = State::Ready;
                // An id is given out again after all that its last owner did.
                let is_namesake = |last: &usize| self.world.namesakes && self.threads[*last].tid == self.threads[i].tid;
                if let Some(last) = (0..i).find(is_namesake) {
                    let view = self.threads[last].view;
                    self.threads[i].view.join(&view);
                }
                world::body
            }
            State::Killed { noticed } => {
                self.threads[i].state = State::Walked;
                self.lingerers.retain(|sleeper| sleeper.thread() != i);
                self.threads[i].history = 1 + u64::from(noticed);
                if noticed && !self.world.file { kernel::exit_walk } else { kernel::vanish }
            }
            _ => return true,
        };
        if let Some(mut old) = work.take() {
            self.put_away(&mut old);
            self.stacks.push(old.into_stack());
        }
        let stack = self.stacks.pop().unwrap_or_else(|| DefaultStack::new(64 * 1024).expect("memory"));
        *work = Some(Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            with(|run| run.threads[i].yielder = yielder);
            body(i);
            with(|run| run.next = None);
        }));
        true
    }

    /// All ways, or until one fails.
    pub(crate) fn search(mut self) -> Report {
        let mut executions = 0;
        loop {
            self.execute();
            executions += 1;
            if self.failure.is_some() {
                return self.report(executions);
            }
            if !self.choices.advance() {
                return self.report(executions);
            }
        }
    }

    /// So many ways by chance.
    pub(crate) fn wander(mut self, seed: u64, executions: usize) -> Report {
        for n in 0..executions {
            self.choices = Choices::default();
            self.random = Some(mixed(seed, n as u64));
            self.execute();
            if self.failure.is_some() {
                return self.report(n + 1);
            }
        }
        self.report(executions)
    }

    fn report(mut self, executions: usize) -> Report {
        let states = self.seen.len();
        let failure = self.failure.take().map(|what| {
            self.log = Some(Vec::new());
            self.random = None;
            self.execute();
            assert_eq!(self.failure.as_ref(), Some(&what), "cannot be repeated");
            (what, self.log.take().expect("set above"))
        });
        Report { executions, states, failure }
    }

    /// The start of an execution.
    fn begin(&mut self) {
        let bytes = std::ptr::from_mut(&mut *self.memory).cast::<u8>();
        // SAFETY: the whole of the memory, which is plain bytes.
        unsafe { bytes.write_bytes(0, size_of::<Lines>()) };
        for (i, head) in self.memory.heads.iter_mut().enumerate() {
            let address = bytes.addr() + std::mem::offset_of!(Lines, heads) + i * size_of_val(head);
            *head = [address, Lines::FUTEX_OFFSET.cast_unsigned(), 0];
        }
        for place in &mut self.places {
            place.clear();
            place.push(Message { value: 0, view: View::default(), author: usize::MAX, is_sc: false });
        }
        if self.world.was_left {
            self.places[0][0].value = world::WAITERS.into();
            self.write_real(0, world::WAITERS.into());
        }
        // All lines are the first one's.
        for line in 0..self.world.lines {
            let place = line * Self::PLACES + Self::NAMESPACE;
            self.places[place][0].value = 1;
            self.write_real(place, 1);
        }
        self.changes = Default::default();
        self.fences = View::default();
        self.threads.clear();
        for (tid, process) in self.world.tids().zip(self.world.processes()) {
            self.threads.push(Thread {
                tid,
                process,
                slot: self.world.slot(process),
                namespace: if self.world.several { process as u64 + 1 } else { 1 },
                remembered_slot: 0,
                home: 0,
                state: State::Fresh,
                history: 0,
                view: View::default(),
                acquired: View::default(),
                released: View::default(),
                last_seen_alive: 0,
                round: 0,
                is_amid: false,
                candidate: 0,
                seeks: false,
                has_slept: false,
                asks: false,
                was_woken: false,
                awake_at: None,
                timers: [0; 3],
                depth: 0,
                is_stopped: false,
                yielder: std::ptr::null(),
            });
        }
        self.sleepers.clear();
        self.lingerers.clear();
        self.watcher = None;
        self.clock = 1_000_000_000;
        self.budget = self.world.budget;
        self.ghost = Ghost::default();
        self.choices.at = 0;
        self.pruned = false;
        self.decisions = 0;
        self.failure = None;
    }

    fn hash(&self, running: Option<usize>) -> u64 {
        let mut hash = mixed(self.clock, self.watcher.map_or(0, |watcher| watcher as u64 + 1));
        let budget = &self.budget;
        let preemptions = budget.preemptions.unwrap_or_default();
        let running = running.filter(|_| budget.preemptions.is_some()).map_or(0, |i| i as u8 + 1);
        let Budget { deaths, timeouts, signals, jumps, stale, handlers, interruptions, .. } = *budget;
        let budget = [deaths, timeouts, signals, jumps, stale, handlers, preemptions, running];
        hash = mixed(mixed(hash, u64::from_ne_bytes(budget)), interruptions.into());
        // With loads of the last values only, what else there was does not matter.
        let is_stale = self.budget.stale > 0;
        let mut bases = [0; VIEW];
        for (place, messages) in self.places.iter().enumerate() {
            bases[place] = (messages.len() - 1) as u8;
            if is_stale {
                let live = self.threads.iter().filter(|thread| thread.state != State::Gone);
                bases[place] = live.map(|thread| thread.view.0[place]).min().unwrap_or(bases[place]);
            }
        }
        let bases = &bases[..self.places.len()];
        let changes = match self.world.readers + self.world.permits {
            0 => &self.changes[..self.world.lines + self.world.successor_places()],
            _ => &self.changes[..],
        };
        let hash_view = |mut hash: u64, view: &View| {
            let essence = view.essence(bases, changes, self.world.setters > 0);
            for chunk in essence.chunks_exact(8) {
                hash = mixed(hash, u64::from_ne_bytes(chunk.try_into().expect("eight")));
            }
            hash
        };
        for (messages, base) in self.places.iter().zip(bases) {
            let base = usize::from(*base);
            hash = mixed(hash, (messages.len() - base) as u64);
            for message in &messages[base..] {
                hash = hash_view(mixed(mixed(hash, message.value), (is_stale && message.is_sc).into()), &message.view);
            }
        }
        hash = hash_view(hash, &self.fences);
        for thread in &self.threads {
            let state = match thread.state {
                State::Fresh => 0,
                State::Ready => 1,
                State::Asleep => 2,
                State::Killed { noticed } => 3 + u64::from(noticed),
                State::Walked => 5,
                State::Gone => 6,
            };
            hash = mixed(hash, state << 48 | (thread.depth as u64) << 32 | u64::from(thread.is_stopped));
            hash = mixed(mixed(hash, thread.last_seen_alive), thread.home as u64);
            if thread.state == State::Gone {
                continue;
            }
            hash = mixed(hash, thread.history);
            hash = thread.timers.into_iter().fold(hash, mixed);
            if self.world.successors {
                hash = mixed(hash, thread.candidate << 1 | u64::from(thread.is_amid));
            }
            hash = mixed(
                hash,
                thread.awake_at.unwrap_or_default() << 3
                    | u64::from(thread.asks) << 2
                    | u64::from(thread.was_woken) << 1
                    | u64::from(thread.has_slept),
            );
            hash = hash_view(hash, &thread.view);
            hash = hash_view(hash, &thread.acquired);
            hash = hash_view(hash, &thread.released);
        }
        hash = mixed(hash, self.sleepers.iter().fold(0, |all, sleeper| all.wrapping_add(sleeper.hash())));
        hash = mixed(hash, self.lingerers.iter().fold(0, |all, sleeper| all.wrapping_add(sleeper.hash())));
        hash = self.hash_lists(hash);
        hash = mixed(hash, self.ghost.hash());
        hash
    }
}
