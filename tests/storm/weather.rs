//! The process that forks the workers, kills them, and looks at what they leave.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use robust_shm::{SegmentInfo, SharedValue};

use crate::ledger::{Awaited, Counters, Ledger, PERMITS, PLACES, Phase, Place, SLOTS, Slot, Tally};
use crate::sleepers;
use crate::stage::{Accounts, Elements, PERSISTENT, READ, ROOM, Stage, Stock, check_totals};
use crate::support::{Forked, LIMIT, Random, asleep, exists, fork, member, say, sleeps_are_counted, until};
use crate::worker::{Scene, Worker, count_descriptors};

pub(crate) struct Storm {
    family: String,
    seed: u64,
    end: Instant,
    start: Instant,
    random: Random,
    ledger: &'static Ledger,
    counters: Counters,
    board: Counters,
    /// Taken out only in workers that want handles of their own.
    stage: Option<Stage>,
    workers: Vec<Option<Forked>>,
    /// In this round.
    lives: u64,
    kills: u64,
    exits: u64,
    rounds: u64,
    descriptors_before: usize,
    descriptors: usize,
    last_total: u64,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(format!("ROBUST_SHM_STORM_{name}")).map_or(default, |text| text.parse().unwrap())
}

impl Storm {
    pub(crate) fn new(family: &str) -> Self {
        let fresh =
            u64::from(std::process::id()) << 32 | u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
        let seed = setting("SEED", fresh);
        let processes = usize::try_from(setting("PROCESSES", 8)).unwrap();
        assert!((1..=SLOTS).contains(&processes), "ROBUST_SHM_STORM_PROCESSES: 1 to {SLOTS}");
        let seconds = setting("SECONDS", 10);
        say(format!("storm: seed {seed}, {processes} processes, {seconds} s"));
        let descriptors_before = count_descriptors();
        let (stage, counters, board) = (Stage::create(family), Counters::new(), Counters::new());
        let start = Instant::now();
        Self {
            family: family.to_owned(),
            seed,
            start,
            end: start + Duration::from_secs(seconds),
            random: Random::new(seed), // and afresh in each round
            ledger: Ledger::new(),
            counters,
            board,
            stage: Some(stage),
            workers: (0..processes).map(|_| None).collect(),
            lives: 0,
            kills: 0,
            exits: 0,
            rounds: 0,
            descriptors_before,
            descriptors: count_descriptors(),
            last_total: 0,
        }
    }

    pub(crate) fn rage(mut self) {
        let mut next_word = self.start + Duration::from_secs(10);
        while Instant::now() < self.end {
            self.random = Random::new(self.seed ^ self.rounds << 32);
            self.lives = 0;
            self.ledger.start(Phase::Storm);
            (0..self.workers.len()).for_each(|slot| self.renew(slot));
            let time = Duration::from_millis(200 + self.random.below(300) as u64);
            self.kill_for(time);
            self.relay();
            self.rounds += 1;
            assert_eq!(count_descriptors(), self.descriptors, "descriptors of the process that forks");
            if Instant::now() > next_word {
                next_word += Duration::from_secs(10);
                say(format!("{} kills in {:.0?}", self.kills, self.start.elapsed()));
            }
        }
        self.finish();
    }

    fn stage(&self) -> &Stage {
        self.stage.as_ref().unwrap()
    }

    /// Starts a worker unless the slot has one.
    fn renew(&mut self, slot: usize) {
        if self.workers[slot].is_none() {
            self.start(slot, |_| {});
        }
    }

