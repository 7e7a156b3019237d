//! Processes that live and end in unusual ways: inherited guards and handles, servers that fork, raw `clone`, `exec`,
//! reaped memory, thousands of locks, signal handlers, stopped processes, statics, thread-local destructors.
#![allow(unsafe_code)]

mod support;

use std::cell::RefCell;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use robust_shm::{Error, LockError, SegmentInfo, SharedArray, SharedLock, SharedValue, ValueGuard};
use support::{
    Family, Forked, Scratch, end_with, exists, fork, member, pause, play, ready_to_die, say, spawn, until, within_limit,
};

#[test]
fn child() {
    play(&[
        ("every-order", every_order),
        ("server-drops", |name| serve(name, Departure::Drops)),
        ("server-exits", |name| serve(name, Departure::Exits)),
        ("server-vanishes", |name| serve(name, Departure::Vanishes)),
        ("clone-drops", clone_drops),
        ("clone-locks", clone_locks),
        ("exec-main", exec_from_the_main_thread),
        ("exec-other", exec_from_another_thread),
        ("idle", hold_with_idle_priority),
        ("thousands", thousands),
        ("signals", signals),
        ("parked", parked),
        ("hold", hold),
        ("attach", attach),
        ("statics", statics),
        ("exits-slowly", exits_slowly),
    ]);
}

/// What is certainly sooner than the heartbeat of a waiter, which asks every 3 s whether the holder exists.
const AT_ONCE: Duration = Duration::from_millis(2_500);
/// What is certainly later than the heartbeat, and sooner than the limit of any wait here.
const WITH_HEARTBEAT: Duration = Duration::from_secs(20);

/// Waits for a lock whose holder is gone, and says how long that took. A look at the holder is also taken when the time
/// is up, so the wait is for longer than is allowed.
fn wait_for_poison(lock: &SharedLock) -> Duration {
    let start = Instant::now();
    assert!(is_poisoned(lock.try_lock_for(support::LIMIT)));
    let taken = start.elapsed();
    assert!(taken < WITH_HEARTBEAT, "{taken:?}: nobody noticed");
    taken
}

fn is_poisoned<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::Poisoned { .. }))
}

fn would_block<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::WouldBlock { .. }))
}

fn times_out<R>(result: Result<R, LockError>) -> bool {
    matches!(result, Err(LockError::TimedOut { .. }))
}

/// Is the process in this state? `T`: stopped, `Z`: ended, and not waited for.
fn has_state(child: &support::Role, state: char) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with(state)
}

fn hold(name: &str) {
    let value = SharedValue::<u64>::open(name).unwrap();
    let mut guard = value.lock().unwrap();
    *guard = 99;
    say("ready");
    pause();
    ValueGuard::discard(guard);
}

// A guard and a handle that a fork has doubled, left in every order.

fn every_order(family: &str) {
    // P: the parent's next step, C: the child's. The first step of each drops its guard, the second its handle.
    for (which, order) in ["PPCC", "PCPC", "PCCP", "CPPC", "CPCP", "CCPP"].into_iter().enumerate() {
        leave_in_order(&member(family, 2 * which), &member(family, 2 * which + 1), order);
    }
}

fn leave_in_order(name: &str, turns: &str, order: &str) {
    let turn = SharedValue::create(turns, 0usize).unwrap();
    let value = SharedValue::create(name, 1u64).unwrap();
    let mut guard = value.lock().unwrap();
    *guard = 2;
    let owner = SegmentInfo::of(name).unwrap().holder_thread();
    assert!(owner.is_some());

    // Both go on from here, with the same code.
    // SAFETY: the one thread of this process that matters; the child ends with `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    let (me, child) = if pid == 0 { ('C', None) } else { ('P', Some(Forked::adopt(pid))) };
    if pid == 0 {
        std::panic::set_hook(Box::new(|info| {
            eprintln!("{info}");
            // SAFETY: ends the child.
            unsafe { libc::_exit(1) }
        }));
    }
    let mut steps = order.match_indices(me).map(|(at, _)| at);
    let mut my_turn = || {
        let at = steps.next().unwrap();
        until("this one's turn", || (turn.get() == at).then_some(()));
        at
    };
    let check = |done: usize| {
        let done = &order[..=done];
        let steps_of = |who| done.matches(who).count();
        if steps_of('P') == 2 && steps_of('C') == 2 {
            assert!(!exists(name), "{order} after {done}");
            return;
        }
        let info = SegmentInfo::of(name).unwrap();
        let is_held = steps_of('P') == 0;
        assert_eq!(info.holder_thread(), owner.filter(|_| is_held), "{order} after {done}");
        assert_eq!(info.commits(), Some(u64::from(!is_held)), "{order} after {done}");
    };

    let at = my_turn();
    drop(guard);
    check(at);
    turn.set(at + 1).unwrap();
    let at = my_turn();
    drop(value);
    check(at);
    turn.set(at + 1).unwrap();
    match child {
        Some(child) => child.join(),
        None => end_with(|| ()),
    }
}

