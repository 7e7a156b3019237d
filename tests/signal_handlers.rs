//! A signal handler may lock and unlock, whatever it interrupts: here it does so at **every instruction** of our
//! operations and of libc's (the processor's single-step flag raises a signal after each), and at the whim of a timer; and
//! the process is killed while it does.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/nested.rs"]
mod nested;
mod support;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use nested::{Locks, NESTED, STEPS, assert_listed};
use support::{Family, play, spawn};
#[cfg(target_arch = "x86_64")]
use support::{Random, fork, is_linux, say};

#[test]
fn child() {
    play(&[
        ("timer", |family| interrupted_by_a_timer(family, 60_000)),
        ("timer-long", |family| interrupted_by_a_timer(family, 1_000_000)),
        #[cfg(target_arch = "x86_64")]
        ("stepped", stepped::at_every_instruction),
        #[cfg(target_arch = "x86_64")]
        ("stepped-deaths", |family| {
            stepped::killed_in_the_handler(family, if cfg!(debug_assertions) { 50 } else { 2_000 })
        }),
        #[cfg(target_arch = "x86_64")]
        ("stepped-deaths-long", |family| stepped::killed_in_the_handler(family, 200_000)),
    ]);
}

static LOCKS: OnceLock<Locks> = OnceLock::new();
/// Which of [`NESTED`] the handler does.
static PATTERN: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn handle(signal: libc::c_int, handler: *const (), flags: libc::c_int) {
    // SAFETY: all-zero bytes are an action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = flags;
    // SAFETY: the action outlives the call, and callers pass handlers of the type that the flags ask for.
    let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    assert_eq!(result, 0);
}

/// Runs a handler's body and leaves `errno` as it was, as every handler must.
fn in_handler(body: impl FnOnce()) {
    // SAFETY: the address of this thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    body();
    // SAFETY: as above.
    unsafe { *errno = before };
}

fn nest() {
    let nested = NESTED[PATTERN.load(Relaxed)];
    nested(LOCKS.get().unwrap());
}

extern "C" fn timer_ticks(_signal: libc::c_int) {
    in_handler(|| {
        PATTERN.store(COUNT.fetch_add(1, Relaxed) % NESTED.len(), Relaxed);
        nest();
        wind(TIMER.load(Relaxed));
    });
}

static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(std::ptr::null_mut());

