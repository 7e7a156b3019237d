//! A storm on one lock: sixteen processes, next to nothing in the critical section, and nothing in between. A sleeper
//! that nobody wakes is found while it sleeps.
//!
//! A waiter looks up every three seconds, and so hides a lost wake-up; a count of long waits would also count
//! those of a busy machine. So a watcher looks from outside, without taking the lock, for what is wrong at any speed:
//!
//! * a lock that nobody holds, and counts that stand still, while every process *sleeps*;
//! * a word without the waiters bit while one sleeps, which was asleep before and is still in the same sleep.
//!
//! What needs two processes at certain instructions is rare here; `tests/models/lock` finds it for sure.
//!
//! `ROBUST_SHM_STRESS_SECONDS=300 cargo test --release --test stress_lock` is the long form; the default is 2 for each test.
#![cfg(target_os = "linux")]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use robust_shm::{LockError, SharedArray};
use support::{Forked, Random, Scratch, fork, path, play, say, spawn};

const PROCESSES: usize = 16;
/// One count of each process, and behind them the count of all.
type Counts = SharedArray<u64, { PROCESSES + 1 }>;

/// How many processes there are in one storm and the next. With many there is always a sleeper, and the waiters bit is
/// never cleared; with few it is cleared and set again all the time.
const SIZES: [usize; 4] = [PROCESSES, 4, 8, 5];
const STORM: Duration = Duration::from_millis(250);
/// So many looks in a row that find the same make a stranded sleeper: some 300 ms, a tenth of what a waiter sleeps
/// at most.
const LOOKS: u32 = 50;
const STOPS: u32 = 5;
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn child() {
    play(&[("peaceful", |name| storms(name, false)), ("deadly", |name| storms(name, true))]);
}

#[test]
fn no_sleeper_is_stranded_in_a_storm() {
    weather("peaceful");
}

#[test]
fn no_sleeper_is_stranded_in_a_storm_that_kills() {
    weather("deadly");
}

fn weather(role: &str) {
    let name = Scratch::new("storm");
    let counts = Counts::create(&name).unwrap();
    let look = Look::at(&name);
    let guard = counts.lock().unwrap();
    assert_ne!(look.now().holder, 0, "the lock word is elsewhere");
    drop(guard);
    assert_eq!(look.now().holder, 0);
    let child = spawn(role, &name);
    // The storms are longer than the limit if they are asked to be; then the child says so after each.
    loop {
        match child.hear().as_str() {
            "another storm" => {}
            "calm" => break,
            failure => panic!("{failure}"),
        }
    }
    child.join();
    let counted = look.now().counts;
    println!("{role}: {} times locked, epoch {}", counted[PROCESSES], look.now().epoch);
    assert!(counted[PROCESSES] > 0);
}

/// What the lock line and the counts say, read through the file: see `src/layout.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    holder: u32,
    has_waiters: bool,
    epoch: u32,
    is_poisoned: bool,
    counts: [u64; PROCESSES + 1],
}

struct Look(File);

impl Look {
    fn at(name: &str) -> Self {
        Self(File::open(path(name)).unwrap())
    }

    fn now(&self) -> Seen {
        const LOCK_LINE: usize = 512;
        const COUNTS: usize = 704;
        let mut bytes = [0; COUNTS + 8 * (PROCESSES + 1)];
        self.0.read_exact_at(&mut bytes, 0).unwrap();
        let small = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let large = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        let word = small(LOCK_LINE + 8);
        Seen {
            holder: word & libc::FUTEX_TID_MASK,
            has_waiters: word & libc::FUTEX_WAITERS != 0,
            epoch: small(LOCK_LINE),
            is_poisoned: word & libc::FUTEX_OWNER_DIED != 0 || small(LOCK_LINE + 56) != 0,
            counts: std::array::from_fn(|i| large(COUNTS + 8 * i)),
        }
    }
}

/// In a child, which has one thread that matters: storm after storm.
fn storms(name: &str, kills: bool) {
    let seconds = std::env::var("ROBUST_SHM_STRESS_SECONDS").map_or(2, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let look = Look::at(name);
    let mut random = Random::new(u64::from(std::process::id()));
    for size in SIZES.into_iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        if let Err(failure) = storm(name, &look, size, kills, &mut random) {
            return say(failure);
        }
        say("another storm");
    }
    say("calm");
}

fn storm(name: &str, look: &Look, size: usize, kills: bool, random: &mut Random) -> Result<(), String> {
    let end = Instant::now() + STORM;
    let before = look.now();
    let mut processes: Vec<_> = (0..size).map(|i| Some(start(name, i, end))).collect();
    let mut killed = 0;
    let mut watch = Watch::default();
    while processes.iter().any(Option::is_some) {
        if kills && Instant::now() < end {
            let i = random.below(size);
            drop(processes[i].take()); // kills it
            processes[i] = Some(start(name, i, end));
            killed += 1;
        }
        for _ in 0..STOPS {
            stop_one_for_a_moment(&processes, random);
        }
        watch.look(look, &processes)?;
        find_forgotten(look, &processes)?;
        for process in &mut processes {
            match process.as_mut().and_then(Forked::try_wait) {
                Some(0) => *process = None,
                Some(status) => return Err(format!("a process failed: {status}")),
                None => {}
            }
        }
    }
    let after = look.now();
    // The compiler may swap the two additions.
    let torn = |seen: &Seen| seen.counts[PROCESSES].wrapping_sub(seen.counts[..PROCESSES].iter().sum()).cast_signed();
    let newly_torn = torn(&after).abs_diff(torn(&before));
    if newly_torn > killed || newly_torn > 0 && !after.is_poisoned {
        return Err(format!("{newly_torn} counts torn with {killed} killed: {after:?}"));
    }
    Ok(())
}