#[test]
fn a_guard_and_a_handle_doubled_by_a_fork_may_be_left_in_every_order() {
    let family = Family::new("order");
    spawn("every-order", family.name()).join();
    assert_eq!(family.living(), [""; 0]);
}

// Servers that open, fork workers, and leave before them.

#[derive(Clone, Copy)]
enum Departure {
    Drops,
    Exits,
    Vanishes,
}

const WORKERS: u64 = 4;
const REQUESTS: u64 = 500;

fn serve(name: &str, departure: Departure) {
    let mut value = Some(SharedValue::create(name, 0u64).unwrap());
    for _ in 0..WORKERS {
        fork(|| {
            let value = value.take().unwrap();
            pause(); // until the test has seen the end of the parent, and closed the pipe
            for _ in 0..REQUESTS {
                *value.lock().unwrap() += 1;
            }
            say("served");
            until("the other workers", || (value.get() == WORKERS * REQUESTS).then_some(()));
            drop(value);
        })
        .forget();
    }
    match departure {
        Departure::Drops => drop(value),
        Departure::Exits => std::process::exit(0),
        // SAFETY: ends the process, without exit hooks.
        Departure::Vanishes => unsafe { libc::_exit(0) },
    }
}

#[test]
fn workers_go_on_when_the_server_that_forked_them_has_left() {
    for role in ["server-drops", "server-exits", "server-vanishes"] {
        let name = Scratch::new(role);
        let mut server = spawn(role, &name);
        until("the end of the server", || has_state(&server, 'Z').then_some(()));
        assert!(exists(&name), "{role}: the workers have not left");
        drop(SharedValue::<u64>::open(&name).unwrap());
        assert!(server.wait_for_end().success());
        // The first worker that hears "go on" may be the first or the last of its kind to leave.
        for _ in 0..WORKERS {
            server.expect("served");
        }
        until("the last worker to take the name along", || (!exists(&name)).then_some(()));
    }
}

// A raw clone: a fork of which no handler hears.

/// `clone` as `fork` does it, past libc.
fn raw_clone(body: impl FnOnce()) -> Forked {
    // SAFETY: SIGCHLD and zeros for all else is a plain fork; the child runs little and ends with `_exit`.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    assert!(pid >= 0);
    if pid == 0 {
        end_with(body);
    }
    Forked::adopt(pid as libc::pid_t)
}

fn clone_drops(name: &str) {
    let mut value = Some(Box::new(SharedValue::create(name, 1u64).unwrap()));
    {
        let value = value.as_ref().unwrap();
        let mut guard = Some(value.lock().unwrap());
        **guard.as_mut().unwrap() = 2;
        raw_clone(|| {
            drop(guard.take());
            assert_eq!(value.get(), 1);
        })
        .join();
        assert_eq!(value.get(), 1, "the child's guard committed nothing");
        assert!(matches!(value.lock(), Err(LockError::WouldDeadlock { .. })), "and released nothing");
    }
    assert_eq!(value.as_ref().unwrap().get(), 2);
    raw_clone(|| drop(value.take())).join();
    assert!(exists(name), "the child's handle removed nothing");
    // SAFETY: `exit` runs the exit hooks of a process that forgets no promise: that is what is tested.
    raw_clone(|| unsafe { libc::exit(0) }).join();
    assert!(exists(name), "nor did its exit");
    let second = SharedValue::<u64>::open(name).unwrap();
    second.set(3).unwrap();
    assert_eq!(value.as_ref().unwrap().update(|v| *v += 1).unwrap(), 4);
    drop((value, second));
    assert!(!exists(name));
}

