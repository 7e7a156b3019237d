//! A storm of kills for every system: processes that hold, wait for, create, open and read what they share are killed at
//! random, and new ones come. Nothing is lost or torn, nobody hangs, nothing is left. (`storm/` has more of everything, where
//! there are forks.)
//!
//! ```sh
//! cargo test --test kills                                                          # 60 kills
//! ROBUST_SHM_STORM_KILLS=2000 cargo test --release --test kills -- --nocapture
//! ```
//!
//! What is known outside of the crate's memory stands in a plain file. A worker notes there what it intends to commit, and what
//! it has committed: so what is found later is at least the one, and at most the other.

mod ledger;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use ledger::{ARRAY, CREATING, DOING, DOINGS, HOLDING, LOCK, Ledger, NOTHING, READING, RESTS, Remove, VALUE, WAITING};
use robust_shm::{Error, LockError, LockGuard, SharedArray, SharedLock, SharedValue, remove_orphans};
use support::{
    Family, LIMIT, Random, Role, Scratch, asleep, each_death_wakes, member, own_tid, pause, play, ready_to_die, say,
    spawn, until,
};

const WORKERS: usize = 6;

#[test]
fn child() {
    play(&[
        ("work", |name| {
            let (family, slot) = name.rsplit_once(' ').unwrap();
            Worker::new(family, slot.parse().unwrap()).run();
        }),
        ("hold", |name| {
            let lock = SharedLock::open(name).unwrap();
            let _guard = lock.lock().unwrap();
            ready_to_die();
        }),
    ]);
}

#[test]
fn kills_lose_nothing_tear_nothing_hang_nobody_and_leave_nothing() {
    let kills = std::env::var("ROBUST_SHM_STORM_KILLS").map_or(60, |kills| kills.parse().expect("a number of kills"));
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let family = Family::new("kills");
    let ledger = Ledger::create(family.name());
    let _remove = Remove(Ledger::path(family.name()));
    let stage = Stage::open(family.name());
    let start = |slot: usize| spawn("work", &format!("{} {slot}", family.name()));
    let mut workers: Vec<Role> = (0..WORKERS).map(start).collect();
    workers.iter_mut().for_each(Role::go_on);
    let mut found = [0usize; DOINGS.len()];
    let has_both = |found: &[usize]| found[HOLDING as usize] > 0 && found[WAITING as usize] > 0;
    // At least one in eight is a holder, and more are waiters: soon there are some of each.
    let most = kills.max(600);
    let mut killed = 0;
    while killed < kills || !has_both(&found) && killed < most {
        let slot = random.below(WORKERS);
        let mut next = start(slot); // and does nothing yet: of each slot one is at work
        next.expect("ready");
        std::thread::sleep(Duration::from_micros(random.below(20_000) as u64));
        std::mem::swap(&mut workers[slot], &mut next);
        next.kill();
        found[ledger.word(slot, DOING) as usize] += 1;
        workers[slot].go_on();
        killed += 1;
        if killed % 10 == 0 {
            let round = stage.phase.update(|phase| *phase += 1).unwrap();
            until("the rest of all", || (0..WORKERS).all(|slot| ledger.word(slot, RESTS) == round).then_some(()));
            stage.phase.update(|phase| *phase += 1).unwrap();
        }
    }
    stage.phase.set(OVER).unwrap();
    workers.into_iter().for_each(Role::join);
    let (counts, sum) = ledger.counters();
    let [values, elements] =
        [stage.value.get().counts, stage.array.lock_recover(repair).unwrap()[..WORKERS].try_into().unwrap()];
    let mut commits = 0;
    for (place, found) in [(VALUE, values), (ARRAY, elements), (LOCK, counts)] {
        (0..WORKERS).for_each(|slot| ledger.check(slot, place, found[slot]));
        commits += found.iter().sum::<u64>();
    }
    assert_eq!(counts.iter().sum::<u64>(), sum);
    drop(stage);
    remove_orphans().unwrap();
    assert_eq!(family.living(), [""; 0], "left over");
    let when = DOINGS.iter().zip(found).map(|(doing, count)| format!(", {count} {doing}")).collect::<String>();
    assert!(has_both(&found), "{killed} kills{when}: too few to show anything");
    println!("{killed} kills{when}; {commits} commits: 0 violations, 0 torn, 0 hung");
}

