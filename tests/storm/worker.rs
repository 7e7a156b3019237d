//! A worker: commits, reads, repairs, creates, opens and leaves at random, until it is killed.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use robust_shm::{ArrayGuard, Error, LockError, LockGuard, SegmentInfo, SharedValue, SliceGuard, ValueGuard};

use crate::ledger::{Counters, Ledger, PLACES, Phase, Place, Slot, Tally};
use crate::stage::{Accounts, Elements, PERSISTENT, Pair, REMOVED, SHORT_LIVED, Stage, Token, check_totals};
use crate::support::{LIMIT, Random, member};

/// What a worker works on.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) family: &'a str,
    pub(crate) ledger: &'static Ledger,
    pub(crate) counters: &'a Counters,
    /// What the lock for readers and writers guards.
    pub(crate) board: &'a Counters,
}

pub(crate) struct Worker<'a> {
    pub(crate) scene: Scene<'a>,
    pub(crate) stage: &'a Stage,
    pub(crate) which: usize,
    pub(crate) random: Random,
    /// Is it known what this slot has committed to each place?
    settled: [bool; PLACES.len()],
    descriptors: usize,
}

pub(crate) fn count_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Changes and repairs the elements through one of the two faces that they have.
macro_rules! through {
    ($face:ident, $guard:ident: $change:ident, $repair:ident) => {
        fn $change(&mut self) {
            let elements = &self.stage.$face;
            let taken = match self.random.below(4) {
                0 => elements.try_lock_for(Duration::from_micros(self.random.below(200) as u64)),
                _ => elements.lock(),
            };
            let mut guard = match taken {
                Ok(guard) => guard,
                Err(LockError::Poisoned { .. }) => return self.$repair(),
                Err(LockError::TimedOut { .. }) => return self.slot().count(Tally::NotTaken, 1),
                Err(error) => panic!("{error}"),
            };
            self.scene.ledger.enter(Place::Array, true);
            Elements::check(&guard[..]);
            self.settle(Place::Array, guard[self.which]);
            self.slot().intend(Place::Array);
            Elements::change(&mut guard[..], self.which);
            self.linger();
            self.scene.ledger.leave(Place::Array);
            drop(guard);
            self.slot().acknowledge(Place::Array);
        }

        pub(crate) fn $repair(&mut self) {
            self.slot().count(Tally::Poisonings, 1);
            let elements = &self.stage.$face;
            if self.random.below(4) == 0 {
                // Who does not clear the poison leaves it to the next.
                let guard = elements.lock_ignoring_poison().unwrap();
                if !$guard::is_poisoned(&guard) {
                    Elements::check(&guard[..]);
                }
                return;
            }
            let guard = elements.lock_recover(|elements| {
                Elements::repair(elements);
                self.scene.ledger.enter(Place::Array, false);
                self.scene.ledger.leave(Place::Array);
                self.slot().count(Tally::Repairs, 1);
            });
            Elements::check(&guard.unwrap()[..]);
        }
    };
}

impl<'a> Worker<'a> {
    pub(crate) fn new(scene: Scene<'a>, stage: &'a Stage, which: usize, random: Random) -> Self {
        Self { scene, stage, which, random, settled: [false; PLACES.len()], descriptors: count_descriptors() }
    }