/// It goes off once, soon. Not at an interval: where the handler takes longer than that, its thread would come to nothing else.
fn wind(timer: libc::timer_t) {
    let (soon, never) = (libc::timespec { tv_sec: 0, tv_nsec: 17_000 }, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    let once = libc::itimerspec { it_interval: never, it_value: soon };
    // SAFETY: a timer of ours, or one that is deleted, which is an error; the time outlives the call.
    unsafe { libc::timer_settime(timer, 0, &raw const once, std::ptr::null_mut()) };
}

/// Sends SIGALRM to the thread that starts it, which the handler has it do again: a signal to the process might reach another.
struct Timer(libc::timer_t);

impl Timer {
    fn start() -> Self {
        // SAFETY: all-zero bytes are an event without a notification.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGALRM;
        // SAFETY: takes nothing.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer = std::ptr::null_mut();
        // SAFETY: the event outlives the call, which writes the timer.
        assert_eq!(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) }, 0);
        TIMER.store(timer, Relaxed);
        wind(timer);
        Self(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: a timer of ours, not used again.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Was seen as: after some 40,000 signals the list was a cycle, or had lost a lock that was held.
fn interrupted_by_a_timer(family: &str, ticks: usize) {
    let locks = LOCKS.get_or_init(|| Locks::new(family));
    locks.take_all(); // a thread's first lock may allocate: so not in the handler
    handle(libc::SIGALRM, timer_ticks as *const (), libc::SA_RESTART);
    let timer = Timer::start();
    while COUNT.load(Relaxed) < ticks {
        STEPS.iter().for_each(|steps| steps(locks));
        assert_listed(0);
        let _held = [0, 1, 2].map(|which| locks.ours[which].lock().unwrap());
        assert_listed(3);
    }
    drop(timer);
    assert_listed(0);
    assert_eq!(locks.take_all(), 0);
}

#[test]
fn tens_of_thousands_of_signals_whose_handler_locks_leave_the_list_whole() {
    let family = Family::new("timer");
    spawn("timer", family.name()).join();
}

/// To run it: `cargo test --release --test signal_handlers -- --ignored`.
#[test]
#[ignore = "a million signals"]
fn a_million_signals_whose_handler_locks_leave_the_list_whole() {
    let family = Family::new("timer-long");
    spawn("timer-long", family.name()).join();
}

#[cfg(target_arch = "x86_64")]
mod stepped {
    use super::*;

    const NO_STEPS: &str = "does not stop after each instruction";
    const NEVER: usize = usize::MAX;
    /// How many instructions are tried one at a time. Without the optimiser there are tens of thousands, and only the least is
    /// done.
    const SAMPLES: usize = if cfg!(debug_assertions) { 2 } else { 200 };
    const PATTERNS: std::ops::Range<usize> = if cfg!(debug_assertions) { 2..3 } else { 0..NESTED.len() };
    /// Whichever instruction it is.
    const EACH: usize = usize::MAX - 1;
    /// After which instruction the handler locks.
    static LOCKS_AFTER: AtomicUsize = AtomicUsize::new(NEVER);
    /// After which instruction in the handler the process is killed.
    static DIES_AFTER: AtomicUsize = AtomicUsize::new(NEVER);
    /// Instructions of what is interrupted, and of the handler.
    static STEPPED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    static DEPTH: AtomicUsize = AtomicUsize::new(0);

    /// Has the processor raise SIGTRAP after every instruction from now on. The kernel clears the flag while a handler runs.
    #[inline(never)]
    fn step_on() {
        // SAFETY: changes the flag and nothing else; SIGTRAP is handled.
        unsafe { std::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    }

    #[inline(never)]
    fn step_off() {
        // SAFETY: as above.
        unsafe { std::arch::asm!("pushfq", "and qword ptr [rsp], ~0x100", "popfq") };
    }

    extern "C" fn stepped(_signal: libc::c_int, _info: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
        let depth = DEPTH.load(Relaxed);
        let step = STEPPED[depth].fetch_add(1, Relaxed);
        if depth == 1 {
            if step == DIES_AFTER.load(Relaxed) {
                // SAFETY: ends this process.
                unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGKILL) };
            }
            return;
        }
        let after = LOCKS_AFTER.load(Relaxed);
        if after != EACH && after != step {
            return;
        }
        if after == step {
            // SAFETY: what the kernel has saved of the thread: its flags, without the one that has it stepped.
            unsafe { (*context).uc_mcontext.gregs[libc::REG_EFL as usize] &= !0x100 };
        }
        in_handler(|| {
            DEPTH.store(1, Relaxed);
            let dies = DIES_AFTER.load(Relaxed) != NEVER;
            if dies {
                step_on();
            }
            nest();
            if dies {
                step_off();
            }
            DEPTH.store(0, Relaxed);
        });
    }

    /// Runs the steps one instruction at a time, and gives how many there were.
    fn run(locks: &Locks, steps: nested::Steps, locks_after: usize, dies_after: usize) -> usize {
        STEPPED.iter().for_each(|stepped| stepped.store(0, Relaxed));
        LOCKS_AFTER.store(locks_after, Relaxed);
        DIES_AFTER.store(dies_after, Relaxed);
        step_on();
        steps(locks);
        step_off();
        STEPPED[0].load(Relaxed)
    }

    fn set_up(family: &str) -> &'static Locks {
        let locks = LOCKS.get_or_init(|| Locks::new(family));
        locks.take_all(); // a thread's first lock may allocate: so not in the handler
        handle(libc::SIGTRAP, stepped as *const (), libc::SA_NODEFER | libc::SA_SIGINFO);
        locks
    }

    /// Says where it was when a test fails.
    struct Context {
        which: usize,
        outer: usize,
        inner: usize,
    }

    impl Drop for Context {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let Self { which, outer, inner } = self;
                eprintln!("case {which}, after instruction {outer}, and {inner} of the handler");
            }
        }
    }

    pub(super) fn at_every_instruction(family: &str) {
        let locks = set_up(family);
        for pattern in PATTERNS {
            PATTERN.store(pattern, Relaxed);
            for steps in STEPS {
                let count = run(locks, steps, EACH, NEVER);
                say(format!("{count} instructions"));
                assert!(count > 20, "{count} instructions: they are not stepped");
                assert_listed(0);
                // What one handler spoils, the next may mend: so, one at a time.
                let count = run(locks, steps, NEVER, NEVER);
                for step in (0..count).step_by(1 + count / SAMPLES) {
                    run(locks, steps, step, NEVER);
                    assert_listed(0);
                }
            }
        }
        assert_eq!(locks.take_all(), 0);
    }

    /// Kills at instructions of a handler that comes at instructions of what it interrupts. Whatever is held goes to the
    /// next one at once.
    pub(super) fn killed_in_the_handler(family: &str, deaths: usize) {
        let locks = set_up(family);
        let mut random = Random::new(1);
        let mut counts = [[0; 2]; STEPS.len() * NESTED.len()];
        for (which, count) in counts.iter_mut().enumerate() {
            PATTERN.store(which % NESTED.len(), Relaxed);
            let steps = STEPS[which / NESTED.len()];
            run(locks, steps, 20, NEVER - 2);
            *count = [0, 1].map(|depth| STEPPED[depth].load(Relaxed));
        }
        let mut killed = 0;
        for death in 0..deaths {
            let which = death % counts.len();
            let [outer, inner] = counts[which].map(|count| random.below(count));
            PATTERN.store(which % NESTED.len(), Relaxed);
            let mut child = fork(|| {
                run(locks, STEPS[which / NESTED.len()], outer, inner);
            });
            let status = support::until("a child", || child.try_wait());
            assert!([0, libc::SIGKILL].contains(&status), "status {status}: {which}, {outer}, {inner}");
            killed += usize::from(status != 0);
            let context = Context { which, outer, inner };
            locks.take_all();
            drop(context);
        }
        assert!(killed > deaths / 4, "{killed} of {deaths} were killed");
        say(format!("{killed} killed"));
    }

    #[test]
    fn a_handler_may_lock_after_every_instruction() {
        if !is_linux(NO_STEPS) {
            return;
        }
        let family = Family::new("stepped");
        spawn("stepped", family.name()).join();
    }

    #[test]
    #[cfg_attr(
        robust_shm_unix,
        ignore = "opening takes so many more instructions there that the limit of a test is over first"
    )]
    fn what_is_held_goes_on_when_the_process_dies_in_the_handler_after_any_instruction() {
        if !is_linux(NO_STEPS) {
            return;
        }
        let family = Family::new("stepped-deaths");
        spawn("stepped-deaths", family.name()).join();
    }

    /// To run it: `cargo test --release --test signal_handlers -- --ignored`.
    #[test]
    #[ignore = "hundreds of thousands of deaths"]
    fn what_is_held_goes_on_when_the_process_dies_in_the_handler_after_almost_every_instruction() {
        let family = Family::new("stepped-deaths-long");
        spawn("stepped-deaths-long", family.name()).join();
    }
}
