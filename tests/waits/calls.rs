//! What locking costs beside those who wait: the system calls of one process, counted by another that traces it.
#![cfg(target_os = "linux")]

use std::mem::forget;

use robust_shm::{LockKind, SharedArray, SharedValue};

use crate::changes::kills;
use crate::support::{
    Body, Family, Forked, LIMIT, Need, asleep, fork, has_robust_lists, member, say, skip, spawn, until, until_it_waits,
};
use crate::word;

pub(crate) const ROLES: &[(&str, Body)] = &[
    ("watches for ever", |family| {
        let value = Value::open(&member(family, 0)).unwrap();
        say("waits");
        value.wait_while(|both| both[0] == 0).unwrap();
    }),
    ("waits for a condition for ever", |family| {
        let array = SharedArray::<u64, 2>::open(&member(family, 1)).unwrap();
        say("waits");
        drop(array.condvar_at(2).wait_while(array.lock().unwrap(), |both| both[0] == 0));
    }),
    ("is counted beside sleepers", is_counted_beside_sleepers),
    ("is counted after kills", is_counted_after_kills),
    ("is counted at ten calls", |_| {
        say_calls(calls_of(|| {
            mark();
            // SAFETY: takes nothing.
            (0..10).for_each(|_| _ = unsafe { libc::getuid() });
            mark();
        }));
    }),
];

type Value = SharedValue<[u64; 2]>;
const PAIRS: usize = 640;
/// Of so many unlocks beside somebody who waits, one looks at the clock; and asks, if time has gone on, whether anybody does.
const PROBE_EVERY: usize = 64;

/// A call that nothing else makes: the counting begins with the first and ends with the second.
fn mark() {
    // SAFETY: takes nothing.
    unsafe { libc::getppid() };
}

/// The numbers of the system calls that the body makes between two [marks](mark), in a child that is traced. `None`: nobody
/// may trace here.
fn calls_of(body: impl FnOnce()) -> Option<Vec<u64>> {
    let tracee = fork(|| {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: takes nothing but the request.
        if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, nothing, nothing) } != 0 {
            // SAFETY: ends the process.
            unsafe { libc::_exit(NOT_TRACED) };
        }
        // SAFETY: the tracer waits for that.
        unsafe { libc::raise(libc::SIGSTOP) };
        body();
    });
    trace(tracee)
}

const NOT_TRACED: libc::c_int = 77;

fn trace(tracee: Forked) -> Option<Vec<u64>> {
    let (pid, nothing) = (tracee.id(), std::ptr::null_mut::<libc::c_void>());
    tracee.forget(); // it is waited for here, and ends with this process
    let (mut calls, mut marks) = (Vec::new(), 0);
    let mut is_first = true;
    loop {
        let mut status = 0;
        // SAFETY: a child of ours, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        if libc::WIFEXITED(status) {
            if libc::WEXITSTATUS(status) == NOT_TRACED {
                return None;
            }
            assert_eq!(status, 0, "what was counted has failed");
            assert_eq!(marks, 2, "marks");
            return Some(calls);
        }
        assert!(libc::WIFSTOPPED(status), "{status:#x}");
        if std::mem::take(&mut is_first) {
            let options = (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL) as usize;
            // SAFETY: a process that this one traces, and that is stopped.
            unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, nothing, options) };
        } else if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80
            && let Some(call) = entered(pid)?
        {
            if call == libc::SYS_getppid as u64 {
                marks += 1;
            } else if marks == 1 {
                calls.push(call);
            }
        }
        // SAFETY: as above.
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, pid, nothing, nothing) };
    }
}

/// The call at whose beginning the process is stopped; inner `None`: it is at the end of one. Outer: nobody tells.
fn entered(pid: libc::pid_t) -> Option<Option<u64>> {
    const GET_SYSCALL_INFO: libc::c_uint = 0x420e; // Linux 5.3
    const ENTRY: u64 = 1;
    let mut info = [0u64; 16];
    // SAFETY: a process that this one traces, and that is stopped; a place for the answer, and its length.
    let length = unsafe { libc::ptrace(GET_SYSCALL_INFO as _, pid, size_of_val(&info), info.as_mut_ptr()) };
    if length <= 0 {
        // SAFETY: a child of ours.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        return None;
    }
    Some((info[0] & 0xff == ENTRY).then_some(info[3]))
}