#[test]
fn what_a_raw_clone_drops_does_no_harm_to_its_parent() {
    spawn("clone-drops", &Scratch::new("clone")).join();
}

/// Does this thread's robust list hold nothing?
fn robust_list_is_empty() -> bool {
    let mut head = std::ptr::null_mut::<usize>();
    let mut len = 0usize;
    // SAFETY: 0 is the calling thread; both pointers are to locals of the types that the call writes.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    assert_eq!(result, 0);
    // SAFETY: the kernel returned the address of this thread's head, which begins with the first link.
    let first = unsafe { head.read() };
    first == head.addr()
}

/// The parent's list has a lock in it when the clone is made; so has the clone's copy of libc's list, although the clone
/// holds nothing. Whatever the clone attempts, it must not write there.
fn clone_locks(family: &str) {
    let [held, free] = [0, 1].map(|which| SharedLock::create(&member(family, which)).unwrap());
    let mut guard = Some(held.lock().unwrap());
    let mut clone = raw_clone(|| {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            assert!(would_block(held.try_lock()) || held.try_lock().is_err());
            let _ = free.try_lock();
        }
    });
    until("the clone", || {
        for _ in 0..1_000 {
            drop(guard.take());
            guard = Some(held.lock().unwrap());
        }
        clone.try_wait()
    });
    drop(guard);
    assert!(robust_list_is_empty(), "the clone wrote into its parent's list");
}

#[test]
fn what_a_raw_clone_tries_to_lock_does_no_harm_to_its_parent() {
    let family = Family::new("clone-locks");
    spawn("clone-locks", family.name()).join();
}

// exec while holding

fn sleep_instead() -> io::Error {
    Command::new("sleep").arg("60").exec()
}

fn exec_from_the_main_thread(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let (mut stay, go) = io::pipe().unwrap();
    let mut go = Some(go);
    // The only thread of a forked child is its main thread.
    let sleeper = fork(|| {
        drop(go.take());
        // SAFETY: asks for a signal when the parent ends.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        std::mem::forget(lock.lock().unwrap());
        say("held");
        let _ = io::Read::read(&mut stay, &mut [0]);
        panic!("{}", sleep_instead());
    });
    pause();
    drop(go.take());
    pause();
    sleeper.kill(); // it lived until now
}

#[test]
fn exec_in_the_main_thread_hands_its_locks_over_at_once() {
    let name = Scratch::new("exec-main");
    let lock = SharedLock::create(&name).unwrap();
    let mut child = spawn("exec-main", &name);
    child.expect("held");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_for_poison(&lock));
        thread::sleep(Duration::from_millis(50));
        child.go_on();
        let taken = waiter.join().unwrap();
        assert!(taken < AT_ONCE, "{taken:?}: by the heartbeat only");
    });
    child.go_on();
    child.join();
}

fn exec_from_another_thread(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            std::mem::forget(lock.lock().unwrap());
            say("held");
            pause();
            panic!("{}", sleep_instead());
        });
    });
}

#[test]
fn exec_in_another_thread_is_noticed_by_the_heartbeat() {
    let name = Scratch::new("exec-other");
    let lock = SharedLock::create(&name).unwrap();
    let mut child = spawn("exec-other", &name);
    child.expect("held");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_for_poison(&lock));
        thread::sleep(Duration::from_millis(50));
        child.go_on();
        waiter.join().unwrap();
    });
    drop(lock.lock_recover(|| ()).unwrap());
    assert!(lock.try_lock().is_ok());
    child.kill(); // it lived until now
}

/// A lock that a process held when it ended as the kernel does not report, and the handle had met it before.
fn behind_one_met_that_ended_unnoticed(name: &str) -> (SharedLock, support::Role) {
    let lock = SharedLock::create(name).unwrap();
    let mut child = spawn("exec-other", name);
    child.expect("held");
    assert!(times_out(lock.try_lock_for(Duration::from_millis(20))));
    child.go_on();
    let comm = format!("/proc/{}/comm", child.id());
    until("the exec", || (std::fs::read_to_string(&comm).ok()? == "sleep\n").then_some(()));
    (lock, child)
}

