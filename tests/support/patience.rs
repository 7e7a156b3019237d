//! Tells a test that hangs from one that is slow: by what it and its children do with the processor.

use std::fs;
use std::time::{Duration, Instant};

use super::LIMIT;

/// So many looks in a row, a second apart, that find nobody at work make a hang. A waiter looks up by itself every
/// three seconds, and nothing in these tests sleeps for longer.
const IDLE_LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// What counts as work: looking up now and then does not.
const WORK: Duration = Duration::from_millis(20);

/// How long somebody has waited, and what has happened meanwhile.
pub(super) struct Patience {
    end: Instant,
    next_look: Instant,
    work: Duration,
    idle: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { end: now + LIMIT, next_look: now + BETWEEN_LOOKS, work: Duration::ZERO, idle: 0 }
    }

    /// When to ask again whether it is at its end.
    pub(super) fn next(&self) -> Duration {
        self.next_look.min(self.end).saturating_duration_since(Instant::now())
    }

    /// Fails when it has taken too long, or nobody has done anything for a while.
    #[track_caller]
    pub(super) fn check(&mut self, what: &str) {
        let now = Instant::now();
        assert!(now < self.end, "waited in vain for {what}: {LIMIT:?} are over");
        if now < self.next_look {
            return;
        }
        self.next_look = now + BETWEEN_LOOKS;
        if !tells_of_children() {
            return;
        }
        let work = others_work();
        if work.abs_diff(self.work) >= WORK {
            (self.work, self.idle) = (work, 0);
            return;
        }
        self.idle += 1;
        assert!(self.idle < IDLE_LOOKS, "waited in vain for {what}: nobody has done anything for {IDLE_LOOKS} s");
    }
}

/// The processor time of this process without that of this thread, and of all processes that come from it.
fn others_work() -> Duration {
    all_work().saturating_sub(clock(libc::CLOCK_THREAD_CPUTIME_ID))
}

fn all_work() -> Duration {
    let own = clock(libc::CLOCK_PROCESS_CPUTIME_ID);
    // SAFETY: takes an integer.
    #[allow(unsafe_code)]
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
    own + Duration::from_millis(ticks_of_children("self") * 1_000 / ticks_per_second)
}

fn clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the answer.
    #[allow(unsafe_code)]
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Does the system say which processes come from which? Not all that are built like Linux do.
fn tells_of_children() -> bool {
    fs::exists("/proc/thread-self/children").unwrap_or(false)
}

/// The processor time of all descendants of a process, those included that have been waited for.
fn ticks_of_children(pid: &str) -> u64 {
    let waited_for = stat(pid).map_or(0, |[_, _, user, system]| user + system);
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let of_child = |child: &str| stat(child).map_or(0, |[user, system, ..]| user + system) + ticks_of_children(child);
    waited_for + children.map(|children| children.split_whitespace().map(of_child).sum::<u64>()).sum::<u64>()
}

/// User and system time of a process, and of its children that have been waited for.
fn stat(pid: &str) -> Option<[u64; 4]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).map_while(|field| field.parse().ok());
    Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
}

/// Tells a wait from work: on a slow machine everything takes long, but hardly anything sleeps.
pub struct Stopwatch {
    start: Instant,
    work: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { start: Instant::now(), work: all_work() }
    }

    /// The time in which neither this process nor one that comes from it was at work.
    pub fn waited(&self) -> Duration {
        self.start.elapsed().saturating_sub(all_work().saturating_sub(self.work))
    }

    /// Fails if somebody has waited until he looked up by himself, which is after three seconds.
    #[track_caller]
    pub fn assert_nobody_waited_for_the_heartbeat(&self) {
        if !tells_of_children() {
            return; // their work would be taken for a wait
        }
        let waited = self.waited();
        assert!(waited < Duration::from_millis(2_500), "{waited:?}: by the heartbeat only");
    }
}
