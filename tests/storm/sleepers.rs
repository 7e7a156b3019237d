//! The part of a worker that waits for others, and that reads beside them: conditions, watched values, the event, permits,
//! readers side by side. Some of the waits have no end of time: whoever is forgotten sleeps on.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use robust_shm::{LockError, RwLockWriteGuard, SharedValue};

use crate::ledger::{Awaited, Ledger, Phase, Place, SLOTS, Tally};
use crate::stage::{Elements, Pair, ROOM, Stage, Stock};
use crate::support::{Random, member};
use crate::worker::Worker;

/// For all who wait for a commit, an item or room: they look, and see that the storm is over.
pub(crate) fn tell_all(ledger: &Ledger, stage: &Stage) {
    let me = ledger.slot(SLOTS);
    for tell in if ledger.phase().0 % 32 < 16 { [0, 1, 2] } else { [2, 1, 0] } {
        match tell {
            0 => {
                let guard = stage.buffer.lock_recover(|stock| Stock::repair(stock, ledger)).unwrap();
                stage.buffer.condvar_at(0).notify_all(&guard);
                stage.buffer.condvar_at(1).notify_all(&guard);
            }
            1 => {
                me.intend(Place::Pair);
                stage.pair.update(|pair| *pair = Pair::new(pair.total + 1)).unwrap();
                me.acknowledge(Place::Pair);
            }
            _ => {
                me.intend(Place::Word);
                stage.word.update(|word| *word += 1).unwrap();
                me.acknowledge(Place::Word);
            }
        }
    }
}

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(300) as u64)
}

/// What can be waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Item,
    Room,
    Commit,
    Event,
}