/// Two steps of the protocol are a few instructions apart. A signal that comes in a system call is seen at its end: so
/// those who stop often do so between a wake-up and what follows, while the others go on.
fn stop_one_for_a_moment(processes: &[Option<Forked>], random: &mut Random) {
    // A sleeper would look again, and a lost wake-up would not be seen.
    let process = processes[random.below(processes.len())].as_ref().filter(|process| sleep_of(process).is_none());
    process.inspect(|process| process.signal(libc::SIGSTOP));
    std::thread::sleep(MOMENT);
    process.inspect(|process| process.signal(libc::SIGCONT));
}

#[derive(Default)]
struct Watch {
    last: Option<Seen>,
    times: u32,
}

impl Watch {
    fn look(&mut self, look: &Look, processes: &[Option<Forked>]) -> Result<(), String> {
        let seen = look.now();
        let is_suspect = seen.holder == 0
            && self.last == Some(seen)
            && processes.iter().flatten().all(|process| sleep_of(process).is_some());
        self.times = if is_suspect { self.times + 1 } else { 0 };
        self.last = Some(seen);
        if self.times < LOOKS {
            return Ok(());
        }
        let sleepers = processes.iter().flatten().count();
        Err(format!("{sleepers} sleep and nobody wakes them: {seen:?}"))
    }
}

/// Finds those who sleep although the waiters bit is clear: the next unlock will wake nobody. Others may do so sooner or
/// later, if they happen to sleep as well, which is why this is looked for and not only its end.
///
/// Once is no proof: the kernel takes a sleeper from the queue a little before it makes it run, and whoever wakes may
/// lose the processor in between, on a slow machine for long. So it goes on until each of those who were awake has
/// counted, or slept, or ended since: then no wake-up is under way any more that had begun before.
fn find_forgotten(look: &Look, processes: &[Option<Forked>]) -> Result<(), String> {
    const TIMES: u32 = 10;
    let mut forgotten: Vec<_> = processes.iter().flatten().filter_map(|p| Some((p, sleep_of(p)?))).collect();
    let before = look.now().counts;
    let mut awake: Vec<_> = processes.iter().enumerate().filter_map(|(i, p)| Some((i, p.as_ref()?))).collect();
    awake.retain(|(_, process)| sleep_of(process).is_none());
    for times in 0.. {
        if (0..8).map(|_| look.now()).all(|seen| seen.has_waiters) {
            return Ok(());
        }
        // Asleep before and after, and the same sleep: so asleep when the word was looked at.
        forgotten.retain(|(process, sleep)| sleep_of(process) == Some(*sleep));
        if forgotten.is_empty() {
            return Ok(());
        }
        awake.retain(|(i, process)| {
            let is_in_place = look.now().counts[*i] == before[*i] && sleep_of(process).is_none();
            is_in_place && !support::has_ended(process.id())
        });
        if times >= TIMES && awake.is_empty() {
            break;
        }
        std::thread::sleep(MOMENT);
    }
    Err(format!("{} sleep without the waiters bit: {:?}", forgotten.len(), look.now()))
}

/// If the process waits for a futex: how many times it has slept. One that has been woken, and waits for a processor,
/// does not sleep.
fn sleep_of(process: &Forked) -> Option<u64> {
    let proc = format!("/proc/{}", process.id());
    let status = std::fs::read_to_string(format!("{proc}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // Not everywhere may it be read; then every sleep counts, and there is hardly another while the storm lasts.
    let call = std::fs::read_to_string(format!("{proc}/syscall"));
    let is_futex = call.map_or(true, |call| call.starts_with(&format!("{} ", libc::SYS_futex)));
    (is_futex && field("State:")?.starts_with('S')).then(|| field("voluntary_ctxt_switches:")?.parse().ok())?
}

fn start(name: &str, i: usize, end: Instant) -> Forked {
    fork(|| {
        // SAFETY: takes integers; the process is to end with its parent.
        #[allow(unsafe_code)]
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
        };
        hammer(&Counts::open(name).unwrap(), i, end);
    })
}

/// Mostly `lock`, at times with a deadline that comes in the middle of things. Nobody repairs: what was torn stays.
fn hammer(counts: &Counts, i: usize, end: Instant) {
    let mut random = Random::new(u64::from(std::process::id()));
    let mut mine = None;
    let mut times = 0; // once at least, on a machine on which it takes long to get here
    while times == 0 || Instant::now() < end {
        times += 1;
        for _ in 0..32 {
            let locked = match random.below(16) {
                0 => counts.try_lock_ignoring_poison_for(Duration::from_micros(random.below(100) as u64)),
                _ => counts.lock_ignoring_poison(),
            };
            let mut guard = match locked {
                Ok(guard) => guard,
                Err(LockError::TimedOut { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            assert!(mine.is_none_or(|mine| mine == guard[i]), "somebody else wrote into count {i}");
            guard[i] += 1;
            if random.below(4) == 0 {
                std::thread::yield_now(); // with few processors, others seldom come while the lock is held
            }
            guard[PROCESSES] += 1;
            mine = Some(guard[i]);
        }
    }
}