/// A handle asks but once whether a holder exists before it sleeps behind it: after that, the heartbeat is what is left.
#[test]
fn the_unnoticed_end_of_a_holder_that_was_met_is_noticed_by_the_heartbeat() {
    let name = Scratch::new("exec-met");
    let (lock, child) = behind_one_met_that_ended_unnoticed(&name);
    wait_for_poison(&lock);
    child.kill(); // it lived until now
}

// A killed process whose memory is taken before it can run its own end, as the OOM killer's reaper does.

/// Restricts the calling thread to the first processor that it may use.
fn pin() {
    // SAFETY: all-zero bytes are an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of_val(&set);
    // SAFETY: the pointer and the size describe the set.
    unsafe { libc::sched_getaffinity(0, size, &raw mut set) };
    // SAFETY: asks about processors below the size of the set.
    let first = (0..libc::CPU_SETSIZE as usize).find(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).unwrap();
    // SAFETY: as above.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `first` is below the size of the set.
    unsafe { libc::CPU_SET(first, &mut one) };
    // SAFETY: the pointer and the size describe the set.
    unsafe { libc::sched_setaffinity(0, size, &raw const one) };
}

/// Holds as a process that runs only when nobody else wants the processor: it comes to its own end late.
fn hold_with_idle_priority(name: &str) {
    let lock = SharedLock::open(name).unwrap();
    let _guard = lock.lock().unwrap();
    pin();
    // SAFETY: all-zero bytes are valid parameters.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: 0 is the calling thread; the parameters outlive the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    ready_to_die();
}

#[test]
fn the_locks_of_a_reaped_process_are_had_at_the_latest_by_the_heartbeat() {
    let name = Scratch::new("reaped");
    let lock = SharedLock::create(&name).unwrap();
    for _ in 0..2 {
        let child = spawn("idle", &name);
        child.expect("ready");
        // SAFETY: takes integers.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
        if pidfd < 0 {
            eprintln!("skipped: no pidfd_open: {}", io::Error::last_os_error());
            return;
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Keeps the holder from its processor, so that the reaper comes first more often than not.
                pin();
                let end = Instant::now() + support::LIMIT;
                while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                    std::hint::spin_loop();
                }
            });
            thread::sleep(Duration::from_millis(20));
            child.signal(libc::SIGKILL);
            // The kernel may be too old: then this is an ordinary kill.
            // SAFETY: takes integers.
            unsafe { libc::syscall(libc::SYS_process_mrelease, pidfd, 0) };
            stop.store(true, Ordering::Relaxed);
        });
        wait_for_poison(&lock);
        drop(lock.lock_recover(|| ()).unwrap());
        // SAFETY: a descriptor of ours.
        unsafe { libc::close(pidfd as libc::c_int) };
    }
}

// More locks than the kernel hands over.

const MOST: usize = 2_000;

/// Allows `wanted` open files, if this process may.
fn allow_files(wanted: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_max = limit.rlim_max.max(wanted);
    limit.rlim_cur = limit.rlim_cur.max(wanted);
    // SAFETY: the limits outlive the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 }
}

fn thousands(family: &str) {
    // Two descriptors for each handle.
    if !allow_files(2 * MOST as u64 + 200) {
        say("skipped: at most as many open files as this system allows");
        return;
    }
    let locks: Vec<_> = (0..=MOST).map(|which| SharedLock::create(&member(family, which)).unwrap()).collect();
    thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let mut guards: Vec<_> = locks[..MOST].iter().map(|lock| lock.lock().unwrap()).collect();
            for attempt in [SharedLock::lock, SharedLock::try_lock] {
                let error = attempt(&locks[MOST]).unwrap_err();
                assert!(matches!(error, LockError::Io { .. }), "{error}");
                assert!(error.to_string().contains("2,000"), "{error}");
            }
            // Another thread has its own count, and one lock less makes room for another.
            thread::scope(|inner| assert!(inner.spawn(|| locks[MOST].try_lock().is_ok()).join().unwrap()));
            drop(guards.swap_remove(17));
            guards.push(locks[MOST].lock().unwrap());
            guards.into_iter().for_each(std::mem::forget);
        });
        holder.join().unwrap();
    });
    for (which, lock) in locks.iter().enumerate() {
        assert_eq!(is_poisoned(lock.try_lock()), which != 17, "lock {which}");
    }
    say("done");
}