/// Prints how long it takes from the kill of a holder until somebody who waits has the lock. (What is printed is for people to
/// read: no machine that others use can be held to a short time. But nobody waits for his next look by the clock, which comes
/// after three seconds.)
#[test]
fn how_soon_a_killed_holders_lock_is_had() {
    let name = Scratch::new("handover");
    let lock = SharedLock::create(&name).unwrap();
    let mut times: Vec<Duration> = (0..20).map(|_| from_kill_to_lock(&lock, &name)).collect();
    times.sort_unstable();
    println!(
        "from kill to lock: median {:?}, longest {:?}, of {}",
        times[times.len() / 2],
        times[times.len() - 1],
        times.len()
    );
    assert!(times[times.len() - 1] <= SOON || !each_death_wakes(), "{times:?}");
}

const SOON: Duration = Duration::from_millis(2_500);

fn from_kill_to_lock(lock: &SharedLock, name: &str) -> Duration {
    let holder = spawn("hold", name);
    holder.expect("ready");
    std::thread::scope(|scope| {
        let (sender, thread) = std::sync::mpsc::channel();
        let waiter = scope.spawn(move || {
            sender.send(own_tid()).unwrap();
            let guard = lock.lock_recover(|| ()).unwrap();
            let now = Instant::now();
            drop(guard);
            now
        });
        let thread = thread.recv().unwrap();
        until("the waiter's sleep", || lock.info().unwrap().has_sleepers().then(|| asleep(thread)).flatten());
        let start = Instant::now();
        holder.kill();
        waiter.join().unwrap().saturating_duration_since(start)
    })
}

/// What all share.
struct Stage {
    value: SharedValue<Accounts>,
    array: SharedArray<u64, { WORKERS + 1 }>,
    lock: SharedLock,
    /// Odd: all are to take each lock once more, and to rest.
    phase: SharedValue<u64>,
}

const OVER: u64 = u64::MAX;
/// Of a segment that comes and goes.
const SHORT_LIVED: usize = 9;

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Accounts {
    counts: [u64; WORKERS],
    sum: u64,
}

impl Accounts {
    fn check(&self) {
        assert_eq!(self.counts.iter().sum::<u64>(), self.sum, "torn");
    }
}

/// The last element is the sum of the others.
fn check(elements: &[u64; WORKERS + 1]) {
    assert_eq!(elements[..WORKERS].iter().sum::<u64>(), elements[WORKERS], "torn, and no poison");
}

fn repair(elements: &mut [u64; WORKERS + 1]) {
    elements[WORKERS] = elements[..WORKERS].iter().sum();
}

impl Stage {
    fn open(family: &str) -> Self {
        let name = |which| member(family, which);
        let nothing = Accounts { counts: [0; WORKERS], sum: 0 };
        Self {
            value: SharedValue::open_or_create(&name(0), nothing).unwrap(),
            array: SharedArray::open_or_create(&name(1)).unwrap(),
            lock: SharedLock::open_or_create(&name(2)).unwrap(),
            phase: SharedValue::open_or_create(&name(3), 0).unwrap(),
        }
    }
}

struct Worker {
    family: String,
    slot: usize,
    stage: Stage,
    ledger: Ledger,
    random: Random,
}

impl Worker {
    fn new(family: &str, slot: usize) -> Self {
        let (stage, ledger) = (Stage::open(family), Ledger::open(family));
        let random = Random::new(u64::from(std::process::id()));
        Self { family: family.to_owned(), slot, stage, ledger, random }
    }

    fn run(&mut self) {
        // Whatever it waits for by then, also if the test was killed, which would have ended it.
        std::thread::spawn(|| {
            std::thread::sleep(LIMIT);
            eprintln!("nobody has ended this worker within {LIMIT:?}");
            std::process::abort();
        });
        say("ready");
        pause();
        loop {
            match self.stage.phase.get() {
                OVER => return,
                round if round % 2 == 1 => self.rest(round),
                _ => self.act(),
            }
            self.is(NOTHING);
        }
    }