    fn start(&mut self, slot: usize, first: impl FnOnce(&mut Worker<'_>)) {
        self.lives += 1;
        let mut random = Random::new(self.seed ^ (self.rounds << 32 | self.lives << 8 | slot as u64));
        let forked = fork(|| {
            serve_the_storm();
            let (counters, board) = (&self.counters, &self.board);
            let scene = Scene { family: &self.family, ledger: self.ledger, counters, board };
            let ledger = self.ledger;
            std::panic::set_hook(Box::new(move |info| {
                ledger.fail(&format!("worker {slot}: {info}"));
                eprintln!("worker {slot}: {info}");
            }));
            // Half of them use the handles that the fork has doubled, half open their own.
            let stage = self.stage.take().filter(|_| random.below(2) == 0);
            let stage = stage.unwrap_or_else(|| Stage::open(&self.family));
            let leaves_by_exit = random.below(2) == 0;
            let mut worker = Worker::new(scene, &stage, slot, random);
            first(&mut worker);
            worker.run();
            if leaves_by_exit {
                std::process::exit(0);
            }
        });
        self.workers[slot] = Some(forked);
    }

    fn living(&self) -> Vec<usize> {
        (0..self.workers.len()).filter(|slot| self.workers[*slot].is_some()).collect()
    }

    /// Kills and renews at random: mostly one, sometimes all at once, sometimes one that has only just begun.
    fn kill_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.random.below(50) == 0 {
                self.kill(&self.living());
                (0..self.workers.len()).for_each(|slot| self.renew(slot));
            } else {
                let slot = self.random.below(self.workers.len());
                self.kill(&[slot]);
                self.renew(slot);
            }
            if self.random.below(4) != 0 {
                std::thread::sleep(Duration::from_micros(self.random.below(2_000) as u64));
            }
            self.look();
        }
    }

    fn kill(&mut self, slots: &[usize]) {
        let victims = || slots.iter().filter_map(|slot| self.workers[*slot].as_ref());
        victims().for_each(|worker| worker.signal(libc::SIGKILL));
        for slot in slots {
            if let Some(worker) = &mut self.workers[*slot] {
                let status = until("the end of a killed worker", || worker.try_wait());
                self.bury(*slot, status);
            }
        }
    }

    /// A worker has ended: by a kill or of its own accord, but not by a failure.
    fn bury(&mut self, slot: usize, status: libc::c_int) {
        match status {
            libc::SIGKILL => self.kills += 1,
            0 => self.exits += 1,
            _ => {
                let why = self.ledger.failure().unwrap_or_else(|| format!("worker {slot} ended with {status:#x}"));
                panic!("seed {}, {} kills: {why}", self.seed, self.kills);
            }
        }
        self.workers[slot] = None;
        self.ledger.slot(slot).waits_for(Awaited::Nothing);
        self.ledger.slot(slot).check(Place::Accounts, self.stage().accounts.get().counts[slot]);
    }

    /// Reads what workers write, without ever waiting for one.
    fn look(&mut self) {
        if let Some(failure) = self.ledger.failure() {
            panic!("seed {}, {} kills: {failure}", self.seed, self.kills);
        }
        check_totals(self.ledger, self.stage());
        let accounts = self.stage().accounts.get();
        accounts.check();
        assert!(accounts.total >= self.last_total, "stale after newer");
        self.last_total = accounts.total;
    }

    /// All wait for one lock. It is released once, goes from hand to hand, and some die on the way; all others must get
    /// it, and then each of the locks.
    fn relay(&mut self) {
        let which = self.random.below(PLACES.len() - 1);
        let number = with_lock(self.stage(), which, || {
            let number = self.ledger.start(Phase::Relay(which));
            // As many as will; who comes late takes part, too.
            for _ in 0..200 {
                let sleeps = |slot: &usize| asleep(self.workers[*slot].as_ref().unwrap().id()).is_some();
                if self.living().iter().all(sleeps) {
                    break;
                }
                std::thread::sleep(Duration::from_micros(500));
            }
            number
        });
        for _ in 0..self.random.below(4) {
            (0..self.random.below(20_000)).for_each(|_| std::hint::spin_loop());
            let slot = self.random.below(self.workers.len());
            self.kill(&[slot]);
        }
        let rests = |storm: &Self, slot: &Slot| slot.parked.load(SeqCst) == number || storm.must_wait(slot);
        self.wait_for_all("to get every lock", rests);
        if self.ledger.scarce().is_some() {
            self.have_it_done(number);
            self.wait_for_all("for what was done", rests);
        }
        let number = self.ledger.start(Phase::Tell);
        self.tell(number);
        self.wait_for_all("to be told", |_, slot| slot.parked.load(SeqCst) == number);
        self.check_rest();
    }

    /// One does what the others wait for, in the place of one who waits for nothing; now and then he is killed at it.
    fn have_it_done(&mut self, number: u64) {
        let is_idle = |slot: &usize| self.ledger.slot(*slot).awaited() == Awaited::Nothing;
        let Some(slot) = self.living().into_iter().find(is_idle) else { return };
        self.kill(&[slot]);
        self.ledger.slot(slot).parked.store(0, SeqCst);
        let (fails, is_killed) = (self.random.below(4) == 0, self.random.below(3) == 0);
        self.start(slot, |worker| {
            if fails {
                worker.fail_at_deed();
            }
            worker.deed();
            worker.rest(number);
        });
        if is_killed {
            (0..self.random.below(40_000)).for_each(|_| std::hint::spin_loop());
            self.kill(&[slot]);
        }
    }

    /// Whoever waits on must wait for what is not there. (Without a lock: the unlock would wake who was forgotten.)
    fn must_wait(&self, slot: &Slot) -> bool {
        let (stage, ledger) = (self.stage(), self.ledger);
        // A death tells all who wait for a condition: nobody waits on beside a poisoned buffer, or one that was repaired.
        let must_wait = |repairs: u64, items: u64| {
            !stage.buffer.is_poisoned() && ledger.repairs.load(SeqCst) == repairs && ledger.items.load(SeqCst) == items
        };
        match slot.awaited() {
            Awaited::Nothing => false,
            Awaited::Item(repairs) => must_wait(repairs, 0),
            Awaited::Room(repairs) => must_wait(repairs, ROOM),
            Awaited::Pair(seen) => stage.pair.commits() == seen,
            Awaited::Word(seen) => stage.word.commits() == seen,
            Awaited::Event => !stage.event.is_set(),
        }
    }

    /// Tells those who wait for a commit, an item or room that the storm is over, by one who is killed for it, as soon as
    /// he has told them, or before.
    fn tell(&mut self, number: u64) {
        let told = &self.ledger.slot(SLOTS).parked;
        let hasty = self.teller(number);
        (0..self.random.below(40_000)).for_each(|_| std::hint::spin_loop());
        hasty.kill();
        self.kills += 1;
        if told.load(SeqCst) != number {
            let patient = self.teller(number);
            until("one who tells all", || (told.load(SeqCst) == number).then_some(()));
            patient.kill();
            self.kills += 1;
        }
    }

    fn teller(&self, number: u64) -> Forked {
        fork(|| {
            serve_the_storm();
            sleepers::tell_all(self.ledger, self.stage());
            self.ledger.slot(SLOTS).parked.store(number, SeqCst);
            std::thread::sleep(LIMIT);
        })
    }

    /// All rest: nobody has anything.
    fn check_rest(&self) {
        assert_eq!(self.stage().semaphore.available(), PERMITS, "seed {}: a permit is lost", self.seed);
        for which in READ {
            let info = SegmentInfo::of(&member(&self.family, which)).unwrap();
            assert_eq!(info.active_readers(), Some(0), "seed {}: {info}", self.seed);
        }
    }

    /// Waits until all living workers have ended or come so far. Fails as soon as nothing can come of it: when all that
    /// are missing sleep, and none has woken for a second, somebody's wake-up is lost. (The locks' own safety net, which
    /// would hide that, takes three.)
    fn wait_for_all(&mut self, what: &str, has: impl Fn(&Self, &Slot) -> bool) {
        let limit = Instant::now() + LIMIT;
        let (mut before, mut unchanged) = (None, 0);
        loop {
            for slot in self.living() {
                if let Some(status) = self.workers[slot].as_mut().and_then(Forked::try_wait) {
                    self.bury(slot, status);
                }
            }
            self.look();
            if self.ledger.phase().1 == Phase::Tell && !self.stage().event.is_set() {
                self.stage().event.set().unwrap();
            }
            let missing: Vec<usize> =
                self.living().into_iter().filter(|slot| !has(self, self.ledger.slot(*slot))).collect();
            if missing.is_empty() {
                return;
            }
            let sleep_of = |slot: &usize| asleep(self.workers[*slot].as_ref().unwrap().id()).map(|nth| (*slot, nth));
            let sleeps: Option<Vec<_>> = missing.iter().map(sleep_of).collect();
            unchanged = if sleeps_are_counted() && sleeps.is_some() && sleeps == before { unchanged + 1 } else { 0 };
            before = sleeps;
            let (seed, kills) = (self.seed, self.kills);
            let awaited = || missing.iter().map(|slot| self.ledger.slot(*slot).awaited()).collect::<Vec<_>>();
            assert!(
                unchanged < 200,
                "seed {seed}, {kills} kills: {missing:?} sleep and nobody wakes them {what}: {:?}",
                awaited()
            );
            assert!(Instant::now() < limit, "seed {seed}, {kills} kills: waited in vain for {missing:?} {what}");
            std::thread::sleep(if unchanged < 10 { Duration::from_micros(200) } else { Duration::from_millis(5) });
        }
    }

    /// Lets the last workers end, and counts.
    fn finish(mut self) {
        self.ledger.start(Phase::Finish);
        (0..self.workers.len()).for_each(|slot| self.renew(slot));
        self.wait_for_all("to finish", |_, _| false);
        let seconds = self.start.elapsed().as_secs_f64();

        let name = member(&self.family, PERSISTENT);
        let persistent = SharedValue::<Accounts>::open(&name).unwrap();
        let found: Vec<u64> = PLACES.iter().map(|place| self.committed(*place, &persistent)).collect();
        drop(persistent);
        robust_shm::remove(&name).unwrap();

        let Self { ledger, family, seed, kills, exits, rounds, workers, .. } = &self;
        assert!(*kills > 0 && found.iter().all(|commits| *commits > 0), "{kills} kills, {found:?} commits");
        let removed = robust_shm::remove_orphans().unwrap();
        let orphans = removed.iter().filter(|name| name.starts_with(family)).count() as u64;
        let tally = |which| ledger.tally(which);
        let report = format!(
            "over: seed {seed}, {} processes, {seconds:.1} s, {rounds} rounds: {kills} kills, {exits} exits; {} commits \
             {found:?}, {} of them by the killed without acknowledgement; {} lock-free reads; {} poisonings met, {} \
             repaired; {} rolled back, {} timed out; {} short-lived segments created, {} opened, {} orphans removed by \
             request; {} times read side by side, {} permits used, {} waits without an end of time; nothing lost, torn, hung or left",
            workers.len(),
            found.iter().sum::<u64>(),
            tally(Tally::Unacknowledged),
            tally(Tally::Reads),
            tally(Tally::Poisonings),
            tally(Tally::Repairs),
            tally(Tally::RolledBack),
            tally(Tally::NotTaken),
            tally(Tally::Created),
            tally(Tally::Opened),
            tally(Tally::Orphans) + orphans,
            tally(Tally::Readings),
            tally(Tally::Permits),
            tally(Tally::Waits),
        );
        let (names, before) = (self.family.clone(), self.descriptors_before);
        drop(self);
        assert_eq!(count_descriptors(), before, "descriptors at the end");
        for which in 0..32 {
            assert!(!exists(&member(&names, which)), "{} is left", member(&names, which));
        }
        say(report);
    }

    /// The commits that a place has, after comparison with what the workers know.
    fn committed(&self, place: Place, persistent: &SharedValue<Accounts>) -> u64 {
        let stage = self.stage();
        let counts = match place {
            Place::Accounts => value_counts(&stage.accounts),
            Place::Persistent => value_counts(persistent),
            Place::Array => {
                let guard = stage.array.lock_recover(|elements| Elements::repair(elements)).unwrap();
                Elements::check(&*guard);
                guard[..SLOTS].try_into().unwrap()
            }
            Place::File => {
                drop(stage.lock.lock_recover(|| self.counters.repair()).unwrap());
                self.counters.check()
            }
            Place::Board => {
                drop(stage.rwlock.write_recover(|| self.board.repair()).unwrap());
                self.board.check()
            }
            Place::Put | Place::Taken => {
                let guard = stage.buffer.lock_recover(|stock| Stock::repair(stock, self.ledger)).unwrap();
                Stock::check(&*guard);
                std::array::from_fn(|slot| guard[Stock::at(place, slot)])
            }
            Place::Pair => return self.check_total(place, stage.pair.get().total, stage.pair.commits()),
            Place::Word => return self.check_total(place, stage.word.get(), stage.word.commits()),
        };
        counts.iter().enumerate().for_each(|(slot, count)| self.ledger.slot(slot).check(place, *count));
        counts.iter().sum()
    }

    fn check_total(&self, place: Place, total: u64, commits: u64) -> u64 {
        let (acknowledged, intended) = self.ledger.bounds(place);
        assert_eq!(commits, total, "{place:?}");
        assert!((acknowledged..=intended).contains(&total), "{place:?}: {acknowledged}, {intended}, {total}");
        total
    }
}