#[test]
fn more_than_two_thousand_locks_are_an_error_and_all_of_two_thousand_are_handed_over() {
    let family = Family::new("thousands");
    let child = spawn("thousands", family.name());
    eprintln!("{}", child.hear());
    child.join();
    assert_eq!(family.living(), [""; 0]);
}

// A signal handler that locks while its thread is blocked in a lock.

static FOR_HANDLER: OnceLock<SharedValue<u64>> = OnceLock::new();

extern "C" fn count(_signal: libc::c_int) {
    FOR_HANDLER.get().unwrap().update(|n| *n += 1).unwrap();
}

extern "C" fn hold_for_good(_signal: libc::c_int) {
    let _guard = FOR_HANDLER.get().unwrap().lock().unwrap();
    say("in the handler");
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all-zero bytes are an action without flags: system calls are interrupted and not restarted.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: the action outlives the call, and the handler has the right type.
    let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    assert_eq!(result, 0);
}

/// Blocks in the lock of member 0, while another thread keeps sending it signals, whose handler uses member 1.
fn interrupt(family: &str, times: u64) {
    let lock = SharedLock::open(&member(family, 0)).unwrap();
    // SAFETY: takes nothing.
    let blocked = unsafe { libc::pthread_self() } as usize;
    thread::scope(|scope| {
        scope.spawn(move || {
            let counted = FOR_HANDLER.get().unwrap();
            for n in 0..times {
                thread::sleep(Duration::from_millis(2));
                // SAFETY: that thread waits for the end of this scope.
                unsafe { libc::pthread_kill(blocked as libc::pthread_t, libc::SIGUSR1) };
                until("the handler", || (counted.get() > n).then_some(()));
            }
            say("interrupted");
        });
        let guard = lock.lock().unwrap();
        say("got it");
        assert!(would_block(lock.try_lock()));
        drop(guard);
    });
    assert!(robust_list_is_empty());
}

fn signals(family: &str) {
    FOR_HANDLER.get_or_init(|| SharedValue::open(&member(family, 1)).unwrap());
    handle(libc::SIGUSR1, count);
    interrupt(family, 100);
}

fn parked(family: &str) {
    FOR_HANDLER.get_or_init(|| SharedValue::open(&member(family, 1)).unwrap());
    handle(libc::SIGUSR1, hold_for_good);
    interrupt(family, 1);
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// Each signal ends a sleep. The holder was met before it ended unnoticed, so that only the heartbeat is left.
#[test]
fn signals_do_not_put_the_heartbeat_off() {
    let name = Scratch::new("exec-signals");
    let (lock, child) = behind_one_met_that_ended_unnoticed(&name);
    handle(libc::SIGUSR2, ignore);
    // SAFETY: takes nothing.
    let waiter = unsafe { libc::pthread_self() } as usize;
    let (stay, is_over) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_over.recv_timeout(Duration::from_millis(50)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // SAFETY: that thread waits for the end of this scope.
                unsafe { libc::pthread_kill(waiter as libc::pthread_t, libc::SIGUSR2) };
            }
        });
        let _stay = stay; // dropped when this thread has the lock, or has panicked
        wait_for_poison(&lock);
    });
    child.kill(); // it lived until now
}

#[test]
fn a_signal_handler_may_lock_while_its_thread_is_blocked_in_a_lock() {
    let family = Family::new("signals");
    let lock = SharedLock::create(&family.member(0)).unwrap();
    let count = SharedValue::create(&family.member(1), 0u64).unwrap();
    let guard = lock.lock().unwrap();
    let child = spawn("signals", family.name());
    child.expect("interrupted");
    assert_eq!(count.get(), 100);
    drop(guard);
    child.expect("got it");
    child.join();
    assert!(lock.try_lock().is_ok());
}

#[test]
fn a_death_in_a_signal_handler_releases_what_it_held_and_not_what_it_waited_for() {
    let family = Family::new("parked");
    let lock = SharedLock::create(&family.member(0)).unwrap();
    let value = SharedValue::create(&family.member(1), 0u64).unwrap();
    let guard = lock.lock().unwrap();
    let child = spawn("parked", family.name());
    child.expect("in the handler");
    assert!(times_out(value.try_lock_for(Duration::from_millis(20))));
    child.kill();
    assert!(value.try_lock().is_ok(), "held by the handler");
    assert!(matches!(lock.lock(), Err(LockError::WouldDeadlock { .. })), "held by this thread");
    drop(guard);
    assert!(lock.try_lock().is_ok(), "not poisoned by somebody who only waited");
}