impl Worker<'_> {
    /// While all others rest, or wait: does what is waited for, once. Nothing comes after it that would wake who is forgotten.
    pub(crate) fn deed(&mut self) {
        for place in [Place::Pair, Place::Word].into_iter().chain(self.scene.ledger.scarce()) {
            self.visit(place);
        }
        self.stage.event.set().unwrap();
    }

    /// In its place: dies in the middle of it.
    pub(crate) fn fail_at_deed(&mut self) {
        let _guard = self.stage.buffer.lock_ignoring_poison().unwrap();
        // SAFETY: kills this very process.
        unsafe { libc::raise(libc::SIGKILL) };
    }

    /// Is this one of those who wait for this until it is there? In a lull, half of them wait for what is scarce.
    fn is_patient(&self, awaited: Way) -> bool {
        let ways = match self.scene.ledger.scarce() {
            None => [Way::Item, Way::Room, Way::Commit, Way::Event],
            Some(Place::Put) => [Way::Item, Way::Commit, Way::Item, Way::Event],
            Some(_) => [Way::Room, Way::Commit, Way::Room, Way::Event],
        };
        ways[self.which % 4] == awaited
    }

    fn is_storm(&self) -> bool {
        self.scene.ledger.phase().1 == Phase::Storm
    }

    /// Puts items or takes one; while the storm lasts, waits until it can.
    pub(crate) fn trade(&mut self, place: Place) {
        let (ledger, buffer) = (self.scene.ledger, &self.stage.buffer);
        if ledger.scarce() == Some(place) && self.is_storm() && self.random.below(16) != 0 {
            return;
        }
        let taken = match self.random.below(4) {
            0 => buffer.try_lock_for(moment(&mut self.random)),
            _ => buffer.lock(),
        };
        let guard = match taken {
            Ok(guard) => guard,
            Err(LockError::Poisoned { .. }) => return self.repair_stock(),
            Err(LockError::TimedOut { .. }) => return self.slot().count(Tally::NotTaken, 1),
            Err(error) => panic!("{error}"),
        };
        let (mine, others) = (usize::from(place == Place::Put), usize::from(place != Place::Put));
        // Who has begun to wait in the storm waits on until he is told that it is over.
        let waits = self.is_storm();
        let must_wait = |stock: &mut [u64; _]| {
            waits && Stock::must_wait(&stock[..], place) && !matches!(ledger.phase().1, Phase::Tell | Phase::Finish)
        };
        let waited = if self.is_patient(if place == Place::Put { Way::Room } else { Way::Item }) {
            // Noted at each look: who was told of a death looks again, and waits on if it was repaired by then.
            let note = || {
                let repairs = ledger.repairs.load(SeqCst);
                let awaited = if place == Place::Put { Awaited::Room(repairs) } else { Awaited::Item(repairs) };
                self.slot().waits_for(awaited);
            };
            let waited = buffer.condvar_at(mine).wait_while(guard, |stock| {
                note();
                must_wait(stock)
            });
            self.slot().waits_for(Awaited::Nothing);
            self.slot().count(Tally::Waits, 1);
            waited
        } else {
            let time = moment(&mut self.random);
            buffer.condvar_at(mine).wait_while_for(guard, time, must_wait).map(|(guard, _)| guard)
        };
        let mut guard = match waited {
            Ok(guard) => guard,
            Err(LockError::Poisoned { .. }) => return self.repair_stock(),
            Err(error) => panic!("{error}"),
        };
        // One lock, whatever it is taken for.
        ledger.enter(Place::Put, true);
        Stock::check(&guard[..]);
        self.settle(place, guard[Stock::at(place, self.which)]);
        let most = if place == Place::Put { 1 + self.random.below(ROOM as usize) } else { 1 };
        let mut done = 0;
        while done < most && !Stock::must_wait(&guard[..], place) {
            self.slot().intend(place);
            Stock::change(&mut guard[..], place, self.which, ledger);
            self.linger();
            done += 1;
        }
        ledger.leave(Place::Put);
        for _ in 0..done {
            match self.random.below(8) {
                0 => buffer.condvar_at(others).notify_all(&guard),
                _ => buffer.condvar_at(others).notify_one(&guard),
            }
        }
        drop(guard);
        (0..done).for_each(|_| self.slot().acknowledge(place));
    }

    fn repair_stock(&mut self) {
        self.slot().count(Tally::Poisonings, 1);
        let guard = self.stage.buffer.lock_recover(|stock| {
            Stock::repair(stock, self.scene.ledger);
            self.scene.ledger.enter(Place::Put, false);
            self.scene.ledger.leave(Place::Put);
            self.slot().count(Tally::Repairs, 1);
        });
        Stock::check(&guard.unwrap()[..]);
    }

    /// Reads what others write in place, beside others who read.
    pub(crate) fn read_side_by_side(&mut self) {
        let hurried = (self.random.below(4) == 0).then(|| moment(&mut self.random));
        let (ledger, stage) = (self.scene.ledger, self.stage);
        macro_rules! reading {
            ($face:expr, $place:expr, $repair:ident, |$guard:ident| $look:expr) => {{
                match hurried.map_or_else(|| $face.read(), |time| $face.try_read_for(time)) {
                    Ok($guard) => {
                        $look;
                        self.linger();
                        ledger.expect_nobody($place);
                        $look;
                        self.slot().count(Tally::Readings, 1);
                    }
                    Err(LockError::Poisoned { .. }) => self.$repair(),
                    Err(LockError::TimedOut { .. }) => self.slot().count(Tally::NotTaken, 1),
                    Err(error) => panic!("{error}"),
                }
            }};
        }
        match self.random.below(4) {
            0 => reading!(stage.array, Place::Array, repair_array, |guard| Elements::check(&guard[..])),
            1 => reading!(stage.slice, Place::Array, repair_slice, |guard| Elements::check(&guard[..])),
            2 => reading!(stage.buffer, Place::Put, repair_stock, |guard| Stock::check(&guard[..])),
            _ => reading!(stage.rwlock, Place::Board, repair_board, |_guard| {
                self.scene.board.check();
            }),
        }
    }

    pub(crate) fn write_on_board(&mut self) {
        let (ledger, board) = (self.scene.ledger, self.scene.board);
        let taken = match self.random.below(4) {
            0 => self.stage.rwlock.try_write_for(moment(&mut self.random)),
            _ => self.stage.rwlock.write(),
        };
        let guard = match taken {
            Ok(guard) => guard,
            Err(LockError::Poisoned { .. }) => return self.repair_board(),
            Err(LockError::TimedOut { .. }) => return self.slot().count(Tally::NotTaken, 1),
            Err(error) => panic!("{error}"),
        };
        ledger.enter(Place::Board, true);
        let counts = board.check();
        self.settle(Place::Board, counts[self.which]);
        self.slot().intend(Place::Board);
        board.write(self.which, counts[self.which] + 1);
        self.linger();
        board.write(counts.len(), counts.iter().sum::<u64>() + 1);
        ledger.leave(Place::Board);
        drop(guard);
        self.slot().acknowledge(Place::Board);
    }

    fn repair_board(&mut self) {
        self.slot().count(Tally::Poisonings, 1);
        let mut guard = self.stage.rwlock.write_ignoring_poison().unwrap();
        RwLockWriteGuard::recover(&mut guard, || {
            self.scene.board.repair();
            self.scene.ledger.enter(Place::Board, false);
            self.scene.ledger.leave(Place::Board);
            self.slot().count(Tally::Repairs, 1);
        });
    }

    /// Waits for the next commit to a value that all commit to; or only looks, as one who is no user of it.
    pub(crate) fn watch(&mut self) {
        let is_pair = self.random.below(2) == 0;
        if self.random.below(4) == 0 {
            let observer = SharedValue::<Pair>::observe(&member(self.scene.family, 1)).unwrap();
            let mut seen = u64::MAX;
            let pair = observer.get_if_changed(&mut seen).unwrap();
            pair.check();
            assert_eq!(pair.total, seen, "the number of another commit");
            return;
        }
        let time = moment(&mut self.random);
        let is_patient = self.is_patient(Way::Commit) && self.is_storm();
        macro_rules! next {
            ($value:ident, $awaited:ident) => {{
                let mut seen = self.stage.$value.commits();
                let newer = if is_patient {
                    self.slot().waits_for(Awaited::$awaited(seen));
                    self.stage.$value.wait_newer(&mut seen)
                } else {
                    self.stage.$value.wait_newer_for(&mut seen, time)
                };
                self.slot().waits_for(Awaited::Nothing);
                (newer, seen)
            }};
        }
        let (found, seen) = if is_pair {
            let (newer, seen) = next!(pair, Pair);
            (newer.inspect(Pair::check).map(|pair| pair.total), seen)
        } else {
            next!(word, Word)
        };
        match found {
            Ok(total) => assert_eq!(total, seen, "the number of another commit"),
            Err(LockError::TimedOut { .. }) if !is_patient => return self.slot().count(Tally::NotTaken, 1),
            Err(error) => panic!("{error}"),
        }
        if is_patient {
            self.slot().count(Tally::Waits, 1);
        }
    }

    /// Sets the event, clears it, or waits for it.
    pub(crate) fn ring(&mut self) {
        let event = &self.stage.event;
        let is_lull = self.scene.ledger.scarce().is_some();
        match self.random.below(4) {
            0 if is_lull && self.random.below(16) != 0 => std::thread::yield_now(),
            0 => event.set().unwrap(),
            1 => event.clear().unwrap(),
            _ if self.is_patient(Way::Event) && self.is_storm() => {
                self.slot().waits_for(Awaited::Event);
                event.wait().unwrap();
                self.slot().waits_for(Awaited::Nothing);
                self.slot().count(Tally::Waits, 1);
            }
            _ => match event.wait_for(moment(&mut self.random)) {
                Ok(()) => {}
                Err(LockError::TimedOut { .. }) => self.slot().count(Tally::NotTaken, 1),
                Err(error) => panic!("{error}"),
            },
        }
    }

    /// Takes a permit, and does other things with it.
    pub(crate) fn use_a_permit(&mut self) {
        let taken = match self.random.below(8) {
            0 => self.stage.semaphore.try_acquire(),
            1 => self.stage.semaphore.try_acquire_for(moment(&mut self.random)),
            _ => self.stage.semaphore.acquire(),
        };
        let permit = match taken {
            Ok(permit) => permit,
            Err(LockError::WouldBlock { .. } | LockError::TimedOut { .. }) => {
                return self.slot().count(Tally::NotTaken, 1);
            }
            Err(error) => panic!("{error}"),
        };
        self.scene.ledger.hold(permit.index(), || match self.random.below(4) {
            0 => self.read_side_by_side(),
            1 => self.transfer_in(Place::Accounts, &self.stage.accounts),
            _ => self.linger(),
        });
        drop(permit);
        self.slot().count(Tally::Permits, 1);
    }
}
