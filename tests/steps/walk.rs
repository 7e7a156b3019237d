//! Takes a scenario apart into its steps, and has its victim killed at each of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::locks;
use crate::step::{STOP_AT, Step};
use crate::support::{Family, Heard, Role, spawn, spawn_through};

/// Well below the heartbeat of three seconds, with which a waiter would help itself: so the kernel has to wake it.
pub const BOUND: Duration = Duration::from_millis(2_500);
/// From this occurrence on, a point of a scenario is not walked again.
const OCCURRENCES: usize = 6;
/// Other programs sweep an orphan away before the victim comes to it, and leave some that it sweeps away; and where it matters
/// who is faster, on a busy machine it is the other: a step, and a scenario as a whole, may need more than one attempt.
const ATTEMPTS: usize = 60;
const ABOUT_TO_SLEEP: [&str; 5] = [
    "wait: about to sleep",
    "event: about to sleep",
    "permit: about to sleep",
    "drain: about to sleep",
    "sleep: about to sleep",
];

/// Something that a process does, and what must be true when it died anywhere in it.
pub struct Scenario {
    /// The role of the process that is killed.
    pub victim: &'static str,
    /// The role of the process that comes while the victim is stopped at its step. It says "got it", however long the
    /// victim was stopped, soon after its death; and it leaves when it is let go on.
    pub bystander: &'static str,
    /// What there is before the victim starts.
    pub set_up: fn(&mut World),
    /// What happens once, when the victim sleeps on a lock, or asks for it.
    pub nudge: fn(&mut World),
    /// What must be true afterwards.
    pub check: fn(&Case),
    /// A point without which it has not taken place: somebody else has swept the orphan away.
    pub essential: Option<&'static str>,
    /// Must all be well, too, if the victim is only stopped for a while?
    pub goes_on: bool,
    /// Must the bystander get what it has come for while the victim stays stopped, unless that holds the lock?
    pub stays_stopped: bool,
}

/// What comes of the victim that has stopped at its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    KilledAlone,
    KilledInCompany,
    GoesOn,
    StaysStopped,
}

/// The other processes, and the names.
pub struct World {
    pub family: Family,
    /// The process id of the victim.
    pub victim: u32,
    pub keepers: Vec<Role>,
    /// Has what the victim is after, and leaves at its death at the latest.
    pub holder: Option<Role>,
    /// Waits for the lock, behind or before the victim, and says "got it" soon after the victim's death.
    pub waiter: Option<Role>,
    /// Those who leave cannot remove the name, and leave that to its owner.
    pub leaves_orphans: bool,
}

impl World {
    pub fn new(prefix: &str) -> Self {
        Self {
            family: Family::new(prefix),
            victim: 0,
            keepers: Vec::new(),
            holder: None,
            waiter: None,
            leaves_orphans: false,
        }
    }

    /// Starts a process that says "ready" and stays until the end.
    pub fn keep(&mut self, role: &str) {
        let keeper = spawn(role, self.family.name());
        keeper.expect("ready");
        self.keepers.push(keeper);
    }

    /// Starts a process that says "ready" and goes away in the middle.
    pub fn hold(&mut self, role: &str) {
        let holder = spawn(role, self.family.name());
        holder.expect("ready");
        self.holder = Some(holder);
    }

    /// Starts a process that says "ready", and kills it.
    pub fn kill(&self, role: &str) {
        let short_lived = spawn(role, self.family.name());
        short_lived.expect("ready");
        short_lived.kill();
    }
}

/// A death.
pub struct Case<'a> {
    pub world: &'a World,
    /// What the victim has passed; the last is where it died.
    pub passed: &'a [Step],
    pub in_company: bool,
}

impl Case<'_> {
    pub fn name(&self) -> String {
        self.world.family.member(0)
    }

    /// How often the victim had passed one of these points.
    pub fn count(&self, points: &[&str]) -> usize {
        self.passed.iter().filter(|step| !step.in_child && points.contains(&step.point.as_str())).count()
    }

    pub fn is_past(&self, point: &str) -> bool {
        self.count(&[point]) > 0
    }

    /// The victim's children may end later than it.
    pub fn wait_for_users(&self, expected: usize) {
        let name = self.name();
        soon("the users to be those that live", || {
            (robust_shm::SegmentInfo::of(&name).unwrap().attached() == expected).then_some(())
        });
    }
}

