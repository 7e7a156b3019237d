//! In the victim: tells every point that it passes, and stops at the one that it is to die at.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::support::{pause, say};

/// The environment variable that names the step to stop at.
pub const STOP_AT: &str = "ROBUST_SHM_STOP_AT";

/// One passing of a point: the how manieth, in the victim itself or in a child that it forked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub point: String,
    pub occurrence: usize,
    pub in_child: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", if self.in_child { "child" } else { "self" }, self.occurrence, self.point)
    }
}

impl Step {
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let in_child = words.next()? == "child";
        let occurrence = words.next()?.parse().ok()?;
        Some(Self { point: words.next()?.to_owned(), occurrence, in_child })
    }
}

/// The process that watches its points; 0: none does.
static ARMED_BY: AtomicU32 = AtomicU32::new(0);
static COUNTS: Mutex<BTreeMap<(bool, &str), usize>> = Mutex::new(BTreeMap::new());

/// The point at which the victim waits while something happens to it.
static PAUSE_AT: OnceLock<&str> = OnceLock::new();

/// Has the scenario's nudge happen when this point is passed for the first time.
pub fn nudged_at(point: &'static str) {
    PAUSE_AT.set(point).unwrap();
}

/// What a signal handler does that comes when this point is passed for the first time.
static HANDLER: OnceLock<(&str, fn())> = OnceLock::new();

pub fn interrupted_at(point: &'static str, handler: fn()) {
    HANDLER.set((point, handler)).unwrap();
}

/// Runs what is walked through step by step.
pub fn armed<R>(action: impl FnOnce() -> R) -> R {
    arm();
    let result = action();
    ARMED_BY.store(0, Ordering::Relaxed);
    result
}

/// The same until the end of the process.
pub fn arm() {
    robust_shm::watch_points(passed);
    ARMED_BY.store(std::process::id(), Ordering::Relaxed);
}

fn passed(point: &'static str) {
    static AT: OnceLock<Option<Step>> = OnceLock::new();
    let (armed_by, me) = (ARMED_BY.load(Ordering::Relaxed), std::process::id());
    if armed_by == 0 {
        return;
    }
    let in_child = me != armed_by;
    let occurrence = {
        let mut counts = COUNTS.lock().unwrap();
        let count = counts.entry((in_child, point)).or_default();
        *count += 1;
        *count
    };
    let step = Step { point: point.to_owned(), occurrence, in_child };
    say(format!("passed {step}"));
    if AT.get_or_init(|| Step::parse(&std::env::var(STOP_AT).ok()?)).as_ref() == Some(&step) {
        say(format!("at {me}"));
        // SAFETY: takes an integer. Nothing of this process runs on until it is killed.
        #[allow(unsafe_code)]
        unsafe {
            libc::raise(libc::SIGSTOP)
        };
    }
    if PAUSE_AT.get() == Some(&point) && occurrence == 1 {
        say("nudge");
        pause();
    }
    if let Some((at, handler)) = HANDLER.get()
        && *at == point
        && occurrence == 1
    {
        handler();
    }
}