    pub(crate) fn slot(&self) -> &'static Slot {
        self.scene.ledger.slot(self.which)
    }

    fn name(&self, which: usize) -> String {
        member(self.scene.family, which)
    }

    /// Works until the storm is over, or for a random while.
    pub(crate) fn run(&mut self) {
        while self.random.below(3_000) != 0 {
            match self.scene.ledger.phase() {
                (_, Phase::Storm) => self.act(),
                (number, Phase::Relay(which)) => self.relay(number, which),
                (number, Phase::Tell) => self.rest(number),
                (_, Phase::Finish) => return PLACES.into_iter().for_each(|place| self.visit(place)),
            }
        }
    }

    /// Takes the lock that all wait for, then each of the others, and rests until the storm goes on.
    fn relay(&mut self, number: u64, which: usize) {
        // Who lives is not to be ended by the bound of all children.
        // SAFETY: takes an integer.
        unsafe { libc::alarm(LIMIT.as_secs() as libc::c_uint) };
        self.visit(PLACES[which]);
        // In a lull, what some wait for is left to one: see `deed`.
        let is_lull = self.scene.ledger.scarce().is_some();
        let is_left = |place| is_lull && matches!(place, Place::Pair | Place::Word | Place::Put | Place::Taken);
        let others = PLACES.into_iter().filter(|place| *place != PLACES[which] && !is_left(*place));
        others.for_each(|place| self.visit(place));
        assert_eq!(count_descriptors(), self.descriptors, "descriptors of worker {}", self.which);
        self.rest(number);
    }

    pub(crate) fn rest(&mut self, number: u64) {
        self.slot().parked.store(number, SeqCst);
        while self.scene.ledger.phase().0 == number {
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    pub(crate) fn visit(&mut self, place: Place) {
        match place {
            Place::Accounts => self.transfer_in(Place::Accounts, &self.stage.accounts),
            Place::Pair => self.count_pair(),
            Place::Word => self.count_word(),
            Place::Array => self.change_elements(),
            Place::File => self.count_in_file(),
            Place::Board => self.write_on_board(),
            Place::Put | Place::Taken => self.trade(place),
            Place::Persistent => self.transfer_persistently(),
        }
    }

    fn act(&mut self) {
        let is_lull = self.scene.ledger.scarce().is_some();
        match self.random.below(100) {
            0..14 => self.transfer_in(Place::Accounts, &self.stage.accounts),
            14..17 => self.transfer_or_not(),
            17..25 if is_lull && self.random.below(16) != 0 => std::thread::yield_now(),
            17..21 => self.count_pair(),
            21..25 => self.count_word(),
            25..37 => self.change_elements(),
            37..45 => self.count_in_file(),
            45..52 => self.read_side_by_side(),
            52..56 => self.write_on_board(),
            56..61 => self.trade(Place::Put),
            61..66 => self.trade(Place::Taken),
            66..70 => self.watch(),
            70..76 => self.ring(),
            76..82 => self.use_a_permit(),
            82..87 => self.read(),
            87..90 => self.transfer_persistently(),
            90..97 => self.live_shortly(),
            97..99 => self.create_and_remove(),
            _ => self.look_around(),
        }
    }

    /// Sometimes a section takes longer, so that others sleep.
    pub(crate) fn linger(&mut self) {
        match self.random.below(20) {
            0 => std::thread::yield_now(),
            1 => (0..self.random.below(3_000)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }

    /// What this slot has committed to a place is what it has acknowledged, or, after a death, at most one more.
    pub(crate) fn settle(&mut self, place: Place, found: u64) {
        if std::mem::replace(&mut self.settled[place as usize], true) {
            let (acknowledged, intended) = self.slot().bounds(place);
            assert_eq!((found, found), (acknowledged, intended), "{place:?}: found, acknowledged, intended");
        } else {
            self.slot().settle(place, found);
        }
    }

    pub(crate) fn transfer_in(&mut self, place: Place, accounts: &SharedValue<Accounts>) {
        let mut guard = accounts.lock().unwrap();
        guard.check();
        self.settle(place, guard.counts[self.which]);
        self.scene.ledger.enter(place, false);
        self.slot().intend(place);
        guard.transfer(self.which, &mut self.random);
        self.linger();
        self.scene.ledger.leave(place);
        drop(guard);
        self.slot().acknowledge(place);
    }

    /// Takes the lock only if it is to be had soon; and what is rolled back or discarded does not count.
    fn transfer_or_not(&mut self) {
        let accounts = &self.stage.accounts;
        let wait = Duration::from_micros(self.random.below(200) as u64);
        match accounts.try_lock_for(wait) {
            Ok(mut guard) => {
                self.settle(Place::Accounts, guard.counts[self.which]);
                guard.transfer(self.which, &mut self.random);
                ValueGuard::discard(guard);
            }
            Err(LockError::TimedOut { .. }) => self.slot().count(Tally::NotTaken, 1),
            Err(error) => panic!("{error}"),
        }
        let _: LockError = accounts
            .try_update(|value| {
                value.check();
                value.transfer(self.which, &mut self.random);
                Err::<(), _>(accounts.try_lock().unwrap_err())
            })
            .unwrap_err();
        self.slot().count(Tally::RolledBack, 2);
    }

    fn count_pair(&mut self) {
        let total = self.stage.pair.update(|pair| {
            pair.check();
            self.slot().intend(Place::Pair);
            *pair = Pair::new(pair.total + 1);
        });
        self.scene.ledger.best_pair.fetch_max(total.unwrap().total, SeqCst);
        self.slot().acknowledge(Place::Pair);
    }

    fn count_word(&mut self) {
        let mut guard = self.stage.word.lock().unwrap();
        self.slot().intend(Place::Word);
        *guard += 1;
        let total = *guard;
        drop(guard);
        self.scene.ledger.best_word.fetch_max(total, SeqCst);
        self.slot().acknowledge(Place::Word);
    }

    fn change_elements(&mut self) {
        if self.random.below(2) == 0 { self.change_array() } else { self.change_slice() }
    }

    through!(array, ArrayGuard: change_array, repair_array);
    through!(slice, SliceGuard: change_slice, repair_slice);

    fn count_in_file(&mut self) {
        let Scene { ledger, counters, .. } = self.scene;
        let guard = match self.stage.lock.lock() {
            Ok(guard) => guard,
            Err(LockError::Poisoned { .. }) => return self.repair_file(),
            Err(error) => panic!("{error}"),
        };
        ledger.enter(Place::File, true);
        let counts = counters.check();
        self.settle(Place::File, counts[self.which]);
        self.slot().intend(Place::File);
        counters.write(self.which, counts[self.which] + 1);
        self.linger();
        counters.write(counts.len(), counts.iter().sum::<u64>() + 1);
        ledger.leave(Place::File);
        drop(guard);
        self.slot().acknowledge(Place::File);
    }

    fn repair_file(&mut self) {
        self.slot().count(Tally::Poisonings, 1);
        let mut guard = self.stage.lock.lock_ignoring_poison().unwrap();
        if LockGuard::is_poisoned(&guard) {
            self.scene.counters.repair();
            self.scene.ledger.enter(Place::File, false);
            self.scene.ledger.leave(Place::File);
            LockGuard::clear_poison(&mut guard);
            self.slot().count(Tally::Repairs, 1);
        }
        drop(guard);
    }

    /// Without a lock: whole, and not older than what is known.
    fn read(&mut self) {
        let mut total = 0;
        for _ in 0..20 {
            let accounts = self.stage.accounts.get();
            accounts.check();
            self.slot().check(Place::Accounts, accounts.counts[self.which]);
            assert!(accounts.total >= total, "stale after newer");
            total = accounts.total;
            check_totals(self.scene.ledger, self.stage);
        }
        self.slot().count(Tally::Reads, 80);
    }

    /// Whoever comes creates it; it stays without a user now and then, and its commits stay.
    fn transfer_persistently(&mut self) {
        let options = SharedValue::<Accounts>::options().persistent(true);
        let accounts = options.open_or_create(&self.name(PERSISTENT), Accounts::new()).unwrap();
        self.transfer_in(Place::Persistent, &accounts);
    }

    /// While anybody has a segment, its name leads to it.
    fn live_shortly(&mut self) {
        let which = self.random.below(SHORT_LIVED.len());
        let name = self.name(SHORT_LIVED.start + which);
        let Some(token) = self.open_somehow(&name) else { return };
        let id = token.get().id;
        for _ in 0..self.random.below(4) {
            std::thread::yield_now();
            match SharedValue::<Token>::open(&name) {
                Ok(second) => assert_eq!(second.get().id, id, "{name} leads to another segment than the one in use"),
                Err(error) => panic!("in use: {error}"),
            }
        }
        token.update(|token| *token = Token::new(token.id, token.changes + 1)).unwrap();
    }

    fn create_and_remove(&mut self) {
        let which = self.random.below(REMOVED.len());
        let name = self.name(REMOVED.start + which);
        let token = self.open_somehow(&name);
        if self.random.below(2) == 0 {
            match robust_shm::remove(&name) {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if let Some(token) = token {
            token.update(|token| *token = Token::new(token.id, token.changes + 1)).unwrap();
        }
    }

    fn open_somehow(&mut self, name: &str) -> Option<SharedValue<Token>> {
        let id = self.random.below(usize::MAX) as u64;
        let opened = match self.random.below(3) {
            0 => SharedValue::create(name, Token::new(id, 0)),
            1 => SharedValue::open(name),
            _ => SharedValue::open_or_create(name, Token::new(id, 0)),
        };
        match opened {
            Ok(token) => {
                let found = token.get();
                found.check();
                assert!(!token.was_created() || found.id == id, "{name}: created by two");
                self.slot().count(if token.was_created() { Tally::Created } else { Tally::Opened }, 1);
                Some(token)
            }
            Err(Error::AlreadyExists { .. } | Error::NotFound { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn look_around(&mut self) {
        let removed = robust_shm::remove_orphans().unwrap();
        let ours = removed.iter().filter(|name| name.starts_with(self.scene.family)).count();
        self.slot().count(Tally::Orphans, ours);
        let which = self.random.below(SHORT_LIVED.end);
        match SegmentInfo::of(&self.name(which)) {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        match SegmentInfo::of(&self.name(0)) {
            Ok(info) => assert!(!info.is_orphan(), "{info}"),
            Err(error) => panic!("{error}"),
        }
    }
}
