//! Who sleeps and who works, by what `/proc` says.

use std::fs;
use std::time::Duration;

use super::{Role, until};

/// The calling thread, as `/proc` names it.
pub fn own_tid() -> libc::pid_t {
    // SAFETY: takes nothing, cannot fail.
    #[allow(unsafe_code)]
    unsafe {
        libc::syscall(libc::SYS_gettid) as libc::pid_t
    }
}

/// If the thread sleeps: how often it has gone to sleep, so that two sleeps can be told apart (where the system counts).
pub fn asleep(thread: libc::pid_t) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let sleeps = field("voluntary_ctxt_switches:").map_or(Some(0), |count| count.parse().ok())?;
    field("State:")?.starts_with('S').then_some(sleeps)
}

/// Is there nothing left of the process but its status?
pub fn has_ended(pid: libc::pid_t) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['Z', 'X']))
}

/// Waits until every thread of the child sleeps in a futex call: when it has nothing else to wait for, in a lock.
pub fn until_it_waits(child: &Role) {
    until(&format!("the sleep of child {:?}", child.role), || all_wait(child.id()).then_some(()));
}

fn all_wait(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks.map(|task| task.path()).all(|task| {
        let state = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        // Not everywhere may it be read; then every sleep counts.
        let call = std::fs::read_to_string(task.join("syscall")).ok().filter(|call| !call.is_empty());
        const FUTEX_WAITV: libc::c_long = 449; // on all architectures
        let dozes = if cfg!(robust_shm_unix) { libc::SYS_clock_nanosleep } else { libc::SYS_futex };
        let waits = [libc::SYS_futex, FUTEX_WAITV, dozes];
        let is_futex = call.is_none_or(|call| waits.iter().any(|number| call.starts_with(&format!("{number} "))));
        is_futex && state.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
    })
}

/// Does the system count how often a thread has gone to sleep?
pub fn sleeps_are_counted() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("voluntary_ctxt_switches:"))
}

/// The processor time of this process without that of this thread, and of all processes that come from it.
pub(super) fn others_work() -> Duration {
    all_work().saturating_sub(clock(libc::CLOCK_THREAD_CPUTIME_ID))
}

pub(super) fn all_work() -> Duration {
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
pub(super) fn tells_of_children() -> bool {
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

/// Is every death told at once? gVisor takes a bit of the dead thread's id for `FUTEX_PRIVATE_FLAG`, and then wakes nobody of
/// another process.
pub fn each_death_wakes() -> bool {
    super::is_linux("wakes nobody when thread 128 ends, nor 129, nor 384")
}

/// Does the kernel keep lists of the robust futexes that a thread holds? Asked of the kernel, and not of the crate: an emulator,
/// or a sandbox, may not let it say so.
pub fn kernel_has_robust_lists() -> bool {
    let (mut head, mut len) = (std::ptr::null_mut::<libc::c_void>(), 0usize);
    // SAFETY: asks of the calling thread; two places for the answer.
    #[allow(unsafe_code)]
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    result == 0
}