fn say_calls(calls: Option<Vec<u64>>) {
    match calls {
        Some(calls) => say(calls.len()),
        None => say("nobody may trace"),
    }
}

/// Counts what locking costs; the value is not changed, which would wake whoever watches it.
fn count(family: &str, before: usize) {
    let value = Value::open(&member(family, 0)).unwrap();
    let array = SharedArray::<u64, 2>::open(&member(family, 1)).unwrap();
    let body = |pairs: usize| {
        for _ in 0..pairs {
            drop(value.lock().unwrap());
            drop(array.lock().unwrap());
        }
    };
    say_calls(calls_of(|| {
        body(before);
        mark();
        body(PAIRS);
        mark();
    }));
}

fn is_counted_beside_sleepers(family: &str) {
    count(family, 1);
}

/// Kills so many who wait, each as it sleeps; and when it has been asked whether anybody waits, locking is as ever.
fn is_counted_after_kills(family: &str) {
    let value = Value::open(&member(family, 0)).unwrap();
    let array = SharedArray::<u64, 2>::open(&member(family, 1)).unwrap();
    for kill in 0..kills() {
        let waiter = fork(|| {
            if kill % 2 == 0 {
                forget(value.wait_while_for(LIMIT, |both| both[0] == 0));
            } else {
                forget(array.condvar_at(2).wait_while_for(array.lock().unwrap(), LIMIT, |both| both[0] == 0));
            }
        });
        until("its sleep", || asleep(waiter.id()));
        waiter.kill();
    }
    until("the question whether anybody waits", || {
        for _ in 0..PROBE_EVERY {
            drop(value.lock().unwrap());
            drop(array.lock().unwrap());
        }
        [0, 1].iter().all(|which| word(&member(family, *which)) == [0, 0]).then_some(())
    });
    count(family, 1);
}

fn create(family: &Family) -> (Value, SharedArray<u64, 2>) {
    // What the kernel does is only known of this kind: the other one looks for itself.
    let value = Value::options().lock_kind(LockKind::Futex).create(&family.member(0), [0, 0]).unwrap();
    (value, SharedArray::options().lock_kind(LockKind::Futex).create(&family.member(1)).unwrap())
}

/// How many calls, by the process that counts.
fn calls(role: &str, family: &Family) -> Option<usize> {
    let counter = spawn(role, family.name());
    let said = counter.hear();
    counter.join();
    if said.starts_with("nobody") {
        skip(Need::System, said);
        return None;
    }
    Some(said.parse().unwrap())
}

#[test]
fn locking_beside_those_who_wait_makes_no_system_call_but_asks_now_and_then_whether_they_do() {
    if !has_robust_lists("sleepers are found on the word of the lock") {
        return;
    }
    let family = Family::new("calls");
    let both = create(&family);
    let watcher = spawn("watches for ever", family.name());
    let waiter = spawn("waits for a condition for ever", family.name());
    for sleeper in [&watcher, &waiter] {
        sleeper.expect("waits");
        until_it_waits(sleeper);
    }
    let Some(calls) = calls("is counted beside sleepers", &family) else { return };
    // It is asked by waking one, whom the next holder moves to where he is found, and who may come for the lock meanwhile.
    let most = 2 * 3 * (PAIRS / PROBE_EVERY + 1);
    assert!((1..=most).contains(&calls), "{calls} calls for {PAIRS} times both, where {most} would do");
    both.0.update(|both| both[0] = 1).unwrap();
    let mut guard = both.1.lock().unwrap();
    guard[0] = 1;
    both.1.condvar_at(2).notify_one(&guard);
    drop(guard);
    watcher.join();
    waiter.join();
}

/// `ROBUST_SHM_KILLS=10000` is the long form.
#[test]
fn once_nobody_waits_any_more_locking_makes_no_system_call_however_many_were_killed() {
    if !has_robust_lists("the kernel knows who sleeps") {
        return;
    }
    let family = Family::new("killed");
    let _both = create(&family);
    let Some(calls) = calls("is counted after kills", &family) else { return };
    assert_eq!(calls, 0);
    assert_eq!([word(&family.member(0)), word(&family.member(1))], [[0, 0]; 2]);
}

/// Else there would be none, whatever is counted.
#[test]
fn what_counts_system_calls_counts_them() {
    if let Some(calls) = calls("is counted at ten calls", &Family::new("counts")) {
        assert_eq!(calls, 10);
    }
}