    /// With no bound of time: who is forgotten is found.
    fn rest(&mut self, round: u64) {
        self.change_value();
        self.change_array();
        self.change_what_the_lock_guards();
        self.is(NOTHING);
        self.ledger.set_word(self.slot, RESTS, round);
        while self.stage.phase.get() == round {
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn act(&mut self) {
        match self.random.below(60) {
            0 => self.create(), // which takes longer than all else
            1..15 => self.change_value(),
            15..30 => self.change_array(),
            30..45 => self.change_what_the_lock_guards(),
            45..52 => {
                self.is(READING);
                (0..100).for_each(|_| self.stage.value.get().check());
            }
            _ => {
                self.is(WAITING);
                let wait = Duration::from_micros(self.random.below(3_000) as u64);
                match self.stage.value.try_lock_for(wait) {
                    Ok(guard) => guard.check(),
                    Err(LockError::TimedOut { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn is(&self, doing: u64) {
        self.ledger.set_word(self.slot, DOING, doing);
    }

    /// Notes what is intended now; and that what was intended before has been committed or not.
    fn intend(&self, place: usize, found: u64) {
        self.ledger.check(self.slot, place, found);
        self.ledger.set_word(self.slot, place + 1, found);
        self.ledger.set_word(self.slot, place, found + 1);
    }

    fn acknowledge(&self, place: usize) {
        self.ledger.set_word(self.slot, place + 1, self.ledger.word(self.slot, place));
    }

    fn change_value(&mut self) {
        self.is(WAITING);
        let mut guard = self.stage.value.lock().unwrap();
        self.is(HOLDING);
        guard.check();
        self.intend(VALUE, guard.counts[self.slot]);
        guard.counts[self.slot] += 1;
        linger(&mut self.random);
        guard.sum += 1;
        drop(guard);
        self.is(NOTHING);
        self.acknowledge(VALUE);
    }

    fn change_array(&mut self) {
        self.is(WAITING);
        let taken = match self.random.below(3) {
            0 => self.stage.array.try_lock_for(Duration::from_micros(self.random.below(3_000) as u64)),
            _ => self.stage.array.lock(),
        };
        let mut guard = match taken {
            Ok(guard) => guard,
            Err(LockError::TimedOut { .. }) => return,
            Err(LockError::Poisoned { .. }) => self.stage.array.lock_recover(repair).unwrap(),
            Err(error) => panic!("{error}"),
        };
        self.is(HOLDING);
        check(&guard);
        self.intend(ARRAY, guard[self.slot]);
        guard[self.slot] += 1;
        linger(&mut self.random);
        guard[WORKERS] += 1;
        drop(guard);
        self.is(NOTHING);
        self.acknowledge(ARRAY);
    }

    fn change_what_the_lock_guards(&mut self) {
        self.is(WAITING);
        let mut guard = self.stage.lock.lock_ignoring_poison().unwrap();
        self.is(HOLDING);
        let (counts, sum) = self.ledger.counters();
        let (me, whole) = (u64::from(std::process::id()), counts.iter().sum::<u64>());
        if LockGuard::is_poisoned(&guard) {
            self.ledger.set(Ledger::SUM, whole);
            LockGuard::clear_poison(&mut guard);
        } else {
            assert_eq!(whole, sum, "half-written, and no poison");
            assert_eq!(self.ledger.get(Ledger::INSIDE), 0, "somebody is inside, or died there without poison");
        }
        self.ledger.set(Ledger::INSIDE, me);
        self.intend(LOCK, counts[self.slot]);
        self.ledger.set(Ledger::COUNTERS + self.slot, counts[self.slot] + 1);
        linger(&mut self.random);
        self.ledger.set(Ledger::SUM, whole + 1);
        assert_eq!(self.ledger.get(Ledger::INSIDE), me, "somebody came in");
        self.ledger.set(Ledger::INSIDE, 0);
        drop(guard);
        self.is(NOTHING);
        self.acknowledge(LOCK);
    }

    /// Of all who come at once one creates it, and nobody sees it half-made; it goes with its last user.
    fn create(&mut self) {
        self.is(CREATING);
        let name = member(&self.family, SHORT_LIVED);
        match self.random.below(3) {
            0 => drop(SharedArray::open_or_create_from(&name, &[7u64; 1_000]).unwrap()),
            1 => match SharedArray::<u64, 1_000>::create(&name) {
                Ok(array) => array.copy_from_slice(&[7; 1_000]).unwrap(),
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => panic!("{error}"),
            },
            _ => match SharedArray::<u64, 1_000>::open(&name) {
                Ok(array) => {
                    let all = array.lock_recover(|elements| elements.fill(7)).unwrap();
                    assert!(all[..] == [7; 1_000] || all[..] == [0; 1_000], "half-made");
                }
                Err(Error::NotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            },
        }
    }
}

/// Sometimes for so long that the others sleep, and most who are killed hold something.
fn linger(random: &mut Random) {
    match random.below(4) {
        0 => std::thread::sleep(Duration::from_micros(random.below(3_000) as u64)),
        _ => std::thread::yield_now(),
    }
}