/// Each commit has added one to a count, and nothing else commits.
fn value_counts(value: &SharedValue<Accounts>) -> [u64; SLOTS] {
    let accounts = value.get();
    accounts.check();
    assert_eq!(value.commits(), accounts.total);
    accounts.counts
}

fn with_lock<R>(stage: &Stage, which: usize, body: impl FnOnce() -> R) -> R {
    match PLACES[which] {
        Place::Accounts => {
            let _guard = stage.accounts.lock().unwrap();
            body()
        }
        Place::Pair => {
            let _guard = stage.pair.lock().unwrap();
            body()
        }
        Place::Word => {
            let _guard = stage.word.lock().unwrap();
            body()
        }
        Place::Array => {
            let _guard = stage.array.lock_ignoring_poison().unwrap();
            body()
        }
        Place::Board => {
            let _guard = stage.rwlock.write_ignoring_poison().unwrap();
            body()
        }
        Place::Put | Place::Taken => {
            let _guard = stage.buffer.lock_ignoring_poison().unwrap();
            body()
        }
        Place::File | Place::Persistent => {
            let _guard = stage.lock.lock_ignoring_poison().unwrap();
            body()
        }
    }
}

/// In a worker: it outlives the killer by no moment, and leaves it the processor where there are many.
fn serve_the_storm() {
    // SAFETY: takes two integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: takes an integer.
    unsafe { libc::nice(5) };
}