/// All steps that the victim of a scenario passes when nobody kills it.
pub fn record(scenario: &Scenario) -> Vec<Step> {
    let mut attempts = (0..ATTEMPTS).map(|_| record_once(scenario));
    let has_taken_place = |passed: &Vec<Step>| match scenario.essential {
        Some(point) => passed.iter().any(|step| step.point == point),
        None => !passed.is_empty(),
    };
    attempts.find(has_taken_place).unwrap_or_else(|| panic!("{} does not take place", scenario.victim))
}

fn record_once(scenario: &Scenario) -> Vec<Step> {
    let mut world = World::new("steps");
    (scenario.set_up)(&mut world);
    let mut passed = Vec::new();
    let mut victim = spawn(scenario.victim, world.family.name());
    world.victim = victim.id();
    assert_eq!(run(&mut victim, scenario, &mut world, &mut passed), None, "nobody told it to stop");
    release(&mut world);
    victim.join();
    for mut other in world.waiter.into_iter().chain(world.keepers) {
        other.go_on();
        other.join();
    }
    passed
}

/// Every creation sweeps, so the scenarios come one after another.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills the victim at each of its steps, once alone and once in company, and stops it there. Returns how many steps there were.
pub fn walk(scenario: &Scenario) -> usize {
    let _alone = alone();
    let steps: Vec<Step> = record(scenario).into_iter().filter(|step| step.occurrence <= OCCURRENCES).collect();
    let all = [Fate::KilledAlone, Fate::KilledInCompany, Fate::GoesOn, Fate::StaysStopped];
    let fates = all.iter().filter(|fate| match fate {
        Fate::KilledAlone | Fate::KilledInCompany => true,
        Fate::GoesOn => scenario.goes_on,
        Fate::StaysStopped => scenario.stays_stopped,
    });
    for step in &steps {
        for fate in fates.clone() {
            let context = Context { scenario: scenario.victim, step, fate: *fate };
            let reached = (0..ATTEMPTS).any(|_| stop_at(step, *fate, scenario));
            // Was it one of somebody else's orphans that a sweep removed? And how often one who waits goes to sleep or dozes, or
            // asks to be preferred, and what comes of that, is a matter of time.
            let is_of_waiting =
                ["wait: ", "successor: ", "reserve: ", "list: "].iter().any(|of| step.point.starts_with(of));
            let is_by_the_clock = is_of_waiting && step.occurrence > 1;
            assert!(reached || is_by_the_clock || !record(scenario).contains(step), "never reached again");
            drop(context);
        }
    }
    steps.len()
}

/// Says where it was when a test fails.
struct Context<'a> {
    scenario: &'static str,
    step: &'a Step,
    fate: Fate,
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("{}: at {}: {:?}", self.scenario, self.step, self.fate);
    }
}

/// `false`: the victim has ended without coming there.
fn stop_at(step: &Step, fate: Fate, scenario: &Scenario) -> bool {
    let mut world = World::new("steps");
    (scenario.set_up)(&mut world);
    let wrapper = format!("{STOP_AT}={step}");
    let mut victim = spawn_through(&["env", &wrapper], scenario.victim, world.family.name());
    world.victim = victim.id();
    let mut passed = Vec::new();
    let Some(stopped) = run(&mut victim, scenario, &mut world, &mut passed) else {
        release(&mut world);
        return false;
    };
    let in_company = fate != Fate::KilledAlone;
    let lives = matches!(fate, Fate::GoesOn | Fate::StaysStopped);
    let mut bystander = in_company.then(|| arrive(scenario.bystander, &world));
    if let (Fate::StaysStopped, Some((bystander, heard))) = (fate, &mut bystander) {
        release(&mut world);
        let case = Case { world: &world, passed: &passed, in_company };
        if case.count(locks::ACQUIRED) == case.count(locks::RELEASED) {
            let got_it = heard.take();
            gets_it(bystander, got_it);
            *heard = Some("got it".to_owned());
        }
    }
    let mut nudged = passed.iter().any(|step| ABOUT_TO_SLEEP.contains(&step.point.as_str())) && world.holder.is_none();
    let death = Instant::now();
    if lives {
        signal(stopped, libc::SIGCONT);
    } else {
        signal(stopped, libc::SIGKILL);
    }
    if lives || stopped != victim.id() {
        assert_eq!(run_on(&mut victim, scenario, &mut world, &mut passed, &mut nudged), None, "stopped again");
        assert!(victim.wait_for_end().success());
    } else {
        let status = victim.wait_for_end();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    }
    release(&mut world);
    if let Some(waiter) = &world.waiter {
        gets_it(waiter, None);
    }
    if let Some((bystander, heard)) = &mut bystander {
        gets_it(bystander, heard.take());
    }
    assert!(death.elapsed() < BOUND, "nobody woke them: they helped themselves");
    (scenario.check)(&Case { world: &world, passed: &passed, in_company });
    let others = bystander.into_iter().map(|(role, _)| role).chain(world.waiter.take()).chain(world.keepers.drain(..));
    for mut other in others {
        other.go_on();
        other.join();
    }
    soon("nothing to be left over", || {
        if world.leaves_orphans {
            robust_shm::remove_orphans().unwrap();
        }
        world.family.living().is_empty().then_some(())
    });
    true
}