// Stopped processes

fn attach(name: &str) {
    let _handles = [0; 3].map(|_| SharedValue::<u64>::open(name).unwrap());
    ready_to_die();
}

/// Waits until the process is stopped; the signal takes a moment.
fn stop(child: &support::Role) {
    child.signal(libc::SIGSTOP);
    until("the stop", || has_state(child, 'T').then_some(()));
}

#[test]
fn a_stopped_holder_is_not_taken_for_dead_and_delays_no_reader() {
    let name = Scratch::new("stopped-holder");
    let value = SharedValue::create(&name, 5u64).unwrap();
    let mut child = spawn("hold", &name);
    child.expect("ready");
    stop(&child);
    // Longer than the heartbeat: it exists, so it holds.
    assert!(times_out(value.try_lock_for(Duration::from_millis(3_300))));
    assert_eq!(
        within_limit("get", {
            let name = name.0.clone();
            move || SharedValue::<u64>::open(&name).unwrap().get()
        }),
        5
    );
    child.signal(libc::SIGCONT);
    child.go_on();
    assert_eq!(*value.try_lock_for(support::LIMIT).unwrap(), 5, "it goes on and releases");
    child.join();
}

#[test]
fn a_stopped_user_blocks_nobody_who_opens_closes_or_locks() {
    let name = Scratch::new("stopped-user");
    let value = SharedValue::create(&name, 5u64).unwrap();
    let child = spawn("attach", &name);
    child.expect("ready");
    stop(&child);
    let start = Instant::now();
    for n in 0..50 {
        let other = SharedValue::<u64>::open(&name).unwrap();
        *other.lock().unwrap() += 1;
        assert_eq!(value.get(), 6 + n);
        assert!(matches!(SharedValue::create(&name, 1u64), Err(Error::AlreadyExists { .. })));
    }
    drop(value);
    assert!(exists(&name), "the stopped one still uses it");
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 55);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}: somebody waited", start.elapsed());
    child.kill();
    assert!(matches!(SharedValue::<u64>::open(&name), Err(Error::NotFound { .. })));
}

// Ends with handles and guards in unusual places

fn statics(family: &str) {
    static VALUE: OnceLock<SharedValue<u64>> = OnceLock::new();
    static ARRAY: OnceLock<SharedArray<u8, 100>> = OnceLock::new();
    static LOCK: OnceLock<SharedLock> = OnceLock::new();
    let value = VALUE.get_or_init(|| SharedValue::open(&member(family, 0)).unwrap());
    ARRAY.get_or_init(|| SharedArray::create(&member(family, 1)).unwrap());
    LOCK.get_or_init(|| SharedLock::create(&member(family, 2)).unwrap());
    thread::spawn(move || {
        let mut guard = value.lock().unwrap();
        *guard = 99;
        say("held");
        thread::sleep(support::LIMIT);
        drop(guard);
    });
    pause();
    std::process::exit(0);
}

#[test]
fn exit_removes_what_is_in_statics_and_commits_nothing_of_what_other_threads_hold() {
    let family = Family::new("statics");
    let value = SharedValue::create(&family.member(0), 7u64).unwrap();
    let mut child = spawn("statics", family.name());
    child.expect("held");
    child.go_on();
    child.join();
    assert_eq!(family.living(), [family.member(0)], "the segment that is also used here stays");
    assert_eq!(*value.try_lock().unwrap(), 7);
}

thread_local! {
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
    static LATE_GUARD: RefCell<Option<ValueGuard<'static, u64>>> = const { RefCell::new(None) };
    static LATE_HANDLE: RefCell<Option<SharedValue<u64>>> = const { RefCell::new(None) };
}

struct LastWords(&'static SharedValue<u64>, &'static SharedLock);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.1.with(|| self.0.update(|n| *n += 1).unwrap()).unwrap();
    }
}