/// Lets the victim run until it or a child of it stops at the step: gives the process. `None`: it has ended.
fn run(victim: &mut Role, scenario: &Scenario, world: &mut World, passed: &mut Vec<Step>) -> Option<u32> {
    run_on(victim, scenario, world, passed, &mut false)
}

fn run_on(
    victim: &mut Role,
    scenario: &Scenario,
    world: &mut World,
    passed: &mut Vec<Step>,
    nudged: &mut bool,
) -> Option<u32> {
    crate::support::until("the victim's next step", || {
        match victim.heard() {
            Heard::Line(line) => match line.split_once(' ') {
                Some(("passed", step)) => passed.push(Step::parse(step).unwrap()),
                Some(("at", process)) => return Some(Some(process.parse().unwrap())),
                _ => {
                    assert_eq!(line, "nudge");
                    (scenario.nudge)(world);
                    victim.go_on();
                }
            },
            Heard::End => return Some(None),
            Heard::NothingYet => {
                let sleeps = passed.last().is_some_and(|step| ABOUT_TO_SLEEP.contains(&step.point.as_str()));
                if sleeps && !*nudged && is_asleep(victim.id()) {
                    *nudged = true;
                    (scenario.nudge)(world);
                }
            }
        }
        None
    })
}

/// Starts a bystander; returns when it sleeps, or with what it has said.
pub fn arrive(role: &str, world: &World) -> (Role, Option<String>) {
    let bystander = spawn(role, world.family.name());
    bystander.expect("begins");
    let mut asleep = 0;
    let heard = crate::support::until("the bystander to wait", || match bystander.heard() {
        Heard::Line(line) => Some(Some(line)),
        Heard::End => panic!("the bystander has ended"),
        Heard::NothingYet => {
            asleep = if is_asleep(bystander.id()) { asleep + 1 } else { 0 };
            (asleep == 5).then_some(None)
        }
    });
    (bystander, heard)
}

fn gets_it(role: &Role, heard: Option<String>) {
    let heard = heard.unwrap_or_else(|| {
        soon("those who wait", || match role.heard() {
            Heard::Line(line) => Some(line),
            Heard::NothingYet => None,
            Heard::End => panic!("one who waited has ended"),
        })
    });
    assert_eq!(heard, "got it");
}

fn signal(process: u32, signal: libc::c_int) {
    // SAFETY: to a stopped process, whose parent is this one, or waits for its end.
    #[allow(unsafe_code)]
    let result = unsafe { libc::kill(process.cast_signed(), signal) };
    assert_eq!(result, 0);
}

/// Lets a holder leave that is still there.
pub fn release(world: &mut World) {
    if let Some(mut holder) = world.holder.take() {
        holder.go_on();
        holder.join();
    }
}

/// Do all threads of the process sleep?
pub fn is_asleep(pid: u32) -> bool {
    are_all(pid, 'S')
}

/// Are all threads of the process stopped?
pub fn has_stopped(pid: u32) -> bool {
    are_all(pid, 'T')
}

fn are_all(pid: u32, state: char) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(state))
    })
}

/// Waits for what must come soon.
pub fn soon<R>(what: &str, mut condition: impl FnMut() -> Option<R>) -> R {
    let end = Instant::now() + 2 * BOUND;
    loop {
        if let Some(result) = condition() {
            return result;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}