#[test]
fn locks_may_be_taken_in_destructors_of_thread_locals() {
    let family = Family::new("last-words");
    let value: &SharedValue<u64> = Box::leak(Box::new(SharedValue::create(&family.member(0), 0).unwrap()));
    let lock: &SharedLock = Box::leak(Box::new(SharedLock::create(&family.member(1)).unwrap()));
    let threads: Vec<_> = (0..8)
        .map(|i| {
            thread::spawn(move || {
                LAST_WORDS.set(Some(LastWords(value, lock)));
                if i % 2 == 0 {
                    drop(lock.lock().unwrap()); // with and without a lock during the thread's life
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(value.get(), 8);
    assert!(value.try_lock().is_ok() && lock.try_lock().is_ok());
}

#[test]
fn guards_and_handles_in_thread_locals_end_with_their_thread() {
    let family = Family::new("late");
    let value: &SharedValue<u64> = Box::leak(Box::new(SharedValue::create(&family.member(0), 0).unwrap()));
    let second = family.member(1);
    thread::spawn(move || {
        LATE_HANDLE.set(Some(SharedValue::create(&second, 0).unwrap()));
        let mut guard = value.lock().unwrap();
        *guard = 5;
        LATE_GUARD.set(Some(guard));
    })
    .join()
    .unwrap();
    assert_eq!(*value.try_lock().unwrap(), 5, "dropped regularly, so committed");
    assert_eq!(family.living(), [family.member(0)]);
}

#[test]
fn a_guard_leaked_in_a_thread_that_ends_goes_to_the_next_one() {
    let value = SharedValue::create(&Scratch::new("leaked-value"), 7u64).unwrap();
    let array = SharedArray::<u64, 4>::create(&Scratch::new("leaked-array")).unwrap();
    let waiting = SharedLock::create(&Scratch::new("leaked-lock")).unwrap();
    thread::scope(|scope| {
        let (has_leaked, leaked) = std::sync::mpsc::channel();
        let leaker = scope.spawn({
            let (value, array, waiting) = (&value, &array, &waiting);
            move || {
                let mut copy = value.lock().unwrap();
                *copy = 99;
                std::mem::forget(copy);
                std::mem::forget(array.lock().unwrap());
                std::mem::forget(waiting.lock().unwrap());
                has_leaked.send(()).unwrap();
                thread::sleep(Duration::from_millis(50));
            }
        });
        leaked.recv().unwrap();
        let taken = wait_for_poison(&waiting);
        assert!(taken < AT_ONCE, "{taken:?}: by the heartbeat only");
        leaker.join().unwrap(); // the kernel goes through the list one by one
    });
    assert_eq!(*value.try_lock().unwrap(), 7);
    assert!(is_poisoned(array.try_lock()) && array.is_poisoned());
}

/// Exits while another thread holds the lock of a persistent segment, and takes its time.
fn exits_slowly(name: &str) {
    extern "C" fn take_time() {
        say("exiting");
        pause();
    }
    static ARRAY: std::sync::OnceLock<SharedArray<u64, 2>> = std::sync::OnceLock::new();
    // Before the crate's own hook, and so called after it.
    // SAFETY: the hook is a function of this program.
    assert_eq!(unsafe { libc::atexit(take_time) }, 0);
    let array = ARRAY.get_or_init(|| SharedArray::options().persistent(true).create(name).unwrap());
    let (holds, is_held) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let _guard = array.lock().unwrap();
        holds.send(()).unwrap();
        thread::park();
    });
    is_held.recv().unwrap();
    std::process::exit(0);
}

/// The exit hook once left persistent segments for threads that were still there, and a newcomer took their locks for
/// those of the dead.
#[test]
fn a_lock_is_held_until_its_thread_is_gone_however_slowly_the_process_exits() {
    let name = Scratch::new("exits");
    let mut child = spawn("exits-slowly", &name);
    child.expect("exiting");
    let array = SharedArray::<u64, 2>::open(&name).unwrap();
    let attempt = array.try_lock_ignoring_poison_for(Duration::from_millis(50));
    assert!(matches!(attempt, Err(LockError::TimedOut { .. })), "{attempt:?}");
    child.go_on();
    child.join();
    assert!(is_poisoned(array.lock()));
    robust_shm::remove(&name).unwrap();
}
